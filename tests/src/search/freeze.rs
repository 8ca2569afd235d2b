//! A frozen run strikes again at the same places.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{brownout, trace_in};

/// What struck, as `operation submit route attempt fault`, sorted; with what was drawn for it.
fn strikes(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).expect("a trace");
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    let mut strikes: Vec<String> = of("fault_injected")
        .map(|strike| {
            let request = of("request_received").find(|one| one["request"] == strike["request"]);
            let request = request.expect("a strike has a request");
            format!(
                "{} {} {} {} {} {}",
                request["operation"],
                request["submit"],
                request["route"],
                request["attempt"],
                strike["fault"],
                strike["detail"]
            )
        })
        .collect();
    strikes.sort();
    strikes
}

#[test]
fn a_frozen_run_strikes_the_same_again() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let scenario = folder.path().join("drawn.yaml");
    let text = "version: 1
name: drawn
seed: 5
provider: {api: payments}
faults:
  - {name: slow, when: {chance: 70%}, inject: {latency: {uniform: {min: 1ms, max: 90ms}}}}
  - {name: lost, when: {attempt: {to: 2}, max_times: 3}, inject: {reset: {at: after_commit}}}
  - {name: busy, when: {attempt: {to: 3}, chance: 50%}, inject: {status: {code: 503}}}
workload:
  call: create_charge
  operations: 4
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
expect: [no_double_charges]
";
    fs::write(&scenario, text).expect("written");
    let scenario = scenario.to_str().expect("UTF-8");
    let client = ["--no-control", "--", "python3", "tests/clients/fixed_delay.py"];
    let first = brownout(folder.path(), &[&["run", scenario], &client[..]].concat());
    let trace = trace_in(folder.path(), "drawn", "5");
    let struck = strikes(&trace);
    assert!(struck.len() > 5, "{first:?}");

    let frozen = folder.path().join("frozen.yaml");
    let frozen = frozen.to_str().expect("UTF-8");
    let trace = trace.to_str().expect("UTF-8");
    let said = brownout(folder.path(), &["freeze", trace, "--write", frozen]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let printed = brownout(folder.path(), &["freeze", trace]);
    assert!(printed.out.contains("script:\n  - {operation: 1, "), "{printed:?}");
    assert!(!printed.out.contains("faults:"), "{printed:?}");

    let again = brownout(folder.path(), &[&["run", frozen], &client[..]].concat());
    assert_eq!(again.code, first.code, "{again:?}");
    assert_eq!(strikes(&trace_in(folder.path(), "drawn-frozen", "5")), struck);
}

#[test]
fn what_is_no_trace_is_refused() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let said = brownout(folder.path(), &["freeze", "scenarios/payments/calm.yaml"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_eq!(said.out, "");
    assert!(said.err.contains("calm.yaml`: "), "{said:?}");
}
