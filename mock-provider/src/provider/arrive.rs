//! From the first byte to the point where the key is looked up: whose request it is, what strikes it,
//! and what the limiter says.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use super::limits::Limited;
use super::open::{Open, Place, Stage};
use super::pieces::Piece;
use super::struck::{Mark, OnItsWay, Struck};
use super::{Provider, RuleKey};
use crate::api::{Api, Call, Reading, Route, Standard, Which};
use crate::coordinates::Coordinates;
use crate::event::{Class, Digest16, EventKind, Recognized, RequestReceived, Side};
use crate::exchange::{Exchange, ExchangeId, Next};
use crate::fault::Point;
use crate::plan::{Decision, Met, Situation};
use crate::recognition::{Evidence, Recognition, read_copy};
use crate::request::Request;

/// Headers that are worth keeping in a trace; none of them carries a credential.
static KEPT_HEADERS: [HeaderName; 4] = [
    header::USER_AGENT,
    header::CONTENT_TYPE,
    header::EXPECT,
    HeaderName::from_static("x-request-id"),
];

/// The longest header value that a trace keeps, in bytes.
const KEPT_BYTES: usize = 200;

/// What a client shows to say who it is.
#[derive(Clone)]
pub(super) struct Credential {
    /// As shown, with any operation token still behind it.
    text: Arc<str>,
    digest: Digest16,
    /// The same without the token: what keys and limits are kept apart by.
    account: Arc<str>,
    /// The tenant whose key it is.
    tenant: Option<Arc<str>>,
    /// The copy of the client that was handed it.
    copy: Option<u32>,
}

/// A request as far as it could be read, before anything was counted.
pub(super) struct Read {
    /// Path and query without the operation token.
    target: Arc<str>,
    reading: Reading,
    credential: Option<Credential>,
    /// The copy of the client whose address or key was used.
    copy: Option<u32>,
    key: Option<Arc<str>>,
    body_unread: bool,
    body_digest: Digest16,
    canonical_digest: Digest16,
}

impl Read {
    /// Whose key it shows.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.credential.as_ref()?.tenant.as_deref()
    }
}

impl Provider {
    /// A head has been read. Asked only when [`Provider::wants_heads`]; `Some` when a fault at `accept`
    /// strikes and the operation can be told from the head alone, and then the body is never read.
    pub fn accept(&mut self, head: &Request, now_us: u64) -> Option<Exchange> {
        let read = self.read_head(head);
        let place = self.peek(head, &read)?;
        let since = now_us.saturating_sub(self.common.first_us().unwrap_or(head.head_at_us));
        let situation = situation(&self.name, (head, None), read.tenant(), &place, since);
        self.plan.ends_at_accept(&situation).then(|| self.take(head, read, now_us))
    }

    /// A request has been read whole.
    pub fn handle(&mut self, request: Request, now_us: u64) -> Exchange {
        let read = self.read(&request);
        self.take(&request, read, now_us)
    }

    /// The coordinates that a request will have, as far as its head tells them.
    pub(super) fn peek(&self, head: &Request, read: &Read) -> Option<Place> {
        let route = read.reading.route.clone()?;
        let recognition = match self.for_all(&route) {
            Some(recognition) => recognition,
            None => self.recognizer.peek(&evidence(&self.api, head, read), &self.ledger)?,
        };
        let counted =
            (Arc::clone(&recognition.operation), recognition.submit, Arc::clone(&route.name));
        let attempt = self.attempts.get(&counted).copied().unwrap_or(0) + 1;
        let number = self.arrivals.peek(&recognition);
        Some(Place::new(route, recognition, attempt, number))
    }

    /// The same of the head alone.
    pub(super) fn read_head(&mut self, head: &Request) -> Read {
        Read { body_unread: true, ..self.read(head) }
    }

    pub(super) fn read(&mut self, request: &Request) -> Read {
        let (token, rest) = self.recognizer.strip(&request.target);
        let copy = token.and_then(read_copy);
        let target = Arc::from(rest);
        let (headers, body) = (&request.headers, &request.body);
        let reading = self.api.read(&request.method, &target, headers, body);
        let credential = self.credential(headers);
        let copy = copy.or_else(|| credential.as_ref()?.copy);
        let keyed = reading.route.as_ref().is_some_and(|route| route.keyed);
        let key = self
            .api
            .idempotency
            .as_ref()
            .filter(|_| keyed)
            .and_then(|policy| policy.key(headers, reading.call.body.as_ref()))
            .map(Arc::from);
        let body_digest = Digest16::of(body);
        let canonical = self.api.canonical(&reading, body);
        let canonical_digest =
            if *canonical == **body { body_digest } else { Digest16::of(&canonical) };
        Read {
            target,
            credential,
            copy,
            key,
            body_unread: false,
            body_digest,
            canonical_digest,
            reading,
        }
    }

    fn credential(&mut self, headers: &HeaderMap) -> Option<Credential> {
        let auth = self.api.auth.as_ref()?;
        let text = auth.credential(headers)?;
        if self.credential.as_ref().is_none_or(|latest| *latest.text != *text) {
            let (account, token) = auth.split(text);
            self.credential = Some(Credential {
                text: text.into(),
                digest: Digest16::of(account.as_bytes()),
                account: account.into(),
                tenant: self.tenants.get(account).cloned(),
                copy: token.and_then(read_copy),
            });
        }
        self.credential.clone()
    }

    /// Counts the request, decides what strikes it, and takes it as far as it goes at once.
    fn take(&mut self, request: &Request, read: Read, now_us: u64) -> Exchange {
        let id = self.take_id();
        let first_us = self.common.begin(request.head_at_us);
        let place = read.reading.route.clone().map(|route| {
            let recognition = match self.for_all(&route) {
                Some(recognition) => recognition,
                None => {
                    let evidence = evidence(&self.api, request, &read);
                    self.recognizer.recognize(&evidence, &self.ledger, id)
                }
            };
            self.place(route, recognition)
        });
        let times = (now_us, now_us.saturating_sub(first_us));
        let mut open = self.enter((id, place), request, read, times);
        let also = self.alongside(&mut open);
        let bytes = u64::try_from(request.body.len()).unwrap_or(u64::MAX);
        let (mut way, marks) = open.struck.on_its_way(bytes);
        way.read_us = way.read_us.saturating_sub(now_us.saturating_sub(request.head_at_us));
        let next = self.arrive(&mut open, way, marks);
        Exchange { id, next: self.keep(open, next), also }
    }

    /// Decides what strikes a request, so long after the first one of the run, and tells of it.
    pub(super) fn enter(
        &mut self,
        (id, place): (ExchangeId, Option<Place>),
        request: &Request,
        read: Read,
        (now_us, since_us): (u64, u64),
    ) -> Box<Open> {
        let tenant = read.tenant();
        let decision = place.as_ref().map_or_else(Decision::default, |place| {
            let call = Some(&read.reading.call).filter(|_| !read.body_unread);
            let situation = situation(&self.name, (request, call), tenant, place, since_us);
            self.plan.decide_for(Met::Request, &situation)
        });
        let drawn = decision.drawn.clone();
        let received =
            RequestReceived { drawn, ..self.received(id, request, &read, place.as_ref()) };
        self.emit(request.head_at_us, EventKind::RequestReceived(Box::new(received)));
        let shown = read.credential;
        let account = shown.as_ref().map_or_else(|| "".into(), |shown| Arc::clone(&shown.account));
        let mut open = Box::new(Open {
            id,
            connection: request.connection,
            now_us,
            canonical: read.canonical_digest,
            place,
            call: Arc::new(read.reading.call),
            account,
            copy: read.copy,
            key: read.key,
            slot: None,
            late: None,
            later: None,
            received: None,
            by: Side::Client,
            ids: self.ids,
            struck: Struck::fold(decision),
            piece: None,
            stage: Stage::Handed { free_at_close: false },
            planned: None,
            gone: false,
            unread: read.body_unread,
            unnamed: shown.is_none(),
            limit: None,
            peer: request.peer,
            http2: request.http2,
            counted: None,
            exhausted_until_us: None,
        });
        let takes_pieces = |place: &Place| place.route.upload.is_some();
        open.piece = open.place.as_ref().is_some_and(takes_pieces).then(|| Piece::of(request));
        open.struck.locate(&request.target, &read.target);
        let classes = &self.api.classes;
        open.struck.sort_out_throttling(|status| classes.of_status(status) == Class::Throttling);
        open
    }

    /// What else is begun with a request that was read whole.
    pub(super) fn alongside(&mut self, open: &mut Open) -> Vec<(ExchangeId, Next)> {
        if open.unread || open.place.is_none() {
            return Vec::new();
        }
        let mut also = self.repeats(open);
        also.extend(self.open_later(open));
        if let Some(route) = open.place.as_ref().map(|place| Arc::clone(&place.route)) {
            also.extend(self.watch_job(open.id, &route, open.now_us));
        }
        also
    }

    /// Whoever asks a queue for messages asks for no operation: all such requests count together.
    fn for_all(&self, route: &Route) -> Option<Recognition> {
        let policy = self.api.queue.as_ref().filter(|_| route.receives.is_some())?;
        let operation = Arc::clone(&policy.messages);
        Some(Recognition { operation, submit: 1, number: None, how: Recognized::Extractor })
    }

    /// Counts the attempt.
    pub(super) fn place(&mut self, route: Arc<Route>, recognition: Recognition) -> Place {
        let counted =
            (Arc::clone(&recognition.operation), recognition.submit, Arc::clone(&route.name));
        let attempt = self.attempts.entry(counted).or_insert(0);
        *attempt = attempt.saturating_add(1);
        let number = self.arrivals.number(&recognition);
        Place::new(route, recognition, *attempt, number)
    }

    /// Opens the repeats that a gateway makes of this request.
    fn repeats(&mut self, open: &mut Open) -> Vec<(ExchangeId, Next)> {
        if matches!(open.struck.ending.as_deref(), Some((_, Point::Accept, _))) {
            return Vec::new();
        }
        let mut also = Vec::new();
        for (mark, times, apart_us) in std::mem::take(&mut open.struck.duplicates) {
            self.emit_strike(open, &mark);
            for nth in 1..=times {
                let id = self.take_id();
                let until_us = open.now_us.saturating_add(apart_us.saturating_mul(u64::from(nth)));
                let repeat = Open {
                    id,
                    connection: open.connection,
                    now_us: open.now_us,
                    place: open.place.clone(),
                    call: Arc::clone(&open.call),
                    account: Arc::clone(&open.account),
                    copy: open.copy,
                    key: open.key.clone(),
                    canonical: open.canonical,
                    slot: None,
                    late: None,
                    later: None,
                    received: None,
                    by: Side::Provider,
                    ids: RuleKey::new(self.seed, &format!("#ids of repeat {}", also.len() + 1)),
                    struck: Struck { keys: open.struck.keys.clone(), ..Struck::default() },
                    piece: open.piece.clone(),
                    stage: Stage::Arrive,
                    planned: None,
                    gone: false,
                    unread: false,
                    unnamed: false,
                    limit: None,
                    peer: open.peer,
                    http2: open.http2,
                    counted: None,
                    exhausted_until_us: None,
                };
                let route = repeat.place.as_ref().map(|place| Arc::clone(&place.route));
                self.open.insert(id, Box::new(repeat));
                self.pending += 1;
                also.push((id, Next::Wait { until_us }));
                also.extend(route.and_then(|route| self.watch_job(id, &route, until_us)));
            }
        }
        also
    }

    /// A gateway's repeat arrives.
    pub(super) fn arrive_again(&mut self, open: &mut Open) -> Next {
        if let Some(place) = &open.place {
            let event = self.repeated(open, place);
            self.emit(open.now_us, EventKind::RequestReceived(Box::new(event)));
        }
        let work = self.settle(open);
        self.work(open, work)
    }

    /// A request has come, which is so long on its way.
    pub(super) fn arrive(&mut self, open: &mut Open, way: OnItsWay, marks: Vec<Mark>) -> Next {
        if let Some((mark, ending)) = open.struck.ending_at(&[Point::Accept]) {
            self.emit_strike(open, &mark);
            return self.end(open, &mark, ending, None);
        }
        for mark in marks {
            self.emit_strike(open, &mark);
        }
        if way.read_us == 0 {
            return self.hold(open, way.held_us);
        }
        open.stage = Stage::Upload { held_us: way.held_us };
        self.pending += 1;
        Next::Wait { until_us: open.now_us.saturating_add(way.read_us) }
    }

    /// A request is there whole, and a gateway holds it back so long.
    pub(super) fn hold(&mut self, open: &mut Open, held_us: u64) -> Next {
        if held_us == 0 {
            return self.come_in(open);
        }
        open.stage = Stage::Gate;
        self.pending += 1;
        Next::Wait { until_us: open.now_us.saturating_add(held_us) }
    }

    /// The request has arrived whole, and nobody holds it back any more.
    pub(super) fn come_in(&mut self, open: &mut Open) -> Next {
        if open.place.is_none() {
            let own = self.refuse(open, Which::Standard(Standard::UnknownRoute), None);
            return self.reply(open, own);
        }
        let demanded = self.api.auth.as_ref().is_some_and(|auth| auth.required);
        if demanded && open.unnamed {
            let own = self.refuse(open, Which::Standard(Standard::Unauthorized), None);
            return self.reply(open, own);
        }
        if let Some(next) = self.turn_away(open) {
            return next;
        }
        if let Some((mark, ending)) = open.struck.ending_at(&[Point::Throttling]) {
            self.emit_strike(open, &mark);
            return self.end(open, &mark, ending, None);
        }
        match self.limit(open) {
            Limited::Refused(own) => self.reply(open, *own),
            Limited::Held(until_us) => {
                open.stage = Stage::Held;
                self.pending += 1;
                Next::Wait { until_us }
            }
            Limited::Passes => self.go_on(open),
        }
    }

    /// The limiter has let the request through.
    pub(super) fn go_on(&mut self, open: &mut Open) -> Next {
        let work = self.settle(open);
        for mark in std::mem::take(&mut open.struck.before.marks) {
            self.emit_strike(open, &mark);
        }
        match open.struck.before.total_us {
            0 => self.work(open, work),
            micros => {
                open.stage = Stage::Work(work);
                self.pending += 1;
                Next::Wait { until_us: open.now_us.saturating_add(micros) }
            }
        }
    }

    /// What the trace says of the arrival of a gateway's repeat.
    fn repeated(&self, open: &Open, place: &Place) -> RequestReceived {
        RequestReceived {
            request: open.id,
            provider: Arc::clone(&self.name),
            route: Some(Arc::clone(&place.route.name)),
            operation: Some(Arc::clone(&place.operation)),
            submit: place.submit,
            attempt: place.attempt,
            recognized: place.how,
            by: Side::Provider,
            method: place.route.method.as_str().into(),
            path: place.route.pattern.as_str().into(),
            effectful: place.route.is_effectful(),
            keyed: place.route.keyed,
            headers: Vec::new(),
            body_bytes: 0,
            body_unread: false,
            body_digest: open.canonical,
            canonical_digest: open.canonical,
            auth_digest: None,
            names: None,
            key: open.key.clone(),
            tenant: self.tenant(open).cloned(),
            client: None,
            connection: open.connection,
            reused: false,
            drawn: Vec::new(),
        }
    }

    /// What the trace says of the arrival of a request, but for what was drawn.
    fn received(
        &self,
        id: ExchangeId,
        request: &Request,
        read: &Read,
        place: Option<&Place>,
    ) -> RequestReceived {
        let headers = KEPT_HEADERS
            .iter()
            .chain(&self.api.sdk.call_id)
            .chain(&self.api.sdk.retry_count)
            .filter_map(|name| {
                let text = request.headers.get(name)?.to_str().ok()?;
                let end = text.floor_char_boundary(KEPT_BYTES);
                Some((name.as_str().to_owned(), text[..end].to_owned()))
            })
            .collect();
        RequestReceived {
            request: id,
            provider: Arc::clone(&self.name),
            route: place.map(|place| Arc::clone(&place.route.name)),
            operation: place.map(|place| Arc::clone(&place.operation)),
            submit: place.map_or(1, |place| place.submit),
            attempt: place.map_or(1, |place| place.attempt),
            recognized: place.map_or(Recognized::Unrouted, |place| place.how),
            by: Side::Client,
            method: request.method.as_str().into(),
            path: Arc::clone(&read.target),
            effectful: place.is_some_and(|place| place.route.is_effectful()),
            keyed: place.is_some_and(|place| place.route.keyed),
            headers,
            body_bytes: u64::try_from(request.body.len()).unwrap_or(u64::MAX),
            body_unread: read.body_unread,
            body_digest: read.body_digest,
            canonical_digest: read.canonical_digest,
            auth_digest: read.credential.as_ref().map(|shown| shown.digest),
            names: place
                .filter(|place| matches!(place.how, Recognized::Url | Recognized::ApiKey))
                .and_then(|_| self.recognizer.stranger(&evidence(&self.api, request, read))),
            key: read.key.clone(),
            tenant: read.credential.as_ref().and_then(|shown| shown.tenant.clone()),
            client: read.copy,
            connection: request.connection,
            reused: request.reused,
            drawn: Vec::new(),
        }
    }
}

/// What a decision about a request is taken on; `call` is `None` while only the head has been read.
pub(super) fn situation<'a>(
    provider: &'a str,
    (request, call): (&'a Request, Option<&'a Call>),
    tenant: Option<&'a str>,
    place: &'a Place,
    since_first_us: u64,
) -> Situation<'a> {
    Situation {
        at: Coordinates {
            provider,
            route: &place.route.name,
            operation: &place.operation,
            submit: place.submit,
            attempt: place.attempt,
        },
        route: Some(&place.route),
        operation_number: place.number,
        numbered: place.numbered,
        tenant,
        method: &request.method,
        headers: &request.headers,
        body: call.and_then(|call| call.body.as_ref()),
        since_first_us,
        reused: request.reused,
        http2: request.http2,
        streamed: call.is_some_and(|call| place.route.stream_for(call).is_some()),
    }
}

/// What a request shows of the operation that it belongs to.
pub(super) fn evidence<'a>(api: &Api, request: &'a Request, read: &'a Read) -> Evidence<'a> {
    let token = read
        .credential
        .as_ref()
        .and_then(|shown| api.auth.as_ref().and_then(|auth| auth.split(&shown.text).1));
    Evidence {
        target: &request.target,
        rest: &read.target,
        key_token: token,
        method: &request.method,
        headers: &request.headers,
        call: &read.reading.call,
        canonical: read.canonical_digest,
    }
}
