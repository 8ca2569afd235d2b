//! The errors of an API, ready to render.
//!
//! Every API has the standard ones; a file may change each and add its own.
//! **Invariant:** every status can be rendered.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::answer::{Rendered, write_headers};
use super::need::Breach;
use super::policy::{HeaderTemplate, Refusal};
use crate::template::{Template, TemplateError, Tree};

/// The errors that the provider itself speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// The request is not as the API demands.
    InvalidRequest,
    /// No key, or one that the API does not know.
    Unauthorized,
    /// There is no such object.
    NotFound,
    /// There is no such route.
    UnknownRoute,
    /// The route is out of use.
    Gone,
    /// The state of the object does not allow it.
    Conflict,
    /// The first request with the idempotency key is still in progress.
    InFlight,
    /// The idempotency key came with another body.
    KeyMismatch,
    /// An idempotency key is required.
    KeyMissing,
    /// The idempotency key is longer than the API takes.
    KeyTooLong,
    /// Too many requests.
    RateLimited,
    /// Something went wrong.
    ServerError,
}

/// A standard error as every API has it: its name, status, code and message.
pub(super) struct StandardText {
    pub(super) standard: Standard,
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) message: &'static str,
}

const fn text(
    standard: Standard,
    name: &'static str,
    status: u16,
    message: &'static str,
) -> StandardText {
    StandardText { standard, name, status, message }
}

pub(super) const STANDARD: [StandardText; 12] = [
    text(Standard::InvalidRequest, "invalid_request", 400, "the request is not valid"),
    text(Standard::Unauthorized, "unauthorized", 401, "no API key was given, or it is not valid"),
    text(Standard::NotFound, "not_found", 404, "there is no such object"),
    text(Standard::UnknownRoute, "unknown_route", 404, "there is no such path"),
    text(Standard::Gone, "gone", 410, "this is out of use"),
    text(Standard::Conflict, "conflict", 409, "the state of the object does not allow it"),
    text(
        Standard::InFlight,
        "in_flight",
        409,
        "a request with this idempotency key is still in progress",
    ),
    text(
        Standard::KeyMismatch,
        "key_mismatch",
        422,
        "this idempotency key was used for another request",
    ),
    text(Standard::KeyMissing, "key_missing", 400, "an idempotency key is required"),
    text(Standard::KeyTooLong, "key_too_long", 400, "the idempotency key is too long"),
    text(Standard::RateLimited, "rate_limited", 429, "too many requests"),
    text(Standard::ServerError, "server_error", 500, "something went wrong"),
];

impl Standard {
    /// Its name in an API file.
    #[must_use]
    pub fn name(self) -> &'static str {
        STANDARD.iter().find(|one| one.standard == self).map_or("", |one| one.name)
    }
}

/// Which error is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// A standard one.
    Standard(Standard),
    /// One of the API's own, by name.
    Named(&'a str),
    /// One by name, perhaps with another status.
    Refusal(&'a Refusal),
    /// The one for this status.
    Status(u16),
}

/// One error.
#[derive(Clone, Debug)]
pub struct ErrorSpec {
    /// The status.
    pub status: u16,
    /// What a program reads.
    pub code: Value,
    /// What people read; may use `field`, `wrong`, `key` and `route`.
    pub message: Template,
    /// True when the file says what people read.
    pub has_words: bool,
    /// Further values that the body can ask for by name.
    pub values: Vec<(String, Value)>,
    /// Headers of its own.
    pub headers: Vec<HeaderTemplate>,
    /// A body of its own instead of the common one.
    pub body: Option<Tree>,
}

impl ErrorSpec {
    /// What people read; what it asks for and is not there is no word.
    fn words(&self, status: &Value, context: &ErrorContext<'_>) -> Result<String, TemplateError> {
        let ErrorContext { field, wrong, key, route, .. } = context;
        let [field, wrong, key, route] =
            [field, wrong, key, route].map(|text| Value::from(text.unwrap_or_default()));
        self.message.text(&[
            ("status", status),
            ("field", &field),
            ("wrong", &wrong),
            ("key", &key),
            ("route", &route),
        ])
    }
}

/// The names that what people read knows.
pub(super) const WORDS: [&str; 5] = ["status", "field", "wrong", "key", "route"];

/// All errors of an API.
#[derive(Clone, Debug)]
pub struct Errors {
    pub(super) body: Tree,
    pub(super) named: BTreeMap<Arc<str>, ErrorSpec>,
    /// The name of the error for a status.
    pub(super) statuses: BTreeMap<u16, Arc<str>>,
    /// The name of the error for the other statuses below 500.
    pub(super) other_4xx: Arc<str>,
    /// The name of the error for all other statuses.
    pub(super) other: Arc<str>,
    /// The names of the errors for kinds of wrong in a request.
    pub wrong: BTreeMap<Breach, Arc<str>>,
}

/// What an error can speak of; all of it may be left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorContext<'a> {
    /// A message instead of the error's own.
    pub message: Option<&'a str>,
    /// What is wrong with the request, for an error whose message asks for it.
    pub wrong: Option<&'a str>,
    /// A code instead of the error's own.
    pub code: Option<&'a str>,
    /// The field that is wrong.
    pub field: Option<&'a str>,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// Letters and digits that belong to this request alone.
    pub request_id: Option<&'a str>,
}

/// The names that the body of an error knows, beside the values of its own.
pub(super) const ERROR_NAMES: [&str; 7] =
    ["code", "message", "status", "field", "key", "route", "request_id"];

impl Errors {
    /// The error that is meant. A name that the API does not know means its server error.
    ///
    /// # Panics
    ///
    /// Never: resolving puts every standard error there.
    #[must_use]
    pub fn find(&self, which: Which<'_>) -> &ErrorSpec {
        let name = match which {
            Which::Standard(standard) => standard.name(),
            Which::Named(name) => name,
            Which::Refusal(refusal) => &refusal.error,
            Which::Status(status) => {
                self.statuses.get(&status).unwrap_or(if (400..500).contains(&status) {
                    &self.other_4xx
                } else {
                    &self.other
                })
            }
        };
        self.named
            .get(name)
            .or_else(|| self.named.get(Standard::ServerError.name()))
            .expect("resolving puts every standard error there")
    }

    /// The error for a kind of wrong, and whether it says what is wrong in words of its own; `own` is that of the
    /// field.
    #[must_use]
    pub fn of_breach<'a>(&'a self, breach: Breach, own: Option<&'a str>) -> (Which<'a>, bool) {
        let named = self.wrong.get(&breach).map(|name| &**name).or(own);
        named.map_or((Which::Standard(Standard::InvalidRequest), false), |name| {
            let which = Which::Named(name);
            (which, self.find(which).has_words)
        })
    }

    /// The name of the error with this code and status, the first by name where there are several.
    #[must_use]
    pub fn of_code(&self, code: &str, status: u16) -> Option<&str> {
        let mut named = self.named.iter();
        let found = named.find(|(_, spec)| spec.code == *code && spec.status == status);
        found.map(|(name, _)| &**name)
    }

    /// The names of all errors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(|name| &**name)
    }

    /// True when an answer asks for `request_id`.
    pub(super) fn wants_request_id(&self) -> bool {
        let asks = |tree: &Tree| tree.asks_for("request_id");
        asks(&self.body)
            || self.named.values().any(|spec| {
                spec.body.as_ref().is_some_and(asks)
                    || spec.headers.iter().any(|(_, one)| one.names().contains("request_id"))
            })
    }

    /// Renders an error.
    ///
    /// # Errors
    ///
    /// When its body asks for something that is not there.
    pub fn render(
        &self,
        which: Which<'_>,
        context: &ErrorContext<'_>,
    ) -> Result<Rendered, TemplateError> {
        let spec = self.find(which);
        let status = match which {
            Which::Status(status) => status,
            Which::Refusal(refusal) => refusal.status.unwrap_or(spec.status),
            Which::Standard(_) | Which::Named(_) => spec.status,
        };
        let word = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let (field, key, route) = (word(context.field), word(context.key), word(context.route));
        let request_id = word(context.request_id);
        let status_value = Value::from(status);
        let code = context.code.map_or_else(|| spec.code.clone(), Value::from);
        let message = match context.message {
            Some(message) => message.to_owned(),
            None => spec.words(&status_value, context)?,
        };
        let message = Value::from(message);
        let mut names: Vec<(&str, &Value)> =
            Vec::with_capacity(ERROR_NAMES.len() + spec.values.len());
        names.extend([
            ("status", &status_value),
            ("field", &field),
            ("key", &key),
            ("route", &route),
            ("request_id", &request_id),
            ("code", &code),
        ]);
        names.push(("message", &message));
        names.extend(spec.values.iter().map(|(name, value)| (name.as_str(), value)));
        let body = spec.body.as_ref().unwrap_or(&self.body).render(&names)?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        write_headers(&spec.headers, &names, &mut headers)?;
        Ok(Rendered { status, headers, body: Some(body) })
    }
}
