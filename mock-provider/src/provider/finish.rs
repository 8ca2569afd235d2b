//! The end of a request: what really went onto the wire, told to the trace.

use std::sync::Arc;

use super::Provider;
use super::open::{Open, Place, Planned, Stage};
use crate::event::{Class, EventKind, ResponseSent, Side};
use crate::exchange::{End, ExchangeId, Finish};
use crate::hint;

/// The largest body that is searched for a hint.
const HINT_BYTES: usize = 1 << 20;
/// Why an answer cannot be used of which all content came, and not its end.
const BROKE_OFF: &str = "the answer broke off";

impl Provider {
    /// Nothing more will be written for this exchange. Called exactly once for each exchange that a
    /// client sent: after its answer, silence or drop, or as soon as the client has closed (also in the
    /// middle of a wait; `advance` is still called when that wait is over, and its answer thrown away).
    pub fn finish(&mut self, id: ExchangeId, finish: Finish) {
        if let Some(upload) = self.uploads.remove(&id) {
            return self.broke_off(id, upload, finish);
        }
        let Some(mut open) = self.open.remove(&id) else { return };
        let mut whole = false;
        if let (Some(planned), Some(head_at_us)) = (open.planned.take(), finish.head_at_us) {
            let event = self.response(&open, &planned, head_at_us, finish);
            // A success that nobody can use is asked for again: what follows is no new work.
            whole = event.complete && event.class == Class::Success && event.unusable.is_none();
            self.emit(finish.end_at_us, EventKind::ResponseSent(Box::new(event)));
        }
        if let Some(ended) = finish.ended {
            let how = (ended.by, ended.how.name().into());
            self.emit_connection_end((open.connection, Some(id)), how, finish.end_at_us);
        }
        self.recognizer.ended(id, whole);
        match open.stage {
            // It was not there whole yet, so nobody does what it asks for.
            Stage::Upload { .. } => self.pending -= 1,
            Stage::Arrive | Stage::Gate | Stage::Held | Stage::Work(_) | Stage::Reply(_) => {
                open.gone = true;
                self.open.insert(id, open);
            }
            Stage::Handed { .. } => {
                open.now_us = finish.end_at_us;
                self.give_back_at_close(&mut open);
                self.leave_limiter(&mut open);
            }
        }
    }

    fn response(
        &self,
        open: &Open,
        planned: &Planned,
        head_at_us: u64,
        finish: Finish,
    ) -> ResponseSent {
        let class = planned.class;
        let written = usize::try_from(finish.body_bytes).unwrap_or(usize::MAX);
        let delivered = &planned.body[..written.min(planned.body.len())];
        let known = planned.usable && delivered.len() == planned.body.len();
        let unusable = match (&open.place, class) {
            (Some(_), Class::Success) if known => None,
            (Some(place), Class::Success) => place.route.usable(delivered, &open.call).err(),
            _ => None,
        };
        // What HTTP calls unfinished nobody has to take, however well it reads.
        let broke_off = !finish.complete && class == Class::Success;
        let unusable = unusable.or_else(|| broke_off.then(|| BROKE_OFF.to_owned()));
        // Who reads a stream up to the reason why it finished may go then.
        let left = finish.ended.is_some_and(|ended| ended.by == Side::Client);
        let may_leave = |place: &Place| left && place.route.may_be_left(delivered, &open.call);
        let unusable = unusable.filter(|_| !open.place.as_ref().is_some_and(may_leave));
        let tells = class == Class::Success && unusable.is_none();
        ResponseSent {
            request: open.id,
            provider: Arc::clone(&self.name),
            status: planned.status,
            class,
            hints: self.hints(planned, head_at_us),
            head_at_us,
            end_at_us: finish.end_at_us,
            complete: finish.complete,
            unusable,
            body_bytes: finish.body_bytes,
            rule: planned.rule.clone(),
            replayed: planned.replayed,
            should_retry: planned.should_retry,
            refuses_key: planned.refuses_key,
            exhausted_until_us: self.exhausted_until_us(open, planned),
            unmade: planned.unmade.clone(),
            effects: if tells { planned.effects.to_vec() } else { Vec::new() },
        }
    }

    /// Until when nothing is left of a limit, where the answer says so.
    fn exhausted_until_us(&self, open: &Open, planned: &Planned) -> Option<u64> {
        let is_said = !self.api.limit_headers.is_empty() && planned.rule.is_none();
        open.exhausted_until_us.filter(|_| is_said)
    }

    /// Every retry hint in the answer.
    fn hints(&self, planned: &Planned, head_at_us: u64) -> Vec<crate::event::Hint> {
        let Some(headers) = &planned.hinting else { return Vec::new() };
        // What is so large is no error, and holds no hint.
        let body = Some(&planned.body).filter(|body| body.len() <= HINT_BYTES);
        let dialect = &self.api.hint;
        let body = body.map(|body| &**body);
        let mut hints = hint::read(headers, body, dialect, self.wall(head_at_us));
        // Whoever is not throttled is told of a limit, and not to wait for it.
        if let Some((reset, _)) =
            dialect.reset.as_ref().filter(|_| planned.class != Class::Throttling)
        {
            hints.retain(|hint| *hint.source != **reset);
        }
        hints
    }
}

impl End {
    /// The word in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Stall => "stall",
            Self::Half => "half_close",
            Self::Stream(code) => code.name(),
            Self::EndStream => "end_stream",
            Self::GoAway => "goaway",
        }
    }
}
