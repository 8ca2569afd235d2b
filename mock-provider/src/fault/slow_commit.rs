//! `slow_commit`: the answer comes at once, and what it tells of appears later.
//!
//! **Invariant:** what was answered is always done in the end, once.

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
pub(super) static SLOW_COMMIT: FaultKind = FaultKind {
    name: "slow_commit",
    group: Group::Provider,
    summary: "The request is answered with success at once, and its effect appears only a while after the answer.",
    parameters: &[("by", "how long after the answer was ready; default 1s")],
    mistake: "Reading the object back right away, finding nothing, and doing the work again under another key.",
    example: "slow_commit: {by: 2s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlowCommitFault")]
struct Parameters {
    /// How long after the answer was ready; 1s unless said.
    by: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let time = some_time(parameters.by, USUAL, ("by", at));
    let fault = OrderFault::Slow { by_us: time.micros() };
    Some(Arc::new(OrderRule { kind: &SLOW_COMMIT, fault, detail: format!("appears {time} later") }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Action;
    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn the_effect_appears_a_while_after_the_answer() {
        for (value, micros, detail) in [
            (json!(null), 1_000_000, "appears 1s later"),
            (json!({"by": "20ms"}), 20_000, "appears 20ms later"),
        ] {
            let action = struck(&SLOW_COMMIT, &value);
            assert!(
                matches!(action, Action::Order(OrderFault::Slow { by_us }) if by_us == micros),
                "{action:?}"
            );
            assert_eq!(parsed(&SLOW_COMMIT, &value).detail(), detail);
        }
        assert_eq!(problems(&SLOW_COMMIT, &json!({"by": "0ms"})), ["by"]);
        assert_eq!(problems(&SLOW_COMMIT, &json!({"by": "soon"})), ["by"]);
    }

    #[test]
    fn only_work_can_appear_late() {
        for (route, wrong) in [
            (None, 0),
            (Some("create_charge"), 0),
            (Some("refund_charge"), 0),
            (Some("get_charge"), 1),
        ] {
            assert_eq!(checked(&SLOW_COMMIT, &json!(null), route).len(), wrong, "{route:?}");
        }
    }
}
