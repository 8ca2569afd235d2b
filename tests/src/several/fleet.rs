//! Several copies of one client: who serves what, and what befalls whom.

use std::collections::BTreeMap;

use brownout::harness::Harness;
use brownout::run::{Client, Run, RunOptions, run_main};
use brownout::{Connection, Operation, Outcome};
use brownout_provider::event::Mode;

use super::scenario;
use crate::brownout::root;

const SCENARIO: &str = "version: 1
name: fleet
provider: {api: payments}
faults:
  - {name: death, when: {operation: 2, attempt: 1}, inject: {kill_client: {at: after_commit}}}
workload: {call: create_charge, operations: 9, concurrency: 3, clients: 3, deadline: 60s}
expect: [no_double_charges]
";

fn run(mode: Mode, behaviour: &str) -> Run {
    let path = root().join("tests/clients/fleet.py").display().to_string();
    let command = vec!["python3".to_owned(), path, behaviour.to_owned()];
    let (scenario, client) = (scenario(SCENARIO), Client::Process { mode, command });
    run_main(&scenario, scenario.seed, &client, &RunOptions::default()).expect("it runs")
}

/// What was said of each operation: its words, or what the driver says for the silent.
fn said(run: &Run) -> Vec<String> {
    let of = |(_, submit)| -> String {
        let trace = &run.trace;
        let claims: &[_] = trace.claims(submit);
        let detail = claims.last().and_then(|claim| claim.detail);
        detail.map_or(String::new(), |detail| trace.text(detail).to_owned())
    };
    run.trace.submits().map(of).collect()
}

/// How often each copy was started.
fn starts(run: &Run) -> BTreeMap<u32, usize> {
    let mut starts = BTreeMap::new();
    for client in run.trace.clients() {
        *starts.entry(client.client).or_default() += 1;
    }
    starts
}

#[test]
fn copies_of_a_program_share_the_operations_and_each_dies_its_own_death() {
    for (mode, expected) in [
        // The copy that asked is started again, and no other.
        (Mode::Stdio, BTreeMap::from([(1, 1), (2, 2), (3, 1)])),
        (Mode::Exec, BTreeMap::from([(1, 3), (2, 4), (3, 3)])),
    ] {
        let run = run(mode, "steady");
        let turns: Vec<String> = (0..9).map(|place| format!("by copy {}", place % 3 + 1)).collect();
        assert_eq!(said(&run), turns, "{mode:?}");
        assert_eq!(starts(&run), expected, "{mode:?}");
        assert_eq!(run.judged(&scenario(SCENARIO), None, String::new()).effects["charge"], 9);
    }
}

#[test]
fn a_copy_that_goes_away_leaves_its_own_operations_undone_and_no_others() {
    let run = run(Mode::Stdio, "third-leaves");
    let silent: Vec<usize> = said(&run)
        .iter()
        .enumerate()
        .filter(|(_, said)| !said.starts_with("by copy"))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(silent, [2, 5, 8], "{:?}", said(&run));
}

/// A request that names work of nobody's is no reason to kill the first copy.
#[test]
fn over_work_that_no_copy_was_handed_none_is_struck() {
    let text = SCENARIO
        .replace("operation: 2, attempt: 1", "body: {/order: own-order-2}")
        .replace("deadline: 60s", "deadline: 2s");
    let scenario = scenario(&text);
    let path = root().join("tests/clients/fleet.py").display().to_string();
    let command = vec!["python3".to_owned(), path, "own-names".to_owned()];
    let client = Client::Process { mode: Mode::Stdio, command };
    let run = run_main(&scenario, scenario.seed, &client, &RunOptions::default()).expect("it runs");
    assert_eq!(starts(&run), BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
    let judged = run.judged(&scenario, None, String::new());
    let told = judged.notes.iter().any(|note| note.contains("`death` struck nobody once"));
    assert!(told, "{:?}", judged.notes);
}

#[test]
fn the_copies_of_a_closure_are_as_many_as_the_scenario_says() {
    let client = |_: &Connection| {
        |_: Operation, connection: Connection| async move {
            Outcome::failed(format!("by copy {}", connection.client))
        }
    };
    let text = SCENARIO.replace("  - {name: death, when: {operation: 2, attempt: 1}, inject: {kill_client: {at: after_commit}}}\n", "").replace("faults:\n", "");
    let harness = || Harness::from_yaml(&text).expect("a right scenario").virtual_time();
    let said = |harness: Harness| {
        let judged = harness.run_with(client).expect("it runs");
        let claims = judged.trace.submits().map(|(_, submit)| {
            let claim = judged.trace.final_claim(submit).expect("a claim");
            judged.trace.text(claim.detail.expect("words")).to_owned()
        });
        claims.collect::<Vec<String>>()
    };
    assert_eq!(said(harness())[..4], ["by copy 1", "by copy 2", "by copy 3", "by copy 1"]);
    assert_eq!(said(harness().fleet(2))[..3], ["by copy 1", "by copy 2", "by copy 1"]);
}

#[test]
fn whose_an_operation_is_stands_on_record_in_every_mode() {
    let text = SCENARIO.replace("{kill_client: {at: after_commit}}", "{status: {code: 503}}");
    let harness = Harness::from_yaml(&text).expect("a right scenario").virtual_time();
    let client = |_: &Connection| |_: Operation, _: Connection| async { Outcome::failed("no") };
    let judged = harness.run_with(client).expect("it runs");
    let whose = |trace: &brownout::Trace| -> Vec<u32> {
        trace.operations().map(|(_, operation)| operation.copy).collect()
    };
    let turns = [1, 2, 3, 1, 2, 3, 1, 2, 3];
    assert_eq!((whose(&judged.trace), judged.trace.copies()), (turns.to_vec(), 3));
    for mode in [Mode::Stdio, Mode::Exec] {
        assert_eq!(whose(&run(mode, "steady").trace), turns, "{mode:?}");
    }
}
