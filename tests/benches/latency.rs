//! How exact an injected delay is: a fixed latency of 50 ms on 50 connections, beside a bare
//! `tokio::time::sleep` of 50 ms in 50 tasks of the same run.
//!
//! The goal: within 0.5 ms of it in the median, and within 2 ms at the 99th percentile.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use brownout_provider::event::{Event, Sink};
use brownout_provider::fault::Fault;
use brownout_provider::rule::{Rule, When};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::server::Server;
use support::{load, percentile, provider, spread_permille, stay_on_core};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The delay, in microseconds.
const DELAY_US: u64 = 50_000;
/// How many wait at once.
const CONNECTIONS: u64 = 50;
/// Rounds, each with waits of both kinds.
const ROUNDS: usize = 30;
/// Rounds that count for nothing.
const WARM_UP: usize = 2;
/// The goal for the median, in microseconds.
const MEDIAN_US: u64 = 500;
/// The goal for the 99th percentile, in microseconds.
const TAIL_US: u64 = 2_000;
/// A baseline whose waits spread wider says nothing, in thousandths.
const SPREAD_PERMILLE: u64 = 100;

fn main() {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let server = std::thread::spawn(move || {
        let _place = stay_on_core(0);
        runtime().block_on(serve(tell, stopped));
    });
    let addr = told.recv().expect("the server listens");
    let _place = stay_on_core(1);
    let (bare, injected) = runtime().block_on(measure(addr));
    stop.send(()).expect("the server waits for this");
    server.join().expect("the server ends in order");
    report(&bare, &injected);
}

fn report(bare: &[u64], injected: &[u64]) {
    println!(
        "50 ms on {CONNECTIONS} connections, {ROUNDS} alternating rounds; late by, in microseconds"
    );
    println!("  {:<36} {:>8} {:>8}", "", "median", "p99");
    let late = |times: &[u64], percent| percentile(times, percent).saturating_sub(DELAY_US);
    for (name, times) in [("bare tokio::time::sleep", bare), ("injected latency", injected)] {
        println!("  {name:<36} {:>8} {:>8}", late(times, 50), late(times, 99));
    }
    let more = |percent| late(injected, percent).saturating_sub(late(bare, percent));
    let spread = spread_permille(bare);
    let verdict = match () {
        () if spread > SPREAD_PERMILLE => "no verdict, the machine is not quiet enough",
        () if more(50) <= MEDIAN_US && more(99) <= TAIL_US => "reached",
        () => "missed",
    };
    println!(
        "  goal {MEDIAN_US} and {TAIL_US} more than bare: {verdict} (measured {} and {}; the baseline \
         spreads by {} %)",
        more(50),
        more(99),
        spread / 10
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Waits of both kinds, in microseconds.
async fn measure(addr: SocketAddr) -> (Vec<u64>, Vec<u64>) {
    let clock = Clock::real();
    let mut lines = Vec::new();
    for connection in 0..CONNECTIONS {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh connection");
        lines.push((stream, connection * 1_000_000));
    }
    let (mut bare, mut injected) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + WARM_UP {
        let mut sleeps = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            sleeps.spawn(async move {
                let start_us = clock.now_us();
                tokio::time::sleep(Duration::from_micros(DELAY_US)).await;
                clock.now_us() - start_us
            });
        }
        let slept = sleeps.join_all().await;
        let mut requests = tokio::task::JoinSet::new();
        for (stream, order) in lines.drain(..) {
            requests.spawn(ask(clock, stream, order + 1));
        }
        let answered = requests.join_all().await;
        for (stream, order, micros) in answered {
            lines.push((stream, order));
            if round >= WARM_UP {
                injected.push(micros);
            }
        }
        if round >= WARM_UP {
            bare.extend(slept);
        }
    }
    (bare, injected)
}

/// One request; the answer is known to come in one piece.
async fn ask(clock: Clock, mut stream: TcpStream, order: u64) -> (TcpStream, u64, u64) {
    let mut answer = [0; 4_096];
    let request = load::request(order);
    let start_us = clock.now_us();
    stream.write_all(&request).await.expect("the server reads");
    let read = stream.read(&mut answer).await.expect("the server writes");
    let micros = clock.now_us() - start_us;
    assert!(answer[..read].starts_with(b"HTTP/1.1 201 "), "the charge succeeds");
    (stream, order, micros)
}

async fn serve(tell: mpsc::Sender<SocketAddr>, stopped: tokio::sync::oneshot::Receiver<()>) {
    let clock = Clock::real();
    let rule = Rule { name: "slow".into(), when: When::default(), faults: vec![fixed_latency()] };
    let provider = provider::payments(vec![rule], &clock);
    let server =
        Server::start(provider, None, clock, Arc::new(Nowhere)).await.expect("a free port");
    tell.send(server.addr()).expect("the bench waits for the address");
    stopped.await.expect("the bench says when");
    server.shutdown().await;
}

fn fixed_latency() -> Arc<dyn Fault> {
    let problems = brownout_provider::document::Diagnostics::new();
    let kind = brownout_provider::fault::registry::find("latency").expect("a fault of that name");
    let parameters = serde_json::json!({"fixed": "50ms"});
    (kind.parse)(&parameters, &problems.root()).expect("right parameters")
}

/// A sink that keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn record(&self, events: Vec<Event>) {
        drop(events);
    }
}
