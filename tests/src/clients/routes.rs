//! Every route of every shipped API is called by a real client: its vendor's SDK, or a plain one where it has none.
//!
//! Each program reads what a user of the SDK reads, and provokes each error so that the SDK must raise its own class.
//! **Invariant:** which routes there are stands in the API file and which did their work in the trace; a new route
//! without a call that succeeds fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout::run::{Client, RunOptions, run_main};
use brownout::scenario::{Apis, Overrides, read};
use brownout_provider::event::{Class, Event, EventKind, Mode};

use crate::brownout::{python, root};
use crate::drive::events;

/// The routes that answered a request with a success of their own, whole: a call that is refused shows nothing of what
/// a route does.
fn succeeded(events: &[Event]) -> BTreeSet<Arc<str>> {
    let mut routes = BTreeMap::new();
    let mut met = BTreeSet::new();
    for event in events {
        if let EventKind::RequestReceived(request) = &event.kind {
            routes.insert(request.request, request.route.clone());
        }
        if let EventKind::ResponseSent(sent) = &event.kind
            && (sent.class, sent.complete, sent.rule.is_none()) == (Class::Success, true, true)
        {
            met.extend(routes.get(&sent.request).cloned().flatten());
        }
    }
    met
}

/// Runs the program of an API, which must end well, have a success of every route, and been struck by every rule.
fn check(api: &str) {
    let name = format!("tests/behaviour/routes-{api}.yaml");
    let text = std::fs::read(root().join(&name)).expect("every API has such a scenario");
    let checked = read(&name, &text, Apis::Beside(root()), &Overrides::default());
    let scenario = checked.scenario.expect("a right scenario");
    let file = root().join(format!("tests/clients/routes/with_{api}.py"));
    let command = [python(), file.into_os_string()];
    let command = command.map(|word| word.to_string_lossy().into_owned()).to_vec();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = RunOptions { dir: Some(dir.path().join("run")), ..RunOptions::default() };
    let client = Client::Process { mode: Mode::Suite, command };
    let run = run_main(&scenario, scenario.seed, &client, &options).expect("it runs");

    let said: Vec<&str> = run.trace.outputs().iter().map(|line| &*line.text).collect();
    let ends: Vec<_> = run.trace.client_ends().iter().map(|end| end.code).collect();
    assert_eq!(ends, [Some(0)], "{api}:\n{}", said.join("\n"));
    let path = run.path.clone().expect("the run has a file");
    let events = events(&std::fs::read_to_string(path).expect("the file is there"));
    let met = succeeded(&events);
    let routes = &scenario.providers.first().1.api.routes;
    let missed: Vec<&str> =
        routes.iter().map(|route| &*route.name).filter(|name| !met.contains(*name)).collect();
    assert_eq!(missed, [""; 0], "{api}: no call of these routes succeeds");
    let struck: BTreeSet<&str> =
        run.trace.strikes().iter().map(|strike| run.trace.text(strike.rule)).collect();
    let idle: Vec<&str> = scenario
        .rules
        .iter()
        .map(|rule| &*rule.name)
        .filter(|name| !struck.contains(name))
        .collect();
    assert_eq!(idle, [""; 0], "{api}: nobody met these errors");
}

#[test]
fn every_shipped_api_has_a_program_that_calls_its_routes() {
    for api in brownout_provider::api::names() {
        let file = root().join(format!("tests/clients/routes/with_{api}.py"));
        assert!(file.is_file(), "no client calls the routes of `{api}`: write {}", file.display());
    }
}

#[test]
fn the_stripe_sdk_meets_every_route_and_every_error() {
    check("stripe");
}

#[test]
fn the_openai_sdk_meets_every_route_and_every_error() {
    check("openai");
}

#[test]
fn the_anthropic_sdk_meets_every_route_and_every_error() {
    check("anthropic");
}

#[test]
fn boto3_meets_every_route_and_every_error_of_dynamodb() {
    check("dynamodb");
}

#[test]
fn a_plain_client_meets_every_route_and_every_error_of_payments() {
    check("payments");
}

#[test]
fn a_plain_client_meets_every_route_and_every_error_of_the_queue() {
    check("queue");
}

#[test]
fn a_plain_client_meets_every_route_and_every_error_of_vision() {
    check("vision");
}
