//! Answers that HTTP/1.1 would frame otherwise: a wrong length, bad chunks, a cut that is legal, garbage.
//!
//! Knows neither faults nor sockets: an answer goes in, and the bytes of its head and of all that follows
//! the head come out. **Invariant:** what is said of the result is true of the bytes: how much of the body
//! arrives with a reader that follows the rules, and whether such a reader takes it for whole.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

/// A way of framing an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misframed {
    /// The head announces so many bytes more than follow, or fewer where it is below 0.
    WrongLength {
        /// Added to the length of the body; not 0.
        delta: i64,
    },
    /// In chunks, the first of which has a size that is no number.
    BadSize,
    /// In chunks, without the last one, which has no bytes and says that this is all.
    NoLastChunk,
    /// A beginning of the body, with no length: whatever comes before the close is all of it.
    UntilClose {
        /// Bytes of the body; the last one never goes out.
        after_bytes: u64,
    },
    /// A beginning of the body in chunks, with a proper last one.
    LastChunk {
        /// Bytes of the body; the last one never goes out.
        after_bytes: u64,
    },
    /// No HTTP at all: these bytes.
    Raw(Bytes),
}

/// An answer in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// The status line and all headers with the blank line; empty where no HTTP is spoken.
    pub head: Bytes,
    /// All that follows the head.
    pub rest: Bytes,
    /// How many bytes of the body a reader gets that follows the rules.
    pub arrives: usize,
    /// True when such a reader takes what it got for whole.
    pub whole: bool,
}

impl Misframed {
    /// The bytes of an answer with a body. `headers` hold none of the connection's own.
    #[must_use]
    pub fn frame(&self, status: u16, headers: &HeaderMap, body: &Bytes) -> Framed {
        let head = |more: &str| head(status, headers, more);
        let part = |after_bytes: u64| {
            let most = body.len().saturating_sub(1);
            body.slice(..usize::try_from(after_bytes).unwrap_or(most).min(most))
        };
        let chunked = "transfer-encoding: chunked\r\n";
        match self {
            Self::WrongLength { delta } => {
                let length = i64::try_from(body.len()).unwrap_or(i64::MAX);
                let announced = length.saturating_add(*delta).max(0);
                let arrives = usize::try_from(announced).unwrap_or(0).min(body.len());
                Framed {
                    head: head(&format!("content-length: {announced}\r\n")),
                    rest: body.clone(),
                    arrives,
                    whole: announced <= length,
                }
            }
            Self::BadSize => Framed {
                head: head(chunked),
                rest: [b"x\r\n", &**body, b"\r\n0\r\n\r\n"].concat().into(),
                arrives: 0,
                whole: false,
            },
            Self::NoLastChunk => {
                Framed { head: head(chunked), rest: chunk(body), arrives: body.len(), whole: false }
            }
            Self::UntilClose { after_bytes } => {
                let rest = part(*after_bytes);
                let arrives = rest.len();
                Framed { head: head("connection: close\r\n"), rest, arrives, whole: true }
            }
            Self::LastChunk { after_bytes } => {
                let part = part(*after_bytes);
                let rest = [&*chunk(&part), b"0\r\n\r\n"].concat().into();
                Framed { head: head(chunked), rest, arrives: part.len(), whole: true }
            }
            Self::Raw(bytes) => {
                Framed { head: Bytes::new(), rest: bytes.clone(), arrives: 0, whole: false }
            }
        }
    }
}

/// One chunk; none of no bytes, for that would be the last.
fn chunk(bytes: &[u8]) -> Bytes {
    if bytes.is_empty() {
        return Bytes::new();
    }
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat().into()
}

/// A head with more header lines at its end.
fn head(status: u16, headers: &HeaderMap, more: &str) -> Bytes {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut head = BytesMut::new();
    head.put_slice(format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Status")).as_bytes());
    for (name, value) in headers {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(more.as_bytes());
    head.put_slice(b"\r\n");
    head.freeze()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn framed(how: &Misframed) -> (String, String, usize, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let Framed { head, rest, arrives, whole } =
            how.frame(201, &headers, &Bytes::from_static(b"0123456789"));
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        (text(head), text(rest), arrives, whole)
    }

    fn head_with(more: &str) -> String {
        format!("HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\n{more}\r\n\r\n")
    }

    #[test]
    fn a_length_is_wrong_by_so_many_bytes_and_never_below_0() {
        for (delta, announced, arrives, whole) in
            [(3, 13, 10, false), (-3, 7, 7, true), (-10, 0, 0, true), (-99, 0, 0, true)]
        {
            let (head, rest, came, is_whole) = framed(&Misframed::WrongLength { delta });
            assert_eq!(head, head_with(&format!("content-length: {announced}")));
            assert_eq!((rest.as_str(), came, is_whole), ("0123456789", arrives, whole), "{delta}");
        }
    }

    #[test]
    fn chunks_are_wrong_in_one_thing_each() {
        let head = head_with("transfer-encoding: chunked");
        let bad_size = (head.clone(), "x\r\n0123456789\r\n0\r\n\r\n".to_owned(), 0, false);
        assert_eq!(framed(&Misframed::BadSize), bad_size);
        let no_last = (head, "a\r\n0123456789\r\n".to_owned(), 10, false);
        assert_eq!(framed(&Misframed::NoLastChunk), no_last);
    }

    #[test]
    fn a_clean_cut_keeps_the_last_byte_back_and_is_legal() {
        for (after_bytes, part) in [(0, ""), (4, "0123"), (10, "012345678"), (99, "012345678")] {
            let (head, rest, arrives, whole) = framed(&Misframed::UntilClose { after_bytes });
            assert_eq!(head, head_with("connection: close"));
            assert_eq!((rest.as_str(), arrives, whole), (part, part.len(), true));
            let (_, rest, arrives, whole) = framed(&Misframed::LastChunk { after_bytes });
            let chunk = match part.len() {
                0 => String::new(),
                length => format!("{length:x}\r\n{part}\r\n"),
            };
            assert_eq!((rest, arrives, whole), (format!("{chunk}0\r\n\r\n"), part.len(), true));
        }
    }

    #[test]
    fn garbage_has_no_head() {
        let garbage = framed(&Misframed::Raw(Bytes::from_static(b"!")));
        assert_eq!(garbage, (String::new(), "!".to_owned(), 0, false));
    }
}
