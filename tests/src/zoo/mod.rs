//! The zoo: clients with one planted bug each, on top of a right one, and right clients of several styles.
//!
//! Each is run in virtual time through the same scenarios, in which everything that can be judged there is
//! expected. Clients that work with webhooks, messages, jobs, files and streams have keepers of their own.
//! **Invariant:** a broken client differs from a right one in one habit, and a right one is never accused.

pub(crate) mod animals;
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brownout::incident::client::caller::Caller;
use brownout::incident::habits::Habits;
use brownout::incident::registry;
use brownout::invariant::registry::INVARIANTS;
use brownout::run::{Client, RunOptions, run_main};
use brownout::scenario::{Apis, Overrides, Scenario, read};
use brownout::verdict::{InvariantVerdict, ScenarioResult};
use brownout_provider::event::ClockKind;
use brownout_provider::seed::Seed;

use self::animals::{BROKEN, RIGHT, Right};
use crate::brownout::root;

/// Faults of every kind, drawn for each request; keys are honoured.
const STORM: &str = include_str!("storm.yaml");

/// A provider that is down for everybody, again and again.
const OUTAGE: &str = include_str!("outage.yaml");

/// Refusals that say when to come back, and refusals for good.
const REFUSALS: &str = include_str!("refusals.yaml");

/// Two kinds of work, one of which hangs.
const ROOMS: &str = include_str!("rooms.yaml");

/// How many seeds each right client is run with, each in one of the scenarios by turns, unless `BROWNOUT_TEST_SEEDS` says another
/// number: `tests/run` asks for 1,000, and `tests/run --full` for 10,000.
const SEEDS: u64 = 100;

/// How many runs take place at once.
const THREADS: usize = 2;

/// So many operations of a right client are enough for each invariant to be put to the test.
const FEW: u64 = 20;

/// Invariants that no client here breaks and no incident, the file of a test that shows one failing, and the test.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("check", "harness/src/invariant/check/tests.rs", "what_is_counted_is_compared"),
    (
        "nothing_after_claim",
        "tests/src/clients.rs",
        "a_retry_that_outlives_its_claim_is_caught_wherever_there_is_one",
    ),
    ("webhook_acknowledged", "tests/src/hooks.rs", "each_careless_listener_is_caught"),
    ("rejects_bad_signatures", "tests/src/hooks.rs", "each_careless_listener_is_caught"),
    (
        "message_acknowledged",
        "tests/src/queue.rs",
        "a_message_that_is_never_deleted_is_somebodys_fault",
    ),
];

/// Who is accused of what, and the first run in which it was.
type Accused = BTreeMap<String, String>;

fn scenario(text: &str) -> Scenario {
    scenario_with(text, &Overrides::default())
}

fn scenario_with(text: &str, overrides: &Overrides) -> Scenario {
    let checked = read("zoo.yaml", text.as_bytes(), Apis::Beside(root()), overrides);
    checked.scenario.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

fn run(scenario: &Scenario, habits: Habits, seed: u64) -> ScenarioResult {
    let seed = Seed::new(seed).expect("a small number");
    let options = RunOptions {
        clock: ClockKind::Virtual,
        reconciler: Caller::reconciler(habits, seed),
        ..RunOptions::default()
    };
    let client = Client::InProcess(Arc::new(Caller::factory(habits, seed)));
    let ran = run_main(scenario, seed, &client, &options).expect("it runs");
    ran.judged(scenario, None, String::new())
}

/// The invariants that a client breaks over all scenarios and a few seeds.
fn broken_by(habits: Habits) -> BTreeSet<&'static str> {
    let results = [STORM, OUTAGE, REFUSALS, ROOMS]
        .into_iter()
        .map(scenario)
        .flat_map(|scenario| (1..=3).map(move |seed| run(&scenario, habits, seed)));
    results
        .flat_map(|result| result.invariants)
        .filter(|one| one.verdict == InvariantVerdict::Failed)
        .map(|one| one.name)
        .collect()
}

/// The rows of a broken client: what its bug is about, and each other invariant that it breaks, with the reason.
///
/// # Panics
///
/// Panics at an invariant for which no reason is given, and at a reason for one that holds.
fn row(
    name: &str,
    about: &[&str],
    also: &[(&str, &str)],
    broken: &BTreeSet<&'static str>,
) -> String {
    let others: BTreeSet<&str> =
        broken.iter().copied().filter(|one| !about.contains(one)).collect();
    let explained: BTreeSet<&str> = also.iter().map(|(one, _)| *one).collect();
    assert_eq!(others, explained, "{name}: what it breaks as well, and for what there is a reason");
    let mut rows = format!("{name}: {}\n", about.join(" "));
    for (one, reason) in also {
        writeln!(rows, "    and {one}: {reason}").expect("a string takes every line");
    }
    rows
}

#[test]
fn each_broken_client_breaks_what_its_bug_is_about() {
    let mut matrix = String::new();
    let mut missed = Vec::new();
    for animal in BROKEN {
        let broken = broken_by(animal.habits);
        let lost = animal.about.iter().filter(|name| !broken.contains(*name));
        missed.extend(lost.map(|name| format!("{}: {name} not among {broken:?}", animal.name)));
        matrix += &row(animal.name, animal.about, animal.also, &broken);
    }
    for right in RIGHT {
        let broken = broken_by(right.habits);
        let accused = broken.iter().filter(|name| !right.forgoes.contains(*name));
        missed.extend(accused.map(|name| format!("{}: accused of {name}", right.name)));
        let forgoes =
            if right.forgoes.is_empty() { "nothing".to_owned() } else { right.forgoes.join(" ") };
        writeln!(
            matrix,
            "right: {}\n    relies on {}; forgoes {forgoes}",
            right.name, right.relies_on
        )
        .expect("a string takes every line");
    }
    println!("{matrix}{} broken clients, {} missed", BROKEN.len(), missed.len());
    assert!(missed.is_empty(), "{missed:#?}");
    insta::assert_snapshot!("matrix", matrix);
}

/// How many seeds each right client is run with this time.
fn seeds() -> u64 {
    let said = std::env::var_os("BROWNOUT_TEST_SEEDS")
        .and_then(|text| text.into_string().ok()?.parse().ok());
    said.unwrap_or(SEEDS)
}

/// A right client in a scenario, with the seeds whose turn it is there.
type Turn<'a> = (&'a Right, &'a Scenario, Vec<u64>);

/// What the right clients are accused of, and by which run first.
fn accusations(next: &AtomicUsize, work: &[Turn<'_>]) -> Accused {
    let mut accused = Accused::new();
    while let Some((right, scenario, seeds)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
        for &seed in seeds {
            let result = run(scenario, right.habits, seed);
            let broken = result.invariants.iter().filter(|one| {
                one.verdict == InvariantVerdict::Failed && !right.forgoes.contains(&one.name)
            });
            for one in broken {
                let what = format!("{} {} {}", right.name, scenario.name, one.name);
                let first = one.violations.first().map(|it| it.message.clone());
                let first = first.unwrap_or_default();
                accused.entry(what).or_insert_with(|| format!("seed {seed}: {first}"));
            }
        }
    }
    accused
}

#[test]
fn right_clients_are_not_accused() {
    let seeds = seeds();
    let few = Overrides { operations: Some(FEW), ..Overrides::default() };
    let scenarios = [STORM, OUTAGE, REFUSALS, ROOMS].map(|text| scenario_with(text, &few));
    let every = scenarios.len();
    let turns = |right| {
        (1..).zip(&scenarios).map(move |(first, scenario)| {
            (right, scenario, (first..=seeds).step_by(every).collect::<Vec<u64>>())
        })
    };
    let work: Vec<Turn<'_>> = RIGHT.iter().flat_map(turns).collect();
    let next = AtomicUsize::new(0);
    let accused: Accused = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| accusations(&next, &work))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    });
    println!("{} right clients, {seeds} seeds each", RIGHT.len());
    assert!(accused.is_empty(), "{accused:#?}");
}

#[test]
fn every_invariant_has_a_client_that_breaks_it() {
    let mut broken: BTreeSet<&str> =
        BROKEN.iter().flat_map(|animal| animal.about.iter().copied()).collect();
    broken.extend(registry::all().flat_map(|incident| incident.caught_by.iter().copied()));
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, ..)| *name).collect();
    let bare: Vec<&str> = INVARIANTS
        .iter()
        .map(|kind| kind.name)
        .filter(|name| !broken.contains(name) && !elsewhere.contains(name))
        .collect();
    assert_eq!(bare, [""; 0], "no client breaks these");
    for (name, file, test) in ELSEWHERE {
        assert!(INVARIANTS.iter().any(|kind| kind.name == *name), "{name}");
        assert!(
            !broken.contains(name),
            "{name} is broken by a client of the zoo or of an incident"
        );
        let text = std::fs::read_to_string(root().join(file)).expect(file);
        let (_, test) = text.split_once(&format!("#[test]\nfn {test}()")).expect(test);
        let (code, _) = test.split_once("\n}\n").expect("it ends");
        // The tests of `check` are about nothing else.
        let is_named = *name == "check"
            || code.contains(&format!("\"{name}\""))
            || code.contains(&format!("[{name}]"));
        assert!(is_named && code.contains("failed"), "{file}: {code} shows no failure of {name}");
    }
}
