//! `tighten`: a lower limit holds from some time on.
//!
//! **Invariant:** what has been used up stays so; only the measure changes.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::limit_fault::{LimitFault, LimitRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::Period;

/// The registry's entry.
pub(super) static TIGHTEN: FaultKind = FaultKind {
    name: "tighten",
    group: Group::Provider,
    summary: "In mid-run the provider lowers its limit, and says so in its headers \
              or does not. \
              Needs a `rate_limit` of the provider.",
    parameters: &[
        ("limit", "required; units in one period from then on, at least 1"),
        ("after", "since the first request; default 0ms: at once"),
        (
            "above",
            "only while more requests than this are under way, this one counted; \
             default 0: always",
        ),
        ("announced", "whether the headers tell of the new limit; default true"),
    ],
    mistake: "A rate that is written into the client (`100 a second, says the \
              contract`) and never learns from refusals.",
    example: "tighten: {limit: 2, after: 30s}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TightenFault")]
struct Parameters {
    /// Units in one period.
    #[schemars(required, range(min = 1), extend("examples" = [1, 5]))]
    limit: Option<u32>,
    /// Since the first request; 0ms unless said.
    after: Option<Period>,
    /// Only while more requests than this are under way; 0 unless said.
    #[schemars(extend("examples" = [2]))]
    above: Option<u32>,
    /// Whether headers tell of it; true unless said.
    announced: Option<bool>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { limit, after, above, announced } = decode(value, at)?;
    let limit = limit?;
    if limit == 0 {
        at.key("limit").error("`limit` is 0", |d| d.cure("use at least 1, or the fault `ban`"));
        return None;
    }
    let fault = LimitFault::Tighten {
        limit: limit.into(),
        after_us: after.map_or(0, Period::micros),
        above: above.unwrap_or(0).into(),
        announced: announced.unwrap_or(true),
    };
    Some(Arc::new(LimitRule { kind: &TIGHTEN, fault, detail: format!("to {limit}") }))
}
