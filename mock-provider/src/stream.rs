//! Streams that go wrong: from the provider's own stream of events to what goes out.
//!
//! Pure functions over bytes; which vendor it is stands in the API's [`StreamSpec`].
//! **Invariant:** but for [`Kind::SplitUtf8`], [`Kind::DuplicateEvent`] and [`Kind::ReorderedEvents`], no
//! client can take what goes out for a whole answer.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::StreamSpec;
use crate::exchange::End;
use crate::sse::{self, Event};

/// A way in which a stream goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StreamKind")]
pub enum Kind {
    /// The connection ends after some events, in the middle of the framing; or the answer ends there in
    /// perfect order (`then: clean`).
    Cut,
    /// Silence after some events, until the client closes.
    Stall,
    /// One event holds bytes that are no JSON.
    GarbageEvent,
    /// After some events the API says that something went wrong, and nothing follows.
    ErrorEvent,
    /// All events but the last one, which says that the answer is whole.
    NoTerminator,
    /// One event comes twice.
    DuplicateEvent,
    /// Two events come in the wrong order.
    ReorderedEvents,
    /// Characters are cut in two by the borders of chunks.
    SplitUtf8,
    /// The model stops because the answer is long enough, in the vendor's own words.
    Length,
}

impl Kind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Cut,
        Self::Stall,
        Self::GarbageEvent,
        Self::ErrorEvent,
        Self::NoTerminator,
        Self::DuplicateEvent,
        Self::ReorderedEvents,
        Self::SplitUtf8,
        Self::Length,
    ];

    /// The word in YAML and in the trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Stall => "stall",
            Self::GarbageEvent => "garbage_event",
            Self::ErrorEvent => "error_event",
            Self::NoTerminator => "no_terminator",
            Self::DuplicateEvent => "duplicate_event",
            Self::ReorderedEvents => "reordered_events",
            Self::SplitUtf8 => "split_utf8",
            Self::Length => "length",
        }
    }

    /// True when it happens at some event.
    #[must_use]
    pub const fn has_place(self) -> bool {
        match self {
            Self::Cut
            | Self::Stall
            | Self::GarbageEvent
            | Self::ErrorEvent
            | Self::DuplicateEvent
            | Self::ReorderedEvents => true,
            Self::NoTerminator | Self::SplitUtf8 | Self::Length => false,
        }
    }

    /// True when a client may be right to take what comes, because nothing is lost, or because nothing
    /// in the stream numbers the events.
    #[must_use]
    pub const fn may_stay_usable(self) -> bool {
        matches!(self, Self::SplitUtf8 | Self::DuplicateEvent | Self::ReorderedEvents)
    }
}

/// How a stream goes wrong, with all it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In which way.
    pub kind: Kind,
    /// Events that come before it happens; `None` for half of them.
    pub after: Option<u64>,
    /// For [`Kind::Cut`], how the connection ends; `None` where the answer ends in order.
    pub then: Option<End>,
}

/// What goes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    /// The bytes.
    pub body: Bytes,
    /// The pieces in which they go out; `None` for one an event.
    pub lengths: Option<Vec<usize>>,
    /// After so many bytes the connection ends, and how.
    pub cut: Option<(u64, End)>,
}

/// Spoils a stream; `error` is the body of the API's error for [`Kind::ErrorEvent`].
#[must_use]
pub fn spoil(how: &Broken, spec: &StreamSpec, own: &Bytes, error: &str) -> Spoiled {
    let events = sse::events(own);
    let stream = Stream { spec, own, events: &events };
    let whole = |body: Bytes| Spoiled { body, lengths: None, cut: None };
    match how.kind {
        Kind::Cut => {
            let end = stream.end_of(how.after);
            match how.then {
                None => whole(own.slice(..end)),
                Some(then) => cut_after(own, end, then),
            }
        }
        Kind::Stall => cut_after(own, stream.end_of(how.after), End::Stall),
        Kind::ErrorEvent => {
            let mut text = String::new();
            sse::write(spec.error.name.as_deref(), error, &mut text);
            whole([&own[..stream.end_of(how.after)], text.as_bytes()].concat().into())
        }
        Kind::GarbageEvent => whole(stream.with_garbage(how.after)),
        Kind::NoTerminator => whole(own.slice(..stream.end_of(Some(u64::MAX)))),
        Kind::DuplicateEvent => whole(stream.reordered(how.after, |at| vec![at, at, at + 1])),
        Kind::ReorderedEvents => whole(stream.reordered(how.after, |at| vec![at + 1, at])),
        Kind::SplitUtf8 => {
            Spoiled { lengths: Some(split(own, &sse::pieces(own))), ..whole(own.clone()) }
        }
        Kind::Length => whole(stream.shorter()),
    }
}

fn cut_after(own: &Bytes, end: usize, then: End) -> Spoiled {
    let bytes = u64::try_from(end).unwrap_or(u64::MAX);
    Spoiled { body: own.clone(), lengths: None, cut: Some((bytes, then)) }
}

/// A stream that was read.
struct Stream<'a> {
    spec: &'a StreamSpec,
    own: &'a Bytes,
    events: &'a [Event],
}

impl Stream<'_> {
    /// How many events come before the place; the last one is never among them.
    fn place(&self, after: Option<u64>) -> usize {
        let most = self.events.len().saturating_sub(1);
        let half = self.events.len() / 2;
        after.map_or(half, |after| usize::try_from(after).unwrap_or(usize::MAX)).min(most)
    }

    /// Where so many events end.
    fn end_of(&self, after: Option<u64>) -> usize {
        match self.place(after).checked_sub(1).and_then(|last| self.events.get(last)) {
            Some(event) => event.range.end,
            None => 0,
        }
    }

    fn bytes(&self, index: usize) -> &[u8] {
        self.events.get(index).map_or(&[], |event| &self.own[event.range.clone()])
    }

    /// The event at the place, broken off in the middle of its JSON.
    fn with_garbage(&self, after: Option<u64>) -> Bytes {
        let at = self.place(after);
        let Some(event) = self.events.get(at) else { return self.own.clone() };
        let half = event.data.floor_char_boundary(event.data.len() / 2);
        let mut text = String::new();
        let mut data = event.data[..half].to_owned();
        if serde_json::from_str::<IgnoredAny>(&data).is_ok() {
            // Half of a number is a number.
            data.push('{');
        }
        sse::write(event.name.as_deref(), &data, &mut text);
        let (before, behind) = (&self.own[..event.range.start], &self.own[event.range.end..]);
        [before, text.as_bytes(), behind].concat().into()
    }

    /// Two events that stand side by side, the first of them at the place, in another order. Where the
    /// events carry text, two that do are taken.
    fn reordered(&self, after: Option<u64>, order: impl Fn(usize) -> Vec<usize>) -> Bytes {
        let wanted = self.place(after);
        let carries = |index: usize| {
            self.events.get(index).is_some_and(|event| self.spec.carries_text(event))
        };
        let pairs = 0..self.events.len().saturating_sub(2);
        let texts = pairs.clone().filter(|&index| carries(index) && carries(index + 1));
        let nearest = |index: &usize| index.abs_diff(wanted);
        let Some(at) = texts.min_by_key(nearest).or_else(|| pairs.min_by_key(nearest)) else {
            return self.own.clone();
        };
        let (first, second) = (&self.events[at].range, &self.events[at + 1].range);
        let mut out = self.own[..first.start].to_vec();
        for index in order(at) {
            out.extend_from_slice(self.bytes(index));
        }
        out.extend_from_slice(&self.own[second.end..]);
        out.into()
    }

    /// Without the last piece of the text, and with the vendor's own words for it.
    fn shorter(&self) -> Bytes {
        let last = self.events.iter().rposition(|event| self.spec.carries_text(event));
        let mut out = String::new();
        for (index, event) in self.events.iter().enumerate() {
            if Some(index) == last {
                continue;
            }
            let changed =
                self.spec.length.iter().find_map(|change| {
                    Some((change.applied(&event.data)?, change.name.as_deref()))
                });
            let (data, name) = changed.unwrap_or_else(|| (event.data.clone(), None));
            let is_behind = last.is_some_and(|last| index > last);
            let data = if is_behind { self.one_number_less(&data).unwrap_or(data) } else { data };
            sse::write(name.or(event.name.as_deref()), &data, &mut out);
        }
        out.into()
    }

    /// An event behind one that was left out, where events count themselves.
    fn one_number_less(&self, data: &str) -> Option<String> {
        let pointer = self.spec.sequence.as_ref()?;
        let mut value: serde_json::Value = serde_json::from_str(data).ok()?;
        let number = pointer.find(&value)?.as_u64()?.checked_sub(1)?;
        pointer.set(&mut value, number.into());
        Some(value.to_string())
    }
}

/// Pieces with a border in every character of more than one byte; where there is none, in the middle of
/// every event.
fn split(body: &[u8], pieces: &[usize]) -> Vec<usize> {
    let mut borders = Vec::new();
    let mut end = 0;
    for length in pieces {
        end += length;
        borders.push(end);
    }
    // A byte that goes on with a character begins with the bits 10.
    let inner: Vec<usize> = (1..body.len())
        .filter(|&at| body[at] & 0xC0 == 0x80 && body[at - 1] & 0xC0 == 0xC0)
        .collect();
    if inner.is_empty() {
        let ends = borders.clone();
        borders.extend(ends.iter().zip(pieces).map(|(end, length)| end - length / 2));
    }
    borders.extend(inner);
    borders.sort_unstable();
    borders.dedup();
    let mut start = 0;
    borders
        .into_iter()
        .map(|end| end - std::mem::replace(&mut start, end))
        .filter(|it| *it > 0)
        .collect()
}
