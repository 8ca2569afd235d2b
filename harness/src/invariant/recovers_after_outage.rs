//! `recovers_after_outage`: when the provider works again, so does the client.
//!
//! **Invariant:** judges only outages after which there was work, and nothing else in its way.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NO_UPPER_BOUND, events_of, few_of, needs_outage, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::outage::Outage;
use crate::trace::reading::Fate;
use crate::trace::{RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "recovers_after_outage",
    summary: "Soon after an outage the client's requests succeed again.",
    headline: "did not go on after the outage",
    rule: "A request that an outage was about succeeds at most `within` after the latest of the outage's end, \
           the last hint given in it, and the moment from which there was work. One second is forgiven on \
           the real clock.",
    exercised_by: "An outage (a rule with an ending, `during` or `operation: {from, to}`, and no `chance`) that \
                   ended with work left, or before new work came.",
    parameters: &[("within", "how long it may take, such as `10s`; required")],
    tolerates: "A client without work there; one whose requests met another fault or limit after the outage; an \
                operation that is given up without another request, if it is older than the end of the \
                outage; a run that ended before the time was over.",
    cure: "Let an open breaker try again by itself after a while (half open), cap the backoff at some \
           seconds, and make connections anew that were lost.",
    why: "A client that does not notice that the outage is over makes a longer one of its own.",
    faults: &["status", "reset", "close", "hang", "refuse"],
    without_a_fault: "",
    modes: &[BOUNDS_TIME],
    example: "recovers_after_outage: {within: 10s}",
    bare: false,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RecoversAfterOutage")]
struct Raw {
    /// How long it may take.
    within: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(RecoversAfterOutage { within_us: raw.within.micros() }))
}

#[derive(Debug)]
struct RecoversAfterOutage {
    within_us: u64,
}

impl Invariant for RecoversAfterOutage {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for outage in trace.outages() {
            let Some(verdict) = self.judge(trace, &outage) else { continue };
            exercised += 1;
            violations.extend(verdict);
        }
        Judgement::new(exercised, violations, "no outage ended with work left")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_outage(scenario, at, KIND.name);
    }
}

impl RecoversAfterOutage {
    /// `None` where nothing can be said; else the violation, if it is one.
    fn judge(&self, trace: &Trace, outage: &Outage) -> Option<Option<Violation>> {
        let ended_us = outage.to_us?;
        let about = || trace.requests().filter(|(_, request)| outage.is_about(request));
        let hinted_us = about()
            .filter(|(_, request)| (outage.from_us..ended_us).contains(&request.at_us))
            .filter_map(|(id, _)| trace.earliest_allowed(id).map(|(_, at_us)| at_us))
            .max();
        let free_us = ended_us.max(hinted_us.unwrap_or(0));
        let success = about()
            .filter(|(id, _)| trace.fate(*id) == Fate::Usable)
            .filter_map(|(id, _)| trace.known_at_us(id))
            .filter(|at_us| *at_us >= ended_us)
            .min();
        let at_once_us =
            free_us.saturating_add(self.within_us).saturating_add(trace.upper_slack_us());
        let was_waited_for = |submit: &Submit| {
            let asked_us = submit.submitted.as_ref().map_or(u64::MAX, |one| one.at_us);
            let said_us = trace.claims(submit).first().map_or(u64::MAX, |claim| claim.at_us);
            (asked_us..said_us).contains(&ended_us) && outage.concerns(trace, submit)
        };
        if success.is_some_and(|at_us| at_us <= at_once_us)
            && trace.submits().any(|(_, submit)| was_waited_for(submit))
        {
            return Some(None);
        }
        let work_us = trace
            .submits()
            .filter(|(_, submit)| outage.concerns(trace, submit))
            .filter_map(|(_, submit)| self.work_from_us(trace, submit, free_us))
            .min();
        let due_us = work_us?.saturating_add(self.within_us).saturating_add(trace.upper_slack_us());
        let late: Vec<RequestId> = about()
            .filter(|(_, request)| request.at_us >= ended_us && request.at_us <= due_us)
            .map(|(id, _)| id)
            .collect();
        let is_hindered = late.iter().any(|id| {
            trace.request(*id).limited
                || !trace.strikes_at(*id).is_empty()
                || is_refused(trace, *id)
        });
        match success {
            Some(at_us) if at_us <= due_us => Some(None),
            _ if is_hindered || trace.last_at_us < due_us => None,
            found => {
                let found = found.map_or("none".to_owned(), |at_us| {
                    format!("the first after {}", in_words(at_us.saturating_sub(ended_us)))
                });
                let message = format!(
                    "expected a success within {} after the outage `{}` and its last hint, found {found}",
                    in_words(self.within_us),
                    trace.text(outage.rule)
                );
                let last = about().filter(|(_, one)| one.at_us < ended_us).last();
                let evidence = last
                    .into_iter()
                    .flat_map(|(id, _)| events_of(trace, id))
                    .chain(late.iter().map(|id| trace.request(*id).seq));
                Some(Some(Violation::of_run(message, few_of(evidence))))
            }
        }
    }

    /// From when a submit was work that a client had to do after an outage.
    fn work_from_us(&self, trace: &Trace, submit: &Submit, free_us: u64) -> Option<u64> {
        let asked_us = submit.submitted.as_ref()?.at_us;
        // Who is given its work has work when it is given some; nobody is given any who asks for none.
        let given = trace.given(submit.operation).map(|(_, at_us)| at_us);
        let from_us =
            given.filter(|at_us| *at_us >= free_us).min().unwrap_or(free_us.max(asked_us));
        let until_us =
            from_us.saturating_add(self.within_us).saturating_add(trace.upper_slack_us());
        let over_us = trace.claims(submit).first().map_or(u64::MAX, |claim| claim.at_us);
        // Who asked before may have been about to give up.
        let waits = asked_us < free_us && over_us > until_us;
        let has_time = trace.gives_up_at_us(submit).is_none_or(|gives_up| gives_up > until_us);
        (has_time && (waits || asked_us >= free_us)).then_some(from_us)
    }
}

/// True for an answer that says nothing about the outage.
fn is_refused(trace: &Trace, id: RequestId) -> bool {
    trace.fate(id) == Fate::Rejected
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message};
    use crate::trace::testing::trace_with;

    const NAME: &str = "recovers_after_outage";

    /// An operation that begins in an outage from 0 s to 10 s, and whatever follows.
    fn lines(rest: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"operation_submitted","deadline_us":90000000}}
            {{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":0,"event":"fault_injected","request":1,"rule":"outage"}}
            {{"at_us":0,"event":"response_sent","request":1,"status":503}}
            {rest}
            {{"at_us":60000000,"event":"client_output"}}"#
        )
    }

    fn run() -> Value {
        let rule = json!({
            "name": "outage",
            "when": {"during": {"from": "0s", "to": "10s"}},
            "inject": {"status": {"code": 503}},
        });
        json!({"scenario": {"faults": [rule]}})
    }

    fn check(rest: &str) -> String {
        let trace = trace_with(&run(), &lines(rest));
        in_short(&invariant(NAME, &json!({"within": "5s"})).check(&trace))
    }

    fn success(at_us: u64) -> String {
        format!(
            r#"{{"at_us":{at_us},"event":"request_received","request":2,"attempt":2}}
            {{"at_us":{at_us},"event":"response_sent","request":2,"status":201}}"#
        )
    }

    #[test]
    fn a_success_follows_in_time() {
        assert_eq!(check(&success(15_000_000)), "passed");
        assert_eq!(check(&success(15_000_001)), "failed run");
        assert_eq!(check(""), "failed run");
        let trace = trace_with(&run(), &lines(&success(20_000_000)));
        assert_eq!(
            message(NAME, &json!({"within": "5s"}), &trace),
            "expected a success within 5 s after the outage `outage` and its last hint, found the first \
             after 10 s"
        );
    }

    #[test]
    fn a_worker_has_work_again_when_it_is_handed_some() {
        let moved = r#"{"at_us":25000000,"event":"message_moved","request":9,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received"}"#;
        let mut run = run();
        run["scenario"]["workload"]["deliver"] = json!({"queue": "messages"});
        let judged = |rest: &str| {
            let trace = trace_with(&run, &lines(&format!("{moved}\n{rest}")));
            in_short(&invariant(NAME, &json!({"within": "5s"})).check(&trace))
        };
        assert_eq!(judged(&success(30_000_000)), "passed");
        assert_eq!(judged(&success(30_000_001)), "failed run");
        let silent = trace_with(&run, &lines(""));
        let silent = in_short(&invariant(NAME, &json!({"within": "5s"})).check(&silent));
        assert_eq!(silent, "failed run", "who asks for no message any more");
    }

    #[test]
    fn who_does_what_was_left_at_once_has_recovered() {
        let done = r#"{"at_us":11000000,"event":"operation_finished","claim":"succeeded"}"#;
        assert_eq!(check(&format!("{}\n{done}", success(10_500_000))), "passed");
        assert_eq!(check(done), "not exercised", "nothing shows that it worked");
    }

    #[test]
    fn the_last_hint_of_the_outage_moves_the_time() {
        let hinted = |at_us: u64| {
            let lines = lines(&success(at_us)).replace(
                r#""status":503"#,
                r#""status":503,"hints":[{"source":"retry-after","text":"20","wait_us":20000000}]"#,
            );
            let trace = trace_with(&run(), &lines);
            in_short(&invariant(NAME, &json!({"within": "5s"})).check(&trace))
        };
        assert_eq!(hinted(25_000_000), "passed");
        assert_eq!(hinted(25_000_001), "failed run");
    }

    #[test]
    fn without_work_nothing_is_exercised() {
        let over = r#"{"at_us":9000000,"event":"operation_finished","claim":"failed"}"#;
        assert_eq!(check(over), "not exercised");
        let given_up = over.replace("9000000", "11000000");
        assert_eq!(check(&given_up), "not exercised", "it may have been about to");
    }

    #[test]
    fn new_work_that_is_refused_at_once_is_no_recovery() {
        let over = r#"{"at_us":9000000,"event":"operation_finished","claim":"failed"}"#;
        let new = r#"{"at_us":20000000,"event":"operation_submitted","operation":"op-0002"}
            {"at_us":20000001,"event":"operation_finished","operation":"op-0002","claim":"failed"}"#;
        assert_eq!(check(&format!("{over}\n{new}")), "failed run");
        let served = success(21_000_000).replace(r#""attempt":2"#, r#""operation":"op-0002""#);
        assert_eq!(check(&format!("{over}\n{new}\n{served}")), "passed");
    }

    #[test]
    fn another_fault_after_the_outage_is_an_excuse() {
        let struck = r#"{"at_us":12000000,"event":"request_received","request":2,"attempt":2}
            {"at_us":12000000,"event":"fault_injected","request":2,"rule":"another"}
            {"at_us":12000000,"event":"response_sent","request":2,"status":503}"#;
        assert_eq!(check(struck), "not exercised");
    }

    #[test]
    fn only_work_that_the_outage_was_about_has_to_go_on() {
        let run = |when: &Value| {
            let rule = json!({"name": "outage", "when": when, "inject": "hang"});
            json!({"scenario": {"providers": {"primary": {}, "backup": {}}, "faults": [rule]}})
        };
        let check = |when: &Value, lines: &str| {
            let trace = trace_with(&run(when), lines);
            in_short(&invariant(NAME, &json!({"within": "5s"})).check(&trace))
        };
        // It was struck and given up, and then there is other work.
        let struck = |of: &str| {
            lines(
                r#"{"at_us":1,"event":"operation_finished","claim":"failed"}
                {"at_us":12000000,"event":"operation_submitted","operation":"op-0002"}
                {"at_us":12000000,"event":"request_received","request":2,"operation":"op-0002","provider":"primary","tenant":"a"}"#,
            )
            .replace(r#""request":1"#, &format!(r#""request":1,{of}"#))
        };
        let during = json!({"from": "0s", "to": "10s"});
        let of_tenant = json!({"tenant": "b", "during": during});
        assert_eq!(check(&of_tenant, &struck(r#""tenant":"b""#)), "not exercised");
        assert_eq!(
            check(
                &of_tenant,
                &struck(r#""tenant":"b""#).replace(r#""tenant":"a""#, r#""tenant":"b""#)
            ),
            "failed run"
        );
        let of_backup = json!({"provider": "backup", "during": during});
        assert_eq!(check(&of_backup, &struck(r#""provider":"backup""#)), "not exercised");
        let of_primary = json!({"provider": "primary", "during": during});
        assert_eq!(check(&of_primary, &struck(r#""provider":"primary""#)), "failed run");
        let of_route = json!({"route": "get_limits", "during": during});
        assert_eq!(check(&of_route, &struck(r#""route":"get_limits""#)), "not exercised");
    }
}
