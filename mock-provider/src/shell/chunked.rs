//! Where the pieces of a stream stand on the wire, each in a chunk of its own.
//!
//! HTTP writes `LENGTH CRLF PIECE CRLF` for each and `0 CRLF CRLF` behind the last; whoever counts bytes on
//! the wire must know where the pieces are in them.
//! **Invariant:** both counts grow together, and agree at the border of each piece.

/// The places of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    /// Of each piece: where its chunk ends on the wire, and where it ends in the body.
    ends: Vec<(u64, u64)>,
}

/// The bytes behind the last piece.
const LAST_CHUNK: u64 = 5;
const LINE_END: u64 = 2;

impl Chunked {
    pub(super) fn new(lengths: &[usize]) -> Self {
        let (mut wire, mut body) = (0_u64, 0_u64);
        let ends = lengths.iter().map(|&length| {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            wire =
                wire.saturating_add(head(length)).saturating_add(length).saturating_add(LINE_END);
            body = body.saturating_add(length);
            (wire, body)
        });
        Self { ends: ends.collect() }
    }

    /// All bytes on the wire.
    pub(super) fn whole(&self) -> u64 {
        self.ends.last().map_or(0, |(wire, _)| *wire).saturating_add(LAST_CHUNK)
    }

    /// Where on the wire so many bytes of the body have gone out; at the border of a piece its chunk is
    /// over.
    pub(super) fn on_the_wire(&self, body_bytes: u64) -> u64 {
        let (mut wire_start, mut body_start) = (0, 0);
        for (wire, body) in &self.ends {
            if body_bytes == body_start {
                break;
            }
            if body_bytes < *body {
                return wire_start + head(body - body_start) + (body_bytes - body_start);
            }
            (wire_start, body_start) = (*wire, *body);
        }
        wire_start
    }

    /// How many bytes of the body so many bytes on the wire hold.
    pub(super) fn of_the_body(&self, wire_bytes: u64) -> u64 {
        let (mut wire_start, mut body_start) = (0, 0);
        for (wire, body) in &self.ends {
            if wire_bytes < *wire {
                let length = body - body_start;
                let inside = wire_bytes.saturating_sub(wire_start + head(length));
                return body_start + inside.min(length);
            }
            (wire_start, body_start) = (*wire, *body);
        }
        body_start
    }
}

/// The bytes in front of a piece: its length in hexadecimal digits and a line end.
fn head(length: u64) -> u64 {
    u64::from(length.checked_ilog(16).unwrap_or(0) + 1) + LINE_END
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_among_their_chunks() {
        // `5 CRLF hello CRLF 10 CRLF (16 bytes) CRLF 0 CRLF CRLF`.
        let chunked = Chunked::new(&[5, 16]);
        assert_eq!(chunked.whole(), 10 + 22 + 5);
        for (body, wire) in [(0, 0), (1, 4), (4, 7), (5, 10), (6, 15), (20, 29), (21, 32), (99, 32)]
        {
            assert_eq!(chunked.on_the_wire(body), wire, "{body} bytes of the body");
            assert_eq!(chunked.of_the_body(wire), body.min(21), "{wire} bytes on the wire");
        }
        for (wire, body) in [(2, 0), (3, 0), (8, 5), (9, 5), (12, 5), (14, 5), (37, 21)] {
            assert_eq!(chunked.of_the_body(wire), body, "{wire} bytes on the wire");
        }
        assert_eq!(Chunked::new(&[]).whole(), 5);
    }
}
