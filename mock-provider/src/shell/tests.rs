//! The wire, seen by a raw socket, before a scripted double of the state machine.
//!
//! Time is paused: it moves only when client and server both wait, so moments are exact and no test
//! takes longer than its bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::event::{ClientOutput, Event, EventKind, Side, Sink};
use crate::exchange::{
    Answer, Cut, End, Ended, Exchange, ExchangeId, Finish, Listening, Next, Pace, Wire as Pacing,
};
use crate::request::Request;
use crate::shell::clock::Clock;
use crate::shell::handler::Handler;
use crate::shell::server::{ServeError, Server};

const MS: u64 = 1_000;

/// What the shell told the state machine, as a test wants to compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Handled { connection: u64, reused: bool, method: Method, target: String, body: usize },
    Accepted(String),
    Advanced(ExchangeId, u64),
    Finished(ExchangeId, Finish),
    ConnectionEnded(u64, Side, End, u64),
    BadRequest(u64),
    TooLarge(u64),
}

/// A state machine that follows a script: for each target the steps, waits as microseconds from now.
#[derive(Debug, Default)]
struct Script {
    at_accept: BTreeMap<&'static str, Vec<Next>>,
    steps: BTreeMap<&'static str, Vec<Next>>,
    repeats: BTreeMap<&'static str, Vec<Vec<Next>>>,
    running: BTreeMap<ExchangeId, VecDeque<Next>>,
    last: ExchangeId,
    said: Vec<Said>,
    events: Vec<Event>,
}

impl Script {
    fn on(target: &'static str, steps: Vec<Next>) -> Self {
        Self::default().and(target, steps)
    }

    fn and(mut self, target: &'static str, steps: Vec<Next>) -> Self {
        self.steps.insert(target, steps);
        self
    }

    fn begin(&mut self, steps: Vec<Next>, now_us: u64) -> (ExchangeId, Next) {
        self.last += 1;
        self.running.insert(self.last, steps.into());
        (self.last, self.step(self.last, now_us))
    }

    fn step(&mut self, id: ExchangeId, now_us: u64) -> Next {
        let steps = self.running.get_mut(&id).expect("the exchange has begun");
        let next = steps.pop_front().unwrap_or(Next::Done);
        if let Next::Wait { until_us } = next {
            return Next::Wait { until_us: now_us + until_us };
        }
        self.running.remove(&id);
        next
    }

    fn say(&mut self, said: Said) {
        let text = format!("{said:?}");
        let output = ClientOutput {
            stream: "said".into(),
            operation: None,
            text,
            secrets: Vec::new(),
            not_kept: 0,
        };
        self.events.push(Event::new(0, EventKind::ClientOutput(output)));
        self.said.push(said);
    }
}

impl Handler for Script {
    fn wants_heads(&self) -> bool {
        !self.at_accept.is_empty()
    }

    fn minds_the_door(&self) -> bool {
        false
    }

    fn listening(&mut self, _: u64) -> Listening {
        Listening::ALWAYS
    }

    fn greeting(&mut self, _: u64) -> Option<crate::fault::Greeting> {
        None
    }

    fn handshake_failed(&mut self, _: u64, _: u64) {}

    fn accept(&mut self, head: &Request, now_us: u64) -> Option<Exchange> {
        let steps = self.at_accept.get(head.target.as_str())?.clone();
        self.say(Said::Accepted(head.target.clone()));
        let (id, next) = self.begin(steps, now_us);
        Some(Exchange { id, next, also: Vec::new() })
    }

    fn handle(&mut self, request: Request, now_us: u64) -> Exchange {
        let target = request.target.as_str();
        let steps = self.steps.get(target).cloned().unwrap_or_else(|| vec![text("plain")]);
        let repeats = self.repeats.get(target).cloned().unwrap_or_default();
        let (id, next) = self.begin(steps, now_us);
        let also = repeats.into_iter().map(|steps| self.begin(steps, now_us)).collect();
        self.say(Said::Handled {
            connection: request.connection,
            reused: request.reused,
            method: request.method,
            target: request.target,
            body: request.body.len(),
        });
        Exchange { id, next, also }
    }

    fn advance(&mut self, id: ExchangeId, now_us: u64) -> Next {
        self.say(Said::Advanced(id, now_us));
        self.step(id, now_us)
    }

    fn finish(&mut self, id: ExchangeId, finish: Finish) {
        self.say(Said::Finished(id, finish));
    }

    fn connection_ended(&mut self, connection: u64, by: Side, how: End, at_us: u64) {
        self.say(Said::ConnectionEnded(connection, by, how, at_us));
    }

    fn bad_request(&mut self, connection: u64, _: u64) {
        self.say(Said::BadRequest(connection));
    }

    fn too_large(&mut self, connection: u64, _: u64) {
        self.say(Said::TooLarge(connection));
    }

    fn pending(&self) -> usize {
        self.running.len()
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

#[derive(Default)]
struct List(Mutex<Vec<Event>>);

impl Sink for List {
    fn record(&self, events: Vec<Event>) {
        assert!(!events.is_empty(), "nothing is recorded for nothing");
        self.0.lock().unwrap().extend(events);
    }
}

fn text(body: &'static str) -> Next {
    shaped(body, Pacing::default())
}

fn shaped(body: impl Into<Bytes>, wire: Pacing) -> Next {
    Next::Answer(Box::new(Answer {
        status: 200,
        headers: HeaderMap::new(),
        body: body.into(),
        wire,
        framing: None,
        goaway: None,
        interim: Bytes::new(),
        pieces: None,
    }))
}

fn cut(after_bytes: u64, then: End) -> Pacing {
    Pacing { cut: Some(Cut { after_bytes, then }), ..Pacing::default() }
}

fn wait(micros: u64) -> Next {
    Next::Wait { until_us: micros }
}

/// How a raw client saw its connection end.
#[derive(Debug, PartialEq, Eq)]
enum Saw {
    Fin,
    Rst,
}

/// A server before a script, and what is needed to ask both.
struct Stage {
    server: Server<Script>,
    clock: Clock,
    sink: Arc<List>,
}

impl Stage {
    async fn new(script: Script) -> Self {
        let (clock, sink) = (Clock::real(), Arc::new(List::default()));
        let server = Server::start(script, None, clock, Arc::<List>::clone(&sink)).await.unwrap();
        Self { server, clock, sink }
    }

    async fn connect(&self) -> Raw {
        let stream = TcpStream::connect(self.server.addr()).await.unwrap();
        Raw { stream }
    }

    /// Waits until the server has nothing left to do, and tells what it said so far.
    async fn said(&self) -> Vec<Said> {
        self.server.idle().await;
        self.server.with(|script| script.said.clone())
    }

    /// The finishes alone.
    async fn finishes(&self) -> Vec<Finish> {
        let said = self.said().await;
        said.into_iter()
            .filter_map(
                |said| if let Said::Finished(_, finish) = said { Some(finish) } else { None },
            )
            .collect()
    }
}

/// A client that knows bytes only.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn get(&mut self, target: &str) {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    }

    async fn post(&mut self, target: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Reads exactly this text.
    async fn expect(&mut self, text: &str) {
        let mut bytes = vec![0; text.len()];
        self.stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }

    /// Reads to the end: all bytes, and how it ended.
    async fn rest(&mut self) -> (String, Saw) {
        let mut bytes = Vec::new();
        let saw = match self.stream.read_to_end(&mut bytes).await {
            Ok(_) => Saw::Fin,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Saw::Rst,
            Err(error) => panic!("{error}"),
        };
        (String::from_utf8(bytes).unwrap(), saw)
    }

    fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

fn ok(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn whole(body_bytes: u64, head_at_us: u64, end_at_us: u64) -> Finish {
    Finish { head_at_us: Some(head_at_us), end_at_us, body_bytes, complete: true, ended: None }
}

fn by(by: Side, how: End) -> Option<Ended> {
    Some(Ended { by, how })
}

/// The first request of the only connection.
fn handled(target: &str, body: usize) -> Said {
    let method = if body == 0 { Method::GET } else { Method::POST };
    Said::Handled { connection: 1, reused: false, method, target: target.to_owned(), body }
}

#[tokio::test(start_paused = true)]
async fn a_plain_answer_is_these_bytes_and_the_connection_lives_on() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    raw.post("/a?b=c", "hello").await;
    raw.expect(&ok(5, "plain")).await;
    raw.get("/d").await;
    raw.expect(&ok(5, "plain")).await;
    drop(raw);
    let said = stage.said().await;
    assert_eq!(
        said,
        [
            handled("/a?b=c", 5),
            Said::Finished(1, whole(5, 0, 0)),
            Said::Handled {
                connection: 1,
                reused: true,
                method: Method::GET,
                target: "/d".to_owned(),
                body: 0,
            },
            Said::Finished(2, whole(5, 0, 0)),
            Said::ConnectionEnded(1, Side::Client, End::Fin, 0),
        ]
    );
    assert_eq!(stage.sink.0.lock().unwrap().len(), said.len(), "each event reached the sink");
    stage.server.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_and_each_is_counted() {
    let script = Script::on("/slow", vec![wait(5 * MS), text("slow")]).and("/none", vec![text("")]);
    let stage = Stage::new(script).await;
    let mut raw = stage.connect().await;
    let all = ["/slow", "/none", "/x"].map(|to| format!("GET {to} HTTP/1.1\r\nHost: a\r\n\r\n"));
    raw.send(all.concat()).await;
    raw.expect(&[ok(4, "slow"), ok(0, ""), ok(5, "plain")].concat()).await;
    let at = 5 * MS;
    assert_eq!(stage.finishes().await, [whole(4, at, at), whole(0, at, at), whole(5, at, at)]);
}

#[tokio::test(start_paused = true)]
async fn http_1_0_gets_an_answer_and_a_close() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    raw.send("GET /a HTTP/1.0\r\n\r\n").await;
    let (bytes, saw) = raw.rest().await;
    assert_eq!(bytes, ok(5, "plain").replace("1.1", "1.0"));
    assert_eq!(saw, Saw::Fin);
    let ended = Said::ConnectionEnded(1, Side::Provider, End::Fin, 0);
    assert_eq!(stage.said().await.last(), Some(&ended));
}

#[tokio::test(start_paused = true)]
async fn a_head_request_and_a_204_have_no_body_on_the_wire() {
    let mut bare = Answer {
        status: 204,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"not sent"),
        wire: Pacing::default(),
        framing: None,
        goaway: None,
        interim: Bytes::new(),
        pieces: None,
    };
    bare.headers.insert("x-a", "1".parse().unwrap());
    let stage = Stage::new(Script::on("/204", vec![Next::Answer(Box::new(bare))])).await;
    let mut raw = stage.connect().await;
    raw.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.expect(&ok(5, "")).await;
    raw.get("/204").await;
    raw.expect("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n").await;
    raw.get("/b").await;
    raw.expect(&ok(5, "plain")).await;
    assert_eq!(stage.finishes().await, [whole(0, 0, 0), whole(0, 0, 0), whole(5, 0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    raw.send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    raw.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send("hello").await;
    raw.expect(&ok(5, "plain")).await;
    assert_eq!(stage.finishes().await, [whole(5, 0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_gets_400_and_is_on_record_once() {
    for (bytes, status) in [
        ("hello there\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("GET /a HTTP/1.1\r\nHost a\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        (
            format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            "HTTP/1.1 431 Request Header Fields Too Large",
        ),
    ] {
        let stage = Stage::new(Script::default()).await;
        let mut raw = stage.connect().await;
        raw.send(bytes).await;
        let (bytes, saw) = raw.rest().await;
        assert!(bytes.starts_with(status), "{bytes}");
        assert_eq!(saw, Saw::Fin);
        assert_eq!(stage.said().await, [Said::BadRequest(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_request_is_no_request() {
    for bytes in ["GET /a HTT", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"] {
        let stage = Stage::new(Script::default()).await;
        let mut raw = stage.connect().await;
        raw.send(bytes).await;
        stage.server.idle().await;
        drop(raw);
        assert_eq!(
            stage.said().await,
            [Said::ConnectionEnded(1, Side::Client, End::Fin, 0)],
            "{bytes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_100_mb_is_refused_also_for_a_client_that_reads_last() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    let (pieces, piece) = (100, vec![b'x'; 1 << 20]);
    let length = pieces * piece.len();
    raw.send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    for _ in 0..pieces {
        raw.send(&piece).await;
    }
    let (bytes, saw) = raw.rest().await;
    assert!(bytes.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{bytes}");
    assert!(bytes.contains("larger than 16777216 bytes"), "{bytes}");
    assert_eq!(saw, Saw::Fin);
    assert_eq!(stage.said().await, [Said::TooLarge(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_length_is_refused_when_it_grows_too_large() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    raw.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    for _ in 0..17 {
        raw.send(&chunk).await;
    }
    raw.send("0\r\n\r\n").await;
    let (bytes, saw) = raw.rest().await;
    assert!(bytes.starts_with("HTTP/1.1 413 "), "{bytes}");
    assert_eq!(saw, Saw::Fin);
    assert_eq!(stage.said().await, [Said::TooLarge(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_whether_to_send_too_much_is_told_no_at_once() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    raw.send("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n").await;
    let (bytes, saw) = raw.rest().await;
    assert!(bytes.starts_with("HTTP/1.1 413 "), "{bytes}");
    assert_eq!(saw, Saw::Fin);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_16_mib_is_taken_whole() {
    let stage = Stage::new(Script::default()).await;
    let mut raw = stage.connect().await;
    let length = 16 << 20;
    raw.send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    raw.send(vec![b'x'; length]).await;
    raw.expect(&ok(5, "plain")).await;
    assert_eq!(stage.said().await[0], handled("/a", length));
}

#[tokio::test(start_paused = true)]
async fn a_drop_answers_nothing_and_ends_as_it_was_told() {
    for (how, seen) in [(End::Fin, Saw::Fin), (End::Rst, Saw::Rst)] {
        let stage = Stage::new(Script::on("/a", vec![wait(MS), Next::Drop(how)])).await;
        let mut raw = stage.connect().await;
        raw.post("/a", "hello").await;
        assert_eq!(raw.rest().await, (String::new(), seen));
        let finish = Finish {
            head_at_us: None,
            end_at_us: MS,
            body_bytes: 0,
            complete: false,
            ended: by(Side::Provider, how),
        };
        assert_eq!(
            stage.said().await,
            [handled("/a", 5), Said::Advanced(1, MS), Said::Finished(1, finish)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_answer_is_not_lost_when_the_next_exchange_drops_the_connection() {
    let body = "x".repeat(8 << 20);
    let script = Script::on("/big", vec![shaped(body.clone(), Pacing::default())])
        .and("/rst", vec![Next::Drop(End::Rst)]);
    let stage = Stage::new(script).await;
    let mut raw = stage.connect().await;
    raw.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /rst HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.rest().await, (ok(body.len(), &body), Saw::Rst));
    assert_eq!(stage.finishes().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cut_lets_exactly_so_many_bytes_through() {
    for (how, seen) in [(End::Fin, Saw::Fin), (End::Rst, Saw::Rst)] {
        for after in [0, 1, 9, 10, 11] {
            let stage =
                Stage::new(Script::on("/a", vec![shaped("0123456789", cut(after, how))])).await;
            let mut raw = stage.connect().await;
            raw.get("/a").await;
            let sent = usize::try_from(after.min(10)).unwrap();
            let (bytes, saw) = raw.rest().await;
            assert_eq!(bytes, ok(10, &"0123456789"[..sent]));
            assert_eq!(saw, seen);
            let finish = Finish {
                body_bytes: after.min(10),
                complete: after >= 10,
                ended: by(Side::Provider, how),
                ..whole(0, 0, 0)
            };
            assert_eq!(stage.finishes().await, [finish]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_in_the_middle_throws_nothing_away_that_was_to_arrive() {
    let body = "x".repeat(4 << 20);
    let after = body.len() - 1;
    let wire = cut(u64::try_from(after).unwrap(), End::Rst);
    let stage = Stage::new(Script::on("/a", vec![shaped(body.clone(), wire)])).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    assert_eq!(raw.rest().await, (ok(body.len(), &body[..after]), Saw::Rst));
}

#[tokio::test(start_paused = true)]
async fn a_stall_lasts_until_the_client_closes() {
    let stage = Stage::new(Script::on("/a", vec![shaped("0123456789", cut(4, End::Stall))])).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    raw.expect(&ok(10, "0123")).await;
    let mut byte = [0];
    let hour = std::time::Duration::from_secs(3_600);
    assert!(stage.clock.within(hour, raw.stream.read(&mut byte)).await.is_none());
    assert_eq!(stage.finishes().await, [], "a stall is idle, and not finished");
    drop(raw);
    let finish = Finish {
        end_at_us: 3_600_000 * MS,
        body_bytes: 4,
        complete: false,
        ended: by(Side::Client, End::Fin),
        ..whole(0, 0, 0)
    };
    assert_eq!(stage.finishes().await, [finish]);
}

#[tokio::test(start_paused = true)]
async fn silence_hears_the_client_close_or_reset() {
    for (how, reset) in [(End::Fin, false), (End::Rst, true)] {
        for next in [Next::Silence, Next::Drop(End::Stall)] {
            let stage = Stage::new(Script::on("/a", vec![next])).await;
            let mut raw = stage.connect().await;
            raw.get("/a").await;
            assert_eq!(stage.finishes().await, []);
            stage.clock.sleep_until_us(7 * MS).await;
            if reset {
                raw.reset();
            } else {
                drop(raw);
            };
            let ended = by(Side::Client, how);
            let finish = Finish {
                head_at_us: None,
                end_at_us: 7 * MS,
                body_bytes: 0,
                complete: false,
                ended,
            };
            assert_eq!(stage.finishes().await, [finish]);
            assert_eq!(stage.said().await.len(), 2, "the connection is not reported once more");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drip_comes_piece_by_piece() {
    let pace = Some(Pace { bytes: 4, every_us: 50 * MS });
    let wire = Pacing { body_after_us: 20 * MS, pace, cut: None };
    let stage = Stage::new(Script::on("/a", vec![shaped("0123456789", wire)])).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    raw.expect(&ok(10, "")).await;
    assert_eq!(stage.clock.now_us(), 0);
    for (piece, at_ms) in [("0123", 20), ("4567", 70), ("89", 120)] {
        raw.expect(piece).await;
        assert_eq!(stage.clock.now_us(), at_ms * MS);
    }
    assert_eq!(stage.finishes().await, [whole(10, 0, 120 * MS)]);
    raw.get("/b").await;
    raw.expect(&ok(5, "plain")).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_during_a_drip_is_heard_before_the_next_piece() {
    let pace = Some(Pace { bytes: 1, every_us: 50 * MS });
    let wire = Pacing { pace, ..Pacing::default() };
    let stage = Stage::new(Script::on("/a", vec![shaped("0123", wire)])).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    raw.expect(&ok(4, "01")).await;
    stage.clock.sleep_until_us(60 * MS).await;
    drop(raw);
    let finish =
        Finish { complete: false, ended: by(Side::Client, End::Fin), ..whole(2, 0, 60 * MS) };
    assert_eq!(stage.finishes().await, [finish]);
    assert_eq!(stage.clock.now_us(), 60 * MS);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_when_the_client_hangs_up_and_the_close_is_heard_at_once() {
    for behind in ["", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let steps = vec![wait(50 * MS), wait(30 * MS), text("late")];
        let stage = Stage::new(Script::on("/a", steps)).await;
        let mut raw = stage.connect().await;
        raw.get("/a").await;
        raw.send(behind).await;
        stage.clock.sleep_until_us(10 * MS).await;
        drop(raw);
        let ended = by(Side::Client, End::Fin);
        let finish =
            Finish { head_at_us: None, end_at_us: 10 * MS, body_bytes: 0, complete: false, ended };
        assert_eq!(
            stage.said().await,
            [
                handled("/a", 0),
                Said::Finished(1, finish),
                Said::Advanced(1, 50 * MS),
                Said::Advanced(1, 80 * MS),
            ]
        );
        assert_eq!(stage.clock.now_us(), 80 * MS, "idle waits for the work");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_half_is_gone_when_something_has_to_be_waited_for() {
    let stage = Stage::new(Script::on("/wait", vec![wait(MS), text("late")])).await;
    let mut raw = stage.connect().await;
    raw.get("/at-once").await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.rest().await, (ok(5, "plain"), Saw::Fin));
    let mut raw = stage.connect().await;
    raw.get("/wait").await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.rest().await, (String::new(), Saw::Fin));
    let finishes = stage.finishes().await;
    assert_eq!(finishes[0], whole(5, 0, 0));
    assert_eq!(finishes[1].ended, by(Side::Client, End::Fin));
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_to_a_client_that_hangs_up_is_not_complete() {
    let body = "x".repeat(32 << 20);
    let stage = Stage::new(Script::on("/a", vec![shaped(body, Pacing::default())])).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    raw.expect("HTTP/1.1 200 OK").await;
    drop(raw);
    let finishes = stage.finishes().await;
    assert_eq!(finishes.len(), 1);
    assert!(!finishes[0].complete && finishes[0].body_bytes < 32 << 20, "{finishes:?}");
    assert_eq!(finishes[0].ended, by(Side::Client, End::Rst));
}

#[tokio::test(start_paused = true)]
async fn repeats_run_on_their_own() {
    let mut script = Script::default();
    script.repeats.insert("/a", vec![vec![wait(5 * MS), text("unheard")], vec![wait(9 * MS)]]);
    let stage = Stage::new(script).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    raw.expect(&ok(5, "plain")).await;
    assert_eq!(
        stage.said().await,
        [
            handled("/a", 0),
            Said::Finished(1, whole(5, 0, 0)),
            Said::Advanced(2, 5 * MS),
            Said::Advanced(3, 9 * MS),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_strike_at_accept_leaves_the_body_unread() {
    for (how, seen) in [(End::Fin, Saw::Fin), (End::Rst, Saw::Rst)] {
        let mut script = Script::default();
        script.at_accept.insert("/a", vec![Next::Drop(how)]);
        let stage = Stage::new(script).await;
        let mut raw = stage.connect().await;
        raw.get("/b").await;
        raw.expect(&ok(5, "plain")).await;
        raw.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
        assert_eq!(raw.rest().await, (String::new(), seen));
        let said = stage.said().await;
        assert_eq!(said[2], Said::Accepted("/a".into()));
        assert!(matches!(&said[3], Said::Finished(2, finish)
            if finish.ended == by(Side::Provider, how) && finish.head_at_us.is_none()));
        assert_eq!(said.len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_written_before_the_client_died_is_served_before_the_server_is_idle() {
    let stage = Stage::new(Script::default()).await;
    let stream = std::net::TcpStream::connect(stage.server.addr()).unwrap();
    std::io::Write::write_all(&mut &stream, b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
        .unwrap();
    drop(stream);
    assert_eq!(stage.said().await[0], handled("/a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_is_named_with_the_cure() {
    let stage = Stage::new(Script::default()).await;
    let port = stage.server.addr().port();
    let sink = Arc::new(List::default());
    let second = Server::start(Script::default(), Some(port), Clock::real(), sink).await;
    let error = second.unwrap_err();
    assert!(matches!(error, ServeError::PortInUse { .. }));
    let sentence = format!("port `{port}` is in use; choose another one");
    assert!(error.to_string().starts_with(&sentence), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_what_is_open() {
    let stage = Stage::new(Script::on("/a", vec![wait(3_600_000 * MS), text("late")])).await;
    let mut raw = stage.connect().await;
    raw.get("/a").await;
    let mut idle = stage.connect().await;
    idle.get("/b").await;
    idle.expect(&ok(5, "plain")).await;
    let Stage { server, sink, clock } = stage;
    server.shutdown().await.unwrap();
    assert_eq!(clock.now_us(), 0, "nothing is waited for");
    assert_eq!(raw.rest().await.0, "");
    assert_eq!(idle.rest().await, (String::new(), Saw::Fin));
    let events = sink.0.lock().unwrap();
    let EventKind::ClientOutput(last) = &events.last().unwrap().kind else { panic!("{events:?}") };
    assert!(last.text.starts_with("Finished(1, Finish { head_at_us: None"), "{}", last.text);
    assert!(last.text.contains("by: Provider, how: Fin"), "{}", last.text);
}
