//! How a client in this process reaches the mock and the harness.
//!
//! **Invariant:** whatever the transport, everything that it hands out leads to one provider, the first of
//! the scenario unless another is asked for by name.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use brownout_provider::shell::server::Server;
use brownout_provider::shell::stream::Stream;
use brownout_provider::shell::transport::{Endpoint, Transport};

use super::address::{Addresses, Reach};

/// How a client in this process reaches the mock and the harness.
///
/// Which helper suits depends on the client:
///
/// | client | helper | transports |
/// |---|---|---|
/// | takes a URL and nothing else | [`Connection::url`] | TCP |
/// | reqwest | [`Connection::unix_socket`], or `Connection::reqwest` (feature `reqwest`) | unix socket, TCP |
/// | hyper-util, tonic and others with a tower connector | `Connection::connector` (feature `connector`) | all |
/// | anything else | [`Connection::connect`] | all |
#[derive(Clone)]
pub struct Connection {
    /// The base URL, with the operation's token inside. Over TCP it leads to the mock by itself; over the
    /// other transports it names what to ask for, and the connection comes from one of the helpers.
    pub url: String,
    /// The API key to use.
    pub api_key: String,
    /// Which copy of the client this is, from 1; see [`crate::harness::Harness::fleet`].
    pub client: u32,
    /// Which of the sites this one leads to.
    at: usize,
    sites: Arc<[Site]>,
    link: Arc<dyn Link>,
}

/// A provider's door, as a client in this process finds it.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it listens.
    pub(super) endpoint: Endpoint,
    /// What a client has to trust, as PEM, where it answers over TLS.
    authority: Option<Arc<str>>,
}

impl Door {
    /// The door of a server.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        let authority = server.authority().map(Arc::from);
        Self { endpoint: server.endpoint().clone(), authority }
    }
}

/// One provider, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) provider: Arc<str>,
    pub(crate) reach: Reach,
    pub(crate) door: Door,
}

/// Where each provider is reached through these doors; with a token, where there is one.
pub(crate) fn sites(addresses: &Addresses, doors: &[Door], token: Option<&str>) -> Arc<[Site]> {
    let reached = addresses.reached(token).into_iter().zip(doors);
    reached.map(|((provider, reach), door)| Site { provider, reach, door: door.clone() }).collect()
}

/// What differs from run to run in the texts of a client, where equal runs are to leave equal traces.
pub(crate) fn hidden_in<'a>(doors: impl Iterator<Item = &'a Door>) -> Arc<[String]> {
    doors.filter_map(|door| Some(door.endpoint.addr()?.to_string())).collect()
}

/// What a connection asks of the driver.
pub(crate) trait Link: Send + Sync {
    /// Keeps a line of the client's output.
    fn log(&self, line: &str);

    /// Ends this copy of the client and builds it again.
    fn crash(&self, client: u32);
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .field("client", &self.client)
            .field("transport", &self.door().endpoint.transport())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection to the first of these, of which there is at least one.
    pub(crate) fn new(sites: Arc<[Site]>, client: u32, link: Arc<dyn Link>) -> Self {
        let Reach { url, key } =
            sites.first().map(|site| site.reach.clone()).expect("one at least");
        Self { url, api_key: key, client, at: 0, sites, link }
    }

    fn door(&self) -> &Door {
        &self.sites[self.at].door
    }

    /// The same for the provider of this name, where the scenario has several; `None` where it has no such
    /// provider. The connection that a client is handed leads to the first.
    ///
    /// ```
    /// use brownout::drive::in_process::Connection;
    ///
    /// fn second(connection: &Connection) -> Connection {
    ///     connection.provider("backup").expect("the scenario has a provider `backup`")
    /// }
    /// ```
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<Self> {
        let at = self.sites.iter().position(|site| &*site.provider == name)?;
        let Reach { url, key } = self.sites[at].reach.clone();
        Some(Self { url, api_key: key, at, ..self.clone() })
    }

    /// The names of the providers, in the order of the scenario.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(|site| &*site.provider)
    }

    pub(crate) fn link(&self) -> Arc<dyn Link> {
        Arc::clone(&self.link)
    }

    /// Writes a line of the client's own output: it stands in the trace, and secrets in it are found.
    ///
    /// Events of `tracing` are output too, without this: those of the levels `INFO`, `WARN` and `ERROR`,
    /// and whatever else a subscriber of your own lets through, as long as the operation's own future (or
    /// one that it was given `with_current_subscriber`) emits them. Your own subscriber hears them as ever.
    pub fn log(&self, line: &str) {
        self.link.log(line);
    }

    /// What carries the bytes between client and mock.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.door().endpoint.transport()
    }

    /// The certificate of the authority that the client has to trust, as PEM; `None` where the mock answers
    /// without TLS. What the helpers hand out are bare connections: TLS is the client's own.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.door().authority.as_deref()
    }

    /// The path for `reqwest::ClientBuilder::unix_socket` and its like; `None` over other transports. On
    /// Linux it begins with a zero byte: a name that stands in no folder.
    #[must_use]
    pub fn unix_socket(&self) -> Option<&Path> {
        self.door().endpoint.path()
    }

    /// A new connection to the mock, to read from and write to: for clients of any other kind.
    ///
    /// # Errors
    ///
    /// When the mock no longer listens.
    pub async fn connect(&self) -> io::Result<Stream> {
        self.door().endpoint.connect().await
    }

    /// Ends this copy of the client as a crash would: all futures of all its operations are dropped where
    /// they stand, its memory with them, a new copy is built, and the operations that were open are
    /// started again. The future that calls this never comes back.
    pub async fn crash(&self) {
        self.link.crash(self.client);
        std::future::pending::<()>().await;
    }

    /// A connector for `hyper_util::client::legacy::Client` and other clients with a tower connector,
    /// over every transport. In virtual time hyper-util's client wants tokio's timers.
    ///
    /// ```
    /// use brownout::drive::in_process::Connection;
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use hyper_util::client::legacy::Client;
    /// use hyper_util::rt::{TokioExecutor, TokioTimer};
    ///
    /// fn client(
    ///     connection: &Connection,
    /// ) -> Client<brownout::drive::connector::Connector, Full<Bytes>> {
    ///     Client::builder(TokioExecutor::new())
    ///         .timer(TokioTimer::new())
    ///         .pool_timer(TokioTimer::new())
    ///         .build(connection.connector())
    /// }
    /// ```
    #[cfg(feature = "connector")]
    #[must_use]
    pub fn connector(&self) -> super::connector::Connector {
        super::connector::Connector::new(self.door().endpoint.clone())
    }

    /// A builder for a reqwest client that reaches the mock and no proxy.
    ///
    /// ```
    /// use brownout::drive::in_process::Connection;
    /// use brownout::harness::Harness;
    /// use brownout::operation::{Operation, Outcome};
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: fair
    /// provider: {api: payments}
    /// workload: {call: create_charge, operations: 1, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// expect: [no_lost_operations]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .run_with(|connection| {
    ///         let builder = connection.reqwest().expect("it is a unix socket");
    ///         let client = builder.build().expect("a client");
    ///         move |operation: Operation, _: Connection| {
    ///             let asking = client
    ///                 .post(format!("{}/v1/charges", operation.url))
    ///                 .bearer_auth(&operation.api_key)
    ///                 .header("content-type", "application/json")
    ///                 .body(operation.input.to_string())
    ///                 .send();
    ///             async move {
    ///                 match asking.await {
    ///                     Ok(answer) if answer.status().as_u16() == 201 => Outcome::succeeded(),
    ///                     Ok(answer) => Outcome::failed(answer.status().to_string()),
    ///                     Err(error) => Outcome::unknown(error.to_string()),
    ///                 }
    ///             }
    ///         }
    ///     })
    ///     .expect("it runs");
    /// assert_eq!(judged.result.operations.succeeded, 1);
    /// ```
    ///
    /// # Errors
    ///
    /// Over a pipe in memory, which reqwest cannot be given.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(&self) -> Result<reqwest::ClientBuilder, NotForReqwest> {
        let builder = reqwest::Client::builder().no_proxy();
        match (self.transport(), self.unix_socket()) {
            (Transport::Tcp, _) => Ok(builder),
            (Transport::Unix, Some(path)) => Ok(builder.unix_socket(path)),
            (Transport::Unix | Transport::Memory, _) => Err(NotForReqwest),
        }
    }
}

/// reqwest cannot be given a pipe in memory.
#[cfg(feature = "reqwest")]
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reqwest cannot be given a pipe in memory; use `.transport(Transport::Unix)`")]
pub struct NotForReqwest;

#[cfg(feature = "reqwest")]
impl fmt::Debug for NotForReqwest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
