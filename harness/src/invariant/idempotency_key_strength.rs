//! `idempotency_key_strength`: keys that are drawn do not meet by chance.
//!
//! **Invariant:** judges keys that look drawn; a key that is made of its operation's own words needs no
//! chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::base64;
use brownout_provider::document::{At, decode};
use brownout_provider::event::Digest16;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_strength::strength;
use super::support::{few_of, keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Name, OperationId, RequestId, Trace};

/// What a key must have, unless the scenario says otherwise.
const MIN_BITS: u32 = 64;

/// With fewer keys nothing can be said.
const KEYS: usize = 20;

/// So many keys are looked at: more say nothing that these do not.
const MOST_KEYS: usize = 4_096;

/// A word is looked for in another spelling from so many characters on.
const SHORTEST: usize = 3;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "idempotency_key_strength",
    summary: "Idempotency keys that are drawn at random are too long to meet by chance.",
    headline: "had idempotency keys that others can have as well",
    rule: "Keys that look drawn have at least `min_bits` bits that cannot be told from the other keys of the \
           run: what is the same in all of them and what only counts up (counters, times) is taken off, \
           and each other character counts as a draw from the characters in use.",
    exercised_by: "20 different keys.",
    parameters: &[("min_bits", "bits that cannot be guessed, 1 to 512; default 64")],
    tolerates: "Keys that hold a word of their operation's input which no other of the tenant has, or its name; \
                keys that are a digest of one, of whatever kind.",
    cure: "Use a random UUID (version 4), or derive the key from the order's own number; a counter or a \
           time begins again with the next process, and then means another order.",
    why: "Keys that are short or made from a clock collide once there are enough of them, and then one \
          customer gets another one's answer.",
    faults: &["truncated_key"],
    without_a_fault: "20 operations with keys",
    modes: &[],
    example: "idempotency_key_strength: {min_bits: 64}",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IdempotencyKeyStrength")]
struct Raw {
    /// Bits that cannot be guessed.
    #[schemars(range(min = 1, max = 512))]
    min_bits: Option<u32>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let min_bits = raw.min_bits.unwrap_or(MIN_BITS);
    if !(1..=512).contains(&min_bits) {
        at.key("min_bits").error(format!("no key has {min_bits} bits to guess"), |problem| {
            problem.cure("use 1 to 512")
        });
        return None;
    }
    Some(Arc::new(IdempotencyKeyStrength { min_bits: min_bits.into() }))
}

#[derive(Debug)]
struct IdempotencyKeyStrength {
    min_bits: u64,
}

impl Invariant for IdempotencyKeyStrength {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let keys = keys(trace);
        if keys.len() < KEYS {
            let why = format!("{} different keys were seen, and it takes {KEYS}", keys.len());
            return Judgement::new(0, Vec::new(), &why);
        }
        let texts: Vec<&str> = keys.iter().map(|(key, _)| trace.text(*key)).collect();
        let milli_bits = strength(&texts);
        let is_weak = milli_bits < self.min_bits * 1_000;
        let violation = (is_weak && !are_derived(trace, &keys)).then(|| {
            let message = format!(
                "expected keys with at least {} bits that cannot be told from the others, found about {} in \
                 {} keys such as `{}` and `{}`",
                self.min_bits,
                milli_bits / 1_000,
                keys.len(),
                texts[0],
                texts[1]
            );
            let evidence = keys.iter().map(|(_, id)| trace.request(*id).seq);
            Violation::of_run(message, few_of(evidence))
        });
        Judgement::new(keys.len(), violation.into_iter().collect(), "")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        keys_are_known(scenario, at, KIND.name);
        if scenario.workload.operations < 20 {
            at.note(
                "`idempotency_key_strength` needs 20 keys, and there are fewer operations",
                |d| d.cure("raise `operations` of the workload to 20 or more"),
            );
        }
    }
}

/// The first of the different keys of the run, each with the request that first carried it, in order.
fn keys(trace: &Trace) -> Vec<(Name, RequestId)> {
    let mut seen = BTreeSet::new();
    trace
        .requests()
        .filter(|(_, request)| request.by.is_client() && request.keyed)
        .filter_map(|(id, request)| Some((request.key?, id)))
        .filter(|(key, _)| seen.insert(*key))
        .take(MOST_KEYS)
        .collect()
}

/// True when every key holds a word of its operation that no other operation has.
fn are_derived(trace: &Trace, keys: &[(Name, RequestId)]) -> bool {
    let mut words = BTreeMap::<OperationId, (Option<Name>, Vec<String>)>::new();
    for request in keys.iter().map(|(_, id)| trace.request(*id)) {
        if let Some(id) = request.operation {
            words.entry(id).or_insert_with(|| (request.tenant, trace.words_of(id)));
        }
    }
    // The provider keeps the keys of each tenant apart, so another tenant's order 1 is no other key's.
    let place = |tenant: &Option<Name>, word: &str| (*tenant, Digest16::of(word.as_bytes()));
    let mut counts = BTreeMap::<(Option<Name>, Digest16), u32>::new();
    for (tenant, own) in words.values() {
        // What stands twice in one operation's own input is no less its own.
        for word in own.iter().collect::<BTreeSet<_>>() {
            *counts.entry(place(tenant, word)).or_default() += 1;
        }
    }
    keys.iter().all(|(key, id)| {
        let own = trace.request(*id).operation.and_then(|id| words.get(&id));
        own.is_some_and(|(tenant, own)| {
            let is_own = |word: &str| counts.get(&place(tenant, word)) == Some(&1);
            let text = trace.text(*key);
            let holds = |word: &&String| !word.is_empty() && is_held(text, word);
            own.iter().filter(holds).any(|word| is_own(word))
        })
    })
}

/// True for a key that holds a word: as it stands, in other letters and marks, or in base64.
fn is_held(key: &str, word: &str) -> bool {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(char::is_ascii_alphanumeric);
        kept.map(|one| one.to_ascii_lowercase()).collect()
    };
    let bare = plain(word);
    let encoded = base64::encode(word.as_bytes()).replace('+', "-").replace('/', "_");
    key.contains(word)
        || (bare.len() >= SHORTEST && plain(key).contains(&bare))
        || key.replace('+', "-").replace('/', "_").contains(encoded.trim_end_matches('='))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use brownout_provider::base64;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "idempotency_key_strength";

    fn lines(operations: u64, key: impl Fn(u64) -> String) -> String {
        let one = |n| {
            format!(
                r#"{{"at_us":{n},"event":"operation_submitted","operation":"op-{n:04}","input":{{"amount":5,"order":"order-{n}"}}}}
                {{"at_us":{n},"event":"request_received","request":{n},"operation":"op-{n:04}","key":"{}"}}
                "#,
                key(n)
            )
        };
        (1..=operations).map(one).collect()
    }

    /// A key that looks drawn: a digest.
    fn drawn(n: u64) -> String {
        brownout_provider::event::Digest16::of(&n.to_le_bytes()).to_string()
    }

    #[test]
    fn drawn_keys_pass_and_counters_do_not() {
        assert_eq!(verdict(NAME, &Value::Null, &lines(20, drawn)), "passed");
        let counter = lines(20, |n| format!("charge-{:05}", n + 40_000));
        assert_eq!(verdict(NAME, &Value::Null, &counter), "failed run");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&counter)),
            "expected keys with at least 64 bits that cannot be told from the others, found about 0 in 20 \
             keys such as `charge-40001` and `charge-40002`"
        );
    }

    #[test]
    fn short_digests_are_as_weak_as_they_are_short() {
        let short = lines(20, |n| drawn(n)[..8].to_owned());
        assert_eq!(verdict(NAME, &Value::Null, &short), "failed run");
        assert_eq!(verdict(NAME, &json!({"min_bits": 32}), &short), "passed");
    }

    #[test]
    fn keys_made_of_the_orders_own_words_are_not_accused() {
        assert_eq!(verdict(NAME, &Value::Null, &lines(20, |n| format!("order-{n}"))), "passed");
        assert_eq!(verdict(NAME, &Value::Null, &lines(20, |n| format!("v1:op-{n:04}"))), "passed");
        // The same in other letters and marks, and in base64.
        assert_eq!(verdict(NAME, &Value::Null, &lines(20, |n| format!("ORDER_{n}"))), "passed");
        let encoded = |n| base64::encode(format!("order-{n}").as_bytes());
        assert_eq!(verdict(NAME, &Value::Null, &lines(20, encoded)), "passed");
        let named = r#""order":"order-"#;
        let twice = lines(20, |n| format!("order-{n}"))
            .lines()
            .map(|line| match line.split_once(named) {
                Some((_, n)) => {
                    let n = n.split('"').next().unwrap_or_default();
                    line.replace(named, &format!(r#""reference":"order-{n}",{named}"#)) + "\n"
                }
                None => format!("{line}\n"),
            })
            .collect::<String>();
        assert!(twice.contains(r#""reference":"order-7","order":"order-7""#));
        assert_eq!(verdict(NAME, &Value::Null, &twice), "passed", "a word that stands twice");
        // The amount is no one's own.
        assert_eq!(
            verdict(NAME, &Value::Null, &lines(20, |n| format!("5-{:05}", n + 40_000))),
            "failed run"
        );
    }

    #[test]
    fn few_keys_and_an_api_without_any_exercise_nothing() {
        assert_eq!(verdict(NAME, &Value::Null, &lines(19, |n| n.to_string())), "not exercised");
        let unknown = lines(20, |n| n.to_string()).replace(r#""key""#, r#""keyed":false,"key""#);
        assert_eq!(verdict(NAME, &Value::Null, &unknown), "not exercised");
    }

    #[test]
    fn each_tenant_has_orders_of_its_own() {
        let lines = |second: &str| -> String {
            (0..40)
                .map(|n| {
                    let (order, id) = (n % 20, n + 1);
                    let tenant = if n < 20 { "a" } else { second };
                    let key = if n < 20 { format!("o-{order}") } else { format!("o-{order}-") };
                    format!(
                        r#"{{"at_us":{n},"event":"operation_submitted","operation":"op-{id}","input":{{"order":"o-{order}"}}}}
                        {{"at_us":{n},"event":"request_received","request":{id},"operation":"op-{id}","key":"{key}","tenant":"{tenant}"}}
                        "#
                    )
                })
                .collect()
        };
        assert_eq!(verdict(NAME, &Value::Null, &lines("b")), "passed");
        assert_eq!(verdict(NAME, &Value::Null, &lines("a")), "failed run");
    }
}
