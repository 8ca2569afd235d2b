//! `ban`: who is refused too often is turned away altogether.
//!
//! **Invariant:** while a ban lasts nothing of the banned passes, and nobody else notices.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::limit_fault::{LimitFault, LimitRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::{MINUTE_US, Period};

/// The registry's entry.
pub(super) static BAN: FaultKind = FaultKind {
    name: "ban",
    group: Group::Provider,
    summary: "Whoever goes on through refusals of the limit is banned for a time: \
              every request of theirs is answered 403, or its connection reset, healthy or not. \
              Needs a `rate_limit` of the provider.",
    parameters: &[
        ("after", "how many refusals it takes; default 3"),
        ("within", "the time in which they come; default 1m"),
        ("for", "how long the ban lasts; default 1m"),
        ("by", "`answer` (default; 403) or `reset`"),
    ],
    mistake: "Retrying a 429 at once, many times over: each retry is counted, and a \
              limit of seconds becomes an outage of minutes for all that share the key.",
    example: "ban: {after: 3, within: 10s, for: 1m}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BanFault")]
struct Parameters {
    /// How many refusals; 3 unless said.
    #[schemars(range(min = 1))]
    after: Option<u32>,
    /// The time in which they come; 1m unless said.
    within: Option<Period>,
    /// How long it lasts; 1m unless said.
    r#for: Option<Period>,
    /// How the banned are turned away.
    by: Option<By>,
}

/// How the banned are turned away.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// With 403.
    Answer,
    /// With a reset of the connection.
    Reset,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { after, within, r#for, by } = decode(value, at)?;
    let after = after.unwrap_or(3);
    if after == 0 {
        at.key("after").error("nobody is banned before a refusal", |d| d.cure("use 1 or more"));
        return None;
    }
    if r#for.is_some_and(|time| time.micros() == 0) {
        at.key("for").error("a ban of no time is none", |d| d.cure("use a longer time"));
        return None;
    }
    let minute = Period::from_micros(MINUTE_US);
    let lasts = r#for.unwrap_or(minute);
    let fault = LimitFault::Ban {
        after: usize::try_from(after).ok()?,
        within_us: within.unwrap_or(minute).micros(),
        for_us: lasts.micros(),
        resets: matches!(by, Some(By::Reset)),
    };
    Some(Arc::new(LimitRule { kind: &BAN, fault, detail: format!("for {lasts} after {after}") }))
}
