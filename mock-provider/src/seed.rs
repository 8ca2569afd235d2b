//! The one module of randomness: keyed draws that depend on coordinates, never on arrival order.
//!
//! Knows nothing about rules or faults beyond their names.
//! **Invariant:** every random decision of brownout comes from a [`Draw`], and a draw is a pure
//! function of (seed, rule name, coordinates). Adding, removing or reordering rules changes nothing
//! about what the others draw. No float and no library distribution takes part, so a plan is the same
//! in every build and version; known-answer tests hold the values.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::coordinates::Coordinates;

/// Names the format of the draws; a change of how draws are made must change it.
const FORMAT_TAG: &str = "brownout draw 1";

/// The seed of a run: a whole number from 0 to 2^53 − 1, so that every JSON reader keeps it exactly.
///
/// ```
/// use brownout_provider::seed::Seed;
/// assert_eq!(Seed::new(42).expect("in range").get(), 42);
/// assert!(Seed::new(1 << 53).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Seed(u64);

impl Seed {
    /// The largest seed, 2^53 − 1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// A seed, or `None` above [`Seed::MAX`].
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What a rule draws with: SHA-256 over (format tag, seed, rule name), computed once a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleKey([u8; 32]);

impl RuleKey {
    /// The key of the rule `name` under `seed`. Names that are not rules (object ids, for example)
    /// start with a character that no rule name may hold.
    #[must_use]
    pub fn new(seed: Seed, name: &str) -> Self {
        let mut hash = Sha256::new();
        absorb(&mut hash, FORMAT_TAG.as_bytes());
        absorb(&mut hash, &seed.0.to_be_bytes());
        absorb(&mut hash, name.as_bytes());
        Self(hash.finalize().into())
    }

    /// The draw of this rule at these coordinates.
    #[must_use]
    pub fn draw(&self, at: &Coordinates<'_>) -> Draw {
        let mut hash = Sha256::new();
        hash.update(self.0);
        absorb(&mut hash, at.provider.as_bytes());
        absorb(&mut hash, at.route.as_bytes());
        absorb(&mut hash, at.operation.as_bytes());
        absorb(&mut hash, &at.submit.to_be_bytes());
        absorb(&mut hash, &at.attempt.to_be_bytes());
        Draw(ChaCha12Rng::from_seed(hash.finalize().into()))
    }
}

/// Feeds `bytes` with their length in front, so that no two lists of fields hash alike.
fn absorb(hash: &mut Sha256, bytes: &[u8]) {
    let length = u64::try_from(bytes.len()).expect("a length fits 64 bits");
    hash.update(length.to_be_bytes());
    hash.update(bytes);
}

/// A stream of random numbers that belongs to one rule at one coordinate.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha12Rng);

impl Draw {
    /// A number below `bound` (at least 1), every value equally likely up to a bias below 2^-64 × bound:
    /// the high half of a 64 × 64 bit product, which never loops.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound.max(1));
        u64::try_from(product >> 64).expect("the high half of a 128 bit number fits 64 bits")
    }

    /// A number from `low` to `high`, both included; `low` when `high` is not above it.
    #[must_use]
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.checked_sub(low) {
            None | Some(0) => low,
            Some(u64::MAX) => self.0.next_u64(),
            Some(span) => low + self.below(span + 1),
        }
    }

    /// True with a chance of `parts_per_million` (1,000,000 is always, 0 never).
    #[must_use]
    pub fn happens(&mut self, parts_per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(parts_per_million)
    }

    /// 64 random bits.
    #[must_use]
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// `length` letters and digits, for ids that look like a vendor's.
    #[must_use]
    pub fn alphanumeric(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length)
            .map(|_| {
                let index = usize::try_from(self.below(62)).expect("below 62");
                char::from(ALPHABET[index])
            })
            .collect()
    }
}
