//! `honors_retry_after`: a client that is told to wait waits.
//!
//! **Invariant:** a hint binds from the moment before it was written, and the smallest well-formed one
//! counts, so no client is accused that kept to any reading of what it was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Class, Mode};
use brownout_provider::units::Period;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{cannot, events_of, means, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::in_words;
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
    exercised_by: "A hint above zero in an answer that is no success.",
    parameters: &[
        ("max_wait", "hints above this, such as `2m`, are not judged; default all are"),
        (
            "scope",
            "`operation` (default): the hint binds the operation that got it; `provider`: it binds every \
             request to that provider",
        ),
        ("across_restarts", "true: the hint also binds a client that was restarted; default false"),
    ],
    tolerates: "Giving up instead of waiting; a malformed hint, which counts as none; timers that fire up \
                to 2 ms early.",
    cure: "Read `Retry-After` in both its forms (seconds and a date) and the spellings of your API, and \
           wait at least that long before the next attempt, or give up and say so.",
    example: "honors_retry_after: {max_wait: 2m}",
    bare: true,
    needs_identity: true,
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
        let bindings: Vec<Binding<'_>> =
            trace.requests().filter_map(|(id, request)| self.binding(trace, id, request)).collect();
        let mut violations: Vec<Violation> =
            bindings.iter().filter_map(|one| self.too_early(trace, one)).collect();
        if self.scope == Scope::Provider {
            violations.extend(elsewhere(trace, &bindings));
        }
        Judgement::new(bindings.len(), violations, "no answer carried a hint above zero to judge")
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
        let response = request.response.filter(|one| one.class != Class::Success)?;
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
        // What was on its way before the hint could not know of it.
        let next = later.find(|id| trace.request(*id).at_us > binding.head_at_us)?;
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

/// Requests of other operations that came while a hint bound the whole provider, one violation for each
/// operation.
fn elsewhere(trace: &Trace, bindings: &[Binding<'_>]) -> Vec<Violation> {
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
        let first = arrivals.partition_point(|(provider, at_us, _)| (*provider, *at_us) <= from);
        let bound = arrivals[first..].iter().take_while(|(provider, _, id)| {
            *provider == from.0 && is_early(trace, binding, trace.request(*id))
        });
        for (_, _, id) in bound {
            let request = trace.request(*id);
            let Some(operation) = request.operation else { continue };
            if Some(operation) != binding.request.operation {
                found.entry(operation).or_insert_with(|| {
                    let evidence = events_of(trace, binding.id).chain([request.seq]);
                    Violation::new(trace, operation, message(trace, binding, request), evidence)
                });
            }
        }
    }
    found.into_values().collect()
}
