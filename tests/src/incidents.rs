//! The incidents: each is replayed with the client that caused it, which is caught by what the registry says, and
//! with the one that survives it.
//!
//! **Invariant:** nothing here knows a story; all is read from the registry, so a new one is judged at once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use brownout::incident::registry::{all, find};
use brownout::incident::{Incident, Side};
use brownout::report::diagnostics;
use brownout::run::{RunOptions, run_control, run_main};
use brownout::scenario::shipped::SCENARIOS;
use brownout::scenario::{Apis, Overrides, Scenario, read};
use brownout::verdict::{InvariantVerdict, ScenarioResult};
use brownout_provider::event::ClockKind;
use brownout_provider::shell::clock::Clock;

use crate::brownout::root;
use crate::cli::{brownout, refused, run_in};

/// The scenario of an incident, and its text.
fn scenario(incident: &Incident) -> (Scenario, String) {
    let path = root().join(format!("scenarios/incidents/{}.yaml", incident.name));
    let text = fs::read_to_string(&path).expect("the scenario is there");
    let folder = path.parent().expect("it stands in a folder");
    let name = path.display().to_string();
    let checked = read(&name, text.as_bytes(), Apis::Beside(folder), &Overrides::default());
    let told = diagnostics::render_plain(&checked.source, &checked.diagnostics);
    (checked.scenario.expect(&told), text)
}

/// One of the clients through the scenario, after a run in fair weather.
fn judged(incident: &Incident, scenario: &Scenario, side: Side) -> Result<ScenarioResult, String> {
    let built = incident.client(side, scenario.seed);
    let options = RunOptions {
        clock: ClockKind::Virtual,
        reconciler: built.reconciler,
        ..RunOptions::default()
    };
    let control =
        run_control(scenario, &built.client, &options).map_err(|error| error.to_string())?;
    // A mistake may show in fair weather already; a remedy must work there.
    if side == Side::Fixed && !control.passed {
        return Err(format!("in fair weather: {:?}", control.reason));
    }
    let run = run_main(scenario, scenario.seed, &built.client, &options)
        .map_err(|error| error.to_string())?;
    Ok(run.judged(scenario, Some(control), String::new()))
}

/// What is wrong with an incident; nothing where it is as the registry says.
fn wrong(incident: &Incident) -> Vec<String> {
    let (scenario, _) = scenario(incident);
    let mut wrong = Vec::new();
    match judged(incident, &scenario, Side::Fixed) {
        Err(error) => wrong.push(format!("fixed: {error}")),
        Ok(result) => {
            for one in result.invariants.iter().filter(|it| it.verdict != InvariantVerdict::Passed)
            {
                let reason = one.reason.clone().unwrap_or_default();
                let first = one.violations.first().map(|it| it.message.clone()).unwrap_or_default();
                wrong.push(format!("fixed: `{}` {:?} {reason}{first}", one.name, one.verdict));
            }
        }
    }
    if incident.held() {
        return wrong;
    }
    let expected: BTreeSet<&str> = incident
        .caught_by
        .iter()
        .copied()
        .chain(incident.also.iter().map(|(name, _)| *name))
        .collect();
    match judged(incident, &scenario, Side::Flawed) {
        Err(error) => wrong.push(format!("flawed: {error}")),
        Ok(result) => {
            let broken: BTreeSet<&str> = result
                .invariants
                .iter()
                .filter(|it| it.verdict == InvariantVerdict::Failed)
                .map(|it| it.name)
                .collect();
            if broken != expected {
                wrong.push(format!("flawed: broke {broken:?} and not {expected:?}"));
            }
        }
    }
    wrong
}

#[test]
fn each_flawed_client_is_caught_and_each_fixed_one_survives() {
    let clock = Clock::real();
    let incidents: Vec<&Incident> = match std::env::var_os("BROWNOUT_TEST_INCIDENT") {
        Some(name) => all().filter(|one| name == one.name).collect(),
        None => all().collect(),
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut told = String::new();
        while let Some(incident) = incidents.get(next.fetch_add(1, Ordering::Relaxed)) {
            told.push_str(&tell(incident));
        }
        told
    };
    let told: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    let took = Duration::from_micros(clock.now_us());
    println!("{} incidents with both clients in {} ms", incidents.len(), took.as_millis());
    let told = told.concat();
    assert!(told.is_empty(), "\n{told}");
}

fn tell(incident: &Incident) -> String {
    let mut text = String::new();
    for line in wrong(incident) {
        writeln!(text, "{}: {line}", incident.name).expect("a string takes every line");
    }
    text
}

#[test]
fn each_incident_has_a_scenario_and_each_scenario_there_an_incident() {
    let shipped = SCENARIOS.iter().filter(|one| one.path.starts_with("incidents/"));
    let shipped: BTreeSet<(String, String)> =
        shipped.map(|one| (one.path.to_owned(), one.name().to_owned())).collect();
    let told: BTreeSet<(String, String)> =
        all().map(|one| (format!("incidents/{}.yaml", one.name), one.name.to_owned())).collect();
    assert_eq!(shipped, told);
    assert_eq!(told.len(), all().count(), "each name once");
}

#[test]
fn each_scenario_begins_with_its_claim_and_expects_what_catches_the_flawed_client() {
    for incident in all() {
        let (scenario, text) = scenario(incident);
        assert!(text.starts_with("# Claim: "), "{}", incident.name);
        for tag in [incident.family.tag(), "incident"] {
            assert!(scenario.tags.iter().any(|one| one == tag), "{}: {tag}", incident.name);
        }
        assert_eq!(incident.held(), scenario.tags.iter().any(|one| one == "held"));
        assert_eq!(incident.held(), incident.caught_by.is_empty(), "{}", incident.name);
        let all_of_them =
            incident.caught_by.iter().chain(incident.also.iter().map(|(name, _)| name));
        for name in all_of_them {
            let expected = scenario.expect.iter().any(|one| one.name == *name);
            assert!(expected, "{} does not expect `{name}`", incident.name);
        }
    }
}

#[test]
fn both_clients_are_run_by_a_word_of_the_command_line() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let caught = run_in(dir.path(), &["optional-key", "--client", "flawed"]);
    assert_eq!(caught.code, Some(1), "{}", caught.err);
    assert!(caught.out.contains("idempotency_key_present  failed"), "{}", caught.out);
    assert!(caught.out.contains("optional-key.yaml --client flawed --seed 31"), "{}", caught.out);
    let passed = run_in(dir.path(), &["optional-key", "--client", "fixed"]);
    assert_eq!(passed.code, Some(0), "{}", passed.err);
    let held = run_in(dir.path(), &["backoff-ladder", "--client", "flawed"]);
    assert_eq!(held.code, Some(0), "{}", held.err);
    assert!(held.out.contains("nothing went wrong in this story"), "{}", held.out);
}

#[test]
fn a_built_in_client_is_for_incidents_and_takes_the_place_of_a_command() {
    let no_client = ["`payments-calm` is no incident", "`brownout list incidents`"];
    refused(&brownout(&["run", "payments-calm", "--client", "fixed"]), 3, &no_client);
    let two = brownout(&["run", "optional-key", "--client", "fixed", "--", "true"]);
    refused(&two, 3, &["a COMMAND is another one", "leave one of them out"]);
    let told = brownout(&["explain", "optional-key"]).out;
    for part in ["- **The mistake:**", "`no_double_charges`", "--client flawed", "--client fixed"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(find("payments-calm").is_none());
}
