//! The idempotency store: which keys a provider remembers, and what it answered under them.
//!
//! Knows nothing of HTTP: a key arrives scoped, a body as its fingerprint, an answer as any value.
//! **Invariant:** the store keeps the provider's own answer, never an injected one. A key is in flight
//! from the look-up until the provider's own answer is ready, or until the key is freed.

use std::collections::{BTreeMap, VecDeque};

use crate::event::Digest16;
use crate::exchange::ExchangeId;

/// A key with what it is scoped to, digested: sixteen bytes whatever the client sends.
pub type Slot = Digest16;

/// The slot of `key` in a scope. The parts are kept apart by their lengths.
#[must_use]
pub fn slot(scope: &[&str], key: &str) -> Slot {
    Digest16::of_parts(scope.iter().chain([&key]).map(|part| part.as_bytes()))
}

/// What the store says of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum LookUp<A> {
    /// Never seen (or, with `expired`, forgotten by age): the key is now in flight for the asker.
    New {
        /// True when the key had been known and has been forgotten by age.
        expired: bool,
    },
    /// The first request with the key is still in progress.
    InFlight {
        /// That request.
        first: ExchangeId,
    },
    /// The key came first with another body.
    Mismatch {
        /// The request that brought it.
        first: ExchangeId,
    },
    /// The provider's own answer to the first request.
    Replay {
        /// The request that it answered.
        first: ExchangeId,
        /// The answer.
        answer: A,
    },
}

/// A look-up: who asks for which key, and with what body.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The key.
    pub slot: Slot,
    /// What must be the same for the key to be the same request.
    pub fingerprint: Digest16,
    /// The request that asks.
    pub asker: ExchangeId,
    /// When, in microseconds since the start of the run.
    pub now_us: u64,
}

/// How a look-up departs from an honest one; the default departs in nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// A key that was first seen so many microseconds ago is forgotten, unless it is in progress.
    pub forget_after_us: Option<u64>,
    /// A key that was first seen before this time is forgotten, in progress or not.
    pub forget_before_us: Option<u64>,
    /// A new key is not taken into flight: [`IdempotencyStore::store_late`] will keep it, or nobody.
    pub late: bool,
    /// The body makes no difference.
    pub any_body: bool,
}

/// The keys of one provider, with answers of type `A`.
#[derive(Debug)]
pub struct IdempotencyStore<A> {
    retention_us: u64,
    entries: BTreeMap<Slot, Entry<A>>,
    /// Slots in the order they were first seen, for giving memory back.
    by_age: VecDeque<(u64, Slot)>,
    /// Other names of keys, for stores that do not tell them apart: the first key of a name holds it for
    /// as long as the key is remembered.
    aliases: BTreeMap<Slot, Slot>,
    /// Names with their keys in the order they were given, for giving memory back.
    aliases_by_age: VecDeque<(u64, Slot, Slot)>,
}

#[derive(Debug)]
struct Entry<A> {
    first: ExchangeId,
    fingerprint: Digest16,
    since_us: u64,
    /// Until then the key counts as in progress, whatever stands under it.
    held_until_us: u64,
    answer: Option<A>,
    /// False when nobody works on it any more: only the hold keeps it.
    in_flight: bool,
}

impl<A> Entry<A> {
    fn new(ask: &Ask, answer: Option<A>) -> Self {
        Self {
            first: ask.asker,
            fingerprint: ask.fingerprint,
            since_us: ask.now_us,
            held_until_us: 0,
            in_flight: answer.is_none(),
            answer,
        }
    }

    fn is_in_progress(&self, now_us: u64) -> bool {
        self.in_flight || now_us < self.held_until_us
    }
}

/// How many forgotten keys one look-up gives back at most, so that no request pays for a crowd.
const SWEEP: usize = 4;

impl<A: Clone> IdempotencyStore<A> {
    /// A store that remembers a key for `retention_us` microseconds after it was first seen.
    #[must_use]
    pub fn new(retention_us: u64) -> Self {
        Self {
            retention_us,
            entries: BTreeMap::new(),
            by_age: VecDeque::new(),
            aliases: BTreeMap::new(),
            aliases_by_age: VecDeque::new(),
        }
    }

    /// Looks a key up, and takes it into flight for the asker if it is new.
    pub fn look_up(&mut self, ask: &Ask, departure: &Departure) -> LookUp<A> {
        self.sweep(ask.now_us);
        let mut expired = false;
        if let Some(entry) = self.entries.get(&ask.slot) {
            match self.remembered(entry, ask.now_us, departure) {
                Remembered::Well => return seen(entry, ask, departure),
                Remembered::Forgotten => expired = true,
                Remembered::Free => {}
            }
        }
        if !departure.late {
            self.insert(ask, None);
        }
        LookUp::New { expired }
    }

    fn remembered(&self, entry: &Entry<A>, now_us: u64, departure: &Departure) -> Remembered {
        let age_us = now_us.saturating_sub(entry.since_us);
        if departure.forget_before_us.is_some_and(|before_us| entry.since_us < before_us) {
            return Remembered::Forgotten;
        }
        let retention_us =
            departure.forget_after_us.map_or(self.retention_us, |us| us.min(self.retention_us));
        match &entry.answer {
            _ if entry.is_in_progress(now_us) => Remembered::Well,
            Some(_) if age_us < retention_us => Remembered::Well,
            Some(_) => Remembered::Forgotten,
            None => Remembered::Free,
        }
    }

    fn insert(&mut self, ask: &Ask, answer: Option<A>) {
        self.entries.insert(ask.slot, Entry::new(ask, answer));
        self.by_age.push_back((ask.now_us, ask.slot));
    }

    /// The provider's own answer to `owner` is ready: it stands under the key from now on. False when the
    /// key is not the owner's any more.
    pub fn store(&mut self, slot: Slot, owner: ExchangeId, answer: A) -> bool {
        let Some(entry) = self.entries.get_mut(&slot).filter(|entry| entry.first == owner) else {
            return false;
        };
        entry.answer = Some(answer);
        entry.in_flight = false;
        true
    }

    /// The answer of a request whose look-up was `late`: it stands under the key from now on, as if the
    /// key had first been seen now, unless another request has the key meanwhile. True when it is kept.
    pub fn store_late(&mut self, ask: &Ask, answer: A) -> bool {
        let taken = self.entries.get(&ask.slot).is_some_and(|entry| {
            self.remembered(entry, ask.now_us, &Departure::default()) == Remembered::Well
        });
        if !taken {
            self.insert(ask, Some(answer));
        }
        !taken
    }

    /// Gives a key another name, unless that is the name of a key that is still remembered.
    pub fn alias(&mut self, name: Slot, slot: Slot, now_us: u64) {
        if self.behind(name).is_none() {
            self.aliases.insert(name, slot);
            self.aliases_by_age.push_back((now_us, name, slot));
        }
    }

    /// The key behind another name.
    #[must_use]
    pub fn behind(&self, name: Slot) -> Option<Slot> {
        self.aliases.get(&name).copied().filter(|slot| self.entries.contains_key(slot))
    }

    /// What must be the same as at the first request with the key, while the key takes up memory.
    #[must_use]
    pub fn fingerprint(&self, slot: Slot) -> Option<Digest16> {
        self.entries.get(&slot).map(|entry| entry.fingerprint)
    }

    /// `owner` ended without an answer to keep: the key is free at once (unless it is held).
    pub fn free(&mut self, slot: Slot, owner: ExchangeId, now_us: u64) {
        let Some(entry) = self.entries.get_mut(&slot).filter(|entry| entry.first == owner) else {
            return;
        };
        entry.in_flight = false;
        if entry.answer.is_none() && entry.held_until_us <= now_us {
            self.entries.remove(&slot);
        }
    }

    /// The key counts as in progress until `until_us`, whoever asks.
    pub fn hold(&mut self, slot: Slot, until_us: u64) {
        if let Some(entry) = self.entries.get_mut(&slot) {
            entry.held_until_us = entry.held_until_us.max(until_us);
        }
    }

    /// How many keys take up memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when no key takes up memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives back keys that have been forgotten for a whole further retention. They stay that long so
    /// that a late repeat is told apart from a new key in the trace.
    fn sweep(&mut self, now_us: u64) {
        let is_over =
            |since_us: u64| now_us.saturating_sub(since_us) >= self.retention_us.saturating_mul(2);
        for _ in 0..SWEEP {
            let Some(&(since_us, slot)) =
                self.by_age.front().filter(|(since_us, _)| is_over(*since_us))
            else {
                break;
            };
            self.by_age.pop_front();
            match self.entries.get(&slot) {
                Some(entry) if entry.since_us != since_us => {}
                Some(entry) if entry.in_flight => self.by_age.push_back((since_us, slot)),
                Some(_) => {
                    self.entries.remove(&slot);
                }
                None => {}
            }
        }
        for _ in 0..SWEEP {
            let Some(&(since_us, name, slot)) =
                self.aliases_by_age.front().filter(|(since_us, ..)| is_over(*since_us))
            else {
                break;
            };
            self.aliases_by_age.pop_front();
            if self.aliases.get(&name) != Some(&slot) {
                continue;
            }
            if self.entries.contains_key(&slot) {
                self.aliases_by_age.push_back((since_us, name, slot));
            } else {
                self.aliases.remove(&name);
            }
        }
    }
}

/// What is left of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembered {
    /// It counts.
    Well,
    /// There was an answer, which counts no more.
    Forgotten,
    /// Nothing: its hold has ended, and there never was an answer.
    Free,
}

/// What is said of a key that counts.
fn seen<A: Clone>(entry: &Entry<A>, ask: &Ask, departure: &Departure) -> LookUp<A> {
    let first = entry.first;
    if entry.fingerprint != ask.fingerprint && !departure.any_body {
        return LookUp::Mismatch { first };
    }
    match &entry.answer {
        Some(answer) if !entry.is_in_progress(ask.now_us) => {
            LookUp::Replay { first, answer: answer.clone() }
        }
        Some(_) | None => LookUp::InFlight { first },
    }
}

#[cfg(test)]
mod tests;
