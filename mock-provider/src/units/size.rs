//! Numbers of bytes as people write them.
//!
//! **Invariant:** as for the other quantities: no float, and a bare number is none.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Mistake;

/// The units, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// A number of bytes in words: `64KiB`, `1MB`, `500B`.
///
/// ```
/// use brownout_provider::units::Size;
/// let size: Size = "64KiB".parse().expect("well-formed");
/// assert_eq!(size.bytes(), 65_536);
/// assert_eq!(size.to_string(), "64KiB");
/// assert!("65536".parse::<Size>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if digits > 0 && unit.is_empty() {
            return Err(Mistake(format!(
                "`{text}` has no unit; write `{text}B`, `{text}KiB` or another unit"
            )));
        }
        let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
        let bytes = unit.and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes));
        bytes.map(Self).ok_or_else(|| {
            Mistake(format!(
                "`{text}` is no number of bytes; write it as `500B`, `64KiB`, `1MB` or `16MiB`"
            ))
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |bytes: u64| self.0 > 0 && self.0.is_multiple_of(bytes);
        let (unit, bytes) = UNITS.iter().find(|(_, bytes)| whole(*bytes)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

words!(
    Size,
    "size",
    "a number of bytes",
    "A number of bytes in words, with its unit.",
    ["1MiB", "64KiB", "500B"]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_with_their_unit() {
        for (text, bytes, written) in [
            ("0B", 0, "0B"),
            ("500 B", 500, "500B"),
            ("1kb", 1_000, "1kB"),
            ("1KiB", 1_024, "1KiB"),
            ("1500KiB", 1_536_000, "1500KiB"),
            ("16mib", 16 << 20, "16MiB"),
            ("2GB", 2_000_000_000, "2GB"),
        ] {
            let size: Size = text.parse().expect(text);
            assert_eq!((size.bytes(), &*size.to_string()), (bytes, written), "{text}");
            assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }
        for text in ["", "MiB", "1.5MiB", "64", "-1B", "1 parsec", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
