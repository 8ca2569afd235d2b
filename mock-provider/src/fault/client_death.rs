//! `kill_client` and `pause_client`: what befalls the client itself at a point of one of its attempts.
//!
//! The provider only knows when the point is reached; whoever drives the client carries it out.
//! **Invariant:** they change nothing about what the provider does, but that nobody waits for the answer of
//! an attempt at which the client was killed.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Fault, FaultKind, Group, Point};
use crate::document::{At, decode};
use crate::exchange::ClientFault;
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry of `kill_client`.
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
    schema: |generator| generator.subschema_for::<KillParameters>(),
    parse: parse_kill,
};

/// The registry's entry of `pause_client`.
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
    schema: |generator| generator.subschema_for::<PauseParameters>(),
    parse: parse_pause,
};

/// Where the client is struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ClientAt {
    /// Nothing was done.
    #[default]
    BeforeCommit,
    /// The work is done, and nothing of its answer was written.
    AfterCommit,
    /// The work is done, and the head and half of the body were written.
    MidBody,
}

impl ClientAt {
    const fn point(self) -> Point {
        match self {
            Self::BeforeCommit => Point::BeforeCommit,
            Self::AfterCommit => Point::AfterCommit,
            Self::MidBody => Point::MidBody,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KillClientFault")]
struct KillParameters {
    /// Where the client is killed; `before_commit` unless said.
    at: Option<ClientAt>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PauseClientFault")]
struct PauseParameters {
    /// How long the client stands still.
    r#for: Period,
    /// Where the client is stopped; `before_commit` unless said.
    at: Option<ClientAt>,
}

fn parse_kill(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: KillParameters = decode(value, at)?;
    Some(Arc::new(KillClient(parameters.at.unwrap_or_default().point())))
}

fn parse_pause(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: PauseParameters = decode(value, at)?;
    let at = parameters.at.unwrap_or_default().point();
    Some(Arc::new(PauseClient { at, length: parameters.r#for }))
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
    fn the_client_is_struck_where_and_how_it_is_told_to() {
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
    fn a_client_can_be_struck_only_once_its_request_is_read() {
        assert_eq!(problems(&KILL_CLIENT, &json!({"at": "accept"})), ["at"]);
        assert_eq!(problems(&PAUSE_CLIENT, &json!({"at": "mid_body"})), ["for"]);
    }
}
