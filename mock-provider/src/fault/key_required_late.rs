//! `key_required_late`: the provider starts to demand idempotency keys in mid-run.
//!
//! **Invariant:** a request with a key is never touched.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::Period;

/// The registry's entry.
pub(super) static KEY_REQUIRED_LATE: FaultKind = FaultKind {
    name: "key_required_late",
    group: Group::Provider,
    summary: "From some time on, a request without an idempotency key is refused in \
              the API's own way.",
    parameters: &[("after", "since the first request; default 0ms: at once")],
    mistake: "Sending keys on retries only, or none: what worked yesterday is a 400 \
              today, which no retry heals.",
    example: "key_required_late: {after: 30s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeyRequiredLateFault")]
struct Parameters {
    /// Since the first request; 0ms unless said.
    after: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { after } = decode(value, at)?;
    let after = after.unwrap_or_default();
    let detail = if after.micros() == 0 { "at once".to_owned() } else { format!("after {after}") };
    let fault = KeyFault::RequiredAfter { time_us: after.micros() };
    Some(Arc::new(KeyRule { kind: &KEY_REQUIRED_LATE, fault, detail }))
}
