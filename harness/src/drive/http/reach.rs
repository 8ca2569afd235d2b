//! How a service is reached: over TCP, or by a call in this process.
//!
//! One connection a call, no redirects, no second try: what a failure means is decided elsewhere.
//! **Invariant:** whatever the service sends, a call takes bounded memory; it is bounded in time by who waits.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;

use brownout_provider::shell::clock::Clock;
use brownout_provider::webhook::Parcel;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::place::Place;
use super::post::Outgoing;
use crate::scenario::http::Ask;

/// How long an answer of a service may be, in bytes.
pub(super) const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// A whole answer of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// What a service in this process makes of a request: a whole answer, or why there is none.
pub type Served = Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, String>>>>;

/// A service in this process.
pub trait InProcessService {
    /// Serves a request. The future is dropped when nobody waits for it any longer.
    fn serve(&self, request: Request<Bytes>) -> Served;
}

/// The way to a service.
#[derive(Clone)]
pub(super) enum Reach {
    Tcp(Place),
    InProcess(Rc<dyn InProcessService>),
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => f.debug_tuple("Tcp").field(place).finish(),
            Self::InProcess(_) => f.write_str("InProcess"),
        }
    }
}

impl Reach {
    /// Sends a request and waits for the whole answer; why none came, in a few words, where none did.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Answer, String> {
        match self {
            Self::Tcp(place) => over_tcp(place, ask).await,
            Self::InProcess(service) => {
                let answer = service.serve(request(ask, ask.path.as_str(), None)?).await?;
                let (head, body) = answer.into_parts();
                Ok(Answer { status: head.status, body })
            }
        }
    }

    /// Sends a webhook to a path; the status of the answer, or why none came.
    pub(super) async fn post(
        &self,
        path: &PathAndQuery,
        parcel: &Parcel,
        clock: Clock,
    ) -> Result<u16, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &parcel.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let ask = Ask { method: Method::POST, path: path.clone(), headers, body: Vec::new() };
        let answer = match self {
            Self::Tcp(place) => {
                let path = format!("{}{}", place.base, ask.path);
                let mut request =
                    request(&ask, &path, Some(place))?.map(|_| Outgoing::new(parcel, clock));
                request.headers_mut().insert(CONTENT_LENGTH, parcel.body.len().into());
                exchange(place, request).await?
            }
            Self::InProcess(service) => {
                clock.sleep(Outgoing::takes(parcel)).await;
                // Without a connection there is none to cut: it gets what would have arrived.
                let request =
                    request(&ask, ask.path.as_str(), None)?.map(|_| Outgoing::arrives(parcel));
                let (head, body) = service.serve(request).await?.into_parts();
                Answer { status: head.status, body }
            }
        };
        Ok(answer.status.as_u16())
    }

    /// True when a connection can be made.
    pub(super) async fn connects(&self) -> Result<(), String> {
        match self {
            Self::Tcp(place) => connect(place).await.map(drop),
            Self::InProcess(_) => Ok(()),
        }
    }
}

async fn connect(place: &Place) -> Result<TcpStream, String> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    stream.map_err(|error| format!("no connection: {error}"))
}

async fn over_tcp(place: &Place, ask: &Ask) -> Result<Answer, String> {
    let path = format!("{}{}", place.base, ask.path);
    exchange(place, request(ask, &path, Some(place))?.map(Full::new)).await
}

async fn exchange<B>(place: &Place, request: Request<B>) -> Result<Answer, String>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = connect(place).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("no connection: {error}"))?;
    let answer = async {
        let (head, body) =
            sender.send_request(request).await.map_err(|error| cut(&error))?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| {
            match error.downcast::<LengthLimitError>() {
                Ok(_) => format!("its answer is longer than {} MiB", LONGEST_ANSWER >> 20),
                Err(error) => cut(&*error),
            }
        })?;
        Ok(Answer { status: head.status, body: body.to_bytes() })
    };
    // Both halves run in this task, so that dropping the call drops its connection too.
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ended = &mut connection => answer.await,
    }
}

/// Why an answer did not come whole, with what hyper knows of the cause.
fn cut(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("no whole answer: {error}: {cause}"),
        None => format!("no whole answer: {error}"),
    }
}

fn request(ask: &Ask, path: &str, place: Option<&Place>) -> Result<Request<Bytes>, String> {
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(path)
        .body(Bytes::from(ask.body.clone()))
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    *request.headers_mut() = ask.headers.clone();
    let authority = place.map_or("brownout.invalid".to_owned(), Place::authority);
    if let Ok(host) = HeaderValue::from_str(&authority) {
        request.headers_mut().insert(HOST, host);
    }
    Ok(request)
}
