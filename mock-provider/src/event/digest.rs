//! What stands in a trace for bytes that are only compared.
//!
//! **Invariant:** two digests are equal exactly where the bytes are, as far as anybody can tell.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hex::as_hex;

/// Sixteen bytes of a SHA-256, written as 32 hexadecimal digits (empty when unset).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest16(pub [u8; 16]);

impl Digest16 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self::of_hash(sha2::Sha256::new_with_prefix(bytes))
    }

    /// The digest of several parts: others, or cut elsewhere, have another.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        use sha2::Digest;
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self::of_hash(hash)
    }

    /// The first half of a whole SHA-256 in hexadecimal; `None` for another text.
    #[must_use]
    pub fn of_hexadecimal(text: &str) -> Option<Self> {
        let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let half = text.get(..32).filter(|_| is_one)?;
        serde_json::from_value(Value::from(half)).ok()
    }

    fn of_hash(hash: sha2::Sha256) -> Self {
        use sha2::Digest;
        let full: [u8; 32] = hash.finalize().into();
        let mut short = [0; 16];
        short.copy_from_slice(&full[..16]);
        Self(short)
    }
}

impl std::fmt::Debug for Digest16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Digest16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        as_hex(&self.0, |text| f.write_str(text))
    }
}

impl Serialize for Digest16 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_hex(&self.0, |text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Digest16 {
    /// Takes 32 hexadecimal digits; any other text stands for its own digest, so that a trace written
    /// by hand may say `"body_digest": "a"`.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl serde::de::Visitor<'_> for Digits {
            type Value = Digest16;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest16, E> {
                Ok(decoded(text).unwrap_or_else(|| Digest16::of(text.as_bytes())))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

/// The bytes that 32 hexadecimal digits stand for.
fn decoded(text: &str) -> Option<Digest16> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; 16] = pairs.try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(Digest16(bytes))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
