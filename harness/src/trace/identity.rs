//! What tells the operations of a run apart: the fields of their inputs that name them.
//!
//! **Invariant:** reads what the scenario and its APIs say of themselves in the first event, and what stands
//! in the inputs; nothing that a client did.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{OperationId, Trace};

impl Trace {
    /// The names of the input fields that identify an operation: the last names of the places in which
    /// requests carry it, as the scenario and its APIs say.
    #[must_use]
    pub fn identifying_fields(&self) -> BTreeSet<String> {
        let of_scenario = self.of_workload("operation_id");
        let of_apis = self.run.apis.values().filter_map(|api| api.get("operation_id"));
        let mut names = BTreeSet::new();
        for said in of_scenario.into_iter().chain(of_apis) {
            match said {
                Value::String(place) => names.extend(last_name(place)),
                Value::Array(places) => {
                    names.extend(places.iter().filter_map(Value::as_str).filter_map(last_name));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
            }
        }
        names
    }

    /// What names an operation in a client's own words: its name, and the values that identify it.
    #[must_use]
    pub fn identities_of(&self, id: OperationId) -> Vec<String> {
        let mut words = vec![self.operation_name(id).to_owned()];
        let names = self.identifying_fields();
        if let Some(submitted) = self.submits_of(id).find_map(|(_, one)| one.submitted.as_ref()) {
            identifying(&submitted.input(), &names, &mut words);
        }
        words
    }

    /// The texts and numbers in the input of an operation, as texts, with its name.
    #[must_use]
    pub fn words_of(&self, id: OperationId) -> Vec<String> {
        let mut words = vec![self.operation_name(id).to_owned()];
        if let Some(submitted) = self.submits_of(id).find_map(|(_, one)| one.submitted.as_ref()) {
            collect(&submitted.input(), &mut words);
        }
        words
    }
}

/// The last name of a place such as `json:/metadata/order` or `form:metadata[order]`.
fn last_name(place: &str) -> Option<String> {
    let (_, place) = place.split_once(':')?;
    place.split(['/', '[', ']']).rfind(|part| !part.is_empty()).map(str::to_owned)
}

/// The texts and numbers in fields of these names.
fn identifying(value: &Value, names: &BTreeSet<String>, words: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                if names.contains(name) {
                    collect(inner, words);
                }
                identifying(inner, names, words);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| identifying(inner, names, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn collect(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => words.push(number.to_string()),
        Value::String(text) => words.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, words)),
        Value::Object(fields) => fields.values().for_each(|inner| collect(inner, words)),
    }
}

#[cfg(test)]
mod tests {
    use super::last_name;

    #[test]
    fn the_last_name_of_a_place_is_that_of_the_input_field() {
        for (place, name) in [
            ("json:/order", Some("order")),
            ("json:/metadata/order", Some("order")),
            ("form:metadata[order]", Some("order")),
            ("query:order", Some("order")),
            ("traceparent", None),
        ] {
            assert_eq!(last_name(place).as_deref(), name, "{place}");
        }
    }
}
