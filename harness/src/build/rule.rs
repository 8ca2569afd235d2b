//! A rule: when to inject what.
//!
//! **Invariant:** without a condition a rule strikes every request, as in a file.

use std::ops::{RangeFrom, RangeInclusive, RangeToInclusive};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Injected, words};

/// Begins a rule of this name, which it draws by: unique in the scenario.
#[must_use]
pub fn rule(name: &str) -> RuleBuilder {
    RuleBuilder { name: name.to_owned(), when: Map::new(), inject: Vec::new() }
}

/// A rule that is being written; all its conditions must hold.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::build::{every, fault, rule};
/// use serde_json::{Value, json};
///
/// let built = rule("slow")
///     .route("create_charge")
///     .attempt(1)
///     .operation(every(3))
///     .chance(3, 10)
///     .inject(fault::latency(Duration::from_secs(2)));
/// let written = json!({
///     "name": "slow",
///     "when": {"route": "create_charge", "attempt": 1, "operation": {"every": 3}, "chance": "3/10"},
///     "inject": {"latency": {"fixed": "2s"}},
/// });
/// assert_eq!(Value::from(built), written);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RuleBuilder {
    name: String,
    when: Map<String, Value>,
    inject: Vec<Value>,
}

impl RuleBuilder {
    /// On this route of the API alone.
    #[must_use]
    pub fn route(self, route: &str) -> Self {
        self.when("route", route)
    }

    /// At these attempts of an operation, which count from 1: `1`, `[1, 3]`, `2..=4`, `..=2`, `3..` or
    /// `every(2)`.
    #[must_use]
    pub fn attempt(self, which: impl Into<Which>) -> Self {
        self.when("attempt", which.into().0)
    }

    /// At these operations, which count from 1.
    #[must_use]
    pub fn operation(self, which: impl Into<Which>) -> Self {
        self.when("operation", which.into().0)
    }

    /// At these submits of an operation, which count from 1.
    #[must_use]
    pub fn submit(self, which: impl Into<Which>) -> Self {
        self.when("submit", which.into().0)
    }

    /// With this chance where all else holds: `chance(3, 10)` is 3 in 10.
    #[must_use]
    pub fn chance(self, part: u32, of: u32) -> Self {
        self.when("chance", format!("{part}/{of}"))
    }

    /// Between these moments, counted from the first request.
    #[must_use]
    pub fn during(self, from: Duration, to: Duration) -> Self {
        self.when("during", json!({"from": words(from), "to": words(to)}))
    }

    /// At most so many times in a run.
    #[must_use]
    pub fn max_times(self, times: u64) -> Self {
        self.when("max_times", times)
    }

    /// Any condition (`method`, `header`, `body`), in the words of a file.
    #[must_use]
    pub fn when(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.when.insert(key.to_owned(), value.into());
        self
    }

    /// What it injects. Called again it adds a fault that strikes together with the others, under one
    /// draw; one ending at most is among them.
    #[must_use]
    pub fn inject(mut self, fault: impl Into<Injected>) -> Self {
        let fault: Injected = fault.into();
        self.inject.push(fault.into());
        self
    }
}

impl From<RuleBuilder> for Value {
    fn from(rule: RuleBuilder) -> Self {
        let RuleBuilder { name, when, mut inject } = rule;
        let mut document = Map::from_iter([("name".to_owned(), json!(name))]);
        if !when.is_empty() {
            document.insert("when".to_owned(), Self::Object(when));
        }
        let inject = match inject.len() {
            1 => inject.remove(0),
            _ => Self::Array(inject),
        };
        document.insert("inject".to_owned(), inject);
        Self::Object(document)
    }
}

/// Which numbers, from 1: made of a number, several, or a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Which(Value);

/// k, 2k, 3k, …
#[must_use]
pub fn every(k: u64) -> Which {
    Which(json!({ "every": k }))
}

impl From<u64> for Which {
    fn from(number: u64) -> Self {
        Self(json!(number))
    }
}

impl<const N: usize> From<[u64; N]> for Which {
    fn from(numbers: [u64; N]) -> Self {
        Self(json!(numbers.as_slice()))
    }
}

impl From<Vec<u64>> for Which {
    fn from(numbers: Vec<u64>) -> Self {
        Self(json!(numbers))
    }
}

impl From<RangeInclusive<u64>> for Which {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self(json!({"from": range.start(), "to": range.end()}))
    }
}

impl From<RangeToInclusive<u64>> for Which {
    fn from(range: RangeToInclusive<u64>) -> Self {
        Self(json!({ "to": range.end }))
    }
}

impl From<RangeFrom<u64>> for Which {
    fn from(range: RangeFrom<u64>) -> Self {
        Self(json!({ "from": range.start }))
    }
}
