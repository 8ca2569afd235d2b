//! `deadline`: an operation ends in time, waits and retries included.
//!
//! **Invariant:** the client's own word ends an operation; what the driver writes when the time is over
//! ends it then, and not before.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{ClaimBy, Mode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NO_UPPER_BOUND, events_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "deadline",
    summary: "An operation ends in time, with all its attempts and waits.",
    headline: "took too long",
    rule: "From the moment at which the caller asks for an operation to the client's first claim about it \
           (without a claim: to the end of its last attempt) it takes at most `max`. In exec mode, and \
           where nobody asked, the time begins with the first request. One second is forgiven on the real \
           clock.",
    exercised_by: "Any operation that was attempted.",
    parameters: &[("max", "how long an operation may take, such as `10s`; required")],
    tolerates: "Any number of attempts and waits within `max`; what comes after an `unknown`; time in which \
                the client stood still.",
    cure: "Give the whole operation one deadline, and each attempt and each wait what is left of it: a \
           time-out per request is no deadline, five of 30 s are two and a half minutes.",
    why: "Whoever asked has long gone when the answer comes: retries that go on past the deadline are work \
          for nobody.",
    faults: &["hang", "drip", "latency", "status", "rate_limited"],
    without_a_fault: "any operation",
    modes: &[
        BOUNDS_TIME,
        "In exec mode the time counts from the first request, since it takes a while to start a program.",
    ],
    example: "deadline: {max: 20s}",
    bare: false,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Deadline")]
struct Raw {
    /// How long an operation may take.
    max: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(Deadline { max_us: raw.max.micros() }))
}

#[derive(Debug)]
struct Deadline {
    max_us: u64,
}

/// How an operation ended: when, the event, and in what words.
struct End {
    at_us: u64,
    seq: u32,
    how: &'static str,
}

impl Invariant for Deadline {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for one in super::recoverable::tries(trace) {
            let ids: Vec<RequestId> = one.attempts.iter().map(|(id, _)| *id).collect();
            let Some(end) = end(trace, one.submit, &ids) else { continue };
            exercised += 1;
            violations.extend(self.too_late(trace, one.submit, &ids, &end));
        }
        Judgement::new(exercised, violations, "no operation was attempted and came to an end")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if scenario.workload.deadline.as_micros() <= u128::from(self.max_us) {
            at.key("max").note("the deadline of an operation is not above `max`", |problem| {
                problem.cure("give the operations a longer `deadline`, so that the driver does not end them first")
            });
        }
    }
}

/// How a submit ended; `None` while it goes on.
fn end(trace: &Trace, submit: &Submit, attempts: &[RequestId]) -> Option<End> {
    if let Some(claim) = trace.claims(submit).first() {
        let how =
            if claim.by == ClaimBy::Client { "the client's claim" } else { "the driver gave up" };
        return Some(End { at_us: claim.at_us, seq: claim.seq, how });
    }
    if !trace.is_whole() {
        return None;
    }
    let last = *attempts.last()?;
    let at_us = trace.over_at_us(last)?;
    Some(End { at_us, seq: trace.request(last).seq, how: "the end of its last attempt" })
}

impl Deadline {
    fn too_late(
        &self,
        trace: &Trace,
        submit: &Submit,
        attempts: &[RequestId],
        end: &End,
    ) -> Option<Violation> {
        let first = *attempts.first()?;
        let asked = submit.submitted.as_ref().filter(|_| trace.mode() != Mode::Exec);
        let began_us = asked.map_or(trace.request(first).at_us, |submitted| submitted.at_us);
        let asleep_us = trace.paused_between(submit.operation, began_us, end.at_us);
        let took_us = end.at_us.saturating_sub(began_us).saturating_sub(asleep_us);
        if took_us <= self.max_us.saturating_add(trace.upper_slack_us()) {
            return None;
        }
        let message = format!(
            "expected the operation to end within {}, found {} until {} after {}",
            in_words(self.max_us),
            in_words(took_us),
            end.how,
            crate::amount::plural(attempts.len(), "request")
        );
        let asked = asked.map(|submitted| submitted.seq);
        let evidence = events_of(trace, first).chain(asked).chain([end.seq]);
        Some(Violation::new(trace, submit.operation, message, evidence))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{in_short, invariant, message, verdict, verdict_on_real_clock};
    use crate::trace::testing::{trace, trace_with};

    fn lines(end: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"operation_submitted"}}
            {{"at_us":500000,"event":"request_received","request":1}}
            {{"at_us":600000,"event":"response_sent","request":1,"status":503}}
            {{"at_us":1500000,"event":"request_received","request":2,"attempt":2}}
            {end}"#
        )
    }

    fn check(end: &str) -> String {
        verdict("deadline", &json!({"max": "2s"}), &lines(end))
    }

    fn claim(at_us: u64, claim: &str) -> String {
        format!(r#"{{"at_us":{at_us},"event":"operation_finished","claim":"{claim}"}}"#)
    }

    #[test]
    fn the_claim_comes_in_time() {
        assert_eq!(check(&claim(2_000_000, "failed")), "passed");
        assert_eq!(check(&claim(2_000_001, "failed")), "failed op-0001");
        assert_eq!(
            message("deadline", &json!({"max": "2s"}), &trace(&lines(&claim(3_000_000, "failed")))),
            "expected the operation to end within 2 s, found 3 s until the client's claim after 2 requests"
        );
        let real = |at| {
            verdict_on_real_clock("deadline", &json!({"max": "2s"}), &lines(&claim(at, "failed")))
        };
        assert_eq!(real(3_000_000), "passed");
        assert_eq!(real(3_000_001), "failed op-0001");
    }

    #[test]
    fn a_driver_that_gave_up_ended_it_then() {
        let driver = claim(9_000_000, "unknown").replace('}', r#","by":"driver"}"#);
        assert_eq!(check(&driver), "failed op-0001");
    }

    #[test]
    fn what_follows_an_unknown_is_another_matter() {
        let cleared = format!("{}\n{}", claim(2_000_000, "unknown"), claim(9_000_000, "succeeded"));
        assert_eq!(check(&cleared), "passed");
    }

    #[test]
    fn without_a_claim_the_last_attempt_ends_it() {
        let answer = |at| format!(r#"{{"at_us":{at},"event":"response_sent","request":2}}"#);
        assert_eq!(check(&answer(2_000_000)), "passed");
        assert_eq!(check(&answer(2_000_001)), "failed op-0001");
        assert_eq!(check(""), "not exercised", "it goes on");
    }

    #[test]
    fn time_in_which_the_client_stood_still_does_not_count() {
        let paused = format!(
            r#"{{"at_us":1500000,"event":"client_paused","client":1,"pid":1,"for_us":500000}}
            {}"#,
            claim(2_500_000, "failed")
        );
        assert_eq!(check(&paused), "passed");
    }

    #[test]
    fn in_exec_mode_the_time_begins_with_the_first_request_and_with_speed_it_is_not_judged() {
        let with = |run: serde_json::Value, at| {
            let trace = trace_with(&run, &lines(&claim(at, "failed")));
            in_short(&invariant("deadline", &json!({"max": "2s"})).check(&trace))
        };
        assert_eq!(with(json!({"mode": "exec"}), 2_500_000), "passed");
        assert_eq!(with(json!({"mode": "exec"}), 2_500_001), "failed op-0001");
        assert_eq!(with(json!({"clock": "real", "speed": 20}), 9_500_001), "not exercised");
    }
}
