//! Stdio mode against clients that behave: the ready-made loop, concurrency, the end of input.

use brownout::run::{Client, RunOptions, run_control};
use brownout_provider::event::{EventKind, Mode};

use super::{drive, scenario, shell};
use crate::brownout::root;

/// A program that is driven by the ready-made loop; `body` is its handler.
fn looped(body: &str) -> Vec<String> {
    let loops = root().join("harness/loops");
    let program = format!(
        "import sys, json, urllib.request\nsys.path.insert(0, {:?})\nfrom brownout_stdio import serve, Unknown\ndef handler(operation):\n{body}\nserve(handler)\n",
        loops.to_str().expect("text"),
    );
    vec!["python3".to_owned(), "-c".to_owned(), program]
}

/// A handler that makes one charge, as its operation says.
const CHARGE: &str = r#"    request = urllib.request.Request(operation["url"] + "/v1/charges",
        data=json.dumps(operation["input"]).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": operation["id"],
                 "Authorization": "Bearer " + operation["api_key"]})
    return json.load(urllib.request.urlopen(request, timeout=10))["status"]"#;

#[test]
fn the_ready_made_loop_turns_returns_and_exceptions_into_claims() {
    let mut scenario = scenario(3);
    scenario.workload.concurrency = 3;
    let body = r#"    sys.stdout.write("a stray line\n")
    if operation["n"] == 2: raise Unknown("timed out")
    if operation["n"] == 3: raise ValueError("declined")"#;
    let driven = drive(&scenario, Mode::Stdio, looped(body)).expect("it runs");
    let mut claims = driven.claims();
    claims.sort_unstable();
    assert_eq!(
        claims,
        [
            "op-0001.1 succeeded client:",
            "op-0002.1 unknown client: timed out",
            "op-0003.1 failed client: ValueError: declined",
        ]
    );
    assert_eq!(driven.output("stderr"), ["a stray line"; 3]);
    assert!(driven.output("stdout").is_empty());
}

#[test]
fn both_loops_hand_on_which_provider_did_the_work() {
    let node = format!(
        "import {{ serve }} from {:?};\nserve(() => ({{ provider: \"provider\", detail: \"done\" }}));\n",
        root().join("harness/loops/brownout_stdio.mjs").to_str().expect("text"),
    );
    let node = ["node", "--input-type=module", "-e", &node].map(str::to_owned).to_vec();
    let python = looped(r#"    return {"provider": "provider", "detail": "done"}"#);
    for client in [python, node] {
        let driven = drive(&scenario(1), Mode::Stdio, client).expect("it runs");
        let finished = driven.events.iter().find_map(|event| {
            let EventKind::OperationFinished(finished) = &event.kind else { return None };
            Some((finished.provider.as_deref(), finished.detail.as_str()))
        });
        assert_eq!(finished, Some((Some("provider"), "done")), "{:?}", driven.claims());
    }
}

#[test]
fn a_charge_is_on_the_wire_in_the_ledger_and_claimed() {
    let mut scenario = scenario(6);
    scenario.workload.concurrency = 4;
    let driven = drive(&scenario, Mode::Stdio, looped(CHARGE)).expect("it runs");
    let claims = driven.claims();
    assert_eq!(claims.len(), 6);
    assert!(claims.iter().all(|claim| claim.ends_with("client: succeeded")), "{claims:?}");
    let mut effects: Vec<_> = driven
        .events
        .iter()
        .filter_map(|event| {
            let EventKind::EffectCommitted(effect) = &event.kind else { return None };
            Some(effect.operation.as_ref())
        })
        .collect();
    effects.sort_unstable();
    assert_eq!(effects, ["op-0001", "op-0002", "op-0003", "op-0004", "op-0005", "op-0006"]);
    assert_eq!(driven.reason(), "completed");
}

#[test]
fn concurrency_one_means_one_outstanding() {
    // Each answer names how many lines were waiting: none, when operations come one by one.
    let script = r#"while read -r line; do
        id=$(printf %s "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
        echo "{\"id\":\"$id\",\"outcome\":\"succeeded\"}"
    done"#;
    let driven = drive(&scenario(5), Mode::Stdio, shell(script)).expect("it runs");
    let order: Vec<&str> = driven
        .events
        .iter()
        .filter_map(|event| {
            if let EventKind::OperationSubmitted(_) = event.kind {
                return Some("submitted");
            }
            matches!(event.kind, EventKind::OperationFinished(_)).then_some("finished")
        })
        .collect();
    assert_eq!(order, ["submitted", "finished"].repeat(5));
}

#[test]
fn a_control_run_is_made_of_five_operations_with_numbers_of_their_own() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = RunOptions { dir: Some(dir.path().to_owned()), ..RunOptions::default() };
    let client = Client::Process { mode: Mode::Stdio, command: looped(CHARGE) };
    let control = run_control(&scenario(20), &client, &options).expect("it runs");
    assert!(control.passed, "{:?}", control.reason);
    let text = std::fs::read_to_string(dir.path().join("control.jsonl")).expect("it is there");
    let numbers: Vec<(u64, String)> = super::events(&text)
        .into_iter()
        .filter_map(|event| {
            let EventKind::OperationSubmitted(one) = event.kind else { return None };
            Some((one.n, one.input["order"].as_str().expect("text").to_owned()))
        })
        .collect();
    let expected: Vec<_> = (1_000_001..=1_000_005_u64).map(|n| (n, format!("order-{n}"))).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn a_client_that_fails_in_fair_weather_fails_the_control_run() {
    let client = Client::Process {
        mode: Mode::Stdio,
        command: looped(r#"    raise ValueError("no such host")"#),
    };
    let control = run_control(&scenario(2), &client, &RunOptions::default()).expect("it runs");
    assert!(!control.passed);
    let reason = control.reason.expect("it says why");
    assert!(reason.contains("sent no request to the mock"), "{reason}");
}
