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
    let mut bytes = Vec::with_capacity(64);
    for part in scope.iter().chain([&key]) {
        bytes.extend_from_slice(&part.len().to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Digest16::of(&bytes)
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

/// The keys of one provider, with answers of type `A`.
#[derive(Debug)]
pub struct IdempotencyStore<A> {
    retention_us: u64,
    entries: BTreeMap<Slot, Entry<A>>,
    /// Slots in the order they were first seen, for giving memory back.
    by_age: VecDeque<(u64, Slot)>,
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

/// How many forgotten keys one look-up gives back at most, so that no request pays for a crowd.
const SWEEP: usize = 4;

impl<A: Clone> IdempotencyStore<A> {
    /// A store that remembers a key for `retention_us` microseconds after it was first seen.
    #[must_use]
    pub fn new(retention_us: u64) -> Self {
        Self { retention_us, entries: BTreeMap::new(), by_age: VecDeque::new() }
    }

    /// Looks a key up for the request `asker`, and takes it into flight if it is new.
    pub fn look_up(
        &mut self,
        slot: Slot,
        fingerprint: Digest16,
        asker: ExchangeId,
        now_us: u64,
    ) -> LookUp<A> {
        self.sweep(now_us);
        let mut expired = false;
        if let Some(entry) = self.entries.get(&slot) {
            let held = now_us < entry.held_until_us;
            let old = now_us.saturating_sub(entry.since_us) >= self.retention_us;
            if held || entry.in_flight {
                let first = entry.first;
                return if entry.fingerprint == fingerprint {
                    LookUp::InFlight { first }
                } else {
                    LookUp::Mismatch { first }
                };
            }
            match &entry.answer {
                Some(answer) if !old => {
                    let first = entry.first;
                    return if entry.fingerprint == fingerprint {
                        LookUp::Replay { first, answer: answer.clone() }
                    } else {
                        LookUp::Mismatch { first }
                    };
                }
                Some(_) => expired = true,
                None => {}
            }
        }
        let entry = Entry {
            first: asker,
            fingerprint,
            since_us: now_us,
            held_until_us: 0,
            answer: None,
            in_flight: true,
        };
        self.entries.insert(slot, entry);
        self.by_age.push_back((now_us, slot));
        LookUp::New { expired }
    }

    /// The provider's own answer to `owner` is ready: it stands under the key from now on.
    pub fn store(&mut self, slot: Slot, owner: ExchangeId, answer: A) {
        if let Some(entry) = self.entries.get_mut(&slot).filter(|entry| entry.first == owner) {
            entry.answer = Some(answer);
            entry.in_flight = false;
        }
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
        for _ in 0..SWEEP {
            let Some(&(since_us, slot)) = self.by_age.front() else { return };
            if now_us.saturating_sub(since_us) < self.retention_us.saturating_mul(2) {
                return;
            }
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
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(text: &str) -> Digest16 {
        Digest16::of(text.as_bytes())
    }

    #[test]
    fn a_key_in_flight_answers_in_flight_and_then_replays() {
        let mut store = IdempotencyStore::new(1_000);
        let key = slot(&["acct"], "k");
        assert_eq!(store.look_up(key, print("a"), 1, 0), LookUp::New { expired: false });
        assert_eq!(store.look_up(key, print("a"), 2, 1), LookUp::InFlight { first: 1 });
        assert_eq!(store.look_up(key, print("b"), 3, 1), LookUp::Mismatch { first: 1 });
        store.store(key, 1, "done");
        assert_eq!(
            store.look_up(key, print("a"), 4, 2),
            LookUp::Replay { first: 1, answer: "done" }
        );
        assert_eq!(store.look_up(key, print("b"), 5, 2), LookUp::Mismatch { first: 1 });
    }

    #[test]
    fn a_freed_key_is_new_again_and_a_stranger_cannot_free_it() {
        let mut store = IdempotencyStore::<()>::new(1_000);
        let key = slot(&["acct"], "k");
        store.look_up(key, print("a"), 1, 0);
        store.free(key, 99, 0);
        assert_eq!(store.look_up(key, print("a"), 2, 0), LookUp::InFlight { first: 1 });
        store.free(key, 1, 0);
        assert_eq!(store.look_up(key, print("b"), 3, 0), LookUp::New { expired: false });
    }

    #[test]
    fn a_key_is_forgotten_at_its_retention_and_not_a_microsecond_earlier() {
        let mut store = IdempotencyStore::new(1_000);
        let key = slot(&["acct"], "k");
        store.look_up(key, print("a"), 1, 5);
        store.store(key, 1, ());
        assert!(matches!(store.look_up(key, print("a"), 2, 1_004), LookUp::Replay { .. }));
        assert_eq!(store.look_up(key, print("a"), 3, 1_005), LookUp::New { expired: true });
    }

    #[test]
    fn a_held_key_is_in_progress_until_the_hold_ends() {
        let mut store = IdempotencyStore::new(1_000_000);
        let key = slot(&["acct"], "k");
        store.look_up(key, print("a"), 1, 0);
        store.store(key, 1, "done");
        store.hold(key, 50);
        assert_eq!(store.look_up(key, print("a"), 2, 49), LookUp::InFlight { first: 1 });
        assert!(matches!(store.look_up(key, print("a"), 3, 50), LookUp::Replay { .. }));
    }

    #[test]
    fn a_held_key_without_an_answer_is_new_when_the_hold_ends() {
        let mut store = IdempotencyStore::<()>::new(1_000_000);
        let key = slot(&["acct"], "k");
        store.look_up(key, print("a"), 1, 0);
        store.hold(key, 50);
        store.free(key, 1, 10);
        assert_eq!(store.look_up(key, print("a"), 2, 49), LookUp::InFlight { first: 1 });
        assert_eq!(store.look_up(key, print("a"), 3, 50), LookUp::New { expired: false });
    }

    #[test]
    fn scopes_and_keys_never_run_into_each_other() {
        assert_ne!(slot(&["ab"], "c"), slot(&["a"], "bc"));
        assert_ne!(slot(&["a", "b"], "c"), slot(&["a"], "bc"));
    }

    #[test]
    fn forgotten_keys_give_their_memory_back() {
        let mut store = IdempotencyStore::new(10);
        for n in 0..1_000_u64 {
            let key = slot(&["acct"], &n.to_string());
            store.look_up(key, print("a"), n, n);
            store.store(key, n, ());
        }
        assert!(store.len() <= 21, "{} keys are kept", store.len());
    }

    /// Key, body, since when, by whom, the answer, and whether it is in flight.
    type Row = (u8, u8, u64, ExchangeId, Option<&'static str>, bool);

    /// The model: a list of everything that happened, searched from the end.
    #[derive(Default)]
    struct Model {
        log: Vec<Row>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask { key: u8, body: u8 },
        Finish { nth: usize },
        Free { nth: usize },
        Pass { us: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                4 => (0_u8..3, 0_u8..2).prop_map(|(key, body)| Step::Ask { key, body }),
                2 => (0_usize..4).prop_map(|nth| Step::Finish { nth }),
                1 => (0_usize..4).prop_map(|nth| Step::Free { nth }),
                2 => (0_u64..60).prop_map(|us| Step::Pass { us }),
            ],
            1..80,
        )
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_that_is_searched_from_the_end(steps in steps()) {
            const RETENTION: u64 = 100;
            let mut store = IdempotencyStore::new(RETENTION);
            let mut model = Model::default();
            let (mut now, mut next) = (0, 1);
            for step in steps {
                match step {
                    Step::Pass { us } => now += us,
                    Step::Ask { key, body } => {
                        let scoped = slot(&["acct"], &key.to_string());
                        let seen = store.look_up(scoped, print(&body.to_string()), next, now);
                        let known = model.log.iter().rev().find(|row| row.0 == key);
                        let expected = match known {
                            Some(&(_, old_body, since, first, answer, open)) => {
                                let alive = open || (answer.is_some() && now - since < RETENTION);
                                match (alive, old_body == body, answer) {
                                    (false, _, answer) => LookUp::New { expired: answer.is_some() },
                                    (true, false, _) => LookUp::Mismatch { first },
                                    (true, true, Some(answer)) => LookUp::Replay { first, answer },
                                    (true, true, None) => LookUp::InFlight { first },
                                }
                            }
                            None => LookUp::New { expired: false },
                        };
                        // A key that was swept away is new without having expired.
                        let swept = known.is_some_and(|row| now - row.2 >= 2 * RETENTION);
                        if swept && matches!(seen, LookUp::New { .. }) {
                            let new = matches!(expected, LookUp::New { .. });
                            prop_assert!(new, "a swept key was still known");
                        } else {
                            prop_assert_eq!(&seen, &expected);
                        }
                        if matches!(seen, LookUp::New { .. }) {
                            model.log.push((key, body, now, next, None, true));
                        }
                        next += 1;
                    }
                    Step::Finish { nth } | Step::Free { nth } => {
                        let finish = matches!(step, Step::Finish { .. });
                        let Some(row) = model.log.iter_mut().rev().filter(|row| row.5).nth(nth)
                        else {
                            continue;
                        };
                        row.5 = false;
                        let scoped = slot(&["acct"], &row.0.to_string());
                        if finish {
                            row.4 = Some("done");
                            store.store(scoped, row.3, "done");
                        } else {
                            store.free(scoped, row.3, now);
                        }
                    }
                }
            }
        }
    }
}
