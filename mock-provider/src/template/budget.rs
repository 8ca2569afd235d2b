//! How much one answer may become.
//!
//! A small template makes lists of lists, each as long as the one before is large; what it makes is counted before
//! it stands in an answer. What one expression holds while it is worked out is bounded where its language is.

use std::cell::Cell;
use std::fmt;

use minijinja::value::ValueKind;
use serde_json::Value;

/// The most values in one answer, where each kibibyte of a text counts as one more. Room for whatever vendors take in
/// one request: 300,000 tokens of texts to embed, an item of 400 kB of small numbers.
const MOST: u64 = 1_000_000;

/// So many bytes of a text count as one value more.
const PIECE: usize = 1_024;

/// The longest text that is put together of pieces, in bytes.
const LONGEST_TEXT: usize = 64 << 20;

/// What an answer may still become, in values.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MOST))
    }
}

/// The answer would become larger than any answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the answer would have more than {MOST} values, which is the most that one may have"
        )
    }
}

impl Budget {
    /// Spends on one value without what is in it.
    pub(super) fn spend_one(&self, text_bytes: usize) -> Result<(), TooMuch> {
        let cost = u64::try_from(1 + text_bytes / PIECE).unwrap_or(u64::MAX);
        self.0.set(self.0.get().checked_sub(cost).ok_or(TooMuch)?);
        Ok(())
    }

    /// Spends on a value and all that is in it.
    pub(super) fn spend(&self, value: &Value) -> Result<(), TooMuch> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => self.spend_one(0),
            Value::String(text) => self.spend_one(text.len()),
            Value::Array(items) => {
                self.spend_one(0)?;
                items.iter().try_for_each(|item| self.spend(item))
            }
            Value::Object(fields) => {
                self.spend_one(0)?;
                fields.iter().try_for_each(|(name, value)| {
                    self.spend_one(name.len())?;
                    self.spend(value)
                })
            }
        }
    }

    /// The same for a value that stands nowhere yet: it may hold one thing a million times, and be small as long as
    /// nobody writes it out.
    pub(super) fn spend_made(&self, value: &minijinja::Value) -> Result<(), TooMuch> {
        self.spend_one(value.as_str().map_or(0, str::len))?;
        let kind = value.kind();
        let is_map = kind == ValueKind::Map;
        if !is_map && !matches!(kind, ValueKind::Seq | ValueKind::Iterable) {
            return Ok(());
        }
        for inner in value.try_iter().into_iter().flatten() {
            self.spend_made(&inner)?;
            if is_map && let Ok(inner) = value.get_item(&inner) {
                self.spend_made(&inner)?;
            }
        }
        Ok(())
    }
}

/// A text that takes no more than what one may be long.
pub(super) struct Bounded<'s>(pub(super) &'s mut String);

impl Bounded<'_> {
    /// Why it takes no more.
    pub(super) const FULL: &'static str = "its text would be longer than 64 MiB";

    fn takes(&self, more: usize) -> bool {
        self.0.len().saturating_add(more) <= LONGEST_TEXT
    }
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.takes(text.len()) {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
