//! Scenarios written in Rust: what a file says and what a builder says are the same scenario.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brownout::build::{ScenarioBuilder, Which, every, fault, rule, scenario};
use brownout::scenario::{Apis, Overrides, read};
use brownout::{Harness, Scenario};
use brownout_provider::api::{Route, load};
use brownout_provider::document::{Diagnostics, Document};
use brownout_provider::fault::Fault;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{careful, careless};

fn read_back(yaml: &str) -> Scenario {
    let apis = Apis::Beside(Path::new("."));
    let checked = read("<built>", yaml.as_bytes(), apis, &Overrides::default());
    checked.into_result().expect("what was built can be read")
}

/// All of a scenario that decides anything, in words.
fn meaning(scenario: &Scenario) -> String {
    let Scenario { name, seed, rules, workload, expect, drain, source, .. } = scenario;
    format!("{name} {seed:?} {rules:#?} {workload:#?} {expect:#?} {drain:?} {source}")
}

fn lost() -> ScenarioBuilder {
    scenario("response-lost", "payments")
        .seed(42)
        .rule(rule("lost").route("create_charge").attempt(1).inject(fault::reset().after_commit()))
        .call("create_charge")
        .operations(3)
        .input(json!({"amount": 1999, "currency": "usd", "order": "order-{{ n }}"}))
        .deadline(Duration::from_secs(3600))
        .expect("no_double_charges")
        .expect_with("bounded_retries", json!({"max_attempts": 5}))
}

#[test]
fn what_is_built_is_what_a_file_says() {
    let file = "version: 1
name: response-lost
seed: 42
provider: {api: payments}
faults:
  - name: lost
    when: {route: create_charge, attempt: 1}
    inject: {reset: {at: after_commit}}
workload:
  call: create_charge
  operations: 3
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 1h
expect:
  - no_double_charges
  - bounded_retries: {max_attempts: 5}
";
    let built = lost().finish().expect("a right scenario");
    assert_eq!(meaning(&built), meaning(&read_back(file)));
    insta::assert_snapshot!("built_yaml", built.to_yaml());
}

#[test]
fn what_is_built_runs() {
    let harness = Harness::new(lost().finish().expect("a right scenario")).virtual_time();
    harness.run(careful).expect("it runs").assert();
    let judged = harness.run(careless).expect("it runs");
    assert_eq!(judged.invariant("no_double_charges").expect("judged").violations.len(), 3);
}

#[test]
fn a_script_strikes_where_it_says() {
    let built = scenario("scripted", "payments")
        .strike(2, "create_charge", 1, fault::close().after_commit())
        .strike(2, "create_charge", 2, "conflict")
        .call("create_charge")
        .operations(3)
        .expect("no_double_charges")
        .finish()
        .expect("a right scenario");
    let judged = Harness::new(built).virtual_time().run(careful).expect("it runs");
    judged.assert();
    assert_eq!(judged.result.requests, 5);
    assert_eq!(judged.result.faults.keys().collect::<Vec<_>>(), ["script-1", "script-2"]);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let wrong = scenario("wrong name", "payments")
        .rule(rule("busy").attempt(1).chance(3, 2).inject(fault::status(99)))
        .rule(rule("busy").route("create_charges").inject("hang"))
        .call("create_charge")
        .expect("no_double_charge")
        .finish()
        .expect_err("much is wrong");
    insta::assert_snapshot!("built_wrong", wrong);
}

/// An API that this fault can strike, and a route of it that does something.
fn place_for(fault: &dyn Fault) -> (&'static str, Arc<str>) {
    ["payments", "openai", "queue", "vision"]
        .into_iter()
        .find_map(|name| {
            let problems = Diagnostics::new();
            let (api, _) = load(name, Path::new("."), &problems.root())?;
            let strikes = |route: &&Arc<Route>| {
                fault.takes(route) && (route.stream.is_some() || !fault.streams_only())
            };
            api.routes.iter().find(strikes)?;
            let route = api.routes.iter().find(|route| route.is_effectful())?;
            Some((name, Arc::clone(&route.name)))
        })
        .expect("every fault can strike something")
}

/// Every fault of the registry can be built from its own words.
#[test]
fn every_fault_can_be_named() {
    for kind in brownout_provider::fault::registry::FAULTS {
        let example: Value = serde_yaml::from_str(kind.example).expect("an example is YAML");
        let parameters = example.get(kind.name).and_then(Value::as_object);
        let mut named = fault::named(kind.name);
        for (name, value) in parameters.into_iter().flatten() {
            named = named.with(name, value.clone());
        }
        assert_eq!(Value::from(named.clone()), example, "{}", kind.name);
        let parameters = example.get(kind.name).unwrap_or(&Value::Null);
        let fault = (kind.parse)(parameters, &Diagnostics::new().root());
        let fault = fault.unwrap_or_else(|| panic!("the example of `{}` is right", kind.name));
        let door = fault.door();
        let tls = matches!(door, Some(brownout_provider::fault::Door::Greets(_)));
        let struck = match door {
            // What strikes before any request is known knows time alone.
            Some(_) => rule("one").during(Duration::from_secs(1), Duration::from_secs(2)),
            None => rule("one").attempt(1),
        };
        let (api, route) = place_for(&*fault);
        let built = scenario("one", api)
            .provider("tls", tls)
            .provider("http2", fault.http2_only())
            .provider("rate_limit", json!({"limit": 10, "scope": "global"}))
            .rule(struck.inject(named))
            .call(&route)
            .expect("no_double_charges")
            .finish()
            .unwrap_or_else(|wrong| panic!("{}: {wrong}", kind.name));
        assert_eq!(built.rules[0].faults[0].kind().name, kind.name);
        assert_eq!(meaning(&built), meaning(&read_back(&built.to_yaml())));
    }
}

fn injected() -> impl Strategy<Value = fault::Injected> {
    let wait = || (1..100_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        (400..600_u16, wait()).prop_map(|(code, wait)| fault::status(code).retry_after(wait)),
        Just(fault::rate_limited()),
        Just(fault::hang().after_commit()),
        Just(fault::reset().after_commit()),
        (1..50_u64).prop_map(fault::truncate),
        wait().prop_map(fault::latency),
        (wait(), wait()).prop_map(|(a, b)| fault::latency_between(a.min(b), a.max(b))),
        wait().prop_map(fault::drip),
        Just(fault::malformed("html_page")),
        (1..10_u32).prop_map(fault::duplicate_request),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        (1..9_u64).prop_map(Which::from),
        (1..9_u64, 0..9_u64).prop_map(|(from, more)| Which::from(from..=from + more)),
        (1..9_u64).prop_map(|from| Which::from(from..)),
        (1..9_u64).prop_map(|to| Which::from(..=to)),
        (1..9_u64).prop_map(every),
        (1..5_u64, 5..9_u64).prop_map(|(a, b)| Which::from([a, b])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_built_is_read_back(
        rules in proptest::collection::vec((which(), 1..100_u32, injected()), 1..6),
        seed in 0..1_u64 << 53,
        operations in 1..1_000_u64,
        apart in 0..100_000_000_u64,
        text in ".{0,20}",
    ) {
        let mut builder = scenario("any", "payments").seed(seed).summary(&text);
        for (index, (which, chance, fault)) in rules.into_iter().enumerate() {
            let rule = rule(&format!("rule-{index}")).attempt(which).chance(chance, 100);
            builder = builder.rule(rule.inject(fault));
        }
        let builder = builder
            .call("create_charge")
            .operations(operations)
            .submits(2, Duration::from_micros(apart))
            .expect("no_double_charges");
        // What no client can survive is refused in both spellings alike.
        match builder.finish() {
            Ok(built) => prop_assert_eq!(meaning(&built), meaning(&read_back(&built.to_yaml()))),
            Err(wrong) => {
                let document = Document::parse("again", wrong.text().as_bytes()).expect("YAML");
                prop_assert_eq!(document.value, builder.to_value());
            }
        }
    }

    #[test]
    fn any_text_is_printed_as_it_is(key in "[a-z][a-z ]{0,9}", text in any::<String>()) {
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        let builder = scenario("any", "payments").workload(&key, json!({"text": text}));
        let document = Document::parse("any", builder.to_yaml().as_bytes());
        prop_assert_eq!(document.expect("YAML").value, builder.to_value());
    }
}
