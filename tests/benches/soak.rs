//! A long storm: a million requests, in which every fault that can strike a charge has its share, and what
//! is left afterwards.
//!
//! The provider may remember what it did (the ledger, the keys, who asked for what) and nothing else: its
//! memory grows by as much a request as under requests that nothing befalls, and no connection, task or
//! unfinished request is left. The client gives every answer a quarter of a second, as one that has no patience would.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brownout_provider::fault::registry::FAULTS;
use brownout_provider::fault::variants::variants;
use brownout_provider::fault::{Action, Group};
use brownout_provider::rule::{Rule, When};
use brownout_provider::seed::Seed;
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::server::Server;
use support::{Nowhere, fraction, load, provider, resident_bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests of the storm.
const REQUESTS: u64 = 1_000_000;
/// Requests under a clear sky, to compare with.
const CALM: u64 = 200_000;
/// Requests before memory is looked at for the first time.
const WARM_UP: u64 = 100_000;
/// How many of a million requests some fault strikes, as far as chance keeps to it.
const STRUCK_PPM: usize = 50_000;
/// Connections at one time.
const CONNECTIONS: u64 = 64;
/// The argument that makes the bench the client.
const STORM: &str = "--storm";
/// How long the client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// The most that the growth of memory may be of that under a clear sky, in thousandths: what is remembered of
/// a strike takes room as well.
const GOAL_PERMILLE: u64 = 1_200;

fn main() {
    if is_storm() {
        return;
    }
    let calm = weather(Vec::new(), CALM);
    println!("{CALM} requests under a clear sky: {} bytes of memory each", calm.bytes);
    let rules = rules();
    println!("\n{REQUESTS} requests, {} rules, one for each fault and each way of it", rules.len());
    let storm = weather(rules, REQUESTS);
    let ratio = storm.bytes * 1_000 / calm.bytes.max(1);
    let verdict = if ratio <= GOAL_PERMILLE { "reached" } else { "missed" };
    println!(
        "  {} bytes of memory each, {} of that above, goal {}: {verdict}",
        storm.bytes,
        fraction(ratio),
        fraction(GOAL_PERMILLE)
    );
    for (name, left) in
        [("connections and files", storm.files), ("tasks", storm.tasks), ("requests", storm.open)]
    {
        println!("  {name} that are left: {left}, goal 0");
    }
}

/// What was left after so many requests.
#[derive(Debug)]
struct Left {
    /// Memory by which the provider grew for each request.
    bytes: u64,
    /// Descriptors that were not open before.
    files: u64,
    /// Tasks that still run.
    tasks: u64,
    /// Requests whose work is still to be done.
    open: u64,
}

/// One rule for each variant of each fault that can strike a charge by itself, all of them equally rare.
fn rules() -> Vec<Rule> {
    let api = provider::api();
    let all = FAULTS.iter().flat_map(|kind| variants(kind, &api, "create_charge"));
    let faults: Vec<_> = all
        .filter(|one| {
            one.optional == 0 && one.kind.group != Group::Client && one.fault.door().is_none()
        })
        // One whose work takes a minute would only make the bench longer.
        .filter(|one| match one.fault.looked_at(Seed::default()) {
            Action::Delay { micros, .. } => micros <= 10_000_000,
            Action::Duplicate { times, .. } => times <= 10,
            Action::Drip { .. }
            | Action::Key(_)
            | Action::Limit(_)
            | Action::Message(_)
            | Action::Order(_)
            | Action::Webhook(_)
            | Action::Job(_)
            | Action::Upload(_)
            | Action::Batch(_)
            | Action::Deprecated(_)
            | Action::Client { .. }
            | Action::End { .. }
            | Action::Door(_) => true,
        })
        .map(|one| one.fault)
        .collect();
    let chance = u32::try_from(STRUCK_PPM / faults.len().max(1)).expect("a part of a million");
    let rule = |(number, fault)| Rule {
        name: format!("r{number}").into(),
        when: When { chance_ppm: Some(chance), ..When::default() },
        faults: vec![fault],
    };
    faults.into_iter().enumerate().map(rule).collect()
}

/// Serves so many requests under these rules.
fn weather(rules: Vec<Rule>, requests: u64) -> Left {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let files = open_files();
        let tasks = alive_tasks();
        let clock = Clock::real();
        let handler = provider::payments(rules, &clock);
        let server =
            Server::start(handler, None, clock, Arc::new(Nowhere)).await.expect("a free port");
        storm(server.addr(), 0, WARM_UP).await;
        server.idle().await;
        let before = resident_bytes();
        let counted = storm(server.addr(), 1, requests - WARM_UP).await;
        server.idle().await;
        let grown = resident_bytes().saturating_sub(before);
        println!("  answered whole {}, cut or late {}", counted.whole, counted.cut);
        let open = server.with(|provider| provider.pending());
        server.shutdown().await.expect("the door was never closed");
        Left {
            bytes: grown / (requests - WARM_UP),
            files: open_files().saturating_sub(files),
            tasks: alive_tasks().saturating_sub(tasks),
            open: u64::try_from(open).expect("a number"),
        }
    })
}

/// The descriptors of this process.
fn open_files() -> u64 {
    let listed = std::fs::read_dir("/proc/self/fd").expect("Linux tells it");
    u64::try_from(listed.count()).expect("a number")
}

fn alive_tasks() -> u64 {
    let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    u64::try_from(alive).expect("a number")
}

/// How requests ended, as the client saw it.
#[derive(Clone, Copy, Debug)]
struct Counted {
    whole: u64,
    cut: u64,
}

/// Sends so many requests from a process of its own, for orders that no other part has.
async fn storm(addr: SocketAddr, part: u64, requests: u64) -> Counted {
    let arguments = [STORM.to_owned(), addr.to_string(), part.to_string(), requests.to_string()];
    let output = tokio::process::Command::new(std::env::current_exe().expect("a bench has a path"))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("a bench can run itself");
    assert!(output.status.success(), "the storm failed");
    let text = String::from_utf8(output.stdout).expect("the storm prints numbers");
    let numbers: Vec<u64> =
        text.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [whole, cut] = numbers[..] else { panic!("the storm printed `{text}`") };
    Counted { whole, cut }
}

/// Becomes the client, if the arguments say so; true when it was one.
fn is_storm() -> bool {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(place) = arguments.iter().position(|argument| argument == STORM) else { return false };
    let [addr, part, requests] = &arguments[place + 1..] else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (addr, part) = (addr.parse().expect("an address"), part.parse().expect("a number"));
    let counted =
        runtime.expect("a runtime").block_on(send(addr, part, requests.parse().expect("a number")));
    println!("{} {}", counted.whole, counted.cut);
    true
}

async fn send(addr: SocketAddr, part: u64, requests: u64) -> Counted {
    let (next, whole) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, whole) = (Arc::clone(&next), Arc::clone(&whole));
        tasks.spawn(async move {
            let mut line = None;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                let text = load::keyed_request(part * REQUESTS + number);
                match tokio::time::timeout(PATIENCE, ask(&mut line, addr, &text)).await {
                    Ok(Some(())) => {
                        whole.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(None) | Err(_) => line = None,
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a connection of the storm");
    }
    let whole = whole.load(Ordering::Relaxed);
    Counted { whole, cut: requests - whole }
}

/// Sends a request, on a new connection where there is none; `None` where no whole answer comes.
async fn ask(line: &mut Option<TcpStream>, addr: SocketAddr, text: &[u8]) -> Option<()> {
    if line.is_none() {
        *line = Some(TcpStream::connect(addr).await.ok()?);
    }
    let stream = line.as_mut()?;
    stream.write_all(text).await.ok()?;
    let mut answer = Vec::with_capacity(4_096);
    while !load::whole(&answer)? {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}
