//! `slow_read`: the provider reads the request's body slowly.
//!
//! Where the operation is told by the head (a token in the URL or the key), the upload itself is slowed
//! down; where only the body tells it, the request arrives as late as if it had been.
//! **Invariant:** every byte is read, in order; a client that gives up meanwhile leaves nothing done.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::order_fault::{OrderFault, OrderRule};
use super::{Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::units::Size;

/// The registry's entry.
pub(super) static SLOW_READ: FaultKind = FaultKind {
    name: "slow_read",
    group: Group::Delay,
    summary: "The provider reads the request's body slowly, so many bytes a second.",
    parameters: &[("per_second", "required; bytes a second, from `1B`")],
    mistake: "A time-out on the answer and none on the upload: a client that is stuck in its own write \
              waits for ever.",
    example: "slow_read: {per_second: 16KiB}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlowReadFault")]
struct Parameters {
    /// Bytes a second.
    #[schemars(required)]
    per_second: Option<Size>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let size = parameters.per_second?;
    if size.bytes() == 0 {
        at.key("per_second")
            .error("`per_second` is 0, so that nothing is ever read", |d| d.cure("use `hang`"));
    }
    let fault = OrderFault::Read { per_second: size.bytes().max(1) };
    Some(Arc::new(OrderRule { kind: &SLOW_READ, fault, detail: format!("{size}/s") }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Action;
    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    #[test]
    fn the_body_is_read_at_a_rate() {
        let value = json!({"per_second": "16KiB"});
        let action = struck(&SLOW_READ, &value);
        let expected = OrderFault::Read { per_second: 16_384 };
        assert!(matches!(action, Action::Order(found) if found == expected), "{action:?}");
        assert_eq!(parsed(&SLOW_READ, &value).detail(), "16KiB/s");
        assert_eq!(problems(&SLOW_READ, &Value::Null), ["per_second"]);
        assert_eq!(problems(&SLOW_READ, &json!({"per_second": "0B"})), ["per_second"]);
        for (route, wrong) in [(None, 0), (Some("create_charge"), 0), (Some("get_charge"), 1)] {
            assert_eq!(checked(&SLOW_READ, &value, route).len(), wrong, "{route:?}");
        }
    }
}
