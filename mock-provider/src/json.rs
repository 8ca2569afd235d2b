//! JSON texts: one value found in one, and values written as one.
//!
//! Knows nothing about what the values mean.
//! **Invariant:** what is found in a text is what stands at the same place of the value that it holds.

mod write;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

pub use write::write;

/// The value at the end of these steps (names of fields, places in lists) in a JSON text, without making
/// anything of the rest; `None` where nothing stands there, or the text is no JSON.
///
/// ```
/// use brownout_provider::json::find;
///
/// let text = br#"{"error": {"code": "busy", "seen": [7, 8]}}"#;
/// assert_eq!(find(text, &["error", "code"]), Some("busy".into()));
/// assert_eq!(find(text, &["error", "seen", "1"]), Some(8.into()));
/// assert_eq!(find(text, &["error", "message"]), None);
/// assert_eq!(find(&text[..20], &["error", "code"]), None);
/// ```
#[must_use]
pub fn find<S: AsRef<str>>(text: &[u8], steps: &[S]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_str(std::str::from_utf8(text).ok()?);
    let found = At(steps).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    found
}

/// The steps that are still to be taken.
struct At<'s, S>(&'s [S]);

impl<'de, S: AsRef<str>> DeserializeSeed<'de> for At<'_, S> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => serde::Deserialize::deserialize(from).map(Some),
            [_, ..] => from.deserialize_any(self),
        }
    }
}

impl<'de, S: AsRef<str>> Visitor<'de> for At<'_, S> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(is_it) = fields.next_key_seed(Is(step.as_ref()))? {
            if is_it {
                // Of two fields of one name the later one counts.
                found = fields.next_value_seed(At(rest))?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Ok(None) };
        let wanted = step.as_ref().parse::<usize>().ok();
        let mut found = None;
        for place in 0.. {
            if wanted == Some(place) {
                match items.next_element_seed(At(rest))? {
                    Some(one) => found = one,
                    None => break,
                }
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a field has this name.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-c\"\\\\é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_found_stands_there_in_the_value(
            value in value(),
            steps in prop::collection::vec("[a-c0-2]", 0..4),
        ) {
            let text = value.to_string();
            let there = steps.iter().try_fold(&value, |value, step| match value {
                Value::Object(fields) => fields.get(step),
                Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            });
            prop_assert_eq!(find(text.as_bytes(), &steps), there.cloned());
        }
    }

    #[test]
    fn of_two_fields_of_one_name_the_later_counts_and_what_follows_the_value_spoils_it() {
        assert_eq!(find(br#"{"a": {"b": 1}, "a": {"b": 2}}"#, &["a", "b"]), Some(json!(2)));
        assert_eq!(find(br#"{"a": {"b": 1}, "a": 2}"#, &["a", "b"]), None);
        assert_eq!(find(br#"{"a": 1} x"#, &["a"]), None);
        assert_eq!(find(b"\xff", &["a"]), None);
    }
}
