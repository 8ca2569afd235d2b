//! `no_phantom_success`: what a client claims done is done.
//!
//! **Invariant:** looks at the ledger at the end of the run only, so work that was still in progress
//! when the client made its claim counts as done.

use brownout_provider::document::At;
use brownout_provider::event::Claim;

use super::support::{NoParameters, bare, events_of, means, schema, unclaimed, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{OperationId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_phantom_success",
    summary: "What the client claims done is done.",
    headline: "were reported done and never were",
    rule: "A claim of `succeeded` implies a live effect of the operation at the end of the run (for reads: \
           a usable answer), or one that was undone at the wish of an operation's own input.",
    exercised_by: "An operation with a claim whose effect is missing.",
    parameters: &[],
    tolerates: "Success claimed while an earlier request of the operation was still in progress; an \
                effect that another operation undid.",
    cure: "Take nothing for success but an answer that says so: check the status, read the body, and look \
           for the fields that prove it. An exception that was caught is no success.",
    example: "no_phantom_success",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoPhantomSuccess),
};

#[derive(Debug)]
struct NoPhantomSuccess;

impl Invariant for NoPhantomSuccess {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations() {
            if !trace.is_settled(id) || trace.is_done(id) {
                continue;
            }
            let claims: Vec<_> =
                trace.submits_of(id).filter_map(|(_, one)| trace.final_claim(one)).collect();
            exercised += usize::from(!claims.is_empty());
            if let Some(claim) = claims.iter().find(|claim| claim.claim == Claim::Succeeded) {
                violations.push(violation(trace, id, claim.seq));
            }
        }
        let why_not = unclaimed(trace, "every operation with a claim had its effect");
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.failure && !means.hang {
            let why = "no rule of this scenario keeps an operation from being done";
            unlikely(
                at,
                KIND.name,
                why,
                "inject: {malformed: {kind: error_in_200, at: before_commit}}",
            );
        }
    }
}

fn violation(trace: &Trace, id: OperationId, claim: u32) -> Violation {
    let attempts: Vec<_> = trace.attempts_of(id).map(|(id, _)| id).collect();
    let missing =
        if trace.wants_effect(id) { "has no live effect" } else { "got no usable answer" };
    let message = format!(
        "the client claimed `succeeded`, and the operation {missing} after {}",
        plural(attempts.len(), "request")
    );
    let evidence = attempts.iter().flat_map(|id| events_of(trace, *id)).chain([claim]);
    Violation::new(trace, id, message, evidence)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &str) -> String {
        verdict("no_phantom_success", &Value::Null, lines)
    }

    const REFUSED: &str = r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":1,"event":"request_received","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":500}"#;
    const SUCCEEDED: &str = r#"{"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;

    #[test]
    fn success_without_an_effect_is_a_phantom() {
        assert_eq!(check(&format!("{REFUSED}\n{SUCCEEDED}")), "failed op-0001");
        assert_eq!(
            check(&format!("{REFUSED}\n{}", SUCCEEDED.replace("succeeded", "failed"))),
            "passed"
        );
    }

    #[test]
    fn success_without_a_single_request_is_a_phantom() {
        let lines = format!(
            "{}\n{SUCCEEDED}\n{}",
            r#"{"at_us":0,"event":"operation_submitted"}"#,
            r#"{"at_us":10,"event":"request_received","request":1,"operation":"op-0002"}"#
        );
        assert_eq!(check(&lines), "failed op-0001");
    }

    #[test]
    fn where_every_effect_exists_nothing_is_exercised() {
        let done = r#"{"at_us":1,"event":"effect_committed","request":1}"#;
        assert_eq!(check(&format!("{REFUSED}\n{done}\n{SUCCEEDED}")), "not exercised");
    }

    #[test]
    fn success_claimed_before_a_duplicate_in_flight_was_done_is_not_accused() {
        let late = r#"{"at_us":50,"event":"effect_committed","request":1}"#;
        assert_eq!(check(&format!("{REFUSED}\n{SUCCEEDED}\n{late}")), "not exercised");
    }

    #[test]
    fn an_effect_that_another_operation_undid_is_not_accused_and_one_undone_by_itself_is() {
        let undone = |by: &str| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":1,"event":"effect_committed","request":1}}
                {SUCCEEDED}
                {{"at_us":20,"event":"request_received","request":2,"operation":"{by}","route":"refund_charge","unsafe":false}}
                {{"at_us":20,"event":"effect_reversed","request":2,"operation":"{by}"}}"#
            )
        };
        assert_eq!(check(&undone("op-0002")), "not exercised");
        assert_eq!(check(&undone("op-0001")), "failed op-0001");
    }

    #[test]
    fn a_refund_that_was_asked_for_is_done_when_it_undid_something() {
        let lines = r#"{"at_us":0,"event":"effect_committed","request":9,"operation":"op-0001"}
            {"at_us":1,"event":"operation_submitted","operation":"op-0002","call":"refund_charge"}
            {"at_us":2,"event":"request_received","request":2,"operation":"op-0002","route":"refund_charge","unsafe":false}
            {"at_us":2,"event":"effect_reversed","request":2,"operation":"op-0002"}
            {"at_us":3,"event":"operation_finished","operation":"op-0002","claim":"succeeded"}"#;
        assert_eq!(check(lines), "not exercised");
        let part = lines
            .replace(r#""event":"effect_reversed","#, r#""event":"effect_reversed","amount":1,"#);
        assert_eq!(check(&part), "not exercised", "a part of it is what was asked for");
        let nothing = lines.replace("effect_reversed", "rate_limited");
        assert_eq!(check(&nothing), "failed op-0002");
    }
}
