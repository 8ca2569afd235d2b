//! `gives_up_on_nothing_recoverable`: what could still be done is not given up after one try.
//!
//! **Invariant:** judges a share of operations and never one alone that had an excuse.

use std::sync::Arc;

use brownout_provider::document::At;
use brownout_provider::event::Claim;
use brownout_provider::units::in_words;
use serde_json::Value;

use super::recoverable::{Excuses, RawTenacity, Tenacity, Tries, reaches, tries};
use super::support::{READS_CLAIMS, events_of, needs_failure, schema, unclaimed};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{ClaimMade, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "gives_up_on_nothing_recoverable",
    summary: "An operation that may safely be tried again is not reported failed after one try.",
    headline: "were given up though they could be tried again",
    rule: "Judged are submits with a failure all of whose failures were safe to repeat (a complete 429, 503 \
           or throttling, or a transient or ambiguous failure of a request with an idempotency key that \
           the API honours). At least `share` of them do not end in the client's `failed` after fewer \
           than `attempts` attempts of the route that failed last, with more time left before the \
           deadline, and after every hint, than they had taken.",
    exercised_by: "A failure that is safe to repeat, in an operation with no other, and a claim.",
    parameters: &[
        ("attempts", "attempts before an operation may be given up, at least 2; default 2"),
        ("share", "the share of operations that must have them, such as `90%`; default `90%`"),
        ("trip", "so many failures in a row of the whole client excuse it; default 5"),
    ],
    tolerates: "A claim of `unknown`; operations that met `trip` failures in a row of the whole client or \
                at one provider (an open breaker, a spent budget); a hint that leads past the deadline; \
                too little time left; an operation whose last attempt was answered.",
    cure: "Try again after 429, 503 and lost answers while there is time, under one idempotency key; keep \
           `failed` for what was refused for good, or was tried often enough.",
    why: "What a second attempt would have done is given up, and somebody has to do it by hand.",
    faults: &["rate_limited", "status", "refuse", "reset"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[READS_CLAIMS],
    example: "gives_up_on_nothing_recoverable: {attempts: 3, share: 90%, trip: 5}",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<RawTenacity>,
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    Some(Arc::new(GivesUpOnNothingRecoverable(Tenacity::parse(value, at)?)))
}

#[derive(Debug)]
struct GivesUpOnNothingRecoverable(Tenacity);

impl Invariant for GivesUpOnNothingRecoverable {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let excuses = Excuses::of(trace, self.0.trip);
        let mut judged = 0;
        let mut given_up: Vec<(Tries<'_>, &ClaimMade)> = Vec::new();
        for one in tries(trace) {
            let Some(claim) = trace.final_claim(one.submit) else { continue };
            let mut failed = one.attempts.iter().filter(|(id, _)| trace.failed(*id)).peekable();
            if failed.peek().is_none() || !failed.all(|(id, _)| trace.is_safe_to_repeat(*id)) {
                continue;
            }
            judged += 1;
            if self.is_given_up(trace, &one, claim)
                && !excuses.cover(&one, one.began_us(), claim.at_us)
            {
                given_up.push((one, claim));
            }
        }
        let kept = judged - given_up.len();
        let counts = format!("{} of {judged} such operations", given_up.len());
        if reaches(kept, judged, self.0.share_ppm) {
            given_up.clear();
        }
        let violations =
            given_up.iter().filter_map(|(one, claim)| self.violation(trace, one, claim, &counts));
        let why_not = "no operation with a claim met only failures that are safe to repeat";
        Judgement::new(judged, violations.collect(), unclaimed(trace, why_not))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_failure(scenario, at, KIND.name);
    }
}

impl GivesUpOnNothingRecoverable {
    fn is_given_up(&self, trace: &Trace, one: &Tries<'_>, claim: &ClaimMade) -> bool {
        let Some((last, request)) = one.attempts.iter().rfind(|(_, one)| one.at_us <= claim.at_us)
        else {
            return false;
        };
        claim.claim == Claim::Failed
            && trace.failed(*last)
            && one.of_route(request.route) < self.0.attempts
            && one.has_time_left(trace, claim.at_us)
    }

    fn violation(
        &self,
        trace: &Trace,
        one: &Tries<'_>,
        claim: &ClaimMade,
        counts: &str,
    ) -> Option<Violation> {
        let (last, request) = one.attempts.last()?;
        let route = request.route.map_or("", |route| trace.text(route));
        let left = trace
            .gives_up_at_us(one.submit)
            .map_or("time".to_owned(), |until| in_words(until.saturating_sub(claim.at_us)));
        let message = format!(
            "expected at least {} of `{route}` before a claim of `failed` where each failure was safe to \
             repeat, found {} with {left} left ({counts})",
            plural(self.0.attempts, "attempt"),
            one.of_route(request.route)
        );
        let evidence = events_of(trace, *last).chain([claim.seq]);
        Some(Violation::new(trace, one.submit.operation, message, evidence))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "gives_up_on_nothing_recoverable";

    fn lines(answer: &str, claim: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"operation_submitted"}}
            {{"at_us":1000,"event":"request_received","request":1,"key":"k"}}
            {{"at_us":2000,{answer}}}
            {{"at_us":3000,"event":"operation_finished","claim":"{claim}"}}"#
        )
    }

    fn check(answer: &str, claim: &str) -> String {
        verdict(NAME, &Value::Null, &lines(answer, claim))
    }

    const BUSY: &str = r#""event":"response_sent","request":1,"status":503"#;

    #[test]
    fn what_may_be_repeated_is_not_reported_failed_after_one_attempt() {
        assert_eq!(check(BUSY, "failed"), "failed op-0001");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&lines(BUSY, "failed"))),
            "expected at least 2 attempts of `create_charge` before a claim of `failed` where each failure \
             was safe to repeat, found 1 with 29.99 s left (1 of 1 such operations)"
        );
        assert_eq!(check(BUSY, "unknown"), "passed");
        assert_eq!(check(BUSY, "succeeded"), "passed");
    }

    #[test]
    fn a_second_attempt_is_enough_unless_more_are_asked_for() {
        let twice = lines(BUSY, "failed").replace(
            r#"{"at_us":3000"#,
            r#"{"at_us":2500,"event":"request_received","request":2,"attempt":2,"key":"k"}
            {"at_us":2600,"event":"response_sent","request":2,"status":503}
            {"at_us":3000"#,
        );
        assert_eq!(verdict(NAME, &Value::Null, &twice), "passed");
        assert_eq!(verdict(NAME, &json!({"attempts": 3}), &twice), "failed op-0001");
    }

    #[test]
    fn what_is_not_safe_to_repeat_is_not_judged() {
        assert_eq!(check(&BUSY.replace("503", "402"), "failed"), "not exercised");
        let lost = r#""event":"connection_ended","request":1,"by":"provider","how":"rst""#;
        assert_eq!(check(lost, "failed"), "failed op-0001");
        let no_key = lines(lost, "failed").replace(r#","key":"k""#, "");
        assert_eq!(verdict(NAME, &Value::Null, &no_key), "not exercised");
        let told_not_to = format!(r#"{BUSY},"should_retry":false"#);
        assert_eq!(check(&told_not_to, "failed"), "not exercised");
    }

    #[test]
    fn a_hint_beyond_the_deadline_and_too_little_time_are_excuses() {
        let hint = |seconds: u64| {
            let hint = format!(
                r#"{BUSY},"hints":[{{"source":"retry-after","text":"{seconds}","wait_us":{seconds}000000}}]"#
            );
            check(&hint, "failed")
        };
        assert_eq!(hint(40), "passed");
        assert_eq!(hint(2), "failed op-0001");
        let late = lines(BUSY, "failed").replace(r#""at_us":3000"#, r#""at_us":16000000"#);
        assert_eq!(verdict(NAME, &Value::Null, &late), "passed");
    }

    #[test]
    fn an_open_breaker_is_an_excuse() {
        let failures: Vec<String> = (1..=6)
            .map(|n| {
                lines(BUSY, "failed")
                    .replace(r#""request":1"#, &format!(r#""request":{n}"#))
                    .replace('{', &format!(r#"{{"operation":"op-000{n}","#))
            })
            .collect();
        assert_eq!(verdict(NAME, &Value::Null, &failures.join("\n")), "passed");
        let trip = json!({"trip": 7});
        assert!(verdict(NAME, &trip, &failures.join("\n")).starts_with("failed"));
    }

    #[test]
    fn a_small_share_of_operations_may_be_given_up() {
        let many: Vec<String> = (1..=10)
            .map(|n| {
                let claim = if n == 1 { "failed" } else { "unknown" };
                let at = format!(r#""at_us":{n}0"#);
                lines(BUSY, claim)
                    .replace(r#""at_us":"#, &at)
                    .replace(r#""request":1"#, &format!(r#""request":{n}"#))
                    .replace('{', &format!(r#"{{"operation":"op-{n}","#))
            })
            .collect();
        let trip = |share: &str| json!({"trip": 100, "share": share});
        assert_eq!(verdict(NAME, &trip("90%"), &many.join("\n")), "passed");
        assert_eq!(verdict(NAME, &trip("91%"), &many.join("\n")), "failed op-1");
    }

    #[test]
    fn a_tenant_may_have_a_breaker_of_its_own() {
        let one = |n: u64, tenant: &str, status: &str| {
            lines(
                &BUSY.replace("503", status),
                if status == "503" { "failed" } else { "succeeded" },
            )
            .replace(r#""request":1"#, &format!(r#""request":{n},"tenant":"{tenant}""#))
            .replace('{', &format!(r#"{{"operation":"op-{n:04}","#))
        };
        let mixed = |other: &str| {
            let both = (1..=6)
                .map(|n| format!("{}\n{}", one(2 * n, "b", "503"), one(2 * n + 1, other, "201")));
            both.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(verdict(NAME, &Value::Null, &mixed("a")), "passed");
        assert!(verdict(NAME, &Value::Null, &mixed("b")).starts_with("failed"));
    }
}
