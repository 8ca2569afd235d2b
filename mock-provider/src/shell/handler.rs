//! What the shell needs of the state machine behind it.
//!
//! **Invariant:** a mirror of the methods of [`Provider`], so that the wire can be tested against a
//! scripted double; it adds no behaviour.

use crate::event::{Event, Side};
use crate::exchange::{ClientStrike, End, Exchange, ExchangeId, Finish, Listening, Next, Settled};
use crate::fault::Greeting;
use crate::provider::Provider;
use crate::request::Request;
use crate::webhook::{Due, Parcel};

/// A state machine that a [`crate::shell::server::Server`] can stand before. The methods are those of
/// [`Provider`], where each is described.
#[expect(missing_docs, reason = "each method is documented at Provider")]
pub trait Handler: Send + 'static {
    fn wants_heads(&self) -> bool;
    fn minds_the_door(&self) -> bool;
    fn when_begun(&self, tell: Box<dyn Fn() + Send + Sync>) {
        drop(tell);
    }
    fn speaks_http2(&self) -> bool {
        false
    }
    fn listening(&mut self, now_us: u64) -> Listening;
    fn greeting(&mut self, now_us: u64) -> Option<Greeting>;
    fn handshake_failed(&mut self, connection: u64, at_us: u64);
    fn accept(&mut self, head: &Request, now_us: u64) -> Option<Exchange>;
    fn upload(&mut self, head: &Request, now_us: u64) -> Option<(ExchangeId, u64)> {
        let _ = (head, now_us);
        None
    }
    fn uploaded(&mut self, id: ExchangeId, request: Request, now_us: u64) -> Exchange {
        let _ = id;
        self.handle(request, now_us)
    }
    fn handle(&mut self, request: Request, now_us: u64) -> Exchange;
    fn advance(&mut self, id: ExchangeId, now_us: u64) -> Next;
    fn finish(&mut self, id: ExchangeId, finish: Finish);
    fn connection_ended(&mut self, connection: u64, by: Side, how: End, at_us: u64);
    fn bad_request(&mut self, connection: u64, at_us: u64);
    fn too_large(&mut self, connection: u64, at_us: u64);
    fn pending(&self) -> usize;
    fn take_events(&mut self) -> Vec<Event>;
    fn take_client_strikes(&mut self) -> Vec<ClientStrike> {
        Vec::new()
    }
    fn take_dues(&mut self) -> Vec<Due> {
        Vec::new()
    }
    fn send_webhook(&mut self, delivery: u64, now_us: u64) -> Option<Parcel> {
        let _ = (delivery, now_us);
        None
    }
    fn webhook_answered(
        &mut self,
        delivery: u64,
        answer: Result<u16, String>,
        now_us: u64,
    ) -> Option<Due> {
        let _ = (delivery, answer, now_us);
        None
    }
    fn take_settled(&mut self) -> Vec<Settled> {
        Vec::new()
    }
}

impl Handler for Provider {
    fn wants_heads(&self) -> bool {
        Self::wants_heads(self)
    }

    fn minds_the_door(&self) -> bool {
        Self::minds_the_door(self)
    }

    fn when_begun(&self, tell: Box<dyn Fn() + Send + Sync>) {
        Self::when_begun(self, tell);
    }
    fn speaks_http2(&self) -> bool {
        Self::speaks_http2(self)
    }

    fn listening(&mut self, now_us: u64) -> Listening {
        Self::listening(self, now_us)
    }

    fn greeting(&mut self, now_us: u64) -> Option<Greeting> {
        Self::greeting(self, now_us)
    }

    fn handshake_failed(&mut self, connection: u64, at_us: u64) {
        Self::handshake_failed(self, connection, at_us);
    }

    fn accept(&mut self, head: &Request, now_us: u64) -> Option<Exchange> {
        Self::accept(self, head, now_us)
    }

    fn upload(&mut self, head: &Request, now_us: u64) -> Option<(ExchangeId, u64)> {
        Self::upload(self, head, now_us)
    }

    fn uploaded(&mut self, id: ExchangeId, request: Request, now_us: u64) -> Exchange {
        Self::uploaded(self, id, request, now_us)
    }

    fn handle(&mut self, request: Request, now_us: u64) -> Exchange {
        Self::handle(self, request, now_us)
    }

    fn advance(&mut self, id: ExchangeId, now_us: u64) -> Next {
        Self::advance(self, id, now_us)
    }

    fn finish(&mut self, id: ExchangeId, finish: Finish) {
        Self::finish(self, id, finish);
    }

    fn connection_ended(&mut self, connection: u64, by: Side, how: End, at_us: u64) {
        Self::connection_ended(self, connection, by, how, at_us);
    }

    fn bad_request(&mut self, connection: u64, at_us: u64) {
        Self::bad_request(self, connection, at_us);
    }

    fn too_large(&mut self, connection: u64, at_us: u64) {
        Self::too_large(self, connection, at_us);
    }

    fn pending(&self) -> usize {
        Self::pending(self)
    }

    fn take_events(&mut self) -> Vec<Event> {
        Self::take_events(self)
    }

    fn take_client_strikes(&mut self) -> Vec<ClientStrike> {
        Self::take_client_strikes(self)
    }

    fn take_dues(&mut self) -> Vec<Due> {
        Self::take_dues(self)
    }

    fn send_webhook(&mut self, delivery: u64, now_us: u64) -> Option<Parcel> {
        Self::send_webhook(self, delivery, now_us)
    }

    fn webhook_answered(
        &mut self,
        delivery: u64,
        answer: Result<u16, String>,
        now_us: u64,
    ) -> Option<Due> {
        Self::webhook_answered(self, delivery, answer, now_us)
    }

    fn take_settled(&mut self) -> Vec<Settled> {
        Self::take_settled(self)
    }
}
