//! `truncated_key`: only the first characters of an idempotency key count.
//!
//! **Invariant:** keys that begin alike are one key, that of the first of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::key_fault::{KeyFault, KeyRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};

/// The registry's entry.
pub(super) static TRUNCATED_KEY: FaultKind = FaultKind {
    name: "truncated_key",
    group: Group::Provider,
    summary: "Only the first characters of the key count, so keys that begin alike \
              are one and the same.",
    parameters: &[("characters", "required; how many count, 1 to 255")],
    mistake: "Keys with a long constant prefix (`my-service-production-charge-…`) \
              and the part that differs at the end.",
    example: "truncated_key: {characters: 16}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TruncatedKeyFault")]
struct Parameters {
    /// How many characters count.
    #[schemars(required, range(min = 1, max = 255), extend("examples" = [16, 8]))]
    characters: Option<u8>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { characters } = decode(value, at)?;
    let characters = characters?;
    if characters == 0 {
        at.key("characters").error("`characters` is 0", |d| d.cure("use 1 to 255"));
        return None;
    }
    let fault = KeyFault::Prefix { characters: characters.into() };
    let detail = format!("{characters} characters");
    Some(Arc::new(KeyRule { kind: &TRUNCATED_KEY, fault, detail }))
}
