//! Example clients in Rust, each on a popular stack, and what brownout finds about them in virtual time:
//! the names of the tests say it.
//!
//! They read as a user's own tests would: a scenario, a client, and what is expected of the verdict.

mod hyper_util;
mod reqwest_loop;
mod reqwest_retry;
mod tower_retry;

use brownout::verdict::InvariantVerdict;
use brownout::{Harness, Judged, Operation};

/// A charge whose answers go through these faults, in virtual time.
fn charging(faults: &str, expect: &str) -> Harness {
    let text = format!(
        "version: 1
name: rust-client
provider: {{api: payments}}
faults: [{faults}]
workload:
  call: create_charge
  operations: 3
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  deadline: 10m
expect: [{expect}]
"
    );
    Harness::from_yaml(&text).expect("a right scenario").virtual_time()
}

/// The charge is done and its answer is lost.
const LOST: &str = "{name: lost, when: {attempt: 1}, inject: {reset: {at: after_commit}}}";
/// The provider is busy for a minute, and says so.
const BUSY: &str =
    "{name: busy, when: {attempt: 1}, inject: {status: {code: 503, retry_after: 60s}}}";
/// The provider never answers.
const MUTE: &str = "{name: mute, when: {attempt: 1}, inject: {hang: {at: after_commit}}}";
/// The provider refuses for good.
const REFUSED: &str = "{name: refused, when: {attempt: 1}, inject: {status: {code: 400}}}";

fn charge_url(operation: &Operation) -> String {
    format!("{}/v1/charges", operation.url)
}

/// True when the invariant was exercised and violated.
fn fails(judged: &Judged, invariant: &str) -> bool {
    let one = judged.invariant(invariant).unwrap_or_else(|| panic!("{invariant} is not expected"));
    assert_ne!(one.verdict, InvariantVerdict::NotExercised, "{}", judged.report());
    one.verdict == InvariantVerdict::Failed
}
