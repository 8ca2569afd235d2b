//! The policies of an API file.

use std::sync::Arc;

use http::HeaderName;

use super::super::QueuePolicy;
use super::super::error::Standard;
use super::super::policy::{
    Classes, IdempotencyPolicy, KeyCarrier, KeyScope, Refusal, Stores, usual_class,
};
use super::super::raw::{
    RawClass, RawClasses, RawHint, RawIdempotency, RawKeyScope, RawQueue, RawRefusal, RawReplay,
    RawStores,
};
use super::{header_name, header_value, pointer, status, unknown};
use crate::document::{At, ScalarOr};
use crate::event::Class;
use crate::hint::{Dialect, ResetForm};
use crate::units::{DAY_US, Period};

pub(super) fn idempotency(
    raw: &RawIdempotency,
    errors: &[String],
    at: &At<'_>,
) -> Option<IdempotencyPolicy> {
    let refused = |raw: &Option<ScalarOr<u16, RawRefusal>>, key, usual| {
        refusal(raw.as_ref(), usual, errors, &at.key(key))
    };
    let retention_us = raw.retention.map_or(DAY_US, Period::micros);
    if retention_us == 0 {
        at.key("retention").error("a key that is never remembered is no key", |d| {
            d.cure("use the fault `ignore_key`, or a longer time")
        });
    }
    let at_replay = at.key("replay");
    let replay = raw.replay.clone().unwrap_or_default();
    Some(IdempotencyPolicy {
        carrier: carrier(raw, at)?,
        required: raw.required.unwrap_or(false),
        scope: match raw.scope {
            Some(RawKeyScope::Account) | None => KeyScope::Account,
            Some(RawKeyScope::Route) => KeyScope::Route,
        },
        retention_us,
        mismatch: refused(&raw.mismatch, "mismatch", Standard::KeyMismatch),
        in_flight: refused(&raw.in_flight, "in_flight", Standard::InFlight),
        missing: refused(&raw.missing, "missing", Standard::KeyMissing),
        too_long: refused(&raw.too_long, "too_long", Standard::KeyTooLong),
        replay_status: status(replay.status, 200, &at_replay.key("status")),
        replay_headers: replay_headers(&replay, &at_replay.key("headers")),
        stores: match raw.stores {
            Some(RawStores::Success) | None => Stores::Success,
            Some(RawStores::All) => Stores::All,
        },
        quoted_equals_bare: raw.quoted_equals_bare.unwrap_or(true),
        max_length: usize::try_from(raw.max_length.unwrap_or(255)).ok()?,
    })
}

fn carrier(raw: &RawIdempotency, at: &At<'_>) -> Option<KeyCarrier> {
    match (&raw.header, &raw.field) {
        (Some(_), Some(_)) => {
            at.error("a key stands in a header or in a field, not in both", |d| {
                d.cure("leave `header` or `field` out")
            });
            None
        }
        (Some(header), None) => header_name(header, &at.key("header")).map(KeyCarrier::Header),
        (None, Some(field)) => pointer(field, &at.key("field")).map(KeyCarrier::Field),
        (None, None) => Some(KeyCarrier::Header(HeaderName::from_static("idempotency-key"))),
    }
}

fn refusal(
    raw: Option<&ScalarOr<u16, RawRefusal>>,
    usual: Standard,
    errors: &[String],
    at: &At<'_>,
) -> Refusal {
    let (code, error) = match raw {
        None => (None, None),
        Some(ScalarOr::Scalar(code)) => (status(Some(*code), 400, at), None),
        Some(ScalarOr::Map(raw)) => {
            if let Some(name) = raw.error.as_ref().filter(|name| !errors.contains(name)) {
                unknown("error", name, errors, &at.key("error"));
            }
            (status(raw.status, 400, &at.key("status")), raw.error.as_deref())
        }
    };
    Refusal { error: Arc::from(error.unwrap_or(usual.name())), status: code }
}

fn replay_headers(raw: &RawReplay, at: &At<'_>) -> Vec<(HeaderName, http::HeaderValue)> {
    let resolved = raw.headers.iter().flatten().filter_map(|(name, value)| {
        let at = at.key(name);
        Some((header_name(name, &at)?, header_value(value, &at)?))
    });
    resolved.collect()
}

pub(super) fn hint(raw: Option<&RawHint>, at: &At<'_>) -> Dialect {
    let header = raw.and_then(|raw| raw.ms_header.as_ref());
    let header = header.and_then(|name| header_name(name, &at.key("ms_header")));
    let body = raw.and_then(|raw| raw.body.as_ref());
    let body = body.and_then(|text| pointer(text, &at.key("body")));
    let reset = raw.and_then(|raw| raw.rate_limit_reset.as_ref()).and_then(|reset| {
        let at = at.key("rate_limit_reset");
        let name = super::required(reset.header.as_deref(), "header", &at)?;
        let name = header_name(name, &at.key("header"))?;
        Some((name.to_string(), reset.r#as.unwrap_or(ResetForm::EpochS)))
    });
    Dialect {
        ms_header: header.map(|name| name.to_string()),
        body: body.map(|pointer| pointer.to_string()),
        reset,
    }
}

/// How a queue treats its messages.
pub(super) fn queue(raw: &RawQueue, at: &At<'_>) -> Option<QueuePolicy> {
    let messages = super::required(raw.messages.as_deref(), "messages", at);
    let dead_letters = super::required(raw.dead_letters.as_deref(), "dead_letters", at);
    let visibility_us = raw.visibility.map_or(30_000_000, Period::micros);
    if visibility_us == 0 {
        at.key("visibility")
            .error("a message that is hidden for no time is handed out for ever", |d| {
                d.cure("use at least `1ms`")
            });
    }
    let max_receives = raw.max_receives.unwrap_or(5);
    if !(1..=1_000).contains(&max_receives) {
        at.key("max_receives")
            .error(format!("{max_receives} is out of range"), |d| d.cure("use 1 to 1000"));
    }
    Some(QueuePolicy {
        messages: messages?.into(),
        dead_letters: dead_letters?.into(),
        visibility_us,
        max_receives,
    })
}

pub(super) fn classes(raw: Option<&RawClasses>, at: &At<'_>) -> Classes {
    let mut classes = Classes {
        statuses: (100..=999).map(usual_class).collect(),
        codes: Vec::new(),
        should_retry: None,
    };
    let Some(raw) = raw else { return classes };
    // A hundred first, so that a single status outranks it wherever it stands.
    let given = || raw.statuses.iter().flatten();
    let hundreds = given().filter(|(word, _)| word.ends_with("xx"));
    let singles = given().filter(|(word, _)| !word.ends_with("xx"));
    for (word, class) in hundreds.chain(singles) {
        match span(word) {
            Some(span) => {
                for status in span {
                    if let Some(place) = classes.statuses.get_mut(usize::from(status - 100)) {
                        *place = resolved(*class);
                    }
                }
            }
            None => at
                .key("statuses")
                .key(word)
                .error(format!("`{word}` is neither a status nor a hundred"), |d| {
                    d.key().cure("write `\"429\"` or `4xx`")
                }),
        }
    }
    for (index, codes) in raw.codes.iter().flatten().enumerate() {
        let at = at.key("codes").index(index);
        let Some(text) = super::required(codes.at.as_deref(), "at", &at) else { continue };
        let Some(pointer) = pointer(text, &at.key("at")) else { continue };
        let values = codes.values.iter().flatten();
        let values = values.map(|(code, class)| (code.as_str().into(), resolved(*class)));
        classes.codes.push((pointer, values.collect()));
    }
    let header = raw.should_retry.as_ref();
    classes.should_retry = header.and_then(|name| header_name(name, &at.key("should_retry")));
    classes
}

/// The statuses that `429` or `4xx` means.
fn span(word: &str) -> Option<std::ops::RangeInclusive<u16>> {
    if let Some(hundred) = word.strip_suffix("xx") {
        let hundred = hundred.parse::<u16>().ok().filter(|it| (1..=9).contains(it))? * 100;
        return Some(hundred..=hundred + 99);
    }
    let status = word.parse::<u16>().ok().filter(|it| (100..=999).contains(it))?;
    Some(status..=status)
}

fn resolved(class: RawClass) -> Class {
    match class {
        RawClass::Success => Class::Success,
        RawClass::Permanent => Class::Permanent,
        RawClass::Throttling => Class::Throttling,
        RawClass::Transient => Class::Transient,
    }
}
