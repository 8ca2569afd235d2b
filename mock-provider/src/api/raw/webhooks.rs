//! Webhooks as they stand in an API file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::signature::Dialect;
use crate::units::Period;

/// The events that an API tells its users of by requests of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWebhooks {
    /// How they are signed.
    pub signature: Option<Dialect>,
    /// What receivers check signatures with; put it into `client_env` too.
    pub secret: Option<String>,
    /// How long to wait before sending again what was not answered with 2xx, one wait after the other; unless
    /// said 5s, 5m, 30m, 2h, 5h, 10h.
    pub retry: Option<Vec<Period>>,
    /// How long to wait for an answer; 15s unless said.
    pub timeout: Option<Period>,
    /// The type of the event of each route that is told of.
    pub events: Option<BTreeMap<String, String>>,
    /// The body; texts in it may hold `{{ event.id }}`, `{{ event.type }}`, `{{ object }}` and `{{ now }}`.
    pub body: Option<Value>,
    /// What stands before the id of an event; `evt_` unless said, `msg_` for Standard Webhooks.
    pub id: Option<String>,
    /// The collection in which events are kept as they are sent, for routes that read and list them; none are
    /// kept unless said.
    pub collection: Option<String>,
}
