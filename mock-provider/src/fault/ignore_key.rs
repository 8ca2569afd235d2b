//! `ignore_key`: the idempotency key is accepted and overlooked.
//!
//! **Invariant:** nothing is looked up and nothing stored, as if the request had no key.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static IGNORE_KEY: FaultKind = FaultKind {
    name: "ignore_key",
    group: Group::Provider,
    summary: "The provider takes the idempotency key and does not honor it.",
    parameters: &[],
    mistake: "Relying on keys alone: after a lost answer only a look at what the \
              provider holds (a list, a search by order) tells whether a repeat is safe.",
    example: "ignore_key",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IgnoreKeyFault")]
struct Parameters {}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(KeyRule { kind: &IGNORE_KEY, fault: KeyFault::Ignore, detail: String::new() }))
}
