//! A worker in this process, in virtual time: it receives messages by itself, and what becomes of them is the claim.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use brownout::drive::loopback::{Ask, Call, post_over, send_over};
use brownout::{Connection, Harness, Judged, Outcome, Prepared, Verdict};
use brownout_provider::event::Claim;
use serde_json::{Value, json};
use tokio::time::sleep;

/// How a worker differs from a right one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Right,
    /// It deletes a message before it does its work.
    DeletesFirst,
    /// It never waits.
    Restless,
}

async fn ask(connection: &Connection, path: &str, key: Option<&str>, body: &Value) -> Value {
    let url = format!("{}{path}", connection.url);
    let call = Call {
        url: &url,
        api_key: &connection.api_key,
        idempotency_key: key,
        body,
        timeout: Duration::from_secs(5),
    };
    let answer = post_over(connection, call).await.map(|answer| answer.body).unwrap_or_default();
    serde_json::from_slice(&answer).unwrap_or_default()
}

async fn receive(connection: &Connection) -> Option<Value> {
    let received = ask(connection, "/v1/messages/receive", None, &json!({"max": 1})).await;
    received["messages"].get(0).cloned()
}

async fn work(connection: &Connection, message: &Value) -> bool {
    ask(connection, "/v1/work", message["id"].as_str(), &message["body"]).await["status"] == "done"
}

async fn delete(connection: &Connection, message: &Value) {
    let word = |name: &str| message[name].as_str().unwrap_or_default();
    let (id, receipt) = (word("id"), word("receipt"));
    let url = format!("{}/v1/messages/{id}?receipt={receipt}", connection.url);
    let headers = vec![("authorization", format!("Bearer {}", connection.api_key))];
    let method = "DELETE".parse().expect("a method");
    let timeout = Duration::from_secs(5);
    let _ = send_over(
        connection,
        &Ask { method, url: &url, headers, body: Default::default(), timeout },
    )
    .await;
}

async fn live(connection: Connection, way: Way) {
    loop {
        let Some(message) = receive(&connection).await else {
            if way != Way::Restless {
                sleep(Duration::from_millis(100)).await;
            }
            continue;
        };
        if way == Way::DeletesFirst {
            delete(&connection, &message).await;
            sleep(Duration::from_secs(3)).await;
            work(&connection, &message).await;
        } else if work(&connection, &message).await {
            delete(&connection, &message).await;
        }
    }
}

fn harness(rules: &str, more: &str, expect: &str) -> Harness {
    Harness::from_yaml(&format!(
        "version: 1
name: worker
provider: {{api: queue, queue: {{visibility: 10s, max_receives: 4}}}}
faults: {rules}
workload: {{call: send_message, operations: 6, concurrency: 6, deadline: 2m, deliver: {{queue: messages}},
  input: {{order: 'order-{{{{ n }}}}', amount: 5}}{more}}}
expect: [{expect}]
"
    ))
    .expect("a right scenario")
    .virtual_time()
}

const ALL: &str = "no_double_charges, no_phantom_success, {no_lost_operations: {all: true}}";

fn right(harness: &Harness) -> Prepared {
    harness.worker(|connection| live(connection, Way::Right))
}

/// Which copies of the worker were killed and are there again.
fn killed(judged: &Judged) -> Vec<u32> {
    let ends = judged.trace.client_ends();
    assert!(ends.iter().all(|end| end.killed));
    let first = ends.first().map_or(u32::MAX, |end| end.seq);
    let started = judged.trace.clients().iter().filter(|one| one.seq > first);
    started.map(|one| one.client).collect()
}

#[test]
fn a_worker_in_fair_weather_takes_no_time() {
    let judged = right(&harness("[]", "", ALL)).run().expect("it runs");
    assert_eq!(judged.result.operations.succeeded, 6, "{}", judged.report());
    assert!(judged.result.elapsed_ms < 1_000, "{}", judged.result.elapsed_ms);
}

#[test]
fn equal_runs_leave_equal_traces() {
    let rules = "
  - {name: twice, when: {route: receive_messages, chance: 30%}, inject: {message: duplicate}}
  - {name: killed, when: {route: do_work, operation: 4, attempt: 1}, inject: {kill_client: {at: after_commit}}}";
    let prepared = right(&harness(rules, ", clients: 3", ALL));
    let told = |judged: Judged| {
        judged.assert();
        (judged.result.requests, judged.result.elapsed_ms, judged.result.schedule_hash.clone())
    };
    let first = told(prepared.run().expect("it runs"));
    assert_eq!(told(prepared.run().expect("it runs")), first);
}

#[test]
fn the_copy_that_asked_is_killed_and_what_it_was_handed_goes_to_whoever_is_there() {
    let rules = "[{name: killed, when: {route: do_work, operation: 4, attempt: 1}, inject: {kill_client: {at: after_commit}}}]";
    for clients in [1, 4] {
        // One copy alone asks for work: the others sleep until it is too late.
        let lone = clients > 1;
        let judged = harness(rules, &format!(", clients: {clients}"), ALL)
            .worker(move |connection| async move {
                if lone && connection.client != 3 {
                    sleep(Duration::from_secs(3_600)).await;
                }
                live(connection, Way::Right).await;
            })
            .run()
            .expect("it runs");
        judged.assert();
        assert_eq!(killed(&judged), [if lone { 3 } else { 1 }], "of {clients}");
        assert!(judged.result.elapsed_ms >= 10_000, "its message was hidden");
    }
}

#[test]
fn a_worker_that_crashes_begins_anew() {
    let lives = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&lives);
    let judged = harness("[]", "", ALL)
        .without_control()
        .worker(move |connection| {
            let life = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                if life == 0 {
                    receive(&connection).await;
                    connection.crash().await;
                }
                live(connection, Way::Right).await;
            }
        })
        .run()
        .expect("it runs");
    assert_eq!(judged.result.operations.succeeded, 6, "{}", judged.report());
    assert_eq!((lives.load(Ordering::Relaxed), killed(&judged)), (2, vec![1]));
}

#[test]
fn while_a_worker_stands_still_nobody_is_late() {
    let rules = "[{name: pause, when: {route: do_work, operation: 2, attempt: 1}, inject: {pause_client: {for: 20m}}}]";
    let judged = right(&harness(rules, "", ALL)).run().expect("it runs");
    judged.assert();
    assert!(judged.result.elapsed_ms > 1_200_000);
}

#[test]
fn a_worker_that_deletes_before_it_works_is_heard_out() {
    let prepared = harness("[]", "", ALL).worker(|one| live(one, Way::DeletesFirst));
    let judged = prepared.run().expect("it runs");
    let effects: u64 = judged.result.effects.values().copied().sum();
    assert_eq!(effects, 6, "{}", judged.report());
}

#[test]
fn what_nobody_is_left_to_receive_is_nobodys_success() {
    for (panics, detail) in [(false, "the worker returned"), (true, "the worker panicked")] {
        let rules = "[{name: slow, when: {route: do_work}, inject: {latency: {fixed: 1s}}}]";
        let judged = harness(rules, "", ALL)
            .without_control()
            .worker(move |connection| async move {
                let message = receive(&connection).await.expect("there is one");
                work(&connection, &message).await;
                delete(&connection, &message).await;
                assert!(!panics, "no more");
            })
            .run()
            .expect("it runs");
        let operations = &judged.result.operations;
        assert_eq!((operations.succeeded, operations.unclaimed), (1, 5), "{}", judged.report());
        assert_eq!(judged.result.verdict, Verdict::Failed);
        assert!(judged.report().contains(detail), "{}", judged.report());
        let said: Vec<&str> = judged.trace.outputs().iter().map(|line| &*line.text).collect();
        assert_eq!(said, if panics { vec!["panicked: no more"] } else { Vec::new() });
    }
}

#[test]
fn a_worker_that_never_waits_is_refused_in_virtual_time() {
    let prepared = harness("[]", ", arrival: {every: 1s}", ALL)
        .without_control()
        .worker(|connection| live(connection, Way::Restless));
    let error = prepared.run().expect_err("time cannot pass").to_string();
    assert!(
        error.contains("copy 1 of the worker") && error.contains("tokio::time::sleep"),
        "{error}"
    );
}

#[test]
fn workers_are_for_messages_and_messages_for_workers() {
    let calls = Harness::from_yaml(
        "version: 1
name: calls
provider: {api: queue}
workload: {call: do_work, operations: 1, input: {order: a, amount: 5}}
expect: [no_double_charges]
",
    )
    .expect("a right scenario");
    let error = right(&calls).run().expect_err("nothing is handed out").to_string();
    assert!(error.contains("`deliver: {queue: messages}`"), "{error}");
    let handed = harness("[]", "", ALL).run(|_, _| async { Outcome::succeeded() });
    let error = handed.expect_err("it is no worker").to_string();
    assert!(error.contains("`Harness::worker`"), "{error}");
}

#[test]
fn a_worker_may_hold_what_stays_on_its_thread() {
    let judged = harness("[]", "", ALL)
        .worker(|connection| {
            let handled = Rc::new(Cell::new(0));
            async move {
                loop {
                    let Some(message) = receive(&connection).await else {
                        sleep(Duration::from_secs(1)).await;
                        continue;
                    };
                    handled.set(handled.get() + 1);
                    work(&connection, &message).await;
                    delete(&connection, &message).await;
                    connection.log(&format!("number {}", handled.get()));
                }
            }
        })
        .run()
        .expect("it runs");
    let claims = judged.trace.operations().flat_map(|(id, _)| judged.trace.submits_of(id));
    let all = claims.flat_map(|(_, submit)| judged.trace.claims(submit));
    assert!(all.into_iter().all(|claim| claim.claim == Claim::Succeeded));
    assert_eq!(judged.trace.outputs().last().map(|line| &*line.text), Some("number 6"));
}
