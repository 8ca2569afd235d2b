//! `close`: the connection is closed in order (FIN) without an answer, or in the middle of one.
//!
//! **Invariant:** only the connection is harmed; what the provider did stays done.

use std::sync::Arc;

use serde_json::Value;

use super::parts::{WIRE_END_PARAMETERS, WireEndParameters, wire_end};
use super::{Fault, FaultKind, Group};
use crate::document::At;
use crate::exchange::End;

/// The registry's entry.
pub(super) static CLOSE: FaultKind = FaultKind {
    name: "close",
    group: Group::Ending,
    summary: "The connection is closed politely, with no answer or half of one.",
    parameters: WIRE_END_PARAMETERS,
    mistake: "Taking the end of the connection for the end of the answer, and retrying on a pooled connection that is just as dead.",
    example: "close: {at: mid_body, after_bytes: 20}",
    bare: true,
    schema: |generator| generator.subschema_for::<WireEndParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    wire_end(&CLOSE, End::Fin, value, at)
}
