//! `brownout serve` as a service for test suites: its control API from outside, and the helper files for
//! pytest and Node's test runner as a user's tests use them.
//!
//! **Invariant:** every server that a test starts ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::brownout::{program, python, root, run, verdict};

/// Nothing goes wrong, and nobody may be charged twice.
const FAIR: &str = "version: 1
name: fair
provider: {api: payments}
workload: {mode: suite}
expect: [no_double_charges]
";

/// A `brownout serve` and its ready line.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    ready: Value,
    client: Client,
    _folder: TempDir,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the traces");
        let mut child = Command::new(program())
            .current_dir(root())
            .args(["serve", "--until-stdin-closes"])
            .args(arguments)
            .arg("--out")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("brownout starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a ready line");
        let ready = serde_json::from_str(&line).expect("one line of JSON");
        let client =
            Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { child, stdout, ready, client, _folder: folder }
    }

    /// A request to the control API, with its token.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(self.ready["control"]["token"].as_str().expect("text"))
    }

    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.ready["control"]["url"].as_str().expect("text");
        self.client.request(method, format!("{url}{path}"))
    }

    async fn load(&self, scenario: &'static str) -> Value {
        let (status, told) = answer(self.ask(Method::PUT, "/v1/scenario").body(scenario)).await;
        assert_eq!(status, 200, "{told:#}");
        told
    }

    /// Lets go of it as a test program does that ends, also by a kill; the exit code, and what it printed after
    /// the ready line.
    fn end(mut self) -> (Option<i32>, Value) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("the verdicts");
        let code = self.child.wait().expect("it ends").code();
        (code, serde_json::from_str(&rest).expect("one document"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("the control API answers");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a whole answer");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// One charge; the status of the answer, 0 without one.
async fn charge(server: &Server, mock: &Value, order: &str) -> u16 {
    let url = mock["url"].as_str().expect("text");
    let asked = server
        .client
        .post(format!("{url}/v1/charges"))
        .bearer_auth(mock["api_key"].as_str().expect("text"))
        .header("content-type", "application/json")
        .body(json!({"amount": 5, "currency": "usd", "order": order}).to_string());
    asked.send().await.map_or(0, |answer| answer.status().as_u16())
}

#[tokio::test]
async fn a_suite_has_a_fresh_provider_for_every_test_at_one_address() {
    let server = Server::start(&[]);
    assert_eq!(server.ready["url"], Value::Null, "nothing is loaded yet");
    for path in ["/v1/scenario", "/v1/verdict", "/v1/trace"] {
        assert_eq!(answer(server.ask(Method::GET, path)).await.0, 409, "{path}");
    }
    let mock = server.load(FAIR).await;
    assert_eq!(charge(&server, &mock, "order-1").await, 201);
    assert_eq!(charge(&server, &mock, "order-1").await, 201);
    let claim = json!({"operation": "order-1", "outcome": "failed"}).to_string();
    let claimed = || answer(server.ask(Method::POST, "/v1/outcomes").body(claim.clone()));
    assert_eq!(claimed().await, (200, json!({"taken": true})));
    assert_eq!(claimed().await, (200, json!({"taken": false})), "a claim is final");
    let (status, document) = answer(server.ask(Method::POST, "/v1/verdict")).await;
    assert_eq!((status, document["verdict"].as_str()), (200, Some("failed")), "{document:#}");
    let entry = &document["scenarios"][0];
    assert_eq!(verdict(entry, "no_double_charges"), "failed");
    assert_eq!(entry["operations"]["failed"], 1);
    let again = answer(server.ask(Method::POST, "/v1/verdict")).await;
    assert_eq!(again, (200, document), "asked again it says the same");
    let (_, human) = answer(server.ask(Method::GET, "/v1/verdict?format=human")).await;
    let human = human.as_str().expect("text");
    assert!(human.starts_with("1 of 1 customers would have been charged twice"), "{human}");
    assert!(!human.contains('\u{1b}'), "no colours over HTTP");

    let (status, fresh) = answer(server.ask(Method::POST, "/v1/reset")).await;
    assert_eq!((status, &fresh["url"]), (200, &mock["url"]));
    assert_ne!(fresh["trace"], mock["trace"], "no trace is written over");
    assert_eq!(charge(&server, &fresh, "order-1").await, 201);
    let (code, verdicts) = server.end();
    assert_eq!(code, Some(1), "{verdicts:#}");
    let requests: Vec<&Value> = verdicts["scenarios"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["requests"])
        .collect();
    assert_eq!(requests, [2, 1]);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_the_present_run_goes_on() {
    let server = Server::start(&["scenarios/payments/calm.yaml"]);
    let put = |body: &str| server.ask(Method::PUT, "/v1/scenario").body(body.to_owned());
    let (status, told) = answer(put("version: 1\nnmae: x\n")).await;
    assert_eq!(status, 400);
    let said = told["error"].as_str().expect("a sentence");
    assert!(said.contains("scenario.yaml:2:1: the key `nmae` is not known here"), "{said}");
    assert_eq!(told["diagnostics"][0]["line"], 1, "{told:#}");
    let own = |api: &str| {
        format!(
            "version: 1\nname: own\nprovider: {{api: {api}}}\nworkload: {{mode: suite}}\nexpect: [no_double_charges]\n"
        )
    };
    let (status, told) = answer(put(&own("./mock-provider/apis/payments.yaml"))).await;
    assert_eq!(status, 400, "no path is read");
    assert!(told["error"].as_str().is_some_and(|it| it.contains("no file is read")), "{told:#}");
    for (path, body, said) in [
        ("/v1/outcomes", "{}", "the body is no {\"operation\""),
        ("/v1/outcomes", "{\"operation\": \"\", \"outcome\": \"failed\"}", "the body is no"),
        ("/v1/reset", "{\"sede\": 1}", "unknown field `sede`"),
        ("/v1/reset", "{\"seed\": 9007199254740992}", "a seed is 0 to 9007199254740991"),
    ] {
        let (status, told) = answer(server.ask(Method::POST, path).body(body)).await;
        assert_eq!(status, 400, "{path}");
        assert!(told["error"].as_str().is_some_and(|it| it.contains(said)), "{path}: {told:#}");
    }
    let (status, told) = answer(server.ask(Method::GET, "/v1/nothing")).await;
    assert_eq!((status, told["error"].is_string()), (404, true));
    let (_, present) = answer(server.ask(Method::GET, "/v1/scenario")).await;
    assert_eq!(present["url"], server.ready["url"], "the run before goes on");

    // An API of one's own comes with the scenario.
    let text = std::fs::read_to_string(root().join("mock-provider/apis/payments.yaml"));
    let api: Value = serde_yaml::from_str(&text.expect("it is there")).expect("YAML");
    let sent = json!({"scenario": own("mine"), "apis": {"mine": api}, "seed": 9});
    let request = server.ask(Method::PUT, "/v1/scenario").body(sent.to_string());
    let (status, told) = answer(request.header("content-type", "application/json")).await;
    assert_eq!((status, &told["seed"]), (200, &json!(9)), "{told:#}");
    assert_eq!(charge(&server, &told, "order-1").await, 201);
}

#[tokio::test]
async fn a_scenario_that_cannot_start_is_refused_and_the_next_one_starts() {
    let server = Server::start(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let fixed = FAIR.replace("{api: payments}", &format!("{{api: payments, port: {port}}}"));
    let (status, told) = answer(server.ask(Method::PUT, "/v1/scenario").body(fixed)).await;
    assert_eq!(status, 500, "{told:#}");
    assert!(told["error"].as_str().is_some_and(|it| it.contains(&port.to_string())), "{told:#}");
    let mock = server.load(FAIR).await;
    assert_eq!(charge(&server, &mock, "order-1").await, 201);
}

#[tokio::test]
async fn a_run_that_another_has_replaced_is_not_taken_for_it() {
    let server = Server::start(&[]);
    let (first, second) = (server.load(FAIR).await, server.load("payments-calm").await);
    assert_eq!((&first["run"], &second["run"]), (&json!(1), &json!(2)));
    assert_eq!(second["scenario"], "payments-calm", "shipped scenarios go by their names");
    let claim = json!({"operation": "order-1", "outcome": "failed"}).to_string();
    let late = server.ask(Method::POST, "/v1/outcomes?run=1").body(claim);
    let (status, told) = answer(late).await;
    assert_eq!(status, 409);
    assert!(told["error"].as_str().is_some_and(|it| it.starts_with("run 1 was ended by run 2")));
    assert_eq!(answer(server.ask(Method::POST, "/v1/verdict?run=1")).await.0, 409);
    for wrong in ["run=2&format=xml", "run=two", "rnu=2"] {
        let unknown = server.ask(Method::POST, &format!("/v1/verdict?{wrong}"));
        let (status, told) = answer(unknown).await;
        assert_eq!((status, told["error"].is_string()), (400, true), "{wrong}: {told:#}");
    }
    let present = answer(server.ask(Method::GET, "/v1/scenario")).await;
    assert_eq!((present.0, &present.1["run"]), (200, &json!(2)), "it goes on");
    assert_eq!(answer(server.ask(Method::POST, "/v1/verdict?run=2")).await.0, 200);
    let (status, told) = answer(server.ask(Method::DELETE, "/v1/verdict")).await;
    assert_eq!((status, told["error"].is_string()), (405, true));
}

#[tokio::test]
async fn a_claim_about_another_name_than_the_wires_is_pointed_out() {
    let server = Server::start(&[]);
    let mock = server.load(FAIR).await;
    assert_eq!(charge(&server, &mock, "order-1").await, 201);
    let claim = json!({"operation": "Order 1", "outcome": "succeeded"}).to_string();
    answer(server.ask(Method::POST, "/v1/outcomes").body(claim)).await;
    let (_, human) = answer(server.ask(Method::POST, "/v1/verdict?format=human")).await;
    let human = human.as_str().expect("text").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        human.contains("a claim names `Order 1`, which was never on the wire, and `order-1`"),
        "{human}"
    );
}

#[tokio::test]
async fn web_pages_and_strangers_are_refused() {
    let server = Server::start(&["scenarios/payments/calm.yaml"]);
    let get = |path: &str| server.ask(Method::GET, path);
    assert_eq!(answer(server.bare(Method::GET, "/v1/scenario")).await.0, 401);
    assert_eq!(answer(server.bare(Method::GET, "/v1/scenario").bearer_auth("x")).await.0, 401);
    let page = get("/v1/scenario").header("origin", "http://evil.example");
    assert_eq!(answer(page).await.0, 403);
    let rebound = get("/v1/scenario").header("host", "evil.example");
    assert_eq!(answer(rebound).await.0, 403);
    let large = server.ask(Method::PUT, "/v1/scenario").body("#".repeat(5 * 1024 * 1024));
    // It may be cut off before it has sent all of it.
    assert!(large.send().await.map_or(true, |answer| answer.status() == 413));
    assert_eq!(answer(get("/v1/scenario")).await.0, 200);
}

#[tokio::test]
async fn a_trace_is_followed_to_the_end_of_its_run() {
    let server = Server::start(&["scenarios/payments/calm.yaml"]);
    let followed = tokio::spawn(answer(server.ask(Method::GET, "/v1/trace?follow=true")));
    assert_eq!(charge(&server, &server.ready, "order-1").await, 201);
    let line =
        "brownout_requests_total{provider=\"provider\",route=\"create_charge\",status=\"201\"} 1";
    let mut numbers = String::new();
    // They are counted from the trace, which is written a moment behind the answers.
    for _ in 0..1_000 {
        let (_, told) = answer(server.ask(Method::GET, "/v1/metrics")).await;
        numbers = told.as_str().expect("text").to_owned();
        if numbers.lines().any(|one| one == line) {
            break;
        }
    }
    assert!(numbers.lines().any(|one| one == line), "{numbers}");
    answer(server.ask(Method::POST, "/v1/verdict")).await;
    let (status, lines) = followed.await.expect("it does not panic");
    let lines: Vec<&str> = lines.as_str().expect("text").lines().collect();
    assert_eq!(status, 200);
    assert!(lines[0].contains("\"run_started\""), "{}", lines[0]);
    assert!(lines[lines.len() - 1].contains("\"run_finished\""), "{}", lines[lines.len() - 1]);
    let (_, numbers) = answer(server.ask(Method::GET, "/v1/metrics")).await;
    let ended = numbers.as_str().is_some_and(|it| it.contains("brownout_runs_total{scenario="));
    assert!(ended, "{numbers}");
}

/// Runs a test program that uses a helper file; what it printed.
fn tested(command: &mut Command) -> String {
    tested_in(root(), command)
}

fn tested_in(folder: &Path, command: &mut Command) -> String {
    let output = command
        .current_dir(folder)
        .env("BROWNOUT_BIN", program())
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_fixture_for_pytest_makes_the_verdict_the_assertion() {
    let arguments = ["-m", "pytest", "-p", "no:cacheprovider", "-v", "tests/clients/control"];
    let mut command = Command::new(python());
    let said = tested(command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1"));
    for (name, ending) in [
        ("test_with_a_key_it_passes", "PASSED"),
        ("test_without_a_key_it_fails", "FAILED"),
        ("test_the_run_before_is_judged_when_the_next_is_loaded", "FAILED"),
        ("test_an_api_of_ones_own_comes_along", "PASSED"),
        ("test_a_verdict_that_is_asked_for_is_the_tests_own", "PASSED"),
        ("test_a_wrong_scenario_is_told_where_it_is_wrong", "FAILED"),
        ("test_without_brownout_nothing_is_asked", "PASSED"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("::{name} ")));
        assert!(line.is_some_and(|line| line.contains(ending)), "{name}: {ending}\n{said}");
    }
    assert!(said.contains("customers would have been charged twice"), "{said}");
    assert!(said.contains("scenario.yaml:2:1: the key `nmae` is not known here"), "{said}");
}

/// The block of the README that begins with this line.
pub(crate) fn of_readme(first: &str) -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is there");
    let block = readme.split("```").find(|block| block.lines().nth(1) == Some(first));
    let block =
        block.unwrap_or_else(|| panic!("the README has no block that begins with `{first}`"));
    block.split_once('\n').expect("a language and a text").1.to_owned()
}

/// What a reader of the README calls `pay`: with a key, or without one.
const PAY: &str = r#"
import http.client
import json
from urllib.parse import urlsplit


def pay(url, api_key, order):
    headers = {"Authorization": "Bearer " + api_key, "Content-Type": "application/json"}
    KEY
    body = json.dumps({"amount": 1999, "currency": "usd", "order": order})
    for attempt in range(3):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        try:
            connection.request("POST", "/v1/charges", body, headers)
            return json.load(connection.getresponse())
        except OSError:
            pass


"#;

#[test]
fn the_example_of_the_readme_tells_a_client_with_a_key_from_one_without() {
    let helper = std::fs::read_to_string(root().join("harness/loops/brownout_pytest.py"));
    let helper = helper.expect("it is shipped");
    for (key, ending) in
        [("headers[\"Idempotency-Key\"] = order", "1 passed"), ("pass", "1 failed")]
    {
        let folder = tempfile::tempdir().expect("a folder for a project");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("it can be written");
        };
        write("brownout_pytest.py", &helper);
        write("conftest.py", "from brownout_pytest import *\n");
        write("lost-answer.yaml", &of_readme("# lost-answer.yaml"));
        write("test_pay.py", &format!("{}{}", PAY.replace("KEY", key), of_readme("# test_pay.py")));
        let mut command = Command::new(python());
        let said = tested_in(folder.path(), command.args(["-m", "pytest", "-q"]));
        assert!(said.contains(ending), "{key}\n{said}");
    }
}

#[test]
fn the_helper_for_nodes_test_runner_makes_the_verdict_the_assertion() {
    let said = tested(Command::new("node").args([
        "--test",
        "--test-reporter=tap",
        "tests/clients/control/shop.test.mjs",
    ]));
    assert!(said.contains("\nok 1 - with a key it passes"), "{said}");
    assert!(said.contains("\nnot ok 2 - without a key it fails"), "{said}");
    assert!(said.contains("customers would have been charged twice"), "{said}");
}

#[test]
fn the_ready_made_loop_for_node_drives_a_worker() {
    let scenario = "scenarios/payments/lost-response.yaml";
    let worker = ["node".into(), "tests/clients/careful_stdio.mjs".into()];
    let run = run(&[scenario, "--mode", "stdio", "--seed", "3"], &worker, &[]);
    assert_eq!(run.code, Some(0), "{}", run.printed);
    assert_eq!(verdict(run.only(), "no_double_charges"), "passed", "{}", run.printed);
}
