//! `close_idle`: a connection that was kept open is closed just as the next request arrives on it.
//!
//! **Invariant:** a request on a new connection is never struck; one that is struck was not read.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::api::Api;
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static CLOSE_IDLE: FaultKind = FaultKind {
    name: "close_idle",
    group: Group::Ending,
    summary: "A kept-alive connection is closed just as the next request arrives on it.",
    parameters: &[],
    mistake: "Reporting a failure where a new connection would do; or, the other way round, repeating \
              every request whose connection broke, although only an unread one is known to be safe.",
    example: "close_idle",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CloseIdleFault")]
struct Parameters {}

#[derive(Clone, Copy, Debug)]
struct CloseIdle;

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(CloseIdle))
}

impl Fault for CloseIdle {
    fn kind(&self) -> &'static FaultKind {
        &CLOSE_IDLE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::End { at: Point::Accept, ending: Ending::CloseIdle }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::Accept)
    }

    fn detail(&self) -> String {
        Point::Accept.name().to_owned()
    }

    fn check(&self, _: &Api, _: Option<&str>, at: &At<'_>) {
        at.note("only a request on a connection that is used again is struck", |d| {
            d.cure("let the client keep its connections, and let it make more than one request")
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn it_strikes_at_the_door_and_has_no_parameters() {
        let action = struck(&CLOSE_IDLE, &json!(null));
        assert!(
            matches!(action, Action::End { at: Point::Accept, ending: Ending::CloseIdle }),
            "{action:?}"
        );
        assert_eq!(parsed(&CLOSE_IDLE, &json!(null)).point(), Some(Point::Accept));
        assert_eq!(problems(&CLOSE_IDLE, &json!({"at": "accept"})), ["at"]);
        assert_eq!(checked(&CLOSE_IDLE, &json!(null), None).len(), 1, "it says what it needs");
    }
}
