//! `expired_certificate`: the provider shows a certificate that has expired.
//!
//! **Invariant:** all else about the certificate is right.

use std::sync::Arc;

use serde_json::Value;

use super::greeting::{HandshakeParameters, greeting};
use super::{Fault, FaultKind, Greeting, Group};
use crate::document::At;

/// The registry's entry.
pub(super) static EXPIRED_CERTIFICATE: FaultKind = FaultKind {
    name: "expired_certificate",
    group: Group::Ending,
    summary: "The provider's certificate has expired. \
              Needs `provider: {tls: true}`, and strikes while `when: {during: …}` says so.",
    parameters: &[],
    mistake: "Turning verification off to get over it; taking it for an outage and trying again every second, although no repeat can help until somebody acts.",
    example: "expired_certificate",
    bare: true,
    schema: |generator| generator.subschema_for::<HandshakeParameters>(),
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    greeting(&EXPIRED_CERTIFICATE, Greeting::Expired, value, at)
}
