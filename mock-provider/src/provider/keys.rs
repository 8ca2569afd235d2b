//! The key of a request: what the store says of it, honestly or not, and what is kept under it.
//!
//! **Invariant:** a departure that changes nothing for a request did not strike it, and is not told.

use std::sync::Arc;

use super::Provider;
use super::open::{Open, Own, Place, Work};
use crate::api::{IdempotencyPolicy, KeyScope, Refusal, Which};
use crate::event::{Digest16, EventKind, Idempotency, KeyState};
use crate::exchange::ExchangeId;
use crate::fault::{Action, KeyFault};
use crate::idempotency::{self, Ask, Departure, LookUp, Slot};
use crate::malformed;
use crate::plan::FaultPlan;

/// Another name under which a key must be found, because a fault does not tell all keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alias {
    /// The key alone.
    AnyScope,
    /// So many of its first characters.
    Prefix(usize),
}

impl Alias {
    /// Those that some fault of the plan goes by.
    pub(super) fn wanted(plan: &FaultPlan) -> Vec<Self> {
        let mut wanted: Vec<Self> = plan
            .actions()
            .filter_map(|action| {
                let Action::Key(fault) = action else { return None };
                Self::of(&fault)
            })
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn of(fault: &KeyFault) -> Option<Self> {
        match fault {
            KeyFault::AnyScope => Some(Self::AnyScope),
            KeyFault::Prefix { characters } => Some(Self::Prefix(*characters)),
            KeyFault::Ignore
            | KeyFault::ForgetAfter { .. }
            | KeyFault::ForgetBefore { .. }
            | KeyFault::Late
            | KeyFault::Altered { .. }
            | KeyFault::AnyBody
            | KeyFault::Mismatch { .. }
            | KeyFault::ReplayStatus { .. }
            | KeyFault::RequiredAfter { .. } => None,
        }
    }

    /// The name of a key.
    fn name(self, scope: &[&str], key: &str) -> Slot {
        match self {
            Self::AnyScope => idempotency::slot(&["#any"], key),
            Self::Prefix(characters) => {
                let end = key.char_indices().nth(characters).map_or(key.len(), |(end, _)| end);
                let mut parts = vec!["#prefix"];
                let count = characters.to_string();
                parts.push(&count);
                parts.extend(scope);
                idempotency::slot(&parts, &key[..end])
            }
        }
    }
}

impl Provider {
    /// Looks the key up and checks the request: what the provider will do.
    pub(super) fn settle(&mut self, open: &mut Open) -> Work {
        if let Some(work) = self.look_up(open) {
            return work;
        }
        match open.place.as_ref().map(|place| place.route.validate(&open.call)) {
            Some(Ok(())) | None => Work::Commit,
            Some(Err(wrong)) => {
                open.late = None;
                if let Some(slot) = open.slot.take() {
                    self.store.free(slot, open.id, open.now_us);
                }
                Work::Settled(self.refuse_wrong(open, &wrong))
            }
        }
    }

    /// What the idempotency store says; `None` when the work is to be done.
    fn look_up(&mut self, open: &mut Open) -> Option<Work> {
        let api = Arc::clone(&self.api);
        let policy = api.idempotency.as_ref()?;
        let place = open.place.as_ref().filter(|place| place.route.keyed)?.clone();
        let Some(key) = open.key.clone() else { return self.without_key(open, policy) };
        if let Some((mark, ())) =
            open.struck.key(|fault| (*fault == KeyFault::Ignore).then_some(()))
        {
            self.emit_strike(open, &mark);
            self.emit_key(open, &key, KeyState::Ignored, None);
            return None;
        }
        if policy.is_too_long(&key) {
            let own = self.refuse(open, Which::Refusal(&policy.too_long), None);
            return Some(Work::Settled(Own { refuses_key: true, ..own }));
        }
        let ask = self.ask(open, &place, policy, &key);
        let departure = self.departure(open);
        let found = self.store.look_up(&ask, &departure);
        self.tell_departures(open, &ask, &found, &departure);
        match found {
            LookUp::New { expired } => {
                if expired {
                    self.emit_key(open, &key, KeyState::Expired, None);
                }
                if departure.late {
                    open.late = Some(ask);
                } else {
                    open.slot = Some(ask.slot);
                    self.name_key(open, &place, policy, (&key, ask.slot));
                }
                None
            }
            LookUp::InFlight { first } => {
                self.emit_key(open, &key, KeyState::InFlight, Some(first));
                let own = self.refuse(open, Which::Refusal(&policy.in_flight), None);
                Some(Work::Settled(own))
            }
            LookUp::Mismatch { first } => {
                let own = self.mismatch(open, policy);
                self.emit_key(open, &key, KeyState::Mismatch, Some(first));
                Some(Work::Settled(Own { refuses_key: true, ..own }))
            }
            LookUp::Replay { first, answer } => {
                let own = self.replay(open, &place, policy, answer);
                self.emit_key(open, &key, KeyState::Replayed, Some(first));
                Some(Work::Settled(own))
            }
        }
    }

    /// A request without a key on a route that takes one.
    fn without_key(&mut self, open: &Open, policy: &IdempotencyPolicy) -> Option<Work> {
        if !policy.required {
            let since_us = self.since_first_us(open.now_us);
            let (mark, ()) = open.struck.key(|fault| {
                let demands =
                    matches!(fault, KeyFault::RequiredAfter { time_us } if since_us >= *time_us);
                demands.then_some(())
            })?;
            self.emit_strike(open, &mark);
        }
        Some(Work::Settled(self.refuse(open, Which::Refusal(&policy.missing), None)))
    }

    fn since_first_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.common.first_us().unwrap_or(now_us))
    }

    /// Under which slot this request looks, and what it shows there.
    fn ask(&self, open: &Open, place: &Place, policy: &IdempotencyPolicy, key: &str) -> Ask {
        let scope = scope(open, place, policy);
        let other = open
            .struck
            .key(Alias::of)
            .and_then(|(_, alias)| self.store.behind(alias.name(&scope, key)));
        Ask {
            slot: other.unwrap_or_else(|| idempotency::slot(&scope, key)),
            fingerprint: fingerprint(open, place),
            asker: open.id,
            now_us: open.now_us,
        }
    }

    /// Makes a new key known by the names that faults go by.
    fn name_key(
        &mut self,
        open: &Open,
        place: &Place,
        policy: &IdempotencyPolicy,
        (key, slot): (&str, Slot),
    ) {
        let scope = scope(open, place, policy);
        for alias in self.aliases.clone() {
            self.store.alias(alias.name(&scope, key), slot, open.now_us);
        }
    }

    /// What the strikes on this request make of its look-up.
    fn departure(&self, open: &Open) -> Departure {
        let since_us = self.since_first_us(open.now_us);
        let started_us = open.now_us.saturating_sub(since_us);
        let mut departure = Departure::default();
        for (_, fault) in &open.struck.keys {
            match fault {
                KeyFault::ForgetAfter { age_us } => {
                    let least = departure.forget_after_us.unwrap_or(u64::MAX);
                    departure.forget_after_us = Some(least.min(*age_us));
                }
                KeyFault::ForgetBefore { time_us } if since_us >= *time_us => {
                    let latest = departure.forget_before_us.unwrap_or(0);
                    let time_us = started_us.saturating_add(*time_us);
                    departure.forget_before_us = Some(latest.max(time_us));
                }
                KeyFault::Late => departure.late = true,
                KeyFault::AnyScope | KeyFault::AnyBody => departure.any_body = true,
                KeyFault::ForgetBefore { .. }
                | KeyFault::Ignore
                | KeyFault::Altered { .. }
                | KeyFault::Mismatch { .. }
                | KeyFault::ReplayStatus { .. }
                | KeyFault::Prefix { .. }
                | KeyFault::RequiredAfter { .. } => {}
            }
        }
        departure
    }

    /// Tells the trace of the strikes that made a difference.
    fn tell_departures(
        &mut self,
        open: &Open,
        ask: &Ask,
        found: &LookUp<Own>,
        departure: &Departure,
    ) {
        let is_new = matches!(found, LookUp::New { .. });
        let expired = matches!(found, LookUp::New { expired: true });
        let is_replay = matches!(found, LookUp::Replay { .. });
        for (mark, fault) in &open.struck.keys {
            let struck = match fault {
                KeyFault::ForgetAfter { .. } | KeyFault::ForgetBefore { .. } => expired,
                KeyFault::Late => is_new && departure.late,
                KeyFault::AnyScope | KeyFault::Prefix { .. } => {
                    !is_new && self.is_anothers(open, ask)
                }
                KeyFault::AnyBody => is_replay && self.has_another_body(ask),
                // Those of an answer strike where the answer is made.
                KeyFault::Mismatch { .. }
                | KeyFault::Altered { .. }
                | KeyFault::ReplayStatus { .. }
                | KeyFault::Ignore
                | KeyFault::RequiredAfter { .. } => false,
            };
            if struck {
                self.emit_strike(open, mark);
            }
        }
    }

    /// True when the key that was looked up is not this request's own, or was for another route.
    fn is_anothers(&self, open: &Open, ask: &Ask) -> bool {
        let own = self.api.idempotency.as_ref().zip(open.place.as_ref()).zip(open.key.as_ref());
        let own =
            own.map(|((policy, place), key)| idempotency::slot(&scope(open, place, policy), key));
        own != Some(ask.slot) || self.has_another_body(ask)
    }

    fn has_another_body(&self, ask: &Ask) -> bool {
        self.store.fingerprint(ask.slot).is_some_and(|known| known != ask.fingerprint)
    }

    /// The refusal of a key that came first with another body.
    fn mismatch(&mut self, open: &Open, policy: &IdempotencyPolicy) -> Own {
        let own = self.refuse(open, Which::Refusal(&policy.mismatch), None);
        let struck = open.struck.key(|fault| {
            if let KeyFault::Mismatch { status } = fault { Some(*status) } else { None }
        });
        let Some((mark, status)) = struck.filter(|(_, status)| *status != own.status) else {
            return own;
        };
        self.emit_strike(open, &mark);
        let refusal = Refusal { error: Arc::clone(&policy.mismatch.error), status: Some(status) };
        self.refuse(open, Which::Refusal(&refusal), None)
    }

    /// The stored answer, given again.
    fn replay(
        &mut self,
        open: &Open,
        place: &Place,
        policy: &IdempotencyPolicy,
        answer: Own,
    ) -> Own {
        let mut own = Own { replayed: true, usable: false, ..answer };
        own.status = policy.replay_status.unwrap_or(own.status);
        for (name, value) in &policy.replay_headers {
            own.headers.insert(name.clone(), value.clone());
        }
        for (mark, fault) in &open.struck.keys {
            if let KeyFault::ReplayStatus { status } = fault
                && own.status != *status
            {
                own.status = *status;
                self.emit_strike(open, mark);
            }
            if let KeyFault::Altered { field, bits } = fault {
                let needs: Vec<&str> =
                    place.route.needs.iter().map(|(pointer, _)| pointer.as_str()).collect();
                let field = field.as_deref().or_else(|| malformed::needed(&needs));
                let other =
                    field.and_then(|field| malformed::with_another(&own.body, field, *bits));
                if let Some(other) = other.filter(|other| *other != own.body) {
                    own.body = other;
                    self.emit_strike(open, mark);
                }
            }
        }
        own
    }

    /// Keeps an answer under the key that this request has.
    pub(super) fn keep_answer(&mut self, open: &mut Open, own: &Own) {
        let kept = match (open.slot.take(), open.late.take()) {
            (Some(slot), _) => self.store.store(slot, open.id, own.clone()),
            (None, Some(ask)) => {
                let ask = Ask { now_us: open.now_us, ..ask };
                self.store.store_late(&ask, own.clone())
            }
            (None, None) => false,
        };
        if kept && let Some(key) = open.key.clone() {
            self.emit_key(open, &key, KeyState::Stored, None);
        }
    }

    /// The answer of a request whose key is kept late is sent.
    pub(super) fn keep_late(&mut self, open: &mut Open, own: &Own) {
        if open.late.is_some() && !open.struck.keeps_another() {
            self.keep_answer(open, own);
        }
    }

    fn emit_key(
        &mut self,
        open: &Open,
        key: &Arc<str>,
        state: KeyState,
        first_request: Option<ExchangeId>,
    ) {
        let event = Idempotency {
            provider: Arc::clone(&self.name),
            request: open.id,
            key: Arc::clone(key),
            state,
            first_request,
        };
        self.emit(open.now_us, EventKind::Idempotency(event));
    }
}

/// What a key is kept apart by.
fn scope<'a>(open: &'a Open, place: &'a Place, policy: &IdempotencyPolicy) -> Vec<&'a str> {
    match policy.scope {
        KeyScope::Account => vec![&*open.account],
        KeyScope::Route => vec![&*open.account, &*place.route.name],
    }
}

/// What two requests with one key must have in common: the route, the parameters of the path and the
/// canonical body.
fn fingerprint(open: &Open, place: &Place) -> Digest16 {
    let path = open.call.path.to_string();
    Digest16::of_parts([place.route.name.as_bytes(), path.as_bytes(), &open.canonical.0])
}
