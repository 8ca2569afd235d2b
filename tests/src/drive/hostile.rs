//! Clients that fork, flood, refuse to end, and lie: none holds up the harness or outlives its run.

use std::time::Duration;

use brownout::run::{Client, RunError, RunOptions, run_main};
use brownout::scenario::input_of;
use brownout_provider::event::{EventKind, Mode};
use serde_json::json;

use super::{Beacon, drive, hostile, scenario, shell};

#[test]
fn what_escaped_in_a_session_of_its_own_is_ended_with_the_run() {
    let beacon = Beacon::new();
    let command = hostile("escapes.py", &[beacon.port()]);
    let driven = drive(&scenario(1), Mode::Exec, command).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 succeeded client: exit code 0"]);
    beacon.lit().goes_out();
}

#[test]
fn a_client_that_hangs_is_ended_at_its_deadline() {
    let mut scenario = scenario(1);
    scenario.workload.deadline = Duration::from_millis(300);
    let driven = drive(&scenario, Mode::Exec, shell("exec sleep 600")).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 unknown driver: deadline; no outcome line"]);
    let killed = driven.events.iter().find_map(|event| {
        let EventKind::ClientEnded(ended) = &event.kind else { return None };
        Some((ended.signal, ended.killed))
    });
    assert_eq!(killed, Some((Some(15), true)));
}

#[test]
fn a_client_that_closes_its_input_and_works_on_keeps_what_it_has() {
    let mut scenario = scenario(2);
    scenario.workload.deadline = Duration::from_secs(20);
    // The harness finds the input closed when it wants to hand over the second operation.
    let script = r#"read -r first; exec <&-
        echo '{"id":"op-0001","outcome":"unknown"}'; exec sleep 600"#;
    let driven = drive(&scenario, Mode::Stdio, shell(script)).expect("it runs");
    assert_eq!(
        driven.claims(),
        [
            "op-0001.1 unknown client:",
            "op-0002.1 unknown driver: the client has closed its standard input"
        ]
    );
}

#[test]
fn a_flood_is_bounded_and_does_not_drown_the_claim() {
    let driven = drive(&scenario(1), Mode::Stdio, hostile("floods.py", &[])).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 succeeded client: after the flood"]);
    let kept: usize =
        ["stdout", "stderr"].iter().flat_map(|s| driven.output(s)).map(str::len).sum();
    assert!(kept <= 2 * 1024 * 1024, "{kept} bytes were kept");
    let note = driven.output("brownout");
    assert_eq!(note.len(), 1);
    assert!(note[0].ends_with("were not kept"), "{}", note[0]);
}

#[test]
fn who_writes_without_end_is_late_like_anybody_else() {
    let mut scenario = scenario(1);
    scenario.workload.deadline = Duration::from_millis(300);
    let driven = drive(&scenario, Mode::Exec, shell("exec yes")).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 unknown driver: deadline; no outcome line"]);
    let driven = drive(&scenario, Mode::Stdio, shell("read line; exec yes")).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 unknown driver: deadline"]);
}

#[test]
fn garbage_is_kept_as_output_and_claims_are_final() {
    let mut scenario = scenario(2);
    scenario.workload.concurrency = 2;
    let driven = drive(&scenario, Mode::Stdio, hostile("garbage.py", &[])).expect("it runs");
    assert_eq!(
        driven.claims(),
        [
            "op-0001.1 unknown client: timed out",
            "op-0001.1 failed client: looked it up",
            "op-0002.1 succeeded client: {\"odd\":true}",
        ]
    );
    let output = driven.output("stdout");
    assert_eq!(output[0], "\u{fffd}\u{fffd} café \0");
    let op_9999 = r#"{"id": "op-9999", "outcome": "succeeded"}"#;
    assert!(output.contains(&op_9999), "{output:?}");
    assert!(output.iter().any(|line| line.contains("changed my mind")), "{output:?}");
    assert_eq!(output.len(), 10, "{output:?}");
}

#[test]
fn what_an_early_exit_leaves_behind_is_on_record_as_silent() {
    let driven = drive(&scenario(3), Mode::Stdio, hostile("exits_early.sh", &[])).expect("it runs");
    assert_eq!(
        driven.claims(),
        [
            "op-0001.1 succeeded client:",
            "op-0002.1 unknown driver: exited with code 3",
            "op-0003.1 unknown driver: exited with code 3",
        ]
    );
    assert_eq!(driven.submitted(), 3);
}

#[test]
fn a_client_that_dies_of_a_signal_makes_no_claim() {
    let script = "read line; kill -9 $$";
    let driven = drive(&scenario(1), Mode::Stdio, shell(script)).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 unknown driver: signal 9"]);
}

#[test]
fn a_client_that_never_reads_is_left_behind() {
    let mut scenario = scenario(3);
    scenario.workload.deadline = Duration::from_millis(200);
    // More than any pipe takes at once.
    scenario.workload.input =
        input_of(&json!({"order": "x".repeat(200_000)})).expect("no template");
    let driven = drive(&scenario, Mode::Stdio, hostile("never_reads.sh", &[])).expect("it runs");
    let unread = "unknown driver: the client does not read its standard input";
    let claims = driven.claims();
    assert_eq!(claims.len(), 3);
    assert!(claims.iter().all(|claim| claim.ends_with(unread)), "{claims:?}");
}

#[test]
fn a_late_operation_is_silent_and_ends_nothing_but_itself() {
    let mut scenario = scenario(2);
    scenario.workload.deadline = Duration::from_secs(2);
    // Answers the first operation only when it has got the second, which is too late.
    let script = r#"
        read first; read second
        echo '{"id":"op-0001","outcome":"succeeded"}'
        echo '{"id":"op-0002","outcome":"succeeded"}'
        cat"#;
    let driven = drive(&scenario, Mode::Stdio, shell(script)).expect("it runs");
    assert_eq!(
        driven.claims(),
        ["op-0001.1 unknown driver: deadline", "op-0002.1 succeeded client:"]
    );
    assert_eq!(driven.output("stdout"), [r#"{"id":"op-0001","outcome":"succeeded"}"#]);
}

#[test]
fn a_program_that_never_calls_the_mock_leaves_a_trace_without_requests() {
    let driven = drive(&scenario(2), Mode::Exec, shell("exit 0")).expect("it runs");
    assert_eq!(driven.claims().len(), 2);
    assert_eq!(driven.run.trace.requests().count(), 0);
    assert_eq!(driven.reason(), "completed");
}

#[test]
fn secrets_leave_marks_in_output_and_in_details() {
    let driven = drive(&scenario(1), Mode::Stdio, hostile("leaks.py", &[])).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 failed client: 401 for ⟦secret:api_key:plain⟧"]);
    assert_eq!(
        driven.output("stdout"),
        ["key ⟦secret:api_key:plain⟧", "⟦secret:api_key:url⟧", "⟦secret:api_key:json⟧"]
    );
    let stderr = driven.output("stderr");
    assert!(stderr[0].ends_with("⟦secret:api_key:base64⟧"), "{stderr:?}");
}

#[test]
fn a_call_past_the_mock_ends_in_the_trap() {
    let mut scenario = scenario(1);
    for spec in scenario.providers.values_mut() {
        let api = std::sync::Arc::make_mut(&mut spec.api);
        api.hosts = vec!["api.payments.example".to_owned()];
    }
    let urls = ["http://api.payments.example/v1/charges", "https://other.example:8443/"];
    let command = hostile("strays.py", &urls.map(str::to_owned));
    let driven = drive(&scenario, Mode::Stdio, command).expect("it runs");
    let strays: Vec<_> = driven
        .events
        .iter()
        .filter_map(|event| {
            let EventKind::StrayRequest(stray) = &event.kind else { return None };
            Some((stray.host.as_str(), stray.port, stray.named, stray.allowed))
        })
        .collect();
    let expected =
        [("api.payments.example", 80, true, false), ("other.example", 8443, false, false)];
    assert_eq!(strays, expected);
    let claim = &driven.claims()[0];
    assert!(claim.contains("--allow-network api.payments.example"), "{claim}");
}

#[test]
fn a_command_that_cannot_start_is_an_error_with_a_cure() {
    let plain = tempfile::NamedTempFile::new().expect("a temporary file");
    let plain = plain.path().to_str().expect("text").to_owned();
    for (command, cure) in
        [("no-such-command-anywhere".to_owned(), "check the spelling"), (plain, "chmod +x")]
    {
        for mode in [Mode::Stdio, Mode::Exec, Mode::Suite] {
            let error = drive(&scenario(1), mode, vec![command.clone()]).err().expect("no start");
            assert!(matches!(error, RunError::Spawn { .. }), "{error}");
            assert_eq!(error.exit_code(), 4);
            assert!(error.to_string().contains(cure), "{error}");
        }
    }
}

#[test]
fn a_full_disk_ends_the_run_with_a_clear_sentence() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink("/dev/full", dir.path().join("trace.jsonl")).expect("a link");
    let options = RunOptions { dir: Some(dir.path().to_owned()), ..RunOptions::default() };
    let client = Client::Process { mode: Mode::Exec, command: shell("sleep 600") };
    let scenario = scenario(1);
    let error =
        run_main(&scenario, scenario.seed, &client, &options).expect_err("the disk is full");
    assert_eq!(error.exit_code(), 4);
    let words = error.to_string();
    assert!(words.contains("No space left") && words.contains("make room"), "{words}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_with_a_cure() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let options = RunOptions { dir: Some(file.path().join("below")), ..RunOptions::default() };
    let client = Client::Process { mode: Mode::Exec, command: shell("true") };
    let scenario = scenario(1);
    let error = run_main(&scenario, scenario.seed, &client, &options).expect_err("a file is there");
    assert!(matches!(error, RunError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("--out"), "{error}");
}
