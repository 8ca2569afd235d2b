//! The workload as it stands in a file.

use std::collections::BTreeMap;

use brownout_provider::document::ScalarOr;
use brownout_provider::units::{Period, Rate};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{RawHttp, RawReady};

/// What the client is asked to do.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWorkload {
    /// The route of the API that each operation calls.
    pub call: Option<String>,
    /// Operations of several steps, instead of `call`: routes in the order in which they are called.
    pub steps: Option<Vec<RawStep>>,
    /// How a client that is a service is called, instead of `call`.
    #[schemars(title = "a map such as `{request: {path: /orders}}`")]
    pub http: Option<RawHttp>,
    /// How the client is driven, where the command line does not say.
    pub mode: Option<RawMode>,
    /// How many operations (10 unless said).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub operations: Option<u64>,
    /// How many operations may be outstanding (1 unless said).
    #[schemars(range(min = 1, max = 1_000))]
    pub concurrency: Option<u64>,
    /// When operations are submitted (`at_once` unless said).
    pub arrival: Option<RawArrival>,
    /// The input of each operation (the route's own unless said). Text may hold `{{ n }}` and
    /// `{{ submit }}`, and the markers `{{ planted.card }}` and `{{ planted.prompt }}`, for which
    /// `no_secrets_in_output` looks in all that the client writes.
    pub input: Option<Map<String, Value>>,
    /// How often each operation is submitted (once unless said).
    pub submits: Option<RawSubmits>,
    /// When the caller gives up on an operation (30s unless said).
    pub deadline: Option<Period>,
    /// Several tenants by name, each with operations and a key of its own; `operations` then says how many of
    /// all of theirs take place.
    #[schemars(title = "a map such as `{a: {operations: 50}, b: {operations: 10}}`")]
    pub tenants: Option<BTreeMap<String, Option<RawTenant>>>,
    /// How many copies of the client share the operations (1 unless said); each is told its number in
    /// `BROWNOUT_CLIENT`.
    #[schemars(range(min = 1, max = 1_000))]
    pub clients: Option<u32>,
    /// Where requests carry the operation: `header:NAME`, `json:/POINTER`, `form:FIELD`, `query:NAME` or
    /// `traceparent`.
    pub operation_id: Option<String>,
    /// What holds in suite mode alone.
    pub suite: Option<RawSuite>,
    /// What holds in exec mode alone.
    pub exec: Option<RawExec>,
    /// How an operation reaches the client (`call` unless said).
    pub deliver: Option<RawDeliver>,
}

/// How an operation reaches the client: `call`, `{queue: NAME}` or `{webhook: {path, event}}`.
pub type RawDeliver = ScalarOr<RawDeliverWord, RawDeliverMap>;

/// How an operation reaches the client, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawDeliverWord {
    /// The driver asks for it.
    Call,
}

/// How an operation reaches the client, otherwise than by asking for it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDeliverMap {
    /// As a message of the queue of this name: the collection in which the API keeps its messages. The client
    /// is a program that receives messages; one that it deletes has succeeded, a dead letter has failed.
    pub queue: Option<String>,
    /// As an event that the provider sends to the client, which is a service: 2xx says that it was handled, and
    /// nothing else says anything. `call` is the route that the service calls to handle it.
    #[schemars(title = "a map such as `{path: /hooks, event: charge.succeeded}`")]
    pub webhook: Option<RawEvent>,
}

/// An operation that is an event.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEvent {
    /// Where the service listens.
    #[schemars(required)]
    pub path: Option<String>,
    /// The type of the event, which the API tells of by a webhook: `charge.succeeded`.
    #[schemars(required)]
    pub event: Option<String>,
    /// How it is seen that the service is ready (that it takes connections, unless said).
    pub ready: Option<RawReady>,
}

/// A tenant.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTenant {
    /// How many operations it has.
    #[schemars(required, range(min = 1, max = 1_000_000))]
    pub operations: Option<u64>,
}

/// One step of an operation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStep {
    /// The route of the API that it calls.
    pub call: String,
    /// The name of the provider that is called, where there are several (the first that has the route
    /// unless said).
    pub provider: Option<String>,
    /// What it takes from the answer of the step before it: parameters of its path or fields of its body, each
    /// with the place in that answer, such as `{id: /id}`.
    pub uses: Option<Map<String, Value>>,
}

/// How a client is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMode {
    /// One process per operation.
    Exec,
    /// One long-lived process that reads operations from its standard input.
    Stdio,
    /// One command that does what it likes.
    Suite,
    /// A service.
    Http,
}

/// When operations are submitted: `at_once`, `{every: D}`, `{rate: 50/s}` or `{burst: N, every: D}`.
pub type RawArrival = ScalarOr<RawArrivalWord, RawArrivalMap>;

/// When operations are submitted, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawArrivalWord {
    /// As soon as `concurrency` lets them.
    AtOnce,
}

/// When operations are submitted, by a clock.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawArrivalMap {
    /// The time from one to the next.
    pub every: Option<Period>,
    /// How many in which time.
    pub rate: Option<Rate>,
    /// How many at once.
    #[schemars(range(min = 1))]
    pub burst: Option<u64>,
}

/// How often each operation is submitted: `N`, or `{times: N, apart: D}`.
pub type RawSubmits = ScalarOr<u32, RawSubmitsMap>;

/// How often each operation is submitted, and how far apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSubmitsMap {
    /// How often.
    #[schemars(required)]
    pub times: Option<u32>,
    /// How far apart (at once unless said).
    pub apart: Option<Period>,
}

/// What holds in suite mode alone.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSuite {
    /// What an exit code of 0 claims of the operations seen on the wire (nothing unless said).
    pub exit_0: Option<RawExit0>,
}

/// What an exit code of 0 claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawExit0 {
    /// That all operations seen succeeded.
    AllSucceeded,
}

/// What holds in exec mode alone.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawExec {
    /// How many operations run in exec mode, where each is a process.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub operations: Option<u64>,
}
