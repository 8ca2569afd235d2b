//! The client as a closure in this process.
//!
//! **Invariant:** it needs nothing but the clock, the runtime and the address it is given, so that
//! another runtime and another transport serve it as well.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::operation::{Operation, Outcome};

/// The work of one submit.
pub type Work = Pin<Box<dyn Future<Output = Outcome>>>;

/// A client in this process. Every `Fn(Operation, Connection) -> Future<Output = Outcome>` is one.
pub trait InProcess: Send + Sync {
    /// Starts the work of one submit. The future is dropped when its deadline has passed.
    fn start(&self, operation: Operation, connection: Connection) -> Work;
}

impl<F, W> InProcess for F
where
    F: Fn(Operation, Connection) -> W + Send + Sync,
    W: Future<Output = Outcome> + 'static,
{
    fn start(&self, operation: Operation, connection: Connection) -> Work {
        Box::pin(self(operation, connection))
    }
}

/// How a client in this process reaches the mock and the harness.
#[derive(Clone)]
pub struct Connection {
    /// The base URL, with the operation's token inside.
    pub url: String,
    /// The API key to use.
    pub api_key: String,
    log: Arc<dyn Fn(&str) + Send + Sync>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Connection {
    /// Writes a line of the client's own output: it stands in the trace, and secrets in it are found.
    pub fn log(&self, line: &str) {
        (self.log)(line);
    }
}
