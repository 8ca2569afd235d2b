//! `rst_stream`: over HTTP/2 the stream of a request is reset, with a code of one's choice.
//!
//! **Invariant:** the connection lives on, and what the provider did stays done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::{WireAt, listed};
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::End;
use crate::http2::ErrorCode;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static RST_STREAM: FaultKind = FaultKind {
    name: "rst_stream",
    group: Group::Ending,
    summary: "Over HTTP/2 the stream of the request is reset (RST_STREAM) with this code, and the connection \
              lives on. Needs `provider: {http2: true}`.",
    parameters: &[
        (
            "code",
            "required; an error code of HTTP/2: `refused_stream` (nothing was done: send it again), \
             `internal_error`, `cancel`, `enhance_your_calm`, …",
        ),
        (
            "at",
            "`accept`, `before_commit` (default), `after_commit` (with `refused_stream` a lie) or `mid_body`",
        ),
        ("after_bytes", "with `at: mid_body`: bytes of the body that go out first; default 1"),
    ],
    mistake: "Sending every stream that was reset again, although `refused_stream` alone says that nothing \
              was done; or never sending it again.",
    example: "rst_stream: {code: refused_stream}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RstStreamFault")]
struct Parameters {
    /// Why.
    #[schemars(required)]
    code: Option<ErrorCode>,
    /// Where the stream ends; `before_commit` unless said.
    at: Option<WireAt>,
    /// With `at: mid_body`, how many bytes of the body go out first; 1 unless said.
    after_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct RstStream {
    code: ErrorCode,
    point: Point,
    after_bytes: Option<u64>,
}

fn parse(value: &Value, here: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { code, at, after_bytes } = decode(value, here)?;
    let at = at.unwrap_or_default();
    if after_bytes.is_some() && at != WireAt::MidBody {
        here.key("after_bytes").error("no byte of the body is written there", |d| {
            d.key().cure("say `at: mid_body`, or leave `after_bytes` out")
        });
        return None;
    }
    let after_bytes = (at == WireAt::MidBody).then(|| after_bytes.unwrap_or(1));
    Some(Arc::new(RstStream { code: code?, point: at.point(), after_bytes }))
}

impl Fault for RstStream {
    fn kind(&self) -> &'static FaultKind {
        &RST_STREAM
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let (after_bytes, then) = (self.after_bytes, End::Stream(self.code));
        let ending = Ending::Cut { after_bytes, then, connection: false };
        Action::End { at: self.point, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(self.point)
    }

    fn detail(&self) -> String {
        listed([Some(self.code.name().to_owned()), Some(self.point.name().to_owned())])
    }

    fn http2_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_stream_ends_where_and_as_it_is_told_to() {
        for (value, code, point, bytes) in [
            (json!({"code": "cancel"}), ErrorCode::Cancel, Point::BeforeCommit, None),
            (
                json!({"code": "internal_error", "at": "mid_body", "after_bytes": 9}),
                ErrorCode::InternalError,
                Point::MidBody,
                Some(9),
            ),
        ] {
            let Action::End { at, ending: Ending::Cut { after_bytes, then, .. } } =
                struck(&RST_STREAM, &value)
            else {
                panic!("it is a cut");
            };
            assert_eq!((at, after_bytes, then), (point, bytes, End::Stream(code)));
            assert!(parsed(&RST_STREAM, &value).http2_only());
        }
        let refused = parsed(&RST_STREAM, &json!({"code": "refused_stream", "at": "accept"}));
        assert_eq!(refused.detail(), "refused_stream, accept");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&RST_STREAM, &json!({})), ["code"]);
        assert_eq!(problems(&RST_STREAM, &json!({"code": "no"})), ["code"]);
        let early = json!({"code": "cancel", "after_bytes": 3});
        assert_eq!(problems(&RST_STREAM, &early), ["after_bytes"]);
    }
}
