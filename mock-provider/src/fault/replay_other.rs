//! `replay_other`: the idempotency key is scoped too widely.
//!
//! **Invariant:** the key alone decides: neither account nor route nor body make a difference.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static REPLAY_OTHER: FaultKind = FaultKind {
    name: "replay_other",
    group: Group::Provider,
    summary: "The key counts whoever sends it and for whatever: the answer to \
              another account or another route that used the same key first comes back.",
    parameters: &[],
    mistake: "Keys that are unique only within one account or one kind of call \
              (`order-17`), and taking the answer without a look at whose it is.",
    example: "replay_other",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayOtherFault")]
struct Parameters {}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(KeyRule {
        kind: &REPLAY_OTHER,
        fault: KeyFault::AnyScope,
        detail: String::new(),
    }))
}
