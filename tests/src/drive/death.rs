//! The client's own death: killed and stopped programs and closures, what survives, and when it ends.
//!
//! **Invariant:** a client that remembers is never accused, and no plan starts a client again for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout::drive::in_process::{Connection, Factory, InProcess};
use brownout::drive::loopback::{Call, post_over};
use brownout::operation::{Operation, Outcome};
use brownout::run::{Client, Run, RunError, RunOptions, run_main};
use brownout::scenario::{Apis, Overrides, Scenario, read};
use brownout::verdict::InvariantVerdict;
use brownout_provider::event::{ClockKind, Mode};
use brownout_provider::shell::transport::Transport;

use crate::brownout::root;

fn scenario(faults: &str, workload: &str, expect: &str) -> Scenario {
    let text = format!(
        "version: 1\nname: death\nseed: 7\nprovider: {{api: payments}}\nfaults: {faults}\n\
         workload: {{call: create_charge, {workload}}}\nexpect: {expect}\n"
    );
    let apis = Apis::Beside(Path::new("."));
    let checked = read("death.yaml", text.as_bytes(), apis, &Overrides::default());
    checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
}

const EXPECT: &str = "[no_double_charges, idempotency_key_stable, no_lost_operations: {all: true}]";

fn killed(at: &str, workload: &str) -> Scenario {
    let faults = format!(
        "[{{name: death, when: {{attempt: 1, operation: {{every: 2}}}}, inject: {{kill_client: {{at: {at}}}}}}}]"
    );
    scenario(&faults, workload, EXPECT)
}

fn program(mode: Mode, memory: &str) -> Client {
    let path = root().join("tests/clients/key_keeper.py");
    let path = path.to_str().expect("the clone's path is text").to_owned();
    Client::Process { mode, command: vec!["python3".to_owned(), path, memory.to_owned()] }
}

fn run(scenario: &Scenario, client: &Client) -> Run {
    run_main(scenario, scenario.seed, client, &RunOptions::default()).expect("it runs")
}

/// The verdict on each invariant.
fn verdicts(scenario: &Scenario, run: &Run) -> BTreeMap<String, InvariantVerdict> {
    let judged = run.judged(scenario, None, String::new());
    judged.invariants.iter().map(|one| (one.name.to_owned(), one.verdict)).collect()
}

fn starts(run: &Run) -> usize {
    run.trace.clients().len()
}

#[test]
fn a_program_that_forgets_its_key_when_it_dies_is_caught_in_every_mode() {
    for (mode, lives) in [(Mode::Stdio, 3), (Mode::Exec, 6)] {
        let scenario = killed("after_commit", "operations: 4, concurrency: 2");
        let careful = run(&scenario, &program(mode, "file"));
        let seen = verdicts(&scenario, &careful);
        assert!(seen.values().all(|one| *one == InvariantVerdict::Passed), "{mode:?}: {seen:?}");
        // In stdio mode one death may take two operations with it whose deaths were both planned.
        assert!((2..=lives).contains(&starts(&careful)), "{mode:?}: {}", starts(&careful));
        let careless = run(&scenario, &program(mode, "memory"));
        let seen = verdicts(&scenario, &careless);
        assert_eq!(seen["no_double_charges"], InvariantVerdict::Failed, "{mode:?}: {seen:?}");
    }
}

#[test]
fn whoever_dies_before_the_work_or_over_half_the_answer_comes_back() {
    for at in ["before_commit", "mid_body"] {
        for mode in [Mode::Stdio, Mode::Exec] {
            let scenario = killed(at, "operations: 2");
            let run = run(&scenario, &program(mode, "file"));
            let seen = verdicts(&scenario, &run);
            assert_eq!(seen["no_double_charges"], InvariantVerdict::Passed, "{at} {mode:?}");
            assert_eq!(seen["no_lost_operations"], InvariantVerdict::Passed, "{at} {mode:?}");
            let died = run.trace.client_ends().iter().filter(|end| end.killed).count();
            assert_eq!(died, 1, "{at} {mode:?}");
        }
    }
}

#[test]
fn a_rule_that_always_kills_ends_with_the_deadline() {
    let faults = "[{name: death, inject: {kill_client: {at: before_commit}}}]";
    for mode in [Mode::Stdio, Mode::Exec] {
        let scenario = scenario(faults, "operations: 1, deadline: 4s", "[no_double_charges]");
        let run = run(&scenario, &program(mode, "file"));
        let (_, submit) = run.trace.submits().next().expect("one was made");
        let last = run.trace.claims(submit).last().expect("it has an end");
        let detail = last.detail.map_or("", |detail| run.trace.text(detail));
        assert!(detail.starts_with("deadline"), "{mode:?}: {detail}");
        assert!((2..20).contains(&starts(&run)), "{mode:?}: {}", starts(&run));
    }
}

#[test]
fn a_program_that_stood_still_has_as_much_longer() {
    let faults = "[{name: pause, when: {attempt: 1}, inject: {pause_client: {for: 6s, at: after_commit}}}, \
                  {name: hang, when: {attempt: 9}, inject: hang}]";
    let expect = "[failures_surface, client_timeout: {max: 4s}]";
    for mode in [Mode::Stdio, Mode::Exec] {
        // On the real clock a second is forgiven, so the pause alone would be too long.
        let scenario = scenario(faults, "operations: 1, deadline: 5s", expect);
        let run = run(&scenario, &program(mode, "file"));
        let (_, submit) = run.trace.submits().next().expect("one was made");
        let claim = run.trace.final_claim(submit).expect("the client made a claim");
        assert!(claim.at_us > 6_000_000, "{mode:?}: {}", claim.at_us);
        let seen = verdicts(&scenario, &run);
        assert!(!seen.values().any(|one| *one == InvariantVerdict::Failed), "{mode:?}: {seen:?}");
        let paused = run.trace.paused_between(submit.operation, 0, claim.at_us);
        assert!((6_000_000..9_000_000).contains(&paused), "{mode:?}: {paused}");
    }
}

#[test]
fn a_suite_cannot_be_killed() {
    let scenario = killed("after_commit", "operations: 2");
    let error =
        run_main(&scenario, scenario.seed, &program(Mode::Suite, "file"), &RunOptions::default())
            .expect_err("there is nothing to start again");
    assert!(matches!(error, RunError::ClientOutOfReach { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
}

/// What becomes of what a client knows.
#[derive(Clone, Copy, Debug)]
enum Memory {
    Outlives,
    Dies,
}

/// Builds clients that make up a key for each operation and remember it: all lives together, or each life
/// for itself.
struct Keys {
    memory: Memory,
    made: Arc<AtomicU64>,
    kept: Arc<Mutex<BTreeMap<Arc<str>, String>>>,
}

impl Factory for Keys {
    fn build(&self, _: &Connection) -> Rc<dyn InProcess> {
        let made = Arc::clone(&self.made);
        let kept = match self.memory {
            Memory::Outlives => Arc::clone(&self.kept),
            Memory::Dies => Arc::default(),
        };
        Rc::new(move |operation: Operation, connection: Connection| {
            let (made, kept) = (Arc::clone(&made), Arc::clone(&kept));
            async move {
                let key = kept
                    .lock()
                    .expect("nobody panics")
                    .entry(Arc::clone(&operation.id))
                    .or_insert_with(|| format!("key-{}", made.fetch_add(1, Ordering::Relaxed)))
                    .clone();
                charge(&operation, &connection, &key).await
            }
        })
    }
}

/// At most three attempts, each with the same key.
async fn charge(operation: &Operation, connection: &Connection, key: &str) -> Outcome {
    for _ in 0..3 {
        let call = Call {
            url: &format!("{}/v1/charges", operation.url),
            api_key: &operation.api_key,
            idempotency_key: Some(key),
            body: &operation.input,
            timeout: Duration::from_secs(5),
        };
        if post_over(connection, call).await.is_ok_and(|answer| answer.status == 201) {
            return Outcome::succeeded();
        }
    }
    Outcome::unknown("no attempt was answered")
}

fn in_virtual_time(scenario: &Scenario, memory: Memory, transport: Transport) -> Run {
    let keys = Keys { memory, made: Arc::default(), kept: Arc::default() };
    let options = RunOptions {
        clock: ClockKind::Virtual,
        transport: Some(transport),
        ..RunOptions::default()
    };
    let client = Client::InProcess(Arc::new(keys));
    run_main(scenario, scenario.seed, &client, &options).expect("it runs")
}

#[test]
fn a_closure_that_forgets_its_key_when_it_dies_is_caught_in_virtual_time() {
    for transport in [Transport::Unix, Transport::Memory] {
        for at in ["before_commit", "after_commit", "mid_body"] {
            // With several at once, one that dies before its work takes others with it that have done theirs.
            let workload = if at == "before_commit" {
                "operations: 6"
            } else {
                "operations: 6, concurrency: 3"
            };
            let scenario = killed(at, workload);
            let careful =
                verdicts(&scenario, &in_virtual_time(&scenario, Memory::Outlives, transport));
            assert!(
                !careful.values().any(|one| *one == InvariantVerdict::Failed),
                "{transport} {at}: {careful:?}"
            );
            let careless =
                verdicts(&scenario, &in_virtual_time(&scenario, Memory::Dies, transport));
            let expected = if at == "before_commit" {
                InvariantVerdict::Passed
            } else {
                InvariantVerdict::Failed
            };
            assert_eq!(careless["no_double_charges"], expected, "{transport} {at}");
            assert_eq!(
                careless["idempotency_key_stable"],
                InvariantVerdict::Failed,
                "{transport} {at}"
            );
        }
    }
}

/// Everything that a run shows of itself.
fn seen(run: &Run) -> String {
    let attempts: Vec<String> = run
        .trace
        .requests()
        .map(|(_, request)| {
            let ended = request.ended.as_deref().map(|ended| ended.at_us);
            format!("{} {:?} {} {ended:?}", request.at_us, request.operation, request.attempt)
        })
        .collect();
    let ends: Vec<u64> = run.trace.client_ends().iter().map(|end| end.at_us).collect();
    let starts: Vec<u64> = run.trace.clients().iter().map(|start| start.at_us).collect();
    format!("{attempts:?} {ends:?} {starts:?} {}", run.trace.last_at_us)
}

#[test]
fn death_and_sleep_have_one_outcome_in_virtual_time() {
    let faults = "[{name: death, when: {attempt: 1, chance: 50%}, inject: {kill_client: {at: after_commit}}}, \
                  {name: sleep, when: {attempt: 2, chance: 50%}, inject: {pause_client: {for: 7s}}}, \
                  {name: slow, when: {attempt: 2}, inject: {latency: {uniform: {min: 0ms, max: 3s}}}}]";
    let scenario = scenario(faults, "operations: 8, concurrency: 4, deadline: 30s", EXPECT);
    // In memory, because a program that another test starts holds every socket for a moment, also one that
    // a dead client has closed.
    let transport = Transport::Memory;
    let runs: BTreeSet<String> =
        (0..200).map(|_| seen(&in_virtual_time(&scenario, Memory::Outlives, transport))).collect();
    assert_eq!(runs.len(), 1, "{runs:#?}");
    let run = in_virtual_time(&scenario, Memory::Outlives, Transport::Memory);
    let verdicts = verdicts(&scenario, &run);
    assert!(verdicts.values().all(|one| *one == InvariantVerdict::Passed), "{verdicts:?}");
    assert!(run.trace.client_ends().iter().any(|end| end.killed));
}

#[test]
fn a_closure_that_is_always_killed_ends_with_its_deadline() {
    let faults = "[{name: death, inject: kill_client}]";
    let scenario = scenario(faults, "operations: 2, deadline: 30s", "[no_double_charges]");
    let run = in_virtual_time(&scenario, Memory::Outlives, Transport::Memory);
    let given_up = run.trace.submits().map(|(_, submit)| run.trace.claims(submit)[0].at_us);
    assert_eq!(given_up.collect::<Vec<_>>(), [30_000_000, 60_000_000]);
    assert!((10..40).contains(&starts(&run)), "{}", starts(&run));
}

#[test]
fn a_closure_that_stands_still_does_nothing_and_has_as_much_longer() {
    let faults = "[{name: sleep, when: {attempt: 1}, inject: {pause_client: {for: 20s, at: after_commit}}}, \
                  {name: hang, when: {attempt: 9}, inject: hang}]";
    let expect = "[failures_surface, client_timeout: {max: 4s}, no_lost_operations]";
    let scenario = scenario(faults, "operations: 1, deadline: 6s", expect);
    let run = in_virtual_time(&scenario, Memory::Outlives, Transport::Memory);
    let (_, submit) = run.trace.submits().next().expect("one was made");
    let claim = run.trace.final_claim(submit).expect("the client made a claim");
    assert!(claim.at_us >= 20_000_000, "{}", claim.at_us);
    let seen = verdicts(&scenario, &run);
    assert!(!seen.values().any(|one| *one == InvariantVerdict::Failed), "{seen:?}");
}
