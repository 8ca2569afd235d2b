//! The client as a closure in this process.
//!
//! **Invariant:** it needs nothing but the clock, the runtime and the endpoint it is given, so that
//! another runtime and another transport serve it as well.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use brownout_provider::event::{
    Claim, ClientEnded, ClientPaused, ClientStarted, DEADLINE, EventKind,
};
use brownout_provider::exchange::{ClientFault, ClientStrike};
use brownout_provider::shell::clock::Clock;
use brownout_provider::units::micros;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_local};

use super::address::Address;
use super::claims::Statement;
use super::connection::{Door, Link, hidden_in, sites};
use super::fleet::copy_for;
use super::listen::Ear;
use super::scene::Scene;
use super::schedule::{Due, Schedule, Slot};
use super::strikes::{Strikes, Supervisor};
use crate::operation::{Operation, Outcome};
use crate::run::RunError;

pub use super::connection::Connection;

/// What stands in a trace of virtual time in place of the mock's real port, which differs from run to run.
const NO_PORT: &str = "127.0.0.1:0";

/// How often copies of a client may crash without getting anywhere.
const VAIN_CRASHES: u32 = 1_000;

/// In microseconds: so soon after the first crash a client has got nowhere.
const VAIN_US: u64 = 10_000;

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
    /// Asked what became of each submit that is `unknown`.
    pub reconciler: Option<&'a Reconciler>,
    /// What befalls the client.
    pub strikes: Strikes,
    /// Where each provider listens, in the order of the scene's addresses.
    pub doors: Vec<Door>,
    /// True in virtual time, where equal runs leave equal traces.
    pub neutral: bool,
}

impl fmt::Debug for Cast<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cast").field("doors", &self.doors).finish_non_exhaustive()
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
    id: Arc<str>,
    late_us: Rc<Cell<u64>>,
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
    let mut vain = Vain::default();
    while !schedule.is_over() {
        let now_us = scene.clock.now_us();
        let mut wake = now_us.saturating_add(3_600_000_000);
        crew.time_passes(now_us, &mut schedule)?;
        if schedule.is_over() {
            break;
        }
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
        wake = wake.min(crew.next_us());
        tokio::select! {
            biased;
            () = scene.stop.stopped() => return Ok(()),
            Some(client) = crashes.recv() => {
                vain.crashed(scene.clock.now_us(), client)?;
                crew.restart(client)?;
            }
            strike = crew.cast.strikes.next() => crew.strike(&strike),
            Some(ended) = crew.open.join_next() => {
                // What a crash dropped is started again and has no end yet.
                if let Ok((slot, id, end)) = ended {
                    vain = Vain::default();
                    crew.running.remove(&slot);
                    schedule.finished(slot);
                    crew.take(slot, &id, end);
                }
            }
            () = scene.clock.sleep_until_us(wake) => {}
        }
    }
    crew.wake_all();
    tokio::select! {
        biased;
        () = scene.stop.stopped() => Ok(()),
        done = crew.reconcile() => done,
    }
}

/// A copy of the client that was killed and is to be built again.
struct Fallen {
    client: u32,
    rises_us: u64,
    /// What it worked on, or was to work on since, and until when.
    its: Vec<(Slot, Arc<str>, Rc<Cell<u64>>)>,
}

/// A copy of the client that stands still.
struct Asleep {
    client: u32,
    since_us: u64,
    until_us: u64,
}

/// Crashes that led nowhere: since the first of them hardly any time has passed, and no work has ended.
#[derive(Default)]
pub(super) struct Vain {
    since_us: u64,
    times: u32,
}

impl Vain {
    /// Takes a crash.
    pub(super) fn crashed(&mut self, now_us: u64, client: u32) -> Result<(), RunError> {
        if self.times == 0 || now_us.saturating_sub(self.since_us) > VAIN_US {
            *self = Self { since_us: now_us, times: 0 };
        }
        self.times += 1;
        if self.times > VAIN_CRASHES {
            return Err(RunError::CrashesInVain { client, times: VAIN_CRASHES });
        }
        Ok(())
    }
}

/// The copies of the client and what they work on.
struct Crew<'a> {
    scene: &'a Arc<Scene>,
    ear: Ear,
    cast: Cast<'a>,
    /// What is replaced in texts of the client, where equal runs are to leave equal traces.
    hidden: Arc<[String]>,
    copies: Vec<Rc<dyn InProcess>>,
    /// Until when each copy stands still.
    gates: Vec<Rc<Cell<u64>>>,
    fallen: Vec<Fallen>,
    asleep: Vec<Asleep>,
    supervisor: Supervisor,
    crashes: mpsc::UnboundedSender<u32>,
    open: JoinSet<(Slot, Arc<str>, End)>,
    running: BTreeMap<Slot, Running>,
    /// What the client called `unknown`, in the order in which it did.
    unknown: Vec<Slot>,
}

impl<'a> Crew<'a> {
    fn assemble(scene: &'a Arc<Scene>, cast: Cast<'a>) -> (Self, mpsc::UnboundedReceiver<u32>) {
        let (crashes, crashed) = mpsc::unbounded_channel();
        let hidden = hidden_in(cast.doors.iter().filter(|_| cast.neutral));
        let ear = Ear::new(Arc::new(OfRun {
            scene: Arc::clone(scene),
            operation: None,
            hidden: Arc::clone(&hidden),
            crashes: crashes.clone(),
        }));
        let mut crew = Self {
            scene,
            ear,
            hidden,
            copies: Vec::new(),
            gates: Vec::new(),
            fallen: Vec::new(),
            asleep: Vec::new(),
            supervisor: Supervisor::default(),
            crashes,
            open: JoinSet::new(),
            running: BTreeMap::new(),
            unknown: Vec::new(),
            cast,
        };
        crew.copies = (1..=crew.scene.clients).map(|client| crew.build(client)).collect();
        crew.gates = crew.copies.iter().map(|_| Rc::default()).collect();
        (crew, crashed)
    }

    fn build(&self, client: u32) -> Rc<dyn InProcess> {
        self.cast.factory.build(&self.connection(client, None))
    }

    fn connection(&self, client: u32, operation: Option<&Operation>) -> Connection {
        let token = operation.map(|one| Address::token(&one.id, one.submit));
        let tenant = operation.and_then(|one| one.tenant.as_deref());
        let addresses = self.scene.addresses.of_tenant(tenant);
        let sites = sites(&addresses, &self.cast.doors, token.as_deref());
        let link = OfRun {
            scene: Arc::clone(self.scene),
            operation: operation.map(|one| Arc::clone(&one.id)),
            hidden: Arc::clone(&self.hidden),
            crashes: self.crashes.clone(),
        };
        Connection::new(sites, client, Arc::new(link))
    }

    /// Which copy of the client serves a submit.
    fn place(&self, slot: Slot) -> usize {
        let client = copy_for(slot.index, self.scene.clients);
        usize::try_from(client - 1).expect("it is the number of a copy")
    }

    /// Starts the work of a submit, in the copy of the client whose turn it is.
    fn start(&mut self, slot: Slot, operation: Operation, late_us: u64) {
        let place = self.place(slot);
        let asleep_us = self.gates[place].get().saturating_sub(self.scene.clock.now_us());
        let late_us = Rc::new(Cell::new(late_us.saturating_add(asleep_us)));
        self.begin(slot, operation, late_us);
    }

    fn begin(&mut self, slot: Slot, operation: Operation, late_us: Rc<Cell<u64>>) {
        let place = self.place(slot);
        let client = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let id = Arc::clone(&operation.id);
        if let Some(fallen) = self.fallen.iter_mut().find(|fallen| fallen.client == client) {
            fallen.its.push((slot, id, late_us));
            return;
        }
        let work = self.work(&*self.copies[place], place, operation);
        let (clock, late, named) = (self.scene.clock, Rc::clone(&late_us), Arc::clone(&id));
        let task =
            self.open.spawn_local(async move { (slot, named, finish(work, clock, &late).await) });
        self.running.insert(slot, Running { client, id, late_us, task });
    }

    /// The work of a submit, which is listened to.
    fn work(&self, by: &dyn InProcess, place: usize, operation: Operation) -> JoinHandle<Outcome> {
        let client = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let connection = self.connection(client, Some(&operation));
        let link = connection.link();
        let (gate, clock) = (Rc::clone(&self.gates[place]), self.scene.clock);
        let work = self.ear.listening(link, || by.start(operation, connection));
        spawn_local(awake(work, gate, clock))
    }

    /// Asks for each submit that is `unknown` what became of it, when the providers are there again, one after the
    /// other; each has as long as an operation has.
    async fn reconcile(&mut self) -> Result<(), RunError> {
        let Some(reconciler) = self.cast.reconciler else { return Ok(()) };
        let scene = self.scene;
        if !self.unknown.is_empty() {
            scene.clock.sleep_until_us((scene.storm_until_us)()).await;
        }
        for slot in std::mem::take(&mut self.unknown) {
            let operation = scene.operation(slot)?;
            let id = Arc::clone(&operation.id);
            let late_us = Cell::new(scene.late_us(scene.clock.now_us()));
            let work = self.work(&*reconciler.0, self.place(slot), operation);
            let end = finish(work, scene.clock, &late_us).await;
            self.take(slot, &id, end);
        }
        Ok(())
    }

    /// A copy of the client has crashed: all its work is dropped, and begins again in a new copy.
    fn restart(&mut self, client: u32) -> Result<(), RunError> {
        if let Some(fallen) = self.fall(client, 0) {
            self.rise(fallen)?;
        }
        Ok(())
    }

    /// All work of a copy of the client is dropped; `None` when there is no such copy, or it has fallen
    /// already.
    fn fall(&mut self, client: u32, rises_us: u64) -> Option<Fallen> {
        let place = usize::try_from(client).ok()?.checked_sub(1)?;
        if place >= self.copies.len() || self.fallen.iter().any(|one| one.client == client) {
            return None;
        }
        self.wake(client);
        let slots: Vec<Slot> = self
            .running
            .iter()
            .filter(|(_, running)| running.client == client)
            .map(|(slot, _)| *slot)
            .collect();
        let mut its = Vec::new();
        for slot in slots {
            if let Some(running) = self.running.remove(&slot) {
                running.task.abort();
                its.push((slot, running.id, running.late_us));
            }
        }
        self.scene.record(EventKind::ClientEnded(ClientEnded {
            client,
            pid: 0,
            code: None,
            signal: None,
            killed: true,
            operation: None,
        }));
        Some(Fallen { client, rises_us, its })
    }

    /// A new copy takes the place of one that fell, and begins with all that it worked on.
    fn rise(&mut self, fallen: Fallen) -> Result<(), RunError> {
        let Fallen { client, its, .. } = fallen;
        let Some(place) = usize::try_from(client).ok().and_then(|it| it.checked_sub(1)) else {
            return Ok(());
        };
        self.copies[place] = self.build(client);
        let started = ClientStarted { client, pid: 0, operation: None };
        self.scene.record(EventKind::ClientStarted(started));
        for (slot, _, late_us) in its {
            let operation = self.scene.operation(slot)?;
            self.begin(slot, operation, late_us);
        }
        Ok(())
    }

    /// Something befalls the copy of the client that works on an operation, if one still does.
    fn strike(&mut self, strike: &ClientStrike) {
        let its = |(slot, one): &(&Slot, &Running)| {
            one.id == strike.operation && slot.submit == strike.submit
        };
        let Some((_, running)) = self.running.iter().find(its) else { return };
        let (client, now_us) = (running.client, self.scene.clock.now_us());
        match strike.does {
            ClientFault::Kill => {
                let wait = self.supervisor.wait_after(&strike.operation, strike.submit);
                let fallen = self.fall(client, now_us.saturating_add(micros(wait)));
                self.fallen.extend(fallen);
            }
            ClientFault::Pause { for_us } => self.pause(client, now_us, for_us),
        }
    }

    /// A copy of the client stands still; the time that it does so counts for nobody.
    fn pause(&mut self, client: u32, now_us: u64, for_us: u64) {
        let Some(place) = usize::try_from(client).ok().and_then(|it| it.checked_sub(1)) else {
            return;
        };
        let before_us = self.gates[place].get().max(now_us);
        let until_us = before_us.max(now_us.saturating_add(for_us));
        self.gates[place].set(until_us);
        for running in self.running.values().filter(|one| one.client == client) {
            let more_us = until_us.saturating_sub(before_us);
            running.late_us.set(running.late_us.get().saturating_add(more_us));
        }
        match self.asleep.iter_mut().find(|one| one.client == client) {
            Some(asleep) => asleep.until_us = until_us,
            None => self.asleep.push(Asleep { client, since_us: now_us, until_us }),
        }
    }

    /// A copy of the client goes on, if it stands still.
    fn wake(&mut self, client: u32) {
        let Some(index) = self.asleep.iter().position(|one| one.client == client) else { return };
        let asleep = self.asleep.remove(index);
        if let Some(place) = usize::try_from(client).ok().and_then(|it| it.checked_sub(1)) {
            self.gates[place].set(0);
        }
        let for_us = self.scene.clock.now_us().saturating_sub(asleep.since_us);
        let paused = ClientPaused { client, pid: 0, for_us, operation: None };
        self.scene.record(EventKind::ClientPaused(paused));
    }

    fn wake_all(&mut self) {
        let asleep: Vec<u32> = self.asleep.iter().map(|one| one.client).collect();
        for client in asleep {
            self.wake(client);
        }
    }

    /// When something is to be done for the copies, whatever else happens.
    fn next_us(&self) -> u64 {
        let asleep = self.asleep.iter().map(|one| one.until_us);
        let late = self.fallen.iter().flat_map(|one| &one.its).map(|(_, _, late_us)| late_us.get());
        let rises = self.fallen.iter().map(|one| one.rises_us);
        asleep.chain(late).chain(rises).min().unwrap_or(u64::MAX)
    }

    /// Wakes copies that have stood still for long enough, gives up what is late of those that fell, and
    /// lets them rise.
    fn time_passes(&mut self, now_us: u64, schedule: &mut Schedule) -> Result<(), RunError> {
        let rested: Vec<u32> =
            self.asleep.iter().filter(|one| one.until_us <= now_us).map(|one| one.client).collect();
        for client in rested {
            self.wake(client);
        }
        for mut fallen in std::mem::take(&mut self.fallen) {
            let (late, its): (Vec<_>, Vec<_>) =
                fallen.its.into_iter().partition(|(_, _, late_us)| late_us.get() <= now_us);
            fallen.its = its;
            for (slot, id, _) in late {
                schedule.finished(slot);
                self.take(slot, &id, End::Late);
            }
            if fallen.rises_us <= now_us {
                self.rise(fallen)?;
            } else {
                self.fallen.push(fallen);
            }
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
                        degraded: false,
                        detail: hide(&self.hidden, outcome.detail),
                        provider: outcome.provider.map(Arc::from),
                    },
                );
            }
            End::Late => {
                scene.silent(id, slot.submit, DEADLINE);
            }
            End::Panicked(words) => {
                let words = hide(&self.hidden, words);
                scene.said("log", Some(id), &words);
                scene.silent(id, slot.submit, "the client panicked");
            }
        }
    }
}

/// What a connection of a run asks of its driver.
pub(super) struct OfRun {
    pub(super) scene: Arc<Scene>,
    pub(super) operation: Option<Arc<str>>,
    pub(super) hidden: Arc<[String]>,
    pub(super) crashes: mpsc::UnboundedSender<u32>,
}

impl Link for OfRun {
    fn log(&self, line: &str) {
        let line = hide(&self.hidden, line.to_owned());
        self.scene.said("log", self.operation.as_ref(), &line);
    }

    fn crash(&self, client: u32) {
        // After the run nobody is left to be built again.
        let _ = self.crashes.send(client);
    }
}

pub(super) fn hide(hidden: &[String], text: String) -> String {
    let found = |text: String, one: &String| {
        if text.contains(one.as_str()) { text.replace(one.as_str(), NO_PORT) } else { text }
    };
    hidden.iter().fold(text, found)
}

/// Waits for the work of one submit, until it is late.
async fn finish(mut work: JoinHandle<Outcome>, clock: Clock, late_us: &Cell<u64>) -> End {
    // Whatever ends this wait, also its own end, drops the work.
    let _dropped = AbortOnDrop(work.abort_handle());
    let end = loop {
        let until_us = late_us.get();
        let end = clock.until_us(until_us, &mut work).await;
        // A client that stood still meanwhile has longer.
        if end.is_some() || late_us.get() <= until_us {
            break end;
        }
    };
    match end {
        None => End::Late,
        Some(Ok(outcome)) => End::Claimed(outcome),
        Some(Err(error)) => End::Panicked(match error.try_into_panic() {
            Ok(panic) => panic_in_words(&*panic),
            Err(_) => "cancelled".to_owned(),
        }),
    }
}

/// The work of a client that does nothing as long as it stands still.
pub(super) async fn awake<T>(
    work: impl Future<Output = T>,
    gate: Rc<Cell<u64>>,
    clock: Clock,
) -> T {
    let mut work = pin!(work);
    let mut rest: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
    poll_fn(move |context| {
        // Each turn waits for a later end, and a client is paused a finite number of times.
        while gate.get() > clock.now_us() {
            let until_us = gate.get();
            let resting = rest.get_or_insert_with(|| {
                Box::pin(async move { clock.sleep_until_us(until_us).await })
            });
            if resting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            rest = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn panic_in_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    words.map_or_else(|| "panicked".to_owned(), |words| format!("panicked: {words}"))
}
