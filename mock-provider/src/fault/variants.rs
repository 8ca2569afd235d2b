//! Every fault with parameters that are worth trying, from the simplest up.
//!
//! They are made of the schema of a fault's parameters, so a new fault has its variants without a word
//! here: each word of a choice, a few round times and numbers, and no more than two parameters beyond the
//! required ones. Where only some values of a type mean anything (a status), the parameter lists them as
//! `examples` in its schema, the simplest first; a free text without examples is left out.
//! **Invariant:** every variant can strike, and no two variants of a fault do the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Fault, FaultKind};
use crate::api::Api;
use crate::document::Diagnostics;

/// Times, the simplest first.
const PERIODS: [&str; 4] = ["1s", "100ms", "10s", "1m"];

/// Numbers, the simplest first.
const NUMBERS: [u64; 4] = [1, 10, 100, 1_000];

/// How many parameters stand beyond the required ones, at most.
pub const MOST_OPTIONAL: usize = 2;

/// How deep a schema may lie in itself.
const DEEPEST: u32 = 8;

/// A fault with parameters.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The entry of the registry.
    pub kind: &'static FaultKind,
    /// How it stands under `inject:`.
    pub value: Value,
    /// How many parameters stand beyond the required ones, from 0 to [`MOST_OPTIONAL`].
    pub optional: usize,
    /// The fault.
    pub fault: Arc<dyn Fault>,
}

/// The variants of a fault that can strike on this route of this API over HTTP/1.1, the simplest first.
///
/// ```
/// use std::path::Path;
///
/// use brownout_provider::document::Diagnostics;
/// use brownout_provider::fault::{registry, variants::variants};
///
/// let diagnostics = Diagnostics::new();
/// let loaded = brownout_provider::api::load("payments", Path::new("."), &diagnostics.root());
/// let (api, _) = loaded.expect("a shipped API");
/// let hang = registry::find("hang").expect("a fault");
/// let found = variants(hang, &api, "create_charge");
/// let written: Vec<String> = found.iter().map(|one| one.value.to_string()).collect();
/// assert_eq!(written[0], r#""hang""#);
/// assert!(written.contains(&r#"{"hang":{"at":"after_commit"}}"#.to_owned()));
/// ```
#[must_use]
pub fn variants(kind: &'static FaultKind, api: &Api, route: &str) -> Vec<Variant> {
    let mut generator = schemars::SchemaGenerator::default();
    let schema = (kind.schema)(&mut generator).to_value();
    let reader = Reader { definitions: generator.definitions().clone() };
    let mut found: Vec<(usize, Value)> = reader.settings(&schema, DEEPEST);
    if kind.bare {
        found.insert(0, (0, Value::Null));
    }
    found.sort_by_key(|(optional, _)| *optional);
    let mut seen = BTreeSet::new();
    found
        .into_iter()
        .filter_map(|(optional, parameters)| {
            let diagnostics = Diagnostics::new();
            let at = diagnostics.root();
            let fault = (kind.parse)(&parameters, &at)?;
            fault.check(api, Some(route), &at);
            // What a fault is stands in its debug form; a default that is spelled out changes nothing.
            let can_strike = !diagnostics.has_errors() && !fault.http2_only();
            let is_new = can_strike && seen.insert(format!("{fault:?}"));
            let value = written(kind.name, parameters);
            is_new.then_some(Variant { kind, value, optional, fault })
        })
        .collect()
}

/// A fault as it stands under `inject:`.
fn written(name: &str, parameters: Value) -> Value {
    if parameters.is_null() {
        return Value::from(name);
    }
    Value::Object(Map::from_iter([(name.to_owned(), parameters)]))
}

/// Reads values out of schemas.
struct Reader {
    definitions: Map<String, Value>,
}

impl Reader {
    /// The parameters of a fault, with the number of those that are not required.
    fn settings(&self, schema: &Value, depth: u32) -> Vec<(usize, Value)> {
        let schema = self.followed(schema);
        if schema.get("properties").is_some() {
            return self.maps(schema, depth);
        }
        let forms = forms(schema);
        if forms.is_empty() {
            return self.values(schema, depth).into_iter().map(|value| (0, value)).collect();
        }
        let deeper = depth.saturating_sub(1);
        forms.into_iter().flat_map(|form| self.settings(form, deeper)).collect()
    }

    /// A few values of a schema, the simplest first; none where any text would do.
    fn values(&self, schema: &Value, depth: u32) -> Vec<Value> {
        let schema = self.followed(schema);
        if depth == 0 || is(schema, "null") {
            return Vec::new();
        }
        if schema.get("format").and_then(Value::as_str) == Some("duration-words") {
            return PERIODS.map(Value::from).to_vec();
        }
        if let Some(listed) =
            ["examples", "enum"].iter().find_map(|key| schema.get(key)?.as_array())
        {
            return listed.iter().filter(|value| !value.is_null()).cloned().collect();
        }
        if let Some(only) = schema.get("const") {
            return vec![only.clone()];
        }
        if schema.get("properties").is_some() {
            return self.maps(schema, depth).into_iter().map(|(_, map)| map).collect();
        }
        if is(schema, "integer") {
            let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
            let (low, high) = (bound("minimum").unwrap_or(0), bound("maximum").unwrap_or(u64::MAX));
            let inside = NUMBERS.iter().filter(|number| (low..=high).contains(*number));
            return inside.map(|number| Value::from(*number)).collect();
        }
        if is(schema, "boolean") {
            return vec![true.into(), false.into()];
        }
        forms(schema).into_iter().flat_map(|form| self.values(form, depth - 1)).collect()
    }

    /// The maps of a schema: all required keys, and up to [`MOST_OPTIONAL`] others.
    fn maps(&self, schema: &Value, depth: u32) -> Vec<(usize, Value)> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> = listed(schema, "required");
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        let fits = |map: &Map<String, Value>| {
            let length = u64::try_from(map.len()).unwrap_or(u64::MAX);
            bound("minProperties").is_none_or(|least| length >= least)
                && bound("maxProperties").is_none_or(|most| length <= most)
        };
        let mut maps: Vec<(usize, Map<String, Value>)> = vec![(0, Map::new())];
        let (needed, others): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(key, _)| required.contains(&key.as_str()));
        for (key, inner) in needed {
            let values = self.values(inner, depth - 1);
            maps = maps.iter().flat_map(|map| with_each(map, 0, key, &values)).collect();
        }
        for (key, inner) in others {
            let values = self.values(inner, depth - 1);
            let more: Vec<(usize, Map<String, Value>)> = maps
                .iter()
                .filter(|(optional, _)| *optional < MOST_OPTIONAL)
                .flat_map(|map| with_each(map, 1, key, &values))
                .collect();
            maps.extend(more);
        }
        let whole = maps.into_iter().filter(|(_, map)| fits(map));
        whole.map(|(optional, map)| (optional, Value::Object(map))).collect()
    }

    /// The schema that a reference leads to.
    fn followed<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str);
        let name = target.and_then(|target| target.rsplit('/').next());
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }
}

/// The map with each of these values under a key.
fn with_each(
    (optional, map): &(usize, Map<String, Value>),
    more: usize,
    key: &str,
    values: &[Value],
) -> Vec<(usize, Map<String, Value>)> {
    let with = |value: &Value| {
        let mut map = map.clone();
        map.insert(key.to_owned(), value.clone());
        (optional + more, map)
    };
    values.iter().map(with).collect()
}

/// The alternatives of a schema.
fn forms(schema: &Value) -> Vec<&Value> {
    ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten().collect()
}

/// True when values of the schema may be of this type.
fn is(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::Array(_)) => name != "null" && listed(schema, "type").contains(&name),
        Some(one) => one == name,
        None => false,
    }
}

fn listed<'a>(schema: &'a Value, key: &str) -> Vec<&'a str> {
    let list = schema.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::registry::FAULTS;
    use super::*;
    use crate::api::{Cost, LimitScope, RateLimitPolicy, load};
    use crate::rate_limit::{Rate, registry as algorithms};

    fn shipped(name: &str) -> Arc<Api> {
        let diagnostics = Diagnostics::new();
        load(name, Path::new("."), &diagnostics.root()).expect("a shipped API").0
    }

    fn payments() -> Arc<Api> {
        shipped("payments")
    }

    /// The same with a limit that all share, so that every fault has something to strike.
    fn limited() -> Arc<Api> {
        let mut api = Arc::unwrap_or_clone(payments());
        api.rate_limit = Some(RateLimitPolicy {
            algorithm: algorithms::ALGORITHMS[0],
            rate: Rate { limit: 10, per_us: 1_000_000, burst: 10 },
            scope: LimitScope::Global,
            cost: Cost::Units(1),
            quota: None,
        });
        Arc::new(api)
    }

    #[test]
    fn every_fault_has_variants_and_the_first_is_the_simplest() {
        let (payments, openai, vision) = (limited(), shipped("openai"), shipped("vision"));
        let of_vision =
            [("partial_batch", "label_batch"), ("job", "create_job"), ("upload", "upload_chunk")];
        let queue = shipped("queue");
        for kind in FAULTS {
            // Nothing in the plain API is a stream.
            let streams = ["stream", "slow_tokens"].contains(&kind.name);
            let elsewhere = of_vision.iter().find(|(name, _)| *name == kind.name);
            let found = if let Some((_, route)) = elsewhere {
                assert!(variants(kind, &payments, "create_charge").is_empty(), "{}", kind.name);
                variants(kind, &vision, route)
            } else if streams {
                assert!(variants(kind, &payments, "create_charge").is_empty(), "{}", kind.name);
                variants(kind, &openai, "create_chat_completion")
            } else if kind.name == "message" {
                assert!(variants(kind, &payments, "create_charge").is_empty());
                variants(kind, &queue, "receive_messages")
            } else if kind.name == "stale_read" {
                assert!(variants(kind, &payments, "create_charge").is_empty());
                variants(kind, &payments, "get_charge")
            } else {
                variants(kind, &payments, "create_charge")
            };
            let bare = (kind.parse)(&Value::Null, &Diagnostics::new().root());
            let strikes_beside = ["goaway", "rst_stream"].contains(&kind.name);
            if strikes_beside || bare.is_some_and(|fault| fault.door().is_some()) {
                assert!(found.is_empty(), "{} strikes no request of HTTP/1.1", kind.name);
                continue;
            }
            let first = found.first().unwrap_or_else(|| panic!("{} has none", kind.name));
            assert_eq!(first.value.is_string(), kind.bare, "{}", first.value);
            assert!(found.is_sorted_by_key(|one| one.optional), "{}", kind.name);
            assert!(found.len() < 2_500, "{}: {}", kind.name, found.len());
        }
    }

    #[test]
    fn what_an_example_of_the_documentation_says_is_among_the_variants() {
        let api = payments();
        let has = |name: &str, value: Value| {
            let kind = super::super::registry::find(name).expect(name);
            let found = variants(kind, &api, "create_charge");
            let is_there = found.iter().any(|one| one.value == value);
            let written: Vec<&Value> = found.iter().map(|one| &one.value).take(40).collect();
            assert!(is_there, "{value}: {written:#?}");
        };
        has("status", serde_json::json!({"status": {"code": 503}}));
        has("status", serde_json::json!({"status": {"code": 500, "at": "after_commit"}}));
        has(
            "rate_limited",
            serde_json::json!({"rate_limited": {"retry_after": {"http_date": "1s"}}}),
        );
        has("rate_limited", serde_json::json!({"rate_limited": {"retry_after": "garbage"}}));
        has("rate_limited", serde_json::json!({"rate_limited": {"disguise": {"status": 403}}}));
        has("latency", serde_json::json!({"latency": {"fixed": "10s", "at": "after_commit"}}));
        has("malformed", serde_json::json!({"malformed": "wrong_amount"}));
        has("close", serde_json::json!({"close": {"at": "mid_body", "after_bytes": 10}}));
        has("truncate", serde_json::json!({"truncate": {"then": "rst"}}));
        has("duplicate_request", serde_json::json!("duplicate_request"));
    }

    #[test]
    fn a_variant_that_nobody_could_detect_is_none() {
        let api = payments();
        let kind = super::super::registry::find("malformed").expect("a fault");
        let has_wrong_amount = |route: &str| {
            let found = variants(kind, &api, route);
            found.iter().any(|one| one.value.to_string().contains("wrong_amount"))
        };
        assert!(has_wrong_amount("create_charge"));
        assert!(!has_wrong_amount("list_charges"));
    }
}
