//! The zoo's broken clients once more, as programs on the real clock: the same bugs in another language.
//!
//! **Invariant:** what a program must break is what the zoo says that its bug is about.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::brownout::{Run, failed, root, run};
use crate::zoo::animals::{BROKEN, Broken};

/// The program; it says by which names it goes.
const PROGRAM: &str = "tests/clients/zoo.mjs";

/// How many runs take place at once; they mostly wait.
const AT_ONCE: usize = 6;

/// A program comes back as soon as the machine lets it, so this may or may not be broken by one that does not wait.
const BY_LUCK: &str = "survives_bad_retry_after";

fn program(bug: &str, flags: &[&str]) -> Run {
    let words: Vec<&str> =
        ["tests/behaviour/zoo.yaml", "--mode", "stdio"].iter().chain(flags).copied().collect();
    let command = ["node", PROGRAM, bug].map(OsString::from);
    run(&words, &command, &[])
}

/// What a bug is about and its program does not break.
fn missed(animal: &Broken) -> Option<String> {
    let run = program(animal.name, &["--no-control"]);
    let broken: BTreeSet<&str> = failed(run.only()).into_iter().collect();
    let missed: Vec<&&str> =
        animal.about.iter().filter(|name| **name != BY_LUCK && !broken.contains(**name)).collect();
    (!missed.is_empty() || run.code != Some(1))
        .then(|| format!("{}: {missed:?} not among {broken:?}\n{}", animal.name, run.printed))
}

#[test]
fn the_broken_clients_of_the_zoo_are_caught_as_programs_too() {
    let file = std::fs::read_to_string(root().join(PROGRAM)).expect("the program is there");
    let is_there = |animal: &&Broken| file.contains(&format!("\n  \"{}\": {{", animal.name));
    let (animals, others): (Vec<&Broken>, Vec<&Broken>) = BROKEN.iter().partition(is_there);
    let next = AtomicUsize::new(0);
    let one_after_another = || {
        let mut told = String::new();
        while let Some(animal) = animals.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(line) = missed(animal) {
                writeln!(told, "{line}").expect("a string takes every line");
            }
        }
        told
    };
    let told: String = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one_after_another)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    let others: Vec<&str> = others.iter().map(|animal| animal.name).collect();
    println!("{} broken clients are programs too, and these are not: {others:?}", animals.len());
    assert!(told.is_empty(), "\n{told}");
    assert!(animals.len() >= 10, "at least ten of them are");
}

#[test]
fn the_same_program_without_a_bug_is_accused_of_nothing() {
    let run = program("nothing", &["--require-exercised"]);
    assert_eq!(run.code, Some(0), "{}", run.printed);
}
