//! `leaky_bucket`: requests queue in a bucket that lets them out at a steady rate.
//!
//! What does not fit is refused, and what fits waits for its turn. The bucket holds *shares*, as many to a
//! unit as the period has microseconds, so that every microsecond drains exactly `limit` shares.
//! **Invariant:** no more than `limit` units leave in any period, however they came.

use super::{Admission, Algorithm, Meter, Rate};

/// The registry's entry.
pub(super) static LEAKY_BUCKET: Algorithm = Algorithm {
    name: "leaky_bucket",
    summary: "Requests wait in a bucket for `burst` and go on at a steady rate of `limit` a period.",
    has_period: true,
    has_burst: true,
    meter: || Box::new(Bucket::default()),
};

/// One bucket; empty until it is first asked.
#[derive(Debug, Default)]
struct Bucket {
    shares: u128,
    at_us: u64,
}

impl Bucket {
    fn drained(&mut self, rate: Rate, now_us: u64) -> u128 {
        let gone = u128::from(now_us.saturating_sub(self.at_us)) * u128::from(rate.limit);
        self.shares = self.shares.saturating_sub(gone);
        self.at_us = self.at_us.max(now_us);
        self.shares
    }
}

impl Meter for Bucket {
    fn look(&mut self, rate: Rate, cost: u64, now_us: u64) -> Admission {
        let shares = self.drained(rate, now_us);
        let unit = u128::from(rate.per_us);
        let full = unit * u128::from(rate.burst);
        let fits_at = full.saturating_sub(unit * u128::from(cost));
        let until = |level: u128| {
            let above = shares.saturating_sub(level);
            u64::try_from(above.div_ceil(u128::from(rate.limit))).unwrap_or(u64::MAX)
        };
        let admitted = cost <= rate.burst && shares <= fits_at;
        Admission {
            admitted,
            limit: rate.burst,
            remaining: u64::try_from(full.saturating_sub(shares) / unit).unwrap_or(u64::MAX),
            retry_after_us: until(if cost <= rate.burst { fits_at } else { 0 }),
            reset_us: until(0),
            delay_us: if admitted { until(0) } else { 0 },
        }
    }

    fn take(&mut self, rate: Rate, cost: u64, now_us: u64) {
        let shares = self.drained(rate, now_us);
        self.shares = shares + u128::from(rate.per_us) * u128::from(cost);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::Limiter;
    use super::super::testing::{agrees, ahead, arrivals, rates};
    use super::*;

    /// An independent model: a queue of units, each of which leaves when `per_us` drops of it have run
    /// out, `limit` drops a microsecond.
    struct Model {
        rate: Rate,
        /// What is left of each unit, in drops.
        queue: Vec<u64>,
        now: u64,
    }

    impl Model {
        fn tick(&mut self) {
            self.now += 1;
            let mut drops = self.rate.limit;
            while drops > 0
                && let Some(first) = self.queue.first_mut()
            {
                let out = drops.min(*first);
                *first -= out;
                drops -= out;
                if *first == 0 {
                    self.queue.remove(0);
                }
            }
        }

        fn admit(&mut self, now: u64, cost: u64) -> (bool, u64, u64) {
            while self.now < now {
                self.tick();
            }
            let drops: u64 = self.queue.iter().sum();
            let admitted = drops + cost * self.rate.per_us <= self.rate.burst * self.rate.per_us;
            if admitted {
                for _ in 0..cost {
                    self.queue.push(self.rate.per_us);
                }
            }
            let drops: u64 = self.queue.iter().sum();
            let remaining = (self.rate.burst * self.rate.per_us - drops) / self.rate.per_us;
            let mut ahead = Self { rate: self.rate, queue: self.queue.clone(), now };
            while !ahead.queue.is_empty() {
                ahead.tick();
            }
            (admitted, remaining, ahead.now - now)
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_queue_that_drains_drop_by_drop(rate in rates(), arrivals in arrivals()) {
            let mut model = Model { rate, queue: Vec::new(), now: 0 };
            agrees(&LEAKY_BUCKET, rate, arrivals, |now, cost| model.admit(now, cost))?;
        }

        #[test]
        fn what_it_publishes_comes_true(rate in rates(), arrivals in arrivals()) {
            ahead(&LEAKY_BUCKET, rate, arrivals)?;
        }

        #[test]
        fn requests_go_on_in_order_and_never_faster_than_the_rate(
            limit in 1_u64..6,
            per_us in 10_u64..200,
            gaps in prop::collection::vec(0_u64..60, 2..50),
        ) {
            let rate = Rate { limit, per_us, burst: 5 };
            let mut limiter = Limiter::new(&LEAKY_BUCKET, rate);
            let who: Arc<str> = Arc::from("a");
            let (mut now, mut left_at) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let seen = limiter.admit(&who, 1, now);
                if seen.admitted {
                    left_at.push(now + seen.delay_us);
                }
            }
            prop_assert!(left_at.is_sorted());
            let many = usize::try_from(limit).expect("small");
            for pair in left_at.windows(many + 1) {
                // Each leaves at a whole microsecond, up to one late.
                prop_assert!(pair[many] - pair[0] + 1 >= per_us, "{:?}", left_at);
            }
        }
    }
}
