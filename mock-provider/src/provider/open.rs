//! A request on its way through the provider.
//!
//! **Invariant:** an open request is owned by exactly one stage, and leaves the provider's table only
//! when nobody will ask for it again.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::struck::Struck;
use crate::api::{Call, Route};
use crate::event::{Digest16, Side};
use crate::exchange::{Answer, ExchangeId};
use crate::idempotency::Slot;
use crate::ledger::EffectId;
use crate::seed::RuleKey;

/// One request between its arrival and its end.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: ExchangeId,
    pub(super) connection: u64,
    /// What the request belongs to; `None` when it matches no route.
    pub(super) place: Option<Place>,
    pub(super) call: Arc<Call>,
    /// Who the client is: what keys and limits are kept apart by.
    pub(super) account: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    /// What a repeat with the same key must have in common with it.
    pub(super) fingerprint: Digest16,
    /// The slot of the idempotency store that this request has in flight.
    pub(super) slot: Option<Slot>,
    pub(super) by: Side,
    /// What object ids and request ids of this request are drawn with.
    pub(super) ids: RuleKey,
    pub(super) struck: Struck,
    pub(super) stage: Stage,
    /// What was handed to the shell to be written.
    pub(super) planned: Option<Planned>,
    /// True when the client has gone while the provider was still at work.
    pub(super) gone: bool,
    /// What the limiter said, for headers and bodies that tell of it.
    pub(super) limit: Option<crate::api::LimitState>,
}

/// The coordinates of a request, owned, with its route.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) route: Arc<Route>,
    pub(super) operation: Arc<str>,
    pub(super) submit: u32,
    pub(super) attempt: u32,
}

/// What comes next for a request.
#[derive(Debug)]
pub(super) enum Stage {
    /// A gateway's repeat that has still to arrive.
    Arrive,
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
}

/// An answer on its way out, with what the trace will say of it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) rule: Option<Arc<str>>,
    pub(super) effects: Arc<[EffectId]>,
    pub(super) replayed: bool,
    pub(super) refuses_key: bool,
    /// True for an answer that stands for the provider's limiter, whatever its status.
    pub(super) throttling: bool,
}

impl Planned {
    pub(super) fn of(answer: &Answer, own: &Own, rule: Option<Arc<str>>) -> Self {
        Self {
            status: answer.status,
            headers: answer.headers.clone(),
            body: answer.body.clone(),
            rule,
            effects: Arc::clone(&own.effects),
            replayed: own.replayed,
            refuses_key: own.refuses_key,
            throttling: false,
        }
    }
}
