//! `reorder`: a gateway holds the request back, and what is sent later overtakes it.
//!
//! **Invariant:** the request arrives once, also when its client has gone, and nothing knows of it before.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::order_fault::{OrderFault, OrderRule, some_time};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::Period;

/// How long, unless said.
const USUAL: Period = Period::from_micros(1_000_000);

/// The registry's entry.
pub(super) static REORDER: FaultKind = FaultKind {
    name: "reorder",
    group: Group::Provider,
    summary: "A gateway holds the request back for a while; what is sent later overtakes it.",
    parameters: &[("by", "how long it is held back; default 1s")],
    mistake: "Taking a request that timed out for one that never arrives, so that the order is cancelled first and charged afterwards.",
    example: "reorder: {by: 2s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReorderFault")]
struct Parameters {
    /// How long it is held back; 1s unless said.
    by: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let time = some_time(parameters.by, USUAL, ("by", at));
    let fault = OrderFault::Held { by_us: time.micros() };
    Some(Arc::new(OrderRule { kind: &REORDER, fault, detail: format!("held back for {time}") }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Action;
    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn a_request_is_held_back_for_a_while() {
        for (value, micros, detail) in [
            (json!(null), 1_000_000, "held back for 1s"),
            (json!({"by": "20ms"}), 20_000, "held back for 20ms"),
        ] {
            let action = struck(&REORDER, &value);
            assert!(
                matches!(action, Action::Order(OrderFault::Held { by_us }) if by_us == micros),
                "{action:?}"
            );
            assert_eq!(parsed(&REORDER, &value).detail(), detail);
        }
        assert_eq!(problems(&REORDER, &json!({"by": "0ms"})), ["by"]);
        assert_eq!(problems(&REORDER, &json!({"by": "soon"})), ["by"]);
    }

    #[test]
    fn every_request_can_be_held_back() {
        for (route, wrong) in [(None, 0), (Some("create_charge"), 0), (Some("get_charge"), 0)] {
            assert_eq!(checked(&REORDER, &json!(null), route).len(), wrong, "{route:?}");
        }
    }
}
