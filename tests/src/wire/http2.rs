//! HTTP/2 as a reader of frames sees it: which stream ends by which code, what the provider says when it
//! takes its leave, and that one stream takes no other with it.

use std::time::Duration;

use brownout_provider::event::{EventKind, Side};
use brownout_provider::http2::FrameHead;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Answer, MS, Saw, Stage};

/// How HTTP/2 begins: the preface, and settings that change nothing.
pub(super) const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const CHARGE: &str = r#"{"amount":1999,"currency":"usd","order":"order-1"}"#;

/// A client that knows frames only.
struct Frames {
    stream: TcpStream,
}

/// A frame: its head, and what it carries.
type Frame = (FrameHead, Vec<u8>);

/// A field that no table knows, as HPACK writes it without Huffman.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    [&[0, length(name)][..], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// A frame of this kind, with these flags, on this stream.
pub(super) fn frame((kind, flags, stream): (u8, u8, u32), payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A charge on a stream, in the name of an operation: a head, and a body that ends it.
pub(super) fn request(stream: u32, operation: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", &*format!("/~{operation}.1/v1/charges")),
        ("authorization", "Bearer sk"),
        ("content-type", "application/json"),
    ] {
        block.extend(field(name, value));
    }
    let head = frame((FrameHead::HEADERS, 0x4, stream), &block);
    [head, frame((FrameHead::DATA, FrameHead::END_STREAM, stream), CHARGE.as_bytes())].concat()
}

impl Frames {
    async fn connect(stage: &Stage) -> Self {
        let stream = TcpStream::connect(stage.server.addr()).await.expect("it listens");
        // A kernel that gathers small writes would hold one back while time passes.
        stream.set_nodelay(true).expect("an open socket");
        let mut frames = Self { stream };
        frames.stream.write_all(BEGIN).await.expect("taken");
        frames
    }

    async fn send(&mut self, head: (u8, u8, u32), payload: &[u8]) {
        self.stream.write_all(&frame(head, payload)).await.expect("the provider reads");
    }

    /// Asks for a charge on a stream, in the name of an operation.
    async fn charge(&mut self, stream: u32, operation: &str) {
        self.stream.write_all(&request(stream, operation)).await.expect("the provider reads");
    }

    /// The next frame that is about a stream or takes leave; how the connection ended where none comes.
    async fn next(&mut self) -> Result<Frame, Saw> {
        loop {
            let mut head = [0; FrameHead::BYTES];
            match self.stream.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(Saw::Fin);
                }
                Err(_) => return Err(Saw::Rst),
            }
            let head = FrameHead::read(head);
            let mut payload = vec![0; usize::try_from(head.length).expect("a short frame")];
            self.stream.read_exact(&mut payload).await.expect("a frame comes whole");
            if head.stream > 0 || head.kind == 7 {
                return Ok((head, payload));
            }
        }
    }

    /// All frames up to the one that ends this stream: their kinds, the bytes of the body, and by which
    /// code it was reset, if it was.
    async fn until_end(&mut self, stream: u32) -> (Vec<u8>, Vec<u8>, Option<u32>) {
        let (mut kinds, mut body) = (Vec::new(), Vec::new());
        loop {
            let (head, payload) = self.next().await.expect("the stream ends first");
            if head.stream != stream {
                continue;
            }
            kinds.push(head.kind);
            match head.kind {
                FrameHead::RST_STREAM => return (kinds, body, Some(number(&payload))),
                FrameHead::DATA => body.extend(payload),
                _ => {}
            }
            if head.flags & FrameHead::END_STREAM != 0 {
                return (kinds, body, None);
            }
        }
    }

    /// The next stream that is reset by the client.
    async fn take_back(&mut self, stream: u32) {
        self.send((FrameHead::RST_STREAM, 0, stream), &8_u32.to_be_bytes()).await;
    }
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("four bytes"))
}

async fn stage(when: &str, inject: &str) -> Stage {
    let faults = if inject.is_empty() {
        String::new()
    } else {
        format!("faults:\n  - {{name: struck, when: {{{when}}}, inject: {{{inject}}}}}\n")
    };
    Stage::with("payments, http2: true", "create_charge", &faults).await
}

/// What the first request of a connection meets: kinds of frames, body and code.
async fn struck(stage: &Stage) -> (Vec<u8>, Vec<u8>, Option<u32>) {
    let mut client = Frames::connect(stage).await;
    client.charge(1, "op-0001").await;
    let seen = client.until_end(1).await;
    // The connection lives on.
    client.charge(3, "op-0002").await;
    let (_, body, code) = client.until_end(3).await;
    assert!(code.is_none() && body.starts_with(b"{\"id\":\"ch_"), "{body:?}");
    seen
}

/// How the first request ended by the trace: who ended it how, whether its answer was whole, and how many
/// charges were made in its name.
async fn on_record(stage: &Stage) -> (Option<(Side, String)>, Option<bool>, usize) {
    let ends = stage.ends().await.into_iter().map(|(_, end)| end);
    let mut ends = ends.filter(|end| end.request == Some(1));
    let end = ends.next().map(|end| (end.by, end.how.to_string()));
    let responses = stage.responses().await;
    let whole = responses.iter().find(|sent| sent.request == 1).map(|sent| sent.complete);
    let effects = stage.effects().await;
    (end, whole, effects.iter().filter(|(_, effect)| &*effect.operation == "op-0001").count())
}

fn by_provider(how: &str) -> Option<(Side, String)> {
    Some((Side::Provider, how.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_charge_is_one_stream_and_http_1_is_spoken_beside() {
    let stage = stage("", "").await;
    let (kinds, body, code) = struck(&stage).await;
    assert_eq!((&kinds[..], code), (&[FrameHead::HEADERS, FrameHead::DATA][..], None));
    let charge: serde_json::Value = serde_json::from_slice(&body).expect("a charge");
    assert_eq!(charge["amount"], 1999);
    assert_eq!(on_record(&stage).await, (None, Some(true), 1));
    let mut raw = stage.connect().await;
    raw.charge().await;
    let answer: Answer = raw.answer().await;
    assert_eq!(answer.status(), "201");
}

#[tokio::test(start_paused = true)]
async fn an_ending_ends_the_stream_alone() {
    let (head, data, reset) = (FrameHead::HEADERS, FrameHead::DATA, FrameHead::RST_STREAM);
    for (inject, kinds, bytes, code, how, effects) in [
        ("reset: {}", &[reset][..], 0, Some(2), "internal_error", 0),
        ("reset: {at: after_commit}", &[reset], 0, Some(2), "internal_error", 1),
        ("close: {at: accept}", &[reset], 0, Some(8), "cancel", 0),
        ("close: {at: mid_body, after_bytes: 9}", &[head, data], 9, None, "end_stream", 1),
        (
            "reset: {at: mid_body, after_bytes: 9}",
            &[head, data, reset],
            9,
            Some(2),
            "internal_error",
            1,
        ),
        ("truncate: {after_bytes: 0, then: rst}", &[head, reset], 0, Some(2), "internal_error", 1),
        (
            "rst_stream: {code: refused_stream, at: accept}",
            &[reset],
            0,
            Some(7),
            "refused_stream",
            0,
        ),
        ("rst_stream: {code: enhance_your_calm}", &[reset], 0, Some(11), "enhance_your_calm", 0),
        (
            "rst_stream: {code: refused_stream, at: after_commit}",
            &[reset],
            0,
            Some(7),
            "refused_stream",
            1,
        ),
        (
            "rst_stream: {code: cancel, at: mid_body, after_bytes: 20}",
            &[head, data, reset],
            20,
            Some(8),
            "cancel",
            1,
        ),
    ] {
        let stage = stage("operation: 1", inject).await;
        let (seen, body, by_code) = struck(&stage).await;
        assert_eq!((&seen[..], body.len(), by_code), (kinds, bytes, code), "{inject}");
        let whole = kinds.contains(&head).then_some(false);
        assert_eq!(on_record(&stage).await, (by_provider(how), whole, effects), "{inject}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_a_fault_changes_are_whole_streams() {
    for (inject, frames) in [
        ("status: {code: 503}", 2),
        ("malformed: html_page", 2),
        ("early_response: {code: 503}", 2),
        ("drip: {bytes: 10, every: 10ms}", 0),
        ("latency: {fixed: 3s}", 2),
    ] {
        let stage = stage("operation: 1", inject).await;
        let (kinds, body, code) = struck(&stage).await;
        assert_eq!(code, None, "{inject}");
        let expected = if frames == 0 { 1 + body.len().div_ceil(10) } else { frames };
        assert_eq!(kinds.len(), expected, "{inject}");
        assert_eq!(on_record(&stage).await.1, Some(true), "{inject}");
    }
    let stage = stage("operation: 1", "latency: {fixed: 3s}").await;
    struck(&stage).await;
    assert_eq!(stage.responses().await[0].head_at_us, 3_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn silence_lasts_until_the_client_takes_its_request_back() {
    for (inject, effects) in [("hang: {}", 0), ("hang: {at: after_commit}", 1)] {
        let stage = stage("operation: 1", inject).await;
        let mut client = Frames::connect(&stage).await;
        client.charge(1, "op-0001").await;
        client.charge(3, "op-0002").await;
        assert_eq!(client.until_end(3).await.2, None, "another stream is not held up");
        client.take_back(1).await;
        client.charge(5, "op-0003").await;
        client.until_end(5).await;
        let end = Some((Side::Client, "cancel".to_owned()));
        assert_eq!(on_record(&stage).await, (end, None, effects), "{inject}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_taken_back_is_worked_on_to_its_end() {
    let stage = stage("operation: 1", "latency: {fixed: 5s}").await;
    let mut client = Frames::connect(&stage).await;
    client.charge(1, "op-0001").await;
    client.charge(3, "op-0002").await;
    client.until_end(3).await;
    client.take_back(1).await;
    stage.clock.sleep_until_us(1_000 * MS).await;
    drop(client);
    let end = Some((Side::Client, "cancel".to_owned()));
    assert_eq!(on_record(&stage).await, (end, None, 1));
    assert!(stage.clock.now_us() >= 5_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_whole_connection_takes_every_operation_with_it() {
    for (inject, how, saw) in [
        ("reset: {connection: true}", "rst", Saw::Rst),
        ("close: {connection: true}", "fin", Saw::Fin),
    ] {
        let faults = format!(
            "faults:\n  - {{name: slow, when: {{operation: 1}}, inject: {{latency: {{fixed: 1m}}}}}}\n  \
             - {{name: down, when: {{operation: 2}}, inject: {{{inject}}}}}\n"
        );
        let stage = Stage::with("payments, http2: true", "create_charge", &faults).await;
        let mut client = Frames::connect(&stage).await;
        client.charge(1, "op-0001").await;
        stage.settle().await;
        client.charge(3, "op-0002").await;
        let seen = client.next().await;
        assert_eq!(seen.expect_err("no answer comes"), saw, "{inject}");
        drop(client);
        let ends = stage.ends().await.into_iter().map(|(_, end)| (end.request, end.by, end.how));
        let mut ends: Vec<_> = ends.map(|(id, by, how)| (id, by, how.to_string())).collect();
        ends.sort();
        let down = |id| (Some(id), Side::Provider, how.to_owned());
        assert_eq!(ends, [down(1), down(2)], "{inject}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_its_leave_names_the_last_stream_and_begins_none_after_it() {
    for (inject, last, struck_effects) in [
        ("goaway: {code: enhance_your_calm, debug: too_many_pings}", 1, 0),
        ("goaway: {at: after_commit, code: enhance_your_calm, debug: too_many_pings}", 1, 1),
        ("goaway: {last_stream: this, code: enhance_your_calm, debug: too_many_pings}", 3, 1),
    ] {
        let stage = stage("operation: 2", inject).await;
        let mut client = Frames::connect(&stage).await;
        client.charge(1, "op-0001").await;
        client.until_end(1).await;
        client.charge(3, "op-0002").await;
        let (head, payload) = client.next().await.expect("it takes its leave");
        assert_eq!((head.kind, head.stream), (7, 0), "{inject}");
        assert_eq!((number(&payload), number(&payload[4..])), (last, 11), "{inject}");
        assert_eq!(&payload[8..], b"too_many_pings");
        client.charge(5, "op-0003").await;
        if last == 3 {
            let (kinds, _, code) = client.until_end(3).await;
            assert_eq!((kinds.len(), code), (2, None));
        }
        assert_eq!(client.next().await.expect_err("nothing more comes"), Saw::Fin, "{inject}");
        let effects = stage.effects().await;
        let of = |id: &str| effects.iter().filter(|(_, one)| &*one.operation == id).count();
        assert_eq!((of("op-0002"), of("op-0003")), (struck_effects, 0), "{inject}");
        let ends =
            stage.ends().await.into_iter().filter_map(|(_, end)| Some((end.request?, end.how)));
        let ends: Vec<_> = ends.map(|(id, how)| (id, how.to_string())).collect();
        let expected = if last == 3 { vec![] } else { vec![(2, "goaway".to_owned())] };
        assert_eq!(ends, expected, "{inject}");
        let requests = stage.events().await.into_iter();
        let requests = requests.filter(|one| matches!(one.kind, EventKind::RequestReceived(_)));
        assert_eq!(requests.count(), 2, "{inject}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_speaks_no_http_2_is_never_struck_by_its_faults() {
    for inject in ["goaway", "rst_stream: {code: cancel}", "reset: {connection: true}"] {
        let inject = if inject == "goaway" { "goaway: {}" } else { inject };
        let stage = stage("operation: 1", inject).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201", "{inject}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_ends_all_that_it_carries() {
    let stage = stage("operation: 1", "latency: {fixed: 5s}").await;
    let mut client = Frames::connect(&stage).await;
    client.charge(1, "op-0001").await;
    stage.clock.sleep(Duration::from_secs(1)).await;
    drop(client);
    let (end, whole, effects) = on_record(&stage).await;
    assert_eq!(end.map(|(by, _)| by), Some(Side::Client));
    assert_eq!((whole, effects), (None, 1), "the work is done all the same");
    let mut nonsense = stage.connect().await;
    nonsense.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense, and a great deal of it").await;
    let _ = nonsense.rest_or_reset().await;
}
