//! Tenants: keys of their own, rules and limits that touch one of them alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout::harness::{Harness, Judged};
use brownout::run::{Client, RunOptions, Service, run_main};
use brownout::scenario::schedule::Schedule;
use brownout::verdict::InvariantVerdict;
use brownout::{Connection, Operation, Outcome};
use brownout_provider::event::Mode;

use super::scenario;
use crate::brownout::root;
use crate::cli::{command_in, said};

const SCENARIO: &str = "version: 1
name: tenants
provider:
  api: payments
  rate_limit: {algorithm: fixed_window, limit: 10, per: 1m, scope: api_key}
faults:
  - {name: for-b, when: {tenant: b, attempt: 1}, inject: {status: {code: 503}}}
workload:
  call: create_charge
  tenants: {a: {operations: 20}, b: {operations: 4}}
expect: [no_double_charges]
";

/// Asks once for each operation, and says which status came for whose.
fn judged(text: &str) -> Judged {
    let harness = Harness::from_yaml(text).expect("a right scenario").virtual_time();
    let judged = harness.run(|operation: Operation, connection: Connection| async move {
        assert_eq!(connection.api_key, operation.api_key);
        let http = connection.reqwest().expect("a socket").build().expect("a client");
        let asked = http
            .post(format!("{}/v1/charges", operation.url))
            .bearer_auth(&operation.api_key)
            .header("content-type", "application/json")
            .body(operation.input.to_string());
        let status = asked.send().await.expect("answered").status().as_u16();
        let tenant = operation.tenant.expect("it has one");
        Outcome::failed(format!("{tenant} {status}"))
    });
    judged.expect("it runs")
}

/// How often which status came for whom.
fn answers(judged: &Judged) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for (_, submit) in judged.trace.submits() {
        let claim = judged.trace.final_claim(submit).expect("a claim");
        let said = judged.trace.text(claim.detail.expect("words")).to_owned();
        *answers.entry(said).or_default() += 1;
    }
    answers
}

#[test]
fn limits_and_rules_touch_the_tenant_that_they_are_about() {
    let judged = judged(SCENARIO);
    let expected = [("a 201", 10), ("a 429", 10), ("b 503", 4)];
    assert_eq!(answers(&judged), expected.map(|(said, count)| (said.to_owned(), count)).into());
    let shares = &judged.result.tenants;
    assert_eq!((shares["a"].requests, shares["b"].requests), (20, 4));
    assert_eq!(shares["a"].effects["charge"], 10);
    let keys: BTreeSet<_> =
        judged.trace.requests().map(|(_, one)| (one.tenant, one.tenant.is_some())).collect();
    assert!(keys.len() == 2 && keys.iter().all(|(_, known)| *known), "{keys:?}");
}

#[test]
fn a_limit_for_all_is_eaten_up_by_the_noisiest() {
    let global = SCENARIO
        .replace("scope: api_key", "scope: global")
        .replace("tenant: b, ", "tenant: b, route: get_charge, ");
    let refused = |answers: &BTreeMap<String, usize>, who: &str| {
        answers.get(&format!("{who} 429")).copied().unwrap_or(0)
    };
    let seen = answers(&judged(&global));
    assert!(refused(&seen, "b") > 0, "{seen:?}");
}

/// A client that does all work as it comes is refused for everybody; one that gives each tenant its share is not.
#[test]
fn the_load_of_one_tenant_is_not_to_be_felt_by_another() {
    const SHARED: &str = "version: 1
name: shared-limit
provider:
  api: payments
  rate_limit: {algorithm: fixed_window, limit: 8, per: 1s, scope: global}
workload:
  call: create_charge
  tenants: {a: {operations: 20}, b: {operations: 4}}
  concurrency: 24
expect: [spares_other_tenants: {own: 4/s}]
";
    let charge = |share: Option<u64>| {
        move |connection: &Connection| {
            let http = connection.reqwest().expect("a socket").build().expect("a client");
            let turns = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
            move |operation: Operation, _: Connection| {
                let (http, turns) = (http.clone(), Arc::clone(&turns));
                async move {
                    let tenant = operation.tenant.as_deref().unwrap_or_default().to_owned();
                    let turn = {
                        let mut turns = turns.lock().expect("alone");
                        let turn = turns.entry(tenant).or_insert(0);
                        *turn += 1;
                        *turn - 1
                    };
                    if let Some(share) = share {
                        tokio::time::sleep(Duration::from_secs(turn / share)).await;
                    }
                    let asked = http
                        .post(format!("{}/v1/charges", operation.url))
                        .bearer_auth(&operation.api_key)
                        .header("content-type", "application/json")
                        .body(operation.input.to_string());
                    match asked.send().await.expect("answered").status().as_u16() {
                        201 => Outcome::succeeded(),
                        status => Outcome::failed(status.to_string()),
                    }
                }
            }
        }
    };
    let verdict = |share| {
        let harness = Harness::from_yaml(SHARED).expect("a right scenario").virtual_time();
        let judged = harness.run_with(charge(share)).expect("it runs");
        let one = judged.invariant("spares_other_tenants").expect("it is expected");
        (one.verdict, judged.report())
    };
    let (greedy, report) = verdict(None);
    assert_eq!(greedy, InvariantVerdict::Failed, "{report}");
    assert_eq!(verdict(Some(4)).0, InvariantVerdict::NotExercised);
}

#[test]
fn the_schedule_knows_whose_operation_each_is() {
    let schedules = Schedule::all(&scenario(SCENARIO));
    let struck: Vec<&str> = schedules[0]
        .rows
        .iter()
        .filter(|row| !row.attempts[0].is_empty())
        .map(|row| row.operation.as_str())
        .collect();
    assert_eq!(struck, ["op-0004", "op-0010", "op-0016", "op-0022"]);
}

#[test]
fn programs_are_handed_the_key_of_each_operations_tenant() {
    for mode in [Mode::Stdio, Mode::Exec] {
        let path = root().join("tests/clients/fleet.py").display().to_string();
        let client = Client::Process {
            mode,
            command: vec!["python3".to_owned(), path, "steady".to_owned()],
        };
        let scenario = scenario(SCENARIO);
        let run =
            run_main(&scenario, scenario.seed, &client, &RunOptions::default()).expect("it runs");
        let judged = run.judged(&scenario, None, String::new());
        assert_eq!(judged.tenants["a"].requests, 20, "{mode:?}");
        assert_eq!(judged.tenants["b"].requests, 4, "{mode:?}");
    }
}

/// A service is told whose operation it does by the request alone.
#[test]
fn a_service_is_told_the_tenant_or_its_key() {
    let text = SCENARIO.replace(
        "  call: create_charge\n",
        "  http:\n    calls: create_charge\n    request:\n      method: POST\n      path: /orders\n      \
         headers: {x-tenant: '{{ tenant }}', x-api-key: '{{ api_key }}'}\n      json: '{{ input }}'\n  \
         input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}\n  operation_id: json:/order\n",
    );
    let scenario = scenario(&text.replace("limit: 10", "limit: 20"));
    for kind in ["variables", "handed"] {
        let path = root().join("tests/clients/service/tenants.py").display().to_string();
        let command = ["python3".to_owned(), path, kind.to_owned()];
        let client = Client::Service(Arc::new(Service::new(command.to_vec(), None)));
        let run =
            run_main(&scenario, scenario.seed, &client, &RunOptions::default()).expect("it runs");
        let judged = run.judged(&scenario, None, String::new());
        assert_eq!(judged.tenants["a"].effects["charge"], 20, "{kind}: {:?}", judged.tenants);
        assert_eq!(judged.faults["for-b"], 4, "{kind}");
        assert_eq!(judged.tenants["b"].requests, 4, "{kind}");
    }
}

#[test]
fn in_suite_mode_nobody_is_handed_a_tenants_operation() {
    let scenario = scenario(SCENARIO);
    let client = Client::Process { mode: Mode::Suite, command: vec!["true".to_owned()] };
    let error = run_main(&scenario, scenario.seed, &client, &RunOptions::default())
        .expect_err("nothing carries the tenant");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("use `--mode stdio`"), "{error}");
}

/// What of the environment is about another run, and what the command line asks for in vain.
#[test]
fn a_command_line_is_told_what_plays_no_part_and_leftovers_reach_no_client() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let file = folder.path().join("tenants.yaml");
    std::fs::write(&file, SCENARIO).expect("written");
    let file = file.to_str().expect("UTF-8");
    let client = "env | grep ^BROWNOUT_ | cut -d= -f1 >&2; exit 1";
    let line = ["run", file, "--no-control", "--operations", "100", "--out"];
    let out = folder.path().join("out");
    let mut command = command_in(root(), &line);
    let left =
        ["BROWNOUT_TENANT_KEY_Z", "BROWNOUT_URL_OLD", "BROWNOUT_API_KEY_OLD", "BROWNOUT_TENANT"];
    command.arg(&out).args(["--", "sh", "-c", client]).envs(left.map(|name| (name, "left")));
    let said = said(&command.output().expect("it starts"));
    let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("only 24 operations together, so `--operations 100`"), "{}", said.out);
    let trace = find(&out).expect("a trace was written");
    let text = std::fs::read_to_string(trace).expect("readable");
    assert!(text.contains("BROWNOUT_API_KEY") && text.contains("BROWNOUT_TENANT"), "{text}");
    assert!(!text.contains("_OLD") && !text.contains("KEY_Z"), "{text}");
}

/// The trace below a folder.
fn find(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    entries.iter().find_map(|path| match path.is_dir() {
        true => find(path),
        false => path.ends_with("trace.jsonl").then(|| path.clone()),
    })
}
