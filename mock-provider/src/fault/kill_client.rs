//! `kill_client`: the client dies at a point of one of its attempts, and is started again.
//!
//! The provider only knows when the point is reached; whoever drives the client carries it out.
//! **Invariant:** it changes nothing about what the provider does, but that nobody waits for the answer of
//! the attempt.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::ClientAt;
use super::{Action, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::ClientFault;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static KILL_CLIENT: FaultKind = FaultKind {
    name: "kill_client",
    group: Group::Client,
    summary: "The client is killed at this point of the attempt and started again with the same operation, \
              as a supervisor would.",
    parameters: &[(
        "at",
        "`before_commit` (default; nothing is done), `after_commit` (the work is done and the client never \
         learns it) or `mid_body` (it dies over half of the answer)",
    )],
    mistake: "Keeping the idempotency key, or that there is work to do at all, in memory alone.",
    example: "kill_client: {at: after_commit}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KillClientFault")]
struct Parameters {
    /// Where the client is killed; `before_commit` unless said.
    at: Option<ClientAt>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(KillClient(parameters.at.unwrap_or_default().point())))
}

#[derive(Clone, Copy, Debug)]
struct KillClient(Point);

impl Fault for KillClient {
    fn kind(&self) -> &'static FaultKind {
        &KILL_CLIENT
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Client { at: self.0, does: ClientFault::Kill }
    }

    fn point(&self) -> Option<Point> {
        Some(self.0)
    }

    fn detail(&self) -> String {
        self.0.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_client_is_killed_where_it_is_told_to() {
        for (value, point) in [
            (json!(null), Point::BeforeCommit),
            (json!({"at": "after_commit"}), Point::AfterCommit),
            (json!({"at": "mid_body"}), Point::MidBody),
        ] {
            let action = struck(&KILL_CLIENT, &value);
            assert!(
                matches!(action, Action::Client { at, does: ClientFault::Kill } if at == point),
                "{action:?}"
            );
            assert_eq!(parsed(&KILL_CLIENT, &value).detail(), point.name());
        }
    }

    #[test]
    fn a_client_can_be_killed_only_once_its_request_is_read() {
        assert_eq!(problems(&KILL_CLIENT, &json!({"at": "accept"})), ["at"]);
    }
}
