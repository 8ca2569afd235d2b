//! Bytes as hexadecimal digits.
//!
//! It knows nothing about what the bytes mean.
//! **Invariant:** two digits a byte, in lower case, in the order of the bytes.

/// Hands at most 32 bytes over as hexadecimal digits.
pub(crate) fn as_hex<const BYTES: usize, T>(
    bytes: &[u8; BYTES],
    take: impl FnOnce(&str) -> T,
) -> T {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0_u8; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    take(std::str::from_utf8(&text[..2 * BYTES]).expect("hexadecimal digits are UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_two_digits() {
        assert_eq!(as_hex(&[0x00, 0x0f, 0xa0, 0xff], str::to_owned), "000fa0ff");
    }
}
