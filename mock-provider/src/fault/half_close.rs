//! `half_close`: the provider will write no more (FIN), but goes on taking what the client writes.
//!
//! **Invariant:** only the connection is harmed; what the provider did stays done.

use std::sync::Arc;

use serde_json::Value;

use super::parts::{WIRE_END_PARAMETERS, WireEndParameters, wire_end};
use super::{Fault, FaultKind, Group};
use crate::document::At;
use crate::exchange::End;

/// The registry's entry.
pub(super) static HALF_CLOSE: FaultKind = FaultKind {
    name: "half_close",
    group: Group::Ending,
    summary: "The provider closes its side alone: it answers no more, and goes on taking all that is written.",
    parameters: WIRE_END_PARAMETERS,
    mistake: "Looking for the end of a connection only when a write fails: here no write ever does, and the \
              requests that follow vanish.",
    example: "half_close: {at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<WireEndParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    wire_end(&HALF_CLOSE, End::Half, value, at)
}
