//! Policies as conformance kits: who follows one passes all of its scenarios, and they exercise all of it.

mod client;
mod smithy;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::Duration;

use brownout::Harness;
use brownout::harness::Judged;
use brownout::scenario::policy::{self, Policy};
use brownout::scenario::shipped::Shipped;
use brownout::scenario::{Apis, Overrides, read};
use brownout::verdict::{InvariantVerdict, Verdict};
use brownout_provider::shell::transport::Transport;

use self::client::{Client, Hints, NO_QUOTA, Quota, Rules};
use crate::brownout::{Run, python, root, run, verdict};

/// Six attempts that wait 1, 2, 4, 8 and 16 s.
const PATIENT: Rules = Rules {
    attempts: 6,
    base: Duration::from_secs(1),
    throttled_base: Duration::from_secs(1),
    cap: Duration::from_secs(32),
    hints: Hints::Obeyed,
    quota: NO_QUOTA,
    careless: false,
};

/// Three attempts, and one retry for every ten operations with ten more on top.
const BUDGETED: Rules = Rules {
    attempts: 3,
    quota: Quota {
        tokens: 100,
        most: 100,
        cost: 10,
        per_attempt: 1,
        throttled_cost: 10,
        ..NO_QUOTA
    },
    ..PATIENT
};

const ONCE: Rules = Rules { attempts: 1, ..PATIENT };

const CARELESS: Rules = Rules {
    attempts: 8,
    base: Duration::from_millis(20),
    throttled_base: Duration::from_millis(20),
    hints: Hints::Ignored,
    careless: true,
    ..PATIENT
};

/// A scenario under a policy, with a client in virtual time.
fn judged(shipped: &Shipped, policy: &Policy, rules: &Rules) -> Judged {
    let overrides = Overrides { policy: Some(policy.name.clone()), ..Overrides::default() };
    let apis = Apis::Beside(root());
    let checked = read(shipped.path, shipped.text.as_bytes(), apis, &overrides);
    let scenario = checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    let client = Client::new(rules.clone());
    Harness::new(scenario)
        .virtual_time()
        .transport(Transport::Memory)
        .run(move |operation, connection| client.clone().call(operation, connection))
        .expect("it runs")
}

/// All its scenarios: the client in process lives for all operations.
fn every(policy: &Policy) -> impl Iterator<Item = &'static Shipped> {
    policy.scenarios().chain(policy.long_lived())
}

/// What became of each invariant of a policy over all its scenarios.
fn over_all(
    policy: &Policy,
    rules: &Rules,
) -> (BTreeMap<String, BTreeSet<&'static str>>, Vec<Judged>) {
    let mut all: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let runs: Vec<Judged> = every(policy).map(|shipped| judged(shipped, policy, rules)).collect();
    for one in runs.iter().flat_map(|run| &run.result.invariants) {
        if policy.expect().any(|(name, _)| name == one.name) {
            let word = match one.verdict {
                InvariantVerdict::Passed => "passed",
                InvariantVerdict::Failed => "failed",
                InvariantVerdict::NotExercised => "not exercised",
            };
            all.entry(one.name.to_owned()).or_default().insert(word);
        }
    }
    (all, runs)
}

#[test]
fn who_follows_a_policy_passes_and_all_of_it_is_exercised() {
    for (name, rules) in [
        ("sre_defaults", BUDGETED),
        ("aws_standard", smithy::NEW),
        ("aws_standard_classic", smithy::CLASSIC),
        ("gcs_retry", PATIENT),
        ("gcs_retry_conditional", PATIENT),
        ("gcs_retry_never", ONCE),
        ("podcast_minimum", PATIENT),
    ] {
        let policy = policy::find(name).expect(name);
        let (all, runs) = over_all(policy, &rules);
        for run in &runs {
            let judged = run.result.invariants.iter().filter(|one| {
                policy.expect().any(|(name, _)| name == one.name)
                    && one.verdict == InvariantVerdict::Failed
            });
            let broken: Vec<String> =
                judged.map(|one| format!("{}: {:?}", one.name, one.violations)).collect();
            assert!(broken.is_empty(), "{name}, {}: {broken:#?}", run.result.name);
            assert_eq!(run.result.verdict, Verdict::Passed, "{name}: {}", run.report());
        }
        for (invariant, _) in policy.expect() {
            let said = all.get(invariant);
            assert!(
                said.is_some_and(|said| said.contains("passed")),
                "{name}: {invariant} {said:?}"
            );
        }
    }
}

/// The rest of the policy is kept, so that nothing but the scenario's own check can tell.
#[test]
fn who_has_no_quota_is_caught_by_a_client_that_lives_for_all_operations() {
    for (name, rules) in [("aws_standard", smithy::NEW), ("aws_standard_classic", smithy::CLASSIC)]
    {
        let policy = policy::find(name).expect(name);
        let shipped = policy.long_lived().next().expect("one scenario is about the quota");
        for (rules, expected) in
            [(Rules { quota: NO_QUOTA, ..rules.clone() }, vec!["check"]), (rules, vec![])]
        {
            let run = judged(shipped, policy, &rules);
            let failed = run.result.invariants.iter();
            let failed = failed.filter(|one| one.verdict == InvariantVerdict::Failed);
            let failed: Vec<&str> = failed.map(|one| one.name).collect();
            assert_eq!(failed, expected, "{name}: {}", run.report());
        }
    }
}

/// A hint is for five seconds at most, as the policy has it.
#[test]
fn who_obeys_any_hint_waits_too_long_for_amazon() {
    let policy = policy::find("aws_standard").expect("it comes with brownout");
    let shipped = policy.scenarios().find(|one| one.path == "policies/aws-retry-after.yaml");
    let shipped = shipped.expect("one scenario is about hints");
    let obedient = Rules { hints: Hints::Obeyed, ..smithy::NEW };
    for (rules, expected) in
        [(obedient, InvariantVerdict::Failed), (smithy::NEW, InvariantVerdict::Passed)]
    {
        let run = judged(shipped, policy, &rules);
        let check = run.result.invariants.iter().find(|one| one.name == "check");
        assert_eq!(check.map(|one| one.verdict), Some(expected), "{}", run.report());
    }
}

#[test]
fn who_follows_none_is_caught_by_each() {
    let caught: Vec<String> = [
        "sre_defaults",
        "aws_standard",
        "aws_standard_classic",
        "gcs_retry",
        "gcs_retry_conditional",
        "gcs_retry_never",
        "podcast_minimum",
    ]
    .map(|name| {
        let policy = policy::find(name).expect(name);
        let (all, _) = over_all(policy, &CARELESS);
        let failed = all.into_iter().filter(|(_, said)| said.contains("failed"));
        format!("{name}: {}", failed.map(|(name, _)| name).collect::<Vec<_>>().join(" "))
    })
    .to_vec();
    assert_eq!(
        caught,
        [
            "sre_defaults: bounded_retries failures_surface no_retry_on_permanent_errors retry_budget",
            "aws_standard: backs_off bounded_retries failures_surface honors_retry_after \
             no_retry_on_permanent_errors",
            "aws_standard_classic: backs_off bounded_retries failures_surface no_retry_on_permanent_errors",
            "gcs_retry: backs_off failures_surface honors_retry_after no_retry_on_permanent_errors",
            "gcs_retry_conditional: failures_surface idempotency_key_present no_double_charges \
             no_retry_on_permanent_errors",
            "gcs_retry_never: bounded_retries no_double_charges",
            "podcast_minimum: backs_off bounded_retries failures_surface honors_retry_after \
             idempotency_key_present no_double_charges no_retry_on_permanent_errors retries_logged",
        ]
    );
}

/// Every invariant of a policy was put to the test in some scenario of a run.
pub(crate) fn check_all_exercised(name: &str, run: &Run) {
    let policy = policy::find(name).expect(name);
    let passed =
        |invariant: &str| run.entries().iter().any(|it| verdict(it, invariant) == "passed");
    for (invariant, _) in policy.expect() {
        assert!(passed(invariant), "{name}: {invariant} was never exercised\n{}", run.printed);
    }
}

#[test]
fn a_kit_needs_no_scenario_and_exercises_all_of_its_policy() {
    let listener = ["tests/clients/service/hooks.py", "careful"].map(OsString::from);
    let command: Vec<OsString> = std::iter::once(python()).chain(listener).collect();
    let run = run(&["--policy", "webhook_consumer"], &command, &[]);
    assert_eq!((run.code, run.entries().len()), (Some(0), 2), "{}", run.printed);
    check_all_exercised("webhook_consumer", &run);
}
