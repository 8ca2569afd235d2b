//! The JSON Schema of scenario files, from the raw types and the registries.
//!
//! **Invariant:** it is generated, so that it cannot say anything that reading a file does not.

use std::sync::LazyLock;

use brownout_provider::document::{NoNull, schema_settings};
use brownout_provider::fault::registry::FAULTS;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::policy;
use super::raw::RawScenario;
use crate::invariant::registry::INVARIANTS;

static SCENARIO: LazyLock<Schema> = LazyLock::new(generate);

/// The schema of a scenario file.
#[must_use]
pub fn scenario() -> &'static Schema {
    &SCENARIO
}

/// The schema as the text of a file.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", scenario().as_value())
}

fn generate() -> Schema {
    let mut generator = schema_settings().into_generator();
    let mut root = generator.root_schema_for::<RawScenario>();
    let faults = FAULTS.iter().map(|kind| Entry {
        name: kind.name,
        summary: kind.summary,
        bare: kind.bare,
        schema: kind.schema,
    });
    let fault = entries("a fault", faults, &mut generator);
    let invariants = INVARIANTS.iter().map(|kind| Entry {
        name: kind.name,
        summary: kind.summary,
        bare: kind.bare,
        schema: kind.schema,
    });
    let invariant = entries("an invariant", invariants, &mut generator);
    let mut definitions: Map<String, Value> = generator.take_definitions(false);
    for (name, schema) in [("Fault", fault), ("Invariant", invariant)] {
        definitions.insert(name.to_owned(), schema.to_value());
    }
    let inject = json_schema!({
        "anyOf": [
            { "$ref": "#/$defs/Fault" },
            { "type": "array", "items": { "$ref": "#/$defs/Fault" }, "minItems": 1 },
        ],
    });
    for name in ["RawRule", "RawScriptEntry"] {
        let place = definitions.get_mut(name).and_then(|it| it.pointer_mut("/properties/inject"));
        replace(place, &inject);
    }
    let policies: Vec<&str> = policy::all().iter().map(|one| one.name.as_str()).collect();
    let expect = json_schema!({
        "anyOf": [
            { "$ref": "#/$defs/Invariant" },
            {
                "type": "object",
                "description": "A bundle of expectations with a name.",
                "properties": { "policy": { "type": "string", "enum": policies } },
                "required": ["policy"],
                "additionalProperties": false,
            },
        ],
    });
    replace(root.pointer_mut("/properties/expect/items"), &expect);
    root.insert("$defs".to_owned(), Value::Object(definitions));
    RecursiveTransform(NoNull).transform(&mut root);
    root
}

/// A name that may stand alone or with parameters.
struct Entry {
    name: &'static str,
    summary: &'static str,
    bare: bool,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// The alternatives of a registry: the bare words, and a map of one key for each name.
fn entries(
    title: &str,
    entries: impl Iterator<Item = Entry>,
    generator: &mut SchemaGenerator,
) -> Schema {
    let mut words = Vec::new();
    let mut forms = Vec::new();
    for entry in entries {
        if entry.bare {
            words.push(entry.name);
        }
        forms.push(json_schema!({
            "type": "object",
            "description": entry.summary,
            "properties": { entry.name: (entry.schema)(generator) },
            "required": [entry.name],
            "additionalProperties": false,
        }));
    }
    if !words.is_empty() {
        forms.insert(0, json_schema!({ "type": "string", "enum": words }));
    }
    json_schema!({ "title": title, "anyOf": forms })
}

/// Puts a schema in the place of one that takes any name; the description stays.
fn replace(place: Option<&mut Value>, new: &Schema) {
    let place = place.expect("the raw types have this field");
    let mut new = new.clone();
    if let Some(description) = place.get("description") {
        new.insert("description".to_owned(), description.clone());
    }
    *place = new.to_value();
}
