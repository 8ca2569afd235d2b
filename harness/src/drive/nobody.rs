//! No client at all: the provider alone, for whoever starts a client elsewhere.
//!
//! **Invariant:** it makes no claim; operations are those seen on the wire.

use std::fmt;
use std::path::PathBuf;

use super::scene::Scene;
use super::stop::Stop;
use crate::run::RunError;

/// A run without a client: it says when the provider is ready, and ends when it is told to.
pub struct Nobody {
    /// Told once, when the provider listens.
    pub ready: Box<dyn Fn(&Served) + Send + Sync>,
    /// Ends the run in order; what is pending is still drained.
    pub until: Stop,
}

impl fmt::Debug for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nobody").field("until", &self.until).finish_non_exhaustive()
    }
}

/// How to reach a provider that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The base URL.
    pub url: String,
    /// The API key that it takes.
    pub api_key: String,
    /// The variables that point an unmodified program at it.
    pub environment: Vec<(String, String)>,
    /// Where the trace is written; `None` when it is kept in memory.
    pub trace: Option<PathBuf>,
}

/// Waits until the run is told to end.
pub(crate) async fn wait(
    scene: &Scene,
    nobody: &Nobody,
    trace: Option<PathBuf>,
) -> Result<(), RunError> {
    let served = Served {
        url: scene.address.url.clone(),
        api_key: scene.address.key.clone(),
        environment: scene.environment(None)?,
        trace,
    };
    (nobody.ready)(&served);
    tokio::select! {
        biased;
        () = scene.stop.stopped() => {}
        () = nobody.until.stopped() => {}
    }
    Ok(())
}
