//! A provider under one rule of a scenario, and a client that knows bytes only.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout::scenario::{Apis, Overrides, Scenario, read};
use brownout_provider::event::{
    ConnectionEnded, EffectCommitted, Event, EventKind, ResponseSent, Side, Sink,
};
use brownout_provider::provider::{Provider, Setup};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::server::Server;
use brownout_provider::shell::tls::{Authority, Offers};
use brownout_provider::shell::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A millisecond in microseconds.
pub(super) const MS: u64 = 1_000;

/// How a raw client saw its connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    Fin,
    Rst,
}

/// The events of a run, as they came.
#[derive(Debug, Default)]
struct List(Mutex<Vec<Event>>);

impl Sink for List {
    fn record(&self, events: Vec<Event>) {
        self.0.lock().expect("no holder panics").extend(events);
    }
}

/// A provider under one rule, or under none.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(super) clock: Clock,
    list: Arc<List>,
}

impl Stage {
    /// `inject` is what stands under `inject:` of a rule that strikes every first attempt.
    pub(super) async fn new(inject: &str) -> Self {
        Self::when("route: create_charge, attempt: 1", inject).await
    }

    /// The same under another condition.
    pub(super) async fn when(when: &str, inject: &str) -> Self {
        Self::of(
            "payments",
            "create_charge",
            &format!(
                "faults:\n  - name: struck\n    when: {{{when}}}\n    inject:\n      {inject}\n"
            ),
        )
        .await
    }

    /// `inject` is what stands under `inject:` of a rule that strikes every request.
    pub(super) async fn always(inject: &str) -> Self {
        Self::under(&format!("  - {{name: struck, inject: {{{inject}}}}}\n")).await
    }

    /// Rules as they stand under `faults:`.
    pub(super) async fn under(rules: &str) -> Self {
        Self::of("payments", "create_charge", &format!("faults:\n{rules}")).await
    }

    /// No rule at all.
    pub(super) async fn calm() -> Self {
        Self::of("payments", "create_charge", "").await
    }

    /// Another API than payments, with no rule at all.
    pub(super) async fn calm_of(api: &str, call: &str) -> Self {
        Self::of(api, call, "").await
    }

    /// These rules, under the key `faults`.
    pub(crate) async fn with(api: &str, call: &str, faults: &str) -> Self {
        Self::of(api, call, faults).await
    }

    /// Over TLS; `inject` strikes every first attempt.
    pub(super) async fn secure(inject: &str) -> Self {
        let faults = format!(
            "faults:\n  - name: struck\n    when: {{attempt: 1}}\n    inject:\n      {inject}\n"
        );
        Self::of("payments, tls: true", "create_charge", &faults).await
    }

    /// Over TLS, with this rule at the door, if any.
    pub(crate) async fn over_tls(inject: Option<&str>) -> Self {
        let faults = inject.map_or(String::new(), |inject| {
            format!("faults:\n  - {{name: struck, inject: {inject}}}\n")
        });
        Self::of("payments, tls: true", "create_charge", &faults).await
    }

    /// A provider with a policy such as `rate_limit: {limit: 2}`, and rules as they stand under `faults:`.
    pub(super) async fn limited(policy: &str, rules: &str) -> Self {
        let faults = if rules.is_empty() { String::new() } else { format!("faults:\n{rules}") };
        Self::of(&format!("payments, {policy}"), "create_charge", &faults).await
    }

    /// The scenario, or what is wrong with it.
    pub(super) fn scenario(api: &str, call: &str, faults: &str) -> Result<Scenario, String> {
        let text = format!(
            "version: 1\nname: wire\nseed: 7\nprovider: {{api: {api}}}\n{faults}workload:\n  call: \
             {call}\n  operations: 3\n  input: {{amount: 1999, currency: usd, order: \"order-{{{{ n \
             }}}}\"}}\nexpect: [no_lost_operations]\n"
        );
        let apis = Apis::Beside(Path::new("."));
        let checked = read("wire.yaml", text.as_bytes(), apis, &Overrides::default());
        let diagnostics = checked.diagnostics;
        checked.scenario.ok_or_else(|| format!("{text}\n{diagnostics:#?}"))
    }

    async fn of(api: &str, call: &str, faults: &str) -> Self {
        let scenario = Self::scenario(api, call, faults).unwrap_or_else(|wrong| panic!("{wrong}"));
        let (clock, list) = (Clock::real(), Arc::new(List::default()));
        let (name, spec) = scenario.providers.first();
        let provider = Provider::new(Setup {
            name: Arc::clone(name),
            api: Arc::clone(&spec.api),
            rules: scenario.rules.clone(),
            seed: scenario.seed,
            wall: clock.wall(),
            operation_id: None,
            limits: true,
            http2: spec.http2,
            webhooks: false,
        });
        let sink: Arc<dyn Sink> = Arc::<List>::clone(&list);
        let offers = if spec.http2 { Offers::Http2 } else { Offers::Http1 };
        let server = if spec.tls {
            let authority = Arc::new(Authority::new(offers).expect("certificates"));
            let place = (Transport::Tcp, None);
            Server::over_tls(place, provider, clock, sink, authority).await
        } else {
            Server::start(provider, None, clock, sink).await
        };
        let server = server.expect("a free port");
        Self { server, clock, list }
    }

    /// Lets everybody who is ready have a turn.
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn connect(&self) -> Raw {
        Raw { stream: TcpStream::connect(self.server.addr()).await.expect("it listens") }
    }

    /// Waits until the provider has nothing left to do, and shows what it did.
    pub(super) async fn events(&self) -> Vec<Event> {
        self.server.idle().await;
        self.list.0.lock().expect("no holder panics").clone()
    }

    pub(crate) async fn effects(&self) -> Vec<(u64, EffectCommitted)> {
        self.select(|event| {
            let EventKind::EffectCommitted(effect) = event.kind else { return None };
            Some((event.at_us, effect))
        })
        .await
    }

    pub(super) async fn responses(&self) -> Vec<ResponseSent> {
        self.select(|event| {
            let EventKind::ResponseSent(sent) = event.kind else { return None };
            Some(*sent)
        })
        .await
    }

    /// The ends of connections, each with its moment and the request that went down with it.
    pub(super) async fn ends(&self) -> Vec<(u64, ConnectionEnded)> {
        self.select(|event| {
            let EventKind::ConnectionEnded(ended) = event.kind else { return None };
            Some((event.at_us, ended))
        })
        .await
    }

    /// The ends of connections, once there are so many.
    pub(super) async fn ends_of(&self, count: usize) -> Vec<ConnectionEnded> {
        for _ in 0..10_000 {
            let ends = self.ends().await;
            if ends.len() >= count {
                return ends.into_iter().map(|(_, end)| end).collect();
            }
            self.clock.sleep(Duration::from_millis(1)).await;
        }
        panic!("fewer than {count} connections have ended: {:?}", self.ends().await);
    }

    /// Shuts the provider down, which fails when one of its tasks has panicked, and shows all it did.
    pub(super) async fn over(self) -> Vec<Event> {
        let Self { server, list, .. } = self;
        server.shutdown().await.expect("its door was never closed");
        std::mem::take(&mut *list.0.lock().expect("no holder panics"))
    }

    async fn select<T>(&self, pick: impl Fn(Event) -> Option<T>) -> Vec<T> {
        self.events().await.into_iter().filter_map(pick).collect()
    }

    /// How the request went down; panics unless exactly one did.
    pub(super) async fn went_down(&self) -> (u64, Side, String) {
        let ends = self.ends().await;
        let [(at_us, end)] = &ends[..] else { panic!("{ends:?}") };
        assert_eq!(end.request, Some(1), "{end:?}");
        (*at_us, end.by, end.how.to_string())
    }
}

/// A client that knows bytes only.
pub(super) struct Raw {
    pub(super) stream: TcpStream,
}

/// A charge for an operation, with more headers, each ended by a line break.
pub(super) fn charge(operation: &str, headers: &str) -> String {
    let body = r#"{"amount":1999,"currency":"usd","order":"order-1"}"#;
    let length = body.len();
    format!(
        "POST /~{operation}.1/v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

impl Raw {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the provider reads");
    }

    /// Asks for the charge of the first operation.
    pub(super) async fn charge(&mut self) {
        self.send(charge("op-0001", "")).await;
    }

    /// Reads to the end: all bytes, and how it ended.
    pub(super) async fn rest(&mut self) -> (String, Saw) {
        let mut bytes = Vec::new();
        let saw = match self.stream.read_to_end(&mut bytes).await {
            Ok(_) => Saw::Fin,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Saw::Rst,
            Err(error) => panic!("{error}"),
        };
        (String::from_utf8(bytes).expect("answers are UTF-8"), saw)
    }

    /// The same, where a reset is no surprise even before the answer.
    pub(super) async fn rest_or_reset(&mut self) -> (String, Saw) {
        let mut bytes = Vec::new();
        let saw = match self.stream.read_to_end(&mut bytes).await {
            Ok(_) => Saw::Fin,
            Err(_) => Saw::Rst,
        };
        (String::from_utf8_lossy(&bytes).into_owned(), saw)
    }

    /// Writes until the provider takes no more.
    pub(super) async fn send_as_far_as_taken(&mut self, bytes: impl AsRef<[u8]>) {
        // A provider that has refused closes while the rest is still written.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will be written.
    pub(super) async fn shut_down(&mut self) {
        // The provider may have ended the connection already.
        let _ = self.stream.shutdown().await;
    }

    /// True when no byte comes for that long; the end may.
    pub(super) async fn hears_no_more(&mut self, clock: &Clock, time: Duration) -> bool {
        !matches!(clock.within(time, self.stream.read_u8()).await, Some(Ok(_)))
    }

    /// Reads a head, up to and with its blank line.
    pub(super) async fn head(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(self.stream.read_u8().await.expect("a byte of the head"));
        }
        String::from_utf8(bytes).expect("answers are UTF-8")
    }

    /// Reads so many bytes.
    pub(super) async fn bytes(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.expect("so many bytes");
        String::from_utf8(bytes).expect("answers are UTF-8")
    }

    /// Reads one answer by its length, as bytes; a head that says 204 has no body.
    pub(super) async fn raw_answer(&mut self) -> (Answer, Vec<u8>) {
        let head = self.head().await;
        let answer = Answer { body: String::new(), head };
        if answer.status() == "204" {
            return (answer, Vec::new());
        }
        let length = answer.header("content-length").expect("every answer has a length");
        let mut bytes = vec![0; length.parse().expect("a number")];
        self.stream.read_exact(&mut bytes).await.expect("so many bytes");
        (answer, bytes)
    }

    /// Reads one answer by its length.
    pub(super) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let answer = Answer { body: String::new(), head };
        let length = answer.header("content-length").expect("every answer has a length");
        let body = self.bytes(length.parse().expect("a number")).await;
        Answer { body, ..answer }
    }

    /// True when no byte and no end comes for that long.
    pub(super) async fn hears_nothing(&mut self, clock: &Clock, time: Duration) -> bool {
        clock.within(time, self.stream.read_u8()).await.is_none()
    }

    /// True when for that long the connection, whose other side is closed, is not reset.
    pub(super) async fn hears_no_reset(&mut self, clock: &Clock, time: Duration) -> bool {
        let until_us = clock.now_us() + u64::try_from(time.as_micros()).expect("a short time");
        clock.sleep_until_us(until_us).await;
        self.stream.write_all(b"x").await.is_ok()
            && self.stream.take_error().is_ok_and(|it| it.is_none())
    }

    /// Closes the connection with a reset.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().expect("an open socket");
    }
}

/// One answer, as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn status(&self) -> &str {
        self.head.split(' ').nth(1).expect("a status line has a status")
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header; panics when there are several.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers(name);
        assert!(values.len() <= 1, "{self:?}");
        values.first().copied()
    }

    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}
