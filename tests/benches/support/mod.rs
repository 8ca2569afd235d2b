//! What the benches share: statistics on integers, a place for each thread, a bare server to compare
//! with, and requests from another process.
//!
//! **Invariant:** a figure is given as a ratio to something measured in the same run, and as none when
//! that something was not steady.

#![allow(dead_code, clippy::allow_attributes, reason = "each bench uses a part of it")]

pub(crate) mod bare;
pub(crate) mod load;
pub(crate) mod provider;

use brownout_provider::event::{Event, Sink};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The middle of these figures; 0 of none.
pub(crate) fn median(figures: &[u64]) -> u64 {
    percentile(figures, 50)
}

/// The figure that so many percent of these do not exceed; 0 of none.
pub(crate) fn percentile(figures: &[u64], percent: usize) -> u64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len().saturating_sub(1) * percent + 50) / 100;
    sorted.get(index).copied().unwrap_or(0)
}

/// How far the middle 80 % of these figures lie apart, in thousandths of their median.
pub(crate) fn spread_permille(figures: &[u64]) -> u64 {
    let apart = percentile(figures, 90) - percentile(figures, 10);
    apart * 1_000 / median(figures).max(1)
}

/// Thousandths as a decimal fraction.
pub(crate) fn fraction(permille: u64) -> String {
    format!("{}.{:03}", permille / 1_000, permille % 1_000)
}

/// Keeps this thread (or process, before it has threads) on one core, where there are two, as long as
/// the guard lives.
#[must_use]
pub(crate) fn stay_on_core(core: usize) -> Place {
    let before = sched_getaffinity(Pid::from_raw(0)).expect("a thread may ask for its cores");
    let cores: Vec<usize> =
        (0..CpuSet::count()).filter(|core| before.is_set(*core).unwrap_or(false)).collect();
    if cores.len() > 1 {
        let mut one = CpuSet::new();
        one.set(cores[core % cores.len()]).expect("the thread may run there");
        sched_setaffinity(Pid::from_raw(0), &one).expect("a thread may choose its core");
    }
    Place { before }
}

/// A thread's stay on one core.
#[derive(Debug)]
pub(crate) struct Place {
    before: CpuSet,
}

impl Drop for Place {
    fn drop(&mut self) {
        sched_setaffinity(Pid::from_raw(0), &self.before).expect("it ran there before");
    }
}

/// CPU time that this thread has used, in microseconds.
pub(crate) fn thread_cpu_us() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let used = getrusage(UsageWho::RUSAGE_THREAD).expect("the kernel counts this thread");
    let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    u64::try_from(micros).expect("a thread uses no negative time")
}

/// A sink that keeps nothing.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Sink for Nowhere {
    fn record(&self, events: Vec<Event>) {
        drop(events);
    }
}

/// The memory of this process that is in use, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells it");
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.expect("a number of pages") * 4_096
}
