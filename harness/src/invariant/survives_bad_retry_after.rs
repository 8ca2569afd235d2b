//! `survives_bad_retry_after`: a hint that makes no sense is not obeyed to the letter.
//!
//! **Invariant:** judges only what follows the bad hint directly: the next attempt, or the claim.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::Class;
use brownout_provider::units::Period;
use brownout_provider::units::in_words;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{cannot, events_of, is_driven, is_only_slow, means, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Hint, Request, RequestId, Trace};

/// Nobody means a wait longer than a day.
const ABSURD_US: u64 = 24 * 3_600 * 1_000_000;

/// What the gap must be unless the scenario says otherwise.
const MIN_GAP_US: u64 = 50_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "survives_bad_retry_after",
    summary: "A retry hint that makes no sense neither kills the client nor makes it hammer or sleep for \
              ever.",
    headline: "were led astray by a senseless retry hint",
    rule: "After a malformed, negative, zero, past or absurd hint (above a day) the client neither ends \
           without a claim, nor tries again within `min_gap`, nor waits past its deadline. A client with \
           full jitter draws its own waits from zero, and needs a `min_gap` of `0ms`.",
    exercised_by: "Such a hint in an answer that is no success.",
    parameters: &[("min_gap", "the shortest sensible wait, such as `50ms`; default `50ms`")],
    tolerates: "Any wait of its own choice; giving up at once.",
    cure: "Read the hint defensively: take a whole number of seconds or a date, clamp it between your own \
           backoff and what is left before the deadline, and ignore everything else.",
    why: "A hint that cannot be read is no reason to crash, to hammer, or to sleep until next year; all \
          three have happened.",
    faults: &["rate_limited", "status"],
    without_a_fault: "",
    modes: &[
        "Silence is a violation only where the driver waits for a claim: not in suite mode, nor under \
         `brownout serve`.",
    ],
    example: "survives_bad_retry_after: {min_gap: 100ms}",
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
    /// The shortest sensible wait.
    min_gap: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let min_gap_us = raw.min_gap.map_or(MIN_GAP_US, Period::micros);
    Some(Arc::new(SurvivesBadRetryAfter { min_gap_us }))
}

#[derive(Debug)]
struct SurvivesBadRetryAfter {
    min_gap_us: u64,
}

impl Invariant for SurvivesBadRetryAfter {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, request) in trace.requests() {
            let Some(hint) = bad_hint(trace, id, request) else { continue };
            exercised += 1;
            violations.extend(match trace.next(id) {
                Some(next) if !is_too_late(trace, next) => self.hammers(trace, (id, hint), next),
                Some(_) | None => astray(trace, (id, hint), request),
            });
        }
        Judgement::new(exercised, violations, "no answer carried a senseless hint")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !means(scenario).bad_hint {
            let why = "no rule of this scenario gives a senseless retry hint";
            cannot(at, KIND.name, why, "inject: {rate_limited: {retry_after: garbage}}");
        }
    }
}

impl SurvivesBadRetryAfter {
    fn hammers(
        &self,
        trace: &Trace,
        hinted: (RequestId, &Hint),
        next: RequestId,
    ) -> Option<Violation> {
        let request = trace.request(next);
        let waited = trace.waited_us(hinted.0, next);
        let is_soon = waited.saturating_add(trace.slack_us()) < self.min_gap_us;
        // What arrived before the hint was written could not know of it.
        let knew =
            trace.request(hinted.0).response.is_some_and(|one| one.head_at_us <= request.at_us);
        let before_us = trace.request(hinted.0).at_us;
        let is_new = trace.restarted_between(request.operation?, before_us, request.at_us);
        if !is_soon || !knew || is_new {
            return None;
        }
        let message = format!(
            "after {} expected a wait of at least {}, found {} before {}",
            in_short(trace, hinted),
            in_words(self.min_gap_us),
            in_words(waited),
            trace.request_in_words(request)
        );
        let evidence = events_of(trace, hinted.0).chain([request.seq]);
        Some(Violation::new(trace, request.operation?, message, evidence))
    }
}

/// The first senseless hint in an answer to the client that is no success.
fn bad_hint<'a>(trace: &'a Trace, id: RequestId, request: &Request) -> Option<&'a Hint> {
    request.response.filter(|one| one.class != Class::Success)?;
    request.operation.filter(|_| request.by.is_client())?;
    trace
        .hints(id)
        .iter()
        .find(|hint| hint.wait_us.is_none_or(|wait_us| wait_us == 0 || wait_us > ABSURD_US))
}

fn in_short(trace: &Trace, (id, hint): (RequestId, &Hint)) -> String {
    let status = trace.request(id).response.map_or(0, |response| response.status);
    let text = hint.text.map_or(String::new(), |text| format!(": {}", trace.text(text)));
    format!("{status} with `{}{text}`", trace.text(hint.source))
}

/// True for an attempt that came when its caller had long given up.
fn is_too_late(trace: &Trace, id: RequestId) -> bool {
    let request = trace.request(id);
    let submits = request.operation.into_iter().flat_map(|one| trace.submits_of(one));
    let mut its = submits.filter(|(_, submit)| submit.number == request.submit);
    let gives_up_us = its.find_map(|(_, submit)| trace.gives_up_at_us(submit));
    gives_up_us.is_some_and(|at_us| request.at_us > at_us.saturating_add(trace.upper_slack_us()))
}

/// The bad hint was the last that the operation heard, and the client never came back with a claim, or
/// too late.
fn astray(trace: &Trace, hinted: (RequestId, &Hint), request: &Request) -> Option<Violation> {
    let operation = request.operation?;
    let later = trace.attempts_of(operation).any(|(id, other)| {
        other.submit == request.submit && other.at_us > request.at_us && !is_too_late(trace, id)
    });
    if later || !is_driven(trace) || !trace.is_whole() {
        return None;
    }
    let submit = trace.submits_of(operation).find(|(_, one)| one.number == request.submit)?.1;
    if is_only_slow(trace, submit) {
        return None;
    }
    let claim = trace.final_claim(submit);
    let latest = trace.gives_up_at_us(submit)?.saturating_add(trace.upper_slack_us());
    if claim.is_some_and(|claim| claim.at_us <= latest) {
        return None;
    }
    let what = if claim.is_some() {
        "the client came back only after its deadline"
    } else {
        "the client made no claim"
    };
    let message = format!("after {} {what}", in_short(trace, hinted));
    let evidence = events_of(trace, hinted.0).chain(claim.map(|claim| claim.seq));
    Some(Violation::new(trace, operation, message, evidence))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::verdict;

    fn hinted(hint: &str, then: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"operation_submitted","deadline_us":5000000}}
            {{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":10,"event":"response_sent","request":1,"status":429,"hints":[{{"source":"retry-after",{hint}}}]}}
            {then}"#
        )
    }

    fn check(hint: &str, then: &str) -> String {
        verdict("survives_bad_retry_after", &Value::Null, &hinted(hint, then))
    }

    const GARBAGE: &str = r#""text":"soon""#;
    const FAILED: &str = r#"{"at_us":90,"event":"operation_finished","claim":"failed"}"#;

    fn retry(at: u64) -> String {
        format!(
            r#"{{"at_us":{at},"event":"request_received","request":2,"attempt":2}}
            {{"at_us":{at},"event":"response_sent","request":2,"status":201}}"#
        )
    }

    #[test]
    fn who_comes_back_when_its_caller_has_given_up_has_waited_too_long() {
        let again = |at_us: u64| {
            format!(r#"{{"at_us":{at_us},"event":"request_received","request":2,"attempt":2}}"#)
        };
        let garbage = r#""text":"soon""#;
        assert_eq!(check(garbage, &again(4_000_000)), "passed");
        assert_eq!(check(garbage, &again(9_000_000)), "failed op-0001");
    }

    #[test]
    fn a_client_that_gives_up_or_waits_a_little_survives() {
        assert_eq!(check(GARBAGE, FAILED), "passed");
        assert_eq!(check(GARBAGE, &retry(50_010)), "passed");
    }

    #[test]
    fn a_client_that_hammers_or_dies_does_not() {
        assert_eq!(check(GARBAGE, &retry(50_009)), "failed op-0001");
        assert_eq!(check(GARBAGE, ""), "failed op-0001", "no claim");
        let late = FAILED.replace("90", "5000001");
        assert_eq!(check(GARBAGE, &late), "failed op-0001", "it slept past its deadline");
        let driver =
            FAILED.replace("failed", "unknown").replace(r#""claim""#, r#""by":"driver","claim""#);
        assert_eq!(check(GARBAGE, &driver), "failed op-0001");
    }

    #[test]
    fn each_sort_of_senseless_hint_exercises_it_and_a_good_one_does_not() {
        for hint in [
            r#""text":"-5""#,
            r#""text":"0","wait_us":0"#,
            r#""text":"1000000000000","wait_us":1000000000000000000"#,
        ] {
            assert_eq!(check(hint, FAILED), "passed", "{hint}");
        }
        assert_eq!(check(r#""text":"2","wait_us":2000000"#, FAILED), "not exercised");
    }

    #[test]
    fn silence_for_another_reason_is_not_accused() {
        let hung = r#"{"at_us":60000,"event":"request_received","request":2,"attempt":2}"#;
        assert_eq!(check(GARBAGE, hung), "passed");
    }

    #[test]
    fn the_gap_is_a_parameter() {
        let lines = hinted(GARBAGE, &retry(60_000));
        assert_eq!(
            verdict("survives_bad_retry_after", &json!({"min_gap": "100ms"}), &lines),
            "failed op-0001"
        );
    }
}
