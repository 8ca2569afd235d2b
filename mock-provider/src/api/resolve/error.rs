//! The errors of an API file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::super::Breach;
use super::super::error::{ERROR_NAMES, ErrorSpec, Errors, STANDARD, Standard, WORDS};
use super::super::raw::{RawError, RawErrors, RawWrong};
use super::{header_templates, status, unknown};
use crate::document::At;
use crate::template::{Template, Tree};

/// The names of all errors that the API has, its own and the standard ones.
pub(super) fn names(raw: Option<&RawErrors>) -> Vec<String> {
    let own = raw.and_then(|raw| raw.named.as_ref()).into_iter().flatten();
    let own = own.map(|(name, _)| name.as_str());
    let all: BTreeSet<_> = STANDARD.iter().map(|one| one.name).chain(own).collect();
    all.into_iter().map(str::to_owned).collect()
}

pub(super) fn errors(raw: Option<&RawErrors>, at: &At<'_>) -> Option<Errors> {
    let empty = RawErrors::default();
    let raw = raw.unwrap_or(&empty);
    let usual = serde_json::json!({"error": {"code": "{{ code }}", "message": "{{ message }}"}});
    let body = raw.body.as_ref().unwrap_or(&usual);
    // Where a body may ask for a value that only some errors have, the file says so in `values`.
    let own = raw.values.iter().flatten().map(|(name, _)| name.as_str());
    let known: Vec<&str> = ERROR_NAMES.into_iter().chain(own).collect();
    let body = Tree::resolve(body, &known, &at.key("body"));
    let mut named = BTreeMap::new();
    for name in names(Some(raw)) {
        let given = raw.named.as_ref().and_then(|named| named.get(&name));
        let at = at.key("named").key(&name);
        if let Some(spec) = spec(&name, given, raw.values.as_ref(), &at) {
            named.insert(Arc::from(name), spec);
        }
    }
    let mut errors = Errors {
        body: body?,
        statuses: usual_statuses(&named),
        named,
        other_4xx: Standard::InvalidRequest.name().into(),
        other: Standard::ServerError.name().into(),
        wrong: BTreeMap::new(),
    };
    errors.wrong = wrong(raw, &errors, at);
    for (word, name) in raw.statuses.iter().flatten() {
        let at = at.key("statuses").key(word);
        let known: Vec<_> = errors.named.keys().map(|name| &**name).collect();
        if !known.contains(&name.as_str()) {
            unknown("error", name, known, &at);
            continue;
        }
        let name = Arc::from(name.as_str());
        match (word.as_str(), word.parse::<u16>()) {
            ("4xx", _) => errors.other_4xx = name,
            ("other", _) => errors.other = name,
            (_, Ok(status)) if (100..=999).contains(&status) => {
                errors.statuses.insert(status, name);
            }
            (_, _) => at.error(format!("`{word}` is no status"), |d| {
                d.key().cure("write a status such as `\"429\"`, `4xx` or `other`")
            }),
        }
    }
    Some(errors)
}

/// The errors for kinds of wrong that the file names.
fn wrong(raw: &RawErrors, errors: &Errors, at: &At<'_>) -> BTreeMap<Breach, Arc<str>> {
    let none = RawWrong::default();
    let others = raw.wrong.as_ref().unwrap_or(&none);
    let within = at.key("wrong");
    let named = [
        (at, "missing_field", Breach::Missing, &raw.missing_field),
        (at, "unknown_cursor", Breach::UnknownCursor, &raw.unknown_cursor),
        (&within, "unreadable", Breach::Unreadable, &others.unreadable),
        (&within, "empty_string", Breach::EmptyString, &others.empty_string),
        (&within, "empty_list", Breach::EmptyList, &others.empty_list),
        (&within, "not_an_integer", Breach::NotAnInteger, &others.not_an_integer),
        (&within, "out_of_range", Breach::OutOfRange, &others.out_of_range),
        (&within, "both_cursors", Breach::BothCursors, &others.both_cursors),
    ];
    let mut found = BTreeMap::new();
    for (at, key, breach, name) in &named {
        let Some(name) = name else { continue };
        match errors.named.get_key_value(name.as_str()) {
            Some((name, _)) => drop(found.insert(*breach, Arc::clone(name))),
            None => unknown("error", name, errors.named.keys(), &at.key(key)),
        }
    }
    // Whoever gives an error the name of a use takes it for that one.
    let is_own = |key: &str| raw.named.as_ref().is_some_and(|named| named.contains_key(key));
    let is_used = |key: &str| found.values().any(|name| &**name == key);
    for (place, key, ..) in named.iter().filter(|(_, key, ..)| is_own(key) && !is_used(key)) {
        let line = if std::ptr::eq(*place, at) {
            format!("`{key}: {key}` beside `named`")
        } else {
            format!("`wrong: {{{key}: {key}}}` beside `named`")
        };
        at.key("named").key(key).note(
            format!("nothing under `errors` says that the error `{key}` is the one for that kind of wrong"),
            |d| d.key().cure(format!("add {line}, or give the error another name")),
        );
    }
    found
}

/// The standard errors by their statuses; of two with one status the first in the table.
fn usual_statuses(named: &BTreeMap<Arc<str>, ErrorSpec>) -> BTreeMap<u16, Arc<str>> {
    let mut statuses = BTreeMap::new();
    for one in &STANDARD {
        if let Some((name, spec)) = named.get_key_value(one.name) {
            statuses.entry(spec.status).or_insert_with(|| Arc::clone(name));
        }
    }
    statuses
}

fn spec(
    name: &str,
    raw: Option<&RawError>,
    shared: Option<&BTreeMap<String, Value>>,
    at: &At<'_>,
) -> Option<ErrorSpec> {
    let empty = RawError::default();
    let is_standard = STANDARD.iter().find(|one| one.name == name);
    let raw = raw.unwrap_or(&empty);
    let code = status(raw.status, 400, &at.key("status")).or(is_standard.map(|one| one.status));
    let Some(status) = code else {
        at.error("`status` is missing", |d| d.cure("say which status the error has"));
        return None;
    };
    let message = raw.message.as_deref().or(is_standard.map(|one| one.message)).unwrap_or(name);
    let mut values = shared.cloned().unwrap_or_default();
    values.extend(raw.values.clone().unwrap_or_default());
    let own: Vec<&str> = values.keys().map(String::as_str).collect();
    let known: Vec<&str> = ERROR_NAMES.into_iter().chain(own).collect();
    let headers = header_templates(raw.headers.as_ref(), &known, &at.key("headers"));
    let body = match &raw.body {
        None => None,
        Some(body) => Some(Tree::resolve(body, &known, &at.key("body"))?),
    };
    Some(ErrorSpec {
        status,
        code: raw.code.clone().unwrap_or_else(|| name.into()),
        message: Template::resolve(message, &WORDS, &at.key("message"))?,
        has_words: raw.message.is_some(),
        values: values.into_iter().collect(),
        headers,
        body,
    })
}
