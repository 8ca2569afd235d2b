//! The server: a listener on this machine, and the life and end of all that comes in.
//!
//! **Invariant:** when it has shut down, no task of it is left and every exchange is finished.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http2")]
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::event::Sink;
use crate::exchange::Listening;
use crate::provider::Provider;
use crate::shell::clock::Clock;
use crate::shell::connection;
use crate::shell::core::Core;
use crate::shell::handler::Handler;
use crate::shell::sender::{Courier, send_all};
use crate::shell::stream::Accepted;
#[cfg(feature = "http2")]
use crate::shell::streams;
use crate::shell::transport::{Endpoint, Listener, Transport};

/// How long accepting pauses when the machine refuses it for a while (no descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A provider that listens.
///
/// Dropping it ends it as well, but does not wait for its tasks; see [`Server::shutdown`].
pub struct Server<H: Handler = Provider> {
    core: Arc<Core<H>>,
    endpoint: Endpoint,
    tls: Tls,
    stop: Option<oneshot::Sender<()>>,
    accepting: JoinHandle<()>,
    sending: Option<JoinHandle<()>>,
}

/// How connections are greeted: with TLS, or not at all.
#[cfg(feature = "tls")]
type Tls = Option<Arc<crate::shell::tls::Authority>>;

/// How connections are greeted: without the feature `tls` not at all.
#[cfg(not(feature = "tls"))]
type Tls = Option<NoTls>;

/// What there is none of; handed on by cloning, as the real one is.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
enum NoTls {}

/// Why a provider could not begin to listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another program holds the port.
    #[error("port `{port}` is in use; choose another one, or leave it out for one that is free")]
    PortInUse {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The port belongs to the system.
    #[error("port `{port}` is not open to this user; choose one from 1024 on, or leave it out")]
    PortForbidden {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A unix socket cannot be had.
    #[error("cannot listen on a unix socket; use another transport")]
    Socket {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The place that a fault had left for a while is taken.
    #[error(
        "the provider was closed for a while by a fault and cannot listen again; let no other program take its port meanwhile"
    )]
    Deaf {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else.
    #[error("cannot listen on `127.0.0.1:{port}`")]
    Listen {
        /// The port that was asked for, 0 for any.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ServeError {
    fn of(transport: Transport, port: u16, source: io::Error) -> Self {
        match (transport, source.kind()) {
            (Transport::Unix | Transport::Memory, _) => Self::Socket { source },
            (Transport::Tcp, io::ErrorKind::AddrInUse) => Self::PortInUse { port, source },
            (Transport::Tcp, io::ErrorKind::PermissionDenied) => {
                Self::PortForbidden { port, source }
            }
            (Transport::Tcp, _) => Self::Listen { port, source },
        }
    }
}

impl<H: Handler> Server<H> {
    /// Begins to listen on this port of 127.0.0.1, or on any free one, on the current tokio runtime.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn start(
        handler: H,
        port: Option<u16>,
        clock: Clock,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, ServeError> {
        let listening = open(Transport::Tcp, port.unwrap_or(0)).await?;
        Ok(Self::serve(handler, listening, (clock, sink), None))
    }

    /// As [`Server::start`] or, without a port of one's own, [`Server::over`], and over TLS: `authority` has
    /// signed the certificate that it shows.
    ///
    /// # Errors
    /// If there is no place to listen.
    #[cfg(feature = "tls")]
    pub async fn over_tls(
        (transport, port): (Transport, Option<u16>),
        handler: H,
        clock: Clock,
        sink: Arc<dyn Sink>,
        authority: Arc<crate::shell::tls::Authority>,
    ) -> Result<Self, ServeError> {
        let listening = open(transport, port.unwrap_or(0)).await?;
        Ok(Self::serve(handler, listening, (clock, sink), Some(authority)))
    }

    /// The certificate that clients have to trust, as PEM; `None` where no TLS is spoken.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        #[cfg(feature = "tls")]
        return self.tls.as_deref().map(crate::shell::tls::Authority::pem);
        #[cfg(not(feature = "tls"))]
        self.tls.as_ref().map(|never| match *never {})
    }

    /// Begins to listen over this transport, where nobody else does, on the current tokio runtime. Over
    /// TCP it takes any free port.
    ///
    /// # Errors
    /// If there is no place to listen.
    pub async fn over(
        transport: Transport,
        handler: H,
        clock: Clock,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, ServeError> {
        let listening = open(transport, 0).await?;
        Ok(Self::serve(handler, listening, (clock, sink), None))
    }

    fn serve(
        handler: H,
        (listener, endpoint): (Listener, Endpoint),
        (clock, sink): (Clock, Arc<dyn Sink>),
        tls: Tls,
    ) -> Self {
        let core = Arc::new(Core::new(handler, clock, sink));
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(Arc::clone(&core), listener, stopped, tls.clone()));
        Self { core, endpoint, tls, stop: Some(stop), accepting, sending: None }
    }

    /// Has webhooks delivered by this courier, from now on and once for all. The state machine has to know that
    /// somebody listens ([`crate::provider::Setup::webhooks`]).
    pub fn deliver_by(&mut self, courier: Arc<dyn Courier>) {
        if let Some(dues) = self.core.take_due() {
            let sending = send_all(Arc::clone(&self.core), dues, courier);
            self.sending = Some(tokio::spawn(sending));
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The address of a server that listens over TCP.
    ///
    /// # Panics
    /// If it listens over another transport; [`Server::endpoint`] knows them all.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.endpoint.addr().expect("only a server over TCP is asked for its address")
    }

    /// Asks or tells the state machine something, between two requests.
    pub fn with<T>(&self, ask: impl FnOnce(&mut H) -> T) -> T {
        self.core.call(ask)
    }

    /// True when no work is pending, and no exchange is open that has still something to write.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.core.is_idle()
    }

    /// Waits until [`Server::is_idle`], also for requests that a client wrote before it ended and that
    /// are still on their way. An exchange that only waits for its client to close (a hang) is idle.
    ///
    /// Has no bound of its own: a drip of a week takes a week.
    pub async fn idle(&self) {
        self.core.idle().await;
    }

    /// Ends it: no new connections, open ones are closed, and what is still open is finished as ended
    /// by the provider.
    ///
    /// # Errors
    /// If a fault had closed the door and it could not be opened again.
    ///
    /// # Panics
    /// If a connection's task has panicked, with that panic.
    pub async fn shutdown(mut self) -> Result<(), ServeError> {
        self.core.stop();
        if let Some(stop) = self.stop.take() {
            // The task that accepts ends before it is told only by a panic, which comes to light below.
            let _ = stop.send(());
        }
        let accepting = (&mut self.accepting).await;
        self.core.note(accepting);
        if let Some(sending) = &self.sending {
            sending.abort();
        }
        self.core.end_tasks().await;
        if let Some(panic) = self.core.take_panic() {
            std::panic::resume_unwind(panic);
        }
        self.core.take_deafness().map_or(Ok(()), |source| Err(ServeError::Deaf { source }))
    }

    /// True when a fault closes its door for a while, so that it may stay closed against its will.
    #[must_use]
    pub fn minds_the_door(&self) -> bool {
        self.core.minds_the_door
    }

    /// Comes to an end when nobody can be let in any more, because a door that a fault had closed cannot be
    /// opened again; [`Server::shutdown`] tells why. Belongs to whoever asks first.
    pub fn deafened(&self) -> impl Future<Output = ()> + Send + 'static {
        let deafened = Arc::clone(&self.core.deafened);
        async move { deafened.notified().await }
    }
}

impl<H: Handler> Drop for Server<H> {
    fn drop(&mut self) {
        self.core.stop();
        self.accepting.abort();
        if let Some(sending) = &self.sending {
            sending.abort();
        }
    }
}

impl<H: Handler> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Begins to listen; `port` matters over TCP alone.
async fn open(transport: Transport, port: u16) -> Result<(Listener, Endpoint), ServeError> {
    Listener::open(transport, port).await.map_err(|source| ServeError::of(transport, port, source))
}

/// Greets a connection, if that is to be done, and serves it until it ends.
async fn serve<H: Handler>(core: Arc<Core<H>>, stream: Accepted, number: u64, tls: Tls) {
    #[cfg(feature = "tls")]
    let stream = match tls {
        None => stream,
        Some(authority) => {
            let greeting = core.call(|handler| handler.greeting(core.clock.now_us()));
            match authority.greet(stream, greeting).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(number, %error, "a handshake failed");
                    let at_us = core.clock.now_us();
                    return core.call(|handler| handler.handshake_failed(number, at_us));
                }
            }
        }
    };
    #[cfg(not(feature = "tls"))]
    let _ = tls;
    speak(core, stream, number).await;
}

/// Speaks HTTP/1.1.
#[cfg(not(feature = "http2"))]
async fn speak<H: Handler>(core: Arc<Core<H>>, stream: Accepted, number: u64) {
    connection::serve(core, stream, Vec::new(), number).await;
}

/// Speaks HTTP/1.1, or HTTP/2 where the provider does so too and the client begins with it.
#[cfg(feature = "http2")]
async fn speak<H: Handler>(core: Arc<Core<H>>, mut stream: Accepted, number: u64) {
    if !core.speaks_http2 {
        return connection::serve(core, stream, Vec::new(), number).await;
    }
    let mut ahead = Vec::new();
    while ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        match stream.read_u8().await {
            Ok(byte) => ahead.push(byte),
            // Whoever serves it meets the end again.
            Err(_) => break,
        }
    }
    if ahead == PREFACE {
        streams::serve(core, stream, ahead, number).await;
    } else {
        connection::serve(core, stream, ahead, number).await;
    }
}

/// How a client begins that speaks HTTP/2; no request of HTTP/1.1 begins so.
#[cfg(feature = "http2")]
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Nobody listens any more, nor will.
const SHUT_FOR_GOOD: Listening = Listening { open: false, until_us: None };

/// Opens or closes the door as it is to stand now.
fn mind_the_door<H: Handler>(core: &Core<H>, listener: &mut Listener) -> Listening {
    if !core.minds_the_door {
        return Listening::ALWAYS;
    }
    if core.is_deaf() {
        return SHUT_FOR_GOOD;
    }
    let listening = core.call(|handler| handler.listening(core.clock.now_us()));
    match listener.turn(listening) {
        Ok(()) => listening,
        Err(error) => {
            core.deafen(error);
            SHUT_FOR_GOOD
        }
    }
}

/// Accepts connections until it is told to stop, then ends them.
async fn accept<H: Handler>(
    core: Arc<Core<H>>,
    mut listener: Listener,
    mut stopped: oneshot::Receiver<()>,
    tls: Tls,
) {
    let mut connections = JoinSet::new();
    let mut number = 0_u64;
    loop {
        let listening = mind_the_door(&core, &mut listener);
        let (open, until_us) = (listening.open, listening.until_us);
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            Some(ended) = connections.join_next() => core.note(ended),
            () = core.knock.notified(), if core.minds_the_door => {}
            () = core.clock.sleep_until_us(until_us.unwrap_or(0)), if until_us.is_some() => {}
            accepted = listener.accept(), if open => match accepted {
                Ok(stream) => {
                    number += 1;
                    connections.spawn(serve(Arc::clone(&core), stream, number, tls.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    core.clock.sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    connections.abort_all();
    while let Some(ended) = connections.join_next().await {
        core.note(ended);
    }
}
