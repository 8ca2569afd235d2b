//! Amounts of money and tokens as people write them.
//!
//! **Invariant:** integers only; an amount in its smallest part is written exactly, never rounded.

/// Currencies without a smaller part.
const NO_DECIMALS: &[&str] = &[
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
];

/// Currencies whose smaller part is a thousandth.
const THREE_DECIMALS: &[&str] = &["bhd", "jod", "kwd", "omr", "tnd"];

/// True for a unit that is a currency: three letters, as in ISO 4217.
#[must_use]
pub fn is_currency(unit: &str) -> bool {
    unit.len() == 3 && unit.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// An amount in the smallest part of its unit, as people write it: `239.88 USD`, `1,200 JPY`,
/// `4,096 tokens`.
///
/// ```
/// use brownout::amount::amount;
/// assert_eq!(amount("usd", 23988), "239.88 USD");
/// assert_eq!(amount("jpy", 1200), "1,200 JPY");
/// assert_eq!(amount("tokens", 4096), "4,096 tokens");
/// ```
#[must_use]
pub fn amount(unit: &str, value: i64) -> String {
    if !is_currency(unit) {
        return format!("{} {unit}", grouped(value));
    }
    let lower = unit.to_ascii_lowercase();
    let (part, width) = if NO_DECIMALS.contains(&lower.as_str()) {
        (1, 0)
    } else if THREE_DECIMALS.contains(&lower.as_str()) {
        (1_000, 3)
    } else {
        (100, 2)
    };
    let unit = unit.to_ascii_uppercase();
    if part == 1 {
        return format!("{} {unit}", grouped(value));
    }
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / part, value.unsigned_abs() % part);
    format!("{sign}{}.{rest:0width$} {unit}", digits_grouped(whole))
}

/// A number with a comma between groups of three digits.
#[must_use]
pub fn grouped(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", digits_grouped(value.unsigned_abs()))
}

/// A number and its noun: `1 attempt`, `2 attempts`.
#[must_use]
pub fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `once`, `twice`, `3 times`.
#[must_use]
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

fn digits_grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_in_every_kind_of_unit() {
        for (unit, value, expected) in [
            ("usd", 1999, "19.99 USD"),
            ("usd", 5, "0.05 USD"),
            ("eur", 123_456_789, "1,234,567.89 EUR"),
            ("usd", -1999, "-19.99 USD"),
            ("jpy", 1999, "1,999 JPY"),
            ("kwd", 1999, "1.999 KWD"),
            ("tokens", 999, "999 tokens"),
            ("usd", i64::MIN, "-92,233,720,368,547,758.08 USD"),
        ] {
            assert_eq!(amount(unit, value), expected, "{value} {unit}");
        }
    }
}
