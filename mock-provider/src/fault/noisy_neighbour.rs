//! `noisy_neighbour`: somebody else uses up the limit that all share.
//!
//! **Invariant:** the neighbour is refused like everybody else, and its requests appear nowhere.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::limit_fault::{LimitFault, LimitRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::Period;

/// The registry's entry.
pub(super) static NOISY_NEIGHBOUR: FaultKind = FaultKind {
    name: "noisy_neighbour",
    group: Group::Provider,
    summary: "A stranger with the same limit sends requests at a steady rate, so \
              that little is left for the client. \
              Needs a `rate_limit` of the provider.",
    parameters: &[(
        "every",
        "required; the time from one of its requests to the next, from the first \
             request of the run on",
    )],
    mistake: "Taking the limit for one's own: counting only what one sends oneself, \
              and calling a 429 that one did not earn a bug.",
    example: "noisy_neighbour: {every: 20ms}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NoisyNeighbourFault")]
struct Parameters {
    /// The time from one of its requests to the next.
    #[schemars(required)]
    every: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let every = decode::<Parameters>(value, at)?.every?;
    if every.micros() == 0 {
        at.key("every").error("`every` is 0", |d| d.cure("use a longer time"));
        return None;
    }
    let fault = LimitFault::Neighbour { every_us: every.micros() };
    let detail = format!("every {every}");
    Some(Arc::new(LimitRule { kind: &NOISY_NEIGHBOUR, fault, detail }))
}
