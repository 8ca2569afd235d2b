//! What a client says: claims that are cleared up later, and events of `tracing` as its output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use brownout::{Harness, Outcome};

/// Three orders; the second is unknown to the client.
const THREE: &str = "version: 1
name: three-orders
provider: {api: payments}
workload:
  call: create_charge
  operations: 3
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
expect:
  - no_double_charges
  - no_secrets_in_output
";

fn harness() -> Harness {
    Harness::from_yaml(THREE).expect("a right scenario").virtual_time().without_control()
}

/// The first succeeds, the second is unknown, and the third fails; nothing is sent.
fn claim(n: u64) -> Outcome {
    match n {
        1 => Outcome::succeeded(),
        2 => Outcome::unknown("it timed out"),
        _ => Outcome::failed("it was declined"),
    }
}

#[test]
fn only_what_is_unknown_is_asked_about_and_replaced() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let harness = harness().reconcile(move |operation, connection| {
        count.fetch_add(1, Ordering::Relaxed);
        connection.log(&format!("what became of {}?", operation.id));
        async { Outcome::failed("nobody has ever heard of it") }
    });
    let judged = harness.run(|operation, _| async move { claim(operation.n) }).expect("it runs");
    let operations = judged.result.operations;
    assert_eq!((operations.succeeded, operations.failed, operations.unknown), (1, 2, 0));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let said: Vec<&str> = judged.trace.outputs().iter().map(|line| &*line.text).collect();
    assert_eq!(said, ["what became of op-0002?"]);
}

#[test]
fn who_finds_nothing_out_leaves_it_unknown_and_does_not_hold_up_the_run() {
    let harness = harness().reconcile(|_, connection| async move {
        connection.crash().await;
        Outcome::succeeded()
    });
    let judged = harness.run(|operation, _| async move { claim(operation.n) }).expect("it runs");
    assert_eq!(judged.result.operations.unknown, 1);
}

#[test]
fn events_of_tracing_are_output_of_their_operation_and_secrets_in_them_are_found() {
    let judged = harness().run(|operation, _| async move {
        tracing::info!(target: "shop", order = operation.n, "charging");
        tracing::debug!(target: "shop", "not for production");
        if operation.n == 3 {
            tracing::error!(target: "shop", "refused: {}", operation.api_key);
        }
        claim(operation.n)
    });
    let judged = judged.expect("it runs");
    let outputs = judged.trace.outputs();
    let said: Vec<&str> = outputs.iter().map(|line| &*line.text).collect();
    assert_eq!(said[..2], ["INFO shop: charging order=1", "INFO shop: charging order=2"]);
    assert_eq!(said.len(), 4);
    let secrets = judged.invariant("no_secrets_in_output").expect("it is expected");
    assert_eq!(secrets.violations.len(), 1, "{said:?}");
    assert_eq!(secrets.violations[0].operation.as_deref(), Some("op-0003"));
}
