//! The client as a closure in this process.
//!
//! **Invariant:** it needs nothing but the clock, the runtime and the address it is given, so that
//! another runtime and another transport serve it as well.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use brownout_provider::shell::clock::Clock;
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_local};

use super::claims::Statement;
use super::scene::Scene;
use super::schedule::{Due, Schedule, Slot};
use crate::operation::{Operation, Outcome};
use crate::run::RunError;

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

/// Why a submit has no claim.
enum End {
    Claimed(Outcome),
    Late,
    Panicked(String),
}

/// Drives a client in this process through a schedule. Must run inside a [`tokio::task::LocalSet`].
///
/// # Errors
///
/// When an operation cannot be rendered.
pub async fn drive(
    scene: &Arc<Scene>,
    mut schedule: Schedule,
    client: &dyn InProcess,
) -> Result<(), RunError> {
    let mut open: JoinSet<(Slot, Arc<str>, End)> = JoinSet::new();
    while !schedule.is_over() {
        let now_us = scene.clock.now_us();
        let mut wake = now_us.saturating_add(3_600_000_000);
        match schedule.due(now_us) {
            Due::Now(slot) => {
                let operation = scene.operation(slot)?;
                let late_us = scene.late_us(now_us);
                let connection = Connection {
                    url: operation.url.clone(),
                    api_key: operation.api_key.clone(),
                    log: log(scene, &operation.id),
                };
                scene.submitted(&operation, now_us);
                schedule.submitted(slot, now_us);
                let id = Arc::clone(&operation.id);
                let work = spawn_local(client.start(operation, connection));
                let clock = scene.clock;
                open.spawn_local(async move { (slot, id, finish(work, clock, late_us).await) });
                continue;
            }
            Due::At(at_us) => wake = at_us,
            Due::Blocked | Due::Done => {}
        }
        tokio::select! {
            biased;
            () = scene.stop.stopped() => return Ok(()),
            Some(ended) = open.join_next() => {
                if let Ok((slot, id, end)) = ended {
                    schedule.finished(slot);
                    take(scene, slot, &id, end);
                }
            }
            () = scene.clock.sleep_until_us(wake) => {}
        }
    }
    Ok(())
}

/// Waits for the work of one submit, until it is late.
async fn finish(work: JoinHandle<Outcome>, clock: Clock, late_us: u64) -> End {
    // Whatever ends this wait, also its own end, drops the work.
    let _dropped = AbortOnDrop(work.abort_handle());
    match clock.until_us(late_us, work).await {
        None => End::Late,
        Some(Ok(outcome)) => End::Claimed(outcome),
        Some(Err(error)) => End::Panicked(match error.try_into_panic() {
            Ok(panic) => panic_in_words(&*panic),
            Err(_) => "cancelled".to_owned(),
        }),
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn take(scene: &Scene, slot: Slot, id: &Arc<str>, end: End) {
    match end {
        End::Claimed(outcome) => {
            scene.claimed(
                id,
                &Statement {
                    operation: None,
                    submit: slot.submit,
                    claim: outcome.claim,
                    detail: outcome.detail,
                    provider: outcome.provider.map(Arc::from),
                },
            );
        }
        End::Late => {
            scene.silent(id, slot.submit, "deadline");
        }
        End::Panicked(words) => {
            scene.said("log", Some(id), &words);
            scene.silent(id, slot.submit, "the client panicked");
        }
    }
}

fn log(scene: &Arc<Scene>, operation: &Arc<str>) -> Arc<dyn Fn(&str) + Send + Sync> {
    let (scene, operation) = (Arc::clone(scene), Arc::clone(operation));
    Arc::new(move |line| scene.said("log", Some(&operation), line))
}

fn panic_in_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    words.map_or_else(|| "panicked".to_owned(), |words| format!("panicked: {words}"))
}
