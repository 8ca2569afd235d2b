//! `replay_status`: a replay comes with another status than the first answer.
//!
//! **Invariant:** only the status of replays changes; the body is that of the first answer.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::parts::status_of;
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static REPLAY_STATUS: FaultKind = FaultKind {
    name: "replay_status",
    group: Group::Provider,
    summary: "A replay comes with this status instead of that of the first answer: \
              200 or 208, or 409 with the existing object.",
    parameters: &[("code", "required; 200, 208 or 409")],
    mistake: "Taking only 201 for done, and a 409 that carries the existing object \
              for a failure.",
    example: "replay_status: {code: 409}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayStatusFault")]
struct Parameters {
    /// The status.
    #[schemars(required, extend("examples" = [200, 208, 409]))]
    code: Option<u16>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { code } = decode(value, at)?;
    let status = status_of(code, &[200, 208, 409], at)?;
    let (fault, detail) = (KeyFault::ReplayStatus { status }, status.to_string());
    Some(Arc::new(KeyRule { kind: &REPLAY_STATUS, fault, detail }))
}
