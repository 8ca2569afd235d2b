//! `forget_key`: the provider forgets an idempotency key too early, or in a failover.
//!
//! **Invariant:** a key that is forgotten is as good as new, for this request and for all that follow.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::Period;

/// The registry's entry.
pub(super) static FORGET_KEY: FaultKind = FaultKind {
    name: "forget_key",
    group: Group::Provider,
    summary: "The provider forgets the idempotency key: too early, or in a failover \
              that loses all keys.",
    parameters: &[
        (
            "after",
            "the key is forgotten this long after it was first seen, unless it is in \
             progress; default 0ms: at once",
        ),
        (
            "seen_before",
            "instead: a failover at this time since the first request loses every \
             key that was seen before it, also those in progress; larger than 0",
        ),
    ],
    mistake: "Repeating hours later with the same key and trusting that it still \
              counts; retrying through a failover without looking up what was done.",
    example: "forget_key: {after: 10m}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ForgetKeyFault")]
struct Parameters {
    /// How old the key is at most; 0ms unless said.
    after: Option<Period>,
    /// The time of the failover, since the first request.
    seen_before: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let (fault, detail) = match (parameters.after, parameters.seen_before) {
        (Some(_), Some(_)) => {
            at.error("a key is forgotten by its age or by a failover, not by both", |d| {
                d.cure("leave `after` or `seen_before` out")
            });
            return None;
        }
        (None, Some(time)) if time.micros() == 0 => {
            at.key("seen_before")
                .error("no key is seen before the first request", |d| d.cure("use a later time"));
            return None;
        }
        (None, Some(time)) => {
            (KeyFault::ForgetBefore { time_us: time.micros() }, format!("seen before {time}"))
        }
        (Some(age), None) if age.micros() > 0 => {
            (KeyFault::ForgetAfter { age_us: age.micros() }, format!("after {age}"))
        }
        (_, None) => (KeyFault::ForgetAfter { age_us: 0 }, "at once".to_owned()),
    };
    Some(Arc::new(KeyRule { kind: &FORGET_KEY, fault, detail }))
}
