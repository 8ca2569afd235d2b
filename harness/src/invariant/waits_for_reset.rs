//! `waits_for_reset`: when nothing is left of a limit, nothing is sent until there is.
//!
//! **Invariant:** what the latest answer said counts; a request that was on its way when it was said is not
//! judged.

use std::collections::BTreeMap;

use brownout_provider::document::At;
use brownout_provider::units::in_words;
use serde_json::Value;

use super::support::{NoParameters, bare, events_of, few_of, needs_limit, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Name, Request, RequestId, Trace};

/// A reset is told in whole seconds, so a client may be early by one.
const GRAIN_US: u64 = 1_000_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "waits_for_reset",
    summary: "When an answer says that nothing is left of the limit, the client waits for the reset.",
    headline: "were sent although nothing was left of the limit",
    rule: "After an answer of the provider's own that says that nothing is left, no request with that credential \
           is sent to it until the reset that it tells, less one second, or until a retry hint in the same \
           answer is over, whichever is sooner; the latest answer counts. Requests within the reaction time \
           (250 ms on the real clock) are not judged.",
    exercised_by: "An answer that says that nothing is left, with a reset more than a second away.",
    parameters: &[],
    tolerates: "What was on its way; a client that was started again since; a copy of the client that was not told; \
                a later answer that says that something is left; limits that another \
                credential has.",
    cure: "After each answer read what is left and when the limit is reset, keep both where all requests \
           of the key see them, and hold requests back while nothing is left.",
    why: "The provider said that nothing is left and until when; what is sent before is refused, and some \
          count it against you.",
    faults: &["rate_limited", "tighten", "lying_limit"],
    without_a_fault: "a limit of the provider that tells in its headers what is left, and that the workload \
                      reaches",
    modes: &[],
    example: "waits_for_reset",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, WaitsForReset),
};

#[derive(Debug)]
struct WaitsForReset;

/// What an answer said of the limit: until when nothing is left, if so.
#[derive(Clone, Copy)]
struct Said {
    at_us: u64,
    seq: u32,
    id: RequestId,
    until_us: Option<u64>,
}

/// Who shares a limit and hears of it: provider, credential, route where each has its own, and copy of the client.
type Who = (Name, Option<Name>, Option<Name>, u32);

impl Invariant for WaitsForReset {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut said = BTreeMap::<Who, Vec<Said>>::new();
        for (id, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
            if let Some(one) = what_it_said(trace, id, request) {
                said.entry(who(trace, request)).or_default().push(one);
            }
        }
        for list in said.values_mut() {
            list.sort_by_key(|one| (one.at_us, one.seq));
        }
        let far = |one: &&Said| {
            one.until_us.is_some_and(|until_us| until_us > one.at_us.saturating_add(GRAIN_US))
        };
        let exercised = said.values().flatten().filter(far).count();
        let early: Vec<(RequestId, Said)> = trace
            .requests()
            .filter(|(_, request)| request.by.is_client())
            .filter_map(|(id, request)| {
                let list = said.get(&who(trace, request))?;
                Some((id, too_early(trace, request, list)?))
            })
            .collect();
        let violation = early.first().map(|(id, told)| violation(trace, (*id, told), &early));
        let why_not = "no answer said that nothing is left of the limit for more than a second";
        Judgement::new(exercised, violation.into_iter().collect(), why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_limit(scenario, at, KIND.name);
    }
}

fn who(trace: &Trace, request: &Request) -> Who {
    let scope = trace.policy(request.provider, "/rate_limit/scope").and_then(Value::as_str);
    let route = request.route.filter(|_| scope == Some("route"));
    (request.provider, request.auth, route, trace.copy_of(request))
}

/// What the answer to a request said of the limit; `None` for one that says nothing, such as a fault's.
fn what_it_said(trace: &Trace, id: RequestId, request: &Request) -> Option<Said> {
    let response = request.response.filter(|one| one.complete && one.rule.is_none())?;
    let until_us = trace.exhausted_until_us(id).map(|until_us| {
        let hinted_us = trace.earliest_allowed(id).map(|(_, at_us)| at_us);
        until_us.saturating_sub(GRAIN_US).min(hinted_us.unwrap_or(u64::MAX))
    });
    Some(Said { at_us: response.head_at_us, seq: response.seq, id, until_us })
}

/// What bound a request that came too early.
fn too_early(trace: &Trace, request: &Request, said: &[Said]) -> Option<Said> {
    let latest = |at_us: u64| {
        let end = said.partition_point(|one| {
            one.at_us < at_us || (one.at_us == at_us && one.seq < request.seq)
        });
        end.checked_sub(1).map(|place| said[place])
    };
    let known = latest(request.at_us.checked_sub(trace.reaction_us())?)?;
    // What was said since may have let the client go on.
    let newest = latest(request.at_us)?;
    let until_us = known.until_us?.min(newest.until_us?);
    // A client that was started again has heard nothing yet.
    let was_started = request
        .operation
        .is_some_and(|operation| trace.restarted_between(operation, known.at_us, request.at_us));
    if was_started {
        return None;
    }
    (request.at_us.saturating_add(trace.slack_us()) < until_us).then_some(known)
}

fn violation(
    trace: &Trace,
    (id, told): (RequestId, &Said),
    early: &[(RequestId, Said)],
) -> Violation {
    let request = trace.request(id);
    let until_us = told.until_us.unwrap_or(told.at_us);
    let message = format!(
        "expected nothing to be sent for {} after an answer said that nothing is left, found {} after {} \
         ({} in all)",
        in_words(until_us.saturating_sub(told.at_us)),
        trace.request_in_words(request),
        in_words(request.at_us.saturating_sub(told.at_us)),
        crate::amount::plural(early.len(), "request")
    );
    let all = early.iter().map(|(id, _)| trace.request(*id).seq);
    Violation::of_run(message, few_of(events_of(trace, told.id).chain(all)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict, verdict_on_real_clock};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "waits_for_reset";

    fn lines(answer: &str, next: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":1000,"event":"response_sent","request":1,{answer}}}
            {{{next},"event":"request_received","request":2,"operation":"op-0002"}}"#
        )
    }

    const NOTHING_LEFT: &str = r#""status":201,"exhausted_until_us":5001000"#;

    fn check(answer: &str, next: &str) -> String {
        verdict(NAME, &Value::Null, &lines(answer, next))
    }

    #[test]
    fn nothing_is_sent_until_the_reset_less_a_second() {
        assert_eq!(check(NOTHING_LEFT, r#""at_us":4001000"#), "passed");
        assert_eq!(check(NOTHING_LEFT, r#""at_us":4000999"#), "failed run");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&lines(NOTHING_LEFT, r#""at_us":2001000"#))),
            "expected nothing to be sent for 4 s after an answer said that nothing is left, found attempt 1 \
             of `create_charge` after 2 s (1 request in all)"
        );
        let real = |at: u64| {
            let next = format!(r#""at_us":{at}"#);
            verdict_on_real_clock(NAME, &Value::Null, &lines(NOTHING_LEFT, &next))
        };
        assert_eq!(real(250_999), "passed", "it was on its way");
        assert_eq!(real(251_001), "failed run");
        assert_eq!(real(3_999_000), "passed", "2 ms of slack");
    }

    #[test]
    fn a_retry_hint_outranks_the_reset() {
        let refused = r#""status":429,"exhausted_until_us":9000000,"hints":[{"source":"retry-after","text":"2","wait_us":2000000}]"#;
        assert_eq!(check(refused, r#""at_us":2001000"#), "passed");
        assert_eq!(check(refused, r#""at_us":2000999"#), "failed run");
    }

    #[test]
    fn a_later_answer_that_has_something_left_frees_the_client() {
        let later = format!(
            r#"{{"at_us":0,"event":"request_received","request":3}}
            {{"at_us":2000,"event":"response_sent","request":3,"status":201}}
            {}"#,
            lines(NOTHING_LEFT, r#""at_us":2000000"#)
        );
        assert_eq!(verdict(NAME, &Value::Null, &later), "passed");
        let by_fault = later
            .replace(r#""request":3,"status":201"#, r#""request":3,"status":201,"rule":"slow""#);
        assert_eq!(verdict(NAME, &Value::Null, &by_fault), "failed run");
    }

    #[test]
    fn another_credential_and_another_route_have_limits_of_their_own() {
        assert_eq!(check(NOTHING_LEFT, r#""at_us":2000000,"auth_digest":"another""#), "passed");
        let route = lines(NOTHING_LEFT, r#""at_us":2000000,"route":"get_charge""#);
        assert_eq!(verdict(NAME, &Value::Null, &route), "failed run");
        let apis = json!({"apis": {"payments": {"rate_limit": {"scope": "route"}}}});
        assert_eq!(
            in_short(&invariant(NAME, &Value::Null).check(&trace_with(&apis, &route))),
            "passed"
        );
    }

    #[test]
    fn without_such_an_answer_nothing_is_exercised() {
        assert_eq!(check(r#""status":201"#, r#""at_us":2000"#), "not exercised");
        assert_eq!(
            check(r#""status":201,"exhausted_until_us":900000"#, r#""at_us":2000"#),
            "not exercised"
        );
    }

    #[test]
    fn the_scenario_may_give_each_route_a_limit_of_its_own() {
        let route = lines(NOTHING_LEFT, r#""at_us":2000000,"route":"get_charge""#);
        let provider = json!({"api": "payments", "rate_limit": {"scope": "route"}});
        let run = json!({"scenario": {"provider": provider}, "apis": {"payments": {}}});
        assert_eq!(
            in_short(&invariant(NAME, &Value::Null).check(&trace_with(&run, &route))),
            "passed"
        );
    }

    #[test]
    fn who_was_not_told_is_not_bound() {
        let told = lines(NOTHING_LEFT, r#""at_us":2000000"#);
        let restart = format!(
            r#"{told}
            {{"at_us":1500000,"event":"client_started"}}"#
        );
        assert_eq!(verdict(NAME, &Value::Null, &restart), "passed");
        let asked = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":0,"event":"operation_submitted","operation":"op-0002""#;
        let copies = |client: u32| {
            verdict(NAME, &Value::Null, &format!("{asked},\"client\":{client}}}\n{told}"))
        };
        assert_eq!(copies(1), "failed run");
        assert_eq!(copies(2), "passed", "the second operation is for the second copy");
    }
}
