//! A usable answer of a route, made of nothing but what the API says makes one usable: to find out, before
//! anything runs, whether a client could see that an answer is malformed.
//!
//! **Invariant:** a sample is usable by the route's own rules, or there is none.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::{Own, mangle};
use crate::api::{Api, Call, ErrorContext, Kind as FieldKind, Need, Pointer, Route, Source, Which};
use crate::fault::Malformed;

/// A request and a usable answer to it.
struct Sample {
    call: Call,
    body: Bytes,
}

/// True when a client of this route that knows what it needs and what it asked for cannot tell the
/// malformed answer from a good one.
#[must_use]
pub fn is_undetectable(how: &Malformed, api: &Api, route: &Route) -> bool {
    let context = ErrorContext::default();
    let error = api.errors.render(Which::Status(500), &context).ok().and_then(|it| it.body);
    let error = Bytes::from(error.unwrap_or_default().to_string());
    let shape = Shape::of(route);
    // How large something is does not change what it says.
    let how = Malformed { size: 64, ..how.clone() };
    // A field of which the API says no type may hold a number or a text; one that shows it is enough.
    let field = how.field.as_deref().and_then(Pointer::new);
    let samples: Vec<Sample> = [Value::from(1999), Value::from("order-3")]
        .iter()
        .filter_map(|open| sample(route, field.as_ref(), open))
        .collect();
    !samples.is_empty()
        && samples.iter().all(|sample| {
            let own = shape.own(&sample.body, &error);
            let mangled = mangle(&how, &own);
            !mangled.gzip && route.usable(&mangled.body, &sample.call).is_ok()
        })
}

/// What makes the answers of a route usable, as malformed answers are made of it.
#[derive(Debug)]
pub struct Shape<'r> {
    needs: Vec<&'r str>,
    enums: Vec<&'r str>,
    least: Vec<(&'r str, &'r Number)>,
    echoes: Vec<&'r str>,
}

impl<'r> Shape<'r> {
    /// The shape of a route's answers.
    #[must_use]
    pub fn of(route: &'r Route) -> Self {
        let needs = || route.needs.iter();
        let listed = needs().filter(|(_, need)| matches!(need, Need::In(_) | Need::Equals(_)));
        let least = needs().filter_map(|(pointer, need)| match need {
            Need::Least(least) => Some((pointer.as_str(), least)),
            Need::Present | Need::Kind(_) | Need::In(_) | Need::Equals(_) => None,
        });
        Self {
            least: least.collect(),
            needs: needs().map(|(pointer, _)| pointer.as_str()).collect(),
            enums: listed.map(|(pointer, _)| pointer.as_str()).collect(),
            echoes: route.echoes.iter().map(|(pointer, _)| pointer.as_str()).collect(),
        }
    }

    /// No route, so that nothing is needed.
    #[must_use]
    pub const fn none() -> Self {
        Self { needs: Vec::new(), enums: Vec::new(), least: Vec::new(), echoes: Vec::new() }
    }

    /// True when some field of an answer must have a certain value, so that another one there is seen.
    #[must_use]
    pub fn tells_states(&self) -> bool {
        !self.enums.is_empty()
    }

    /// An answer of this shape.
    #[must_use]
    pub fn own<'a>(&'a self, body: &'a Bytes, error: &'a Bytes) -> Own<'a> {
        let Self { needs, enums, least, echoes } = self;
        Own { body, needs, enums, least, echoes, error, earlier: None }
    }
}

/// A sample that has this field, whether or not anybody needs it.
fn sample(route: &Route, field: Option<&Pointer>, open: &Value) -> Option<Sample> {
    let mut body = Value::Null;
    for (pointer, need) in &route.needs {
        set(&mut body, pointer, fitting(need));
    }
    let empty = || Value::Object(Map::new());
    let (mut path, mut query, mut asked) = (empty(), empty(), Value::Null);
    for (pointer, source) in &route.echoes {
        let said = match pointer.find(&body) {
            Some(said) => said.clone(),
            None => {
                let said = said_in(route, source, open);
                set(&mut body, pointer, said.clone());
                said
            }
        };
        match source {
            Source::Path(name) => path[name] = said,
            Source::Query(name) => query[name] = said,
            Source::Body(from) => set(&mut asked, from, said),
        }
    }
    if let Some(field) = field.filter(|field| field.find(&body).is_none()) {
        set(&mut body, field, open.clone());
    }
    let call = Call { path, query, body: Some(asked), ..Call::default() };
    let body = Bytes::from(if body.is_null() { empty() } else { body }.to_string());
    route.usable(&body, &call).is_ok().then_some(Sample { call, body })
}

/// What a request says in a field that the answer repeats.
fn said_in(route: &Route, source: &Source, open: &Value) -> Value {
    let Source::Body(pointer) = source else { return "order-3".into() };
    let rule = route.fields.iter().find(|(field, _)| field == pointer);
    match rule.and_then(|(_, rule)| rule.kinds.first()) {
        Some(FieldKind::Integer | FieldKind::Number) => 1999.into(),
        Some(FieldKind::String | FieldKind::Text) => "order-3".into(),
        Some(FieldKind::Empty) => "".into(),
        Some(FieldKind::Boolean) => true.into(),
        Some(FieldKind::List) => Value::Array(vec![open.clone()]),
        Some(FieldKind::Object) => Value::Object(Map::new()),
        None => open.clone(),
    }
}

fn fitting(need: &Need) -> Value {
    match need {
        Need::Present => "something".into(),
        Need::Kind(FieldKind::String | FieldKind::Text) => "id_Ab3".into(),
        Need::Kind(FieldKind::Integer | FieldKind::Number) => 7.into(),
        Need::Kind(FieldKind::Empty) => "".into(),
        Need::Kind(FieldKind::Boolean) => true.into(),
        Need::Kind(FieldKind::List) => Value::Array(Vec::new()),
        Need::Kind(FieldKind::Object) => Value::Object(Map::new()),
        Need::In(values) => values.first().cloned().unwrap_or_default(),
        Need::Equals(value) => value.clone(),
        Need::Least(least) => Value::Number(least.clone()),
    }
}

/// Sets what a pointer points at, and makes objects and lists on the way.
fn set(value: &mut Value, pointer: &Pointer, new: Value) {
    let mut place = value;
    for step in pointer.steps() {
        let index = step.parse::<usize>().ok();
        if place.is_null() {
            *place =
                if index.is_some() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        let next = match place {
            Value::Object(fields) => Some(fields.entry(step.as_str()).or_insert(Value::Null)),
            Value::Array(items) => {
                if index == Some(items.len()) {
                    items.push(Value::Null);
                }
                index.and_then(|index| items.get_mut(index))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let Some(next) = next else { return };
        place = next;
    }
    *place = new;
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::Kind;
    use super::*;
    use crate::api::load;
    use crate::document::Diagnostics;

    fn api(name: &str) -> Arc<Api> {
        let diagnostics = Diagnostics::new();
        load(name, Path::new("."), &diagnostics.root()).expect("a shipped API").0
    }

    #[test]
    fn every_route_of_every_shipped_api_has_a_sample() {
        for name in crate::api::names() {
            for route in &api(name).routes {
                assert!(sample(route, None, &"order-3".into()).is_some(), "{name} {}", route.name);
            }
        }
    }

    #[test]
    fn what_can_be_seen_depends_on_the_route() {
        let undetectable = |name: &str, route: &str| -> Vec<&str> {
            let api = api(name);
            let route = api.route_named(route).expect(route);
            let kinds = Kind::ALL.into_iter().filter(|kind| {
                let how = Malformed { kind: *kind, field: None, size: 0, bits: 5 };
                is_undetectable(&how, &api, route)
            });
            kinds.map(Kind::name).collect()
        };
        let harmless = ["duplicate_keys", "wrong_content_type", "wrong_charset", "byte_order_mark"];
        assert_eq!(undetectable("payments", "create_charge"), harmless);
        let with = |more: &[&'static str]| [&harmless[..], more].concat();
        assert_eq!(undetectable("payments", "get_charge"), with(&["wrong_amount"]));
        assert_eq!(
            undetectable("payments", "list_charges"),
            with(&["someone_elses_answer", "wrong_amount"])
        );
        let chat = undetectable("openai", "create_chat_completion");
        assert_eq!(
            chat,
            [
                &["invalid_utf8"],
                &harmless[..],
                &["someone_elses_answer", "stale_answer", "wrong_amount"]
            ]
            .concat()
        );
    }
}
