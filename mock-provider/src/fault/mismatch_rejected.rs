//! `mismatch_rejected`: a key that comes back with another body is refused with a status of its own.
//!
//! **Invariant:** only a key with another body is refused; what stands under the key stays.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::parts::status_of;
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static MISMATCH_REJECTED: FaultKind = FaultKind {
    name: "mismatch_rejected",
    group: Group::Provider,
    summary: "A key that is used again with another body is refused with this status \
              instead of the API's own.",
    parameters: &[("code", "required; 400, 409 or 422")],
    mistake: "Taking the 409 for a request in progress and repeating it for ever; \
              making a new key and charging again.",
    example: "mismatch_rejected: {code: 409}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MismatchRejectedFault")]
struct Parameters {
    /// The status.
    #[schemars(required, extend("examples" = [422, 400, 409]))]
    code: Option<u16>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { code } = decode(value, at)?;
    let status = status_of(code, &[400, 409, 422], at)?;
    let (fault, detail) = (KeyFault::Mismatch { status }, status.to_string());
    Some(Arc::new(KeyRule { kind: &MISMATCH_REJECTED, fault, detail }))
}
