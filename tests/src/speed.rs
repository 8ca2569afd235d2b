//! `--speed`: real programs on a faster clock. Needs Python and libfaketime, which `tests/run` installs.
//!
//! **Invariant:** as in `cli`, nothing here knows how brownout works inside.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::brownout::{Run, failed, run, verdict};
use crate::cli::{brownout_in, refused};

/// A provider that asks for a wait once, in this spelling, and hangs once for another operation.
fn scenario(retry_after: &str) -> (tempfile::TempDir, String) {
    let text = format!(
        "version: 1
name: long-wait
seed: 7
provider: {{api: payments}}
faults:
  - name: busy
    when: {{route: create_charge, attempt: 1, operation: {{to: 3}}}}
    inject: {{rate_limited: {{retry_after: {retry_after}}}}}
  - name: silent
    when: {{route: create_charge, attempt: 1, operation: 4}}
    inject: {{hang: {{at: before_commit}}}}
workload:
  call: create_charge
  operations: 4
  concurrency: 4
  input: {{amount: 1999, currency: usd, order: \"order-{{{{ n }}}}\"}}
  deadline: 90s
expect: [honors_retry_after, no_lost_operations, no_double_charges, client_timeout: {{max: 1s}}]
"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.yaml");
    fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

/// The first of a few runs in which the machine was not too busy to judge a wait: what is said of waits in
/// the others is checked to be just that.
fn judged_at_speed(speed: &str, retry_after: &str, client: &str) -> (Run, Duration) {
    let mut last = None;
    for _ in 0..6 {
        let (run, took) = timed(|| at_speed(speed, retry_after, client));
        let all = run.only()["invariants"].as_array().expect("a list").clone();
        let waits = all.iter().find(|one| one["name"] == "honors_retry_after").expect("expected");
        if waits["verdict"] != "not_exercised" {
            return (run, took);
        }
        let why = waits["reason"].as_str().unwrap_or_default();
        assert!(why.contains("the machine was too busy for `--speed"), "{}", run.printed);
        last = Some((run, took));
    }
    last.expect("it ran")
}

fn at_speed(speed: &str, retry_after: &str, client: &str) -> Run {
    let (_folder, path) = scenario(retry_after);
    let client = format!("tests/clients/{client}");
    let command: Vec<OsString> = vec!["python3".into(), client.into()];
    run(&[&path, "--speed", speed], &command, &[])
}

/// How long the machine took.
#[expect(clippy::disallowed_methods, reason = "whether time is saved shows on the machine's clock")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}

#[test]
fn a_client_that_waits_twenty_seconds_costs_about_one_and_passes() {
    for hint in ["20s", "{http_date: 20s}"] {
        let (run, took) = judged_at_speed("20", hint, "careful.py");
        let entry = run.only();
        assert_eq!(
            (run.code, verdict(entry, "honors_retry_after")),
            (Some(0), "passed"),
            "{}",
            run.printed
        );
        assert_eq!(entry["control"], "passed", "{}", run.printed);
        let scenario_ms = entry["elapsed_ms"].as_u64().expect("a number");
        assert!(scenario_ms >= 19_000, "it waited: {}", run.printed);
        assert!(
            took < Duration::from_secs(19),
            "no wait took that long: {took:?}\n{}",
            run.printed
        );
        let again = entry["reproduce"].as_str().unwrap_or_default();
        assert!(again.contains("--speed 20"), "{again}");
    }
}

#[test]
fn a_client_that_lives_on_has_the_same_clock() {
    let (_folder, path) = scenario("20s");
    let command: Vec<OsString> = vec!["python3".into(), "tests/clients/careful_stdio.py".into()];
    let run = run(&[&path, "--speed", "20", "--mode", "stdio"], &command, &[]);
    assert_eq!(verdict(run.only(), "honors_retry_after"), "passed", "{}", run.printed);
    assert_eq!(run.code, Some(0), "{}", run.printed);
}

#[test]
fn a_client_that_sleeps_too_short_fails_on_a_faster_clock_too() {
    let (run, _) = judged_at_speed("4", "20s", "fixed_delay.py");
    assert_eq!(run.code, Some(1), "{}", run.printed);
    assert!(failed(run.only()).contains(&"honors_retry_after"), "{}", run.printed);
}

#[test]
fn what_takes_a_client_too_long_is_not_judged() {
    // It gives an answer up after two seconds, and the scenario allows one.
    let run = at_speed("10", "1s", "fixed_delay.py");
    let all = run.only()["invariants"].as_array().expect("a list");
    let bound = all.iter().find(|one| one["name"] == "client_timeout").expect("it is expected");
    assert_eq!(bound["verdict"], "not_exercised", "{}", run.printed);
    let why = bound["reason"].as_str().unwrap_or_default();
    assert!(why.contains("run it without `--speed`"), "{why}");
}

#[test]
fn a_trace_says_how_fast_its_clock_went() {
    let (folder, path) = scenario("20s");
    let out = folder.path().join("out");
    let out = out.to_str().expect("UTF-8");
    let root = crate::brownout::root();
    brownout_in(
        root,
        &[
            "run",
            &path,
            "--speed",
            "5",
            "--no-control",
            "--out",
            out,
            "--operations",
            "1",
            "--",
            "true",
        ],
    );
    let trace =
        fs::read_to_string(folder.path().join("out/long-wait/7/trace.jsonl")).expect("kept");
    let first: Value = serde_json::from_str(trace.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["clock"], &first["speed"]), (&"real".into(), &5.into()), "{first:#}");
}

#[test]
fn a_speed_that_cannot_be_had_is_refused_before_anything_runs() {
    let (folder, path) = scenario("20s");
    let root = crate::brownout::root();
    for speed in ["1", "31", "fast"] {
        let said = brownout_in(root, &["run", &path, "--speed", speed, "--", "true"]);
        refused(&said, 3, &["--speed <N>"]);
    }
    // The head of a program without a loader.
    let mut program = vec![0; 120];
    program[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (program[32], program[54], program[56], program[64]) = (64, 56, 1, 1);
    let client = folder.path().join("client");
    fs::write(&client, program).expect("written");
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).expect("changed");
    let client = client.to_str().expect("UTF-8");
    let said = brownout_in(root, &["run", &path, "--speed", "20", "--", client]);
    refused(&said, 4, &["linked statically", "leave out `--speed`"]);
    let mut command = crate::cli::command_in(root, &["run", &path, "--speed", "20", "--", "true"]);
    let output = command.env("BROWNOUT_LIBFAKETIME", "/no/such/file").output().expect("it starts");
    refused(&crate::cli::said(&output), 4, &["`BROWNOUT_LIBFAKETIME` names `/no/such/file`"]);
}
