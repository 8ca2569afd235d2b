//! `clean_cut`: half an answer that is whole by all the rules of HTTP.
//!
//! **Invariant:** the work is done and the answer kept; a reader that knows HTTP alone notices nothing.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::bytes;
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::End;
use crate::framing::Misframed;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static CLEAN_CUT: FaultKind = FaultKind {
    name: "clean_cut",
    group: Group::Ending,
    summary: "The body stops early, and by the rules of HTTP that is all of it.",
    parameters: &[
        (
            "framed",
            "`close` (default: no length, the close is the end) or `chunked` (in chunks, with a proper \
             last one, over a connection that lives on)",
        ),
        (
            "after_bytes",
            "bytes of the body that go out, from 0; default 20; the last byte is kept back however large \
             the number",
        ),
    ],
    mistake: "Trusting the HTTP library to notice: nothing is wrong with this answer but what it says, \
              and whoever does not parse and check it takes half an answer for success.",
    example: "clean_cut: {framed: chunked, after_bytes: 30}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CleanCutFault")]
struct Parameters {
    /// What says that this is all; `close` unless said.
    framed: Option<Framed>,
    /// Bytes of the body that go out; 20 unless said. The last byte of the body never goes out.
    after_bytes: Option<u64>,
}

/// What says that this is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Framed {
    /// The close of the connection.
    #[default]
    Close,
    /// A last chunk.
    Chunked,
}

#[derive(Clone, Copy, Debug)]
struct CleanCut {
    framed: Framed,
    after_bytes: u64,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(CleanCut {
        framed: parameters.framed.unwrap_or_default(),
        after_bytes: parameters.after_bytes.unwrap_or(20),
    }))
}

impl Fault for CleanCut {
    fn kind(&self) -> &'static FaultKind {
        &CLEAN_CUT
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let after_bytes = self.after_bytes;
        let (how, then) = match self.framed {
            Framed::Close => (Misframed::UntilClose { after_bytes }, Some(End::Fin)),
            Framed::Chunked => (Misframed::LastChunk { after_bytes }, None),
        };
        Action::End { at: Point::MidBody, ending: Ending::Misframed { how, then } }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::MidBody)
    }

    fn detail(&self) -> String {
        let framed = match self.framed {
            Framed::Close => "close",
            Framed::Chunked => "chunked",
        };
        format!("{framed} after {}", bytes(self.after_bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_end_is_legal_in_each_way() {
        for (value, cut, end, detail) in [
            (
                json!(null),
                Misframed::UntilClose { after_bytes: 20 },
                Some(End::Fin),
                "close after 20 bytes",
            ),
            (
                json!({"framed": "chunked", "after_bytes": 1}),
                Misframed::LastChunk { after_bytes: 1 },
                None,
                "chunked after 1 byte",
            ),
        ] {
            let Action::End { at: Point::MidBody, ending: Ending::Misframed { how, then } } =
                struck(&CLEAN_CUT, &value)
            else {
                panic!("{value}");
            };
            assert_eq!((how, then), (cut, end));
            assert_eq!(parsed(&CLEAN_CUT, &value).detail(), detail);
        }
        assert_eq!(problems(&CLEAN_CUT, &json!({"framed": "gzip"})), ["framed"]);
    }
}
