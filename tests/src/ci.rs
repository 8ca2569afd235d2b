//! brownout in a CI system, from outside: the formats that such systems read, and a baseline.
//!
//! **Invariant:** as in `cli`, nothing here knows how brownout works inside.

use std::fs;

use crate::brownout::root;
use crate::cli::{
    BROKEN, CLIENT, Said, brownout_in, command_in, document, folder_with, refused, run_in, said,
};

/// The schema of baselines accepts what the program accepts and refuses what it refuses.
#[test]
fn baselines_have_a_schema() {
    let said = brownout_in(root(), &["schema", "baseline"]);
    let schema: serde_json::Value = serde_json::from_str(&said.out).expect("one document");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let file = |entries: &str| -> serde_json::Value {
        serde_yaml::from_str(&format!("version: 1\nknown:\n{entries}")).expect("YAML")
    };
    assert!(validator.is_valid(&file(HONEST)));
    assert!(!validator.is_valid(&file(&HONEST.replace("reason", "raison"))));
}

/// A folder with [`BROKEN`] and a baseline with these entries; runs it with more arguments.
fn with_baseline(entries: &str, more: &[&str]) -> Said {
    let (folder, scenario) = folder_with(BROKEN);
    let file = folder.path().join("known.yaml");
    fs::write(&file, format!("version: 1\nknown:\n{entries}")).expect("written");
    let file = file.to_str().expect("UTF-8");
    run_in(folder.path(), &[&[&*scenario, "--baseline", file], more, CLIENT].concat())
}

const HONEST: &str =
    "  - {scenario: broken, invariant: honest_failures, reason: planned, date: 2026-11-20}\n";
const DOUBLE: &str =
    "  - {scenario: broken, invariant: no_double_charges, reason: gone, date: 2026-11-21}\n";
const OTHER: &str =
    "  - {scenario: other, invariant: honest_failures, reason: x, date: 2026-11-20}\n";

#[test]
fn a_known_violation_is_shown_and_fails_nothing() {
    let said = with_baseline(&format!("{HONEST}{OTHER}"), &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let first = said.out.lines().next();
    assert_eq!(first, Some("nothing new is broken; 2 violations are known"), "{}", said.out);
    assert!(said.out.contains("2 violations, known since 2026-11-20: planned"), "{}", said.out);
    assert!(said.out.contains("knows 1 violation of scenarios that did not run"), "{}", said.out);
    let said = with_baseline(HONEST, &["--format", "json"]);
    let document = document(&said);
    assert_eq!((said.code, &document["verdict"]), (Some(0), &"passed".into()));
    let invariant = &document["scenarios"][0]["invariants"][0];
    assert_eq!(invariant["verdict"], "failed", "it is hidden nowhere");
    assert_eq!(invariant["known"]["reason"], "planned");
    let again = document["scenarios"][0]["reproduce"].as_str().unwrap_or_default();
    assert!(again.contains(" --baseline ") && again.contains("known.yaml"), "{again}");
}

#[test]
fn a_new_violation_fails_and_an_entry_that_is_gone_is_said() {
    let said = with_baseline(DOUBLE, &[]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.out.starts_with("2 of 2 operations were reported failed"), "{}", said.out);
    let gone = "`broken` no longer breaks `no_double_charges`; take the entry out of";
    assert!(said.out.contains(gone) && said.out.contains("line 3"), "{}", said.out);
    let other = DOUBLE.replace("no_double_charges", "min_gap");
    let said = with_baseline(&format!("{HONEST}{other}"), &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let stale = "`broken` does not expect `min_gap`; take the entry out of";
    assert!(said.out.contains(stale) && said.out.contains("line 4"), "{}", said.out);
}

#[test]
fn a_wrong_baseline_is_exit_code_3_and_nothing_runs() {
    let wrong = HONEST.replace("honest_failures", "honest_failure");
    let said = with_baseline(&wrong, &[]);
    refused(
        &said,
        3,
        &[
            "there is no invariant `honest_failure`",
            "known.yaml:3:",
            "did you mean `honest_failures`?",
        ],
    );
    let said = with_baseline(&wrong, &["--format", "json"]);
    let document = document(&said);
    assert_eq!((said.code, &document["error"]["exit_code"]), (Some(3), &3.into()));
    assert_eq!(document["error"]["diagnostics"][0]["did_you_mean"], "honest_failures");
    let (folder, scenario) = folder_with(BROKEN);
    let lost =
        run_in(folder.path(), &[&[&*scenario, "--baseline", "no-such.yaml"], CLIENT].concat());
    refused(&lost, 3, &["cannot read `no-such.yaml`", "check the path"]);
    assert!(!folder.path().join("out").exists(), "nothing ran");
}

#[test]
fn test_reporters_get_one_document_whatever_happens() {
    let (folder, scenario) = folder_with(BROKEN);
    let said = run_in(folder.path(), &[&[&*scenario, "--format", "junit"], CLIENT].concat());
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.starts_with("<?xml version=\"1.0\""), "{}", said.out);
    assert!(said.out.contains("<testsuites name=\"brownout\" tests=\"3\""), "{}", said.out);
    for part in [
        "<testcase name=\"honest_failures (seed 5)\" classname=\"brownout.broken\"",
        "type=\"honest_failures\">op-0001: ",
        "fault `lost`: reset, after the commit",
        "again: brownout run ",
    ] {
        assert!(said.out.contains(part), "`{part}` is not in: {}", said.out);
    }
    let said = run_in(folder.path(), &["none.yaml", "--format=junit", "--", "true"]);
    assert_eq!(said.code, Some(3));
    assert!(said.out.contains("type=\"exit code 3\"") && said.out.contains("no file or folder"));
    assert!(said.err.contains("no file or folder"), "people read it too: {}", said.err);
}

#[test]
fn github_gets_the_log_annotations_and_a_page_after_what_stands_there() {
    let (folder, scenario) = folder_with(BROKEN);
    let page = folder.path().join("page.md");
    fs::write(&page, "what other steps wrote\n").expect("written");
    let run = |arguments: &[&str]| {
        let out = folder.path().join("out");
        let out = out.to_str().expect("UTF-8");
        let mut command = command_in(root(), &[&["run", "--out", out], arguments].concat());
        said(&command.env("GITHUB_STEP_SUMMARY", &page).output().expect("it starts"))
    };
    let said = run(&[&[&*scenario, "--format", "github"], CLIENT].concat());
    assert_eq!(said.code, Some(1), "{}", said.err);
    let last = said.out.lines().last().expect("an annotation");
    assert!(
        last.starts_with("::error file=") && last.contains("title=honest_failures::2 violations")
    );
    assert!(said.out.contains("the client claims `failed`"), "the log tells it: {}", said.out);
    let told = fs::read_to_string(&page).expect("readable");
    assert!(told.starts_with("what other steps wrote\n### brownout: 2 of 2 operations"), "{told}");
    fs::write(folder.path().join("wrong.yaml"), "version: 1\nnmae: x\n").expect("written");
    let wrong = folder.path().join("wrong.yaml");
    let said = run(&[wrong.to_str().expect("UTF-8"), "--format", "github", "--", "true"]);
    assert_eq!(said.code, Some(3));
    assert!(said.out.contains("wrong.yaml,line=2,col=1,title=wrong file::"), "{}", said.out);
    assert!(said.out.contains("did you mean `name`?"), "{}", said.out);
}
