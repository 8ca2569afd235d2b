//! The client as a closure in this process.
//!
//! **Invariant:** it needs nothing but the clock, the runtime and the endpoint it is given, so that
//! another runtime and another transport serve it as well.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use brownout_provider::event::{Claim, ClientEnded, ClientStarted, EventKind};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::transport::Endpoint;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_local};

use super::claims::Statement;
use super::connection::Link;
use super::listen::listening;
use super::scene::Scene;
use super::schedule::{Due, Schedule, Slot};
use crate::operation::{Operation, Outcome};
use crate::run::RunError;

pub use super::connection::Connection;

/// What stands in a trace of virtual time in place of the mock's real port, which differs from run to run.
const NO_PORT: &str = "127.0.0.1:0";

/// The work of one submit.
pub type Work = Pin<Box<dyn Future<Output = Outcome>>>;

/// A client in this process. Every `Fn(Operation, Connection) -> Future<Output = Outcome>` is one.
pub trait InProcess {
    /// Starts the work of one submit. The future is dropped when its deadline has passed.
    fn start(&self, operation: Operation, connection: Connection) -> Work;
}

impl<F, W> InProcess for F
where
    F: Fn(Operation, Connection) -> W,
    W: Future<Output = Outcome> + 'static,
{
    fn start(&self, operation: Operation, connection: Connection) -> Work {
        Box::pin(self(operation, connection))
    }
}

/// Builds a client, on the runtime of the run: once for each run, and again whenever the client crashes.
pub trait Factory: Send + Sync {
    /// A new client, without memory of any other. The connection's URL and key carry no operation.
    fn build(&self, connection: &Connection) -> Rc<dyn InProcess>;
}

impl<B, C> Factory for B
where
    B: Fn(&Connection) -> C + Send + Sync,
    C: InProcess + 'static,
{
    fn build(&self, connection: &Connection) -> Rc<dyn InProcess> {
        Rc::new(self(connection))
    }
}

/// One client for all runs, which keeps its memory.
pub(crate) struct Always<C>(Arc<C>);

impl<C> Always<C> {
    pub(crate) fn new(client: C) -> Self {
        Self(Arc::new(client))
    }
}

impl<C: InProcess + Send + Sync + 'static> Factory for Always<C> {
    fn build(&self, _: &Connection) -> Rc<dyn InProcess> {
        let client = Arc::clone(&self.0);
        Rc::new(move |operation, connection| client.start(operation, connection))
    }
}

/// Finds out, after the work, what became of submits that the client called `unknown`.
#[derive(Clone)]
pub struct Reconciler(Arc<dyn InProcess + Send + Sync>);

impl Reconciler {
    pub(crate) fn new(client: impl InProcess + Send + Sync + 'static) -> Self {
        Self(Arc::new(client))
    }
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reconciler")
    }
}

/// Who is to be driven, and over what.
pub struct Cast<'a> {
    /// Builds each copy of the client.
    pub factory: &'a dyn Factory,
    /// How many copies share the operations, at least 1.
    pub clients: u32,
    /// Asked what became of each submit that is `unknown`.
    pub reconciler: Option<&'a Reconciler>,
    /// Where the mock listens.
    pub endpoint: Endpoint,
    /// What a client has to trust, as PEM, where the mock answers over TLS.
    pub authority: Option<Arc<str>>,
    /// True in virtual time, where equal runs leave equal traces.
    pub neutral: bool,
}

impl fmt::Debug for Cast<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cast")
            .field("clients", &self.clients)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// Why a submit has no claim.
enum End {
    Claimed(Outcome),
    Late,
    Panicked(String),
}

/// The work of a submit that is under way.
struct Running {
    client: u32,
    late_us: u64,
    task: AbortHandle,
}

/// Drives a client in this process through a schedule. Must run inside a [`tokio::task::LocalSet`].
///
/// # Errors
///
/// When an operation cannot be rendered.
pub async fn drive(
    scene: &Arc<Scene>,
    mut schedule: Schedule,
    cast: Cast<'_>,
) -> Result<(), RunError> {
    let (mut crew, mut crashes) = Crew::assemble(scene, cast);
    while !schedule.is_over() {
        let now_us = scene.clock.now_us();
        let mut wake = now_us.saturating_add(3_600_000_000);
        match schedule.due(now_us) {
            Due::Now(slot) => {
                let operation = scene.operation(slot)?;
                scene.submitted(&operation, now_us);
                schedule.submitted(slot, now_us);
                crew.start(slot, operation, scene.late_us(now_us));
                continue;
            }
            Due::At(at_us) => wake = at_us,
            Due::Blocked | Due::Done => {}
        }
        tokio::select! {
            biased;
            () = scene.stop.stopped() => return Ok(()),
            Some(client) = crashes.recv() => crew.restart(client)?,
            Some(ended) = crew.open.join_next() => {
                // What a crash dropped is started again and has no end yet.
                if let Ok((slot, id, end)) = ended {
                    crew.running.remove(&slot);
                    schedule.finished(slot);
                    crew.take(slot, &id, end);
                }
            }
            () = scene.clock.sleep_until_us(wake) => {}
        }
    }
    tokio::select! {
        biased;
        () = scene.stop.stopped() => Ok(()),
        done = crew.reconcile() => done,
    }
}

/// The copies of the client and what they work on.
struct Crew<'a> {
    scene: &'a Arc<Scene>,
    cast: Cast<'a>,
    /// What is replaced in texts of the client, where equal runs are to leave equal traces.
    hidden: Option<Arc<str>>,
    copies: Vec<Rc<dyn InProcess>>,
    crashes: mpsc::UnboundedSender<u32>,
    open: JoinSet<(Slot, Arc<str>, End)>,
    running: BTreeMap<Slot, Running>,
    /// What the client called `unknown`, in the order in which it did.
    unknown: Vec<Slot>,
}

impl<'a> Crew<'a> {
    fn assemble(scene: &'a Arc<Scene>, cast: Cast<'a>) -> (Self, mpsc::UnboundedReceiver<u32>) {
        let (crashes, crashed) = mpsc::unbounded_channel();
        let hidden = cast.endpoint.addr().filter(|_| cast.neutral);
        let mut crew = Self {
            scene,
            hidden: hidden.map(|addr| Arc::from(addr.to_string())),
            copies: Vec::new(),
            crashes,
            open: JoinSet::new(),
            running: BTreeMap::new(),
            unknown: Vec::new(),
            cast,
        };
        crew.copies = (1..=crew.cast.clients.max(1)).map(|client| crew.build(client)).collect();
        (crew, crashed)
    }

    fn build(&self, client: u32) -> Rc<dyn InProcess> {
        let address = &self.scene.address;
        let place = (address.url.clone(), address.key.clone());
        self.cast.factory.build(&self.connection(place, client, None))
    }

    fn connection(
        &self,
        place: (String, String),
        client: u32,
        operation: Option<Arc<str>>,
    ) -> Connection {
        let link = OfRun {
            scene: Arc::clone(self.scene),
            operation,
            hidden: self.hidden.clone(),
            crashes: self.crashes.clone(),
        };
        let endpoint = self.cast.endpoint.clone();
        Connection::new(place, client, (endpoint, self.cast.authority.clone()), Arc::new(link))
    }

    /// Which copy of the client serves a submit.
    fn place(&self, slot: Slot) -> usize {
        let copies = u64::try_from(self.copies.len()).unwrap_or(u64::MAX);
        let place = (slot.index.saturating_sub(1)) % copies;
        usize::try_from(place).expect("it is less than a length")
    }

    /// Starts the work of a submit, in the copy of the client whose turn it is.
    fn start(&mut self, slot: Slot, operation: Operation, late_us: u64) {
        let place = self.place(slot);
        let client = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let id = Arc::clone(&operation.id);
        let work = self.work(&*self.copies[place], client, operation);
        let clock = self.scene.clock;
        let task =
            self.open.spawn_local(async move { (slot, id, finish(work, clock, late_us).await) });
        self.running.insert(slot, Running { client, late_us, task });
    }

    /// The work of a submit, which is listened to.
    fn work(&self, by: &dyn InProcess, client: u32, operation: Operation) -> JoinHandle<Outcome> {
        let reach = (operation.url.clone(), operation.api_key.clone());
        let connection = self.connection(reach, client, Some(Arc::clone(&operation.id)));
        let link = connection.link();
        spawn_local(listening(link, || by.start(operation, connection)))
    }

    /// Asks for each submit that is `unknown` what became of it, one after the other; each has as long as
    /// an operation has.
    async fn reconcile(&mut self) -> Result<(), RunError> {
        let Some(reconciler) = self.cast.reconciler else { return Ok(()) };
        let scene = self.scene;
        for slot in std::mem::take(&mut self.unknown) {
            let operation = scene.operation(slot)?;
            let id = Arc::clone(&operation.id);
            let client = u32::try_from(self.place(slot) + 1).unwrap_or(u32::MAX);
            let late_us = scene.late_us(scene.clock.now_us());
            let work = self.work(&*reconciler.0, client, operation);
            let end = finish(work, scene.clock, late_us).await;
            self.take(slot, &id, end);
        }
        Ok(())
    }

    /// A copy of the client has crashed: all its work is dropped, and begins again in a new copy.
    fn restart(&mut self, client: u32) -> Result<(), RunError> {
        let scene = self.scene;
        let Some(place) = usize::try_from(client).ok().and_then(|it| it.checked_sub(1)) else {
            return Ok(());
        };
        if place >= self.copies.len() {
            return Ok(());
        }
        let its: Vec<(Slot, u64)> = self
            .running
            .iter()
            .filter(|(_, running)| running.client == client)
            .map(|(slot, running)| (*slot, running.late_us))
            .collect();
        for (slot, _) in &its {
            if let Some(running) = self.running.remove(slot) {
                running.task.abort();
            }
        }
        scene.record(EventKind::ClientEnded(ClientEnded {
            client,
            pid: 0,
            code: None,
            signal: None,
            killed: true,
            operation: None,
        }));
        self.copies[place] = self.build(client);
        scene.record(EventKind::ClientStarted(ClientStarted { client, pid: 0, operation: None }));
        for (slot, late_us) in its {
            let operation = scene.operation(slot)?;
            self.start(slot, operation, late_us);
        }
        Ok(())
    }

    fn take(&mut self, slot: Slot, id: &Arc<str>, end: End) {
        let scene = self.scene;
        match end {
            End::Claimed(outcome) => {
                if outcome.claim == Claim::Unknown {
                    self.unknown.push(slot);
                }
                scene.claimed(
                    id,
                    &Statement {
                        operation: None,
                        submit: slot.submit,
                        claim: outcome.claim,
                        detail: hide(self.hidden.as_deref(), outcome.detail),
                        provider: outcome.provider.map(Arc::from),
                    },
                );
            }
            End::Late => {
                scene.silent(id, slot.submit, "deadline");
            }
            End::Panicked(words) => {
                let words = hide(self.hidden.as_deref(), words);
                scene.said("log", Some(id), &words);
                scene.silent(id, slot.submit, "the client panicked");
            }
        }
    }
}

/// What a connection of a run asks of its driver.
struct OfRun {
    scene: Arc<Scene>,
    operation: Option<Arc<str>>,
    hidden: Option<Arc<str>>,
    crashes: mpsc::UnboundedSender<u32>,
}

impl Link for OfRun {
    fn log(&self, line: &str) {
        let line = hide(self.hidden.as_deref(), line.to_owned());
        self.scene.said("log", self.operation.as_ref(), &line);
    }

    fn crash(&self, client: u32) {
        // After the run nobody is left to be built again.
        let _ = self.crashes.send(client);
    }
}

fn hide(hidden: Option<&str>, text: String) -> String {
    match hidden {
        Some(hidden) if text.contains(hidden) => text.replace(hidden, NO_PORT),
        Some(_) | None => text,
    }
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

fn panic_in_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    words.map_or_else(|| "panicked".to_owned(), |words| format!("panicked: {words}"))
}
