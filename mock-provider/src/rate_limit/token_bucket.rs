//! `token_bucket`: tokens drop into a bucket at a steady rate, and a request takes what it costs.
//!
//! A bucket holds *shares* of a token, where one token is as many shares as the period has microseconds, so
//! that every microsecond adds exactly `limit` shares and nothing is ever rounded.
//! **Invariant:** a bucket never holds more than `burst` tokens.

use super::{Admission, Algorithm, Meter, Rate};

/// The registry's entry.
pub(super) static TOKEN_BUCKET: Algorithm = Algorithm {
    name: "token_bucket",
    summary: "`limit` tokens a period drop at a steady rate into a bucket that holds `burst`.",
    has_period: true,
    has_burst: true,
    meter: || Box::new(Bucket::default()),
};

/// One bucket; full until it is first asked.
#[derive(Debug, Default)]
struct Bucket {
    shares: Option<u128>,
    at_us: u64,
}

impl Bucket {
    fn refilled(&mut self, rate: Rate, now_us: u64) -> u128 {
        let full = token(rate) * u128::from(rate.burst);
        let gained = u128::from(now_us.saturating_sub(self.at_us)) * u128::from(rate.limit);
        let shares = self.shares.map_or(full, |shares| full.min(shares.saturating_add(gained)));
        self.at_us = self.at_us.max(now_us);
        self.shares = Some(shares);
        shares
    }
}

impl Meter for Bucket {
    fn look(&mut self, rate: Rate, cost: u64, now_us: u64) -> Admission {
        let shares = self.refilled(rate, now_us);
        let full = token(rate) * u128::from(rate.burst);
        let wanted = (token(rate) * u128::from(cost)).min(full);
        let until = |wanted: u128| {
            let missing = wanted.saturating_sub(shares);
            u64::try_from(missing.div_ceil(u128::from(rate.limit))).unwrap_or(u64::MAX)
        };
        Admission {
            admitted: cost <= rate.burst && shares >= wanted,
            limit: rate.burst,
            remaining: u64::try_from(shares / token(rate)).unwrap_or(u64::MAX),
            retry_after_us: until(wanted),
            reset_us: until(full),
            delay_us: 0,
        }
    }

    fn take(&mut self, rate: Rate, cost: u64, now_us: u64) {
        let shares = self.refilled(rate, now_us);
        self.shares = Some(shares.saturating_sub(token(rate) * u128::from(cost)));
    }
}

/// The shares of one token.
fn token(rate: Rate) -> u128 {
    u128::from(rate.per_us)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{agrees, ahead, arrivals, rates};
    use super::*;

    /// An independent model: it walks microsecond by microsecond and counts the whole tokens that have
    /// dropped in since the bucket was last full.
    struct Model {
        rate: Rate,
        level: u64,
        dust: u64,
        now: u64,
    }

    impl Model {
        fn tick(&mut self) {
            self.now += 1;
            self.dust += self.rate.limit;
            self.level += self.dust / self.rate.per_us;
            self.dust %= self.rate.per_us;
            if self.level >= self.rate.burst {
                (self.level, self.dust) = (self.rate.burst, 0);
            }
        }

        fn admit(&mut self, now: u64, cost: u64) -> (bool, u64, u64) {
            while self.now < now {
                self.tick();
            }
            let admitted = self.level >= cost;
            self.level -= if admitted { cost } else { 0 };
            let mut ahead = Self { ..*self };
            while ahead.level < ahead.rate.burst {
                ahead.tick();
            }
            (admitted, self.level, ahead.now - now)
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_walk_through_every_microsecond(rate in rates(), arrivals in arrivals()) {
            let mut model = Model { rate, level: rate.burst, dust: 0, now: 0 };
            agrees(&TOKEN_BUCKET, rate, arrivals, |now, cost| model.admit(now, cost))?;
        }

        #[test]
        fn what_it_publishes_comes_true(rate in rates(), arrivals in arrivals()) {
            ahead(&TOKEN_BUCKET, rate, arrivals)?;
        }
    }
}
