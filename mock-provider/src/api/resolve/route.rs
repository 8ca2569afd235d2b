//! The routes of an API file.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::super::answer::CONTEXT_NAMES;
use super::super::need::{Kind, Need};
use super::super::raw::{
    RawCreates, RawEffect, RawId, RawIdempotent, RawLists, RawNeed, RawReceives, RawRequest,
    RawRoute, RawSuccess, RawUses, RawWhen,
};
use super::super::route::{
    Creates, Discriminator, EffectSpec, IdSpec, Lists, Pattern, Receives, RequestTemplate, Route,
    Source, SuccessSpec, Uses,
};
use super::super::{Encoding, Pointer, Standard};
use super::{
    batch, encoding, field, header_name, header_templates, job, pointer, required, status, stream,
    unknown, upload,
};
use crate::document::{At, ScalarOr};
use crate::template::{Template, Tree};

/// What routes are resolved against.
pub(super) struct With<'a> {
    /// True when the API has idempotency keys.
    pub(super) has_keys: bool,
    /// True when the API has a queue.
    pub(super) has_queue: bool,
    /// How the API encodes its requests.
    pub(super) encoding: Encoding,
    /// The names of its errors.
    pub(super) errors: &'a [String],
}

pub(super) fn routes(raw: &[RawRoute], with: &With<'_>, at: &At<'_>) -> Vec<Arc<Route>> {
    let list = at.key("routes");
    if raw.is_empty() {
        at.error("an API without routes serves nothing", |d| d.cure("add a route under `routes:`"));
    }
    let mut routes: Vec<Arc<Route>> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = list.index(index);
        let Some(new) = route(raw, with, &at) else { continue };
        if routes.iter().any(|old| old.name == new.name) {
            at.key("name").error(format!("there are two routes `{}`", new.name), |d| d);
        }
        if let Some(old) = routes.iter().find(|old| is_read_otherwise(old, &new, with.encoding)) {
            at.key("encoding").error(
                format!("`{}` has the same method and path, and is read in another encoding", old.name),
                |d| d.cure("give both the same `encoding`, or `multipart` to one; what a client says of itself tells only that apart"),
            );
        }
        if let Some(old) = routes.iter().find(|old| hides(old, &new)) {
            at.key("path").error(
                format!("`{}` is never reached; `{}` takes its requests", new.name, old.name),
                |d| d.cure("put it before that route, or tell the two apart with `when`"),
            );
        }
        routes.push(Arc::new(new));
    }
    job::check_looks(&routes, &list);
    upload::check_begins(&routes, &list);
    routes
}

/// True when `old` takes every request that `new` could take.
fn hides(old: &Route, new: &Route) -> bool {
    stands_before(old, new) && old.discriminators.iter().all(|one| new.discriminators.contains(one))
}

/// True when the body of a request for `new` would be read as one for `old`.
fn is_read_otherwise(old: &Route, new: &Route, of_api: Encoding) -> bool {
    let [old_is, new_is] = [old, new].map(|route| route.encoding.unwrap_or(of_api));
    let is_said = |encoding: Encoding| encoding == Encoding::Multipart;
    stands_before(old, new) && old_is != new_is && !is_said(old_is) && !is_said(new_is)
}

/// True when every method and path of `new` is one of `old`.
fn stands_before(old: &Route, new: &Route) -> bool {
    use super::super::route::Segment;
    let covers = |(old, new): (&Segment, &Segment)| match (old, new) {
        (Segment::Parameter(_), _) => true,
        (Segment::Literal(old), Segment::Literal(new)) => old == new,
        (Segment::Literal(_), Segment::Parameter(_)) => false,
    };
    old.method == new.method
        && old.pattern.segments.len() == new.pattern.segments.len()
        && old.pattern.segments.iter().zip(&new.pattern.segments).all(covers)
}

fn route(raw: &RawRoute, with: &With<'_>, at: &At<'_>) -> Option<Route> {
    let name = required(raw.name.as_deref(), "name", at);
    let pattern = required(raw.path.as_deref(), "path", at).and_then(|path| {
        Pattern::new(path).map_err(|wrong| at.key("path").error(wrong, |d| d)).ok()
    });
    let pattern = pattern?;
    let method = method(raw.method.as_deref().unwrap_or("GET"), &at.key("method"))?;
    let reach = Reach { pattern: &pattern };
    let (used, does) = uses(raw, &reach, with, at);
    let creates = raw.creates.as_ref().and_then(|raw| creates(raw, &at.key("creates")));
    let lists = raw.lists.as_ref().and_then(|raw| lists(raw, &at.key("lists")));
    let effect = raw.effect.as_ref().and_then(|raw| effect(raw, &reach, &at.key("effect")));
    let has_object = creates.is_some() || used.is_some();
    let usual = has_object.then(|| Value::from("{{ object }}"));
    let success = success(raw.success.as_ref(), usual.as_ref(), at)?;
    let input = raw.input.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let route = Route {
        name: name?.into(),
        summary: raw.summary.clone().unwrap_or_default(),
        discriminators: discriminators(raw.when.as_ref(), &at.key("when")),
        input: Tree::resolve(&input, &["n", "submit", "planted"], &at.key("input"))?,
        request: request(raw.request.as_ref(), &pattern, &at.key("request"))?,
        fields: field::fields(raw.fields.as_ref(), with.errors, &at.key("fields")),
        creates,
        uses: used,
        lists,
        effect,
        reverses: does == Some("reverses"),
        cancels: does == Some("cancels"),
        removes: does == Some("removes"),
        batch: match &raw.batch {
            None => None,
            Some(batch) => Some(batch::batch(batch, raw, &at.key("batch"))?),
        },
        upload: match &raw.upload {
            None => None,
            Some(raw) => Some(upload::upload(raw, &reach, with, &at.key("upload"))?),
        },
        encoding: raw.encoding.map(encoding),
        job: match &raw.job {
            None => None,
            Some(job) => Some(job::job(job, raw, &at.key("job"))?),
        },
        receives: match &raw.receives {
            None => None,
            Some(raw) => Some(receives(raw, &reach, with, &at.key("receives"))?),
        },
        success,
        stream: match &raw.stream {
            None => None,
            Some(raw) => Some(stream::stream(raw, with.errors, &at.key("stream"))?),
        },
        needs: needs(raw.needs.as_ref(), &at.key("needs")),
        echoes: echoes(raw.echoes.as_ref(), &reach, &at.key("echoes")),
        volatile: pointers(raw.volatile.as_deref(), &at.key("volatile")),
        keyed: keyed(raw.idempotent, &method, with, &at.key("idempotent")),
        pattern,
        method,
    };
    Some(route)
}

fn method(text: &str, at: &At<'_>) -> Option<Method> {
    let upper = text.to_ascii_uppercase();
    let method = Method::from_bytes(upper.as_bytes()).ok();
    if method.is_none() {
        at.error(format!("`{text}` is no method"), |d| d);
    }
    method
}

fn keyed(raw: Option<RawIdempotent>, method: &Method, with: &With<'_>, at: &At<'_>) -> bool {
    match raw {
        Some(RawIdempotent::Key) if !with.has_keys => {
            at.error("the API has no idempotency keys", |d| {
                d.cure("add `idempotency:` to the API")
            });
            false
        }
        Some(RawIdempotent::Key) => true,
        Some(RawIdempotent::None | RawIdempotent::Natural) => false,
        None => with.has_keys && *method != Method::GET && *method != Method::HEAD,
    }
}

/// What a text that reaches into a request is resolved against.
pub(super) struct Reach<'a> {
    pattern: &'a Pattern,
}

impl Reach<'_> {
    /// `/POINTER`, `path:NAME` or `query:NAME`.
    fn source(&self, text: &str, at: &At<'_>) -> Option<Source> {
        if let Some(name) = text.strip_prefix("path:") {
            if !self.pattern.parameters().any(|known| known == name) {
                unknown("parameter in the path", name, self.pattern.parameters(), at);
            }
            return Some(Source::Path(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("query:") {
            return Some(Source::Query(name.to_owned()));
        }
        pointer(text, at).map(Source::Body)
    }

    /// The same, or a template; with `word` also plain text.
    pub(super) fn template(&self, text: &str, at: &At<'_>) -> Option<Template> {
        let mut names = CONTEXT_NAMES.to_vec();
        names.push("item");
        if !text.starts_with('/') && !text.starts_with("path:") && !text.starts_with("query:") {
            return Template::resolve(text, &names, at);
        }
        let steps: Vec<String> = match self.source(text, at)? {
            Source::Body(pointer) => {
                std::iter::once("request".to_owned()).chain(pointer.steps().to_vec()).collect()
            }
            Source::Path(name) => vec!["path".to_owned(), name],
            Source::Query(name) => vec!["query".to_owned(), name],
        };
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        Template::path(&steps).map_err(|error| at.error(error.to_string(), |d| d)).ok()
    }
}

fn discriminators(raw: Option<&RawWhen>, at: &At<'_>) -> Vec<Discriminator> {
    let Some(raw) = raw else { return Vec::new() };
    let headers = raw.headers.iter().flatten().filter_map(|(name, value)| {
        let name = header_name(name, &at.key("headers").key(name))?;
        Some(Discriminator::Header(name, value.clone()))
    });
    let body = raw.body.iter().flatten().filter_map(|(text, value)| {
        let pointer = pointer(text, &at.key("body").key(text))?;
        Some(Discriminator::Body(pointer, value.clone()))
    });
    headers.chain(body).collect()
}

/// What the templates of a built-in client's request know.
const INPUT_NAMES: [&str; 3] = ["input", "n", "submit"];

fn request(raw: Option<&RawRequest>, pattern: &Pattern, at: &At<'_>) -> Option<RequestTemplate> {
    let empty = RawRequest::default();
    let raw = raw.unwrap_or(&empty);
    let templates = |map: &Option<BTreeMap<String, String>>, key: &str| -> Vec<_> {
        let at = at.key(key);
        let pairs = map.iter().flatten().filter_map(|(name, text)| {
            Some((name.clone(), Template::resolve(text, &INPUT_NAMES, &at.key(name))?))
        });
        pairs.collect()
    };
    let mut path = templates(&raw.path, "path");
    for (name, _) in &path {
        if !pattern.parameters().any(|known| known == name) {
            unknown("parameter in the path", name, pattern.parameters(), &at.key("path").key(name));
        }
    }
    for name in pattern.parameters() {
        // Unless said otherwise a parameter is the field of the input with the same name.
        if !path.iter().any(|(known, _)| known == name) {
            path.push((name.to_owned(), Template::path(&["input", name]).ok()?));
        }
    }
    let body = match &raw.body {
        None => None,
        Some(body) => Some(Tree::resolve(body, &INPUT_NAMES, &at.key("body"))?),
    };
    let headers = header_templates(raw.headers.as_ref(), &INPUT_NAMES, &at.key("headers"));
    Some(RequestTemplate { path, query: templates(&raw.query, "query"), headers, body })
}

pub(super) fn needs(
    raw: Option<&BTreeMap<String, ScalarOr<String, RawNeed>>>,
    at: &At<'_>,
) -> Vec<(Pointer, Need)> {
    let resolved = raw.into_iter().flatten().filter_map(|(text, raw)| {
        let at = at.key(text);
        Some((pointer(text, &at)?, need(raw, &at)?))
    });
    resolved.collect()
}

fn need(raw: &ScalarOr<String, RawNeed>, at: &At<'_>) -> Option<Need> {
    match raw {
        ScalarOr::Scalar(word) if word == "present" => Some(Need::Present),
        ScalarOr::Scalar(word) => {
            let found = Kind::ALL.iter().find(|(name, _)| name == word);
            if found.is_none() {
                let words = Kind::ALL.iter().map(|(name, _)| *name).chain(["present"]);
                unknown("type", word, words, at);
            }
            found.map(|(_, kind)| Need::Kind(*kind))
        }
        ScalarOr::Map(raw) => match (&raw.one_of, &raw.equals, &raw.min) {
            (Some(values), None, None) if !values.is_empty() => Some(Need::In(values.clone())),
            (None, Some(value), None) => Some(Need::Equals(value.clone())),
            (None, None, Some(least)) if least.as_f64().is_some_and(|it| it > 0.0) => {
                Some(Need::Least(least.clone()))
            }
            (None, None, Some(least)) => {
                at.key("min").error(format!("`{least}` is not above zero"), |d| {
                    d.cure("say `number` where any number will do")
                });
                None
            }
            (_, _, _) => {
                at.error("a need says exactly one of `in: […]`, `equals: …` and `min: …`", |d| d);
                None
            }
        },
    }
}

fn echoes(
    raw: Option<&BTreeMap<String, String>>,
    reach: &Reach<'_>,
    at: &At<'_>,
) -> Vec<(Pointer, Source)> {
    let resolved = raw.into_iter().flatten().filter_map(|(text, source)| {
        let at = at.key(text);
        Some((pointer(text, &at)?, reach.source(source, &at)?))
    });
    resolved.collect()
}

fn pointers(raw: Option<&[String]>, at: &At<'_>) -> Vec<Pointer> {
    let texts = raw.unwrap_or_default().iter().enumerate();
    texts.filter_map(|(index, text)| pointer(text, &at.index(index))).collect()
}

fn creates(raw: &RawCreates, at: &At<'_>) -> Option<Creates> {
    let collection = required(raw.collection.as_deref(), "collection", at);
    let fields = required(raw.fields.as_ref(), "fields", at);
    let id = id(raw.id.as_ref(), &at.key("id"));
    Some(Creates {
        fields: Tree::resolve(fields?, &CONTEXT_NAMES, &at.key("fields"))?,
        collection: collection?.into(),
        id: id?,
    })
}

/// How an id looks.
pub(super) fn id(raw: Option<&RawId>, at: &At<'_>) -> Option<IdSpec> {
    let id = raw.cloned().unwrap_or_default();
    let random = id.random.unwrap_or(24);
    if !(8..=64).contains(&random) {
        at.key("random").error(format!("{random} is out of range"), |d| {
            d.cure("use 8 to 64: with fewer, two ids could be the same")
        });
    }
    let value = match &id.value {
        None => None,
        Some(text) => Some(Template::resolve(text, &CONTEXT_NAMES, &at.key("value"))?),
    };
    Some(IdSpec {
        value,
        prefix: id.prefix.unwrap_or_default(),
        random: usize::try_from(random).ok()?,
    })
}

/// The one object that a route uses, under the key that says what for.
fn one_use<'r>(raw: &'r RawRoute, at: &At<'_>) -> Option<(&'static str, &'r RawUses)> {
    let given: Vec<_> = [
        ("reads", &raw.reads),
        ("changes", &raw.changes),
        ("reverses", &raw.reverses),
        ("cancels", &raw.cancels),
        ("removes", &raw.removes),
    ]
    .into_iter()
    .filter_map(|(key, raw)| Some((key, raw.as_ref()?)))
    .collect();
    match given.as_slice() {
        [] => None,
        [one] => Some(*one),
        [_, (second, _), ..] => {
            at.key(second).error("a route uses one object", |d| {
                d.key().cure("keep one of `reads`, `changes`, `reverses`, `cancels` and `removes`")
            });
            None
        }
    }
}

/// The object that the route uses, and by which word.
fn uses(
    raw: &RawRoute,
    reach: &Reach<'_>,
    with: &With<'_>,
    at: &At<'_>,
) -> (Option<Uses>, Option<&'static str>) {
    let Some((key, raw)) = one_use(raw, at) else { return (None, None) };
    let at = at.key(key);
    if key == "reads" && raw.set.is_some() {
        at.key("set").error("a route that reads sets nothing", |d| {
            d.key().cure("say `changes` instead of `reads`")
        });
    }
    if key != "reverses" && raw.amount.is_some() {
        at.key("amount").error("only a route that undoes an effect has an amount here", |d| {
            d.key().cure(format!("say `reverses` instead of `{key}`, or leave `amount` out"))
        });
    }
    let amount = match &raw.amount {
        None => Some(None),
        Some(text) => reach.template(text, &at.key("amount")).map(Some),
    };
    let unless = match &raw.unless {
        None => Some(None),
        Some(text) => reach.template(text, &at.key("unless")).map(Some),
    };
    let otherwise = raw.otherwise.as_deref().unwrap_or(Standard::Conflict.name());
    for (key, name) in [("otherwise", Some(otherwise)), ("lacks", raw.lacks.as_deref())] {
        if let Some(name) = name.filter(|name| with.errors.iter().all(|known| known != name)) {
            unknown("error", name, with.errors, &at.key(key));
        }
    }
    let collection = required(raw.collection.as_deref(), "collection", &at);
    let id =
        required(raw.id.as_deref(), "id", &at).and_then(|id| reach.template(id, &at.key("id")));
    let set = match &raw.set {
        None => Some(None),
        Some(set) if set.is_object() => {
            Tree::resolve(set, &CONTEXT_NAMES, &at.key("set")).map(Some)
        }
        Some(_) => {
            at.key("set").error("`set` is a map of fields", |d| d);
            None
        }
    };
    let uses = || {
        Some(Uses {
            collection: collection?.into(),
            id: id?,
            lacks: raw.lacks.as_deref().map(Arc::from),
            optional: raw.optional.unwrap_or(false),
            unless: unless?,
            when: needs(raw.when.as_ref(), &at.key("when")),
            otherwise: otherwise.into(),
            set: set?,
            amount: amount?,
        })
    };
    (uses(), Some(key))
}

fn lists(raw: &RawLists, at: &At<'_>) -> Option<Lists> {
    let collection = required(raw.collection.as_deref(), "collection", at);
    let filters = raw.filters.iter().flatten().filter_map(|(name, text)| {
        Some((name.clone(), pointer(text, &at.key("filters").key(name))?))
    });
    let limit = raw.limit.unwrap_or(100);
    let usual = raw.usual.unwrap_or(limit);
    if limit == 0 {
        at.key("limit")
            .error("`limit` is 0, so that nothing is ever listed", |d| d.cure("use at least 1"));
    } else if !(1..=limit).contains(&usual) {
        let most = if raw.limit.is_some() { "`limit`" } else { "the usual `limit`" };
        at.key("usual").error(
            format!("{usual} is out of range: {most}, the most objects in one answer, is {limit}"),
            |d| d.cure(format!("use 1 to {limit}, or change `limit`")),
        );
    }
    let size = raw.size.as_deref().unwrap_or("limit");
    check_parameters(raw, size, at);
    Some(Lists {
        filters: filters.collect(),
        collection: collection?.into(),
        limit: usize::try_from(limit).ok()?,
        clamps: raw.clamp.unwrap_or(false),
        size: size.to_owned(),
        usual: usize::try_from(usual).ok()?,
        newest_first: raw.newest_first.unwrap_or(false),
        after: raw.after.clone(),
        before: raw.before.clone(),
    })
}

/// Reports a query parameter without a name, or with one that another has: only one of the two would be read.
fn check_parameters(raw: &RawLists, size: &str, at: &At<'_>) {
    let named =
        [("size", Some(size)), ("after", raw.after.as_deref()), ("before", raw.before.as_deref())];
    let named = named.into_iter().filter_map(|(key, name)| Some((at.key(key), name?)));
    let filters = raw.filters.iter().flatten();
    let filters = filters.map(|(name, _)| (at.key("filters").key(name), name.as_str()));
    let mut known: Vec<&str> = Vec::new();
    for (at, name) in named.chain(filters) {
        if name.is_empty() {
            at.error("a query parameter has no name", |d| {
                d.cure("write the name that clients send")
            });
        } else if known.contains(&name) {
            at.error(format!("the query parameter `{name}` has another meaning already"), |d| {
                d.cure("give each of `size` (`limit` unless said otherwise), `after`, `before` and `filters` a name of its own")
            });
        }
        known.push(name);
    }
}

fn receives(
    raw: &RawReceives,
    reach: &Reach<'_>,
    with: &With<'_>,
    at: &At<'_>,
) -> Option<Receives> {
    if !with.has_queue {
        at.error("the API has no queue to receive from", |d| {
            d.key().cure("add `queue: {messages: …, dead_letters: …}` to the API")
        });
    }
    let limit = raw.limit.unwrap_or(10);
    if limit == 0 {
        at.key("limit")
            .error("`limit` is 0, so that nothing is ever received", |d| d.cure("use at least 1"));
    }
    let max = match &raw.max {
        None => None,
        Some(text) => Some(reach.source(text, &at.key("max"))?),
    };
    Some(Receives { max, limit: usize::try_from(limit).ok()? })
}

fn effect(raw: &RawEffect, reach: &Reach<'_>, at: &At<'_>) -> Option<EffectSpec> {
    let kind = required(raw.kind.as_deref(), "kind", at);
    let template = |text: &Option<String>, key: &str| match text {
        None => Some(None),
        Some(text) => reach.template(text, &at.key(key)).map(Some),
    };
    let billed = raw.billed.unwrap_or(false);
    if billed {
        for (key, missing) in [("amount", raw.amount.is_none()), ("unit", raw.unit.is_none())] {
            if missing {
                at.error(format!("a billed effect has no `{key}`"), |d| {
                    d.cure(format!("say `{key}:`, or leave `billed` out"))
                });
            }
        }
    }
    let items = match &raw.items {
        None => None,
        Some(text) => Some(reach.source(text, &at.key("items"))?),
    };
    Some(EffectSpec {
        amount: template(&raw.amount, "amount")?,
        unit: template(&raw.unit, "unit")?,
        subject: template(&raw.subject, "subject")?,
        digest: template(&raw.digest, "digest")?,
        kind: kind?.into(),
        billed,
        items,
    })
}

fn success(raw: Option<&RawSuccess>, usual: Option<&Value>, at: &At<'_>) -> Option<SuccessSpec> {
    let empty = RawSuccess::default();
    let at = at.key("success");
    let raw = raw.unwrap_or(&empty);
    let code = status(raw.status, 200, &at.key("status")).unwrap_or(200);
    let body = match raw.body.as_ref().or(usual) {
        Some(body) => Some(Tree::resolve(body, &CONTEXT_NAMES, &at.key("body"))?),
        None => None,
    };
    let headers = header_templates(raw.headers.as_ref(), &CONTEXT_NAMES, &at.key("headers"));
    Some(SuccessSpec { status: code, headers, body })
}

/// True when the answer or the object of a route asks for `request_id`.
pub(super) fn wants_request_id(route: &Route) -> bool {
    let asks = |tree: &Tree| tree.asks_for("request_id");
    route.stream.iter().flat_map(|stream| &stream.events).any(|event| asks(&event.data))
        || route.success.body.as_ref().is_some_and(asks)
        || route.creates.as_ref().is_some_and(|creates| asks(&creates.fields))
        || route.success.headers.iter().any(|(_, one)| one.names().contains("request_id"))
}
