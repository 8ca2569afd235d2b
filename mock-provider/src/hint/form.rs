//! The forms in which a scenario asks for a retry hint.
//!
//! Knows how a hint is spelled in YAML and nothing about answers.
//! **Invariant:** every form that is read is one of [`HintSpec`], and each has one spelling but
//! seconds, which have two: `2s` and `{seconds: 2s}`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{HintSpec, ResetForm};
use crate::units::Period;

/// The words for hints that no client should be led by.
pub const BAD_WORDS: [&str; 11] = [
    "missing",
    "zero",
    "negative",
    "fraction",
    "huge",
    "past_date",
    "rfc850_date",
    "asctime_date",
    "garbage",
    "two_headers",
    "contradictory",
];

/// The keys of the long form.
const FORMS: &[&str] = &["seconds", "http_date", "ms_header", "amz_ms", "body"];

/// The one key of the long form that has parameters of its own.
const RESET: &str = "rate_limit_reset";

/// All keys of the long form.
const ALL_FORMS: &[&str] = &["seconds", "http_date", "ms_header", "amz_ms", "body", RESET];

/// The parameters of [`RESET`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [
    {"in": "1s", "as": "epoch_s"},
    {"in": "1s", "as": "delta_s"},
    {"in": "1s", "as": "delta_ms"},
    {"in": "1s", "as": "rfc3339"},
    {"in": "1s", "as": "go_duration"}
]))]
struct RateLimitReset {
    /// How far from now the limit is fresh again.
    r#in: Period,
    /// How that is spelled; the API's own spelling unless said, else seconds since 1970.
    r#as: Option<ResetForm>,
}

/// A retry hint as it stands in a file: `2s`, `{http_date: 3s}`, `garbage`.
///
/// ```
/// use brownout_provider::hint::{HintSpec, RetryAfter};
/// let read = |text| serde_json::from_str::<RetryAfter>(text).map(|hint| hint.0).ok();
/// assert_eq!(read(r#""2s""#), Some(HintSpec::Seconds(2_000_000)));
/// assert_eq!(read(r#"{"ms_header": "1500ms"}"#), Some(HintSpec::MsHeader(1_500_000)));
/// assert_eq!(read(r#""garbage""#), Some(HintSpec::Garbage));
/// assert_eq!(read("2"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub HintSpec);

/// The hint that a bad word names.
fn bad_word(word: &str) -> Option<HintSpec> {
    Some(match word {
        "missing" => HintSpec::Missing,
        "zero" => HintSpec::Zero,
        "negative" => HintSpec::Negative,
        "fraction" => HintSpec::Fraction,
        "huge" => HintSpec::Huge,
        "past_date" => HintSpec::PastDate,
        "rfc850_date" => HintSpec::Rfc850Date,
        "asctime_date" => HintSpec::AsctimeDate,
        "garbage" => HintSpec::Garbage,
        "two_headers" => HintSpec::TwoHeaders,
        "contradictory" => HintSpec::Contradictory,
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for RetryAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Hint)
    }
}

struct Hint;

impl<'de> Visitor<'de> for Hint {
    type Value = RetryAfter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a retry hint such as `2s`, `{http_date: 3s}` or `garbage`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RetryAfter, E> {
        if let Some(bad) = bad_word(text) {
            return Ok(RetryAfter(bad));
        }
        // What begins like a word was meant as one; the list of words helps more than that of units.
        if text.starts_with(|first: char| first.is_ascii_alphabetic()) {
            let words: Vec<String> = BAD_WORDS.iter().map(|word| format!("`{word}`")).collect();
            return Err(E::custom(format_args!(
                "`{text}` is no retry hint; use a wait such as `2s`, or one of {}",
                words.join(", ")
            )));
        }
        let period: Period = text.parse().map_err(E::custom)?;
        Ok(RetryAfter(HintSpec::Seconds(period.micros())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<RetryAfter, E> {
        Err(E::custom(format_args!("`{number}` has no unit; write `{number}s`")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RetryAfter, A::Error> {
        let one = || {
            A::Error::custom(
                "a hint has exactly one of `seconds`, `http_date`, `ms_header`, `amz_ms`, `body`, \
                 `rate_limit_reset`; keep the one that is meant",
            )
        };
        let key: String = map.next_key()?.ok_or_else(one)?;
        let form: fn(u64) -> HintSpec = match key.as_str() {
            "seconds" => HintSpec::Seconds,
            "http_date" => HintSpec::HttpDate,
            "ms_header" => HintSpec::MsHeader,
            "amz_ms" => HintSpec::AmzMs,
            "body" => HintSpec::Body,
            RESET => {
                let RateLimitReset { r#in: within, r#as: form } = map.next_value()?;
                if map.next_key::<String>()?.is_some() {
                    return Err(one());
                }
                let in_us = within.micros();
                return Ok(RetryAfter(HintSpec::RateLimitReset { in_us, form }));
            }
            unknown => return Err(A::Error::unknown_field(unknown, ALL_FORMS)),
        };
        let period: Period = map.next_value()?;
        if map.next_key::<String>()?.is_some() {
            return Err(one());
        }
        Ok(RetryAfter(form(period.micros())))
    }
}

impl JsonSchema for RetryAfter {
    fn schema_name() -> Cow<'static, str> {
        "RetryAfter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let period = generator.subschema_for::<Period>();
        let mut forms: serde_json::Map<String, serde_json::Value> =
            FORMS.iter().map(|form| ((*form).to_owned(), period.clone().to_value())).collect();
        let reset = generator.subschema_for::<RateLimitReset>();
        forms.insert(RESET.to_owned(), reset.to_value());
        json_schema!({
            "title": "a retry hint",
            "description": "A wait in words (the header, in whole seconds), one other spelling of it, or a word for a broken hint.",
            "anyOf": [
                { "type": "string", "enum": BAD_WORDS },
                period,
                {
                    "type": "object",
                    "properties": forms,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        })
    }
}
