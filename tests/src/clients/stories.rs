//! The incidents that are programs too: both clients of each on the real clock, in the scenario of their story.
//!
//! **Invariant:** what a program must break is what the registry says of its incident, and nothing is said twice.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use brownout::incident::programs::{FOLDER, PROGRAMS, Program};
use brownout::incident::registry;

use crate::brownout::{Run, failed, python, root, run};

/// How many runs take place at once; they mostly wait.
const AT_ONCE: usize = 6;

/// Whether programs come back in one moment is decided by how busy the machine is, so this may or may not be broken.
const BY_LUCK: &str = "spreads_retries";

fn play(program: &Program, side: &str) -> Run {
    let scenario = format!("scenarios/incidents/{}.yaml", program.incident);
    let words: Vec<&str> = std::iter::once(&*scenario).chain(program.flags()).collect();
    let command: Vec<OsString> = vec![python(), program.file().into(), side.into()];
    run(&words, &command, &[])
}

/// What is wrong with one side of a program; nothing where it is as the registry says.
fn wrong(program: &Program, side: &str) -> Option<String> {
    let run = play(program, side);
    let entry = run.only();
    let broken: BTreeSet<&str> = failed(entry).into_iter().collect();
    let incident = registry::find(program.incident).expect("a program is that of an incident");
    let must: BTreeSet<&str> = incident.caught_by.iter().copied().collect();
    let may: BTreeSet<&str> =
        must.iter().copied().chain(incident.also.iter().map(|(name, _)| *name)).collect();
    let is_right = if side == "fixed" {
        run.code == Some(0) && entry["verdict"] == "passed" && entry["control"] == "passed"
    } else {
        let missed = must.difference(&broken).filter(|name| **name != BY_LUCK).count();
        run.code == Some(1) && missed == 0 && broken.is_subset(&may)
    };
    (!is_right).then(|| format!("{} {side}: {broken:?}\n{}", program.incident, run.printed))
}

#[test]
fn each_flawed_program_is_caught_and_each_fixed_one_survives_on_the_real_clock() {
    let work: Vec<(&Program, &str)> = ["flawed", "fixed"]
        .iter()
        .flat_map(|side| PROGRAMS.iter().map(move |it| (it, *side)))
        .collect();
    let next = AtomicUsize::new(0);
    let one_after_another = || {
        let mut told = String::new();
        while let Some((program, side)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(line) = wrong(program, side) {
                writeln!(told, "{line}").expect("a string takes every line");
            }
        }
        told
    };
    let told: String = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one_after_another)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    println!("{} incidents as programs, with both clients", PROGRAMS.len());
    assert!(told.is_empty(), "\n{told}");
}

#[test]
fn each_file_is_a_program_that_is_named() {
    let entries = root().join(FOLDER).read_dir().expect("the folder is there");
    let files: BTreeSet<String> = entries
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".py") && name != "story.py")
        .collect();
    let named: BTreeSet<String> =
        PROGRAMS.iter().map(|program| format!("{}.py", program.incident)).collect();
    assert_eq!(files, named);
}
