//! The provider as a pure state machine: a request and a time go in, an exchange and events come out.
//!
//! **Invariant:** no IO, no clock, no async; the same calls give the same exchanges and events.

use crate::event::{Event, Side};
use crate::exchange::{End, Exchange, ExchangeId, Finish, Next};
use crate::request::Request;

/// One provider of a run: its API, ledger, idempotency store, limiter and its part of the fault plan.
#[derive(Debug)]
pub struct Provider {
    events: Vec<Event>,
}

impl Provider {
    /// A head has been read. Asked only when [`Provider::wants_heads`]; `Some` when a fault at `accept`
    /// strikes and the operation can be told from the head alone, and then the body is never read.
    pub fn accept(&mut self, head: &Request, now_us: u64) -> Option<Exchange> {
        let _ = (head, now_us);
        None
    }

    /// True when the plan has faults at `accept`.
    #[must_use]
    pub fn wants_heads(&self) -> bool {
        false
    }

    /// A request has been read whole.
    pub fn handle(&mut self, request: Request, now_us: u64) -> Exchange {
        let _ = (request, now_us);
        Exchange { id: 0, next: Next::Done, also: Vec::new() }
    }

    /// A wait of this exchange is over.
    pub fn advance(&mut self, id: ExchangeId, now_us: u64) -> Next {
        let _ = (id, now_us);
        Next::Done
    }

    /// Nothing more will be written for this exchange. Called exactly once for each exchange that a
    /// client sent: after its answer, silence or drop, or as soon as the client has closed (also in the
    /// middle of a wait; `advance` is still called when that wait is over, and its answer thrown away).
    pub fn finish(&mut self, id: ExchangeId, finish: Finish) {
        let _ = (id, finish);
    }

    /// A connection ended while no request was open on it.
    pub fn connection_ended(&mut self, connection: u64, by: Side, how: End, at_us: u64) {
        let _ = (connection, by, how, at_us);
    }

    /// Bytes came that are no HTTP, and were answered 400 by the shell.
    pub fn bad_request(&mut self, connection: u64, at_us: u64) {
        let _ = (connection, at_us);
    }

    /// Exchanges whose work is still to be done, and repeats that are still to come: a run is over only
    /// when this is 0.
    #[must_use]
    pub fn pending(&self) -> usize {
        0
    }

    /// The events since the last call, in order.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
