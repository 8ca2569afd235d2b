//! Runs a second in virtual time on one core, against the same loop without brownout: a bare server and
//! the same client on the same transport, in a fresh runtime each.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::harness::{Harness, Prepared, Transport};
use brownout::operation::{Operation, Outcome};
use brownout::verdict::Verdict;
use brownout_provider::shell::clock::Clock;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::{Connected, Connection as Wired};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use support::{fraction, median, percentile, stay_on_core};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

/// Runs in one measurement.
const RUNS: u32 = 400;
/// How often both are measured, in turn.
const ROUNDS: usize = 15;

const SCENARIO: &str = "version: 1
name: bench
provider: {api: payments}
faults:
  - {name: busy, when: {attempt: {to: 2}}, inject: {status: {code: 503, retry_after: 1s}}}
workload:
  call: create_charge
  operations: 1
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 1h
expect:
  - no_double_charges
  - no_lost_operations
  - no_phantom_success
  - honors_retry_after
  - bounded_retries: {max_attempts: 5}
  - at_most_one_effect: {kind: charge}
  - idempotency_key_present
  - idempotency_key_stable
  - no_overlapping_attempts
  - failures_surface
  - nothing_after_claim
  - idempotency_key_bound_to_body
";

fn main() {
    let _place = stay_on_core(0);
    measure("in memory, hyper-util", 600, prepared(Transport::Memory, hyper), bare_memory);
    measure("unix socket, reqwest", 700, prepared(Transport::Unix, reqwest_), bare_unix);
}

fn prepared<B, C>(transport: Transport, factory: B) -> Prepared
where
    B: Fn(&Connection) -> C + Send + Sync + 'static,
    C: Fn(Operation, Connection) -> Boxed + 'static,
{
    let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    harness.virtual_time().transport(transport).prepare_with(factory)
}

/// Measures both in turn; the goal is the ratio of their rates, in thousandths.
fn measure(what: &str, goal: u64, prepared: Prepared, bare: fn()) {
    let with = || {
        let judged = prepared.run().expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{:?}", judged.result);
        assert_eq!(judged.result.requests, 3);
    };
    with();
    bare();
    let (mut bares, mut withs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare_us = time(bare);
        let with_us = time(with);
        ratios.push(bare_us * 1_000 / with_us.max(1));
        bares.push(bare_us);
        withs.push(with_us);
    }
    let rate = |times: &[u64]| u64::from(RUNS) * 1_000_000 / median(times).max(1);
    println!("{what}: {RUNS} runs of 3 requests, {ROUNDS} rounds");
    println!("  {} runs a second with brownout, {} without", rate(&withs), rate(&bares));
    println!(
        "  ratio {} ({} to {}), goal {}: {}",
        fraction(median(&ratios)),
        fraction(percentile(&ratios, 10)),
        fraction(percentile(&ratios, 90)),
        fraction(goal),
        if median(&ratios) >= goal { "reached" } else { "missed" }
    );
}

fn time(one: impl Fn()) -> u64 {
    let clock = Clock::real();
    for _ in 0..RUNS {
        one();
    }
    clock.now_us()
}

type Boxed = Pin<Box<dyn Future<Output = Outcome>>>;

/// The client: three attempts at most, each wait as it is asked for.
async fn persistently<W: Future<Output = (u16, Option<u64>)>>(ask: impl Fn() -> W) -> Outcome {
    for _ in 0..3 {
        match ask().await {
            (201, _) => return Outcome::succeeded(),
            (_, wait) => tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await,
        }
    }
    Outcome::unknown("it never worked")
}

fn wait(headers: &HeaderMap) -> Option<u64> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok()
}

type Pool<C> = hyper_util::client::legacy::Client<C, Full<Bytes>>;

fn pool<C>(connector: C) -> Pool<C>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build(connector)
}

async fn by_pool<C>(client: &Pool<C>, url: &str, key: &str, body: String) -> (u16, Option<u64>)
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let request = http::Request::post(format!("{url}/v1/charges"))
        .header("authorization", format!("Bearer {key}"))
        .header("idempotency-key", "op-0001")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a right request");
    let asking = tokio::time::timeout(Duration::from_secs(30), client.request(request));
    let answer = asking.await.expect("in time").expect("an answer");
    let told = (answer.status().as_u16(), wait(answer.headers()));
    answer.into_body().collect().await.expect("a whole answer");
    told
}

fn hyper(connection: &Connection) -> impl Fn(Operation, Connection) -> Boxed + use<> {
    let client = pool(connection.connector());
    move |operation, _| {
        let client = client.clone();
        Box::pin(async move {
            persistently(|| {
                by_pool(&client, &operation.url, &operation.api_key, operation.input.to_string())
            })
            .await
        })
    }
}

async fn by_reqwest(
    client: &reqwest::Client,
    url: &str,
    key: &str,
    body: String,
) -> (u16, Option<u64>) {
    let request = client
        .post(format!("{url}/v1/charges"))
        .bearer_auth(key)
        .header("idempotency-key", "op-0001")
        .header("content-type", "application/json")
        .body(body);
    let answer = request.send().await.expect("an answer");
    let told = (answer.status().as_u16(), wait(answer.headers()));
    answer.bytes().await.expect("a whole answer");
    told
}

fn reqwest_(connection: &Connection) -> impl Fn(Operation, Connection) -> Boxed + use<> {
    let builder = connection.reqwest().expect("no pipe in memory");
    let client = builder.timeout(Duration::from_secs(30)).build().expect("a client");
    move |operation, _| {
        let client = client.clone();
        Box::pin(async move {
            persistently(|| {
                by_reqwest(&client, &operation.url, &operation.api_key, operation.input.to_string())
            })
            .await
        })
    }
}

const BODY: &str = r#"{"amount":1999,"currency":"usd","order":"order-1"}"#;
const URL: &str = "http://127.0.0.1:1/~op-0001.1";
const KEY: &str = "sk_test_0123456789abcdef";

/// A fresh runtime for one run.
fn on_paused_time(run: impl Future<Output = Outcome>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, run);
    assert_eq!(outcome, Outcome::succeeded());
}

/// Answers 503 twice and then 201, on one connection after another.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, asked: Arc<AtomicU32>) {
    let service = hyper::service::service_fn(
        move |request: http::Request<hyper::body::Incoming>| {
            let asked = Arc::clone(&asked);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
                std::hint::black_box(&value);
                let served = asked.fetch_add(1, Ordering::Relaxed);
                let mut response = http::Response::new(Full::new(Bytes::from_static(
                br#"{"id":"ch_0123456789abcdef","object":"charge","status":"succeeded","amount":1999}"#,
            )));
                let status =
                    if served < 2 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CREATED };
                *response.status_mut() = status;
                let headers = response.headers_mut();
                headers.insert("content-type", http::HeaderValue::from_static("application/json"));
                if served < 2 {
                    headers.insert("retry-after", http::HeaderValue::from_static("1"));
                }
                Ok::<_, hyper::Error>(response)
            }
        },
    );
    let mut http = hyper::server::conn::http1::Builder::new();
    http.auto_date_header(false);
    // How the client leaves is no matter here.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

fn bare_memory() {
    on_paused_time(async {
        let (sender, mut accepted) = mpsc::unbounded_channel::<DuplexStream>();
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(async move {
            while let Some(stream) = accepted.recv().await {
                tokio::spawn(answer(stream, Arc::clone(&asked)));
            }
        });
        let client = pool(Pipes(sender));
        persistently(|| by_pool(&client, URL, KEY, BODY.to_owned())).await
    });
}

/// Tells the sockets of this process apart.
static LAST: AtomicU32 = AtomicU32::new(0);

fn bare_unix() {
    on_paused_time(async {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = format!("\0brownout-bench-{}-{number}", std::process::id());
        let listener = UnixListener::bind(&path).expect("a free name");
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&asked)));
            }
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .unix_socket(path)
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        persistently(|| by_reqwest(&client, URL, KEY, BODY.to_owned())).await
    });
}

#[derive(Clone)]
struct Pipes(mpsc::UnboundedSender<DuplexStream>);

impl tower_service::Service<Uri> for Pipes {
    type Response = Pipe;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Pipe>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (near, far) = tokio::io::duplex(64 << 10);
        let sent = self.0.send(far).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        std::future::ready(sent.map(|()| Pipe(TokioIo::new(near))))
    }
}

struct Pipe(TokioIo<DuplexStream>);

impl Wired for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, into)
    }
}

impl hyper::rt::Write for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
