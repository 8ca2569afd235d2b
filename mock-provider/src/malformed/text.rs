//! Bodies whose bytes are spoiled, or are not the API's at all.
//!
//! **Invariant:** nothing here looks at what a field means.

use bytes::Bytes;
use serde_json::Value;

/// What a gateway shows to people when the service behind it is gone.
pub(super) const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<head><title>Service unavailable</title></head>\n\
    <body>\n<h1>We will be right back</h1>\n\
    <p>The service that you are trying to reach does not answer at the moment.</p>\n\
    <hr><p>edge gateway</p>\n</body>\n</html>\n";

/// How many lists lie in each other: more than a reader that calls itself for each of them survives.
const DEPTH: usize = 100_000;

/// The first half, or less, so that it is no JSON.
pub(super) fn truncated(body: &Bytes) -> Bytes {
    let mut length = body.len() / 2;
    // Half of an object or a list is never JSON; half of a number may be.
    while length > 0 && serde_json::from_slice::<Value>(&body[..length]).is_ok() {
        length -= 1;
    }
    if length == 0 { Bytes::from_static(b"{") } else { body.slice(..length) }
}

/// The body under `data`.
pub(super) fn nested(body: &Bytes) -> Bytes {
    let body: &[u8] = if body.is_empty() { b"null" } else { body };
    [b"{\"data\":", body, b"}"].concat().into()
}

/// Lists in lists, and nothing in the innermost.
pub(super) fn deep() -> Bytes {
    [b"[".repeat(DEPTH), b"]".repeat(DEPTH)].concat().into()
}

/// The body with a byte order mark in front.
pub(super) fn marked(body: &Bytes) -> Bytes {
    [b"\xEF\xBB\xBF", &body[..]].concat().into()
}
