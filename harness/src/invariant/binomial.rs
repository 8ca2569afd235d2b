//! The lower tail of a binomial distribution, in integers.
//!
//! Knows nothing about clients.
//! **Invariant:** every step is rounded up, so a chance is never taken for smaller than it is: for what is
//! judged by it, that is in favour of the client. The error of a sum over n terms is below n / 2^60 of it.

/// A positive number, or zero: `digits` times two to the power of `exponent`, with the highest bit of
/// `digits` set unless it is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    digits: u64,
    exponent: i64,
}

const ZERO: Wide = Wide { digits: 0, exponent: 0 };
const ONE: Wide = Wide { digits: 1 << 63, exponent: -63 };

impl Wide {
    /// The number, rounded up to 64 binary digits.
    fn of(digits: u128, exponent: i64) -> Self {
        if digits == 0 {
            return ZERO;
        }
        let length = 128 - digits.leading_zeros();
        if length <= 64 {
            let up = 64 - length;
            let digits = u64::try_from(digits << up).unwrap_or(u64::MAX);
            return Self { digits, exponent: exponent - i64::from(up) };
        }
        let down = length - 64;
        let cut = digits >> down;
        let rest = u128::from(cut << down != digits);
        // Rounding all ones up makes a one with zeros, one digit longer.
        match u64::try_from(cut + rest) {
            Ok(digits) => Self { digits, exponent: exponent + i64::from(down) },
            Err(_) => Self { digits: 1 << 63, exponent: exponent + i64::from(down) + 1 },
        }
    }

    /// This number times `top`, divided by `bottom`, which is above zero.
    fn scaled(self, top: u64, bottom: u64) -> Self {
        let product = Self::of(u128::from(self.digits) * u128::from(top), self.exponent);
        // With 64 more digits before the division, what it drops is below one of them.
        let wide = u128::from(product.digits) << 64;
        Self::of(wide.div_ceil(u128::from(bottom)), product.exponent - 64)
    }

    fn plus(self, other: Self) -> Self {
        let (large, small) = if self.is_above(other) { (self, other) } else { (other, self) };
        if small.digits == 0 {
            return large;
        }
        let apart = u32::try_from(large.exponent - small.exponent).unwrap_or(u32::MAX);
        let wide = u128::from(large.digits) << 63;
        let addend = match u128::from(small.digits) << 63 {
            // Whatever is too small to be seen counts as the smallest thing that is seen.
            _ if apart > 126 => 1,
            addend => (addend >> apart) + 1,
        };
        Self::of(wide + addend, large.exponent - 63)
    }

    fn is_above(self, other: Self) -> bool {
        match (self.digits, other.digits) {
            (0, _) => false,
            (_, 0) => true,
            _ => (self.exponent, self.digits) > (other.exponent, other.digits),
        }
    }
}

/// A chance as a fraction of two numbers, more than 0 and less than 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Odds {
    /// How often it happens.
    pub(super) of: u64,
    /// In so many cases.
    pub(super) among: u64,
}

/// True when in `trials` trials, each a success with the given chance, at most `successes` successes are
/// seen less than once in `one_in` times.
///
/// The numbers of the fraction times the trials must stay below 2^64.
pub(super) fn is_rarer(successes: u64, trials: u64, chance: Odds, one_in: u64) -> bool {
    let misses = chance.among.saturating_sub(chance.of);
    if successes >= trials || misses == 0 || chance.of == 0 {
        return false;
    }
    let mut term = ONE;
    for _ in 0..trials {
        term = term.scaled(misses, chance.among);
    }
    let mut sum = term;
    let bound = ONE.scaled(1, one_in.max(1));
    for seen in 0..successes {
        if sum.is_above(bound) {
            return false;
        }
        let top = (trials - seen).saturating_mul(chance.of);
        let bottom = (seen + 1).saturating_mul(misses);
        term = term.scaled(top, bottom);
        sum = sum.plus(term);
    }
    bound.is_above(sum)
}

/// How many trials without one success are rarer than once in `one_in` times: with fewer, nothing is.
pub(super) fn fewest_trials(chance: Odds, one_in: u64) -> u64 {
    (1..10_000).find(|trials| is_rarer(0, *trials, chance, one_in)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BILLION: u64 = 1_000_000_000;
    const FULL_JITTER: Odds = Odds { of: 29, among: 40 };

    /// The same question in whole numbers, for so few trials that they fit.
    fn exactly(successes: u32, trials: u32, chance: Odds, one_in: u64) -> bool {
        let (of, among) = (u128::from(chance.of), u128::from(chance.among));
        let mut sum = 0_u128;
        for seen in 0..=successes {
            let mut ways = 1_u128;
            for step in 0..seen {
                ways = ways * u128::from(trials - step) / u128::from(step + 1);
            }
            sum += ways * of.pow(seen) * (among - of).pow(trials - seen);
        }
        // Divided instead of multiplied, so that nothing overflows; no case of the test is so close.
        sum < among.pow(trials).div_ceil(u128::from(one_in))
    }

    #[test]
    fn seventeen_pairs_that_never_grow_are_the_fewest() {
        assert_eq!(fewest_trials(FULL_JITTER, BILLION), 17);
        assert!(!is_rarer(0, 16, FULL_JITTER, BILLION));
        assert!(is_rarer(0, 17, FULL_JITTER, BILLION));
        assert!(!is_rarer(1, 17, FULL_JITTER, BILLION));
    }

    #[test]
    fn the_rounded_sums_agree_with_whole_numbers() {
        for chance in [FULL_JITTER, Odds { of: 1, among: 2 }, Odds { of: 9, among: 10 }] {
            for trials in 1..=23 {
                for successes in 0..trials {
                    for one_in in [10, 1_000, 1_000_000, BILLION] {
                        assert_eq!(
                            is_rarer(successes.into(), trials.into(), chance, one_in),
                            exactly(successes, trials, chance, one_in),
                            "{successes} of {trials} at {chance:?}, one in {one_in}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_jittered_constant_is_seen_with_some_hundred_pairs() {
        // Waits drawn from one range all the time grow by a tenth in 9 of 20 pairs.
        let trials = [60, 80, 100, 120, 140].into_iter();
        let seen = trials.map(|trials| is_rarer(trials * 9 / 20, trials, FULL_JITTER, BILLION));
        assert_eq!(seen.collect::<Vec<_>>(), [false, false, false, true, true]);
    }

    #[test]
    fn a_million_trials_take_no_longer_than_a_million_steps() {
        assert!(!is_rarer(725_000, 1_000_000, FULL_JITTER, BILLION));
        assert!(!is_rarer(723_000, 1_000_000, FULL_JITTER, BILLION), "4.5 deviations");
        assert!(is_rarer(721_000, 1_000_000, FULL_JITTER, BILLION), "9 deviations");
    }
}
