//! A route of an API, ready to use: what it takes, what it does, what it answers.
//!
//! Pure functions from a [`Call`] and the objects it concerns to values; what has been committed is
//! known on a higher floor. **Invariant:** nothing here changes anything; the same context always gives
//! the same answer.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::call::{Call, NULL, without_mark};
use super::need::{FieldRule, Kind, Need, same};
use super::pointer::Pointer;
use super::policy::HeaderTemplate;
use crate::seed::Draw;
use crate::template::{Names, Template, TemplateError, Tree};

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name in scenarios and traces.
    pub name: Arc<str>,
    /// One sentence.
    pub summary: String,
    /// The method.
    pub method: Method,
    /// The path.
    pub pattern: Pattern,
    /// What else tells it from routes with the same method and path.
    pub discriminators: Vec<Discriminator>,
    /// The input that a workload hands to its operations unless it says otherwise; knows `n` and
    /// `submit`.
    pub input: Tree,
    /// The request that a built-in client makes of an input.
    pub request: RequestTemplate,
    /// What the API demands of requests.
    pub fields: Vec<(Pointer, FieldRule)>,
    /// The object that the route makes.
    pub creates: Option<Creates>,
    /// The object that the route reads or changes.
    pub uses: Option<Uses>,
    /// The objects that the route lists.
    pub lists: Option<Lists>,
    /// The side effect.
    pub effect: Option<EffectSpec>,
    /// True when the effect of the object that the route uses is undone.
    pub reverses: bool,
    /// The answer.
    pub success: SuccessSpec,
    /// What makes an answer usable.
    pub needs: Vec<(Pointer, Need)>,
    /// Fields of the answer that repeat what the request said.
    pub echoes: Vec<(Pointer, Source)>,
    /// Fields of the request that do not count when two requests are compared.
    pub volatile: Vec<Pointer>,
    /// True when the API gives this route idempotency keys.
    pub keyed: bool,
    /// True when repeating the request does no harm by its nature.
    pub natural: bool,
}

/// A path with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
}

/// A piece of a path between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Anything that is not empty, by this name.
    Parameter(String),
}

impl Pattern {
    /// Reads a pattern such as `/v1/charges/{id}`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` does not start with a slash"));
        };
        if text.contains(['?', '#', ' ']) {
            return Err(format!("`{text}` is no path: it holds `?`, `#` or a space"));
        }
        let segments = rest.split('/').map(|segment| {
            match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => {
                    Ok(Segment::Parameter(name.to_owned()))
                }
                None if !segment.contains(['{', '}']) => Ok(Segment::Literal(segment.to_owned())),
                Some(_) | None => Err(format!("`{segment}` is neither text nor `{{name}}`")),
            }
        });
        Ok(Self { text: text.to_owned(), segments: segments.collect::<Result<_, _>>()? })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The parameters of `path` (without query), as pairs of name and text still encoded; `None` when it
    /// does not match. A pattern without parameters allocates nothing.
    #[must_use]
    pub fn matches<'p>(&'p self, path: &'p str) -> Option<Vec<(&'p str, &'p str)>> {
        let mut found = Vec::new();
        let mut pieces = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            let piece = pieces.next()?;
            match segment {
                Segment::Literal(text) if text == piece => {}
                Segment::Parameter(name) if !piece.is_empty() => found.push((name.as_str(), piece)),
                Segment::Literal(_) | Segment::Parameter(_) => return None,
            }
        }
        pieces.next().is_none().then_some(found)
    }
}

/// What tells a route from others with the same method and path.
#[derive(Clone, Debug, PartialEq)]
pub enum Discriminator {
    /// A header has this value.
    Header(HeaderName, String),
    /// A field of the body has this value.
    Body(Pointer, Value),
}

/// Where a value of a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the body.
    Body(Pointer),
    /// A parameter of the path.
    Path(String),
    /// A parameter of the query.
    Query(String),
}

impl Source {
    /// The value.
    #[must_use]
    pub fn find<'c>(&self, call: &'c Call) -> Option<&'c Value> {
        match self {
            Self::Body(pointer) => pointer.find(call.body.as_ref()?),
            Self::Path(name) => call.path.get(name),
            Self::Query(name) => call.query.get(name),
        }
    }
}

/// How a built-in client makes a request of an input. Its templates know `input`, `n` and `submit`.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// The parameters of the path.
    pub path: Vec<(String, Template)>,
    /// The query.
    pub query: Vec<(String, Template)>,
    /// Headers beside those of authentication and content type.
    pub headers: Vec<HeaderTemplate>,
    /// The body.
    pub body: Option<Tree>,
}

/// The object that a route makes.
#[derive(Clone, Debug)]
pub struct Creates {
    /// Where it belongs.
    pub collection: Arc<str>,
    /// How its id looks.
    pub id: IdSpec,
    /// The object; its templates know `id` beside the usual names.
    pub fields: Tree,
}

/// How an id looks: a prefix and random letters and digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdSpec {
    /// What stands in front.
    pub prefix: String,
    /// How many letters and digits follow.
    pub random: usize,
}

impl IdSpec {
    /// The id that this draw gives.
    #[must_use]
    pub fn make(&self, draw: &mut Draw) -> Arc<str> {
        format!("{}{}", self.prefix, draw.alphanumeric(self.random)).into()
    }
}

/// The object that a route reads or changes.
#[derive(Clone, Debug)]
pub struct Uses {
    /// Where it belongs.
    pub collection: Arc<str>,
    /// Its id; a template over the request.
    pub id: Template,
    /// What must hold of it.
    pub when: Vec<(Pointer, Need)>,
    /// The name of the error when that does not hold.
    pub otherwise: Arc<str>,
    /// Fields that the route sets in it; `None` for one that only reads.
    pub set: Option<Tree>,
}

impl Uses {
    /// True when the object is in the state that the route needs.
    #[must_use]
    pub fn allows(&self, object: &Value) -> bool {
        self.when.iter().all(|(pointer, need)| need.check(pointer.find(object)).is_ok())
    }
}

/// The objects that a route lists.
#[derive(Clone, Debug)]
pub struct Lists {
    /// Where they belong.
    pub collection: Arc<str>,
    /// Query parameters, and the field of an object that must have their value.
    pub filters: Vec<(String, Pointer)>,
    /// The most objects in one answer.
    pub limit: usize,
    /// True when the newest object stands first.
    pub newest_first: bool,
}

impl Lists {
    /// True when the query asks for this object.
    #[must_use]
    pub fn takes(&self, call: &Call, object: &Value) -> bool {
        self.filters.iter().all(|(name, pointer)| match call.query.get(name) {
            None => true,
            Some(asked) => pointer.find(object).is_some_and(|found| same(found, asked)),
        })
    }

    /// How many objects the query asks for.
    #[must_use]
    pub fn limit(&self, call: &Call) -> usize {
        let asked = call.query("limit").and_then(|text| text.parse().ok());
        asked.map_or(self.limit, |asked: usize| asked.clamp(1, self.limit.max(1)))
    }
}

/// The side effect of a route.
#[derive(Clone, Debug)]
pub struct EffectSpec {
    /// What it is called in traces and reports.
    pub kind: Arc<str>,
    /// How much, in the smallest unit.
    pub amount: Option<Template>,
    /// The unit.
    pub unit: Option<Template>,
    /// True when somebody pays for it.
    pub billed: bool,
    /// What it is about.
    pub subject: Option<Template>,
    /// A list in the request: one effect for each item, which templates know as `item`.
    pub items: Option<Source>,
}

/// One effect, about to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectDraft {
    /// The kind.
    pub kind: Arc<str>,
    /// How much, in the smallest unit.
    pub amount: Option<i64>,
    /// The unit.
    pub unit: Option<Arc<str>>,
    /// What it is about.
    pub subject: Option<Arc<str>>,
}

/// The answer of a route that worked.
#[derive(Clone, Debug)]
pub struct SuccessSpec {
    /// The status.
    pub status: u16,
    /// Headers of its own.
    pub headers: Vec<HeaderTemplate>,
    /// The body; `None` for an answer without one.
    pub body: Option<Tree>,
}

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
}

/// What the templates of a route can ask for.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The request: `request` (the body), `path` and `query`.
    pub call: &'a Call,
    /// The id of a new object: `id`.
    pub id: Value,
    /// The object made, or the one read or changed: `object`.
    pub object: &'a Value,
    /// The object read or changed: `target`.
    pub target: &'a Value,
    /// The objects listed: `objects`.
    pub objects: Value,
    /// Now in whole seconds since 1970, by the clock that the client has: `now`.
    pub now: Value,
    /// Letters and digits that belong to this request alone: `request_id`.
    pub request_id: Value,
    /// What the limiter says (see [`super::LimitState::value`]): `rate_limit`; `null` without one.
    pub rate_limit: Value,
}

/// The names that a route's templates know.
pub const CONTEXT_NAMES: [&str; 10] = [
    "request",
    "path",
    "query",
    "id",
    "object",
    "target",
    "objects",
    "now",
    "request_id",
    "rate_limit",
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
            now: Value::from(now_s),
            request_id: Value::Null,
            rate_limit: Value::Null,
        }
    }

    fn names(&self) -> [(&str, &Value); 10] {
        [
            ("request", self.call.body()),
            ("object", self.object),
            ("id", &self.id),
            ("now", &self.now),
            ("path", &self.call.path),
            ("query", &self.call.query),
            ("target", self.target),
            ("objects", &self.objects),
            ("request_id", &self.request_id),
            ("rate_limit", &self.rate_limit),
        ]
    }
}

impl Route {
    /// True when the route declares a side effect.
    #[must_use]
    pub fn is_effectful(&self) -> bool {
        self.effect.is_some()
    }

    /// Gives the fields of a form the types that the API says they have.
    pub fn type_fields(&self, body: &mut Value) {
        for (pointer, rule) in &self.fields {
            let Some(kind) = rule.kind else { continue };
            if let Some(place) = pointer.find_mut(body)
                && let Some(text) = place.as_str()
                && let Some(value) = kind.from_text(text)
            {
                *place = value;
            }
        }
    }

    /// Checks a request against what the API demands.
    ///
    /// # Errors
    ///
    /// The field (empty for the body itself) and what is wrong with it.
    pub fn validate(&self, call: &Call) -> Result<(), (String, String)> {
        if call.body.is_none() && self.fields.iter().any(|(_, rule)| rule.required) {
            return Err((String::new(), "the body is missing or cannot be read".to_owned()));
        }
        for (pointer, rule) in &self.fields {
            if let Err(wrong) = rule.check(pointer.find(call.body())) {
                let field = pointer.steps().join(".");
                return Err((field.clone(), format!("{field} {wrong}")));
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

    /// The effects that the request has; `context.object` must be set where the route makes or uses one.
    ///
    /// # Errors
    ///
    /// When the request lacks something that an effect needs.
    pub fn effects(&self, context: &Context<'_>) -> Result<Vec<EffectDraft>, TemplateError> {
        let Some(spec) = &self.effect else { return Ok(Vec::new()) };
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
        let (body, usable) = match &self.success.body {
            None => (Bytes::new(), false),
            Some(tree) => {
                let body = match tree.find(&names) {
                    Some(found) => Cow::Borrowed(found),
                    None => Cow::Owned(tree.render(&names)?),
                };
                let usable = self.fits(&body, context.call).is_ok();
                // A value of serde_json has text keys only, so it can be written.
                (Bytes::from(serde_json::to_vec(&*body).unwrap_or_default()), usable)
            }
        };
        let headers = self.success_headers(&names)?;
        Ok(Written { status: self.success.status, headers, body, usable })
    }

    fn success_headers(&self, names: &Names<'_>) -> Result<HeaderMap, TemplateError> {
        let mut headers = HeaderMap::with_capacity(8);
        if self.success.body.is_some() {
            headers
                .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        write_headers(&self.success.headers, names, &mut headers)?;
        Ok(headers)
    }

    /// Whether an answer with a success status can be used: it parses, every need holds, and every echo
    /// that is present agrees with the request. A byte order mark and the media type do not matter.
    ///
    /// # Errors
    ///
    /// Why a client must not take it.
    pub fn usable(&self, body: &[u8], call: &Call) -> Result<(), String> {
        if self.needs.is_empty() && self.echoes.is_empty() {
            return Ok(());
        }
        let body = without_mark(body);
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err("the body is empty".to_owned());
        }
        let value: Value = serde_json::from_slice(body)
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
                let found = super::need::brief(found);
                let asked = super::need::brief(asked);
                return Err(format!("{pointer} is {found}, and {asked} was asked for"));
            }
        }
        Ok(())
    }

    /// The type of an answer's field, where the needs say one.
    #[must_use]
    pub fn answer_kind(&self, pointer: &str) -> Option<Kind> {
        self.needs.iter().find(|(at, _)| at.as_str() == pointer).and_then(|(_, need)| match need {
            Need::Kind(kind) => Some(*kind),
            Need::Present | Need::In(_) | Need::Equals(_) => None,
        })
    }
}

impl EffectSpec {
    fn draft(&self, names: &Names<'_>) -> Result<EffectDraft, TemplateError> {
        let amount = self.amount.as_ref().map(|amount| amount.value(names)).transpose()?;
        let amount = match amount {
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_i64(),
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
        })
    }
}

/// Renders headers into `out`; a value that cannot stand in a header is left out.
pub(super) fn write_headers(
    headers: &[HeaderTemplate],
    names: &Names<'_>,
    out: &mut HeaderMap,
) -> Result<(), TemplateError> {
    for (name, template) in headers {
        if let Ok(value) = HeaderValue::from_str(&template.text(names)?) {
            out.insert(name.clone(), value);
        }
    }
    Ok(())
}
