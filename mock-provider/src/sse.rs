//! Server-sent events: reading them as clients do, and writing them.
//!
//! Knows nothing of APIs. **Invariant:** no bytes make it panic, and the ranges of the events that are read
//! stand in order and do not overlap.

use std::ops::Range;

/// The mark by which some begin a text in UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands in the stream, with the blank line that ends it.
    pub range: Range<usize>,
    /// What stands behind `event:`.
    pub name: Option<String>,
    /// What stands behind `data:`, line by line.
    pub data: String,
}

/// The events that came whole, in order. What stands behind the last blank line is no event yet, and a
/// block without data is none either (a comment that keeps the connection alive).
///
/// ```
/// let stream = b"event: greeting\ndata: hello\n\n: still here\n\ndata: [DONE]\n\ndata: lo";
/// let events = brownout_provider::sse::events(stream);
/// assert_eq!(events.len(), 2);
/// assert_eq!((events[0].name.as_deref(), &*events[0].data), (Some("greeting"), "hello"));
/// assert_eq!(events[1].data, "[DONE]");
/// ```
#[must_use]
pub fn events(stream: &[u8]) -> Vec<Event> {
    let mut found = Vec::new();
    let mut block = Block::default();
    each(stream, |line| match line {
        Line::Field(line) => block.take(line),
        Line::Blank(range) => {
            let Block { name, data } = std::mem::take(&mut block);
            if let Some(data) = data {
                found.push(Event { range, name, data });
            }
        }
    });
    found
}

/// A line of a stream.
enum Line<'a> {
    /// One with something in it.
    Field(&'a [u8]),
    /// The one that ends a block, with where that stands.
    Blank(Range<usize>),
}

/// Goes through the lines that came whole.
fn each<'a>(stream: &'a [u8], mut take: impl FnMut(Line<'a>)) {
    let (mut start, mut at) = (0, 0);
    while let Some(length) = stream[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let rest = &stream[at..];
        let line = &rest[..length];
        let crlf = rest[length] == b'\r' && rest.get(length + 1) == Some(&b'\n');
        at += length + if crlf { 2 } else { 1 };
        if line.is_empty() {
            take(Line::Blank(start..at));
            start = at;
        } else {
            take(Line::Field(line));
        }
    }
}

/// The lines of an event that is still to end.
#[derive(Debug, Default)]
struct Block {
    name: Option<String>,
    data: Option<String>,
}

impl Block {
    fn take(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line.strip_prefix(MARK).unwrap_or(line));
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut self.data) {
            ("event", _) => self.name = Some(value.to_owned()),
            ("data", Some(data)) => data.extend(["\n", value]),
            ("data", data @ None) => *data = Some(value.to_owned()),
            // A comment, an id, or a field of a later version: nothing that is judged.
            _ => {}
        }
    }
}

/// The lengths of the pieces in which a stream goes out: one an event, and what is left behind the last.
#[must_use]
pub fn pieces(stream: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let (mut start, mut has_data) = (0, false);
    each(stream, |line| match line {
        Line::Field(line) => has_data |= is_data(line),
        Line::Blank(range) if std::mem::take(&mut has_data) => {
            lengths.push(range.end - start);
            start = range.end;
        }
        Line::Blank(_) => {}
    });
    if start < stream.len() {
        lengths.push(stream.len() - start);
    }
    lengths
}

/// True for a line of the field `data`.
fn is_data(line: &[u8]) -> bool {
    let line = line.strip_prefix(MARK).unwrap_or(line);
    line.strip_prefix(b"data").is_some_and(|rest| rest.is_empty() || rest[0] == b':')
}

/// Writes one event.
pub fn write(name: Option<&str>, data: &str, out: &mut String) {
    if let Some(name) = name {
        out.extend(["event: ", name, "\n"]);
    }
    for line in data.split('\n') {
        out.extend(["data: ", line, "\n"]);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut stream = String::new();
        write(Some("message_start"), r#"{"type":"message_start"}"#, &mut stream);
        write(None, "two\nlines", &mut stream);
        let found = events(stream.as_bytes());
        let shown: Vec<_> = found.iter().map(|one| (one.name.as_deref(), &*one.data)).collect();
        let expected =
            [(Some("message_start"), r#"{"type":"message_start"}"#), (None, "two\nlines")];
        assert_eq!(shown, expected);
        assert_eq!(pieces(stream.as_bytes()).iter().sum::<usize>(), stream.len());
        assert_eq!(pieces(stream.as_bytes()).len(), 2);
    }

    #[test]
    fn each_kind_of_line_end_and_a_byte_order_mark_are_read() {
        for stream in
            ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data:a\r\rdata:b\r\r"]
        {
            let data: Vec<String> =
                events(stream.as_bytes()).into_iter().map(|one| one.data).collect();
            assert_eq!(data, ["a", "b"], "{stream:?}");
        }
        assert_eq!(events(b"\xEF\xBB\xBFdata: a\n\n").len(), 1);
    }

    #[test]
    fn an_event_without_its_blank_line_has_not_come() {
        assert_eq!(events(b"data: a\n\ndata: b\n").len(), 1);
        assert_eq!(pieces(b"data: a\n\ndata: b\n"), [9, 8]);
    }

    proptest! {
        #[test]
        fn pieces_make_up_the_stream(stream in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(pieces(&stream).iter().sum::<usize>(), stream.len());
        }

        #[test]
        fn there_is_a_piece_for_each_event(stream in "((data|dat|event|:)(:| )?[a-z]{0,3}\r?\n|\n){0,19}") {
            let stream = stream.as_bytes();
            let ends: Vec<usize> = events(stream).into_iter().map(|event| event.range.end).collect();
            let mut end = 0;
            let borders: Vec<usize> = pieces(stream).into_iter().map(|length| { end += length; end }).collect();
            prop_assert_eq!(borders.get(..ends.len()), Some(&*ends));
            prop_assert!(borders.len() <= ends.len() + 1);
        }

        #[test]
        fn lines_make_up_the_stream(stream in "((data|event|id|:)(:| )?[a-z]{0,3}\r?\n){0,9}") {
            let mut end = 0;
            for event in events(stream.as_bytes()) {
                prop_assert!(event.range.start >= end && event.range.end > event.range.start);
                end = event.range.end;
            }
        }
    }
}
