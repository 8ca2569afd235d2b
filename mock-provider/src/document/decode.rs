//! From a value to a type, with everything that is wrong said at once.
//!
//! First the shape is compared with the type's schema, and whatever is wrong is reported and taken out;
//! then what is left is read, and a text that its type refuses is reported and taken out likewise. So a
//! caller still gets the rest, and can judge it in the same go.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment as PathSegment;

use super::diagnostic::At;
use super::shape::{self, Finding, Segment, Shape};

/// After so many texts that their types refuse, reading stops.
const MAX_ROUNDS: usize = 100;

/// Reads `value` as a `T` and reports all that is wrong with it below `at`.
///
/// `null` stands for a map without keys. `None` means that something is wrong that `T` cannot do without,
/// and that it has been reported. Make the fields of `T` options to get the rest of a wrong value:
/// whatever was wrong is `None` then.
///
/// ```
/// use brownout_provider::document::{Diagnostics, decode};
/// use brownout_provider::units::Period;
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Drip { bytes: Option<u64>, every: Option<Period> }
///
/// let problems = Diagnostics::new();
/// let value = serde_json::json!({"bites": 3, "every": "10"});
/// let drip: Drip = decode(&value, &problems.root()).expect("all fields are options");
/// assert!(drip.bytes.is_none() && drip.every.is_none());
/// let problems = problems.into_vec();
/// assert_eq!(problems[0].did_you_mean.as_deref(), Some("bytes"));
/// assert_eq!(problems[1].path, "every");
/// ```
#[must_use]
pub fn decode<T: DeserializeOwned + JsonSchema>(value: &Value, at: &At<'_>) -> Option<T> {
    let schema = schema_of::<T>();
    let shape = Shape::new(&schema);
    let mut value = if value.is_null() && shape.takes_map() {
        Value::Object(serde_json::Map::new())
    } else {
        value.clone()
    };
    let mut taken_out: Vec<Vec<Segment>> = Vec::new();
    for finding in shape.findings(&value) {
        finding.report(at);
        if let Some(path) = &finding.take_out {
            shape::take_out(&mut value, path);
            taken_out.push(path.clone());
        }
        taken_out.push(finding.path);
    }
    for _ in 0..MAX_ROUNDS {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(decoded) => return Some(decoded),
            Err(error) => error,
        };
        let mut path: Vec<Segment> = error.path().iter().filter_map(segment).collect();
        // What was taken out, and is missed now, takes what is around it along; it has been reported.
        let is_known = taken_out.iter().any(|known| known.starts_with(&path));
        if !is_known {
            Finding::text(path.clone(), &error.inner().to_string()).report(at);
        }
        while taken_out.contains(&path) {
            path.pop()?;
        }
        shape::take_out(&mut value, &path);
        if path.is_empty() {
            return None;
        }
        taken_out.push(path);
    }
    None
}

fn segment(segment: &PathSegment) -> Option<Segment> {
    match segment {
        PathSegment::Seq { index } => Some(Segment::Index(*index)),
        PathSegment::Map { key } => Some(Segment::Key(key.clone())),
        PathSegment::Enum { .. } | PathSegment::Unknown => None,
    }
}

/// The JSON Schema of a type that is read from documents. `null` is nowhere a value in a document (a key
/// is left out instead), so options are optional and nothing more.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Schema {
    let mut schema = schema_settings()
        .with_transform(RecursiveTransform(NoNull))
        .into_generator()
        .into_root_schema_for::<T>();
    // The name of a Rust type means nothing to the author of a file.
    if schema.get("title").and_then(Value::as_str) == Some(&T::schema_name()) {
        schema.remove("title");
    }
    schema
}

/// How schemas of documents are generated; [`NoNull`] is still to be applied.
#[must_use]
pub fn schema_settings() -> SchemaSettings {
    SchemaSettings::draft2020_12()
}

/// Takes `null` out of the types of a schema.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        let is_null = |value: &Value| value.get("type").is_some_and(|t| t == "null");
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|one| one != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                object.insert("type".to_owned(), one);
            }
        }
        if object.get("default").is_some_and(Value::is_null) {
            object.shift_remove("default");
        }
        for key in ["anyOf", "oneOf"] {
            let Some(Value::Array(forms)) = object.get_mut(key) else { continue };
            forms.retain(|form| !is_null(form));
            if let [Value::Object(only)] = forms.as_slice() {
                let only = only.clone();
                object.shift_remove(key);
                for (name, value) in only {
                    object.entry(name).or_insert(value);
                }
            }
        }
    }
}

/// Replaces texts of a value by the format that the schema gives them: `change` gets the format and the
/// text, and says what stands there instead.
pub fn map_strings(
    schema: &Schema,
    value: &mut Value,
    change: &dyn Fn(&str, &str) -> Option<String>,
) {
    Shape::new(schema).map_strings(value, change);
}
