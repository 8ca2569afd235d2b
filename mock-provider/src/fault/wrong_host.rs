//! `wrong_host`: the provider shows the certificate of another host.
//!
//! **Invariant:** all else about the certificate is right.

use std::sync::Arc;

use serde_json::Value;

use super::greeting::{HandshakeParameters, greeting};
use super::{Fault, FaultKind, Greeting, Group};
use crate::document::At;

/// The registry's entry.
pub(super) static WRONG_HOST: FaultKind = FaultKind {
    name: "wrong_host",
    group: Group::Ending,
    summary: "The provider's certificate is that of another host. \
              Needs `provider: {tls: true}`, and strikes while `when: {during: …}` says so.",
    parameters: &[],
    mistake: "Verifying the chain and not the name, so that anybody with a certificate can take the provider's place.",
    example: "wrong_host",
    bare: true,
    schema: |generator| generator.subschema_for::<HandshakeParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    greeting(&WRONG_HOST, Greeting::WrongHost, value, at)
}
