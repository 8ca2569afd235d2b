//! `nothing_after_claim`: when the client has given its answer, it stops.
//!
//! **Invariant:** only the client's own final claim ends an operation; a deadline that the driver
//! enforced does not.

use brownout_provider::document::At;
use brownout_provider::event::Claim;
use brownout_provider::units::in_words;

use super::support::{NoParameters, READS_CLAIMS, bare, means, schema, unclaimed, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Request, RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "nothing_after_claim",
    summary: "After its final claim the client sends nothing more that could do the work.",
    headline: "went on after they had been reported as over",
    rule: "No unsafe attempt of an operation and submit, other than one that undoes something, arrives \
           more than the reaction time (250 ms on the real clock, 0 in virtual time) after the client's \
           own final claim about that submit.",
    exercised_by: "A claim of `failed`.",
    parameters: &[],
    tolerates: "Reads; refunds and the like; a repeat that the HTTP stack made by itself; whatever \
                follows an `unknown`, which may still be cleared up; work that the client was given again.",
    cure: "Cancel what is in flight and every scheduled retry before you report an outcome: a time-out \
           around a retry loop must end the loop, not only the wait for it.",
    why: "A request that goes out after the caller heard \"failed\" takes effect behind everybody's back, \
          while the caller already does it another way.",
    faults: &["hang", "drip", "latency", "status", "reset"],
    without_a_fault: "",
    modes: &[READS_CLAIMS],
    example: "nothing_after_claim",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NothingAfterClaim),
};

#[derive(Debug)]
struct NothingAfterClaim;

impl Invariant for NothingAfterClaim {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (_, submit) in trace.submits() {
            let Some(claim) = trace.final_claim(submit) else { continue };
            exercised += usize::from(claim.claim == Claim::Failed);
            if claim.claim == Claim::Unknown {
                continue;
            }
            let late: Vec<&Request> = trace
                .attempts_of(submit.operation)
                .filter(|(id, request)| counts(trace, submit, *id, request))
                .filter(|(_, request)| {
                    request.at_us > claim.at_us.saturating_add(trace.reaction_us())
                        && !is_for_another(trace, submit, request)
                        && !trace.was_given_again(submit.operation, claim.seq, request.seq)
                })
                .map(|(_, request)| request)
                .collect();
            if let Some(first) = late.first() {
                let claimed = if claim.claim == Claim::Failed { "failed" } else { "succeeded" };
                let message = format!(
                    "the client claimed `{claimed}` and sent {} {} later",
                    trace.request_in_words(first),
                    in_words(first.at_us.saturating_sub(claim.at_us))
                );
                let evidence = late.iter().map(|request| request.seq).chain([claim.seq]);
                violations.push(Violation::new(trace, submit.operation, message, evidence));
            }
        }
        let why_not = unclaimed(trace, "the client claimed no operation as failed");
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.failure && !means.hang {
            let why = "no rule of this scenario makes an operation fail";
            unlikely(at, KIND.name, why, "inject: {hang: {at: before_commit}}");
        }
    }
}

fn counts(trace: &Trace, submit: &Submit, id: RequestId, request: &Request) -> bool {
    request.submit == submit.number
        && request.effectful
        && !trace.is_transport_repeat(id)
        && !trace.is_reversal(request)
}

/// True where the request may belong to another submit of the operation that is at work.
fn is_for_another(trace: &Trace, submit: &Submit, request: &Request) -> bool {
    let before_us = request.at_us.saturating_sub(trace.reaction_us());
    let is_at_work = |at_us: u64| trace.submits_at_work(submit.operation, at_us).next().is_some();
    trace.has_unnamed_submits(submit.operation)
        && (is_at_work(request.at_us) || is_at_work(before_us))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace_with;

    const CLAIMED: &str = r#"{"at_us":1,"event":"request_received","request":1,"reused":true}
        {"at_us":9,"event":"operation_finished","claim":"failed"}"#;

    fn check(then: &str) -> String {
        verdict("nothing_after_claim", &Value::Null, &format!("{CLAIMED}\n{then}"))
    }

    #[test]
    fn a_message_that_comes_again_is_worked_on_again() {
        let moved = r#"{"at_us":50,"event":"message_moved","request":9,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received"}"#;
        let again = r#"{"at_us":90,"event":"request_received","request":2,"attempt":2}"#;
        let check = |between: &str| {
            let scenario = json!({"workload": {"deliver": {"queue": "messages"}}});
            let lines = format!("{CLAIMED}\n{between}\n{again}");
            let trace = trace_with(&json!({"scenario": scenario}), &lines);
            in_short(&invariant("nothing_after_claim", &Value::Null).check(&trace))
        };
        assert_eq!((check(""), check(moved)), ("failed op-0001".to_owned(), "passed".to_owned()));
    }

    #[test]
    fn a_zombie_retry_is_accused_and_silence_passes() {
        assert_eq!(check(""), "passed");
        let zombie = r#"{"at_us":90,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(check(zombie), "failed op-0001");
        assert_eq!(
            check(&zombie.replace(r#""attempt":2"#, r#""submit":2"#)),
            "passed",
            "another submit"
        );
    }

    #[test]
    fn only_the_clients_final_claim_ends_an_operation() {
        let after = |claim: &str| {
            let claimed = CLAIMED.replace(r#""claim":"failed""#, claim);
            let zombie = r#"{"at_us":90,"event":"request_received","request":2,"attempt":2}"#;
            verdict("nothing_after_claim", &Value::Null, &format!("{claimed}\n{zombie}"))
        };
        assert_eq!(after(r#""claim":"unknown""#), "not exercised");
        assert_eq!(after(r#""claim":"unknown","by":"driver""#), "not exercised");
        assert_eq!(after(r#""claim":"succeeded""#), "failed op-0001");
    }

    #[test]
    fn reads_reversals_and_transport_repeats_are_not_accused() {
        let read = r#"{"at_us":90,"event":"request_received","request":2,"route":"get_charge","unsafe":false}"#;
        assert_eq!(check(read), "passed");
        let refund = r#"{"at_us":90,"event":"request_received","request":2,"route":"refund_charge"}
            {"at_us":91,"event":"effect_reversed","request":2}"#;
        assert_eq!(check(refund), "passed");
        let repeat = r#"{"at_us":9,"event":"connection_ended","request":1,"by":"provider"}
            {"at_us":10,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(check(repeat), "passed");
    }

    #[test]
    fn what_was_on_its_way_on_the_real_clock_is_not_accused() {
        let at = |at: u64| {
            let line =
                format!(r#"{{"at_us":{at},"event":"request_received","request":2,"attempt":2}}"#);
            let lines = format!("{CLAIMED}\n{line}");
            verdict_on_real_clock("nothing_after_claim", &Value::Null, &lines)
        };
        assert_eq!(at(250_009), "passed");
        assert_eq!(at(250_010), "failed op-0001");
    }

    #[test]
    fn a_route_undoes_only_where_the_api_of_its_provider_says_so() {
        let routes = |undoes: bool| json!({"routes": [{"name": "close", "reverses": undoes}]});
        let run = json!({
            "scenario": {"providers": {"primary": {"api": "one"}, "backup": {"api": "two"}}},
            "apis": {"one": routes(true), "two": routes(false)},
        });
        let at = |provider: &str| {
            let late = format!(
                r#"{{"at_us":90,"event":"request_received","request":2,"route":"close","provider":"{provider}"}}"#
            );
            let trace = trace_with(&run, &format!("{CLAIMED}\n{late}"));
            in_short(&invariant("nothing_after_claim", &Value::Null).check(&trace))
        };
        assert_eq!(at("primary"), "passed");
        assert_eq!(at("backup"), "failed op-0001");
    }
}
