//! `concurrency`: so many requests at a time.
//!
//! **Invariant:** a place is taken from the moment that a request passes until it is over; nobody can know
//! when that is, so there is neither a time to come back nor a reset.

use super::{Admission, Algorithm, Meter, Rate};

/// The registry's entry.
pub(super) static CONCURRENCY: Algorithm = Algorithm {
    name: "concurrency",
    summary: "`limit` requests at a time, each until it is over.",
    has_period: false,
    has_burst: false,
    meter: || Box::new(Places::default()),
};

/// How many are under way.
#[derive(Debug, Default)]
struct Places {
    taken: u64,
}

impl Meter for Places {
    fn look(&mut self, rate: Rate, _: u64, _: u64) -> Admission {
        let remaining = rate.limit.saturating_sub(self.taken);
        Admission {
            admitted: remaining > 0,
            limit: rate.limit,
            remaining,
            retry_after_us: 0,
            reset_us: 0,
            delay_us: 0,
        }
    }

    fn take(&mut self, _: Rate, _: u64, _: u64) {
        self.taken = self.taken.saturating_add(1);
    }

    fn ended(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::Limiter;
    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_set_of_those_under_way(
            limit in 1_u64..6,
            steps in prop::collection::vec((any::<bool>(), 0_usize..6, 1_u64..4), 1..80),
        ) {
            let mut limiter = Limiter::new(&CONCURRENCY, Rate { limit, per_us: 1, burst: 1 });
            let who: Arc<str> = Arc::from("a");
            let mut under_way = BTreeSet::new();
            for (number, (comes, nth, cost)) in steps.into_iter().enumerate() {
                if comes {
                    let seen = limiter.admit(&who, cost, 0);
                    let many = |set: &BTreeSet<usize>| u64::try_from(set.len()).expect("few");
                    prop_assert_eq!(seen.admitted, many(&under_way) < limit);
                    if seen.admitted {
                        under_way.insert(number);
                    }
                    prop_assert_eq!(seen.remaining, limit - many(&under_way));
                    prop_assert_eq!((seen.reset_us, seen.retry_after_us), (0, 0));
                } else if let Some(one) = under_way.iter().nth(nth).copied() {
                    under_way.remove(&one);
                    limiter.ended("a");
                }
            }
        }
    }
}
