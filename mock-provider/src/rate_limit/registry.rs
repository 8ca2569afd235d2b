//! All algorithms of limiters, by name. A new one is one new file and one line here.

use std::sync::LazyLock;

use super::{Algorithm, concurrency, fixed_window, leaky_bucket, sliding_window, token_bucket};

/// Every algorithm that a policy can name, in the order of the documentation; the first is the usual one.
pub static ALGORITHMS: [&Algorithm; 5] = [
    &token_bucket::TOKEN_BUCKET,
    &leaky_bucket::LEAKY_BUCKET,
    &fixed_window::FIXED_WINDOW,
    &sliding_window::SLIDING_WINDOW,
    &concurrency::CONCURRENCY,
];

/// Their names.
pub static NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| ALGORITHMS.iter().map(|one| one.name).collect());

/// The algorithm of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().copied().find(|algorithm| algorithm.name == name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::{Limiter, Rate};
    use super::*;

    #[test]
    fn every_algorithm_is_documented_and_found_by_its_name() {
        for algorithm in ALGORITHMS {
            assert_eq!(find(algorithm.name), Some(algorithm));
            assert!(algorithm.summary.ends_with('.'), "{algorithm:?}");
        }
    }

    proptest! {
        #[test]
        fn two_who_do_not_share_a_limit_never_touch_each_other(
            algorithm in prop::sample::select(&ALGORITHMS[..]),
            steps in prop::collection::vec((0_u64..50, any::<bool>(), 1_u64..3, any::<bool>()), 1..60),
        ) {
            let rate = Rate { limit: 2, per_us: 100, burst: 3 };
            let (mut both, mut alone) = (Limiter::new(algorithm, rate), Limiter::new(algorithm, rate));
            let (a, b) = (Arc::from("a"), Arc::from("b"));
            let mut now = 0;
            for (gap, first, cost, ends) in steps {
                now += gap;
                if first {
                    prop_assert_eq!(both.admit(&a, cost, now), alone.admit(&a, cost, now));
                } else {
                    both.admit(&b, cost, now);
                }
                if ends {
                    both.ended(if first { "a" } else { "b" });
                    if first {
                        alone.ended("a");
                    }
                }
            }
        }
    }
}
