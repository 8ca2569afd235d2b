//! Rules and scripts as they stand in a file.

use std::collections::BTreeMap;

use brownout_provider::document::{Named, OneOrMany, ScalarOr};
use brownout_provider::units::{Chance, Period};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A rule: when to inject which fault.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// The rule's name, unique in the scenario: letters, digits, `-`, `_`, `.`.
    #[schemars(required)]
    pub name: Option<String>,
    /// When it strikes; always, without any condition.
    pub when: Option<RawWhen>,
    /// One fault, or a list of faults that strike together.
    #[schemars(required)]
    pub inject: Option<OneOrMany<Named>>,
}

/// Conditions, which must all hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWhen {
    /// The name of a route of the API.
    pub route: Option<String>,
    /// The name of a provider of this scenario.
    pub provider: Option<String>,
    /// The name of a tenant of this scenario.
    pub tenant: Option<String>,
    /// The request's method.
    pub method: Option<String>,
    /// Headers by name, and the exact value of each.
    pub header: Option<BTreeMap<String, String>>,
    /// JSON pointers (`/amount`) or form fields, and the exact value of each.
    pub body: Option<BTreeMap<String, Value>>,
    /// Which attempts of an operation; they count from 1.
    pub attempt: Option<RawSelector>,
    /// Which operations; they count from 1.
    pub operation: Option<RawSelector>,
    /// Which submits of an operation; they count from 1.
    pub submit: Option<RawSelector>,
    /// How likely it strikes where all else holds.
    pub chance: Option<Chance>,
    /// From when to when, counted from the first request.
    pub during: Option<RawDuring>,
    /// At most so many strikes in a run.
    pub max_times: Option<u64>,
}

/// A stretch of time, counted from the first request.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDuring {
    /// Its begin (the first request, unless said).
    pub from: Option<Period>,
    /// Its end (the end of the run, unless said).
    pub to: Option<Period>,
}

/// Which numbers: `n`, `[n, …]`, `{from, to}` or `{every: k}`.
pub type RawSelector = ScalarOr<OneOrMany<u64>, RawSelection>;

/// Which numbers, in words: `{from, to}` or `{every: k}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSelection {
    /// The first.
    pub from: Option<u64>,
    /// The last, included.
    pub to: Option<u64>,
    /// k, 2k, 3k, …
    pub every: Option<u64>,
}

/// An entry of a script: exact coordinates, and the fault that strikes there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawScriptEntry {
    /// The operation: its number, or its name (`op-0003`).
    #[schemars(required)]
    pub operation: Option<RawOperation>,
    /// The submit (1 unless said).
    #[schemars(range(min = 1))]
    pub submit: Option<u64>,
    /// The provider's name.
    pub provider: Option<String>,
    /// The name of a route of the API.
    #[schemars(required)]
    pub route: Option<String>,
    /// The attempt, counted from 1.
    #[schemars(required, range(min = 1))]
    pub attempt: Option<u64>,
    /// One fault, or a list of faults that strike together.
    #[schemars(required)]
    pub inject: Option<OneOrMany<Named>>,
}

/// An operation by number or name.
#[derive(Clone, Debug)]
pub enum RawOperation {
    /// Its number, from 1.
    Number(u64),
    /// Its name.
    Name(String),
}

impl<'de> Deserialize<'de> for RawOperation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = RawOperation;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an operation's number or name")
            }
            fn visit_u64<E>(self, number: u64) -> Result<RawOperation, E> {
                Ok(RawOperation::Number(number))
            }
            fn visit_str<E>(self, name: &str) -> Result<RawOperation, E> {
                Ok(RawOperation::Name(name.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for RawOperation {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OperationNumberOrName".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "title": "the number or name of an operation",
            "examples": [3, "op-0003"],
            "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string" }],
        })
    }
}
