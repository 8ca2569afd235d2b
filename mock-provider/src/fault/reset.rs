//! `reset`: the connection is torn down (TCP RST).
//!
//! **Invariant:** only the connection is harmed; what the provider did stays done.

use std::sync::Arc;

use serde_json::Value;

use super::parts::{WIRE_END_PARAMETERS, WireEndParameters, wire_end};
use super::{Fault, FaultKind, Group};
use crate::document::At;
use crate::exchange::End;

/// The registry's entry.
pub(super) static RESET: FaultKind = FaultKind {
    name: "reset",
    group: Group::Ending,
    summary: "The connection is reset, as by a crashed process or a firewall.",
    parameters: WIRE_END_PARAMETERS,
    mistake: "Taking a reset for proof that nothing happened and repeating a charge without a key; or never repeating what was safe to repeat.",
    example: "reset: {at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<WireEndParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    wire_end(&RESET, End::Rst, value, at)
}
