//! How exact an injected delay is: a fixed latency of 50 ms on 50 connections, beside a bare
//! `tokio::time::sleep` of 50 ms in 50 tasks of the same run.
//!
//! The goal: within 0.5 ms of it in the median, and within 2 ms at the 99th percentile, where the 50
//! requests come in the course of 50 ms. Where all come in one moment, what is measured is mostly how
//! long 50 requests take one after the other; that is told as well.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use brownout_provider::fault::Fault;
use brownout_provider::rule::{Rule, When};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::server::Server;
use support::{Nowhere, load, percentile, provider, spread_permille, stay_on_core};
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
    let runtime = runtime();
    println!("50 ms on {CONNECTIONS} connections, {ROUNDS} rounds; late by, in microseconds");
    println!("  {:<44} {:>8} {:>8}", "", "median", "p99");
    let spread_out = runtime.block_on(measure(addr, DELAY_US / CONNECTIONS));
    let (more, spread) = spread_out.report("spread over 50 ms");
    let verdict = match () {
        () if spread > SPREAD_PERMILLE => "no verdict, the machine is not quiet enough",
        () if more.0 <= MEDIAN_US && more.1 <= TAIL_US => "reached",
        () => "missed",
    };
    println!(
        "  goal {MEDIAN_US} and {TAIL_US} more than bare: {verdict} (measured {} and {}; the baseline \
         spreads by {} %)",
        more.0,
        more.1,
        spread / 10
    );
    let (more, _) = runtime.block_on(measure(addr, 0)).report("all in one moment");
    println!("  more than bare: {} and {}", more.0, more.1);
    stop.send(()).expect("the server waits for this");
    server.join().expect("the server ends in order");
}

/// Waits, in microseconds.
#[derive(Default)]
struct Waits {
    bare: Vec<u64>,
    injected: Vec<u64>,
}

impl Waits {
    /// Prints both rows; how much later than the bare waits the injected ones were (median and 99th
    /// percentile), and by how much the bare ones spread, in thousandths.
    fn report(&self, how: &str) -> ((u64, u64), u64) {
        let late = |times: &[u64], percent| percentile(times, percent).saturating_sub(DELAY_US);
        for (name, times) in
            [("bare tokio::time::sleep", &self.bare), ("injected latency", &self.injected)]
        {
            let name = format!("{name}, {how}");
            println!("  {name:<44} {:>8} {:>8}", late(times, 50), late(times, 99));
        }
        let more =
            |percent| late(&self.injected, percent).saturating_sub(late(&self.bare, percent));
        ((more(50), more(99)), spread_permille(&self.bare))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Waits of both kinds, in turns. The connections begin `apart_us` microseconds after one another.
async fn measure(addr: SocketAddr, apart_us: u64) -> Waits {
    let clock = Clock::real();
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh connection");
        streams.push(stream);
    }
    let mut waits = Waits::default();
    for round in 0..ROUNDS + WARM_UP {
        let start_us = clock.now_us();
        let mut sleeps = tokio::task::JoinSet::new();
        for index in 0..CONNECTIONS {
            sleeps.spawn(async move {
                clock.sleep_until_us(start_us + index * apart_us).await;
                let asked_us = clock.now_us();
                tokio::time::sleep(Duration::from_micros(DELAY_US)).await;
                clock.now_us() - asked_us
            });
        }
        let slept = sleeps.join_all().await;
        let start_us = clock.now_us();
        let mut requests = tokio::task::JoinSet::new();
        for (index, stream) in (0..).zip(streams.drain(..)) {
            requests.spawn(async move {
                clock.sleep_until_us(start_us + index * apart_us).await;
                ask(clock, stream, index).await
            });
        }
        for (stream, micros) in requests.join_all().await {
            streams.push(stream);
            if round >= WARM_UP {
                waits.injected.push(micros);
            }
        }
        if round >= WARM_UP {
            waits.bare.extend(slept);
        }
    }
    waits
}

/// One request; the answer is known to come in one piece.
async fn ask(clock: Clock, mut stream: TcpStream, order: u64) -> (TcpStream, u64) {
    let mut answer = [0; 4_096];
    let request = load::request(order);
    let start_us = clock.now_us();
    stream.write_all(&request).await.expect("the server reads");
    let read = stream.read(&mut answer).await.expect("the server writes");
    let micros = clock.now_us() - start_us;
    assert!(answer[..read].starts_with(b"HTTP/1.1 201 "), "the charge succeeds");
    (stream, micros)
}

async fn serve(tell: mpsc::Sender<SocketAddr>, stopped: tokio::sync::oneshot::Receiver<()>) {
    let clock = Clock::real();
    let rule = Rule { name: "slow".into(), when: When::default(), faults: vec![fixed_latency()] };
    let provider = provider::payments(vec![rule], &clock);
    let server =
        Server::start(provider, None, clock, Arc::new(Nowhere)).await.expect("a free port");
    tell.send(server.addr()).expect("the bench waits for the address");
    stopped.await.expect("the bench says when");
    server.shutdown().await.expect("the door was never closed");
}

fn fixed_latency() -> Arc<dyn Fault> {
    let problems = brownout_provider::document::Diagnostics::new();
    let kind = brownout_provider::fault::registry::find("latency").expect("a fault of that name");
    let parameters = serde_json::json!({"fixed": "50ms"});
    (kind.parse)(&parameters, &problems.root()).expect("right parameters")
}
