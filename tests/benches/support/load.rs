//! Requests from another process: the bench runs itself again as the client.
//!
//! **Invariant:** every answer is read whole and has the status 201, else the load ends with an error.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brownout_provider::shell::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The argument that makes the bench a client.
const LOAD: &str = "--load";
/// How long requests are sent before they are counted, in microseconds.
const WARM_UP_US: u64 = 100_000;

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// Requests that were answered in the time that counts.
    pub(crate) requests: u64,
    /// That time, in microseconds.
    pub(crate) micros: u64,
    /// Requests in all, with those of the warm-up.
    pub(crate) all: u64,
}

impl Counted {
    /// Requests a second.
    pub(crate) fn rate(&self) -> u64 {
        self.requests * 1_000_000 / self.micros.max(1)
    }
}

/// Runs the load in a process of its own and waits for it.
pub(crate) fn run(addr: SocketAddr, connections: usize, millis: u64) -> Counted {
    let output = Command::new(std::env::current_exe().expect("a bench has a path"))
        .args([LOAD, &addr.to_string(), &connections.to_string(), &millis.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("a bench can run itself");
    assert!(output.status.success(), "the load failed");
    let text = String::from_utf8(output.stdout).expect("the load prints numbers");
    let numbers: Vec<u64> =
        text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [requests, micros, all] = numbers[..] else { panic!("the load printed `{text}`") };
    Counted { requests, micros, all }
}

/// Becomes the load, if the arguments say so; true when it was one.
#[expect(clippy::print_stdout, reason = "the figures go to the bench that started this process")]
pub(crate) fn is_load() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(place) = arguments.iter().position(|argument| argument == LOAD) else { return false };
    let [addr, connections, millis] = &arguments[place + 1..] else { panic!("{arguments:?}") };
    let _place = super::stay_on_core(1);
    let counted = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(send(
            addr.parse().expect("an address"),
            connections.parse().expect("a number"),
            millis.parse().expect("a number"),
        ));
    println!("{} {} {}", counted.requests, counted.micros, counted.all);
    true
}

async fn send(addr: SocketAddr, connections: u64, millis: u64) -> Counted {
    let clock = Clock::real();
    let end_us = WARM_UP_US + millis * 1_000;
    let (counted, all) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    // The load never sleeps, so that no server pays for waking it: the slower one would pay more.
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..connections {
        let (counted, all) = (Arc::clone(&counted), Arc::clone(&all));
        tasks.spawn(async move {
            let mut line = Line::open(addr, connection).await;
            loop {
                line.ask().await;
                let now_us = clock.now_us();
                all.fetch_add(1, Ordering::Relaxed);
                if now_us >= end_us {
                    return;
                }
                if now_us >= WARM_UP_US {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a connection of the load");
    }
    awake.abort();
    let requests = counted.load(Ordering::Relaxed);
    Counted { requests, micros: millis * 1_000, all: all.load(Ordering::Relaxed) }
}

/// A request for an order of its own; the number has twelve digits, so that all have one length.
pub(crate) fn request(order: u64) -> Vec<u8> {
    with_headers(order, "")
}

/// The same with a key of its own.
pub(crate) fn keyed_request(order: u64) -> Vec<u8> {
    with_headers(order, &format!("idempotency-key: key-{order:012}\r\n"))
}

fn with_headers(order: u64, headers: &str) -> Vec<u8> {
    let body = format!(
        "{{\"amount\":1999,\"currency\":\"usd\",\"order\":\"order-{order:012}\",\"description\":\"a \
         plain order of one thing\"}}"
    );
    let length = body.len();
    format!(
        "POST /v1/charges HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer bench\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// One kept-alive connection.
struct Line {
    stream: TcpStream,
    request: Vec<u8>,
    digits: usize,
    order: u64,
    answer: Vec<u8>,
}

impl Line {
    async fn open(addr: SocketAddr, connection: u64) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh connection");
        let order = connection * 1_000_000_000;
        let request = request(order);
        let digits = request
            .windows(6)
            .rposition(|window| window == b"order-")
            .expect("the request names its order")
            + 6;
        Self { stream, request, digits, order, answer: Vec::with_capacity(4_096) }
    }

    async fn ask(&mut self) {
        self.order += 1;
        let digits = format!("{:012}", self.order);
        self.request[self.digits..self.digits + digits.len()].copy_from_slice(digits.as_bytes());
        self.stream.write_all(&self.request).await.expect("the server reads");
        self.answer.clear();
        while !is_whole(&self.answer) {
            let read = self.stream.read_buf(&mut self.answer).await.expect("the server writes");
            assert!(read > 0, "the server closed the connection");
        }
        assert!(
            self.answer.starts_with(b"HTTP/1.1 201 "),
            "the server answered `{}`",
            String::from_utf8_lossy(&self.answer)
        );
    }
}

/// True when this is an answer with all of the body that its head announces.
fn is_whole(answer: &[u8]) -> bool {
    whole(answer).unwrap_or_else(|| {
        panic!("an answer without a length: {}", String::from_utf8_lossy(answer))
    })
}

/// The same; `None` where the head announces no length.
pub(crate) fn whole(answer: &[u8]) -> Option<bool> {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Some(false);
    };
    let place = answer[..head].windows(LENGTH.len()).position(|window| window == LENGTH)?;
    let length = answer[place + LENGTH.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_usize, |length, digit| length * 10 + usize::from(digit - b'0'));
    Some(answer.len() >= head + 4 + length)
}
