//! The limit of an API, and what is told of it.
//!
//! **Invariant:** headers and bodies tell what the limiters say, unless a fault makes them lie.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::call::Call;
use super::pointer::Pointer;
use crate::rate_limit::{Algorithm, Rate};
use crate::units::duration_text;

/// What shares a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// All requests with one key.
    ApiKey,
    /// All requests from one address.
    Ip,
    /// All requests.
    Global,
    /// All requests to one route.
    Route,
}

impl LimitScope {
    /// The word in YAML and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Ip => "ip",
            Self::Global => "global",
            Self::Route => "route",
        }
    }
}

/// What a request costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// So many units.
    Units(u64),
    /// What a field of its body says.
    Field {
        /// The field.
        pointer: Pointer,
        /// The cost where it is not there or no whole number.
        otherwise: u64,
    },
}

impl Cost {
    /// The cost of a request, in units.
    #[must_use]
    pub fn of(&self, call: &Call) -> u64 {
        match self {
            Self::Units(units) => *units,
            Self::Field { pointer, otherwise } => {
                let value = call.body.as_ref().and_then(|body| pointer.find(body));
                let number = value.and_then(|value| match value.as_str() {
                    // Forms know texts only.
                    Some(text) => text.parse().ok(),
                    None => value.as_u64(),
                });
                number.unwrap_or(*otherwise)
            }
        }
    }
}

/// A limit on requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// By which rule.
    pub algorithm: &'static Algorithm,
    /// How much.
    pub rate: Rate,
    /// What shares it.
    pub scope: LimitScope,
    /// What a request costs.
    pub cost: Cost,
    /// A second limit over a longer time, in a fixed window.
    pub quota: Option<Rate>,
}

/// What one limiter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The limit.
    pub limit: u64,
    /// Units that would pass right now.
    pub remaining: u64,
    /// Until the limiter is as good as new, in microseconds.
    pub reset_us: u64,
    /// The limiter's period in microseconds; 0 for one without.
    pub window_us: u64,
}

/// What is told of the limiters that a request has met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitState {
    /// What each of them says; the first is the limit itself, the second the quota.
    pub told: Vec<Told>,
    /// Now, in microseconds since 1970, by the clock that the client has.
    pub now_us: u64,
    /// A lie: the reset was so many seconds ago.
    pub reset_ago_s: Option<u64>,
}

impl LimitState {
    /// The one of which the least is left: what can be said in a single number is said of it.
    #[must_use]
    pub fn tightest(&self) -> Told {
        self.told.iter().copied().min_by_key(|told| told.remaining).unwrap_or_default()
    }

    /// The names that header templates and bodies use: [`LIMIT_NAMES`].
    #[must_use]
    pub fn value(&self) -> Value {
        let told = self.tightest();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let reset_ms = match self.reset_ago_s {
            Some(ago_s) => -signed(ago_s).saturating_mul(1_000),
            None => signed(told.reset_us.div_ceil(1_000)),
        };
        let reset_s = match self.reset_ago_s {
            Some(ago_s) => -signed(ago_s),
            None => signed(told.reset_us.div_ceil(1_000_000)),
        };
        // Whoever waits until then must not come too early, so it is rounded up once and as a whole.
        let epoch_s = match self.reset_ago_s {
            Some(ago_s) => (self.now_us / 1_000_000).saturating_sub(ago_s),
            None => self.now_us.saturating_add(told.reset_us).div_ceil(1_000_000),
        };
        serde_json::json!({
            "limit": told.limit,
            "remaining": told.remaining,
            "used": told.limit.saturating_sub(told.remaining),
            "reset_s": reset_s,
            "reset_ms": reset_ms,
            "reset_epoch_s": epoch_s,
            "reset_duration": match self.reset_ago_s {
                Some(ago_s) => format!("-{}", duration_text(ago_s.saturating_mul(1_000))),
                None => duration_text(told.reset_us.div_ceil(1_000)),
            },
            "reset_date": date_text(epoch_s),
            "window_s": told.window_us.div_ceil(1_000_000),
            "policies": self.list(|told| match told.window_us {
                0 => format!("q={};qu=\"concurrent-requests\"", told.limit),
                window_us => format!("q={};w={}", told.limit, window_us.div_ceil(1_000_000)),
            }),
            "limits": self.list(|told| match told.window_us {
                0 => format!("r={}", told.remaining),
                _ if self.reset_ago_s.is_some() => format!("r={};t={reset_s}", told.remaining),
                _ => format!("r={};t={}", told.remaining, told.reset_us.div_ceil(1_000_000)),
            }),
        })
    }

    /// A structured list, one item for each limiter.
    fn list(&self, parameters: impl Fn(&Told) -> String) -> String {
        let names = ["default", "quota"];
        let items: Vec<String> = names
            .iter()
            .zip(&self.told)
            .map(|(name, told)| format!("\"{name}\";{}", parameters(told)))
            .collect();
        items.join(", ")
    }
}

/// What templates can ask for of a limit.
pub(super) const LIMIT_NAMES: [&str; 11] = [
    "limit",
    "remaining",
    "used",
    "reset_s",
    "reset_ms",
    "reset_epoch_s",
    "reset_duration",
    "reset_date",
    "window_s",
    "policies",
    "limits",
];

/// The last second that has four digits for its year.
const LAST_SECOND: u64 = 253_402_300_799;

/// A moment as RFC 3339 writes it: `2026-11-22T06:18:52Z`.
fn date_text(epoch_s: u64) -> String {
    let since = Duration::from_secs(epoch_s.min(LAST_SECOND));
    let moment = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(moment).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (epoch_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(date_text(epoch_s), text);
        }
    }

    #[test]
    fn one_number_tells_of_the_tightest_and_a_list_of_all() {
        let told =
            |limit, remaining, window_us| Told { limit, remaining, reset_us: 1_500_001, window_us };
        let state = LimitState {
            told: vec![told(10, 4, 60_000_000), told(1_000, 3, 86_400_000_000)],
            now_us: 100_600_000,
            reset_ago_s: None,
        };
        let value = state.value();
        assert_eq!((&value["limit"], &value["remaining"]), (&1_000.into(), &3.into()));
        assert_eq!(value["policies"], "\"default\";q=10;w=60, \"quota\";q=1000;w=86400");
        assert_eq!(value["limits"], "\"default\";r=4;t=2, \"quota\";r=3;t=2");
        assert_eq!((&value["reset_epoch_s"], &value["reset_ms"]), (&103.into(), &1_501.into()));
        let lie = LimitState { reset_ago_s: Some(60), ..state }.value();
        assert_eq!((&lie["reset_s"], &lie["reset_epoch_s"]), (&(-60).into(), &40.into()));
        assert_eq!(lie["reset_duration"], "-1m0s");
    }
}
