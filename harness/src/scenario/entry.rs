//! An entry of a scenario that stands as `name` or as `name: {parameters}`: a fault, or an expectation.

use serde_json::Value;

/// Its name.
#[must_use]
pub fn name_of(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry.as_object()?.keys().next().map(String::as_str))
}

/// Its parameters; `null` for the bare word.
#[must_use]
pub fn parameters_of(entry: &Value) -> &Value {
    entry.as_object().and_then(|map| map.values().next()).unwrap_or(&Value::Null)
}
