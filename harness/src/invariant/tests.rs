//! What holds of every entry of the registry.

use std::collections::BTreeSet;

use brownout_provider::document::Diagnostics;
use serde_json::Value;

use super::registry::{INVARIANTS, find};
use super::testing::in_short;
use crate::trace::testing::trace;

/// The name and parameters of an example as it stands under `expect:`.
fn read(example: &str) -> (String, Value) {
    match serde_yaml::from_str::<Value>(example).expect("an example is YAML") {
        Value::String(name) => (name, Value::Null),
        Value::Object(map) => {
            let (name, parameters) = map.into_iter().next().expect("one key");
            (name, parameters)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            panic!("{other}")
        }
    }
}

#[test]
fn every_example_is_right_and_of_its_own_kind() {
    for kind in INVARIANTS {
        let (name, parameters) = read(kind.example);
        assert_eq!(name, kind.name);
        let problems = Diagnostics::new();
        let invariant = (kind.parse)(&parameters, &problems.root()).expect(kind.name);
        assert_eq!(problems.into_vec(), [], "{name}");
        assert_eq!(invariant.kind().name, kind.name);
    }
}

#[test]
fn the_bare_word_is_legal_exactly_where_nothing_is_required() {
    for kind in INVARIANTS {
        let problems = Diagnostics::new();
        let is_right = (kind.parse)(&Value::Null, &problems.root()).is_some();
        assert_eq!(is_right && !problems.has_errors(), kind.bare, "{}", kind.name);
    }
}

#[test]
fn unknown_parameters_are_refused() {
    for kind in INVARIANTS {
        let problems = Diagnostics::new();
        let wrong = serde_json::json!({"no_such_parameter": 1});
        let _ = (kind.parse)(&wrong, &problems.root());
        assert!(problems.has_errors(), "{}", kind.name);
    }
}

#[test]
fn names_are_unique_and_every_entry_is_documented() {
    let names: BTreeSet<&str> = INVARIANTS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), INVARIANTS.len());
    for kind in INVARIANTS {
        for text in [kind.summary, kind.rule, kind.exercised_by, kind.tolerates, kind.cure] {
            assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", kind.name);
        }
        assert!(!kind.headline.is_empty() && !kind.headline.ends_with('.'));
        assert_eq!(find(kind.name).map(|found| found.name), Some(kind.name));
    }
}

#[test]
fn a_run_without_a_request_exercises_nothing() {
    let empty = trace("");
    for kind in INVARIANTS {
        let (_, parameters) = read(kind.example);
        let problems = Diagnostics::new();
        let invariant = (kind.parse)(&parameters, &problems.root()).expect(kind.name);
        assert_eq!(in_short(&invariant.check(&empty)), "not exercised", "{}", kind.name);
    }
}
