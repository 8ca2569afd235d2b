//! `garbage`: bytes that are no HTTP in the place of an answer.
//!
//! **Invariant:** nothing of the provider's own answer goes out; whether the work is done says `at`.

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{AnswerAt, bytes, listed, unusual};
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::End;
use crate::framing::Misframed;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static GARBAGE: FaultKind = FaultKind {
    name: "garbage",
    group: Group::Ending,
    summary: "Bytes that are no HTTP come in the place of the answer, and then a close.",
    parameters: &[
        ("bytes", "the text that goes out, 1 to 65536 bytes; default: a greeting of a mail server"),
        ("at", "`before_commit` (default) or `after_commit`: the work is done all the same"),
    ],
    mistake: "Letting a parse error of the HTTP library escape as something that nobody catches; taking \
              it for `it did not happen` and repeating a charge without a key.",
    example: "garbage: {bytes: \"220 mail.example.com ESMTP\\r\\n\", at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

/// What goes out unless the scenario says.
const GREETING: &str = "220 mail.example.com ESMTP ready\r\n";

/// The most bytes of garbage.
const MOST_BYTES: usize = 64 << 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GarbageFault")]
struct Parameters {
    /// The text that goes out; a greeting of a mail server unless said.
    #[schemars(length(min = 1, max = 65_536))]
    bytes: Option<String>,
    /// Whether the work is done; `before_commit` unless said.
    at: Option<AnswerAt>,
}

#[derive(Clone, Debug)]
struct Garbage {
    bytes: Bytes,
    at: Point,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let bytes = parameters.bytes.map_or(Bytes::from_static(GREETING.as_bytes()), Bytes::from);
    if bytes.is_empty() || bytes.len() > MOST_BYTES {
        at.key("bytes").error(format!("{} bytes are no garbage", bytes.len()), |d| {
            d.cure("use 1 to 65536 bytes; for none at all there is `close`")
        });
    }
    if bytes.starts_with(b"HTTP/") {
        at.key("bytes").error("this begins like an answer in HTTP", |d| {
            d.cure("use `status`, `malformed` or `bad_chunk` for answers, or other bytes")
        });
    }
    Some(Arc::new(Garbage { bytes, at: parameters.at.unwrap_or_default().point() }))
}

impl Fault for Garbage {
    fn kind(&self) -> &'static FaultKind {
        &GARBAGE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let how = Misframed::Raw(self.bytes.clone());
        let ending = Ending::Misframed { how, then: Some(End::Fin) };
        Action::End { at: self.at, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at)
    }

    fn detail(&self) -> String {
        let length = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        listed([Some(bytes(length)), unusual(self.at)])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_bytes_go_out_as_they_are() {
        for (value, text, point, detail) in [
            (json!(null), GREETING, Point::BeforeCommit, "34 bytes"),
            (
                json!({"bytes": "x", "at": "after_commit"}),
                "x",
                Point::AfterCommit,
                "1 byte, after_commit",
            ),
        ] {
            let action = struck(&GARBAGE, &value);
            assert!(
                matches!(
                    &action,
                    Action::End {
                        at,
                        ending: Ending::Misframed { how: Misframed::Raw(bytes), then: Some(End::Fin) }
                    } if *at == point && bytes == text
                ),
                "{action:?}"
            );
            assert_eq!(parsed(&GARBAGE, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for bytes in ["", "HTTP/1.1 200 OK\r\n\r\n", &"x".repeat(MOST_BYTES + 1)] {
            assert_eq!(problems(&GARBAGE, &json!({"bytes": bytes})), ["bytes"]);
        }
    }
}
