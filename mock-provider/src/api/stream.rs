//! An answer as a stream of server-sent events: what a route sends, and what makes it whole.
//!
//! **Invariant:** a stream that lacks its last event is never usable, however it ended.

use std::sync::Arc;

use serde_json::Value;

use super::call::Call;
use super::need::{Need, same};
use super::pointer::Pointer;
use crate::sse;
use crate::template::{Budget, Names, TemplateError, Tree};

/// The most events that one entry may become.
const MOST_EVENTS: usize = 10_000;

/// How a route answers in a stream.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// Fields of the body and their values: which requests are answered so. Without any, all are.
    pub when: Vec<(Pointer, Value)>,
    /// The events, in order; the last one says that the answer is whole.
    pub events: Vec<EventSpec>,
    /// Where an event carries a piece of the text.
    pub text: Option<Pointer>,
    /// Where events count themselves.
    pub sequence: Option<Pointer>,
    /// What must hold of some event.
    pub needs: Vec<(Pointer, Need)>,
    /// How the vendor says that an answer was cut short by its length; empty where it says nothing.
    pub length: Vec<EventChange>,
    /// How an error comes in the middle of a stream.
    pub error: ErrorEvent,
}

/// An entry of a stream.
#[derive(Clone, Debug)]
pub struct EventSpec {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// What it carries; text goes out as it is, everything else as JSON.
    pub data: Tree,
    /// A list: one event for each item, which templates know as `item`.
    pub each: Option<Tree>,
}

/// Another event in the place of one.
#[derive(Clone, Debug)]
pub struct EventChange {
    /// Fields and their values: which events are changed.
    pub when: Vec<(Pointer, Value)>,
    /// Another name.
    pub name: Option<Arc<str>>,
    /// Fields and what they become.
    pub set: Vec<(Pointer, Value)>,
}

/// How an error comes in the middle of a stream.
#[derive(Clone, Debug)]
pub struct ErrorEvent {
    /// The event's name.
    pub name: Option<Arc<str>>,
    /// The name of the error.
    pub error: Arc<str>,
}

impl EventSpec {
    /// Its text, where that is always the same.
    #[must_use]
    pub fn fixed_text(&self) -> Option<&str> {
        match &self.data {
            Tree::Constant(Value::String(text)) => Some(text),
            Tree::Constant(_) | Tree::Leaf(_) | Tree::List(_) | Tree::Object(_) | Tree::Each(_) => {
                None
            }
        }
    }
}

impl EventChange {
    /// The event as it becomes; `None` where it is not one of those that are changed.
    #[must_use]
    pub fn applied(&self, data: &str) -> Option<String> {
        let mut value: Value = serde_json::from_str(data).ok()?;
        if !fields_are(&self.when, &value) {
            return None;
        }
        for (pointer, new) in &self.set {
            pointer.set(&mut value, new.clone());
        }
        Some(value.to_string())
    }
}

impl StreamSpec {
    /// True when a request is answered in a stream.
    #[must_use]
    pub fn answers(&self, call: &Call) -> bool {
        fields_are(&self.when, call.body())
    }

    /// The stream, written; `names` are those of an answer.
    ///
    /// # Errors
    ///
    /// When an event asks for something that is not there.
    pub fn written(&self, names: &Names<'_>) -> Result<String, TemplateError> {
        let (mut out, budget) = (String::new(), Budget::default());
        let mut index = 0_u64;
        for event in &self.events {
            let items = match &event.each {
                None => vec![Value::Null],
                Some(each) => match each.render_within(names, &budget)? {
                    Value::Array(items) => items,
                    Value::Null => Vec::new(),
                    one @ (Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Object(_)) => vec![one],
                },
            };
            for item in items.iter().take(MOST_EVENTS) {
                let number = Value::from(index);
                index += 1;
                let mut all = vec![("item", item), ("index", &number)];
                all.extend_from_slice(names);
                let value = event.data.render_within(&all, &budget)?;
                let data = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                sse::write(event.name.as_deref(), &data, &mut out);
            }
        }
        Ok(out)
    }

    /// True when an event carries a piece of the text.
    #[must_use]
    pub fn carries_text(&self, event: &sse::Event) -> bool {
        let Some(pointer) = &self.text else { return false };
        let value: Option<Value> = serde_json::from_str(&event.data).ok();
        value.is_some_and(|value| {
            pointer.find(&value).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        })
    }

    /// True when an event says that the answer is whole: by the name of the last one, else by its text.
    #[must_use]
    pub fn is_last(&self, event: &sse::Event) -> bool {
        let Some(last) = self.events.last() else { return false };
        match &last.name {
            None => last.fixed_text().is_some_and(|text| event.data == text),
            Some(name) => {
                // A length that ran out may give it another name.
                let renamed = self.length.iter().filter_map(|change| change.name.as_ref());
                let mut names = std::iter::once(name).chain(renamed);
                names.any(|name| event.name.as_deref() == Some(&**name))
            }
        }
    }

    /// True for a text that the route sends as it stands here, which need be no JSON.
    fn is_fixed(&self, event: &sse::Event) -> bool {
        self.events.iter().any(|one| one.fixed_text().is_some_and(|text| event.data == text))
    }

    /// Whether a client can use what came of a stream.
    ///
    /// # Errors
    ///
    /// Why it must not take it.
    pub fn judge(&self, stream: &[u8]) -> Result<(), String> {
        let heard = self.hear(stream)?;
        if !heard.is_ended {
            let came = match heard.events {
                0 => "no event".to_owned(),
                1 => "1 event".to_owned(),
                count => format!("{count} events"),
            };
            return Err(format!("the stream ended after {came}, without the last one"));
        }
        all_there(&heard.missing)
    }

    /// True for a stream of which so much came, and rightly, that it has said all that it must, such as why it
    /// finished: what may be missing is only the sign that nothing follows.
    #[must_use]
    pub fn says_all(&self, stream: &[u8]) -> bool {
        !self.needs.is_empty() && self.hear(stream).is_ok_and(|heard| heard.missing.is_empty())
    }

    /// What came of a stream, to its last event if that came.
    fn hear(&self, stream: &[u8]) -> Result<Heard<'_>, String> {
        if std::str::from_utf8(stream).is_err() {
            return Err("the stream is no UTF-8".to_owned());
        }
        let events = sse::events(stream);
        let mut missing: Vec<&(Pointer, Need)> = self.needs.iter().collect();
        let mut expected: Option<u64> = None;
        for (index, event) in events.iter().enumerate() {
            let number = index + 1;
            if self.is_error(event) {
                return Err(format!("event {number} of the stream is an error"));
            }
            let value: Value = match serde_json::from_str(&event.data) {
                Ok(value) => value,
                Err(_) if self.is_fixed(event) => Value::Null,
                Err(error) => {
                    return Err(format!("event {number} of the stream is no JSON: {error}"));
                }
            };
            if let Some(found) = self.sequence.as_ref().and_then(|at| at.find(&value)?.as_u64()) {
                if let Some(wanted) = expected.filter(|wanted| *wanted != found) {
                    return Err(format!(
                        "event {number} of the stream says that it is number {found}, and {wanted} was due"
                    ));
                }
                expected = Some(found.saturating_add(1));
            }
            missing.retain(|(pointer, need)| need.check(pointer.find(&value)).is_err());
            if self.is_last(event) {
                return Ok(Heard { events: number, missing, is_ended: true });
            }
        }
        Ok(Heard { events: events.len(), missing, is_ended: false })
    }

    /// True for an event by the name under which errors come, where that is a name of their own.
    fn is_error(&self, event: &sse::Event) -> bool {
        let Some(name) = self.error.name.as_deref() else { return false };
        event.name.as_deref() == Some(name)
            && !self.events.iter().any(|one| one.name.as_deref() == Some(name))
    }
}

/// What came of a stream in which nothing was wrong.
struct Heard<'a> {
    /// How many events.
    events: usize,
    /// What some event must say, and none did.
    missing: Vec<&'a (Pointer, Need)>,
    /// True when the last event came.
    is_ended: bool,
}

/// Nothing of what some event must say is missing.
fn all_there(missing: &[&(Pointer, Need)]) -> Result<(), String> {
    match missing {
        [] => Ok(()),
        [(pointer, need), ..] => {
            Err(format!("no event of the stream has {} at {pointer}", need.in_words()))
        }
    }
}

/// True when all these fields have these values.
fn fields_are(fields: &[(Pointer, Value)], value: &Value) -> bool {
    fields.iter().all(|(pointer, wanted)| pointer.find(value).is_some_and(|it| same(it, wanted)))
}
