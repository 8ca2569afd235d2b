//! Attempts by what they look like, for requests that say nothing better of themselves.
//!
//! Knows digests and owners, nothing of requests. **Invariant:** memory is bounded, by attempts for each
//! fingerprint and by fingerprints in all; the oldest are forgotten first.

use std::collections::{BTreeMap, VecDeque};

use super::Owner;
use crate::event::Digest16;
use crate::exchange::ExchangeId;

/// How many attempts of one fingerprint are remembered.
const MOST_ATTEMPTS: usize = 256;

/// How many fingerprints are remembered.
const MOST_FINGERPRINTS: usize = 1 << 16;

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Failed,
    Succeeded,
}

/// One attempt.
#[derive(Clone, Debug)]
struct Attempt {
    request: ExchangeId,
    owner: Owner,
    state: State,
    /// The retry counter that the SDK gave it.
    count: u32,
    /// True when a later attempt carries on from it.
    carried_on: bool,
}

/// The attempts of a run that were told apart by what they look like.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    attempts: BTreeMap<Digest16, VecDeque<Attempt>>,
    /// Fingerprints in the order they were first seen.
    order: VecDeque<Digest16>,
    in_flight: BTreeMap<ExchangeId, Digest16>,
}

impl Fingerprints {
    /// The operation of the attempt that one with this retry counter repeats: the latest failed attempt
    /// of the same fingerprint, and of several the one whose own counter is one less and from which
    /// nothing carries on yet.
    pub(super) fn retried(&mut self, fingerprint: Digest16, count: u32) -> Option<Owner> {
        let attempts = self.attempts.get_mut(&fingerprint)?;
        let fits = |attempt: &Attempt| attempt.count.checked_add(1) == Some(count);
        // A time-out may be noticed here after the retry has arrived, hence the attempts in flight.
        let orders: [&dyn Fn(&Attempt) -> bool; 4] = [
            &|one| one.state == State::Failed && !one.carried_on && fits(one),
            &|one| one.state == State::Failed && !one.carried_on,
            &|one| one.state == State::InFlight && !one.carried_on && fits(one),
            &|one| one.state == State::Failed,
        ];
        let index = orders.iter().find_map(|order| attempts.iter().rposition(order))?;
        let found = attempts.get_mut(index)?;
        found.carried_on = true;
        Some(found.owner.clone())
    }

    /// The operation of the latest attempt of this fingerprint, if that is over and was not answered
    /// whole with success.
    pub(super) fn failed(&mut self, fingerprint: Digest16) -> Option<Owner> {
        let latest = self.attempts.get_mut(&fingerprint)?.back_mut()?;
        if latest.state != State::Failed {
            return None;
        }
        latest.carried_on = true;
        Some(latest.owner.clone())
    }

    /// An attempt arrived.
    pub(super) fn begun(
        &mut self,
        fingerprint: Digest16,
        owner: Owner,
        request: ExchangeId,
        count: u32,
    ) {
        let attempts = self.attempts.entry(fingerprint).or_insert_with(|| {
            self.order.push_back(fingerprint);
            VecDeque::new()
        });
        if attempts.len() == MOST_ATTEMPTS {
            attempts.pop_front();
        }
        let state = State::InFlight;
        attempts.push_back(Attempt { request, owner, state, count, carried_on: false });
        self.in_flight.insert(request, fingerprint);
        if self.order.len() > MOST_FINGERPRINTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.attempts.remove(&oldest);
        }
    }

    /// An attempt is over.
    #[expect(clippy::fn_params_excessive_bools, reason = "there is nothing else to say of an end")]
    pub(super) fn ended(&mut self, request: ExchangeId, succeeded: bool) {
        let Some(fingerprint) = self.in_flight.remove(&request) else { return };
        let attempts = self.attempts.get_mut(&fingerprint).into_iter().flatten();
        for attempt in attempts.rev().filter(|attempt| attempt.request == request).take(1) {
            attempt.state = if succeeded { State::Succeeded } else { State::Failed };
        }
    }

    /// How many attempts are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.attempts.values().map(VecDeque::len).sum()
    }
}
