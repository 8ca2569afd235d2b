//! Where the clients of incidents find the routes that they call.
//!
//! **Invariant:** knows the shipped APIs by their wire shape alone, as any client would.

use serde_json::Value;

/// A route that does work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Its name.
    pub(super) name: &'static str,
    /// Its path; `{id}` is the id in the answer before it.
    pub(super) path: &'static str,
    /// Where what it did is looked up, and by which field of the input.
    pub(super) listed: Option<(&'static str, &'static str)>,
    /// What undoes it: a path with `{id}`, or one that takes the id in this field.
    pub(super) undone: Option<(&'static str, Option<&'static str>)>,
}

const ROUTES: &[Route] = &[
    Route {
        name: "create_charge",
        path: "/v1/charges",
        listed: Some(("/v1/charges", "order")),
        undone: Some(("/v1/refunds", Some("charge"))),
    },
    Route {
        name: "authorize",
        path: "/v1/authorizations",
        listed: None,
        undone: Some(("/v1/authorizations/{id}/void", None)),
    },
    Route { name: "capture", path: "/v1/authorizations/{id}/capture", listed: None, undone: None },
    Route { name: "notify", path: "/v1/notifications", listed: None, undone: None },
    Route { name: "classify", path: "/v1/classifications", listed: None, undone: None },
];

/// The route of that name.
pub(super) fn find(name: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.name == name)
}

/// What a route is sent: the input without what belongs to the scenario alone, or nothing where the path says all.
pub(super) fn body(route: &Route, input: &Value) -> Value {
    if route.name == "capture" { Value::Object(serde_json::Map::new()) } else { input.clone() }
}
