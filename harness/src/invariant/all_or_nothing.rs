//! `all_or_nothing`: an operation of several steps is done, or undone, and never half.
//!
//! **Invariant:** reads the ledger as it stands at the end of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::Claim;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{events_of, listed, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Effect, Name, OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "all_or_nothing",
    summary: "At the end all steps of an operation stand, or none does.",
    headline: "were left half done",
    rule: "At the end of the run the effects of all `steps` of an operation are live, or those of none: each \
           that took effect has been undone where a later one did not.",
    exercised_by: "An operation of which a step took effect and a fault struck.",
    parameters: &[(
        "steps",
        "the routes whose effects belong together, at least two, such as `[authorize, capture]`; required",
    )],
    tolerates: "A claim of `unknown` where the client tried to undo the step and every attempt at that \
                failed.",
    cure: "For each step write down how it is undone before you take it; when a later one fails for good, \
           undo the earlier ones, with retries of their own and keys of their own.",
    why: "Half of an order is worse than none: money is held for a parcel that never leaves, and no single \
          log shows it.",
    faults: &["permanent_error", "status", "reset", "hang", "kill_client"],
    without_a_fault: "",
    modes: &[],
    example: "all_or_nothing: {steps: [authorize, capture, notify]}",
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
#[schemars(rename = "AllOrNothing")]
struct Raw {
    /// The routes whose effects belong together.
    #[schemars(length(min = 2))]
    steps: Vec<String>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let distinct: BTreeSet<&String> = raw.steps.iter().collect();
    if distinct.len() < 2 {
        at.key("steps").error("fewer than two steps cannot be half done", |problem| {
            problem.cure("name at least two routes, such as `[authorize, capture]`")
        });
        return None;
    }
    Some(Arc::new(AllOrNothing { steps: raw.steps }))
}

#[derive(Debug)]
struct AllOrNothing {
    steps: Vec<String>,
}

impl Invariant for AllOrNothing {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let steps: Vec<Option<Name>> = self.steps.iter().map(|step| trace.name(step)).collect();
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations() {
            let of_steps: Vec<(Name, &Effect)> = trace
                .effects_of(operation)
                .filter_map(|(_, effect)| Some((route_of(trace, effect)?, effect)))
                .filter(|(route, _)| steps.contains(&Some(*route)))
                .collect();
            let struck = trace
                .requests_of(operation)
                .any(|(id, request)| request.limited || !trace.strikes_at(id).is_empty());
            if of_steps.is_empty() || !struck {
                continue;
            }
            exercised += 1;
            violations.extend(self.half_done(trace, operation, &of_steps));
        }
        let why_not = "no fault struck an operation of which a step took effect";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let apis = || scenario.providers.values().map(|provider| &provider.api);
        let unknown: Vec<String> = self
            .steps
            .iter()
            .filter(|step| {
                !apis().any(|api| {
                    api.routes.iter().any(|route| *route.name == ***step && route.effect.is_some())
                })
            })
            .map(|step| format!("`{step}`"))
            .collect();
        if !unknown.is_empty() {
            let message = format!("no route with an effect is called {}", listed(&unknown));
            at.key("steps").error(message, |problem| problem.cure("name routes of the API"));
        }
        needs_failure(scenario, at, KIND.name);
    }
}

fn route_of(trace: &Trace, effect: &Effect) -> Option<Name> {
    trace.request(effect.request?).route
}

impl AllOrNothing {
    fn half_done(
        &self,
        trace: &Trace,
        operation: OperationId,
        of_steps: &[(Name, &Effect)],
    ) -> Option<Violation> {
        let live: Vec<&(Name, &Effect)> =
            of_steps.iter().filter(|(_, effect)| effect.is_live()).collect();
        let standing: BTreeSet<&str> = live.iter().map(|(route, _)| trace.text(*route)).collect();
        let missing: Vec<&String> =
            self.steps.iter().filter(|step| !standing.contains(&***step)).collect();
        if live.is_empty() || missing.is_empty() || !trace.is_settled(operation) {
            return None;
        }
        let undoing = reversals(trace, operation);
        if is_stuck(trace, operation, &undoing) {
            return None;
        }
        let standing: Vec<String> = standing.iter().map(|step| format!("`{step}`")).collect();
        let missing: Vec<String> = missing.iter().map(|step| format!("`{step}`")).collect();
        let message = format!(
            "expected all steps to stand at the end of the run or none, found {} done and {} not",
            listed(&standing),
            listed(&missing)
        );
        let tried = undoing.iter().flat_map(|id| events_of(trace, *id));
        let evidence = live.iter().map(|(_, effect)| effect.seq).chain(tried);
        Some(Violation::new(trace, operation, message, evidence))
    }
}

/// The attempts of an operation at undoing something.
fn reversals(trace: &Trace, operation: OperationId) -> Vec<RequestId> {
    trace
        .attempts_of(operation)
        .filter(|(_, request)| trace.is_reversal(request))
        .map(|(id, _)| id)
        .collect()
}

/// True when the client tried to undo what stands, could not undo some of it to the last, and says that it does not
/// know.
fn is_stuck(trace: &Trace, operation: OperationId, undoing: &[RequestId]) -> bool {
    let mut claims =
        trace.submits_of(operation).filter_map(|(_, submit)| trace.final_claim(submit));
    let place = |id: RequestId| (trace.request(id).provider, trace.request(id).route);
    let last: BTreeMap<_, RequestId> = undoing.iter().map(|id| (place(*id), *id)).collect();
    last.into_values().any(|id| trace.failed(id) || trace.over_at_us(id).is_none())
        && claims.all(|claim| claim.claim == Claim::Unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "all_or_nothing";

    const AUTHORIZED: &str = r#"{"at_us":0,"event":"request_received","request":1,"route":"authorize"}
        {"at_us":1,"event":"effect_committed","request":1,"kind":"authorization"}
        {"at_us":2,"event":"request_received","request":2,"route":"capture"}
        {"at_us":3,"event":"fault_injected","request":2}"#;
    const REFUSED: &str = r#"{"at_us":4,"event":"response_sent","request":2,"status":503}"#;
    const CAPTURED: &str =
        r#"{"at_us":4,"event":"effect_committed","request":2,"effect":2,"kind":"capture"}"#;
    const VOIDED: &str = r#"{"at_us":5,"event":"request_received","request":3,"route":"void","unsafe":false}
        {"at_us":6,"event":"effect_reversed","request":3}"#;

    fn check(rest: &[&str]) -> String {
        let lines = format!("{AUTHORIZED}\n{}", rest.join("\n"));
        verdict(NAME, &json!({"steps": ["authorize", "capture"]}), &lines)
    }

    #[test]
    fn all_steps_stand_or_none() {
        assert_eq!(check(&[CAPTURED]), "passed");
        assert_eq!(check(&[REFUSED]), "failed op-0001");
        assert_eq!(check(&[REFUSED, VOIDED]), "passed");
        assert_eq!(
            message(
                NAME,
                &json!({"steps": ["authorize", "capture"]}),
                &trace(&format!("{AUTHORIZED}\n{REFUSED}"))
            ),
            "expected all steps to stand at the end of the run or none, found `authorize` done and \
             `capture` not"
        );
    }

    #[test]
    fn without_a_strike_or_a_step_nothing_is_exercised() {
        let calm = AUTHORIZED
            .replace("fault_injected", "rate_limited")
            .replace(r#""request":2}"#, r#""request":9}"#);
        assert_eq!(
            verdict(NAME, &json!({"steps": ["authorize", "capture"]}), &calm),
            "not exercised"
        );
        let lines = format!("{AUTHORIZED}\n{REFUSED}");
        assert_eq!(
            verdict(NAME, &json!({"steps": ["capture", "notify"]}), &lines),
            "not exercised"
        );
    }

    #[test]
    fn who_could_not_undo_it_and_says_so_is_not_accused() {
        let tried = r#"{"at_us":5,"event":"request_received","request":3,"route":"void","unsafe":false}
            {"at_us":6,"event":"response_sent","request":3,"status":503}
            {"at_us":9,"event":"operation_finished","claim":"unknown"}"#;
        let apis = json!({"payments": {"routes": [{"name": "void", "reverses": {"collection": "a"}}, {"name": "refund", "reverses": {"collection": "b"}}]}});
        let judged = |rest: &str| {
            let lines = format!("{AUTHORIZED}\n{REFUSED}\n{rest}");
            let trace = trace_with(&json!({"apis": apis}), &lines);
            let invariant = crate::invariant::testing::invariant(
                NAME,
                &json!({"steps": ["authorize", "capture"]}),
            );
            crate::invariant::testing::in_short(&invariant.check(&trace))
        };
        assert_eq!(judged(tried), "passed");
        assert_eq!(judged(&tried.replace("unknown", "failed")), "failed op-0001");
        assert_eq!(judged(tried.lines().last().unwrap()), "failed op-0001", "it did not try");
        let undone = |route: &str| {
            let other = format!(
                r#"{{"at_us":7,"event":"request_received","request":4,"route":"{route}","unsafe":false}}
                {{"at_us":8,"event":"response_sent","request":4,"status":201}}"#
            );
            judged(&tried.replace(r#"{"at_us":9,"#, &format!("{other}\n{}", r#"{"at_us":9,"#)))
        };
        assert_eq!(undone("refund"), "passed", "another step was undone");
        assert_eq!(
            undone("void"),
            "failed op-0001",
            "it was told that nothing stands, and not that it cannot know"
        );
    }
}
