//! An axum router as a service in this process.
//!
//! **Invariant:** a request goes straight into the router: no socket, no byte of HTTP, so that it takes part in
//! virtual time whatever the transport to the provider.

use std::rc::Rc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tower_service::Service;

use super::host::ServiceFactory;
use super::reach::{InProcessService, LONGEST_ANSWER, Served};
use crate::drive::connection::Connection;

/// Builds routers.
pub struct Routers<B>(B);

impl<B> std::fmt::Debug for Routers<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Routers")
    }
}

impl<B: Fn(&Connection) -> Router + Send + Sync> Routers<B> {
    /// What this closure builds.
    pub const fn new(build: B) -> Self {
        Self(build)
    }
}

impl<B: Fn(&Connection) -> Router + Send + Sync> ServiceFactory for Routers<B> {
    fn build(&self, connection: &Connection) -> Rc<dyn InProcessService> {
        Rc::new(Routed((self.0)(connection)))
    }
}

struct Routed(Router);

impl InProcessService for Routed {
    fn serve(&self, request: http::Request<Bytes>) -> Served {
        let mut router = self.0.clone();
        Box::pin(async move {
            // A router is always ready, and its errors are answers.
            let Ok(answer) = router.call(request.map(Body::from)).await;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            let body = body.map_err(|error| format!("no whole answer: {error}"))?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        })
    }
}
