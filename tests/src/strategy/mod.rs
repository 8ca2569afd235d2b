//! Scenarios by chance: bugs are found and shrunk, and right clients are never accused.

mod delivered;
mod recovery;
pub(crate) mod shop;

use std::path::Path;
use std::time::Duration;

use brownout::strategy::{
    Broken, Faults, Regressions, check, fault, rule, scenario, script, workload,
};
use brownout::{Harness, Prepared, Verdict};
use brownout_provider::shell::transport::Transport;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use serde_json::{Value, json};

use shop::Bug;

/// Everything that is judged.
fn harness(operations: u64) -> Harness {
    let text = format!(
        "version: 1
name: any-weather
seed: 5
provider: {{api: payments}}
faults:
  - {{name: unusable, when: {{chance: 10%}}, inject: {{malformed: html_page}}}}
  - {{name: busy, when: {{chance: 10%}}, inject: {{rate_limited: {{retry_after: 1s}}}}}}
  - {{name: senseless, when: {{chance: 10%}}, inject: {{rate_limited: {{retry_after: garbage}}}}}}
  - {{name: mute, when: {{chance: 10%}}, inject: hang}}
workload:
  call: create_charge
  operations: {operations}
  concurrency: 4
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  deadline: 2h
expect:
  - no_double_charges
  - at_most_one_effect: {{kind: charge}}
  - no_lost_operations
  - no_phantom_success
  - rejects_malformed_responses
  - honest_failures
  - failures_surface
  - nothing_after_claim
  - no_secrets_in_output
  - idempotency_key_stable
  - idempotency_key_unique
  - idempotency_key_bound_to_body
  - no_overlapping_attempts
  - honors_retry_after
  - survives_bad_retry_after
  - no_retry_on_permanent_errors
  - bounded_retries: {{max_attempts: 6}}
  - min_gap: {{gap: 50ms}}
  - client_timeout: {{max: 5s}}
"
    );
    let harness = Harness::from_yaml(&text).expect("a right scenario");
    harness.virtual_time().transport(Transport::Memory)
}

fn client_with(bug: Bug) -> Prepared {
    harness(20).prepare(move |operation, connection| shop::keyed(operation, connection, bug))
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        max_shrink_iters: 20_000,
        // The same scenarios in every run, so that a red test says something about a change.
        rng_seed: RngSeed::Fixed(2_026),
        ..ProptestConfig::with_cases(cases)
    }
}

/// In which keys are honored. A charge that is slow and whose key is in progress meanwhile would need no
/// second fault.
fn weather() -> Faults {
    Faults::any().keys_honored().without(&["latency"])
}

/// What breaks a client with this bug within 2,000 scenarios.
fn found(bug: Bug, folder: &Path) -> Broken {
    let broken = check(&client_with(bug), &weather(), folder, cases(2_000));
    broken.expect_err("the bug is found")
}

/// Finds the bug, and shrinks it to one operation and so many faults.
fn is_found(bug: Bug, violated: &str, faults: usize) -> Broken {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broken = found(bug, folder.path());
    assert!(broken.violated().contains(&violated), "{broken:?}");
    let smallest = broken.scenario().expect("a scenario broke it");
    assert_eq!(smallest.scenario().workload.operations, 1, "{broken:?}");
    assert_eq!(smallest.faults(), faults, "{broken:?}");
    broken
}

#[test]
fn a_key_for_every_attempt_is_found() {
    is_found(Bug::KeyPerAttempt, "idempotency_key_stable", 1);
}

#[test]
fn wherever_it_begins_it_ends_at_one_operation_and_one_simple_fault() {
    for seed in 1..=4 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = ProptestConfig { rng_seed: RngSeed::Fixed(seed), ..cases(2_000) };
        let broken = check(&client_with(Bug::KeyPerAttempt), &Faults::any(), folder.path(), config);
        let broken = broken.expect_err("the bug is found");
        let smallest = broken.scenario().expect("a scenario broke it");
        let rule = &smallest.scenario().rules[0];
        assert_eq!((smallest.scenario().workload.operations, smallest.faults()), (1, 1));
        assert_eq!(rule.faults[0].kind().name, "status", "seed {seed}: {broken:?}");
    }
}

#[test]
fn a_client_that_believes_the_status_is_found() {
    is_found(Bug::BelievesTheStatus, "rejects_malformed_responses", 1);
}

#[test]
fn a_client_that_calls_what_was_lost_failed_is_found() {
    is_found(Bug::CallsLostFailed, "honest_failures", 1);
}

#[test]
fn a_client_that_ignores_the_hint_is_found() {
    is_found(Bug::IgnoresTheHint, "honors_retry_after", 1);
}

#[test]
fn a_bug_that_needs_two_faults_is_found_and_shrunk_to_these() {
    let broken = is_found(Bug::NewKeyAfterConflict, "idempotency_key_stable", 2);
    let rules = &broken.scenario().expect("a scenario broke it").scenario().rules;
    let conflict = rules[1].faults[0].kind().name;
    assert!(["conflict", "status"].contains(&conflict), "{broken:?}");
}

/// How many scenarios a right client must survive: all of them where `tests/run --full` asks for it.
#[expect(clippy::disallowed_methods, reason = "the script that runs all tests says so this way")]
fn many() -> ProptestConfig {
    cases(if std::env::var("BROWNOUT_TEST_FULL").is_ok() { 20_000 } else { 300 })
}

/// No right client is accused of anything.
fn survives(client: &Prepared, faults: &Faults) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let survived = check(client, faults, folder.path(), many()).expect("it is right");
    assert!(survived.struck * 4 > survived.scenarios, "{survived:?}");
}

#[test]
fn a_client_that_repeats_with_one_key_survives_wherever_keys_are_honored() {
    survives(&client_with(Bug::None), &Faults::any().keys_honored());
}

#[test]
fn a_client_that_looks_first_survives_where_late_work_is_done_before_it_looks() {
    let client = harness(20).prepare(shop::looking);
    let faults = Faults::any().unrepeated().commits_within(Duration::from_secs(5));
    survives(&client, &faults.on(&["create_charge", "list_charges"]));
}

#[test]
fn a_client_that_asks_once_survives_all_but_a_gateway_that_repeats() {
    survives(&harness(20).prepare(shop::once), &Faults::any().unrepeated());
}

#[test]
fn what_was_found_is_kept_and_replayed_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = found(Bug::NewKeyAfterConflict, folder.path());
    let file = first.file().expect("it was kept");
    let text = std::fs::read_to_string(file).expect("a file");
    assert!(text.contains("# idempotency_key_stable: op-0001: expected one "), "{text}");
    // One case is enough now, and it is the one that was kept.
    let faults = weather();
    let again = check(&client_with(Bug::NewKeyAfterConflict), &faults, folder.path(), cases(1));
    let again = again.expect_err("it is still broken");
    assert_eq!(again.violated(), first.violated());
    assert_eq!(again.file(), first.file());
    // The file is one like any other.
    Harness::from_file(file).expect("a right scenario");
    let mended = check(&client_with(Bug::None), &faults, folder.path(), cases(1));
    // The one that was kept, and the one that was asked for.
    assert_eq!(mended.expect("the bug is mended").scenarios, 2);
}

#[test]
fn all_that_was_kept_is_replayed_whatever_the_number_of_cases() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let by = |bug, cases_| check(&client_with(bug), &weather(), folder.path(), cases(cases_));
    let nothing = by(Bug::None, 0).expect_err("nothing was tried").to_string();
    assert!(
        nothing.starts_with("`cases: 0` draws nothing, and nothing is kept for `any-weather`"),
        "{nothing}"
    );
    for (file, fault) in [("a", "{status: {code: 503}}"), ("b", "{reset: {at: after_commit}}")] {
        let kept = format!(
            "version: 1\nname: any-weather\nprovider: {{api: payments}}\n\
             script: [{{operation: 1, route: create_charge, attempt: 1, inject: {fault}}}]\n\
             workload: {{call: create_charge, operations: 1}}\nexpect: [no_double_charges]\n"
        );
        std::fs::write(folder.path().join(format!("{file}.yaml")), &kept).expect("a file");
        let other = kept.replace("any-weather", "another");
        std::fs::write(folder.path().join(format!("{file}-2.yaml")), other).expect("a file");
    }
    let survived = by(Bug::None, 0).expect("it works");
    assert_eq!((survived.scenarios, survived.struck, survived.others), (2, 2, 2));
    // The second breaks this one; whatever is drawn comes later.
    let broken = by(Bug::KeyPerAttempt, 1).expect_err("the lost answer is kept in the second file");
    assert_eq!(broken.violated(), ["no_double_charges"]);
    let smallest = broken.scenario().expect("a scenario broke it");
    assert!(smallest.to_yaml().contains("after_commit"), "{broken:?}");
}

#[test]
fn proptest_itself_keeps_what_it_finds_and_replays_it_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = harness(20);
    let client = client_with(Bug::KeyPerAttempt);
    let run = |cases| {
        let strategy = scenario(base.scenario(), &Faults::any()).replaying(folder.path());
        let persistence = Regressions::in_folder(folder.path());
        let config = ProptestConfig {
            failure_persistence: Some(Box::new(persistence)),
            source_file: Some(file!()),
            ..ProptestConfig::with_cases(cases)
        };
        TestRunner::new(config).run(&(strategy, 0..9_u32), |(drawn, _)| {
            let judged = drawn.run(&client).expect("it runs");
            prop_assert_ne!(judged.result.verdict, Verdict::Failed);
            Ok(())
        })
    };
    let Err(TestError::Fail(_, (found, _))) = run(500) else { panic!("it is found") };
    let kept: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(kept.len(), 1);
    let Err(TestError::Fail(_, (again, _))) = run(1) else { panic!("it is replayed") };
    assert_eq!(again.to_yaml(), found.to_yaml());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

/// The simplest of a strategy that a test refuses.
fn simplest<S: Strategy<Value = Value>>(strategy: &S, refused: impl Fn(&Value) -> bool) -> Value {
    let config = ProptestConfig { failure_persistence: None, ..cases(5_000) };
    let found = TestRunner::new(config).run(strategy, |value| {
        prop_assert!(!refused(&value));
        Ok(())
    });
    match found {
        Err(TestError::Fail(_, value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_are_shrunk_to_few_early_and_plain_ones() {
    let base = harness(20);
    let faults = Faults::any();
    let any = |_: &Value| true;
    let base = base.scenario();
    assert_eq!(simplest(&fault(base, &faults), any), json!({"status": {"code": 503}}));
    assert_eq!(
        simplest(&rule(base, &faults), any),
        json!({"name": "rule-1", "when": {"route": "create_charge", "operation": 1, "attempt": 1},
            "inject": {"status": {"code": 503}}})
    );
    let endings = Faults::any().only(&["status", "reset", "close", "hang"]);
    assert_eq!(
        simplest(&script(base, &endings), |value| value.to_string().contains("after_commit")),
        json!([{"operation": 1, "route": "create_charge", "attempt": 1,
            "inject": {"status": {"code": 503, "at": "after_commit"}}}])
    );
    let smallest = simplest(&workload(base), any);
    assert_eq!((&smallest["operations"], smallest.get("concurrency")), (&json!(1), None));
    assert_eq!(smallest["call"], "create_charge");
}

#[test]
fn a_wrong_name_and_an_empty_choice_are_told() {
    let refused = |faults: &Faults| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let said = check(&client_with(Bug::None), faults, folder.path(), cases(1));
        said.expect_err("nothing can be drawn").to_string()
    };
    let typo = refused(&Faults::any().only(&["rest"]));
    assert!(typo.contains("`rest` is no fault"), "{typo}");
    let nowhere = refused(&Faults::any().on(&["create_charges"]));
    assert!(nowhere.contains("has no route `create_charges`"), "{nowhere}");
    let nothing = refused(&Faults::any().only(&["ignore_key"]).keys_honored());
    assert!(nothing.contains("no fault is left that could strike `create_charge`"), "{nothing}");
}
