//! Limiters whose published numbers are exact.
//!
//! Knows nothing of requests or headers. Each algorithm is one file with a [`Meter`] and one line in
//! [`registry`]; whoever shares a limit has a meter of its own, kept in a [`Limiter`]. All arithmetic is in
//! integers.
//! **Invariant:** of what costs one unit, `remaining` more pass right now; what comes `retry_after_us`
//! after a refusal passes and nothing earlier does; and after `reset_us` without requests a meter is as
//! good as new.

mod concurrency;
mod fixed_window;
mod leaky_bucket;
pub mod registry;
mod sliding_window;
#[cfg(test)]
mod testing;
mod token_bucket;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How much a limiter lets through. An algorithm that does not know a number overlooks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units in one period (for `concurrency` requests at a time), at least 1.
    pub limit: u64,
    /// The period in microseconds, at least 1.
    pub per_us: u64,
    /// The most units that a bucket holds, at least 1.
    pub burst: u64,
}

impl Rate {
    /// The same with zeros as ones.
    #[must_use]
    pub const fn at_least_one(self) -> Self {
        const fn least(number: u64) -> u64 {
            if number == 0 { 1 } else { number }
        }
        Self { limit: least(self.limit), per_us: least(self.per_us), burst: least(self.burst) }
    }
}

/// What a limiter says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// True when the request passes.
    pub admitted: bool,
    /// What headers call the limit: the most that could ever remain.
    pub limit: u64,
    /// Units that would pass right now, after this request.
    pub remaining: u64,
    /// How long until another request of the same cost would pass, in microseconds; 0 when it would pass
    /// now, and where nobody can know. One that costs more than the limit never passes: then the time
    /// until the meter is as good as new.
    pub retry_after_us: u64,
    /// How long until the meter is as good as new, in microseconds; 0 where nobody can know.
    pub reset_us: u64,
    /// How long the request is held back before it goes on, in microseconds.
    pub delay_us: u64,
}

/// The state of one who has a limit. Time that runs backwards counts as no time.
pub trait Meter: fmt::Debug + Send {
    /// What is to be said of a request that costs so much, with nothing taken.
    fn look(&mut self, rate: Rate, cost: u64, now_us: u64) -> Admission;

    /// Takes what an admitted request costs.
    fn take(&mut self, rate: Rate, cost: u64, now_us: u64);

    /// A request that took something is over.
    fn ended(&mut self) {}
}

/// An entry of the registry: all that is said of an algorithm.
pub struct Algorithm {
    /// The word in YAML and in the docs.
    pub name: &'static str,
    /// One sentence: how it counts.
    pub summary: &'static str,
    /// True when it knows a period.
    pub has_period: bool,
    /// True when it knows the most at once.
    pub has_burst: bool,
    /// A meter that has seen nothing.
    pub meter: fn() -> Box<dyn Meter>,
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Algorithm").field(&self.name).finish()
    }
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Algorithm {}

/// A limiter with one meter for each of those who share a limit.
#[derive(Debug)]
pub struct Limiter {
    algorithm: &'static Algorithm,
    rate: Rate,
    meters: BTreeMap<Arc<str>, Box<dyn Meter>>,
}

impl Limiter {
    /// A limiter that has seen nothing. Zeros in the rate count as one.
    #[must_use]
    pub fn new(algorithm: &'static Algorithm, rate: Rate) -> Self {
        Self { algorithm, rate: rate.at_least_one(), meters: BTreeMap::new() }
    }

    /// Its rate.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// By which rule it counts.
    #[must_use]
    pub const fn algorithm(&self) -> &'static Algorithm {
        self.algorithm
    }

    /// Lets a request of `who` through at `now_us`, if what it costs is left.
    pub fn admit(&mut self, who: &Arc<str>, cost: u64, now_us: u64) -> Admission {
        self.admit_at(self.rate, who, (cost, now_us))
    }

    /// The same at another rate than its own, with which the limiter goes on where it was.
    pub fn admit_at(
        &mut self,
        rate: Rate,
        who: &Arc<str>,
        (cost, now_us): (u64, u64),
    ) -> Admission {
        let asked = self.look(rate, who, (cost, now_us));
        if !asked.admitted {
            return asked;
        }
        let meter = self.meter(who);
        meter.take(rate, cost, now_us);
        Admission { admitted: true, delay_us: asked.delay_us, ..meter.look(rate, cost, now_us) }
    }

    /// What the limiter would say of a request now, with nothing taken.
    pub fn look(&mut self, rate: Rate, who: &Arc<str>, (cost, now_us): (u64, u64)) -> Admission {
        self.meter(who).look(rate, cost, now_us)
    }

    /// A request of `who` that was let through is over.
    pub fn ended(&mut self, who: &str) {
        if let Some(meter) = self.meters.get_mut(who) {
            meter.ended();
        }
    }

    fn meter(&mut self, who: &Arc<str>) -> &mut Box<dyn Meter> {
        self.meters.entry(Arc::clone(who)).or_insert_with(self.algorithm.meter)
    }
}
