//! `bounded_retries`: an operation is not tried for ever.
//!
//! **Invariant:** counts attempts in a row; a complete success, or a request that was mended after a
//! permanent answer, begins a new row.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::Period;
use brownout_provider::units::in_words;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "bounded_retries",
    summary: "An operation is attempted at most so many times, within a limited time.",
    headline: "were retried too often",
    rule: "1 + retries is at most `max_attempts` per operation, submit, provider and route (5 retries are \
           `max_attempts: 6`), and from the first attempt to the last it takes at most `max_elapsed`.",
    exercised_by: "An operation of which an attempt failed.",
    parameters: &[
        ("max_attempts", "attempts in a row, at least 1; required"),
        (
            "max_elapsed",
            "the time from the first attempt to the last, such as `30s`; default no limit",
        ),
    ],
    tolerates: "Repeats that the HTTP stack makes by itself on a connection that was closed under it, \
                polls, followed redirects, whatever asks a queue for messages, and what is asked again \
                after a claim of `unknown`: a sweep counts for itself.",
    cure: "Give the retry loop a number of attempts and a total time, and count the attempts of every \
           layer: three attempts of an SDK inside three of your own are nine.",
    why: "Retries without an end turn a short outage into a long one, and the client's own bill into the \
          largest of it.",
    faults: &["status", "rate_limited", "reset", "close", "malformed", "ban"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[],
    example: "bounded_retries: {max_attempts: 5, max_elapsed: 30s}",
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
struct Raw {
    /// Attempts in a row, the first one included.
    #[schemars(range(min = 1))]
    max_attempts: u32,
    /// The time from the first attempt to the last.
    max_elapsed: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    if raw.max_attempts == 0 {
        at.key("max_attempts").error("`max_attempts` is 0", |problem| {
            problem.cure("use at least 1, the first attempt")
        });
        return None;
    }
    Some(Arc::new(BoundedRetries {
        max_attempts: usize::try_from(raw.max_attempts).unwrap_or(usize::MAX),
        max_elapsed_us: raw.max_elapsed.map(Period::micros),
    }))
}

#[derive(Debug)]
struct BoundedRetries {
    max_attempts: usize,
    max_elapsed_us: Option<u64>,
}

impl Invariant for BoundedRetries {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for chain in trace.chains() {
            // Whoever lives off a queue asks it as long as it lives.
            if chain.iter().any(|id| trace.request(*id).polls) {
                continue;
            }
            exercised += usize::from(chain.iter().any(|id| trace.failed(*id)));
            violations.extend(trace.rows(&chain).iter().filter_map(|row| self.judge(trace, row)));
        }
        Judgement::new(exercised, violations, "no attempt failed")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_failure(scenario, at, KIND.name);
    }
}

impl BoundedRetries {
    fn judge(&self, trace: &Trace, row: &[RequestId]) -> Option<Violation> {
        let [first, .., last] = row else { return None };
        let (first, last) = (trace.request(*first), trace.request(*last));
        let route = first.route.map_or("", |route| trace.text(route));
        let operation = first.operation?;
        let asleep_us = trace.paused_between(operation, first.at_us, last.at_us);
        let elapsed = last.at_us.saturating_sub(first.at_us).saturating_sub(asleep_us);
        let evidence = row.iter().map(|id| trace.request(*id).seq);
        if row.len() > self.max_attempts {
            let message = format!(
                "expected at most {} of `{route}`, found {} within {}",
                plural(self.max_attempts, "attempt"),
                row.len(),
                in_words(elapsed)
            );
            return Some(Violation::new(trace, operation, message, evidence));
        }
        let most = self.max_elapsed_us?;
        if elapsed <= most.saturating_add(trace.upper_slack_us()) {
            return None;
        }
        let message = format!(
            "expected the last attempt of `{route}` within {} of the first, found it after {}",
            in_words(most),
            in_words(elapsed)
        );
        Some(Violation::new(trace, operation, message, evidence))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace;

    /// So many attempts, a second apart, all but the last answered with `status`.
    fn attempts(number: u64, status: &str) -> String {
        let lines = (1..=number).map(|n| {
            let answer = if n < number { status } else { "201" };
            format!(
                r#"{{"at_us":{n}000000,"event":"request_received","request":{n},"attempt":{n}}}
                {{"at_us":{n}000001,"event":"response_sent","request":{n},"status":{answer}}}"#
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn check(parameters: &Value, lines: &str) -> String {
        verdict("bounded_retries", parameters, lines)
    }

    #[test]
    fn the_attempts_are_counted_with_the_first() {
        let three = json!({"max_attempts": 3});
        assert_eq!(check(&three, &attempts(3, "503")), "passed");
        assert_eq!(check(&three, &attempts(4, "503")), "failed op-0001");
        assert_eq!(check(&three, &attempts(1, "503")), "not exercised");
        assert_eq!(
            message("bounded_retries", &three, &trace(&attempts(4, "503"))),
            "expected at most 3 attempts of `create_charge`, found 4 within 3 s"
        );
    }

    #[test]
    fn the_time_from_first_to_last_is_limited() {
        let short = json!({"max_attempts": 9, "max_elapsed": "2s"});
        assert_eq!(check(&short, &attempts(3, "503")), "passed");
        assert_eq!(check(&short, &attempts(4, "503")), "failed op-0001");
        assert_eq!(verdict_on_real_clock("bounded_retries", &short, &attempts(4, "503")), "passed");
    }

    #[test]
    fn polls_and_redirects_are_attempts_and_no_retries() {
        let one = json!({"max_attempts": 1});
        assert_eq!(check(&one, &attempts(5, "200")), "not exercised");
        assert_eq!(check(&one, &attempts(5, "307")), "not exercised");
    }

    #[test]
    fn a_poll_that_fails_now_and_then_is_not_accused() {
        let lines = attempts(6, "200")
            .replace(r#""request":2,"status":200"#, r#""request":2,"status":503"#)
            .replace(r#""request":4,"status":200"#, r#""request":4,"status":503"#);
        assert_eq!(check(&json!({"max_attempts": 2}), &lines), "passed");
    }

    #[test]
    fn each_submit_and_each_provider_counts_for_itself() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":1,"event":"response_sent","request":1,"status":503}
            {"at_us":2,"event":"request_received","request":2,"submit":2}
            {"at_us":3,"event":"request_received","request":1,"provider":"backup"}"#;
        assert_eq!(check(&json!({"max_attempts": 1}), lines), "passed");
    }

    #[test]
    fn the_transports_own_repeat_is_not_accused() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1,"reused":true}
            {"at_us":1,"event":"connection_ended","request":1,"by":"provider"}
            {"at_us":2,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(check(&json!({"max_attempts": 1}), lines), "passed");
        let fresh = lines.replace(r#","reused":true"#, "");
        assert_eq!(check(&json!({"max_attempts": 1}), &fresh), "failed op-0001");
    }
}
