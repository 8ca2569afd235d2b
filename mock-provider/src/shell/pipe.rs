//! Streams in memory, for clients that live in the same process: no kernel, no port, no file.
//!
//! **Invariant:** a pipe ends as a connection ends: orderly, or by a reset that both sides see as one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use crate::exchange::Listening;

/// How many bytes each direction holds that nobody has read.
const BUFFER_BYTES: usize = 64 << 10;

/// One end of a stream in memory.
#[derive(Debug)]
pub(super) struct PipeEnd {
    stream: DuplexStream,
    /// Raised by either end that resets.
    reset: Arc<AtomicBool>,
}

/// Makes streams to a server in this process.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    sender: mpsc::UnboundedSender<PipeEnd>,
    refuses: Arc<AtomicBool>,
}

/// Takes the streams that a [`Dialer`] makes.
#[derive(Debug)]
pub(super) struct Dialed {
    receiver: mpsc::UnboundedReceiver<PipeEnd>,
    refuses: Arc<AtomicBool>,
}

/// A listener in memory, and how to reach it.
pub(super) fn listen() -> (Dialer, Dialed) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let refuses = Arc::new(AtomicBool::new(false));
    (Dialer { sender, refuses: Arc::clone(&refuses) }, Dialed { receiver, refuses })
}

impl Dialer {
    /// A new stream; refused when nobody listens any more.
    pub(super) fn dial(&self) -> io::Result<PipeEnd> {
        if self.refuses.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        let reset = Arc::new(AtomicBool::new(false));
        let far = PipeEnd { stream: far, reset: Arc::clone(&reset) };
        self.sender.send(far).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(PipeEnd { stream: near, reset })
    }
}

impl Dialed {
    /// The next stream. Pends for ever once every dialer is gone.
    pub(super) async fn accept(&mut self) -> PipeEnd {
        match self.receiver.recv().await {
            Some(end) => end,
            None => std::future::pending().await,
        }
    }
}

impl Dialed {
    /// From here on streams are refused, or are not. Those that nobody has accepted are reset.
    pub(super) fn turn(&mut self, Listening { open, .. }: Listening) {
        self.refuses.store(!open, Ordering::Release);
        while !open && let Ok(end) = self.receiver.try_recv() {
            end.reset();
        }
    }
}

impl PipeEnd {
    /// From here on dropping this end is a reset. What was written before is still read.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    fn was_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, room) = (into.filled().len(), into.remaining());
        ready!(Pin::new(&mut this.stream).poll_read(cx, into))?;
        if into.filled().len() == before && room > 0 && this.was_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes));
        if written.is_err() && this.was_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_written_before_a_reset_is_read_and_then_the_reset() {
        let (dialer, mut dialed) = listen();
        let mut client = dialer.dial().unwrap();
        let mut server = dialed.accept().await;
        server.write_all(b"half").await.unwrap();
        server.reset();
        drop(server);
        let mut read = Vec::new();
        let error = client.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((read.as_slice(), error.kind()), (&b"half"[..], io::ErrorKind::ConnectionReset));
        let error = client.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn an_orderly_end_is_none_by_reset() {
        let (dialer, mut dialed) = listen();
        let mut client = dialer.dial().unwrap();
        drop(dialed.accept().await);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn nobody_listens_is_refused() {
        let (dialer, dialed) = listen();
        drop(dialed);
        assert_eq!(dialer.dial().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
