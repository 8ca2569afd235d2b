//! `idempotency_key_unique`: no key does for two pieces of work.
//!
//! **Invariant:** compares keys as the provider reads them, and nothing else.

use std::collections::BTreeMap;

use brownout_provider::document::At;
use serde_json::Value;

use super::support::{NoParameters, bare, keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Name, Request, Trace};

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
        let mut first = BTreeMap::<(Name, Option<Name>, Name), &Request>::new();
        let mut found = BTreeMap::new();
        let mut operations = std::collections::BTreeSet::new();
        for (_, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
            let (Some(key), Some(operation), true) =
                (request.key, request.operation, request.keyed)
            else {
                continue;
            };
            operations.insert(operation);
            // The provider keeps the keys of each tenant apart.
            let place = (request.provider, request.tenant, key);
            let owner = *first.entry(place).or_insert(request);
            let another_step = !is_by_route(trace, request.provider)
                && owner.operation == request.operation
                && owner.route != request.route;
            if owner.operation != request.operation || another_step {
                found.entry((place, operation)).or_insert_with(|| violation(trace, owner, request));
            }
        }
        let exercised = if operations.len() < 2 && found.is_empty() { 0 } else { operations.len() };
        let why_not = "fewer than two operations sent idempotency keys";
        Judgement::new(exercised, found.into_values().flatten().collect(), why_not)
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
