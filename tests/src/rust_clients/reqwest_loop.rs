//! reqwest with a retry loop written by hand.

use std::time::Duration;

use brownout::{Connection, Operation, Outcome};
use serde_json::Value;

use super::{BUSY, LOST, MUTE, REFUSED, charge_url, charging, fails};

/// What the loop asks of the client that it is built on.
#[derive(Clone, Copy)]
struct Habits {
    timeout: Option<Duration>,
    one_key: bool,
}

const CAREFUL: Habits = Habits { timeout: Some(Duration::from_secs(5)), one_key: true };

/// Four attempts, as long apart as the provider asks, and twice as long each time where it asks nothing.
async fn charge(operation: Operation, connection: Connection, habits: Habits) -> Outcome {
    let mut builder = connection.reqwest().expect("a unix socket");
    if let Some(timeout) = habits.timeout {
        builder = builder.timeout(timeout);
    }
    let http = builder.build().expect("a client");
    let mut last = String::new();
    for attempt in 1..=4_u32 {
        let key = if habits.one_key { operation.id.to_string() } else { format!("{attempt}") };
        let request = http
            .post(charge_url(&operation))
            .bearer_auth(&operation.api_key)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(operation.input.to_string());
        let mut wait = Duration::from_millis(250) * 2_u32.pow(attempt);
        match request.send().await {
            Err(error) => last = error.to_string(),
            Ok(answer) => {
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                let body = answer.bytes().await.unwrap_or_default();
                let charge: Value = serde_json::from_slice(&body).unwrap_or_default();
                match status {
                    201 if charge["status"] == "succeeded" => return Outcome::succeeded(),
                    200..=299 | 408 | 409 | 425 | 429 | 500..=599 => {}
                    _ => return Outcome::failed(format!("refused with {status}")),
                }
                let asked = headers.get("retry-after").and_then(|text| text.to_str().ok());
                let asked = asked.and_then(|text| text.parse().ok()).map(Duration::from_secs);
                wait = wait.max(asked.unwrap_or_default());
                last = format!("status {status}");
            }
        }
        tokio::time::sleep(wait).await;
    }
    Outcome::unknown(last)
}

#[test]
fn one_key_and_a_time_out_survive_a_lost_answer_a_busy_provider_a_silent_one_and_a_refusal() {
    for (faults, expect) in [
        (LOST, "no_double_charges, idempotency_key_stable, honest_failures, min_gap"),
        (BUSY, "honors_retry_after, no_lost_operations: {all: true}"),
        (MUTE, "no_double_charges, client_timeout: {max: 5s}, no_overlapping_attempts"),
        (REFUSED, "no_retry_on_permanent_errors, failures_surface"),
    ] {
        let harness = charging(faults, expect);
        harness
            .run(|operation, connection| charge(operation, connection, CAREFUL))
            .expect("it runs")
            .assert();
    }
}

#[test]
fn a_key_for_each_attempt_charges_twice_when_the_answer_is_lost() {
    let harness = charging(LOST, "no_double_charges");
    let habits = Habits { one_key: false, ..CAREFUL };
    let judged = harness.run(move |operation, connection| charge(operation, connection, habits));
    let judged = judged.expect("it runs");
    assert!(fails(&judged, "no_double_charges"), "{}", judged.report());
}

#[test]
fn reqwest_has_no_time_out_of_its_own_and_waits_for_a_silent_provider_until_the_deadline() {
    let harness =
        charging(MUTE, "client_timeout: {max: 60s}, failures_surface, no_lost_operations");
    let habits = Habits { timeout: None, ..CAREFUL };
    let judged = harness.run(move |operation, connection| charge(operation, connection, habits));
    let judged = judged.expect("it runs");
    assert!(fails(&judged, "client_timeout"), "{}", judged.report());
    assert!(fails(&judged, "no_lost_operations"), "{}", judged.report());
}
