//! A schema and a value in words: what is expected, and what was found.
//!
//! **Invariant:** pure text from one schema without its references; no looking up, no judging.

use serde_json::Value;

/// The title of a schema, with its first example.
pub(super) fn titled(schema: &Value) -> Option<String> {
    let title = schema.get("title")?.as_str()?;
    match schema.get("examples").and_then(|examples| examples.get(0)) {
        Some(Value::String(example)) => Some(format!("{title} such as `{example}`")),
        Some(example) => Some(format!("{title} such as `{example}`")),
        None => Some(title.to_owned()),
    }
}

/// A schema's type in words.
pub(super) fn plain(schema: &Value) -> String {
    let types = types_of(schema);
    if types.contains(&"object")
        && let Some(keys) = schema.get("properties").and_then(Value::as_object)
        && !keys.is_empty()
    {
        let keys: Vec<String> = keys.keys().map(|key| format!("`{key}`")).collect();
        return format!("a map with {}", keys.join(", "));
    }
    let low = schema.get("minimum").and_then(Value::as_u64).filter(|low| *low > 0);
    let high = schema.get("maximum").and_then(Value::as_u64);
    let words: Vec<String> = types
        .into_iter()
        .map(|one| match (one, low) {
            ("integer", low) => match (low, high) {
                (None, None) => "a whole number".to_owned(),
                (Some(low), None) => format!("a whole number from {low}"),
                (low, Some(high)) => format!("a whole number from {} to {high}", low.unwrap_or(0)),
            },
            ("number", _) => "a number".to_owned(),
            ("string", _) => "text".to_owned(),
            ("boolean", _) => "`true` or `false`".to_owned(),
            ("array", _) => "a list".to_owned(),
            ("object", _) => "a map".to_owned(),
            (other, _) => other.to_owned(),
        })
        .collect();
    if words.is_empty() { "a value".to_owned() } else { words.join(" or ") }
}

/// The words that a schema allows, if it allows words only.
pub(super) fn words_of(schema: &Value) -> Option<Vec<String>> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(constant) = schema.get("const") {
        return Some(vec![word(constant)]);
    }
    Some(schema.get("enum")?.as_array()?.iter().map(word).collect())
}

pub(super) fn types_of(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What was found, in words.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(one) => format!("`{one}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) if text.chars().count() <= 40 => format!("the text `{text}`"),
        Value::String(_) => "a long text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

/// The key of a form that is a map of exactly one required key and no others.
pub(super) fn tag_of(form: &Value) -> Option<&str> {
    let keys = form.get("properties")?.as_object()?;
    let required = form.get("required")?.as_array()?;
    match (keys.len(), required.as_slice()) {
        (1, [Value::String(only)]) => Some(only),
        _ => None,
    }
}
