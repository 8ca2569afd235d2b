//! How long it takes from the file of a trace to the verdict of all that it can be judged by, and how much
//! memory, for 10^4, 10^5 and 10^6 requests; for scale also how long the same lines take as mere JSON.
//!
//! One run of the product itself, in virtual time, is repeated until the trace is as long: the same story with
//! other operations, keys, bodies and times. Each measurement has a process of its own.
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use brownout::drive::in_process::Connection;
use brownout::harness::{Harness, Transport};
use brownout::operation::{Operation, Outcome};
use brownout::scenario::{Apis, Overrides, from_value};
use brownout::verdict::{InvariantVerdict, Verdict};
use brownout_provider::shell::clock::Clock;
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Map, Value};
use support::fraction;

/// Requests in a trace.
const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// The goals for the longest trace: microseconds, and bytes a request.
const GOAL_US: u64 = 15_000_000;
const GOAL_BYTES: u64 = 400;
/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;

const SCENARIO: &str = "version: 1
name: long
provider: {api: payments}
faults:
  - {name: declined, when: {route: create_charge, operation: {every: 25}}, inject: {status: {code: 402}}}
  - {name: busy, when: {route: create_charge, chance: 30%}, inject: {status: {code: 503, retry_after: 1s}}}
  - {name: lost, when: {route: create_charge, attempt: 1, chance: 20%}, inject: {reset: {at: after_commit}}}
  - {name: garbled, when: {route: create_charge, chance: 5%}, inject: {malformed: {kind: html_page, at: after_commit}}}
  - {name: slow, when: {route: list_charges, chance: 10%}, inject: {latency: {fixed: 200ms}}}
workload:
  call: create_charge
  operations: 400
  concurrency: 20
  arrival: {every: 10ms}
  input: {amount: 1999, currency: usd, order: 'order-{{ n }}'}
  deadline: 5m
expect:
  - no_double_charges
  - no_lost_operations
  - no_phantom_success
  - honest_failures
  - failures_surface
  - nothing_after_claim
  - reconciled: {within: 1m}
  - at_most_one_effect: {kind: charge}
  - no_over_deduplication
  - max_waste: {ratio: 10%}
  - bounded_retries: {max_attempts: 12, max_elapsed: 5m}
  - deadline: {max: 5m}
  - no_retry_on_permanent_errors
  - retries_transient_errors: {attempts: 3, share: 90%}
  - gives_up_on_nothing_recoverable: {attempts: 3, share: 90%, trip: 50}
  - honors_retry_after: {max_wait: 2m}
  - backs_off: {factor: 1.5, waits: 4, cap: 20s}
  - min_gap: {gap: 100ms}
  - spreads_retries: {share: 60%, window: 100ms}
  - retry_budget: {ratio: 100%, floor: 1000, window: 10s}
  - no_overlapping_attempts
  - max_in_flight: {n: 100}
  - idempotency_key_present
  - idempotency_key_stable: {per: submit}
  - idempotency_key_unique
  - idempotency_key_bound_to_body
  - idempotency_key_strength: {min_bits: 1}
  - key_retry_window: {retention: 24h}
  - retry_body_stable
  - reads_cached: {ttl: 1s, invalidated_by: create_charge}
  - rejects_malformed_responses
  - retries_logged
  - no_secrets_in_output
";

fn main() {
    let word = |name: &str| std::env::args().skip_while(|word| word != name).nth(1);
    if let Some(file) = word("--judge") {
        return judge(Path::new(&file));
    }
    if let Some(file) = word("--values") {
        return values(Path::new(&file));
    }
    let most = word("--requests").map_or(u64::MAX, |most| most.parse().expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for traces");
    let story = Story::told(folder.path());
    println!("from the file of a trace to the verdict of {} invariants", story.expected);
    let mut smallest = None;
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        let file = folder.path().join("long.jsonl");
        let requests = story.write(&file, size);
        let [judged_us, bytes] = measured("--judge", &file);
        let [values_us, _] = measured("--values", &file);
        println!(
            "  {requests} requests ({} operations, {} MB): {} ms, {} of the same lines as JSON; {} bytes a request",
            story.operations * requests / story.requests,
            file.metadata().expect("it was just written").len() >> 20,
            judged_us / 1_000,
            fraction(judged_us * 1_000 / values_us.max(1)),
            bytes / requests
        );
        let each_ns = judged_us * 1_000 / requests;
        let first_ns = *smallest.get_or_insert(each_ns);
        println!(
            "    a request against the shortest trace: {}",
            fraction(each_ns * 1_000 / first_ns)
        );
        if size == SIZES[2] {
            let said = |reached: bool| if reached { "reached" } else { "missed" };
            println!("    goal {} s: {}", GOAL_US / 1_000_000, said(judged_us <= GOAL_US));
            println!("    goal {GOAL_BYTES} bytes: {}", said(bytes / requests <= GOAL_BYTES));
        }
        std::fs::remove_file(&file).expect("nobody else removes it");
    }
}

/// Measures one file in a process of its own: microseconds, and by how many bytes its memory grew at most.
fn measured(how: &str, file: &Path) -> [u64; 2] {
    let program = std::env::current_exe().expect("a bench has a path");
    let output = Command::new(program).arg(how).arg(file).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().expect("two numbers")
}

/// Judges a trace as `brownout check` does, and says how long that took and what it needed.
fn judge(file: &Path) {
    let before = most_bytes();
    let clock = Clock::real();
    let input = File::open(file).expect("it was just written");
    let bytes = input.metadata().expect("it is a file").len();
    let input = BufReader::with_capacity(BUFFER, input);
    let trace = brownout::trace::read::read_sized(input, bytes, |_| {}).expect("a trace");
    let (read_us, read_bytes) = (clock.now_us(), most_bytes() - before);
    let apis = Apis::Kept(&trace.run.apis);
    let (scenario, _) = from_value(&trace.run.scenario, apis, &Overrides::default());
    let scenario = scenario.expect("a right scenario");
    let result = brownout::judge::judge(&trace, &scenario, None);
    let judged_us = clock.now_us();
    assert_eq!(result.verdict, Verdict::Passed, "{:?}", result.invariants);
    println!("{judged_us} {}", most_bytes() - before);
    if std::env::args().any(|word| word == "--loud") {
        let kept = trace.bytes();
        println!("read in {} ms, with {read_bytes} bytes, of which {kept} stay", read_us / 1_000);
        for one in &result.invariants {
            let clock = Clock::real();
            let expected = scenario.expect.iter().find(|expected| expected.name == one.name);
            drop(expected.expect("it was expected").invariant.check(&trace));
            println!("{:>8} us {} ({} times)", clock.now_us(), one.name, one.exercised);
        }
    }
    // What a process gives back when it ends is no matter here.
    std::mem::forget(trace);
}

/// Reads the same lines as mere JSON.
fn values(file: &Path) {
    let clock = Clock::real();
    let mut input = BufReader::with_capacity(BUFFER, File::open(file).expect("it was written"));
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).expect("it can be read") > 0 {
        let value: Value = serde_json::from_slice(&line).expect("JSON");
        std::hint::black_box(value);
        line.clear();
    }
    println!("{} {}", clock.now_us(), most_bytes());
}

/// The most memory that this process has had so far.
fn most_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("a number of kilobytes") * 1_024
}

/// A run that can be told again and again.
struct Story {
    head: Vec<String>,
    body: Vec<Vec<Piece>>,
    tail: Vec<Map<String, Value>>,
    /// How long it takes, in microseconds.
    lasts_us: u64,
    requests: u64,
    operations: u64,
    expected: usize,
}

/// A piece of a line.
enum Piece {
    Text(String),
    /// A number that grows by so much with each time that the story is told.
    Number {
        first: u64,
        step: u64,
        width: usize,
    },
    /// The same in hexadecimal.
    Digits(u64),
    Seq,
}

impl Story {
    /// Lets the product write a trace, and takes it apart.
    fn told(folder: &Path) -> Self {
        let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
        let harness = harness.virtual_time().transport(Transport::Memory).without_control();
        let judged = harness.trace_to(folder).run_with(careful).expect("it runs");
        assert_eq!(judged.result.verdict, Verdict::Passed, "{}", judged.report());
        let exercised = |verdict| verdict != InvariantVerdict::NotExercised;
        let idle = judged.result.invariants.iter().filter(|one| !exercised(one.verdict));
        let idle: Vec<&str> = idle.map(|one| one.name).collect();
        println!("not exercised: {}", idle.join(", "));
        let text = std::fs::read_to_string(folder.join("trace.jsonl")).expect("it was written");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let lines: Vec<Map<String, Value>> = lines.collect();
        let is = |line: &Map<String, Value>, words: &[&str]| {
            line.get("event").and_then(Value::as_str).is_some_and(|word| words.contains(&word))
        };
        let is_head = |line: &&Map<String, Value>| is(line, &["run_started", "client_started"]);
        let is_tail = |line: &&Map<String, Value>| is(line, &["client_ended", "run_finished"]);
        let body = || lines.iter().filter(|line| !is_head(line) && !is_tail(line));
        let most =
            |key: &str| body().filter_map(|line| line.get(key)?.as_u64()).max().unwrap_or_default();
        let steps = Steps {
            time: most("at_us") + 1_000,
            operation: judged.result.operations.total,
            connection: most("connection"),
            request: most("request"),
            effect: most("effect"),
        };
        Self {
            head: lines.iter().filter(is_head).map(without_seq).collect(),
            body: body().map(|line| steps.pieces(line)).collect(),
            tail: lines.iter().filter(is_tail).cloned().collect(),
            lasts_us: steps.time,
            requests: judged.result.requests,
            operations: steps.operation,
            expected: judged.result.invariants.len(),
        }
    }

    /// Writes it as often as at least so many requests need, and says how many there are.
    fn write(&self, file: &PathBuf, requests: u64) -> u64 {
        let mut output = BufWriter::with_capacity(BUFFER, File::create(file).expect("a file"));
        let mut seq = 0_u64;
        let times = requests.div_ceil(self.requests);
        let mut put = |line: &dyn Fn(&mut BufWriter<File>, u64) -> std::io::Result<()>| {
            seq += 1;
            line(&mut output, seq).expect("there is room on the disk");
        };
        for line in &self.head {
            put(&|output, seq| writeln!(output, "{{\"seq\":{seq},{line}"));
        }
        for time in 0..times {
            for line in &self.body {
                put(&|output, seq| {
                    line.iter().try_for_each(|piece| piece.write(output, (seq, time)))?;
                    writeln!(output)
                });
            }
        }
        for line in &self.tail {
            let mut line = line.clone();
            line.insert("at_us".to_owned(), (self.lasts_us * times).into());
            put(&|output, seq| writeln!(output, "{{\"seq\":{seq},{}", without_seq(&line)));
        }
        output.flush().expect("there is room on the disk");
        times * self.requests
    }
}

/// A line without its number and its first brace.
fn without_seq(line: &Map<String, Value>) -> String {
    let mut line = line.clone();
    line.shift_remove("seq");
    Value::Object(line).to_string().split_off(1)
}

impl Piece {
    fn write(&self, output: &mut impl Write, (seq, time): (u64, u64)) -> std::io::Result<()> {
        match self {
            Self::Text(text) => output.write_all(text.as_bytes()),
            Self::Number { first, step, width } => {
                write!(output, "{:0width$}", first + step * time)
            }
            Self::Digits(first) => write!(output, "{:08x}", (first + time) & 0xffff_ffff),
            Self::Seq => write!(output, "{seq}"),
        }
    }
}

/// By how much the numbers grow from one time that the story is told to the next.
struct Steps {
    time: u64,
    operation: u64,
    connection: u64,
    request: u64,
    effect: u64,
}

/// Stands around what varies while a line is taken apart.
const MARK: char = '\u{1}';

impl Steps {
    /// A line as pieces: what varies is put between marks, and the text is cut there.
    fn pieces(&self, line: &Map<String, Value>) -> Vec<Piece> {
        let mut line = line.clone();
        for (key, value) in &mut line {
            self.mark(key, value);
        }
        // A mark in a string of JSON is written as an escape; a number's stand with its quotes.
        let escape = "\\u0001";
        let text = Value::Object(line).to_string();
        let text = text.replace(&format!("\"{escape}#"), &MARK.to_string());
        let text = text.replace(&format!("#{escape}\""), &MARK.to_string());
        let text = text.replace(escape, &MARK.to_string());
        let cut = text.split(MARK).enumerate();
        cut.map(|(at, part)| if at % 2 == 0 { Piece::Text(part.to_owned()) } else { varied(part) })
            .collect()
    }

    fn mark(&self, key: &str, value: &mut Value) {
        let step = match key {
            "seq" => return *value = format!("{MARK}#seq#{MARK}").into(),
            "at_us" | "head_at_us" | "end_at_us" => self.time,
            "n" => self.operation,
            "connection" => self.connection,
            "request" | "first_request" => self.request,
            "effect" | "effects" => self.effect,
            _ => 0,
        };
        match value {
            Value::Number(number) if step > 0 => {
                *value = format!("{MARK}#{number}+{step}/0#{MARK}").into();
            }
            Value::Array(list) => list.iter_mut().for_each(|one| self.mark(key, one)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(key, value)| self.mark(key, value));
            }
            Value::String(text) if key.ends_with("digest") && key != "auth_digest" => {
                let digits = text.split_off(text.len().saturating_sub(8));
                *text = format!("{text}{MARK}x{digits}{MARK}");
            }
            Value::String(text) => {
                for name in ["op-", "order-"] {
                    *text = self.counted(name, text);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text in which the number behind this name grows.
    fn counted(&self, name: &str, text: &str) -> String {
        let Some((before, rest)) = text.split_once(name) else { return text.to_owned() };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return text.to_owned();
        }
        let width = if name == "op-" { 4 } else { 0 };
        let number = number.trim_start_matches('0');
        format!("{before}{name}{MARK}{number}+{}/{width}{MARK}{after}", self.operation)
    }
}

/// What stood between two marks.
fn varied(part: &str) -> Piece {
    if part == "seq" {
        return Piece::Seq;
    }
    if let Some(digits) = part.strip_prefix('x') {
        return Piece::Digits(u64::from_str_radix(digits, 16).expect("digits"));
    }
    let (first, rest) = part.split_once('+').expect("a number that grows");
    let (step, width) = rest.split_once('/').expect("with a width");
    Piece::Number {
        first: first.parse().expect("a number"),
        step: step.parse().expect("a number"),
        width: width.parse().expect("a number"),
    }
}

/// A client that does all of it right: one key an operation, waits that grow, a word in its log for each retry,
/// and in the end a look whether the charge is there.
fn careful(
    connection: &Connection,
) -> impl Fn(Operation, Connection) -> std::pin::Pin<Box<dyn Future<Output = Outcome>>> + use<> {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build::<_, Full<Bytes>>(connection.connector());
    move |operation, connection| {
        let client = client.clone();
        Box::pin(async move {
            let ask = async |method: Method, path: &str, body: String| {
                let request = http::Request::builder()
                    .method(method)
                    .uri(format!("{}{path}", operation.url))
                    .header("authorization", format!("Bearer {}", operation.api_key))
                    .header("idempotency-key", format!("charge-{}", operation.id))
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(body)))
                    .expect("a right request");
                let answer = client.request(request).await.ok()?;
                let (status, wait) = (answer.status().as_u16(), wait(answer.headers()));
                let body = answer.into_body().collect().await.ok()?.to_bytes();
                Some((status, wait, serde_json::from_slice::<Value>(&body).ok()))
            };
            for attempt in 0..11_u32 {
                // Each copy waits a little longer or shorter than the others.
                let jitter = Duration::from_millis(operation.n * 37 % 400);
                let backoff = Duration::from_millis(500 << attempt.min(6)) + jitter * (attempt + 1);
                let pause =
                    match ask(Method::POST, "/v1/charges", operation.input.to_string()).await {
                        Some((201, _, Some(_))) => {
                            let order = operation.input["order"].as_str().unwrap_or_default();
                            let path = format!("/v1/charges?order={order}");
                            let _ = ask(Method::GET, &path, String::new()).await;
                            return Outcome::succeeded();
                        }
                        Some((402, ..)) => {
                            connection.log(&format!("{}: declined", operation.id));
                            return Outcome::failed("the card was declined");
                        }
                        Some((_, wait, _)) => wait.unwrap_or_default().max(backoff),
                        None => backoff,
                    };
                connection.log(&format!("{}: retry {}", operation.id, attempt + 1));
                tokio::time::sleep(pause).await;
            }
            Outcome::unknown("it never worked")
        })
    }
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
