//! Reports over results made by hand: passing, failing, inconclusive, and many seeds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use brownout_provider::event::Mode;

use super::baseline::{Compared, Known, Stale};
use super::style::plain;
use super::{Entry, Report, Story, github, human, json, junit, sentence};
use crate::by_name::ByName;
use crate::invariant::Violation;
use crate::verdict::{
    ControlResult, InvariantResult, InvariantVerdict, Money, OperationCounts, ScenarioResult,
    SuiteEnd, Verdict,
};

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn invariant(name: &'static str, verdict: InvariantVerdict, exercised: u64) -> InvariantResult {
    InvariantResult {
        name,
        verdict,
        exercised,
        reason: None,
        violations: Vec::new(),
        partial: false,
    }
}

fn not_exercised(name: &'static str, reason: &str) -> InvariantResult {
    InvariantResult {
        reason: Some(reason.to_owned()),
        ..invariant(name, InvariantVerdict::NotExercised, 0)
    }
}

fn violation(operation: Option<&str>, message: &str, evidence: &[u64]) -> Violation {
    Violation {
        operation: operation.map(Arc::from),
        message: message.to_owned(),
        evidence: evidence.to_vec(),
    }
}

fn result(seed: u64) -> ScenarioResult {
    ScenarioResult {
        name: "lost-response".to_owned(),
        file: "scenarios/payments/lost-response.yaml".to_owned(),
        seed,
        verdict: Verdict::Passed,
        reason: None,
        doubt: None,
        no_strike: false,
        control: Some(ControlResult { passed: true, ..ControlResult::default() }),
        schedule_hash: "3f2a9c".to_owned(),
        faults: counts(&[("busy", 3), ("response-lost", 12)]),
        operations: OperationCounts { total: 20, succeeded: 20, ..OperationCounts::default() },
        requests: 35,
        retries: 15,
        effects: counts(&[("charge", 20)]),
        money: BTreeMap::from([(
            "usd".to_owned(),
            Money { billed: 39_980, delivered: 39_980, wasted: 0, beyond_first: 0 },
        )]),
        providers: ByName::default(),
        tenants: ByName::default(),
        recognized: counts(&[("url", 35)]),
        mode: Mode::Stdio,
        invariants: vec![
            invariant("no_double_charges", InvariantVerdict::Passed, 12),
            invariant("no_lost_operations", InvariantVerdict::Passed, 15),
            not_exercised("honors_retry_after", "no retry hint was delivered"),
        ],
        notes: Vec::new(),
        batch_remark: None,
        suite: None,
        reproduce: format!(
            "brownout run scenarios/payments/lost-response.yaml --seed {seed} -- ./client"
        ),
        trace: Some(PathBuf::from(format!(".brownout/lost-response/{seed}/trace.jsonl"))),
        elapsed_ms: 812,
    }
}

/// A suite's run of which nobody claims anything.
fn of_suite(seed: u64, code: i32) -> ScenarioResult {
    let end = |code| SuiteEnd {
        code: Some(code),
        last_line: Some("2 failed, 1 passed in 0.4s".to_owned()),
        operations: 3,
        ..SuiteEnd::default()
    };
    let no_claims = "suite mode makes no claims";
    ScenarioResult {
        mode: Mode::Suite,
        suite: Some(end(code)),
        control: Some(ControlResult {
            passed: true,
            suite: Some(end(1)),
            ..ControlResult::default()
        }),
        invariants: vec![
            not_exercised("honest_failures", no_claims),
            invariant("no_double_charges", InvariantVerdict::Passed, 12),
            not_exercised("no_phantom_success", no_claims),
        ],
        ..result(seed)
    }
}

#[test]
fn a_suite_is_told_by_its_exit_code_and_its_last_line() {
    let text_of = |results: Vec<ScenarioResult>| told(&report(results));
    let text = text_of(vec![of_suite(42, 1)]);
    let how = "exit code 1; its last line: `2 failed, 1 passed in 0.4s`";
    assert!(text.contains(&format!("suite      {how}")), "{text}");
    assert!(text.contains("control    passed: it reached the mock (exit code 1)\n"), "{text}");
    assert!(!text.contains("fair weather"), "{text}");
    assert!(
        text.contains(
            "  - honest_failures, no_phantom_success  not exercised: suite mode makes no claims\n"
        ),
        "{text}"
    );
    let text = text_of(vec![of_suite(1, 0), of_suite(2, 1), of_suite(3, 0)]);
    assert!(
        text.contains("2 runs: exit code 0\n") && text.contains("1 run: exit code 1; its"),
        "{text}"
    );
    let document = (json::FORMAT.render)(&report(vec![of_suite(42, 1)]));
    assert!(document.contains(r#""exit_code": 1"#), "{document}");
}

#[test]
fn several_scenarios_are_counted_on_top_with_the_names_of_those_that_did_not_pass() {
    let named =
        |name: &str, result: ScenarioResult| ScenarioResult { name: name.to_owned(), ..result };
    let results = [
        named("a", result(1)),
        named("b", charged_twice(1, 2)),
        named("c", inconclusive()),
        named("d", result(1)),
        named("e", charged_twice(1, 1)),
    ];
    let text = told(&report(results));
    let second = text.lines().nth(1).expect("a second line");
    assert_eq!(second, "5 scenarios: 2 passed, 2 failed (b, e), 1 inconclusive (c)");
}

#[test]
fn long_advice_is_given_once_and_notes_that_differ_in_numbers_are_one() {
    let advice =
        "let the client carry a name of its own in each request, such as an order or a header";
    let noting = |name: &str, count: u64| {
        let notes = vec![format!("{count} of 9 requests did not say; {advice}")];
        ScenarioResult { name: name.to_owned(), notes, ..result(count) }
    };
    let text = told(&report([noting("a", 1), noting("a", 2), noting("b", 3)]));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words.matches(advice).count(), 1, "{text}");
    assert!(!words.contains("2 of 9"), "{text}");
    assert!(words.contains("3 of 9 requests did not say; as noted above"), "{text}");
}

#[test]
fn one_run_does_not_end_with_its_seed() {
    let last =
        |results: Vec<ScenarioResult>| told(&report(results)).lines().last().map(str::to_owned);
    assert!(last(vec![result(7)]).expect("text").contains("--seed 7"));
    assert_eq!(last(vec![result(7), result(8)]).as_deref(), Some("2 seeds from 7 to 8"));
}

fn charged_twice(seed: u64, operations: u64) -> ScenarioResult {
    let cents = 1_999 * i64::try_from(operations).expect("few");
    let mut failed = invariant("no_double_charges", InvariantVerdict::Failed, 12);
    failed.violations = (1..=operations)
        .map(|n| {
            violation(
                Some(&format!("op-{n:04}")),
                "2 charges of 19.99 USD stand in the ledger",
                &[41, 47, 52],
            )
        })
        .collect();
    let mut result = result(seed);
    result.verdict = Verdict::Failed;
    result.effects = counts(&[("charge", 20 + operations)]);
    result.money = BTreeMap::from([(
        "usd".to_owned(),
        Money { billed: 39_980 + cents, delivered: 39_980, wasted: cents, beyond_first: cents },
    )]);
    result.invariants[0] = failed;
    result
}

fn story() -> Story {
    Story {
        invariant: "no_double_charges",
        timeline: vec![
            "0.000 s  attempt 1  POST /v1/charges  key a1".to_owned(),
            "0.001 s             committed charge 19.99 USD, then the connection was reset"
                .to_owned(),
            "0.061 s  attempt 2  POST /v1/charges  key a2  (waited 60 ms)".to_owned(),
            "0.062 s             committed charge 19.99 USD, answered 201".to_owned(),
            "0.063 s  claimed succeeded".to_owned(),
        ],
        expected: "An operation has at most one live effect of any kind: nobody pays twice."
            .to_owned(),
        cure: "Send one idempotency key per operation.".to_owned(),
    }
}

fn entry(result: ScenarioResult) -> Entry {
    let stories = match result.verdict {
        Verdict::Failed => vec![story()],
        Verdict::Passed | Verdict::Inconclusive => Vec::new(),
    };
    Entry { result, stories, excused: false, known: Vec::new() }
}

fn report(results: impl IntoIterator<Item = ScenarioResult>) -> Report {
    Report { entries: results.into_iter().map(entry).collect(), ..Report::default() }
}

fn inconclusive() -> ScenarioResult {
    let mut result = result(42);
    result.verdict = Verdict::Inconclusive;
    result.reason =
        Some("the client sent no request to the mock; does it read BROWNOUT_URL?".to_owned());
    result.control = Some(ControlResult {
        reason: Some("no request arrived".to_owned()),
        ..ControlResult::default()
    });
    result.faults = BTreeMap::new();
    result.requests = 0;
    result.retries = 0;
    result.effects = BTreeMap::new();
    result.money = BTreeMap::new();
    result.recognized = BTreeMap::new();
    result.operations = OperationCounts { total: 20, unclaimed: 20, ..OperationCounts::default() };
    result.invariants = vec![not_exercised("no_double_charges", "no operation had two attempts")];
    result
}

fn told(report: &Report) -> String {
    plain(&(human::FORMAT.render)(report))
}

#[test]
fn a_passing_run_reads_well() {
    insta::assert_snapshot!(told(&report([result(42)])));
}

#[test]
fn a_failing_run_shows_the_timeline_the_cure_and_the_command() {
    insta::assert_snapshot!(told(&report([charged_twice(42, 12)])));
}

#[test]
fn an_inconclusive_run_says_why() {
    insta::assert_snapshot!(told(&report([inconclusive()])));
}

fn calm(seed: u64) -> ScenarioResult {
    let mut calm = result(seed);
    calm.verdict = Verdict::Inconclusive;
    calm.no_strike = true;
    calm.reason = Some("no rule struck with this seed".to_owned());
    calm.faults = BTreeMap::new();
    calm
}

#[test]
fn a_calm_seed_is_excused_only_where_another_of_its_scenario_struck() {
    let verdict = |results: &[&ScenarioResult]| {
        let mut report = report(results.iter().map(|one| (*one).clone()));
        report.excuse_calm_seeds();
        report.verdict()
    };
    let (calm, struck) = (calm(44), result(42));
    let other = ScenarioResult { name: "other".to_owned(), ..result(42) };
    assert_eq!(verdict(&[]), Verdict::Inconclusive);
    assert_eq!(verdict(&[&calm]), Verdict::Inconclusive);
    assert_eq!(verdict(&[&calm, &other]), Verdict::Inconclusive);
    assert_eq!(verdict(&[&calm, &struck]), Verdict::Passed);
    assert_eq!(verdict(&[&struck, &inconclusive()]), Verdict::Inconclusive);
    assert_eq!(verdict(&[&calm, &inconclusive(), &charged_twice(43, 1)]), Verdict::Failed);
}

#[test]
fn a_script_is_counted_as_one_for_people_and_by_entry_for_programs() {
    let mut scripted = result(42);
    scripted.faults = counts(&[("script-1", 1), ("script-2", 3), ("script-like", 2)]);
    let report = report([scripted]);
    assert!(told(&report).contains("script 4, script-like 2"), "{}", told(&report));
    assert!((json::FORMAT.render)(&report).contains("\"script-2\": 3"));
}

#[test]
fn many_seeds_are_summed_and_each_failing_one_has_its_command() {
    let mut report =
        report([result(42), charged_twice(43, 2), calm(44), charged_twice(45, 1), result(46)]);
    report.excuse_calm_seeds();
    insta::assert_snapshot!(told(&report));
}

#[test]
fn seeds_are_counted_only_where_a_scenario_has_several() {
    let mut other = result(59);
    other.name = "busy".to_owned();
    let text = told(&report([result(1), other]));
    assert!(text.contains("\n2 scenarios: 2 passed\n") && !text.contains("seeds from"), "{text}");
    let text = told(&report([result(1), result(2)]));
    assert!(text.contains("1 scenario, 2 seeds from 1 to 2"), "{text}");
}

#[test]
fn a_suite_claims_nothing_and_need_not() {
    let mut suite = result(42);
    suite.mode = Mode::Suite;
    suite.operations = OperationCounts { total: 3, unclaimed: 3, ..OperationCounts::default() };
    let text = told(&report([suite]));
    assert!(text.contains("3: claims none (suite mode judges what is on the wire)"), "{text}");
}

#[test]
fn what_holds_in_a_cut_trace_is_not_shown_as_held() {
    let mut cut = result(42);
    cut.invariants[0].partial = true;
    let text = told(&report([cut]));
    assert!(text.contains("passed as far as the trace goes, exercised 12 times"), "{text}");
}

#[test]
fn without_a_run_the_document_says_what_is_wrong() {
    let trouble = super::Trouble {
        exit_code: 4,
        message: "no room; make some".to_owned(),
        diagnostics: Vec::new(),
    };
    let mut report = Report { trouble: Some(trouble), ..Report::default() };
    let document = |report: &Report| -> serde_json::Value {
        serde_json::from_str(&(json::FORMAT.render)(report)).expect("one document")
    };
    assert_eq!(
        document(&report),
        serde_json::json!({
            "version": 1, "verdict": null, "scenarios": [],
            "error": {"exit_code": 4, "message": "no room; make some"},
        })
    );
    report.entries.push(entry(result(42)));
    let partly = document(&report);
    assert_eq!((&partly["verdict"], &partly["error"]["exit_code"]), (&"passed".into(), &4.into()));
    assert!(
        told(&report).contains("\nnot all of it ran: no room; make some\n"),
        "{}",
        told(&report)
    );
}

#[test]
fn the_document_has_the_shape_of_the_contract() {
    insta::assert_snapshot!((json::FORMAT.render)(&report([charged_twice(42, 1), inconclusive()])));
}

#[test]
fn the_sentence_speaks_of_the_worst_that_is_known() {
    let mut lost = result(42);
    lost.verdict = Verdict::Failed;
    lost.invariants[1].verdict = InvariantVerdict::Failed;
    lost.invariants[1].violations =
        ["op-0001", "op-0001", "op-0002"].map(|name| violation(Some(name), "lost", &[1])).to_vec();
    let mut tokens = charged_twice(42, 3);
    tokens.money = BTreeMap::from([(
        "tokens".to_owned(),
        Money { billed: 9_000, delivered: 4_096, wasted: 4_904, beyond_first: 4_096 },
    )]);
    let mut both = charged_twice(42, 2);
    both.invariants[1] = lost.invariants[1].clone();
    for (result, expected) in [
        (result(42), "20 of 20 operations held; nothing was charged twice"),
        (
            charged_twice(42, 12),
            "12 of 20 customers would have been charged twice (239.88 USD too much)",
        ),
        (tokens, "3 of 20 operations would have been paid for twice (4,096 tokens too much)"),
        (lost, "2 of 20 operations were lost"),
        (both, "2 of 20 customers would have been charged twice (39.98 USD too much)"),
        (
            inconclusive(),
            "nothing can be said about this client: the client sent no request to the mock; does it read BROWNOUT_URL?",
        ),
    ] {
        assert_eq!(sentence::sentence(&report([result])), expected);
    }
    assert_eq!(
        sentence::sentence(&Report::default()),
        "nothing ran, so nothing can be said about this client"
    );
}

/// Text that a client or a file could write to break out of a format.
const HOSTILE: &str =
    "]]>\u{1}\u{1b}[31m</failure>\n::error::a\r\n| <b>x</b> `y` 100% [z](w) ```\n##[error]b";

fn hostile() -> Report {
    let mut bad = charged_twice(42, 1);
    bad.name = "a,b:c|d".to_owned();
    bad.file = "x,y:z%.yaml".to_owned();
    bad.invariants[0].violations[0].message = HOSTILE.to_owned();
    bad.notes = vec![HOSTILE.to_owned()];
    let mut doubtful = inconclusive();
    doubtful.reason = Some(HOSTILE.to_owned());
    let mut report = report([bad, doubtful]);
    report.entries[0].stories[0].timeline = HOSTILE.split('\n').map(str::to_owned).collect();
    report.entries[0].stories[0].cure = HOSTILE.to_owned();
    report
}

fn known() -> Report {
    let known = Known {
        invariant: "no_double_charges".to_owned(),
        reason: "one key an attempt; to be mended".to_owned(),
        date: "2026-11-20".to_owned(),
    };
    let mut forgiven = charged_twice(42, 3);
    forgiven.verdict = Verdict::Passed;
    let stale = Stale {
        file: "known.yaml".to_owned(),
        line: 7,
        scenario: "lost-response".to_owned(),
        invariant: "no_lost_operations".to_owned(),
        is_unexpected: false,
    };
    let mut report = report([forgiven]);
    report.entries[0].known = vec![known];
    report.baseline = Some(Compared {
        file: "known.yaml".to_owned(),
        entries: 3,
        not_run: 1,
        stale: vec![stale],
    });
    report
}

fn wrong_file() -> Report {
    let diagnostic = super::PlacedDiagnostic {
        file: "a.yaml".to_owned(),
        line: 2,
        column: 1,
        path: "nmae".to_owned(),
        message: "unknown key `nmae`".to_owned(),
        allowed: vec!["name".to_owned()],
        did_you_mean: Some("name".to_owned()),
        cure: Some("mend it".to_owned()),
    };
    let trouble = super::Trouble {
        exit_code: 3,
        message: "1 file is wrong, so nothing ran".to_owned(),
        diagnostics: vec![diagnostic],
    };
    Report { trouble: Some(trouble), ..Report::default() }
}

fn aside(report: &Report) -> String {
    let aside = github::FORMAT.aside.expect("it has one");
    (aside.render)(report)
}

#[test]
fn known_violations_are_shown_and_new_ones_told() {
    insta::assert_snapshot!("known_for_people", told(&known()));
    let document: serde_json::Value =
        serde_json::from_str(&(json::FORMAT.render)(&known())).expect("one document");
    assert_eq!(document["verdict"], "passed");
    let first = &document["scenarios"][0]["invariants"][0];
    assert_eq!(
        (&first["verdict"], &first["known"]["date"]),
        (&"failed".into(), &"2026-11-20".into())
    );
    assert_eq!(
        document["baseline"],
        serde_json::json!({"file": "known.yaml", "entries": 3, "not_run": 1, "stale": [
            {"line": 7, "scenario": "lost-response", "invariant": "no_lost_operations"}]})
    );
}

#[test]
fn annotations_are_summed_by_invariant_and_at_most_ten() {
    let text = (github::FORMAT.render)(&report([charged_twice(42, 2), charged_twice(43, 3)]));
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("::error")).collect();
    assert_eq!(commands.len(), 1, "{text}");
    assert!(commands[0].contains("5 violations in 2 runs of lost-response%0Aop-0001: "), "{text}");
    let many = report((0..30).map(|seed| ScenarioResult { seed, ..inconclusive() }));
    let text = (github::FORMAT.render)(&many);
    let commands: Vec<&str> = text.lines().filter(|line| line.contains("title=")).collect();
    assert_eq!(commands.len(), 10, "{text}");
    assert!(commands[9].contains("title=and 21 more"), "{text}");
}

#[test]
fn a_step_is_told_in_the_log_in_annotations_and_on_its_page() {
    let report = report([result(41), charged_twice(42, 2), inconclusive()]);
    insta::assert_snapshot!("github_log", (github::FORMAT.render)(&report));
    insta::assert_snapshot!("github_summary", aside(&report));
    insta::assert_snapshot!(
        "github_known",
        format!("{}{}", (github::FORMAT.render)(&known()), aside(&known()))
    );
    insta::assert_snapshot!(
        "github_wrong_file",
        format!("{}{}", (github::FORMAT.render)(&wrong_file()), aside(&wrong_file()))
    );
}

/// What the runner of GitHub takes for commands: lines outside of a silence that begin with `::`.
fn commands(log: &str) -> Vec<&str> {
    let mut silent: Option<String> = None;
    let mut commands = Vec::new();
    for line in log.split(['\n', '\r']) {
        match &silent {
            Some(end) if line == end => silent = None,
            Some(_) => {}
            None => match line.strip_prefix("::stop-commands::") {
                Some(token) => silent = Some(format!("::{token}::")),
                None => commands.push(line),
            },
        }
    }
    assert_eq!(silent, None, "the silence ends");
    commands
}

#[test]
fn no_text_of_a_client_gives_a_command_or_changes_the_page() {
    let log = (github::FORMAT.render)(&hostile());
    let found: Vec<&str> = commands(&log).into_iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0]
            .starts_with("::error file=x%2Cy%3Az%25.yaml,line=1,col=1,title=no_double_charges::")
    );
    assert!(found[1].starts_with("::warning file="), "{found:#?}");
    let page = aside(&hostile());
    let fence = "````";
    let outside: String = page.split(fence).step_by(2).collect();
    assert!(!outside.contains("<b>") && outside.contains("&lt;b>"), "{page}");
    let row = page.lines().find(|line| line.contains("a,b:c")).expect("a row");
    assert_eq!(row.matches('|').count(), 7, "{row}");
    assert!(
        page.contains(&format!("\n{fence}text\n")),
        "a fence that the text cannot close: {page}"
    );
}

#[test]
fn a_test_reporter_reads_each_invariant_and_seed() {
    let render = junit::FORMAT.render;
    insta::assert_snapshot!(
        "junit",
        render(&report([result(41), charged_twice(42, 2), inconclusive()]))
    );
    insta::assert_snapshot!("junit_known", render(&known()));
    insta::assert_snapshot!("junit_wrong_file", render(&wrong_file()));
    let text = render(&hostile());
    assert!(!text.contains('\u{1}') && !text.contains('\u{1b}'), "no character that XML forbids");
    assert_eq!(text.matches("</failure>").count(), 1, "{text}");
    let mut calm_too = report([result(42), calm(44)]);
    calm_too.excuse_calm_seeds();
    assert!(!render(&calm_too).contains("<error"), "an excused seed breaks no build");
    let mut twice = result(42);
    twice.verdict = Verdict::Failed;
    twice.reason = Some("two runs differ".to_owned());
    assert!(
        render(&report([twice])).contains("<failure message=\"two runs differ\" type=\"twice\"")
    );
}
