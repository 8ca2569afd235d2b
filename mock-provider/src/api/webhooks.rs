//! Which events an API tells its users of, and how it signs and repeats what it sends.
//!
//! **Invariant:** pure data; nothing is signed or sent here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::signature::Dialect;
use crate::template::Tree;

/// The names that the body of a webhook knows.
pub const WEBHOOK_NAMES: [&str; 3] = ["event", "object", "now"];

/// The webhooks of an API.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// How they are signed.
    pub dialect: Dialect,
    /// What receivers are told to check signatures with.
    pub secret: String,
    /// The key that the secret stands for.
    pub key: Vec<u8>,
    /// How long the sender waits before it sends again what was not answered with 2xx, one wait after the
    /// other, in microseconds; then it gives up.
    pub retry_us: Vec<u64>,
    /// How long it waits for an answer, in microseconds.
    pub timeout_us: u64,
    /// The type of the event of each route that is told of.
    pub events: BTreeMap<Arc<str>, Arc<str>>,
    /// The body; knows `event` (`id` and `type`), `object` and `now`.
    pub body: Tree,
    /// What stands before the id of an event: `evt_`.
    pub prefix: String,
    /// Where events are kept, so that routes can read and list them; they are made whether or not anybody
    /// listens then.
    pub collection: Option<Arc<str>>,
}
