//! The server to compare with: hyper, which reads the body, parses the JSON and writes these bytes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// An answer that every request gets.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

/// Begins to serve on the current runtime.
pub(crate) async fn serve(answer: Fixed) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a fresh connection");
            let answer = answer.clone();
            let service = service_fn(move |request| respond(request, answer.clone()));
            let mut http = hyper::server::conn::http1::Builder::new();
            http.auto_date_header(false);
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

async fn respond(
    request: Request<Incoming>,
    answer: Fixed,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("the load sends whole bodies").to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&body).expect("the load sends JSON");
    std::hint::black_box(&value);
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
