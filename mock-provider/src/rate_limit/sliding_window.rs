//! `sliding_window`: so many in any stretch of time that is as long as the period.
//!
//! It remembers each request that passed until that has left the window, so it is exact and not the
//! estimate that some servers make of two fixed windows.
//! **Invariant:** never more than `limit` units have passed within the last period.

use std::collections::VecDeque;

use super::{Admission, Algorithm, Meter, Rate};

/// The registry's entry.
pub(super) static SLIDING_WINDOW: Algorithm = Algorithm {
    name: "sliding_window",
    summary: "`limit` in any stretch of time as long as the period, counted exactly.",
    has_period: true,
    has_burst: false,
    meter: || Box::new(Window::default()),
};

/// What passed within the last period: when, and how much.
#[derive(Debug, Default)]
struct Window {
    passed: VecDeque<(u64, u64)>,
    used: u64,
    at_us: u64,
}

impl Window {
    fn slide(&mut self, rate: Rate, now_us: u64) {
        self.at_us = self.at_us.max(now_us);
        while let Some((at_us, cost)) = self.passed.front().copied()
            && self.at_us.saturating_sub(at_us) >= rate.per_us
        {
            self.passed.pop_front();
            self.used = self.used.saturating_sub(cost);
        }
    }

    /// How long until so much of what passed has left the window.
    fn until_free(&self, rate: Rate, wanted: u64) -> u64 {
        let mut freed = 0_u64;
        for (at_us, cost) in &self.passed {
            if freed >= wanted {
                break;
            }
            freed = freed.saturating_add(*cost);
            if freed >= wanted {
                return rate.per_us.saturating_sub(self.at_us.saturating_sub(*at_us));
            }
        }
        0
    }
}

impl Meter for Window {
    fn look(&mut self, rate: Rate, cost: u64, now_us: u64) -> Admission {
        self.slide(rate, now_us);
        let over = self.used.saturating_add(cost).saturating_sub(rate.limit);
        let reset_us = self.until_free(rate, self.used);
        Admission {
            admitted: over == 0,
            limit: rate.limit,
            remaining: rate.limit.saturating_sub(self.used),
            retry_after_us: if cost > rate.limit { reset_us } else { self.until_free(rate, over) },
            reset_us,
            delay_us: 0,
        }
    }

    fn take(&mut self, rate: Rate, cost: u64, now_us: u64) {
        self.slide(rate, now_us);
        self.passed.push_back((self.at_us, cost));
        self.used = self.used.saturating_add(cost);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{agrees, ahead, arrivals, rates};
    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_list_of_all_that_ever_passed(rate in rates(), arrivals in arrivals()) {
            let mut passed: Vec<(u64, u64)> = Vec::new();
            agrees(&SLIDING_WINDOW, rate, arrivals, |now, cost| {
                let recent = |passed: &[(u64, u64)]| -> Vec<(u64, u64)> {
                    passed.iter().copied().filter(|(at, _)| at + rate.per_us > now).collect()
                };
                let sum = |list: &[(u64, u64)]| list.iter().map(|(_, cost)| cost).sum::<u64>();
                let admitted = sum(&recent(&passed)) + cost <= rate.limit;
                if admitted {
                    passed.push((now, cost));
                }
                let left = recent(&passed);
                let reset = left.last().map_or(0, |(at, _)| at + rate.per_us - now);
                (admitted, rate.limit - sum(&left), reset)
            })?;
        }

        #[test]
        fn what_it_publishes_comes_true(rate in rates(), arrivals in arrivals()) {
            ahead(&SLIDING_WINDOW, rate, arrivals)?;
        }
    }
}
