//! `retry_budget`: retries are a small part of what the client sends, however much fails.
//!
//! **Invariant:** counts arrivals, so that what the client's work takes changes nothing about a verdict
//! but in its favour.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Chance, Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{few_of, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// Retries that are always free.
const FLOOR: u32 = 10;

/// The sliding window.
const WINDOW_US: u64 = 10_000_000;

/// With fewer operations a share says nothing.
const OPERATIONS: usize = 20;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "retry_budget",
    summary: "Over all operations the client retries only a small part of what it sends.",
    headline: "were retried beyond the client's budget",
    rule: "Over the run, and in every window of `window` that ends with a retry, there are at most `ratio` \
           times as many retries as first attempts, plus `floor` for each copy of the client.",
    exercised_by: "At least 20 operations, and a failed attempt.",
    parameters: &[
        ("ratio", "retries for each first attempt, such as `10%`; default `10%`"),
        ("floor", "retries that are free in any window; default 10"),
        ("window", "the length of the sliding window; default `10s`"),
    ],
    tolerates: "Repeats that the HTTP stack makes by itself; polls, followed redirects, and requests that \
                were mended.",
    cure: "Let all operations of a client share one budget: each success or first attempt earns a tenth \
           of a retry, each retry spends one, and without any left the client gives up at once. A limit \
           per operation multiplies the load of an outage by that limit.",
    why: "When everything fails, retries multiply the traffic just when the provider can bear least, and \
          keep it down.",
    faults: &["status", "reset", "hang", "rate_limited"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[],
    example: "retry_budget: {ratio: 10%, floor: 10, window: 10s}",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RetryBudget")]
struct Raw {
    /// Retries for each first attempt.
    ratio: Option<Chance>,
    /// Retries that are free in any window.
    floor: Option<u32>,
    /// The length of the sliding window.
    window: Option<Period>,
}

/// Retries for each first attempt, unless the scenario says otherwise.
fn usual_ratio() -> Chance {
    "10%".parse().expect("a share in words")
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(RetryBudget {
        ratio: raw.ratio.unwrap_or_else(usual_ratio),
        floor: raw.floor.unwrap_or(FLOOR),
        window_us: raw.window.map_or(WINDOW_US, Period::micros),
    }))
}

#[derive(Debug)]
struct RetryBudget {
    ratio: Chance,
    floor: u32,
    window_us: u64,
}

/// Retries and first attempts, each by their arrivals: (when, the event).
#[derive(Default)]
struct Arrivals {
    retries: Vec<(u64, u32)>,
    firsts: Vec<u64>,
    copies: u32,
}

impl Invariant for RetryBudget {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        // Each copy of a client has a budget of its own.
        let mut seen = Arrivals { copies: trace.copies(), ..Arrivals::default() };
        let mut failures = 0;
        for (id, request) in trace.requests() {
            if !request.by.is_client() || request.operation.is_none() {
                continue;
            }
            failures += usize::from(trace.failed(id));
            if trace.is_own_retry(id) {
                seen.retries.push((request.at_us, request.seq));
            } else if !trace.is_transport_repeat(id) {
                seen.firsts.push(request.at_us);
            }
        }
        let active = trace.operations().filter(|(id, _)| trace.attempts_of(*id).next().is_some());
        if active.count() < OPERATIONS || failures == 0 {
            let why = "it takes at least 20 operations and a failed attempt";
            return Judgement::new(0, Vec::new(), why);
        }
        let violation = self.of_run(&seen).or_else(|| self.of_windows(trace, seen));
        Judgement::new(failures, violation.into_iter().collect(), "")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if scenario.workload.operations < 20 {
            at.note(
                "`retry_budget` needs at least 20 operations, and this scenario has fewer",
                |d| d.cure("raise `operations` of the workload"),
            );
        } else {
            needs_failure(scenario, at, KIND.name);
        }
    }
}

impl RetryBudget {
    /// How many retries so many first attempts allow.
    fn allowed(&self, firsts: usize, copies: u32) -> usize {
        let firsts = u128::try_from(firsts).unwrap_or(u128::MAX);
        let earned = firsts.saturating_mul(u128::from(self.ratio.parts_per_million())) / 1_000_000;
        usize::try_from(earned.saturating_add(self.free(copies))).unwrap_or(usize::MAX)
    }

    /// How many retries are free for so many copies of the client.
    fn free(&self, copies: u32) -> u128 {
        u128::from(self.floor) * u128::from(copies)
    }

    fn of_run(&self, seen: &Arrivals) -> Option<Violation> {
        let allowed = self.allowed(seen.firsts.len(), seen.copies);
        (seen.retries.len() > allowed).then(|| self.violation(seen, &seen.retries, "in the run"))
    }

    /// The window with the most retries above what it allows.
    fn of_windows(&self, trace: &Trace, mut seen: Arrivals) -> Option<Violation> {
        seen.retries.sort_unstable();
        seen.firsts.sort_unstable();
        let mut first_retry = 0;
        let mut worst: Option<(usize, std::ops::Range<usize>, std::ops::Range<usize>)> = None;
        for (last, (at_us, _)) in seen.retries.iter().enumerate() {
            let from_us = at_us.saturating_sub(self.window_us);
            while seen.retries[first_retry].0 < from_us {
                first_retry += 1;
            }
            // What the client sent a moment before its own window began arrived in it, or the reverse.
            let lenient_us = from_us.saturating_sub(trace.reaction_us());
            let first = seen.firsts.partition_point(|first| *first < lenient_us);
            let end = seen.firsts.partition_point(|first| first <= at_us);
            let above =
                (last + 1 - first_retry).saturating_sub(self.allowed(end - first, seen.copies));
            if above > worst.as_ref().map_or(0, |(most, ..)| *most) {
                worst = Some((above, first_retry..last + 1, first..end));
            }
        }
        let (_, retries, firsts) = worst?;
        let window = Arrivals {
            retries: seen.retries[retries].to_vec(),
            firsts: seen.firsts[firsts].to_vec(),
            copies: seen.copies,
        };
        let place = format!("within {}", in_words(self.window_us));
        Some(self.violation(&window, &window.retries, &place))
    }

    fn violation(&self, seen: &Arrivals, retries: &[(u64, u32)], place: &str) -> Violation {
        let message = format!(
            "expected at most {} retries {place} ({} of {} and {} besides), found {}",
            self.allowed(seen.firsts.len(), seen.copies),
            self.ratio,
            plural(seen.firsts.len(), "first attempt"),
            self.free(seen.copies),
            retries.len()
        );
        Violation::of_run(message, few_of(retries.iter().map(|(_, seq)| *seq)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "retry_budget";

    /// So many operations, a second apart, of which the first `retried` fail once and are tried again after
    /// `wait_us`.
    fn lines(operations: u64, retried: u64, apart_us: u64) -> String {
        let mut lines: Vec<String> = Vec::new();
        for n in 1..=operations {
            let at = n * apart_us;
            let status = if n <= retried { 503 } else { 201 };
            lines.push(format!(
                r#"{{"at_us":{at},"event":"request_received","request":{n},"operation":"op-{n:04}"}}
                {{"at_us":{at},"event":"response_sent","request":{n},"status":{status}}}
                "#
            ));
            if n <= retried {
                let (again, at) = (n + 10_000, at + apart_us / 2);
                lines.push(format!(
                    r#"{{"at_us":{at},"event":"request_received","request":{again},"attempt":2,"operation":"op-{n:04}"}}
                    {{"at_us":{at},"event":"response_sent","request":{again},"status":201}}
                    "#
                ));
            }
        }
        lines.join(
            "
",
        )
    }

    fn check(operations: u64, retried: u64) -> String {
        // Windows that are too short to hold more than is free in each.
        let short = json!({"window": "1ms"});
        verdict(NAME, &short, &lines(operations, retried, 100_000))
    }

    #[test]
    fn a_tenth_of_the_first_attempts_and_ten_more_are_free() {
        assert_eq!(check(20, 12), "passed");
        assert_eq!(check(20, 13), "failed run");
        assert_eq!(check(100, 20), "passed");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&lines(20, 13, 100_000))),
            "expected at most 12 retries in the run (10% of 20 first attempts and 10 besides), found 13"
        );
    }

    #[test]
    fn each_window_has_its_own_budget() {
        // 200 operations in 20 s, of which 25 in the first 2.5 s are tried again: 30 are allowed in the run.
        let burst = lines(200, 25, 100_000);
        assert_eq!(verdict(NAME, &Value::Null, &burst), "failed run");
        let message = message(NAME, &Value::Null, &trace(&burst));
        assert!(message.contains("within 10 s (10% of 25 first attempts"), "{message}");
        assert_eq!(verdict(NAME, &json!({"floor": 25}), &burst), "passed");
        assert_eq!(
            verdict(NAME, &json!({"floor": 25, "ratio": "0%"}), &lines(200, 26, 100_000)),
            "failed run"
        );
    }

    #[test]
    fn few_operations_and_fair_weather_exercise_nothing() {
        assert_eq!(check(19, 19), "not exercised");
        assert_eq!(check(40, 0), "not exercised");
    }

    #[test]
    fn what_is_no_retry_costs_nothing() {
        let polls = lines(20, 20, 100_000).replace("503", "201");
        let one_failed = polls.replacen("201", "503", 1);
        assert_eq!(verdict(NAME, &Value::Null, &one_failed), "passed");
    }

    #[test]
    fn each_copy_of_a_client_has_a_budget_of_its_own() {
        let copies = |copies: u32| {
            let started = format!(r#"{{"at_us":0,"event":"client_started","client":{copies}}}"#);
            verdict(NAME, &Value::Null, &format!("{started}\n{}", lines(20, 13, 100_000)))
        };
        assert_eq!(copies(1), "failed run");
        assert_eq!(copies(2), "passed");
    }
}
