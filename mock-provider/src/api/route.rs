//! A route of an API, ready to use: what it takes, what it does, what it answers.
//!
//! Data and small look-ups; what a route makes of a request stands beside it.
//! **Invariant:** whatever names something here (a collection, an error) has been looked up.

use std::sync::Arc;

use http::{HeaderName, Method};
use serde_json::Value;

use super::batch::BatchSpec;
use super::call::{Call, Encoding};
use super::job::JobSpec;
use super::need::{Breach, FieldRule, Need, WrongField, same};
use super::pointer::Pointer;
use super::policy::HeaderTemplate;
use super::stream::StreamSpec;
use super::upload::UploadSpec;
use crate::seed::Draw;
use crate::template::{Template, Tree};

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
    /// True when the job of the object that the route uses is stopped.
    pub cancels: bool,
    /// A list in the request, each item of which is done by itself.
    pub batch: Option<BatchSpec>,
    /// Pieces of a file, which is kept when it is whole.
    pub upload: Option<UploadSpec>,
    /// How its requests are encoded, where that is not as for the API.
    pub encoding: Option<Encoding>,
    /// Work that goes on behind the answer.
    pub job: Option<JobSpec>,
    /// True when the object that the route uses is taken away.
    pub removes: bool,
    /// The messages that the route hands out.
    pub receives: Option<Receives>,
    /// The answer.
    pub success: SuccessSpec,
    /// The answer in a stream, for the requests that ask for one.
    pub stream: Option<StreamSpec>,
    /// What makes an answer usable.
    pub needs: Vec<(Pointer, Need)>,
    /// Fields of the answer that repeat what the request said.
    pub echoes: Vec<(Pointer, Source)>,
    /// Fields of the request that do not count when two requests are compared.
    pub volatile: Vec<Pointer>,
    /// True when the API gives this route idempotency keys.
    pub keyed: bool,
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
    /// A field of the body has this value; with `null` it may be absent.
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
            Self::Query(name) => call.parameter(name),
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

/// How an id looks: a prefix and random letters and digits, or what the client chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct IdSpec {
    /// The id that the client chooses; a template over the request.
    pub value: Option<Template>,
    /// What stands in front.
    pub prefix: String,
    /// How many letters and digits follow.
    pub random: usize,
}

impl IdSpec {
    /// The id that this draw gives.
    #[must_use]
    pub fn make(&self, draw: &mut Draw) -> Arc<str> {
        let mut id = String::with_capacity(self.prefix.len() + self.random);
        id.push_str(&self.prefix);
        draw.push_alphanumeric(self.random, &mut id);
        id.into()
    }
}

/// The object that a route reads or changes.
#[derive(Clone, Debug)]
pub struct Uses {
    /// Where it belongs.
    pub collection: Arc<str>,
    /// Its id; a template over the request.
    pub id: Template,
    /// The name of the error when the request lacks what the id asks for.
    pub lacks: Option<Arc<str>>,
    /// True when the request is served without the object as well.
    pub optional: bool,
    /// Refuses the request where it gives true; a template over the request and the object.
    pub unless: Option<Template>,
    /// What must hold of it.
    pub when: Vec<(Pointer, Need)>,
    /// The name of the error when that does not hold.
    pub otherwise: Arc<str>,
    /// Fields that the route sets in it; `None` for one that only reads.
    pub set: Option<Tree>,
    /// Where an effect is undone, how much of it; `None` for all that is left.
    pub amount: Option<Template>,
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
    /// True when a query that asks for more is given so many.
    pub clamps: bool,
    /// The query parameter that says how many.
    pub size: String,
    /// How many of them without a word on it in the query.
    pub usual: usize,
    /// True when the newest object stands first.
    pub newest_first: bool,
    /// The query parameter that names the object behind which the answer begins.
    pub after: Option<String>,
    /// The query parameter that names the object before which the answer ends.
    pub before: Option<String>,
}

/// A page of a list: its objects, and whether there are more in the direction in which the query goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The objects, in the order of the answer.
    pub objects: Vec<T>,
    /// True when the list goes on.
    pub has_more: bool,
}

/// A parameter that names an object at which a page begins or ends.
struct Cursor<'c> {
    field: String,
    id: &'c str,
}

impl Lists {
    /// True when the query asks for this object.
    #[must_use]
    pub fn takes(&self, call: &Call, object: &Value) -> bool {
        self.filters.iter().all(|(name, pointer)| match call.parameter(name) {
            None => true,
            Some(asked) => pointer.find(object).is_some_and(|found| same(found, asked)),
        })
    }

    /// How many objects the query asks for.
    fn wanted(&self, call: &Call) -> Result<usize, WrongField> {
        let Some(text) = parameter(call, &self.size)? else { return Ok(self.usual) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let breach = match text {
            "" => Breach::EmptyString,
            _ if is_integer => Breach::OutOfRange,
            _ => Breach::NotAnInteger,
        };
        // What is too long for a number is a large one.
        let asked = text.parse().unwrap_or(if text == digits { usize::MAX } else { 0 });
        let most = if self.clamps { usize::MAX } else { self.limit };
        if is_integer && (1..=most).contains(&asked) {
            return Ok(asked.min(self.limit));
        }
        let range = match self.clamps {
            true => "of at least 1".to_owned(),
            false => format!("from 1 to {}", self.limit),
        };
        let message = format!("{} must be an integer {range}", self.size);
        Err(WrongField::new(breach, self.size.clone(), message))
    }

    /// The parameters that name objects, and what they name.
    fn cursors<'c>(&self, call: &'c Call) -> Result<[Option<Cursor<'c>>; 2], WrongField> {
        let named = |name: &Option<String>| {
            let Some(name) = name else { return Ok(None) };
            let id = parameter(call, name)?;
            Ok(id.map(|id| Cursor { field: name.clone(), id }))
        };
        let cursors = [named(&self.after)?, named(&self.before)?];
        if let [Some(after), Some(before)] = &cursors {
            let message = format!(
                "{} and {} were both given, and only one of them can be",
                after.field, before.field
            );
            return Err(WrongField::new(Breach::BothCursors, after.field.clone(), message));
        }
        Ok(cursors)
    }

    /// The page that the query asks for of a collection, oldest object first; `id` gives the id of an object, and
    /// `value` the object as the client sees it.
    ///
    /// # Errors
    ///
    /// When the query is not as it must be, or names an object that is not there.
    pub fn page<T>(
        &self,
        call: &Call,
        mut objects: Vec<T>,
        id: impl Fn(&T) -> &str,
        value: impl Fn(&T) -> &Value,
    ) -> Result<Page<T>, WrongField> {
        let wanted = self.wanted(call)?;
        let [after, before] = self.cursors(call)?;
        if self.newest_first {
            objects.reverse();
        }
        let place = |cursor: &Cursor<'_>| {
            let found = objects.iter().position(|one| id(one) == cursor.id);
            found.ok_or_else(|| {
                let id = brief_id(cursor.id);
                let message = format!("there is no such object to list from: '{id}'");
                WrongField::new(Breach::UnknownCursor, cursor.field.clone(), message)
            })
        };
        let start = after.as_ref().map_or(Ok(0), |cursor| place(cursor).map(|at| at + 1))?;
        let end = before.as_ref().map_or(Ok(objects.len()), place)?;
        objects.truncate(end);
        objects.drain(..start);
        objects.retain(|one| self.takes(call, value(one)));
        let over = objects.len().saturating_sub(wanted);
        // Whoever goes back wants what stands next to the object, and not the first of all.
        match before {
            Some(_) => drop(objects.drain(..over)),
            None => objects.truncate(objects.len() - over),
        }
        Ok(Page { objects, has_more: over > 0 })
    }
}

/// A parameter of the query that is a plain string, where it is there.
fn parameter<'c>(call: &'c Call, name: &str) -> Result<Option<&'c str>, WrongField> {
    let Some(value) = call.parameter(name) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| {
        let message = format!("{name} must be one plain value");
        WrongField::new(Breach::Other, name.to_owned(), message)
    })
}

/// The first characters of an id, which a client may have made as long as it likes.
fn brief_id(id: &str) -> String {
    id.chars().take(80).collect()
}

/// The messages that a route hands out.
#[derive(Clone, Debug)]
pub struct Receives {
    /// Where the request says how many.
    pub max: Option<Source>,
    /// The most in one answer, at least 1.
    pub limit: usize,
}

impl Receives {
    /// How many the request asks for.
    #[must_use]
    pub fn wanted(&self, call: &Call) -> usize {
        let asked = self.max.as_ref().and_then(|source| source.find(call));
        let asked = asked.and_then(super::text).and_then(|text| text.parse::<usize>().ok());
        asked.unwrap_or(1).clamp(1, self.limit.max(1))
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
    /// The SHA-256 of what was kept, in hexadecimal.
    pub digest: Option<Template>,
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
    /// The SHA-256 of what was kept, in hexadecimal.
    pub digest: Option<Arc<str>>,
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
