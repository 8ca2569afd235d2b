//! Http mode: services that do well, that do badly, and that die.

use std::sync::Arc;

use brownout::Harness;
use brownout::drive::http::Place;
use brownout::run::{Client, RunError, RunOptions, Service, run_control, run_main};
use brownout::scenario::Scenario;
use brownout::verdict::{ScenarioResult, Verdict};
use brownout_provider::event::{EventKind, Recognized};

use super::{Driven, events};
use crate::brownout::root;

/// A scenario that calls a shop; `more` are further lines of `workload`, `rules` the rules.
fn shop(rules: &str, http: &str, expect: &str) -> Scenario {
    let text = format!(
        "version: 1
name: shop
provider: {{api: payments}}
faults: {rules}
workload:
  operations: 3
  deadline: 20s
  operation_id: traceparent
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  http:
    calls: create_charge
    request: {{method: POST, path: '/orders', json: '{{{{ input }}}}'}}
    ready: {{path: /health, within: 20s}}
    {http}
expect: {expect}
"
    );
    let harness = Harness::from_yaml(&text).expect("a right scenario");
    Scenario::clone(harness.scenario())
}

fn service(file: &str, kind: &str) -> Service {
    let path = root().join("tests/clients/service").join(file);
    let path = path.to_str().expect("the clone's path is text");
    Service::new(["python3", path, kind].map(str::to_owned).to_vec(), None)
}

fn drive(scenario: &Scenario, service: Service) -> (Driven, ScenarioResult) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = RunOptions { dir: Some(dir.path().join("run")), ..RunOptions::default() };
    let client = Client::Service(Arc::new(service));
    let run = run_main(scenario, scenario.seed, &client, &options).expect("it runs");
    let path = run.path.clone().expect("the run has a file");
    let text = std::fs::read_to_string(path).expect("the file is there");
    let result = run.judged(scenario, None, String::new());
    (Driven { run, events: events(&text) }, result)
}

const LOST: &str = "[{name: lost, when: {attempt: 1}, inject: {reset: {at: after_commit}}}]";
const DOWN: &str = "[{name: down, inject: {status: {code: 503}}}]";

#[test]
fn a_careless_shop_is_caught_and_a_careful_one_passes() {
    let scenario = shop(LOST, "", "[no_double_charges, no_phantom_success, honest_failures]");
    let (driven, result) = drive(&scenario, service("shop.py", "careful"));
    assert_eq!(result.verdict, Verdict::Passed, "{result:#?}");
    assert_eq!((result.operations.succeeded, result.requests), (3, 6));
    assert_eq!(driven.claims()[0], r#"op-0001.1 succeeded client: 201: {"status": "paid"}"#);
    let recognized = driven.events.iter().filter_map(|event| {
        let EventKind::RequestReceived(request) = &event.kind else { return None };
        Some((request.recognized, request.operation.as_deref()))
    });
    let first = (Recognized::Extractor, Some("op-0001"));
    assert_eq!(recognized.take(2).collect::<Vec<_>>(), [first, first]);

    let (_, result) = drive(&scenario, service("shop.py", "careless"));
    assert_eq!(result.verdict, Verdict::Failed);
    let broken: Vec<&str> = result
        .invariants
        .iter()
        .filter(|one| !one.violations.is_empty())
        .map(|one| one.name)
        .collect();
    assert_eq!(broken, ["no_double_charges"]);
}

#[test]
fn a_service_that_answers_later_is_asked_again() {
    let poll = "poll: {path: '/orders/{{ answer.id }}', field: /status, succeeded: [paid], failed: [declined], interval: 10ms}";
    let scenario = shop(LOST, poll, "[no_double_charges]");
    let (driven, result) = drive(&scenario, service("shop.py", "later"));
    assert_eq!(result.verdict, Verdict::Passed, "{result:#?}");
    assert_eq!(driven.claims()[2], r#"op-0003.1 succeeded client: 200: {"status": "paid"}"#);

    let mut scenario = shop(DOWN, poll, "[no_phantom_success]");
    scenario.workload.deadline = std::time::Duration::from_millis(700);
    scenario.workload.operations = 1;
    let (driven, _) = drive(&scenario, service("shop.py", "later"));
    let claims = driven.claims();
    assert!(
        claims[0].starts_with(
            "op-0001.1 unknown driver: deadline, while it was undecided; last heard: 200"
        ),
        "{claims:?}"
    );
}

#[test]
fn a_lesser_success_is_kept_in_the_trace() {
    let outcome = "outcome: {succeeded: [201], degraded: [203], failed: [4xx], unknown: [504]}";
    let scenario = shop(DOWN, outcome, "[no_phantom_success]");
    let (driven, _) = drive(&scenario, service("shop.py", "stale"));
    let degraded = driven.events.iter().filter_map(|event| {
        let EventKind::OperationFinished(finished) = &event.kind else { return None };
        Some(finished.degraded)
    });
    assert_eq!(degraded.collect::<Vec<_>>(), [true; 3]);
    assert!(driven.claims()[0].starts_with("op-0001.1 succeeded client: 203"));
}

#[test]
fn a_service_that_is_killed_is_started_again_and_asked_once_more() {
    let kill = "[{name: kill, when: {operation: 2, attempt: 1}, inject: {kill_client: {at: after_commit}}}]";
    let scenario = shop(kill, "", "[no_double_charges, no_lost_operations]");
    let (driven, result) = drive(&scenario, service("shop.py", "careful"));
    assert_eq!(result.verdict, Verdict::Passed, "{result:#?}");
    assert_eq!((driven.submitted(), result.operations.succeeded, result.requests), (3, 3, 4));
    let starts = driven.events.iter().filter(|one| matches!(one.kind, EventKind::ClientStarted(_)));
    assert_eq!(starts.count(), 2);
}

#[test]
fn all_that_is_outstanding_when_a_service_is_killed_is_asked_for_once_more() {
    let kill = "[{name: kill, when: {operation: 1, attempt: 1}, inject: {kill_client: {at: before_commit}}},
                 {name: slow, when: {attempt: 1}, inject: {latency: {fixed: 200ms}}}]";
    let mut scenario = shop(kill, "", "[no_double_charges, no_lost_operations]");
    (scenario.workload.operations, scenario.workload.concurrency) = (8, 8);
    let (driven, result) = drive(&scenario, service("shop.py", "careful"));
    assert_eq!(result.verdict, Verdict::Passed, "{result:#?}");
    let claims = driven.claims();
    assert_eq!(claims.len(), 8, "{claims:?}");
    assert!(claims.iter().all(|claim| claim.contains(" succeeded client")), "{claims:?}");
}

#[test]
fn what_a_service_does_after_its_answer_is_heard_out() {
    let down = "[{name: down, when: {attempt: 1}, inject: {status: {code: 503}}}]";
    let scenario = shop(down, "", "[nothing_after_claim]");
    let (_, result) = drive(&scenario, service("shop.py", "zombie"));
    assert_eq!((result.verdict, result.requests), (Verdict::Failed, 6), "{result:#?}");
}

#[test]
fn a_secret_in_an_answer_that_says_nothing_is_found_and_not_kept() {
    let scenario = shop("[]", "", "[no_secrets_in_output]");
    let (driven, result) = drive(&scenario, service("hostile.py", "leaks"));
    assert_eq!(result.verdict, Verdict::Failed, "{result:#?}");
    let claims = driven.claims();
    assert!(claims[0].contains("unknown driver: 303: ⟦secret:api_key:"), "{claims:?}");
}

#[test]
fn a_service_is_not_taken_for_whoever_listens_in_its_place() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let place: Place = format!("http://127.0.0.1:{port}").parse().expect("a place");
    let scenario = shop("[]", "", "[failures_surface]");
    let Service { command, .. } = service("shop.py", "careful");
    let run = |options: &RunOptions| {
        let service = Service::new(command.clone(), Some(place.clone()));
        let client = Client::Service(Arc::new(service));
        run_main(&scenario, scenario.seed, &client, options).map(|_| ())
    };
    assert!(matches!(run(&RunOptions::default()), Err(RunError::PlaceTaken { .. })));
    let options = RunOptions { port: Some(port), ..RunOptions::default() };
    assert!(matches!(run(&options), Err(RunError::OwnPlace { .. })));
}

#[test]
fn whatever_a_service_does_each_operation_is_over_and_why_is_said() {
    for (kind, expected) in [
        ("drops_dead", "exited with code 3"),
        ("garbage", "no whole answer: invalid HTTP version parsed"),
        (
            "cuts",
            "no whole answer: error reading a body from connection: end of file before message length reached",
        ),
        ("floods", "its answer is longer than 8 MiB"),
        ("floods_head", "no whole answer: message head is too large"),
        ("hangs", "deadline"),
        ("drips", "deadline"),
    ] {
        let mut scenario = shop("[]", "", "[failures_surface]");
        scenario.workload.operations = 2;
        scenario.workload.deadline = std::time::Duration::from_millis(1_500);
        let (driven, result) = drive(&scenario, service("hostile.py", kind));
        let claims = driven.claims();
        assert_eq!(claims.len(), 2, "{kind}: {claims:?}");
        for (claim, operation) in claims.iter().zip(["op-0001", "op-0002"]) {
            assert_eq!(*claim, format!("{operation}.1 unknown driver: {expected}"));
        }
        assert_eq!(driven.reason(), "completed");
        assert_ne!(result.verdict, Verdict::Passed, "{kind}");
    }
}

#[test]
fn a_service_that_is_never_ready_says_why() {
    for (kind, expected) in [
        ("dies", "the service was never ready: exited with code 1"),
        (
            "never_ready",
            "the service did not answer `GET /health` with 2xx at the port in `PORT` within 5 s (it answered 503)",
        ),
        (
            "deaf",
            "the service did not answer `GET /health` with 2xx at the port in `PORT` within 1.5 s (no connection: Connection refused (os error 111))",
        ),
    ] {
        let mut scenario = shop("[]", "", "[failures_surface]");
        let http = Arc::make_mut(scenario.workload.http.as_mut().expect("it calls a service"));
        let within_ms = if kind == "never_ready" { 5_000 } else { 1_500 };
        http.ready.within = std::time::Duration::from_millis(within_ms);
        let (driven, result) = drive(&scenario, service("hostile.py", kind));
        let said = format!("op-0003.1 unknown driver: {expected}");
        assert_eq!(driven.claims().last(), Some(&said), "{kind}");
        assert_eq!(result.verdict, Verdict::Inconclusive, "{kind}: {result:#?}");
        let reason = result.reason.expect("why nothing can be said");
        let told = if kind == "dies" { "it exited with code 1" } else { expected };
        assert!(reason.contains(told), "{kind}: {reason}");
    }
}

#[test]
fn a_control_run_of_a_service_that_dies_says_how() {
    let scenario = shop("[]", "", "[failures_surface]");
    let client = Client::Service(Arc::new(service("hostile.py", "dies")));
    let control = run_control(&scenario, &client, &RunOptions::default()).expect("it runs");
    let reason = control.reason.expect("it did not pass");
    assert!(
        reason.contains("it exited with code 1") && reason.contains("no configuration"),
        "{reason}"
    );
}

/// A shop that runs for itself, and ends with this.
struct Shop(std::process::Child);

impl Drop for Shop {
    fn drop(&mut self) {
        // One that is gone already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_numbers_of_a_service_that_outlives_its_runs_never_come_again() {
    let free = || Place::free().expect("a port is free");
    let (place, provider) = (free(), free().port);
    let path = root().join("tests/clients/service/shop.py");
    let child = std::process::Command::new("python3")
        .arg(path)
        .arg("careful")
        .env("PORT", place.port.to_string())
        .env("BROWNOUT_URL", format!("http://127.0.0.1:{provider}"))
        .env("BROWNOUT_API_KEY", "sk_test_of_the_shop")
        .spawn();
    let _shop = Shop(child.expect("python starts"));
    let client = Client::Service(Arc::new(Service::new(Vec::new(), Some(place))));
    let scenario = shop(LOST, "", "[no_double_charges]");
    let options = RunOptions { port: Some(provider), ..RunOptions::default() };
    let control = run_control(&scenario, &client, &options).expect("it runs");
    assert!(control.passed, "{control:?}");
    for first in [1, 2_000_001, 3_000_001] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options = RunOptions { dir: Some(dir.path().join("run")), ..options.clone() };
        let run = run_main(&scenario, scenario.seed, &client, &options).expect("it runs");
        let path = run.path.clone().expect("the run has a file");
        let text = std::fs::read_to_string(path).expect("the file is there");
        let all = events(&text);
        let submitted = all.iter().find_map(|event| {
            let EventKind::OperationSubmitted(submitted) = &event.kind else { return None };
            Some(submitted)
        });
        let submitted = submitted.expect("it was asked for");
        assert_eq!((&*submitted.operation, submitted.n), ("op-0001", first));
        let result = run.judged(&scenario, None, String::new());
        assert_eq!(result.verdict, Verdict::Passed, "{result:#?}");
        assert_eq!(result.faults.values().sum::<u64>(), 3, "coordinates stay what they are");
    }
}

#[test]
fn a_service_that_does_not_want_to_end_or_floods_its_output_is_ended() {
    for kind in ["stubborn", "chatters"] {
        let scenario = shop("[]", "", "[failures_surface]");
        let (driven, _) = drive(&scenario, service("hostile.py", kind));
        assert_eq!(driven.claims()[2], "op-0003.1 succeeded client: 200", "{kind}");
        let ended = driven
            .events
            .iter()
            .any(|event| matches!(&event.kind, EventKind::ClientEnded(ended) if ended.killed));
        assert!(ended, "{kind}");
    }
}

#[test]
fn a_service_that_runs_already_needs_a_provider_that_it_knows() {
    let scenario = shop("[]", "", "[failures_surface]");
    let place: Place = "http://127.0.0.1:1".parse().expect("a place");
    let client = Client::Service(Arc::new(Service::new(Vec::new(), Some(place))));
    let run = |scenario: &Scenario| {
        run_main(scenario, scenario.seed, &client, &RunOptions::default()).map(|_| ())
    };
    assert!(matches!(run(&scenario), Err(RunError::NoFixedPort { .. })));
    let mut scenario = shop("[{name: kill, inject: kill_client}]", "", "[failures_surface]");
    let error = run(&scenario).expect_err("nobody can start it again").to_string();
    assert!(error.starts_with("`kill` kills or stops the client itself"), "{error}");
    scenario.rules.clear();
    scenario.workload.http = None;
    assert!(matches!(run(&scenario), Err(RunError::NotCalled)));
}
