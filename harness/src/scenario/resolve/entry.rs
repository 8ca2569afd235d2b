//! An entry that stands as `name` or `name: {parameters}`: its name, its parameters, and where they stand.

use brownout_provider::document::{At, Named};
use serde_json::Value;

/// What a name is looked up in, in words.
pub(super) struct Registry<'a> {
    /// What the names are: `fault`.
    pub(super) noun: &'static str,
    /// The names.
    pub(super) names: &'a [&'static str],
    /// What to do instead of a name that a later version brings.
    pub(super) later: fn(&str) -> Option<&'static str>,
}

/// The one entry, if its name is known: name, parameters (`null` for the bare word) and their place.
pub(super) fn known<'n, 'a>(
    named: &'n Named,
    registry: &Registry<'_>,
    at: &At<'a>,
) -> Option<(&'n str, &'n Value, At<'a>)> {
    let noun = registry.noun;
    let (name, parameters) = match named.entries.as_slice() {
        [(name, parameters)] => (name.as_str(), parameters),
        [] => {
            at.error(format!("the name of the {noun} is missing"), |d| {
                d.allowed("", registry.names)
            });
            return None;
        }
        [(first, parameters), others @ ..] => {
            several((first, parameters), others, registry, at);
            return None;
        }
    };
    let at = if parameters.is_null() { at.clone() } else { at.key(name) };
    if registry.names.contains(&name) {
        return Some((name, parameters, at));
    }
    // The caret marks the name: a key with parameters, or the bare word itself.
    let mark = |d: brownout_provider::document::Diagnostic| {
        if parameters.is_null() { d } else { d.key() }
    };
    match (registry.later)(name) {
        Some(instead) => {
            at.error(format!("the {noun} `{name}` is not available in this version"), |d| {
                mark(d).cure(instead)
            });
        }
        None => at.error(format!("there is no {noun} `{}`", super::shown(name)), |d| {
            mark(d)
                .allowed(name, registry.names)
                .cure(format!("`brownout list` shows every {noun}"))
        }),
    }
    None
}

/// Several keys stand where one should: mostly because parameters are not indented.
fn several(
    (first, parameters): (&str, &Value),
    others: &[(String, Value)],
    registry: &Registry<'_>,
    at: &At<'_>,
) {
    let noun = registry.noun;
    let all_known = others.iter().all(|(name, _)| registry.names.contains(&name.as_str()));
    let others: Vec<String> = others.iter().map(|(name, _)| format!("`{name}`")).collect();
    let others = others.join(", ");
    let cure = if all_known {
        format!("make a list of them: begin each {noun} with `- `")
    } else if parameters.is_null() {
        format!("indent {others} further than `{first}`, so that they stand under it")
    } else {
        format!("put the parameters inside `{first}: {{…}}`")
    };
    at.error(format!("expected one {noun}, found `{first}` and {others} side by side"), |d| {
        d.cure(cure)
    });
}
