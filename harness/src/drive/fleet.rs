//! Copies of a client that share the operations of a run: whose turn each is, and what befalls whom.
//!
//! It knows neither processes nor pipes.
//! **Invariant:** which copy serves an operation follows from its number alone, in every run and mode.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, futures::Notified};

use super::schedule::{Due, Schedule, Slot};
use super::strikes::{Router, Strikes};

/// Which copy of a client, of so many, serves the operation with that place in the workload: its number,
/// from 1.
#[must_use]
pub fn copy_for(index: u64, clients: u32) -> u32 {
    let place = index.saturating_sub(1) % u64::from(clients.max(1));
    u32::try_from(place).map_or(u32::MAX, |place| place + 1)
}

/// The work that copies of a client share.
#[derive(Debug)]
pub struct Fleet {
    clients: u32,
    schedule: RefCell<Schedule>,
    /// The submits by what the clients call them.
    slots: RefCell<BTreeMap<(Arc<str>, u32), Slot>>,
    /// How many copies have ended for good.
    ended: Cell<u32>,
    changed: Notify,
}

impl Fleet {
    /// The work of so many copies, at least one.
    #[must_use]
    pub fn new(schedule: Schedule, clients: u32) -> Self {
        Self {
            clients: clients.max(1),
            schedule: RefCell::new(schedule),
            slots: RefCell::default(),
            ended: Cell::new(0),
            changed: Notify::new(),
        }
    }

    /// How many copies there are.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.clients
    }

    /// What this copy does next. What another one is to begin with holds up all that comes after it.
    #[must_use]
    pub fn due(&self, client: u32, now_us: u64) -> Due {
        match self.schedule.borrow().due(now_us) {
            Due::Now(slot) if copy_for(slot.index, self.clients) != client => Due::Blocked,
            due @ (Due::Now(_) | Due::At(_) | Due::Blocked | Due::Done) => due,
        }
    }

    /// True when all was submitted and has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.schedule.borrow().is_over()
    }

    /// A copy was handed this at `now_us`, under this name.
    pub fn submitted(&self, slot: Slot, operation: &Arc<str>, now_us: u64) {
        self.change().submitted(slot, now_us);
        self.slots.borrow_mut().insert((Arc::clone(operation), slot.submit), slot);
    }

    /// A submit has its claim, or is past its deadline. Called once for each.
    pub fn finished(&self, slot: Slot) {
        self.change().finished(slot);
    }

    /// A copy has ended, and is not started again. Called once for each.
    pub fn ended(&self) {
        self.ended.set(self.ended.get().saturating_add(1));
        self.look_again();
    }

    /// True when no copy is left.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.get() >= self.clients
    }

    /// Something happened that may concern every copy.
    pub fn look_again(&self) {
        self.changed.notify_waiters();
    }

    /// The submit that a client calls so, where it was handed to a copy of it.
    #[must_use]
    pub fn slot(&self, operation: &Arc<str>, submit: u32) -> Option<Slot> {
        self.slots.borrow().get(&(Arc::clone(operation), submit)).copied()
    }

    /// Waits until another copy has begun or ended something.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn change(&self) -> RefMut<'_, Schedule> {
        self.look_again();
        self.schedule.borrow_mut()
    }

    /// What befalls each copy, and a task that hands it over as long as it is polled. Where operations are messages
    /// (`delivers`), they are no copy's own, and a copy is known by the address that it was told alone.
    #[expect(clippy::fn_params_excessive_bools, reason = "operations are handed out or not")]
    pub fn strikes(
        &self,
        strikes: Strikes,
        delivers: bool,
    ) -> (Vec<Strikes>, impl Future<Output = ()> + '_) {
        let (routers, own): (Vec<Router>, Vec<Strikes>) =
            (0..self.clients).map(|_| Router::beside(&strikes)).unzip();
        let hand_over = async move {
            let mut strikes = strikes;
            loop {
                let strike = strikes.next().await;
                let handed = self.slot(&strike.operation, strike.submit).filter(|_| !delivers);
                let place = match (strike.client, handed) {
                    (Some(client), _) => client.saturating_sub(1),
                    (None, Some(slot)) => copy_for(slot.index, self.clients) - 1,
                    (None, None) if self.clients == 1 => 0,
                    // Nobody knows which copy asked, so none is struck for it; the judge says so.
                    (None, None) => continue,
                };
                if let Some(router) = usize::try_from(place).ok().and_then(|at| routers.get(at)) {
                    router.strike(strike);
                }
            }
        };
        (own, hand_over)
    }
}
