//! Hunting and exploring with real programs, on the real clock.

use std::path::Path;

use serde_json::Value;

use super::{Said, brownout};

const LOST: &str = "scenarios/payments/lost-response.yaml";

/// `brownout COMMAND SCENARIO ARGUMENTS… --write FILE --format json -- python3 CLIENT`.
fn search(folder: &Path, command: &str, arguments: &[&str], client: &str) -> (Said, Value) {
    let file = folder.join("found.yaml");
    let file = file.to_str().expect("UTF-8");
    let client = format!("tests/clients/{client}");
    let more = ["--write", file, "--format", "json", "--", "python3", &client];
    let said = brownout(folder, &[&[command], arguments, &more[..]].concat());
    let document =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said, document)
}

/// Hunts a flawed client, and runs what was found: one operation, at most two faults, the same violation.
fn hunted(client: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let (said, document) = search(folder.path(), "hunt", &[LOST, "--time", "60s"], client);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(document["firm"], true, "{document:#}");
    assert_eq!(document["minimal"], true, "{document:#}");
    assert_eq!(document["operations"], 1, "{document:#}");
    assert!(document["faults"].as_u64().is_some_and(|faults| faults <= 2), "{document:#}");
    let invariant = document["invariant"].as_str().expect("one is violated");
    assert!(expected.contains(&invariant), "{invariant}");

    let file = folder.path().join("found.yaml");
    let text = std::fs::read_to_string(&file).expect("it was written");
    assert!(text.contains(&format!("breaks `{invariant}`")), "{text}");
    assert!(text.contains("# Run it:   brownout run "), "{text}");
    assert!(text.contains("# Found by: brownout hunt ") && text.contains(" --time 60s "), "{text}");
    let client = format!("tests/clients/{client}");
    let file = file.to_str().expect("UTF-8");
    let again =
        brownout(folder.path(), &["run", file, "--format", "json", "--", "python3", &client]);
    assert_eq!(again.code, Some(1), "{again:?}\n{text}");
    let report: Value = serde_json::from_str(&again.out).expect("a document");
    let first = &report["scenarios"][0]["invariants"][0];
    assert_eq!((&first["name"], &first["verdict"]), (&invariant.into(), &"failed".into()));
}

#[test]
fn a_client_that_tries_again_without_a_key_is_hunted_down() {
    hunted("fixed_delay.py", &["no_double_charges", "bounded_retries"]);
}

#[test]
fn a_client_that_hopes_is_hunted_down() {
    hunted("naive_call.py", &["no_lost_operations", "honest_failures"]);
}

#[test]
fn a_client_that_swallows_every_error_is_hunted_down() {
    hunted("swallow_everything.py", &["no_phantom_success", "no_lost_operations"]);
}

/// Hunts a flawed client on a faster clock.
fn hunted_fast(client: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let arguments = [LOST, "--speed", "20", "--time", "60s"];
    let (said, document) = search(folder.path(), "hunt", &arguments, client);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(document["firm"], true, "{document:#}");
    assert_eq!(document["operations"], 1, "{document:#}");
    assert!(document["faults"].as_u64().is_some_and(|faults| faults <= 2), "{document:#}");
    let invariant = document["invariant"].as_str().expect("one is violated");
    assert!(expected.contains(&invariant), "{invariant}");
}

#[test]
fn a_client_that_hopes_is_hunted_down_on_a_faster_clock_too() {
    hunted_fast("naive_call.py", &["no_lost_operations", "honest_failures"]);
}

#[test]
fn a_client_that_swallows_every_error_is_hunted_down_on_a_faster_clock_too() {
    hunted_fast("swallow_everything.py", &["no_phantom_success", "no_lost_operations"]);
}

#[test]
fn on_a_faster_clock_the_same_is_found_in_less_time() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let arguments = ["payments-lost-response", "--speed", "20", "--time", "60s"];
    let (said, document) = search(folder.path(), "hunt", &arguments, "fixed_delay.py");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!((&document["faults"], &document["operations"]), (&1.into(), &1.into()));
    let reproduce = document["reproduce"].as_str().expect("a command");
    assert!(reproduce.contains(" --speed 20 -- python3 "), "{reproduce}");
}

#[test]
fn a_careful_client_is_not_accused() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let arguments = [LOST, "--mode", "stdio", "--runs", "12", "--time", "5m"];
    let (said, document) = search(folder.path(), "hunt", &arguments, "careful_stdio.py");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!((&document["found"], &document["runs"]), (&false.into(), &12.into()));

    let arguments = [LOST, "--mode", "stdio", "--depth", "2"];
    let (said, document) = search(folder.path(), "explore", &arguments, "careful_stdio.py");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(document["survived"], true, "{document:#}");
    assert_eq!((&document["schedules"], &document["runs"]), (&9.into(), &7.into()));
    assert!(said.err.starts_with("9 schedules: 2 faults or none at each"), "{said:?}");
    assert!(!folder.path().join("found.yaml").exists());
}

#[test]
fn exploring_finds_what_one_fault_breaks() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let faults = "status: {code: 503}, answer-lost";
    let arguments = [LOST, "--depth", "2", "--faults", faults];
    let (said, document) = search(folder.path(), "explore", &arguments, "fixed_delay.py");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!((&document["faults"], &document["operations"]), (&1.into(), &1.into()));
    assert_eq!(document["script"][0]["inject"]["reset"]["at"], "after_commit");
}

#[test]
fn a_client_that_does_not_work_at_all_is_no_find() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    for command in ["hunt", "explore"] {
        let (said, document) = search(folder.path(), command, &[LOST], "no-such-file.py");
        assert_eq!(said.code, Some(2), "{said:?}");
        let reason = document["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("the control run, without faults, failed: "), "{reason}");
    }
}

#[test]
fn what_cannot_be_searched_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let refused = |arguments: &[&str], part: &str| {
        let said = brownout(folder.path(), &[arguments, &["--", "true"]].concat());
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
        assert_eq!(said.out, "");
    };
    refused(
        &["explore", LOST, "--depth", "20"],
        "3,486,784,401 schedules are more than 100,000: 2 faults or none at each of the first 20 attempts",
    );
    refused(
        &["explore", LOST, "--depth", "200", "--yes"],
        "2 faults or none at each of 200 attempts are more than 10^38 schedules, which are too many to count",
    );
    refused(&["explore", LOST, "--faults", "nonsense"], "`nonsense` is no fault that can strike");
    refused(&["explore", LOST, "--faults", "{"], "cannot be read; write it as in a scenario");
    let calm = folder.path().join("calm.yaml");
    let text = "version: 1
name: calm
provider: {api: payments}
workload: {call: create_charge}
expect: [no_lost_operations]
";
    std::fs::write(&calm, text).expect("written");
    let calm = calm.to_str().expect("UTF-8");
    refused(&["explore", calm], "name some with `--faults`");
    refused(&["explore", LOST, "--faults", ""], "`--faults` names none");
    refused(&["hunt", LOST, "--write", calm], "is there already and stays as it is");
    let nowhere = folder.path().join("none/found.yaml");
    refused(&["hunt", LOST, "--write", nowhere.to_str().expect("UTF-8")], "there is no folder");
    assert_eq!(std::fs::read_to_string(calm).expect("it is there"), text);
    refused(&["hunt", "scenarios"], "scenarios and only one can be taken; name one of");
    refused(&["hunt", LOST, "--time", "5"], "has no unit");
}
