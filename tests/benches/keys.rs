//! What a million live idempotency keys cost: processor time of a request in the state machine alone, against
//! a provider that holds a thousand, and memory for each key.
//!
//! No network takes part, so the ratio is harsher than over a socket, where the way there costs the same.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use brownout_provider::exchange::{Finish, Next};
use brownout_provider::provider::Provider;
use brownout_provider::request::Request;
use brownout_provider::shell::clock::Clock;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use support::{fraction, median, provider, resident_bytes, stay_on_core, thread_cpu_us};

/// Keys that are held.
const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;
/// Requests in one measurement, each with a key of its own.
const ASKED: u64 = 20_000;
/// How often both are measured, in turn.
const ROUNDS: u64 = 9;
/// Longer than keys are kept, in microseconds.
const LATER_US: u64 = 8 * 24 * 3_600 * 1_000_000;

fn main() {
    let _place = stay_on_core(0);
    let plain = grown(ask_plainly);
    let keyed = grown(ask);
    println!("{MANY} requests: {plain} bytes each without a key, {keyed} with one");
    println!(
        "  a live key takes {} bytes, with the answer that it keeps",
        keyed.saturating_sub(plain)
    );

    let mut few = filled(FEW);
    let mut many = filled(MANY);
    let (mut ratios, mut cheap, mut dear) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let orders = MANY + round * ASKED..MANY + (round + 1) * ASKED;
        // Of a provider that holds few keys the rest are given back, so that it goes on holding few.
        let now_us = (round + 1) * LATER_US;
        let few_us = timed(&mut few, orders.clone(), now_us);
        let many_us = timed(&mut many, orders, 0);
        ratios.push(few_us * 1_000 / many_us.max(1));
        cheap.push(few_us * 1_000 / ASKED);
        dear.push(many_us * 1_000 / ASKED);
    }
    println!(
        "  a request costs {} ns where {FEW} keys live, {} ns where {MANY} do",
        median(&cheap),
        median(&dear)
    );
    let ratio = median(&ratios);
    let verdict = if ratio >= 800 { "reached" } else { "missed" };
    println!("  throughput {} of that with {FEW} keys, goal 0.800: {verdict}", fraction(ratio));

    let before = resident_bytes();
    fill(&mut many, 2 * MANY..3 * MANY, LATER_US);
    let after = resident_bytes();
    println!(
        "  after all of them had expired, another {MANY} keys took {} bytes each more",
        after.saturating_sub(before) / MANY
    );
}

fn filled(keys: u64) -> Provider {
    let mut provider = provider::payments(Vec::new(), &Clock::real());
    fill(&mut provider, 0..keys, 0);
    provider
}

fn fill(provider: &mut Provider, orders: std::ops::Range<u64>, now_us: u64) {
    for order in orders {
        one(provider, ask(order), now_us);
    }
}

/// By how many bytes this process grows for each of these requests.
fn grown(request: impl Fn(u64) -> Request) -> u64 {
    let mut provider = provider::payments(Vec::new(), &Clock::real());
    one(&mut provider, request(MANY), 0);
    let before = resident_bytes();
    for order in 0..MANY {
        one(&mut provider, request(order), 0);
    }
    resident_bytes().saturating_sub(before) / MANY
}

fn timed(provider: &mut Provider, orders: std::ops::Range<u64>, now_us: u64) -> u64 {
    let requests: Vec<Request> = orders.map(ask).collect();
    let before_us = thread_cpu_us();
    for request in requests {
        one(provider, request, now_us);
    }
    thread_cpu_us() - before_us
}

/// One request from its arrival to its end.
fn one(provider: &mut Provider, request: Request, now_us: u64) {
    let exchange = provider.handle(request, now_us);
    let Next::Answer(answer) = exchange.next else { panic!("a plain route answers at once") };
    assert_eq!(answer.status, 201, "every key is new");
    let finish = Finish {
        head_at_us: Some(now_us),
        end_at_us: now_us,
        body_bytes: u64::try_from(answer.body.len()).expect("a short body"),
        complete: true,
        ended: None,
    };
    provider.finish(exchange.id, finish);
    drop(provider.take_events());
}

/// A charge with a key of its own.
fn ask(order: u64) -> Request {
    let mut request = ask_plainly(order);
    let key = format!("0b5c1d0e-7f3a-4c1e-9a55-{order:012}");
    let key = HeaderValue::from_str(&key).expect("plain text");
    request.headers.insert("idempotency-key", key);
    request
}

/// A charge without a key.
fn ask_plainly(order: u64) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer bench"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = format!("{{\"amount\":1999,\"currency\":\"usd\",\"order\":\"order-{order:012}\"}}");
    Request {
        connection: 1,
        peer: None,
        reused: false,
        http2: false,
        method: http::Method::POST,
        target: "/v1/charges".to_owned(),
        headers,
        body: Bytes::from(body),
        head_at_us: 0,
    }
}
