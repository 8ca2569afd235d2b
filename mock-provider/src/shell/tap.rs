//! The accepted stream under HTTP/2, with a counter for each stream of it.
//!
//! Frames pass through as HTTP wrote them; their beginnings are read, so that it is known which bytes of
//! which answer the kernel has. A frame of our own goes out between two others.
//! **Invariant:** no byte of a frame is changed, and nothing is written into the middle of one.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::event::Side;
use crate::exchange::End;
use crate::http2::{ErrorCode, FrameHead, GoAway, LastStream};
use crate::shell::clock::Clock;
use crate::shell::handler::Handler;
use crate::shell::lock::lock;
use crate::shell::open::Open;
use crate::shell::stream::Accepted;
use crate::shell::wire::{Closed, how_ended};

/// How often, a millisecond apart, an emptying send queue is asked before a reset is sent anyway.
const QUEUE_LOOKS: u32 = 2_000;
/// How long a closed connection is still read, so that unread bytes do not turn the close into a reset.
const LINGER: Duration = Duration::from_secs(2);

/// The accepted stream of one connection over HTTP/2.
pub(super) struct Tap<H: Handler> {
    clock: Clock,
    state: Mutex<State<H>>,
    /// Told whenever frames have gone out.
    written: Notify,
    /// Told when leave was taken and nothing is left to answer.
    over: Notify,
}

struct State<H: Handler> {
    stream: Accepted,
    ahead: VecDeque<u8>,
    client: Option<Closed>,
    scan: FrameScan,
    streams: BTreeMap<u32, Armed<H>>,
    /// The two highest streams that were begun.
    begun: [u32; 2],
    /// Beyond which stream nothing is begun any more.
    last: Option<u32>,
    /// What is still to go out of a frame of our own.
    own: Bytes,
}

/// An exchange over one stream.
struct Armed<H: Handler> {
    open: Open<H>,
    /// True when it ends in order before its body is whole.
    early: bool,
    /// The code by which it is reset.
    reset: Option<ErrorCode>,
}

/// How a stream ended on the wire.
enum Done<H: Handler> {
    Whole(Open<H>),
    Cut(Open<H>, End),
}

/// Reads the beginnings of frames.
#[derive(Debug, Default)]
struct FrameScan {
    head: [u8; FrameHead::BYTES],
    have: usize,
    current: FrameHead,
    left: usize,
}

impl FrameScan {
    /// True between two frames.
    const fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// How many bytes certainly belong to the frame that has begun.
    const fn rest(&self) -> usize {
        if self.left > 0 { self.left } else { FrameHead::BYTES - self.have }
    }

    /// Takes bytes of one frame: how many, and whether its head (`Some(false)`) or all of it ended there.
    fn take(&mut self, bytes: &[u8]) -> Step {
        if self.left > 0 {
            let count = self.left.min(bytes.len());
            self.left -= count;
            return Step { count, payload: count, begins: false, ends: self.left == 0 };
        }
        let count = (FrameHead::BYTES - self.have).min(bytes.len());
        self.head[self.have..self.have + count].copy_from_slice(&bytes[..count]);
        self.have += count;
        let begins = self.have == FrameHead::BYTES;
        if begins {
            self.have = 0;
            self.current = FrameHead::read(self.head);
            self.left = usize::try_from(self.current.length).unwrap_or(usize::MAX);
        }
        Step { count, payload: 0, begins, ends: begins && self.left == 0 }
    }
}

/// What some bytes were to a frame.
struct Step {
    count: usize,
    payload: usize,
    begins: bool,
    ends: bool,
}

impl<H: Handler> State<H> {
    /// These bytes have gone out; tells which streams they ended.
    fn wrote(&mut self, mut bytes: &[u8], before_us: u64) -> Vec<Done<H>> {
        let mut done = Vec::new();
        while !bytes.is_empty() {
            let step = self.scan.take(bytes);
            bytes = &bytes[step.count..];
            let frame = self.scan.current;
            let Some(armed) = self.streams.get_mut(&frame.stream) else { continue };
            if step.begins && frame.kind == FrameHead::HEADERS {
                armed.open.head_at_us.get_or_insert(before_us);
            }
            if frame.kind == FrameHead::DATA {
                let count = u64::try_from(step.payload).unwrap_or(u64::MAX);
                armed.open.body_bytes = armed.open.body_bytes.saturating_add(count);
            }
            let in_order = matches!(frame.kind, FrameHead::HEADERS | FrameHead::DATA)
                && frame.flags & FrameHead::END_STREAM != 0;
            if !step.ends || !(in_order || frame.kind == FrameHead::RST_STREAM) {
                continue;
            }
            let Some(Armed { mut open, early, reset }) = self.streams.remove(&frame.stream) else {
                continue;
            };
            done.push(if !in_order {
                Done::Cut(open, End::Stream(reset.unwrap_or(ErrorCode::InternalError)))
            } else if early {
                Done::Cut(open, End::EndStream)
            } else {
                open.complete_at_us = Some(before_us);
                Done::Whole(open)
            });
        }
        done
    }

    /// Writes what is left of a frame of our own.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.own))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.own.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<H: Handler> Tap<H> {
    /// `ahead` was read before it was known that this is HTTP/2.
    pub(super) fn new(stream: Accepted, ahead: Vec<u8>, clock: Clock) -> Self {
        let state = State {
            stream,
            ahead: ahead.into(),
            client: None,
            scan: FrameScan::default(),
            streams: BTreeMap::new(),
            begun: [0; 2],
            last: None,
            own: Bytes::new(),
        };
        Self { clock, state: Mutex::new(state), written: Notify::new(), over: Notify::new() }
    }

    /// A request has come; false for one beyond the last stream that is still begun.
    pub(super) fn begin(&self, stream: u32) -> bool {
        let mut state = lock(&self.state);
        if state.last.is_some_and(|last| stream > last) {
            return false;
        }
        if stream > state.begun[0] {
            state.begun = [stream, state.begun[0]];
        }
        true
    }

    /// From here on the stream belongs to this exchange.
    pub(super) fn arm(&self, stream: u32, open: Open<H>) {
        lock(&self.state).streams.insert(stream, Armed { open, early: false, reset: None });
    }

    /// Nothing more is written on the stream, and nobody has to wait for its end.
    pub(super) fn fall_silent(&self, stream: u32) {
        if let Some(armed) = lock(&self.state).streams.get_mut(&stream) {
            armed.open.fall_silent();
        }
    }

    /// The stream will end in order, and too early.
    pub(super) fn ends_early(&self, stream: u32) {
        if let Some(armed) = lock(&self.state).streams.get_mut(&stream) {
            armed.early = true;
        }
    }

    /// The stream will be reset by this code.
    pub(super) fn resets(&self, stream: u32, code: ErrorCode) {
        if let Some(armed) = lock(&self.state).streams.get_mut(&stream) {
            armed.reset = Some(code);
        }
    }

    /// The stream is over, without a frame of ours.
    pub(super) fn ended(&self, stream: u32, by: Side, how: End) {
        let armed = lock(&self.state).streams.remove(&stream);
        if let Some(Armed { open, .. }) = armed {
            open.ended(by, how, self.clock.now_us());
        }
        self.look_whether_over();
    }

    /// Waits until the head and so many bytes of the body have gone out, or the stream is over.
    pub(super) async fn has_written(&self, stream: u32, body_bytes: u64) {
        loop {
            let written = self.written.notified();
            let is_out = lock(&self.state).streams.get(&stream).is_none_or(|armed| {
                armed.open.head_at_us.is_some() && armed.open.body_bytes >= body_bytes
            });
            if is_out {
                return;
            }
            written.await;
        }
    }

    /// Takes leave: prepares the frame, to be written by [`Tap::poll_own`]; true when the stream that is
    /// struck lies beyond the last that is said to be begun.
    pub(super) fn leave(&self, stream: u32, leave: &GoAway) -> bool {
        let mut state = lock(&self.state);
        let [first, second] = state.begun;
        let others = if first == stream { second } else { first };
        let last = match leave.last {
            LastStream::This => first.max(stream),
            LastStream::Before => others,
        };
        let last = state.last.map_or(last, |before| before.min(last));
        state.last = Some(last);
        let frame = leave.frame(last);
        state.own = [&*state.own, &*frame].concat().into();
        stream > last
    }

    /// Writes a frame of our own, unless HTTP is in the middle of one; then it goes out behind that.
    pub(super) fn poll_own(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        if !state.scan.is_between() {
            return Poll::Ready(Ok(()));
        }
        ready!(state.poll_own(cx))?;
        Pin::new(&mut state.stream).poll_flush(cx)
    }

    /// Comes to an end when leave was taken and nothing is left to answer.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// Tells those who wait for the end, if it has come.
    pub(super) fn look_whether_over(&self) {
        let state = lock(&self.state);
        if state.last.is_some() && state.streams.is_empty() && state.own.is_empty() {
            self.over.notify_one();
        }
    }

    /// HTTP has let go: ends the connection, as the provider wants it to end if it does, and finishes all
    /// that is open. Tells how it ended where nothing was.
    pub(super) async fn conclude(&self, wanted: Option<End>) -> Option<(Side, Closed)> {
        let client = lock(&self.state).client;
        let (by, how) = match (wanted, client) {
            (Some(End::Rst), _) => {
                self.sent().await;
                if let Err(error) = lock(&self.state).stream.reset() {
                    tracing::debug!(%error, "a reset became an orderly close");
                }
                (Side::Provider, End::Rst)
            }
            (None, Some(closed)) => (Side::Client, closed.how),
            (Some(_) | None, _) => {
                let shut = std::future::poll_fn(|cx| {
                    Pin::new(&mut lock(&self.state).stream).poll_shutdown(cx)
                });
                if let Some(Err(error)) = self.clock.within(LINGER, shut).await {
                    tracing::debug!(%error, "the client was gone before the close");
                }
                (Side::Provider, End::Fin)
            }
        };
        let at_us = match (by, client) {
            (Side::Client, Some(closed)) => closed.at_us,
            (Side::Client | Side::Provider, _) => self.clock.now_us(),
        };
        let streams = std::mem::take(&mut lock(&self.state).streams);
        let alone = streams.is_empty();
        for armed in streams.into_values() {
            armed.open.ended(by, how, at_us);
        }
        if (by, how) == (Side::Provider, End::Fin) {
            self.clock.within(LINGER, self.discard()).await;
        }
        alone.then_some((by, Closed { how, at_us }))
    }

    /// Waits until a reset throws away nothing that was written; bounded.
    async fn sent(&self) {
        for _ in 0..QUEUE_LOOKS {
            if !lock(&self.state).stream.holds_unsent() {
                return;
            }
            self.clock.sleep(Duration::from_millis(1)).await;
        }
    }

    /// Reads and throws away until the client closes.
    async fn discard(&self) {
        std::future::poll_fn(|cx| {
            loop {
                let mut space = [0; 4096];
                let mut into = ReadBuf::new(&mut space);
                let mut state = lock(&self.state);
                let read = ready!(Pin::new(&mut state.stream).poll_read(cx, &mut into));
                if read.is_err() || into.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}

/// The tap as a stream: what HTTP reads from and writes to.
pub(super) struct TapIo<H: Handler>(pub(super) Arc<Tap<H>>);

impl<H: Handler> AsyncRead for TapIo<H> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0.state);
        if !state.ahead.is_empty() {
            let (kept, _) = state.ahead.as_slices();
            let bytes = kept.len().min(into.remaining());
            into.put_slice(&kept[..bytes]);
            state.ahead.drain(..bytes);
            return Poll::Ready(Ok(()));
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
        state.client.get_or_insert(Closed { how, at_us: self.0.clock.now_us() });
        Poll::Ready(read)
    }
}

impl<H: Handler> AsyncWrite for TapIo<H> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = &*self.0;
        let before_us = tap.clock.now_us();
        let mut state = lock(&tap.state);
        let mut most = bytes.len();
        if !state.own.is_empty() {
            if state.scan.is_between() {
                ready!(state.poll_own(cx))?;
            } else {
                most = most.min(state.scan.rest());
            }
        }
        let written = match ready!(Pin::new(&mut state.stream).poll_write(cx, &bytes[..most])) {
            Ok(written) => written,
            Err(error) => {
                state.client.get_or_insert(Closed { how: End::Rst, at_us: before_us });
                return Poll::Ready(Err(error));
            }
        };
        let done = state.wrote(&bytes[..written], before_us);
        drop(state);
        for one in done {
            match one {
                Done::Whole(open) => open.complete(),
                Done::Cut(open, how) => open.ended(Side::Provider, how, before_us),
            }
        }
        tap.written.notify_waiters();
        tap.look_whether_over();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0.state).stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0.state).stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_however_their_bytes_come() {
        // SETTINGS without content, then HEADERS of three bytes.
        let bytes = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0, 0, 7, 9, 9, 9];
        for size in 1..=bytes.len() {
            let mut scan = FrameScan::default();
            let mut ended = Vec::new();
            for mut piece in bytes.chunks(size) {
                while !piece.is_empty() {
                    let step = scan.take(piece);
                    piece = &piece[step.count..];
                    if step.ends {
                        ended.push((scan.current.kind, scan.current.stream));
                    }
                }
            }
            assert_eq!(ended, [(4, 0), (1, 7)], "{size} bytes at a time");
            assert!(scan.is_between());
        }
    }
}
