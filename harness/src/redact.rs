//! Redaction: takes a run's secrets out of what a client said, and leaves a mark where one stood.
//!
//! It finds a secret written plainly, in base64 (at all three alignments, both alphabets), escaped for
//! a URL and escaped for JSON. It knows nothing about events or where text comes from.
//!
//! **Invariant:** no text that went through [`Redactor::redact`] holds a secret in any of these
//! spellings, and text without a secret comes back unchanged.

use std::borrow::Cow;
use std::sync::OnceLock;

use brownout_provider::api::hex;

/// Secrets shorter than this many bytes are not looked for: they would be found in ordinary words.
pub const SHORTEST_SECRET: usize = 6;

/// The secrets of a run, ready to be looked for.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Kind and value.
    secrets: Vec<(String, String)>,
    /// Their spellings, made when there is something to be looked through.
    patterns: OnceLock<Vec<Pattern>>,
}

/// A text without secrets, and which marks now stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The text with every secret replaced by its mark.
    pub text: String,
    /// The marks in it, in order of their first place: `api_key:plain`, `api_key:base64`, …
    pub marks: Vec<String>,
}

/// One spelling of one secret.
#[derive(Clone, Debug)]
struct Pattern {
    /// What kind of secret it is, such as `api_key`.
    kind: String,
    bytes: Vec<u8>,
    /// `None` for the plain spelling; for base64, whether the character before the pattern may carry
    /// bits of the secret.
    base64_mixed_before: Option<bool>,
}

/// One found secret: a range of the text and its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Find {
    start: usize,
    end: usize,
    mark: String,
}

/// A way to read a text: its bytes after unescaping, and where each of them came from.
struct View<'a> {
    /// What the spelling is called in a mark.
    spelling: &'static str,
    bytes: Cow<'a, [u8]>,
    /// The place of each byte in the text, and the text's length at the end; `None` for the text as it
    /// stands.
    places: Option<Vec<usize>>,
}

impl Redactor {
    /// Looks for these secrets, given as (kind, value). Values under [`SHORTEST_SECRET`] bytes are left
    /// out.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut known: Vec<(String, String)> = Vec::new();
        for (kind, value) in secrets {
            let seen = known.iter().any(|(_, known)| known == value);
            if value.len() >= SHORTEST_SECRET && !seen {
                known.push((kind.to_owned(), value.to_owned()));
            }
        }
        Self { secrets: known, patterns: OnceLock::new() }
    }

    fn patterns(&self) -> &[Pattern] {
        self.patterns.get_or_init(|| {
            let spellings = self.secrets.iter().flat_map(|(kind, value)| {
                let bytes = value.as_bytes();
                let plain = Pattern {
                    kind: kind.clone(),
                    bytes: bytes.to_vec(),
                    base64_mixed_before: None,
                };
                std::iter::once(plain).chain(base64_patterns(kind, bytes))
            });
            spellings.collect()
        })
    }

    /// Replaces every secret in `text` by its mark.
    #[must_use]
    pub fn redact(&self, text: &str) -> Redacted {
        let plain = || Redacted { text: text.to_owned(), marks: Vec::new() };
        self.redacted(text).unwrap_or_else(plain)
    }

    /// The same of a text that holds a secret; `None` for all others, which stay as they are.
    #[must_use]
    pub fn redacted(&self, text: &str) -> Option<Redacted> {
        // No spelling of a secret is shorter than itself.
        if self.secrets.iter().all(|(_, secret)| text.len() < secret.len()) {
            return None;
        }
        let mut finds = Vec::new();
        self.search(&View::plain(text), &mut finds);
        if text.contains('%') {
            self.search(&View::url(text), &mut finds);
        }
        if text.contains('\\') {
            self.search(&View::json(text), &mut finds);
        }
        (!finds.is_empty()).then(|| replace(text, finds))
    }

    /// Finds every pattern in a view; the ranges are those of the original text.
    fn search(&self, view: &View<'_>, finds: &mut Vec<Find>) {
        for pattern in self.patterns() {
            let mut from = 0;
            while let Some(at) = find_bytes(&view.bytes[from..], &pattern.bytes) {
                let start = from + at;
                let end = start + pattern.bytes.len();
                let (start, end) = pattern.widen(&view.bytes, start, end);
                let spelling = match pattern.base64_mixed_before {
                    Some(_) => "base64",
                    None => view.spelling,
                };
                finds.push(Find {
                    start: view.place(start),
                    end: view.place(end),
                    mark: format!("{}:{spelling}", pattern.kind),
                });
                from = end;
            }
        }
    }
}

impl Pattern {
    /// Takes in what belongs to the secret beside the pattern: the operation's token behind a plain
    /// key, and the characters of base64 that carry some of its bits.
    fn widen(&self, bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
        match self.base64_mixed_before {
            None => (start, end + token_length(&bytes[end..])),
            Some(mixed) => {
                let before = usize::from(mixed && start > 0 && is_base64(bytes[start - 1]));
                let after = bytes[end..].iter().take_while(|byte| is_base64(**byte)).count();
                (start - before, end + after)
            }
        }
    }
}

impl<'a> View<'a> {
    fn plain(text: &'a str) -> Self {
        Self { spelling: "plain", bytes: Cow::Borrowed(text.as_bytes()), places: None }
    }

    /// Percent escapes undone. A `+` stays what it is: a secret with a space in it is looked for with
    /// the space escaped.
    fn url(text: &str) -> Self {
        let source = text.as_bytes();
        Self::decoded("url", source, |at| {
            let digits = source.get(at + 1..at + 3)?;
            (source[at] == b'%').then_some(())?;
            Some((hex(digits[0])? * 16 + hex(digits[1])?, 3))
        })
    }

    /// Escapes of JSON strings undone, as far as they stand for ASCII.
    fn json(text: &str) -> Self {
        let source = text.as_bytes();
        Self::decoded("json", source, |at| {
            (source[at] == b'\\').then_some(())?;
            let byte = match source.get(at + 1)? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                b'u' => {
                    let digits = source.get(at + 2..at + 6)?;
                    (digits[0] == b'0' && digits[1] == b'0').then_some(())?;
                    return Some((hex(digits[2])? * 16 + hex(digits[3])?, 6));
                }
                other => *other,
            };
            Some((byte, 2))
        })
    }

    /// A view in which `escape` says, at a place, which byte an escape there stands for and how long
    /// the escape is.
    fn decoded(
        spelling: &'static str,
        source: &[u8],
        escape: impl Fn(usize) -> Option<(u8, usize)>,
    ) -> Self {
        let mut bytes = Vec::with_capacity(source.len());
        let mut places = Vec::with_capacity(source.len() + 1);
        let mut at = 0;
        while at < source.len() {
            let (byte, length) = escape(at).unwrap_or((source[at], 1));
            bytes.push(byte);
            places.push(at);
            at += length;
        }
        places.push(source.len());
        Self { spelling, bytes: Cow::Owned(bytes), places: Some(places) }
    }

    fn place(&self, at: usize) -> usize {
        self.places.as_ref().map_or(at, |places| places[at])
    }
}

/// Replaces the found ranges. Where two overlap, the one that starts first (and of these the longer)
/// gives the mark and both are covered; a secret found in several views counts once.
fn replace(text: &str, mut finds: Vec<Find>) -> Redacted {
    // A stable sort: of equal ranges the plain view, which was searched first, names the mark.
    finds.sort_by_key(|find| (find.start, std::cmp::Reverse(find.end)));
    let mut merged: Vec<Find> = Vec::new();
    for find in finds {
        match merged.last_mut() {
            Some(last) if find.start < last.end => last.end = last.end.max(find.end),
            _ => merged.push(find),
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut marks: Vec<String> = Vec::new();
    let mut at = 0;
    for find in merged {
        let (start, end) = (floor(text, find.start), ceiling(text, find.end));
        out.push_str(&text[at.min(start)..start]);
        out.push_str("⟦secret:");
        out.push_str(&find.mark);
        out.push('⟧');
        at = end;
        if !marks.contains(&find.mark) {
            marks.push(find.mark);
        }
    }
    out.push_str(&text[at..]);
    Redacted { text: out, marks }
}

/// The length of an operation's token (`~op-0003.1`) at the start of `bytes`, 0 if none stands there.
fn token_length(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&b'~') {
        return 0;
    }
    let name = bytes[1..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        .count();
    if name == 0 { 0 } else { name + 1 }
}

/// The spellings of a value inside base64 text: for each of the three alignments the characters that
/// depend on the value alone, in both alphabets where these differ.
fn base64_patterns(kind: &str, value: &[u8]) -> Vec<Pattern> {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut patterns: Vec<Pattern> = Vec::new();
    for alphabet in [STANDARD, URL_SAFE] {
        for offset in 0..3 {
            let bytes = base64_core(value, offset, alphabet);
            let known = patterns.iter().any(|pattern| pattern.bytes == bytes);
            if bytes.len() >= SHORTEST_SECRET && !known {
                patterns.push(Pattern {
                    kind: kind.to_owned(),
                    bytes,
                    base64_mixed_before: Some(offset != 0),
                });
            }
        }
    }
    patterns
}

/// The characters of base64 that depend on `value` alone when `offset` bytes stand before it in its
/// group of three.
fn base64_core(value: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    // The first whole character begins at the first multiple of six bits inside the value.
    let skipped = (6 - (offset * 8) % 6) % 6;
    let mut core = Vec::with_capacity(value.len() * 4 / 3);
    let (mut held, mut bits) = (0, 0);
    for (at, byte) in value.iter().enumerate() {
        bits += if at == 0 { 8 - skipped } else { 8 };
        held = (held << 8) | usize::from(*byte);
        while bits >= 6 {
            bits -= 6;
            core.push(alphabet[(held >> bits) & 63]);
        }
        // Of what was held, less than six bits are still to come.
        held &= 63;
    }
    core
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// The first place of `needle` in `haystack`. Most bytes are passed by comparing the rarest-looking
/// end of the needle only: a key's last bytes are random, its first are a prefix that all keys share.
fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let last = *needle.last()?;
    let mut at = needle.len() - 1;
    while at < haystack.len() {
        let hit = haystack[at..].iter().position(|byte| *byte == last)? + at;
        let start = hit + 1 - needle.len();
        if haystack[start..=hit] == *needle {
            return Some(start);
        }
        at = hit + 1;
    }
    None
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceiling(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk_test_aB3dE5fG7hI9";

    fn redactor() -> Redactor {
        Redactor::new([("api_key", KEY), ("card", "4242 4242/4242")])
    }

    fn check(text: &str, expected: &str, marks: &[&str]) {
        let redacted = redactor().redact(text);
        assert_eq!(redacted.text, expected);
        assert_eq!(redacted.marks, marks);
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for group in bytes.chunks(3) {
            let mut word = [0_u8; 3];
            word[..group.len()].copy_from_slice(group);
            let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
            for index in 0..4_u32 {
                if index > u32::try_from(group.len()).expect("at most 3") {
                    out.push('=');
                } else {
                    let value = (bits >> (18 - 6 * index)) & 63;
                    out.push(char::from(ALPHABET[usize::try_from(value).expect("below 64")]));
                }
            }
        }
        out
    }

    #[test]
    fn text_without_a_secret_is_unchanged() {
        for text in ["", "charged order-3", "100% sure \\o/ %zz ünïcode", "sk_test_"] {
            check(text, text, &[]);
        }
    }

    #[test]
    fn a_plain_key_is_found_with_and_without_its_operation_token() {
        check(
            &format!("key={KEY}, again {KEY}~op-0003.1!"),
            "key=⟦secret:api_key:plain⟧, again ⟦secret:api_key:plain⟧!",
            &["api_key:plain"],
        );
    }

    #[test]
    fn a_key_in_basic_authorization_is_found_at_every_alignment() {
        for before in ["", "u", "us", "user:", "\u{1}\u{2}\u{3}\u{4}"] {
            for after in ["", ":", "~op-0003.1:", ":password"] {
                let text = format!("Basic {}.", base64(format!("{before}{KEY}{after}").as_bytes()));
                let redacted = redactor().redact(&text);
                assert_eq!(redacted.marks, ["api_key:base64"], "{text}");
                assert!(redacted.text.ends_with("⟦secret:api_key:base64⟧."), "{}", redacted.text);
            }
        }
    }

    #[test]
    fn escapes_do_not_hide_a_secret() {
        check("q=4242%204242%2f4242&x", "q=⟦secret:card:url⟧&x", &["card:url"]);
        check("%73k_test_aB3dE5fG7hI9", "⟦secret:api_key:url⟧", &["api_key:url"]);
        check(r#"{"k":"4242 4242\/4242"}"#, r#"{"k":"⟦secret:card:json⟧"}"#, &["card:json"]);
        check(r"\u0073k_test_aB3dE5fG7hI9", "⟦secret:api_key:json⟧", &["api_key:json"]);
    }

    #[test]
    fn a_secret_in_several_views_is_marked_once_and_as_plain() {
        check(
            &format!("100%25 {KEY} \\n"),
            "100%25 ⟦secret:api_key:plain⟧ \\n",
            &["api_key:plain"],
        );
    }

    #[test]
    fn short_values_are_not_looked_for() {
        let redactor = Redactor::new([("api_key", "test")]);
        assert_eq!(redactor.redact("a test").text, "a test");
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_secret_survives(before in "\\PC{0,12}", after in "\\PC{0,12}") {
            let plain = format!("{before}{KEY}{after}");
            let encoded = base64(plain.as_bytes());
            for text in [plain, encoded] {
                let redacted = redactor().redact(&text);
                prop_assert!(!redacted.text.contains(KEY));
                prop_assert!(!redacted.marks.is_empty());
            }
        }

        #[test]
        fn any_text_is_taken(text in "[\\\\%u0-9a-f⟦ü~]{0,40}") {
            let redacted = redactor().redact(&text);
            prop_assert_eq!(redacted.text, text);
        }
    }
}
