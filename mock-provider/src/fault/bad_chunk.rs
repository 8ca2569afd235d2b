//! `bad_chunk`: the body comes in chunks, and the chunks are wrong.
//!
//! **Invariant:** the work is done and the answer kept; by the rules of HTTP the answer is never whole.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::End;
use crate::framing::Misframed;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static BAD_CHUNK: FaultKind = FaultKind {
    name: "bad_chunk",
    group: Group::Ending,
    summary: "The body comes in chunks, and its framing is broken; then the connection is closed.",
    parameters: &[(
        "kind",
        "`missing_last` (default: all of the body comes, but not the chunk that says so) or `size_line` \
         (the first size is no number)",
    )],
    mistake: "Taking a body for whole because it parses, although the chunk that ends it never came; or \
              taking an error of the framing for `it did not happen`.",
    example: "bad_chunk: {kind: size_line}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BadChunkFault")]
struct Parameters {
    /// What is wrong with the chunks; `missing_last` unless said.
    kind: Option<Kind>,
}

/// What is wrong with the chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// All of the body comes, but not the last chunk.
    #[default]
    MissingLast,
    /// The first size is no number.
    SizeLine,
}

#[derive(Clone, Copy, Debug)]
struct BadChunk(Kind);

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(BadChunk(parameters.kind.unwrap_or_default())))
}

impl Fault for BadChunk {
    fn kind(&self) -> &'static FaultKind {
        &BAD_CHUNK
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let how = match self.0 {
            Kind::MissingLast => Misframed::NoLastChunk,
            Kind::SizeLine => Misframed::BadSize,
        };
        let ending = Ending::Misframed { how, then: Some(End::Fin) };
        Action::End { at: Point::MidBody, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::MidBody)
    }

    fn detail(&self) -> String {
        match self.0 {
            Kind::MissingLast => "missing_last".to_owned(),
            Kind::SizeLine => "size_line".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn one_thing_is_wrong_with_the_chunks() {
        for (value, wrong, detail) in [
            (json!(null), Misframed::NoLastChunk, "missing_last"),
            (json!({"kind": "size_line"}), Misframed::BadSize, "size_line"),
        ] {
            let action = struck(&BAD_CHUNK, &value);
            assert!(
                matches!(
                    &action,
                    Action::End {
                        at: Point::MidBody,
                        ending: Ending::Misframed { how, then: Some(End::Fin) }
                    } if *how == wrong
                ),
                "{action:?}"
            );
            assert_eq!(parsed(&BAD_CHUNK, &value).detail(), detail);
        }
        assert_eq!(problems(&BAD_CHUNK, &json!({"kind": "first"})), ["kind"]);
    }
}
