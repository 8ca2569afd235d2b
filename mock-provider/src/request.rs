//! A request as plain data: what the shell read from the wire, before anybody knows what it means.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};

/// One HTTP request, read whole (or, for [`crate::provider::Provider::accept`], its head alone with an
/// empty body).
#[derive(Clone, Debug)]
pub struct Request {
    /// The connection's number, from 1, unique within a run and provider.
    pub connection: u64,
    /// True when an earlier request was answered on the same connection.
    pub reused: bool,
    /// True when it came over HTTP/2.
    pub http2: bool,
    /// The client's address, where it came over a network.
    pub peer: Option<IpAddr>,
    /// The method as sent.
    pub method: Method,
    /// Path and query as sent, with any operation token still in front.
    pub target: String,
    /// The headers as sent.
    pub headers: HeaderMap,
    /// The body, after transfer decoding. Empty when there was none.
    pub body: Bytes,
    /// When the head had been read, in microseconds since the start of the run.
    pub head_at_us: u64,
}

#[cfg(test)]
impl Request {
    /// A request as the first one of a connection brings it; `null` is no body.
    pub fn sent(
        (method, target): (Method, &str),
        headers: HeaderMap,
        body: &serde_json::Value,
        head_at_us: u64,
    ) -> Self {
        Self {
            connection: 1,
            reused: false,
            http2: false,
            peer: None,
            method,
            target: target.to_owned(),
            headers,
            body: if body.is_null() { Bytes::new() } else { body.to_string().into() },
            head_at_us,
        }
    }
}
