//! What a route demands of the fields of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Pointer;
use super::super::need::{FieldRule, Kind};
use super::super::raw::RawField;
use super::{pointer, unknown};
use crate::document::{At, OneOrMany};

/// The rules of a route; `errors` are the names of the API's errors.
pub(super) fn fields(
    raw: Option<&BTreeMap<String, RawField>>,
    errors: &[String],
    at: &At<'_>,
) -> Vec<(Pointer, FieldRule)> {
    let resolved = raw.into_iter().flatten().filter_map(|(text, raw)| {
        let at = at.key(text);
        Some((pointer(text, &at)?, field(raw, errors, &at)))
    });
    resolved.collect()
}

fn field(raw: &RawField, errors: &[String], at: &At<'_>) -> FieldRule {
    let own = kinds(raw.kind.as_ref(), "type", at);
    let items = kinds(raw.items.as_ref(), "items", at);
    if let Some(name) = raw.error.as_ref().filter(|name| !errors.contains(name)) {
        unknown("error", name, errors, &at.key("error"));
    }
    for (key, is_empty) in [
        ("has_one_of", raw.has_one_of.as_ref().is_some_and(Vec::is_empty)),
        ("in", raw.one_of.as_ref().is_some_and(Vec::is_empty)),
    ] {
        if is_empty {
            empty(key, at);
        }
    }
    check_kinds(raw, &own, at);
    check_ranges(raw, at);
    FieldRule {
        required: raw.required.unwrap_or(false),
        kinds: own,
        min: raw.min,
        max: raw.max,
        min_items: raw.min_items.and_then(|items| usize::try_from(items).ok()),
        max_items: raw.max_items.and_then(|items| usize::try_from(items).ok()),
        items,
        has_one_of: raw.has_one_of.clone().unwrap_or_default(),
        one_of: raw.one_of.clone(),
        message: raw.message.clone(),
        error: raw.error.as_deref().map(Arc::from),
    }
}

/// Reports what is demanded of a type that the field never has: whoever writes it takes it for checked.
fn check_kinds(raw: &RawField, kinds: &[Kind], at: &At<'_>) {
    let demands = [
        (
            "min",
            raw.min.is_some(),
            &[Kind::Integer, Kind::Number][..],
            "only a number is large or small",
        ),
        (
            "max",
            raw.max.is_some(),
            &[Kind::Integer, Kind::Number],
            "only a number is large or small",
        ),
        ("min_items", raw.min_items.is_some(), &[Kind::List], "only a list has entries"),
        ("max_items", raw.max_items.is_some(), &[Kind::List], "only a list has entries"),
        ("items", raw.items.is_some(), &[Kind::List], "only a list has entries"),
        ("has_one_of", raw.has_one_of.is_some(), &[Kind::Object], "only an object has fields"),
    ];
    for (key, is_said, takes, why) in demands {
        if is_said && !kinds.is_empty() && !kinds.iter().any(|kind| takes.contains(kind)) {
            let fitting = takes.first().map_or("", |kind| kind.name());
            at.key(key).error(why, |d| {
                d.key().cure(format!("say `type: {fitting}`, or leave `{key}` out"))
            });
        }
    }
}

fn check_ranges(raw: &RawField, at: &At<'_>) {
    if let (Some(min), Some(max)) = (raw.min, raw.max)
        && min > max
    {
        at.key("min").error(format!("no number is at least {min} and at most {max}"), |d| d);
    }
    if let (Some(min), Some(max)) = (raw.min_items, raw.max_items)
        && min > max
    {
        at.key("min_items")
            .error(format!("no list has at least {min} and at most {max} entries"), |d| d);
    }
}

fn empty(key: &str, at: &At<'_>) {
    at.key(key).error(format!("`{key}` names nothing"), |d| {
        d.key().cure(format!("name at least one, or leave `{key}` out"))
    });
}

fn kinds(raw: Option<&OneOrMany<String>>, key: &str, at: &At<'_>) -> Vec<Kind> {
    let Some(raw) = raw else { return Vec::new() };
    if raw.iter().next().is_none() {
        empty(key, at);
    }
    let at = at.key(key);
    let named = raw.iter().filter_map(|(index, word)| {
        let at = index.map_or_else(|| at.clone(), |index| at.index(index));
        let found = Kind::ALL.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
        if found.is_none() {
            unknown("type", word, Kind::ALL.iter().map(|(name, _)| *name), &at);
        }
        found
    });
    named.collect()
}
