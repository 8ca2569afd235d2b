//! `duplicate_request`: a gateway between client and provider sends the request again.
//!
//! **Invariant:** the client sent one request and sees one answer, that of the original.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry.
pub(super) static DUPLICATE_REQUEST: FaultKind = FaultKind {
    name: "duplicate_request",
    group: Group::Provider,
    summary: "A gateway repeats the request; the provider gets it more than once, the client one answer.",
    parameters: &[
        ("times", "how many repeats, 1 to 10; default 1"),
        ("apart", "the time from one to the next; default 0ms: all at once"),
    ],
    mistake: "Sending no idempotency key on a first attempt because `only retries need one`.",
    example: "duplicate_request: {times: 2, apart: 50ms}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DuplicateRequestFault")]
struct Parameters {
    /// How many repeats; 1 unless said.
    #[schemars(range(min = 1, max = 10))]
    times: Option<u32>,
    /// The time from one to the next; none unless said.
    apart: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
struct DuplicateRequest {
    times: u32,
    apart: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    Some(Arc::new(DuplicateRequest {
        times: parameters.times.unwrap_or(1),
        apart: parameters.apart.unwrap_or_default(),
    }))
}

impl Fault for DuplicateRequest {
    fn kind(&self) -> &'static FaultKind {
        &DUPLICATE_REQUEST
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Duplicate { times: self.times, apart_us: self.apart.micros() }
    }

    fn detail(&self) -> String {
        match (self.times, self.apart.micros()) {
            (1, 0) => "once more".to_owned(),
            (1, _) => format!("once more after {}", self.apart),
            (times, 0) => format!("{times} times more"),
            (times, _) => format!("{times} times more, {} apart", self.apart),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn the_request_comes_again() {
        for (value, repeats, apart, detail) in [
            (json!(null), 1, 0, "once more"),
            (json!({"apart": "50ms"}), 1, 50_000, "once more after 50ms"),
            (json!({"times": 3}), 3, 0, "3 times more"),
            (json!({"times": 10, "apart": "1s"}), 10, 1_000_000, "10 times more, 1s apart"),
        ] {
            let action = struck(&DUPLICATE_REQUEST, &value);
            assert!(
                matches!(action, Action::Duplicate { times, apart_us }
                    if times == repeats && apart_us == apart),
                "{action:?}"
            );
            assert_eq!(parsed(&DUPLICATE_REQUEST, &value).detail(), detail);
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for times in [0, 11] {
            assert_eq!(problems(&DUPLICATE_REQUEST, &json!({"times": times})), ["times"]);
        }
        assert_eq!(problems(&DUPLICATE_REQUEST, &json!({"apart": "soon"})), ["apart"]);
    }
}
