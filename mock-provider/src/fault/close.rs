//! `close`: the connection is closed in order (FIN) without an answer, or in the middle of one.
//!
//! **Invariant:** only the connection is harmed; what the provider did stays done.

use std::sync::Arc;

use serde_json::Value;

use super::parts::{WIRE_END_PARAMETERS, WireEnd, WireEndParameters};
use super::{Action, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::End;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static CLOSE: FaultKind = FaultKind {
    name: "close",
    group: Group::Ending,
    summary: "The connection is closed politely, with no answer or half of one.",
    parameters: WIRE_END_PARAMETERS,
    mistake: "Taking the end of the connection for the end of the answer, and retrying on a pooled connection that is just as dead.",
    example: "close: {at: mid_body, after_bytes: 20}",
    bare: true,
    schema: |generator| generator.subschema_for::<WireEndParameters>(),
    parse,
};

#[derive(Clone, Copy, Debug)]
struct Close(WireEnd);

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: WireEndParameters = decode(value, at)?;
    Some(Arc::new(Close(WireEnd::new(&parameters, End::Fin, at))))
}

impl Fault for Close {
    fn kind(&self) -> &'static FaultKind {
        &CLOSE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::End { at: self.0.point(), ending: self.0.ending() }
    }

    fn point(&self) -> Option<Point> {
        Some(self.0.point())
    }

    fn detail(&self) -> String {
        self.0.detail()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Ending;
    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_connection_ends_where_it_is_told_to() {
        for (value, point, bytes, detail) in [
            (json!(null), Point::BeforeCommit, None, "before_commit"),
            (json!({"at": "accept"}), Point::Accept, None, "accept"),
            (json!({"at": "after_commit"}), Point::AfterCommit, None, "after_commit"),
            (json!({"at": "mid_body"}), Point::MidBody, Some(1), "mid_body after 1 byte"),
            (
                json!({"at": "mid_body", "after_bytes": 20}),
                Point::MidBody,
                Some(20),
                "mid_body after 20 bytes",
            ),
        ] {
            let action = struck(&CLOSE, &value);
            assert!(
                matches!(
                    action,
                    Action::End { at, ending: Ending::Cut { after_bytes, then: End::Fin } }
                        if at == point && after_bytes == bytes
                ),
                "{action:?}"
            );
            assert_eq!(parsed(&CLOSE, &value).point(), Some(point));
            assert_eq!(parsed(&CLOSE, &value).detail(), detail);
        }
    }

    #[test]
    fn bytes_are_counted_in_the_body_alone() {
        assert_eq!(problems(&CLOSE, &json!({"after_bytes": 3})), ["after_bytes"]);
        assert_eq!(
            problems(&CLOSE, &json!({"at": "mid_body", "after_bytes": -3})),
            ["after_bytes"]
        );
        assert_eq!(problems(&CLOSE, &json!({"at": "middle"})), ["at"]);
    }
}
