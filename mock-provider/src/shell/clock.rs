//! The one clock: everything in both crates learns the time and waits through it.
//!
//! It reads tokio's clock, so that a runtime with paused time gives virtual time to all who ask.
//! **Invariant:** no other module names a source of time.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::hint::WallClock;
use crate::units::micros;

/// By how much the dates of a run in virtual time stand ahead of the machine's wall clock at least, so
/// that a client which reads the answer a little later still waits as long as it is asked to.
const AHEAD: Duration = Duration::from_millis(500);

/// The clock of one run: microseconds since its start, and the wall clock for dates.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall_start_us: u64,
    pace: Pace,
}

/// How the run's clock and the wall clock that its client has belong together.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Real,
    /// So many times as fast as the machine's; the client's clock goes at the same rate.
    Fast(u32),
    Virtual,
}

impl Clock {
    /// A clock that starts now, on the machine's own time (or on tokio's, where that is paused).
    ///
    /// # Panics
    /// If the machine's wall clock stands before 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that reads the time")]
    pub fn real() -> Self {
        let wall =
            SystemTime::now().duration_since(UNIX_EPOCH).expect("the wall clock stands after 1970");
        Self { start: Instant::now(), wall_start_us: micros(wall), pace: Pace::Real }
    }

    /// A clock that starts now and goes `speed` times (at least once) as fast as the machine's.
    ///
    /// # Panics
    /// If the machine's wall clock stands before 1970.
    #[must_use]
    pub fn fast(speed: u32) -> Self {
        let pace = if speed > 1 { Pace::Fast(speed) } else { Pace::Real };
        Self { pace, ..Self::real() }
    }

    /// How many times as fast as the machine's it goes.
    #[must_use]
    pub fn speed(&self) -> u32 {
        match self.pace {
            Pace::Fast(speed) => speed,
            Pace::Real | Pace::Virtual => 1,
        }
    }

    /// How far this clock goes while the machine's goes on by that much: what a wait for work of the
    /// machine (a process that starts or ends) has to be measured by, because work goes no faster.
    #[must_use]
    pub fn of_machine(&self, duration: Duration) -> Duration {
        duration.saturating_mul(self.speed())
    }

    /// How long the machine's clock takes for that much of this one.
    fn on_machine(&self, duration: Duration) -> Duration {
        match self.pace {
            // A part of a nanosecond more, so that no wait ends too early.
            Pace::Fast(speed) => duration / speed + Duration::from_nanos(1),
            Pace::Real | Pace::Virtual => duration,
        }
    }

    /// A clock that starts now, on a runtime whose time is paused: it jumps from event to event, while
    /// the wall clock that a client in this process has stays the machine's.
    ///
    /// # Panics
    /// If the machine's wall clock stands before 1970.
    #[must_use]
    pub fn paused() -> Self {
        Self { pace: Pace::Virtual, ..Self::real() }
    }

    /// Where paused time stands, in microseconds since this process first asked. To be asked on a runtime
    /// whose time is paused: what differs from one call to the next is how far it has jumped.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that reads the time")]
    pub fn virtual_now_us() -> u64 {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        micros(now.saturating_duration_since(*FIRST.get_or_init(|| now)))
    }

    /// Microseconds since the start of the run.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that reads the time")]
    pub fn now_us(&self) -> u64 {
        let passed = micros(Instant::now().saturating_duration_since(self.start));
        passed.saturating_mul(u64::from(self.speed()))
    }

    /// The wall clock at the start of the run, in microseconds since 1970.
    #[must_use]
    pub fn wall_start_us(&self) -> u64 {
        self.wall_start_us
    }

    /// The wall clock at the start of the run.
    #[must_use]
    pub fn wall_start(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.wall_start_us)
    }

    /// The wall clock that the run's client has.
    #[must_use]
    pub fn wall(&self) -> WallClock {
        match self.pace {
            Pace::Real | Pace::Fast(_) => WallClock::Beside(self.wall_start()),
            Pace::Virtual => WallClock::Apart(next_second),
        }
    }

    /// The wall clock at a moment of the run, in microseconds since 1970.
    #[must_use]
    pub fn wall_at_us(&self, at_us: u64) -> u64 {
        self.wall_start_us.saturating_add(at_us)
    }

    /// The machine's moment at which this clock shows so many microseconds.
    fn at(&self, at_us: u64) -> Instant {
        self.start + self.on_machine(Duration::from_micros(at_us))
    }

    /// Waits until so many microseconds since the start of the run; returns at once if they are over.
    pub async fn sleep_until_us(&self, until_us: u64) {
        tokio::time::sleep_until(self.at(until_us)).await;
    }

    /// Waits that long.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(self.on_machine(duration)).await;
    }

    /// Waits for a future, but only until so many microseconds since the start of the run; `None` when
    /// it was not ready by then.
    pub async fn until_us<F: Future>(&self, until_us: u64, future: F) -> Option<F::Output> {
        tokio::time::timeout_at(self.at(until_us), future).await.ok()
    }

    /// Waits for a future, but only that long; `None` when it was not ready by then.
    pub async fn within<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(self.on_machine(duration), future).await.ok()
    }
}

/// A whole second a little ahead of the machine's wall clock. Whole, because dates have no parts of a
/// second, and equal runs are to read equal hints in them.
#[expect(clippy::disallowed_methods, reason = "this is the one module that reads the time")]
fn next_second() -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + AHEAD;
    UNIX_EPOCH + Duration::from_secs(now.as_secs() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Wall;

    #[tokio::test(start_paused = true)]
    async fn it_goes_by_the_paused_clock_to_the_microsecond() {
        let clock = Clock::real();
        clock.sleep_until_us(3_600_000_000).await;
        assert_eq!(clock.now_us(), 3_600_000_000);
        clock.sleep_until_us(5).await;
        assert_eq!(clock.now_us(), 3_600_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn dates_of_virtual_time_are_the_machines_however_far_the_run_is() {
        let clock = Clock::paused();
        clock.sleep(Duration::from_secs(86_400)).await;
        let now = clock.wall().at(clock.now_us()).now();
        let ahead = now.duration_since(clock.wall_start()).unwrap();
        assert!((AHEAD..Duration::from_secs(60)).contains(&ahead), "{ahead:?}");
        assert_eq!(now.duration_since(UNIX_EPOCH).unwrap().subsec_nanos(), 0);
        let Wall { at_start, .. } = Clock::real().wall().at(7_000_000);
        assert!(at_start.duration_since(clock.wall_start()).unwrap() < Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_goes_so_many_times_as_fast_and_never_ends_a_wait_early() {
        let (clock, machine) = (Clock::fast(20), Clock::real());
        clock.sleep(Duration::from_secs(20)).await;
        assert_eq!(machine.now_us() / 10_000, 100, "{}", machine.now_us());
        assert!((20_000_000..20_100_000).contains(&clock.now_us()), "{}", clock.now_us());
        clock.sleep_until_us(40_000_001).await;
        assert!(clock.now_us() >= 40_000_001, "{}", clock.now_us());
        assert_eq!(clock.until_us(60_000_000, std::future::pending::<()>()).await, None);
        assert_eq!(clock.within(Duration::from_secs(20), std::future::pending::<()>()).await, None);
        assert!((80_000_000..80_500_000).contains(&clock.now_us()), "{}", clock.now_us());
        assert!(machine.now_us() < 4_100_000, "{}", machine.now_us());
        assert_eq!(clock.of_machine(Duration::from_secs(2)), Duration::from_secs(40));
        assert_eq!((Clock::fast(1).speed(), Clock::fast(20).speed()), (1, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ready_in_time_is_none() {
        let clock = Clock::real();
        assert_eq!(clock.until_us(2_000, std::future::pending::<()>()).await, None);
        assert_eq!(clock.now_us(), 2_000);
        assert_eq!(clock.within(Duration::from_secs(1), async { 7 }).await, Some(7));
    }
}
