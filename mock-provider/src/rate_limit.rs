//! A token bucket whose published numbers are exact.
//!
//! Knows nothing of requests or headers. All arithmetic is in integers: a bucket holds *shares* of a
//! token, where one token is as many shares as the period has microseconds, so that every microsecond
//! adds exactly `limit` shares and nothing is ever rounded.
//! **Invariant:** `remaining` more requests pass right now, one that comes `retry_after_us` after a
//! refusal passes and none passes earlier, and after `reset_us` without requests the bucket is full.

use std::collections::BTreeMap;
use std::sync::Arc;

/// How many requests a limiter lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucketPolicy {
    /// Tokens that come back in one period, at least 1.
    pub limit: u32,
    /// The period in microseconds, at least 1.
    pub per_us: u64,
    /// The most tokens that can lie in the bucket, at least 1.
    pub burst: u32,
}

/// What a limiter says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// True when the request passes.
    pub admitted: bool,
    /// The bucket's size: what headers call the limit.
    pub limit: u64,
    /// Requests that would pass right now, after this one.
    pub remaining: u64,
    /// How long until the next request would pass, in microseconds; 0 when one would pass now.
    pub retry_after_us: u64,
    /// How long until the bucket is full again, in microseconds.
    pub reset_us: u64,
}

/// One bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    shares: u128,
    at_us: u64,
}

/// A limiter with one bucket for each of those who share a limit.
#[derive(Debug)]
pub struct TokenBucket {
    policy: TokenBucketPolicy,
    buckets: BTreeMap<Arc<str>, Bucket>,
}

impl TokenBucket {
    /// A limiter whose buckets are all full. Zeros in the policy count as one.
    #[must_use]
    pub fn new(policy: TokenBucketPolicy) -> Self {
        let policy = TokenBucketPolicy {
            limit: policy.limit.max(1),
            per_us: policy.per_us.max(1),
            burst: policy.burst.max(1),
        };
        Self { policy, buckets: BTreeMap::new() }
    }

    /// Takes a token for `who` at `now_us`, if there is one. Time that runs backwards counts as no time.
    pub fn admit(&mut self, who: &Arc<str>, now_us: u64) -> Admission {
        let (policy, token, full) = (self.policy, self.token(), self.full());
        let bucket =
            self.buckets.entry(Arc::clone(who)).or_insert(Bucket { shares: full, at_us: now_us });
        refill(bucket, policy, full, now_us);
        let admitted = bucket.shares >= token;
        if admitted {
            bucket.shares -= token;
        }
        Admission { admitted, ..admission(bucket.shares, policy) }
    }

    /// What the limiter would say now, without taking a token.
    #[must_use]
    pub fn look(&self, who: &str, now_us: u64) -> Admission {
        let full = self.full();
        let mut bucket =
            self.buckets.get(who).copied().unwrap_or(Bucket { shares: full, at_us: now_us });
        refill(&mut bucket, self.policy, full, now_us);
        admission(bucket.shares, self.policy)
    }

    fn token(&self) -> u128 {
        u128::from(self.policy.per_us)
    }

    fn full(&self) -> u128 {
        self.token() * u128::from(self.policy.burst)
    }
}

fn refill(bucket: &mut Bucket, policy: TokenBucketPolicy, full: u128, now_us: u64) {
    let elapsed = now_us.saturating_sub(bucket.at_us);
    let gained = u128::from(elapsed) * u128::from(policy.limit);
    bucket.shares = full.min(bucket.shares + gained);
    bucket.at_us = bucket.at_us.max(now_us);
}

/// What is to be said of a bucket with so many shares, of a request that has not taken its token.
fn admission(shares: u128, policy: TokenBucketPolicy) -> Admission {
    let token = u128::from(policy.per_us);
    let full = token * u128::from(policy.burst);
    let until = |wanted: u128| {
        let missing = wanted.saturating_sub(shares);
        u64::try_from(missing.div_ceil(u128::from(policy.limit))).unwrap_or(u64::MAX)
    };
    Admission {
        admitted: shares >= token,
        limit: u64::from(policy.burst),
        remaining: u64::try_from(shares / token).unwrap_or(u64::MAX),
        retry_after_us: until(token),
        reset_us: until(full),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An independent model: it remembers every admission and walks microsecond by microsecond,
    /// counting the whole tokens that have dropped in since the bucket was last full.
    struct Model {
        policy: TokenBucketPolicy,
        level: u64,
        dust: u64,
        now: u64,
    }

    impl Model {
        fn walk_to(&mut self, now: u64) {
            while self.now < now {
                self.now += 1;
                if self.level == u64::from(self.policy.burst) {
                    self.dust = 0;
                    continue;
                }
                self.dust += u64::from(self.policy.limit);
                while self.dust >= self.policy.per_us && self.level < u64::from(self.policy.burst) {
                    self.dust -= self.policy.per_us;
                    self.level += 1;
                }
                if self.level == u64::from(self.policy.burst) {
                    self.dust = 0;
                }
            }
        }

        fn admit(&mut self, now: u64) -> (bool, u64) {
            self.walk_to(now);
            let admitted = self.level > 0;
            self.level -= u64::from(admitted);
            (admitted, self.level)
        }
    }

    proptest! {
        #[test]
        fn it_admits_what_a_walk_through_every_microsecond_admits(
            limit in 1_u32..20,
            per_us in 1_u64..400,
            burst in 1_u32..10,
            gaps in prop::collection::vec(0_u64..120, 1..60),
        ) {
            let policy = TokenBucketPolicy { limit, per_us, burst };
            let mut limiter = TokenBucket::new(policy);
            let mut model = Model { policy, level: u64::from(burst), dust: 0, now: 0 };
            let who = Arc::from("a");
            let mut now = 0;
            for gap in gaps {
                now += gap;
                let seen = limiter.admit(&who, now);
                prop_assert_eq!((seen.admitted, seen.remaining), model.admit(now));
                prop_assert!(seen.remaining > 0 || seen.retry_after_us > 0);
                if seen.retry_after_us > 0 {
                    prop_assert!(!limiter.look("a", now + seen.retry_after_us - 1).admitted);
                }
                prop_assert!(limiter.look("a", now + seen.retry_after_us).admitted);
                prop_assert_eq!(
                    limiter.look("a", now + seen.reset_us).remaining,
                    u64::from(burst)
                );
                if seen.reset_us > 0 {
                    prop_assert!(
                        limiter.look("a", now + seen.reset_us - 1).reset_us > 0,
                        "not full a microsecond before the reset"
                    );
                }
            }
        }

        #[test]
        fn two_who_do_not_share_a_limit_never_touch_each_other(
            gaps in prop::collection::vec((0_u64..50, any::<bool>()), 1..60),
        ) {
            let policy = TokenBucketPolicy { limit: 2, per_us: 100, burst: 3 };
            let (mut both, mut alone) = (TokenBucket::new(policy), TokenBucket::new(policy));
            let (a, b) = (Arc::from("a"), Arc::from("b"));
            let mut now = 0;
            for (gap, first) in gaps {
                now += gap;
                if first {
                    prop_assert_eq!(both.admit(&a, now), alone.admit(&a, now));
                } else {
                    both.admit(&b, now);
                }
            }
        }
    }
}
