//! What a route makes of a request: checks, objects, effects and answers.
//!
//! Pure functions from a [`Call`] and the objects it concerns to values; what has been committed is
//! known on a higher floor. **Invariant:** nothing here changes anything; the same context always gives
//! the same answer.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::call::{Call, NULL, without_mark};
use super::need::{Breach, Kind, WrongField, brief, same};
use super::policy::HeaderTemplate;
use super::route::{EffectDraft, EffectSpec, Route};
use super::stream::StreamSpec;
use crate::json;
use crate::template::{Names, Template, TemplateError};

/// An answer, rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The status.
    pub status: u16,
    /// The headers, the content type among them.
    pub headers: HeaderMap,
    /// The body; `None` for an answer without one.
    pub body: Option<Value>,
}

/// An answer, written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The status.
    pub status: u16,
    /// The headers, the content type among them.
    pub headers: HeaderMap,
    /// The body; empty for an answer without one.
    pub body: Bytes,
    /// True when a client can certainly use the whole body; else [`Route::usable`] says.
    pub usable: bool,
    /// True when the body is the context's object as it stands.
    pub is_object: bool,
    /// True when the body is a stream of server-sent events.
    pub is_stream: bool,
}

/// As long as most answers are not, in bytes.
const USUAL_BYTES: usize = 512;

/// A value as JSON text.
#[must_use]
pub fn bytes(value: &Value) -> Bytes {
    // Room for most answers at once; what is kept of it is as long as it has to be.
    let mut text = Vec::with_capacity(USUAL_BYTES);
    match json::write(value, &mut text) {
        Ok(()) => Bytes::copy_from_slice(&text),
        // A value of serde_json has text keys only, so it can be written.
        Err(_) => Bytes::new(),
    }
}

/// What the templates of a route can ask for.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The request: `request` (the body), `path` and `query`, and what the user of the API chose: `settings`.
    pub call: &'a Call,
    /// The id of a new object: `id`.
    pub id: Value,
    /// The object made, or the one read or changed: `object`.
    pub object: &'a Value,
    /// The object read or changed: `target`.
    pub target: &'a Value,
    /// The objects listed: `objects`.
    pub objects: Value,
    /// Whether there are more of them than the answer holds: `has_more`; `null` for a route that lists nothing.
    pub has_more: Value,
    /// Now in whole seconds since 1970, by the clock that the client has: `now`.
    pub now: Value,
    /// Letters and digits that belong to this request alone: `request_id`.
    pub request_id: Value,
    /// What the limiter says (see [`super::LimitState::value`]): `rate_limit`; `null` without one.
    pub rate_limit: Value,
    /// The entries of a request with many items: `results`.
    pub results: Value,
}

/// The names that a route's templates know.
pub const CONTEXT_NAMES: [&str; 13] = [
    "request",
    "path",
    "query",
    "id",
    "object",
    "target",
    "objects",
    "has_more",
    "now",
    "request_id",
    "rate_limit",
    "results",
    "settings",
];

impl<'a> Context<'a> {
    /// A context that knows the request and the time.
    #[must_use]
    pub fn new(call: &'a Call, now_s: u64) -> Self {
        Self {
            call,
            id: Value::Null,
            object: &NULL,
            target: &NULL,
            objects: Value::Null,
            has_more: Value::Null,
            now: Value::from(now_s),
            request_id: Value::Null,
            rate_limit: Value::Null,
            results: Value::Null,
        }
    }

    pub(crate) fn names(&self) -> [(&str, &Value); 13] {
        [
            ("request", self.call.body()),
            ("object", self.object),
            ("id", &self.id),
            ("now", &self.now),
            ("path", &self.call.path),
            ("query", &self.call.query),
            ("target", self.target),
            ("objects", &self.objects),
            ("has_more", &self.has_more),
            ("request_id", &self.request_id),
            ("rate_limit", &self.rate_limit),
            ("results", &self.results),
            ("settings", self.call.settings()),
        ]
    }
}

impl Route {
    /// True when the route declares a side effect.
    #[must_use]
    pub fn is_effectful(&self) -> bool {
        self.effect.is_some()
    }

    /// True when the route shows objects and changes nothing.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        (self.uses.is_some() || self.lists.is_some()) && !self.does_work()
    }

    /// True when the route makes, changes or undoes something.
    #[must_use]
    pub fn does_work(&self) -> bool {
        let changes = self.uses.as_ref().is_some_and(|uses| uses.set.is_some());
        let makes = self.creates.is_some() || self.batch.is_some() || self.upload.is_some();
        let moves = self.removes || self.receives.is_some();
        self.effect.is_some() || makes || moves || self.reverses || changes
    }

    /// How this request is answered in a stream, if it is.
    #[must_use]
    pub fn stream_for(&self, call: &Call) -> Option<&StreamSpec> {
        self.stream.as_ref().filter(|stream| stream.answers(call))
    }

    /// Gives the fields of a form the types that the API says they have.
    pub fn type_fields(&self, body: &mut Value) {
        for (pointer, rule) in &self.fields {
            match pointer.find_mut(body) {
                Some(Value::Array(items)) => {
                    items.iter_mut().for_each(|item| type_text(item, &rule.items));
                }
                Some(place) => type_text(place, &rule.kinds),
                None => {}
            }
        }
    }

    /// Checks a request against what the API demands.
    ///
    /// # Errors
    ///
    /// The field and what is wrong with it.
    pub fn validate(&self, call: &Call) -> Result<(), WrongField> {
        let of_body =
            |message: &str| WrongField::new(Breach::Unreadable, String::new(), message.to_owned());
        if call.body.is_none() && self.fields.iter().any(|(_, rule)| rule.required) {
            return Err(of_body("the body is missing or cannot be read"));
        }
        if call.is_foreign {
            return Err(of_body("the body is not in the encoding of this route"));
        }
        for (pointer, rule) in &self.fields {
            let found = pointer.find(call.body());
            if let Err(wrong) = rule.check(found) {
                let field = pointer.steps().join(".");
                let own = rule.message.clone();
                return Err(WrongField {
                    message: own.unwrap_or_else(|| format!("{field} {}", wrong.words)),
                    field,
                    breach: wrong.breach,
                    error: rule.error.clone().filter(|_| wrong.breach != Breach::Missing),
                    has_words: rule.message.is_some(),
                });
            }
        }
        Ok(())
    }

    /// The id of the object that the request wants read or changed.
    ///
    /// # Errors
    ///
    /// When the request does not name it.
    pub fn used_id(&self, context: &Context<'_>) -> Result<Option<String>, TemplateError> {
        self.uses.as_ref().map(|uses| uses.id.text(&context.names())).transpose()
    }

    /// The object that the route makes; `context.id` must be set.
    ///
    /// # Errors
    ///
    /// When the request lacks something that the object needs.
    pub fn new_object(&self, context: &Context<'_>) -> Result<Option<Value>, TemplateError> {
        self.creates.as_ref().map(|creates| creates.fields.render(&context.names())).transpose()
    }

    /// True when the state of the object that the route uses (`context.target`) forbids what is asked.
    ///
    /// # Errors
    ///
    /// When the request lacks something that the answer depends on.
    pub fn is_forbidden(&self, context: &Context<'_>) -> Result<bool, TemplateError> {
        let Some(unless) = self.uses.as_ref().and_then(|uses| uses.unless.as_ref()) else {
            return Ok(false);
        };
        Ok(unless.value(&context.names())? == Value::Bool(true))
    }

    /// The id that the client chose for a new object, where it does.
    ///
    /// # Errors
    ///
    /// When the request does not name it.
    pub fn chosen_id(&self, context: &Context<'_>) -> Result<Option<String>, TemplateError> {
        let value = self.creates.as_ref().and_then(|creates| creates.id.value.as_ref());
        value.map(|value| value.text(&context.names())).transpose()
    }

    /// The object that the route uses (`context.target`) as it is afterwards; `None` when it is only
    /// read.
    ///
    /// # Errors
    ///
    /// When the request lacks something that the change needs.
    pub fn changed_object(&self, context: &Context<'_>) -> Result<Option<Value>, TemplateError> {
        let Some(set) = self.uses.as_ref().and_then(|uses| uses.set.as_ref()) else {
            return Ok(None);
        };
        let mut object = context.target.clone();
        if let (Value::Object(fields), Value::Object(new)) =
            (&mut object, set.render(&context.names())?)
        {
            fields.extend(new);
        }
        Ok(Some(object))
    }

    /// How much of the effect of the object that it uses the request undoes; `None` for all that is left.
    ///
    /// # Errors
    ///
    /// When the request lacks something that the amount needs.
    pub fn undone_amount(&self, context: &Context<'_>) -> Result<Option<i64>, TemplateError> {
        match self.uses.as_ref().and_then(|uses| uses.amount.as_ref()) {
            // What is no number is no amount that could be undone.
            Some(amount) => Ok(Some(whole_number(amount, &context.names())?.unwrap_or(0))),
            None => Ok(None),
        }
    }

    /// The effects that the request has beside those of a batch; `context.object` must be set where the route makes or uses one.
    ///
    /// # Errors
    ///
    /// When the request lacks something that an effect needs.
    pub fn effects(&self, context: &Context<'_>) -> Result<Vec<EffectDraft>, TemplateError> {
        let Some(spec) = self.effect.as_ref().filter(|_| self.batch.is_none()) else {
            return Ok(Vec::new());
        };
        let names = context.names();
        let Some(items) = &spec.items else { return Ok(vec![spec.draft(&names)?]) };
        let Some(Value::Array(items)) = items.find(context.call) else { return Ok(Vec::new()) };
        items
            .iter()
            .map(|item| {
                let mut with_item = vec![("item", item)];
                with_item.extend_from_slice(&names);
                spec.draft(&with_item)
            })
            .collect()
    }

    /// The answer of a request that worked.
    ///
    /// # Errors
    ///
    /// When the answer asks for something that is not there.
    pub fn success(&self, context: &Context<'_>) -> Result<Rendered, TemplateError> {
        let names = context.names();
        let body = self.success.body.as_ref().map(|body| body.render(&names)).transpose()?;
        let headers = self.success_headers(&names)?;
        Ok(Rendered { status: self.success.status, headers, body })
    }

    /// The answer of a success as its bytes, and whether it is known to be usable. The same as
    /// [`Route::success`], without a copy of an object that is answered as it stands.
    ///
    /// # Errors
    ///
    /// When the answer asks for something that is not there.
    pub fn written(&self, context: &Context<'_>) -> Result<Written, TemplateError> {
        let names = context.names();
        if let Some(stream) = self.stream_for(context.call) {
            return self.streamed(stream, &names);
        }
        let (body, usable, is_object) = match &self.success.body {
            None => (Bytes::new(), false, false),
            Some(tree) => {
                let body = match tree.find(&names) {
                    Some(found) => Cow::Borrowed(found),
                    None => Cow::Owned(tree.render(&names)?),
                };
                let usable = self.fits(&body, context.call).is_ok();
                let is_object = std::ptr::eq(&raw const *body, context.object);
                (bytes(&body), usable, is_object)
            }
        };
        let headers = self.success_headers(&names)?;
        let status = self.success.status;
        Ok(Written { status, headers, body, usable, is_object, is_stream: false })
    }

    fn streamed(&self, stream: &StreamSpec, names: &Names<'_>) -> Result<Written, TemplateError> {
        let body = Bytes::from(stream.written(names)?);
        let mut headers = HeaderMap::with_capacity(6);
        let media_type = HeaderValue::from_static("text/event-stream; charset=utf-8");
        headers.insert(http::header::CONTENT_TYPE, media_type);
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        write_headers(&self.success.headers, names, &mut headers)?;
        let usable = stream.judge(&body).is_ok();
        let status = self.success.status;
        Ok(Written { status, headers, body, usable, is_object: false, is_stream: true })
    }

    fn success_headers(&self, names: &Names<'_>) -> Result<HeaderMap, TemplateError> {
        // Room for what an answer usually has. A map for seven or more is so large that the allocator
        // takes a long way for it, which every request would pay.
        let mut headers = HeaderMap::with_capacity(6);
        if self.success.body.is_some() {
            headers
                .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        write_headers(&self.success.headers, names, &mut headers)?;
        Ok(headers)
    }

    /// True for a streamed answer of which so much was delivered that its reader may leave: see
    /// [`StreamSpec::says_all`].
    #[must_use]
    pub fn may_be_left(&self, body: &[u8], call: &Call) -> bool {
        self.stream_for(call).is_some_and(|stream| stream.says_all(body))
    }

    /// Whether an answer with a success status can be used: it parses, every need holds, and every echo
    /// that is present agrees with the request. A byte order mark, bytes that are no UTF-8 and the media
    /// type do not matter by themselves.
    ///
    /// # Errors
    ///
    /// Why a client must not take it.
    pub fn usable(&self, body: &[u8], call: &Call) -> Result<(), String> {
        if let Some(stream) = self.stream_for(call) {
            return stream.judge(body);
        }
        if self.needs.is_empty() && self.echoes.is_empty() {
            return Ok(());
        }
        let body = without_mark(body).trim_ascii_start();
        if body.is_empty() {
            return Err("the body is empty".to_owned());
        }
        // A reader may take a byte that is no UTF-8 for a character that is unknown.
        let value: Value = serde_json::from_slice(body)
            .or_else(|error| match String::from_utf8_lossy(body) {
                Cow::Owned(text) => serde_json::from_str(&text),
                Cow::Borrowed(_) => Err(error),
            })
            .map_err(|error| format!("the body is no JSON: {error}"))?;
        self.fits(&value, call)
    }

    /// Whether every need holds, and every echo that is present agrees with the request.
    fn fits(&self, value: &Value, call: &Call) -> Result<(), String> {
        for (pointer, need) in &self.needs {
            need.check(pointer.find(value)).map_err(|wrong| format!("{pointer} {wrong}"))?;
        }
        for (pointer, source) in &self.echoes {
            if let (Some(found), Some(asked)) = (pointer.find(value), source.find(call))
                && !same(found, asked)
            {
                let found = brief(found);
                let asked = brief(asked);
                return Err(format!("{pointer} is {found}, and {asked} was asked for"));
            }
        }
        Ok(())
    }
}

impl EffectSpec {
    pub(super) fn draft(&self, names: &Names<'_>) -> Result<EffectDraft, TemplateError> {
        let amount = match &self.amount {
            Some(amount) => whole_number(amount, names)?,
            None => None,
        };
        let text = |template: &Option<Template>| -> Result<Option<Arc<str>>, TemplateError> {
            template.as_ref().map(|one| one.text(names).map(Arc::from)).transpose()
        };
        let unit = text(&self.unit)?.map(|unit| Arc::from(unit.to_lowercase()));
        Ok(EffectDraft {
            kind: Arc::clone(&self.kind),
            amount,
            unit,
            subject: text(&self.subject)?,
            digest: text(&self.digest)?,
        })
    }
}

/// What a template says, as a whole number; `None` when it says something else.
fn whole_number(template: &Template, names: &Names<'_>) -> Result<Option<i64>, TemplateError> {
    let value = template.value(names)?;
    Ok(match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => value.as_i64(),
    })
}

/// Renders headers into `out`; a value that is empty or cannot stand in a header is left out.
pub(super) fn write_headers(
    headers: &[HeaderTemplate],
    names: &Names<'_>,
    out: &mut HeaderMap,
) -> Result<(), TemplateError> {
    for (name, template) in headers {
        let text = template.text(names)?;
        if let Some(value) = HeaderValue::from_str(&text).ok().filter(|_| !text.is_empty()) {
            out.insert(name.clone(), value);
        }
    }
    Ok(())
}

/// Gives a text of a form the type that the API says it has.
fn type_text(place: &mut Value, kinds: &[Kind]) {
    let typed = place.as_str().and_then(|text| kinds.iter().find_map(|kind| kind.from_text(text)));
    if let Some(value) = typed {
        *place = value;
    }
}
