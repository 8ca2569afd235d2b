//! When which submit of which operation is due: the workload's arrival, concurrency and submits.
//!
//! **Invariant:** a pure function of the workload and of what was submitted and finished when; it knows
//! no clock and no client.

use std::collections::BTreeMap;
use std::time::Duration;

use brownout_provider::units::micros;

use crate::scenario::{Arrival, Submits};

/// One submit of one operation, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The operation's place in the workload, from 1.
    pub index: u64,
    /// Which submit, from 1.
    pub submit: u32,
}

/// What a driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Submit this now.
    Now(Slot),
    /// Nothing before this time (microseconds since the start), unless something finishes.
    At(u64),
    /// Nothing until something finishes.
    Blocked,
    /// Everything has been submitted.
    Done,
}

/// The order of submits of a run.
///
/// An operation takes one of `concurrency` places from its first submit until all its submits have
/// finished, so a double click does not have to wait for a place of its own.
#[derive(Clone, Debug)]
pub struct Schedule {
    operations: u64,
    concurrency: u64,
    arrival: Arrival,
    submits: Submits,
    /// When the workload began, in microseconds since the start of the run.
    began_us: u64,
    /// The next operation to submit for the first time.
    next: u64,
    /// Operations with a submit still to come or to finish.
    open: BTreeMap<u64, Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    first_us: u64,
    submitted: u32,
    finished: u32,
}

impl Schedule {
    /// A schedule of `operations` operations that begins at `began_us`.
    #[must_use]
    pub fn new(
        operations: u64,
        concurrency: u64,
        arrival: Arrival,
        submits: Submits,
        began_us: u64,
    ) -> Self {
        let concurrency = concurrency.max(1);
        Self { operations, concurrency, arrival, submits, began_us, next: 1, open: BTreeMap::new() }
    }

    /// How many operations may be open at a time, at least 1.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        usize::try_from(self.concurrency).unwrap_or(usize::MAX)
    }

    /// How many submits there are in all.
    #[must_use]
    pub fn submits(&self) -> usize {
        let submits = self.operations.saturating_mul(u64::from(self.submits.times.max(1)));
        usize::try_from(submits).unwrap_or(usize::MAX)
    }

    /// What is due at `now_us`.
    #[must_use]
    pub fn due(&self, now_us: u64) -> Due {
        let again = self
            .open
            .iter()
            .filter(|(_, open)| open.submitted < self.submits.times.max(1))
            .map(|(index, open)| {
                let slot = Slot { index: *index, submit: open.submitted + 1 };
                let apart = micros(self.submits.apart).saturating_mul(u64::from(open.submitted));
                (open.first_us.saturating_add(apart), slot)
            })
            .min();
        let first = (self.next <= self.operations && self.places_left())
            .then(|| (self.arrives_us(self.next), Slot { index: self.next, submit: 1 }));
        match [again, first].into_iter().flatten().min() {
            Some((at, slot)) if at <= now_us => Due::Now(slot),
            Some((at, _)) => Due::At(at),
            None if self.next <= self.operations => Due::Blocked,
            None => Due::Done,
        }
    }

    /// The driver has submitted this at `now_us`.
    pub fn submitted(&mut self, slot: Slot, now_us: u64) {
        if slot.submit == 1 {
            self.next = self.next.max(slot.index + 1);
            self.open.insert(slot.index, Open { first_us: now_us, submitted: 1, finished: 0 });
        } else if let Some(open) = self.open.get_mut(&slot.index) {
            open.submitted = open.submitted.max(slot.submit);
        }
    }

    /// A submit has its claim, or is past its deadline. Called once for each.
    pub fn finished(&mut self, slot: Slot) {
        if let Some(open) = self.open.get_mut(&slot.index) {
            open.finished += 1;
            if open.finished >= self.submits.times.max(1) {
                self.open.remove(&slot.index);
            }
        }
    }

    /// True when everything has been submitted and has finished.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.next > self.operations && self.open.is_empty()
    }

    fn places_left(&self) -> bool {
        u64::try_from(self.open.len()).is_ok_and(|open| open < self.concurrency)
    }

    fn arrives_us(&self, index: u64) -> u64 {
        let (per, every) = match self.arrival {
            Arrival::AtOnce => (1, Duration::ZERO),
            Arrival::Every(every) => (1, every),
            Arrival::Burst(size, every) => (size.max(1), every),
        };
        self.began_us.saturating_add(micros(every).saturating_mul((index - 1) / per))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Submits = Submits { times: 1, apart: Duration::ZERO };

    fn slot(index: u64, submit: u32) -> Slot {
        Slot { index, submit }
    }

    #[test]
    fn concurrency_bounds_what_is_open() {
        let mut schedule = Schedule::new(3, 2, Arrival::AtOnce, ONCE, 0);
        for index in 1..=2 {
            assert_eq!(schedule.due(0), Due::Now(slot(index, 1)));
            schedule.submitted(slot(index, 1), 0);
        }
        assert_eq!(schedule.due(0), Due::Blocked);
        schedule.finished(slot(2, 1));
        assert_eq!(schedule.due(5), Due::Now(slot(3, 1)));
        schedule.submitted(slot(3, 1), 5);
        assert_eq!(schedule.due(5), Due::Done);
        assert!(!schedule.is_over());
        schedule.finished(slot(1, 1));
        schedule.finished(slot(3, 1));
        assert!(schedule.is_over());
    }

    #[test]
    fn operations_arrive_when_the_workload_says() {
        let every = Arrival::Every(Duration::from_millis(50));
        let mut schedule = Schedule::new(2, 8, every, ONCE, 1_000);
        assert_eq!(schedule.due(1_000), Due::Now(slot(1, 1)));
        schedule.submitted(slot(1, 1), 1_000);
        assert_eq!(schedule.due(2_000), Due::At(51_000));
        assert_eq!(schedule.due(51_000), Due::Now(slot(2, 1)));

        let burst = Arrival::Burst(2, Duration::from_secs(1));
        let mut schedule = Schedule::new(3, 8, burst, ONCE, 0);
        schedule.submitted(slot(1, 1), 0);
        assert_eq!(schedule.due(0), Due::Now(slot(2, 1)));
        schedule.submitted(slot(2, 1), 0);
        assert_eq!(schedule.due(0), Due::At(1_000_000));
    }

    #[test]
    fn a_double_click_needs_one_place_and_keeps_its_distance() {
        let submits = Submits { times: 2, apart: Duration::from_millis(10) };
        let mut schedule = Schedule::new(2, 1, Arrival::AtOnce, submits, 0);
        schedule.submitted(slot(1, 1), 0);
        assert_eq!(schedule.due(1), Due::At(10_000));
        // The first submit may have finished long before the second is due.
        schedule.finished(slot(1, 1));
        assert_eq!(schedule.due(10_000), Due::Now(slot(1, 2)));
        schedule.submitted(slot(1, 2), 10_000);
        assert_eq!(schedule.due(10_000), Due::Blocked);
        schedule.finished(slot(1, 2));
        assert_eq!(schedule.due(10_001), Due::Now(slot(2, 1)));
    }

    #[test]
    fn an_empty_workload_is_over_at_once() {
        let schedule = Schedule::new(0, 1, Arrival::AtOnce, ONCE, 0);
        assert_eq!(schedule.due(0), Due::Done);
        assert!(schedule.is_over());
    }
}
