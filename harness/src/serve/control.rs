//! The control API on its port, in a thread of its own.
//!
//! **Invariant:** loopback only, and when it is dropped nothing listens any more.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use brownout_provider::seed::secret;
use tokio::net::TcpListener;

use super::guard::Guard;
use super::routes;
use super::session::Session;
use crate::drive::stop::Stop;

/// A control API that listens.
#[derive(Debug)]
pub struct Control {
    url: String,
    token: String,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Listens on this port of 127.0.0.1, on a free one if none is given, and hands what is asked to the
    /// session.
    ///
    /// # Errors
    ///
    /// When the port is taken, or the system gives no thread or no random bytes for the token.
    pub fn start(session: Arc<Mutex<Session>>, port: Option<u16>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let token = secret()?;
        let router = routes::router(session, Guard::new(&token, address.port()));
        let stop = Stop::new();
        let until = stop.clone();
        let thread =
            std::thread::Builder::new().name("brownout-control".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        () = until.stopped() => {}
                        // It ends only with its listener.
                        _ = axum::serve(listener, router) => {}
                    }
                });
                // A verdict that is being worked out is nothing to wait for.
                runtime.shutdown_background();
            })?;
        Ok(Self { url: format!("http://{address}"), token, stop, thread: Some(thread) })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it wants as bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}
