//! JSON pointers, cut into their steps once.
//!
//! Knows nothing about what the values mean. **Invariant:** no text and no value makes it panic.

use std::fmt;

use serde_json::Value;

use super::call::steps;
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
        Self { text: format!("/{}", escaped(name)), steps: vec![name.to_owned()] }
    }

    /// The pointer to the field that a form puts where it reads this name: `amount`, `metadata[order]`. Empty
    /// brackets are the first place of a list.
    fn to_form_field(name: &str) -> Self {
        let steps = steps(name).into_iter().enumerate().map(|(depth, step)| match step {
            "" if depth > 0 => "0".to_owned(),
            step => step.to_owned(),
        });
        let steps: Vec<String> = steps.collect();
        let text = steps.iter().flat_map(|step| ["/".to_owned(), escaped(step)]).collect();
        Self { text, steps }
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

/// A step as a pointer spells it.
fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// Where a field of a body stands, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// The field whose name is the text itself, brackets and all, as JSON can have it.
    literal: Option<Pointer>,
    place: Pointer,
}

impl FieldName {
    /// The field of a form by its name: `amount`, `metadata[order]`. One that has these very letters for its name
    /// comes first.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let (literal, place) = (Pointer::to_field(name), Pointer::to_form_field(name));
        Self { literal: Some(literal).filter(|literal| *literal != place), place }
    }

    /// What stands in it.
    #[must_use]
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let literal = self.literal.as_ref().and_then(|literal| literal.find(value));
        literal.or_else(|| self.place.find(value))
    }
}

impl From<Pointer> for FieldName {
    fn from(place: Pointer) -> Self {
        Self { literal: None, place }
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

    #[test]
    fn a_name_of_a_form_leads_to_where_a_form_puts_it() {
        use crate::api::read_form;
        for name in [
            "amount",
            "metadata[order]",
            "a/x",
            "~1",
            "m[a/x][~0]",
            "tags[]",
            "lines[][sku]",
            "lines[0][sku]",
            "a[b",
            "a]b",
            "[a]",
            "a[b]c",
            "a[][]",
            "",
        ] {
            let form = read_form(format!("{}=here&z=1", crate::api::encode(name)).as_bytes());
            assert_eq!(FieldName::new(name).find(&form), Some(&json!("here")), "{name}: {form}");
        }
        let literal = json!({"a[b]": 1, "a": {"b": 2}});
        assert_eq!(FieldName::new("a[b]").find(&literal), Some(&json!(1)));
        assert_eq!(FieldName::new("a[b]").find(&json!({"a": {"b": 2}})), Some(&json!(2)));
        let place = FieldName::from(Pointer::new("/a/b").unwrap());
        assert_eq!(place.find(&literal), Some(&json!(2)));
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
