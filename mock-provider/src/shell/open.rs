//! An exchange that a client waits for, from the moment it is known until it is finished.
//!
//! **Invariant:** `finish` is called exactly once for each, however the connection dies: what nobody
//! finished is finished when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::Side;
use crate::exchange::{End, Ended, ExchangeId, Finish};
use crate::shell::chunked::Chunked;
use crate::shell::core::{Busy, Core};
use crate::shell::handler::Handler;

/// An exchange that a client waits for.
pub(super) struct Open<H: Handler> {
    core: Arc<Core<H>>,
    busy: Option<Busy<H>>,
    went_down: Arc<AtomicBool>,
    id: ExchangeId,
    /// Before the first byte of the head was written; `None` while nothing was.
    pub(super) head_at_us: Option<u64>,
    /// Bytes of the body that were written, with the framing of chunks where there are any.
    pub(super) body_bytes: u64,
    /// The chunks in which the body goes out, where it has no length in its head.
    pub(super) chunked: Option<Chunked>,
    /// Before the byte that completed the answer was written.
    pub(super) complete_at_us: Option<u64>,
    finished: bool,
}

impl<H: Handler> Open<H> {
    /// `went_down` is raised when the connection ends under this exchange.
    pub(super) fn new(core: &Arc<Core<H>>, went_down: &Arc<AtomicBool>, id: ExchangeId) -> Self {
        Self {
            core: Arc::clone(core),
            busy: Some(Busy::new(Arc::clone(core))),
            went_down: Arc::clone(went_down),
            id,
            head_at_us: None,
            body_bytes: 0,
            chunked: None,
            complete_at_us: None,
            finished: false,
        }
    }

    /// The exchange's number.
    pub(super) fn id(&self) -> ExchangeId {
        self.id
    }

    /// From here on only the client's close is awaited: that is nothing a run has to wait for.
    pub(super) fn fall_silent(&mut self) {
        self.busy = None;
    }

    /// The answer is complete and the connection lives on.
    pub(super) fn complete(mut self) {
        let at_us = self.complete_at_us.unwrap_or_else(|| self.core.clock.now_us());
        self.finish(at_us, None);
    }

    /// The connection ended under the exchange.
    pub(super) fn ended(mut self, by: Side, how: End, at_us: u64) {
        self.finish(at_us, Some(Ended { by, how }));
    }

    fn finish(&mut self, at_us: u64, ended: Option<Ended>) {
        self.finished = true;
        if ended.is_some() {
            self.went_down.store(true, Ordering::Release);
        }
        let finish = Finish {
            head_at_us: self.head_at_us,
            end_at_us: self.complete_at_us.unwrap_or(at_us),
            body_bytes: match &self.chunked {
                Some(chunked) => chunked.of_the_body(self.body_bytes),
                None => self.body_bytes,
            },
            complete: self.complete_at_us.is_some(),
            ended,
        };
        self.core.call(|handler| handler.finish(self.id, finish));
        if self.busy.is_none() {
            self.core.look_again();
        }
    }
}

impl<H: Handler> Drop for Open<H> {
    fn drop(&mut self) {
        if !self.finished {
            let by = if self.core.is_stopping() { Side::Provider } else { Side::Client };
            let at_us = self.core.clock.now_us();
            self.finish(at_us, Some(Ended { by, how: End::Fin }));
        }
    }
}
