//! A lognormal length of time in integers alone.
//!
//! The inverse of the normal distribution stands in a table, eight steps to each halving of the tail,
//! with straight lines between them; powers of two are made of constants. The result is within a
//! thousandth of the exact one.
//! **Invariant:** no float takes part, so a plan draws the same delays in every build and version.

use crate::units::DAY_US;

/// The longest length of time that is drawn, in microseconds: a day.
pub(super) const LONGEST_US: u64 = DAY_US;

/// A lognormal distribution by its median and its 99th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lognormal {
    p50_us: u64,
    p99_us: u64,
    /// The binary logarithm of p99 / p50, times 2^32.
    spread: u64,
}

impl Lognormal {
    /// The distribution; both in microseconds, at least 1, `p99_us` not below `p50_us`.
    pub(super) fn new(p50_us: u64, p99_us: u64) -> Self {
        let p50_us = p50_us.max(1);
        let p99_us = p99_us.max(p50_us);
        Self { p50_us, p99_us, spread: binary_logarithm(p99_us) - binary_logarithm(p50_us) }
    }

    /// The median, in microseconds.
    pub(super) const fn p50_us(&self) -> u64 {
        self.p50_us
    }

    /// The 99th percentile, in microseconds.
    pub(super) const fn p99_us(&self) -> u64 {
        self.p99_us
    }

    /// The length of time that these random bits stand for, in microseconds.
    pub(super) fn sample(&self, bits: u64) -> u64 {
        let distance = (u128::from(self.spread) * u128::from(deviate(bits))) >> 30;
        let Ok(distance) = i64::try_from(distance) else { return LONGEST_US };
        let exponent = if bits >> 63 == 1 { distance } else { -distance };
        times_power_of_two(self.p50_us, exponent)
    }
}

/// The binary logarithm of a number from 1, times 2^32.
fn binary_logarithm(number: u64) -> u64 {
    let number = number.max(1);
    let whole = number.ilog2();
    // Between 1 and 2, times 2^62; each squaring shifts one binary digit of the logarithm out.
    let mut rest = (u128::from(number) << 62) >> whole;
    let mut logarithm = u64::from(whole) << 32;
    for digit in (0..32).rev() {
        rest = (rest * rest) >> 62;
        if rest >= 1 << 63 {
            rest >>= 1;
            logarithm |= 1 << digit;
        }
    }
    logarithm
}

/// `number` times two to the power `exponent` / 2^32, rounded down, at most [`LONGEST_US`].
fn times_power_of_two(number: u64, exponent: i64) -> u64 {
    let whole = exponent >> 32;
    let mut factor: u128 = 1 << 62;
    for (index, root) in ROOTS.iter().enumerate() {
        if exponent & (1 << (31 - index)) != 0 {
            factor = (factor * u128::from(*root)) >> 62;
        }
    }
    match u32::try_from(62 - whole) {
        Err(_) => LONGEST_US,
        Ok(shift) => {
            let product = (u128::from(number) * factor).checked_shr(shift).unwrap_or(0);
            u64::try_from(product).map_or(LONGEST_US, |micros| micros.min(LONGEST_US))
        }
    }
}

/// How far from the median the lower 63 bits lie, in units of the distance of the 99th percentile,
/// times 2^30. The bits stand for a probability of the tail between 0 and a half.
fn deviate(bits: u64) -> u64 {
    let last = DEVIATES[DEVIATES.len() - 1];
    let tail = bits & (u64::MAX >> 1);
    let halvings = tail.leading_zeros() - 1;
    if halvings >= 32 {
        return last;
    }
    // How far below the upper end of this halving, of which 2^62 is the whole.
    let below = (1_u64 << 63) - (tail << halvings);
    let step = u64::from(halvings) * 8 + (below >> 59);
    let part = below & ((1 << 59) - 1);
    let at = |step: u64| {
        usize::try_from(step).ok().and_then(|step| DEVIATES.get(step)).copied().unwrap_or(last)
    };
    let (low, high) = (at(step), at(step + 1));
    let between = (u128::from(high - low) * u128::from(part)) >> 59;
    low + u64::try_from(between).unwrap_or(0)
}

/// Two to the power 1/2, 1/4, 1/8, …, times 2^62.
#[rustfmt::skip]
const ROOTS: [u64; 32] = [
    6_521_908_912_666_391_106, 5_484_249_825_272_419_512, 5_029_079_263_719_320_435, 4_815_862_801_830_788_490,
    4_712_668_792_719_003_884, 4_661_903_986_662_671_290, 4_636_727_017_470_743_990, 4_624_189_567_668_517_720,
    4_617_933_561_212_708_776, 4_614_808_732_577_250_068, 4_613_247_111_281_068_008, 4_612_466_498_810_092_975,
    4_612_076_242_109_103_707, 4_611_881_126_141_011_236, 4_611_783_571_252_412_754, 4_611_734_794_581_956_353,
    4_611_710_406_440_186_476, 4_611_698_212_417_665_819, 4_611_692_115_418_496_524, 4_611_689_066_921_934_630,
    4_611_687_542_674_409_371, 4_611_686_780_550_835_664, 4_611_686_399_489_096_040, 4_611_686_208_958_238_036,
    4_611_686_113_692_811_986, 4_611_686_066_060_099_699, 4_611_686_042_243_743_740, 4_611_686_030_335_565_807,
    4_611_686_024_381_476_851, 4_611_686_021_404_432_377, 4_611_686_019_915_910_140, 4_611_686_019_171_649_022,
];

/// The deviates of the normal distribution in units of that of the 99th percentile, times 2^30: for a
/// tail of 1/2 and each of its 32 halvings, and for seven points between two halvings.
#[rustfmt::skip]
const DEVIATES: [u64; 257] = [
    0, 36_191_787, 72_607_826, 109_482_261, 147_070_185, 185_661_278, 225_598_106, 267_302_423,
    311_315_372, 334_404_585, 358_362_791, 383_327_995, 409_468_582, 436_993_616, 466_167_893, 497_334_704,
    530_951_650, 548_866_966, 567_649_749, 587_422_791, 608_336_973, 630_580_746, 654_393_998, 680_089_071,
    708_083_864, 723_115_867, 738_956_535, 755_718_765, 773_541_479, 792_598_421, 813_111_066, 835_368_182,
    859_756_675, 872_909_832, 886_812_634, 901_569_960, 917_310_978, 934_197_376, 952_435_461, 972_294_494,
    994_135_644, 1_005_948_686, 1_018_459_932, 1_031_767_552, 1_045_992_534, 1_061_286_446, 1_077_842_833, 1_095_914_523,
    1_115_840_953, 1_126_640_013, 1_138_093_476, 1_150_293_822, 1_163_355_093, 1_177_420_249, 1_192_671_968, 1_209_349_059,
    1_227_772_393, 1_237_771_641, 1_248_387_930, 1_259_708_854, 1_271_842_490, 1_284_924_393, 1_299_127_882, 1_314_679_671,
    1_331_884_594, 1_341_233_164, 1_351_166_632, 1_361_768_356, 1_373_141_231, 1_385_414_375, 1_398_752_957, 1_413_373_154,
    1_429_565_796, 1_438_372_234, 1_447_735_645, 1_457_735_673, 1_468_470_668, 1_480_064_096, 1_492_673_965, 1_506_507_174,
    1_521_842_213, 1_530_188_313, 1_539_066_886, 1_548_554_294, 1_558_744_866, 1_569_757_059, 1_581_742_532, 1_594_899_947,
    1_609_496_827, 1_617_445_961, 1_625_905_883, 1_634_950_029, 1_644_669_138, 1_655_177_196, 1_666_620_188, 1_679_189_406,
    1_693_142_553, 1_700_744_960, 1_708_838_805, 1_717_494_895, 1_726_800_746, 1_736_866_323, 1_747_832_500, 1_759_883_935,
    1_773_269_470, 1_780_565_746, 1_788_336_068, 1_796_648_869, 1_805_588_747, 1_815_262_028, 1_825_804_958, 1_837_396_178,
    1_850_276_498, 1_857_299_985, 1_864_781_785, 1_872_788_170, 1_881_401_087, 1_890_723_548, 1_900_887_584, 1_912_066_352,
    1_924_493_332, 1_931_271_798, 1_938_494_261, 1_946_225_022, 1_954_543_597, 1_963_549_970, 1_973_372_312, 1_984_178_755,
    1_996_196_060, 2_002_752_914, 2_009_740_672, 2_017_221_821, 2_025_273_649, 2_033_993_352, 2_043_505_552, 2_053_973_759,
    2_065_618_543, 2_071_973_730, 2_078_747_789, 2_086_001_534, 2_093_810_196, 2_102_268_399, 2_111_497_487, 2_121_656_697,
    2_132_960_878, 2_139_131_553, 2_145_709_994, 2_152_755_467, 2_160_341_301, 2_168_559_732, 2_177_529_067, 2_187_404_579,
    2_198_395_810, 2_204_396_848, 2_210_795_364, 2_217_649_187, 2_225_029_870, 2_233_027_437, 2_241_757_365, 2_251_371_241,
    2_262_073_659, 2_267_918_060, 2_274_150_374, 2_280_827_088, 2_288_018_103, 2_295_811_376, 2_304_319_745, 2_313_691_353,
    2_324_126_177, 2_329_825_376, 2_335_903_566, 2_342_415_980, 2_349_430_974, 2_357_034_569, 2_365_337_135, 2_374_483_588,
    2_384_669_583, 2_390_233_702, 2_396_168_465, 2_402_527_929, 2_409_379_002, 2_416_805_888, 2_424_916_639, 2_433_853_147,
    2_443_807_001, 2_449_245_048, 2_455_045_910, 2_461_262_537, 2_467_960_475, 2_475_222_220, 2_483_153_645, 2_491_893_792,
    2_501_630_425, 2_506_950_459, 2_512_625_943, 2_518_708_788, 2_525_263_254, 2_532_370_229, 2_540_133_527, 2_548_689_506,
    2_558_222_319, 2_563_431_582, 2_568_989_354, 2_574_946_562, 2_581_366_253, 2_588_327_794, 2_595_933_057, 2_604_315_859,
    2_613_656_941, 2_618_761_969, 2_624_208_950, 2_630_047_878, 2_636_340_654, 2_643_165_204, 2_650_621_560, 2_658_841_133,
    2_668_001_434, 2_673_008_151, 2_678_350_614, 2_684_077_935, 2_690_250_925, 2_696_946_146, 2_704_261_885, 2_712_327_269,
    2_721_316_740, 2_726_230_534, 2_731_474_186, 2_737_095_972, 2_743_155_669, 2_749_728_541, 2_756_911_215, 2_764_830_651,
    2_773_658_373, 2_778_484_158, 2_783_634_210, 2_789_156_007, 2_795_108_341, 2_801_565_241, 2_808_621_757, 2_816_402_782,
    2_825_077_063, 2_829_819_341, 2_834_880_565, 2_840_307_452, 2_846_157_856, 2_852_504_632, 2_859_441_323, 2_867_090_852,
    2_875_619_317, 2_880_282_221, 2_885_258_999, 2_890_595_642, 2_896_349_112, 2_902_591_138, 2_909_413_827, 2_916_938_222,
    2_925_327_891,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coordinates::Coordinates;
    use crate::seed::{RuleKey, Seed};

    const SLOW: fn() -> Lognormal = || Lognormal::new(50_000, 800_000);

    #[test]
    fn samples_have_known_values() {
        // Computed by a second implementation, and compared there with the exact function.
        for (bits, micros) in [
            (0, 26),
            (1, 26),
            (1 << 63, 95_390_091),
            (u64::MAX, 50_000),
            (u64::MAX >> 1, 50_000),
            (1 << 62, 22_379),
            (3 << 62, 111_708),
            (0x828f_5c28_f5c2_8f5b, 800_263),
        ] {
            assert_eq!(SLOW().sample(bits), micros, "{bits:#x}");
        }
    }

    #[test]
    fn drawn_samples_have_known_values() {
        let at = Coordinates {
            provider: "provider",
            route: "create_charge",
            operation: "op-0001",
            submit: 1,
            attempt: 1,
        };
        let key = RuleKey::new(Seed::new(42).expect("in range"), "slow");
        let mut draw = key.draw(&at).fork("latency", 0);
        let samples: Vec<u64> = (0..6).map(|_| SLOW().sample(draw.bits())).collect();
        assert_eq!(samples, [70_645, 47_892, 115_853, 15_965, 97_644, 58_940]);
    }

    #[test]
    fn half_lie_below_the_median_and_one_in_a_hundred_above_the_99th_percentile() {
        // The bits run evenly over all values, so the shares are exact up to the table's error.
        let samples = (0..100_000_u64).map(|n| SLOW().sample(n * (u64::MAX / 100_000)));
        let (mut below, mut above) = (0, 0);
        for micros in samples {
            below += u32::from(micros < 50_000);
            above += u32::from(micros > 800_000);
        }
        assert!((49_990..=50_010).contains(&below), "{below}");
        assert!((995..=1_005).contains(&above), "{above}");
    }

    #[test]
    fn no_spread_is_always_the_median_and_a_huge_one_ends_at_a_day() {
        let even = Lognormal::new(7, 7);
        assert_eq!([0, 1 << 63, u64::MAX].map(|bits| even.sample(bits)), [7, 7, 7]);
        let huge = Lognormal::new(1, u64::MAX);
        assert_eq!(huge.sample(1 << 63), LONGEST_US);
        assert_eq!(huge.sample(0), 0);
    }

    #[test]
    fn logarithms_have_known_values() {
        assert_eq!(binary_logarithm(1), 0);
        assert_eq!(binary_logarithm(3), 6_807_362_105);
        assert_eq!(binary_logarithm(1 << 40), 40 << 32);
    }

    proptest! {
        #[test]
        fn more_of_the_tail_is_never_further_out(a: u64, b: u64) {
            let (near, far) = if (a << 1) > (b << 1) { (a, b) } else { (b, a) };
            prop_assert!(deviate(near) <= deviate(far));
        }

        #[test]
        fn a_sample_stays_in_bounds(p50: u64, p99: u64, bits: u64) {
            prop_assert!(Lognormal::new(p50, p99).sample(bits) <= LONGEST_US);
        }
    }
}
