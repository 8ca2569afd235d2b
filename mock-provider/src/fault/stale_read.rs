//! `stale_read`: a read shows what was there a while ago.
//!
//! **Invariant:** what it shows was once true; a read that would show the same is not struck.

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
pub(super) static STALE_READ: FaultKind = FaultKind {
    name: "stale_read",
    group: Group::Provider,
    summary: "A read lags behind the writes: a new object is not found and not listed yet, a changed one looks as before.",
    parameters: &[("lag", "how far the read lags behind; default 1s")],
    mistake: "Taking a 404 or an empty list right after a lost answer for proof that nothing was done, and doing it again.",
    example: "stale_read: {lag: 2s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StaleReadFault")]
struct Parameters {
    /// How far the read lags behind; 1s unless said.
    lag: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let time = some_time(parameters.lag, USUAL, ("lag", at));
    let fault = OrderFault::Stale { lag_us: time.micros() };
    Some(Arc::new(OrderRule { kind: &STALE_READ, fault, detail: format!("as it was {time} ago") }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Action;
    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn a_read_shows_what_was_there_a_while_ago() {
        for (value, micros, detail) in [
            (json!(null), 1_000_000, "as it was 1s ago"),
            (json!({"lag": "20ms"}), 20_000, "as it was 20ms ago"),
        ] {
            let action = struck(&STALE_READ, &value);
            assert!(
                matches!(action, Action::Order(OrderFault::Stale { lag_us }) if lag_us == micros),
                "{action:?}"
            );
            assert_eq!(parsed(&STALE_READ, &value).detail(), detail);
        }
        assert_eq!(problems(&STALE_READ, &json!({"lag": "0ms"})), ["lag"]);
        assert_eq!(problems(&STALE_READ, &json!({"lag": "soon"})), ["lag"]);
    }

    #[test]
    fn only_a_read_can_be_stale() {
        for (route, wrong) in [
            (None, 0),
            (Some("create_charge"), 1),
            (Some("get_charge"), 0),
            (Some("list_charges"), 0),
        ] {
            assert_eq!(checked(&STALE_READ, &json!(null), route).len(), wrong, "{route:?}");
        }
    }
}
