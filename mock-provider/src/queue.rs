//! A queue: which of its messages can be received now, and how often each was.
//!
//! It knows ids and times alone; what a message says stands in the ledger. What can be received is found without a
//! look at what cannot.
//! **Invariant:** a message is waiting, hidden, dead or gone; it comes back until somebody deletes every copy of
//! it or it was received as often as the policy allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The messages of a queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// By their places, which are given in the order in which they were sent.
    waiting: BTreeMap<u64, Waiting>,
    /// The place of each message that is neither dead nor gone.
    places: BTreeMap<Arc<str>, u64>,
    /// How many places were given.
    given: u64,
    /// Where a message can be received, as far as time has come to it.
    visible: BTreeSet<u64>,
    /// When a copy of a message can be received, and at which place, for those that are not known to be visible.
    hidden: BTreeSet<(u64, u64)>,
    /// For each message, until when whoever was handed it may be at work on it: one time for each time that it
    /// was received and not handed back.
    out: BTreeMap<Arc<str>, Vec<u64>>,
}

/// A message that is neither dead nor gone.
#[derive(Clone, Debug)]
struct Waiting {
    id: Arc<str>,
    /// How often it was received, in whichever copy.
    receives: u32,
    /// What there is of it; never empty.
    copies: Vec<Copy>,
    /// True once some copy of it was deleted.
    is_deleted: bool,
    /// The time under which it stands among the hidden, where it does.
    hidden_us: Option<u64>,
}

/// One copy of a message, which is received and deleted by itself.
#[derive(Clone, Copy, Debug, Default)]
struct Copy {
    /// When it can be received, in microseconds since the start of the run.
    visible_us: u64,
    /// The how-manieth time that the message was received was the last time that this copy was; `None` for one
    /// that nobody received yet.
    receipt: Option<u32>,
    /// True once a fault has held it back, which it does once for each time it is received.
    held: bool,
}

/// What became of a message that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// There is no such message any more.
    Gone,
    /// There was another copy of it, which comes again.
    Copied,
    /// There was none.
    Unknown,
}

/// What is to be known of a message that can be received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its id.
    pub id: Arc<str>,
    /// Its place among all messages, in the order in which they were sent.
    pub place: u64,
    /// Which of its copies it is; good until something else is done with the message.
    pub copy: usize,
    /// How often it was received before, in whichever copy.
    pub receives: u32,
    /// True when this copy has been held back already.
    pub held: bool,
}

impl Queue {
    /// A message was sent, and can be received from this time on.
    pub fn put(&mut self, id: Arc<str>, visible_us: u64) {
        if self.places.contains_key(&id) {
            return;
        }
        let place = self.given;
        self.given += 1;
        self.places.insert(Arc::clone(&id), place);
        let copies = vec![Copy { visible_us, ..Copy::default() }];
        let waiting = Waiting { id, receives: 0, copies, is_deleted: false, hidden_us: None };
        self.waiting.insert(place, waiting);
        self.hide(place);
    }

    /// Puts a message where its earliest copy belongs, after something was done with it.
    fn hide(&mut self, place: u64) {
        let Some(one) = self.waiting.get_mut(&place) else { return };
        self.visible.remove(&place);
        if let Some(before_us) = one.hidden_us.take() {
            self.hidden.remove(&(before_us, place));
        }
        if let Some(visible_us) = one.copies.iter().map(|copy| copy.visible_us).min() {
            one.hidden_us = Some(visible_us);
            self.hidden.insert((visible_us, place));
        }
    }

    /// The oldest message behind this place that can be received now, in one copy; behind none, the oldest of all.
    pub fn next(&mut self, now_us: u64, behind: Option<u64>) -> Option<Ready> {
        while let Some((visible_us, place)) = self.hidden.first().copied() {
            if visible_us > now_us {
                break;
            }
            self.hidden.pop_first();
            self.visible.insert(place);
            if let Some(one) = self.waiting.get_mut(&place) {
                one.hidden_us = None;
            }
        }
        let from = behind.map_or(0, |place| place.saturating_add(1));
        let place = *self.visible.range(from..).next()?;
        let one = self.waiting.get(&place)?;
        let copy = one.copies.iter().position(|copy| copy.visible_us <= now_us)?;
        let (id, held) = (Arc::clone(&one.id), one.copies[copy].held);
        Some(Ready { id, place, copy, receives: one.receives, held })
    }

    /// A copy was received, and is hidden until `visible_us`; whoever received it may be at work on it until
    /// `returns_us`. Which time it is that the message was received: what its receipt is known by.
    pub fn received(&mut self, ready: &Ready, visible_us: u64, returns_us: u64) -> u32 {
        let Some(one) = self.waiting.get_mut(&ready.place) else { return ready.receives };
        one.receives = one.receives.saturating_add(1);
        let receives = one.receives;
        if let Some(copy) = one.copies.get_mut(ready.copy) {
            *copy = Copy { visible_us, receipt: Some(receives), held: false };
        }
        self.out.entry(Arc::clone(&ready.id)).or_default().push(returns_us);
        self.hide(ready.place);
        receives
    }

    /// A copy is held back until this time, and was not received.
    pub fn hold(&mut self, ready: &Ready, visible_us: u64) {
        let one = self.waiting.get_mut(&ready.place);
        if let Some(copy) = one.and_then(|one| one.copies.get_mut(ready.copy)) {
            *copy = Copy { visible_us, held: true, ..*copy };
        }
        self.hide(ready.place);
    }

    /// There is another copy of a message, which can be received from this time on.
    pub fn copy(&mut self, id: &str, visible_us: u64) {
        let Some(place) = self.places.get(id).copied() else { return };
        if let Some(one) = self.waiting.get_mut(&place) {
            one.copies.push(Copy { visible_us, ..Copy::default() });
        }
        self.hide(place);
    }

    /// True while a message is neither dead nor gone.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.places.contains_key(id)
    }

    /// By which times that a message was received its copies are known now.
    #[must_use]
    pub fn receipts(&self, id: &str) -> Vec<u32> {
        let one = self.places.get(id).and_then(|place| self.waiting.get(place));
        one.map_or(Vec::new(), |one| one.copies.iter().filter_map(|copy| copy.receipt).collect())
    }

    /// The copy with this receipt is deleted; where none has it, the one that was received last.
    pub fn delete(&mut self, id: &str, receipt: Option<u32>) -> Removed {
        let Some(at) = self.places.get(id).copied() else { return Removed::Unknown };
        let Some(one) = self.waiting.get_mut(&at) else { return Removed::Unknown };
        let named = one.copies.iter().position(|copy| receipt.is_some() && copy.receipt == receipt);
        let latest = (0..one.copies.len()).max_by_key(|at| one.copies[*at].receipt);
        let Some(place) = named.or(latest) else { return Removed::Unknown };
        one.copies.remove(place);
        one.is_deleted = true;
        if one.copies.is_empty() {
            return self.bury(id);
        }
        self.hide(at);
        Removed::Copied
    }

    /// A message is dead, and all its copies.
    pub fn bury(&mut self, id: &str) -> Removed {
        let Some(place) = self.places.remove(id) else { return Removed::Unknown };
        self.visible.remove(&place);
        let one = self.waiting.remove(&place);
        if let Some(hidden_us) = one.and_then(|one| one.hidden_us) {
            self.hidden.remove(&(hidden_us, place));
        }
        Removed::Gone
    }

    /// Whoever received a message has done with it, whether or not it was still there to be deleted.
    pub fn hand_back(&mut self, id: &str) {
        let Some(out) = self.out.get_mut(id) else { return };
        if !out.is_empty() {
            out.remove(0);
        }
        if out.is_empty() {
            self.out.remove(id);
        }
    }

    /// Until when somebody may be handed, or be at work on, a message that another copy of was deleted already;
    /// `None` where nothing of the sort is to come. A copy that waits is waited for without end.
    #[must_use]
    pub fn busy_until_us(&self, now_us: u64) -> Option<u64> {
        if self.waiting.values().any(|one| one.is_deleted) {
            return Some(u64::MAX);
        }
        let settled = self.out.iter().filter(|(id, _)| !self.places.contains_key(&**id));
        settled.flat_map(|(_, out)| out).copied().filter(|until_us| *until_us > now_us).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that can be received now, oldest first.
    fn ready(queue: &mut Queue, now_us: u64) -> Vec<Ready> {
        let first = queue.next(now_us, None);
        std::iter::successors(first, |one| queue.next(now_us, Some(one.place))).collect()
    }

    fn ids(queue: &mut Queue, now_us: u64) -> Vec<String> {
        let all = ready(queue, now_us).into_iter();
        all.map(|one| format!("{}:{}", one.id, one.receives)).collect()
    }

    /// Receives the message of that id, hidden until then.
    fn receive(queue: &mut Queue, id: &str, now_us: u64, visible_us: u64) -> u32 {
        let ready = ready(queue, now_us).into_iter().find(|one| *one.id == *id);
        queue.received(&ready.expect("it can be received"), visible_us, visible_us)
    }

    #[test]
    fn a_message_comes_back_until_it_is_deleted() {
        let mut queue = Queue::default();
        for id in ["a", "b"] {
            queue.put(id.into(), 0);
        }
        assert_eq!(ids(&mut queue, 0), ["a:0", "b:0"]);
        receive(&mut queue, "a", 0, 30);
        assert_eq!(
            (ids(&mut queue, 29), ids(&mut queue, 30)),
            (vec!["b:0".into()], vec!["a:1".into(), "b:0".into()])
        );
        assert_eq!(queue.delete("a", Some(1)), Removed::Gone);
        assert_eq!(queue.delete("a", Some(1)), Removed::Unknown);
        assert_eq!(ids(&mut queue, 99), ["b:0"]);
    }

    #[test]
    fn each_copy_of_a_message_has_a_receipt_of_its_own() {
        let mut queue = Queue::default();
        queue.put("a".into(), 0);
        assert_eq!(receive(&mut queue, "a", 0, 30), 1);
        queue.copy("a", 0);
        assert_eq!(receive(&mut queue, "a", 1, 31), 2);
        assert_eq!(queue.receipts("a"), [1, 2], "the second has not outdated the first");
        assert_eq!(queue.delete("a", Some(1)), Removed::Copied);
        assert_eq!(receive(&mut queue, "a", 31, 61), 3);
        assert_eq!((queue.receipts("a"), queue.delete("a", Some(3))), (vec![3], Removed::Gone));
    }

    #[test]
    fn who_may_still_be_handed_a_copy_or_be_at_work_is_known() {
        let mut queue = Queue::default();
        queue.put("a".into(), 0);
        receive(&mut queue, "a", 0, 30);
        assert_eq!(queue.busy_until_us(5), None, "its deadline is another matter");
        queue.copy("a", 10);
        queue.hand_back("a");
        queue.delete("a", Some(1));
        assert_eq!(queue.busy_until_us(5), Some(u64::MAX), "a copy is on its way");
        receive(&mut queue, "a", 10, 40);
        receive(&mut queue, "a", 40, 70);
        queue.hand_back("a");
        queue.delete("a", None);
        assert_eq!((queue.busy_until_us(69), queue.busy_until_us(70)), (Some(70), None));
        queue.hand_back("a");
        assert_eq!(queue.busy_until_us(50), None);
    }

    #[test]
    fn a_message_that_is_held_back_was_not_received_and_others_overtake_it() {
        let mut queue = Queue::default();
        for id in ["a", "b"] {
            queue.put(id.into(), 0);
        }
        let first = ready(&mut queue, 0).remove(0);
        queue.hold(&first, 10);
        assert_eq!(ids(&mut queue, 9), ["b:0"]);
        assert_eq!(ids(&mut queue, 10), ["a:0", "b:0"]);
        assert!(ready(&mut queue, 10)[0].held, "it is held back once");
        receive(&mut queue, "a", 10, 20);
        assert!(!ready(&mut queue, 20)[0].held);
    }
}
