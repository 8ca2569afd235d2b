//! `honors_retry_after`: a client that is told to wait waits.
//!
//! **Invariant:** a hint binds from the moment before it was written, and the smallest well-formed one
//! counts, so no client is accused that kept to any reading of what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Class, Mode};
use brownout_provider::units::Period;
use brownout_provider::units::in_words;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{cannot, events_of, means, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Hint, Name, Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "honors_retry_after",
    summary: "After a refusal with a retry hint the client waits at least as long as it was asked to.",
    headline: "were retried sooner than the provider asked",
    rule: "The next attempt of the same operation, submit, provider and route does not come before the \
           smallest well-formed hint in the spellings of the API (`Retry-After` always counts, and \
           outranks the fields of a rate limit). The wait counts from the moment before the head with \
           the hint was written; a date counts less one second; 2 ms are forgiven on the real clock.",
    exercised_by: "A hint above zero in an answer that is no success and came whole.",
    parameters: &[
        ("max_wait", "hints above this, such as `2m`, are not judged; default all are"),
        (
            "scope",
            "`operation` (default): the hint binds the operation that got it; `provider`: it binds every \
             request to that provider, of the same tenant and copy of the client",
        ),
        ("across_restarts", "true: the hint also binds a client that was restarted; default false"),
    ],
    tolerates: "Giving up instead of waiting; a malformed hint, which counts as none; a hint in an answer \
                that did not come whole; timers that fire up to 2 ms early.",
    cure: "Read `Retry-After` in both its forms (seconds and a date) and the spellings of your API, and \
           wait at least that long before the next attempt, or give up and say so.",
    why: "A provider that says when to come back counts those who come sooner: they are refused again, and \
          in the end banned.",
    faults: &["rate_limited", "status", "conflict", "job"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &["With `scope: provider` it needs one living client, so exec mode cannot exercise it."],
    example: "honors_retry_after: {max_wait: 2m}",
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
    /// Hints above this are not judged.
    max_wait: Option<Period>,
    /// Whom a hint binds.
    scope: Option<Scope>,
    /// True: a hint also binds a client that was restarted.
    across_restarts: Option<bool>,
}

/// Whom a hint binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    /// The operation that got it.
    #[default]
    Operation,
    /// Every request to that provider.
    Provider,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(HonorsRetryAfter {
        max_wait_us: raw.max_wait.map(Period::micros),
        scope: raw.scope.unwrap_or_default(),
        across_restarts: raw.across_restarts.unwrap_or(false),
    }))
}

#[derive(Debug)]
struct HonorsRetryAfter {
    max_wait_us: Option<u64>,
    scope: Scope,
    across_restarts: bool,
}

/// A hint that binds: who got it, what it said, and the first moment that it allows.
struct Binding<'a> {
    id: RequestId,
    request: &'a Request,
    hint: &'a Hint,
    head_at_us: u64,
    allowed_at_us: u64,
}

impl Invariant for HonorsRetryAfter {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if self.scope == Scope::Provider && trace.mode() == Mode::Exec {
            let why = "`scope: provider` needs one client that lives on, and exec mode starts one for \
                       each operation; use `--mode stdio`";
            return Judgement::new(0, Vec::new(), why);
        }
        let bindings =
            || trace.requests().filter_map(|(id, request)| self.binding(trace, id, request));
        let mut exercised = 0;
        let mut violations: Vec<Violation> = bindings()
            .inspect(|_| exercised += 1)
            .filter_map(|one| self.too_early(trace, &one))
            .collect();
        if self.scope == Scope::Provider {
            violations.extend(self.elsewhere(trace, bindings()));
        }
        Judgement::new(exercised, violations, "no answer carried a hint above zero to judge")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !means(scenario).hint {
            let why = "no rule of this scenario gives a retry hint above zero";
            cannot(at, KIND.name, why, "inject: {rate_limited: {retry_after: 1s}}");
        }
    }
}

impl HonorsRetryAfter {
    fn binding<'a>(
        &self,
        trace: &'a Trace,
        id: RequestId,
        request: &'a Request,
    ) -> Option<Binding<'a>> {
        // Whoever hung up before the answer was whole may have seen nothing of it.
        let response = request.response?;
        if response.class == Class::Success || !response.complete {
            return None;
        }
        // Who is sent elsewhere goes there.
        if trace.fate(id) == Fate::PassedOn {
            return None;
        }
        request.operation.filter(|_| request.by.is_client())?;
        let (hint, allowed_at_us) = trace.earliest_allowed(id)?;
        let wait_us = hint.wait_us.filter(|wait_us| *wait_us > 0)?;
        if self.max_wait_us.is_some_and(|most| wait_us > most) {
            return None;
        }
        Some(Binding { id, request, hint, head_at_us: response.head_at_us, allowed_at_us })
    }

    /// The next attempt of the same operation came too early.
    fn too_early(&self, trace: &Trace, binding: &Binding<'_>) -> Option<Violation> {
        let mut later = std::iter::successors(trace.next(binding.id), |id| trace.next(*id));
        // What was on its way before the hint could not know of it. In virtual time a client that does not
        // wait at all is back within the same microsecond; then the order of the events says it.
        let answered = (binding.head_at_us, binding.request.response.map_or(u32::MAX, |it| it.seq));
        let knew = |request: &Request| {
            request.at_us > binding.head_at_us || (request.at_us, request.seq) > answered
        };
        let next = later.find(|id| knew(trace.request(*id)))?;
        let request = trace.request(next);
        let operation = request.operation?;
        let restarted = trace.restarted_between(operation, binding.head_at_us, request.at_us);
        if restarted && !self.across_restarts {
            return None;
        }
        is_early(trace, binding, request).then(|| {
            Violation::new(trace, operation, message(trace, binding, request), {
                events_of(trace, binding.id).chain([request.seq])
            })
        })
    }

    /// Requests of other operations that came while a hint bound the whole provider, one violation for each
    /// operation.
    fn elsewhere<'a>(
        &self,
        trace: &'a Trace,
        bindings: impl Iterator<Item = Binding<'a>>,
    ) -> Vec<Violation> {
        let mut arrivals: Vec<(Name, u64, RequestId)> = trace
            .requests()
            .filter(|(_, request)| request.by.is_client() && request.operation.is_some())
            .map(|(id, request)| (request.provider, request.at_us, id))
            .collect();
        arrivals.sort_unstable();
        let mut found = BTreeMap::new();
        for binding in bindings {
            let from =
                (binding.request.provider, binding.head_at_us.saturating_add(trace.reaction_us()));
            let first =
                arrivals.partition_point(|(provider, at_us, _)| (*provider, *at_us) <= from);
            let bound = arrivals[first..].iter().take_while(|(provider, _, id)| {
                *provider == from.0 && is_early(trace, &binding, trace.request(*id))
            });
            for (_, _, id) in bound {
                let request = trace.request(*id);
                let Some(operation) = request.operation else { continue };
                let restarted = !self.across_restarts
                    && trace.restarted_between(operation, binding.head_at_us, request.at_us);
                // Another tenant, and another copy of the client, was not told.
                let of = |one: &Request| (one.tenant, trace.copy_of(one));
                let was_told = of(request) == of(binding.request) && !restarted;
                if was_told && Some(operation) != binding.request.operation {
                    found.entry(operation).or_insert_with(|| {
                        let evidence = events_of(trace, binding.id).chain([request.seq]);
                        Violation::new(
                            trace,
                            operation,
                            message(trace, &binding, request),
                            evidence,
                        )
                    });
                }
            }
        }
        found.into_values().collect()
    }
}

fn is_early(trace: &Trace, binding: &Binding<'_>, request: &Request) -> bool {
    request.at_us.saturating_add(trace.slack_us()) < binding.allowed_at_us
}

fn message(trace: &Trace, binding: &Binding<'_>, request: &Request) -> String {
    let asked = binding.hint.wait_us.map_or(String::new(), in_words);
    let status = binding.request.response.map_or(0, |response| response.status);
    let text = binding.hint.text.map_or(String::new(), |text| format!(": {}", trace.text(text)));
    format!(
        "after {status} with `{}{text}` expected a wait of at least {asked}, found {} before {}",
        trace.text(binding.hint.source),
        in_words(request.at_us.saturating_sub(binding.head_at_us)),
        trace.request_in_words(request)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict, verdict_on_real_clock};
    use crate::trace::testing::{trace, trace_with};

    const TWO_SECONDS: &str = r#"[{"source":"retry-after","text":"2","wait_us":2000000}]"#;

    fn hinted(hints: &str, next_at: u64) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":90,"event":"response_sent","request":1,"status":429,"head_at_us":10,"hints":{hints}}}
            {{"at_us":{next_at},"event":"request_received","request":2,"attempt":2}}"#
        )
    }

    fn check(hints: &str, next_at: u64) -> String {
        verdict("honors_retry_after", &Value::Null, &hinted(hints, next_at))
    }

    #[test]
    fn a_wait_as_long_as_asked_passes_and_a_shorter_one_is_accused() {
        assert_eq!(check(TWO_SECONDS, 2_000_010), "passed");
        assert_eq!(check(TWO_SECONDS, 2_000_009), "failed op-0001");
        assert_eq!(
            message("honors_retry_after", &Value::Null, &trace(&hinted(TWO_SECONDS, 400_010))),
            "after 429 with `retry-after: 2` expected a wait of at least 2 s, found 0.4 s before attempt \
             2 of `create_charge`"
        );
    }

    #[test]
    fn timers_that_fire_early_on_the_real_clock_are_not_accused() {
        let real = |at| {
            verdict_on_real_clock("honors_retry_after", &Value::Null, &hinted(TWO_SECONDS, at))
        };
        assert_eq!(real(1_998_010), "passed");
        assert_eq!(real(1_998_009), "failed op-0001");
    }

    #[test]
    fn a_client_that_acts_on_the_head_and_never_reads_the_body_is_not_accused() {
        let slow_body =
            hinted(TWO_SECONDS, 2_000_010).replace(r#""at_us":90"#, r#""at_us":1900000"#);
        assert_eq!(verdict("honors_retry_after", &Value::Null, &slow_body), "passed");
    }

    #[test]
    fn a_hint_in_the_body_counts_from_the_byte_that_completed_it() {
        let body = r#"[{"source":"body:/error/retry_after","text":"2","wait_us":2000000}]"#;
        assert_eq!(check(body, 2_000_089), "failed op-0001");
        assert_eq!(check(body, 2_000_090), "passed");
    }

    #[test]
    fn without_a_hint_above_zero_nothing_is_exercised() {
        assert_eq!(check("[]", 20), "not exercised");
        assert_eq!(
            check(r#"[{"source":"retry-after","text":"0","wait_us":0}]"#, 20),
            "not exercised"
        );
        assert_eq!(check(r#"[{"source":"retry-after","text":"soon"}]"#, 20), "not exercised");
    }

    #[test]
    fn giving_up_instead_of_waiting_is_not_accused() {
        let lines = hinted(TWO_SECONDS, 0).lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(verdict("honors_retry_after", &Value::Null, &lines), "passed");
    }

    #[test]
    fn a_date_is_judged_less_one_second() {
        let date = r#"[{"source":"retry-after","wait_us":3000000,"until_us":3000000}]"#;
        assert_eq!(check(date, 2_000_000), "passed");
        assert_eq!(check(date, 1_999_999), "failed op-0001");
    }

    #[test]
    fn hints_above_max_wait_are_not_judged() {
        let most = |most: &str| {
            verdict("honors_retry_after", &json!({"max_wait": most}), &hinted(TWO_SECONDS, 20))
        };
        assert_eq!(most("1s"), "not exercised");
        assert_eq!(most("2s"), "failed op-0001");
    }

    #[test]
    fn a_hint_in_an_answer_that_was_cut_is_not_judged() {
        let cut = hinted(TWO_SECONDS, 20)
            .replace(TWO_SECONDS, &format!("{TWO_SECONDS},\"complete\":false"));
        assert_eq!(verdict("honors_retry_after", &Value::Null, &cut), "not exercised");
    }

    #[test]
    fn a_hedge_that_was_on_its_way_before_the_hint_is_not_accused() {
        assert_eq!(check(TWO_SECONDS, 5), "passed");
    }

    #[test]
    fn a_restart_clears_the_memory_unless_the_scenario_says_otherwise() {
        let restarted = hinted(TWO_SECONDS, 400_000).replace(
            r#"{"at_us":400000"#,
            "{\"at_us\":300000,\"event\":\"client_started\"}\n{\"at_us\":400000",
        );
        assert_eq!(verdict("honors_retry_after", &Value::Null, &restarted), "passed");
        let across = json!({"across_restarts": true});
        assert_eq!(verdict("honors_retry_after", &across, &restarted), "failed op-0001");
    }

    #[test]
    fn a_hint_for_the_whole_provider_binds_others_after_the_reaction_time() {
        let other = |at: u64| {
            let one = hinted(TWO_SECONDS, 3_000_000);
            let line = format!(
                r#"{{"at_us":{at},"event":"request_received","request":3,"operation":"op-0002"}}"#
            );
            let lines = format!("{one}\n{line}");
            let lines = lines.replace(r#""at_us":3000000"#, &format!(r#""at_us":{}"#, 3_000_000));
            verdict_on_real_clock("honors_retry_after", &json!({"scope": "provider"}), &lines)
        };
        assert_eq!(other(250_010), "passed");
        assert_eq!(other(250_011), "failed op-0002");
        assert_eq!(other(1_998_010), "passed");
        let exec = trace_with(&json!({"mode": "exec"}), &hinted(TWO_SECONDS, 3_000_000));
        let judged = invariant("honors_retry_after", &json!({"scope": "provider"})).check(&exec);
        assert_eq!(in_short(&judged), "not exercised");
        assert!(judged.reason.unwrap().contains("--mode stdio"));
    }

    #[test]
    fn another_provider_and_a_success_bind_nothing() {
        let success = hinted(TWO_SECONDS, 400_000).replace("429", "200");
        assert_eq!(verdict("honors_retry_after", &Value::Null, &success), "not exercised");
        let fallback =
            hinted(TWO_SECONDS, 400_000).replace(r#""attempt":2"#, r#""provider":"backup""#);
        assert_eq!(verdict("honors_retry_after", &Value::Null, &fallback), "passed");
    }

    #[test]
    fn a_hint_for_a_provider_binds_those_who_were_told() {
        let lines = |more: &str, between: &str| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1,"tenant":"a"}}
                {{"at_us":1000,"event":"response_sent","request":1,"status":429,"hints":[{{"source":"retry-after","text":"5","wait_us":5000000}}]}}
                {between}
                {{"at_us":2000000,"event":"request_received","request":2,"operation":"op-0002"{more}}}"#
            )
        };
        let check = |more: &str, between: &str| {
            verdict("honors_retry_after", &json!({"scope": "provider"}), &lines(more, between))
        };
        assert_eq!(check(r#","tenant":"a""#, ""), "failed op-0002");
        assert_eq!(check(r#","tenant":"b""#, ""), "passed");
        let restart = r#"{"at_us":1500000,"event":"client_started"}"#;
        assert_eq!(check(r#","tenant":"a""#, restart), "passed");
        let across = json!({"scope": "provider", "across_restarts": true});
        let lines = lines(r#","tenant":"a""#, restart);
        assert_eq!(verdict("honors_retry_after", &across, &lines), "failed op-0002");
    }

    #[test]
    fn a_redirect_is_followed_at_once() {
        let lines = |status: u16| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":1000,"event":"response_sent","request":1,"status":{status},"hints":[{{"source":"retry-after","text":"5","wait_us":5000000}}]}}
                {{"at_us":2000,"event":"request_received","request":2,"attempt":2}}"#
            )
        };
        assert_eq!(verdict("honors_retry_after", &Value::Null, &lines(307)), "not exercised");
        assert_eq!(verdict("honors_retry_after", &Value::Null, &lines(503)), "failed op-0001");
    }
}
