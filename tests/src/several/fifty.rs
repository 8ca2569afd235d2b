//! Fifty copies of one client behind one quota: they come back together, they get shut out, and a stranger uses up
//! what is theirs.
//!
//! **Invariant:** a wrong fleet differs from the right one in its waits alone, and both put the invariant to the test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use brownout::incident::client::caller::Caller;
use brownout::incident::habits::{CAREFUL, Habits, Hints, Jitter, Wait};
use brownout::run::{Client, RunOptions, run_main};
use brownout::verdict::{InvariantVerdict, ScenarioResult};
use brownout_provider::event::ClockKind;

use super::scenario;

/// So many copies, each with one order at a time.
const FLEET: &str = "clients: 50, concurrency: 50, deadline: 10m";

/// What they do where nothing is said against it.
const RIGHT: Habits = Habits { attempts: 12, ..CAREFUL };

/// A run of the fleet in virtual time.
fn run(text: &str, habits: Habits) -> ScenarioResult {
    let scenario = scenario(&text.replace("FLEET", FLEET));
    let options = RunOptions { clock: ClockKind::Virtual, ..RunOptions::default() };
    let client = Client::InProcess(Arc::new(Caller::factory(habits, scenario.seed)));
    let ran = run_main(&scenario, scenario.seed, &client, &options).expect("it runs");
    let copies: BTreeSet<u32> = ran.trace.operations().map(|(_, one)| one.copy).collect();
    assert_eq!(copies.len(), 50, "each copy has had its part of the work");
    ran.judged(&scenario, None, String::new())
}

/// The right fleet passes and the wrong one fails, and both put the invariant to the test.
fn check(text: &str, invariant: &str, wrong: Habits) {
    for (habits, expected) in [(RIGHT, InvariantVerdict::Passed), (wrong, InvariantVerdict::Failed)]
    {
        let result = run(text, habits);
        let judged = result.invariants.iter().find(|one| one.name == invariant);
        let judged = judged.expect("it is expected");
        assert_eq!(judged.verdict, expected, "{invariant}: {judged:#?}");
        assert!(judged.exercised > 0, "{judged:#?}");
        // Whatever else the scenario expects holds for the right fleet.
        let others = result.invariants.iter().filter(|one| one.verdict == InvariantVerdict::Failed);
        let others: Vec<&str> = others.map(|one| one.name).collect();
        assert!(expected == InvariantVerdict::Failed || others.is_empty(), "{others:?}");
    }
}

/// One quota of twenty requests in ten seconds: thirty of the first fifty are refused in one moment, with one hint.
#[test]
fn fifty_that_were_refused_together_do_not_come_back_together() {
    let text = "version: 1
name: fifty-herd
provider: {api: payments, rate_limit: {limit: 20, per: 10s, scope: global}}
workload: {call: create_charge, operations: 50, FLEET}
expect: [{spreads_retries: {after_hint: true, window: 100ms}}, {no_lost_operations: {all: true}}]
";
    let first = Duration::from_secs(1);
    let wait = Wait::Growing { first, cap: Duration::from_secs(30), jitter: Jitter::None };
    check(text, "spreads_retries", Habits { wait, ..RIGHT });
}

/// Whoever goes on through a hundred refusals in a minute is shut out, and with the account all fifty.
#[test]
fn fifty_that_heed_their_refusals_are_not_shut_out() {
    let text = "version: 1
name: fifty-ban
provider: {api: payments, rate_limit: {limit: 20, per: 10s, scope: global}}
faults: [{name: shut-out, inject: {ban: {after: 100, within: 1m, for: 1h}}}]
workload: {call: create_charge, operations: 50, FLEET}
expect: [not_banned, {no_lost_operations: {all: true}}]
";
    let wait = Wait::Fixed(Duration::from_secs(1));
    check(text, "not_banned", Habits { hints: Hints::Ignored, wait, ..RIGHT });
}

/// A stranger takes a third of the quota; a fleet that keeps to what is left is not accused of what the stranger does.
#[test]
fn fifty_beside_a_noisy_neighbour_answer_for_themselves_alone() {
    let text = "version: 1
name: fifty-neighbour
provider: {api: payments, rate_limit: {algorithm: fixed_window, limit: 150, per: 10s, scope: global}}
faults: [{name: stranger, inject: {noisy_neighbour: {every: 200ms}}}]
workload: {call: create_charge, operations: 200, FLEET}
expect: [{stays_within_rate_limit: {max_rejected: 150}}, {no_lost_operations: {all: true}}]
";
    let wait = Wait::Fixed(Duration::from_millis(500));
    check(text, "stays_within_rate_limit", Habits { hints: Hints::Ignored, wait, ..RIGHT });
}
