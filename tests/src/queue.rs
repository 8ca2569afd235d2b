//! Workers of a queue as programs: a careful one holds, and each careless one is caught by what it breaks.

use std::ffi::OsString;

use crate::brownout::{effects, failed, python, run, verdict};

fn worker(bug: &[&str]) -> Vec<OsString> {
    let words = ["tests/clients/queue_worker.py"].iter().chain(bug);
    std::iter::once(python()).chain(words.map(OsString::from)).collect()
}

#[test]
fn a_careful_worker_holds_in_every_scenario() {
    for (name, operations) in
        [("calm", 10), ("lost-response", 6), ("redelivery", 12), ("poison-message", 8)]
    {
        let scenario = format!("scenarios/queue/{name}.yaml");
        let run = run(&[&scenario], &worker(&[]), &[]);
        assert_eq!(run.code, Some(0), "{}", run.printed);
        let entry = run.only();
        let failed = u64::from(name == "poison-message") * 2;
        assert_eq!(entry["operations"]["failed"], failed, "{}", run.printed);
        assert_eq!(entry["operations"]["succeeded"], operations - failed, "{}", run.printed);
        assert_eq!(effects(entry), operations - failed, "{}", run.printed);
    }
}

#[test]
fn each_careless_worker_is_caught() {
    for (bug, scenario, caught) in [
        ("receipt", "redelivery", "message_handled_once"),
        ("swallow", "poison-message", "poison_message_parked"),
        ("block", "poison-message", "poison_message_parked"),
    ] {
        let path = format!("scenarios/queue/{scenario}.yaml");
        let run = run(&[&path, "--no-control"], &worker(&[bug]), &[]);
        assert_eq!(run.code, Some(1), "{}", run.printed);
        assert_eq!(verdict(run.only(), caught), "failed", "{bug}: {}", run.printed);
        let others = failed(run.only());
        assert!(others.len() <= 5, "{bug}: {others:?}");
    }
}
