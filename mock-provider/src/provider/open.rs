//! A request on its way through the provider.
//!
//! **Invariant:** an open request is owned by exactly one stage, and leaves the provider's table only
//! when nobody will ask for it again.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::pieces::Piece;
use super::struck::Struck;
use crate::api::{Call, Route};
use crate::event::{Class, Digest16, Recognized, Side};
use crate::exchange::ExchangeId;
use crate::idempotency::{Ask, Slot};
use crate::ledger::EffectId;
use crate::plan::Numbered;
use crate::recognition::Recognition;
use crate::seed::RuleKey;

/// One request between its arrival and its end.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: ExchangeId,
    pub(super) connection: u64,
    /// The time of the step that is being taken, in microseconds since the start of the run.
    pub(super) now_us: u64,
    /// What the request belongs to; `None` when it matches no route.
    pub(super) place: Option<Place>,
    pub(super) call: Arc<Call>,
    /// Who the client is: what keys and limits are kept apart by.
    pub(super) account: Arc<str>,
    /// The copy of the client that sent it, where it says so.
    pub(super) copy: Option<u32>,
    pub(super) key: Option<Arc<str>>,
    /// The digest of its canonical body.
    pub(super) canonical: Digest16,
    /// The slot of the idempotency store that this request has in flight.
    pub(super) slot: Option<Slot>,
    /// The look-up of a key that is to be kept only when the answer is sent.
    pub(super) late: Option<Ask>,
    /// The exchange in which its work appears, where that is later than its answer.
    pub(super) later: Option<ExchangeId>,
    /// The messages that it was given.
    pub(super) received: Option<serde_json::Value>,
    pub(super) by: Side,
    /// What object ids and request ids of this request are drawn with.
    pub(super) ids: RuleKey,
    pub(super) struck: Struck,
    /// The piece of a file that it carries.
    pub(super) piece: Option<Piece>,
    pub(super) stage: Stage,
    /// What was handed to the shell to be written.
    pub(super) planned: Option<Planned>,
    /// True when the client has gone while the provider was still at work.
    pub(super) gone: bool,
    /// True when its body was not read, or not to its end.
    pub(super) unread: bool,
    /// True when the client did not show who it is.
    pub(super) unnamed: bool,
    /// What the limiter said, for headers and bodies that tell of it.
    pub(super) limit: Option<crate::api::LimitState>,
    /// Where the request comes from, over a network.
    pub(super) peer: Option<IpAddr>,
    /// True when it came over HTTP/2.
    pub(super) http2: bool,
    /// Against whose limit the request was counted, until it is over.
    pub(super) counted: Option<Arc<str>>,
    /// Until when nothing is left of a limit, as its headers say.
    pub(super) exhausted_until_us: Option<u64>,
}

/// The coordinates of a request, owned, with its route.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) route: Arc<Route>,
    pub(super) operation: Arc<str>,
    pub(super) submit: u32,
    pub(super) attempt: u32,
    /// The operation's number and where it comes from, for rules that name operations.
    pub(super) number: Option<u64>,
    pub(super) numbered: Numbered,
    pub(super) how: Recognized,
}

impl Place {
    pub(super) fn new(
        route: Arc<Route>,
        recognition: Recognition,
        attempt: u32,
        (number, numbered): (Option<u64>, Numbered),
    ) -> Self {
        let Recognition { operation, submit, how, .. } = recognition;
        Self { route, operation, submit, attempt, number, numbered, how }
    }
}

/// What comes next for a request.
#[derive(Debug)]
pub(super) enum Stage {
    /// A gateway's repeat that has still to arrive.
    Arrive,
    /// Its body is still being read; a client that goes meanwhile leaves nothing done.
    Upload {
        /// How long it is held back after that, in microseconds.
        held_us: u64,
    },
    /// A gateway holds the request back.
    Gate,
    /// The limiter holds the request back for a while.
    Held,
    /// The work is still to be done.
    Work(Work),
    /// The provider's own answer is ready and waits to be sent.
    Reply(Own),
    /// Everything is with the shell.
    Handed {
        /// True when the key is given back as soon as the client closes.
        free_at_close: bool,
    },
}

/// What the provider will do, as the look-up and the checks have settled.
#[derive(Debug)]
pub(super) enum Work {
    /// What the route does.
    Commit,
    /// Nothing: this answer was settled by the store, the limiter or a check.
    Settled(Own),
}

/// The provider's own answer.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The effects that it tells of.
    pub(super) effects: Arc<[EffectId]>,
    pub(super) replayed: bool,
    /// True for an answer that refuses only the reuse of a key.
    pub(super) refuses_key: bool,
    /// True when the whole body is known to be usable for the client of this request.
    pub(super) usable: bool,
    /// True when the body is a stream of server-sent events.
    pub(super) is_stream: bool,
    /// The body in an earlier state of its object, where a fault asks for it and there was one.
    pub(super) earlier: Option<Bytes>,
    /// Why this stands in the place of an answer that the mock does not make.
    pub(super) unmade: Option<Arc<str>>,
}

impl Own {
    /// An answer that tells of no effect.
    pub(super) fn new(status: u16, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            headers,
            body,
            effects: Arc::from([]),
            replayed: false,
            refuses_key: false,
            usable: false,
            is_stream: false,
            earlier: None,
            unmade: None,
        }
    }
}

/// An answer on its way out: what the trace will say of it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) status: u16,
    /// What the API says of it, or throttling where it stands for the provider's limiter.
    pub(super) class: Class,
    pub(super) should_retry: Option<bool>,
    /// The headers, unless it is known that no hint stands in the answer.
    pub(super) hinting: Option<HeaderMap>,
    pub(super) body: Bytes,
    pub(super) rule: Option<Arc<str>>,
    pub(super) effects: Arc<[EffectId]>,
    pub(super) replayed: bool,
    pub(super) refuses_key: bool,
    /// True when the whole body is known to be usable.
    pub(super) usable: bool,
    pub(super) unmade: Option<Arc<str>>,
}
