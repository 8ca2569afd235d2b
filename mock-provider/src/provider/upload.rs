//! Requests whose body is read slowly: from the head, which is all that is known of them, to the end of the
//! body, or to that of the client's patience.
//!
//! **Invariant:** an attempt counts from its head on, once; one that breaks off leaves nothing done.

use super::Provider;
use super::arrive::{evidence, situation};
use super::open::Place;
use crate::event::Recognized;
use crate::exchange::{Exchange, ExchangeId, Finish};
use crate::plan::Reserved;
use crate::request::Request;

/// A request of which the head is there.
#[derive(Debug)]
pub(super) struct Upload {
    head: Request,
    place: Place,
    /// How long after the first request of the run it came, in microseconds.
    since_us: u64,
    reserved: Reserved,
}

impl Provider {
    /// A head has been read. Asked only when [`Provider::wants_heads`]; `Some` with the number of the
    /// exchange and a rate in bytes a second when the body is to be read slowly and the operation can be
    /// told from the head alone. [`Provider::uploaded`] follows, or [`Provider::finish`] when the client
    /// gives up.
    pub fn upload(&mut self, head: &Request, now_us: u64) -> Option<(ExchangeId, u64)> {
        if !self.reads_slowly {
            return None;
        }
        let read = self.read_head(head);
        let peeked = self.peek(head, &read)?;
        let since_us = now_us.saturating_sub(self.common.first_us().unwrap_or(head.head_at_us));
        let situation = situation(&self.name, (head, None), read.tenant(), &peeked, since_us);
        let (per_second, reserved) = self.plan.slows_upload(&situation)?;
        let recognition = self.recognizer.peek(&evidence(&self.api, head, &read), &self.ledger)?;
        let id = self.take_id();
        self.common.begin(head.head_at_us);
        let place = self.place(peeked.route, recognition);
        let upload = Upload { head: head.clone(), place, since_us, reserved };
        self.uploads.insert(id, upload);
        Some((id, per_second))
    }

    /// The body of such a request has been read to its end.
    pub fn uploaded(&mut self, id: ExchangeId, request: Request, now_us: u64) -> Exchange {
        let Some(upload) = self.uploads.remove(&id) else { return self.handle(request, now_us) };
        let read = self.read(&request);
        if upload.place.how == Recognized::Sdk {
            // So that attempts without the SDK's own marks are known by their bodies.
            self.recognizer.recognize(&evidence(&self.api, &request, &read), &self.ledger, id);
        }
        self.plan.give_back(upload.reserved);
        let times = (now_us, upload.since_us);
        let mut open = self.enter((id, Some(upload.place)), &request, read, times);
        let also = self.alongside(&mut open);
        let (way, marks) = open.struck.on_its_way(0);
        let next = self.arrive(&mut open, way, marks);
        Exchange { id, next: self.keep(open, next), also }
    }

    /// Its client gave up, or the run is over.
    pub(super) fn broke_off(&mut self, id: ExchangeId, upload: Upload, finish: Finish) {
        let Upload { head, place, since_us, reserved } = upload;
        let read = self.read_head(&head);
        self.plan.give_back(reserved);
        let times = (finish.end_at_us, since_us);
        let open = self.enter((id, Some(place)), &head, read, times);
        let (_, marks) = open.struck.on_its_way(0);
        for mark in marks {
            self.emit_strike(&open, &mark);
        }
        if let Some(ended) = finish.ended {
            let how = (ended.by, ended.how.name().into());
            self.emit_connection_end((open.connection, Some(id)), how, finish.end_at_us);
        }
        self.recognizer.ended(id, false);
    }
}
