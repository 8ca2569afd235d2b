//! A plain HTTP client, for clients that are built in: over loopback TCP, or over what a run hands out.
//!
//! One connection a call, no retries, no redirects: whoever calls decides what a failure means.
//! **Invariant:** a call ends within its time-out, whatever the provider does.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, RETRY_AFTER};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connection::Connection;

/// A call with a JSON body.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The whole address.
    pub url: &'a str,
    /// The API key, sent as a bearer token.
    pub api_key: &'a str,
    /// The idempotency key, if the client uses one.
    pub idempotency_key: Option<&'a str>,
    /// The body.
    pub body: &'a Value,
    /// How long the client waits for the whole answer.
    pub timeout: Duration,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long the provider asked the client to wait.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// A call of any kind.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub url: &'a str,
    /// Its headers, beside `Host`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the client waits for the whole answer.
    pub timeout: Duration,
}

/// A whole answer, with its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why no whole answer came.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The time is over.
    #[error("no answer in time")]
    TimedOut,
    /// The address is no address.
    #[error("`{0}` is no address of a provider")]
    Address(String),
    /// There was no connection, or it broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends a POST request and waits for the whole answer.
///
/// # Errors
/// See [`CallError`].
pub async fn post(call: Call<'_>) -> Result<Answer, CallError> {
    let ask = call.ask();
    let connect = async {
        let (_, authority) = address(call.url)?;
        TcpStream::connect(&authority).await.map_err(|it| CallError::Broken(it.into()))
    };
    let reply = in_time(call.timeout, async { exchange(&ask, connect.await?).await }).await?;
    Ok(Answer::from(reply))
}

/// As [`post`], over whichever transport the run has.
///
/// # Errors
/// See [`CallError`].
pub async fn post_over(connection: &Connection, call: Call<'_>) -> Result<Answer, CallError> {
    Ok(Answer::from(send_over(connection, &call.ask()).await?))
}

/// Sends a request of any kind over whichever transport the run has, and waits for the whole answer.
///
/// # Errors
/// See [`CallError`].
pub async fn send_over(connection: &Connection, ask: &Ask<'_>) -> Result<Reply, CallError> {
    let exchange = async {
        let stream = connection.connect().await.map_err(|it| CallError::Broken(it.into()))?;
        exchange(ask, stream).await
    };
    in_time(ask.timeout, exchange).await
}

impl<'a> Call<'a> {
    fn ask(&self) -> Ask<'a> {
        let mut headers = vec![
            ("authorization", format!("Bearer {}", self.api_key)),
            ("content-type", "application/json".to_owned()),
        ];
        headers.extend(self.idempotency_key.map(|key| ("idempotency-key", key.to_owned())));
        let body = Bytes::from(self.body.to_string());
        Ask { method: Method::POST, url: self.url, headers, body, timeout: self.timeout }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { status: reply.status, retry_after: retry_after(&reply.headers), body: reply.body }
    }
}

async fn in_time(
    limit: Duration,
    exchange: impl Future<Output = Result<Reply, CallError>>,
) -> Result<Reply, CallError> {
    tokio::time::timeout(limit, exchange).await.map_err(|_| CallError::TimedOut)?
}

/// An address, and the part of it that says where to connect.
fn address(url: &str) -> Result<(Uri, String), CallError> {
    let no_address = || CallError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| no_address())?;
    let authority = uri.authority().ok_or_else(no_address)?.as_str().to_owned();
    Ok((uri, authority))
}

async fn exchange(
    ask: &Ask<'_>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Reply, CallError> {
    let (uri, authority) = address(ask.url)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|it| CallError::Broken(it.into()))?;
    let request =
        request(ask, &uri, &authority).map_err(|_| CallError::Address(ask.url.to_owned()))?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    };
    // Both halves run in this task, so that dropping the call drops its connection too.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        done = &mut answer => done.map_err(|it: hyper::Error| CallError::Broken(it.into())),
        _ended = &mut connection => answer.await.map_err(|it| CallError::Broken(it.into())),
    }
}

fn request(ask: &Ask<'_>, uri: &Uri, host: &str) -> Result<Request<Full<Bytes>>, http::Error> {
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let mut request = Request::builder().method(ask.method.clone()).uri(path).header(HOST, host);
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(ask.body.clone()))
}

/// The wait that an answer asks for: milliseconds where it says them, else whole seconds.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    number("retry-after-ms")
        .map(Duration::from_millis)
        .or_else(|| number(RETRY_AFTER.as_str()).map(Duration::from_secs))
}
