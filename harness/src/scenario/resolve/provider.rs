//! The provider, its API, and the scenario's own policies over those of the API.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use brownout_provider::api::{self, Api};
use brownout_provider::document::{At, Diagnostics, Severity};
use serde_json::{Map, Value};

use super::{Apis, PROVIDER};
use crate::scenario::ProviderSpec;
use crate::scenario::raw::{RawProvider, RawScenario};

/// The provider; `None` where something is wrong that a run cannot do without.
pub(super) fn resolve(raw: &RawScenario, apis: Apis<'_>, root: &At<'_>) -> Option<ProviderSpec> {
    if raw.providers.is_some() {
        root.key("providers").error("several providers are not available in this version", |d| {
            d.key().cure("write one `provider: {api: …}`")
        });
    }
    let Some(raw) = &raw.provider else {
        if raw.providers.is_none() && !root.key(PROVIDER).is_wrong() {
            root.key(PROVIDER).error("the required key `provider` is missing", |d| {
                d.cure("add `provider: {api: payments}`, or another API")
            });
        }
        return None;
    };
    let at = root.key(PROVIDER);
    let tls = raw.tls == Some(true);
    if tls && cfg!(not(feature = "tls")) {
        at.key("tls").error("this build of brownout speaks no TLS", |d| {
            d.key().cure("turn on the feature `tls` of the package `brownout`, or leave it out")
        });
    }
    for (key, value, cure) in
        [("http2", &raw.http2, "leave it out; the provider answers over HTTP/1.1")]
    {
        if value.is_some() {
            at.key(key)
                .error(format!("`{key}` is not available in this version"), |d| d.key().cure(cure));
        }
    }
    let api_name = raw.api.clone()?;
    let at_api = at.key("api");
    let (api, api_source) = match apis {
        Apis::Same(provider) => return Some(provider.clone()),
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
    let (api, api_source) = with_policies(raw, (api, api_source), &at)?;
    Some(ProviderSpec { api, api_name, api_source: Arc::new(api_source), port: raw.port, tls })
}

/// The API with the scenario's own policies over those of its file.
fn with_policies(
    raw: &RawProvider,
    (api, mut document): (Arc<Api>, Value),
    at: &At<'_>,
) -> Option<(Arc<Api>, Value)> {
    let policies: Vec<(&str, &Map<String, Value>)> =
        [("idempotency", &raw.idempotency), ("rate_limit", &raw.rate_limit), ("hint", &raw.hint)]
            .into_iter()
            .filter_map(|(key, policy)| Some((key, policy.as_ref()?)))
            .collect();
    if policies.is_empty() {
        return Some((api, document));
    }
    for (key, policy) in &policies {
        let fields = document.as_object_mut()?.entry(*key).or_insert(Value::Null);
        merge(fields, &Value::Object((*policy).clone()));
    }
    // The file alone was right, so whatever is wrong now came with the policies.
    let problems = Diagnostics::new();
    let changed = api::from_value(&document, &problems.root());
    let mut reported = BTreeSet::new();
    for problem in problems.into_vec() {
        if problem.severity == Severity::Error && reported.insert(problem.path.clone()) {
            at.adopt(problem);
        }
    }
    Some((changed?, document))
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
