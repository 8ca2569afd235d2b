//! Operations that are events: a shop that is told of them, and the mistakes of those that are.

use std::ffi::OsString;

use crate::brownout::{Run, effects, failed, python, run, verdict};

/// A shop of this kind in one of the scenarios.
fn shop(scenario: &str, kind: &str, flags: &[&str]) -> Run {
    let path = format!("scenarios/webhooks/{scenario}.yaml");
    let words = ["tests/clients/service/hooks.py", kind].map(OsString::from);
    let command: Vec<OsString> = std::iter::once(python()).chain(words).collect();
    let flags: Vec<&str> = std::iter::once(&*path).chain(flags.iter().copied()).collect();
    run(&flags, &command, &[])
}

#[test]
fn a_careful_listener_holds() {
    for (scenario, messages) in [("duplicate", 12), ("forged", 2)] {
        let run = shop(scenario, "careful", &[]);
        assert_eq!(run.code, Some(0), "{scenario}: {}", run.printed);
        assert_eq!(effects(run.only()), messages, "{scenario}: {}", run.printed);
        assert_eq!(run.only()["operations"]["succeeded"], messages, "{}", run.printed);
    }
}

#[test]
fn a_listener_that_works_behind_its_answer_is_heard_out() {
    let run = shop("duplicate", "behind", &["--no-control"]);
    assert_eq!(run.code, Some(0), "{}", run.printed);
    assert_eq!(effects(run.only()), 12, "{}", run.printed);
}

#[test]
fn each_careless_listener_is_caught() {
    for (kind, scenario, caught) in [
        ("again", "duplicate", "webhook_handled_once"),
        ("gullible", "forged", "rejects_bad_signatures"),
        ("slow", "duplicate", "webhook_acknowledged"),
        ("lie", "duplicate", "no_lost_operations"),
    ] {
        let run = shop(scenario, kind, &["--no-control"]);
        assert_eq!(run.code, Some(1), "{kind}: {}", run.printed);
        assert_eq!(verdict(run.only(), caught), "failed", "{kind}: {}", run.printed);
    }
}

#[test]
fn whoever_keeps_what_came_last_is_caught_where_events_come_out_of_order() {
    let orders = |kind: &str, flags: &[&str]| {
        let words = ["tests/clients/service/orders.py", kind].map(OsString::from);
        let command: Vec<OsString> = std::iter::once(python()).chain(words).collect();
        let path = "tests/behaviour/events-reordered.yaml";
        let flags: Vec<&str> = std::iter::once(path).chain(flags.iter().copied()).collect();
        run(&flags, &command, &[])
    };
    let careful = orders("careful", &[]);
    assert_eq!(careful.code, Some(0), "{}", careful.printed);
    assert_eq!(verdict(careful.only(), "tolerates_reordering"), "passed", "{}", careful.printed);
    let latest = orders("latest", &["--no-control"]);
    assert_eq!(latest.code, Some(1), "{}", latest.printed);
    assert_eq!(failed(latest.only()), ["tolerates_reordering"], "{}", latest.printed);
    assert!(latest.printed.contains("found `authorized`"), "{}", latest.printed);
}

/// A shop of this kind, told of two payments that were made, by a scenario that is written here.
fn told(kind: &str, faults: &str) -> Run {
    let scenario = format!(
        "version: 1
name: told
provider: {{api: payments, webhooks: {{retry: [200ms, 400ms, 1s]}}}}
faults: {faults}
workload:
  call: notify
  operations: 2
  concurrency: 2
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  deadline: 9s
  deliver: {{webhook: {{path: /hooks, event: charge.succeeded}}}}
expect: [webhook_handled_once]
"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("told.yaml");
    std::fs::write(&path, scenario).expect("it is written");
    let words = ["tests/clients/service/hooks.py", kind].map(OsString::from);
    let command: Vec<OsString> = std::iter::once(python()).chain(words).collect();
    run(&[&path.to_string_lossy(), "--no-control"], &command, &[])
}

#[test]
fn an_event_that_comes_again_when_all_is_claimed_is_waited_for() {
    let twice = "[{name: twice, inject: {webhook: {kind: duplicate, apart: 3s}}}]";
    for (kind, code) in [("again", 1), ("careful", 0)] {
        let run = told(kind, twice);
        assert_eq!(run.code, Some(code), "{kind}: {}", run.printed);
    }
}

#[test]
fn a_service_that_is_killed_when_all_is_claimed_is_there_again_for_what_comes_later() {
    let faults = "
  - {name: twice, inject: {webhook: {kind: duplicate, apart: 3s}}}
  - {name: killed, when: {route: notify, operation: 1, attempt: 2}, inject: {kill_client: {at: before_commit}}}";
    let run = told("again", faults);
    assert_eq!(run.only()["faults"]["killed"], 1, "{}", run.printed);
    // Its second message is that of the service that is there again; without it there is one.
    let violations = run.only()["invariants"][0]["violations"].as_array().expect("a list");
    assert!(violations.iter().any(|one| one["operation"] == "op-0001"), "{}", run.printed);
}

/// A shop of this kind, told of two payments, where what is not taken is told again after a minute.
fn told_late(kind: &str, faults: &str) -> Run {
    let scenario = format!(
        "version: 1
name: told-late
drain: 1s
provider: {{api: payments, webhooks: {{retry: [1m]}}}}
faults: {faults}
workload:
  call: notify
  operations: 2
  concurrency: 2
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  deadline: 2s
  deliver: {{webhook: {{path: /hooks, event: charge.succeeded}}}}
expect: [rejects_bad_signatures, no_phantom_success]
"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("told-late.yaml");
    std::fs::write(&path, scenario).expect("it is written");
    let words = ["tests/clients/service/hooks.py", kind].map(OsString::from);
    let command: Vec<OsString> = std::iter::once(python()).chain(words).collect();
    run(&[&path.to_string_lossy(), "--no-control"], &command, &[])
}

#[test]
fn a_run_that_ends_while_a_service_is_owed_an_event_is_not_whole() {
    let owed = told_late(
        "careful",
        "[{name: busy, when: {route: notify, operation: 1}, inject: {status: {code: 503}}}]",
    );
    assert_eq!(owed.code, Some(2), "{}", owed.printed);
    assert!(
        owed.printed.contains("work was still pending when `drain` was over"),
        "{}",
        owed.printed
    );
    // What is forged is refused as often as it is told, and that is all that can be said of it.
    let refused = told_late(
        "careful",
        "[{name: forged, when: {route: create_charge, operation: 1}, inject: {webhook: bad_signature}}]",
    );
    assert_eq!(refused.code, Some(0), "{}", refused.printed);
}
