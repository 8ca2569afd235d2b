//! A scenario file as its author writes it: types that mirror the file and know no meaning.
//!
//! Every field is an option, so that what is wrong can be left out and the rest still be judged.
//! **Invariant:** nothing is checked here beyond the shape; whatever needs two keys is checked by
//! `resolve`.

mod http;
mod rule;
mod workload;

use std::borrow::Cow;
use std::collections::BTreeMap;

use brownout_provider::api::raw::{RawHint, RawIdempotency, RawQueue, RawRateLimit, RawWebhooks};
use brownout_provider::document::Named;
use brownout_provider::units::{Period, Scale};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use http::{
    RawHttp, RawListens, RawMethod, RawOutcome, RawPoll, RawReady, RawRequest, RawStatus,
};
pub use rule::{
    RawDuring, RawOperation, RawRule, RawScriptEntry, RawSelection, RawSelector, RawWhen,
};
pub use workload::{
    RawArrival, RawArrivalMap, RawArrivalWord, RawDeliver, RawDeliverMap, RawDeliverWord, RawEvent,
    RawExec, RawExit0, RawMode, RawSubmits, RawSubmitsMap, RawSuite, RawTenant, RawWorkload,
};

/// A scenario: how a provider misbehaves, what a client is asked to do, and what it must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a scenario: a map with `version`, `name`, `provider`, `workload`, `expect`")]
pub struct RawScenario {
    /// The version of this format: 1.
    #[schemars(required, title = "the version of the format: `1`")]
    pub version: Option<u64>,
    /// The scenario's name, unique among those that run together: letters, digits, `-`, `_`, `.`.
    #[schemars(required)]
    pub name: Option<String>,
    /// One sentence that says what happens.
    pub summary: Option<String>,
    /// Words to choose scenarios by.
    pub tags: Option<Vec<Option<String>>>,
    /// What the random decisions are drawn from: 0 to 2^53 - 1.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub seed: Option<u64>,
    /// Shortens every duration written in this file.
    pub scale: Option<Scale>,
    /// The provider that misbehaves.
    #[schemars(title = "a map such as `{api: payments}`")]
    pub provider: Option<RawProvider>,
    /// Several providers by name, instead of `provider`; the first is the one to which a client is sent
    /// that knows only one.
    #[schemars(title = "a map such as `{primary: {api: payments}, backup: {api: payments}}`")]
    pub providers: Option<BTreeMap<String, Option<RawProvider>>>,
    /// The rules, read top to bottom.
    pub faults: Option<Vec<Option<RawRule>>>,
    /// Instead of `faults`: what strikes at exactly which coordinates.
    pub script: Option<Vec<Option<RawScriptEntry>>>,
    /// What the client is asked to do.
    #[schemars(required, title = "a map such as `{call: create_charge, operations: 20}`")]
    pub workload: Option<RawWorkload>,
    /// The invariants that the client must hold.
    #[schemars(required, title = "a list of invariants such as `[no_double_charges]`")]
    pub expect: Option<Vec<Option<Named>>>,
    /// How long to wait at the end for work that is still pending (10s unless said).
    pub drain: Option<Period>,
}

/// The fault plan of a scenario alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct RawPlan {
    /// The rules, read top to bottom.
    pub faults: Option<Vec<Option<RawRule>>>,
    /// Instead of `faults`: what strikes at exactly which coordinates.
    pub script: Option<Vec<Option<RawScriptEntry>>>,
}

/// A provider: its API, and policies of the API that this scenario changes.
// The policies have the shape that they have in an API's file, and are kept as they were written, to be
// put over those of the file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawProvider {
    /// The name of a shipped API, or the path of an API file beside the scenario.
    #[schemars(required)]
    pub api: Option<String>,
    /// A fixed port.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Answers over TLS.
    pub tls: Option<bool>,
    /// Speaks HTTP/2 beside HTTP/1.1: over TLS to clients that ask for it, in clear to those that begin with
    /// it.
    pub http2: Option<bool>,
    /// How idempotency keys are treated, over what the API says.
    #[schemars(with = "Option<RawIdempotency>")]
    pub idempotency: Option<Map<String, Value>>,
    /// The limit on requests, over what the API says.
    #[schemars(with = "Option<RawRateLimit>")]
    pub rate_limit: Option<Map<String, Value>>,
    /// How the queue treats its messages, over what the API says.
    #[schemars(with = "Option<RawQueue>")]
    pub queue: Option<Map<String, Value>>,
    /// When events are told of again, over what the API says: `{retry: [200ms, 1s]}`.
    #[schemars(with = "Option<RawWebhooks>")]
    pub webhooks: Option<Map<String, Value>>,
    /// How retry hints are spelled, over what the API says.
    #[schemars(with = "Option<RawHint>")]
    pub hint: Option<Map<String, Value>>,
    /// What the API leaves to its user, over what it says: `{keys: {seats: [row, seat]}}` for `dynamodb`.
    pub settings: Option<Map<String, Value>>,
}

/// A value under a key that the grammar has and this version does not carry out.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Later(pub Value);

impl JsonSchema for Later {
    fn schema_name() -> Cow<'static, str> {
        "Later".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "$comment": "not available in this version" })
    }
}
