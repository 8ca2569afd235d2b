//! Quantities as people write them: lengths of time, chances, rates and numbers of bytes.
//!
//! Each is read from words (`150ms`, `30%`, `50/s`), kept as integers, and written back as words that
//! read as the same value. Knows nothing about where they are used.
//! **Invariant:** no float takes part, and a bare number is never taken for a quantity.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The longest time that can be written: 366 days, in microseconds.
const LONGEST_US: u64 = 366 * DAY_US;

/// A day in microseconds.
pub const DAY_US: u64 = 24 * 60 * MINUTE_US;

/// A minute in microseconds.
pub const MINUTE_US: u64 = 60 * 1_000_000;

/// A length of time in words, from zero to 366 days, in whole microseconds.
///
/// ```
/// use brownout_provider::units::Period;
/// let period: Period = "1m 30s".parse().expect("well-formed");
/// assert_eq!(period.micros(), 90_000_000);
/// assert_eq!(period.to_string(), "1m 30s");
/// assert!("90".parse::<Period>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u64);

impl Period {
    /// So many microseconds, at most 366 days.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(if micros > LONGEST_US { LONGEST_US } else { micros })
    }

    /// In microseconds.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// In seconds, rounded up.
    #[must_use]
    pub const fn seconds_up(self) -> u64 {
        self.0.div_ceil(1_000_000)
    }

    /// Multiplied by `scale`, rounded up to a microsecond.
    #[must_use]
    pub fn scaled(self, scale: Scale) -> Self {
        let scaled = (u128::from(self.0) * u128::from(scale.numerator))
            .div_ceil(u128::from(scale.denominator));
        Self::from_micros(u64::try_from(scaled).unwrap_or(LONGEST_US))
    }
}

impl FromStr for Period {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(Mistake(format!(
                "`{text}` has no unit; write `{text}s`, `{text}ms` or another unit"
            )));
        }
        let duration = humantime::parse_duration(text).map_err(|_| {
            Mistake(format!(
                "`{text}` is no length of time; write it in words such as `150ms`, `2s`, `30m` or `24h`"
            ))
        })?;
        match u64::try_from(duration.as_micros()) {
            Ok(micros) if micros <= LONGEST_US && duration.subsec_nanos().is_multiple_of(1000) => {
                Ok(Self(micros))
            }
            Ok(micros) if micros <= LONGEST_US => Err(Mistake(format!(
                "`{text}` is finer than a microsecond; use whole microseconds"
            ))),
            _ => Err(Mistake(format!("`{text}` is longer than a year; use at most `366d`"))),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks, months and years of `humantime` are averages; days and below are exact.
        const UNITS: [(u64, &str); 6] = [
            (DAY_US, "d"),
            (3_600_000_000, "h"),
            (MINUTE_US, "m"),
            (1_000_000, "s"),
            (1_000, "ms"),
            (1, "us"),
        ];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        let mut gap = "";
        for (size, unit) in UNITS {
            if rest >= size {
                write!(f, "{gap}{}{unit}", rest / size)?;
                rest %= size;
                gap = " ";
            }
        }
        Ok(())
    }
}

/// A chance in parts per million, from 0 to 1,000,000.
///
/// ```
/// use brownout_provider::units::Chance;
/// let chance: Chance = "0.5%".parse().expect("well-formed");
/// assert_eq!(chance.parts_per_million(), 5_000);
/// assert_eq!("3/10".parse::<Chance>().expect("well-formed").to_string(), "30%");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    /// In parts per million.
    #[must_use]
    pub const fn parts_per_million(self) -> u32 {
        self.0
    }
}

impl FromStr for Chance {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        let mistake = || {
            Mistake(format!(
                "`{text}` is no chance; write a percentage such as `30%` or a fraction such as `3/10`"
            ))
        };
        let parts = if let Some(percent) = text.strip_suffix('%') {
            percent_in_millionths(percent.trim()).ok_or_else(|| {
                if is_decimal(percent.trim()) {
                    Mistake(format!(
                        "`{text}` is finer than a millionth; use at most four decimals"
                    ))
                } else {
                    mistake()
                }
            })?
        } else {
            let (numerator, denominator) = fraction(text).ok_or_else(mistake)?;
            u64::from(numerator) * 1_000_000 / u64::from(denominator)
        };
        match u32::try_from(parts) {
            Ok(parts) if parts <= 1_000_000 => Ok(Self(parts)),
            _ => Err(Mistake(format!("`{text}` is more than always; use at most `100%`"))),
        }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{rest:04}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

/// So many in a length of time: `50/s`, `100/m`, `5/100ms`.
///
/// ```
/// use brownout_provider::units::Rate;
/// let rate: Rate = "100/m".parse().expect("well-formed");
/// assert_eq!((rate.count, rate.per.micros()), (100, 60_000_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, from 1.
    pub count: u32,
    /// In which time, above zero.
    pub per: Period,
}

impl Rate {
    /// The time from one to the next, rounded up to a microsecond.
    #[must_use]
    pub fn interval(self) -> Period {
        Period::from_micros(self.per.micros().div_ceil(u64::from(self.count.max(1))))
    }
}

impl FromStr for Rate {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let mistake = || {
            Mistake(format!(
                "`{}` is no rate; write it as `50/s`, `100/m` or `5/100ms`",
                text.trim()
            ))
        };
        let (count, per) = text.trim().split_once('/').ok_or_else(mistake)?;
        let count: u32 = count.trim().parse().map_err(|_| mistake())?;
        let per = per.trim();
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) {
            per.parse::<Period>()
        } else {
            format!("1{per}").parse::<Period>()
        };
        match per {
            Ok(per) if count > 0 && per.micros() > 0 => Ok(Self { count, per }),
            _ => Err(mistake()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = self.per.to_string();
        match per.strip_prefix('1') {
            Some(unit)
                if unit.starts_with(|c: char| c.is_ascii_alphabetic()) && !unit.contains(' ') =>
            {
                write!(f, "{}/{unit}", self.count)
            }
            _ => write!(f, "{}/{per}", self.count),
        }
    }
}

/// By how much the durations of a scenario are shortened: `1/60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The upper part, from 1.
    pub numerator: u32,
    /// The lower part, from 1.
    pub denominator: u32,
}

impl FromStr for Scale {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        match fraction(text.trim()) {
            Some((numerator, denominator)) if numerator > 0 => Ok(Self { numerator, denominator }),
            _ => Err(Mistake(format!(
                "`{}` is no scale; write a fraction such as `1/60`",
                text.trim()
            ))),
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// What is wrong with the words, and the cure after a semicolon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mistake(String);

/// A duration in whole microseconds.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

/// Milliseconds as Go prints a duration: `12ms`, `1.5s`, `6m0s`, `1h0m0s`.
#[must_use]
pub fn duration_text(millis: u64) -> String {
    if millis < 1_000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    let fraction = match rest {
        0 => String::new(),
        _ => format!(".{rest:03}").trim_end_matches('0').to_owned(),
    };
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

/// Measured microseconds as people read them, rounded down: `0.4 s`, `12 ms`, `90 µs`.
#[must_use]
pub fn in_words(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => {
            let tenths = micros / 100;
            if tenths.is_multiple_of(10) {
                format!("{} ms", tenths / 10)
            } else {
                format!("{}.{} ms", tenths / 10, tenths % 10)
            }
        }
        100_000..60_000_000 => {
            let hundredths = micros / 10_000;
            let (whole, rest) = (hundredths / 100, hundredths % 100);
            match rest {
                0 => format!("{whole} s"),
                rest if rest.is_multiple_of(10) => format!("{whole}.{} s", rest / 10),
                rest => format!("{whole}.{rest:02} s"),
            }
        }
        _ => format!("{} s", micros / 1_000_000),
    }
}

/// Chosen microseconds in words, exactly: `2 s`, `120 ms`, `1.5 ms`, `7 µs`.
#[must_use]
pub fn in_words_exactly(micros: u64) -> String {
    if micros > 0 && micros.is_multiple_of(1_000_000) {
        return format!("{} s", micros / 1_000_000);
    }
    match (micros / 1_000, micros % 1_000) {
        (0, rest) => format!("{rest} µs"),
        (whole, 0) => format!("{whole} ms"),
        (whole, rest) => {
            let decimals = format!("{rest:03}");
            format!("{whole}.{} ms", decimals.trim_end_matches('0'))
        }
    }
}

/// Digits with at most one point between them.
fn is_decimal(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(decimals)
}

/// A percentage with at most four decimals, in parts per million.
fn percent_in_millionths(text: &str) -> Option<u64> {
    if !is_decimal(text) {
        return None;
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 4 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let decimals: u64 = format!("{decimals:0<4}").parse().ok()?;
    whole.checked_mul(10_000)?.checked_add(decimals)
}

/// `a/b` with b above zero.
fn fraction(text: &str) -> Option<(u32, u32)> {
    let (numerator, denominator) = text.split_once('/')?;
    let numerator = numerator.trim().parse().ok()?;
    let denominator = denominator.trim().parse().ok()?;
    (denominator > 0).then_some((numerator, denominator))
}

/// Reading, writing and the schema of a type that stands in files as words.
macro_rules! words {
    ($type:ident, $format:literal, $title:literal, $description:literal, $examples:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Words;
                impl Visitor<'_> for Words {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} such as `{}`", $title, $examples[0])
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Words)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "format": $format,
                    "title": $title,
                    "description": $description,
                    "examples": $examples,
                })
            }
        }
    };
}

words!(
    Period,
    "duration-words",
    "a duration",
    "A length of time in words, with its unit.",
    ["150ms", "2s", "30m", "24h"]
);
words!(
    Chance,
    "chance",
    "a chance",
    "A percentage with up to four decimals, or a fraction.",
    ["30%", "0.5%", "3/10"]
);
words!(Rate, "rate", "a rate", "How many in which time.", ["50/s", "100/m", "5/100ms"]);
words!(
    Scale,
    "scale",
    "a scale",
    "By how much every duration written in the scenario is shortened.",
    ["1/60"]
);

mod size;
pub use size::Size;

/// How long so many bytes take at so many a second (at least 1), in microseconds, rounded up.
#[must_use]
pub fn reading_us(bytes: u64, per_second: u64) -> u64 {
    bytes.saturating_mul(1_000_000).div_ceil(per_second.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn period(text: &str) -> Result<u64, String> {
        text.parse::<Period>().map(Period::micros).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn durations_are_spelled_as_go_spells_them() {
        let cases = [
            (0, "0s"),
            (12, "12ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration_text(millis), text);
        }
    }

    #[test]
    fn lengths_of_time_are_read_from_words() {
        for (text, micros) in [
            ("150ms", 150_000),
            ("2s", 2_000_000),
            ("1h 30m", 5_400_000_000),
            ("0s", 0),
            ("7us", 7),
        ] {
            assert_eq!(period(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_the_cure() {
        let message = period("150").expect_err("no unit");
        assert!(message.contains("`150ms`"), "{message}");
        for text in ["", "s", "-2s", "soon", "10000d", "1ns", "2 s x"] {
            assert!(period(text).is_err(), "{text}");
        }
    }

    #[test]
    fn chances_are_parts_per_million() {
        let parts = |text: &str| text.parse::<Chance>().map(Chance::parts_per_million).ok();
        assert_eq!(parts("30%"), Some(300_000));
        assert_eq!(parts("0.5%"), Some(5_000));
        assert_eq!(parts("0.0001%"), Some(1));
        assert_eq!(parts("3/10"), Some(300_000));
        assert_eq!(parts("1/3"), Some(333_333));
        assert_eq!(parts("0%"), Some(0));
        for wrong in ["101%", "0.00001%", "30", "0.3", "-1%", "1/0", "4/3", "%", ".5%", "1.%"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_are_a_count_in_a_time() {
        let rate = |text: &str| text.parse::<Rate>().ok().map(|r| (r.count, r.per.micros()));
        assert_eq!(rate("50/s"), Some((50, 1_000_000)));
        assert_eq!(rate("5/100ms"), Some((5, 100_000)));
        for wrong in ["50", "0/s", "50/", "/s", "50/0s", "x/s"] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_scale_shortens_and_rounds_up() {
        let scale: Scale = "1/60".parse().expect("a fraction");
        assert_eq!(Period::from_micros(60_000_000).scaled(scale).micros(), 1_000_000);
        assert_eq!(Period::from_micros(1).scaled(scale).micros(), 1);
        assert!("0/60".parse::<Scale>().is_err());
    }

    #[test]
    fn times_read_as_people_write_them() {
        let cases = [
            (90, "90 µs"),
            (1_500, "1.5 ms"),
            (50_000, "50 ms"),
            (400_000, "0.4 s"),
            (1_250_000, "1.25 s"),
            (2_000_000, "2 s"),
            (90_000_000, "90 s"),
        ];
        for (micros, words) in cases {
            assert_eq!(in_words(micros), words);
        }
    }

    #[test]
    fn chosen_times_lose_nothing_in_words() {
        let cases = [
            (0, "0 µs"),
            (7, "7 µs"),
            (1_500, "1.5 ms"),
            (1_205_040, "1205.04 ms"),
            (120_000, "120 ms"),
            (2_000_000, "2 s"),
        ];
        for (micros, words) in cases {
            assert_eq!(in_words_exactly(micros), words);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(
            micros in 0..=LONGEST_US, parts in 0..=1_000_000_u32, count in 1..u32::MAX,
        ) {
            let period = Period::from_micros(micros);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            let chance = Chance(parts);
            prop_assert_eq!(chance.to_string().parse(), Ok(chance));
            let rate = Rate { count, per: Period::from_micros(micros.max(1)) };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
