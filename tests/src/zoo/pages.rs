//! Services that show pages of what a provider knows: with one planted bug each, and right ones.
//!
//! **Invariant:** a broken service differs from a right one in one habit, and a right one is never accused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brownout::incident::client::pages::{InBadTimes, Pages, Shows};
use brownout::run::{Client, RunOptions, run_main};
use brownout::scenario::Scenario;
use brownout::verdict::{InvariantVerdict, ScenarioResult};
use brownout_provider::event::ClockKind;
use brownout_provider::seed::Seed;

use super::animals::Reasons;
use super::{row, scenario, seeds};

/// Pages that are asked for again and again, payments that change them, and a minute without the provider.
const PAGES: &str = include_str!("pages.yaml");

/// Keeps for ten seconds what it was told, drops what a payment changes, and says what is old.
const RIGHT: Shows =
    Shows { keeps: Some(Duration::from_secs(10)), drops: true, in_bad_times: InBadTimes::Admits };

/// What each broken service is, the one invariant that its bug is about, what else it breaks and why, and its habits.
const BROKEN: &[(&str, &str, Reasons, Shows)] = &[
    ("keeps nothing", "reads_cached", &[], Shows { keeps: None, ..RIGHT }),
    ("keeps what a payment has changed", "reads_cached", &[], Shows { drops: false, ..RIGHT }),
    (
        "shows an error",
        "degrades_gracefully",
        &[],
        Shows { in_bad_times: InBadTimes::Error, ..RIGHT },
    ),
    (
        "shows what is old as if it were new",
        "degrades_gracefully",
        &[("failures_surface", "that the provider is down is told to nobody")],
        Shows { in_bad_times: InBadTimes::Pretends, ..RIGHT },
    ),
];

fn run(scenario: &Scenario, habits: Shows, seed: u64) -> ScenarioResult {
    let seed = Seed::new(seed).expect("a small number");
    let options = RunOptions { clock: ClockKind::Virtual, ..RunOptions::default() };
    let client = Client::ServiceInProcess(Arc::new(Pages(habits)));
    let ran = run_main(scenario, seed, &client, &options).expect("it runs");
    ran.judged(scenario, None, String::new())
}

#[test]
fn each_broken_service_breaks_what_its_bug_is_about() {
    let scenario = scenario(PAGES);
    let mut matrix = String::new();
    for (name, about, also, habits) in BROKEN {
        let broken: BTreeSet<&str> = (1..=3)
            .flat_map(|seed| run(&scenario, *habits, seed).invariants)
            .filter(|one| one.verdict == InvariantVerdict::Failed)
            .map(|one| one.name)
            .collect();
        assert!(broken.contains(about), "{name}: {about} not among {broken:?}");
        matrix += &row(name, &[about], also, &broken);
    }
    println!("{matrix}{} broken services, none missed", BROKEN.len());
    insta::assert_snapshot!("pages", matrix);
}

#[test]
fn right_services_are_not_accused() {
    let scenario = scenario(PAGES);
    let longer = Shows { keeps: Some(Duration::from_secs(60)), ..RIGHT };
    let mut accused: BTreeMap<String, String> = BTreeMap::new();
    let mut exercised = BTreeSet::new();
    for (name, right) in [("keeps for ten seconds", RIGHT), ("keeps for a minute", longer)] {
        for seed in 1..=seeds() {
            for one in run(&scenario, right, seed).invariants {
                if one.verdict == InvariantVerdict::Passed {
                    exercised.insert(one.name);
                }
                if one.verdict == InvariantVerdict::Failed {
                    let first = one.violations.first().map(|it| it.message.clone());
                    accused
                        .entry(format!("{name} {}", one.name))
                        .or_insert_with(|| format!("seed {seed}: {}", first.unwrap_or_default()));
                }
            }
        }
    }
    assert!(accused.is_empty(), "{accused:#?}");
    for name in ["reads_cached", "degrades_gracefully"] {
        assert!(exercised.contains(name), "{name} was never put to the test");
    }
}
