//! `fixed_window`: so many in a window, which begins with the first request after the last window's end.
//!
//! **Invariant:** a window is as long as the period, whatever comes in it.

use super::{Admission, Algorithm, Meter, Rate};

/// The registry's entry.
pub(super) static FIXED_WINDOW: Algorithm = Algorithm {
    name: "fixed_window",
    summary: "`limit` in a window of one period, which begins with the first request after the last one.",
    has_period: true,
    has_burst: false,
    meter: || Box::new(Window::default()),
};

/// One window; none is open until something is taken.
#[derive(Debug, Default)]
struct Window {
    since_us: u64,
    used: u64,
    at_us: u64,
}

impl Window {
    /// Closes a window that is over, and gives the time that is left of an open one.
    fn left_us(&mut self, rate: Rate, now_us: u64) -> u64 {
        self.at_us = self.at_us.max(now_us);
        let age_us = self.at_us.saturating_sub(self.since_us);
        if age_us >= rate.per_us {
            self.used = 0;
        }
        if self.used == 0 { 0 } else { rate.per_us - age_us }
    }
}

impl Meter for Window {
    fn look(&mut self, rate: Rate, cost: u64, now_us: u64) -> Admission {
        let left_us = self.left_us(rate, now_us);
        let remaining = rate.limit.saturating_sub(self.used);
        let admitted = cost <= remaining;
        Admission {
            admitted,
            limit: rate.limit,
            remaining,
            retry_after_us: if admitted { 0 } else { left_us },
            reset_us: left_us,
            delay_us: 0,
        }
    }

    fn take(&mut self, rate: Rate, cost: u64, now_us: u64) {
        if self.left_us(rate, now_us) == 0 {
            self.since_us = self.at_us;
        }
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
        fn it_agrees_with_all_windows_drawn_anew_each_time(rate in rates(), arrivals in arrivals()) {
            // The model remembers every request that passed, and draws the windows from the first on.
            let mut passed: Vec<(u64, u64)> = Vec::new();
            agrees(&FIXED_WINDOW, rate, arrivals, |now, cost| {
                let current = |passed: &[(u64, u64)]| {
                    let mut window: Option<(u64, u64)> = None;
                    for (at, cost) in passed {
                        window = match window {
                            Some((start, used)) if *at < start + rate.per_us => {
                                Some((start, used + cost))
                            }
                            _ => Some((*at, *cost)),
                        };
                    }
                    window.filter(|(start, _)| now < start + rate.per_us)
                };
                let used = current(&passed).map_or(0, |(_, used)| used);
                let admitted = used + cost <= rate.limit;
                if admitted {
                    passed.push((now, cost));
                }
                let (reset, used) = current(&passed)
                    .map_or((0, 0), |(start, used)| (start + rate.per_us - now, used));
                (admitted, rate.limit - used, reset)
            })?;
        }

        #[test]
        fn what_it_publishes_comes_true(rate in rates(), arrivals in arrivals()) {
            ahead(&FIXED_WINDOW, rate, arrivals)?;
        }
    }
}
