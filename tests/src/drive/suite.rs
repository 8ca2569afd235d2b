//! Suite mode: the command does what it likes, and its exit code makes no claim unless it is told to.

use brownout::run::{Client, RunOptions, run_control};
use brownout_provider::event::Mode;

use super::{drive, scenario, shell};

/// A command that makes two charges and says something of one.
const TWO_CHARGES: &str = r#"
python3 - <<'END'
import json, os, urllib.request
for order in ("order-a", "order-b"):
    request = urllib.request.Request(os.environ["BROWNOUT_URL"] + "/v1/charges",
        data=json.dumps({"amount": 1, "currency": "usd", "order": order}).encode(),
        headers={"Content-Type": "application/json",
                 "Authorization": "Bearer " + os.environ["BROWNOUT_API_KEY"]})
    urllib.request.urlopen(request, timeout=10)
END
echo 'BROWNOUT_OUTCOME {"outcome":"failed"}'
"#;

#[test]
fn an_exit_code_makes_no_claim_and_a_line_makes_one() {
    let script = format!(
        "{TWO_CHARGES}\necho 'BROWNOUT_OUTCOME {{\"operation\":\"order-b\",\"outcome\":\"succeeded\"}}'"
    );
    let driven = drive(&scenario(0), Mode::Suite, shell(&script)).expect("it runs");
    assert_eq!(driven.claims(), ["order-b.1 succeeded client:"]);
    assert_eq!(driven.output("stdout"), [r#"BROWNOUT_OUTCOME {"outcome":"failed"}"#]);
    assert_eq!(driven.submitted(), 0);
    assert_eq!(driven.run.trace.requests().count(), 2);
}

#[test]
fn exit_0_claims_success_for_all_where_the_scenario_says_so() {
    let mut scenario = scenario(0);
    scenario.workload.call = None;
    scenario.workload.suite_exit_0_all_succeeded = true;
    let driven = drive(&scenario, Mode::Suite, shell(TWO_CHARGES)).expect("it runs");
    assert_eq!(
        driven.claims(),
        ["order-a.1 succeeded client: exit code 0", "order-b.1 succeeded client: exit code 0"]
    );
    let failing = format!("{TWO_CHARGES}\nexit 1");
    let driven = drive(&scenario, Mode::Suite, shell(&failing)).expect("it runs");
    assert!(driven.claims().is_empty());
}

#[test]
fn the_control_run_of_a_suite_wants_one_request() {
    let control = |script: &str| {
        let client = Client::Process { mode: Mode::Suite, command: shell(script) };
        run_control(&scenario(0), &client, &RunOptions::default()).expect("it runs")
    };
    assert!(control(TWO_CHARGES).passed);
    let reason = control("true").reason.expect("it did not pass");
    assert!(reason.contains("sent no request to the mock"), "{reason}");
}
