//! Bytes as base64 (RFC 4648, the standard alphabet), and back.
//!
//! It knows nothing about what the bytes mean.
//! **Invariant:** what was encoded decodes to the same bytes; no text makes decoding panic.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes in base64, padded.
///
/// ```
/// assert_eq!(brownout_provider::base64::encode(b"key"), "a2V5");
/// ```
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let six = usize::try_from(bits >> (18 - 6 * place) & 0x3f).unwrap_or(0);
            text.push(if place > three.len() { '=' } else { char::from(ALPHABET[six]) });
        }
    }
    text
}

/// The bytes that a text in base64 stands for, padded or not; `None` for one that is none.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.chunks(4) {
        if four.len() == 1 {
            return None;
        }
        let mut bits = 0_u32;
        for place in 0..4 {
            let six = match four.get(place) {
                Some(byte) => ALPHABET.iter().position(|one| one == byte)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(six).ok()?;
        }
        bytes.extend(bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_go_there_and_back() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(text.as_bytes()), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn all_lengths_go_there_and_back_and_what_is_none_is_refused() {
        for length in 0..20_u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        for wrong in ["A", "AAAAA", "A-", "é", "A A A"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
