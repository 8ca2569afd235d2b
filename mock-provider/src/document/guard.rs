//! What a document must be before anybody looks at its values, and where everything in it stands.
//!
//! A scan of YAML events, without building any value: it refuses in time proportional to the text what
//! would be slow, ambiguous or dangerous to build.
//! **Invariant:** every refusal has a place and a cure.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::MAX_BYTES;
use super::diagnostic::{Diagnostic, Place, Severity};
use super::places::Places;

/// How deep lists and maps may stand in each other.
const MAX_DEPTH: usize = 64;
/// How many values a document may have.
const MAX_VALUES: usize = 200_000;
/// How much all aliases together may expand to, in bytes and values.
const MAX_EXPANSION: usize = 1 << 20;
/// The longest key, in bytes.
const MAX_KEY: usize = 256;
/// After so many problems the scan stops.
const MAX_PROBLEMS: usize = 50;

/// The cure of a syntax error.
pub(super) const LOOK: &str =
    "look at the indentation, quotes, spaces and colons here and in the line above";

/// What the scan found.
pub(super) struct Scan {
    pub(super) places: Places,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// True when nothing stands in it at all.
    pub(super) is_empty: bool,
}

/// An error at a place.
pub(super) fn refuse(message: String, place: Place, cure: Option<&str>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        path: String::new(),
        place: Some(place),
        at_key: false,
        message,
        allowed: Vec::new(),
        did_you_mean: None,
        cure: cure.map(str::to_owned),
    }
}

/// The text of a document, without a byte order mark; or what could be kept of it and why not.
pub(super) fn text(bytes: &[u8]) -> Result<String, Box<(String, Diagnostic)>> {
    if bytes.len() > MAX_BYTES {
        let head = &bytes[..bytes.iter().position(|b| *b == b'\n').unwrap_or(0).min(200)];
        // Of a file no more is read than shows that it is too long, so nobody knows how long it is.
        let message = format!("the file has too many bytes; at most {MAX_BYTES} are read");
        let cure = "split it into several files, or leave out what is not a scenario";
        let text = String::from_utf8_lossy(head).into_owned();
        return Err(Box::new((text, refuse(message, Place::default(), Some(cure)))));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            let wrong = bytes.get(error.valid_up_to()).copied().unwrap_or(0);
            let message = format!("byte {} (0x{wrong:02x}) is no UTF-8", error.valid_up_to());
            let place = Place { line, column, length: 1 };
            let text = String::from_utf8_lossy(bytes).into_owned();
            Err(Box::new((text, refuse(message, place, Some("save the file as UTF-8")))))
        }
    }
}

/// Scans a document.
pub(super) fn scan(text: &str) -> Scan {
    let mut scanner = Scanner::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((event, span))) => {
                if !scanner.event(event, span) || scanner.diagnostics.len() >= MAX_PROBLEMS {
                    break;
                }
            }
            Some(Err(error)) => {
                let marker = error.marker();
                let place =
                    Place { line: marker.line().max(1), column: marker.col() + 1, length: 1 };
                scanner.diagnostics.push(if error.info().contains("recursion limit") {
                    too_deep(place)
                } else {
                    let message = format!("this is no YAML that can be read: {}", error.info());
                    refuse(message, place, Some(LOOK))
                });
                break;
            }
        }
    }
    let is_empty = scanner.diagnostics.is_empty() && scanner.empty;
    if is_empty {
        let cure = "write at least `version`, `name`, `provider`, `workload` and `expect`, or begin \
                    with a copy of a shipped file";
        scanner.diagnostics.push(refuse(
            "the file is empty".to_owned(),
            Place::default(),
            Some(cure),
        ));
    }
    Scan { places: scanner.places, diagnostics: scanner.diagnostics, is_empty }
}

fn too_deep(place: Place) -> Diagnostic {
    let message = format!("lists and maps stand more than {MAX_DEPTH} deep in each other");
    refuse(message, place, Some("no key needs this; look for a bracket that is not closed"))
}

/// A list or map that is open.
struct Frame {
    node: usize,
    map: Option<Keys>,
    anchor: usize,
    weight_before: usize,
}

/// The keys of a map that is open.
#[derive(Default)]
struct Keys {
    /// Those so far, with their lines.
    seen: BTreeMap<String, usize>,
    /// The one that waits for its value.
    waiting: Option<(String, Place)>,
}

struct Scanner {
    places: Places,
    diagnostics: Vec<Diagnostic>,
    stack: Vec<Frame>,
    /// What each closed anchor expands to.
    anchors: BTreeMap<usize, usize>,
    weight: usize,
    expanded: usize,
    documents: usize,
    empty: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            places: Places::default(),
            diagnostics: Vec::new(),
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            weight: 0,
            expanded: 0,
            documents: 0,
            empty: true,
        }
    }
}

impl Scanner {
    /// Takes one event; false when the scan cannot go on.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let place = place(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let cure = "keep one document in a file, and leave out the line `---`";
                    self.refuse("a second document begins here", place, cure);
                    return false;
                }
                true
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), place);
                self.scalar(&text, style, anchor, place);
                self.places.len() <= MAX_VALUES || self.too_many(place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), place);
                self.open(None, anchor, place)
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), place);
                self.open(Some(Keys::default()), anchor, place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop()
                    && frame.anchor != 0
                {
                    self.anchors.insert(frame.anchor, self.weight - frame.weight_before);
                }
                true
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
        }
    }

    fn refuse(&mut self, message: impl Into<String>, place: Place, cure: &str) {
        self.diagnostics.push(refuse(message.into(), place, Some(cure)));
    }

    fn too_many(&mut self, place: Place) -> bool {
        let message = format!("the file holds more than {MAX_VALUES} values");
        self.refuse(message, place, "split it into several files");
        false
    }

    fn tag(&mut self, tag: Option<&Tag>, place: Place) {
        if let Some(tag) = tag {
            let tag = tag.to_string().replace("tag:yaml.org,2002:!", "!!");
            let message = format!("the tag `{tag}` has no meaning here");
            self.refuse(
                message,
                place,
                "leave it out; put text that looks like a number in quotes",
            );
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, at: Place) {
        let weight = 1 + text.len();
        self.weight += weight;
        if anchor != 0 {
            self.anchors.insert(anchor, weight);
        }
        let plain = style == ScalarStyle::Plain;
        if self.expects_key() {
            self.key(text, style, at);
            return;
        }
        if plain && is_no_json_number(text) {
            let message = format!("`{text}` is no number that can be used");
            self.refuse(message, at, "write a finite number, or put text in quotes");
        }
        let is_null = plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        self.empty &= self.stack.is_empty() && is_null;
        self.value(at);
    }

    fn key(&mut self, text: &str, style: ScalarStyle, at: Place) {
        let plain = style == ScalarStyle::Plain;
        if text == "<<" && plain {
            let cure = "write the keys out, or use an alias for the whole value";
            self.refuse("merge keys (`<<`) have no meaning here", at, cure);
        } else if plain && matches!(text, "" | "~" | "null") {
            self.refuse("a key is missing in front of the colon", at, "write a word as the key");
        } else if text.len() > MAX_KEY {
            let message = format!("a key has {} bytes; at most {MAX_KEY} are read", text.len());
            self.refuse(message, at, "look for a missing colon or quote");
        }
        // A key that is too long is cut, so that it costs no more than another.
        let key: String = text.chars().take(MAX_KEY).collect();
        let Some(keys) = self.stack.last_mut().and_then(|frame| frame.map.as_mut()) else { return };
        let first = keys.seen.get(&key).copied();
        keys.seen.entry(key.clone()).or_insert(at.line);
        keys.waiting = Some((key.clone(), at));
        if let Some(line) = first {
            let message = format!("the key `{key}` stands twice in one map, first in line {line}");
            self.refuse(message, at, "keep one of the two");
        }
    }

    fn open(&mut self, map: Option<Keys>, anchor: usize, at: Place) -> bool {
        self.empty = false;
        if self.stack.len() >= MAX_DEPTH {
            self.diagnostics.push(too_deep(at));
            return false;
        }
        if self.expects_key() {
            let cure = "a key is one word; put a template in quotes: `\"{{ n }}\"`";
            self.refuse("a list or map stands where a key is expected", at, cure);
            return false;
        }
        let weight_before = self.weight;
        self.weight += 1;
        let node = self.value(at);
        self.stack.push(Frame { node, map, anchor, weight_before });
        true
    }

    fn alias(&mut self, anchor: usize, at: Place) -> bool {
        if self.expects_key() {
            self.refuse("an alias stands where a key is expected", at, "write the key out");
            return false;
        }
        let Some(weight) = self.anchors.get(&anchor).copied() else {
            self.refuse("an alias stands inside its own anchor", at, "write the value out");
            return false;
        };
        self.weight = self.weight.saturating_add(weight);
        self.expanded = self.expanded.saturating_add(weight);
        if self.expanded > MAX_EXPANSION {
            let message = format!("the aliases expand to more than {MAX_EXPANSION} bytes");
            self.refuse(message, at, "write the values out, or use fewer aliases");
            return false;
        }
        self.empty = false;
        self.value(at);
        true
    }

    /// True when the next value is a key of the map that is open.
    fn expects_key(&self) -> bool {
        self.stack
            .last()
            .and_then(|frame| frame.map.as_ref())
            .is_some_and(|keys| keys.waiting.is_none())
    }

    /// Notes where a value stands.
    fn value(&mut self, at: Place) -> usize {
        match self.stack.last_mut() {
            None => self.places.add_root(at),
            Some(frame) => match frame.map.as_mut().map(|keys| keys.waiting.take()) {
                None => self.places.add_item(frame.node, at),
                Some(waiting) => {
                    let (key, key_at) = waiting.unwrap_or_default();
                    // An empty value has no place of its own.
                    let at = if at.length == 0 { key_at } else { at };
                    self.places.add_key(frame.node, key, key_at, at)
                }
            },
        }
    }
}

/// True for the words of YAML numbers that JSON does not have.
fn is_no_json_number(text: &str) -> bool {
    let word = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    word == ".inf" || word == ".nan"
}

/// The place of a span; its length is 0 where it is empty, 1 where it goes over several lines.
fn place(span: Span) -> Place {
    let one_line = span.start.line() == span.end.line();
    let length = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Place { line: span.start.line().max(1), column: span.start.col() + 1, length }
}
