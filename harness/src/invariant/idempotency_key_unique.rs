//! `idempotency_key_unique`: no key does for two pieces of work.
//!
//! **Invariant:** compares keys as the provider reads them, and nothing else.

use std::collections::BTreeMap;

use brownout_provider::document::At;
use serde_json::Value;

use super::support::{NoParameters, bare, by_key, keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Name, Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "idempotency_key_unique",
    summary: "No two operations share an idempotency key.",
    headline: "shared an idempotency key with another operation",
    rule: "No key is shared by two operations, nor by two steps of one unless the API keeps the keys of \
           each route apart.",
    exercised_by: "Two operations with keys.",
    parameters: &[],
    tolerates: "One key over all attempts, submits and restarts of an operation.",
    cure: "Make the key of what identifies the operation (an order number), never of what two operations \
           can have in common (an amount, a customer, the second they were made in).",
    why: "Where two operations share a key, the second gets the first one's answer and is never done.",
    faults: &["reset", "status", "latency"],
    without_a_fault: "two operations",
    modes: &[],
    example: "idempotency_key_unique",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, IdempotencyKeyUnique),
};

#[derive(Debug)]
struct IdempotencyKeyUnique;

impl Invariant for IdempotencyKeyUnique {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut requests = by_key(trace, place);
        requests.retain(|id| trace.request(*id).operation.is_some());
        let of_one = |one: &RequestId, other: &RequestId| {
            place(trace.request(*one)) == place(trace.request(*other))
        };
        let groups = requests.chunk_by(of_one);
        let violations: Vec<Violation> = groups.flat_map(|group| shared(trace, group)).collect();
        let mut operations: Vec<_> =
            requests.iter().map(|id| trace.request(*id).operation).collect();
        operations.sort_unstable();
        operations.dedup();
        let is_exercised = operations.len() >= 2 || !violations.is_empty();
        let exercised = if is_exercised { operations.len() } else { 0 };
        let why_not = "fewer than two operations sent idempotency keys";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if scenario.workload.is_driven() && scenario.workload.operations < 2 {
            at.error("`idempotency_key_unique` cannot be exercised by one operation", |problem| {
                problem.cure("ask for `operations: 2` or more")
            });
        }
        keys_are_known(scenario, at, KIND.name);
    }
}

/// Where a key belongs to one operation: the provider keeps the keys of each tenant apart.
fn place(request: &Request) -> (Name, Option<Name>, Option<Name>) {
    (request.provider, request.tenant, request.key)
}

/// Who else sent the key of a group's first request, one violation for each operation.
fn shared(trace: &Trace, group: &[RequestId]) -> Vec<Violation> {
    let mut requests = group.iter().map(|id| trace.request(*id));
    let Some(owner) = requests.next() else { return Vec::new() };
    let is_by_route = is_by_route(trace, owner.provider);
    let mut found = BTreeMap::new();
    for request in requests {
        let is_another_step = !is_by_route && request.route != owner.route;
        if request.operation != owner.operation || is_another_step {
            found.entry(request.operation).or_insert_with(|| violation(trace, owner, request));
        }
    }
    found.into_values().flatten().collect()
}

fn violation(trace: &Trace, owner: &Request, request: &Request) -> Option<Violation> {
    let key = trace.text(request.key?);
    let (operation, other) = (request.operation?, owner.operation?);
    let with = if operation == other {
        format!("{} of the same operation", trace.request_in_words(owner))
    } else {
        format!("`{}`", trace.operation_name(other))
    };
    let message = format!("the idempotency key `{key}` is shared with {with}");
    Some(Violation::new(trace, operation, message, [owner.seq, request.seq]))
}

/// True when the provider keeps the keys of each route apart.
fn is_by_route(trace: &Trace, provider: Name) -> bool {
    let scope = trace.policy(provider, "/idempotency/scope");
    scope.and_then(Value::as_str) == Some("route")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    fn keys(second: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1,"key":"1999-usd"}}
            {{"at_us":9,"event":"request_received","request":2,{second}}}"#
        )
    }

    fn check(second: &str) -> String {
        verdict("idempotency_key_unique", &Value::Null, &keys(second))
    }

    const SHARED: &str = r#""operation":"op-0002","key":"1999-usd""#;

    #[test]
    fn a_key_for_two_operations_is_accused() {
        assert_eq!(check(r#""operation":"op-0002","key":"other""#), "passed");
        assert_eq!(check(SHARED), "failed op-0002");
        assert_eq!(
            message("idempotency_key_unique", &Value::Null, &trace(&keys(SHARED))),
            "the idempotency key `1999-usd` is shared with `op-0001`"
        );
    }

    #[test]
    fn one_operation_exercises_nothing() {
        assert_eq!(check(r#""attempt":2,"key":"1999-usd""#), "not exercised");
        assert_eq!(
            check(r#""operation":"op-0002","keyed":false,"key":"1999-usd""#),
            "not exercised"
        );
    }

    #[test]
    fn two_steps_of_one_operation_share_none_unless_the_api_keeps_routes_apart() {
        let step = r#""route":"capture","key":"1999-usd""#;
        assert_eq!(check(step), "failed op-0001");
        let by_route = json!({"apis": {"payments": {"idempotency": {"scope": "route"}}}});
        let judged = invariant("idempotency_key_unique", &Value::Null);
        assert_eq!(in_short(&judged.check(&trace_with(&by_route, &keys(step)))), "not exercised");
    }

    #[test]
    fn another_provider_keeps_keys_of_its_own() {
        assert_eq!(
            check(r#""operation":"op-0002","provider":"backup","key":"1999-usd""#),
            "passed"
        );
    }

    #[test]
    fn tenants_have_keys_of_their_own() {
        let lines = |second: &str| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1,"key":"k","tenant":"a"}}
                {{"at_us":1,"event":"request_received","request":2,"key":"k","operation":"op-0002","tenant":"{second}"}}"#
            )
        };
        assert_eq!(verdict("idempotency_key_unique", &Value::Null, &lines("b")), "passed");
        assert_eq!(verdict("idempotency_key_unique", &Value::Null, &lines("a")), "failed op-0002");
    }
}
