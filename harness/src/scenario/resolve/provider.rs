//! The providers, their APIs, and the scenario's own policies over those of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::path::Path;
use std::sync::Arc;

use brownout_provider::api::{self, Api, brief};
use brownout_provider::document::{At, Diagnostics, Severity};
use serde_json::{Map, Value};

use super::{Apis, PROVIDER, PROVIDERS};
use crate::scenario::ProviderSpec;
use crate::scenario::providers::in_variable;
use crate::scenario::raw::{RawProvider, RawScenario};

/// The most providers of one scenario; each listens on a port of its own.
const MAX_PROVIDERS: usize = 20;

/// A provider by name, as far as it could be read.
pub(super) struct Place {
    pub(super) name: Arc<str>,
    pub(super) spec: Option<ProviderSpec>,
}

/// The providers in the order of the file; empty where none can be told from the others.
pub(super) fn resolve(
    raw: &RawScenario,
    source: &Value,
    apis: Apis<'_>,
    root: &At<'_>,
) -> Vec<Place> {
    let at = root.key(PROVIDERS);
    if raw.provider.is_some() && raw.providers.is_some() {
        at.error("`provider` and `providers` contradict each other", |d| {
            d.key().cure("keep `provider` for one, or name each under `providers`")
        });
    }
    if let Some(raw) = &raw.providers {
        return several(raw, source, apis, &at);
    }
    let Some(raw) = &raw.provider else {
        if !root.key(PROVIDER).is_wrong() && !at.is_wrong() {
            root.key(PROVIDER).error("the required key `provider` is missing", |d| {
                d.cure("add `provider: {api: payments}`, or another API")
            });
        }
        return Vec::new();
    };
    let spec = one(raw, PROVIDER, apis, &root.key(PROVIDER));
    vec![Place { name: Arc::from(PROVIDER), spec }]
}

/// Providers by name.
fn several(
    raw: &BTreeMap<String, Option<RawProvider>>,
    source: &Value,
    apis: Apis<'_>,
    at: &At<'_>,
) -> Vec<Place> {
    if raw.is_empty() && !at.is_wrong() {
        at.error("there is no provider here", |d| {
            d.cure(
                "name at least one, such as `{primary: {api: payments}, backup: {api: payments}}`",
            )
        });
    }
    if raw.len() > MAX_PROVIDERS {
        at.error(format!("these are {} providers", raw.len()), |d| {
            d.key().cure(format!("use at most {MAX_PROVIDERS}"))
        });
        return Vec::new();
    }
    let written = source.get(PROVIDERS).and_then(Value::as_object);
    let mut places: Vec<Place> = Vec::new();
    let mut ports: BTreeMap<u16, Arc<str>> = BTreeMap::new();
    for name in written.into_iter().flat_map(Map::keys) {
        let Some(Some(raw)) = raw.get(name) else { continue };
        let at = at.key(name);
        check_provider_name(name, &places, &at);
        let name: Arc<str> = Arc::from(name.as_str());
        if let Some(port) = raw.port
            && let Some(first) = ports.insert(port, Arc::clone(&name))
        {
            at.key("port").error(format!("`{first}` listens on port {port} already"), |d| {
                d.cure("give each provider a port of its own, or leave `port` out")
            });
        }
        let spec = one(raw, &name, apis, &at);
        if let Some(spec) = &spec {
            shared_variables(spec, &places, &at);
        }
        places.push(Place { name, spec });
    }
    places
}

/// Reports a name that cannot be that of a provider beside these.
fn check_provider_name(name: &str, places: &[Place], at: &At<'_>) {
    super::check_name(name, "provider", at);
    if name == PROVIDER {
        at.error("`provider` is the name of a provider that has none of its own", |d| {
            d.key().cure("call it by what it is for, such as `primary`")
        });
    }
    let variable = in_variable(name);
    if let Some(other) = places.iter().find(|one| in_variable(&one.name) == variable) {
        let message = format!("`{name}` and `{}` are both `{variable}` in variables", other.name);
        at.error(message, |d| {
            d.key().cure("let the names differ by more than their case and their signs")
        });
    }
}

/// Notes where an API's own variables lead to another provider.
fn shared_variables(spec: &ProviderSpec, places: &[Place], at: &At<'_>) {
    let names = |spec: &ProviderSpec| -> BTreeSet<String> {
        spec.api.client_env.iter().map(|(name, _)| name.clone()).collect()
    };
    let own = names(spec);
    let other = places.iter().find_map(|place| {
        let its = names(place.spec.as_ref()?);
        Some((&place.name, its.intersection(&own).next()?.clone()))
    });
    if let Some((other, variable)) = other {
        let message = format!("the variable `{variable}` leads to `{other}`, which stands first");
        at.note(message, |d| {
            d.key().cure("let the client take the address of each provider from `BROWNOUT_URL_…`")
        });
    }
}

/// One provider; `None` where something is wrong that a run cannot do without.
fn one(raw: &RawProvider, name: &str, apis: Apis<'_>, at: &At<'_>) -> Option<ProviderSpec> {
    let tls = raw.tls == Some(true);
    if tls && cfg!(not(feature = "tls")) {
        at.key("tls").error("this build of brownout speaks no TLS", |d| {
            d.key().cure("turn on the feature `tls` of the package `brownout`, or leave it out")
        });
    }
    let http2 = raw.http2 == Some(true);
    if http2 && cfg!(not(feature = "http2")) {
        at.key("http2").error("this build of brownout speaks no HTTP/2", |d| {
            d.key().cure("turn on the feature `http2` of the package `brownout`, or leave it out")
        });
    }
    let api_name = raw.api.clone()?;
    let at_api = at.key("api");
    let (api, api_source) = match apis {
        Apis::Same(providers) => return providers.get(name).cloned(),
        Apis::Beside(folder) => api::load(&api_name, folder, &at_api)?,
        Apis::Sent(sent) => match sent.get(&api_name) {
            Some(document) => (api::from_value(document, &at_api)?, document.clone()),
            None if api::names().contains(&api_name.as_str()) => {
                api::load(&api_name, Path::new("."), &at_api)?
            }
            None => {
                at_api.error(format!("there is no API `{api_name}`"), |d| {
                    d.allowed(&api_name, api::names()).cure(
                        "name a shipped API, or send its document under `apis`; no file is read",
                    )
                });
                return None;
            }
        },
        Apis::Kept(kept) => {
            let Some(document) = kept.get(&api_name) else {
                at_api.error(format!("the trace does not hold the API `{api_name}`"), |d| d);
                return None;
            };
            (api::from_value(document, &at_api)?, Value::clone(document))
        }
    };
    let api = with_changes(raw, api, &api_source, at)?;
    Some(ProviderSpec {
        api,
        api_name,
        api_source: Arc::new(api_source),
        port: raw.port,
        tls,
        http2,
    })
}

/// The API with what the scenario says over what its file says.
fn with_changes(
    raw: &RawProvider,
    api: Arc<Api>,
    document: &Value,
    at: &At<'_>,
) -> Option<Arc<Api>> {
    let changes: Vec<(&str, &Map<String, Value>)> = [
        ("idempotency", &raw.idempotency),
        ("rate_limit", &raw.rate_limit),
        ("queue", &raw.queue),
        ("webhooks", &raw.webhooks),
        ("hint", &raw.hint),
        ("settings", &raw.settings),
    ]
    .into_iter()
    .filter_map(|(key, change)| Some((key, change.as_ref()?)))
    .collect();
    if changes.is_empty() {
        return Some(api);
    }
    check_settings(raw.settings.as_ref(), document.get("settings"), &at.key("settings"));
    let mut document = document.clone();
    for (key, change) in &changes {
        let fields = document.as_object_mut()?.entry(*key).or_insert(Value::Null);
        merge(fields, &Value::Object((*change).clone()));
    }
    // The file alone was right, so whatever is wrong now came with the changes.
    let problems = Diagnostics::new();
    let changed = api::from_value(&document, &problems.root());
    let mut reported = BTreeSet::new();
    for problem in problems.into_vec() {
        if problem.severity == Severity::Error && reported.insert(problem.path.clone()) {
            at.adopt(problem);
        }
    }
    changed
}

/// Reports what the API does not leave to its user, or not so.
fn check_settings(chosen: Option<&Map<String, Value>>, known: Option<&Value>, at: &At<'_>) {
    for (name, value) in chosen.into_iter().flatten() {
        let at = at.key(name);
        match known.and_then(|known| known.get(name)) {
            None => at.error(format!("the API has no setting `{name}`"), |d| {
                let names = known.and_then(Value::as_object).into_iter().flatten();
                d.key()
                    .allowed(name, names.map(|(name, _)| name.as_str()))
                    .cure("name one of its settings, or write an API file that has this one")
            }),
            Some(usual) if discriminant(usual) != discriminant(value) => {
                let message =
                    format!("`{}` cannot stand where the API has `{}`", brief(value), brief(usual));
                at.error(message, |d| d.cure("write it as the API does"));
            }
            Some(_) => check_filled(value, &at),
        }
    }
}

/// Reports a setting that says nothing somewhere within: whoever writes it means something.
fn check_filled(value: &Value, at: &At<'_>) {
    match value {
        Value::Null => at.error("this has no value", |d| d.cure("write one, or leave the key out")),
        Value::Array(items) if items.is_empty() => {
            at.error("this list names nothing", |d| {
                d.cure("name at least one, or leave the key out")
            });
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| check_filled(item, &at.index(index)));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| check_filled(field, &at.key(name)));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Puts `over` on top of `under`, key by key.
fn merge(under: &mut Value, over: &Value) {
    if let (Value::Object(under), Value::Object(over)) = (&mut *under, over) {
        for (key, value) in over {
            merge(under.entry(key.clone()).or_insert(Value::Null), value);
        }
    } else {
        *under = over.clone();
    }
}
