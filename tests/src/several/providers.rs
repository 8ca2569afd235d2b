//! Two providers in one scenario: ledgers, attempts and rules of their own, one clock and one trace.

use std::collections::BTreeMap;
use std::time::Duration;

use brownout::harness::{ExploreOptions, Harness, HuntOptions, Judged};
use brownout::run::{Client, RunOptions, run_main};
use brownout::scenario::schedule::Schedule;
use brownout::search::script;
use brownout::verdict::InvariantVerdict;
use brownout::{Connection, Operation, Outcome};
use brownout_provider::event::Mode;
use serde_json::{Value, json};

use super::fallback::{Turns, pay};
use super::scenario;
use crate::brownout::root;

/// The first provider is down for two orders, and does the work of two others without a word.
const SCENARIO: &str = "version: 1
name: fallback
seed: 9
providers:
  primary: {api: payments}
  backup: {api: payments, idempotency: {required: true}}
faults:
  - name: down
    when: {provider: primary, route: create_charge, operation: [1, 2]}
    inject: {status: {code: 503}}
  - name: lost
    when: {provider: primary, route: create_charge, operation: [3, 4]}
    inject: {reset: {at: after_commit}}
  - name: slow
    when: {provider: backup, attempt: 1}
    inject: {latency: {fixed: 200ms}}
workload:
  call: create_charge
  operations: 6
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
expect: [no_double_charges, no_lost_operations: {all: true}, no_phantom_success, idempotency_key_stable, fallback_only_on_failure]
";

fn judged(turns: Turns) -> Judged {
    let harness = Harness::from_yaml(SCENARIO).expect("a right scenario").virtual_time();
    let client =
        move |operation: Operation, connection: Connection| pay(operation, connection, turns);
    harness.run(client).expect("it runs")
}

fn verdict(judged: &Judged, name: &str) -> InvariantVerdict {
    judged.invariant(name).expect("it is expected").verdict
}

#[test]
fn each_provider_has_a_ledger_attempts_and_rules_of_its_own() {
    let judged = judged(Turns::WhenNothingStands);
    for one in &judged.result.invariants {
        assert_ne!(one.verdict, InvariantVerdict::Failed, "{}", judged.report());
    }
    let [backup, primary] = ["backup", "primary"].map(|name| &judged.result.providers[name]);
    // Two orders are charged at the backup, at its first attempt; what was lost stands at the first.
    assert_eq!((backup.requests, backup.retries), (2, 0), "{}", judged.report());
    assert_eq!(backup.effects, BTreeMap::from([("charge".to_owned(), 2)]));
    assert_eq!(primary.effects, BTreeMap::from([("charge".to_owned(), 4)]));
    // Four failing orders twice and looked up once, two others once.
    assert_eq!((primary.requests, primary.retries), (14, 4));
    assert_eq!(judged.result.faults["slow"], 2);
    let claims: Vec<Option<&str>> = judged
        .trace
        .submits()
        .map(|(_, submit)| judged.trace.final_claim(submit).expect("a claim"))
        .map(|claim| claim.provider.map(|name| judged.trace.text(name)))
        .collect();
    let [one, two] = ["backup", "primary"].map(Some);
    assert_eq!(claims, [one, one, two, two, two, two]);
}

#[test]
fn an_effect_at_each_of_two_providers_is_a_double_charge() {
    let judged = judged(Turns::AtOnce);
    assert_eq!(verdict(&judged, "no_double_charges"), InvariantVerdict::Failed);
    let report = judged.report();
    assert!(report.contains("at `backup`") && report.contains("at `primary`"), "{report}");
    assert!(report.contains("the client claims `succeeded`, by `backup`"), "{report}");
    let violated = judged.invariant("no_double_charges").expect("expected");
    let named: Vec<Option<&str>> =
        violated.violations.iter().map(|one| one.operation.as_deref()).collect();
    assert_eq!(named, [Some("op-0003"), Some("op-0004")]);
}

#[test]
fn a_backup_is_for_failures_and_who_did_the_work_is_said() {
    let verdict = |turns| verdict(&judged(turns), "fallback_only_on_failure");
    assert_eq!(verdict(Turns::WhenNothingStands), InvariantVerdict::Passed);
    for turns in [Turns::AtOnce, Turns::ToSpreadTheLoad, Turns::WithoutAWord] {
        assert_eq!(verdict(turns), InvariantVerdict::Failed, "{turns:?}");
    }
}

#[test]
fn the_schedule_shows_what_meets_an_operation_at_each_provider() {
    insta::assert_snapshot!(Schedule::tables(&Schedule::all(&scenario(SCENARIO))));
}

#[test]
fn what_a_rule_may_do_so_often_and_when_holds_for_the_run_and_not_for_each_provider() {
    let text = "version: 1
name: shared
providers: {primary: {api: payments}, backup: {api: payments}}
faults:
  - {name: once, when: {max_times: 1}, inject: {status: {code: 503}}}
  - {name: later, when: {provider: backup, during: {from: 2s}}, inject: {status: {code: 500}}}
workload: {call: create_charge, operations: 1, deadline: 1m}
expect: [no_double_charges]
";
    let harness = Harness::from_yaml(text).expect("a right scenario").virtual_time();
    let statuses = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&statuses);
    harness
        .run(move |_: Operation, connection: Connection| {
            let seen = std::sync::Arc::clone(&seen);
            async move {
                for name in ["primary", "backup", "primary", "backup"] {
                    let there = connection.provider(name).expect("it is there");
                    let http = there.reqwest().expect("a socket").build().expect("a client");
                    let asked = http.get(format!("{}/v1/limits", there.url));
                    let answer = asked.bearer_auth(&there.api_key).send().await.expect("answered");
                    seen.lock().expect("alone").push((name, answer.status().as_u16()));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Outcome::failed("it asked, and charged nothing")
            }
        })
        .expect("it runs");
    // The one strike was at the first; the outage of the second counts from the first request of all.
    let expected = [("primary", 503), ("backup", 200), ("primary", 200), ("backup", 500)];
    let seen = statuses.lock().expect("alone");
    // The control run came before.
    assert_eq!(seen[seen.len() - 4..], expected);
}

#[test]
fn a_provider_that_stops_listening_counts_from_the_first_request_of_all() {
    let text = "version: 1
name: away
providers: {primary: {api: payments}, backup: {api: payments}}
faults:
  - {name: away, when: {provider: backup, during: {from: 1s, to: 5s}}, inject: refuse}
workload: {call: create_charge, operations: 1, deadline: 1m}
expect: [no_double_charges]
";
    let harness = Harness::from_yaml(text).expect("a right scenario").virtual_time();
    let judged = harness
        .run(|_: Operation, connection: Connection| async move {
            let ask = async |name: &str| {
                let there = connection.provider(name).expect("it is there");
                let http = there.reqwest().expect("a socket").build().expect("a client");
                let asked = http.get(format!("{}/v1/limits", there.url));
                asked.bearer_auth(&there.api_key).send().await.is_ok()
            };
            let mut seen = vec![ask("primary").await];
            for wait in [2, 4] {
                tokio::time::sleep(Duration::from_secs(wait)).await;
                seen.push(ask("backup").await);
            }
            Outcome::failed(format!("{seen:?}"))
        })
        .expect("it runs");
    let (_, submit) = judged.trace.submits().next().expect("one");
    let claim = judged.trace.final_claim(submit).expect("a claim");
    let said = claim.detail.map(|detail| judged.trace.text(detail));
    assert_eq!(said, Some("[true, false, true]"));
}

#[test]
fn equal_runs_leave_equal_traces() {
    let traces: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let folder = tempfile::tempdir().expect("a folder");
            let harness = Harness::from_yaml(SCENARIO).expect("right").virtual_time();
            let harness = harness.trace_to(folder.path());
            let judged =
                harness.run(|operation, connection| pay(operation, connection, Turns::AtOnce));
            let path = judged.expect("it runs").result.trace.expect("it was written");
            std::fs::read(path).expect("readable")
        })
        .collect();
    assert!(traces[0] == traces[1]);
}

#[test]
fn a_frozen_run_names_the_provider_of_each_strike() {
    let judged = judged(Turns::AtOnce);
    let frozen =
        brownout::search::freeze::freeze(&judged.trace, &scenario(SCENARIO)).expect("it can");
    let strikes = script::from_source(&frozen.case.to_value());
    let at =
        |name: &str| strikes.iter().filter(|one| one.provider.as_deref() == Some(name)).count();
    assert_eq!((at("primary"), at("backup"), strikes.len()), (8, 4, 12));
    let again = frozen.case.scenario().expect("a right scenario");
    let harness = Harness::new(again).virtual_time();
    let again = harness
        .run(|operation, connection| pay(operation, connection, Turns::AtOnce))
        .expect("it runs");
    assert_eq!(again.result.requests, judged.result.requests);
    assert_eq!(verdict(&again, "no_double_charges"), InvariantVerdict::Failed);
}

#[test]
fn searches_strike_each_provider_and_find_what_needs_both() {
    // Nobody can charge where both providers fail.
    let calm = SCENARIO
        .replace("no_lost_operations: {all: true}, ", "")
        .replace(", fallback_only_on_failure", "")
        .replace("operation: [1, 2]", "chance: 1%")
        .replace("operation: [3, 4]", "chance: 1%");
    let harness = || Harness::from_yaml(&calm).expect("a right scenario").virtual_time();
    let client = |turns| move |operation, connection| pay(operation, connection, turns);
    let hunted = harness()
        .prepare(client(Turns::AtOnce))
        .hunt(&HuntOptions { runs: 400, ..HuntOptions::default() })
        .expect("it hunts");
    let found = hunted.found.expect("it is there to be found");
    let strikes = script::from_source(&found.case.to_value());
    assert!(strikes.iter().all(|one| one.provider.as_deref() == Some("primary")), "{strikes:?}");
    assert_eq!(strikes.len(), 2, "{strikes:?}");

    let choice = ExploreOptions { depth: 2, operations: 1, ..ExploreOptions::default() };
    let explored =
        harness().prepare(client(Turns::WhenNothingStands)).explore(&choice).expect("it runs");
    assert!(
        explored.survived,
        "{:?} {:?}",
        explored.doubt,
        explored.found.map(|one| one.case.to_value())
    );
    let explored = harness().prepare(client(Turns::AtOnce)).explore(&choice).expect("it runs");
    assert!(explored.found.is_some());
}

/// What a program is told of the providers, in stdio mode and in exec mode.
#[test]
fn programs_learn_where_each_provider_is() {
    let text = SCENARIO.replace(", fallback_only_on_failure", "");
    for mode in [Mode::Stdio, Mode::Exec] {
        for (turns, right) in [("careful", true), ("at-once", false)] {
            let path = root().join("tests/clients/fallback.py");
            let command = vec!["python3".to_owned(), path.display().to_string(), turns.to_owned()];
            let scenario = scenario(&text);
            let client = Client::Process { mode, command };
            let run = run_main(&scenario, scenario.seed, &client, &RunOptions::default());
            let run = run.expect("it runs");
            let judged = run.judged(&scenario, None, String::new());
            let failed: Vec<&str> = judged
                .invariants
                .iter()
                .filter(|one| one.verdict == InvariantVerdict::Failed)
                .map(|one| one.name)
                .collect();
            let expected: &[&str] = if right { &[] } else { &["no_double_charges"] };
            assert_eq!(failed, expected, "{mode:?} {turns}");
            assert_eq!(judged.providers["backup"].requests, if right { 2 } else { 4 });
        }
    }
}

#[test]
fn steps_are_told_which_provider_to_call() {
    let text = "version: 1
name: two-services
providers: {processor: {api: payments}, notifier: {api: payments}}
workload:
  steps: [{call: authorize}, {call: capture, uses: {id: /id}}, {call: notify, provider: notifier}]
  operations: 1
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
expect: [no_double_charges]
";
    let harness = Harness::from_yaml(text).expect("a right scenario").virtual_time();
    let judged = harness.run(|operation: Operation, _: Connection| async move {
        let told = serde_json::to_value(&operation.steps).expect("plain data");
        Outcome::failed(told.to_string())
    });
    let judged = judged.expect("it runs");
    let (_, submit) = judged.trace.submits().next().expect("one");
    let claim = judged.trace.final_claim(submit).expect("a claim");
    let said: Value =
        serde_json::from_str(judged.trace.text(claim.detail.expect("words"))).expect("JSON");
    assert_eq!(
        said,
        json!([
            {"call": "authorize", "provider": "processor"},
            {"call": "capture", "provider": "processor", "uses": {"id": "/id"}},
            {"call": "notify", "provider": "notifier"},
        ])
    );
}
