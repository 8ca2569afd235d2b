//! The tenants of a workload: names, keys, and whether anything tells the client whose operation it does.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::At;
use serde_json::{Map, Value};

use super::when::Places;
use crate::scenario::http::Http;
use crate::scenario::providers::in_variable;
use crate::scenario::raw::{RawMode, RawTenant, RawWorkload};
use crate::scenario::tenants::{MAX_TENANTS, Tenants};

/// How many operations tenants may have together.
const MAX_OPERATIONS: u64 = 1_000_000;

/// The tenants in the order of the file, and how many operations they have together.
pub(super) fn resolve(
    raw: &RawWorkload,
    source: &Value,
    places: &Places<'_>,
    at: &At<'_>,
) -> (Tenants, u64) {
    let Some(tenants) = &raw.tenants else { return (Tenants::default(), 0) };
    if tenants.is_empty() || tenants.len() > MAX_TENANTS {
        at.error(format!("these are {} tenants", tenants.len()), |d| {
            d.key().cure(format!("name 1 to {MAX_TENANTS}, or leave `tenants` out"))
        });
        return (Tenants::default(), 0);
    }
    if let Some(api) = places.apis(None).into_iter().find(|api| api.auth.is_none()) {
        at.error(format!("the API `{}` asks for no key that tells tenants apart", api.name), |d| {
            d.key().cure("leave `tenants` out, or describe its `auth` in the API file")
        });
    }
    if raw.mode == Some(RawMode::Suite) {
        at.error("in suite mode no operations are handed out, so none is a tenant's", |d| {
            d.key().cure("leave `tenants` out, or use `mode: stdio`")
        });
    }
    let written = source.pointer("/workload/tenants").and_then(Value::as_object);
    let mut named: Vec<(Arc<str>, u64)> = Vec::new();
    for name in written.into_iter().flat_map(Map::keys) {
        let operations = operations(tenants, name);
        super::check_name(name, "tenant", &at.key(name));
        named.push((Arc::from(name.as_str()), operations));
    }
    check_variables(&named, places, at);
    let all: u64 = named.iter().map(|(_, operations)| *operations).sum();
    if all > MAX_OPERATIONS {
        at.error(format!("the tenants have {all} operations together"), |d| {
            d.key().cure(format!("let them have at most {MAX_OPERATIONS}"))
        });
        return (Tenants::default(), 0);
    }
    (Tenants::new(&named), all)
}

/// How many operations a tenant has.
fn operations(tenants: &BTreeMap<String, Option<RawTenant>>, name: &str) -> u64 {
    tenants.get(name).copied().flatten().and_then(|one| one.operations).unwrap_or(1)
}

/// How many operations the tenants of a file have together, as far as it can be read; `None` without any.
pub(super) fn operations_in(source: &Value) -> Option<u64> {
    let tenants = source.pointer("/workload/tenants")?.as_object()?;
    let of = |one: &Value| one.get("operations").map_or(Some(1), Value::as_u64);
    tenants.values().map(of).sum()
}

/// Reports tenants whose keys would stand in one variable.
fn check_variables(named: &[(Arc<str>, u64)], places: &Places<'_>, at: &At<'_>) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (name, _) in named {
        let tenant = in_variable(name);
        let mut wanted = vec![(tenant.clone(), format!("`{name}`"))];
        if places.are_several() {
            wanted.extend(places.names().map(|provider| {
                let variable = format!("{tenant}_{}", in_variable(provider));
                (variable, format!("`{name}` at `{provider}`"))
            }));
        }
        for (variable, whose) in wanted {
            let Some(other) = taken.get(&variable) else {
                taken.insert(variable, whose);
                continue;
            };
            at.key(name)
                .error(format!("{whose} and {other} are both `{variable}` in variables"), |d| {
                    d.key().cure("let the names differ by more than their case and their signs")
                });
            break;
        }
    }
}

/// Reports a service that is asked for the operations of tenants and not told whose they are, and one that is
/// told of tenants that are not there.
pub(super) fn check_told(tenants: &Tenants, http: Option<&Http>, at: &At<'_>) {
    let Some(http) = http else { return };
    if tenants.is_empty() && http.tells("tenant") && !at.is_wrong() {
        at.error("the request names a tenant, and there are none", |d| {
            d.cure("name them, such as `tenants: {a: {operations: 5}, b: {operations: 5}}`")
        });
    }
    if !tenants.is_empty() && !http.tells("tenant") && !http.tells("api_key") {
        at.error("nothing in the request tells the service whose operation it is", |d| {
            d.key().cure(
                "say it in path, header or body, such as `headers: {x-tenant: \"{{ tenant }}\"}`; the key \
                 is `{{ api_key }}`, or what `BROWNOUT_TENANT_KEY_…` says",
            )
        });
    }
}
