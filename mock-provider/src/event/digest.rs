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
        let text = String::deserialize(deserializer)?;
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::of(text.as_bytes()));
        }
        let mut bytes = [0_u8; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16)
                .map_err(serde::de::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}
