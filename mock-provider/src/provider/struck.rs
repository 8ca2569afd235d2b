//! What the strikes on one request come down to, sorted by where in its life they act.
//!
//! Knows nothing of APIs or answers. **Invariant:** folding loses nothing: every strike of a decision
//! ends up in exactly one place, and is told to the trace when its place is reached.

use std::sync::Arc;

use bytes::Bytes;

use crate::exchange::{ClientFault, Pace, Pieces};
use crate::fault::{
    Action, BatchFault, CHUNKS, DelayPoint, Deprecated, Ending, JobFault, KeyFault, LimitFault,
    Malformed, OrderFault, Point, Substitute, UploadFault, WebhookFault,
};
use crate::malformed::Kind;
use crate::plan::{Decision, Strike};
use crate::sse;
use crate::units::{in_words_exactly, reading_us};

/// How long the provider holds back what comes next, so that a client which is to stand still does so by
/// then, in microseconds.
pub(super) const STRUCK_WITHIN_US: u64 = 10_000;

/// The pause between the halves of a body over which the client is struck: it is asleep when the second
/// comes.
const HALF_PAUSE_US: u64 = 2 * STRUCK_WITHIN_US;

/// The strikes on one request, folded.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// Delays before the work, in microseconds, and the marks of those that asked for them.
    pub(super) before: Delay,
    /// Delays after the work, before the head.
    pub(super) after: Delay,
    /// Delays between head and body.
    pub(super) head: Delay,
    /// Delays before each piece of the body but the first.
    pub(super) chunk: Delay,
    /// The body drips.
    pub(super) drip: Option<(Mark, Pace)>,
    /// The key is treated in another way than honestly.
    pub(super) keys: Vec<(Mark, KeyFault)>,
    /// The limit is treated in another way than as its policy says.
    pub(super) limits: Vec<(Mark, LimitFault)>,
    /// Something is out of its order.
    pub(super) order: Vec<(Mark, OrderFault)>,
    /// The event that tells of it is not sent as it should be.
    pub(super) webhooks: Vec<(Mark, WebhookFault)>,
    /// The job that it begins does not go as it should.
    pub(super) jobs: Vec<(Mark, JobFault)>,
    /// The piece of a file that it carries is not treated as it should be.
    pub(super) uploads: Vec<(Mark, UploadFault)>,
    /// Some of its items are not done, or nothing is said of them.
    pub(super) batches: Vec<(Mark, BatchFault)>,
    /// The route goes out of use.
    pub(super) deprecated: Option<Box<(Mark, Deprecated)>>,
    /// A gateway repeats the request: (mark, times, microseconds apart).
    pub(super) duplicates: Vec<(Mark, u32, u64)>,
    /// Interim answers go out before the head.
    pub(super) interim: Option<Box<(Mark, Bytes)>>,
    /// True when the body goes out in halves, because the client stands still between them.
    pub(super) halved: bool,
    /// The client itself is struck.
    pub(super) client: Option<(Mark, Point, ClientFault)>,
    /// The request ends in another way than the provider's own answer.
    ///
    /// Boxed, for most requests have none, and every request would carry the room for one.
    pub(super) ending: Option<Box<(Mark, Point, Ending)>>,
}

/// How long a request is on its way before it arrives, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnItsWay {
    /// While its body is read: as long as its client is there.
    pub(super) read_us: u64,
    /// In the hands of a gateway, whether or not its client is there.
    pub(super) held_us: u64,
}

/// Delays that are spent at one place.
#[derive(Debug, Default)]
pub(super) struct Delay {
    pub(super) total_us: u64,
    pub(super) marks: Vec<Mark>,
}

/// Who struck: what an event says of a strike.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) rule: Arc<str>,
    pub(super) fault: &'static str,
    pub(super) detail: String,
    pub(super) scheduled: bool,
    /// True when its rule struck with this fault alone.
    pub(super) alone: bool,
    pub(super) at: MarkedAt,
}

/// Where somebody struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkedAt {
    /// At a point of the request's life.
    Point(Point),
    /// Between head and body.
    Head,
    /// Between the pieces of the body.
    Chunk,
}

impl MarkedAt {
    /// The word in the trace.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Point(point) => point.name(),
            Self::Head => "head",
            Self::Chunk => "chunk",
        }
    }
}

impl From<Point> for MarkedAt {
    fn from(point: Point) -> Self {
        Self::Point(point)
    }
}

impl Mark {
    /// True when it struck at this point.
    pub(super) fn is_at(&self, point: Point) -> bool {
        self.at == MarkedAt::Point(point)
    }
}

impl Struck {
    /// Sorts the strikes of a decision. Delays add up; of drips the slowest wins; the decision holds one
    /// ending at most.
    pub(super) fn fold(decision: Decision) -> Self {
        let mut struck = Self::default();
        let rules: Vec<Arc<str>> =
            decision.strikes.iter().map(|strike| Arc::clone(&strike.rule)).collect();
        for strike in decision.strikes {
            let alone = rules.iter().filter(|rule| **rule == strike.rule).count() == 1;
            struck.take(strike, alone);
        }
        struck
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "it goes into the mark as it is")]
    fn take(&mut self, strike: Strike, alone: bool) {
        let mark = |at: MarkedAt, detail| Mark {
            rule: Arc::clone(&strike.rule),
            fault: strike.fault.name,
            detail,
            scheduled: strike.scheduled,
            alone,
            at,
        };
        let detailed = |at: MarkedAt| mark(at, strike.detail.clone());
        // Whether the work is done although something befell it.
        let settled = |done: bool| {
            detailed(if done { Point::AfterCommit } else { Point::BeforeCommit }.into())
        };
        match strike.action {
            Action::Delay { at, micros } => {
                let (delay, name) = match at {
                    DelayPoint::BeforeCommit => (&mut self.before, Point::BeforeCommit.into()),
                    DelayPoint::AfterCommit => (&mut self.after, Point::AfterCommit.into()),
                    DelayPoint::Head => (&mut self.head, MarkedAt::Head),
                    DelayPoint::Chunk => (&mut self.chunk, MarkedAt::Chunk),
                };
                delay.total_us = delay.total_us.saturating_add(micros);
                delay.marks.push(mark(name, format!("+{}", in_words_exactly(micros))));
            }
            Action::Drip { bytes, every_us } => {
                let pace =
                    Pace { bytes: usize::try_from(bytes).unwrap_or(usize::MAX).max(1), every_us };
                self.drip = Some((detailed(Point::MidBody.into()), pace));
            }
            Action::Key(fault) => {
                self.keys.push((detailed(Point::BeforeCommit.into()), fault));
            }
            Action::Limit(fault) => {
                self.limits.push((detailed(Point::Throttling.into()), fault));
            }
            Action::Order(fault) => {
                let at = match fault {
                    OrderFault::Held { .. } | OrderFault::Read { .. } => Point::Accept,
                    OrderFault::Stale { .. } => Point::BeforeCommit,
                    OrderFault::Slow { .. } => Point::AfterCommit,
                };
                self.order.push((detailed(at.into()), fault));
            }
            Action::Webhook(fault) => self.webhooks.push((settled(true), fault)),
            Action::Batch(fault) => self.batches.push((settled(fault.failed == 0), fault)),
            Action::Upload(fault) => self.uploads.push((settled(fault.keeps()), fault)),
            Action::Deprecated(deprecated) => {
                let mark = detailed(Point::BeforeCommit.into());
                self.deprecate(mark, deprecated);
            }
            Action::Job(fault) => self.jobs.push((settled(fault.is_done()), fault)),
            Action::Duplicate { times, apart_us } => {
                let mark = detailed(Point::Accept.into());
                self.duplicates.push((mark, times, apart_us));
            }
            Action::Client { at, does } => {
                self.client = Some((detailed(at.into()), at, does));
            }
            // Messages are struck when they are handed out, each by itself; of doors a plan makes ends, or nothing.
            Action::Message(_) | Action::Door(_) => {}
            Action::End { at, ending: Ending::Interim(head) } => {
                self.interim = Some(Box::new((detailed(at.into()), head)));
            }
            Action::End { at, ending } => {
                let mark = detailed(at.into());
                self.ending = Some(Box::new((mark, at, ending)));
            }
        }
    }

    /// A route goes out of use, or is out of it: then no other ending has its word, unless it came first.
    fn deprecate(&mut self, mark: Mark, deprecated: Deprecated) {
        if deprecated.is_over() && self.ending.is_none() {
            let gone = Substitute { status: Some(410), ..Substitute::default() };
            let ending = (mark.clone(), Point::BeforeCommit, Ending::Answer(gone));
            self.ending = Some(Box::new(ending));
        }
        self.deprecated.get_or_insert_with(|| Box::new((mark, deprecated)));
    }

    /// Who says that the route goes out of use, as long as it is not.
    pub(super) fn deprecation(&self) -> Option<Mark> {
        let (mark, deprecated) = self.deprecated.as_deref()?;
        (!deprecated.is_over()).then(|| mark.clone())
    }

    /// Every answer of the class throttling strikes where the limiter stands, unless it says that the
    /// work is done.
    pub(super) fn sort_out_throttling(&mut self, throttles: impl Fn(u16) -> bool) {
        if let Some((mark, point @ Point::BeforeCommit, Ending::Answer(substitute))) =
            self.ending.as_deref_mut()
            && !substitute.kept
            && substitute.status.is_some_and(throttles)
        {
            *point = Point::Throttling;
            mark.at = Point::Throttling.into();
        }
    }

    /// Gives a redirect without a place the request's own, which makes a loop of it, and leaves one with a
    /// path with the operation: `rest` is the target without the operation's token.
    pub(super) fn locate(&mut self, target: &str, rest: &str) {
        let Some((_, _, Ending::Answer(answer))) = self.ending.as_deref_mut() else { return };
        if !matches!(answer.status, Some(301 | 302 | 303 | 307 | 308)) {
            return;
        }
        let token = target.strip_suffix(rest).unwrap_or_default();
        match answer.headers.iter_mut().find(|(name, _)| name == "location") {
            None => answer.headers.push(("location".to_owned(), target.to_owned())),
            Some((_, place)) if place.starts_with('/') && !place.starts_with("//") => {
                place.insert_str(0, token);
            }
            Some(_) => {}
        }
    }

    /// True when the answer is to show an earlier state of its object.
    pub(super) fn asks_for_earlier(&self) -> bool {
        matches!(
            self.ending.as_deref(),
            Some((_, _, Ending::Malformed(Malformed { kind: Kind::StaleAnswer, .. })))
        )
    }

    /// True when the client is to stand still at this point.
    pub(super) fn pauses_at(&self, point: Point) -> bool {
        matches!(&self.client, Some((_, at, ClientFault::Pause { .. })) if *at == point)
    }

    /// What befalls the client at one of these points; it does so once.
    pub(super) fn client_at(&mut self, points: &[Point]) -> Option<(Mark, ClientFault)> {
        let (mark, _, does) = self.client.take_if(|(_, at, _)| points.contains(at))?;
        Some((mark, does))
    }

    /// The ending that strikes at one of these points.
    pub(super) fn ending_at(&self, points: &[Point]) -> Option<(Mark, Ending)> {
        let (mark, at, ending) = self.ending.as_deref()?;
        points.contains(at).then(|| (mark.clone(), ending.clone()))
    }

    /// The first departure from an honest treatment of keys of which `pick` makes something, and its mark.
    pub(super) fn key<T>(&self, pick: impl Fn(&KeyFault) -> Option<T>) -> Option<(Mark, T)> {
        self.keys.iter().find_map(|(mark, fault)| Some((mark.clone(), pick(fault)?)))
    }

    /// What is most out of its order in this way: the largest number, and the mark of the first strike with it.
    pub(super) fn most(&self, pick: impl Fn(OrderFault) -> Option<u64>) -> Option<(Mark, u64)> {
        let all = self.order.iter().filter_map(|(mark, fault)| Some((mark, pick(*fault)?)));
        let most = all.reduce(|most, one| if one.1 > most.1 { one } else { most });
        most.map(|(mark, number)| (mark.clone(), number))
    }

    /// Of these rules nothing struck after all: those that do nothing but have a read lag behind.
    pub(super) fn lag_alone(&self) -> Vec<Arc<str>> {
        let lags = self
            .order
            .iter()
            .filter(|(mark, fault)| matches!(fault, OrderFault::Stale { .. }) && mark.alone);
        lags.map(|(mark, _)| Arc::clone(&mark.rule)).collect()
    }

    /// How long the request is on its way before it arrives, and who says so.
    pub(super) fn on_its_way(&self, body_bytes: u64) -> (OnItsWay, Vec<Mark>) {
        let mut way = OnItsWay::default();
        let mut marks = Vec::new();
        for (mark, fault) in &self.order {
            match fault {
                OrderFault::Held { by_us } => way.held_us = way.held_us.saturating_add(*by_us),
                OrderFault::Read { per_second } => {
                    way.read_us = way.read_us.max(reading_us(body_bytes, *per_second));
                }
                OrderFault::Stale { .. } | OrderFault::Slow { .. } => continue,
            }
            marks.push(mark.clone());
        }
        (way, marks)
    }

    /// The first thing done to the limit of which `pick` makes something, and its mark.
    pub(super) fn limit<T>(&self, pick: impl Fn(&LimitFault) -> Option<T>) -> Option<(Mark, T)> {
        self.limits.iter().find_map(|(mark, fault)| Some((mark.clone(), pick(fault)?)))
    }

    /// True when the ending puts an answer under the key that takes the place of the provider's own.
    pub(super) fn keeps_another(&self) -> bool {
        matches!(self.ending.as_deref(), Some((_, _, Ending::Answer(answer))) if answer.kept)
    }

    /// In which pieces a stream goes out: one an event, or as the body drips.
    pub(super) fn pieces(&self, stream: &[u8]) -> Pieces {
        match &self.drip {
            Some((_, pace)) => {
                let lengths = stream.chunks(pace.bytes).map(<[u8]>::len).collect();
                Pieces { lengths, every_us: pace.every_us }
            }
            None => {
                let (lengths, every_us) = (sse::pieces(stream), self.chunk.total_us);
                if self.halved && every_us < HALF_PAUSE_US {
                    return Pieces { lengths: in_halves(&lengths), every_us: HALF_PAUSE_US };
                }
                Pieces { lengths, every_us }
            }
        }
    }

    /// How the body is paced, for a body of `length` bytes.
    pub(super) fn pace(&self, length: usize) -> Option<Pace> {
        match &self.drip {
            Some((_, pace)) => Some(*pace),
            None if self.halved => {
                Some(Pace { bytes: length.div_ceil(2).max(1), every_us: HALF_PAUSE_US })
            }
            None if self.chunk.total_us > 0 => {
                Some(Pace { bytes: length.div_ceil(CHUNKS).max(1), every_us: self.chunk.total_us })
            }
            None => None,
        }
    }
}

/// Pieces as two: what comes before the client is struck, and what comes after.
fn in_halves(lengths: &[usize]) -> Vec<usize> {
    let (first, second) = lengths.split_at(lengths.len().div_ceil(2));
    [first, second].map(|half| half.iter().sum()).into_iter().filter(|bytes| *bytes > 0).collect()
}
