//! `deprecated`: a route that goes out of use says so, and one day it is gone.
//!
//! **Invariant:** what it says is the same instant in every answer; from that instant on nothing is done.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Action, Fault, FaultKind, Group};
use crate::document::{At, decode};
use crate::seed::Draw;
use crate::units::Period;

/// The registry's entry.
pub(super) static DEPRECATED: FaultKind = FaultKind {
    name: "deprecated",
    group: Group::Provider,
    summary: "The route goes out of use: every answer says since when and until when, and then it answers 410.",
    parameters: &[
        (
            "since",
            "how long before the run it was declared out of use (`Deprecation`); default 24h",
        ),
        (
            "sunset",
            "how long after the first request of the run it is gone (`Sunset`); default 1h, and 0s for gone at once",
        ),
    ],
    mistake: "Nobody reads the headers until the day on which the route is gone; then 410 is repeated as if it \
              would heal.",
    example: "deprecated: {sunset: 30s}",
    bare: true,
    schema: |generator| generator.subschema_for::<Parameters>(),
    parse,
};

/// The longest time that is said, in microseconds: a hundred years, so that every date can be written.
const LONGEST_US: u64 = 3_155_760_000_000_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DeprecatedFault")]
struct Parameters {
    /// How long before the run it was declared out of use; 24h unless said.
    since: Option<Period>,
    /// How long after the first request of the run it is gone; 1h unless said.
    sunset: Option<Period>,
}

/// A route goes out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecated {
    /// How long ago it was declared out of use, in microseconds.
    pub ago_us: u64,
    /// In how long it is gone, in microseconds (negative: it is).
    pub gone_in_us: i64,
}

impl Deprecated {
    /// True when it is gone.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.gone_in_us <= 0
    }

    /// Says so in the headers of an answer that is given now.
    pub fn write(self, now: SystemTime, headers: &mut HeaderMap) {
        let since = now.checked_sub(Duration::from_micros(self.ago_us)).unwrap_or(UNIX_EPOCH);
        let since_s = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let distance = Duration::from_micros(self.gone_in_us.unsigned_abs());
        let sunset =
            if self.is_over() { now.checked_sub(distance) } else { now.checked_add(distance) };
        let sunset = httpdate::fmt_http_date(sunset.unwrap_or(UNIX_EPOCH));
        for (name, text) in [("deprecation", format!("@{since_s}")), ("sunset", sunset)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    since: Period,
    sunset: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Fault>> {
    let parameters: Parameters = decode(value, at)?;
    let since = parameters.since.unwrap_or(Period::from_micros(86_400_000_000));
    let sunset = parameters.sunset.unwrap_or(Period::from_micros(3_600_000_000));
    for (key, period) in [("since", since), ("sunset", sunset)] {
        if period.micros() > LONGEST_US {
            at.key(key).error(format!("`{period}` is longer than a hundred years"), |d| {
                d.cure("use a shorter time, such as `24h`")
            });
        }
    }
    Some(Arc::new(Rule { since, sunset }))
}

impl Fault for Rule {
    fn kind(&self) -> &'static FaultKind {
        &DEPRECATED
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        self.strike_at(draw, self.sunset.micros())
    }

    fn strike_at(&self, _: &mut Draw, since_first_us: u64) -> Action {
        let signed = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        Action::Deprecated(Deprecated {
            ago_us: self.since.micros().saturating_add(since_first_us),
            gone_in_us: signed(self.sunset.micros()).saturating_sub(signed(since_first_us)),
        })
    }

    fn detail(&self) -> String {
        format!("gone after {}", self.sunset)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{draw, parsed, problems};
    use super::*;

    fn after(value: &Value, since_first_us: u64) -> Deprecated {
        let action = parsed(&DEPRECATED, value).strike_at(&mut draw(), since_first_us);
        let Action::Deprecated(deprecated) = action else { panic!("{action:?}") };
        deprecated
    }

    #[test]
    fn it_says_the_same_instants_at_any_time_and_is_gone_one_day() {
        let value = json!({"since": "1h", "sunset": "30s"});
        let start = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (seconds, is_over) in [(0, false), (29, false), (30, true), (99, true)] {
            let deprecated = after(&value, seconds * 1_000_000);
            assert_eq!(deprecated.is_over(), is_over, "{seconds}");
            let mut headers = HeaderMap::new();
            deprecated.write(start + Duration::from_secs(seconds), &mut headers);
            assert_eq!(headers["deprecation"], "@784108177");
            assert_eq!(headers["sunset"], "Sun, 06 Nov 1994 08:50:07 GMT");
        }
        assert_eq!(parsed(&DEPRECATED, &value).detail(), "gone after 30s");
        assert!(after(&json!({"sunset": "0s"}), 0).is_over());
        assert!(!after(&Value::Null, 0).is_over());
        assert_eq!(problems(&DEPRECATED, &json!({"sunset": "soon"})), ["sunset"]);
        assert_eq!(problems(&DEPRECATED, &json!({"since": "40000d"})), ["since"]);
    }
}
