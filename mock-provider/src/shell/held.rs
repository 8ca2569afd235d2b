//! A unix socket that can be reset.
//!
//! The kernel knows no reset of a unix socket but this one: who closes while bytes that it was sent lie
//! unread resets its peer. So the last byte that came is handed out, yet left in the kernel until more
//! comes or the connection ends in order.
//! **Invariant:** what is handed out is what came, once and in order, and an orderly end is never a reset.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

use crate::shell::sys::{self, HungUp};

/// How many bytes are read at once.
const SPACE: usize = 8 << 10;

/// A unix socket with its last byte held back in the kernel.
#[derive(Debug)]
pub(super) struct HeldStream {
    stream: UnixStream,
    /// Bytes that were handed out and still lie in the kernel: 0 or 1.
    held: usize,
    /// Set by [`HeldStream::reset`].
    reset: bool,
}

impl HeldStream {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self { stream, held: 0, reset: false }
    }

    /// From here on dropping the socket resets the connection, if anything was ever read from it.
    pub(super) const fn reset(&mut self) {
        self.reset = true;
    }

    /// Reads what is new, without waiting; 0 at the end.
    fn try_read(&mut self, into: &mut ReadBuf<'_>) -> io::Result<usize> {
        let held = self.held;
        let mut space = [0_u8; SPACE];
        let most = into.remaining().saturating_add(held).min(SPACE);
        let stream = &self.stream;
        // The byte that is held back stands first.
        let there = stream.try_io(Interest::READABLE, || {
            let there = peek(stream, &mut space[..most])?;
            if there > held || (there == 0 && held == 0) {
                return Ok(there);
            }
            // Only what comes after the end was seen is certain not to hide bytes that came before it.
            match sys::hung_up(stream.as_fd()) {
                Some(HungUp::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
                Some(HungUp::Orderly) => peek(stream, &mut space[..most]),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        })?;
        let fresh = there.saturating_sub(held);
        if fresh == 0 {
            return Ok(0);
        }
        into.put_slice(&space[held..there]);
        if there > 1 {
            recv(self.stream.as_raw_fd(), &mut space[..there - 1], MsgFlags::MSG_DONTWAIT)?;
        }
        self.held = 1;
        Ok(fresh)
    }
}

fn peek(stream: &UnixStream, space: &mut [u8]) -> io::Result<usize> {
    Ok(recv(stream.as_raw_fd(), space, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
}

impl AsyncRead for HeldStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(this.stream.poll_read_ready(cx))?;
            match this.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for HeldStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Drop for HeldStream {
    /// An orderly end leaves nothing unread that was handed out.
    fn drop(&mut self) {
        if !self.reset && self.held > 0 {
            // If it cannot be taken out any more, the peer has gone and notices nothing.
            let _ = recv(self.stream.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (HeldStream, UnixStream) {
        let (server, client) = UnixStream::pair().unwrap();
        (HeldStream::new(server), client)
    }

    #[tokio::test]
    async fn bytes_come_once_and_in_order_and_the_end_is_seen_behind_the_byte_held_back() {
        let (mut server, mut client) = pair();
        let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            for piece in copy.chunks(777) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        });
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert!(read == sent, "{} bytes of {} were read", read.len(), sent.len());
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_reset_is_seen_behind_what_was_written_and_an_orderly_end_is_none() {
        for resets in [true, false] {
            let (mut server, mut client) = pair();
            client.write_all(b"question").await.unwrap();
            let mut space = [0; 64];
            assert_eq!(server.read(&mut space).await.unwrap(), 8);
            server.write_all(b"half").await.unwrap();
            if resets {
                server.reset();
            }
            drop(server);
            let mut read = Vec::new();
            let ended = client.read_to_end(&mut read).await;
            assert_eq!(read, b"half");
            match ended {
                Ok(_) => assert!(!resets, "the end was orderly"),
                Err(error) => {
                    assert!(resets, "{error}");
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                }
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_ends_with_an_answer_unread_has_reset() {
        let (mut server, mut client) = pair();
        client.write_all(b"question").await.unwrap();
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 8);
        server.write_all(b"answer").await.unwrap();
        drop(client);
        let error = server.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
