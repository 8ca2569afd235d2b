//! A tower connector to the mock, for clients whose connector can be replaced.
//!
//! **Invariant:** it reaches the mock whatever address it is asked for.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use brownout_provider::shell::stream::Stream;
use brownout_provider::shell::transport::Endpoint;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

/// Connects to the mock; see [`super::connection::Connection::connector`].
#[derive(Clone, Debug)]
pub struct Connector(Endpoint);

impl Connector {
    pub(super) const fn new(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }
}

impl Service<Uri> for Connector {
    type Response = Wired;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wired>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let endpoint = self.0.clone();
        Box::pin(async move { Ok(Wired(TokioIo::new(endpoint.connect().await?))) })
    }
}

/// A connection to the mock, as hyper wants it.
#[derive(Debug)]
pub struct Wired(TokioIo<Stream>);

impl Connection for Wired {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wired {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, into)
    }
}

impl Write for Wired {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
