//! A planted bug that needs two faults, found and shrunk in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::drive::loopback::{Call, post_over};
use brownout::harness::{ExploreOptions, Harness, HuntOptions, Prepared};
use brownout::operation::{Operation, Outcome};
use brownout::search::script;
use brownout::search::shrink::one_step_smaller;
use serde_json::json;

/// Rules that name the two faults among others, at 20 operations, 4 at a time.
const SCENARIO: &str = "version: 1
name: planted
seed: 3
provider: {api: payments}
faults:
  - {name: lost, when: {chance: 4%}, inject: {reset: {at: after_commit}}}
  - {name: busy, when: {chance: 4%}, inject: {status: {code: 503, retry_after: 2s}}}
  - {name: conflict, when: {chance: 4%}, inject: {status: {code: 409}}}
  - {name: slow, when: {chance: 10%}, inject: {latency: {uniform: {min: 1ms, max: 900ms}}}}
workload:
  call: create_charge
  operations: 20
  concurrency: 4
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 2h
expect: [no_double_charges, no_phantom_success, no_lost_operations, bounded_retries: {max_attempts: 12}]
";

/// Tries up to ten times with one key; where `planted`, a 409 after a lost answer makes it take a new key.
async fn charge(operation: Operation, connection: Connection, planted: Planted) -> Outcome {
    let url = format!("{}/v1/charges", operation.url);
    let mut key = operation.id.to_string();
    let mut was_lost = false;
    for attempt in 0..10 {
        let call = Call {
            url: &url,
            api_key: &operation.api_key,
            idempotency_key: Some(&key),
            body: &operation.input,
            timeout: Duration::from_secs(30),
        };
        match post_over(&connection, call).await {
            Ok(answer) if answer.status == 201 => return Outcome::succeeded(),
            Ok(answer) => {
                if planted == Planted::Yes && was_lost && answer.status == 409 {
                    key = format!("{key}-{attempt}");
                }
                tokio::time::sleep(answer.retry_after.unwrap_or(Duration::from_secs(1))).await;
            }
            Err(_) => {
                was_lost = true;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    Outcome::unknown("ten attempts failed")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Yes,
    No,
}

/// The client, and how many operations were handed to it.
fn client(scenario: &str, planted: Planted) -> (Prepared, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let harness = Harness::from_yaml(scenario).expect("a right scenario").virtual_time();
    let prepared = harness.prepare(move |operation: Operation, connection| {
        count.fetch_add(1, Ordering::Relaxed);
        charge(operation, connection, planted)
    });
    (prepared, asked)
}

#[test]
fn a_bug_that_needs_two_faults_is_shrunk_to_them_and_to_one_operation() {
    let (prepared, _) = client(SCENARIO, Planted::Yes);
    let hunted = prepared.hunt(&HuntOptions::default()).expect("it runs");
    let found = hunted.found.expect("it is found within 2,000 runs");
    println!(
        "found in {} runs, {} operations and {} faults; shrunk by {} runs",
        hunted.runs, found.first.0, found.first.1, found.smaller_tried
    );
    assert_eq!(found.invariant, "no_double_charges");
    assert!(found.is_minimal);
    assert_eq!((found.case.load.operations, found.case.load.concurrency), (1, 1));
    assert_eq!(
        script::to_value(&found.case.script),
        json!([
            {"operation": 1, "route": "create_charge", "attempt": 1,
             "inject": {"reset": {"at": "after_commit"}}},
            {"operation": 1, "route": "create_charge", "attempt": 2, "inject": {"status": {"code": 409}}},
        ])
    );
    // Whatever part of it is taken away, the client holds.
    let smaller = one_step_smaller(&found.case);
    assert!(smaller.len() > 3);
    for case in smaller {
        let Ok(scenario) = case.scenario() else { continue };
        let judged = prepared.run_scenario(&Arc::new(scenario), case.seed).expect("it runs");
        let held = judged.result.invariants.iter().all(|one| one.violations.is_empty());
        assert!(held, "{:?}: {:?}", case.script, judged.result);
    }
}

#[test]
fn the_file_of_what_was_found_breaks_the_client_again() {
    let (prepared, _) = client(SCENARIO, Planted::Yes);
    let found = prepared.hunt(&HuntOptions::default()).expect("it runs").found.expect("found");
    let file = found.case.to_yaml(&found.label("planted-min", &[]));
    assert!(
        file.starts_with("# The smallest schedule found that breaks `no_double_charges`.\n"),
        "{file}"
    );
    assert!(file.contains("# What happened to `op-0001`:\n"), "{file}");
    let (again, _) = client(&file, Planted::Yes);
    let judged = again.run().expect("it runs");
    assert!(judged.result.invariants.iter().any(|one| !one.violations.is_empty()), "{file}");
}

#[test]
fn without_the_bug_nothing_is_found() {
    let (prepared, _) = client(SCENARIO, Planted::No);
    let options = HuntOptions { runs: 400, ..HuntOptions::default() };
    let hunted = prepared.hunt(&options).expect("it runs");
    let script = hunted.found.map(|found| (found.invariant, script::to_value(&found.case.script)));
    assert_eq!(script, None);
    assert_eq!(hunted.doubt, None);
    assert_eq!(hunted.runs, 400);
}

#[test]
fn two_hunts_find_the_same() {
    let hunt = || {
        let (prepared, _) = client(SCENARIO, Planted::Yes);
        let hunted = prepared.hunt(&HuntOptions::default()).expect("it runs");
        let found = hunted.found.expect("found");
        (hunted.runs, found.first, found.smaller_tried, found.case.to_value())
    };
    assert_eq!(hunt(), hunt());
}

fn faults() -> Vec<serde_json::Value> {
    vec![
        json!({"reset": {"at": "after_commit"}}),
        json!({"status": {"code": 409}}),
        json!({"status": {"code": 503}}),
    ]
}

#[test]
fn exploring_finds_the_two_faults_or_says_that_every_schedule_was_survived() {
    let options = ExploreOptions { faults: faults(), depth: 3, ..ExploreOptions::default() };
    let (prepared, _) = client(SCENARIO, Planted::Yes);
    let explored = prepared.explore(&options).expect("it runs");
    assert_eq!(explored.total, 64);
    assert!(!explored.survived);
    assert_eq!(explored.found.expect("it is among them").faults(), 2);

    let (prepared, asked) = client(SCENARIO, Planted::No);
    prepared.control().expect("it runs");
    asked.store(0, Ordering::Relaxed);
    let explored = prepared.explore(&options).expect("it runs");
    assert!(explored.survived, "{:?}", explored.doubt);
    assert_eq!(explored.covered, 64);
    // The first attempt is not faulted: 1; then each of three faults, and so on: 1 + 3 + 9 + 27.
    assert_eq!((explored.runs, asked.load(Ordering::Relaxed)), (40, 40));
}

#[test]
fn several_operations_are_explored_one_after_the_other() {
    let faults = vec![json!({"reset": {"at": "after_commit"}})];
    let options = ExploreOptions { faults, depth: 2, operations: 2, ..ExploreOptions::default() };
    let (prepared, _) = client(SCENARIO, Planted::No);
    let explored = prepared.explore(&options).expect("it runs");
    assert!(explored.survived, "{:?}", explored.doubt);
    // Of the four ways through one operation only three differ: without a first fault there is no second
    // attempt.
    assert_eq!((explored.total, explored.runs), (16, 9));
}
