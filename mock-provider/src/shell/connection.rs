//! One connection: HTTP on one side, exchanges on the other.
//!
//! It reads a request whole, asks the state machine, and carries out what comes back. What needs no
//! wait is answered in place; a wait goes on in a task of its own, so that a client that hangs up ends
//! its connection and not its work.
//! **Invariant:** the client's close is noticed at once, also while nothing is written.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::event::Side;
use crate::exchange::{Answer, Cut, End, Exchange, ExchangeId, Next};
use crate::request::Request;
use crate::shell::body::AnswerBody;
use crate::shell::chunked::Chunked;
use crate::shell::core::Core;
use crate::shell::handler::Handler;
use crate::shell::open::Open;
use crate::shell::stream::Accepted;
use crate::shell::wire::{Wire, WireIo};
use crate::units::reading_us;

/// The largest request body that is held.
pub(super) const BODY_BYTES: usize = 16 << 20;
/// The same as a number of bytes on the wire.
const MOST_BYTES: u64 = 16 << 20;
/// How often at least somebody looks whether a client is still there while its body is read slowly.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How much of a larger body is read and thrown away before the refusal, for clients that write all
/// before they read.
const DRAIN_BYTES: u64 = 1 << 30;
/// How long that may take.
const DRAIN: Duration = Duration::from_secs(30);
/// The largest head of a request.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// One connection that was accepted.
struct Connection<H: Handler> {
    core: Arc<Core<H>>,
    wire: Arc<Wire<H>>,
    number: u64,
    peer: Option<IpAddr>,
    went_down: Arc<AtomicBool>,
    answered: AtomicBool,
}

/// Why HTTP is told to let go of a connection.
#[derive(Debug, thiserror::Error)]
enum LetGo {
    #[error("the connection is to end without an answer")]
    OnPurpose,
    #[error("the client hung up")]
    HungUp,
    #[error("the request's body broke off")]
    BrokenBody(#[source] hyper::Error),
    #[error("the provider asks for an answer that HTTP cannot carry")]
    NoSuchStatus(#[source] http::status::InvalidStatusCode),
}

/// What of an answer the client asked for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Head,
    /// All, and chunks are understood.
    All,
    /// All, by a client that knows no chunks.
    Unchunked,
}

impl Wanted {
    fn by(method: &Method, version: Version) -> Self {
        match version {
            _ if *method == Method::HEAD => Self::Head,
            Version::HTTP_09 | Version::HTTP_10 => Self::Unchunked,
            _ => Self::All,
        }
    }
}

/// What came of reading a body.
enum Read {
    Whole(Bytes),
    TooLarge,
}

/// Serves one connection until it ends; `ahead` was read from it before.
pub(super) async fn serve<H: Handler>(
    core: Arc<Core<H>>,
    stream: Accepted,
    ahead: Vec<u8>,
    number: u64,
) {
    let went_down = Arc::new(AtomicBool::new(false));
    let peer = stream.peer();
    let wire = Arc::new(Wire::new((stream, ahead), core.clock, Arc::clone(&went_down)));
    let connection = Arc::new(Connection {
        core,
        wire: Arc::clone(&wire),
        number,
        peer,
        went_down,
        answered: AtomicBool::new(false),
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // The wire hears a close by itself, so HTTP need not read while an answer is under way; and dates
    // would tell the real time where time is virtual. The most headers stay at the default of 100: any
    // other number costs every request a detour through the allocator.
    http.half_close(true)
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_header_size(HEAD_BYTES)
        .writev(false);
    let service = service_fn(|request| Arc::clone(&connection).exchange(request));
    let io = TokioIo::new(WireIo(Arc::clone(&wire)));
    let served = http.serve_connection(io, service).await;
    connection.conclude(served).await;
}

impl<H: Handler> Connection<H> {
    /// HTTP has let go: ends the connection and reports what no exchange reports.
    async fn conclude(&self, served: hyper::Result<()>) {
        let no_http = served.as_ref().is_err_and(hyper::Error::is_parse);
        if let Err(error) = served {
            tracing::debug!(connection = self.number, %error, "a connection ended early");
        }
        let concluded = self.wire.conclude().await;
        match concluded.idle_end {
            Some(_) if no_http => {
                let now_us = self.core.clock.now_us();
                self.core.call(|handler| handler.bad_request(self.number, now_us));
            }
            Some((by, closed)) => self.core.call(|handler| {
                handler.connection_ended(self.number, by, closed.how, closed.at_us);
            }),
            None => {}
        }
        if concluded.linger {
            self.wire.linger().await;
        }
    }

    /// Serves one request.
    async fn exchange(
        self: Arc<Self>,
        request: http::Request<Incoming>,
    ) -> Result<Response<AnswerBody<H>>, LetGo> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request {
            connection: self.number,
            reused: self.answered.load(Ordering::Relaxed),
            http2: false,
            peer: self.peer,
            method: head.method,
            target: target.to_owned(),
            headers: head.headers,
            body: Bytes::new(),
            head_at_us: self.core.clock.now_us(),
        };
        let wanted = Wanted::by(&request.method, head.version);
        if self.core.wants_heads {
            let head_at_us = request.head_at_us;
            let struck = self.core.call(|handler| handler.accept(&request, head_at_us));
            if struck.is_some() {
                self.core.arrived();
            }
            if let Some(exchange) = struck {
                // The body stays unread, but must not be thrown away while the client still sends it.
                let _body = body;
                let open = self.open(exchange.id);
                return self.carry_out(open, exchange, wanted).await;
            }
            let upload = (body.size_hint().lower() <= MOST_BYTES)
                .then(|| self.core.call(|handler| handler.upload(&request, head_at_us)));
            if let Some((id, per_second)) = upload.flatten() {
                self.core.arrived();
                let open = self.open(id);
                return self.upload(open, (request, body), per_second, wanted).await;
            }
        }
        request.body = match read_body(&self.core, body, &request.headers, None).await? {
            Read::Whole(body) => body,
            Read::TooLarge => return Ok(self.refuse()),
        };
        let now_us = self.core.clock.now_us();
        let exchange = self.core.call(|handler| handler.handle(request, now_us));
        self.core.arrived();
        let open = self.open(exchange.id);
        self.carry_out(open, exchange, wanted).await
    }

    /// Serves a request whose body is read at so many bytes a second, for as long as its client is there.
    async fn upload(
        &self,
        open: Open<H>,
        (mut request, body): (Request, Incoming),
        per_second: u64,
        wanted: Wanted,
    ) -> Result<Response<AnswerBody<H>>, LetGo> {
        let read = tokio::select! {
            biased;
            closed = self.wire.closed() => {
                open.ended(Side::Client, closed.how, closed.at_us);
                return Err(LetGo::HungUp);
            }
            read = read_body(&self.core, body, &request.headers, Some(per_second)) => read,
        };
        let now_us = self.core.clock.now_us();
        request.body = match read {
            Ok(Read::Whole(body)) => body,
            Ok(Read::TooLarge) => {
                open.ended(Side::Provider, End::Fin, now_us);
                return Ok(self.refuse());
            }
            Err(broken) => {
                match self.wire.client() {
                    Some(closed) => open.ended(Side::Client, closed.how, closed.at_us),
                    // The client is still there: what it sent is no body, and the provider hangs up.
                    None => open.ended(Side::Provider, End::Fin, now_us),
                }
                return Err(broken);
            }
        };
        let id = open.id();
        let exchange = self.core.call(|handler| handler.uploaded(id, request, now_us));
        self.carry_out(open, exchange, wanted).await
    }

    fn open(&self, id: ExchangeId) -> Open<H> {
        Open::new(&self.core, &self.went_down, id)
    }

    /// Does what the state machine says of one request.
    async fn carry_out(
        &self,
        open: Open<H>,
        exchange: Exchange,
        wanted: Wanted,
    ) -> Result<Response<AnswerBody<H>>, LetGo> {
        for (id, next) in exchange.also {
            let core = Arc::clone(&self.core);
            // The state machine itself says how long a run has to wait for it.
            self.core.spawn_aside(async move {
                core.drive(id, next).await;
                core.look_again();
            });
        }
        let (open, next) = match exchange.next {
            Next::Wait { until_us } => self.wait(open, until_us).await?,
            next @ (Next::Answer(_)
            | Next::Silence
            | Next::Drop(_)
            | Next::GoAway(_)
            | Next::Done) => (open, next),
        };
        let how = match next {
            Next::Answer(answer) => return self.answer(open, *answer, wanted),
            Next::Silence | Next::Drop(End::Stall) => End::Stall,
            Next::Drop(how @ (End::Rst | End::Half)) => how,
            Next::Drop(End::Fin | End::Stream(_) | End::EndStream | End::GoAway)
            | Next::GoAway(_)
            | Next::Done
            | Next::Wait { .. } => End::Fin,
        };
        self.wire.flushed().await;
        self.wire.end(open, how);
        Err(LetGo::OnPurpose)
    }

    /// Waits in a task of its own, which goes on when the client hangs up.
    async fn wait(&self, open: Open<H>, until_us: u64) -> Result<(Open<H>, Next), LetGo> {
        let (tell, told) = oneshot::channel();
        let core = Arc::clone(&self.core);
        let id = open.id();
        self.core.spawn(async move {
            let next = core.drive(id, Next::Wait { until_us }).await;
            // The client may be gone; then nobody wants to know.
            let _ = tell.send(next);
        });
        tokio::select! {
            biased;
            closed = self.wire.closed() => {
                open.ended(Side::Client, closed.how, closed.at_us);
                Err(LetGo::HungUp)
            }
            next = told => match next {
                Ok(next) => Ok((open, next)),
                // The task ends without a word only when the server shuts down.
                Err(_) => Err(LetGo::OnPurpose),
            },
        }
    }

    fn answer(
        &self,
        mut open: Open<H>,
        answer: Answer,
        wanted: Wanted,
    ) -> Result<Response<AnswerBody<H>>, LetGo> {
        let status = StatusCode::from_u16(answer.status).map_err(LetGo::NoSuchStatus)?;
        let bytes = match (wanted, status) {
            (Wanted::Head, _) | (_, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => 0,
            (Wanted::All | Wanted::Unchunked, _) => answer.body.len(),
        };
        let mut bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut cut = answer.wire.cut;
        let in_chunks = matches!(wanted, Wanted::All) && bytes > 0 && answer.framing.is_none();
        let pieces = answer.pieces.filter(|_| in_chunks);
        if let Some(pieces) = &pieces {
            let chunked = Chunked::new(&pieces.lengths);
            bytes = chunked.whole();
            cut = cut.map(|cut| Cut { after_bytes: chunked.on_the_wire(cut.after_bytes), ..cut });
            open.chunked = Some(chunked);
        }
        self.wire.arm(open, bytes, cut, (answer.interim, answer.framing));
        self.answered.store(true, Ordering::Relaxed);
        let body =
            AnswerBody::new(answer.body, (&answer.wire, pieces), &self.wire, self.core.clock);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Answers a request whose body is larger than what is held.
    fn refuse(&self) -> Response<AnswerBody<H>> {
        let now_us = self.core.clock.now_us();
        self.core.call(|handler| handler.too_large(self.number, now_us));
        self.went_down.store(true, Ordering::Release);
        let mut response = Response::new(AnswerBody::Whole(Bytes::from(too_large())));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// What is said of a body that is larger than what is held.
pub(super) fn too_large() -> String {
    format!(
        "{{\"error\":{{\"code\":\"request_too_large\",\"message\":\"the request's body is larger \
         than {BODY_BYTES} bytes, which is all that the mock provider takes; send less\"}}}}"
    )
}

/// Reads a body whole, unless it is larger than what is held; slowly where a rate is given.
async fn read_body<H: Handler>(
    core: &Core<H>,
    mut body: Incoming,
    headers: &HeaderMap,
    per_second: Option<u64>,
) -> Result<Read, LetGo> {
    let announced = body.size_hint().lower();
    if announced > MOST_BYTES && headers.contains_key(header::EXPECT) {
        // This client asked first and sends nothing until it is told to.
        return Ok(Read::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while announced <= MOST_BYTES
        && let Some(frame) = body.frame().await
    {
        let Ok(piece) = frame.map_err(LetGo::BrokenBody)?.into_data() else { continue };
        if let Some(per_second) = per_second {
            let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let mut left = Duration::from_micros(reading_us(bytes, per_second));
            while !left.is_zero() {
                let slice = left.min(LOOK_EVERY);
                core.clock.sleep(slice).await;
                left -= slice;
            }
        }
        if first.len() + all.len() + piece.len() > BODY_BYTES {
            return drain(core, body).await;
        }
        if first.is_empty() && all.is_empty() {
            first = piece;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&piece);
        }
    }
    if announced > MOST_BYTES {
        return drain(core, body).await;
    }
    Ok(Read::Whole(if all.is_empty() { first } else { all.freeze() }))
}

/// Reads the rest of a body and throws it away, within bounds.
async fn drain<H: Handler>(core: &Core<H>, mut body: Incoming) -> Result<Read, LetGo> {
    let drained = core.clock.within(DRAIN, async {
        let mut left = DRAIN_BYTES;
        while left > 0
            && let Some(frame) = body.frame().await
        {
            let bytes = frame?.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        Ok(())
    });
    match drained.await {
        Some(Err(error)) => Err(LetGo::BrokenBody(error)),
        Some(Ok(())) | None => Ok(Read::TooLarge),
    }
}
