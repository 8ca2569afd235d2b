//! From an API file to an API: every name looked up, every template compiled, every problem reported.
//!
//! **Invariant:** an API comes out only if nothing was reported as an error.

mod batch;
mod error;
mod field;
mod job;
mod limit;
mod policy;
mod route;
mod stream;
mod upload;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::policy::{Auth, HeaderTemplate};
use super::raw::{RawApi, RawAuth, RawEncoding, RawSdk};
use super::{Api, Encoding, Extractor, Pointer, Sdk};
use crate::document::{At, Diagnostics};
use crate::template::Template;

/// The API that a file describes; reports below `at` all that is wrong with it.
pub(super) fn resolve(raw: &RawApi, at: &At<'_>) -> Option<Api> {
    if let Some(version) = raw.version.filter(|version| *version != 1) {
        at.key("version").error(format!("version {version} of the format is not known"), |d| {
            d.cure("write `version: 1`")
        });
    }
    let name = required(raw.name.as_deref(), "name", at);
    let encoding = encoding(raw.encoding.unwrap_or(RawEncoding::Json));
    let errors = error::errors(raw.errors.as_ref(), &at.key("errors"));
    let known = error::names(raw.errors.as_ref());
    let idempotency = match &raw.idempotency {
        None => None,
        Some(raw) => Some(policy::idempotency(raw, &known, &at.key("idempotency"))?),
    };
    let rate_limit =
        raw.rate_limit.as_ref().and_then(|raw| limit::rate_limit(raw, &at.key("rate_limit")));
    let queue = match &raw.queue {
        None => None,
        Some(raw) => Some(policy::queue(raw, &at.key("queue"))?),
    };
    let with = route::With {
        has_keys: idempotency.is_some(),
        has_queue: queue.is_some(),
        encoding,
        errors: &known,
    };
    let routes = route::routes(raw.routes.as_deref().unwrap_or_default(), &with, at);
    let headers =
        header_templates(raw.headers.as_ref(), &["request_id", "now"], &at.key("headers"));
    let asks = |template: &Template| template.names().contains("request_id");
    let mut api = Api {
        name: name.unwrap_or_default().into(),
        summary: raw.summary.clone().unwrap_or_default(),
        hosts: hosts(raw.hosts.as_deref().unwrap_or_default(), &at.key("hosts")),
        auth: raw.auth.as_ref().and_then(|raw| auth(raw, &at.key("auth"))),
        encoding,
        operation_id: extractors(raw, &at.key("operation_id")),
        naming: raw.naming.clone(),
        sdk: sdk(raw.sdk.as_ref(), &at.key("sdk")),
        idempotency,
        rate_limit,
        limit_headers: limit::limit_headers(raw, at),
        queue,
        errors: errors?,
        classes: policy::classes(raw.classes.as_ref(), &at.key("classes")),
        hint: policy::hint(raw.hint.as_ref(), &at.key("hint")),
        wants_request_id: headers.iter().any(|(_, template)| asks(template)),
        headers,
        client_env: environment(raw.client_env.as_ref(), &at.key("client_env")),
        webhooks: raw
            .webhooks
            .as_ref()
            .and_then(|raw| webhooks::webhooks(raw, &routes, &at.key("webhooks")))
            .map(Arc::new),
        cures: raw.cures.clone().unwrap_or_default(),
        settings: settings(raw.settings.as_ref(), &at.key("settings")),
        routes,
    };
    api.wants_request_id |= api.errors.wants_request_id()
        || api.routes.iter().any(|route| route::wants_request_id(route));
    Some(api)
}

const fn encoding(raw: RawEncoding) -> Encoding {
    match raw {
        RawEncoding::Json => Encoding::Json,
        RawEncoding::Form => Encoding::Form,
        RawEncoding::Multipart => Encoding::Multipart,
    }
}

/// What is left to the API's user. Nothing can be said of the type of `null`, and a scenario keeps to the type.
fn settings(raw: Option<&Map<String, Value>>, at: &At<'_>) -> Option<Arc<Value>> {
    for (name, _) in raw.into_iter().flatten().filter(|(_, value)| value.is_null()) {
        at.key(name).error(format!("the setting `{name}` has no value"), |d| {
            d.cure(
                "write what holds unless a scenario says otherwise, such as `{}`, `[]` or a text",
            )
        });
    }
    Some(Arc::new(Value::Object(raw?.clone())))
}

/// Runs `resolve` and gives what it gives only if it reported no error.
pub(super) fn all_or_nothing<T>(
    at: &At<'_>,
    resolve: impl FnOnce(&At<'_>) -> Option<T>,
) -> Option<T> {
    let problems = Diagnostics::new();
    let resolved = resolve(&problems.root());
    let failed = problems.has_errors();
    for problem in problems.into_vec() {
        at.adopt(problem);
    }
    resolved.filter(|_| !failed)
}

fn required<T>(value: Option<T>, key: &str, at: &At<'_>) -> Option<T> {
    if value.is_none() {
        at.error(format!("`{key}` is missing"), |d| d.cure(format!("add `{key}:`")));
    }
    value
}

fn hosts(raw: &[String], at: &At<'_>) -> Vec<String> {
    for (index, host) in raw.iter().enumerate() {
        if host.is_empty() || host.contains(['/', ':', ' ']) {
            at.index(index).error(format!("`{host}` is no host"), |d| {
                d.cure("write the name alone, without scheme, port or path: `api.example.com`")
            });
        }
    }
    raw.iter().map(|host| host.to_lowercase()).collect()
}

fn auth(raw: &RawAuth, at: &At<'_>) -> Option<Auth> {
    let header = raw.header.as_deref().unwrap_or("authorization");
    let token_in_key = raw.token_in_key.unwrap_or(false);
    let dummy = raw.dummy.clone().unwrap_or_else(|| "test_key".to_owned());
    if dummy.is_empty() || dummy.contains(|c: char| c == '~' || !c.is_ascii_graphic()) {
        at.key("dummy").error(format!("`{dummy}` cannot be a key"), |d| {
            d.cure("use visible ASCII characters without `~`, which separates an operation's token")
        });
    }
    Some(Auth {
        header: header_name(header, &at.key("header"))?,
        scheme: raw.scheme.clone(),
        after: raw.after.clone().filter(|text| !text.is_empty()),
        until: raw.until.clone().filter(|text| !text.is_empty()),
        token_in_key,
        required: raw.required.unwrap_or(true),
        dummy,
    })
}

fn sdk(raw: Option<&RawSdk>, at: &At<'_>) -> Sdk {
    let header =
        |name: Option<&String>, key: &str| name.and_then(|name| header_name(name, &at.key(key)));
    Sdk {
        call_id: header(raw.and_then(|raw| raw.call_id.as_ref()), "call_id"),
        retry_count: header(raw.and_then(|raw| raw.retry_count.as_ref()), "retry_count"),
    }
}

fn extractors(raw: &RawApi, at: &At<'_>) -> Vec<Extractor> {
    let Some(texts) = &raw.operation_id else { return Vec::new() };
    texts
        .iter()
        .filter_map(|(index, text)| {
            let at = index.map_or_else(|| at.clone(), |index| at.index(index));
            Extractor::parse(text)
                .map_err(|error| {
                    at.error(error, |d| {
                        d.cure(
                            "write `header:NAME`, `json:/POINTER`, `form:FIELD`, `query:NAME` or \
                             `traceparent`",
                        )
                    });
                })
                .ok()
        })
        .collect()
}

fn environment(raw: Option<&BTreeMap<String, String>>, at: &At<'_>) -> Vec<(String, Template)> {
    const NAMES: [&str; 4] = ["url", "key", "token", "seed"];
    raw.into_iter()
        .flatten()
        .filter_map(|(name, text)| {
            let at = at.key(name);
            if name.is_empty() || name.contains(['=', '\0']) {
                at.error(format!("`{name}` cannot be an environment variable"), |d| d.key());
            }
            Some((name.clone(), Template::resolve(text, &NAMES, &at)?))
        })
        .collect()
}

fn header_name(name: &str, at: &At<'_>) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| at.error(format!("`{name}` cannot be the name of a header"), |d| d))
        .ok()
}

fn header_value(text: &str, at: &At<'_>) -> Option<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| at.error(format!("`{text}` cannot be the value of a header"), |d| d))
        .ok()
}

fn header_templates(
    raw: Option<&BTreeMap<String, String>>,
    names: &[&str],
    at: &At<'_>,
) -> Vec<HeaderTemplate> {
    raw.into_iter()
        .flatten()
        .filter_map(|(name, text)| {
            let at = at.key(name);
            Some((header_name(name, &at)?, Template::resolve(text, names, &at)?))
        })
        .collect()
}

fn pointer(text: &str, at: &At<'_>) -> Option<Pointer> {
    let pointer = Pointer::new(text).filter(|_| !text.is_empty());
    if pointer.is_none() {
        at.error(format!("`{text}` is no JSON pointer"), |d| d.cure(format!("write `/{text}`")));
    }
    pointer
}

fn status(status: Option<u16>, least: u16, at: &At<'_>) -> Option<u16> {
    if let Some(wrong) = status.filter(|status| !(least..=999).contains(status)) {
        at.error(format!("{wrong} is out of range"), |d| d.cure(format!("use {least} to 999")));
    }
    status
}

/// Reports a word that is not among those allowed.
fn unknown<S: AsRef<str>>(
    what: impl Display,
    word: &str,
    allowed: impl IntoIterator<Item = S>,
    at: &At<'_>,
) {
    at.error(format!("there is no {what} `{word}`"), |d| d.allowed(word, allowed));
}
