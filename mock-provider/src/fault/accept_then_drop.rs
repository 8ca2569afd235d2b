//! `accept_then_drop`: 202 Accepted, and the work is never done.
//!
//! **Invariant:** nothing is done and no key is kept; the answer says that the work is still to be done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::parts::taken_elsewhere;
use super::{Action, Ending, Fault, FaultKind, Group, Point};
use crate::api::{Api, Route};
use crate::document::{At, decode};
use crate::malformed::Shape;
use crate::seed::Draw;

/// The registry's entry.
pub(super) static ACCEPT_THEN_DROP: FaultKind = FaultKind {
    name: "accept_then_drop",
    group: Group::Ending,
    summary: "The answer is 202 with an object that is still `pending`, and the work is never done.",
    parameters: &[],
    mistake: "Taking every 2xx for done. 202 is a promise, and only a later look tells whether it was kept.",
    example: "accept_then_drop",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcceptThenDropFault")]
struct Parameters {}

#[derive(Clone, Copy, Debug)]
struct AcceptThenDrop;

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(AcceptThenDrop))
}

impl Fault for AcceptThenDrop {
    fn kind(&self) -> &'static FaultKind {
        &ACCEPT_THEN_DROP
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::End { at: Point::BeforeCommit, ending: Ending::Accepted }
    }

    fn point(&self) -> Option<Point> {
        Some(Point::BeforeCommit)
    }

    fn detail(&self) -> String {
        "202".to_owned()
    }

    /// Where an answer can say that its work is still to be done.
    fn takes(&self, route: &Route) -> bool {
        route.does_work() && (route.success.status == 202 || Shape::of(route).tells_states())
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let Some(known) = taken_elsewhere(self, api, route) else { return };
        let place = route.map_or_else(|| "any route".to_owned(), |name| format!("`{name}`"));
        at.error(
            format!("nobody could detect `accept_then_drop` on {place}: no answer says `pending`"),
            |d| {
                d.allowed(route.unwrap_or_default(), known)
                    .cure("strike another route, or use `malformed` or `status`")
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn the_work_is_accepted_and_never_done() {
        let action = struck(&ACCEPT_THEN_DROP, &json!(null));
        let expected = Action::End { at: Point::BeforeCommit, ending: Ending::Accepted };
        assert_eq!(format!("{action:?}"), format!("{expected:?}"));
        let fault = parsed(&ACCEPT_THEN_DROP, &json!(null));
        assert_eq!((fault.point(), &*fault.detail()), (Some(Point::BeforeCommit), "202"));
        assert_eq!(problems(&ACCEPT_THEN_DROP, &json!({"code": 202})), ["code"]);
    }

    #[test]
    fn only_a_route_whose_answer_can_say_pending_is_struck() {
        for (route, wrong) in [
            (None, 0),
            (Some("create_charge"), 0),
            (Some("capture"), 0),
            (Some("get_charge"), 1),
            (Some("list_charges"), 1),
        ] {
            assert_eq!(checked(&ACCEPT_THEN_DROP, &json!(null), route).len(), wrong, "{route:?}");
        }
    }
}
