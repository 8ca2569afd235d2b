//! `hang`: the provider goes silent and keeps the connection.
//!
//! **Invariant:** it ends when the client gives up, and never by itself.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::WireAt;
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static HANG: FaultKind = FaultKind {
    name: "hang",
    group: Group::Ending,
    summary: "The provider never answers and keeps the connection until the client closes it.",
    parameters: &[(
        "at",
        "`accept` (the body is never read), `before_commit` (default; nothing is done), \
         `after_commit` (the work is done) or `mid_body` (silence after half of the body)",
    )],
    mistake: "Having no time-out at all, or one that starts again with every byte; taking a time-out for \
              `it did not happen`.",
    example: "hang: {at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HangFault")]
struct Parameters {
    /// Where the silence begins; `before_commit` unless said.
    at: Option<WireAt>,
}

#[derive(Clone, Copy, Debug)]
struct Hang(WireAt);

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(Hang(parameters.at.unwrap_or_default())))
}

impl Fault for Hang {
    fn kind(&self) -> &'static FaultKind {
        &HANG
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::End { at: self.0.point(), ending: Ending::Hang }
    }

    fn point(&self) -> Option<Point> {
        Some(self.0.point())
    }

    fn detail(&self) -> String {
        self.0.point().name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn silence_begins_where_it_is_told_to() {
        for (value, point) in [
            (json!(null), Point::BeforeCommit),
            (json!({"at": "accept"}), Point::Accept),
            (json!({"at": "after_commit"}), Point::AfterCommit),
            (json!({"at": "mid_body"}), Point::MidBody),
        ] {
            let action = struck(&HANG, &value);
            assert!(
                matches!(action, Action::End { at, ending: Ending::Hang } if at == point),
                "{action:?}"
            );
            assert_eq!(parsed(&HANG, &value).point(), Some(point));
            assert_eq!(parsed(&HANG, &value).detail(), point.name());
        }
    }

    #[test]
    fn an_unknown_point_is_refused() {
        assert_eq!(problems(&HANG, &json!({"at": "before_comit"})), ["at"]);
        assert_eq!(problems(&HANG, &json!({"for": "3s"})), ["for"]);
    }
}
