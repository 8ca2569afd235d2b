//! Bodies that are too large, wrongly packed, or both.
//!
//! **Invariant:** nothing here expands to more than [`MOST_BYTES`], and what is large is made once for all
//! requests.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The most that a body holds, unpacked: 64 MiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// How many bytes are packed at once.
const PIECE: usize = 64 << 10;
/// How many sizes of bombs are kept.
const KEPT: usize = 8;

/// The head of a packed body: no name, no time, no system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The largest white space that was asked for so far, with `{}` behind it.
static BLANK: Mutex<Bytes> = Mutex::new(Bytes::new());
/// Packed white space by its size: packing is slow, and the result always the same.
static BOMBS: Mutex<BTreeMap<u64, Bytes>> = Mutex::new(BTreeMap::new());

/// White space and an empty object, so many bytes together.
pub(super) fn huge(size: u64) -> Bytes {
    let size = usize::try_from(size.clamp(2, MOST_BYTES)).unwrap_or(2);
    let mut blank = BLANK.lock().unwrap_or_else(PoisonError::into_inner);
    if blank.len() < size {
        let mut bytes = vec![b' '; size];
        bytes[size - 2..].copy_from_slice(b"{}");
        *blank = Bytes::from(bytes);
    }
    // Every size shares the same memory: the end of the largest.
    blank.slice(blank.len() - size..)
}

/// What unpacks to so many bytes of white space and an empty object.
pub(super) fn bomb(size: u64) -> Bytes {
    let size = size.clamp(2, MOST_BYTES);
    let mut bombs = BOMBS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bomb) = bombs.get(&size) {
        return bomb.clone();
    }
    let blanks = vec![b' '; PIECE];
    let mut left = usize::try_from(size - 2).unwrap_or(0);
    let pieces = std::iter::from_fn(|| {
        let piece = left.min(PIECE);
        left -= piece;
        (piece > 0).then(|| &blanks[..piece])
    });
    let bomb = packed(pieces.chain([&b"{}"[..]]));
    if bombs.len() >= KEPT {
        bombs.clear();
    }
    bombs.insert(size, bomb.clone());
    bomb
}

/// A head that promises gzip, and a block of a type that there is not, so that not even the most lenient
/// reader unpacks a byte.
pub(super) fn bad_gzip() -> Bytes {
    [&GZIP_HEAD[..], &[0xff; 32]].concat().into()
}

/// The first half of the packed body.
pub(super) fn truncated_gzip(body: &Bytes) -> Bytes {
    let whole = packed([&body[..]].into_iter());
    whole.slice(..whole.len() / 2)
}

/// These bytes, packed.
fn packed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for piece in pieces {
        encoder.write_all(piece).expect("a vector takes all that is written");
    }
    encoder.finish().expect("a vector takes all that is written").into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
        let mut out = Vec::new();
        match GzDecoder::new(bytes).read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(_) => Err(out),
        }
    }

    #[test]
    fn a_large_body_is_blank_and_ends_in_an_empty_object() {
        for size in [2, 3, 70_000, 5] {
            let body = huge(size);
            assert_eq!(body.len(), usize::try_from(size).unwrap());
            assert_eq!(body.trim_ascii(), b"{}");
        }
        assert_eq!(huge(u64::MAX).len(), 64 << 20);
    }

    #[test]
    fn a_bomb_unpacks_to_its_size_and_is_small() {
        for size in [2_u64, 1_000, 1 << 20] {
            let bomb = bomb(size);
            let body = unpacked(&bomb).expect("well packed");
            assert_eq!(body.len(), usize::try_from(size).unwrap());
            assert_eq!(body.trim_ascii(), b"{}");
            assert!(bomb.len() < 64 + body.len() / 500, "{}", bomb.len());
        }
        assert_eq!(bomb(1), bomb(2));
    }

    #[test]
    fn what_is_wrongly_packed_gives_no_answer_to_anybody() {
        assert_eq!(unpacked(&bad_gzip()), Err(Vec::new()));
        let body = Bytes::from(r#"{"id":"ch_Ab3kd93Kdls93kd","status":"succeeded","amount":1999}"#);
        let part = unpacked(&truncated_gzip(&body)).expect_err("it is cut");
        assert!(body.starts_with(&part) && part.len() < body.len() - 8, "{part:?}");
        assert_eq!(unpacked(&packed([&body[..]].into_iter())), Ok(body.to_vec()));
    }
}
