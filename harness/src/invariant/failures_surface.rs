//! `failures_surface`: what cannot have been done is reported, in time, by the client itself.
//!
//! **Invariant:** a claim that the driver wrote is silence of the client.

use brownout_provider::document::At;
use brownout_provider::event::{Claim, ClaimBy};
use brownout_provider::units::in_words;

use super::support::{
    NoParameters, READS_CLAIMS, bare, events_of, is_driven, is_only_slow, means, schema, unclaimed,
    unlikely,
};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "failures_surface",
    summary: "An operation that cannot have been done is reported as failed or unknown, in time.",
    headline: "failed without a word",
    rule: "An operation that cannot have succeeded (all its attempts failed, and it has no effect) is \
           claimed `failed` or `unknown` by the client itself before its deadline.",
    exercised_by: "An operation of which all attempts failed.",
    parameters: &[],
    tolerates: "A claim up to one second late on the real clock; an event that was answered with something else \
                than success, which is a report.",
    cure: "Let every way out of the retry loop end in an error that reaches the caller, and give the \
           whole operation, waits included, less time than the caller has.",
    why: "A failure that is swallowed looks like an empty result: the user sees nothing, and nobody is \
          called.",
    faults: &["permanent_error", "status", "rate_limited", "malformed", "deprecated"],
    without_a_fault: "",
    modes: &[READS_CLAIMS],
    example: "failures_surface",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, FailuresSurface),
};

#[derive(Debug)]
struct FailuresSurface;

impl Invariant for FailuresSurface {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations().filter(|(id, _)| cannot_have_succeeded(trace, *id)) {
            for (_, submit) in trace.submits_of(id) {
                let Some(is_wrong) = judge(trace, submit) else { continue };
                exercised += 1;
                violations.extend(is_wrong);
            }
        }
        let why_not = "of every operation with a claim some attempt succeeded";
        Judgement::new(exercised, violations, unclaimed(trace, why_not))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.failure && !means.hang {
            let why = "no rule of this scenario makes every attempt of an operation fail";
            unlikely(at, KIND.name, why, "inject: {status: {code: 503}}");
        }
    }
}

fn cannot_have_succeeded(trace: &Trace, id: OperationId) -> bool {
    let mut tries = trace.tries_of(id).peekable();
    tries.peek().is_some()
        && tries.all(|(id, _)| trace.failed(id))
        && trace.effects_of(id).next().is_none()
        && !trace.is_done(id)
}

/// `None` when nothing can be said of the submit, else the violation, if it is one.
fn judge(trace: &Trace, submit: &Submit) -> Option<Option<Violation>> {
    let claim = trace.final_claim(submit);
    let attempts: Vec<RequestId> = trace.tries_of(submit.operation).map(|(id, _)| id).collect();
    let tried = match attempts.len() {
        1 => "the only attempt".to_owned(),
        2 => "both attempts".to_owned(),
        count => format!("all {count} attempts"),
    };
    let evidence = attempts.iter().flat_map(|id| events_of(trace, *id));
    let found = |message: String, more: Option<u32>| {
        Some(Violation::new(trace, submit.operation, message, evidence.chain(more)))
    };
    let Some(claim) = claim else {
        let submitted = submit.submitted.as_ref()?;
        if !is_driven(trace) || !trace.is_whole() || is_only_slow(trace, submit) {
            return None;
        }
        if trace.was_turned_down(submit.operation) {
            return Some(None);
        }
        let driver = trace.claims(submit).iter().find(|claim| claim.by == ClaimBy::Driver);
        let message = format!(
            "{tried} failed, and the client said nothing within {}",
            in_words(submitted.deadline_us)
        );
        return Some(found(message, driver.map(|claim| claim.seq)));
    };
    if claim.claim == Claim::Succeeded && trace.stood_in(submit.operation, claim) {
        return Some(None);
    }
    if claim.claim == Claim::Succeeded {
        let message = format!("{tried} failed, and the client claimed `succeeded`");
        return Some(found(message, Some(claim.seq)));
    }
    // What is said in time surfaces, whether or not it is put more exactly later.
    let first = trace.claims(submit).iter().find(|one| one.by == ClaimBy::Client)?;
    let late = trace.gives_up_at_us(submit).and_then(|gives_up_at_us| {
        let latest = gives_up_at_us.saturating_add(trace.upper_slack_us());
        (first.at_us > latest).then(|| first.at_us.saturating_sub(gives_up_at_us))
    });
    Some(late.and_then(|late| {
        let message = format!("{tried} failed, and the client said so {} too late", in_words(late));
        found(message, Some(first.seq))
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict, verdict_on_real_clock};
    use crate::trace::testing::{trace, trace_with};

    fn check(lines: &str) -> String {
        verdict("failures_surface", &Value::Null, lines)
    }

    const HOPELESS: &str = r#"{"at_us":0,"event":"operation_submitted","deadline_us":1000}
        {"at_us":1,"event":"request_received","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":500}"#;

    #[test]
    fn a_failure_is_reported_by_the_client_itself() {
        let claim = |claim: &str| {
            let line = format!(r#"{{"at_us":9,"event":"operation_finished",{claim}}}"#);
            check(&format!("{HOPELESS}\n{line}"))
        };
        assert_eq!(claim(r#""claim":"failed""#), "passed");
        assert_eq!(claim(r#""claim":"unknown""#), "passed");
        assert_eq!(claim(r#""claim":"succeeded""#), "failed op-0001");
        assert_eq!(claim(r#""claim":"unknown","by":"driver""#), "failed op-0001");
    }

    #[test]
    fn a_claim_after_the_deadline_is_too_late_with_a_second_of_grace_on_the_real_clock() {
        let late = |at: u64| {
            let line = format!(r#"{{"at_us":{at},"event":"operation_finished","claim":"failed"}}"#);
            format!("{HOPELESS}\n{line}")
        };
        assert_eq!(check(&late(1_000)), "passed");
        assert_eq!(check(&late(1_001)), "failed op-0001");
        assert_eq!(
            verdict_on_real_clock("failures_surface", &Value::Null, &late(1_001_000)),
            "passed"
        );
        assert_eq!(
            verdict_on_real_clock("failures_surface", &Value::Null, &late(1_001_001)),
            "failed op-0001"
        );
    }

    #[test]
    fn what_is_said_in_time_may_be_put_more_exactly_later() {
        let said = |claim: &str, at: u64| {
            format!(r#"{{"at_us":{at},"event":"operation_finished","claim":"{claim}"}}"#)
        };
        let both = |first_us| {
            format!("{HOPELESS}\n{}\n{}", said("unknown", first_us), said("failed", 5_000))
        };
        assert_eq!(check(&both(900)), "passed");
        assert_eq!(check(&both(1_001)), "failed op-0001");
    }

    #[test]
    fn reads_are_no_attempts_at_an_effect() {
        let read = r#"{"at_us":8,"event":"request_received","request":2,"route":"list_charges","unsafe":false}
            {"at_us":9,"event":"response_sent","request":2,"status":200}
            {"at_us":10,"event":"operation_finished","claim":"succeeded"}"#;
        assert_eq!(
            message("failures_surface", &Value::Null, &trace(&format!("{HOPELESS}\n{read}"))),
            "the only attempt failed, and the client claimed `succeeded`"
        );
    }

    #[test]
    fn a_refund_that_fails_is_an_attempt_at_what_was_asked_for() {
        let apis = json!({"provider": {"routes": [
            {"name": "refund_charge", "method": "POST", "path": "/v1/refunds", "reverses": {"kind": "charge"}}]}});
        let lines = HOPELESS
            .replace(r#""deadline_us":1000"#, r#""deadline_us":1000,"call":"refund_charge""#)
            .replace(r#""request":1}"#, r#""request":1,"route":"refund_charge"}"#);
        let check = |claim: &str| {
            let claim = format!(r#"{{"at_us":9,"event":"operation_finished","claim":"{claim}"}}"#);
            let trace = trace_with(&json!({"apis": apis}), &format!("{lines}\n{claim}"));
            in_short(&invariant("failures_surface", &Value::Null).check(&trace))
        };
        assert_eq!(
            (check("failed"), check("succeeded")),
            ("passed".to_owned(), "failed op-0001".to_owned())
        );
    }

    #[test]
    fn an_operation_that_may_have_succeeded_exercises_nothing() {
        let good = r#"{"at_us":8,"event":"request_received","request":2,"attempt":2}
            {"at_us":9,"event":"response_sent","request":2,"status":201}"#;
        assert_eq!(check(&format!("{HOPELESS}\n{good}")), "not exercised");
        let read = r#"{"at_us":8,"event":"request_received","request":2,"route":"list_charges","unsafe":false}
            {"at_us":9,"event":"response_sent","request":2,"status":200}"#;
        assert_eq!(check(&format!("{HOPELESS}\n{read}")), "failed op-0001", "a read is no success");
        let done = r#"{"at_us":1,"event":"effect_committed","request":1}"#;
        assert_eq!(check(&format!("{HOPELESS}\n{done}")), "not exercised");
    }

    #[test]
    fn an_event_that_is_turned_down_is_reported() {
        let check = |status: u16| {
            let lines = format!(
                r#"{HOPELESS}
                {{"at_us":1,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"op-0001"}}
                {{"at_us":3,"event":"webhook_answered","provider":"provider","delivery":1,"status":{status}}}"#
            );
            let scenario = json!({"workload": {"deliver": {"webhook": {"path": "/hooks"}}}});
            let trace = trace_with(&json!({"scenario": scenario}), &lines);
            in_short(&invariant("failures_surface", &Value::Null).check(&trace))
        };
        assert_eq!((check(500), check(204)), ("passed".to_owned(), "failed op-0001".to_owned()));
    }
}
