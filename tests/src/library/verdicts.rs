//! Verdicts in a test: what passes, how a panic reads, and expectations of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use brownout::{Finding, Harness, Outcome, Trace, Verdict, assert_holds};
use serde_json::Value;

use super::{careful, careless, panic_of};

/// The answer to the first attempt of each of three orders is lost after the charge.
const LOST: &str = "version: 1
name: response-lost
seed: 42
provider: {api: payments}
faults:
  - name: response-lost
    when: {route: create_charge, attempt: 1}
    inject: {reset: {at: after_commit}}
workload:
  call: create_charge
  operations: 3
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 1h
expect:
  - no_double_charges
  - idempotency_key_stable
  - no_phantom_success
";

fn harness() -> Harness {
    Harness::from_yaml(LOST).expect("a right scenario").virtual_time()
}

/// Where tests share one thread, its name does not say which test runs.
fn snapshot(name: &str, words: &str) {
    let filters =
        vec![(r"(again +)(cargo test -- --exact library\S+|run the test again)", "$1[TEST]")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(name, words) });
}

#[test]
fn a_careful_client_holds_in_one_call() {
    assert_holds("../scenarios/payments/lost-response.yaml", careful);
    harness().run(careful).expect("it runs").assert();
}

#[test]
fn a_careless_client_is_caught_with_the_whole_story() {
    let words = panic_of(|| harness().run(careless).expect("it runs").assert());
    snapshot("careless_client", &words);
    let words = panic_of(|| assert_holds("../scenarios/payments/lost-response.yaml", careless));
    assert!(words.contains("would have been charged twice"), "{words}");
    assert!(words.contains("../scenarios/payments/lost-response.yaml"), "{words}");
}

#[test]
fn a_run_that_shows_nothing_is_no_pass() {
    let judged = harness().run(|_, _| async { Outcome::succeeded() }).expect("it runs");
    assert_eq!(judged.result.verdict, Verdict::Inconclusive);
    let words = panic_of(move || judged.assert());
    assert!(words.contains("nothing can be said about this client"), "{words}");
    assert!(words.contains("so the test fails"), "{words}");
}

#[test]
fn a_wrong_scenario_is_told_with_its_lines() {
    let words =
        Harness::from_yaml(&LOST.replace("reset:", "rset:").replace("attempt: 1", "attmept: 1"))
            .expect_err("two typing errors");
    insta::assert_snapshot!("wrong_scenario", format!("{words:?}"));
    let words = panic_of(|| assert_holds("no-such.yaml", careful));
    assert!(words.contains("no-such.yaml:1:1: this file cannot be read"), "{words}");
}

/// Every order was asked for at most `most` times.
fn at_most(most: usize) -> impl Fn(&Trace) -> Finding {
    move |trace| {
        let mut finding = Finding::held(0);
        for (operation, _) in trace.operations() {
            let attempts: Vec<u64> =
                trace.attempts_of(operation).map(|(_, request)| u64::from(request.seq)).collect();
            finding = if attempts.len() > most {
                let message = format!("expected at most {most} attempts, found {}", attempts.len());
                finding.violated(trace.operation_name(operation), message, attempts)
            } else {
                finding.met()
            };
        }
        finding
    }
}

#[test]
fn expectations_of_the_tests_own_are_judged_like_the_built_in_ones() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let judged = harness()
        .expect("at_most_two", at_most(2))
        .expect("at_most_one", at_most(1))
        .expect("answers_are_fast", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Finding::not_exercised("nothing was slow")
        })
        .run(careful)
        .expect("it runs");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the control run asks for none");
    assert_eq!(judged.result.verdict, Verdict::Failed);
    snapshot("own_expectations", &judged.report());
    let json: Value = serde_json::from_str(&judged.to_json()).expect("a document");
    let own: Vec<Value> =
        json["scenarios"][0]["invariants"].as_array().expect("a list")[3..].into();
    let verdicts: Vec<&str> = own.iter().filter_map(|one| one["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["passed", "failed", "not_exercised"]);
    assert_eq!(own[1]["violations"][0]["operation"], "op-0001");
    assert_eq!(own[1]["violations"].as_array().map(Vec::len), Some(3));
    assert_eq!(own[2]["reason"], "nothing was slow");
}

#[test]
fn what_was_found_first_stays_whatever_is_met_later() {
    let one_of_three = LOST.replace("when: {", "when: {operation: 1, ");
    let judged = Harness::from_yaml(&one_of_three)
        .expect("a right scenario")
        .virtual_time()
        .expect("at_most_one", at_most(1))
        .run(careful)
        .expect("it runs");
    let own = judged.invariant("at_most_one").expect("it is expected");
    assert_eq!((own.exercised, own.violations.len()), (3, 1));
    assert_eq!(own.violations[0].operation.as_deref(), Some("op-0001"));
    assert_eq!(judged.result.verdict, Verdict::Failed);
}

#[test]
fn scenarios_that_come_with_brownout_need_no_file() {
    // Neither is a path from the folder of this package.
    assert_holds("scenarios/payments/lost-response.yaml", careful);
    assert_holds("payments-lost-response", careful);
}

#[test]
fn advice_is_for_whoever_reads_it() {
    let judged = harness().run(|_, _| async { Outcome::succeeded() }).expect("it runs");
    let reason = judged.result.reason.expect("nothing was sent");
    assert!(reason.contains("give it `operation.url` as its base URL"), "{reason}");
    assert!(!reason.contains("PAYMENTS_URL") && !reason.contains("BROWNOUT_URL"), "{reason}");
}

#[test]
fn where_no_rule_has_a_chance_the_rules_and_the_client_are_told() {
    let second = LOST.replace("attempt: 1}", "attempt: 2}");
    let judged = Harness::from_yaml(&second).expect("right").virtual_time().run(careful);
    assert_eq!(
        judged.expect("it runs").result.reason.as_deref(),
        Some(
            "no fault struck: `response-lost` is about route `create_charge`, attempt 2, and the client sent \
             3 requests to `create_charge` (attempt 1 at most); let the rules strike what it does, or let it \
             do what they are about"
        )
    );
    let rare = LOST.replace("attempt: 1}", "chance: 0.0001%}");
    let judged = Harness::from_yaml(&rare).expect("right").virtual_time().run(careful);
    let reason = judged.expect("it runs").result.reason.expect("nothing struck");
    assert_eq!(reason, "no fault struck with seed 42; try another seed, or raise a `chance`");
}

#[test]
fn an_expectation_of_a_taken_name_is_refused() {
    let words = panic_of(|| drop(harness().expect("no_double_charges", |_| Finding::held(1))));
    assert!(words.contains("`no_double_charges` is expected already"), "{words}");
}

#[test]
fn a_variation_keeps_the_expectations_of_the_tests_own() {
    let plain = Arc::clone(Harness::from_yaml(LOST).expect("a right scenario").scenario());
    let prepared = harness().expect("at_most_one", at_most(1)).prepare(careful);
    let judged = prepared.run_scenario(&plain, plain.seed).expect("it runs");
    let own = judged.invariant("at_most_one").expect("it is judged");
    assert_eq!(own.violations.len(), 3);
}
