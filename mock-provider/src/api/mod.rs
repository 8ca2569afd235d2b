//! The API of a provider, as data: routes, bodies, errors and policies.
//!
//! An API is a YAML file, shipped or the user's own: [`raw`] mirrors the file, the resolver turns it into
//! the types here, with everything looked up and every template compiled.
//! **Invariant:** no vendor is named in code. What a vendor does stands in its file.

mod answer;
mod batch;
mod build;
mod call;
mod error;
mod job;
mod limit;
mod load;
mod multipart;
mod need;
mod pointer;
mod policy;
pub mod raw;
mod resolve;
mod route;
mod stream;
mod upload;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::{Map, Value};

pub use answer::{CONTEXT_NAMES, Context, Rendered, Written, bytes};
pub use batch::{Batch, BatchSpec, Fate, ItemDone};
pub use build::Built;
pub use call::{
    Call, Encoding, canonical, decode, encode, hex, read_form, without_mark, write_form,
};
pub use error::{ErrorContext, ErrorSpec, Errors, Standard, Which};
pub use job::{JobFields, JobPace, JobSpec};
pub use limit::{Cost, LimitScope, LimitState, RateLimitPolicy, Told};
pub use load::{from_value, load, names, of_host, shipped, shipped_hosts};
pub use need::{Breach, FieldRule, Kind, Need, Wrong, WrongField, brief, same};
pub use pointer::{FieldName, Pointer};
pub use policy::{
    Auth, Classes, HeaderTemplate, IdempotencyPolicy, KeyCarrier, KeyScope, Refusal, Stores,
    usual_class,
};
pub use route::{
    Creates, Discriminator, EffectDraft, EffectSpec, IdSpec, Lists, Page, Pattern, RequestTemplate,
    Route, Segment, Source, SuccessSpec, Uses,
};
pub use stream::{ErrorEvent, EventChange, EventSpec, StreamSpec};
pub use upload::{UPLOAD_NAMES, UploadSpec};
pub use webhooks::{WEBHOOK_NAMES, Webhooks};

pub(crate) use multipart::hexadecimal;
#[cfg(test)]
pub(crate) use multipart::sha256;

use crate::event::Class;
use crate::template::{Template, TemplateError};

/// An API: routes, bodies, errors and policies.
#[derive(Clone, Debug)]
pub struct Api {
    /// Its name.
    pub name: Arc<str>,
    /// One sentence.
    pub summary: String,
    /// The hosts of the real thing, lower case: a request to one of them went past the mock.
    pub hosts: Vec<String>,
    /// How a client shows who it is; `None` where nobody asks.
    pub auth: Option<Auth>,
    /// How requests are encoded.
    pub encoding: Encoding,
    /// The routes, in file order.
    pub routes: Vec<Arc<Route>>,
    /// Where a request carries its operation: the first that is present counts.
    pub operation_id: Vec<Extractor>,
    /// How a client names its operation in each request, in words for whoever writes the client.
    pub naming: Option<String>,
    /// What the API's SDK says of itself.
    pub sdk: Sdk,
    /// How idempotency keys are treated; `None` where the API has none.
    pub idempotency: Option<IdempotencyPolicy>,
    /// The limit on requests; `None` for no limit.
    pub rate_limit: Option<RateLimitPolicy>,
    /// The headers in which every answer tells of the limiter; templates over
    /// [`LimitState::value`].
    pub limit_headers: Vec<HeaderTemplate>,
    /// The queue of messages; `None` for an API without one.
    pub queue: Option<QueuePolicy>,
    /// The errors.
    pub errors: Errors,
    /// Which answers mean what.
    pub classes: Classes,
    /// How retry hints are spelled beside `Retry-After`.
    pub hint: crate::hint::Dialect,
    /// Headers of every answer; templates that know `request_id` and `now`.
    pub headers: Vec<HeaderTemplate>,
    /// True when `headers` or a route asks for `request_id`, so that it is worth drawing.
    pub wants_request_id: bool,
    /// Environment variables that point an unmodified program at the mock; templates that know `url`
    /// (with the operation's token in it), `key` (likewise), `token` and `seed`.
    pub client_env: Vec<(String, Template)>,
    /// What its user chose; `None` where there is nothing to choose.
    pub settings: Option<Arc<Value>>,
    /// The events that it tells its users of.
    pub webhooks: Option<Arc<Webhooks>>,
    /// What to change in this vendor's SDK, by invariant.
    pub cures: BTreeMap<String, String>,
}

/// How a queue treats its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    /// The collection in which messages wait; the name of the queue.
    pub messages: Arc<str>,
    /// The collection to which a message goes that was received too often.
    pub dead_letters: Arc<str>,
    /// How long a message that was received is hidden from others, in microseconds.
    pub visibility_us: u64,
    /// How often a message is handed out before it goes to the dead letters, at least 1.
    pub max_receives: u32,
}

/// Where a request carries the name of its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extractor {
    /// A header, lower case.
    Header(String),
    /// A JSON pointer into the body.
    Json(String),
    /// A form field.
    Form(String),
    /// A query parameter.
    Query(String),
    /// The `traceparent` header.
    Traceparent,
}

impl Extractor {
    /// Reads `header:NAME`, `json:/POINTER`, `form:FIELD[INNER]`, `query:NAME` or `traceparent`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "traceparent" if rest.is_empty() => Ok(Self::Traceparent),
            "header" | "json" | "form" | "query" if rest.is_empty() => {
                Err(format!("`{text}` does not say where to look"))
            }
            "header" => http::HeaderName::from_bytes(rest.as_bytes())
                .map(|name| Self::Header(name.as_str().to_owned()))
                .map_err(|_| format!("`{rest}` cannot be the name of a header")),
            "json" if Pointer::new(rest).is_some() => Ok(Self::Json(rest.to_owned())),
            "json" => Err(format!("`{rest}` is no JSON pointer")),
            "form" => Ok(Self::Form(rest.to_owned())),
            "query" => Ok(Self::Query(rest.to_owned())),
            _ => Err(format!("`{text}` names no place in a request")),
        }
    }

    /// The place in words: the header `x-order`, the body's `/order`.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Header(name) => format!("the header `{name}`"),
            Self::Json(pointer) => format!("the body's `{pointer}`"),
            Self::Form(field) => format!("the form field `{field}`"),
            Self::Query(name) => format!("the query's `{name}`"),
            Self::Traceparent => "the header `traceparent`".to_owned(),
        }
    }

    /// The name of the field: the last step of the place. For `traceparent`, that word.
    #[must_use]
    pub fn last_name(&self) -> &str {
        match self {
            Self::Header(name) | Self::Query(name) => name,
            Self::Json(pointer) => pointer.rsplit('/').next().unwrap_or_default(),
            Self::Form(field) => {
                let field = field.trim_end_matches(']');
                field.rsplit(['[', ']']).next().unwrap_or_default()
            }
            Self::Traceparent => "traceparent",
        }
    }
}

/// A plain value as text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What an API's SDK says of itself in its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdk {
    /// A header that is the same in all attempts of one call.
    pub call_id: Option<http::HeaderName>,
    /// A header that counts the retries of one call, from 0.
    pub retry_count: Option<http::HeaderName>,
}

/// The parameters of a path: their names, and their text still encoded.
pub type Parameters<'a> = Vec<(&'a str, &'a str)>;

/// A request, read: its route and what it asks for.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The route; `None` where none matches.
    pub route: Option<Arc<Route>>,
    /// What it asks for.
    pub call: Call,
}

impl Api {
    /// The route of that name.
    #[must_use]
    pub fn route_named(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| &*route.name == name)
    }

    /// Reads a request: its route and what it asks for. `target` is the path and query without any
    /// operation token. The body of a form has the types that the route says.
    #[must_use]
    pub fn read(&self, method: &Method, target: &str, headers: &HeaderMap, body: &[u8]) -> Reading {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let said = Encoding::of(headers).filter(|said| self.takes(*said));
        let encoding = said.or_else(|| self.encoding_at(method, path)).unwrap_or(self.encoding);
        let is_blank = body.trim_ascii().is_empty();
        let mut body = encoding.read(body, headers);
        if is_blank && encoding == Encoding::Form {
            body = None;
        }
        let found = self.route(method, path, headers, body.as_ref());
        let (route, path) = match found {
            None => (None, Value::Null),
            Some((route, parameters)) => {
                let parameters = parameters
                    .into_iter()
                    .map(|(name, text)| (name.to_owned(), Value::String(decode(text.as_bytes()))));
                (Some(Arc::clone(route)), Value::Object(parameters.collect()))
            }
        };
        if let (Encoding::Form | Encoding::Multipart, Some(route), Some(body)) =
            (encoding, &route, &mut body)
        {
            route.type_fields(body);
        }
        let own = route.as_ref().and_then(|route| route.encoding).unwrap_or(self.encoding);
        if is_blank
            && encoding == own
            && own != Encoding::Multipart
            && route.as_ref().is_some_and(|route| !route.fields.is_empty())
        {
            // No bytes at all are a body without fields, of which the first that is required is missing.
            body = Some(Value::Object(Map::new()));
        }
        let has_files = |encoding: Encoding| encoding == Encoding::Multipart;
        let is_foreign = match (&route, &body) {
            (None, _) => false,
            (Some(_), Some(_)) => has_files(encoding) != has_files(own),
            // Bytes that cannot be read are no request without a body, where a body says something.
            (Some(route), None) => !is_blank && !route.fields.is_empty(),
        };
        let query =
            if query.is_empty() { Value::Object(Map::new()) } else { read_form(query.as_bytes()) };
        let settings = self.settings.clone();
        Reading { route, call: Call { path, query, body, is_foreign, settings } }
    }

    /// True when some route of it takes requests in this encoding.
    fn takes(&self, encoding: Encoding) -> bool {
        self.routes.iter().any(|route| route.encoding == Some(encoding))
    }

    /// The encoding of what stands at that path, where it is another than the API's and nobody says it: only a form
    /// with files says what it is.
    fn encoding_at(&self, method: &Method, path: &str) -> Option<Encoding> {
        let is_another =
            |encoding: Encoding| encoding != self.encoding && encoding != Encoding::Multipart;
        if !self.routes.iter().any(|route| route.encoding.is_some_and(is_another)) {
            return None;
        }
        let mut there = self.routes.iter();
        let there = there.find(|one| one.method == *method && one.pattern.matches(path).is_some());
        there?.encoding.filter(|encoding| is_another(*encoding))
    }

    /// The route of a request and the parameters of its path, still encoded. `path` has no query.
    #[must_use]
    pub fn route<'a>(
        &'a self,
        method: &Method,
        path: &'a str,
        headers: &HeaderMap,
        body: Option<&Value>,
    ) -> Option<(&'a Arc<Route>, Parameters<'a>)> {
        self.routes.iter().find_map(|route| {
            if route.method != *method {
                return None;
            }
            let parameters = route.pattern.matches(path)?;
            let told_apart = route.discriminators.iter().all(|one| match one {
                Discriminator::Header(name, value) => {
                    headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes())
                }
                Discriminator::Body(pointer, value) => {
                    let found = body.and_then(|body| pointer.find(body));
                    found.map_or(value.is_null(), |found| same(found, value))
                }
            });
            told_apart.then_some((route, parameters))
        })
    }

    /// The canonical bytes of a body: of a value with sorted keys and without white space and volatile
    /// fields, else the bytes as they are.
    #[must_use]
    pub fn canonical<'b>(&self, reading: &Reading, body: &'b [u8]) -> std::borrow::Cow<'b, [u8]> {
        match &reading.call.body {
            Some(value) => {
                let volatile = reading.route.as_ref().map_or(&[][..], |route| &route.volatile);
                canonical(value, volatile).into()
            }
            None => body.into(),
        }
    }

    /// The API's error of this name, or what is meant where it has none.
    #[must_use]
    pub fn named_or<'n>(&self, name: Option<&'n str>, otherwise: Which<'n>) -> Which<'n> {
        let known = name.filter(|name| self.errors.names().any(|known| known == *name));
        known.map_or(otherwise, Which::Named)
    }

    /// The code of an error that the API does not know: its name.
    #[must_use]
    pub fn code_of<'n>(&self, name: Option<&'n str>) -> Option<&'n str> {
        name.filter(|name| self.errors.names().all(|known| known != *name))
    }

    /// The class of an answer.
    #[must_use]
    pub fn class(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Class {
        self.classes.of(status, headers, body)
    }

    /// Adds the headers that every answer has.
    ///
    /// # Errors
    ///
    /// When a header asks for something that is not there.
    pub fn add_headers(
        &self,
        request_id: &str,
        now_s: u64,
        out: &mut HeaderMap,
    ) -> Result<(), TemplateError> {
        if self.headers.is_empty() {
            return Ok(());
        }
        let (request_id, now) = (Value::from(request_id), Value::from(now_s));
        answer::write_headers(&self.headers, &[("request_id", &request_id), ("now", &now)], out)
    }

    /// Adds the headers that tell of the limiter.
    ///
    /// # Errors
    ///
    /// When a header asks for something that is not there.
    pub fn add_limit_headers(
        &self,
        state: &LimitState,
        out: &mut HeaderMap,
    ) -> Result<(), TemplateError> {
        let value = state.value();
        let Value::Object(fields) = &value else { return Ok(()) };
        let names: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
        answer::write_headers(&self.limit_headers, &names, out)
    }

    /// The environment that points an unmodified program at the mock.
    ///
    /// # Errors
    ///
    /// When a variable asks for something that is not there.
    pub fn environment(
        &self,
        environment: &Environment<'_>,
    ) -> Result<Vec<(String, String)>, TemplateError> {
        let values = [environment.url, environment.key, environment.token].map(Value::from);
        let seed = Value::from(environment.seed);
        let names =
            [("url", &values[0]), ("key", &values[1]), ("token", &values[2]), ("seed", &seed)];
        self.client_env
            .iter()
            .map(|(name, template)| Ok((name.clone(), template.text(&names)?)))
            .collect()
    }

    /// What to change in this vendor's SDK so that the invariant holds.
    #[must_use]
    pub fn cure(&self, invariant: &str) -> Option<&str> {
        self.cures.get(invariant).map(String::as_str)
    }
}

/// What the variables of [`Api::environment`] are made of.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// The base URL, with the operation's token in exec mode.
    pub url: &'a str,
    /// The dummy key, with the operation's token in exec mode where the API allows it.
    pub key: &'a str,
    /// The operation's token with its tilde (`~op-0003.1`), or nothing.
    pub token: &'a str,
    /// The run's seed.
    pub seed: u64,
}

#[cfg(test)]
mod tests;
