//! The accepted stream with a counter, a pair of scissors and an ear on it.
//!
//! Answers are armed in the order in which they are written; the wire counts their bytes, cuts where one
//! is to be cut, and finishes an exchange when the kernel has all of its bytes. It also hears the client
//! close while nobody reads.
//! **Invariant:** bytes of a body are never changed, only counted, held back or cut off; a head is written
//! as it comes, or another one in its place.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::event::Side;
use crate::exchange::{Cut, End, Framing};
use crate::shell::clock::Clock;
use crate::shell::handler::Handler;
use crate::shell::lock::lock;
use crate::shell::open::Open;
use crate::shell::scan::HeadScan;
use crate::shell::stream::Accepted;

/// How many bytes are read ahead of HTTP in order to hear a close behind them.
const AHEAD_BYTES: usize = 1 << 20;
/// How often, a millisecond apart, an emptying send queue is asked before a reset is sent anyway.
const QUEUE_LOOKS: u32 = 2_000;
/// How long a closed connection is still read, so that unread bytes do not turn the close into a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes are read and thrown away in that time.
const LINGER_BYTES: usize = 256 << 20;

/// How and when the client ended its side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) how: End,
    pub(super) at_us: u64,
}

/// What is left to do when a connection has ended.
pub(super) struct Concluded {
    /// Who ended it and how, unless it ended under an exchange.
    pub(super) idle_end: Option<(Side, Closed)>,
    /// True when the client has still to see the close; see [`Wire::linger`].
    pub(super) linger: bool,
}

/// The accepted stream of one connection, shared by HTTP and by what waits beside it.
pub(super) struct Wire<H: Handler> {
    clock: Clock,
    went_down: Arc<AtomicBool>,
    state: Mutex<State<H>>,
}

struct State<H: Handler> {
    stream: Accepted,
    ahead: VecDeque<u8>,
    client: Option<Closed>,
    armed: VecDeque<Armed<H>>,
    ending: Option<(Open<H>, End)>,
    flush_waker: Option<Waker>,
}

/// An answer whose bytes are still to come.
struct Armed<H: Handler> {
    open: Open<H>,
    scan: HeadScan,
    head_over: bool,
    body_bytes: u64,
    cut: Option<Cut>,
    head: Option<OtherHead>,
    /// Heads of interim answers that go out first.
    interim: Bytes,
}

/// A head that goes out in the place of the one that HTTP writes.
struct OtherHead {
    left: Bytes,
    whole: bool,
}

impl<H: Handler> Armed<H> {
    /// Where the body begins in `bytes`, which belong to so many answers, if the head ends in them or
    /// has ended.
    fn body_start(&self, bytes: &[u8], answers: usize) -> (HeadScan, Option<usize>) {
        if self.head_over {
            return (self.scan, Some(0));
        }
        let whole = usize::try_from(self.body_bytes).unwrap_or(usize::MAX);
        if answers == 1
            && let Some(end) = self.scan.guess(bytes, whole)
        {
            return (self.scan, Some(end));
        }
        let mut scan = self.scan;
        let end = scan.feed(bytes);
        (scan, end)
    }

    /// Body bytes that are still to be written.
    fn left(&self) -> u64 {
        let whole = self.cut.map_or(self.body_bytes, |cut| cut.after_bytes.min(self.body_bytes));
        whole.saturating_sub(self.open.body_bytes)
    }
}

/// What a write came to.
enum Wrote<H: Handler> {
    /// More of the answer is to come, or the bytes belonged to none.
    Some,
    /// These bytes completed the answer.
    All(Open<H>),
    /// The answer has been cut.
    Cut,
}

impl<H: Handler> Wire<H> {
    /// `went_down` is raised when the connection ends under an exchange; some bytes may have been read
    /// ahead of HTTP.
    pub(super) fn new(
        (stream, ahead): (Accepted, Vec<u8>),
        clock: Clock,
        went_down: Arc<AtomicBool>,
    ) -> Self {
        let state = State {
            stream,
            ahead: ahead.into(),
            client: None,
            armed: VecDeque::new(),
            ending: None,
            flush_waker: None,
        };
        Self { clock, went_down, state: Mutex::new(state) }
    }

    /// The next bytes that HTTP writes are this exchange's answer, with a body of so many bytes.
    pub(super) fn arm(
        &self,
        open: Open<H>,
        body_bytes: u64,
        cut: Option<Cut>,
        (interim, framing): (Bytes, Option<Framing>),
    ) {
        let head = framing.map(|Framing { head, whole }| OtherHead { left: head, whole });
        let scan = HeadScan::default();
        let armed = Armed { open, scan, head_over: false, body_bytes, cut, head, interim };
        lock(&self.state).armed.push_back(armed);
    }

    /// Waits until all earlier answers are written.
    pub(super) async fn flushed(&self) {
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.armed.is_empty() {
                return Poll::Ready(());
            }
            state.flush_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Nothing more is written; once HTTP has let go, the connection ends this way.
    pub(super) fn end(&self, mut open: Open<H>, how: End) {
        if how == End::Stall {
            open.fall_silent();
        }
        lock(&self.state).ending = Some((open, how));
    }

    /// Waits until the client closes. Bytes that come before are kept for HTTP.
    pub(super) async fn closed(&self) -> Closed {
        std::future::poll_fn(|cx| self.poll_closed(cx)).await
    }

    /// As [`Wire::closed`].
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Closed> {
        let mut state = lock(&self.state);
        while state.ahead.len() < AHEAD_BYTES {
            let mut space = [0; 4096];
            let read = ready!(state.poll_read(cx, &self.clock, &mut space));
            match read {
                Ok(bytes) => state.ahead.extend(&space[..bytes]),
                Err(closed) => return Poll::Ready(closed),
            }
        }
        // Whoever asks again hears of a close behind bytes for which there is no room.
        match state.stream.hung_up() {
            Some(how) => {
                let closed = Closed { how, at_us: self.clock.now_us() };
                state.client = Some(closed);
                Poll::Ready(closed)
            }
            None => Poll::Pending,
        }
    }

    /// How the client closed, if it is known to have.
    pub(super) fn client(&self) -> Option<Closed> {
        lock(&self.state).client
    }

    /// HTTP has let go of the connection: ends it as it is to end, and finishes what is still open.
    pub(super) async fn conclude(&self) -> Concluded {
        let (ending, armed, client) = {
            let mut state = lock(&self.state);
            (state.ending.take(), std::mem::take(&mut state.armed), state.client)
        };
        let mut linger = false;
        if ending.is_some() {
            let flush = std::future::poll_fn(|cx| self.poll_flush(cx));
            if let Some(Err(error)) = self.clock.within(LINGER, flush).await {
                tracing::debug!(%error, "the client was gone before all was written");
            }
        }
        match ending {
            Some((open, End::Stall)) => {
                let closed = self.discard_until_closed(usize::MAX).await;
                open.ended(Side::Client, closed.how, closed.at_us);
            }
            Some((open, End::Rst)) => {
                self.sent().await;
                let at_us = self.clock.now_us();
                self.reset();
                open.ended(Side::Provider, End::Rst, at_us);
            }
            // Streams end over HTTP/2 alone; here each has a connection of its own.
            Some((
                open,
                how @ (End::Fin | End::Half | End::Stream(_) | End::EndStream | End::GoAway),
            )) => {
                let at_us = self.clock.now_us();
                self.shut_down().await;
                open.ended(Side::Provider, how, at_us);
                linger = how != End::Half;
                if how == End::Half {
                    self.discard_until_closed(usize::MAX).await;
                }
            }
            None => linger = client.is_none(),
        }
        let now_us = self.clock.now_us();
        let closed = client.unwrap_or(Closed { how: End::Fin, at_us: now_us });
        for answer in armed {
            answer.open.ended(Side::Client, closed.how, closed.at_us);
        }
        let by = if client.is_some() { Side::Client } else { Side::Provider };
        let alone = !self.went_down.load(Ordering::Acquire);
        Concluded { idle_end: alone.then_some((by, closed)), linger }
    }

    /// Reads and throws away for a while, so that the client sees the close and not a reset.
    pub(super) async fn linger(&self) {
        self.clock.within(LINGER, self.discard_until_closed(LINGER_BYTES)).await;
    }

    /// Waits until a reset throws away nothing that was written; bounded.
    async fn sent(&self) {
        for _ in 0..QUEUE_LOOKS {
            if !lock(&self.state).stream.holds_unsent() {
                return;
            }
            let closed = self.clock.within(Duration::from_millis(1), self.closed()).await;
            match closed.map(|closed| closed.how) {
                // The queue of a socket that was reset never empties.
                Some(End::Rst) => return,
                Some(
                    End::Fin
                    | End::Stall
                    | End::Half
                    | End::Stream(_)
                    | End::EndStream
                    | End::GoAway,
                ) => {
                    self.clock.sleep(Duration::from_millis(1)).await;
                }
                None => {}
            }
        }
    }

    /// From here on closing the socket resets the connection.
    fn reset(&self) {
        if let Err(error) = lock(&self.state).stream.reset() {
            tracing::debug!(%error, "a reset became an orderly close");
        }
    }

    /// Sends FIN.
    async fn shut_down(&self) {
        if let Err(error) = std::future::poll_fn(|cx| self.poll_shutdown(cx)).await {
            tracing::debug!(%error, "the client was gone before the close");
        }
    }

    async fn discard_until_closed(&self, most_bytes: usize) -> Closed {
        let mut discarded = 0_usize;
        std::future::poll_fn(|cx| {
            let mut state = lock(&self.state);
            state.ahead.clear();
            loop {
                let mut space = [0; 4096];
                match ready!(state.poll_read(cx, &self.clock, &mut space)) {
                    Ok(bytes) => discarded = discarded.saturating_add(bytes),
                    Err(closed) => return Poll::Ready(closed),
                }
                if discarded > most_bytes {
                    return Poll::Ready(Closed { how: End::Fin, at_us: self.clock.now_us() });
                }
            }
        })
        .await
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let before_us = self.clock.now_us();
        let mut state = lock(&self.state);
        let (written, wrote) = match ready!(state.poll_write(cx, bytes, before_us)) {
            Ok(done) => done,
            Err(error) => {
                state.client.get_or_insert(Closed { how: End::Rst, at_us: before_us });
                return Poll::Ready(Err(error));
            }
        };
        if state.armed.is_empty()
            && let Some(waker) = state.flush_waker.take()
        {
            waker.wake();
        }
        drop(state);
        match wrote {
            Wrote::Some => {}
            Wrote::All(open) => open.complete(),
            Wrote::Cut => return Poll::Ready(Err(cut_off())),
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.state).stream).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.state).stream).poll_shutdown(cx)
    }

    fn poll_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        if !state.ahead.is_empty() {
            let (kept, _) = state.ahead.as_slices();
            let bytes = kept.len().min(into.remaining());
            into.put_slice(&kept[..bytes]);
            state.ahead.drain(..bytes);
            return Poll::Ready(Ok(()));
        }
        if let Some(closed) = state.client {
            return Poll::Ready(closed.as_read());
        }
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut state.stream).poll_read(cx, into));
        let how = match &read {
            Ok(()) if into.filled().len() > before || into.remaining() == 0 => {
                return Poll::Ready(Ok(()));
            }
            Ok(()) => End::Fin,
            Err(error) => how_ended(error),
        };
        state.client = Some(Closed { how, at_us: self.clock.now_us() });
        Poll::Ready(read)
    }
}

impl<H: Handler> State<H> {
    /// Reads some bytes, or learns that the client has closed.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        clock: &Clock,
        space: &mut [u8],
    ) -> Poll<Result<usize, Closed>> {
        if let Some(closed) = self.client {
            return Poll::Ready(Err(closed));
        }
        let mut into = ReadBuf::new(space);
        let how = match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into)) {
            Ok(()) if !into.filled().is_empty() => return Poll::Ready(Ok(into.filled().len())),
            Ok(()) => End::Fin,
            Err(error) => how_ended(&error),
        };
        let closed = Closed { how, at_us: clock.now_us() };
        self.client = Some(closed);
        Poll::Ready(Err(closed))
    }

    /// Writes what may be written of `bytes`, and counts it for the oldest answer that is still open.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        before_us: u64,
    ) -> Poll<io::Result<(usize, Wrote<H>)>> {
        if self.ending.is_some() {
            return Poll::Ready(Err(cut_off()));
        }
        if let Some(front) = self.armed.front_mut() {
            ready!(write_all(&mut self.stream, cx, &mut front.interim))?;
        }
        if let Some(front) = self.armed.front_mut()
            && !front.head_over
            && let Some(head) = &mut front.head
        {
            let mut scan = front.scan;
            let Some(end) = scan.feed(bytes) else {
                front.scan = scan;
                return Poll::Ready(Ok((bytes.len(), Wrote::Some)));
            };
            front.open.head_at_us.get_or_insert(before_us);
            ready!(write_all(&mut self.stream, cx, &mut head.left))?;
            front.head_over = true;
            return Poll::Ready(Ok((end, self.settle(before_us))));
        }
        let answers = self.armed.len();
        let Some(front) = self.armed.front_mut() else {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            return Poll::Ready(Ok((written, Wrote::Some)));
        };
        let (mut scan, body_start) = front.body_start(bytes, answers);
        let left = usize::try_from(front.left()).unwrap_or(usize::MAX);
        let most = body_start.map_or(bytes.len(), |start| start.saturating_add(left));
        let most = most.min(bytes.len());
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..most]))?;
        front.open.head_at_us.get_or_insert(before_us);
        match body_start.filter(|start| *start <= written) {
            Some(start) => {
                front.head_over = true;
                let body = u64::try_from(written - start).unwrap_or(u64::MAX);
                front.open.body_bytes = front.open.body_bytes.saturating_add(body);
            }
            None if written < bytes.len() => {
                scan = front.scan;
                scan.feed(&bytes[..written]);
            }
            None => {}
        }
        front.scan = scan;
        Poll::Ready(Ok((written, self.settle(before_us))))
    }

    /// What the latest write came to for the oldest answer that is still open.
    fn settle(&mut self, before_us: u64) -> Wrote<H> {
        let Some(front) = self.armed.front_mut() else { return Wrote::Some };
        if !front.head_over || front.left() > 0 {
            return Wrote::Some;
        }
        let whole = front.head.as_ref().is_none_or(|head| head.whole);
        if whole && front.open.body_bytes >= front.body_bytes {
            front.open.complete_at_us = Some(before_us);
        }
        let Some(Armed { mut open, cut, .. }) = self.armed.pop_front() else { return Wrote::Some };
        let Some(cut) = cut else { return Wrote::All(open) };
        if cut.then == End::Stall {
            open.fall_silent();
        }
        self.ending = Some((open, cut.then));
        Wrote::Cut
    }
}

impl Closed {
    fn as_read(self) -> io::Result<()> {
        match self.how {
            End::Rst => Err(io::ErrorKind::ConnectionReset.into()),
            End::Fin | End::Stall | End::Half | End::Stream(_) | End::EndStream | End::GoAway => {
                Ok(())
            }
        }
    }
}

/// Writes all of these bytes; a stream that takes none of them is over.
fn write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    left: &mut Bytes,
) -> Poll<io::Result<()>> {
    while !left.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, left))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => left.advance(written),
        }
    }
    Poll::Ready(Ok(()))
}

/// How a client ended its side that cannot be read from any more. Many close without a word of TLS.
pub(super) fn how_ended(error: &io::Error) -> End {
    if error.kind() == io::ErrorKind::UnexpectedEof { End::Fin } else { End::Rst }
}

/// What HTTP is told when the wire ends the connection on purpose.
fn cut_off() -> io::Error {
    io::Error::other("cut off on purpose")
}

/// The wire as a stream: what HTTP reads from and writes to.
pub(super) struct WireIo<H: Handler>(pub(super) Arc<Wire<H>>);

impl<H: Handler> AsyncRead for WireIo<H> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, into)
    }
}

impl<H: Handler> AsyncWrite for WireIo<H> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is with the kernel, but for what TLS still holds.
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time, until it is over.
    struct Slow(usize);

    impl AsyncWrite for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(self.0.min(bytes.len())))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_stream_that_takes_nothing_any_more_ends_the_writing() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut left = Bytes::from_static(b"head");
        assert!(matches!(write_all(&mut Slow(3), &mut cx, &mut left), Poll::Ready(Ok(()))));
        let mut left = Bytes::from_static(b"head");
        let Poll::Ready(Err(error)) = write_all(&mut Slow(0), &mut cx, &mut left) else {
            panic!("it is over");
        };
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(left.len(), 4);
    }
}
