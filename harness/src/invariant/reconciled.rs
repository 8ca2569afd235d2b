//! `reconciled`: what the client did not know it finds out when the storm is over.
//!
//! **Invariant:** a final claim is held against the ledger as it stands at the end of the run.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Claim, ClaimBy, Mode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::reach::leaves_no_doubt;
use super::support::{READS_CLAIMS, means, schema, unclaimed, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{ClaimMade, Request, RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "reconciled",
    summary: "Every `unknown` is cleared up in time, and rightly.",
    headline: "were left open, or cleared up wrongly",
    rule: "Every submit that the client claimed `unknown` gets a final claim by the client at most `within` \
           after the latest of that claim, the last strike of a fault, the end of an outage, and where the \
           client is a program for each operation its start for clearing up; `succeeded` implies that the \
           operation was done, `failed` that no effect of it is live at the end. One second is forgiven on \
           the real clock.",
    exercised_by: "A claim of `unknown`, in a mode in which the client can take it back.",
    parameters: &[("within", "how long clearing up may take, such as `30s`; required")],
    tolerates: "A client that nobody asked again: one of a test in this process without a `reconcile`, or a \
                service without a `poll` that did not take anything back by itself; any number of further \
                `unknown` before the time is over (a program for each operation is asked once).",
    cure: "Keep what is unknown on a list that survives a restart, and ask the provider for each (by order, \
           by key) until it says what became of it; then tell your caller.",
    why: "An `unknown` that nobody clears up is a payment in limbo: the customer waits, and the books do \
          not agree with the provider's.",
    faults: &["reset", "hang", "truncate", "status", "kill_client"],
    without_a_fault: "",
    modes: &[
        READS_CLAIMS,
        "In exec mode the program is started once more for each `unknown`, with `BROWNOUT_PHASE=reconcile`. \
         In stdio mode a later line takes an `unknown` back; in http mode the service is asked again where \
         `http` has a `poll`; a test in this process gives the harness a `.reconcile(..)`.",
    ],
    example: "reconciled: {within: 1m}",
    bare: false,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Reconciled")]
struct Raw {
    /// How long clearing up may take.
    within: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(Reconciled { within_us: raw.within.micros() }))
}

#[derive(Debug)]
struct Reconciled {
    within_us: u64,
}

impl Invariant for Reconciled {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn reconciles_within_us(&self) -> Option<u64> {
        Some(self.within_us)
    }

    fn check(&self, trace: &Trace) -> Judgement {
        // A door that stands closed strikes once, and as long as it is closed nobody gets in.
        let ended = trace.outages().into_iter().filter_map(|outage| outage.to_us);
        let struck_us = ended.max().unwrap_or(0).max(trace.last_strike_at_us());
        let are_asked = are_asked(trace);
        let started = |submit: &Submit, first: &ClaimMade| {
            let runs = trace.clients().iter().filter(|run| run.operation == Some(submit.operation));
            runs.map(|run| run.at_us).filter(|at_us| *at_us >= first.at_us).max()
        };
        let (mut exercised, mut violations) = (0, Vec::new());
        for (_, submit) in trace.submits() {
            let claims = trace.claims(submit);
            let mut by_client = claims.iter().filter(|claim| claim.by == ClaimBy::Client);
            let Some(first) = by_client.next().filter(|one| one.claim == Claim::Unknown) else {
                continue;
            };
            let again_us = started(submit, first);
            if !are_asked && again_us.is_none() && !went_on(trace, submit, first) {
                continue;
            }
            // Nobody can clear up anything before the storm is over, and a program that met it once more is not
            // asked again.
            let is_struck = |(id, request): (RequestId, &Request)| {
                again_us.is_some_and(|again_us| request.at_us >= again_us)
                    && !trace.strikes_at(id).is_empty()
            };
            let is_unknown =
                trace.final_claim(submit).is_some_and(|last| last.claim == Claim::Unknown);
            let is_hindered = trace.last_at_us < struck_us
                || trace.mode() == Mode::Exec && trace.attempts_of(submit.operation).any(is_struck);
            if is_unknown && is_hindered {
                continue;
            }
            exercised += 1;
            let from_us = first.at_us.max(struck_us).max(again_us.unwrap_or(0));
            let due_us = from_us.saturating_add(self.within_us);
            violations.extend(self.judge(trace, submit, first, due_us));
        }
        let why_not = match trace.mode() {
            Mode::InProcess => {
                "nobody claimed `unknown` and was asked again; give the harness a `.reconcile(..)`"
            }
            Mode::Stdio | Mode::Exec | Mode::Suite | Mode::Http | Mode::Serve => {
                "the client never claimed `unknown`"
            }
        };
        Judgement::new(exercised, violations, unclaimed(trace, why_not))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        let is_certain = leaves_no_doubt(scenario);
        if is_certain || !means.lost_answer && !means.hang && !means.unusable && !means.failure {
            let why = "no rule of this scenario leaves a client in doubt";
            unlikely(at, KIND.name, why, "inject: {reset: {at: after_commit}}");
        }
    }
}

/// True where a client can take an `unknown` back: a program that lives on always can, a service where its
/// answer leads to one that can be asked for. Any other can only when it is asked again, and then it has taken
/// back one.
fn are_asked(trace: &Trace) -> bool {
    let again = |submit: &Submit| {
        trace.claims(submit).iter().filter(|claim| claim.by == ClaimBy::Client).count() > 1
    };
    match trace.mode() {
        Mode::Stdio | Mode::Suite | Mode::Serve => true,
        Mode::Http if trace.run.scenario.pointer("/workload/http/poll").is_some() => true,
        Mode::Http | Mode::InProcess => trace.submits().any(|(_, submit)| again(submit)),
        Mode::Exec => false,
    }
}

/// True when a client went on with a submit after it had called it unknown.
fn went_on(trace: &Trace, submit: &Submit, claim: &ClaimMade) -> bool {
    let after = |request: &Request| request.submit == submit.number && request.seq > claim.seq;
    trace.attempts_of(submit.operation).any(|(_, request)| after(request))
}

impl Reconciled {
    fn judge(
        &self,
        trace: &Trace,
        submit: &Submit,
        first: &ClaimMade,
        due_us: u64,
    ) -> Option<Violation> {
        let last = trace.final_claim(submit)?;
        let effect = trace
            .effects_of(submit.operation)
            .find(|(_, one)| one.submit == submit.number && one.is_live());
        let wrong = match last.claim {
            Claim::Unknown if !trace.is_whole() => return None,
            Claim::Unknown if trace.mode() == Mode::Exec => {
                "a final claim from the program that was started to clear it up, found none"
                    .to_owned()
            }
            Claim::Unknown => {
                format!("a final claim within {}, found none", in_words(self.within_us))
            }
            _ if last.at_us > due_us.saturating_add(trace.upper_slack_us()) => format!(
                "a final claim within {}, found it {} too late",
                in_words(self.within_us),
                in_words(last.at_us.saturating_sub(due_us))
            ),
            _ if !trace.is_settled(submit.operation) => return None,
            Claim::Succeeded if !trace.is_done(submit.operation) => {
                "a final claim that agrees with the ledger, found `succeeded` and no effect"
                    .to_owned()
            }
            Claim::Failed if effect.is_some_and(|(_, one)| one.by.is_client()) => {
                "a final claim that agrees with the ledger, found `failed` and a live effect"
                    .to_owned()
            }
            Claim::Succeeded | Claim::Failed => return None,
        };
        let message = format!("after `unknown` expected {wrong}");
        let live = effect.map(|(_, one)| one.seq);
        let evidence = [first.seq, last.seq].into_iter().chain(live);
        Some(Violation::new(trace, submit.operation, message, evidence))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "reconciled";

    fn lines(end: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":1,"event":"effect_committed","request":1}}
            {{"at_us":5000000,"event":"fault_injected","request":1}}
            {{"at_us":2000000,"event":"operation_finished","claim":"unknown"}}
            {end}"#
        )
    }

    fn check(end: &str) -> String {
        verdict(NAME, &json!({"within": "10s"}), &lines(end))
    }

    fn claim(at_us: u64, claim: &str) -> String {
        format!(r#"{{"at_us":{at_us},"event":"operation_finished","claim":"{claim}"}}"#)
    }

    #[test]
    fn an_unknown_is_cleared_up_in_time() {
        assert_eq!(check(&claim(15_000_000, "succeeded")), "passed");
        assert_eq!(check(&claim(15_000_001, "succeeded")), "failed op-0001");
        let again = format!("{}\n{}", claim(9_000_000, "unknown"), claim(12_000_000, "succeeded"));
        assert_eq!(check(&again), "passed");
        assert_eq!(check(&claim(9_000_000, "unknown")), "failed op-0001");
        assert_eq!(
            message(NAME, &json!({"within": "10s"}), &trace(&lines(&claim(9_000_000, "unknown")))),
            "after `unknown` expected a final claim within 10 s, found none"
        );
    }

    #[test]
    fn the_final_claim_agrees_with_the_ledger() {
        assert_eq!(check(&claim(9_000_000, "failed")), "failed op-0001");
        let undone = format!(
            r#"{{"at_us":6000000,"event":"effect_reversed","request":1}}
            {}"#,
            claim(9_000_000, "failed")
        );
        assert_eq!(check(&undone), "passed");
        let nothing = lines(&claim(9_000_000, "succeeded")).replace(
            r#""event":"effect_committed","request":1"#,
            r#""event":"rate_limited","request":1"#,
        );
        assert_eq!(verdict(NAME, &json!({"within": "10s"}), &nothing), "failed op-0001");
    }

    #[test]
    fn what_was_never_unknown_exercises_nothing() {
        let known = lines("").replace("unknown", "succeeded");
        assert_eq!(verdict(NAME, &json!({"within": "10s"}), &known), "not exercised");
    }

    #[test]
    fn who_was_not_asked_again_is_not_accused() {
        let in_process = |end: &str| {
            let trace = trace_with(&json!({"mode": "in_process"}), &lines(end));
            in_short(&invariant(NAME, &json!({"within": "10s"})).check(&trace))
        };
        assert_eq!(in_process(""), "not exercised");
        let asked = r#"{"at_us":9000000,"event":"request_received","request":2,"route":"list_charges","unsafe":false}"#;
        assert_eq!(in_process(asked), "failed op-0001");
        let cut = r#"{"at_us":9000000,"event":"run_finished","reason":"interrupted"}"#;
        assert_eq!(check(cut), "passed", "it may still come");
    }

    #[test]
    fn a_service_without_a_poll_and_a_program_that_is_over_are_not_asked() {
        let check = |run: &Value, end: &str| {
            let trace = trace_with(run, &lines(end));
            in_short(&invariant(NAME, &json!({"within": "10s"})).check(&trace))
        };
        assert_eq!(check(&json!({"mode": "http"}), ""), "not exercised");
        let poll = json!({"workload": {"http": {"poll": {"path": "/"}}}});
        assert_eq!(check(&json!({"mode": "http", "scenario": poll}), ""), "failed op-0001");
        let exec = |end: &str| check(&json!({"mode": "exec"}), end);
        assert_eq!(exec(""), "not exercised");
        let started = r#"{"at_us":20000000,"event":"client_started","operation":"op-0001"}"#;
        assert_eq!(exec(started), "failed op-0001");
        let cleared = |at_us: u64| format!("{started}\n{}", claim(at_us, "succeeded"));
        assert_eq!(exec(&cleared(30_000_000)), "passed", "its time begins with its start");
        assert_eq!(exec(&cleared(32_000_000)), "failed op-0001");
        let again = r#"{"at_us":20000001,"event":"request_received","request":2,"attempt":2}
            {"at_us":20000001,"event":"fault_injected","request":2}"#;
        let unknown = claim(21_000_000, "unknown");
        assert_eq!(exec(&format!("{started}\n{unknown}")), "failed op-0001");
        assert_eq!(
            exec(&format!("{started}\n{again}\n{unknown}")),
            "not exercised",
            "it was struck"
        );
    }

    #[test]
    fn a_run_that_ends_in_the_storm_asks_nobody() {
        let judged = |to: &str| {
            let rule = json!({"name": "rule", "when": {"during": {"from": "0s", "to": to}}, "inject": "hang"});
            let run = json!({"scenario": {"faults": [rule]}});
            let trace = trace_with(&run, &lines(&claim(9_000_000, "unknown")));
            in_short(&invariant(NAME, &json!({"within": "10s"})).check(&trace))
        };
        assert_eq!(judged("8s"), "failed op-0001");
        assert_eq!(judged("60s"), "not exercised");
    }

    #[test]
    fn nobody_clears_up_before_a_closed_door() {
        let refuse = json!({"name": "away", "when": {"during": {"from": "0s", "to": "30s"}}, "inject": "refuse"});
        let check = |rules: &Value, at_us: u64| {
            let run = json!({"scenario": {"faults": rules}});
            let lines = format!(
                r#"{{"at_us":0,"event":"operation_submitted","deadline_us":90000000}}
                {{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":0,"event":"effect_committed","request":1}}
                {{"at_us":1,"event":"connection_ended","request":1,"by":"provider","how":"rst"}}
                {{"at_us":2,"event":"fault_injected","request":0,"operation":null,"fault":"refuse","rule":"away"}}
                {{"at_us":3,"event":"operation_finished","claim":"unknown"}}
                {{"at_us":{at_us},"event":"operation_finished","claim":"succeeded"}}"#
            );
            in_short(
                &invariant("reconciled", &json!({"within": "5s"})).check(&trace_with(&run, &lines)),
            )
        };
        assert_eq!(check(&json!([refuse]), 34_000_000), "passed");
        assert_eq!(check(&json!([refuse]), 35_000_001), "failed op-0001");
        assert_eq!(check(&json!([]), 34_000_000), "failed op-0001");
    }
}
