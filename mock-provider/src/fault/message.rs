//! `message`: a message of a queue comes twice, too early again, out of order, or cannot be handled.
//!
//! **Invariant:** no message is lost: what was held back comes, and what came too often was not deleted.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::taken_elsewhere;
use super::{Action, Fault, FaultKind, Group};
use crate::api::{Api, Route};
use crate::document::{At, ScalarOr, decode};
use crate::seed::Draw;
use crate::units::Period;

/// How long, unless said.
const USUAL: Period = Period::from_micros(1_000_000);

/// The registry's entry.
pub(super) static MESSAGE: FaultKind = FaultKind {
    name: "message",
    group: Group::Provider,
    summary: "A message of a queue is handed out twice, too early again, out of order, or as nobody can \
              handle it. `attempt` counts how often the message was handed out.",
    parameters: &[
        (
            "kind",
            "required; `duplicate` (there is another copy, which is not hidden and outlives the delete), `early` (hidden for a shorter time than the queue \
             says), `late` (later ones overtake it), `poison` (its body cannot be read)",
        ),
        ("by", "for `early` and `late`: how long; default 1s"),
    ],
    mistake: "Taking a queue for exactly-once and in order, so that a message that comes twice is done \
              twice; or trying a message that cannot be handled for ever, while the others wait.",
    example: "message: {kind: early, by: 200ms}",
    bare: false,
    schema: |generator| generator.subschema_for::<ScalarOr<Kind, Parameters>>(),
    parse,
};

/// What happens to a message that is about to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFault {
    /// There is another copy of it, which is not hidden and outlives the delete.
    Duplicate,
    /// It can be received again after so many microseconds.
    Early {
        /// How long it is hidden.
        after_us: u64,
    },
    /// It is not handed out yet.
    Late {
        /// How much later it can be.
        by_us: u64,
    },
    /// Its body cannot be read.
    Poison,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MessageKind")]
enum Kind {
    /// There is another copy of it, which is not hidden and outlives the delete.
    Duplicate,
    /// It is hidden for a shorter time than the queue says.
    Early,
    /// Later ones overtake it.
    Late,
    /// Its body cannot be read.
    Poison,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MessageFault")]
struct Parameters {
    /// What happens to the message.
    #[schemars(required)]
    kind: Option<Kind>,
    /// How long it is hidden, or how much later it comes; 1s unless said.
    by: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    kind: Kind,
    by: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters = match decode(value, at)? {
        ScalarOr::Scalar(kind) => Parameters { kind: Some(kind), by: None },
        ScalarOr::Map(parameters) => parameters,
    };
    let kind = parameters.kind?;
    if parameters.by.is_some() && matches!(kind, Kind::Duplicate | Kind::Poison) {
        at.key("by").error("only `early` and `late` take a time", |d| d.key().cure("leave it out"));
    }
    Some(Arc::new(Message { kind, by: parameters.by.unwrap_or(USUAL) }))
}

impl Fault for Message {
    fn kind(&self) -> &'static FaultKind {
        &MESSAGE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Message(match self.kind {
            Kind::Duplicate => MessageFault::Duplicate,
            Kind::Early => MessageFault::Early { after_us: self.by.micros() },
            Kind::Late => MessageFault::Late { by_us: self.by.micros() },
            Kind::Poison => MessageFault::Poison,
        })
    }

    fn detail(&self) -> String {
        match self.kind {
            Kind::Duplicate => "duplicate".to_owned(),
            Kind::Early => format!("again after {}", self.by),
            Kind::Late => format!("{} late", self.by),
            Kind::Poison => "poison".to_owned(),
        }
    }

    fn takes(&self, route: &Route) -> bool {
        route.receives.is_some()
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let Some(known) = taken_elsewhere(self, api, route) else { return };
        at.error("`message` can never strike: no message of a queue is handed out here", |d| {
            d.allowed(route.unwrap_or_default(), known)
                .cure("strike the route that receives messages, of an API with a queue")
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn each_kind_does_one_thing_to_a_message() {
        for (value, expected, detail) in [
            (json!("duplicate"), MessageFault::Duplicate, "duplicate"),
            (json!({"kind": "poison"}), MessageFault::Poison, "poison"),
            (json!("early"), MessageFault::Early { after_us: 1_000_000 }, "again after 1s"),
            (json!({"kind": "late", "by": "5ms"}), MessageFault::Late { by_us: 5_000 }, "5ms late"),
        ] {
            let action = struck(&MESSAGE, &value);
            assert!(matches!(action, Action::Message(found) if found == expected), "{action:?}");
            assert_eq!(parsed(&MESSAGE, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&MESSAGE, &json!({"kind": "duplicate", "by": "1s"})), ["by"]);
        assert_eq!(problems(&MESSAGE, &json!({"by": "1s"})), ["kind"]);
        let found = checked(&MESSAGE, &json!("duplicate"), Some("create_charge"));
        assert_eq!(found.len(), 1, "the plain API has no queue");
    }
}
