//! Runs a second in virtual time on one core, against the same loop without plan, trace and judging: the
//! bare provider and the same client on the same transport, in a fresh runtime each. For scale also
//! against a server that is no provider at all: hyper, with an answer that is written down.
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
use brownout_provider::provider::{Provider, Setup};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::server::Server;
use brownout_provider::shell::transport::Endpoint;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::{Connected, Connection as Wired};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use support::{Nowhere, fraction, median, percentile, stay_on_core};
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
    let only = std::env::args().skip_while(|word| word != "--only").nth(1);
    let asked = |name: &str| only.as_ref().is_none_or(|only| name.starts_with(only.as_str()));
    // For a profiler: so many runs of one kind alone.
    let alone = std::env::args().skip_while(|word| word != "--alone").nth(1);
    if let Some(runs) = std::env::args().skip_while(|word| word != "--runs").nth(1) {
        let runs = runs.parse().expect("a number of runs");
        return alone_so_often(alone.as_deref().unwrap_or("memory"), runs);
    }
    if asked("memory") {
        let prepared = prepared(Transport::Memory, hyper);
        measure("in memory, hyper-util", 600, prepared, [provider_in_memory, hyper_in_memory]);
    }
    if asked("unix") {
        let prepared = prepared(Transport::Unix, reqwest_);
        measure("unix socket, reqwest", 700, prepared, [provider_on_unix, hyper_on_unix]);
    }
}

/// Runs one kind alone: `memory` and `unix` with brownout, `bare-memory` and `bare-unix` without.
fn alone_so_often(kind: &str, runs: u32) {
    let one: Box<dyn Fn()> = match kind {
        "memory" => with(prepared(Transport::Memory, hyper)),
        "unix" => with(prepared(Transport::Unix, reqwest_)),
        "bare-memory" => Box::new(provider_in_memory),
        "bare-unix" => Box::new(provider_on_unix),
        other => panic!("`{other}` is no kind of run"),
    };
    for _ in 0..runs {
        one();
    }
}

fn with(prepared: Prepared) -> Box<dyn Fn()> {
    Box::new(move || {
        let judged = prepared.run().expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{:?}", judged.result);
        assert_eq!(judged.result.requests, 3);
    })
}

fn prepared<B, C>(transport: Transport, factory: B) -> Prepared
where
    B: Fn(&Connection) -> C + Send + Sync + 'static,
    C: Fn(Operation, Connection) -> Boxed + 'static,
{
    let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    harness.virtual_time().transport(transport).prepare_with(factory)
}

/// Measures all in turn: with brownout, with the bare provider, with bare hyper. The goal is the ratio of
/// the first two rates, in thousandths.
fn measure(what: &str, goal: u64, prepared: Prepared, bare: [fn(); 2]) {
    let with = with(prepared);
    with();
    bare.iter().for_each(|bare| bare());
    let mut times = [const { Vec::new() }; 3];
    let mut ratios = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let with_us = time(&with);
        times[0].push(with_us);
        for (which, bare) in bare.iter().enumerate() {
            let bare_us = time(bare);
            times[which + 1].push(bare_us);
            ratios[which].push(bare_us * 1_000 / with_us.max(1));
        }
    }
    let rate = |times: &[u64]| u64::from(RUNS) * 1_000_000 / median(times).max(1);
    println!("{what}: {RUNS} runs of 3 requests, {ROUNDS} rounds");
    println!(
        "  {} runs a second with brownout, {} with the bare provider, {} with bare hyper",
        rate(&times[0]),
        rate(&times[1]),
        rate(&times[2])
    );
    let spread = |ratios: &[u64]| {
        let [low, high] = [10, 90].map(|part| fraction(percentile(ratios, part)));
        format!("{} ({low} to {high})", fraction(median(ratios)))
    };
    println!(
        "  ratio to the bare provider {}, goal {}: {}",
        spread(&ratios[0]),
        fraction(goal),
        if median(&ratios[0]) >= goal { "reached" } else { "missed" }
    );
    println!("  ratio to bare hyper {}", spread(&ratios[1]));
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

/// A fresh runtime for one run, of the kind that brownout gives a run.
fn on_paused_time(run: impl Future<Output = Outcome>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    let outcome = runtime.block_on(run);
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

/// The provider of the scenario without its rules, and nobody who writes down what happens.
async fn bare_provider(transport: Transport, harness: &Harness) -> Server {
    let (name, spec) = harness.scenario().providers.first();
    let setup = Setup {
        name: Arc::clone(name),
        api: Arc::clone(&spec.api),
        rules: Vec::new(),
        seed: harness.scenario().seed,
        wall: Clock::paused().wall(),
        operation_id: None,
        limits: true,
        http2: false,
        webhooks: false,
    };
    let server =
        Server::over(transport, Provider::new(setup), Clock::paused(), Arc::new(Nowhere)).await;
    server.expect("it listens")
}

/// The same three requests; without a plan all of them succeed.
async fn thrice<W: Future<Output = (u16, Option<u64>)>>(ask: impl Fn() -> W) -> Outcome {
    for _ in 0..3 {
        let (status, _) = ask().await;
        assert_eq!(status, 201);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Outcome::succeeded()
}

thread_local! {
    static HARNESS: Harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
}

fn provider_in_memory() {
    on_paused_time(async {
        let harness = HARNESS.with(Clone::clone);
        let server = bare_provider(Transport::Memory, &harness).await;
        let client = pool(Pipes(Far::Provider(server.endpoint().clone())));
        let outcome = thrice(|| by_pool(&client, URL, KEY, BODY.to_owned())).await;
        server.shutdown().await.expect("the door was never closed");
        outcome
    });
}

fn provider_on_unix() {
    on_paused_time(async {
        let harness = HARNESS.with(Clone::clone);
        let server = bare_provider(Transport::Unix, &harness).await;
        let client = reqwest::Client::builder()
            .no_proxy()
            .unix_socket(server.endpoint().path().expect("a unix socket"))
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        let outcome = thrice(|| by_reqwest(&client, URL, KEY, BODY.to_owned())).await;
        server.shutdown().await.expect("the door was never closed");
        outcome
    });
}

fn hyper_in_memory() {
    on_paused_time(async {
        let (sender, mut accepted) = mpsc::unbounded_channel::<DuplexStream>();
        let asked = Arc::new(AtomicU32::new(0));
        tokio::spawn(async move {
            while let Some(stream) = accepted.recv().await {
                tokio::spawn(answer(stream, Arc::clone(&asked)));
            }
        });
        let client = pool(Pipes(Far::Hyper(sender)));
        persistently(|| by_pool(&client, URL, KEY, BODY.to_owned())).await
    });
}

/// Tells the sockets of this process apart.
static LAST: AtomicU32 = AtomicU32::new(0);

fn hyper_on_unix() {
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

/// What stands at the other end.
#[derive(Clone)]
enum Far {
    Provider(Endpoint),
    Hyper(mpsc::UnboundedSender<DuplexStream>),
}

#[derive(Clone)]
struct Pipes(Far);

impl tower_service::Service<Uri> for Pipes {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let far = self.0.clone();
        Box::pin(async move {
            let near: Box<dyn Duplex> = match far {
                Far::Provider(endpoint) => Box::new(endpoint.connect().await?),
                Far::Hyper(sender) => {
                    let (near, far) = tokio::io::duplex(64 << 10);
                    sender.send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
                    Box::new(near)
                }
            };
            Ok(Pipe(TokioIo::new(near)))
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

struct Pipe(TokioIo<Box<dyn Duplex>>);

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
