//! `truncate`: the head announces a whole body, and only its beginning follows.
//!
//! **Invariant:** the work is done and the answer kept; only its delivery fails, and it always fails.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{Then, bytes};
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static TRUNCATE: FaultKind = FaultKind {
    name: "truncate",
    group: Group::Ending,
    summary: "The answer stops in the middle of its body.",
    parameters: &[
        (
            "after_bytes",
            "bytes of the body that go out, from 0; default 1; the last byte is kept back however large \
             the number",
        ),
        ("then", "`fin` (default: a polite close), `rst` (a reset) or `stall` (silence)"),
    ],
    mistake: "Not comparing what came with `Content-Length` and using half an answer; or taking the \
              failure for `it did not happen`, though the status said success.",
    example: "truncate: {after_bytes: 20, then: rst}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TruncateFault")]
struct Parameters {
    /// Bytes of the body that go out; 1 unless said. The last byte of the body never goes out.
    after_bytes: Option<u64>,
    /// What then happens to the connection; `fin` unless said.
    then: Option<Then>,
}

#[derive(Clone, Copy, Debug)]
struct Truncate {
    after_bytes: u64,
    then: Then,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(Truncate {
        after_bytes: parameters.after_bytes.unwrap_or(1),
        then: parameters.then.unwrap_or_default(),
    }))
}

impl Fault for Truncate {
    fn kind(&self) -> &'static FaultKind {
        &TRUNCATE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let (after_bytes, then) = (Some(self.after_bytes), self.then.end());
        let ending = Ending::Cut { after_bytes, then, connection: false };
        Action::End { at: Point::MidBody, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::MidBody)
    }

    fn detail(&self) -> String {
        format!("{} after {}", self.then.end().name(), bytes(self.after_bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;
    use crate::exchange::End;

    #[test]
    fn the_body_stops_and_the_connection_ends_as_told() {
        for (value, count, end, detail) in [
            (json!(null), 1, End::Fin, "fin after 1 byte"),
            (json!({"after_bytes": 0, "then": "rst"}), 0, End::Rst, "rst after 0 bytes"),
            (json!({"after_bytes": 9, "then": "stall"}), 9, End::Stall, "stall after 9 bytes"),
        ] {
            let action = struck(&TRUNCATE, &value);
            assert!(
                matches!(
                    action,
                    Action::End {
                        at: Point::MidBody,
                        ending: Ending::Cut { after_bytes: Some(bytes), then, .. }
                    } if bytes == count && then == end
                ),
                "{action:?}"
            );
            assert_eq!(parsed(&TRUNCATE, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        let wrong = json!({"after_bytes": "20", "then": "close", "at": "mid_body"});
        assert_eq!(problems(&TRUNCATE, &wrong), ["after_bytes", "then", "at"]);
    }
}
