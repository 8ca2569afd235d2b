//! The streams of an API file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::Standard;
use super::super::answer::CONTEXT_NAMES;
use super::super::pointer::Pointer;
use super::super::raw::{RawErrorEvent, RawEventChange, RawStream, RawStreamEvent};
use super::super::stream::{ErrorEvent, EventChange, EventSpec, StreamSpec};
use super::route::needs;
use super::{pointer, required, unknown};
use crate::document::At;
use crate::template::Tree;

pub(super) fn stream(raw: &RawStream, errors: &[String], at: &At<'_>) -> Option<StreamSpec> {
    let place = at.key("events");
    let listed = required(raw.events.as_deref(), "events", at)?;
    let events: Vec<_> =
        listed.iter().enumerate().map(|(index, raw)| event(raw, &place.index(index))).collect();
    let events: Vec<EventSpec> = events.into_iter().collect::<Option<_>>()?;
    match events.last() {
        None => place.error("a stream without events says nothing", |d| d.cure("add an event")),
        Some(last) if last.each.is_some() || last.name.is_none() && last.fixed_text().is_none() => {
            place.index(events.len() - 1).error("nobody could tell that this is the last event", |d| {
                d.cure("end the stream with one event that has a name, or a fixed text such as `data: \"[DONE]\"`")
            });
        }
        Some(_) => {}
    }
    let place = |text: Option<&String>, key: &str| text.and_then(|it| pointer(it, &at.key(key)));
    let changes = raw.length.iter().flatten().enumerate();
    Some(StreamSpec {
        when: fields(raw.when.as_ref(), &at.key("when")),
        events,
        text: place(raw.text.as_ref(), "text"),
        sequence: place(raw.sequence.as_ref(), "sequence"),
        needs: needs(raw.needs.as_ref(), &at.key("needs")),
        length: changes.map(|(index, raw)| change(raw, &at.key("length").index(index))).collect(),
        error: error(raw.error.as_ref(), errors, &at.key("error")),
    })
}

fn event(raw: &RawStreamEvent, at: &At<'_>) -> Option<EventSpec> {
    let mut names = CONTEXT_NAMES.to_vec();
    names.extend(["index", "item"]);
    let data = Tree::resolve(required(raw.data.as_ref(), "data", at)?, &names, &at.key("data"))?;
    let each = match &raw.each {
        None => None,
        Some(each) => Some(Tree::resolve(each, &CONTEXT_NAMES, &at.key("each"))?),
    };
    if each.is_none() && data.asks_for("item") {
        at.key("data").error("there is no `item` here", |d| d.cure("add `each:` with a list"));
    }
    Some(EventSpec { name: name(raw.event.as_deref(), &at.key("event")), data, each })
}

fn change(raw: &RawEventChange, at: &At<'_>) -> EventChange {
    let when = fields(raw.when.as_ref(), &at.key("when"));
    if when.is_empty() {
        at.error("this would change every event", |d| {
            d.cure("say which ones: `when: {/FIELD: VALUE}`")
        });
    }
    EventChange {
        when,
        name: name(raw.event.as_deref(), &at.key("event")),
        set: fields(raw.set.as_ref(), &at.key("set")),
    }
}

fn error(raw: Option<&RawErrorEvent>, errors: &[String], at: &At<'_>) -> ErrorEvent {
    let empty = RawErrorEvent::default();
    let raw = raw.unwrap_or(&empty);
    let error = raw.error.as_deref().unwrap_or(Standard::ServerError.name());
    if !errors.iter().any(|name| name == error) {
        unknown("error", error, errors, &at.key("error"));
    }
    ErrorEvent { name: name(raw.event.as_deref(), &at.key("event")), error: error.into() }
}

/// A name that fits into one line.
fn name(text: Option<&str>, at: &At<'_>) -> Option<Arc<str>> {
    let text = text?;
    if text.is_empty() || text.contains(['\n', '\r']) {
        at.error(format!("{text:?} cannot be the name of an event"), |d| {
            d.cure("write one line of text, or leave it out")
        });
    }
    Some(text.into())
}

fn fields(raw: Option<&BTreeMap<String, Value>>, at: &At<'_>) -> Vec<(Pointer, Value)> {
    let resolved = raw
        .into_iter()
        .flatten()
        .filter_map(|(text, value)| Some((pointer(text, &at.key(text))?, value.clone())));
    resolved.collect()
}
