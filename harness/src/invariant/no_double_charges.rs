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
                one effect for each of its items; steps that ask for one each.",
    cure: "Send one idempotency key per operation and repeat it with every attempt, also after a restart; \
           where the API has no keys, do not repeat a request whose answer was lost before you have read \
           back whether it was done.",
    why: "A customer who pays twice complains to the bank, and every charge too many has to be found and \
          paid back by hand.",
    faults: &[
        "reset",
        "hang",
        "truncate",
        "close",
        "status",
        "duplicate_request",
        "delayed_duplicate",
        "ignore_key",
        "forget_key",
        "kill_client",
        "stale_read",
    ],
    without_a_fault: "two submits of one operation (`submits: 2`)",
    modes: &[],
    example: "no_double_charges",
    bare: true,
    needs_identity: true,
    needs_separation: false,
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &str) -> String {
        verdict("no_double_charges", &Value::Null, lines)
    }

    const ATTEMPTS: &str = r#"{"at_us":0,"event":"request_received","request":1}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":9,"event":"request_received","request":2,"attempt":2}"#;

    #[test]
    fn one_effect_after_two_attempts_is_right() {
        assert_eq!(check(ATTEMPTS), "passed");
    }

    #[test]
    fn two_effects_of_one_operation_are_a_double_charge() {
        let second = r#"{"at_us":9,"event":"effect_committed","request":2,"effect":2}"#;
        assert_eq!(check(&format!("{ATTEMPTS}\n{second}")), "failed op-0001");
    }

    #[test]
    fn a_file_that_is_uploaded_again_because_it_was_spoilt_is_uploaded_once() {
        let asked = r#"{"at_us":0,"event":"operation_submitted","input":{"content":"abc"}}
            {"at_us":0,"event":"request_received","request":1}"#;
        let kept = |effect: u32, digest: &str| {
            format!(
                r#"{{"at_us":{effect},"event":"request_received","request":{0},"attempt":{0}}}
                {{"at_us":{effect},"event":"effect_committed","request":{0},"effect":{effect},"digest":"{digest}7816bf8f01cfea414140de5dae2223"}}"#,
                effect + 1
            )
        };
        let (right, spoilt, again) = (kept(1, "ba"), kept(2, "0a"), kept(3, "ba"));
        assert_eq!(check(&format!("{asked}\n{right}\n{spoilt}")), "passed");
        assert_eq!(check(&format!("{asked}\n{right}\n{spoilt}\n{again}")), "failed op-0001");
    }

    #[test]
    fn two_effects_over_submits_and_providers_are_a_double_charge() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1,"provider":"a"}
            {"at_us":1,"event":"effect_committed","request":1,"provider":"a"}
            {"at_us":9,"event":"request_received","request":1,"provider":"b","submit":2}
            {"at_us":9,"event":"effect_committed","request":1,"provider":"b","submit":2}"#;
        assert_eq!(check(lines), "failed op-0001");
    }

    #[test]
    fn a_gateways_repeat_of_a_request_without_a_key_counts() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1}
            {"at_us":2,"event":"request_received","request":2,"by":"provider"}
            {"at_us":2,"event":"effect_committed","request":2,"effect":2,"by":"provider"}"#;
        assert_eq!(check(lines), "failed op-0001");
        assert_eq!(check(&lines.lines().take(3).collect::<Vec<_>>().join("\n")), "passed");
    }

    #[test]
    fn one_attempt_with_its_answer_exercises_nothing() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1}
            {"at_us":2,"event":"response_sent","request":1,"status":201,"effects":[1]}"#;
        assert_eq!(check(lines), "not exercised");
        let lost = lines.replace("response_sent", "connection_ended");
        assert_eq!(check(&lost), "passed", "an answer that was lost does");
    }

    #[test]
    fn a_duplicate_that_was_refunded_is_not_accused() {
        let undone = r#"{"at_us":9,"event":"effect_committed","request":2,"effect":2}
            {"at_us":12,"event":"request_received","request":3,"route":"refund_charge","unsafe":false}
            {"at_us":12,"event":"effect_reversed","request":3,"effect":2}"#;
        assert_eq!(check(&format!("{ATTEMPTS}\n{undone}")), "passed");
    }

    #[test]
    fn two_operations_with_equal_input_are_not_accused() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":0,"event":"effect_committed","request":1}
            {"at_us":1,"event":"request_received","request":2,"operation":"op-0002"}
            {"at_us":1,"event":"effect_committed","request":2,"effect":2,"operation":"op-0002"}"#;
        assert_eq!(check(lines), "passed");
    }

    #[test]
    fn the_items_of_a_batch_are_not_accused_and_more_than_them_are() {
        let batch = r#"{"at_us":0,"event":"operation_submitted","input":{"lines":["a","b"]}}
            {"at_us":1,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1,"effect":1,"subject":"a"}
            {"at_us":1,"event":"effect_committed","request":1,"effect":2,"subject":"b"}
            {"at_us":2,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(check(batch), "passed");
        let again =
            r#"{"at_us":2,"event":"effect_committed","request":2,"effect":3,"subject":"b"}"#;
        assert_eq!(check(&format!("{batch}\n{again}")), "failed op-0001");
        let third = again.replace(r#""b""#, r#""c""#);
        assert_eq!(check(&format!("{batch}\n{third}")), "failed op-0001", "three of two items");
    }

    #[test]
    fn a_batch_whose_items_have_no_names_is_not_accused() {
        let lines = r#"{"at_us":1,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1,"effect":1}
            {"at_us":1,"event":"effect_committed","request":1,"effect":2}
            {"at_us":2,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(check(lines), "passed");
        let again = r#"{"at_us":2,"event":"effect_committed","request":2,"effect":3}
            {"at_us":2,"event":"effect_committed","request":2,"effect":4}"#;
        assert_eq!(check(&format!("{lines}\n{again}")), "failed op-0001");
    }
}
