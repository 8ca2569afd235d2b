//! `spreads_retries`: operations that failed together do not come back together.
//!
//! **Invariant:** a herd is seen only in what the client did: of operations that did not fail within one
//! window nothing is said.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Chance, Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::reach::{most_struck, only_hints};
use super::recoverable::reaches;
use super::support::{few_of, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, RequestId, Trace};

/// This share of a group may come back within one window, in parts per million.
const SHARE_PPM: u32 = 800_000;

/// Fewer operations are no herd.
const HERD: usize = 20;

/// The window is at least so long on the real clock.
const SHORTEST_US: u64 = 50_000;

/// The median wait is so many times as long as the shortest window, or the window says nothing: waits drawn
/// from a half to the whole of 200 ms mostly lie within 50 ms of each other.
const SHARPNESS: u64 = 5;

/// The default window is the median wait divided by this.
const PARTS: u64 = 20;

/// Why nothing is said of operations that come back within milliseconds.
const BLURRED: &str =
    "the waits are too short to be told apart on the real clock; use a longer backoff";

/// Why nothing is said where no herd could come back.
const NO_HERD: &str = "no 20 operations failed at the same moment without a hint";

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "spreads_retries",
    summary: "Operations that failed together do not all try again at the same moment.",
    headline: "came back in a herd",
    rule: "Of at least 20 operations whose failures were delivered within one `window`, at most `share` make \
           their next attempt within one `window`. The window is a twentieth of the median wait of the run, and of \
           these failures if that is shorter, on the real clock at least 50 ms, unless the scenario says otherwise; \
           there a median wait below 250 ms is not judged without one.",
    exercised_by: "Failures of 20 operations within one window, without a hint.",
    parameters: &[
        ("window", "what counts as one moment; default a twentieth of the median wait"),
        ("share", "the share of a group that may come back at one moment; default `80%`"),
        ("after_hint", "true: waits that a hint set are judged as well; default false"),
    ],
    tolerates: "Waits that a hint set; clients that give up, or send a single probe; repeats that the HTTP \
                stack makes by itself; a restart in between.",
    cure: "Draw each wait at random, from zero (or a half) to the full backoff: a fixed schedule brings all \
           that failed together back together, and the provider down again.",
    why: "Clients that failed together and come back together are the next peak, and bring the provider \
          down again.",
    faults: &["status", "reset", "close"],
    without_a_fault: "",
    modes: &[],
    example: "spreads_retries: {share: 60%, window: 100ms}",
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
#[schemars(rename = "SpreadsRetries")]
struct Raw {
    /// What counts as one moment.
    window: Option<Period>,
    /// The share of a group that may come back at one moment.
    share: Option<Chance>,
    /// True: waits that a hint set are judged as well.
    after_hint: Option<bool>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(SpreadsRetries {
        window_us: raw.window.map(Period::micros),
        share_ppm: raw.share.map_or(SHARE_PPM, Chance::parts_per_million),
        after_hint: raw.after_hint.unwrap_or(false),
    }))
}

#[derive(Debug)]
struct SpreadsRetries {
    window_us: Option<u64>,
    share_ppm: u32,
    after_hint: bool,
}

/// A failure that was delivered, and the attempt that followed it.
struct Failure {
    at_us: u64,
    operation: OperationId,
    next: Option<(u64, RequestId)>,
}

impl Invariant for SpreadsRetries {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut failures: Vec<Failure> =
            trace.requests().filter_map(|(id, _)| self.failure(trace, id)).collect();
        failures.sort_by_key(|one| (one.at_us, one.operation));
        let Some(window_us) = self.window_us.or_else(|| usual_window_us(trace, &failures)) else {
            return Judgement::new(0, Vec::new(), BLURRED);
        };
        let (mut exercised, mut violations, mut why_not) = (0, Vec::new(), NO_HERD);
        for group in groups(&failures, window_us) {
            let group = &failures[group];
            // Later waits that are longer say nothing of how close together these came back.
            let own_us = self.window_us.or_else(|| usual_window_us(trace, group));
            let Some(own_us) = own_us else {
                why_not = BLURRED;
                continue;
            };
            exercised += 1;
            violations.extend(self.herd(trace, group, own_us.min(window_us)));
        }
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let few = scenario.workload.operations.min(scenario.workload.concurrency) < 20;
        if few {
            at.note("`spreads_retries` needs 20 operations that fail together", |problem| {
                problem.cure("raise `operations` and `concurrency` of the workload to 20 or more")
            });
        } else if needs_failure(scenario, at, KIND.name) {
            self.needs_a_herd(scenario, at);
        }
    }
}

impl SpreadsRetries {
    /// Remarks where the rules strike too few operations, or where nothing but hints says when they come back.
    fn needs_a_herd(&self, scenario: &Scenario, at: &At<'_>) {
        if !self.after_hint && only_hints(scenario) {
            let why =
                "each failure of this scenario comes with a hint, which says when to come back";
            at.note(format!("`{}` may stay without a verdict: {why}", KIND.name), |problem| {
                problem.cure(
                    "say `after_hint: true`, or add a rule such as `inject: {status: {code: 503}}`",
                )
            });
        }
        if let Some(struck) = most_struck(scenario)
            .filter(|struck| usize::try_from(*struck).is_ok_and(|struck| struck < HERD))
        {
            let why =
                format!("the rules strike {struck} operations at most, and {HERD} make a herd");
            at.note(format!("`{}` may stay without a verdict: {why}", KIND.name), |problem| {
                problem.cure(
                    "add a rule such as `when: {attempt: 1}, inject: {status: {code: 503}}`, or let the rules \
                     strike more operations",
                )
            });
        }
    }

    /// The failure of an attempt, where nothing but the client says when it tries again.
    fn failure(&self, trace: &Trace, id: RequestId) -> Option<Failure> {
        let request = trace.request(id);
        let operation = request.operation.filter(|_| request.by.is_client())?;
        let hinted = trace.hints(id).iter().any(|hint| hint.wait_us != Some(0));
        if !trace.failed(id) || trace.ended_by_harness(request) || (hinted && !self.after_hint) {
            return None;
        }
        let at_us = trace.known_at_us(id)?;
        let next = trace.next(id).filter(|next| trace.is_own_retry(*next));
        let next = next.map(|next| (trace.request(next).at_us, next));
        let restarted = next.is_some_and(|(to_us, _)| {
            to_us < at_us || trace.restarted_between(operation, at_us, to_us)
        });
        (!restarted).then_some(Failure { at_us, operation, next })
    }

    /// The attempts that came back together.
    fn herd(&self, trace: &Trace, group: &[Failure], window_us: u64) -> Option<Violation> {
        let mut firsts = BTreeMap::<OperationId, Option<(u64, RequestId)>>::new();
        for failure in group {
            firsts.entry(failure.operation).or_insert(failure.next);
        }
        let mut returns: Vec<(u64, RequestId)> = firsts.values().copied().flatten().collect();
        returns.sort_unstable();
        let mut from = 0;
        let mut most = 0..0;
        for (to, (at_us, _)) in returns.iter().enumerate() {
            while returns[from].0.saturating_add(window_us) < *at_us {
                from += 1;
            }
            if to + 1 - from > most.len() {
                most = from..to + 1;
            }
        }
        let together = &returns[most];
        if is_at_most(together.len(), firsts.len(), self.share_ppm) {
            return None;
        }
        let (first, last) = (together.first()?, together.last()?);
        let message = format!(
            "of {} operations that failed within {} expected at most {}% to come back within as long, found \
             {} within {}",
            firsts.len(),
            in_words(window_us),
            self.share_ppm / 10_000,
            together.len(),
            in_words(last.0 - first.0)
        );
        let evidence = together.iter().map(|(_, id)| trace.request(*id).seq);
        Some(Violation::of_run(message, few_of(evidence)))
    }
}

/// True when `part` of `whole` are at most `share` of it.
fn is_at_most(part: usize, whole: usize, share_ppm: u32) -> bool {
    reaches(whole - part, whole, 1_000_000 - share_ppm)
}

/// A twentieth of the median wait, and no less than timers and networks need; `None` where that is so much of
/// the wait that chance alone brings most of a herd together in it.
fn usual_window_us(trace: &Trace, failures: &[Failure]) -> Option<u64> {
    let waits = failures.iter().filter_map(|one| Some(one.next?.0.saturating_sub(one.at_us)));
    let mut waits: Vec<u64> = waits.collect();
    waits.sort_unstable();
    let median_us = waits.get(waits.len() / 2).copied().unwrap_or(0);
    let shortest_us = trace.on_real_clock(SHORTEST_US);
    let is_blurred = !waits.is_empty() && median_us < shortest_us.saturating_mul(SHARPNESS);
    (!is_blurred).then(|| (median_us / PARTS).max(shortest_us))
}

/// The groups of failures, by their places in the list: each within one window, of enough operations, and
/// none in two groups.
fn groups(failures: &[Failure], window_us: u64) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut counts = BTreeMap::<OperationId, usize>::new();
    let (mut from, mut to) = (0, 0);
    while from < failures.len() {
        let until_us = failures[from].at_us.saturating_add(window_us);
        while let Some(failure) = failures.get(to).filter(|one| one.at_us <= until_us) {
            *counts.entry(failure.operation).or_default() += 1;
            to += 1;
        }
        if counts.len() >= HERD {
            groups.push(from..to);
            counts.clear();
            from = to;
            continue;
        }
        let leaving = failures[from].operation;
        if let Some(count) = counts.get_mut(&leaving) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&leaving);
            }
        }
        from += 1;
    }
    groups
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace;

    const NAME: &str = "spreads_retries";

    /// So many operations that fail together and come back after these waits.
    fn lines(operations: u64, wait: impl Fn(u64) -> Option<u64>, answer: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        for n in 1..=operations {
            lines.push(format!(
                r#"{{"at_us":{n},"event":"request_received","request":{n},"operation":"op-{n:04}"}}
                {{"at_us":{n},"event":"response_sent","request":{n},{answer}}}
                "#
            ));
            if let Some(wait) = wait(n) {
                let (at, request) = (n + wait, n + 10_000);
                lines.push(format!(
                    r#"{{"at_us":{at},"event":"request_received","request":{request},"attempt":2,"operation":"op-{n:04}"}}
                    "#
                ));
            }
        }
        lines.join(
            "
",
        )
    }

    const BUSY: &str = r#""status":503"#;

    #[test]
    fn a_fixed_delay_brings_a_herd_back() {
        let herd = lines(20, |_| Some(1_000_000), BUSY);
        assert_eq!(verdict(NAME, &Value::Null, &herd), "failed run");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&herd)),
            "of 20 operations that failed within 50 ms expected at most 80% to come back within as long, \
             found 20 within 19 µs"
        );
        assert_eq!(
            verdict(NAME, &Value::Null, &lines(19, |_| Some(1_000_000), BUSY)),
            "not exercised"
        );
    }

    #[test]
    fn long_waits_later_on_do_not_widen_the_moment_of_the_first() {
        let first = lines(20, |n| Some(n * 5_000), BUSY);
        let later = |n: u64| {
            let (at, next, request) =
                (1_000_000 + n * 500_000, 1_000_000 + n * 500_000 + 8_000_000, n + 20_000);
            format!(
                r#"{{"at_us":{at},"event":"request_received","request":{request},"operation":"op-1{n:03}"}}
                {{"at_us":{at},"event":"response_sent","request":{request},{BUSY}}}
                {{"at_us":{next},"event":"request_received","request":{},"attempt":2,"operation":"op-1{n:03}"}}"#,
                request + 10_000
            )
        };
        let later: Vec<String> = (0..60).map(later).collect();
        assert_eq!(
            verdict(NAME, &Value::Null, &format!("{first}\n{}", later.join("\n"))),
            "passed"
        );
        let herd = lines(20, |_| Some(50_000), BUSY);
        assert_eq!(
            verdict(NAME, &Value::Null, &format!("{herd}\n{}", later.join("\n"))),
            "failed run"
        );
    }

    #[test]
    fn waits_drawn_at_random_pass() {
        let spread = lines(20, |n| Some(n * 50_000), BUSY);
        assert_eq!(verdict(NAME, &Value::Null, &spread), "passed");
        let narrow = lines(20, |n| Some(1_000_000 + n * 1_000), BUSY);
        assert_eq!(verdict(NAME, &Value::Null, &narrow), "failed run");
        assert_eq!(verdict(NAME, &json!({"window": "10ms"}), &narrow), "passed");
    }

    #[test]
    fn up_to_the_share_may_come_back_together() {
        let most = |together: u64| {
            let lines =
                lines(20, |n| Some(if n <= together { 1_000_000 } else { n * 2_000_000 }), BUSY);
            verdict(NAME, &Value::Null, &lines)
        };
        assert_eq!(most(16), "passed");
        assert_eq!(most(17), "failed run");
    }

    #[test]
    fn who_gives_up_is_part_of_the_group_and_no_part_of_a_herd() {
        let lines = lines(40, |n| (n <= 30).then_some(1_000_000), BUSY);
        assert_eq!(verdict(NAME, &Value::Null, &lines), "passed", "30 of 40");
    }

    #[test]
    fn a_hint_brings_all_back_at_once_unless_the_scenario_says_otherwise() {
        let hint =
            format!(r#"{BUSY},"hints":[{{"source":"retry-after","text":"1","wait_us":1000000}}]"#);
        let lines = lines(20, |_| Some(1_000_000), &hint);
        assert_eq!(verdict(NAME, &Value::Null, &lines), "not exercised");
        assert_eq!(verdict(NAME, &json!({"after_hint": true}), &lines), "failed run");
    }

    #[test]
    fn on_the_real_clock_50_ms_are_one_moment() {
        let lines = lines(20, |n| Some(300_000 + n * 2_000), BUSY);
        assert_eq!(verdict(NAME, &Value::Null, &lines), "passed");
        assert_eq!(verdict_on_real_clock(NAME, &Value::Null, &lines), "failed run");
        assert_eq!(verdict_on_real_clock(NAME, &json!({"window": "10ms"}), &lines), "passed");
    }

    #[test]
    fn waits_that_the_real_clock_cannot_tell_apart_are_not_judged() {
        let drawn = |median: u64| lines(20, |n| Some(median * 3 / 4 + n * median / 40), BUSY);
        assert_eq!(verdict_on_real_clock(NAME, &Value::Null, &drawn(100_000)), "not exercised");
        assert_eq!(verdict_on_real_clock(NAME, &Value::Null, &drawn(300_000)), "passed");
        let fixed = lines(20, |_| Some(300_000), BUSY);
        assert_eq!(verdict_on_real_clock(NAME, &Value::Null, &fixed), "failed run");
        let said = json!({"window": "10ms"});
        let short = lines(20, |_| Some(100_000), BUSY);
        assert_eq!(verdict_on_real_clock(NAME, &said, &short), "failed run");
    }
}
