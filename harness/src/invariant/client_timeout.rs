//! `client_timeout`: an answer that does not come is not waited for without end.
//!
//! **Invariant:** an attempt is given up by the first of: its connection's end, the client's next
//! attempt, the client's claim.

use std::cmp::Reverse;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::ClaimBy;
use brownout_provider::units::Period;
use brownout_provider::units::{in_words, in_words_exactly};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NO_UPPER_BOUND, cannot, events_of, hung, means, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "client_timeout",
    summary: "An answer that hangs or drips is given up in time.",
    headline: "hung on an answer that did not come",
    rule: "An attempt whose answer is not whole after `max` has been given up by then: the client closed \
           or reset the connection, sent its next attempt, or made its claim. One second is forgiven on \
           the real clock.",
    exercised_by: "An answer that never came whole until the client gave it up, or took longer than `max`.",
    parameters: &[("max", "how long an attempt may last, such as `10s`; required")],
    tolerates: "Any time within `max`.",
    cure: "Set a time-out on every request, for the connection and for the whole answer: a limit on the \
           pause between two bytes never ends an answer that drips.",
    why: "Without a time-out one hung call holds its thread and connection for ever; a few dozen of them \
          are an outage.",
    faults: &["hang", "drip", "stream", "slow_tokens", "throttle_bandwidth", "slow_commit"],
    without_a_fault: "",
    modes: &[BOUNDS_TIME],
    example: "client_timeout: {max: 10s}",
    bare: false,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// How long an attempt may last.
    max: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(ClientTimeout { max_us: raw.max.micros() }))
}

#[derive(Debug)]
struct ClientTimeout {
    max_us: u64,
}

impl Invariant for ClientTimeout {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations() {
            let mut worst: Option<(RequestId, u64)> = None;
            let attempts: Vec<(RequestId, &Request)> = trace.attempts_of(operation).collect();
            for (position, (id, request)) in attempts.iter().enumerate() {
                let (id, later) = (*id, &attempts[position + 1..]);
                let given_up_us = given_up_at_us(trace, operation, request, later);
                let asleep_us = trace.paused_between(operation, request.at_us, given_up_us);
                let lasted = given_up_us.saturating_sub(request.at_us).saturating_sub(asleep_us);
                exercised += usize::from(hung(request) || lasted > self.max_us);
                if lasted > self.max_us.saturating_add(trace.upper_slack_us()) {
                    worst = worst.filter(|(_, longest)| *longest >= lasted).or(Some((id, lasted)));
                }
            }
            violations.extend(
                worst.map(|(id, lasted)| (lasted, self.violation(trace, operation, id, lasted))),
            );
        }
        // The worst comes first, because a report shows the first.
        violations.sort_by_key(|(lasted, _)| Reverse(*lasted));
        let violations = violations.into_iter().map(|(_, violation)| violation).collect();
        Judgement::new(exercised, violations, "no answer hung")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.hang && means.delay_us <= self.max_us {
            let why = "no rule of this scenario makes an answer hang";
            cannot(at, KIND.name, why, "inject: hang");
        }
        if scenario.workload.deadline.as_micros() <= u128::from(self.max_us) {
            at.key("max").note("the deadline of an operation is not above `max`", |problem| {
                problem.cure("give the operations a longer `deadline`, so that the driver does not end them first")
            });
        }
    }
}

impl ClientTimeout {
    fn violation(
        &self,
        trace: &Trace,
        operation: OperationId,
        id: RequestId,
        lasted: u64,
    ) -> Violation {
        let request = trace.request(id);
        let until = if trace.ended_by_harness(request) {
            ", until the harness ended the client"
        } else {
            ""
        };
        let message = format!(
            "expected {} to be given up within {}, as the scenario's `client_timeout: {{max: {}}}` asks, \
             found the client waiting for {}{until}",
            trace.request_in_words(request),
            in_words(self.max_us),
            in_words_exactly(self.max_us).replace(' ', ""),
            in_words(lasted)
        );
        Violation::new(trace, operation, message, events_of(trace, id))
    }
}

/// When the client no longer waited for this attempt; the end of the trace, if it never stopped.
fn given_up_at_us(
    trace: &Trace,
    operation: OperationId,
    request: &Request,
    later: &[(RequestId, &Request)],
) -> u64 {
    let answered = request.response.filter(|one| one.complete).map(|one| one.end_at_us);
    let ended = request.ended.as_deref().map(|ended| ended.at_us);
    let next = later
        .iter()
        .find(|(_, other)| {
            // What it asks elsewhere meanwhile does not say that it no longer waits here.
            (other.submit, other.provider, other.route)
                == (request.submit, request.provider, request.route)
                && other.at_us > request.at_us
        })
        .map(|(_, other)| other.at_us);
    let claimed = trace
        .submits_of(operation)
        .filter(|(_, submit)| submit.number == request.submit)
        .flat_map(|(_, submit)| trace.claims(submit))
        .filter(|claim| claim.by == ClaimBy::Client && claim.at_us >= request.at_us)
        .map(|claim| claim.at_us)
        .min();
    [answered, ended, next, claimed].into_iter().flatten().min().unwrap_or(trace.last_at_us)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{message, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace;

    const HUNG: &str = r#"{"at_us":0,"event":"request_received","request":1}"#;

    fn check(end: &str) -> String {
        verdict("client_timeout", &json!({"max": "2s"}), &format!("{HUNG}\n{end}"))
    }

    #[test]
    fn the_first_of_close_next_attempt_and_claim_counts() {
        for end in [
            r#""event":"connection_ended","request":1"#,
            r#""event":"request_received","request":2,"attempt":2"#,
            r#""event":"operation_finished","claim":"failed""#,
        ] {
            let close = r#"{"at_us":2000002,"event":"response_sent","request":2}
                {"at_us":9000000,"event":"connection_ended","request":1}"#;
            assert_eq!(check(&format!("{{\"at_us\":2000000,{end}}}\n{close}")), "passed", "{end}");
            assert_eq!(
                check(&format!("{{\"at_us\":2000001,{end}}}\n{close}")),
                "failed op-0001",
                "{end}"
            );
        }
    }

    #[test]
    fn what_is_asked_elsewhere_meanwhile_ends_no_wait() {
        let beside = r#"{"at_us":1000000,"event":"request_received","request":2,"route":"list_charges","unsafe":false}
            {"at_us":1000001,"event":"response_sent","request":2}
            {"at_us":9000000,"event":"connection_ended","request":1}"#;
        assert_eq!(check(beside), "failed op-0001");
    }

    #[test]
    fn the_worst_attempt_stands_first_and_says_where_its_limit_comes_from() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":3000000,"event":"connection_ended","request":1}
            {"at_us":3000000,"event":"request_received","request":2,"operation":"op-0002"}
            {"at_us":7000000,"event":"connection_ended","request":2}
            {"at_us":7000000,"event":"request_received","request":3,"operation":"op-0002","attempt":2}
            {"at_us":16000000,"event":"connection_ended","request":3}"#;
        assert_eq!(
            verdict("client_timeout", &json!({"max": "2s"}), lines),
            "failed op-0002 op-0001"
        );
        let message = message("client_timeout", &json!({"max": "2s"}), &trace(lines));
        assert_eq!(
            message,
            "expected attempt 2 of `create_charge` to be given up within 2 s, as the scenario's \
             `client_timeout: {max: 2s}` asks, found the client waiting for 9 s"
        );
    }

    #[test]
    fn a_second_is_forgiven_on_the_real_clock() {
        let closed = |at: u64| {
            let line = format!(r#"{{"at_us":{at},"event":"connection_ended","request":1}}"#);
            let lines = format!("{HUNG}\n{line}");
            verdict_on_real_clock("client_timeout", &json!({"max": "2s"}), &lines)
        };
        assert_eq!(closed(3_000_000), "passed");
        assert_eq!(closed(3_000_001), "failed op-0001");
    }

    #[test]
    fn an_answer_that_drips_whole_after_all_was_waited_for_too_long() {
        let drips =
            r#"{"at_us":7000000,"event":"response_sent","request":1,"status":200,"head_at_us":10}"#;
        assert_eq!(check(drips), "failed op-0001");
    }

    #[test]
    fn the_drivers_word_is_no_word_of_the_client() {
        let driver = r#"{"at_us":1000000,"event":"operation_finished","claim":"unknown","by":"driver"}
            {"at_us":5000000,"event":"connection_ended","request":1}"#;
        assert_eq!(check(driver), "failed op-0001");
    }

    #[test]
    fn whom_the_harness_ended_gave_up_nothing() {
        let ended = r#"{"at_us":5000000,"event":"connection_ended","request":1}
            {"at_us":5000300,"event":"client_ended","signal":9,"killed":true}"#;
        let trace = trace(&format!("{HUNG}\n{ended}"));
        let message = message("client_timeout", &json!({"max": "2s"}), &trace);
        assert!(
            message.ends_with("waiting for 5 s, until the harness ended the client"),
            "{message}"
        );
    }

    #[test]
    fn without_a_hang_nothing_is_exercised() {
        let answered = r#"{"at_us":100,"event":"response_sent","request":1,"status":200}"#;
        assert_eq!(check(answered), "not exercised");
        let reset =
            r#"{"at_us":100,"event":"connection_ended","request":1,"by":"provider","how":"rst"}"#;
        assert_eq!(check(reset), "not exercised");
    }
}
