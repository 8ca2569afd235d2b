//! Tests of resolving scenarios: what is said of wrong ones, and what becomes of right ones.

use std::path::Path;

use super::*;

/// `path: message` of every error, then of every note.
fn problems(yaml: &str) -> Vec<String> {
    let apis = Apis::Beside(Path::new("."));
    let checked = read("test.yaml", yaml.as_bytes(), apis, &Overrides::default());
    assert_eq!(
        checked.scenario.is_none(),
        checked
            .diagnostics
            .iter()
            .any(|one| one.severity == brownout_provider::document::Severity::Error),
        "{:?}",
        checked.diagnostics
    );
    checked.diagnostics.iter().map(|one| format!("{}: {}", one.path, one.message)).collect()
}

#[test]
fn a_file_without_anything_says_all_that_is_missing() {
    let problems = problems("name: nothing\n");
    for missing in ["version", "provider", "workload", "expect"] {
        assert!(problems.iter().any(|one| one.contains(missing)), "{missing}: {problems:?}");
    }
}
