//! A limit on requests, as an API file or a scenario writes it.
//!
//! **Invariant:** an algorithm that is registered can be named here, without a word in this file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::document::ScalarOr;
use crate::hint::LimitHeaders;
use crate::rate_limit::{Algorithm, registry};
use crate::units::Period;

/// A limit on requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRateLimit {
    /// By which rule; `token_bucket` unless said otherwise.
    pub algorithm: Option<RawLimitAlgorithm>,
    /// Units in one period, at least 1; for `concurrency` requests at a time.
    pub limit: Option<u32>,
    /// The period; `1s` unless said otherwise.
    pub per: Option<Period>,
    /// The most units that the bucket of `token_bucket` or `leaky_bucket` holds; `limit` unless said
    /// otherwise.
    pub burst: Option<u32>,
    /// What shares the limit: `api_key` (the default), `ip`, `global` or `route`.
    pub scope: Option<RawLimitScope>,
    /// What a request costs in units: a number (1 unless said otherwise), or the field of its body that
    /// says so.
    pub cost: Option<ScalarOr<u32, RawCost>>,
    /// A second limit over a longer time, such as a day, counted in a fixed window.
    pub quota: Option<RawQuota>,
    /// The headers that tell of the limit, by a common dialect, instead of those of the API.
    pub headers: Option<LimitHeaders>,
}

/// What a request costs, by a field of its body: tokens, for example.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCost {
    /// The field of the request's body, as a JSON pointer: `/max_tokens`.
    pub field: Option<String>,
    /// The cost where the field is not there or no whole number; 1 unless said otherwise.
    pub otherwise: Option<u32>,
}

/// A second limit, over a longer time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawQuota {
    /// Units in one period, at least 1.
    pub limit: Option<u32>,
    /// The period; `24h` unless said otherwise.
    pub per: Option<Period>,
}

/// By which rule a limiter counts: a name of the registry of algorithms.
#[derive(Clone, Copy, Debug)]
pub struct RawLimitAlgorithm(pub &'static Algorithm);

impl<'de> Deserialize<'de> for RawLimitAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = registry::find(&name).map(Self);
        found.ok_or_else(|| D::Error::unknown_variant(&name, &registry::NAMES))
    }
}

impl JsonSchema for RawLimitAlgorithm {
    fn schema_name() -> Cow<'static, str> {
        "LimitAlgorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let alternatives: Vec<Value> = registry::ALGORITHMS
            .iter()
            .map(|one| {
                serde_json::json!({"type": "string", "const": one.name, "description": one.summary})
            })
            .collect();
        json_schema!({"description": "By which rule a limiter counts.", "oneOf": alternatives})
    }
}

/// What shares a limit.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawLimitScope {
    /// All requests with one key.
    ApiKey,
    /// All requests from one address.
    Ip,
    /// All requests.
    Global,
    /// All requests to one route.
    Route,
}
