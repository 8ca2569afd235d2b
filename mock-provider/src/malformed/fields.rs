//! Answers in which a field is wrong.
//!
//! **Invariant:** whatever cannot be done to an answer leaves it as it is, or makes it an empty object
//! where the kind is about a field that must be there.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::Own;
use crate::fault::Malformed;

/// A value that no client knows.
const UNKNOWN: &str = "requires_review";

/// What an object says of itself before it is done.
const EARLIER: &str = "pending";

/// What follows a name that a new version of an API gives to an old field.
const NEW_NAME: &str = "_v2";

const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The field whose absence is the most instructive: the id, else the first that is needed.
#[must_use]
pub fn needed<'a>(needs: &[&'a str]) -> Option<&'a str> {
    needs.iter().find(|field| **field == "/id").or_else(|| needs.first()).copied()
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Missing,
    Null,
    Type,
    Name,
    Unknown,
}

/// A needed field is not what it must be; an empty object where there is no such field.
pub(super) fn broken(how: &Malformed, flaw: Flaw, own: &Own<'_>) -> Bytes {
    let usual = || match flaw {
        Flaw::Unknown => own.enums.first().copied(),
        Flaw::Missing | Flaw::Null | Flaw::Type | Flaw::Name => needed(own.needs),
    };
    let field = how.field.as_deref().or_else(usual);
    let broken = field.and_then(|field| match flaw {
        Flaw::Missing => in_parent(own.body, field, without),
        Flaw::Name => in_parent(own.body, field, renamed),
        Flaw::Null => at(own.body, field, |place| replaced(place, Value::Null)),
        Flaw::Type => at(own.body, field, |place| {
            let other = of_another_type(place, how.bits);
            replaced(place, other)
        }),
        Flaw::Unknown => at(own.body, field, |place| replaced(place, UNKNOWN.into())),
    });
    broken.unwrap_or_else(|| Bytes::from_static(b"{}"))
}

/// The first echoed number is another one, or the first that needs to be of a certain size is too small.
pub(super) fn wrong_amount(how: &Malformed, own: &Own<'_>) -> Bytes {
    let usual = || own.echoes.iter().copied().chain(own.least.iter().map(|(field, _)| *field));
    let fields = how.field.as_deref().map_or_else(|| usual().collect(), |one| vec![one]);
    let wrong = fields.iter().find_map(|field| {
        let least = own.least.iter().find(|(one, _)| one == field);
        at(own.body, field, |place| match least {
            Some((_, least)) => replaced(place, Value::Number(a_tenth(least)?)),
            None => replaced(place, other(place, how.bits)?),
        })
    });
    wrong.unwrap_or_else(|| own.body.clone())
}

/// A tenth of a number above zero, a whole one rounded down.
fn a_tenth(number: &Number) -> Option<Number> {
    if let Some(whole) = number.as_u64() {
        return Some((whole / 10).into());
    }
    // A decimal: the point moves one digit to the left.
    let text = number.to_string();
    let (whole, decimals) = text.split_once('.')?;
    let (whole, last) = whole.split_at_checked(whole.len().checked_sub(1)?)?;
    let whole = if whole.is_empty() { "0" } else { whole };
    serde_json::from_str(&format!("{whole}.{last}{decimals}")).ok()
}

/// The body with another value in the field: a number of about the same size, or a text of the same length
/// that ends differently; `None` when neither stands there.
#[must_use]
pub fn with_another(body: &Bytes, field: &str, bits: u64) -> Option<Bytes> {
    at(body, field, |place| {
        let changed =
            other(place, bits).or_else(|| Some(Value::String(other_text(place.as_str()?, bits)?)));
        replaced(place, changed?)
    })
}

/// A text in which the last letter or digit is another one of its kind.
fn other_text(text: &str, bits: u64) -> Option<String> {
    let (at, last) = text.char_indices().rev().find(|(_, one)| one.is_ascii_alphanumeric())?;
    let (first, count) = match last {
        '0'..='9' => (b'0', 10),
        'a'..='z' => (b'a', 26),
        _ => (b'A', 26),
    };
    let place = u64::from(u8::try_from(last).ok()? - first);
    // At least one step on, and never all the way round.
    let other = (place + 1 + bits % (count - 1)) % count;
    let other = char::from(first + u8::try_from(other).ok()?);
    Some(format!("{}{other}{}", &text[..at], &text[at + 1..]))
}

/// A byte that is no UTF-8 in the middle of every text that is needed or echoed.
pub(super) fn invalid_utf8(own: &Own<'_>) -> Bytes {
    // A character that no API answers marks the place until the text is written.
    const MARK: char = '\u{10fffe}';
    let Ok(mut value) = serde_json::from_slice::<Value>(own.body) else {
        return [b"\"\xff\"", &own.body[..]].concat().into();
    };
    for field in own.needs.iter().chain(own.echoes) {
        if let Some(Value::String(text)) = value.pointer_mut(field)
            && !text.contains(MARK)
        {
            let middle = text.floor_char_boundary(text.len() / 2);
            text.insert(middle, MARK);
        }
    }
    let mut out = Vec::with_capacity(own.body.len());
    for (index, piece) in value.to_string().split(MARK).enumerate() {
        if index > 0 {
            out.push(0xff);
        }
        out.extend_from_slice(piece.as_bytes());
    }
    out.into()
}

/// A key stands twice, first with another value. The last one is right, which is what most readers take.
pub(super) fn twice(own: &Own<'_>, bits: u64) -> Bytes {
    let field =
        own.enums.first().copied().or_else(|| needed(own.needs)).or(own.echoes.first().copied());
    let name = field.and_then(|field| field.split('/').nth(1));
    let value: Option<Value> = serde_json::from_slice(own.body).ok();
    let found = name.zip(value.as_ref()).and_then(|(name, value)| Some((name, value.get(name)?)));
    let text = std::str::from_utf8(own.body).ok();
    let Some(((name, found), rest)) =
        found.zip(text.and_then(|text| text.trim().strip_prefix('{')))
    else {
        return own.body.clone();
    };
    let first = if found.is_string() { Value::from(UNKNOWN) } else { of_another_type(found, bits) };
    format!("{{{}:{first},{rest}", Value::from(name)).into()
}

/// What another operation would have been answered: another id, and other texts where the answer repeats
/// what was asked for; another number only where no text tells the two apart.
pub(super) fn of_another(own: &Own<'_>, bits: u64) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<Value>(own.body) else {
        return own.body.clone();
    };
    let mut told_apart = false;
    for field in own.echoes {
        if let Some(Value::String(text)) = value.pointer_mut(field)
            && let Some(other) = other_digits(text, bits)
        {
            *text = other;
            told_apart = true;
        }
    }
    for field in own.echoes.iter().filter(|_| !told_apart) {
        let other = value.pointer(field).and_then(|found| other(found, bits));
        if let (Some(place), Some(other)) = (value.pointer_mut(field), other) {
            *place = other;
            break;
        }
    }
    for field in
        own.needs.iter().filter(|one| !own.enums.contains(one) && !own.echoes.contains(one))
    {
        if let Some(Value::String(text)) = value.pointer_mut(field) {
            *text = other_id(text, bits);
        }
    }
    value.to_string().into()
}

/// An earlier state of the object: the real one where there was one, else one that is not done yet.
pub(super) fn earlier(own: &Own<'_>) -> Bytes {
    let pending = || {
        let field = own.enums.first()?;
        at(own.body, field, |place| replaced(place, EARLIER.into()))
    };
    own.earlier.cloned().or_else(pending).unwrap_or_else(|| own.body.clone())
}

/// The body with what stands in the field changed; `None` when nothing stands there, or it stays.
fn at(body: &Bytes, field: &str, change: impl FnOnce(&mut Value) -> Option<()>) -> Option<Bytes> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    change(value.pointer_mut(field)?)?;
    Some(value.to_string().into())
}

fn replaced(place: &mut Value, value: Value) -> Option<()> {
    *place = value;
    Some(())
}

/// The body with the object or list around the field changed; `None` when there is no such field.
fn in_parent(
    body: &Bytes,
    field: &str,
    change: impl FnOnce(&mut Value, &str) -> Option<()>,
) -> Option<Bytes> {
    let (parent, last) = field.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    at(body, parent, |place| change(place, &last))
}

fn without(parent: &mut Value, name: &str) -> Option<()> {
    match parent {
        Value::Object(object) => object.shift_remove(name).map(drop),
        Value::Array(list) => {
            let index = name.parse().ok().filter(|index| *index < list.len())?;
            list.remove(index);
            Some(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn renamed(parent: &mut Value, name: &str) -> Option<()> {
    let Value::Object(object) = parent else { return None };
    object.get(name)?;
    let renamed = std::mem::take(object).into_iter().map(|(key, value)| {
        let key = if key == name { format!("{key}{NEW_NAME}") } else { key };
        (key, value)
    });
    *object = renamed.collect();
    Some(())
}

/// The same in another type, as APIs drift: a number as text, an object as a list of it.
fn of_another_type(value: &Value, bits: u64) -> Value {
    match value {
        Value::Null => Value::from("null"),
        Value::Bool(truth) => Value::from(truth.to_string()),
        Value::Number(number) => Value::from(number.to_string()),
        Value::String(text) => serde_json::from_str::<Number>(text)
            .map_or_else(|_| Value::from(1 + bits % 1_000_000), Value::Number),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            Value::Object(numbered.map(|(index, item)| (index.to_string(), item.clone())).collect())
        }
        Value::Object(object) => Value::Array(vec![Value::Object(Map::clone(object))]),
    }
}

/// Another number of the same type; `None` when the value is none.
fn other(value: &Value, bits: u64) -> Option<Value> {
    Some(match value {
        Value::Number(number) => Value::Number(other_number(number, bits)?),
        // Some APIs write money as text.
        Value::String(text) => {
            let number: Number = serde_json::from_str(text).ok()?;
            Value::String(other_number(&number, bits)?.to_string())
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    })
}

/// A number of about the same size that differs by at least 1: nobody notices it at a glance.
pub(super) fn other_number(number: &Number, bits: u64) -> Option<Number> {
    if let Some(whole) = number.as_i64() {
        let spread = whole.unsigned_abs() / 4 + 1;
        let step = i64::try_from(1 + bits % spread).ok()?;
        return Some(whole.checked_add(step).unwrap_or_else(|| whole - step).into());
    }
    if let Some(large) = number.as_u64() {
        return Some((large - 1 - bits % 1000).into());
    }
    // A decimal: the digits before the point are a whole number.
    let text = number.to_string();
    let (whole, decimals) = text.split_once('.')?;
    let other = other_number(&whole.parse::<i64>().ok()?.into(), bits)?;
    serde_json::from_str(&format!("{other}.{decimals}")).ok()
}

/// The text with another number in the place of its last one; `None` when it holds no number.
fn other_digits(text: &str, bits: u64) -> Option<String> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = text[..end].rfind(|c: char| !c.is_ascii_digit());
    // Not more digits than every number type holds.
    let start = start.map_or(0, |at| text.ceil_char_boundary(at + 1)).max(end.saturating_sub(15));
    let number: u64 = text[start..end].parse().ok()?;
    let other = number + 1 + bits % 97;
    Some(format!("{}{other:0width$}{}", &text[..start], &text[end..], width = end - start))
}

/// Another id of the same shape: what stands before the last `_` or `-` stays.
fn other_id(text: &str, bits: u64) -> String {
    let start = text.rfind(['_', '-']).map_or(0, |at| at + 1);
    let mut shift = bits;
    let other: String = text[start..]
        .chars()
        .map(|old| {
            shift = shift.rotate_left(7) ^ u64::from(u32::from(old));
            let letter = usize::try_from(shift % 36).unwrap_or(0);
            char::from(LETTERS[letter])
        })
        .collect();
    let same = other == text[start..];
    format!("{}{}", &text[..start], if same { other + "0" } else { other })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_field_that_says_most_is_the_id() {
        assert_eq!(needed(&["/status", "/id"]), Some("/id"));
        assert_eq!(needed(&["/status", "/choices"]), Some("/status"));
        assert_eq!(needed(&[]), None);
    }

    #[test]
    fn another_text_has_the_same_shape() {
        assert_eq!(other_digits("order-3", 0).as_deref(), Some("order-4"));
        assert_eq!(other_digits("ördér-007-x", 1).as_deref(), Some("ördér-009-x"));
        assert_eq!(other_digits("usd", 1), None);
        let id = other_id("ch_Ab3", 12_345);
        assert!(id.starts_with("ch_") && id.len() == 6 && id != "ch_Ab3", "{id}");
    }

    #[test]
    fn a_tenth_is_smaller_and_plausible() {
        let tenth = |text: &str| {
            let number: Number = serde_json::from_str(text).expect("a number");
            a_tenth(&number).map(|tenth| tenth.to_string())
        };
        for (number, expected) in
            [("0.2", "0.02"), ("12.5", "1.25"), ("50", "5"), ("5", "0"), ("0.05", "0.005")]
        {
            assert_eq!(tenth(number).as_deref(), Some(expected), "{number}");
        }
    }

    proptest! {
        #[test]
        fn another_number_is_another_number(number: i64, bits: u64) {
            prop_assert_ne!(other_number(&number.into(), bits), Some(number.into()));
        }

        #[test]
        fn another_large_number_is_another_number(number in u64::MAX / 2..=u64::MAX, bits: u64) {
            let other = other_number(&number.into(), bits);
            prop_assert!(other.is_some() && other != Some(number.into()));
        }

        #[test]
        fn another_text_is_another_text(text in "\\PC{0,24}", bits: u64) {
            prop_assert_ne!(other_id(&text, bits), text.clone());
            prop_assert_ne!(other_digits(&text, bits), Some(text));
        }
    }
}
