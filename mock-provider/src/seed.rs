//! The one module of randomness: keyed draws that depend on coordinates, never on arrival order.
//!
//! Knows nothing about rules or faults beyond their names.
//! **Invariant:** every random decision of brownout comes from a [`Draw`], and a draw is a pure
//! function of (seed, rule name, coordinates). Adding, removing or reordering rules changes nothing
//! about what the others draw. No float and no library distribution takes part, so a plan is the same
//! in every build and version; known-answer tests hold the values.

use std::fs::File;
use std::io::{self, Read};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::coordinates::Coordinates;
use crate::hex::as_hex;

/// A word that nobody can guess, for access to a server of this machine: 32 hexadecimal digits of the
/// system's own randomness. Nothing that happens in a run depends on it.
///
/// # Errors
///
/// When the system gives no random bytes.
pub fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(as_hex(&bytes, str::to_owned))
}

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
#[serde(try_from = "u64", into = "u64")]
pub struct Seed(u64);

impl From<Seed> for u64 {
    fn from(seed: Seed) -> Self {
        seed.0
    }
}

impl TryFrom<u64> for Seed {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("a seed is 0 to {}", Self::MAX.0))
    }
}

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
        Draw::from_seed(hash.finalize().into())
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
pub struct Draw {
    seed: [u8; 32],
    stream: ChaCha12Rng,
}

impl Draw {
    fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, stream: ChaCha12Rng::from_seed(seed) }
    }

    /// A draw of nobody's, the same at all times: for looking at what depends on no draw.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self::from_seed([0; 32])
    }

    /// A stream of its own for the `nth` fault `name` (from 0) of the rule, so that no fault of a list
    /// changes what another draws. It does not depend on what was drawn from `self` before.
    #[must_use]
    pub fn fork(&self, name: &str, nth: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        absorb(&mut hash, name.as_bytes());
        absorb(&mut hash, &nth.to_be_bytes());
        Self::from_seed(hash.finalize().into())
    }

    /// A number below `bound` (at least 1), every value equally likely up to a bias below 2^-64 × bound:
    /// the high half of a 64 × 64 bit product, which never loops.
    #[must_use]
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.stream.next_u64()) * u128::from(bound.max(1));
        // The high half of a 128 bit number always fits, so the fallback is never taken.
        u64::try_from(product >> 64).unwrap_or(u64::MAX)
    }

    /// A number from `low` to `high`, both included; `low` when `high` is not above it.
    #[must_use]
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.checked_sub(low) {
            None | Some(0) => low,
            Some(u64::MAX) => self.stream.next_u64(),
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
        self.stream.next_u64()
    }

    /// Appends `length` letters and digits to `out`, for ids that look like a vendor's.
    pub fn push_alphanumeric(&mut self, length: usize, out: &mut String) {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        for _ in 0..length {
            out.push(char::from(ALPHABET[usize::try_from(self.below(62)).unwrap_or(0)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Coordinates<'_> = Coordinates {
        provider: "provider",
        route: "create_charge",
        operation: "op-0001",
        submit: 1,
        attempt: 1,
    };

    fn seed(value: u64) -> Seed {
        Seed::new(value).expect("in range")
    }

    fn hex(key: RuleKey) -> String {
        key.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// All known answers here were computed by a second implementation of SHA-256 framing and ChaCha12.
    fn draw() -> Draw {
        RuleKey::new(seed(42), "response-lost").draw(&AT)
    }

    #[test]
    fn keys_have_known_values() {
        for (number, name, known) in [
            (
                42,
                "response-lost",
                "697d26b9adc45f04e176a5be4531dc2d6c5df685165b79866f82d0c81bc964b3",
            ),
            (0, "", "cbe2631cf87688643c461dd2b3368d08af39afc0d430443c7ecc76b53e2d7e62"),
            (
                Seed::MAX.get(),
                "é",
                "44d575b72dfc8c536a9f9d582cfb1dfaaf2ed25947264e56ae1481f725cd6a8c",
            ),
        ] {
            assert_eq!(hex(RuleKey::new(seed(number), name)), known, "{number} {name}");
        }
    }

    #[test]
    fn draws_have_known_values() {
        let mut one = draw();
        let bits: Vec<u64> = (0..10).map(|_| one.bits()).collect();
        assert_eq!(
            bits,
            [
                11_048_402_696_542_690_176,
                15_776_481_698_477_201_056,
                1_197_104_969_408_898_721,
                1_068_309_483_059_086_765,
                2_014_848_075_841_811_502,
                13_783_131_678_138_779_622,
                14_972_570_627_766_531_491,
                15_947_293_128_047_885_236,
                15_929_851_351_623_797_019,
                15_758_340_541_449_085_025,
            ]
        );
    }

    #[test]
    fn below_between_happens_and_letters_have_known_values() {
        let mut one = draw();
        let below: Vec<u64> = (0..8).map(|_| one.below(1000)).collect();
        assert_eq!(below, [598, 855, 64, 57, 109, 747, 811, 864]);

        let mut one = draw();
        let between: Vec<u64> = (0..8).map(|_| one.between(10, 20)).collect();
        assert_eq!(between, [16, 19, 10, 10, 11, 18, 18, 19]);

        let mut id = String::from("ch_");
        draw().push_alphanumeric(24, &mut id);
        assert_eq!(id, "ch_l1EDGuy11086IVMxY1kGuUdl");

        let key = RuleKey::new(seed(42), "response-lost");
        let struck: Vec<u32> = (1..=20)
            .filter(|n| {
                let operation = format!("op-{n:04}");
                key.draw(&Coordinates { operation: &operation, ..AT }).happens(300_000)
            })
            .collect();
        assert_eq!(struck, [3, 4, 14, 15, 16]);
    }

    #[test]
    fn a_fork_has_known_values_and_ignores_what_was_drawn_before() {
        let mut parent = draw();
        let mut first = parent.fork("latency", 0);
        let _ = parent.bits();
        let mut second = parent.fork("latency", 1);
        assert_eq!(
            [first.bits(), first.bits()],
            [15_529_306_672_917_599_656, 6_620_177_402_633_841_706]
        );
        assert_eq!(
            [second.bits(), second.bits()],
            [3_744_940_790_458_781_878, 594_415_099_515_998_483]
        );
    }

    #[test]
    fn a_field_never_flows_into_its_neighbour() {
        let key = RuleKey::new(seed(0), "a");
        let at =
            |provider, route| Coordinates { provider, route, operation: "", submit: 1, attempt: 2 };
        assert_eq!(key.draw(&at("ab", "c")).bits(), 11_582_674_959_507_419_672);
        assert_eq!(key.draw(&at("a", "bc")).bits(), 9_387_837_743_244_995_516);
    }

    #[test]
    fn a_range_of_one_number_or_turned_round_gives_its_low_end() {
        assert_eq!(draw().between(7, 7), 7);
        assert_eq!(draw().between(7, 3), 7);
        assert_eq!(draw().between(0, u64::MAX), draw().bits());
        assert_eq!(draw().below(0), 0);
    }

    #[test]
    fn chances_come_true_about_as_often_as_they_say() {
        // 40,000 trials: four standard deviations of a binomial are at most 400.
        for (parts_per_million, low, high) in
            [(500_000, 19_600, 20_400), (300_000, 11_630, 12_370), (10_000, 320, 480)]
        {
            let mut one = draw();
            let hits = (0..40_000).filter(|_| one.happens(parts_per_million)).count();
            assert!((low..=high).contains(&hits), "{parts_per_million}: {hits}");
        }
    }

    #[test]
    fn every_number_of_a_range_is_about_equally_likely() {
        let mut one = draw();
        let mut counts = [0_u32; 7];
        for _ in 0..35_000 {
            counts[usize::try_from(one.below(7)).expect("below 7")] += 1;
        }
        assert!(counts.iter().all(|count| (4_700..=5_300).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn chance_zero_never_and_a_million_always(number in 0..=Seed::MAX.get(), name in ".{0,12}") {
            let mut one = RuleKey::new(seed(number), &name).draw(&AT);
            for _ in 0..32 {
                prop_assert!(!one.happens(0));
                prop_assert!(one.happens(1_000_000));
            }
        }

        #[test]
        fn numbers_stay_in_their_range(low: u64, high: u64, number in 0..=Seed::MAX.get()) {
            let value = RuleKey::new(seed(number), "range").draw(&AT).between(low, high);
            prop_assert!(value >= low && value <= high.max(low));
        }

        #[test]
        fn other_coordinates_or_another_seed_draw_otherwise(
            number in 0..Seed::MAX.get(), submit in 1_u32..100, attempt in 1_u32..100,
        ) {
            let key = RuleKey::new(seed(number), "rule");
            let here = key.draw(&Coordinates { submit, attempt, ..AT }).bits();
            prop_assert_eq!(here, key.draw(&Coordinates { submit, attempt, ..AT }).bits());
            prop_assert_ne!(here, key.draw(&Coordinates { submit: submit + 1, attempt, ..AT }).bits());
            prop_assert_ne!(here, key.draw(&Coordinates { submit, attempt: attempt + 1, ..AT }).bits());
            let other = RuleKey::new(seed(number + 1), "rule");
            prop_assert_ne!(here, other.draw(&Coordinates { submit, attempt, ..AT }).bits());
        }
    }
}
