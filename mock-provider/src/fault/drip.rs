//! `drip`: the body comes in small pieces with pauses between them.
//!
//! **Invariant:** every byte comes, in order; only their times differ.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::bytes;
use super::{Action, Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry.
pub(super) static DRIP: FaultKind = FaultKind {
    name: "drip",
    group: Group::Delay,
    summary: "The body trickles in, a few bytes at a time.",
    parameters: &[
        ("every", "required; the pause between two pieces, above zero"),
        ("bytes", "bytes a piece, from 1; default 1"),
    ],
    mistake: "A time-out that starts again with every byte, so that the whole answer may take for ever.",
    example: "drip: {bytes: 1, every: 200ms}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DripFault")]
struct Parameters {
    /// Bytes a piece; 1 unless said.
    #[schemars(range(min = 1))]
    bytes: Option<u64>,
    /// The pause between two pieces.
    #[schemars(required)]
    every: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
struct Drip {
    bytes: u64,
    every: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let every = parameters.every?;
    if every.micros() == 0 {
        at.key("every").error("`every` is 0, so that nothing drips", |d| {
            d.cure("use a pause such as `200ms`")
        });
    }
    Some(Arc::new(Drip { bytes: parameters.bytes.unwrap_or(1), every }))
}

impl Fault for Drip {
    fn kind(&self) -> &'static FaultKind {
        &DRIP
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Drip { bytes: self.bytes, every_us: self.every.micros() }
    }

    fn detail(&self) -> String {
        format!("{} every {}", bytes(self.bytes), self.every)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn it_drips_as_told() {
        let action = struck(&DRIP, &json!({"bytes": 3, "every": "200ms"}));
        assert!(matches!(action, Action::Drip { bytes: 3, every_us: 200_000 }), "{action:?}");
        let fault = parsed(&DRIP, &json!({"every": "1s"}));
        assert_eq!(fault.detail(), "1 byte every 1s");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&DRIP, &Value::Null), ["every"]);
        assert_eq!(problems(&DRIP, &json!({"bytes": 0, "every": "1s"})), ["bytes"]);
        assert_eq!(problems(&DRIP, &json!({"every": "0s"})), ["every"]);
        assert_eq!(problems(&DRIP, &json!({"every": 3})), ["every"]);
    }
}
