//! What the state machine tells the shell to do with one request.
//!
//! An [`Exchange`] is the whole dialogue between the pure provider and the shell that has the sockets:
//! the shell carries out [`Next`], calls [`crate::provider::Provider::advance`] when a wait is over, and
//! [`crate::provider::Provider::finish`] exactly once when nothing more will be written.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::http2::{ErrorCode, GoAway};

/// Names one request (or one repeat of a request by a gateway) within a provider, from 1.
pub type ExchangeId = u64;

/// What happens with one request from here.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The number by which events and later calls name this request.
    pub id: ExchangeId,
    /// What to do now.
    pub next: Next,
    /// Requests that a fault makes out of this one (a gateway that repeats it). Nobody waits for their
    /// answer: the shell drives each with `advance` until it is [`Next::Done`].
    pub also: Vec<(ExchangeId, Next)>,
}

/// The next thing to do for an exchange.
#[derive(Clone, Debug)]
pub enum Next {
    /// Wait until this time (microseconds since the start of the run), then call `advance`, whether or
    /// not the client is still there.
    Wait {
        /// When to call `advance`.
        until_us: u64,
    },
    /// Write this answer, then call `finish`.
    Answer(Box<Answer>),
    /// Write nothing and keep the connection until the client closes it, then call `finish`.
    Silence,
    /// Write nothing, end the connection this way, then call `finish`.
    Drop(End),
    /// Take leave of the connection, write nothing for this exchange, then call `finish`.
    GoAway(Box<GoAway>),
    /// Nobody waits for an answer and nothing is left to do.
    Done,
}

/// An answer, and how its bytes go onto the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code, 100 to 999.
    pub status: u16,
    /// All headers but `content-length`, `connection` and `date`, which the shell writes.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How the bytes are paced and cut.
    pub wire: Wire,
    /// Set where the bytes are not those that HTTP would write; `body` then is all that goes out behind
    /// the head, and `status` and `headers` go nowhere.
    pub framing: Option<Framing>,
    /// Whole heads of interim answers (1xx), as bytes, that go out before this one; mostly none.
    pub interim: Bytes,
    /// Set for a stream: the body has no length in the head and goes out piece by piece, each a chunk of
    /// its own.
    pub pieces: Option<Pieces>,
    /// Set where the provider takes its leave of the connection before this answer, over HTTP/2.
    pub goaway: Option<Box<GoAway>>,
}

/// The bytes of a head in the place of those that HTTP would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The head with its blank line; empty for none at all.
    pub head: Bytes,
    /// True when the answer is complete once its last byte is written.
    pub whole: bool,
}

/// The pieces in which a stream goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The bytes of each, at least 1; together they are the body.
    pub lengths: Vec<usize>,
    /// The pause before each but the first, in microseconds.
    pub every_us: u64,
}

/// How the bytes of an answer go onto the wire; the default writes them at once and whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// A pause between the head and the first byte of the body, in microseconds.
    pub body_after_us: u64,
    /// The body goes out in pieces.
    pub pace: Option<Pace>,
    /// The answer is cut short.
    pub cut: Option<Cut>,
}

/// The body goes out in pieces of `bytes`, with `every_us` microseconds before each but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a piece, at least 1.
    pub bytes: usize,
    /// The pause between two pieces, in microseconds.
    pub every_us: u64,
}

/// The answer's head announces the whole body, and so many bytes of it follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the body that are written (all, if the body is shorter).
    pub after_bytes: u64,
    /// What then happens to the connection.
    pub then: End,
}

/// How the provider ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An orderly close (FIN).
    Fin,
    /// A reset (RST), after everything written so far has been acknowledged.
    Rst,
    /// Nothing more is written and the connection stays open until the client closes it.
    Stall,
    /// The provider's side is closed (FIN); what the client writes is taken until it closes its own.
    Half,
    /// The stream is reset (RST_STREAM), over HTTP/2; the connection lives on.
    Stream(ErrorCode),
    /// The stream ends in order (END_STREAM) although its head announced more, over HTTP/2; the connection
    /// lives on.
    EndStream,
    /// The provider has taken its leave of the connection (GOAWAY), over HTTP/2, and does not answer.
    GoAway,
}

/// What became of an operation that was a message or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The operation.
    pub operation: Arc<str>,
    /// Which submit, from 1.
    pub submit: u32,
    /// True when its message was deleted or its event answered with 2xx, which says that it was handled; false
    /// when the message is a dead letter, or the event is not sent any more.
    pub done: bool,
}

/// What befalls the client itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// It is killed, and started again.
    Kill,
    /// It stands still.
    Pause {
        /// How long, in microseconds.
        for_us: u64,
    },
}

/// A request has reached the point at which the client that sent it is struck: what the shell tells
/// whoever drives the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStrike {
    /// The operation that the request belongs to.
    pub operation: Arc<str>,
    /// Its submit.
    pub submit: u32,
    /// The copy of the client that sent it, where the address or the key that it used says so.
    pub client: Option<u32>,
    /// True when half of the answer is on its way and is to reach the client first.
    pub mid_body: bool,
    /// What befalls the client.
    pub does: ClientFault,
}

/// Whether anybody listens at a provider's door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// False while connections are refused.
    pub open: bool,
    /// When to ask again, in microseconds since the start of the run; `None` where nothing changes by
    /// itself.
    pub until_us: Option<u64>,
}

impl Listening {
    /// Somebody does, and will.
    pub const ALWAYS: Self = Self { open: true, until_us: None };
}

/// What became of the answer, told by the shell when nothing more will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The moment before the first byte of the head was written; `None` if nothing was written.
    pub head_at_us: Option<u64>,
    /// The moment before the write of the byte that completed the answer; when it was not completed,
    /// the moment the connection ended (by the client's close or by the provider's cut).
    pub end_at_us: u64,
    /// Bytes of the body that were written.
    pub body_bytes: u64,
    /// True when the whole answer was written.
    pub complete: bool,
    /// Who ended the connection under this exchange, if it ended: `None` while it lives on.
    pub ended: Option<Ended>,
}

/// How a connection ended under an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Who did it.
    pub by: crate::event::Side,
    /// How.
    pub how: End,
}
