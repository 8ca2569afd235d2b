//! `no_phantom_success`: what a client claims done is done.
//!
//! **Invariant:** looks at the ledger at the end of the run only, so work that was still in progress
//! when the client made its claim counts as done.

use brownout_provider::document::At;
use brownout_provider::event::Claim;

use super::support::{
    NoParameters, READS_CLAIMS, bare, events_of, means, schema, unclaimed, unlikely,
};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{ClaimMade, OperationId, Trace};

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
                effect that another operation undid; a read that a cache, or a claim that says `degraded`, \
                stood in for.",
    cure: "Take nothing for success but an answer that says so: check the status, read the body, and look \
           for the fields that prove it. An exception that was caught is no success.",
    why: "Whoever was told that it is done never asks again, so what was never done stays undone.",
    faults: &["status", "malformed", "accept_then_drop", "reset", "partial_batch"],
    without_a_fault: "",
    modes: &[READS_CLAIMS],
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
            let claims: Vec<&ClaimMade> =
                trace.submits_of(id).filter_map(|(_, one)| trace.final_claim(one)).collect();
            exercised += usize::from(!claims.is_empty());
            let is_phantom =
                |claim: &&&ClaimMade| claim.claim == Claim::Succeeded && !trace.stood_in(id, claim);
            if let Some(claim) = claims.iter().find(is_phantom) {
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
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, verdict};
    use crate::trace::testing::trace_with;

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

    /// A read that a service answered, with these words of the claim.
    fn read(claim: &str, attempts: &str, method: &str) -> String {
        let http = json!({"request": {"method": method}});
        let run = json!({"mode": "http", "scenario": {"workload": {"http": http}}});
        let lines = format!(
            r#"{{"at_us":0,"event":"operation_submitted","call":""}}
            {attempts}
            {{"at_us":9,"event":"operation_finished","claim":"succeeded"{claim}}}"#
        );
        let invariant = invariant("no_phantom_success", &Value::Null);
        in_short(&invariant.check(&trace_with(&run, &lines)))
    }

    #[test]
    fn a_cache_and_a_default_that_is_said_to_be_one_stand_in_for_a_read() {
        let failed = r#"{"at_us":1,"event":"request_received","request":1,"unsafe":false,"route":"get_charge"}
            {"at_us":2,"event":"response_sent","request":1,"status":503}"#;
        assert_eq!(read("", failed, "GET"), "failed op-0001");
        assert_eq!(read(r#","degraded":true"#, failed, "GET"), "passed");
        assert_eq!(read("", "", "GET"), "passed", "nothing was asked");
        assert_eq!(read("", "", "POST"), "failed op-0001");
        let work = failed.replace(r#""unsafe":false"#, r#""unsafe":true"#);
        assert_eq!(read(r#","degraded":true"#, &work, "POST"), "failed op-0001");
    }

    #[test]
    fn a_step_that_undoes_what_the_operation_did_is_what_was_asked_for() {
        let lines = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1}
            {"at_us":3,"event":"request_received","request":2,"route":"refund_charge","unsafe":false}
            {"at_us":3,"event":"effect_reversed","request":2}
            {"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;
        let check = |steps: &Value| {
            let run = json!({"scenario": {"workload": {"steps": steps}}});
            in_short(&invariant("no_phantom_success", &Value::Null).check(&trace_with(&run, lines)))
        };
        assert_eq!(check(&json!([{"call": "create_charge"}])), "failed op-0001");
        let both = json!([{"call": "create_charge"}, {"call": "refund_charge"}]);
        assert_eq!(check(&both), "not exercised");
    }
}
