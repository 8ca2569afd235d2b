//! `retries_transient_errors`: a failure that may heal is tried again.
//!
//! **Invariant:** judges a share of failures and never one alone that had an excuse.

use std::sync::Arc;

use brownout_provider::document::At;
use brownout_provider::event::Claim;
use serde_json::Value;

use super::recoverable::{Excuses, RawTenacity, Tenacity, Tries, reaches, tries};
use super::support::{events_of, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "retries_transient_errors",
    summary: "A failure that may safely be tried again is tried again.",
    headline: "were not tried again though it was safe",
    rule: "Of the failures that are safe to repeat (a complete 429, 503 or throttling, or a transient or \
           ambiguous failure of a request with an idempotency key that the API honours) among the first \
           `attempts` - 1 attempts of an operation, submit, provider and route, at least `share` are \
           followed by another attempt of that route.",
    exercised_by: "A failure that is safe to repeat.",
    parameters: &[
        ("attempts", "how many attempts a client makes at least, at least 2; default 2"),
        ("share", "the share of failures that must be followed, such as `90%`; default `90%`"),
        ("trip", "so many failures in a row of the whole client excuse it; default 5"),
    ],
    tolerates: "A claim of `unknown`, or of success after a read; `trip` failures in a row of the whole \
                client or at one provider (an open breaker, a spent budget); a hint that leads past the \
                deadline; too little time left.",
    cure: "Put 429, 503 and, under an idempotency key, lost answers and other 5xx on the list of what is \
           retried, also where the request is a POST: most libraries retry only GET unless they are told.",
    why: "One failure in twenty calls is everyday weather; a client that never tries again passes each of \
          them on to its users.",
    faults: &["status", "rate_limited", "refuse", "reset"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[],
    example: "retries_transient_errors: {attempts: 3, share: 90%}",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<RawTenacity>,
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    Some(Arc::new(RetriesTransientErrors(Tenacity::parse(value, at)?)))
}

#[derive(Debug)]
struct RetriesTransientErrors(Tenacity);

impl Invariant for RetriesTransientErrors {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let excuses = Excuses::of(trace, self.0.trip);
        let mut judged = 0;
        let mut dropped: Vec<(OperationId, RequestId)> = Vec::new();
        for one in tries(trace) {
            for (position, (id, request)) in one.attempts.iter().enumerate() {
                let nth = usize::try_from(request.attempt).unwrap_or(usize::MAX);
                if nth >= self.0.attempts || !trace.is_safe_to_repeat(*id) {
                    continue;
                }
                judged += 1;
                let later = &one.attempts[position + 1..];
                let is_followed = later.iter().any(|(_, other)| other.route == request.route);
                if !is_followed && !is_excused(trace, &excuses, &one, *id) {
                    dropped.push((one.submit.operation, *id));
                }
            }
        }
        let followed = judged - dropped.len();
        let counts = format!("{} of {judged} such failures", dropped.len());
        if reaches(followed, judged, self.0.share_ppm) {
            dropped.clear();
        }
        let violations = dropped.iter().map(|(operation, id)| {
            let message = format!(
                "expected another attempt after {}, whose failure was safe to repeat, found none ({counts})",
                trace.request_in_words(trace.request(*id))
            );
            Violation::new(trace, *operation, message, events_of(trace, *id))
        });
        Judgement::new(judged, violations.collect(), "no failure was safe to repeat")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_failure(scenario, at, KIND.name);
    }
}

fn is_excused(trace: &Trace, excuses: &Excuses, one: &Tries<'_>, id: RequestId) -> bool {
    let Some(known_us) = trace.known_at_us(id) else { return true };
    let claim = trace.final_claim(one.submit);
    if claim.is_some_and(|claim| claim.claim != Claim::Failed) || !trace.is_whole() {
        return true;
    }
    let until_us = claim.map_or(known_us, |claim| claim.at_us.max(known_us));
    !one.has_time_left(trace, known_us) || excuses.cover(one, one.began_us(), until_us)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "retries_transient_errors";
    const BUSY: &str = r#""event":"response_sent","request":1,"status":503"#;
    const FAILED: &str = r#"{"at_us":9000,"event":"operation_finished","claim":"failed"}"#;

    fn lines(answer: &str, then: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"operation_submitted"}}
            {{"at_us":1000,"event":"request_received","request":1,"key":"k"}}
            {{"at_us":2000,{answer}}}
            {then}"#
        )
    }

    fn check(answer: &str, then: &str) -> String {
        verdict(NAME, &Value::Null, &lines(answer, then))
    }

    #[test]
    fn a_failure_that_is_safe_to_repeat_is_followed_by_another_attempt() {
        let again =
            r#"{"at_us":3000,"event":"request_received","request":2,"attempt":2,"key":"k"}"#;
        assert_eq!(check(BUSY, &format!("{again}\n{FAILED}")), "passed");
        assert_eq!(check(BUSY, FAILED), "failed op-0001");
        assert_eq!(check(BUSY, ""), "failed op-0001", "silence is no excuse");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&lines(BUSY, FAILED))),
            "expected another attempt after attempt 1 of `create_charge`, whose failure was safe to \
             repeat, found none (1 of 1 such failures)"
        );
        let fallback = again.replace(r#""attempt":2"#, r#""provider":"backup""#);
        assert_eq!(check(BUSY, &format!("{fallback}\n{FAILED}")), "passed");
        let read = again.replace(r#""attempt":2"#, r#""route":"get_charge""#);
        assert_eq!(check(BUSY, &format!("{read}\n{FAILED}")), "failed op-0001");
    }

    #[test]
    fn only_the_first_attempts_are_judged() {
        let again = r#"{"at_us":3000,"event":"request_received","request":2,"attempt":2,"key":"k"}
            {"at_us":3100,"event":"response_sent","request":2,"status":503}"#;
        let lines = lines(BUSY, &format!("{again}\n{FAILED}"));
        assert_eq!(verdict(NAME, &Value::Null, &lines), "passed");
        assert_eq!(verdict(NAME, &json!({"attempts": 3}), &lines), "failed op-0001");
        assert_eq!(verdict(NAME, &json!({"attempts": 3, "share": "50%"}), &lines), "passed");
    }

    #[test]
    fn a_permanent_answer_and_a_lost_one_without_a_key_are_not_judged() {
        assert_eq!(check(&BUSY.replace("503", "402"), FAILED), "not exercised");
        let lost = r#""event":"connection_ended","request":1,"by":"provider","how":"rst""#;
        assert_eq!(check(lost, FAILED), "failed op-0001");
        let no_key = lines(lost, FAILED).replace(r#","key":"k""#, "");
        assert_eq!(verdict(NAME, &Value::Null, &no_key), "not exercised");
    }

    #[test]
    fn doubt_a_long_hint_no_time_and_an_open_breaker_are_excuses() {
        assert_eq!(check(BUSY, &FAILED.replace("failed", "unknown")), "passed");
        let long = format!(
            r#"{BUSY},"hints":[{{"source":"retry-after","text":"40","wait_us":40000000}}]"#
        );
        assert_eq!(check(&long, FAILED), "passed");
        let late = lines(BUSY, FAILED).replace(r#""at_us":2000"#, r#""at_us":16000000"#);
        let late = late.replace(r#""at_us":9000"#, r#""at_us":16000001"#);
        assert_eq!(verdict(NAME, &Value::Null, &late), "passed");
        assert_eq!(verdict(NAME, &json!({"trip": 1}), &lines(BUSY, FAILED)), "passed");
        let cut = r#"{"at_us":9000,"event":"run_finished","reason":"interrupted"}"#;
        assert_eq!(check(BUSY, cut), "passed", "it may still come");
    }
}
