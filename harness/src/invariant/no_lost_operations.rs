//! `no_lost_operations`: every operation that a caller asked for is accounted for.
//!
//! **Invariant:** a claim that the driver wrote is silence of the client.

use std::collections::BTreeSet;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Claim, ClaimBy, Class};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{
    READS_CLAIMS, events_of, is_driven, is_only_slow, means, schema, too_busy, unlikely,
};
use super::{Demand, Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Delivers, OperationId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_lost_operations",
    summary: "Every operation gets a claim by the client, and what it claims done is done.",
    headline: "were lost",
    rule: "The client itself makes a claim about every submitted operation, and each that it claims \
           `succeeded` has its effect. With `all: true`, the form for queues and batches, every operation \
           that was not permanently rejected for its own content has its effect by the end.",
    exercised_by: "Any strike of a fault, or a refusal by the provider's own limiter.",
    parameters: &[(
        "all",
        "true: every operation must be done by the end, not only accounted for; default false",
    )],
    tolerates: "An operation that was permanently rejected and is reported as failed; an event of which nothing \
                genuine and whole was ever sent, or that was answered with something else than success.",
    cure: "Catch every way in which a call can end (an error status, a lost connection, a body that \
           cannot be read, your own deadline) and report each; to lose no work, try again what may be \
           tried again, with one idempotency key.",
    why: "Work that is lost without a word is missed by the customer first, weeks later, when nothing is \
          left from which to do it again.",
    faults: &[
        "status",
        "rate_limited",
        "reset",
        "hang",
        "malformed",
        "kill_client",
        "partial_batch",
    ],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[READS_CLAIMS],
    example: "no_lost_operations: {all: true}",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// True: every operation must be done by the end, not only accounted for.
    all: Option<bool>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(NoLostOperations { all: raw.all.unwrap_or(false) }))
}

/// What `all: true` demands.
const ALL: Demand = Demand {
    summary: "Every operation that was not permanently rejected has its effect by the end, and a claim by \
              the client.",
    cure: "Try again what may be tried again (a lost answer, 408, 409, 429 and 5xx) with one idempotency \
           key per operation, until it is done, is permanently rejected, or your own deadline is over; \
           give that enough time, and report what you give up.",
};

#[derive(Debug)]
struct NoLostOperations {
    all: bool,
}

impl Invariant for NoLostOperations {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn demand(&self) -> Option<Demand> {
        self.all.then_some(ALL)
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let struck: BTreeSet<Option<OperationId>> = trace
            .strikes()
            .iter()
            .filter_map(|strike| strike.request)
            .chain(trace.requests().filter(|(_, request)| request.limited).map(|(id, _)| id))
            .map(|id| trace.request(id).operation)
            .collect();
        // What strikes at the door meets whoever comes.
        let at_door = trace.strikes().iter().filter(|strike| strike.request.is_none()).count();
        let struck_number = struck.len() + at_door;
        let (mut violations, mut given_up) = (Vec::new(), false);
        // Whether a client works in fair weather is the question of the control run.
        for (id, _) in trace.operations().filter(|_| struck_number > 0) {
            let silent = trace.submits_of(id).filter_map(|(_, submit)| silence(trace, submit));
            let before = violations.len();
            violations.extend(silent);
            violations.extend(empty_claim(trace, id));
            let slow = trace.submits_of(id).any(|(_, submit)| is_only_slow(trace, submit));
            if self.all && !slow && violations.len() == before {
                let undone = undone(trace, id);
                given_up |= undone.is_some();
                violations.extend(undone.filter(|_| !trace.was_too_busy()));
            }
        }
        if given_up && violations.is_empty() {
            let why = too_busy(trace, "an operation was given up");
            return Judgement::new(0, violations, &why);
        }
        Judgement::new(struck_number, violations, "no fault struck")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.strikes && !means.failure {
            let fault = "inject: {status: {code: 503}}";
            unlikely(at, KIND.name, "no rule of this scenario injects a fault", fault);
        }
    }
}

/// The client said nothing about a submit.
fn silence(trace: &Trace, submit: &Submit) -> Option<Violation> {
    let submitted = submit.submitted.as_ref()?;
    if !is_driven(trace) || !trace.is_whole() || trace.final_claim(submit).is_some() {
        return None;
    }
    let operation = submit.operation;
    let is_answered = trace.was_never_told(operation) || trace.was_turned_down(operation);
    if is_only_slow(trace, submit) || is_answered {
        return None;
    }
    let by_driver = trace.claims(submit).iter().find(|claim| claim.by == ClaimBy::Driver);
    let reason = by_driver
        .and_then(|claim| claim.detail)
        .map_or(String::new(), |detail| format!("; the driver noted `{}`", trace.text(detail)));
    let expected = match trace.delivers() {
        Delivers::Messages => {
            "expected the message to be deleted, or given up by its queue, found neither"
        }
        Delivers::Events => {
            "expected the event to be answered with success, or given up, found neither"
        }
        Delivers::Calls => "expected a claim by the client, found none",
    };
    let message = format!("{expected}{reason}");
    let evidence = [Some(submitted.seq), by_driver.map(|claim| claim.seq)];
    Some(Violation::new(trace, submit.operation, message, evidence.into_iter().flatten()))
}

/// The client claimed success for something that was not done.
fn empty_claim(trace: &Trace, id: OperationId) -> Option<Violation> {
    if trace.is_done(id) || !trace.is_settled(id) {
        return None;
    }
    let claim = trace
        .submits_of(id)
        .filter_map(|(_, submit)| trace.final_claim(submit))
        .find(|claim| claim.claim == Claim::Succeeded && !trace.stood_in(id, claim))?;
    let message = "the client claimed `succeeded`, and the operation was never done";
    Some(Violation::new(trace, id, message, attempts_and(trace, id, claim.seq)))
}

/// The operation was not done by the end, and nothing about it forbade it.
fn undone(trace: &Trace, id: OperationId) -> Option<Violation> {
    // That a message cannot be deleted any more says nothing of its work, and that a read finds nothing says it only
    // of who then does not even try.
    let asked: Vec<_> = match trace.tries_of(id).next() {
        Some(_) => trace.tries_of(id).collect(),
        None => trace.attempts_of(id).collect(),
    };
    let rejected = asked.iter().filter(|(_, request)| !request.removes).any(|(_, request)| {
        request.response.is_some_and(|response| {
            response.complete && response.class == Class::Permanent && !response.refuses_key
        })
    });
    let asked_for = trace.submits_of(id).find_map(|(_, submit)| submit.submitted.as_ref());
    let counts = asked_for.is_some() || (!is_driven(trace) && trace.wants_effect(id));
    if !counts || rejected || trace.is_done(id) || trace.was_never_told(id) || !trace.is_whole() {
        return None;
    }
    let attempts = trace.attempts_of(id).count();
    let message = format!(
        "expected the operation to be done by the end, found no effect of it after {}",
        crate::amount::plural(attempts, "request")
    );
    let submitted = asked_for.map(|submitted| submitted.seq);
    let evidence = attempts_and(trace, id, None).chain(submitted);
    Some(Violation::new(trace, id, message, evidence))
}

fn attempts_and(
    trace: &Trace,
    id: OperationId,
    more: impl Into<Option<u32>>,
) -> impl Iterator<Item = u32> {
    trace.attempts_of(id).flat_map(|(id, _)| events_of(trace, id)).chain(more.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, verdict};
    use crate::trace::testing::trace_with;

    fn check(lines: &str) -> String {
        verdict("no_lost_operations", &Value::Null, lines)
    }

    fn check_all(lines: &str) -> String {
        verdict("no_lost_operations", &json!({"all": true}), lines)
    }

    const STRUCK: &str = r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":1,"event":"request_received","request":1}
        {"at_us":1,"event":"fault_injected","request":1}"#;

    #[test]
    fn a_failure_that_is_reported_is_not_lost() {
        let failed = r#"{"at_us":9,"event":"operation_finished","claim":"failed"}"#;
        assert_eq!(check(&format!("{STRUCK}\n{failed}")), "passed");
        assert_eq!(check_all(&format!("{STRUCK}\n{failed}")), "failed op-0001", "all must be done");
    }

    #[test]
    fn a_read_that_finds_nothing_excuses_only_who_then_does_not_try() {
        let read = r#"{"at_us":5,"event":"request_received","request":2,"route":"read_charge","unsafe":false}
            {"at_us":6,"event":"response_sent","request":2,"status":404,"class":"permanent"}
            {"at_us":9,"event":"operation_finished","claim":"failed"}"#;
        assert_eq!(check_all(&format!("{STRUCK}\n{read}")), "failed op-0001");
        let untried = STRUCK.replace(
            r#""event":"request_received","request":1"#,
            r#""event":"request_received","request":1,"route":"list_charges","unsafe":false"#,
        );
        assert_eq!(check_all(&format!("{untried}\n{read}")), "passed");
        let refused = r#"{"at_us":6,"event":"response_sent","request":1,"status":402,"class":"permanent"}
            {"at_us":9,"event":"operation_finished","claim":"failed"}"#;
        assert_eq!(check_all(&format!("{STRUCK}\n{refused}")), "passed");
    }

    #[test]
    fn what_was_given_up_on_a_machine_too_busy_for_its_speed_proves_nothing() {
        let judged = |late_us: u64, claim: &str| {
            let lines = format!(
                r#"{STRUCK}
                {{"at_us":9,"event":"operation_finished","claim":"{claim}"}}
                {{"at_us":10,"event":"run_finished","reason":"completed","late_us":{late_us}}}"#
            );
            let trace = trace_with(&json!({"clock": "real", "speed": 20}), &lines);
            in_short(&invariant("no_lost_operations", &json!({"all": true})).check(&trace))
        };
        assert_eq!(judged(10_001, "failed"), "not exercised");
        assert_eq!(judged(10_000, "failed"), "failed op-0001");
        assert_eq!(judged(10_001, "succeeded"), "failed op-0001", "a lie is one on any machine");
    }

    #[test]
    fn what_is_demanded_of_all_is_said_and_cured_as_such() {
        assert_eq!(invariant("no_lost_operations", &Value::Null).demand(), None);
        let demand = invariant("no_lost_operations", &json!({"all": true})).demand().expect("more");
        assert!(demand.summary.contains("has its effect by the end"));
        assert!(demand.cure.starts_with("Try again"));
    }

    #[test]
    fn silence_is_a_loss_also_where_the_driver_speaks() {
        assert_eq!(check(STRUCK), "failed op-0001");
        let driver = r#"{"at_us":9,"event":"operation_finished","claim":"unknown","by":"driver","detail":"deadline"}"#;
        assert_eq!(check(&format!("{STRUCK}\n{driver}")), "failed op-0001");
        let client = r#"{"at_us":9,"event":"operation_finished","claim":"unknown"}"#;
        assert_eq!(check(&format!("{STRUCK}\n{client}")), "passed");
    }

    #[test]
    fn whoever_is_told_of_an_event_says_by_its_answer_that_it_failed() {
        let check = |parameters: &Value, deliver: &Value, lines: &str| {
            let scenario = json!({"workload": {"deliver": deliver}});
            let trace = trace_with(&json!({"scenario": scenario}), lines);
            in_short(&invariant("no_lost_operations", parameters).check(&trace))
        };
        let (event, all) = (json!({"webhook": {"path": "/hooks"}}), json!({"all": true}));
        let told = |flaw: &str, status: u16| {
            format!(
                r#"{STRUCK}
                {{"at_us":2,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"op-0001"{flaw}}}
                {{"at_us":3,"event":"webhook_answered","provider":"provider","delivery":1,"status":{status}}}"#
            )
        };
        let forged = told(r#","flaw":"bad_signature""#, 400);
        for (lines, plain, whole) in [
            (STRUCK.to_owned(), "passed", "passed"),
            (forged.clone(), "passed", "passed"),
            (told("", 500), "passed", "failed op-0001"),
            (told("", 200), "failed op-0001", "failed op-0001"),
        ] {
            assert_eq!(check(&Value::Null, &event, &lines), plain, "{lines}");
            assert_eq!(check(&all, &event, &lines), whole, "{lines}");
        }
        assert_eq!(check(&Value::Null, &json!("call"), &forged), "failed op-0001");
    }

    #[test]
    fn success_without_an_effect_is_a_loss() {
        let claim = r#"{"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;
        assert_eq!(check(&format!("{STRUCK}\n{claim}")), "failed op-0001");
        let done = r#"{"at_us":3,"event":"effect_committed","request":1}"#;
        assert_eq!(check_all(&format!("{STRUCK}\n{done}\n{claim}")), "passed");
    }

    #[test]
    fn without_a_strike_nothing_is_exercised() {
        let silent = STRUCK.lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(check(&silent), "not exercised", "the control run tells of that");
        let lines = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1}
            {"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;
        assert_eq!(check_all(lines), "not exercised");
    }

    #[test]
    fn a_permanent_rejection_reported_as_failed_is_not_accused() {
        let rejected = r#"{"at_us":2,"event":"response_sent","request":1,"status":402}
            {"at_us":9,"event":"operation_finished","claim":"failed"}"#;
        assert_eq!(check_all(&format!("{STRUCK}\n{rejected}")), "passed");
        let mismatch = rejected.replace("402", r#"422,"refuses_key":true"#);
        assert_eq!(
            check_all(&format!("{STRUCK}\n{mismatch}")),
            "failed op-0001",
            "a refusal of the key is not one of the content"
        );
    }

    #[test]
    fn a_read_is_done_when_it_was_answered() {
        let lines = r#"{"at_us":0,"event":"operation_submitted","call":"get_limits"}
            {"at_us":1,"event":"request_received","request":1,"route":"get_limits","unsafe":false}
            {"at_us":1,"event":"fault_injected","request":1,"fault":"latency"}
            {"at_us":2,"event":"response_sent","request":1,"status":200}
            {"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;
        assert_eq!(check_all(lines), "passed");
        assert_eq!(check_all(&lines.replace(":200", ":503")), "failed op-0001");
    }

    #[test]
    fn an_interrupted_run_and_a_suite_are_not_accused_of_silence() {
        let cut =
            format!("{STRUCK}\n{}", r#"{"at_us":9,"event":"run_finished","reason":"interrupted"}"#);
        assert_eq!(check_all(&cut), "passed");
        let suite = trace_with(
            &json!({"mode": "suite"}),
            r#"{"at_us":1,"event":"request_received","request":1}
            {"at_us":1,"event":"fault_injected","request":1}"#,
        );
        let judged =
            |parameters| in_short(&invariant("no_lost_operations", &parameters).check(&suite));
        assert_eq!(judged(Value::Null), "passed");
        assert_eq!(judged(json!({"all": true})), "failed op-0001");
    }

    #[test]
    fn who_is_silent_before_a_closed_door_is_heard_of() {
        let lines = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1,"event":"fault_injected","request":0,"operation":null,"fault":"refuse"}"#;
        assert_eq!(verdict("no_lost_operations", &Value::Null, lines), "failed op-0001");
        let said =
            format!("{lines}\n{}", r#"{"at_us":9,"event":"operation_finished","claim":"failed"}"#);
        assert_eq!(verdict("no_lost_operations", &Value::Null, &said), "passed");
    }
}
