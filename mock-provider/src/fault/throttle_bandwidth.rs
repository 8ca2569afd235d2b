//! `throttle_bandwidth`: the body comes no faster than a slow line lets it.
//!
//! **Invariant:** every byte comes, in order; only their times differ.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::Size;

/// How many pieces a second.
const PIECES: u64 = 20;

/// The registry's entry.
pub(super) static THROTTLE_BANDWIDTH: FaultKind = FaultKind {
    name: "throttle_bandwidth",
    group: Group::Delay,
    summary: "The body comes as over a slow line: so many bytes a second, evenly.",
    parameters: &[("per_second", "required; bytes a second, from `1B`")],
    mistake: "A time-out for the whole answer that is as short as for a small one, so that a large answer \
              over a slow line never arrives and is asked for again and again.",
    example: "throttle_bandwidth: {per_second: 16KiB}",
    bare: false,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ThrottleBandwidthFault")]
struct Parameters {
    /// Bytes a second.
    #[schemars(required)]
    per_second: Option<Size>,
}

#[derive(Clone, Copy, Debug)]
struct ThrottleBandwidth {
    per_second: Size,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let per_second = parameters.per_second?;
    if per_second.bytes() == 0 {
        at.key("per_second")
            .error("`per_second` is 0, so that nothing ever comes", |d| d.cure("use `hang`"));
    }
    Some(Arc::new(ThrottleBandwidth { per_second }))
}

impl Fault for ThrottleBandwidth {
    fn kind(&self) -> &'static FaultKind {
        &THROTTLE_BANDWIDTH
    }

    fn strike(&self, _: &mut Draw) -> Action {
        let per_second = self.per_second.bytes().max(1);
        // A line slower than a byte a piece has longer pauses instead.
        let bytes = (per_second / PIECES).max(1);
        Action::Drip { bytes, every_us: bytes.saturating_mul(1_000_000) / per_second }
    }

    fn detail(&self) -> String {
        format!("{}/s", self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{parsed, problems, struck};
    use super::*;

    #[test]
    fn pieces_come_at_the_rate_of_the_line() {
        for (per_second, pieces, pause) in [
            ("20KiB", 1_024, 50_000),
            ("100B", 5, 50_000),
            ("10B", 1, 100_000),
            ("1B", 1, 1_000_000),
        ] {
            let value = json!({"per_second": per_second});
            let action = struck(&THROTTLE_BANDWIDTH, &value);
            assert!(
                matches!(action, Action::Drip { bytes, every_us }
                    if bytes == pieces && every_us == pause),
                "{per_second}: {action:?}"
            );
            assert_eq!(parsed(&THROTTLE_BANDWIDTH, &value).detail(), format!("{per_second}/s"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        assert_eq!(problems(&THROTTLE_BANDWIDTH, &Value::Null), ["per_second"]);
        for wrong in [json!("0B"), json!(100), json!("fast")] {
            let value = json!({"per_second": wrong});
            assert_eq!(problems(&THROTTLE_BANDWIDTH, &value), ["per_second"]);
        }
    }
}
