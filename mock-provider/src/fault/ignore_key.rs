//! `ignore_key`: the idempotency key is accepted and overlooked.
//!
//! **Invariant:** nothing is looked up and nothing stored, as if the request had no key.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Fault, FaultKind, Group};
use crate::api::Api;
use crate::document::{At, decode};
use crate::seed::Draw;

/// The registry's entry.
pub(super) static IGNORE_KEY: FaultKind = FaultKind {
    name: "ignore_key",
    group: Group::Provider,
    summary: "The provider takes the idempotency key and does not honor it.",
    parameters: &[],
    mistake: "Relying on keys alone: after a lost answer only a look at what the provider holds (a list, \
              a search by order) tells whether a repeat is safe.",
    example: "ignore_key",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IgnoreKeyFault")]
struct Parameters {}

#[derive(Clone, Copy, Debug)]
struct IgnoreKey;

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let Parameters {} = decode(value, at)?;
    Some(Arc::new(IgnoreKey))
}

impl Fault for IgnoreKey {
    fn kind(&self) -> &'static FaultKind {
        &IGNORE_KEY
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::IgnoreKey
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let keyed = match route {
            Some(name) => api.route_named(name).is_none_or(|route| route.keyed),
            None => api.routes.iter().any(|route| route.keyed),
        };
        if !keyed {
            at.note("there are no idempotency keys here that could be ignored", |d| {
                d.cure("strike a route on which the API honors keys, or leave the rule out")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{checked, problems, struck};
    use super::*;

    #[test]
    fn a_route_without_keys_is_remarked_on() {
        assert!(checked(&IGNORE_KEY, &Value::Null, Some("create_charge")).is_empty());
        assert!(checked(&IGNORE_KEY, &Value::Null, None).is_empty());
        let remarks = checked(&IGNORE_KEY, &Value::Null, Some("get_charge"));
        assert_eq!(remarks.len(), 1);
    }

    #[test]
    fn the_key_is_overlooked() {
        assert!(matches!(struck(&IGNORE_KEY, &Value::Null), Action::IgnoreKey));
        assert!(matches!(struck(&IGNORE_KEY, &json!({})), Action::IgnoreKey));
        assert_eq!(problems(&IGNORE_KEY, &json!({"for": "1s"})), ["for"]);
        assert_eq!(problems(&IGNORE_KEY, &json!(true)), [""]);
    }
}
