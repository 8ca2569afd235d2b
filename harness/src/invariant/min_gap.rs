//! `min_gap`: no tight loops.
//!
//! **Invariant:** a wait counts from the earliest moment at which the client can have known of the
//! failure.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::Period;
use brownout_provider::units::in_words;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{events_of, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{RequestId, Trace};

/// What the gap must be unless the scenario says otherwise.
const GAP_US: u64 = 50_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "min_gap",
    summary: "After a failure the client waits a moment before it tries again.",
    headline: "were retried in a tight loop",
    rule: "No retry arrives sooner than `gap` after the failure before it (of the same operation, submit, \
           provider and route). The wait counts from the moment before the head was written, from the \
           client's own close, or from the failed attempt's arrival where nothing was answered; 2 ms are \
           forgiven on the real clock. It is a promise of clients whose shortest wait is not zero: full \
           jitter draws from zero and breaks it now and then by design, so expect `backs_off` and \
           `bounded_retries` of such a client instead.",
    exercised_by: "A failed attempt.",
    parameters: &[("gap", "the shortest wait, such as `50ms`; default `50ms`")],
    tolerates: "Repeats that the HTTP stack makes by itself on a connection that was closed under it; \
                followed redirects; a request that was corrected after a permanent answer; who comes back \
                later to what it had called unknown.",
    cure: "Wait between attempts, longer each time and with some randomness; also after connection \
           errors, which many retry libraries repeat at once.",
    why: "A tight loop makes hundreds of requests a second from one failure: it spends the limit, fills the \
          logs, and gets the client banned.",
    faults: &["status", "reset", "close", "rate_limited", "tighten"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[],
    example: "min_gap: {gap: 100ms}",
    bare: true,
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
    /// The shortest wait.
    gap: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(MinGap { gap_us: raw.gap.map_or(GAP_US, Period::micros) }))
}

#[derive(Debug)]
struct MinGap {
    gap_us: u64,
}

impl Invariant for MinGap {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for chain in trace.chains() {
            exercised += chain.iter().filter(|id| trace.failed(**id)).count();
            let early = chain.windows(2).find_map(|pair| self.early(trace, pair[0], pair[1]));
            violations.extend(early);
        }
        Judgement::new(exercised, violations, "no attempt failed")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_failure(scenario, at, KIND.name);
    }
}

impl MinGap {
    fn early(&self, trace: &Trace, before: RequestId, next: RequestId) -> Option<Violation> {
        let request = trace.request(next);
        let has_failed =
            matches!(trace.fate_at(before, request.at_us), Some(Fate::Rejected | Fate::Ambiguous));
        if !has_failed
            || !trace.is_retry(next)
            || trace.is_mended(next)
            || trace.is_transport_repeat(next)
            || trace.restarted_between(
                request.operation?,
                trace.request(before).at_us,
                request.at_us,
            )
        {
            return None;
        }
        let waited = trace.waited_us(before, next);
        if waited.saturating_add(trace.slack_us()) >= self.gap_us {
            return None;
        }
        let message = format!(
            "expected a wait of at least {} after a failure, found {} before {}",
            in_words(self.gap_us),
            in_words(waited),
            trace.request_in_words(request)
        );
        let evidence = events_of(trace, before).chain([request.seq]);
        Some(Violation::new(trace, request.operation?, message, evidence))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{verdict, verdict_on_real_clock};

    fn check(end: &str, next: &str) -> String {
        let lines = format!(
            r#"{{"at_us":0,"event":"request_received","request":1,"reused":true}}
            {{"at_us":10,{end}}}
            {{"at_us":1010,"event":"request_received","request":2,"attempt":2{next}}}"#
        );
        verdict("min_gap", &Value::Null, &lines)
    }

    const REFUSED: &str = r#""event":"response_sent","request":1,"status":503"#;

    #[test]
    fn a_request_that_is_mended_over_and_over_is_only_tried_again() {
        let lines: Vec<String> = (0..8)
            .map(|n| {
                let at_us = n * 1_000;
                format!(
                    r#"{{"at_us":{at_us},"event":"request_received","request":{n},"attempt":{},"canonical_digest":"{n}"}}
                    {{"at_us":{at_us},"event":"response_sent","request":{n},"status":400}}"#,
                    n + 1
                )
            })
            .collect();
        let of = |number: usize| verdict("min_gap", &Value::Null, &lines[..number].join("\n"));
        assert_eq!(of(6), "passed");
        assert_eq!(of(8), "failed op-0001");
    }

    #[test]
    fn who_was_restarted_waits_for_nothing() {
        let started = r#"{"at_us":20,"event":"client_started","client":1,"pid":2}"#;
        let lines = format!(
            r#"{{"at_us":0,"event":"client_started","client":1,"pid":1}}
            {{"at_us":5,"event":"request_received","request":1}}
            {{"at_us":10,"event":"response_sent","request":1,"status":503}}
            {started}
            {{"at_us":1010,"event":"request_received","request":2,"attempt":2}}"#
        );
        assert_eq!(verdict("min_gap", &Value::Null, &lines), "passed");
        assert_eq!(verdict("min_gap", &Value::Null, &lines.replace(started, "")), "failed op-0001");
    }

    #[test]
    fn a_tight_loop_is_accused_and_a_pause_is_not() {
        assert_eq!(check(REFUSED, ""), "failed op-0001");
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":10,"event":"response_sent","request":1,"status":503}
            {"at_us":50010,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(verdict("min_gap", &Value::Null, lines), "passed");
        assert_eq!(verdict("min_gap", &json!({"gap": "51ms"}), lines), "failed op-0001");
        assert_eq!(
            verdict_on_real_clock("min_gap", &json!({"gap": "51ms"}), lines),
            "passed",
            "2 ms of slack"
        );
    }

    #[test]
    fn a_repeat_at_once_after_a_lost_connection_is_accused() {
        let reset = r#""event":"connection_ended","request":1,"by":"provider","how":"rst""#;
        assert_eq!(check(reset, r#","key":"new""#), "failed op-0001");
        assert_eq!(check(reset, ""), "passed", "the transport's own repeat");
        let hung_up = r#""event":"connection_ended","request":1"#;
        assert_eq!(check(hung_up, ""), "failed op-0001");
    }

    #[test]
    fn what_is_no_retry_is_not_accused() {
        assert_eq!(
            check(r#""event":"response_sent","request":1,"status":200"#, ""),
            "not exercised"
        );
        assert_eq!(
            check(r#""event":"response_sent","request":1,"status":307"#, ""),
            "not exercised"
        );
        let mended = r#","canonical_digest":"mended""#;
        assert_eq!(check(r#""event":"response_sent","request":1,"status":400"#, mended), "passed");
        assert_eq!(check(REFUSED, r#","provider":"backup""#), "passed", "a fallback");
    }

    #[test]
    fn who_comes_back_to_what_was_unknown_begins_anew() {
        let run = |claim: &str| {
            let lines = format!(
                r#"{{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":10,{REFUSED}}}
                {{"at_us":20,"event":"operation_finished","operation":"op-0001","submit":1,"claim":"{claim}"}}
                {{"at_us":30,"event":"request_received","request":2,"attempt":2}}"#
            );
            verdict("min_gap", &Value::Null, &lines)
        };
        assert_eq!(run("unknown"), "passed", "a sweep afterwards");
        assert_eq!(run("failed"), "failed op-0001", "a tight loop behind the caller's back");
    }

    #[test]
    fn a_hedge_is_no_retry_after_a_failure() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":1000,"event":"request_received","request":2,"attempt":2}
            {"at_us":2000,"event":"response_sent","request":1,"status":503}"#;
        assert_eq!(verdict("min_gap", &Value::Null, lines), "passed");
    }
}
