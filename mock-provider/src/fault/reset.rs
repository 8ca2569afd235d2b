//! `reset`: the connection is torn down (TCP RST).
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
pub(super) static RESET: FaultKind = FaultKind {
    name: "reset",
    group: Group::Ending,
    summary: "The connection is reset, as by a crashed process or a firewall.",
    parameters: WIRE_END_PARAMETERS,
    mistake: "Taking a reset for proof that nothing happened and repeating a charge without a key; or never repeating what was safe to repeat.",
    example: "reset: {at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<WireEndParameters>(),
    parse,
};

#[derive(Clone, Copy, Debug)]
struct Reset(WireEnd);

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: WireEndParameters = decode(value, at)?;
    Some(Arc::new(Reset(WireEnd::new(&parameters, End::Rst, at))))
}

impl Fault for Reset {
    fn kind(&self) -> &'static FaultKind {
        &RESET
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
            let action = struck(&RESET, &value);
            assert!(
                matches!(
                    action,
                    Action::End { at, ending: Ending::Cut { after_bytes, then: End::Rst } }
                        if at == point && after_bytes == bytes
                ),
                "{action:?}"
            );
            assert_eq!(parsed(&RESET, &value).point(), Some(point));
            assert_eq!(parsed(&RESET, &value).detail(), detail);
        }
    }

    #[test]
    fn bytes_are_counted_in_the_body_alone() {
        assert_eq!(problems(&RESET, &json!({"after_bytes": 3})), ["after_bytes"]);
        assert_eq!(
            problems(&RESET, &json!({"at": "mid_body", "after_bytes": -3})),
            ["after_bytes"]
        );
        assert_eq!(problems(&RESET, &json!({"at": "middle"})), ["at"]);
    }
}
