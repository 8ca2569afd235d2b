//! Virtual time: unmodified clients over each transport, to the microsecond, byte for byte.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::drive::loopback::{Call, post_over};
use brownout::harness::{Harness, Judged, Transport};
use brownout::operation::{Operation, Outcome};
use brownout::verdict::Verdict;
use brownout_provider::event::{ClaimBy, ClockKind};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How often a client tries.
const ATTEMPTS: u32 = 6;

/// A scenario of `operations`, `concurrency` at a time, under these faults.
fn harness((operations, concurrency): (u64, u64), faults: &str) -> Harness {
    let hinted = if faults.contains("retry_after") { ", honors_retry_after" } else { "" };
    let text = format!(
        "version: 1
name: virtual
seed: 11
provider: {{api: payments}}
faults: {faults}
workload:
  call: create_charge
  operations: {operations}
  concurrency: {concurrency}
  input: {{amount: 1999, currency: usd, order: 'order-{{{{ n }}}}'}}
  deadline: 2h
expect: [no_double_charges, no_lost_operations, no_phantom_success{hinted}]
"
    );
    Harness::from_yaml(&text).expect("a right scenario").virtual_time()
}

/// The answer's status and the wait that it asks for; what failed otherwise, in words.
type Asked = Result<(u16, Option<u64>), String>;

/// Tries until it works, waits as it is asked to, and a second where it is asked for nothing. It logs what
/// failed: in the client's own words, which name the mock's port.
async fn persistently<W: Future<Output = Asked>>(
    connection: &Connection,
    ask: impl Fn() -> W,
) -> Outcome {
    for _ in 0..ATTEMPTS {
        let wait = match ask().await {
            Ok((201, _)) => return Outcome::succeeded(),
            Ok((_, wait)) => wait,
            Err(words) => {
                connection.log(&words);
                None
            }
        };
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
    }
    Outcome::unknown("it never worked")
}

/// A client on unmodified reqwest: one for all operations of a run.
pub(super) fn reqwest_client(
    connection: &Connection,
) -> impl Fn(Operation, Connection) -> LocalBoxed + use<> {
    let builder = connection.reqwest().expect("no pipe in memory");
    let client = builder.timeout(Duration::from_secs(30)).build().expect("a client");
    move |operation, connection| {
        let client = client.clone();
        Box::pin(async move {
            persistently(&connection, || async {
                let answer = client
                    .post(format!("{}/v1/charges", operation.url))
                    .bearer_auth(&operation.api_key)
                    .header("idempotency-key", &*operation.id)
                    .header("content-type", "application/json")
                    .body(operation.input.to_string())
                    .send()
                    .await
                    .map_err(|error| error.to_string())?;
                let (status, wait) = (answer.status().as_u16(), wait(answer.headers()));
                answer.bytes().await.map_err(|error| error.to_string())?;
                Ok((status, wait))
            })
            .await
        })
    }
}

pub(super) type LocalBoxed = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

/// A client on hyper-util's pool, over whichever transport there is.
pub(super) fn hyper_client(
    connection: &Connection,
) -> impl Fn(Operation, Connection) -> LocalBoxed + use<> {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build::<_, Full<Bytes>>(connection.connector());
    move |operation, connection| {
        let client = client.clone();
        Box::pin(async move {
            persistently(&connection, || async {
                let request = http::Request::post(format!("{}/v1/charges", operation.url))
                    .header("authorization", format!("Bearer {}", operation.api_key))
                    .header("idempotency-key", &*operation.id)
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(operation.input.to_string())))
                    .expect("a right request");
                let asking = tokio::time::timeout(Duration::from_secs(30), client.request(request));
                let answer = asking.await.map_err(|_| "late".to_owned())?;
                let answer = answer.map_err(|error| error.to_string())?;
                let (status, wait) = (answer.status().as_u16(), wait(answer.headers()));
                answer.into_body().collect().await.map_err(|error| error.to_string())?;
                Ok((status, wait))
            })
            .await
        })
    }
}

fn wait(headers: &http::HeaderMap) -> Option<u64> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok()
}

/// Sends one charge by the built-in client.
async fn charge(operation: &Operation, connection: &Connection) -> Asked {
    let call = Call {
        url: &format!("{}/v1/charges", operation.url),
        api_key: &operation.api_key,
        idempotency_key: Some(&operation.id),
        body: &operation.input,
        timeout: Duration::from_secs(3600),
    };
    let answer = post_over(connection, call).await.map_err(|error| error.to_string())?;
    Ok((answer.status, answer.retry_after.map(|wait| wait.as_secs())))
}

/// When each request arrived, in the order of arrival.
fn arrivals(judged: &Judged) -> Vec<u64> {
    judged.trace.requests().map(|(_, request)| request.at_us).collect()
}

const BUSY_FOR_A_MINUTE: &str =
    "[{name: busy, when: {attempt: 1}, inject: {status: {code: 503, retry_after: 60s}}}]";

#[test]
fn reqwest_waits_a_minute_in_no_time_and_to_the_microsecond() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let harness = harness((3, 1), BUSY_FOR_A_MINUTE).transport(transport);
        let judged = harness.run_with(reqwest_client).expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{:?}", judged.result);
        assert_eq!(judged.trace.clock(), ClockKind::Virtual);
        let minutes = |minutes: u64| minutes * 60_000_000;
        let expected = [0, 1, 1, 2, 2, 3].map(minutes);
        assert_eq!(arrivals(&judged), expected, "{transport}");
    }
}

#[test]
fn hyper_util_waits_a_minute_over_every_transport() {
    for transport in Transport::ALL {
        let harness = harness((2, 2), BUSY_FOR_A_MINUTE).transport(transport);
        let judged = harness.run_with(hyper_client).expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{:?}", judged.result);
        assert_eq!(arrivals(&judged), [0, 0, 60_000_000, 60_000_000], "{transport}");
    }
}

#[test]
fn the_same_closure_runs_on_the_real_clock() {
    let text = "version: 1
name: real
provider: {api: payments}
faults: [{name: busy, when: {attempt: 1}, inject: {status: {code: 503, retry_after: 1s}}}]
workload: {call: create_charge, operations: 1, input: {amount: 1, currency: usd, order: 'o-{{ n }}'}}
expect: [honors_retry_after]
";
    for transport in Transport::ALL {
        let harness = Harness::from_yaml(text).expect("a right scenario").transport(transport);
        let judged = harness.run_with(hyper_client).expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{transport}: {:?}", judged.result);
        assert_eq!(judged.trace.clock(), ClockKind::Real);
    }
}

/// Everything that a client can be done to, by chance.
const STORM: &str = "
  - {name: slow, when: {chance: 40%}, inject: {latency: {uniform: {min: 1ms, max: 3s}}}}
  - {name: lost, when: {attempt: {to: 3}, chance: 25%}, inject: {reset: {at: after_commit}}}
  - {name: gone, when: {attempt: {to: 3}, chance: 15%}, inject: {close: {at: before_commit}}}
  - {name: half, when: {attempt: {to: 3}, chance: 15%}, inject: {truncate: {after_bytes: 40, then: rst}}}
  - {name: busy, when: {attempt: {to: 4}, chance: 30%}, inject: {status: {code: 503, retry_after: 7s}}}
  - {name: mute, when: {attempt: 2, chance: 10%}, inject: hang}
";

/// How many equal runs are compared: many more where `tests/run --full` asks for it.
#[expect(clippy::disallowed_methods, reason = "the script that runs all tests says so this way")]
pub(super) fn repetitions() -> u32 {
    if std::env::var("BROWNOUT_TEST_FULL").is_ok() { 10_000 } else { 200 }
}

/// The different traces that equal runs leave.
fn traces<B, C>(transport: Transport, concurrency: u64, factory: B) -> BTreeSet<String>
where
    B: Fn(&Connection) -> C + Send + Sync + 'static,
    C: Fn(Operation, Connection) -> LocalBoxed + 'static,
{
    let folder = tempfile::tempdir().expect("a temporary folder");
    let harness = harness((8, concurrency), STORM).transport(transport).trace_to(folder.path());
    let prepared = harness.without_control().prepare_with(factory);
    (0..repetitions())
        .map(|_| {
            let judged = prepared.run().expect("it runs");
            assert!(judged.result.requests >= 8, "{:?}", judged.result);
            std::fs::read_to_string(folder.path().join("trace.jsonl")).expect("it was written")
        })
        .collect()
}

pub(super) fn one_trace(traces: &BTreeSet<String>, what: &str) {
    let mut each = traces.iter();
    let (first, second) = (each.next().expect("a trace"), each.next());
    if let Some(second) = second {
        let line = first.lines().zip(second.lines()).find(|(one, other)| one != other);
        panic!("{what}: {} traces; the first two differ here: {line:#?}", traces.len());
    }
    assert!(first.contains("\"clock\":\"virtual\""), "{what}");
    assert!(first.contains("\"event\":\"client_output\""), "{what}: nothing failed");
}

#[test]
fn equal_runs_over_tcp_leave_one_trace() {
    for concurrency in [1, 8] {
        one_trace(&traces(Transport::Tcp, concurrency, reqwest_client), "TCP");
    }
}

#[test]
fn equal_runs_over_a_unix_socket_leave_one_trace() {
    for concurrency in [1, 8] {
        one_trace(&traces(Transport::Unix, concurrency, reqwest_client), "unix socket");
    }
}

#[test]
fn equal_runs_over_a_pipe_leave_one_trace() {
    for concurrency in [1, 8] {
        one_trace(&traces(Transport::Memory, concurrency, hyper_client), "pipe in memory");
    }
}

#[test]
fn a_deadline_of_hours_passes_at_once() {
    let harness = harness((1, 1), "[{name: mute, inject: hang}]");
    let judged = harness
        .without_control()
        .run(|operation, connection| async move {
            let _ = charge(&operation, &connection).await;
            std::future::pending().await
        })
        .expect("it runs");
    let (_, submit) = judged.trace.submits().next().expect("it was submitted");
    let last = judged.trace.claims(submit).last().expect("silence is on record");
    assert_eq!((last.at_us, last.by), (7_200_000_000, ClaimBy::Driver));
}

#[test]
fn a_reset_is_one_over_every_transport() {
    let reset = "[{name: lost, when: {attempt: 1}, inject: {reset: {at: after_commit}}}]";
    for transport in Transport::ALL {
        let judged = harness((1, 1), reset)
            .transport(transport)
            .without_control()
            .run(|operation, connection| async move {
                let body = operation.input.to_string();
                let (_, token) = operation.url.rsplit_once('/').expect("a token in the URL");
                let request = format!(
                    "POST /{token}/v1/charges HTTP/1.1\r\nhost: mock\r\nauthorization: Bearer {}\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    operation.api_key,
                    body.len()
                );
                let mut stream = connection.connect().await.expect("it listens");
                stream.write_all(request.as_bytes()).await.expect("it is taken");
                let mut answer = Vec::new();
                let ended = stream.read_to_end(&mut answer).await.expect_err("it is reset");
                assert!(answer.is_empty());
                Outcome::unknown(format!("{:?}", ended.kind()))
            })
            .expect("it runs");
        let (_, submit) = judged.trace.submits().next().expect("it was submitted");
        let last = judged.trace.claims(submit).last().expect("a claim");
        let detail = judged.trace.text(last.detail.expect("words"));
        assert_eq!(detail, "ConnectionReset", "{transport}");
        let (_, request) = judged.trace.requests().next().expect("a request");
        assert_eq!(judged.result.effects.get("charge"), Some(&1), "{request:?}");
    }
}

#[test]
fn a_client_that_blocks_is_given_up_with_a_sentence() {
    let harness = harness((1, 1), "[]").patience(Duration::from_millis(200));
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let on_the_thread = Arc::clone(&held);
    let error = harness
        .run(move |_, _| {
            let held = Arc::clone(&on_the_thread);
            async move {
                // As a blocking client would: the whole runtime stands still.
                let _ = held.lock().map(|held| held.recv());
                Outcome::succeeded()
            }
        })
        .expect_err("it stands still");
    drop(let_go);
    let words = error.to_string();
    assert!(words.contains("virtual time has stood still for 200 ms of real time"), "{words}");
    assert!(words.contains("leave virtual time out"), "{words}");

    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let error = harness
        .run(move |_, _| {
            let held = Arc::clone(&held);
            async move {
                let blocked = tokio::task::spawn_blocking(move || {
                    let _ = held.lock().map(|held| held.recv());
                });
                let _ = blocked.await;
                Outcome::succeeded()
            }
        })
        .expect_err("it stands still");
    assert_eq!(error.to_string(), words);
    drop(let_go);
    let well = harness.run_with(reqwest_client).expect("the next run is not held up");
    assert_eq!(well.result.operations.succeeded, 1);
}

#[test]
fn what_a_client_does_after_its_last_claim_is_part_of_the_run() {
    let judged = harness((1, 1), "[]")
        .run(|operation, connection| async move {
            let ask = |key: &'static str| {
                let (operation, connection) = (operation.clone(), connection.clone());
                async move {
                    let url = format!("{}/v1/charges", operation.url);
                    let call = Call {
                        url: &url,
                        api_key: &operation.api_key,
                        idempotency_key: Some(key),
                        body: &operation.input,
                        timeout: Duration::from_secs(5),
                    };
                    post_over(&connection, call).await.map(|answer| answer.status)
                }
            };
            let again = ask("another");
            // Nobody waits for it.
            drop(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(400)).await;
                let _ = again.await;
            }));
            match ask("one").await {
                Ok(201) => Outcome::succeeded(),
                other => Outcome::failed(format!("{other:?}")),
            }
        })
        .expect("it runs");
    assert_eq!(judged.result.verdict, Verdict::Failed, "{}", judged.report());
    assert_eq!(arrivals(&judged), [0, 400_000]);
    let broken = judged.invariant("no_double_charges").expect("it is expected");
    assert_eq!(broken.violations.len(), 1);
    // The time in which nothing happened any more is not the client's.
    assert_eq!(judged.result.elapsed_ms, 400);
}

#[test]
fn a_client_that_crashes_whenever_it_starts_is_given_up_with_a_sentence() {
    let error = harness((2, 1), "[]")
        .run(|_, connection| async move {
            connection.crash().await;
            Outcome::failed("never said")
        })
        .expect_err("it gets nowhere");
    let words = error.to_string();
    assert!(
        words.starts_with("copy 1 of the client crashed 1000 times one right after the other"),
        "{words}"
    );
    assert_eq!(format!("{error:?}"), words, "the debug form is what `expect` prints");
    // A crash for each of many operations at one instant is no such loop.
    let crashed = Arc::new(AtomicU32::new(0));
    let judged = harness((1_500, 1), "[]")
        .without_control()
        .run(move |_, connection| {
            let is_first = crashed.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            async move {
                if is_first {
                    connection.crash().await;
                }
                Outcome::failed("nothing was sent")
            }
        })
        .expect("each gets somewhere");
    assert_eq!(judged.result.operations.failed, 1_500);
}

#[test]
fn a_deadline_that_was_missed_names_the_clock_that_stood_still() {
    let judged = harness((2, 2), "[]")
        .without_control()
        .run(|_, _| async {
            tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
            Outcome::failed("too late")
        })
        .expect("it runs");
    let note = judged.result.notes.iter().find(|note| note.contains("std::time::Instant"));
    let note = note.expect("a note");
    assert!(
        note.starts_with("2 deadlines were missed in virtual time; if your client measures"),
        "{note}"
    );
}

#[test]
fn a_crash_drops_all_work_of_the_client_and_begins_it_again() {
    let builds = Arc::new(AtomicU32::new(0));
    let built = Arc::clone(&builds);
    let harness = harness((2, 2), "[]").without_control();
    let judged = harness
        .run_with(move |_| {
            let life = built.fetch_add(1, Ordering::Relaxed) + 1;
            move |operation: Operation, connection: Connection| async move {
                let asked = charge(&operation, &connection).await;
                if life == 1 && operation.n == 2 {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    connection.crash().await;
                }
                if life == 1 {
                    // Still at work when the other operation takes the client down.
                    std::future::pending::<()>().await;
                }
                assert_eq!(asked, Ok((201, None)));
                Outcome::succeeded()
            }
        })
        .expect("it runs");
    assert_eq!(builds.load(Ordering::Relaxed), 2);
    assert_eq!(arrivals(&judged), [0, 0, 5_000_000, 5_000_000]);
    assert_eq!(judged.result.operations.succeeded, 2);
    assert_eq!(judged.result.effects.get("charge"), Some(&2), "the keys were kept");
    assert_eq!(judged.trace.client_ends().len(), 1);
    assert!(judged.trace.client_ends()[0].killed);
}

#[test]
fn a_fleet_shares_the_operations_in_turn() {
    let harness = harness((6, 6), "[]").without_control().fleet(3);
    let judged = harness
        .run_with(|connection| {
            let own = connection.client;
            move |operation: Operation, connection: Connection| async move {
                assert_eq!(connection.client, own);
                Outcome::failed(format!("{} by {own}", operation.n))
            }
        })
        .expect("it runs");
    let details: BTreeSet<String> = judged
        .trace
        .submits()
        .filter_map(|(_, submit)| judged.trace.claims(submit).last()?.detail)
        .map(|detail| judged.trace.text(detail).to_owned())
        .collect();
    let expected = ["1 by 1", "2 by 2", "3 by 3", "4 by 1", "5 by 2", "6 by 3"];
    assert_eq!(details, expected.map(str::to_owned).into());
}

#[test]
fn a_date_is_written_for_the_clock_that_the_client_has() {
    let dated = "[{name: busy, when: {attempt: {to: 2}}, inject: {status: {code: 503, retry_after: {http_date: 30s}}}}]";
    let judged = harness((1, 1), dated)
        .without_control()
        .run_with(|connection| {
            let builder = connection.reqwest().expect("no pipe in memory");
            let client = builder.build().expect("a client");
            move |operation: Operation, _| {
                let client = client.clone();
                async move {
                    loop {
                        let answer = client
                            .post(format!("{}/v1/charges", operation.url))
                            .bearer_auth(&operation.api_key)
                            .header("content-type", "application/json")
                            .body(operation.input.to_string())
                            .send()
                            .await
                            .expect("an answer");
                        let Some(date) = answer.headers().get("retry-after") else {
                            return Outcome::succeeded();
                        };
                        let date = httpdate::parse_http_date(date.to_str().expect("ASCII"));
                        // As any client does it: by the machine's wall clock, which knows nothing of the run.
                        #[expect(clippy::disallowed_methods, reason = "the client under test does")]
                        let now = std::time::SystemTime::now();
                        let wait = date.expect("a date").duration_since(now).expect("it is ahead");
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        })
        .expect("it runs");
    assert_eq!(judged.result.verdict, Verdict::Passed, "{:?}", judged.result);
    let arrivals = arrivals(&judged);
    for pair in arrivals.windows(2) {
        let wait_us = pair[1] - pair[0];
        assert!((30_000_000..33_000_000).contains(&wait_us), "{arrivals:?}");
    }
    for (id, request) in judged.trace.requests().take(2) {
        let hint = judged.trace.hints(id).first().expect("a hint");
        assert_eq!(hint.wait_us, Some(30_000_000), "{request:?}");
    }
}
