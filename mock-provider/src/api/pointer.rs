//! JSON pointers, cut into their steps once.
//!
//! Knows nothing about what the values mean. **Invariant:** no text and no value makes it panic.

use std::fmt;

use serde_json::Value;

use crate::template::field;

/// A place in a JSON value: `/error/code`; the empty pointer is the value itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer; `None` unless it is empty or starts with a slash.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let steps = match text.strip_prefix('/') {
            Some(rest) => {
                rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
            }
            None if text.is_empty() => Vec::new(),
            None => return None,
        };
        Some(Self { text: text.to_owned(), steps })
    }

    /// The pointer to the field of that name.
    #[must_use]
    pub fn to_field(name: &str) -> Self {
        let text = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        Self { text, steps: vec![name.to_owned()] }
    }

    /// The pointer to a field of a form as forms spell it: `amount`, `metadata[order]`.
    #[must_use]
    pub fn to_form_field(name: &str) -> Self {
        let steps: Vec<&str> = name.split(['[', ']']).filter(|step| !step.is_empty()).collect();
        Self::new(&format!("/{}", steps.join("/"))).unwrap_or_else(|| Self::to_field(name))
    }

    /// The pointer as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its steps, unescaped.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The name of the last step; empty for the value itself.
    #[must_use]
    pub fn last(&self) -> &str {
        self.steps.last().map_or("", String::as_str)
    }

    /// What it points at.
    #[must_use]
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(value, |value, step| match value {
            Value::Object(fields) => field(fields, step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// What it points at, to be changed.
    #[must_use]
    pub fn find_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        self.steps.iter().try_fold(value, |value, step| match value {
            Value::Object(fields) => fields.get_mut(step),
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// Sets what it points at, making objects on the way; does nothing where a list or a plain value is
    /// in the way.
    pub fn set(&self, value: &mut Value, new: Value) {
        let mut place = value;
        for step in &self.steps {
            if place.is_null() {
                *place = Value::Object(serde_json::Map::new());
            }
            let next = match place {
                Value::Object(fields) => Some(fields.entry(step.as_str()).or_insert(Value::Null)),
                Value::Array(items) => {
                    step.parse::<usize>().ok().and_then(|index| items.get_mut(index))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            match next {
                Some(next) => place = next,
                None => return,
            }
        }
        *place = new;
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_lists_and_missing_places_are_found_as_the_standard_says() {
        let value = json!({"a/b": [{"~": 7}], "": 1});
        assert_eq!(Pointer::to_field("a/b"), Pointer::new("/a~1b").unwrap());
        let at = |text: &str| Pointer::new(text).unwrap().find(&value).cloned();
        assert_eq!(at("/a~1b/0/~0"), Some(json!(7)));
        assert_eq!(at("/"), Some(json!(1)));
        assert_eq!(at(""), Some(value.clone()));
        assert_eq!(at("/a~1b/1"), None);
        assert!(Pointer::new("a").is_none());
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json(text in "(/(a|b|0|1|~0|~1)?){0,4}") {
            let value = json!({"a": {"b": [1, {"a": 2}], "0": 3}, "b": "x", "~": {"/": 4}, "": {"": 5}});
            prop_assert_eq!(Pointer::new(&text).unwrap().find(&value), value.pointer(&text));
        }

        #[test]
        fn what_was_set_is_found(text in "(/[ab]){0,4}") {
            let pointer = Pointer::new(&text).unwrap();
            let mut value = Value::Null;
            pointer.set(&mut value, json!(9));
            prop_assert_eq!(pointer.find(&value), Some(&json!(9)));
        }
    }
}
