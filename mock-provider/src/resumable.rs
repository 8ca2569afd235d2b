//! Uploads in pieces: how much of each file is there, and what of it.
//!
//! A piece says its place; what is there already is passed over, and what would leave a gap is not taken. Faults
//! spoil what is kept or what is said, never the bookkeeping. Knows nothing of objects, effects or answers.
//! **Invariant:** without a fault, what is whole is the source, whichever pieces came how often in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::fault::UploadFault;

/// The place of a piece: `bytes FROM-TO/SIZE`, or `bytes */SIZE` for a question, which also says how large a file
/// is whose pieces did not: `bytes FROM-TO/*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// From which byte on; `None` for a question.
    pub from: Option<u64>,
    /// How many bytes it says it has; 0 for a question.
    pub length: u64,
    /// How large the whole file is; `None` for `*`.
    pub size: Option<u64>,
}

impl ContentRange {
    /// Reads the value of a header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (place, size) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
        let size = match size.trim() {
            "*" => None,
            size => Some(size.parse().ok()?),
        };
        if place.trim() == "*" {
            return Some(Self { from: None, length: 0, size });
        }
        let (from, to) = place.split_once('-')?;
        let (from, to): (u64, u64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        let length = to.checked_sub(from)?.checked_add(1)?;
        let fits = size.is_none_or(|size| from.checked_add(length).is_some_and(|end| end <= size));
        fits.then_some(Self { from: Some(from), length, size })
    }
}

/// What became of a piece, or the answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Took {
    /// So many bytes are said to be there, and more are to come.
    Part {
        /// How many.
        stored: u64,
    },
    /// The file is whole.
    Whole {
        /// How large it is.
        size: u64,
        /// The SHA-256 of what is kept, in hexadecimal.
        sha256: Arc<str>,
        /// True for the piece that made it whole.
        now: bool,
    },
    /// The upload takes no more.
    Expired,
    /// The piece is not what it says it is.
    Wrong(&'static str),
}

#[derive(Clone, Debug)]
struct Upload {
    ends_us: u64,
    size: Option<u64>,
    stored: u64,
    kept: Sha256,
    whole: Option<Arc<str>>,
}

/// The uploads of a provider, by the ids of their objects.
#[derive(Debug, Default)]
pub struct Uploads {
    uploads: BTreeMap<Arc<str>, Upload>,
}

impl Uploads {
    /// An upload begins, which takes pieces for so long.
    pub fn begin(&mut self, id: Arc<str>, lasts_us: u64, now_us: u64) {
        let ends_us = now_us.saturating_add(lasts_us);
        let upload = Upload { ends_us, size: None, stored: 0, kept: Sha256::new(), whole: None };
        self.uploads.insert(id, upload);
    }

    /// How large the file of an upload is, as far as that was said.
    #[must_use]
    pub fn size(&self, id: &str) -> Option<u64> {
        self.uploads.get(id)?.size
    }

    /// A piece comes, or a question; without a place the body is the whole file. `None` for an unknown upload.
    pub fn put(
        &mut self,
        (id, range): (&str, Option<ContentRange>),
        body: &[u8],
        fault: Option<UploadFault>,
        now_us: u64,
    ) -> Option<Took> {
        let upload = self.uploads.get_mut(id)?;
        if fault == Some(UploadFault::Expires) {
            upload.ends_us = now_us;
        }
        Some(upload.put(range, body, fault, now_us))
    }

    /// What would become of a piece or a question; nothing is kept.
    #[must_use]
    pub fn peek(
        &self,
        (id, range): (&str, Option<ContentRange>),
        body: &[u8],
        now_us: u64,
    ) -> Option<Took> {
        Some(self.uploads.get(id)?.clone().put(range, body, None, now_us))
    }
}

impl Upload {
    fn put(
        &mut self,
        range: Option<ContentRange>,
        body: &[u8],
        fault: Option<UploadFault>,
        now_us: u64,
    ) -> Took {
        if let (Some(sha256), Some(size)) = (&self.whole, self.size) {
            return Took::Whole { size, sha256: Arc::clone(sha256), now: false };
        }
        if now_us >= self.ends_us {
            return Took::Expired;
        }
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let range = range.unwrap_or(ContentRange { from: Some(0), length, size: Some(length) });
        if let (Some(known), Some(size)) = (self.size, range.size)
            && known != size
        {
            return Took::Wrong("the size of the file is not what it was said to be before");
        }
        if range.length != length {
            return Took::Wrong("the body is not as long as Content-Range says");
        }
        if range.size.is_some_and(|size| size < self.stored) {
            return Took::Wrong("there is more of the file than it is said to have");
        }
        self.size = self.size.or(range.size);
        let Some(from) = range.from else { return self.there() };
        if from > self.stored {
            return Took::Part { stored: self.stored };
        }
        let passed = usize::try_from(self.stored - from).unwrap_or(usize::MAX);
        let new = body.get(passed..).unwrap_or_default();
        self.keep(new, fault)
    }

    /// Keeps what is new of a piece.
    fn keep(&mut self, new: &[u8], fault: Option<UploadFault>) -> Took {
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let all = self.stored.saturating_add(length(new));
        match fault {
            Some(UploadFault::Lost) => return Took::Part { stored: self.stored },
            Some(UploadFault::Lies) => {
                let half = &new[..new.len() / 2];
                self.kept.update(half);
                self.stored = self.stored.saturating_add(length(half));
                return Took::Part { stored: all };
            }
            Some(UploadFault::Twice) => {
                self.kept.update(new);
                self.kept.update(new);
            }
            Some(UploadFault::Spoils) => {
                let spoilt: Vec<u8> = new.iter().map(|byte| byte ^ 0xff).collect();
                self.kept.update(spoilt);
            }
            Some(UploadFault::Expires) | None => self.kept.update(new),
        }
        self.stored = all;
        self.there()
    }

    /// What is there now, which may be all.
    fn there(&mut self) -> Took {
        let stored = self.stored;
        if self.size != Some(stored) {
            return Took::Part { stored };
        }
        let sha256: Arc<str> = crate::api::hexadecimal(self.kept.clone()).into();
        self.whole = Some(Arc::clone(&sha256));
        Took::Whole { size: stored, sha256, now: true }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let range = |from, length, size| Some(ContentRange { from, length, size });
        for (text, expected) in [
            ("bytes 0-9/100", range(Some(0), 10, Some(100))),
            ("bytes 90-99/100", range(Some(90), 10, Some(100))),
            ("bytes 5-5/*", range(Some(5), 1, None)),
            ("bytes */100", range(None, 0, Some(100))),
            ("bytes */*", range(None, 0, None)),
            ("bytes 90-100/100", None),
            ("bytes 9-5/100", None),
            ("bytes 0-18446744073709551615/*", None),
            ("items 0-9/100", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    const SOURCE: &[u8] = b"The quick brown fox jumps over the lazy dog.";

    fn piece(from: usize, to: usize) -> (ContentRange, &'static [u8]) {
        let number = |number: usize| u64::try_from(number).expect("it is small");
        let length = number(to - from);
        let size = Some(number(SOURCE.len()));
        (ContentRange { from: Some(number(from)), length, size }, &SOURCE[from..to])
    }

    fn put(uploads: &mut Uploads, (from, to): (usize, usize), fault: Option<UploadFault>) -> Took {
        let (range, body) = piece(from, to);
        uploads.put(("u", Some(range)), body, fault, 5).expect("it is known")
    }

    fn begun() -> Uploads {
        let mut uploads = Uploads::default();
        uploads.begin("u".into(), 100, 0);
        uploads
    }

    #[test]
    fn faults_spoil_what_is_kept_or_said() {
        let right = crate::api::sha256(SOURCE);
        let last = SOURCE.len();
        let mut lost = begun();
        assert_eq!(put(&mut lost, (0, 10), Some(UploadFault::Lost)), Took::Part { stored: 0 });
        let mut lies = begun();
        assert_eq!(put(&mut lies, (0, 10), Some(UploadFault::Lies)), Took::Part { stored: 10 });
        assert_eq!(put(&mut lies, (10, last), None), Took::Part { stored: 5 }, "a gap");
        for fault in [UploadFault::Twice, UploadFault::Spoils] {
            let mut spoilt = begun();
            assert_eq!(put(&mut spoilt, (0, 10), Some(fault)), Took::Part { stored: 10 });
            let whole = put(&mut spoilt, (10, last), None);
            assert!(
                matches!(&whole, Took::Whole { sha256, now: true, .. } if **sha256 != right),
                "{whole:?}"
            );
        }
        let mut over = begun();
        assert_eq!(put(&mut over, (0, 10), Some(UploadFault::Expires)), Took::Expired);
        assert_eq!(put(&mut over, (0, 10), None), Took::Expired);
        assert_eq!(over.put(("v", None), b"", None, 0), None);
        let mut late = begun();
        let (range, body) = piece(0, 10);
        assert_eq!(late.put(("u", Some(range)), body, None, 100), Some(Took::Expired));
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        let mut uploads = begun();
        let (range, body) = piece(0, 10);
        let short = uploads.put(("u", Some(range)), &body[1..], None, 0);
        assert!(matches!(short, Some(Took::Wrong(_))), "{short:?}");
        assert_eq!(put(&mut uploads, (0, 10), None), Took::Part { stored: 10 });
        let other = ContentRange { size: Some(99), ..range };
        let other = uploads.put(("u", Some(other)), body, None, 0);
        assert!(matches!(other, Some(Took::Wrong(_))), "{other:?}");
    }

    #[test]
    fn who_streams_says_at_the_end_how_large_it_was() {
        let mut uploads = begun();
        for (from, to) in [(0, 10), (10, SOURCE.len())] {
            let (range, body) = piece(from, to);
            let open = ContentRange { size: None, ..range };
            let took = uploads.put(("u", Some(open)), body, None, 0);
            let stored = u64::try_from(to).expect("it is small");
            assert_eq!(took, Some(Took::Part { stored }), "nobody knows that this is all");
        }
        let all = u64::try_from(SOURCE.len()).expect("it is small");
        let mut ask = |size: Option<u64>| {
            let question = ContentRange { from: None, length: 0, size };
            assert_eq!(uploads.peek(("v", Some(question)), b"", 0), None);
            uploads.put(("u", Some(question)), b"", None, 0)
        };
        assert_eq!(ask(None), Some(Took::Part { stored: all }));
        assert!(matches!(ask(Some(all - 1)), Some(Took::Wrong(_))));
        let sha256: Arc<str> = crate::api::sha256(SOURCE).into();
        let whole = |now| Some(Took::Whole { size: all, sha256: Arc::clone(&sha256), now });
        assert_eq!(ask(Some(all)), whole(true));
        assert_eq!(ask(Some(all)), whole(false));
        let mut empty = begun();
        let question = ContentRange { from: None, length: 0, size: Some(0) };
        let took = empty.put(("u", Some(question)), b"", None, 0);
        assert!(matches!(took, Some(Took::Whole { size: 0, now: true, .. })), "{took:?}");
    }

    #[test]
    fn who_only_peeks_keeps_nothing() {
        let mut uploads = begun();
        let (range, body) = piece(0, 10);
        let peeked = uploads.peek(("u", Some(range)), body, 5);
        assert_eq!(peeked, Some(Took::Part { stored: 10 }));
        let question = ContentRange { from: None, length: 0, size: None };
        let asked = uploads.put(("u", Some(question)), b"", None, 5);
        assert_eq!(asked, Some(Took::Part { stored: 0 }));
    }

    proptest! {
        /// The model: the set of bytes that came without a gap before them, each taken from the source.
        #[test]
        fn what_is_whole_is_the_source(
            pieces in prop::collection::vec((0..SOURCE.len(), 1_usize..20), 0..40),
        ) {
            let (mut uploads, mut model) = (begun(), 0);
            for (from, length) in pieces {
                let to = (from + length).min(SOURCE.len());
                let took = put(&mut uploads, (from, to), None);
                let was_whole = model == SOURCE.len();
                if from <= model {
                    model = model.max(to);
                }
                let number = |number: usize| u64::try_from(number).expect("it is small");
                let expected = if model == SOURCE.len() {
                    let sha256 = crate::api::sha256(SOURCE).into();
                    Took::Whole { size: number(model), sha256, now: !was_whole }
                } else {
                    Took::Part { stored: number(model) }
                };
                prop_assert_eq!(took, expected);
            }
        }
    }
}
