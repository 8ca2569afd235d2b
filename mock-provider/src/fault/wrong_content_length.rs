//! `wrong_content_length`: the head announces another number of bytes than follow.
//!
//! **Invariant:** the work is done and the answer kept; all bytes of its body go out.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::Then;
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::End;
use crate::framing::Misframed;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static WRONG_CONTENT_LENGTH: FaultKind = FaultKind {
    name: "wrong_content_length",
    group: Group::Ending,
    summary: "`Content-Length` announces more bytes than follow, or fewer.",
    parameters: &[
        (
            "delta",
            "bytes added to the true length, -1000000 to 1000000 and not 0; default 10; below 0 the \
             bytes too many stand on the connection, where the next answer is looked for",
        ),
        (
            "then",
            "with `delta` above 0, what follows: `stall` (default: silence, as from a server that \
             believes to be done), `fin` or `rst`",
        ),
    ],
    mistake: "Having no time-out for the rest of a body; using the connection again and taking the bytes \
              too many for the next answer; using a body that was cut to the length announced.",
    example: "wrong_content_length: {delta: -10}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

/// How far a length may be off.
const FARTHEST: u64 = 1_000_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WrongContentLengthFault")]
struct Parameters {
    /// Bytes added to the true length; 10 unless said, and not 0.
    #[schemars(range(min = -1_000_000, max = 1_000_000), extend("examples" = [10, -10]))]
    delta: Option<i64>,
    /// What follows bytes that were announced and do not come; `stall` unless said.
    then: Option<Then>,
}

#[derive(Clone, Copy, Debug)]
struct WrongContentLength {
    delta: i64,
    /// `None` where the connection lives on.
    then: Option<Then>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let delta = parameters.delta.unwrap_or(10);
    if delta == 0 || delta.unsigned_abs() > FARTHEST {
        at.key("delta").error(format!("a length is not wrong by {delta}"), |d| {
            d.cure("use a number from -1000000 to 1000000 that is not 0")
        });
    }
    if delta < 0 && parameters.then.is_some() {
        at.key("then").error("all that was announced comes, so nothing follows it", |d| {
            d.key().cure("leave `then` out, or use a `delta` above 0")
        });
    }
    let then = (delta > 0).then(|| parameters.then.unwrap_or(Then::Stall));
    Some(Arc::new(WrongContentLength { delta, then }))
}

impl Fault for WrongContentLength {
    fn kind(&self) -> &'static FaultKind {
        &WRONG_CONTENT_LENGTH
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let how = Misframed::WrongLength { delta: self.delta };
        let ending = Ending::Misframed { how, then: self.then.map(Then::end) };
        Action::End { at: Point::MidBody, ending }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::MidBody)
    }

    fn detail(&self) -> String {
        match self.then.map(Then::end) {
            None | Some(End::Stall) => format!("{:+}", self.delta),
            Some(end) => format!("{:+}, then {}", self.delta, end.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_length_is_off_by_so_many_bytes() {
        for (value, wrong_by, end, detail) in [
            (json!(null), 10, Some(End::Stall), "+10"),
            (json!({"delta": -3}), -3, None, "-3"),
            (json!({"delta": 1, "then": "fin"}), 1, Some(End::Fin), "+1, then fin"),
        ] {
            let Action::End {
                at: Point::MidBody,
                ending: Ending::Misframed { how: Misframed::WrongLength { delta }, then },
            } = struck(&WRONG_CONTENT_LENGTH, &value)
            else {
                panic!("{value}");
            };
            assert_eq!((delta, then), (wrong_by, end));
            assert_eq!(parsed(&WRONG_CONTENT_LENGTH, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for delta in [0, 1_000_001, -1_000_001] {
            assert_eq!(problems(&WRONG_CONTENT_LENGTH, &json!({"delta": delta})), ["delta"]);
        }
        let ended = json!({"delta": -1, "then": "fin"});
        assert_eq!(problems(&WRONG_CONTENT_LENGTH, &ended), ["then"]);
    }
}
