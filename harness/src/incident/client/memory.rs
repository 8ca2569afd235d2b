//! What all operations of a client share: how fast it goes, and when it holds back.
//!
//! **Invariant:** it dies with the client; nothing here survives a restart.

use std::cell::Cell;
use std::time::Duration;

use brownout_provider::shell::clock::Clock;
use brownout_provider::units::micros;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::incident::habits::{Pace, Restraint};

/// Nobody waits for the breaker or the pace more often than this.
const TURNS: u32 = 100_000;

/// How long who finds the breaker's probe under way waits before looking again.
const LOOK: Duration = Duration::from_millis(100);

/// What a client has in mind.
#[derive(Debug)]
pub(super) struct Memory {
    restraint: Restraint,
    clock: Clock,
    permits: Semaphore,
    in_a_row: Cell<u32>,
    open_until_us: Cell<u64>,
    probing: Cell<bool>,
    held_until_us: Cell<u64>,
    next_us: Cell<u64>,
    every_us: Cell<u64>,
    window: Cell<(u64, u64)>,
    firsts: Cell<u64>,
    retries: Cell<u64>,
    numbers: Cell<u32>,
}

/// A request that may be sent.
pub(super) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Memory {
    /// The memory of a new client.
    pub(super) fn new(restraint: Restraint) -> Self {
        let permits = restraint.in_flight.and_then(|it| usize::try_from(it).ok());
        let every = match restraint.pace {
            Pace::Every(every) | Pace::Adaptive(every) => micros(every),
            Pace::Free | Pace::Window { .. } => 0,
        };
        Self {
            restraint,
            clock: Clock::paused(),
            permits: Semaphore::new(permits.unwrap_or(Semaphore::MAX_PERMITS)),
            in_a_row: Cell::new(0),
            open_until_us: Cell::new(0),
            probing: Cell::new(false),
            held_until_us: Cell::new(0),
            next_us: Cell::new(0),
            every_us: Cell::new(every),
            window: Cell::new((0, 0)),
            firsts: Cell::new(0),
            retries: Cell::new(0),
            numbers: Cell::new(0),
        }
    }

    /// Microseconds since the client was built.
    pub(super) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Waits until a request may be sent; `None` when that would be later than `until_us`.
    pub(super) async fn turn(&self, until_us: u64) -> Option<Turn<'_>> {
        for _ in 0..TURNS {
            let now_us = self.now_us();
            let wait_us = self.wait_us(now_us);
            if wait_us == 0 {
                break;
            }
            if now_us.saturating_add(wait_us) > until_us {
                return None;
            }
            sleep(Duration::from_micros(wait_us)).await;
        }
        self.take();
        if self.restraint.keeps_place {
            return Some(Turn { _permit: None });
        }
        // Who waits for a place among those under way minds the time, too.
        let left_us = until_us.saturating_sub(self.now_us());
        match timeout(Duration::from_micros(left_us), self.permit()).await {
            Ok(permit) => Some(Turn { _permit: permit }),
            Err(_) => {
                self.probing.set(false);
                None
            }
        }
    }

    /// A place that is kept from the first attempt to the last, where the client does that.
    pub(super) async fn place(&self) -> Turn<'_> {
        let permit = if self.restraint.keeps_place { self.permit().await } else { None };
        Turn { _permit: permit }
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        match self.restraint.in_flight {
            Some(_) => self.permits.acquire().await.ok(),
            None => None,
        }
    }

    /// How long nobody may send.
    fn wait_us(&self, now_us: u64) -> u64 {
        let held = self.held_until_us.get().saturating_sub(now_us);
        let paced = self.next_us.get().saturating_sub(now_us);
        let open = match self.restraint.breaker {
            Some(breaker) if self.in_a_row.get() >= breaker.trip => {
                let open = self.open_until_us.get().saturating_sub(now_us);
                if open == 0 && self.probing.get() { micros(LOOK) } else { open }
            }
            _ => 0,
        };
        let full = match self.restraint.pace {
            Pace::Window { limit, per } => {
                let (since, sent) = self.window.get();
                let period = now_us / micros(per).max(1);
                let is_full = period == since && sent >= limit;
                if is_full { (period + 1) * micros(per) - now_us } else { 0 }
            }
            Pace::Free | Pace::Every(_) | Pace::Adaptive(_) => 0,
        };
        held.max(paced).max(open).max(full)
    }

    fn take(&self) {
        let now_us = self.now_us();
        self.next_us.set(now_us.saturating_add(self.every_us.get()));
        if let Some(breaker) = self.restraint.breaker {
            self.probing.set(self.in_a_row.get() >= breaker.trip);
        }
        if let Pace::Window { per, .. } = self.restraint.pace {
            let period = now_us / micros(per).max(1);
            let (since, sent) = self.window.get();
            self.window.set((period, if period == since { sent + 1 } else { 1 }));
        }
    }

    /// A request came to something good.
    pub(super) fn succeeded(&self) {
        self.in_a_row.set(0);
        self.probing.set(false);
        if let Pace::Adaptive(every) = self.restraint.pace {
            let eased = self.every_us.get().saturating_sub(self.every_us.get() / 50);
            self.every_us.set(eased.max(micros(every)));
        }
    }

    /// A request was refused because of a limit, and the answer asked to wait so long.
    pub(super) fn refused(&self, hint: Option<Duration>) {
        if let Pace::Adaptive(_) = self.restraint.pace {
            self.every_us.set(self.every_us.get().saturating_mul(2).max(1));
            self.next_us.set(self.now_us().saturating_add(self.every_us.get()));
        }
        self.failed(hint);
    }

    /// A request failed for a while, and the answer asked to wait so long.
    pub(super) fn failed(&self, hint: Option<Duration>) {
        let now_us = self.now_us();
        self.in_a_row.set(self.in_a_row.get().saturating_add(1));
        self.probing.set(false);
        if let Some(breaker) = self.restraint.breaker {
            self.open_until_us.set(now_us.saturating_add(micros(breaker.rest)));
        }
        if let Some(hint) = hint {
            self.hold(hint);
        }
    }

    /// Nobody sends for so long, where the client heeds that.
    pub(super) fn hold(&self, wait: Duration) {
        if self.restraint.holds {
            let until_us = self.now_us().saturating_add(micros(wait));
            self.held_until_us.set(self.held_until_us.get().max(until_us));
        }
    }

    /// A number that no other attempt of this client has.
    pub(super) fn number(&self) -> u32 {
        self.numbers.set(self.numbers.get().saturating_add(1));
        self.numbers.get()
    }

    /// A first attempt: it earns a part of a retry.
    pub(super) fn begins(&self) {
        self.firsts.set(self.firsts.get() + 1);
    }

    /// True when a retry may be spent.
    pub(super) fn may_retry(&self) -> bool {
        let Some(percent) = self.restraint.budget else { return true };
        let may = self.retries.get() < 10 + self.firsts.get() * percent / 100;
        if may {
            self.retries.set(self.retries.get() + 1);
        }
        may
    }
}
