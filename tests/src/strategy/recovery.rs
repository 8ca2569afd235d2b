//! Providers that recover: what `Faults::recovers_after` promises, shown on the plans that it draws, and
//! relied upon by a client that tries once more than that.

use brownout::Harness;
use brownout::strategy::{Drawn, Faults, check, scenario};
use brownout_provider::coordinates::Coordinates;
use brownout_provider::fault::{Action, DelayPoint, Ending, OrderFault};
use brownout_provider::plan::{FaultPlan, Numbered, Situation};
use brownout_provider::shell::transport::Transport;
use http::{HeaderMap, Method};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::shop::{self, Bug};
use super::{cases, harness};

/// What strikes the attempts of the first operations, each with its attempt.
fn strikes(drawn: &Drawn, attempts: u32) -> Vec<(u32, Action)> {
    let scenario = drawn.scenario();
    let mut plan = FaultPlan::new(scenario.rules.clone(), scenario.seed);
    let mut struck = Vec::new();
    for number in 1..=scenario.workload.operations {
        let operation = format!("op-{number:04}");
        for submit in 1..=scenario.workload.submits.times {
            for attempt in 1..=attempts {
                let at = Coordinates {
                    provider: "provider",
                    route: "create_charge",
                    operation: &operation,
                    submit,
                    attempt,
                };
                let decision = plan.decide(&Situation {
                    at,
                    route: None,
                    operation_number: Some(number),
                    numbered: Numbered::BySubmit,
                    tenant: None,
                    method: &Method::POST,
                    headers: &HeaderMap::new(),
                    body: None,
                    since_first_us: 0,
                    reused: true,
                    streamed: false,
                    http2: false,
                });
                struck.extend(decision.strikes.into_iter().map(|one| (attempt, one.action)));
            }
        }
    }
    struck
}

/// True for what a later attempt still meets.
fn lasts(action: &Action) -> bool {
    match action {
        Action::Delay { at: DelayPoint::BeforeCommit, micros } => *micros > 0,
        Action::Duplicate { apart_us, .. } => *apart_us > 0,
        Action::End { ending: Ending::InFlight { for_us, .. }, .. } => *for_us > 0,
        Action::End { ending: Ending::Answer(answer), .. } => answer.kept,
        Action::Limit(fault) => fault.lasts(),
        Action::Order(fault) => !matches!(fault, OrderFault::Stale { .. }),
        Action::Delay { .. }
        | Action::Drip { .. }
        | Action::Key(_)
        | Action::Webhook(_)
        | Action::Job(_)
        | Action::Upload(_)
        | Action::Batch(_)
        | Action::Deprecated(_)
        | Action::Message(_)
        | Action::End { .. }
        | Action::Client { .. }
        | Action::Door(_) => false,
    }
}

/// What strikes in so many drawn scenarios.
fn drawn_strikes(faults: &Faults, count: u32) -> Vec<(u32, Action)> {
    let base = harness(20);
    let strategy = scenario(base.scenario(), faults);
    let mut runner = TestRunner::new(cases(1));
    let mut all = Vec::new();
    for _ in 0..count {
        let drawn = strategy.new_tree(&mut runner).expect("there are faults").current();
        all.extend(strikes(&drawn, 10));
    }
    all
}

#[test]
fn after_the_promised_attempt_nothing_strikes_and_nothing_lasts() {
    for (last, count) in [(2, 1_000), (1, 100), (4, 100)] {
        let struck = drawn_strikes(&Faults::any().recovers_after(last), count);
        assert!(struck.len() > 100, "{}", struck.len());
        assert!(struck.iter().any(|(attempt, _)| *attempt == last));
        for (attempt, action) in &struck {
            assert!(*attempt <= last && !lasts(action), "{last}: attempt {attempt}: {action:?}");
        }
    }
    // Without the promise the same draws do both.
    let struck = drawn_strikes(&Faults::any(), 100);
    assert!(struck.iter().any(|(attempt, _)| *attempt > 2));
    assert!(struck.iter().any(|(_, action)| lasts(action)));
}

#[test]
fn a_client_that_tries_once_more_than_the_provider_fails_gets_everything_done() {
    let text = "version: 1
name: it-recovers
provider: {api: payments}
workload:
  call: create_charge
  operations: 8
  concurrency: 4
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 6h
expect: [no_lost_operations: {all: true}, no_double_charges, no_phantom_success]
";
    let harness = Harness::from_yaml(text).expect("a right scenario").virtual_time();
    let client = harness
        .transport(Transport::Memory)
        .prepare(|operation, connection| shop::keyed(operation, connection, Bug::None));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let last = shop::ATTEMPTS - 1;
    // No answers: by some of them a client must not try again, or only after a year.
    let faults = Faults::any().keys_honored().recovers_after(last).only(&[
        "hang",
        "reset",
        "close",
        "drip",
        "latency",
        "duplicate_request",
    ]);
    let survived = check(&client, &faults, folder.path(), cases(300)).expect("it recovers");
    assert!(survived.struck * 4 > survived.scenarios, "{survived:?}");
}
