//! `no_double_charges`: nothing that a caller wanted done once is done twice.
//!
//! **Invariant:** the same judgement as `at_most_one_effect`, over every kind of effect.

use brownout_provider::document::At;

use super::support::{NoParameters, bare, schema};
use super::{Invariant, InvariantKind, Judgement, at_most_one_effect};
use crate::scenario::Scenario;
use crate::trace::Trace;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_double_charges",
    summary: "An operation has at most one live effect of any kind: nobody pays twice.",
    headline: "took effect more than once",
    rule: "The committed effects, less those that were undone, are at most one per operation, kind and \
           subject, and at most as many per operation and kind as its input has items; over all \
           attempts, submits, providers and restarts.",
    exercised_by: "An operation with two or more attempts, submits or deliveries, or an answer that was \
                   lost after the commit.",
    parameters: &[],
    tolerates: "Two operations with equal input; a duplicate that was undone by a refund; a batch with \
                one effect for each of its items.",
    cure: "Send one idempotency key per operation and repeat it with every attempt, also after a restart; \
           where the API has no keys, do not repeat a request whose answer was lost before you have read \
           back whether it was done.",
    example: "no_double_charges",
    bare: true,
    needs_identity: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoDoubleCharges),
};

#[derive(Debug)]
struct NoDoubleCharges;

impl Invariant for NoDoubleCharges {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        at_most_one_effect::judge(trace, None)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        at_most_one_effect::check_scenario(scenario, at, KIND.name);
    }
}
