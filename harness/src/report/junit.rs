//! The report for CI systems that read JUnit's XML: Jenkins, GitLab, and the test reporters of GitHub.
//!
//! A scenario is a class and each of its invariants a test case, with the seed in the name, because these
//! systems keep the history of a test by class and name.
//!
//! | what came of it | element | because |
//! |---|---|---|
//! | an invariant held | none | it passed |
//! | it was broken | `failure`, with the timeline, the cure and the command in its text | all show a failure's text |
//! | it was broken and the baseline knows it | `skipped` with the reason | it is shown and breaks no build |
//! | the run never met it | `skipped` with the reason | all show the message of a skipped test |
//! | nothing can be said of a run | `error` on the case `the run can be judged` | the build has to break as the exit code says |
//! | nothing could run | `error` on the case `brownout` | the same |
//!
//! **Invariant:** a document without `failure` and `error` is one whose exit code is 0, and the reverse.

use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::group::{Group, groups};
use super::{Entry, Format, Report, Trouble};
use crate::amount::times;
use crate::verdict::{InvariantResult, InvariantVerdict, Verdict};

/// The format's entry in the registry.
pub static FORMAT: Format = Format {
    name: "junit",
    summary: "JUnit's XML for CI systems: a test case an invariant and seed",
    render,
    aside: None,
};

/// What everything here is called.
const NAME: &str = "brownout";

fn render(report: &Report) -> String {
    let mut document = quick_junit::Report::new(NAME);
    document.add_test_suites(groups(report).iter().map(suite));
    if let Some(trouble) = &report.trouble {
        let mut suite = TestSuite::new(NAME);
        suite.add_test_case(could_not_run(trouble));
        document.add_test_suite(suite);
    }
    let mut text = document.to_string().expect("a document in memory takes every text");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// All seeds of one scenario.
fn suite(group: &Group<'_>) -> TestSuite {
    let mut suite = TestSuite::new(group.first().result.name.as_str());
    suite.set_time(Duration::from_millis(group.sum(|entry| entry.result.elapsed_ms)));
    for entry in &group.entries {
        suite.add_test_case(judged(entry));
        suite.add_test_cases(entry.result.invariants.iter().map(|one| invariant(entry, one)));
    }
    suite
}

/// A test case of this run.
fn case(entry: &Entry, name: &str, status: TestCaseStatus) -> TestCase {
    let result = &entry.result;
    let mut case = TestCase::new(format!("{name} (seed {})", result.seed), status);
    // What stands before the last dot is a package in Jenkins, so that a scenario's own dots must go.
    case.set_classname(format!("{NAME}.{}", result.name.replace('.', "_")));
    case.set_time(Duration::ZERO);
    case.extra.insert("file".into(), result.file.as_str().into());
    case
}

/// Whether something can be said of the run, and how long it took.
fn judged(entry: &Entry) -> TestCase {
    let result = &entry.result;
    let broken = |one: &InvariantResult| {
        one.verdict == InvariantVerdict::Failed && entry.known(one.name).is_none()
    };
    let why = result.reason.as_deref().unwrap_or("nobody knows why");
    let again = format!("{why}\n\nagain: {}", result.reproduce);
    let status = match result.verdict {
        Verdict::Inconclusive if entry.excused => skipped(why),
        Verdict::Inconclusive => non_success(NonSuccessKind::Error, "inconclusive", why, again),
        Verdict::Failed if !result.invariants.iter().any(broken) => {
            non_success(NonSuccessKind::Failure, "twice", why, again)
        }
        Verdict::Failed | Verdict::Passed => TestCaseStatus::success(),
    };
    let mut case = case(entry, "the run can be judged", status);
    case.set_time(Duration::from_millis(result.elapsed_ms));
    case
}

fn invariant(entry: &Entry, one: &InvariantResult) -> TestCase {
    let status = match (one.verdict, entry.known(one.name)) {
        (InvariantVerdict::Passed, _) => TestCaseStatus::success(),
        (InvariantVerdict::NotExercised, _) => {
            skipped(one.reason.as_deref().unwrap_or("the run never met what it is about"))
        }
        (InvariantVerdict::Failed, Some(known)) => {
            let count = times(u64::try_from(one.violations.len()).unwrap_or(u64::MAX));
            skipped(&format!("{known}; broken {count} here"))
        }
        (InvariantVerdict::Failed, None) => {
            let first = one.violations.first().map_or("it was broken", |first| &first.message);
            non_success(NonSuccessKind::Failure, one.name, first, story(entry, one))
        }
    };
    case(entry, one.name, status)
}

/// The text of a failure: every violation in a line, then the first of them as a story.
fn story(entry: &Entry, one: &InvariantResult) -> String {
    let mut text = String::new();
    for violation in &one.violations {
        let about = violation.operation.as_deref().unwrap_or("the whole run");
        put(&mut text, &format!("{about}: {}", violation.message));
    }
    if let Some(story) = entry.stories.iter().find(|story| story.invariant == one.name) {
        put(&mut text, &format!("\nexpected: {}\n", story.expected));
        for step in &story.timeline {
            put(&mut text, step);
        }
        put(&mut text, &format!("\ncure: {}", story.cure));
    }
    put(&mut text, &format!("again: {}", entry.result.reproduce));
    if let Some(trace) = &entry.result.trace {
        put(&mut text, &format!("trace: {}", trace.display()));
    }
    text
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every line");
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

fn non_success(kind: NonSuccessKind, word: &str, why: &str, text: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word).set_message(why).set_description(text);
    status
}

fn could_not_run(trouble: &Trouble) -> TestCase {
    let mut text = format!("{}\n", trouble.message);
    for one in &trouble.diagnostics {
        put(&mut text, &one.in_one_line());
    }
    let word = format!("exit code {}", trouble.exit_code);
    let status = non_success(NonSuccessKind::Error, &word, &trouble.message, text);
    let mut case = TestCase::new(NAME, status);
    case.set_classname(NAME).set_time(Duration::ZERO);
    case
}
