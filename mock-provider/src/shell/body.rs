//! The body of an answer as HTTP asks for it: at once, or in pieces by the clock.
//!
//! **Invariant:** the size it announces is the size of the whole body, however it is paced; a stream
//! announces none, and each of its pieces becomes a chunk.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::{Pace, Pieces, Wire as Pacing};
use crate::shell::clock::Clock;
use crate::shell::handler::Handler;
use crate::shell::wire::Wire;

/// The body of an answer.
pub(super) enum AnswerBody<H: Handler> {
    /// All of it at once.
    Whole(Bytes),
    /// In pieces.
    Paced(Box<Paced<H>>),
    /// A stream.
    Stream(Box<Stream<H>>),
}

/// A body that goes out piece by piece, as nobody knows how long it will be.
pub(super) struct Stream<H: Handler> {
    lengths: VecDeque<usize>,
    every_us: u64,
    /// True when the piece before has been handed over and must leave before the next one is asked for.
    flush: bool,
    paced: Paced<H>,
}

/// A body that goes out in pieces, and that hears the client close between them.
pub(super) struct Paced<H: Handler> {
    wire: Arc<Wire<H>>,
    clock: Clock,
    rest: Bytes,
    pace: Option<Pace>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<H: Handler> AnswerBody<H> {
    /// A body under this pacing; the cut is the wire's business.
    pub(super) fn new(
        body: Bytes,
        (pacing, pieces): (&Pacing, Option<Pieces>),
        wire: &Arc<Wire<H>>,
        clock: Clock,
    ) -> Self {
        if let Some(Pieces { lengths, every_us }) = pieces {
            let mut paced =
                Paced { wire: Arc::clone(wire), clock, rest: body, pace: None, pause: None };
            paced.wait(pacing.body_after_us);
            let lengths = lengths.into();
            return Self::Stream(Box::new(Stream { lengths, every_us, flush: false, paced }));
        }
        if pacing.body_after_us == 0 && pacing.pace.is_none() {
            return Self::Whole(body);
        }
        let mut paced =
            Paced { wire: Arc::clone(wire), clock, rest: body, pace: pacing.pace, pause: None };
        paced.wait(pacing.body_after_us);
        Self::Paced(Box::new(paced))
    }
}

impl<H: Handler> Paced<H> {
    fn wait(&mut self, micros: u64) {
        if micros > 0 {
            let clock = self.clock;
            let until_us = clock.now_us().saturating_add(micros);
            self.pause = Some(Box::pin(async move { clock.sleep_until_us(until_us).await }));
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause {
            if self.wire.poll_closed(cx).is_ready() {
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
            }
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let most = self.pace.map_or(usize::MAX, |pace| pace.bytes.max(1));
        let piece = self.rest.split_to(most.min(self.rest.len()));
        if let Some(pace) = self.pace
            && !self.rest.is_empty()
        {
            self.wait(pace.every_us);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<H: Handler> Stream<H> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if std::mem::take(&mut self.flush) {
            // HTTP writes what it has whenever a body says that it is not ready.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes = self.lengths.front().copied().unwrap_or(usize::MAX).max(1);
        self.paced.pace = Some(Pace { bytes, every_us: self.every_us });
        let piece = ready!(self.paced.poll_piece(cx));
        self.lengths.pop_front();
        self.flush = true;
        Poll::Ready(piece)
    }
}

impl<H: Handler> Body for AnswerBody<H> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Paced(paced) => paced.poll_piece(cx),
            Self::Stream(stream) => stream.poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Paced(paced) => paced.rest.is_empty(),
            Self::Stream(stream) => stream.paced.rest.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match self {
            Self::Whole(body) => body.len(),
            Self::Paced(paced) => paced.rest.len(),
            Self::Stream(_) => return SizeHint::default(),
        };
        SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
    }
}
