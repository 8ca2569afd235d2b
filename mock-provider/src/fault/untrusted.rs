//! `untrusted`: the provider shows a certificate of an authority that nobody trusts.
//!
//! **Invariant:** all else about the certificate is right.

use std::sync::Arc;

use serde_json::Value;

use super::greeting::{HandshakeParameters, greeting};
use super::{Fault, FaultKind, Greeting, Group};
use crate::document::At;

/// The registry's entry.
pub(super) static UNTRUSTED: FaultKind = FaultKind {
    name: "untrusted",
    group: Group::Ending,
    summary: "The provider's certificate is signed by an authority that the client has no reason to trust. \
              Needs `provider: {tls: true}`, and strikes while `when: {during: …}` says so.",
    parameters: &[],
    mistake: "Running in production with the `verify=False` of a test, and sending the key of the API to whoever answers.",
    example: "untrusted",
    bare: true,
    schema: |generator| generator.subschema_for::<HandshakeParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    greeting(&UNTRUSTED, Greeting::Untrusted, value, at)
}
