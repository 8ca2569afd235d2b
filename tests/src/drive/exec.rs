//! Exec mode: exit codes, outcome lines, the environment, the cut to 25 operations.

use std::time::Duration;

use brownout::scenario::Submits;
use brownout_provider::event::Mode;

use super::{drive, scenario, shell};
use crate::brownout::{python, root};

fn claims(script: &str) -> Vec<String> {
    drive(&scenario(1), Mode::Exec, shell(script)).expect("it runs").claims()
}

#[test]
fn the_exit_code_is_the_claim() {
    let table = [
        ("exit 0", "succeeded client: exit code 0"),
        ("exit 75", "unknown client: exit code 75"),
        ("exit 1", "failed client: exit code 1"),
        ("exit 255", "failed client: exit code 255"),
        ("exit 137", "unknown driver: signal 9; no outcome line"),
        ("kill -TERM $$", "unknown driver: signal 15; no outcome line"),
    ];
    for (script, claim) in table {
        assert_eq!(claims(script), [format!("op-0001.1 {claim}")], "{script}");
    }
}

#[test]
fn a_last_line_overrides_the_exit_code_but_no_signal() {
    let outcome = r#"BROWNOUT_OUTCOME {"outcome":"failed","detail":"declined"}"#;
    let last = format!("echo working; echo '{outcome}'; echo >&2 bye; exit 0");
    assert_eq!(claims(&last), ["op-0001.1 failed client: declined"]);
    let earlier = format!("echo '{outcome}'; echo done; exit 0");
    let driven = drive(&scenario(1), Mode::Exec, shell(&earlier)).expect("it runs");
    assert_eq!(driven.claims(), ["op-0001.1 succeeded client: exit code 0"]);
    assert_eq!(driven.output("stdout"), [outcome, "done"]);
    let killed = format!("echo '{outcome}'; kill -KILL $$");
    assert_eq!(claims(&killed), ["op-0001.1 unknown driver: signal 9; an outcome line was seen"]);
}

#[test]
fn a_program_finds_its_operation_in_its_environment() {
    let script = r#"
        test "$BROWNOUT_URL" = "${BROWNOUT_URL%/*}/~op-0001.1" || exit 10
        case "$BROWNOUT_OPERATION" in *'"order":"order-1"'*"$BROWNOUT_URL"*) ;; *) exit 11;; esac
        test "$BROWNOUT_OPERATION_ID $BROWNOUT_SEED $BROWNOUT_CLIENT $BROWNOUT_SCALE" = "op-0001 42 1 1" || exit 12
        test -d "$BROWNOUT_STATE_DIR" && test -z "$(ls -A "$BROWNOUT_STATE_DIR")" || exit 13
        for proxy in "$HTTP_PROXY" "$https_proxy" "$ALL_PROXY" "$all_proxy"; do
            case "$proxy" in http://127.0.0.1:*) ;; *) exit 14;; esac
        done
        test "$NO_PROXY $no_proxy" = "127.0.0.1,localhost,::1 127.0.0.1,localhost,::1" || exit 15
        test -n "$BROWNOUT_API_KEY" && test "$NODE_USE_ENV_PROXY" = 1 || exit 16
        read line && exit 17
        exit 0"#;
    assert_eq!(claims(script), ["op-0001.1 succeeded client: exit code 0"]);
}

#[test]
fn the_clock_of_an_operation_starts_with_the_first_request_of_its_program() {
    let call = root().join("tests/clients/one_call.sh");
    let call = call.to_str().expect("the clone's path is text");
    let mut scenario = scenario(1);
    scenario.workload.deadline = Duration::from_secs(1);
    // Longer than the deadline, and shorter than the three that a start may take.
    let slow = drive(&scenario, Mode::Exec, shell(&format!("sleep 1.1; exec {call}")));
    let slow = slow.expect("it runs");
    assert_eq!(slow.claims(), ["op-0001.1 succeeded client: exit code 0"]);
    let hangs = drive(&scenario, Mode::Exec, shell(&format!("{call}; exec sleep 600")));
    let hangs = hangs.expect("it runs");
    assert_eq!(hangs.claims(), ["op-0001.1 unknown driver: deadline; no outcome line"]);
}

#[test]
fn the_state_folder_is_kept_within_a_run_and_gone_after_it() {
    let script = r#"echo "$BROWNOUT_OPERATION_ID" >> "$BROWNOUT_STATE_DIR/seen"; cat "$BROWNOUT_STATE_DIR/seen"; echo "$BROWNOUT_STATE_DIR" >&2"#;
    let driven = drive(&scenario(2), Mode::Exec, shell(script)).expect("it runs");
    assert_eq!(driven.output("stdout"), ["op-0001", "op-0001", "op-0002"]);
    assert!(!std::path::Path::new(driven.output("stderr")[0]).exists());
}

#[test]
fn only_25_operations_run_unless_the_scenario_says_more() {
    let mut scenario = scenario(26);
    scenario.workload.concurrency = 8;
    let driven = drive(&scenario, Mode::Exec, shell("true")).expect("it runs");
    assert_eq!(driven.submitted(), 25);
    assert!(driven.run.notes[0].contains("25 of 26"), "{:?}", driven.run.notes);
    scenario.workload.exec_operations = Some(26);
    let driven = drive(&scenario, Mode::Exec, shell("true")).expect("it runs");
    assert_eq!(driven.submitted(), 26);
    assert!(driven.run.notes.is_empty(), "{:?}", driven.run.notes);
}

#[test]
fn a_double_click_is_two_programs_with_tokens_of_their_own() {
    let mut scenario = scenario(1);
    scenario.workload.submits = Submits { times: 2, apart: Duration::ZERO };
    let script = r#"echo "${BROWNOUT_URL##*/}""#;
    let driven = drive(&scenario, Mode::Exec, shell(script)).expect("it runs");
    let mut tokens = driven.output("stdout");
    tokens.sort_unstable();
    assert_eq!(tokens, ["~op-0001.1", "~op-0001.2"]);
    assert_eq!(driven.claims().len(), 2);
}

#[test]
fn nobody_is_asked_to_clear_up_while_the_provider_is_down() {
    let script = r#"
import os, sys, urllib.request
request = urllib.request.Request(os.environ["BROWNOUT_URL"] + "/v1/limits")
request.add_header("Authorization", "Bearer " + os.environ["BROWNOUT_API_KEY"])
try:
    urllib.request.urlopen(request, timeout=5)
except OSError:
    sys.exit(75)
"#;
    let scenario = crate::several::scenario(
        "version: 1\nname: storm\nprovider: {api: payments}\n\
         faults: [{name: down, when: {during: {from: 0s, to: 4s}}, inject: {status: {code: 503}}}]\n\
         workload: {call: get_limits, operations: 2, concurrency: 1}\nexpect: [{reconciled: {within: 20s}}]\n",
    );
    let python = python().into_string().expect("a path that can be written");
    let command = vec![python, "-c".to_owned(), script.to_owned()];
    let driven = drive(&scenario, Mode::Exec, command).expect("it runs");
    assert_eq!(
        driven.claims(),
        [
            "op-0001.1 unknown client: exit code 75",
            "op-0002.1 unknown client: exit code 75",
            "op-0001.1 succeeded client: exit code 0",
            "op-0002.1 succeeded client: exit code 0",
        ]
    );
    let judgement = scenario.expect[0].invariant.check(&driven.run.trace);
    assert_eq!((judgement.exercised, judgement.violations.len()), (2, 0));
}

#[test]
fn what_is_unknown_is_asked_for_once_more_where_that_is_expected() {
    let script = r#"case "$BROWNOUT_PHASE-$BROWNOUT_OPERATION_ID" in
        reconcile-op-0001) echo 'BROWNOUT_OUTCOME {"outcome":"failed","detail":"it never arrived"}';;
        reconcile-*) exit 75;;
        -op-0003) exit 0;;
        *) exit 75;;
    esac"#;
    let unasked = drive(&scenario(3), Mode::Exec, shell(script)).expect("it runs");
    assert_eq!(unasked.claims().len(), 3);
    let scenario = crate::several::scenario(
        "version: 1\nname: doubts\nprovider: {api: payments}\n\
         workload: {call: create_charge, operations: 3}\nexpect: [{reconciled: {within: 20s}}]\n",
    );
    let driven = drive(&scenario, Mode::Exec, shell(script)).expect("it runs");
    assert_eq!(
        driven.claims(),
        [
            "op-0001.1 unknown client: exit code 75",
            "op-0002.1 unknown client: exit code 75",
            "op-0003.1 succeeded client: exit code 0",
            "op-0001.1 failed client: it never arrived",
        ]
    );
    let judgement = scenario.expect[0].invariant.check(&driven.run.trace);
    assert_eq!(judgement.violations.len(), 1, "op-0002 stays unknown");
}
