//! A service in this process, in virtual time: an axum router as the client under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use brownout::drive::loopback::{Call, post_over};
use brownout::{Connection, Harness, Judged, Verdict};
use serde_json::{Value, json};

/// How a shop keys its charges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    None,
    ByOrder,
}

#[derive(Clone)]
struct Shop {
    connection: Connection,
    keys: Keys,
}

impl Shop {
    async fn charge(&self, order: &Value) -> StatusCode {
        let url = format!("{}/v1/charges", self.connection.url);
        let key = order["order"].as_str();
        for _ in 0..4 {
            let call = Call {
                url: &url,
                api_key: &self.connection.api_key,
                idempotency_key: key.filter(|_| self.keys == Keys::ByOrder),
                body: order,
                timeout: Duration::from_secs(60),
            };
            match post_over(&self.connection, call).await {
                Ok(answer) if answer.status == 201 => return StatusCode::CREATED,
                Ok(answer) => {
                    tracing::info!("answered {}", answer.status);
                    tokio::time::sleep(answer.retry_after.unwrap_or(Duration::from_secs(1))).await;
                }
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        StatusCode::GATEWAY_TIMEOUT
    }
}

fn router(connection: &Connection, keys: Keys) -> Router {
    let order = |State(shop): State<Shop>, Json(order): Json<Value>| async move {
        shop.charge(&order).await
    };
    let shop = Shop { connection: connection.clone(), keys };
    Router::new().route("/orders", post(order)).with_state(shop)
}

fn harness(rules: &str, more: &str) -> Harness {
    Harness::from_yaml(&format!(
        "version: 1
name: shop
provider: {{api: payments}}
faults: {rules}
workload:
  operations: 20
  concurrency: 4
  deadline: 10m
  http:
    calls: create_charge
    request: {{path: '/orders', json: '{{{{ input }}}}'}}
    {more}
expect: [no_double_charges, no_phantom_success, no_lost_operations]
"
    ))
    .expect("a right scenario")
    .virtual_time()
}

const ROUGH: &str = "
  - {name: lost, when: {attempt: 1, chance: 30%}, inject: {reset: {at: after_commit}}}
  - {name: busy, when: {attempt: {to: 2}, chance: 30%}, inject: {status: {code: 503, retry_after: 60s}}}";

#[test]
fn a_careless_router_is_caught_and_a_careful_one_passes_in_no_time() {
    let careless = |connection: &Connection| router(connection, Keys::None);
    let judged = harness(ROUGH, "").service(careless).run().expect("it runs");
    assert_eq!(judged.result.verdict, Verdict::Failed);
    assert!(judged.report().contains("customers would have been charged twice"));

    let careful = |connection: &Connection| router(connection, Keys::ByOrder);
    let judged = harness(ROUGH, "").service(careful).run().expect("it runs");
    judged.assert();
    // Minutes by the clock of the run.
    assert!(judged.result.elapsed_ms > 60_000);
    let said: Vec<&str> = judged.trace.outputs().iter().map(|line| &*line.text).collect();
    assert!(said.contains(&"INFO all::library::service: answered 503"), "{said:?}");
}

#[test]
fn equal_runs_leave_equal_traces() {
    let careful = |connection: &Connection| router(connection, Keys::ByOrder);
    let text = || {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let harness = harness(ROUGH, "").trace_to(dir.path()).without_control();
        harness.service(careful).run().expect("it runs");
        std::fs::read_to_string(dir.path().join("trace.jsonl")).expect("the trace is there")
    };
    let first = text();
    assert!(first.lines().count() > 100);
    for _ in 0..20 {
        assert_eq!(text(), first);
    }
}

#[test]
fn a_router_that_is_killed_is_built_again_and_asked_once_more() {
    let kill = "[{name: kill, when: {operation: 3, attempt: 1}, inject: {kill_client: {at: after_commit}}}]";
    let built = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&built);
    let careful = move |connection: &Connection| {
        counted.fetch_add(1, Ordering::Relaxed);
        router(connection, Keys::ByOrder)
    };
    let judged = harness(kill, "").without_control().service(careful).run().expect("it runs");
    judged.assert();
    assert_eq!(built.load(Ordering::Relaxed), 2);
}

#[test]
fn a_router_that_stands_still_has_longer() {
    let pause =
        "[{name: pause, when: {operation: 3, attempt: 1}, inject: {pause_client: {for: 20m}}}]";
    let careful = |connection: &Connection| router(connection, Keys::ByOrder);
    let judged = harness(pause, "").service(careful).run().expect("it runs");
    judged.assert();
    assert!(judged.result.elapsed_ms > 1_200_000);
}

fn later(connection: &Connection) -> Router {
    type Jobs = Arc<std::sync::Mutex<std::collections::BTreeMap<String, &'static str>>>;
    let jobs = Jobs::default();
    let shop = Shop { connection: connection.clone(), keys: Keys::ByOrder };
    let order = {
        let jobs = Arc::clone(&jobs);
        move |Json(order): Json<Value>| async move {
            let name = order["order"].as_str().unwrap_or_default().to_owned();
            let id = name.clone();
            tokio::spawn(async move {
                let state = shop.charge(&order).await;
                let state = if state == StatusCode::CREATED { "paid" } else { "declined" };
                jobs.lock().expect("nobody panics with it").insert(name, state);
            });
            (StatusCode::ACCEPTED, Json(json!({"id": id})))
        }
    };
    let look = move |Path(id): Path<String>| async move {
        let state = jobs.lock().expect("nobody panics with it").get(&id).copied();
        Json(json!({"status": state.unwrap_or("pending")}))
    };
    Router::new().route("/orders", post(order)).route("/orders/{id}", get(look))
}

#[test]
fn a_router_that_answers_later_is_asked_again() {
    let poll = "poll: {path: '/orders/{{ answer.id }}', field: /status, succeeded: [paid], failed: [declined], interval: 5s}";
    let judged = harness(ROUGH, poll).service(later).run().expect("it runs");
    judged.assert();
    assert_eq!(judged.result.operations.succeeded, 20);
}

#[test]
fn a_panic_of_a_router_is_silence_about_one_operation() {
    let build = |_: &Connection| {
        let order = |Json(order): Json<Value>| async move {
            assert!(order["order"] != "order-2", "no such shop");
            StatusCode::PAYMENT_REQUIRED
        };
        Router::new().route("/orders", post(order))
    };
    let judged: Judged = harness("[]", "").without_control().service(build).run().expect("it runs");
    assert_eq!((judged.result.operations.failed, judged.result.operations.unclaimed), (19, 1));
    let said: Vec<&str> = judged.trace.outputs().iter().map(|line| &*line.text).collect();
    assert_eq!(said, ["panicked: no such shop"]);
}

#[test]
fn searches_find_what_breaks_a_router() {
    use brownout::harness::ExploreOptions;
    let careless = |connection: &Connection| router(connection, Keys::None);
    let rules = "[{name: lost, when: {route: create_charge, operation: 1, attempt: 1}, inject: {reset: {at: after_commit}}}]";
    let explored = harness(rules, "").service(careless).explore(&ExploreOptions::default());
    let found = explored.expect("it runs").found.expect("a lost answer breaks it");
    assert_eq!(found.invariant, "no_double_charges");
    assert_eq!(found.case.script.len(), 1);
}
