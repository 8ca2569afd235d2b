//! `idempotency_key_stable`: one operation, one key, however often it is tried.
//!
//! **Invariant:** a new key is judged by what the client knew when it sent it: after a complete definite
//! answer for the old one there is nothing left to protect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::Class;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Name, OperationId, Request, RequestId, Response, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "idempotency_key_stable",
    summary: "All attempts of an operation carry the same idempotency key.",
    headline: "changed their idempotency key between attempts",
    rule: "One key per operation, provider, route with an effect, and item, over all attempts, submits and \
           restarts (`per: submit` allows one for each submit).",
    exercised_by: "Two attempts or submits of one operation with keys.",
    parameters: &[(
        "per",
        "`operation` (default): one key for all submits; `submit`: one for each submit",
    )],
    tolerates: "A new key after a complete definite answer for the old one: a permanent error, a replayed \
                error, a refused reuse of the key, or a read that showed no effect.",
    cure: "Make the key outside the retry loop, once per operation, and store it with the operation, so \
           that a second click and a restart find it again.",
    why: "A key that changes with the attempt protects from nothing: to the provider each repeat is a new \
          order.",
    faults: &["reset", "hang", "truncate", "close", "status", "kill_client"],
    without_a_fault: "two submits of one operation (`submits: 2`)",
    modes: &[],
    example: "idempotency_key_stable: {per: submit}",
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
    /// What shares one key.
    per: Option<Per>,
}

/// What shares one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Per {
    /// All submits of an operation.
    #[default]
    Operation,
    /// The attempts of one submit.
    Submit,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(IdempotencyKeyStable { per: raw.per.unwrap_or_default() }))
}

#[derive(Debug)]
struct IdempotencyKeyStable {
    per: Per,
}

/// What shares one key: provider, route, submit where each has its own, and item.
type Place = (Name, Option<Name>, u32, Option<String>);

impl Invariant for IdempotencyKeyStable {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations() {
            for attempts in self.places(trace, operation).values().filter(|list| list.len() > 1) {
                exercised += 1;
                violations.extend(changed(trace, operation, attempts));
            }
        }
        let why_not = "no operation sent a key twice or was attempted twice with a key";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        keys_are_known(scenario, at, KIND.name);
    }
}

impl IdempotencyKeyStable {
    /// The attempts with a key of one operation, by what shares one key, in order of arrival.
    fn places(&self, trace: &Trace, operation: OperationId) -> BTreeMap<Place, Vec<RequestId>> {
        let mut places = BTreeMap::<Place, Vec<RequestId>>::new();
        let has_items = trace.effects_of(operation).any(|(_, effect)| effect.subject.is_some());
        let mut seen = BTreeSet::new();
        let repeated: BTreeSet<Name> = trace.steps().filter(|step| !seen.insert(*step)).collect();
        for (id, request) in trace.attempts_of(operation) {
            if !request.effectful || !request.keyed || request.key.is_none() {
                continue;
            }
            if has_items && request.body_unread {
                // Nobody knows which item it was about.
                continue;
            }
            let submit = if self.per == Per::Submit { request.submit } else { 0 };
            // Where an operation has items, a body stands for the item that it is about, and where it takes one
            // step several times, for the step.
            let is_repeated = request.route.is_some_and(|route| repeated.contains(&route));
            let item = (has_items || is_repeated).then(|| request.canonical.to_string());
            let place = (request.provider, request.route, submit, item);
            places.entry(place).or_default().push(id);
        }
        places
    }
}

/// The key changed while the fate of the old one was open.
fn changed(trace: &Trace, operation: OperationId, attempts: &[RequestId]) -> Option<Violation> {
    let (_, next) = attempts.iter().zip(&attempts[1..]).find(|(before, next)| {
        let (before, next) = (trace.request(**before), trace.request(**next));
        before.key != next.key && !is_released(trace, operation, attempts, (before, next))
    })?;
    let mut keys = BTreeMap::new();
    for request in attempts.iter().map(|id| trace.request(*id)) {
        keys.entry(request.key).or_insert(request.seq);
    }
    let message = format!(
        "expected one idempotency key, found {}: {} came with a new one while it was open what became \
         of the old one",
        plural(keys.len(), "key"),
        trace.request_in_words(trace.request(*next))
    );
    let evidence = keys.into_values().chain([trace.request(*next).seq]);
    Some(Violation::new(trace, operation, message, evidence))
}

/// True when the client knew, before it took a new key, that nothing was done under the old one.
fn is_released(
    trace: &Trace,
    operation: OperationId,
    attempts: &[RequestId],
    (before, next): (&Request, &Request),
) -> bool {
    let answered = attempts.iter().map(|id| trace.request(*id)).any(|request| {
        request.key == before.key
            && request.response.is_some_and(|response| {
                let is_definite = response.class == Class::Permanent
                    || response.refuses_key
                    || (response.replayed && response.class != Class::Success);
                response.complete && response.end_at_us <= next.at_us && is_definite
            })
    });
    answered
        || trace.attempts_of(operation).any(|(id, read)| {
            !read.effectful
                && read.at_us >= before.at_us
                && trace.speaks_of_work(id, before)
                && (trace.fate_at(id, next.at_us) == Some(Fate::Usable)
                    || was_not_found(read, next.at_us))
                && !trace.told_by(id).any(|effect| trace.effect(effect).operation == operation)
        })
}

/// True when a read of an object had been answered by then that there is none.
fn was_not_found(read: &Request, by_us: u64) -> bool {
    let answered = |response: &Response| {
        response.status == 404 && response.complete && response.end_at_us <= by_us
    };
    read.route.is_some() && read.response.as_ref().is_some_and(answered)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    fn keys(between: &str, second: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1,"key":"a"}}
            {between}
            {{"at_us":90,"event":"request_received","request":9,"attempt":2,{second}}}"#
        )
    }

    fn check(between: &str, second: &str) -> String {
        verdict("idempotency_key_stable", &Value::Null, &keys(between, second))
    }

    const LOST: &str =
        r#"{"at_us":5,"event":"connection_ended","request":1,"by":"provider","how":"rst"}"#;

    #[test]
    fn a_new_key_while_the_old_one_is_open_is_accused() {
        assert_eq!(check(LOST, r#""key":"a""#), "passed");
        assert_eq!(check(LOST, r#""key":"b""#), "failed op-0001");
        let busy = r#"{"at_us":5,"event":"response_sent","request":1,"status":429}"#;
        assert_eq!(check(busy, r#""key":"b""#), "failed op-0001");
        assert_eq!(
            message("idempotency_key_stable", &Value::Null, &trace(&keys(LOST, r#""key":"b""#))),
            "expected one idempotency key, found 2 keys: attempt 2 of `create_charge` came with a new one \
             while it was open what became of the old one"
        );
    }

    #[test]
    fn one_key_alone_exercises_nothing() {
        assert_eq!(check(LOST, r#""operation":"op-0002","key":"b""#), "not exercised");
        assert_eq!(check(LOST, r#""keyed":false,"key":"b""#), "not exercised");
    }

    #[test]
    fn a_second_submit_has_the_same_key_unless_the_scenario_says_otherwise() {
        let lines = keys(LOST, r#""submit":2,"key":"b""#);
        assert_eq!(verdict("idempotency_key_stable", &Value::Null, &lines), "failed op-0001");
        let per_submit = json!({"per": "submit"});
        assert_eq!(verdict("idempotency_key_stable", &per_submit, &lines), "not exercised");
    }

    #[test]
    fn a_new_key_after_a_complete_definite_answer_is_not_accused() {
        for answer in [
            r#""status":402"#,
            r#""status":422,"refuses_key":true"#,
            r#""status":500,"replayed":true"#,
        ] {
            let answered = format!(r#"{{"at_us":5,"event":"response_sent","request":1,{answer}}}"#);
            assert_eq!(check(&answered, r#""key":"b""#), "passed", "{answer}");
            let cut = answered.replace("}", r#","complete":false}"#);
            assert_eq!(check(&cut, r#""key":"b""#), "failed op-0001", "cut: {answer}");
        }
    }

    #[test]
    fn a_new_key_after_a_read_that_showed_no_effect_is_not_accused() {
        let read = |effects: &str| {
            format!(
                r#"{LOST}
                {{"at_us":6,"event":"effect_committed","request":1}}
                {{"at_us":7,"event":"request_received","request":2,"route":"list_charges","unsafe":false}}
                {{"at_us":8,"event":"response_sent","request":2,"status":200,"effects":{effects}}}"#
            )
        };
        assert_eq!(check(&read("[]"), r#""key":"b""#), "passed");
        assert_eq!(check(&read("[1]"), r#""key":"b""#), "failed op-0001");
        for (status, verdict) in [(404, "passed"), (503, "failed op-0001")] {
            let one = format!(
                r#"{{"at_us":5,"event":"response_sent","request":1,"status":201}}
                {{"at_us":7,"event":"request_received","request":2,"route":"get_charge","unsafe":false}}
                {{"at_us":8,"event":"response_sent","request":2,"status":{status}}}"#
            );
            assert_eq!(check(&one, r#""key":"b""#), verdict, "{status}");
        }
    }

    #[test]
    fn another_item_and_another_provider_have_keys_of_their_own() {
        let item = r#"{"at_us":5,"event":"effect_committed","request":1,"subject":"line 1"}"#;
        assert_eq!(check(item, r#""canonical_digest":"line 2","key":"b""#), "not exercised");
        assert_eq!(check(LOST, r#""provider":"backup","key":"b""#), "not exercised");
    }

    #[test]
    fn a_step_that_is_taken_twice_has_two_keys() {
        let lines = r#"{"at_us":0,"event":"request_received","request":1,"route":"notify","key":"a"}
            {"at_us":1,"event":"request_received","request":2,"route":"notify","key":"b","canonical_digest":"other"}
            {"at_us":2,"event":"request_received","request":3,"route":"notify","key":"b","canonical_digest":"other"}"#;
        let check = |steps: &Value, lines: &str| {
            let run = json!({"scenario": {"workload": {"steps": steps}}});
            let invariant = invariant("idempotency_key_stable", &Value::Null);
            in_short(&invariant.check(&trace_with(&run, lines)))
        };
        let twice = json!([{"call": "notify"}, {"call": "notify"}]);
        assert_eq!(check(&twice, lines), "passed");
        assert_eq!(check(&json!([{"call": "notify"}]), lines), "failed op-0001");
        let third = lines.replace(
            r#""request":3,"route":"notify","key":"b""#,
            r#""request":3,"route":"notify","key":"c""#,
        );
        assert_eq!(check(&twice, &third), "failed op-0001");
    }
}
