//! No client at all: the provider alone, for whoever starts a client elsewhere.
//!
//! **Invariant:** it makes no claim of its own; operations are those seen on the wire, and claims those that
//! somebody says from outside.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use brownout_provider::shell::lock::lock;
use tokio::sync::{mpsc, oneshot};

use super::address::by_name;
use super::claims::Statement;
use super::scene::{CLIENT, Scene};
use super::stop::Stop;
use crate::by_name::ByName;
use crate::run::RunError;

/// A run without a client: it says when the provider is ready, and ends when it is told to.
pub struct Nobody {
    /// Told once, when the provider listens.
    ready: Box<dyn Fn(&Served) + Send + Sync>,
    /// Ends the run in order; what is pending is still drained.
    until: Stop,
    /// Taken by the run.
    heard: Mutex<Option<Heard>>,
}

impl fmt::Debug for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nobody").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Nobody {
    /// `ready` is told once, when the provider listens; `until` ends the run.
    #[must_use]
    pub fn new(ready: Box<dyn Fn(&Served) + Send + Sync>, until: Stop, heard: Heard) -> Self {
        Self { ready, until, heard: Mutex::new(Some(heard)) }
    }
}

/// A claim that somebody makes for the client, who is told whether it was taken.
#[derive(Debug)]
pub struct Said {
    /// What is claimed, of an operation by its name.
    pub statement: Statement,
    /// Told whether it was taken: not if a final claim stands already.
    pub taken: oneshot::Sender<bool>,
}

/// Says claims to a run.
#[derive(Clone, Debug)]
pub struct Words(mpsc::UnboundedSender<Said>);

/// What a run hears.
#[derive(Debug)]
pub struct Heard(mpsc::UnboundedReceiver<Said>);

impl Words {
    /// A mouth and an ear.
    #[must_use]
    pub fn new() -> (Self, Heard) {
        let (says, heard) = mpsc::unbounded_channel();
        (Self(says), Heard(heard))
    }

    /// Says it; a run that has ended hears nothing, and whoever waits is told so by the closed channel.
    pub fn say(&self, said: Said) {
        let _ = self.0.send(said);
    }
}

/// How to reach a provider that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The base URL.
    pub url: String,
    /// The API key that it takes.
    pub api_key: String,
    /// Where there are several providers, the base URL of each by name; `url` is the first's.
    pub urls: ByName<String>,
    /// Where there are several providers, the API key for each by name.
    pub api_keys: ByName<String>,
    /// The variables that point an unmodified program at it.
    pub environment: Vec<(String, String)>,
    /// Where the trace is written; `None` when it is kept in memory.
    pub trace: Option<PathBuf>,
}

/// Waits until the run is told to end, and puts on record what is claimed meanwhile.
pub(crate) async fn wait(
    scene: &Scene,
    nobody: &Nobody,
    trace: Option<PathBuf>,
) -> Result<(), RunError> {
    let (urls, api_keys) = by_name(&scene.addresses.reached(None));
    let first = scene.addresses.first().bare();
    let served = Served {
        url: first.url,
        api_key: first.key,
        urls,
        api_keys,
        environment: scene.environment(CLIENT, None)?,
        trace,
    };
    let mut heard = lock(&nobody.heard).take();
    (nobody.ready)(&served);
    loop {
        tokio::select! {
            biased;
            () = scene.stop.stopped() => return Ok(()),
            Some(Said { statement, taken }) = next(&mut heard) => {
                let taken_up = statement.operation.as_deref().map(Arc::from).is_some_and(
                    |operation| scene.claimed_unasked(&operation, &statement),
                );
                // Whoever asked may have gone.
                let _ = taken.send(taken_up);
            }
            () = nobody.until.stopped() => return Ok(()),
        }
    }
}

async fn next(heard: &mut Option<Heard>) -> Option<Said> {
    match heard {
        Some(Heard(heard)) => heard.recv().await,
        None => None,
    }
}
