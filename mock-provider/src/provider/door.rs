//! The door of a provider: whether anybody listens, and how who comes is greeted, which depends on
//! nothing but time.
//!
//! **Invariant:** a closed door is told to the trace once, when it first stands in somebody's way; a bad
//! greeting each time.

use std::sync::Arc;

use super::Provider;
use crate::event::{EventKind, FaultInjected, Side};
use crate::exchange::Listening;
use crate::fault::{Door, Greeting};
use crate::plan::DoorRule;

/// A rule at the door.
#[derive(Debug)]
pub(super) struct AtDoor {
    rule: DoorRule,
    told: bool,
}

impl AtDoor {
    pub(super) fn all(rules: Vec<DoorRule>) -> Vec<Self> {
        rules.into_iter().map(|rule| Self { rule, told: false }).collect()
    }
}

impl Provider {
    /// True when some rule strikes at the door.
    #[must_use]
    pub fn minds_the_door(&self) -> bool {
        self.doors.iter().any(|one| one.rule.door == Door::Closed)
    }

    /// Whether anybody listens at this time, and until when it stays so.
    pub fn listening(&mut self, now_us: u64) -> Listening {
        let mut listening = Listening::ALWAYS;
        let Some(first_us) = self.common.first_us() else { return listening };
        let mut now_closed = Vec::new();
        for (index, one) in self.doors.iter().enumerate() {
            if one.rule.door != Door::Closed {
                continue;
            }
            let (from_us, to_us) = one.rule.during_us;
            let (from_us, to_us) =
                (first_us.saturating_add(from_us), first_us.saturating_add(to_us));
            let changes_us = if now_us < from_us {
                from_us
            } else if now_us < to_us {
                listening.open = false;
                now_closed.push(index);
                to_us
            } else {
                continue;
            };
            if changes_us < u64::MAX {
                let sooner = listening.until_us.map_or(changes_us, |until| until.min(changes_us));
                listening.until_us = Some(sooner);
            }
        }
        for index in now_closed {
            self.tell_door(index, now_us);
        }
        listening
    }

    /// How to greet a connection over TLS, where that is not as it should be. Here alone time begins with
    /// the first connection, for there may never be a request.
    pub fn greeting(&mut self, now_us: u64) -> Option<Greeting> {
        let first_us = *self.first_connection_us.get_or_insert(now_us);
        let since_us = now_us.saturating_sub(first_us);
        let (index, greeting) = self.doors.iter().enumerate().find_map(|(index, one)| {
            let Door::Greets(greeting) = one.rule.door else { return None };
            let (from_us, to_us) = one.rule.during_us;
            (from_us..to_us).contains(&since_us).then_some((index, greeting))
        })?;
        // Each connection is struck.
        self.doors[index].told = false;
        self.tell_door(index, now_us);
        Some(greeting)
    }

    /// A client gave the handshake up, or spoke no TLS.
    pub fn handshake_failed(&mut self, connection: u64, at_us: u64) {
        let ended = (Side::Client, "handshake".into());
        self.emit_connection_end((connection, None), ended, at_us);
    }

    fn tell_door(&mut self, index: usize, now_us: u64) {
        let one = &mut self.doors[index];
        if std::mem::replace(&mut one.told, true) {
            return;
        }
        let event = FaultInjected {
            request: 0,
            provider: Arc::clone(&self.name),
            operation: None,
            rule: Arc::clone(&one.rule.rule),
            fault: one.rule.fault.name.into(),
            at: None,
            scheduled: false,
            delivered: None,
            detail: one.rule.detail.clone(),
        };
        self.emit(now_us, EventKind::FaultInjected(event));
    }
}
