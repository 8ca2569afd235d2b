//! Operations that are events or messages, under faults by chance: a right listener and a right worker hold.

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use brownout::drive::loopback::{Call, post_over};
use brownout::strategy::{Drawn, Faults, check, scenario};
use brownout::{Connection, Harness};
use brownout_provider::fault::Action;
use brownout_provider::seed::Seed;
use brownout_provider::shell::transport::Transport;
use brownout_provider::signature::Dialect;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::cases;
use crate::brownout::{python, run};

/// The secret with which the API `payments` signs.
const SECRET: &str = "whsec_YnJvd25vdXQtd2ViaG9vay1zZWNyZXQh";

const EVENTS: &str = "version: 1
name: told
provider: {api: payments, webhooks: {retry: [1s, 5s, 30s]}}
workload:
  call: notify
  operations: 4
  concurrency: 2
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 2h
  deliver: {webhook: {path: /hooks, event: charge.succeeded}}
expect: [webhook_handled_once, rejects_bad_signatures, no_lost_operations, no_phantom_success]
";

const MESSAGES: &str = "version: 1
name: worked
provider: {api: queue, queue: {visibility: 700ms, max_receives: 8}}
workload:
  call: send_message
  operations: 4
  concurrency: 4
  input: {order: 'order-{{ n }}', amount: 5}
  deadline: 20s
  deliver: {queue: messages}
expect: [message_handled_once, message_acknowledged, no_double_charges, no_lost_operations, no_phantom_success]
";

/// What a client can stand that repeats with its key.
fn weather(own: &str) -> Faults {
    Faults::any().keys_honored().only(&[own, "status", "reset", "rate_limited"])
}

#[expect(clippy::disallowed_methods, reason = "a service reads the clock of its machine")]
fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("it is later than that").as_secs()
}

fn is_genuine(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let Ok(at_s) = text("webhook-timestamp").parse::<u64>() else { return false };
    let key = Dialect::StandardWebhooks.key(SECRET).expect("a secret");
    let right = Dialect::StandardWebhooks.headers(Some(&key), text("webhook-id"), at_s, body);
    now_s().abs_diff(at_s) <= 300
        && right.iter().all(|(name, value)| text(&name.to_lowercase()) == value)
}

/// True when the message to the customer is sent for certain.
async fn notifies(connection: &Connection, event: &str, order: &Value) -> bool {
    let url = format!("{}/v1/notifications", connection.url);
    for _ in 0..4 {
        let call = Call {
            url: &url,
            api_key: &connection.api_key,
            idempotency_key: Some(event),
            body: &json!({"order": order, "message": "paid"}),
            timeout: Duration::from_secs(2),
        };
        if post_over(connection, call).await.is_ok_and(|answer| answer.status == 201) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    false
}

/// A shop that believes what is genuine, makes its key of the event, and says 200 when its work is done.
fn listener(connection: &Connection) -> Router {
    let connection = connection.clone();
    let hook = move |headers: HeaderMap, body: Bytes| async move {
        if !is_genuine(&headers, &body) {
            return StatusCode::BAD_REQUEST;
        }
        let event: Value = serde_json::from_slice(&body).expect("what is signed is whole");
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        match notifies(&connection, id, &event["data"]["order"]).await {
            true => StatusCode::OK,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        }
    };
    Router::new().route("/hooks", post(hook))
}

#[test]
fn a_right_listener_survives_what_befalls_events() {
    let harness = Harness::from_yaml(EVENTS).expect("a right scenario");
    let client = harness.virtual_time().transport(Transport::Memory).service(listener);
    let folder = tempfile::tempdir().expect("a folder");
    let survived = check(&client, &weather("webhook"), folder.path(), cases(150));
    let survived = survived.expect("it is right");
    assert!(survived.struck > 100, "{survived:?}");
}

/// The first scenarios of many in which something of this kind strikes.
fn drawn(text: &str, faults: &Faults, count: usize, is_it: fn(&Action) -> bool) -> Vec<Drawn> {
    let harness = Harness::from_yaml(text).expect("a right scenario");
    let strategy = scenario(harness.scenario(), faults);
    let mut runner = TestRunner::new(cases(200));
    let all = (0..200).map(|_| strategy.new_tree(&mut runner).expect("it draws").current());
    let strikes = |one: &Drawn| {
        let mut faults = one.scenario().rules.iter().flat_map(|rule| &rule.faults);
        faults.any(|fault| is_it(&fault.looked_at(Seed::default())))
    };
    all.filter(strikes).take(count).collect()
}

#[test]
fn a_right_worker_survives_what_befalls_messages() {
    let is_message = |action: &Action| matches!(action, Action::Message(_));
    let all = drawn(MESSAGES, &weather("message"), 5, is_message);
    assert_eq!(all.len(), 5, "messages are struck");
    let worker: Vec<OsString> = vec![python(), "tests/clients/queue_worker.py".into()];
    let folder = tempfile::tempdir().expect("a folder");
    for (index, one) in all.iter().enumerate() {
        let path = folder.path().join(format!("drawn-{index}.yaml"));
        std::fs::write(&path, one.to_yaml()).expect("it is written");
        let run = run(&[&path.to_string_lossy(), "--no-control"], &worker, &[]);
        assert!(matches!(run.code, Some(0 | 2)), "{}\n{}", one.to_yaml(), run.printed);
    }
}
