//! How many requests a second the provider answers, as a ratio to a bare hyper server that reads the
//! body, parses the JSON and writes the same bytes.
//!
//! The load comes from another process; runs of the bare server stand before and after each run of
//! another, and the medians of their ratios are printed. The goal is 0.6 with the trace on disk.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;

use brownout::drive::stop::Stop;
use brownout::record::Recorder;
use brownout_provider::event::{Event, Side, Sink};
use brownout_provider::exchange::{
    Answer, End, Exchange, ExchangeId, Finish, Listening, Next, Wire,
};
use brownout_provider::provider::Provider;
use brownout_provider::request::Request;
use brownout_provider::rule::Rule;
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::handler::Handler;
use brownout_provider::shell::server::Server;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use support::bare::{self, Fixed};
use support::load;
use support::provider;
use support::{Nowhere, fraction, median, spread_permille, stay_on_core, thread_cpu_us};
use tokio::sync::oneshot;

/// Rounds, each with a run of every server.
const ROUNDS: usize = 9;
/// How long a run lasts, in milliseconds.
const RUN_MS: u64 = 700;
/// How many requests the state machine gets alone.
const ALONE: u64 = 200_000;
/// The goal, in thousandths.
const GOAL_PERMILLE: u64 = 600;
/// A baseline that spreads wider says nothing, in thousandths.
const SPREAD_PERMILLE: u64 = 100;

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bare,
    Shell,
    Untraced,
    Ruled,
    Traced,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Shell, "shell alone, one fixed answer"),
    (Kind::Untraced, "provider, events thrown away"),
    (Kind::Ruled, "the same, 50 rules that never strike"),
    (Kind::Traced, "provider, trace on disk"),
];

/// What one run came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    rate: u64,
    /// CPU time of the server's thread for a request, in nanoseconds.
    cpu_ns: u64,
}

fn main() {
    if load::is_load() {
        return;
    }
    let argument = |name: &str| std::env::args().skip_while(|found| found != name).nth(1);
    // For a profiler: one part alone.
    if let Some(requests) = argument("--alone").and_then(|number| number.parse().ok()) {
        println!("state machine alone, no IO: {} ns a request", alone_ns(requests, &Nowhere));
        let trace = Trace::new();
        println!("with the trace: {} ns a request", alone_ns(requests, &*trace.recorder));
        trace.finish();
        return;
    }
    let answer = fixed();
    if let Some(name) = argument("--only") {
        let (kind, _) =
            KINDS.into_iter().find(|(_, known)| *known == name).unwrap_or((Kind::Bare, ""));
        println!("{:?}", run(kind, 8, &answer, 8 * RUN_MS));
        return;
    }
    println!("state machine alone, no IO: {} ns a request\n", alone_ns(ALONE, &Nowhere));
    for connections in [8, 64] {
        measure(connections, &answer);
    }
}

fn measure(connections: usize, answer: &Fixed) {
    let mut bare = vec![run(Kind::Bare, connections, answer, RUN_MS)];
    let mut rows: Vec<Vec<(Run, u64, u64)>> = vec![Vec::new(); KINDS.len()];
    for _ in 0..ROUNDS {
        for (row, (kind, _)) in rows.iter_mut().zip(KINDS) {
            let before = *bare.last().expect("the baseline was measured first");
            let measured = run(kind, connections, answer, RUN_MS);
            let after = run(Kind::Bare, connections, answer, RUN_MS);
            let ratio = measured.rate * 2_000 / (before.rate + after.rate).max(1);
            let cpu = (before.cpu_ns + after.cpu_ns) * 500 / measured.cpu_ns.max(1);
            row.push((measured, ratio, cpu));
            bare.push(after);
        }
    }
    let rates: Vec<u64> = bare.iter().map(|run| run.rate).collect();
    let cpu: Vec<u64> = bare.iter().map(|run| run.cpu_ns).collect();
    let spread = spread_permille(&rates);
    println!("{connections} connections, medians of {ROUNDS} paired runs of {RUN_MS} ms");
    println!(
        "  {:<36} {:>10} {:>8} {:>11} {:>10}",
        "", "requests/s", "ratio", "CPU ns each", "CPU ratio"
    );
    println!(
        "  {:<36} {:>10} {:>8} {:>11} {:>10}",
        "bare hyper",
        median(&rates),
        "1.000",
        median(&cpu),
        "1.000"
    );
    for (row, (_, name)) in rows.iter().zip(KINDS) {
        let column =
            |of: fn(&(Run, u64, u64)) -> u64| median(&row.iter().map(of).collect::<Vec<_>>());
        println!(
            "  {name:<36} {:>10} {:>8} {:>11} {:>10}",
            column(|(run, _, _)| run.rate),
            fraction(column(|(_, ratio, _)| *ratio)),
            column(|(run, _, _)| run.cpu_ns),
            fraction(column(|(_, _, cpu)| *cpu)),
        );
    }
    let [_, plain, ruled, _] = &rows[..] else { unreachable!("four servers are measured") };
    let pairs = plain.iter().zip(ruled);
    let kept: Vec<u64> =
        pairs.map(|((plain, ..), (ruled, ..))| ruled.rate * 1_000 / plain.rate.max(1)).collect();
    println!("  with 50 rules, of the rate with none: {}, goal 0.900", fraction(median(&kept)));
    let last: Vec<u64> = rows.iter().flatten().map(|(_, ratio, _)| *ratio).collect();
    let ratio = median(&last[last.len() - ROUNDS..]);
    let verdict = match () {
        () if spread > SPREAD_PERMILLE => "no verdict, the machine is not quiet enough",
        () if ratio >= GOAL_PERMILLE => "reached",
        () => "missed",
    };
    println!(
        "  goal {}: {verdict} (measured {}; the baseline spreads by {} %)\n",
        fraction(GOAL_PERMILLE),
        fraction(ratio),
        spread / 10
    );
}

/// One run against a server of its own, on this thread, as `brownout run` serves as well.
fn run(kind: Kind, connections: usize, answer: &Fixed, millis: u64) -> Run {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let load = std::thread::spawn(move || {
        let addr = told.recv().expect("the server listens");
        let counted = load::run(addr, connections, millis);
        stop.send(()).expect("the server waits for this");
        counted
    });
    let trace = (kind == Kind::Traced).then(Trace::new);
    // The writer of the trace, if any, and the load were started before: they may run on any core.
    let place = stay_on_core(0);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let wires = (tell, stopped);
    let used_us = runtime.block_on(serve(answer.clone(), trace.as_ref(), kind, wires));
    drop(place);
    if let Some(trace) = trace {
        trace.finish();
    }
    let counted = load.join().expect("the load ends in order");
    Run { rate: counted.rate(), cpu_ns: used_us * 1_000 / counted.all.max(1) }
}

/// A trace on disk, and the folder that goes away with it.
struct Trace {
    recorder: Arc<Recorder>,
    _folder: tempfile::TempDir,
}

impl Trace {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the trace");
        let recorder = Recorder::to_file(&folder.path().join("trace.jsonl"), Stop::new())
            .expect("a file for the trace");
        Self { recorder: Arc::new(recorder), _folder: folder }
    }

    fn finish(&self) {
        let recorded = self.recorder.finish().expect("it was recording");
        assert!(recorded.error.is_none(), "{:?}", recorded.error);
    }
}

/// Fifty rules of ten kinds, each of which looks at every request and strikes none.
fn rules() -> Vec<Rule> {
    let whens = [
        "{route: get_charge}",
        "{attempt: 9}",
        "{operation: {from: 1000000, to: 2000000}, attempt: 9}",
        "{method: DELETE}",
        "{header: {x-tenant: nobody}}",
        "{body: {/order: nothing}}",
        "{chance: 0%}",
        "{attempt: {every: 9}, chance: 50%}",
        "{submit: 2}",
        "{route: create_charge, body: {/amount: 1}}",
    ];
    let mut text = "faults:\n".to_owned();
    for number in 0..50 {
        let when = whens[number % whens.len()];
        writeln!(text, "  - {{name: r{number}, when: {when}, inject: {{status: {{code: 503}}}}}}")
            .expect("text takes everything");
    }
    provider::rules(&text)
}

/// What tells the address and what says when to stop.
type Wires = (mpsc::Sender<SocketAddr>, oneshot::Receiver<()>);

/// Serves until told to stop; CPU time that this thread has used for requests, in microseconds.
async fn serve(answer: Fixed, trace: Option<&Trace>, kind: Kind, wires: Wires) -> u64 {
    let clock = Clock::real();
    let sink: Arc<dyn Sink> = match trace {
        Some(trace) => Arc::<Recorder>::clone(&trace.recorder),
        None => Arc::new(Nowhere),
    };
    match kind {
        Kind::Bare => until_told(bare::serve(answer).await, wires).await,
        Kind::Shell => stand(Always { answer, last: 0 }, clock, sink, wires).await,
        Kind::Untraced | Kind::Traced => {
            stand(provider::payments(Vec::new(), &clock), clock, sink, wires).await
        }
        Kind::Ruled => stand(provider::payments(rules(), &clock), clock, sink, wires).await,
    }
}

async fn stand<H: Handler>(handler: H, clock: Clock, sink: Arc<dyn Sink>, wires: Wires) -> u64 {
    let server = Server::start(handler, None, clock, sink).await.expect("a free port");
    let used_us = until_told(server.addr(), wires).await;
    server.shutdown().await.expect("the door was never closed");
    used_us
}

async fn until_told(addr: SocketAddr, (tell, stopped): Wires) -> u64 {
    let before_us = thread_cpu_us();
    tell.send(addr).expect("the bench waits for the address");
    stopped.await.expect("the bench says when");
    thread_cpu_us() - before_us
}

/// CPU time of a request in the state machine alone, in nanoseconds.
fn alone_ns(requests: u64, sink: &dyn Sink) -> u64 {
    const BATCH: u64 = 1_000;
    let mut provider = provider::payments(Vec::new(), &Clock::real());
    let mut used_us = 0;
    for batch in 0..requests / BATCH {
        let orders = batch * BATCH..(batch + 1) * BATCH;
        let requests: Vec<Request> = orders.map(request).collect();
        let before_us = thread_cpu_us();
        for request in requests {
            one(&mut provider, request, sink);
        }
        used_us += thread_cpu_us() - before_us;
    }
    used_us * 1_000 / requests.max(1)
}

/// One request from its arrival to its end.
fn one(provider: &mut Provider, request: Request, sink: &dyn Sink) {
    let exchange = provider.handle(request, 0);
    sink.record(provider.take_events());
    let Next::Answer(answer) = exchange.next else { panic!("a plain route answers at once") };
    let finish = Finish {
        head_at_us: Some(0),
        end_at_us: 0,
        body_bytes: u64::try_from(answer.body.len()).expect("a short body"),
        complete: true,
        ended: None,
    };
    provider.finish(exchange.id, finish);
    sink.record(provider.take_events());
}

/// A request of the load, as the state machine gets it.
fn request(order: u64) -> Request {
    let text = load::request(order);
    let head = text.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("127.0.0.1"));
    headers.insert("authorization", HeaderValue::from_static("Bearer bench"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("content-length", HeaderValue::from_static("98"));
    Request {
        connection: 1,
        reused: false,
        http2: false,
        peer: None,
        method: http::Method::POST,
        target: "/v1/charges".to_owned(),
        headers,
        body: Bytes::copy_from_slice(&text[head..]),
        head_at_us: 0,
    }
}

/// What the provider answers to a request of the load, so that all write the same bytes.
fn fixed() -> Fixed {
    let exchange = provider::payments(Vec::new(), &Clock::real()).handle(request(1), 0);
    let Next::Answer(answer) = exchange.next else { panic!("a plain route answers at once") };
    let status = StatusCode::from_u16(answer.status).expect("a status");
    Fixed { status, headers: answer.headers, body: answer.body }
}

/// A state machine that parses the body and gives one answer to everything.
struct Always {
    answer: Fixed,
    last: ExchangeId,
}

impl Handler for Always {
    fn minds_the_door(&self) -> bool {
        false
    }

    fn listening(&mut self, _: u64) -> Listening {
        Listening::ALWAYS
    }

    fn greeting(&mut self, _: u64) -> Option<brownout_provider::fault::Greeting> {
        None
    }

    fn handshake_failed(&mut self, _: u64, _: u64) {}

    fn wants_heads(&self) -> bool {
        false
    }

    fn accept(&mut self, _: &Request, _: u64) -> Option<Exchange> {
        None
    }

    fn handle(&mut self, request: Request, _: u64) -> Exchange {
        let value: serde_json::Value =
            serde_json::from_slice(&request.body).expect("the load sends JSON");
        std::hint::black_box(&value);
        self.last += 1;
        let answer = Answer {
            goaway: None,
            framing: None,
            interim: Bytes::new(),
            status: self.answer.status.as_u16(),
            headers: self.answer.headers.clone(),
            body: self.answer.body.clone(),
            wire: Wire::default(),
            pieces: None,
        };
        Exchange { id: self.last, next: Next::Answer(Box::new(answer)), also: Vec::new() }
    }

    fn advance(&mut self, _: ExchangeId, _: u64) -> Next {
        Next::Done
    }

    fn finish(&mut self, _: ExchangeId, _: Finish) {}

    fn connection_ended(&mut self, _: u64, _: Side, _: End, _: u64) {}

    fn bad_request(&mut self, _: u64, _: u64) {}

    fn too_large(&mut self, _: u64, _: u64) {}

    fn pending(&self) -> usize {
        0
    }

    fn take_events(&mut self) -> Vec<Event> {
        Vec::new()
    }
}
