//! A client's output as lines: cut into lines, bounded, redacted, made into events.
//!
//! **Invariant:** however much a client writes, what is kept of it is bounded; what is not kept is
//! counted and said, and is still searched for secrets.

use std::sync::Arc;

use brownout_provider::event::{ClientOutput, EventKind, HARNESS};

use crate::redact::Redactor;

/// A line longer than this many bytes is cut.
pub const LONGEST_LINE: usize = 64 * 1024;

/// How many bytes of output are kept of a run.
pub const KEPT_BYTES: usize = 1024 * 1024;

/// How many lines of output are kept of a run.
pub const KEPT_LINES: u64 = 10_000;

/// How many lines with a secret in them are kept beyond the bounds.
const KEPT_FINDS: u64 = 100;

/// Bytes that are read past [`LONGEST_LINE`], so that a secret on the edge is seen whole.
const EDGE: usize = 1024;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// Bytes of the current line that were not kept.
    dropped: u64,
}

impl Lines {
    /// Takes bytes and hands each whole line to `line`.
    pub fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.push(&bytes[..end]);
            line(self.take());
            bytes = &bytes[end + 1..];
        }
        self.push(bytes);
    }

    /// The last line, if it was not ended.
    #[must_use]
    pub fn end(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = (LONGEST_LINE + EDGE).saturating_sub(self.partial.len());
        let kept = bytes.len().min(room);
        self.partial.extend_from_slice(&bytes[..kept]);
        self.dropped += u64::try_from(bytes.len() - kept).unwrap_or(u64::MAX);
    }

    fn take(&mut self) -> String {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        let mut text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            text = format!("{text}… ({dropped} more bytes)");
        }
        text
    }
}

/// Makes events of a client's lines and keeps them within bounds.
#[derive(Debug)]
pub struct Output {
    redactor: Arc<Redactor>,
    kept_bytes: usize,
    kept_lines: u64,
    finds: u64,
    dropped_bytes: u64,
    dropped_lines: u64,
}

impl Output {
    /// Nothing kept yet.
    #[must_use]
    pub fn new(redactor: Arc<Redactor>) -> Self {
        Self {
            redactor,
            kept_bytes: 0,
            kept_lines: 0,
            finds: 0,
            dropped_bytes: 0,
            dropped_lines: 0,
        }
    }

    /// The event of a line, or `None` when the bounds are reached and it holds no secret.
    pub fn line(
        &mut self,
        stream: &'static str,
        operation: Option<&Arc<str>>,
        line: &str,
    ) -> Option<EventKind> {
        let redacted = self.redactor.redact(line);
        let full = self.kept_lines >= KEPT_LINES || self.kept_bytes >= KEPT_BYTES;
        let found = !redacted.marks.is_empty() && self.finds < KEPT_FINDS;
        if full && !found {
            self.dropped_lines += 1;
            self.dropped_bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
            return None;
        }
        self.finds += u64::from(full && found);
        self.kept_lines += 1;
        let mut text = redacted.text;
        if text.len() > LONGEST_LINE + EDGE {
            let cut = (0..=LONGEST_LINE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(cut);
            text.push('…');
        }
        self.kept_bytes += text.len();
        Some(EventKind::ClientOutput(ClientOutput {
            stream: Arc::from(stream),
            operation: operation.map(Arc::clone),
            text,
            secrets: redacted.marks,
            not_kept: 0,
        }))
    }

    /// Words with every secret replaced: for details of claims.
    #[must_use]
    pub fn redact(&self, words: &str) -> String {
        self.redactor.redact(words).text
    }

    /// The event that says how much was not kept, if anything.
    #[must_use]
    pub fn remainder(&self) -> Option<EventKind> {
        (self.dropped_lines > 0).then(|| {
            EventKind::ClientOutput(ClientOutput {
                stream: Arc::from(HARNESS),
                operation: None,
                text: format!(
                    "{} more lines of output ({} bytes) were not kept",
                    self.dropped_lines, self.dropped_bytes
                ),
                secrets: Vec::new(),
                not_kept: self.dropped_lines,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for piece in pieces {
            lines.feed(piece, |line| out.push(line));
        }
        out.extend(lines.end());
        out
    }

    #[test]
    fn lines_come_whole_from_any_pieces() {
        assert_eq!(lines(&[b"a\nb", b"c\r\n", b"\n", b"d"]), ["a", "bc", "", "d"]);
        assert_eq!(lines(&[b"caf\xc3", b"\xa9 \xff\n"]), ["café \u{fffd}"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn an_endless_line_is_cut_and_counted() {
        let piece = vec![b'x'; LONGEST_LINE];
        let lines = lines(&[&piece, &piece, b"\nnext\n"]);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with(&format!("({} more bytes)", LONGEST_LINE - EDGE)));
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn a_flood_is_bounded_and_a_secret_in_it_is_still_seen() {
        let redactor = Arc::new(Redactor::new([("api_key", "sk_test_secret")]));
        let mut output = Output::new(redactor);
        for _ in 0..KEPT_LINES {
            assert!(output.line("stdout", None, "flood").is_some());
        }
        assert_eq!(output.line("stdout", None, "flood"), None);
        let Some(EventKind::ClientOutput(leak)) = output.line("stderr", None, "sk_test_secret")
        else {
            panic!("a secret is kept beyond the bounds")
        };
        assert_eq!(leak.text, "⟦secret:api_key:plain⟧");
        assert_eq!(leak.secrets, ["api_key:plain"]);
        let Some(EventKind::ClientOutput(note)) = output.remainder() else { panic!("a note") };
        assert_eq!(note.text, "1 more lines of output (5 bytes) were not kept");
    }
}
