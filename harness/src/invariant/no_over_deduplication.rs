//! `no_over_deduplication`: two orders that look alike are two orders.
//!
//! **Invariant:** accuses only where a client says that the second was done, or sent it under the key of
//! the first.

use std::collections::{BTreeMap, BTreeSet};

use brownout_provider::document::At;
use brownout_provider::event::{Claim, Digest16};
use serde_json::Value;

use super::support::{NoParameters, bare, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Name, OperationId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_over_deduplication",
    summary: "Two operations that look alike are both done.",
    headline: "were swallowed because another looked the same",
    rule: "Of distinct operations that call one route with inputs that are equal, apart from the field that \
           identifies the operation, each takes effect: none is claimed `succeeded` without an effect of \
           its own, and none stays without one after a request under the idempotency key of another.",
    exercised_by: "Two such operations, one of which took effect.",
    parameters: &[],
    tolerates: "Operations that failed and are reported so; operations that are not alike.",
    cure: "Derive the idempotency key, and whatever else removes duplicates, from the identity of the order \
           and not from its content: two people buy the same thing for the same price.",
    why: "Two equal orders are two orders: a client that takes the second for a repeat swallows what \
          somebody wanted and paid for.",
    faults: &[],
    without_a_fault: "two operations with equal inputs, apart from the field that identifies them",
    modes: &[],
    example: "no_over_deduplication",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoOverDeduplication),
};

/// Where the provider looks a key up: provider, tenant and key.
type Place = (Name, Option<Name>, Name);

#[derive(Debug)]
struct NoOverDeduplication;

impl Invariant for NoOverDeduplication {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for group in alike(trace) {
            let Some(done) = group.iter().find(|id| trace.took_effect(**id)) else { continue };
            exercised += 1;
            let swallowed = || group.iter().copied().filter(|id| !trace.took_effect(*id));
            let keys = owners(trace, &group, swallowed().flat_map(|id| keys_of(trace, id)));
            violations.extend(swallowed().filter_map(|id| swallowed_by(trace, id, *done, &keys)));
        }
        let why_not = "no two operations of one input were asked for, of which one took effect";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if scenario.workload.operations < 2 {
            at.error("`no_over_deduplication` cannot be exercised by one operation", |problem| {
                problem.cure("raise `operations` of the workload")
            });
        }
    }
}

/// The groups of operations that look alike, each of at least two.
fn alike(trace: &Trace) -> Vec<Vec<OperationId>> {
    let identifying = trace.identifying_fields();
    let mut groups = BTreeMap::<(Name, Digest16), Vec<OperationId>>::new();
    for (id, _) in trace.operations() {
        let first = trace.submits_of(id).find_map(|(_, submit)| submit.submitted.as_ref());
        let Some(submitted) = first.filter(|_| trace.wants_effect(id)) else { continue };
        let mut input = submitted.input();
        remove(&mut input, &identifying);
        let digest = Digest16::of(input.to_string().as_bytes());
        groups.entry((submitted.call, digest)).or_default().push(id);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Takes the fields of these names out of an input.
fn remove(value: &mut Value, names: &BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for name in names {
                fields.remove(name);
            }
            for inner in fields.values_mut() {
                remove(inner, names);
            }
        }
        Value::Array(list) => {
            for inner in list {
                remove(inner, names);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The keys under which an operation asked for its effect.
fn keys_of(trace: &Trace, id: OperationId) -> impl Iterator<Item = Place> {
    let asking = trace.attempts_of(id).filter(|(_, one)| one.keyed && one.effectful);
    asking.filter_map(|(_, request)| Some((request.provider, request.tenant, request.key?)))
}

/// Whose each of these keys is: the first operation of a group that took effect and sent it.
fn owners(
    trace: &Trace,
    group: &[OperationId],
    keys: impl Iterator<Item = Place>,
) -> BTreeMap<Place, Option<OperationId>> {
    let mut owners: BTreeMap<Place, Option<OperationId>> = keys.map(|key| (key, None)).collect();
    for id in group.iter().filter(|id| trace.took_effect(**id)) {
        for key in keys_of(trace, *id) {
            if let Some(owner) = owners.get_mut(&key) {
                owner.get_or_insert(*id);
            }
        }
    }
    owners
}

fn swallowed_by(
    trace: &Trace,
    id: OperationId,
    done: OperationId,
    owners: &BTreeMap<Place, Option<OperationId>>,
) -> Option<Violation> {
    if !trace.is_settled(id) {
        return None;
    }
    let shared = trace.attempts_of(id).find_map(|(_, request)| {
        let whose = *owners.get(&(request.provider, request.tenant, request.key?))?;
        Some((request.seq, whose.filter(|_| request.keyed && request.effectful)?))
    });
    let claim = trace
        .submits_of(id)
        .filter_map(|(_, submit)| trace.final_claim(submit))
        .find(|claim| claim.claim == Claim::Succeeded);
    let twin = shared.map_or(done, |(_, whose)| whose);
    let how = match (shared, claim) {
        (Some(_), _) => "a request under the other's idempotency key and no effect of its own",
        (None, Some(_)) => "a claim of `succeeded` and no effect of its own",
        (None, None) => return None,
    };
    let message = format!(
        "expected the operation to be done although it looks like `{}`, found {how}",
        trace.operation_name(twin)
    );
    let committed = trace.effects_of(twin).next().map(|(_, effect)| effect.seq);
    let evidence = shared.map(|(seq, _)| seq).into_iter().chain(claim.map(|claim| claim.seq));
    Some(Violation::new(trace, id, message, evidence.chain(committed)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant};
    use crate::trace::testing::trace_with;

    const NAME: &str = "no_over_deduplication";

    const ONE: &str = r#"{"at_us":0,"event":"operation_submitted","input":{"amount":5,"order":"a"}}
        {"at_us":0,"event":"operation_submitted","operation":"op-0002","input":{"amount":5,"order":"b"}}
        {"at_us":1,"event":"request_received","request":1,"key":"k"}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":201,"effects":[1]}"#;
    const CLAIM: &str =
        r#"{"at_us":9,"event":"operation_finished","operation":"op-0002","claim":"succeeded"}"#;

    fn check(lines: &str) -> String {
        let apis = json!({"payments": {"operation_id": ["json:/order", "query:order"]}});
        let trace = trace_with(&json!({"apis": apis}), lines);
        in_short(&invariant(NAME, &Value::Null).check(&trace))
    }

    #[test]
    fn the_second_of_two_that_look_alike_is_swallowed() {
        assert_eq!(check(&format!("{ONE}\n{CLAIM}")), "failed op-0002");
        let both = r#"{"at_us":3,"event":"request_received","request":2,"operation":"op-0002","key":"l"}
            {"at_us":3,"event":"effect_committed","request":2,"effect":2,"operation":"op-0002"}"#;
        assert_eq!(check(&format!("{ONE}\n{both}\n{CLAIM}")), "passed");
    }

    #[test]
    fn a_key_made_of_the_content_swallows_it_whatever_is_claimed() {
        let replayed = r#"{"at_us":3,"event":"request_received","request":2,"operation":"op-0002","key":"k"}
            {"at_us":4,"event":"response_sent","request":2,"status":201,"effects":[1],"replayed":true}"#;
        let unknown = CLAIM.replace("succeeded", "unknown");
        assert_eq!(check(&format!("{ONE}\n{replayed}\n{unknown}")), "failed op-0002");
        let own = replayed.replace(r#""key":"k""#, r#""key":"l""#);
        assert_eq!(check(&format!("{ONE}\n{own}\n{unknown}")), "passed");
    }

    #[test]
    fn an_honest_failure_is_not_accused() {
        assert_eq!(check(&format!("{ONE}\n{}", CLAIM.replace("succeeded", "failed"))), "passed");
        assert_eq!(check(ONE), "passed", "silence is another matter");
    }

    #[test]
    fn operations_that_differ_exercise_nothing() {
        let dearer = ONE.replacen(r#""amount":5"#, r#""amount":6"#, 1);
        assert_eq!(check(&format!("{dearer}\n{CLAIM}")), "not exercised");
    }

    #[test]
    fn the_key_of_another_tenant_swallows_nothing() {
        let refused = r#"{"at_us":3,"event":"request_received","request":2,"operation":"op-0002","key":"k","tenant":"b"}
            {"at_us":4,"event":"response_sent","request":2,"status":402}"#;
        let failed = CLAIM.replace("succeeded", "failed");
        let of_tenant = ONE.replace(r#""key":"k""#, r#""key":"k","tenant":"a""#);
        assert_eq!(check(&format!("{of_tenant}\n{refused}\n{failed}")), "passed");
        let own = refused.replace(r#""tenant":"b""#, r#""tenant":"a""#);
        assert_eq!(check(&format!("{of_tenant}\n{own}\n{failed}")), "failed op-0002");
    }
}
