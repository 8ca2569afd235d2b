//! `pause_client`: the client stands still from a point of one of its attempts on.
//!
//! The provider only knows when the point is reached; whoever drives the client carries it out.
//! **Invariant:** it changes nothing about what the provider does.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::ClientAt;
use super::{Action, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::ClientFault;
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry.
pub(super) static PAUSE_CLIENT: FaultKind = FaultKind {
    name: "pause_client",
    group: Group::Client,
    summary: "The client stands still for a time, as a process that was stopped or a machine that was \
              suspended, while the provider goes on.",
    parameters: &[
        ("for", "how long it stands still; required"),
        ("at", "`before_commit` (default), `after_commit` or `mid_body`"),
    ],
    mistake: "Taking an old answer, lease or lock for a fresh one after waking up.",
    example: "pause_client: {for: 2s, at: after_commit}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PauseClientFault")]
struct Parameters {
    /// How long the client stands still.
    r#for: Period,
    /// Where the client is stopped; `before_commit` unless said.
    at: Option<ClientAt>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let at = parameters.at.unwrap_or_default().point();
    Some(Arc::new(PauseClient { at, length: parameters.r#for }))
}

#[derive(Clone, Copy, Debug)]
struct PauseClient {
    at: Point,
    length: Period,
}

impl Fault for PauseClient {
    fn kind(&self) -> &'static FaultKind {
        &PAUSE_CLIENT
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Client { at: self.at, does: ClientFault::Pause { for_us: self.length.micros() } }
    }

    fn point(&self) -> Option<Point> {
        Some(self.at)
    }

    fn detail(&self) -> String {
        format!("{} for {}", self.at.name(), self.length)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_client_is_stopped_where_and_for_how_long_it_is_told_to() {
        let action = struck(&PAUSE_CLIENT, &json!({"for": "2s"}));
        assert!(
            matches!(
                action,
                Action::Client {
                    at: Point::BeforeCommit,
                    does: ClientFault::Pause { for_us: 2_000_000 }
                }
            ),
            "{action:?}"
        );
        let late = parsed(&PAUSE_CLIENT, &json!({"for": "2s", "at": "mid_body"}));
        assert_eq!((late.point(), &*late.detail()), (Some(Point::MidBody), "mid_body for 2s"));
    }

    #[test]
    fn for_how_long_must_be_said() {
        assert_eq!(problems(&PAUSE_CLIENT, &json!({"at": "mid_body"})), ["for"]);
    }
}
