//! `replay_altered`: a replay says something else than the first answer.
//!
//! **Invariant:** only replays are altered, in one field, and the answer stays plausible.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static REPLAY_ALTERED: FaultKind = FaultKind {
    name: "replay_altered",
    group: Group::Provider,
    summary: "A replay has another id or amount than the first answer had.",
    parameters: &[(
        "field",
        "the field, as a JSON pointer; default: `/id` where the route needs it, \
             else the first field that it needs",
    )],
    mistake: "Keeping the id of the latest answer and refunding or capturing by it; \
              not comparing what comes back with what was asked for.",
    example: "replay_altered: {field: /amount}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayAlteredFault")]
struct Parameters {
    /// The field, as a JSON pointer.
    #[schemars(extend("examples" = ["/id", "/amount"]))]
    field: Option<String>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { field } = decode(value, at)?;
    if let Some(field) = field.as_ref().filter(|field| !field.starts_with('/')) {
        at.key("field").error(format!("`{field}` is not a JSON pointer"), |d| {
            d.cure("a JSON pointer begins with a slash: `/id`, `/data/0/amount`")
        });
        return None;
    }
    let detail = field.clone().unwrap_or_default();
    let fault = KeyFault::Altered { field, bits: 0 };
    Some(Arc::new(KeyRule { kind: &REPLAY_ALTERED, fault, detail }))
}
