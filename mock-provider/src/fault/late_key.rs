//! `late_key`: the idempotency key is stored only when the answer is sent.
//!
//! **Invariant:** until its answer goes out, a struck request leaves nothing under its key.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static LATE_KEY: FaultKind = FaultKind {
    name: "late_key",
    group: Group::Provider,
    summary: "The provider stores the idempotency key only when it sends the answer, \
              so two attempts in flight both do the work, and one whose answer is never sent \
              leaves no key.",
    parameters: &[],
    mistake: "Sending a second attempt while the first is still under way, because \
              `the key will sort it out`.",
    example: "late_key",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LateKeyFault")]
struct Parameters {}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(KeyRule { kind: &LATE_KEY, fault: KeyFault::Late, detail: String::new() }))
}
