//! Wrong scenario files, each with what is said of it as a snapshot beside it; and bytes that nobody wrote.

use std::fs;
use std::path::{Path, PathBuf};

use brownout::report::diagnostics;
use brownout::scenario::{Apis, Checked, Overrides, read};
use brownout_provider::document::{Diagnostic, Severity};
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("invalid")
}

fn check(name: &str, bytes: &[u8]) -> Checked {
    read(name, bytes, Apis::Beside(Path::new(".")), &Overrides::default())
}

fn errors(checked: &Checked) -> Vec<&Diagnostic> {
    checked.diagnostics.iter().filter(|one| one.severity == Severity::Error).collect()
}

#[test]
fn every_wrong_file_is_refused_as_its_snapshot_says() {
    let mut names: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 30, "wrong files are missing");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../invalid");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for path in names {
        let bytes = fs::read(&path).expect("the file can be read");
        assert!(bytes.starts_with(b"# Wrong: "), "{}: say what is wrong", path.display());
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let checked = check(&format!("{stem}.yaml"), &bytes);
        assert!(checked.scenario.is_none() && !errors(&checked).is_empty(), "{stem} is accepted");
        for error in errors(&checked) {
            let is_helpful =
                error.cure.is_some() || error.did_you_mean.is_some() || !error.allowed.is_empty();
            assert!(is_helpful, "{stem}: no way out of: {error:?}");
        }
        insta::assert_snapshot!(
            stem.as_str(),
            diagnostics::render_plain(&checked.source, &checked.diagnostics)
        );
    }
}

/// The first error, and the line and column that it points to.
fn refused(bytes: &[u8]) -> (String, usize, usize) {
    let checked = check("test.yaml", bytes);
    assert!(checked.scenario.is_none());
    let first = errors(&checked).first().copied().cloned().expect("an error");
    let place = checked.source.place_of(&first);
    let shown = diagnostics::render_plain(&checked.source, &checked.diagnostics);
    assert!(shown.len() < 100_000, "an endless report");
    (first.message, place.line, place.column)
}

#[test]
fn what_would_be_slow_or_huge_is_refused_by_a_cap() {
    let (message, ..) = refused(&vec![b'#'; 2 << 20]);
    assert!(message.contains("at most 1048576 are read"), "{message}");
    for deep in ["[", "{a: ", "- "] {
        let (message, ..) = refused(deep.repeat(100_000).as_bytes());
        assert!(message.contains("deep in each other"), "{deep}: {message}");
    }
    let level = |n: usize| {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        format!("a{n}: &a{n} [{items}]\n")
    };
    let bomb: String = (1..20).map(level).collect();
    let (message, ..) = refused(format!("a0: &a0 [lol, lol, lol, lol]\n{bomb}").as_bytes());
    assert!(message.contains("aliases expand"), "{message}");
}

#[test]
fn bytes_that_are_no_text_are_refused_at_their_place() {
    assert_eq!(refused(b"version: 1\nname: \xc3\x28\n").1, 2);
    assert_eq!(refused(b"\xff\xfe\x00\x00"), ("byte 0 (0xff) is no UTF-8".to_owned(), 1, 1));
    refused(b"\x00\x01\x02");
    refused(b"%PDF-1.7\n");
}

#[test]
fn a_hundred_thousand_wrong_entries_are_not_all_reported() {
    let text = format!("version: 1\nexpect: [{}]\n", "nothing_of_this_name, ".repeat(40_000));
    refused(text.as_bytes());
    let text = format!("version: 1\nfaults: [{}]\n", "{x: 1}, ".repeat(40_000));
    refused(text.as_bytes());
}

/// Lines of a scenario that is right, from which wrong ones are made.
const RIGHT: &str = include_str!("../../scenarios/payments/rate-limit.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let checked = check("test.yaml", &bytes);
        prop_assert!(checked.scenario.is_some() || !errors(&checked).is_empty());
        let _ = diagnostics::render_plain(&checked.source, &checked.diagnostics);
    }

    #[test]
    fn no_change_of_a_right_file_makes_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[a-z0-9:{}\\[\\]%/ \\-\"&*!|>~.]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = RIGHT.chars().collect();
        for (index, delete, insert) in changes {
            let start = index.index(text.len());
            let end = (start + delete).min(text.len());
            text.splice(start..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        let checked = check("test.yaml", text.as_bytes());
        prop_assert!(checked.scenario.is_some() || !errors(&checked).is_empty());
        let _ = diagnostics::render(&checked.source, &checked.diagnostics);
    }
}
