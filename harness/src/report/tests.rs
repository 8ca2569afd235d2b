//! Reports over results made by hand: passing, failing, inconclusive, and many seeds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use brownout_provider::event::Mode;

use super::style::plain;
use super::{Entry, Report, Story, human, json, sentence};
use crate::invariant::Violation;
use crate::verdict::{
    ControlResult, InvariantResult, InvariantVerdict, Money, OperationCounts, ScenarioResult,
    Verdict,
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
        no_strike: false,
        control: Some(ControlResult { passed: true, reason: None }),
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
        recognized: counts(&[("url", 35)]),
        mode: Mode::Stdio,
        invariants: vec![
            invariant("no_double_charges", InvariantVerdict::Passed, 12),
            invariant("no_lost_operations", InvariantVerdict::Passed, 15),
            not_exercised("honors_retry_after", "no retry hint was delivered"),
        ],
        notes: Vec::new(),
        reproduce: format!(
            "brownout run scenarios/payments/lost-response.yaml --seed {seed} -- ./client"
        ),
        trace: Some(PathBuf::from(format!(".brownout/lost-response/{seed}/trace.jsonl"))),
        elapsed_ms: 812,
    }
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
    Entry { result, stories, excused: false }
}

fn report(results: impl IntoIterator<Item = ScenarioResult>) -> Report {
    Report { entries: results.into_iter().map(entry).collect(), trouble: None }
}

fn inconclusive() -> ScenarioResult {
    let mut result = result(42);
    result.verdict = Verdict::Inconclusive;
    result.reason =
        Some("the client sent no request to the mock; does it read BROWNOUT_URL?".to_owned());
    result.control =
        Some(ControlResult { passed: false, reason: Some("no request arrived".to_owned()) });
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
    assert!(text.contains("\n2 scenarios\n") && !text.contains("seeds from"), "{text}");
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
    let mut report = Report { entries: Vec::new(), trouble: Some(trouble) };
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
