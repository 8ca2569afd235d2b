//! `mismatch_accepted`: a key that comes back with another body is answered from the store.
//!
//! **Invariant:** the first answer comes back, and what the second body asked for is never done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static MISMATCH_ACCEPTED: FaultKind = FaultKind {
    name: "mismatch_accepted",
    group: Group::Provider,
    summary: "A key that is used again with another body silently gets the answer to \
              the first body.",
    parameters: &[],
    mistake: "Using one key for two different charges and taking the second for \
              made; not comparing the amount that comes back.",
    example: "mismatch_accepted",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MismatchAcceptedFault")]
struct Parameters {}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(KeyRule {
        kind: &MISMATCH_ACCEPTED,
        fault: KeyFault::AnyBody,
        detail: String::new(),
    }))
}
