//! What must hold of a field: of a request before it is served, of an answer before it is taken.
//!
//! Knows nothing of routes. **Invariant:** a check says what is wrong in words that need no context but
//! the field's name.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

/// What must hold of one field of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// There is something, and it is not `null`.
    Present,
    /// Of this type.
    Kind(Kind),
    /// One of these.
    In(Vec<Value>),
    /// Exactly this.
    Equals(Value),
    /// A number that is at least so large.
    Least(Number),
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that is not empty.
    String,
    /// Text, perhaps empty.
    Text,
    /// Text without a character, by which a form says that there is nothing.
    Empty,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Kind {
    /// All, by their words.
    pub const ALL: [(&'static str, Self); 8] = [
        ("string", Self::String),
        ("text", Self::Text),
        ("empty", Self::Empty),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("list", Self::List),
        ("object", Self::Object),
    ];

    /// The word in an API file.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// True when `value` is of this type.
    #[must_use]
    pub fn holds(self, value: &Value) -> bool {
        match self {
            Self::String => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Text => value.is_string(),
            Self::Empty => value == "",
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    /// A form knows text only: the value that the text stands for under this type, if it does.
    #[must_use]
    pub fn from_text(self, text: &str) -> Option<Value> {
        match self {
            Self::Integer => text
                .parse::<i64>()
                .map(Value::from)
                .or_else(|_| text.parse::<u64>().map(Value::from))
                .ok(),
            Self::Number => serde_json::from_str::<Number>(text).map(Value::Number).ok(),
            Self::Boolean => text.parse::<bool>().map(Value::Bool).ok(),
            Self::String | Self::Text | Self::Empty | Self::List | Self::Object => None,
        }
    }
}

impl Need {
    /// What must be there: `a string that is not empty`, `one of "stop"`.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Present => "anything".to_owned(),
            Self::Kind(kind) => article(*kind).to_owned(),
            Self::In(values) => {
                let values: Vec<_> = values.iter().map(brief).collect();
                format!("one of {}", values.join(", "))
            }
            Self::Equals(value) => brief(value),
            Self::Least(least) => format!("at least {least}"),
        }
    }

    /// Checks what stands in the field.
    ///
    /// # Errors
    ///
    /// What is wrong with it: `is missing`, `is 7, not "ok"`.
    pub fn check(&self, found: Option<&Value>) -> Result<(), String> {
        let Some(found) = found else {
            return Err("is missing".to_owned());
        };
        match self {
            Self::Present if found.is_null() => Err("is null".to_owned()),
            Self::Present => Ok(()),
            Self::Kind(kind) if kind.holds(found) => Ok(()),
            Self::Kind(kind) => Err(format!("is {}, not {}", brief(found), article(*kind))),
            Self::In(values) if values.iter().any(|value| same(value, found)) => Ok(()),
            Self::In(values) => {
                let values: Vec<_> = values.iter().map(brief).collect();
                Err(format!("is {}, not one of {}", brief(found), values.join(", ")))
            }
            Self::Equals(value) if same(value, found) => Ok(()),
            Self::Equals(value) => Err(format!("is {}, not {}", brief(found), brief(value))),
            Self::Least(least) if order(found, least).is_some_and(Ordering::is_ge) => Ok(()),
            Self::Least(least) => Err(format!("is {}, not at least {least}", brief(found))),
        }
    }
}

/// How a number, perhaps written as text, stands to another; nothing for what is no number.
fn order(found: &Value, other: &Number) -> Option<Ordering> {
    let number = match found {
        Value::Number(number) => number.clone(),
        Value::String(text) => serde_json::from_str(text).ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    match (number.as_i64(), other.as_i64()) {
        (Some(number), Some(other)) => Some(number.cmp(&other)),
        (_, _) => number.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "a string that is not empty",
        Kind::Text => "a string",
        Kind::Empty => "an empty string",
        Kind::Integer => "an integer",
        Kind::Number => "a number",
        Kind::Boolean => "true or false",
        Kind::List => "a list",
        Kind::Object => "an object",
    }
}

/// A value in a few characters.
#[must_use]
pub fn brief(value: &Value) -> String {
    const MOST: usize = 40;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    text.chars().take(MOST).chain("…".chars()).collect()
}

/// True when two values are the same to a lenient reader: a form has no numbers, so `"1999"` is 1999.
#[must_use]
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(text), plain @ (Value::Number(_) | Value::Bool(_)))
        | (plain @ (Value::Number(_) | Value::Bool(_)), Value::String(text)) => {
            let written = plain.to_string();
            *text == written
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}

/// Which kind of wrong something in a request is: an API may have an error of its own for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// It must be there and is not.
    Missing,
    /// The body itself cannot be read.
    Unreadable,
    /// An empty text where something else must be.
    EmptyString,
    /// A list without entries where it must have some.
    EmptyList,
    /// No integer where only an integer can be.
    NotAnInteger,
    /// A number that is too small or too large.
    OutOfRange,
    /// Two parameters of which only one can be given.
    BothCursors,
    /// A parameter names an object that is not there.
    UnknownCursor,
    /// Anything else.
    Other,
}

/// A field or a parameter of a request that is not as the API demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongField {
    /// Its steps, with dots between them; empty for the body itself.
    pub field: String,
    /// What is wrong, in words that begin with the field's name.
    pub message: String,
    /// The kind of wrong.
    pub breach: Breach,
    /// The name of the field's own error.
    pub error: Option<Arc<str>>,
    /// True when the words are those that the file has for this field.
    pub has_words: bool,
}

impl WrongField {
    /// What is wrong, where the file says nothing of it for this field.
    pub(super) fn new(breach: Breach, field: String, message: String) -> Self {
        Self { field, message, breach, error: None, has_words: false }
    }
}

/// What is wrong with a value, in words that follow the field's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The kind of wrong.
    pub breach: Breach,
    /// What is wrong.
    pub words: String,
}

impl Wrong {
    const fn new(breach: Breach, words: String) -> Self {
        Self { breach, words }
    }
}

/// What an API demands of one field of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRule {
    /// True when the field must be there.
    pub required: bool,
    /// Its types, of which it has one; any where there is none.
    pub kinds: Vec<Kind>,
    /// The smallest number.
    pub min: Option<i64>,
    /// The largest number.
    pub max: Option<i64>,
    /// The fewest entries of a list.
    pub min_items: Option<usize>,
    /// The most entries of a list.
    pub max_items: Option<usize>,
    /// The types of the entries of a list, of which each has one; any where there is none.
    pub items: Vec<Kind>,
    /// The fields of an object, of which it has at least one; none need be there where this is empty.
    pub has_one_of: Vec<String>,
    /// The only values.
    pub one_of: Option<Vec<Value>>,
    /// What the API says when the rule does not hold, instead of the usual words.
    pub message: Option<String>,
    /// The name of the error for what is there and wrong, where the API has none for that kind of wrong.
    pub error: Option<Arc<str>>,
}

impl FieldRule {
    /// Checks what stands in the field.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words that follow the field's name.
    pub fn check(&self, found: Option<&Value>) -> Result<(), Wrong> {
        let wrong = match found {
            None | Some(Value::Null) if self.required => {
                Some(Wrong::new(Breach::Missing, "is required".to_owned()))
            }
            None | Some(Value::Null) => None,
            Some(found) => self.wrong(found),
        };
        wrong.map_or(Ok(()), Err)
    }

    fn wrong(&self, found: &Value) -> Option<Wrong> {
        if !is_one_of(&self.kinds, found) {
            let breach = match (found.as_str(), &self.kinds[..]) {
                (Some(""), _) => Breach::EmptyString,
                (_, [Kind::Integer]) => Breach::NotAnInteger,
                _ => Breach::Other,
            };
            return Some(Wrong::new(breach, format!("must be {}", in_words(&self.kinds))));
        }
        if let Some(wrong) = found.as_array().and_then(|items| self.wrong_items(items)) {
            return Some(wrong);
        }
        if let Some(wrong) = found.as_object().and_then(|fields| self.has_none_of(fields)) {
            return Some(wrong);
        }
        let range = |words| Some(Wrong::new(Breach::OutOfRange, words));
        let stands = |bound: Option<i64>, how: Ordering| {
            bound.filter(|bound| order(found, &(*bound).into()) == Some(how))
        };
        if let Some(min) = stands(self.min, Ordering::Less) {
            return range(format!("must be at least {min}"));
        }
        if let Some(max) = stands(self.max, Ordering::Greater) {
            return range(format!("must be at most {max}"));
        }
        self.none_of(found)
    }

    fn wrong_items(&self, items: &[Value]) -> Option<Wrong> {
        let count = items.len();
        if let Some(min) = self.min_items.filter(|min| count < *min) {
            let breach = if items.is_empty() { Breach::EmptyList } else { Breach::Other };
            return Some(Wrong::new(breach, format!("must have at least {}", entries(min))));
        }
        if let Some(max) = self.max_items.filter(|max| count > *max) {
            return Some(Wrong::new(Breach::Other, format!("must have at most {}", entries(max))));
        }
        let wrong = items.iter().position(|item| !is_one_of(&self.items, item))?;
        let words = format!("has entry {wrong}, which must be {}", in_words(&self.items));
        Some(Wrong::new(Breach::Other, words))
    }

    fn has_none_of(&self, fields: &Map<String, Value>) -> Option<Wrong> {
        let is_there = |name: &String| fields.get(name).is_some_and(|value| !value.is_null());
        if self.has_one_of.is_empty() || self.has_one_of.iter().any(is_there) {
            return None;
        }
        Some(Wrong::new(Breach::Other, format!("must have {}", self.has_one_of.join(", or "))))
    }

    fn none_of(&self, found: &Value) -> Option<Wrong> {
        let values = self.one_of.as_ref()?;
        if values.iter().any(|value| same(value, found)) {
            return None;
        }
        let values: Vec<_> = values.iter().map(brief).collect();
        Some(Wrong::new(Breach::Other, format!("must be one of {}", values.join(", "))))
    }
}

/// True when a value has one of these types; any will do where there is none.
fn is_one_of(kinds: &[Kind], found: &Value) -> bool {
    kinds.is_empty() || kinds.iter().any(|kind| kind.holds(found))
}

fn in_words(kinds: &[Kind]) -> String {
    let kinds: Vec<_> = kinds.iter().map(|kind| article(*kind)).collect();
    kinds.join(", or ")
}

fn entries(count: usize) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}
