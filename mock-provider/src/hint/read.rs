//! Reading every retry hint out of an answer.
//!
//! **Invariant:** a hint is well-formed by the specification of its own spelling, never by what a
//! lenient client would make of it.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use super::limit::Reset;
use super::{Dialect, Wall, steps};
use crate::event::Hint;
use crate::json::find;

/// The longest wait that is told, 2^53 − 1 microseconds (285 years): every JSON reader keeps it, and
/// sums of it stay in range.
const LONGEST_US: u64 = (1 << 53) - 1;

/// Every hint that stands in the answer, in the spellings of the dialect: `Retry-After`, the header in
/// milliseconds, the reset of a limit, the field of the body. Two headers of one name that differ are both told, and both
/// malformed, because no client can know which is meant.
#[must_use]
pub fn read(headers: &HeaderMap, body: Option<&[u8]>, dialect: &Dialect, wall: Wall) -> Vec<Hint> {
    let mut hints = Vec::new();
    from_header(headers, "retry-after", &mut hints, |text| retry_after(text, wall));
    if let Some(name) = &dialect.ms_header {
        from_header(headers, name, &mut hints, |text| Meaning::wait(decimal(text, 3)));
    }
    if let Some((name, form)) = &dialect.reset {
        from_header(headers, name, &mut hints, |text| match form.read(text) {
            Some(Reset::Wait(wait_us)) => Meaning::wait(Some(wait_us.min(LONGEST_US))),
            Some(Reset::Until(instant)) => Meaning::until(instant, wall),
            None => Meaning::default(),
        });
    }
    if let Some(pointer) = &dialect.body
        && let Some(value) = body.and_then(|body| find(body, &steps(pointer).collect::<Vec<_>>()))
        && !value.is_null()
    {
        let text = value.to_string();
        let wait = if value.is_number() { decimal(&text, 6) } else { None };
        hints.push(hint(&format!("body:{pointer}"), text, Meaning::wait(wait)));
    }
    hints
}

/// What a hint asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Meaning {
    wait_us: Option<u64>,
    until_us: Option<i64>,
}

impl Meaning {
    fn wait(wait_us: Option<u64>) -> Self {
        Self { wait_us, until_us: None }
    }

    fn until(instant: SystemTime, wall: Wall) -> Self {
        let until_us = wall.since_start_us(instant);
        let ahead = i128::from(until_us) - i128::from(wall.now_us);
        Self {
            wait_us: Some(u64::try_from(ahead.max(0)).unwrap_or(LONGEST_US).min(LONGEST_US)),
            until_us: Some(until_us),
        }
    }
}

fn hint(source: &str, text: String, meaning: Meaning) -> Hint {
    Hint {
        source: Arc::from(source),
        // The text of a date depends on the wall clock and would make equal runs differ.
        text: meaning.until_us.is_none().then_some(text),
        wait_us: meaning.wait_us,
        until_us: meaning.until_us,
    }
}

/// Adds the values of one header, each different one once.
fn from_header(
    headers: &HeaderMap,
    name: &str,
    hints: &mut Vec<Hint>,
    meaning: impl Fn(&str) -> Meaning,
) {
    let mut texts: Vec<String> = Vec::new();
    for value in headers.get_all(name) {
        let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let alone = texts.len() == 1;
    for text in texts {
        let meaning = meaning(&text);
        let mut hint = hint(name, text, meaning);
        if !alone {
            hint.wait_us = None;
            hint.until_us = None;
        }
        hints.push(hint);
    }
}

/// `Retry-After = HTTP-date / delay-seconds`; delay-seconds are digits and nothing else, a date may
/// stand in any of its three forms.
fn retry_after(text: &str, wall: Wall) -> Meaning {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Meaning::wait(decimal(text, 6));
    }
    match httpdate::parse_http_date(text) {
        Ok(date) => Meaning::until(date, wall),
        Err(_) => Meaning::default(),
    }
}

/// Digits with at most one point between them, times 10^`shift`; further decimals are cut off.
fn decimal(text: &str, shift: usize) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    let decimals = decimals.bytes().chain(std::iter::repeat(b'0')).take(shift);
    let mut micros = 0_u64;
    for digit in whole.bytes().chain(decimals) {
        let next = micros.checked_mul(10).and_then(|so| so.checked_add(u64::from(digit - b'0')));
        let Some(next) = next else { return Some(LONGEST_US) };
        micros = next;
    }
    Some(micros.min(LONGEST_US))
}
