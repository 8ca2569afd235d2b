//! `goaway`: over HTTP/2 the provider takes its leave of the connection.
//!
//! **Invariant:** unless it lies (`at: after_commit`), a request beyond the last stream that it names was not
//! begun, and sending it again is safe.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::listed;
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::http2::{ErrorCode, GoAway, LastStream};
use crate::seed::Draw;

/// The longest debug data, in bytes.
const LONGEST_DEBUG: usize = 200;

/// The registry's entry.
pub(super) static GOAWAY: FaultKind = FaultKind {
    name: "goaway",
    group: Group::Ending,
    summary: "Over HTTP/2 the provider takes its leave of the connection (GOAWAY) and names the last \
              request that it has begun. Needs `provider: {http2: true}`.",
    parameters: &[
        (
            "last_stream",
            "`before` (default: the struck request was not begun, and is not answered) or `this` (it is \
             answered, and nothing after it)",
        ),
        ("code", "an error code of HTTP/2, such as `no_error` (default) or `enhance_your_calm`"),
        ("debug", "text that goes along, at most 200 bytes"),
        (
            "at",
            "with `last_stream: before`: `accept` (default) or `after_commit`, which is a lie: the work is \
             done",
        ),
    ],
    mistake: "Reporting a failure where the request can be sent again on a new connection; or sending \
              again what the provider says it has begun.",
    example: "goaway: {code: no_error, debug: restarting}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GoAwayFault")]
struct Parameters {
    /// The last request that is said to be begun; the one before unless said.
    last_stream: Option<LastStream>,
    /// Why; `no_error` unless said.
    code: Option<ErrorCode>,
    /// Text that goes along.
    debug: Option<String>,
    /// Where it strikes; `accept` unless said.
    at: Option<GoAwayAt>,
}

/// Where the provider takes its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GoAwayAt {
    /// Nothing was done.
    Accept,
    /// The work is done.
    AfterCommit,
}

#[derive(Clone, Debug)]
struct Leave {
    goaway: GoAway,
    point: Point,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters { last_stream, code, debug, at: point } = decode(value, at)?;
    let (last, debug) = (last_stream.unwrap_or_default(), debug.unwrap_or_default());
    if debug.len() > LONGEST_DEBUG {
        at.key("debug").error("this is too long to go along", |d| d.cure("use at most 200 bytes"));
        return None;
    }
    if last == LastStream::This && point.is_some() {
        at.key("at").error("a request that is answered is struck at its answer", |d| {
            d.key().cure("leave `at` out, or say `last_stream: before`")
        });
        return None;
    }
    let point = match (last, point) {
        (LastStream::This, _) | (_, Some(GoAwayAt::AfterCommit)) => Point::AfterCommit,
        (LastStream::Before, Some(GoAwayAt::Accept) | None) => Point::Accept,
    };
    let code = code.unwrap_or(ErrorCode::NoError);
    Some(Arc::new(Leave { goaway: GoAway { code, last, debug }, point }))
}

impl Fault for Leave {
    fn kind(&self) -> &'static FaultKind {
        &GOAWAY
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::End { at: self.point, ending: Ending::GoAway(self.goaway.clone()) }
    }

    fn point(&self) -> Option<Point> {
        Some(self.point)
    }

    fn detail(&self) -> String {
        let last = match (self.goaway.last, self.point) {
            (LastStream::This, _) => "after this one",
            (LastStream::Before, Point::AfterCommit) => "before this one, which is a lie",
            (LastStream::Before, _) => "before this one",
        };
        listed([Some(self.goaway.code.name().to_owned()), Some(last.to_owned())])
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
    fn it_strikes_before_anything_is_done_unless_it_lies_or_answers() {
        for (value, point, last) in [
            (json!(null), Point::Accept, LastStream::Before),
            (json!({"at": "after_commit"}), Point::AfterCommit, LastStream::Before),
            (json!({"last_stream": "this"}), Point::AfterCommit, LastStream::This),
        ] {
            let Action::End { at, ending: Ending::GoAway(leave) } = struck(&GOAWAY, &value) else {
                panic!("it takes its leave");
            };
            assert_eq!((at, leave.last), (point, last), "{value}");
            assert!(parsed(&GOAWAY, &value).http2_only());
        }
        let calm = parsed(&GOAWAY, &json!({"code": "enhance_your_calm", "debug": "slow down"}));
        assert_eq!(calm.detail(), "enhance_your_calm, before this one");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&GOAWAY, &json!({"code": "calm"})), ["code"]);
        assert_eq!(problems(&GOAWAY, &json!({"debug": "x".repeat(201)})), ["debug"]);
        assert_eq!(problems(&GOAWAY, &json!({"last_stream": "this", "at": "accept"})), ["at"]);
    }
}
