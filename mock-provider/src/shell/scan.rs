//! Finds where the head of an answer ends in the bytes that leave.
//!
//! **Invariant:** the result does not depend on how the bytes are cut into pieces.

/// Finds the end of an answer's head; heads of interim answers (1xx) before it are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeadScan {
    /// Bytes of the current head so far, up to the tenth.
    seen: usize,
    /// How much of the blank line has been matched.
    matched: usize,
    /// True when the current head is an interim answer's.
    interim: bool,
}

/// The byte of `HTTP/1.1 201` that says the class of the status.
const CLASS_INDEX: usize = 9;
const BLANK_LINE: &[u8; 4] = b"\r\n\r\n";

impl HeadScan {
    /// Takes the next bytes; the number of those that still belong to the head, once it has ended.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.seen <= CLASS_INDEX {
                self.interim = self.seen == CLASS_INDEX && byte == b'1';
                self.seen += 1;
            }
            self.matched = match byte {
                _ if byte == BLANK_LINE[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.matched == BLANK_LINE.len() {
                if !self.interim {
                    return Some(index + 1);
                }
                *self = Self::default();
            }
        }
        None
    }

    /// The same for a buffer that begins with the head and, if it holds all of the body, ends with the
    /// body: looks at four bytes in the common case.
    ///
    /// Where the buffer holds less than the whole body, the four bytes lie inside the head, which has no
    /// blank line before its end; so a match is always the end of the head.
    pub(super) fn guess(&self, bytes: &[u8], body_bytes: usize) -> Option<usize> {
        if *self != Self::default() || bytes.get(CLASS_INDEX) == Some(&b'1') {
            return None;
        }
        let end = bytes.len().checked_sub(body_bytes)?;
        let start = end.checked_sub(BLANK_LINE.len())?;
        (&bytes[start..end] == BLANK_LINE).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 201 Created\r\nX: 1\r\n\r\n";

    #[test]
    fn the_end_is_found_however_the_bytes_are_cut() {
        let interim: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let all = [interim, HEAD, b"body\r\n\r\nmore"].concat();
        let end = interim.len() + HEAD.len();
        for cut in 0..end {
            let mut scan = HeadScan::default();
            assert_eq!(scan.feed(&all[..cut]), None);
            assert_eq!(scan.feed(&all[cut..]), Some(end - cut), "cut at {cut}");
        }
        let mut scan = HeadScan::default();
        let last = all[..end].iter().filter_map(|byte| scan.feed(&[*byte])).count();
        assert_eq!(last, 1);
    }

    #[test]
    fn a_carriage_return_too_many_does_not_hide_the_end() {
        let mut scan = HeadScan::default();
        let bytes = b"HTTP/1.1 200 OK\r\nX: a\r\r\n\r\n";
        assert_eq!(scan.feed(bytes), Some(bytes.len()));
    }

    #[test]
    fn a_guess_is_right_or_none() {
        let scan = HeadScan::default();
        let body = b"\r\n\r\n\r\n\r\n";
        let all = [HEAD, body].concat();
        assert_eq!(scan.guess(&all, body.len()), Some(HEAD.len()));
        for held in 0..body.len() {
            assert_eq!(scan.guess(&all[..HEAD.len() + held], body.len()), None);
        }
        assert_eq!(scan.guess(b"HTTP/1.1 100 Continue\r\n\r\n", 0), None);
        assert_eq!(scan.guess(b"HTT", 5), None);
    }
}
