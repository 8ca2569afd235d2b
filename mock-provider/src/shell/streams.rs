//! One connection over HTTP/2: many requests at once on one side, exchanges on the other.
//!
//! Each request is served by a task of its own that ends with the connection; the work that it asked for
//! goes on without it. **Invariant:** a stream ends as the state machine says, and takes no other with it.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::event::Side;
use crate::exchange::{Answer, Cut, End, Exchange, ExchangeId, Next, Wire as Pacing};
use crate::http2::{ErrorCode, GoAway};
use crate::request::Request;
use crate::shell::connection::{BODY_BYTES, HEAD_BYTES, too_large};
use crate::shell::core::Core;
use crate::shell::handler::Handler;
use crate::shell::lock::lock;
use crate::shell::open::Open;
use crate::shell::stream::Accepted;
use crate::shell::tap::{Tap, TapIo};
use crate::units::reading_us;

/// How many requests may be under way over one connection.
const STREAMS: u32 = 250;
/// How many bytes of a body, and of all bodies of a connection, may come before they are read.
const WINDOWS: (u32, u32) = (1 << 20, 8 << 20);

/// Headers that speak of a connection of HTTP/1.1.
static OF_CONNECTIONS: [HeaderName; 4] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE];

/// One connection that was accepted.
struct Connection<H: Handler> {
    core: Arc<Core<H>>,
    tap: Arc<Tap<H>>,
    number: u64,
    peer: Option<IpAddr>,
    answered: AtomicBool,
    /// How the provider ends the connection.
    doom: Mutex<Option<End>>,
    doomed: Notify,
    /// Told when leave is to be taken.
    leaving: Notify,
}

/// A request of which nothing more is to be done: the client has reset it, or the connection is over.
struct Gone;

/// Serves one connection until it ends; `ahead` was read from it before.
pub(super) async fn serve<H: Handler>(
    core: Arc<Core<H>>,
    stream: Accepted,
    ahead: Vec<u8>,
    number: u64,
) {
    let peer = stream.peer();
    let tap = Arc::new(Tap::new(stream, ahead, core.clock));
    let connection = Arc::new(Connection {
        core,
        tap: Arc::clone(&tap),
        number,
        peer,
        answered: AtomicBool::new(false),
        doom: Mutex::new(None),
        doomed: Notify::new(),
        leaving: Notify::new(),
    });
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1);
    let is_http = match builder.handshake::<_, Bytes>(TapIo(tap)).await {
        Ok(http) => {
            connection.run(http).await;
            true
        }
        Err(error) => {
            tracing::debug!(number, %error, "a connection is no HTTP/2");
            error.is_io()
        }
    };
    connection.conclude(is_http).await;
}

impl<H: Handler> Connection<H> {
    /// Takes requests until the connection is over.
    async fn run(self: &Arc<Self>, mut http: h2::server::Connection<TapIo<H>, Bytes>) {
        let mut tasks = JoinSet::new();
        // Dropping a request resets its stream; of those beyond the last one nothing is said at all.
        let mut ignored = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = self.doomed.notified() => break,
                () = self.tap.over() => break,
                Some(ended) = tasks.join_next() => self.core.note(ended),
                () = self.leaving.notified() => {
                    if let Err(error) = poll_fn(|cx| self.tap.poll_own(cx)).await {
                        tracing::debug!(%error, "the client was gone before leave was taken");
                    }
                    self.tap.look_whether_over();
                }
                accepted = http.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        if self.tap.begin(respond.stream_id().as_u32()) {
                            tasks.spawn(Arc::clone(self).exchange(request, respond));
                        } else {
                            ignored.push((request, respond));
                        }
                    }
                    Some(Err(error)) => {
                        tracing::debug!(number = self.number, %error, "a connection ended early");
                        break;
                    }
                    None => break,
                },
            }
        }
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            self.core.note(ended);
        }
    }

    /// HTTP has let go: ends the connection and reports what no exchange reports.
    #[expect(clippy::fn_params_excessive_bools, reason = "it is HTTP or it is none")]
    async fn conclude(&self, is_http: bool) {
        let wanted = lock(&self.doom).take();
        let Some((by, closed)) = self.tap.conclude(wanted).await else { return };
        self.core.call(|handler| {
            if is_http {
                handler.connection_ended(self.number, by, closed.how, closed.at_us);
            } else {
                handler.bad_request(self.number, closed.at_us);
            }
        });
    }

    /// Serves one request.
    async fn exchange(
        self: Arc<Self>,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let (head, mut body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request {
            connection: self.number,
            reused: self.answered.load(Ordering::Relaxed),
            http2: true,
            peer: self.peer,
            method: head.method,
            target: target.to_owned(),
            headers: head.headers,
            body: Bytes::new(),
            head_at_us: self.core.clock.now_us(),
        };
        let has_body = request.method != Method::HEAD;
        let stream = respond.stream_id().as_u32();
        if self.core.wants_heads {
            let head_at_us = request.head_at_us;
            let struck = self.core.call(|handler| handler.accept(&request, head_at_us));
            if let Some(exchange) = struck {
                self.core.arrived();
                // The body stays unread, but must not be thrown away while the client still sends it.
                let _body = body;
                self.arm(stream, exchange.id);
                let _ = self.carry_out(exchange, respond, has_body).await;
                return;
            }
            let upload = self.core.call(|handler| handler.upload(&request, head_at_us));
            if let Some((id, per_second)) = upload {
                self.core.arrived();
                self.arm(stream, id);
                let upload = (request, body, per_second);
                let _ = self.upload(id, upload, respond, has_body).await;
                return;
            }
        }
        match self.read_body(&mut body, None).await {
            Ok(Some(body)) => request.body = body,
            Ok(None) => return self.refuse(&mut respond),
            // The client took it back before it was whole.
            Err(_) => return,
        }
        let now_us = self.core.clock.now_us();
        let exchange = self.core.call(|handler| handler.handle(request, now_us));
        self.core.arrived();
        self.arm(stream, exchange.id);
        let _ = self.carry_out(exchange, respond, has_body).await;
    }

    /// Serves a request whose body is read at so many bytes a second, for as long as its client wants it.
    #[expect(clippy::fn_params_excessive_bools, reason = "an answer has a body or none")]
    async fn upload(
        &self,
        id: ExchangeId,
        (mut request, mut body, per_second): (Request, RecvStream, u64),
        mut respond: SendResponse<Bytes>,
        has_body: bool,
    ) -> Result<(), Gone> {
        let stream = respond.stream_id().as_u32();
        let read = tokio::select! {
            biased;
            () = self.hear_reset(stream, |cx| respond.poll_reset(cx)) => return Err(Gone),
            read = self.read_body(&mut body, Some(per_second)) => read,
        };
        match read {
            Ok(Some(body)) => request.body = body,
            Ok(None) => {
                self.tap.ended(stream, Side::Provider, End::EndStream);
                self.refuse(&mut respond);
                return Ok(());
            }
            Err(error) => {
                let code = error.reason().map_or(ErrorCode::Cancel, |it| ErrorCode::of(it.into()));
                self.tap.ended(stream, Side::Client, End::Stream(code));
                return Err(Gone);
            }
        }
        let now_us = self.core.clock.now_us();
        let exchange = self.core.call(|handler| handler.uploaded(id, request, now_us));
        self.carry_out(exchange, respond, has_body).await
    }

    /// The next bytes of this stream belong to this exchange. What ends a stream does not end the connection.
    fn arm(&self, stream: u32, id: ExchangeId) {
        let went_down = Arc::new(AtomicBool::new(false));
        self.tap.arm(stream, Open::new(&self.core, &went_down, id));
    }

    /// Reads a body whole, slowly where a rate is given; `None` for one that is larger than what is held.
    async fn read_body(
        &self,
        body: &mut RecvStream,
        per_second: Option<u64>,
    ) -> Result<Option<Bytes>, h2::Error> {
        let mut all = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            if let Some(per_second) = per_second {
                let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                let micros = reading_us(bytes, per_second);
                self.core.clock.sleep(Duration::from_micros(micros)).await;
            }
            body.flow_control().release_capacity(piece.len())?;
            if all.len() + piece.len() > BODY_BYTES {
                return Ok(None);
            }
            all.extend_from_slice(&piece);
        }
        Ok(Some(all.freeze()))
    }

    /// Does what the state machine says of one request.
    #[expect(clippy::fn_params_excessive_bools, reason = "an answer has a body or none")]
    async fn carry_out(
        &self,
        exchange: Exchange,
        mut respond: SendResponse<Bytes>,
        has_body: bool,
    ) -> Result<(), Gone> {
        for (id, next) in exchange.also {
            let core = Arc::clone(&self.core);
            // The state machine itself says how long a run has to wait for it.
            self.core.spawn_aside(async move {
                core.drive(id, next).await;
                core.look_again();
            });
        }
        let stream = respond.stream_id().as_u32();
        let next = match exchange.next {
            Next::Wait { until_us } => self.wait(&mut respond, exchange.id, until_us).await?,
            next @ (Next::Answer(_)
            | Next::Silence
            | Next::Drop(_)
            | Next::GoAway(_)
            | Next::Done) => next,
        };
        match next {
            Next::Answer(answer) => self.answer(respond, *answer, has_body).await?,
            Next::GoAway(leave) => {
                if !self.leave(stream, &leave) {
                    // Others were begun after it, so it has to be told by itself.
                    self.reset(stream, ErrorCode::RefusedStream, |reason| {
                        respond.send_reset(reason);
                    });
                    return Ok(());
                }
                self.tap.ended(stream, Side::Provider, End::GoAway);
                self.hear_reset(stream, |cx| respond.poll_reset(cx)).await;
            }
            Next::Silence | Next::Drop(End::Stall) => {
                self.tap.fall_silent(stream);
                self.hear_reset(stream, |cx| respond.poll_reset(cx)).await;
            }
            Next::Drop(End::Stream(code)) => {
                self.reset(stream, code, |reason| respond.send_reset(reason));
            }
            Next::Drop(how @ (End::Fin | End::Rst | End::Half)) => self.take_down(how),
            Next::Drop(End::EndStream | End::GoAway) | Next::Done | Next::Wait { .. } => {
                self.reset(stream, ErrorCode::Cancel, |reason| respond.send_reset(reason));
            }
        }
        Ok(())
    }

    /// Waits in a task of its own, which goes on when the client takes its request back.
    async fn wait(
        &self,
        respond: &mut SendResponse<Bytes>,
        id: ExchangeId,
        until_us: u64,
    ) -> Result<Next, Gone> {
        let (tell, told) = oneshot::channel();
        let core = Arc::clone(&self.core);
        self.core.spawn(async move {
            let next = core.drive(id, Next::Wait { until_us }).await;
            // The client may be gone; then nobody wants to know.
            let _ = tell.send(next);
        });
        let stream = respond.stream_id().as_u32();
        tokio::select! {
            biased;
            () = self.hear_reset(stream, |cx| respond.poll_reset(cx)) => Err(Gone),
            next = told => next.map_err(|_| Gone),
        }
    }

    /// Waits until the client resets a stream, and puts it on record. When the connection ends, that is
    /// told of all its streams at once.
    async fn hear_reset(
        &self,
        stream: u32,
        mut poll: impl FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Result<Reason, h2::Error>>,
    ) {
        match poll_fn(|cx| poll(cx)).await {
            Ok(reason) => {
                let how = End::Stream(ErrorCode::of(reason.into()));
                self.tap.ended(stream, Side::Client, how);
            }
            Err(_) => std::future::pending().await,
        }
    }

    fn reset(&self, stream: u32, code: ErrorCode, send: impl FnOnce(Reason)) {
        self.tap.resets(stream, code);
        send(Reason::from(code.number()));
    }

    /// Takes leave; true when the request is not begun by what is said.
    fn leave(&self, stream: u32, leave: &GoAway) -> bool {
        let beyond = self.tap.leave(stream, leave);
        self.leaving.notify_one();
        beyond
    }

    /// Ends the whole connection.
    fn take_down(&self, how: End) {
        lock(&self.doom).get_or_insert(how);
        self.doomed.notify_one();
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "an answer has a body or none")]
    async fn answer(
        &self,
        mut respond: SendResponse<Bytes>,
        answer: Answer,
        has_body: bool,
    ) -> Result<(), Gone> {
        let stream = respond.stream_id().as_u32();
        if answer.framing.is_some() {
            // Bytes that only HTTP/1.1 could carry; the checker lets no rule ask for them here.
            self.reset(stream, ErrorCode::Http11Required, |reason| respond.send_reset(reason));
            return Ok(());
        }
        if let Some(leave) = &answer.goaway {
            self.leave(stream, leave);
        }
        let status =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let carries =
            has_body && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let Answer { headers, body, wire, pieces, .. } = answer;
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        for name in &OF_CONNECTIONS {
            response.headers_mut().remove(name);
        }
        if pieces.is_none() && status != StatusCode::NO_CONTENT {
            let length = HeaderValue::from(body.len());
            response.headers_mut().insert(header::CONTENT_LENGTH, length);
        }
        let body = if carries { body } else { Bytes::new() };
        self.answered.store(true, Ordering::Relaxed);
        let sent = respond.send_response(response, body.is_empty()).map_err(|_| Gone)?;
        if body.is_empty() {
            return Ok(());
        }
        let (lengths, every_us) = match (pieces, wire.pace) {
            (Some(pieces), _) => (pieces.lengths, pieces.every_us),
            (None, Some(pace)) => {
                (body.chunks(pace.bytes.max(1)).map(<[u8]>::len).collect(), pace.every_us)
            }
            (None, None) => (vec![body.len()], 0),
        };
        let mut out = Out { connection: self, stream, sent };
        out.write(body, (&lengths, every_us), &wire).await
    }

    /// Answers a request whose body is larger than what is held.
    fn refuse(&self, respond: &mut SendResponse<Bytes>) {
        let now_us = self.core.clock.now_us();
        self.core.call(|handler| handler.too_large(self.number, now_us));
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Ok(mut body) = respond.send_response(response, false) {
            // A client that has gone needs no words.
            let _ = body.send_data(Bytes::from(too_large()), true);
        }
    }
}

/// A body on its way out.
struct Out<'a, H: Handler> {
    connection: &'a Connection<H>,
    stream: u32,
    sent: SendStream<Bytes>,
}

impl<H: Handler> Out<'_, H> {
    /// Writes a body in pieces, as far as it goes, and ends it as it is to end.
    async fn write(
        &mut self,
        mut body: Bytes,
        (lengths, every_us): (&[usize], u64),
        wire: &Pacing,
    ) -> Result<(), Gone> {
        let whole = body.len();
        let limit = wire
            .cut
            .map_or(whole, |cut| usize::try_from(cut.after_bytes).unwrap_or(usize::MAX).min(whole));
        body.truncate(limit);
        let in_order = match wire.cut {
            None => true,
            Some(Cut { then, .. }) => then == End::EndStream,
        };
        if limit < whole && in_order {
            self.connection.tap.ends_early(self.stream);
        }
        let mut pause_us = wire.body_after_us;
        let mut lengths = lengths.iter().copied();
        while !body.is_empty() {
            self.pause(pause_us).await?;
            pause_us = every_us;
            let length = lengths.next().unwrap_or(usize::MAX).clamp(1, body.len());
            let piece = body.split_to(length);
            self.piece(piece, in_order && body.is_empty()).await?;
        }
        if limit == 0 && in_order {
            self.sent.send_data(Bytes::new(), true).map_err(|_| Gone)?;
        }
        let Some(Cut { then, .. }) = wire.cut.filter(|_| !in_order) else { return Ok(()) };
        self.end(then, limit).await
    }

    /// Ends the stream, or its connection, once what was to go out before is out.
    async fn end(&mut self, then: End, bytes: usize) -> Result<(), Gone> {
        let tap = &self.connection.tap;
        if then == End::Stall {
            tap.fall_silent(self.stream);
        } else {
            let written = tap.has_written(self.stream, u64::try_from(bytes).unwrap_or(u64::MAX));
            let sent = &mut self.sent;
            tokio::select! {
                biased;
                () = self.connection.hear_reset(self.stream, |cx| sent.poll_reset(cx)) => {
                    return Err(Gone);
                }
                () = written => {}
            }
        }
        match then {
            End::Stream(code) => {
                let sent = &mut self.sent;
                self.connection.reset(self.stream, code, |reason| sent.send_reset(reason));
            }
            End::Fin | End::Rst | End::Half => self.connection.take_down(then),
            End::Stall | End::EndStream | End::GoAway => {
                let sent = &mut self.sent;
                self.connection.hear_reset(self.stream, |cx| sent.poll_reset(cx)).await;
            }
        }
        Ok(())
    }

    /// Waits, unless the client takes its request back meanwhile.
    async fn pause(&mut self, micros: u64) -> Result<(), Gone> {
        if micros == 0 {
            return Ok(());
        }
        let clock = self.connection.core.clock;
        let until_us = clock.now_us().saturating_add(micros);
        let sent = &mut self.sent;
        tokio::select! {
            biased;
            () = self.connection.hear_reset(self.stream, |cx| sent.poll_reset(cx)) => Err(Gone),
            () = clock.sleep_until_us(until_us) => Ok(()),
        }
    }

    /// Hands over a piece as the client makes room for it.
    #[expect(clippy::fn_params_excessive_bools, reason = "a piece is the last one or it is not")]
    async fn piece(&mut self, mut piece: Bytes, is_last: bool) -> Result<(), Gone> {
        self.sent.reserve_capacity(piece.len());
        while !piece.is_empty() {
            let room = poll_fn(|cx| self.sent.poll_capacity(cx)).await;
            let Some(Ok(room)) = room else {
                let sent = &mut self.sent;
                self.connection.hear_reset(self.stream, |cx| sent.poll_reset(cx)).await;
                return Err(Gone);
            };
            // Now and then there is news of no room at all.
            if room == 0 {
                continue;
            }
            let part = piece.split_to(room.min(piece.len()));
            let ends = is_last && piece.is_empty();
            self.sent.send_data(part, ends).map_err(|_| Gone)?;
        }
        Ok(())
    }
}
