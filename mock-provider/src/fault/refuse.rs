//! `refuse`: nobody listens for a while.
//!
//! **Invariant:** it knows time alone: whoever connects is refused, and a request over a connection that
//! was open already is torn down before it is read.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::only_time;
use super::{Action, Door, Fault, FaultKind, Group, Point};
use crate::api::Api;
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static REFUSE: FaultKind = FaultKind {
    name: "refuse",
    group: Group::Ending,
    summary: "Nobody listens for a while: connections are refused, as by a provider that is down. \
              Needs `when: {during: …}`, the time since the first request.",
    parameters: &[],
    mistake: "Trying again at once and without end, because a refusal comes back within a millisecond; \
              staying away for good after an outage that is over.",
    example: "refuse",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RefuseFault")]
struct Parameters {}

#[derive(Clone, Copy, Debug)]
struct Refuse;

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(Refuse))
}

impl Fault for Refuse {
    fn kind(&self) -> &'static FaultKind {
        &REFUSE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Door(Door::Closed)
    }

    fn door(&self) -> Option<Door> {
        Some(Door::Closed)
    }

    fn point(&self) -> Option<Point> {
        Some(Point::Accept)
    }

    fn check(&self, _: &Api, route: Option<&str>, at: &At<'_>) {
        only_time(route, at);
    }

    fn detail(&self) -> String {
        "nobody listens".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn it_closes_the_door_and_has_no_parameters() {
        assert!(matches!(struck(&REFUSE, &json!(null)), Action::Door(Door::Closed)));
        assert_eq!(parsed(&REFUSE, &json!(null)).detail(), "nobody listens");
        assert_eq!(problems(&REFUSE, &json!({"for": "3s"})), ["for"]);
    }
}
