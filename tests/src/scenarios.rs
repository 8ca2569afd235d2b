//! The shipped scenarios and their schema: each resolves, validates, and has a schedule.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brownout::report::diagnostics;
use brownout::scenario::schedule::Schedule;
use brownout::scenario::{Apis, Checked, Overrides, read, schema};
use brownout_provider::document::{Document, Severity};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Every scenario file below `scenarios/`, in order.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() >= 20, "scenarios are missing: {found:?}");
    found
}

fn check(path: &Path) -> Checked {
    let bytes = fs::read(path).expect("the file can be read");
    let beside = Apis::Beside(path.parent().expect("a file stands in a folder"));
    read(&path.display().to_string(), &bytes, beside, &Overrides::default())
}

#[test]
fn every_shipped_scenario_resolves_without_errors() {
    let mut wrong = String::new();
    for path in files() {
        let checked = check(&path);
        let errors = checked.diagnostics.iter().any(|one| one.severity == Severity::Error);
        if errors || checked.scenario.is_none() {
            wrong += &diagnostics::render_plain(&checked.source, &checked.diagnostics);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Whoever runs a folder has one client, which is called in one way and handed its work in one way.
#[test]
fn a_folder_is_for_one_kind_of_client() {
    let mut kinds = BTreeMap::new();
    for path in files() {
        let scenario = check(&path).scenario.expect("it resolves");
        // An incident brings clients of its own.
        if brownout::incident::registry::find(&scenario.name).is_some() {
            continue;
        }
        let workload = &scenario.workload;
        let handed = (workload.queue.is_some(), workload.event.is_some());
        let kind = (workload.http.is_some(), handed);
        let folder = path.parent().expect("a folder").to_owned();
        assert_eq!(*kinds.entry(folder).or_insert(kind), kind, "{}", path.display());
    }
}

#[test]
fn the_committed_schema_is_current() {
    let path = folder().join("scenario.schema.json");
    let committed = fs::read_to_string(&path).expect("the schema is committed");
    assert!(
        committed == schema::text(),
        "write it anew: cargo run -- schema > scenarios/scenario.schema.json"
    );
}

#[test]
fn every_shipped_scenario_validates_against_the_schema() {
    let validator = jsonschema::validator_for(schema::scenario().as_value()).expect("a schema");
    for path in files() {
        let bytes = fs::read(&path).expect("the file can be read");
        let document = Document::parse("", &bytes).expect("legal YAML");
        let errors: Vec<String> = validator
            .iter_errors(&document.value)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn the_schema_refuses_what_reading_refuses() {
    let validator = jsonschema::validator_for(schema::scenario().as_value()).expect("a schema");
    let path = folder().join("payments/calm.yaml");
    let good = Document::parse("", &fs::read(path).expect("readable")).expect("legal").value;
    assert!(validator.is_valid(&good));
    for (pointer, wrong) in [
        ("/workload/operations", Value::from("many")),
        ("/workload/operations", Value::from(0)),
        ("/seed", Value::from(-1)),
        ("/seed", Value::from(1_u64 << 53)),
        ("/expect/0", Value::from("no_such_invariant")),
        ("/faults/0/inject", Value::from("no_such_fault")),
        ("/name", Value::Null),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect("the key is there") = wrong;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
}

#[test]
fn the_schedule_of_the_demo_stands_as_its_script_says() {
    let checked = check(&folder().join("payments/demo.yaml"));
    let scenario = checked.scenario.expect("a right scenario");
    let schedules = Schedule::all(&scenario);
    let [schedule] = &schedules[..] else { panic!("it calls one route") };
    assert_eq!(schedule.rows.len(), 20);
    assert_eq!(schedule.struck(), 16);
    insta::assert_snapshot!(Schedule::tables(&schedules));
}
