//! `delayed_duplicate`: a request arrives again when everybody has forgotten it.
//!
//! The client sees one answer. **Invariant:** the late one is the same request in every respect but its
//! time.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::order_fault::some_time;
use super::{Action, Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::Period;

/// How much later, unless said.
const USUAL: Period = Period::from_micros(5_000_000);

/// The registry's entry.
pub(super) static DELAYED_DUPLICATE: FaultKind = FaultKind {
    name: "delayed_duplicate",
    group: Group::Provider,
    summary: "The request arrives once more after a while, behind later ones; the client sees one answer.",
    parameters: &[("after", "how much later it arrives again; default 5s")],
    mistake: "Keys that live shorter than a network holds packets, or a new key for each attempt: the old \
              request charges again after its order was cancelled or refunded.",
    example: "delayed_duplicate: {after: 30s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DelayedDuplicateFault")]
struct Parameters {
    /// How much later it arrives again; 5s unless said.
    after: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
struct DelayedDuplicate {
    after: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let after = some_time(parameters.after, USUAL, ("after", at));
    Some(Arc::new(DelayedDuplicate { after }))
}

impl Fault for DelayedDuplicate {
    fn kind(&self) -> &'static FaultKind {
        &DELAYED_DUPLICATE
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Duplicate { times: 1, apart_us: self.after.micros() }
    }

    fn detail(&self) -> String {
        format!("again after {}", self.after)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_request_arrives_again_after_a_while() {
        for (value, after, detail) in [
            (json!(null), 5_000_000, "again after 5s"),
            (json!({"after": "30s"}), 30_000_000, "again after 30s"),
        ] {
            let action = struck(&DELAYED_DUPLICATE, &value);
            assert!(
                matches!(action, Action::Duplicate { times: 1, apart_us } if apart_us == after),
                "{action:?}"
            );
            assert_eq!(parsed(&DELAYED_DUPLICATE, &value).detail(), detail);
        }
        for wrong in ["0ms", "later"] {
            assert_eq!(problems(&DELAYED_DUPLICATE, &json!({"after": wrong})), ["after"]);
        }
    }
}
