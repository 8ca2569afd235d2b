//! The provider as the one who calls: webhooks to a router in virtual time, to a program that checks them with
//! its vendor's SDK, and on the wire.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use brownout::drive::http::Place;
use brownout::drive::loopback::{Call, post_over};
use brownout::run::{Client, RunOptions, Service, run_main};
use brownout::{Connection, Harness, Judged, Scenario};
use brownout_provider::event::{Event, EventKind};
use brownout_provider::signature::Dialect;
use serde_json::Value;

use crate::brownout::{python, root};
use crate::drive::events;

fn harness(api: &str, fault: &str, operations: u64) -> Harness {
    let faults = match fault {
        "" => "[]".to_owned(),
        fault => format!("[{{name: told, inject: {{webhook: {fault}}}}}]"),
    };
    let calls = if api == "stripe" { "create_payment_intent" } else { "create_charge" };
    Harness::from_yaml(&format!(
        "version: 1
name: told
provider: {{api: {api}}}
faults: {faults}
workload:
  operations: {operations}
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  http:
    calls: {calls}
    request: {{path: /orders, json: '{{{{ input }}}}'}}
    webhooks: {{path: /hooks}}
expect: [no_double_charges]
"
    ))
    .expect("a right scenario")
    .without_control()
}

/// What came to a shop: headers, body, and when by the clock of the run.
type Heard = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

/// A shop that charges, and listens; it answers webhooks with these statuses, and then with 200.
fn shop(connection: &Connection, heard: &Heard, statuses: &[u16]) -> Router {
    let (connection, heard) = (connection.clone(), Arc::clone(heard));
    let statuses = Arc::new(Mutex::new(statuses.to_vec()));
    let order = move |axum::Json(order): axum::Json<Value>| async move {
        let url = format!("{}/v1/charges", connection.url);
        let call = Call {
            url: &url,
            api_key: &connection.api_key,
            idempotency_key: order["order"].as_str(),
            body: &order,
            timeout: Duration::from_secs(5),
        };
        match post_over(&connection, call).await {
            Ok(answer) if answer.status == 201 => StatusCode::CREATED,
            _ => StatusCode::GATEWAY_TIMEOUT,
        }
    };
    let hook = move |headers: HeaderMap, body: Bytes| async move {
        heard.lock().expect("nobody panics with it").push((headers, body.to_vec()));
        let mut statuses = statuses.lock().expect("nobody panics with it");
        let status = if statuses.is_empty() { 200 } else { statuses.remove(0) };
        StatusCode::from_u16(status).expect("a status")
    };
    Router::new().route("/orders", post(order)).route("/hooks", post(hook))
}

/// What was heard, and each event of the trace about webhooks, with its time in milliseconds.
fn told(fault: &str, operations: u64, statuses: &[u16]) -> (Heard, Vec<String>, Judged) {
    let heard = Heard::default();
    let (shared, statuses) = (Arc::clone(&heard), statuses.to_vec());
    let dir = tempfile::tempdir().expect("a temporary folder");
    let judged = harness("payments", fault, operations)
        .virtual_time()
        .trace_to(dir.path())
        .service(move |connection: &Connection| shop(connection, &shared, &statuses))
        .run()
        .expect("it runs");
    let text = std::fs::read_to_string(dir.path().join("trace.jsonl")).expect("it is there");
    (heard, events(&text).iter().filter_map(in_words).collect(), judged)
}

fn in_words(event: &Event) -> Option<String> {
    let at_ms = event.at_us / 1_000;
    if let EventKind::WebhookSent(sent) = &event.kind {
        let (delivery, attempt, operation) = (sent.delivery, sent.attempt, &sent.operation);
        return Some(format!("{at_ms} sent {delivery}.{attempt} {} of {operation}", sent.kind));
    }
    let EventKind::WebhookAnswered(answered) = &event.kind else { return None };
    let status = answered.status.map_or(answered.detail.clone(), |status| status.to_string());
    let again = if answered.again { ", again" } else { "" };
    Some(format!("{at_ms} answered {} {status}{again}", answered.delivery))
}

#[test]
fn an_event_is_told_signed_and_told_again_until_it_is_heard() {
    let (heard, events, judged) = told("", 1, &[503, 500]);
    assert_eq!(
        events,
        [
            "0 sent 1.1 charge.succeeded of op-0001",
            "0 answered 1 503, again",
            "5000 sent 1.2 charge.succeeded of op-0001",
            "5000 answered 1 500, again",
            "305000 sent 1.3 charge.succeeded of op-0001",
            "305000 answered 1 200",
        ]
    );
    assert_eq!(judged.result.operations.succeeded, 1);
    let heard = heard.lock().expect("nobody panics with it");
    assert_eq!(heard.len(), 3);
    let key =
        Dialect::StandardWebhooks.key("whsec_YnJvd25vdXQtd2ViaG9vay1zZWNyZXQh").expect("right");
    for (headers, body) in &*heard {
        let text = |name: &str| headers[name].to_str().expect("text");
        let at_s = text("webhook-timestamp").parse().expect("a number");
        let id = text("webhook-id");
        assert!(id.starts_with("msg_"));
        let signed = Dialect::StandardWebhooks.headers(Some(&key), id, at_s, body);
        assert_eq!(text("webhook-signature"), signed[2].1);
        let body: Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(
            (&body["type"], &body["data"]["amount"]),
            (&"charge.succeeded".into(), &1999.into())
        );
    }
    // The id is the event's; time and signature are those of each delivery.
    assert_eq!(heard[0].0["webhook-id"], heard[2].0["webhook-id"]);
}

#[test]
fn what_a_fault_does_to_an_event_is_seen_where_it_arrives() {
    let sent = |fault: &str, operations| {
        let (heard, events, judged) = told(fault, operations, &[]);
        assert_eq!(judged.result.faults.get("told").copied(), Some(operations), "{fault}");
        let sent = events.into_iter().filter(|line| line.contains(" sent "));
        let heard = heard.lock().expect("nobody panics with it").clone();
        (sent.collect::<Vec<_>>(), heard)
    };
    let (lines, heard) = sent("{kind: duplicate, times: 2, apart: 50ms}", 1);
    let of = "charge.succeeded of op-0001";
    assert_eq!(
        lines,
        [format!("0 sent 1.1 {of}"), format!("50 sent 2.1 {of}"), format!("100 sent 3.1 {of}")]
    );
    assert!(heard.iter().all(|(headers, _)| headers["webhook-id"] == heard[0].0["webhook-id"]));
    assert_eq!(sent("{kind: delay, by: 1h}", 1).0, [format!("3600000 sent 1.1 {of}")]);
    assert!(sent("drop", 2).0.is_empty());
    let burst = sent("{kind: burst, every: 2s}", 3).0;
    assert_eq!(burst.iter().filter(|line| line.starts_with("0 sent")).count(), 3, "{burst:?}");
    assert_eq!(
        sent("{kind: retry_until_2xx, times: 1}", 1).0,
        [format!("0 sent 1.1 {of}"), format!("5000 sent 1.2 {of}")]
    );
    assert!(!sent("no_signature", 1).1[0].0.contains_key("webhook-signature"));
    let (honest, wrong) = (&sent("{kind: delay, by: 0s}", 1).1, &sent("bad_signature", 1).1);
    assert_ne!(honest[0].0["webhook-signature"], wrong[0].0["webhook-signature"]);
    let body = &honest[0].1;
    assert_eq!(sent("{kind: truncated, bytes: 20}", 1).1[0].1, body[..20]);
    // The last piece comes after so many pauses.
    let (heard, events, _) = told("{kind: slow_sender, bytes: 16, every: 1s}", 1, &[]);
    let pauses = body.len().div_ceil(16) - 1;
    assert_eq!(heard.lock().expect("nobody panics with it")[0].1.len(), body.len());
    if pauses < 15 {
        assert!(events[1].starts_with(&format!("{} answered 1 200", pauses * 1_000)), "{events:?}");
    }
}

#[test]
fn a_service_that_listens_nowhere_is_told_of_nothing() {
    let (_, events, _) = {
        let heard = Heard::default();
        let mut scenario = Scenario::clone(harness("payments", "", 1).scenario());
        let http = Arc::make_mut(scenario.workload.http.as_mut().expect("it is a service"));
        http.webhooks = None;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let shared = Arc::clone(&heard);
        let judged = Harness::new(scenario)
            .virtual_time()
            .without_control()
            .trace_to(dir.path())
            .service(move |connection: &Connection| shop(connection, &shared, &[]))
            .run()
            .expect("it runs");
        let text = std::fs::read_to_string(dir.path().join("trace.jsonl")).expect("it is there");
        (heard, events(&text).iter().filter_map(in_words).collect::<Vec<_>>(), judged)
    };
    assert!(events.is_empty(), "{events:?}");
}

/// Begins a job and stops it; what is told of its end.
#[test]
fn a_job_that_is_stopped_is_told_of_as_one_that_ended() {
    let scenario = "version: 1
name: stopped
provider: {api: vision}
workload:
  operations: 1
  input: {image: a.png, task: caption, reference: ref-1}
  http:
    calls: create_job
    request: {path: /jobs, json: '{{ input }}'}
    webhooks: {path: /hooks}
expect: [no_double_charges]
";
    let heard = Heard::default();
    let shared = Arc::clone(&heard);
    let service = move |connection: &Connection| {
        let (connection, heard) = (connection.clone(), Arc::clone(&shared));
        let begin = move |axum::Json(job): axum::Json<Value>| async move {
            let post = async |path: String, body: &Value| {
                let url = format!("{}{path}", connection.url);
                let key = Some(path.as_str());
                let api_key = &connection.api_key;
                let timeout = Duration::from_secs(5);
                let call = Call { url: &url, api_key, idempotency_key: key, body, timeout };
                post_over(&connection, call).await.expect("it is answered")
            };
            let begun = post("/v1/jobs".to_owned(), &job).await;
            let begun: Value = serde_json::from_slice(&begun.body).expect("JSON");
            let id = begun["id"].as_str().expect("it has an id");
            let stopped = post(format!("/v1/jobs/{id}/cancel"), &serde_json::json!({})).await;
            StatusCode::from_u16(stopped.status).expect("a status")
        };
        let hook = move |headers: HeaderMap, body: Bytes| async move {
            heard.lock().expect("nobody panics with it").push((headers, body.to_vec()));
            StatusCode::OK
        };
        Router::new().route("/jobs", post(begin)).route("/hooks", post(hook))
    };
    let harness = Harness::from_yaml(scenario).expect("a right scenario").without_control();
    harness.virtual_time().service(service).run().expect("it runs");
    let heard = heard.lock().expect("nobody panics with it");
    let told: Vec<Value> =
        heard.iter().map(|(_, body)| serde_json::from_slice(body).expect("JSON")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["type"], &told[0]["data"]["status"]),
        (&"job.finished".into(), &"canceled".into())
    );
}

/// What a shop around the stripe SDK says of one event, and what the trace holds of it.
fn stripe(fault: &str) -> (Vec<String>, Vec<String>) {
    let mut scenario = Scenario::clone(harness("stripe", fault, 1).scenario());
    scenario.drain = Duration::from_secs(1);
    let file = root().join("tests/clients/service/stripe_hooks.py");
    let command = [python(), file.into_os_string()];
    let command = command.map(|word| word.to_string_lossy().into_owned()).to_vec();
    let client = Client::Service(Arc::new(Service::new(command, None)));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = RunOptions { dir: Some(dir.path().join("run")), ..RunOptions::default() };
    let run = run_main(&scenario, scenario.seed, &client, &options).expect("it runs");
    let said = run.trace.outputs().iter().map(|line| line.text.to_string()).collect();
    let path = run.path.clone().expect("the run has a file");
    let text = std::fs::read_to_string(path).expect("the file is there");
    (said, events(&text).iter().filter_map(in_words).collect())
}

#[test]
fn the_stripe_sdk_takes_what_is_signed_rightly_and_refuses_all_else() {
    let (said, events) = stripe("");
    // What was delivered is what can be read, and listed by its type.
    assert_eq!(
        said,
        ["taken: payment_intent.succeeded payment_intent 1999", "kept: True True 0"],
        "{events:?}"
    );
    assert!(events.last().is_some_and(|line| line.ends_with("answered 1 200")), "{events:?}");
    for (fault, word) in [
        ("bad_signature", "refused: SignatureVerificationError No signatures found"),
        ("no_signature", "refused: SignatureVerificationError"),
        (
            "old_timestamp",
            "refused: SignatureVerificationError Timestamp outside the tolerance zone",
        ),
    ] {
        let (said, events) = stripe(fault);
        assert!(
            said.first().is_some_and(|line| line.starts_with(word)),
            "{fault}: {said:?} {events:?}"
        );
        assert!(events.iter().any(|line| line.contains("answered 1 400, again")), "{events:?}");
    }
    let (said, _) = stripe("{kind: duplicate, times: 2}");
    let taken = said.iter().filter(|line| line.starts_with("taken"));
    assert_eq!(taken.count(), 3, "{said:?}");
    // The SDK reads a body that never ends: the connection is gone before it is whole.
    let (said, events) = stripe("truncated");
    assert!(!said.iter().any(|line| line.starts_with("taken")), "{said:?} {events:?}");
}

/// What a webhook was on the wire: its head, its body, and how the sender ended the connection.
struct Bytewise {
    head: String,
    body: Vec<u8>,
    pieces: usize,
    ended: &'static str,
}

/// Reads one request byte by byte; a body that does not come whole is read to its end.
fn read(stream: &mut TcpStream) -> Bytewise {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a legal time");
    let mut bytes = Vec::new();
    let mut chunk = [0; 65_536];
    let head_ends = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let mut pieces = 0;
    loop {
        let (whole, length) = match head_ends(&bytes) {
            None => (false, 0),
            Some(at) => {
                let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
                let length = head.split("content-length: ").nth(1);
                let length = length.and_then(|text| text.lines().next()?.trim().parse().ok());
                let length: usize = length.unwrap_or(0);
                (bytes.len() >= at + 4 + length, length)
            }
        };
        let read = if whole { Ok(0) } else { stream.read(&mut chunk) };
        let ended = match (&read, whole) {
            (_, true) => "whole",
            (Ok(0), false) => "fin",
            (Ok(_), false) => "",
            (Err(_), false) => "rst",
        };
        if !ended.is_empty() {
            let at = head_ends(&bytes).expect("a head came");
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            assert!(bytes.len() <= at + 4 + length || ended != "whole");
            return Bytewise { head, body: bytes.split_off(at + 4), pieces, ended };
        }
        if head_ends(&bytes).is_some() {
            pieces += 1;
        }
        bytes.extend_from_slice(&chunk[..read.expect("something came")]);
    }
}

/// A service of raw sockets: it charges when it is asked to, and keeps what it is told of. Ends after a webhook,
/// or when somebody comes after the end.
fn raw(listener: &TcpListener, provider: u16, is_over: &AtomicBool) -> Vec<Bytewise> {
    let mut told = Vec::new();
    while told.is_empty() {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let request = match stream.peek(&mut [0]) {
            // It only looks whether somebody listens; were it a webhook of which not a byte came, the run would
            // end, and this with it.
            Ok(0) | Err(_) if told.is_empty() && is_over.load(Ordering::Relaxed) => return told,
            Ok(0) | Err(_) => continue,
            Ok(_) => read(&mut stream),
        };
        let is_hook = request.head.starts_with("POST /hooks ");
        if !is_hook {
            let mut charge = TcpStream::connect(("127.0.0.1", provider)).expect("it listens");
            let body = String::from_utf8(request.body.clone()).expect("JSON");
            let text = format!(
                "POST /v1/charges HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            charge.write_all(text.as_bytes()).expect("it is taken");
            let mut answer = String::new();
            charge.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        }
        // A sender that has cut its body does not wait for an answer.
        let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
        if is_hook {
            told.push(request);
        }
    }
    told
}

#[test]
fn webhooks_are_on_the_wire_what_they_should_be() {
    for (fault, check) in [
        ("{kind: delay, by: 0s}", "whole"),
        ("{kind: truncated, bytes: 30}", "cut"),
        ("{kind: slow_sender, bytes: 40, every: 20ms}", "slow"),
        ("no_signature", "bare"),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let place = format!("http://{}", listener.local_addr().expect("it listens"));
        let provider = Place::free().expect("a port is free").port;
        let mut scenario = Scenario::clone(harness("payments", fault, 1).scenario());
        scenario.drain = Duration::from_secs(2);
        let service = Service::new(Vec::new(), Some(place.parse().expect("a place")));
        let client = Client::Service(Arc::new(service));
        let options = RunOptions { port: Some(provider), ..RunOptions::default() };
        let is_over = Arc::new(AtomicBool::new(false));
        let (at, over) = (listener.local_addr().expect("it listens"), Arc::clone(&is_over));
        let told = std::thread::spawn(move || raw(&listener, provider, &over));
        run_main(&scenario, scenario.seed, &client, &options).expect("it runs");
        is_over.store(true, Ordering::Relaxed);
        // Wakes a service that was told of nothing; one that has ended needs no word.
        let _ = TcpStream::connect(at);
        let told = told.join().expect("the service ends").pop();
        let told = told.unwrap_or_else(|| panic!("{fault}: it was told of nothing"));
        let head = told.head.to_lowercase();
        assert!(head.starts_with("post /hooks http/1.1\r\n"), "{head}");
        for header in ["content-type: application/json", "webhook-id: msg_", "webhook-timestamp: "]
        {
            assert!(head.contains(header), "{header} is not in {head}");
        }
        assert_eq!(head.contains("webhook-signature: v1,"), check != "bare", "{head}");
        match check {
            "cut" => {
                assert_eq!(told.body.len(), 30);
                assert_ne!(told.ended, "whole");
            }
            "slow" => assert!(told.pieces > 2 && told.ended == "whole", "{}", told.pieces),
            _ => {
                let body: Value = serde_json::from_slice(&told.body).expect("JSON");
                assert_eq!(body["type"], "charge.succeeded");
            }
        }
    }
}
