//! `lying_limit`: what the provider tells of its limit is not true.
//!
//! **Invariant:** only what is told changes; who is refused is decided by the limit as ever.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::limit_fault::{Lie, LimitFault, LimitRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static LYING_LIMIT: FaultKind = FaultKind {
    name: "lying_limit",
    group: Group::Provider,
    summary: "The headers that tell of the limit lie: a refusal says that all is \
              left, the reset lies in the past, or nothing is ever used up. \
              Needs a `rate_limit` of the provider.",
    parameters: &[(
        "about",
        "`remaining` (default; in refusals alone), `reset` (a minute ago) or \
             `used` (nothing ever is)",
    )],
    mistake: "Believing `remaining` over the 429 and going on at once; sleeping for \
              a negative time, which some libraries take for no time and others for an error.",
    example: "lying_limit: {about: reset}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LyingLimitFault")]
struct Parameters {
    /// What is not true.
    about: Option<About>,
}

/// What is not true of the limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum About {
    /// A refusal says that all is left.
    #[default]
    Remaining,
    /// The reset was a minute ago.
    Reset,
    /// Nothing is ever used up.
    Used,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let about = decode::<Parameters>(value, at)?.about.unwrap_or_default();
    let (lie, word) = match about {
        About::Remaining => (Lie::Remaining, "remaining"),
        About::Reset => (Lie::PastReset, "reset"),
        About::Used => (Lie::Stuck, "used"),
    };
    let detail = word.to_owned();
    Some(Arc::new(LimitRule { kind: &LYING_LIMIT, fault: LimitFault::Lie(lie), detail }))
}
