//! `handshake_reset`: the connection is reset in the middle of the handshake.
//!
//! **Invariant:** nothing of a request has been sent by then.

use std::sync::Arc;

use serde_json::Value;

use super::greeting::{HandshakeParameters, greeting};
use super::{Fault, FaultKind, Greeting, Group};
use crate::document::At;

/// The registry's entry.
pub(super) static HANDSHAKE_RESET: FaultKind = FaultKind {
    name: "handshake_reset",
    group: Group::Ending,
    summary: "The connection is reset when the client has begun the handshake. \
              Needs `provider: {tls: true}`, and strikes while `when: {during: …}` says so.",
    parameters: &[],
    mistake: "Reporting that nobody knows what happened, although no request was sent and a repeat is safe.",
    example: "handshake_reset",
    bare: true,
    schema: |generator| generator.subschema_for::<HandshakeParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    greeting(&HANDSHAKE_RESET, Greeting::Reset, value, at)
}
