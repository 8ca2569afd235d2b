//! A queue: which of its messages can be received now, and how often each was.
//!
//! It knows ids and times alone; what a message says stands in the ledger.
//! **Invariant:** a message is waiting, hidden, dead or gone; it comes back until somebody deletes it or it
//! was received as often as the policy allows.

use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

/// The messages of a queue, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    waiting: IndexMap<Arc<str>, Waiting, FixedState>,
}

/// A message that is neither dead nor gone.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    /// When it can be received, in microseconds since the start of the run.
    visible_us: u64,
    /// How often it was received.
    receives: u32,
    /// True once a fault has held it back, which it does once for each time it is received.
    held: bool,
    /// How many deletes it outlives, because there is another copy of it.
    copies: u32,
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
    /// How often it was received before.
    pub receives: u32,
    /// True when it has been held back already.
    pub held: bool,
}

impl Queue {
    /// A message was sent, and can be received from this time on.
    pub fn put(&mut self, id: Arc<str>, visible_us: u64) {
        self.waiting.entry(id).or_insert(Waiting { visible_us, ..Waiting::default() });
    }

    /// The messages that can be received now, oldest first.
    #[must_use]
    pub fn ready(&self, now_us: u64) -> Vec<Ready> {
        let ready = self.waiting.iter().filter(|(_, one)| one.visible_us <= now_us);
        ready
            .map(|(id, one)| Ready { id: Arc::clone(id), receives: one.receives, held: one.held })
            .collect()
    }

    /// A message was received, and is hidden until this time.
    pub fn received(&mut self, id: &str, visible_us: u64) {
        if let Some(one) = self.waiting.get_mut(id) {
            let receives = one.receives.saturating_add(1);
            *one = Waiting { visible_us, receives, held: false, ..*one };
        }
    }

    /// A message is held back until this time, and was not received.
    pub fn hold(&mut self, id: &str, visible_us: u64) {
        if let Some(one) = self.waiting.get_mut(id) {
            *one = Waiting { visible_us, held: true, ..*one };
        }
    }

    /// There is another copy of a message, which a delete does not find.
    pub fn copy(&mut self, id: &str) {
        if let Some(one) = self.waiting.get_mut(id) {
            one.copies = one.copies.saturating_add(1);
        }
    }

    /// A message is deleted.
    pub fn delete(&mut self, id: &str) -> Removed {
        match self.waiting.get_mut(id) {
            Some(one) if one.copies > 0 => {
                one.copies -= 1;
                Removed::Copied
            }
            Some(_) => self.bury(id),
            None => Removed::Unknown,
        }
    }

    /// A message is dead, and all its copies.
    pub fn bury(&mut self, id: &str) -> Removed {
        match self.waiting.shift_remove(id) {
            Some(_) => Removed::Gone,
            None => Removed::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(queue: &Queue, now_us: u64) -> Vec<String> {
        queue.ready(now_us).into_iter().map(|one| format!("{}:{}", one.id, one.receives)).collect()
    }

    #[test]
    fn a_message_comes_back_until_it_is_deleted() {
        let mut queue = Queue::default();
        for id in ["a", "b"] {
            queue.put(id.into(), 0);
        }
        assert_eq!(ids(&queue, 0), ["a:0", "b:0"]);
        queue.received("a", 30);
        assert_eq!(
            (ids(&queue, 29), ids(&queue, 30)),
            (vec!["b:0".into()], vec!["a:1".into(), "b:0".into()])
        );
        queue.copy("a");
        let removed = [queue.delete("a"), queue.delete("a"), queue.delete("a")];
        assert_eq!(removed, [Removed::Copied, Removed::Gone, Removed::Unknown]);
        assert_eq!(ids(&queue, 99), ["b:0"]);
    }

    #[test]
    fn a_message_that_is_held_back_was_not_received_and_others_overtake_it() {
        let mut queue = Queue::default();
        for id in ["a", "b"] {
            queue.put(id.into(), 0);
        }
        queue.hold("a", 10);
        assert_eq!(ids(&queue, 9), ["b:0"]);
        assert_eq!(ids(&queue, 10), ["a:0", "b:0"]);
        assert!(queue.ready(10)[0].held, "it is held back once");
        queue.received("a", 20);
        assert!(!queue.ready(20)[0].held);
    }
}
