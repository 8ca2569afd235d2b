//! The fields that tell of a limit: when it is fresh again, in each spelling that is met in the wild, and
//! whole sets of headers as vendors write them.
//!
//! **Invariant:** what is written in a spelling is read back in it as the same instant or wait, never as an
//! earlier one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Wall, whole_second};
use crate::units::duration_text;

/// How the reset of a limit is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetForm {
    /// Seconds since 1970: `1764000030`.
    EpochS,
    /// Seconds from now: `30`.
    DeltaS,
    /// Milliseconds from now: `30000`.
    DeltaMs,
    /// A date: `2025-11-24T16:00:30Z`.
    Rfc3339,
    /// As Go prints a length of time: `30s`, `6m0s`.
    GoDuration,
}

/// What a reset asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// So many microseconds from now.
    Wait(u64),
    /// Until then.
    Until(SystemTime),
}

impl ResetForm {
    /// The word in YAML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EpochS => "epoch_s",
            Self::DeltaS => "delta_s",
            Self::DeltaMs => "delta_ms",
            Self::Rfc3339 => "rfc3339",
            Self::GoDuration => "go_duration",
        }
    }

    /// True when it names an instant, which depends on the clock on the wall.
    #[must_use]
    pub const fn is_instant(self) -> bool {
        matches!(self, Self::EpochS | Self::Rfc3339)
    }

    /// The text for a reset so many microseconds from now.
    pub(super) fn text(self, wall: Wall, micros: u64) -> String {
        let instant = || whole_second(wall.after(micros));
        match self {
            Self::EpochS => {
                let since = instant().duration_since(UNIX_EPOCH).unwrap_or_default();
                since.as_secs().to_string()
            }
            Self::DeltaS => micros.div_ceil(1_000_000).to_string(),
            Self::DeltaMs => micros.div_ceil(1_000).to_string(),
            Self::Rfc3339 => humantime::format_rfc3339_seconds(instant()).to_string(),
            Self::GoDuration => duration_text(micros.div_ceil(1_000)),
        }
    }

    /// What a text asks for; `None` when it is malformed.
    pub(super) fn read(self, text: &str) -> Option<Reset> {
        let digits = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u64>().ok()).flatten()
        };
        Some(match self {
            Self::EpochS => {
                Reset::Until(UNIX_EPOCH.checked_add(Duration::from_secs(digits(text)?))?)
            }
            Self::DeltaS => Reset::Wait(digits(text)?.saturating_mul(1_000_000)),
            Self::DeltaMs => Reset::Wait(digits(text)?.saturating_mul(1_000)),
            Self::Rfc3339 => Reset::Until(humantime::parse_rfc3339(text).ok()?),
            Self::GoDuration => Reset::Wait(go_micros(text)?),
        })
    }
}

/// A length of time as Go prints it, in microseconds.
fn go_micros(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("h", 3_600_000_000),
        ("ms", 1_000),
        ("us", 1),
        ("µs", 1),
        ("m", 60_000_000),
        ("s", 1_000_000),
    ];
    let (mut rest, mut micros) = (text, 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (unit, size) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let mut part = whole.parse::<u64>().ok()?.checked_mul(*size)?;
        let mut place = *size;
        for digit in decimals.bytes() {
            place /= 10;
            part = part.checked_add(u64::from(digit.checked_sub(b'0')?) * place)?;
        }
        micros = micros.checked_add(part)?;
        rest = &tail[unit.len()..];
    }
    Some(micros)
}

/// Headers by which vendors tell of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitHeaders {
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since 1970).
    XRatelimit,
    /// `RateLimit-Policy` and `RateLimit` as in draft 11 of the HTTP API working group.
    Ratelimit,
    /// `x-ratelimit-limit-requests` and the like (`-tokens` where a field says the cost), with the reset as
    /// a duration: `6m0s`.
    Openai,
    /// `anthropic-ratelimit-requests-limit` and the like (`-tokens-` where a field says the cost), with the
    /// reset as a date in RFC 3339.
    Anthropic,
    /// `x-ratelimit-limit`, `-remaining`, `-used`, `-reset` (seconds since 1970) and `-resource`.
    Github,
    /// None.
    None,
}

/// The limit that a refusal tells of where no limiter has one: requests a minute.
const LIMIT: u64 = 60;

impl LimitHeaders {
    /// The word in YAML.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XRatelimit => "x_ratelimit",
            Self::Ratelimit => "ratelimit",
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Github => "github",
            Self::None => "none",
        }
    }

    /// The headers, with what each says; `UNIT` in a name stands for what is counted.
    #[must_use]
    pub const fn pairs(self) -> &'static [(&'static str, Says)] {
        match self {
            Self::XRatelimit => &[
                ("x-ratelimit-limit", Says::Limit),
                ("x-ratelimit-remaining", Says::Remaining),
                ("x-ratelimit-reset", Says::Reset(ResetForm::EpochS)),
            ],
            Self::Ratelimit => &[("ratelimit-policy", Says::Policies), ("ratelimit", Says::Limits)],
            Self::Openai => &[
                ("x-ratelimit-limit-UNIT", Says::Limit),
                ("x-ratelimit-remaining-UNIT", Says::Remaining),
                ("x-ratelimit-reset-UNIT", Says::Reset(ResetForm::GoDuration)),
            ],
            Self::Anthropic => &[
                ("anthropic-ratelimit-UNIT-limit", Says::Limit),
                ("anthropic-ratelimit-UNIT-remaining", Says::Remaining),
                ("anthropic-ratelimit-UNIT-reset", Says::Reset(ResetForm::Rfc3339)),
            ],
            Self::Github => &[
                ("x-ratelimit-limit", Says::Limit),
                ("x-ratelimit-remaining", Says::Remaining),
                ("x-ratelimit-used", Says::Used),
                ("x-ratelimit-reset", Says::Reset(ResetForm::EpochS)),
                ("x-ratelimit-resource", Says::Resource),
            ],
            Self::None => &[],
        }
    }

    /// Writes that nothing is left, and when there will be more, in the place of all that is told of a
    /// limit.
    pub fn write(self, wall: Wall, reset_us: u64, headers: &mut HeaderMap) {
        let told: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().contains("ratelimit")).cloned().collect();
        for name in told {
            headers.remove(name);
        }
        for (name, says) in self.pairs() {
            let text = match says {
                Says::Limit | Says::Used => LIMIT.to_string(),
                Says::Remaining => "0".to_owned(),
                Says::Reset(form) => form.text(wall, reset_us),
                Says::Policies => format!("\"default\";q={LIMIT};w=60"),
                Says::Limits => {
                    format!("\"default\";r=0;t={}", ResetForm::DeltaS.text(wall, reset_us))
                }
                Says::Resource => RESOURCE.to_owned(),
            };
            let name = HeaderName::try_from(name.replace("UNIT", "requests"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(text)) {
                headers.insert(name, value);
            }
        }
    }
}

/// What a header says of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// How much there is in all.
    Limit,
    /// How much is left.
    Remaining,
    /// How much is gone.
    Used,
    /// When it is fresh again.
    Reset(ResetForm),
    /// `RateLimit-Policy` of draft 11.
    Policies,
    /// `RateLimit` of draft 11.
    Limits,
    /// Which limit it is.
    Resource,
}

/// The limit that there is, where there are several.
const RESOURCE: &str = "core";

impl Says {
    /// The same as a template over the words that are known of a limit.
    #[must_use]
    pub const fn template(self) -> &'static str {
        match self {
            Self::Limit => "{{ limit }}",
            Self::Remaining => "{{ remaining }}",
            Self::Used => "{{ used }}",
            Self::Reset(ResetForm::EpochS) => "{{ reset_epoch_s }}",
            Self::Reset(ResetForm::DeltaS | ResetForm::DeltaMs) => "{{ reset_s }}",
            Self::Reset(ResetForm::Rfc3339) => "{{ reset_date }}",
            Self::Reset(ResetForm::GoDuration) => "{{ reset_duration }}",
            Self::Policies => "{{ policies }}",
            Self::Limits => "{{ limits }}",
            Self::Resource => RESOURCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [ResetForm; 5] = [
        ResetForm::EpochS,
        ResetForm::DeltaS,
        ResetForm::DeltaMs,
        ResetForm::Rfc3339,
        ResetForm::GoDuration,
    ];

    /// 2015-10-21 07:28:00 UTC, and a run that is 250 ms old.
    fn wall() -> Wall {
        Wall { at_start: UNIX_EPOCH + Duration::from_secs(1_445_412_480), now_us: 250_000 }
    }

    #[test]
    fn each_spelling_is_written_as_vendors_do() {
        let texts = FORMS.map(|form| form.text(wall(), 360_000_000));
        assert_eq!(
            texts,
            ["1445412841", "360", "360000", "2015-10-21T07:34:01Z", "6m0s"].map(str::to_owned)
        );
    }

    #[test]
    fn what_is_written_is_read_back_and_never_asks_for_less() {
        for form in FORMS {
            for micros in [0, 1, 999, 12_000, 1_500_000, 30_000_000, 86_400_000_000] {
                let text = form.text(wall(), micros);
                let wait = match form.read(&text).expect(&text) {
                    Reset::Wait(wait) => wait,
                    Reset::Until(until) => {
                        let ahead = until.duration_since(wall().now()).unwrap_or_default();
                        u64::try_from(ahead.as_micros()).expect("in range")
                    }
                };
                assert!((micros..micros + 1_000_000).contains(&wait), "{form:?} {micros}: {text}");
            }
        }
    }

    #[test]
    fn what_is_no_reset_is_none() {
        for form in FORMS {
            for text in ["", "soon", "-5", "1.5.2s", "5 apples", "s", "99999999999999999999999h"] {
                assert_eq!(form.read(text), None, "{form:?} {text}");
            }
        }
        assert_eq!(ResetForm::GoDuration.read("1h2m3.5s"), Some(Reset::Wait(3_723_500_000)));
        assert_eq!(ResetForm::GoDuration.read("12ms"), Some(Reset::Wait(12_000)));
    }
}
