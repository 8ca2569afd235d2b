//! How long `brownout demo` takes from start to verdict, once it is built. The goal is one second.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use brownout_provider::shell::clock::Clock;
use support::{median, percentile};

/// How often it runs.
const ROUNDS: usize = 11;
/// The goal, in microseconds.
const GOAL_US: u64 = 1_000_000;

fn main() {
    let program = build();
    let clock = Clock::real();
    let times: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let out = tempfile::tempdir().expect("a folder for the traces");
            let start_us = clock.now_us();
            let status = Command::new(&program)
                .arg("demo")
                .current_dir(out.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("the program was just built");
            assert!(status.code().is_some_and(|code| code <= 1), "the demo ended with {status}");
            clock.now_us() - start_us
        })
        .collect();
    println!("brownout demo, from start to verdict, {ROUNDS} runs");
    println!(
        "  median {} ms, slowest {} ms",
        median(&times) / 1_000,
        percentile(&times, 100) / 1_000
    );
    let verdict = if median(&times) < GOAL_US { "reached" } else { "missed" };
    println!("  goal {} ms: {verdict}", GOAL_US / 1_000);
}

/// Builds the program as its users do, and says where it is.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "brownout", "--quiet"])
        .current_dir(root)
        .status()
        .expect("cargo runs this bench");
    assert!(status.success(), "`brownout` does not build");
    let bench = std::env::current_exe().expect("a bench has a path");
    let target = bench.ancestors().nth(3).expect("benches lie in TARGET/PROFILE/deps");
    target.join("release").join("brownout")
}
