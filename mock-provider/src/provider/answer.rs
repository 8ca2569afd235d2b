//! Answers on their way out: the provider's own, its refusals, and what faults put in their place.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::Provider;
use super::open::{Open, Own, Planned, Stage};
use super::struck::Mark;
use crate::api::{Api, ErrorContext, Rendered, Route, Standard, Which, WrongField, bytes};
use crate::event::Class;
use crate::exchange::{Answer, Cut, End, Framing, Next, Wire};
use crate::fault::{Ending, Malformed, Point, Substitute, SubstituteBody};
use crate::framing::{Framed, Misframed};
use crate::hint::{self, HintSpec, Wall};
use crate::http2::{ErrorCode, GoAway, LastStream};
use crate::malformed;
use crate::stream::{self, Broken, Spoiled};

impl Provider {
    /// The provider's own answer is ready: sends it, unless a fault has its word here.
    pub(super) fn reply(&mut self, open: &mut Open, own: Own) -> Next {
        if let Some(mark) = self.strike_client(open, &[Point::AfterCommit, Point::MidBody]) {
            self.keep_late(open, &own);
            return self.end(open, &mark, Ending::Hang, Some(own));
        }
        match open.struck.ending_at(&[Point::AfterCommit, Point::MidBody]) {
            Some((mark, ending)) => {
                self.emit_strike(open, &mark);
                if !matches!(ending, Ending::Hang | Ending::Cut { after_bytes: None, .. })
                    || mark.is_at(Point::MidBody)
                {
                    self.keep_late(open, &own);
                }
                self.end(open, &mark, ending, Some(own))
            }
            None => {
                self.keep_late(open, &own);
                self.send(open, own, None, Wire::default())
            }
        }
    }

    /// Ends a request in another way than with the provider's own answer, which is at hand where the
    /// work has been done.
    pub(super) fn end(
        &mut self,
        open: &mut Open,
        mark: &Mark,
        ending: Ending,
        own: Option<Own>,
    ) -> Next {
        let rule = Some(Arc::clone(&mark.rule));
        match ending {
            // Kept apart from endings, for it ends nothing: see `Struck::interim`.
            Ending::Interim(_) => {
                let own = own.unwrap_or_else(|| self.preview(open));
                self.send(open, own, None, Wire::default())
            }
            Ending::Answer(substitute) => {
                let (throttling, kept) = (substitute.throttling, substitute.kept);
                let answer = self.substitute(open, substitute);
                if kept {
                    self.keep_answer(open, &answer);
                }
                let next = self.send(open, answer, rule, Wire::default());
                if let Some(planned) = &mut open.planned
                    && throttling
                {
                    planned.class = Class::Throttling;
                }
                next
            }
            Ending::Accepted => {
                let own = own.unwrap_or_else(|| self.preview(open));
                let answer = self.promise(open, own);
                self.send(open, answer, rule, Wire::default())
            }
            Ending::InFlight { hint, .. } => {
                let api = Arc::clone(&self.api);
                let which = match &api.idempotency {
                    Some(policy) => Which::Refusal(&policy.in_flight),
                    None => Which::Standard(Standard::InFlight),
                };
                let answer = self.refuse(open, which, hint.as_ref());
                self.send(open, answer, rule, Wire::default())
            }
            Ending::Malformed(how) => {
                let own = own.unwrap_or_else(|| self.preview(open));
                let answer = self.mangle(open, &how, own);
                self.send(open, answer, rule, Wire::default())
            }
            Ending::Stream(how) => {
                let own = own.unwrap_or_else(|| self.preview(open));
                self.send_spoiled(open, own, rule, &how)
            }
            Ending::Hang => {
                // Before the work the key stays in flight until the client closes.
                open.stage = Stage::Handed { free_at_close: own.is_none() };
                match own {
                    Some(own) if mark.is_at(Point::MidBody) => {
                        let cut = Cut { after_bytes: half(&own.body), then: End::Stall };
                        self.send_cut(open, own, rule, cut)
                    }
                    Some(_) | None => Next::Silence,
                }
            }
            Ending::Cut { after_bytes: None, then, connection } => {
                unanswered(if connection { then } else { on_stream(open, then) })
            }
            Ending::CloseIdle => unanswered(End::Fin),
            Ending::Cut { after_bytes: Some(after_bytes), then, connection } => {
                let own = own.unwrap_or_else(|| self.preview(open));
                let then = if connection { then } else { in_body(open, &own, then) };
                self.send_cut(open, own, rule, Cut { after_bytes, then })
            }
            Ending::GoAway(leave) => self.take_leave(open, leave, own),
            Ending::Misframed { how, then } => {
                let own = own.unwrap_or_else(|| self.preview(open));
                self.send_misframed(open, own, rule, (&how, then))
            }
        }
    }

    /// Takes leave of a connection, with the answer if that is still to come.
    fn take_leave(&mut self, open: &mut Open, leave: GoAway, own: Option<Own>) -> Next {
        let leave = Box::new(leave);
        if leave.last == LastStream::Before {
            return Next::GoAway(leave);
        }
        let own = own.unwrap_or_else(|| self.preview(open));
        let mut next = self.send(open, own, None, Wire::default());
        if let Next::Answer(answer) = &mut next {
            answer.goaway = Some(leave);
        }
        next
    }

    /// Hands over an answer in other bytes than HTTP would write. What has no body is not begun.
    fn send_misframed(
        &mut self,
        open: &mut Open,
        own: Own,
        rule: Option<Arc<str>>,
        (how, then): (&Misframed, Option<End>),
    ) -> Next {
        if own.body.is_empty() {
            return unanswered(then.unwrap_or(End::Fin));
        }
        let (own, framed, wire) = misframed(own, how, then);
        let next = self.send(open, own, rule, wire);
        if matches!(how, Misframed::Raw(_)) {
            // Nothing of an answer is seen.
            open.planned = None;
        }
        framed.carried_by(next)
    }

    /// Hands over an answer that is to be cut. What is said to be cut never arrives whole: the last byte
    /// of a body is always kept back, and an answer without a body is not begun.
    fn send_cut(&mut self, open: &mut Open, own: Own, rule: Option<Arc<str>>, cut: Cut) -> Next {
        let bytes = u64::try_from(own.body.len()).unwrap_or(u64::MAX);
        let Some(most) = bytes.checked_sub(1) else { return unanswered(cut.then) };
        let cut = Cut { after_bytes: cut.after_bytes.min(most), ..cut };
        self.send(open, own, rule, cut.into())
    }

    /// Hands over a stream that goes wrong; an answer that is none goes out as it is.
    fn send_spoiled(
        &mut self,
        open: &mut Open,
        own: Own,
        rule: Option<Arc<str>>,
        how: &Broken,
    ) -> Next {
        let place = open.place.as_ref();
        let Some(spec) = place.and_then(|it| it.route.stream.as_ref()).filter(|_| own.is_stream)
        else {
            return self.send(open, own, rule, Wire::default());
        };
        let error = if how.kind == stream::Kind::ErrorEvent {
            let which = Which::Named(&spec.error.error);
            let body = self.error(open, which, &ErrorContext::default()).body;
            body.unwrap_or_default().to_string()
        } else {
            String::new()
        };
        let Spoiled { body, lengths, cut } = stream::spoil(how, spec, &own.body, &error);
        let cut = cut.map(|(after_bytes, then)| Cut { after_bytes, then: on_stream(open, then) });
        let own = Own { body, usable: false, ..own };
        let mut next = self.send(open, own, rule, Wire { cut, ..Wire::default() });
        if let (Next::Answer(answer), Some(lengths)) = (&mut next, lengths)
            && let Some(pieces) = &mut answer.pieces
        {
            pieces.lengths = lengths;
        }
        next
    }

    /// Hands an answer to the shell, paced and delayed as the strikes say.
    fn send(&mut self, open: &mut Open, own: Own, rule: Option<Arc<str>>, mut wire: Wire) -> Next {
        wire.body_after_us = open.struck.head.total_us;
        let pieces = own.is_stream.then(|| open.struck.pieces(&own.body));
        // A stream has its own pieces.
        wire.pace = if own.is_stream { None } else { open.struck.pace(own.body.len()) };
        let mut marks = std::mem::take(&mut open.struck.head.marks);
        marks.append(&mut open.struck.chunk.marks);
        marks.extend(open.struck.drip.take().map(|(mark, _)| mark));
        for mark in marks {
            self.emit_strike(open, &mark);
        }
        if !matches!(open.stage, Stage::Handed { .. }) {
            open.stage = Stage::Handed { free_at_close: false };
        }
        let mut interim = Bytes::new();
        if let Some(before) = open.struck.interim.take() {
            let (mark, head) = *before;
            self.emit_strike(open, &mark);
            interim = head;
        }
        let class = self.api.class(own.status, &own.headers, &own.body);
        let should_retry = self.api.classes.should_retry(&own.headers);
        // The provider's own successes have no hint unless a header says so, which spares them a copy
        // of their headers.
        let plain = rule.is_none()
            && class == Class::Success
            && !own.headers.contains_key(header::RETRY_AFTER);
        open.planned = Some(Planned {
            status: own.status,
            class,
            should_retry,
            hinting: (!plain).then(|| own.headers.clone()),
            body: own.body.clone(),
            rule,
            effects: own.effects,
            replayed: own.replayed,
            refuses_key: own.refuses_key,
            usable: own.usable,
            unmade: own.unmade,
        });
        let Own { status, headers, body, .. } = own;
        Next::Answer(Box::new(Answer {
            status,
            headers,
            body,
            wire,
            pieces,
            framing: None,
            interim,
            goaway: None,
        }))
    }

    /// One of the API's errors.
    pub(super) fn refuse(&self, open: &Open, which: Which<'_>, hint: Option<&HintSpec>) -> Own {
        self.refuse_with(open, which, &ErrorContext::default(), hint)
    }

    pub(super) fn refuse_with(
        &self,
        open: &Open,
        which: Which<'_>,
        context: &ErrorContext<'_>,
        hint: Option<&HintSpec>,
    ) -> Own {
        let rendered = self.error(open, which, context);
        let Rendered { status, mut headers, mut body } = rendered;
        self.add_headers(open, &mut headers);
        if let Some(hint) = hint {
            let wall = self.wall(open.now_us);
            hint::write(hint, &self.api.hint, wall, &mut headers, body.as_mut());
        }
        let body = body.map_or_else(Bytes::new, |body| bytes(&body));
        Own::new(status, headers, body)
    }

    /// The error for what is wrong with a request: about a field, or about the body itself where that has no name.
    pub(super) fn refuse_wrong(&self, open: &Open, wrong: &WrongField) -> Own {
        let WrongField { field, message, breach, error, has_words } = wrong;
        let (which, error_has_words) = self.api.errors.of_breach(*breach, error.as_deref());
        let context = ErrorContext {
            message: Some(message.as_str()).filter(|_| *has_words || !error_has_words),
            wrong: Some(message),
            field: Some(field.as_str()).filter(|field| !field.is_empty()),
            ..ErrorContext::default()
        };
        self.refuse_with(open, which, &context, None)
    }

    fn error(&self, open: &Open, which: Which<'_>, context: &ErrorContext<'_>) -> Rendered {
        let request_id = self.api.wants_request_id.then(|| self.request_id(open));
        let context = ErrorContext { request_id: request_id.as_deref(), ..about(open, *context) };
        rendered(&self.api, which, &context)
    }

    /// What a fault answers in the provider's place.
    fn substitute(&self, open: &Open, substitute: Substitute) -> Own {
        let request_id = self.api.wants_request_id.then(|| self.request_id(open));
        let context = ErrorContext {
            request_id: request_id.as_deref(),
            ..about(open, ErrorContext::default())
        };
        let add_headers = |headers: &mut HeaderMap| self.add_headers(open, headers);
        substituted(&self.api, substitute, &context, self.wall(open.now_us), add_headers)
    }

    /// The provider's own answer, made unusable.
    fn mangle(&self, open: &Open, how: &Malformed, own: Own) -> Own {
        let error = self.error(open, Which::Status(500), &ErrorContext::default());
        mangled(open.place.as_ref().map(|place| &*place.route), how, own, error)
    }

    /// The answer that the work is still to be done; what is no success stays as it is.
    fn promise(&self, open: &Open, own: Own) -> Own {
        if !(200..300).contains(&own.status) {
            return own;
        }
        if own.is_stream {
            return Own::new(202, own.headers, Bytes::new());
        }
        let promised = match own.status {
            202 => own,
            _ => {
                let kind = malformed::Kind::StaleAnswer;
                let pending = Malformed { kind, field: None, size: 0, bits: 0 };
                self.mangle(open, &pending, Own { earlier: None, ..own })
            }
        };
        Own { status: 202, ..promised }
    }

    /// The headers that every answer has.
    pub(super) fn add_headers(&self, open: &Open, headers: &mut HeaderMap) {
        let request_id =
            if self.api.wants_request_id { self.request_id(open) } else { String::new() };
        // A header that asks for something that is not there is left out: the answer counts more.
        let _ = self.api.add_headers(&request_id, self.epoch_s(open.now_us), headers);
        if let Some((_, deprecated)) = open.struck.deprecated.as_deref() {
            deprecated.write(self.wall(open.now_us).now(), headers);
        }
        if let Some(limit) = &open.limit {
            let _ = self.api.add_limit_headers(limit, headers);
        }
    }

    /// Letters and digits that belong to this request alone, the same in every run of a seed.
    pub(super) fn request_id(&self, open: &Open) -> String {
        const LENGTH: usize = 16;
        match &open.place {
            Some(place) => {
                let mut draw = open.ids.draw(&self.coordinates(place));
                // The object's id is drawn from the same stream: step past its first number.
                let _ = draw.bits();
                let mut id = String::with_capacity(LENGTH);
                draw.push_alphanumeric(LENGTH, &mut id);
                id
            }
            None => format!("{:0LENGTH$}", open.id),
        }
    }
}

/// What an error can say of a request.
fn about<'a>(open: &'a Open, context: ErrorContext<'a>) -> ErrorContext<'a> {
    ErrorContext {
        key: open.key.as_deref(),
        route: open.place.as_ref().map(|place| &*place.route.name),
        ..context
    }
}

/// One of the API's errors.
pub(super) fn rendered(api: &Api, which: Which<'_>, context: &ErrorContext<'_>) -> Rendered {
    api.errors.render(which, context).unwrap_or_else(|error| {
        // An error body that does not fit must not hide the error itself.
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let status = match which {
            Which::Status(status) => status,
            Which::Standard(_) | Which::Named(_) | Which::Refusal(_) => {
                api.errors.find(which).status
            }
        };
        let body = serde_json::json!({"error": {"message": error.to_string()}});
        Rendered { status, headers, body: Some(body) }
    })
}

/// What a fault answers in the place of whoever should; `add_headers` adds what every answer has.
pub(super) fn substituted(
    api: &Api,
    substitute: Substitute,
    context: &ErrorContext<'_>,
    wall: Wall,
    add_headers: impl FnOnce(&mut HeaderMap),
) -> Own {
    let Substitute { status: asked, headers: extra, body, code, named, .. } = substitute;
    let which = asked.map_or(Which::Standard(Standard::RateLimited), Which::Status);
    // A code that the API has an error for says what that one says, and not only its code.
    let known = code.as_deref().and_then(|code| api.errors.of_code(code, asked?));
    let which = api.named_or(named.or(known), which);
    let mut status = asked.unwrap_or_else(|| api.errors.find(which).status);
    let mut headers = HeaderMap::new();
    let (mut value, raw) = match body {
        Some(SubstituteBody::Json(value)) => {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
            (Some(value), Bytes::new())
        }
        Some(SubstituteBody::Raw(media_type, bytes)) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            (None, bytes)
        }
        None if status < 400 => (None, Bytes::new()),
        None => {
            let code = code.as_deref().or_else(|| api.code_of(named));
            let context = ErrorContext { code, ..*context };
            let error = rendered(api, which, &context);
            (status, headers) = (error.status, error.headers);
            (error.body, Bytes::new())
        }
    };
    add_headers(&mut headers);
    // What the scenario says takes the place of what the API says.
    for (name, _) in &extra {
        headers.remove(name.as_str());
    }
    for (name, text) in extra {
        if let (Ok(name), Ok(text)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) {
            headers.append(name, text);
        }
    }
    if let Some(dialect) = substitute.limit {
        let reset_us = substitute.hint.as_ref().and_then(HintSpec::wait_us).unwrap_or(1_000_000);
        dialect.write(wall, reset_us, &mut headers);
    }
    if let Some(hint) = substitute.hint {
        hint::write(&hint, &api.hint, wall, &mut headers, value.as_mut());
    }
    if let Some(value) = substitute.should_retry {
        let usual = HeaderName::from_static("x-should-retry");
        let name = api.classes.should_retry.clone().unwrap_or(usual);
        headers.insert(name, HeaderValue::from_static(if value { "true" } else { "false" }));
    }
    let body = value.map_or(raw, |value| bytes(&value));
    Own::new(status, headers, body)
}

/// An answer of a route, made unusable; `error` is the API's own.
pub(super) fn mangled(route: Option<&Route>, how: &Malformed, own: Own, error: Rendered) -> Own {
    let shape = route.map_or_else(malformed::Shape::none, malformed::Shape::of);
    let error = bytes(&error.body.unwrap_or(Value::Null));
    let earlier = own.earlier.as_ref();
    let answer = malformed::Own { earlier, ..shape.own(&own.body, &error) };
    let mangled = malformed::mangle(how, &answer);
    let mut headers = own.headers;
    if let Some(media_type) = mangled.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if mangled.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if mangled.status == Some(204) {
        headers.remove(header::CONTENT_TYPE);
    }
    let status = mangled.status.unwrap_or(own.status);
    Own { status, headers, body: mangled.body, usable: false, is_stream: false, ..own }
}

impl From<Cut> for Wire {
    fn from(cut: Cut) -> Self {
        Self { cut: Some(cut), ..Self::default() }
    }
}

/// An answer in other bytes than HTTP would write: what arrives of it, the bytes, and how they end.
pub(super) fn misframed(own: Own, how: &Misframed, then: Option<End>) -> (Own, Framed, Wire) {
    let framed = how.frame(own.status, &own.headers, &own.body);
    let after_bytes = u64::try_from(framed.rest.len()).unwrap_or(u64::MAX);
    let cut = then.map(|then| Cut { after_bytes, then });
    let body = own.body.slice(..framed.arrives.min(own.body.len()));
    (Own { body, usable: false, ..own }, framed, Wire { cut, ..Wire::default() })
}

impl Framed {
    /// The answer, with these bytes in the place of its own.
    pub(super) fn carried_by(self, mut next: Next) -> Next {
        if let Next::Answer(answer) = &mut next {
            answer.body = self.rest;
            answer.framing = Some(Framing { head: self.head, whole: self.whole });
        }
        next
    }
}

/// How the stream of a request over HTTP/2 ends where a connection of its own would end so.
fn on_stream(open: &Open, then: End) -> End {
    match then {
        End::Rst if open.http2 => End::Stream(ErrorCode::InternalError),
        End::Fin if open.http2 => End::Stream(ErrorCode::Cancel),
        End::Fin
        | End::Rst
        | End::Stall
        | End::Half
        | End::Stream(_)
        | End::EndStream
        | End::GoAway => then,
    }
}

/// The same in the middle of a body: where its head has announced a length, what ends in order is seen to be
/// too short.
fn in_body(open: &Open, own: &Own, then: End) -> End {
    if open.http2 && then == End::Fin && !own.is_stream {
        return End::EndStream;
    }
    on_stream(open, then)
}

/// Nothing is answered, and the connection ends so.
pub(super) fn unanswered(then: End) -> Next {
    match then {
        End::Stall => Next::Silence,
        End::Fin | End::Rst | End::Half | End::Stream(_) | End::EndStream | End::GoAway => {
            Next::Drop(then)
        }
    }
}

/// Half of a body, for a hang in the middle of it.
pub(super) fn half(body: &Bytes) -> u64 {
    u64::try_from(body.len() / 2).unwrap_or(0)
}
