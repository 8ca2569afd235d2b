//! What befalls the client itself: handed over by the provider when the point is reached, carried out by
//! the driver.
//!
//! It knows neither processes nor futures. **Invariant:** whatever a plan says, a client is started again
//! only a bounded number of times before the deadline of the operation that it dies of.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout_provider::event::{Event, Sink};
use brownout_provider::exchange::{ClientStrike, Settled};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::lock::lock;
use brownout_provider::units::micros;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How long half of an answer has to reach the client that is to be struck over it.
const ON_ITS_WAY: Duration = Duration::from_millis(10);

/// How long a supervisor waits before it starts a client again for the first time; each time that the same
/// submit kills it, it waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// How long a supervisor waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Passes events on, and hands over what befalls the client.
pub struct Messenger {
    sink: Arc<dyn Sink>,
    strikes: UnboundedSender<ClientStrike>,
    settled: UnboundedSender<Settled>,
}

impl std::fmt::Debug for Messenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messenger").finish_non_exhaustive()
    }
}

impl Sink for Messenger {
    fn record(&self, events: Vec<Event>) {
        self.sink.record(events);
    }

    fn strike_client(&self, strike: ClientStrike) {
        // A driver that is gone drives nobody.
        let _ = self.strikes.send(strike);
    }

    fn settle(&self, settled: Settled) {
        // Likewise.
        let _ = self.settled.send(settled);
    }
}

/// Hands what befalls one copy of the client to whoever drives it.
#[derive(Debug)]
pub struct Router(UnboundedSender<ClientStrike>);

impl Router {
    /// A way to one copy, by the clock of what befalls them all.
    #[must_use]
    pub fn beside(all: &Strikes) -> (Self, Strikes) {
        let (strikes, receiver) = unbounded_channel();
        let own = Strikes { clock: all.clock, receiver, settled: None, waiting: Vec::new() };
        (Self(strikes), own)
    }

    /// Strikes now: what had to wait has waited.
    pub fn strike(&self, strike: ClientStrike) {
        // A driver that is gone drives nobody.
        let _ = self.0.send(ClientStrike { mid_body: false, ..strike });
    }
}

/// What befalls the client, in order.
#[derive(Debug)]
pub struct Strikes {
    clock: Clock,
    receiver: UnboundedReceiver<ClientStrike>,
    /// What became of operations that were messages; taken by a driver that delivers them.
    settled: Option<UnboundedReceiver<Settled>>,
    /// What has been handed over and is not due yet, by when.
    waiting: Vec<(u64, ClientStrike)>,
}

impl Strikes {
    /// A way from those who record events to a driver.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, clock: Clock) -> (Messenger, Self) {
        let (strikes, receiver) = unbounded_channel();
        let (settled, hears) = unbounded_channel();
        let heard = Self { clock, receiver, settled: Some(hears), waiting: Vec::new() };
        (Messenger { sink, strikes, settled }, heard)
    }

    /// What becomes of operations that are messages, in order; once.
    pub fn take_settled(&mut self) -> Option<UnboundedReceiver<Settled>> {
        self.settled.take()
    }

    /// The next one, when it is due. Nothing is lost when this is dropped before.
    pub async fn next(&mut self) -> ClientStrike {
        loop {
            let due = (0..self.waiting.len()).min_by_key(|index| self.waiting[*index].0);
            let Some(due) = due else {
                match self.receiver.recv().await {
                    Some(strike) => self.wait_for(strike),
                    None => pending().await,
                }
                continue;
            };
            tokio::select! {
                biased;
                Some(strike) = self.receiver.recv() => self.wait_for(strike),
                () = self.clock.sleep_until_us(self.waiting[due].0) => {
                    return self.waiting.remove(due).1;
                }
            }
        }
    }

    fn wait_for(&mut self, strike: ClientStrike) {
        let lead = if strike.mid_body { self.clock.of_machine(ON_ITS_WAY) } else { Duration::ZERO };
        let due_us = self.clock.now_us().saturating_add(micros(lead));
        self.waiting.push((due_us, strike));
    }
}

/// Strikes on their way to the driver of a run, which takes them once.
pub type Handover = Mutex<Option<Strikes>>;

/// Takes what was prepared for the driver of a run.
///
/// # Panics
///
/// When a run has two drivers.
pub fn taken(handover: &Handover) -> Strikes {
    lock(handover).take().expect("a run has one driver")
}

/// Says how long to wait before a client that died is started again.
#[derive(Debug, Default)]
pub struct Supervisor {
    deaths: BTreeMap<(Arc<str>, u32), u32>,
}

impl Supervisor {
    /// The client has died of this submit.
    pub fn wait_after(&mut self, operation: &Arc<str>, submit: u32) -> Duration {
        let deaths = self.deaths.entry((Arc::clone(operation), submit)).or_insert(0);
        let wait = FIRST_WAIT.saturating_mul(1 << (*deaths).min(16)).min(LONGEST_WAIT);
        *deaths = deaths.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use brownout_provider::exchange::ClientFault;

    use super::*;

    #[test]
    fn a_client_that_always_dies_is_started_a_bounded_number_of_times() {
        let mut supervisor = Supervisor::default();
        let (one, two): (Arc<str>, Arc<str>) = ("op-0001".into(), "op-0002".into());
        assert_eq!(supervisor.wait_after(&one, 1), Duration::from_millis(10));
        assert_eq!(supervisor.wait_after(&one, 1), Duration::from_millis(20));
        assert_eq!(supervisor.wait_after(&two, 1), Duration::from_millis(10));
        let waits: Vec<Duration> = (0..40).map(|_| supervisor.wait_after(&one, 1)).collect();
        assert!(waits.iter().take(16).sum::<Duration>() > Duration::from_secs(30));
        assert_eq!(waits.last(), Some(&LONGEST_WAIT));
    }

    struct Nobody;

    impl Sink for Nobody {
        fn record(&self, _: Vec<Event>) {}
    }

    #[tokio::test(start_paused = true)]
    async fn what_strikes_over_half_an_answer_lets_that_half_arrive() {
        let clock = Clock::paused();
        let (messenger, mut strikes) = Strikes::new(Arc::new(Nobody), clock);
        let strike = |name: &str, mid_body| ClientStrike {
            operation: name.into(),
            submit: 1,
            client: None,
            mid_body,
            does: ClientFault::Kill,
        };
        messenger.strike_client(strike("late", true));
        messenger.strike_client(strike("soon", false));
        let first = strikes.next().await;
        let second = strikes.next().await;
        assert_eq!((&*first.operation, &*second.operation), ("soon", "late"));
        assert_eq!(clock.now_us(), 10_000);
        assert_eq!(clock.within(Duration::from_secs(9), strikes.next()).await, None);
    }
}
