//! `slow_tokens`: a stream of server-sent events that comes drop by drop.
//!
//! **Invariant:** nothing is lost and nothing is changed; it takes long, and that is all.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::stream::{check_streams, streams};
use super::{Action, DelayPoint, Fault, FaultKind, Group};
use crate::api::Api;
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::Period;

/// The pause where nothing is said: 200 ms.
const USUAL_US: u64 = 200_000;

/// The registry's entry.
pub(super) static SLOW_TOKENS: FaultKind = FaultKind {
    name: "slow_tokens",
    group: Group::Delay,
    summary: "A stream of server-sent events comes slowly, with a pause before each event but the first.",
    parameters: &[("every", "the pause, longer than 0; 200ms unless said")],
    mistake: "A time-out that starts again with every event, so that an answer may take for ever; or one for \
              the whole answer that gives up, and buys again, what was coming all the time.",
    example: "slow_tokens: {every: 500ms}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SlowTokensFault")]
struct Parameters {
    /// The pause before each event but the first; 200ms unless said.
    every: Option<Period>,
}

#[derive(Clone, Copy, Debug)]
struct SlowTokens {
    every_us: u64,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let every_us = parameters.every.map_or(USUAL_US, Period::micros);
    if every_us == 0 {
        at.key("every").error("a pause of 0 is none", |d| d.cure("write a time such as `200ms`"));
    }
    Some(Arc::new(SlowTokens { every_us }))
}

impl Fault for SlowTokens {
    fn kind(&self) -> &'static FaultKind {
        &SLOW_TOKENS
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Delay { at: DelayPoint::Chunk, micros: self.every_us }
    }

    fn streams_only(&self) -> bool {
        true
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        check_streams(&streams(api, route), route, at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn there_is_a_pause_before_each_event() {
        for (value, micros) in [(json!(null), 200_000), (json!({"every": "1s"}), 1_000_000)] {
            let action = struck(&SLOW_TOKENS, &value);
            assert!(
                matches!(action, Action::Delay { at: DelayPoint::Chunk, micros: it } if it == micros)
            );
            assert!(parsed(&SLOW_TOKENS, &value).streams_only());
        }
        assert_eq!(problems(&SLOW_TOKENS, &json!({"every": "0s"})), ["every"]);
    }
}
