//! How hard a set of keys is to guess, from the keys alone.
//!
//! Looks for what is the same in all of them, what only counts up, and which characters they are drawn
//! from. Knows nothing about clients.
//! **Invariant:** an estimate from above: keys that are drawn well are never taken for weak ones.

/// True for the characters of an alphabet.
type IsOne = fn(char) -> bool;

/// The bits of one drawn character, in thousandths, by the characters that keys are made of.
const ALPHABETS: [(IsOne, u64); 6] = [
    (is_digit, 3_321),
    (is_lower_hex, 4_000),
    (is_upper_hex, 4_000),
    (is_lower, 5_169),
    (is_upper, 5_169),
    (is_letter, 5_954),
];

/// The bits of one drawn character of any other kind, in thousandths.
const ANY: u64 = 6_000;

fn is_digit(one: char) -> bool {
    one.is_ascii_digit()
}

fn is_lower_hex(one: char) -> bool {
    matches!(one, '0'..='9' | 'a'..='f')
}

fn is_upper_hex(one: char) -> bool {
    matches!(one, '0'..='9' | 'A'..='F')
}

fn is_lower(one: char) -> bool {
    one.is_ascii_digit() || one.is_ascii_lowercase()
}

fn is_upper(one: char) -> bool {
    one.is_ascii_digit() || one.is_ascii_uppercase()
}

fn is_letter(one: char) -> bool {
    one.is_ascii_alphanumeric()
}

/// About how many bits of each key cannot be known from the others, in thousandths of a bit. The keys come
/// in the order in which they were first used.
pub(super) fn strength(keys: &[&str]) -> u64 {
    let parts: Vec<Vec<&str>> = keys.iter().map(|key| split(key)).collect();
    let number = parts.iter().map(Vec::len).min().unwrap_or(0);
    let is_even = parts.iter().all(|one| one.len() == number);
    let columns: Vec<Vec<&str>> = if is_even {
        (0..number).map(|at| parts.iter().map(|one| one[at]).collect()).collect()
    } else {
        vec![keys.to_vec()]
    };
    columns.iter().map(|column| of_column(column)).sum()
}

/// The parts of a key between its separators.
fn split(key: &str) -> Vec<&str> {
    key.split(|one: char| !one.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect()
}

/// The bits of what stands in one place of all keys.
fn of_column(column: &[&str]) -> u64 {
    let texts: Vec<Vec<char>> = column.iter().map(|text| text.chars().collect()).collect();
    let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    if shortest != longest {
        // Counters grow longer as they grow.
        let by_size = |text: &Vec<char>| (text.len(), text.clone());
        if texts.windows(2).all(|two| by_size(&two[0]) < by_size(&two[1])) {
            return 0;
        }
    }
    let known = counts_up(&texts, shortest);
    let drawn: Vec<usize> = (known..shortest)
        .filter(|at| texts.windows(2).any(|two| two[0][*at] != two[1][*at]))
        .collect();
    let used = || drawn.iter().flat_map(|at| texts.iter().map(|text| text[*at]));
    let each =
        ALPHABETS.iter().find(|(is_one, _)| used().all(is_one)).map_or(ANY, |(_, bits)| *bits);
    each * u64::try_from(drawn.len()).unwrap_or(u64::MAX / each.max(1))
}

/// How many characters from the left only count up: those before which, and with which, no key comes before
/// an earlier one, as far as it takes to tell all keys apart.
fn counts_up(texts: &[Vec<char>], length: usize) -> usize {
    let mut known = 0;
    for upto in 1..=length {
        let mut pairs = texts.windows(2).map(|two| two[0][..upto].cmp(&two[1][..upto]));
        if pairs.clone().any(std::cmp::Ordering::is_gt) {
            break;
        }
        known = upto;
        if pairs.all(std::cmp::Ordering::is_lt) {
            break;
        }
    }
    // What is the same in all keys counts up as well, and says nothing.
    known
}

#[cfg(test)]
mod tests {
    use super::strength;

    /// A number that looks drawn, the same in every run.
    fn drawn(n: u64, salt: u64) -> u64 {
        let mut x =
            (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95);
        for _ in 0..3 {
            x ^= x >> 29;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x ^= x >> 32;
        }
        x
    }

    fn bits(key: impl Fn(u64) -> String) -> u64 {
        let keys: Vec<String> = (0..20).map(key).collect();
        strength(&keys.iter().map(String::as_str).collect::<Vec<_>>()) / 1_000
    }

    #[test]
    fn drawn_keys_are_strong() {
        let uuid = |n: u64| {
            let (a, b) = (drawn(n, 1), drawn(n, 2));
            format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                a >> 32,
                (a >> 16) & 0xffff,
                a & 0xfff,
                b >> 52,
                b & 0xffff_ffff_ffff
            )
        };
        assert_eq!(bits(uuid), 120);
        assert_eq!(bits(|n| format!("{:016x}", drawn(n, 3))), 64);
        assert!(
            bits(|n| format!(
                "order-{:032X}",
                u128::from(drawn(n, 4)) << 64 | u128::from(drawn(n, 5))
            )) >= 124
        );
    }

    #[test]
    fn times_with_enough_behind_them_are_strong() {
        // As in ULID and UUIDv7: milliseconds, and then 80 bits.
        let timed = |apart: u64| {
            bits(move |n| {
                format!(
                    "{:012x}{:016x}{:04x}",
                    1_800_000_000_000 + n * apart,
                    drawn(n, 6),
                    drawn(n, 7) & 0xffff
                )
            })
        };
        for apart in [0, 1, 7, 1_000, 100_000] {
            assert!(timed(apart) >= 64, "{apart} ms apart: {}", timed(apart));
        }
    }

    #[test]
    fn counters_times_and_short_draws_are_weak() {
        assert_eq!(bits(|n| n.to_string()), 0);
        assert_eq!(bits(|n| format!("key-{n:06}")), 0);
        assert_eq!(bits(|n| format!("charge{}", n + 95)), 0);
        assert!(bits(|n| format!("{}", 1_800_000_000_000_000 + n * 53_217)) < 64);
        assert!(bits(|n| format!("{:08x}", drawn(n, 8) >> 32)) <= 32);
        assert!(bits(|n| format!("{:019}", drawn(n, 9) % 1_000_000)) < 64);
        // A process that counts on from a drawn number.
        assert!(bits(|n| format!("b0d4a7c19e3f5d21-{n}")) < 64);
    }
}
