//! One connection between a client and the provider, over whichever transport carries it.
//!
//! **Invariant:** what stands above asks for an end (orderly, or a reset) and need not know the transport.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::exchange::End;
use crate::shell::held::HeldStream;
use crate::shell::pipe::PipeEnd;
use crate::shell::sys::{self, HungUp};

/// A connection to a provider, as a client holds it: reads and writes bytes.
#[derive(Debug)]
pub struct Stream(Client);

#[derive(Debug)]
enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(PipeEnd),
}

impl Stream {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        no_delay(&stream);
        Self(Client::Tcp(stream))
    }

    pub(super) const fn unix(stream: UnixStream) -> Self {
        Self(Client::Unix(stream))
    }

    pub(super) const fn memory(end: PipeEnd) -> Self {
        Self(Client::Memory(end))
    }
}

/// A connection that the provider accepted.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(TcpStream),
    Unix(HeldStream),
    Memory(PipeEnd),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<Self>>),
}

impl Accepted {
    /// How the client ended its side, as far as that can be told behind bytes that lie unread.
    pub(super) fn hung_up(&self) -> Option<End> {
        let Self::Tcp(stream) = self else { return None };
        sys::hung_up(stream.as_fd()).map(|how| match how {
            HungUp::Orderly => End::Fin,
            HungUp::Reset => End::Rst,
        })
    }

    pub(super) fn tcp(stream: TcpStream) -> Self {
        no_delay(&stream);
        Self::Tcp(stream)
    }

    /// The client's address, where it came over a network.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|addr| addr.ip()),
            Self::Unix(_) | Self::Memory(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().0.peer(),
        }
    }

    /// From here on closing it resets the connection.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Unix(stream) => {
                stream.reset();
                Ok(())
            }
            Self::Memory(end) => {
                end.reset();
                Ok(())
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_mut().0.reset(),
        }
    }

    /// True while a reset would throw away bytes that were written: TCP alone does so.
    pub(super) fn holds_unsent(&self) -> bool {
        match self {
            Self::Tcp(stream) => sys::unsent_bytes(stream.as_fd()).is_some_and(|it| it > 0),
            Self::Unix(_) | Self::Memory(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                stream.get_ref().1.wants_write() || stream.get_ref().0.holds_unsent()
            }
        }
    }
}

/// Small messages go out at once.
fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it was used");
    }
}

/// Reads and writes through whichever stream it is.
macro_rules! by_transport {
    ($stream:ty, $self:ident => $kind:expr, $kinds:ident $(, $tls:ident)?) => {
        impl AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                into: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let $self = self.get_mut();
                match $kind {
                    $kinds::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
                    $kinds::Unix(stream) => Pin::new(stream).poll_read(cx, into),
                    $kinds::Memory(stream) => Pin::new(stream).poll_read(cx, into),
                    $(#[cfg(feature = "tls")] $kinds::$tls(stream) => Pin::new(stream).poll_read(cx, into),)?
                }
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $self = self.get_mut();
                match $kind {
                    $kinds::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
                    $kinds::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
                    $kinds::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
                    $(#[cfg(feature = "tls")] $kinds::$tls(stream) => Pin::new(stream).poll_write(cx, bytes),)?
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $self = self.get_mut();
                match $kind {
                    $kinds::Tcp(stream) => Pin::new(stream).poll_flush(cx),
                    $kinds::Unix(stream) => Pin::new(stream).poll_flush(cx),
                    $kinds::Memory(stream) => Pin::new(stream).poll_flush(cx),
                    $(#[cfg(feature = "tls")] $kinds::$tls(stream) => Pin::new(stream).poll_flush(cx),)?
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $self = self.get_mut();
                match $kind {
                    $kinds::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
                    $kinds::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
                    $kinds::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
                    $(#[cfg(feature = "tls")] $kinds::$tls(stream) => Pin::new(stream).poll_shutdown(cx),)?
                }
            }
        }
    };
}

by_transport!(Stream, this => &mut this.0, Client);
by_transport!(Accepted, this => this, Accepted, Tls);
