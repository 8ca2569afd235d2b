//! What the faults of the handshake share: they strike at the door, and know time alone.
//!
//! **Invariant:** a bad handshake happens before any request is known.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::only_time;
use super::{Action, Door, Fault, FaultKind, Greeting};
use crate::api::Api;
use crate::document::{At, decode};
use crate::seed::Draw;

/// The parameters of a fault of the handshake: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandshakeParameters {}

#[derive(Clone, Copy, Debug)]
struct BadGreeting {
    kind: &'static FaultKind,
    greeting: Greeting,
}

/// Reads a fault of the handshake.
pub(super) fn greeting(
    kind: &'static FaultKind,
    greeting: Greeting,
    value: &Value,
    at: &At<'_>,
) -> Option<Arc<dyn Fault>> {
    let HandshakeParameters {} = decode(value, at)?;
    Some(Arc::new(BadGreeting { kind, greeting }))
}

impl Fault for BadGreeting {
    fn kind(&self) -> &'static FaultKind {
        self.kind
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Door(Door::Greets(self.greeting))
    }

    fn door(&self) -> Option<Door> {
        Some(Door::Greets(self.greeting))
    }

    fn check(&self, _: &Api, route: Option<&str>, at: &At<'_>) {
        only_time(route, at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::registry;
    use super::super::testing::{problems, struck};
    use super::*;

    #[test]
    fn each_greets_in_its_own_way_and_has_no_parameters() {
        for (name, expected) in [
            ("expired_certificate", Greeting::Expired),
            ("wrong_host", Greeting::WrongHost),
            ("untrusted", Greeting::Untrusted),
            ("handshake_reset", Greeting::Reset),
        ] {
            let kind = registry::find(name).expect(name);
            let action = struck(kind, &json!(null));
            assert!(
                matches!(action, Action::Door(Door::Greets(found)) if found == expected),
                "{action:?}"
            );
            assert_eq!(problems(kind, &json!({"at": "accept"})), ["at"]);
        }
    }
}
