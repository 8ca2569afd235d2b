//! Operations of several steps: what a client is handed, and how it is judged when a step's answer is lost.

use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::drive::loopback::{Answer, Call, post_over};
use brownout::harness::{Harness, Judged};
use brownout::operation::{Operation, Outcome};
use brownout::verdict::InvariantVerdict;
use serde_json::{Value, json};

const SCENARIO: &str = "version: 1
name: authorize-and-capture
provider: {api: payments}
faults:
  - {name: lost, when: {route: capture, attempt: 1}, inject: {reset: {at: after_commit}}}
workload:
  steps: [{call: authorize}, {call: capture, uses: {id: /id}}, {call: notify}]
  operations: 2
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
expect:
  - at_most_one_effect: {kind: authorization}
  - no_double_charges
  - no_lost_operations
  - idempotency_key_unique
";

/// One step, tried twice under its own key.
async fn step(
    operation: &Operation,
    connection: &Connection,
    path: &str,
    body: &Value,
) -> Option<Answer> {
    let url = format!("{}{path}", operation.url);
    for _ in 0..2 {
        let call = Call {
            url: &url,
            api_key: &operation.api_key,
            idempotency_key: Some(&format!("{}{path}", operation.id)),
            body,
            timeout: Duration::from_secs(5),
        };
        match post_over(connection, call).await {
            Ok(answer) if answer.status < 300 => return Some(answer),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    None
}

/// Goes through the steps as they were handed over; a step that fails ends it.
async fn whole(operation: Operation, connection: Connection) -> Outcome {
    let called: Vec<&str> = operation.steps.iter().map(|step| &*step.call).collect();
    assert_eq!((called, &*operation.call), (vec!["authorize", "capture", "notify"], "authorize"));
    let Some(held) = step(&operation, &connection, "/v1/authorizations", &operation.input).await
    else {
        return Outcome::unknown("nothing was set aside");
    };
    let held: Value = serde_json::from_slice(&held.body).expect("JSON");
    let uses = &operation.steps[1].uses["id"];
    let id = held.pointer(uses).and_then(Value::as_str).expect("an id");
    let path = format!("/v1/authorizations/{id}/capture");
    if step(&operation, &connection, &path, &json!({})).await.is_none() {
        return Outcome::unknown("what was set aside may have been charged");
    }
    let note = json!({"order": operation.input["order"], "message": "charged"});
    match step(&operation, &connection, "/v1/notifications", &note).await {
        Some(_) => Outcome::succeeded(),
        None => Outcome::unknown("nobody was told"),
    }
}

fn verdicts(judged: &Judged) -> Vec<InvariantVerdict> {
    judged.result.invariants.iter().map(|one| one.verdict).collect()
}

#[test]
fn a_client_goes_through_the_steps_and_repeats_only_the_one_that_was_lost() {
    let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    let judged = harness.virtual_time().run(whole).expect("it runs");
    assert_eq!(verdicts(&judged), [InvariantVerdict::Passed; 4], "{}", judged.report());
    // Three steps each, and the lost one twice.
    assert_eq!(judged.result.requests, 8);
}

#[test]
fn a_client_that_begins_again_sets_the_amount_aside_twice() {
    let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    let judged = harness
        .virtual_time()
        .run(|mut operation, connection| async move {
            for attempt in 1..=2 {
                // The whole of it is repeated, each time under other keys.
                operation.id = format!("{}-{attempt}", operation.id).into();
                let url = format!("{}/v1/authorizations", operation.url);
                let held = step(&operation, &connection, "/v1/authorizations", &operation.input);
                let held: Value = match held.await {
                    Some(held) => serde_json::from_slice(&held.body).expect("JSON"),
                    None => return Outcome::unknown(url),
                };
                let id = held["id"].as_str().expect("an id");
                let capture = Call {
                    url: &format!("{url}/{id}/capture"),
                    api_key: &operation.api_key,
                    idempotency_key: None,
                    body: &json!({}),
                    timeout: Duration::from_secs(5),
                };
                if post_over(&connection, capture).await.is_ok_and(|it| it.status == 200) {
                    return Outcome::succeeded();
                }
            }
            Outcome::unknown("it was lost twice")
        })
        .expect("it runs");
    let [authorized, captured, ..] = verdicts(&judged)[..] else { panic!("four expectations") };
    assert_eq!(authorized, InvariantVerdict::Failed, "{}", judged.report());
    assert_eq!(captured, InvariantVerdict::Failed, "{}", judged.report());
}
