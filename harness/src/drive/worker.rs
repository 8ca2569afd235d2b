//! A worker in this process: it receives operations as messages of a queue by itself, and nobody hands it any.
//!
//! What becomes of a message is the claim, as it is for programs in stdio mode; it knows neither queues nor routes.
//! **Invariant:** whatever a worker does, every operation is over at its deadline, and no copy of the worker
//! outlives the drive.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use brownout_provider::event::{
    Claim, ClientEnded, ClientPaused, ClientStarted, DEADLINE, EventKind,
};
use brownout_provider::exchange::{ClientFault, ClientStrike, Settled};
use brownout_provider::shell::clock::Clock;
use brownout_provider::units::micros;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_local};

use super::claims::{Effect, Statement};
use super::connection::{Connection, Door, Link, hidden_in, sites};
use super::in_process::{AbortOnDrop, OfRun, Vain, awake, hide, panic_in_words};
use super::listen::Ear;
use super::scene::Scene;
use super::schedule::{Due, Schedule, Slot};
use super::seen::Seen;
use super::strikes::{Strikes, Supervisor};
use crate::run::RunError;

/// When all is said a worker lives on for so long at least, which is the time to read the last answer, and so often
/// it is looked whether it is still at work.
const LOOK: Duration = Duration::from_millis(50);

/// How often a copy may be asked to go on in virtual time without that time has passed or a message moved.
const RESTLESS: u32 = 10_000;

/// The code by which a copy ends that comes to an end of its own, as a program does.
const RETURNED: i32 = 0;

/// The code by which a copy ends that panics, as a program does.
const PANICKED: i32 = 101;

/// The life of one copy of a worker.
pub type Life = Pin<Box<dyn Future<Output = ()>>>;

/// A worker in this process. Every `Fn(Connection) -> Future<Output = ()>` is one.
pub trait Worker: Send + Sync {
    /// Begins the life of a copy, which goes on until it is dropped: when all is said, or when the copy is killed.
    /// Whoever takes the place of one that was killed begins anew. The connection carries no operation.
    fn live(&self, connection: Connection) -> Life;
}

impl<F, W> Worker for F
where
    F: Fn(Connection) -> W + Send + Sync,
    W: Future<Output = ()> + 'static,
{
    fn live(&self, connection: Connection) -> Life {
        Box::pin(self(connection))
    }
}

/// Who is to be driven, and over what.
pub struct Shift<'a> {
    /// The worker.
    pub worker: &'a dyn Worker,
    /// How many copies of it share the queue, at least 1.
    pub clients: u32,
    /// What befalls them, and what becomes of messages.
    pub strikes: Strikes,
    /// What is seen of their requests to the providers.
    pub seen: Arc<Seen>,
    /// Where each provider listens, in the order of the scene's addresses.
    pub doors: Vec<Door>,
    /// True in virtual time, where equal runs leave equal traces.
    pub neutral: bool,
}

impl fmt::Debug for Shift<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shift")
            .field("clients", &self.clients)
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

/// Lets a worker live while operations arrive as messages, until each has a claim or is past its deadline. Must run
/// inside a [`tokio::task::LocalSet`].
///
/// # Errors
///
/// When an operation cannot be rendered, or the worker never waits although time cannot pass otherwise.
pub async fn drive(
    scene: &Arc<Scene>,
    schedule: Schedule,
    shift: Shift<'_>,
) -> Result<(), RunError> {
    let (mut crew, mut crashes) = Crew::assemble(scene, schedule, shift);
    loop {
        crew.time_passes();
        crew.submit_due()?;
        if crew.is_over() {
            crew.wake_all();
            return Ok(());
        }
        let wake_us = crew.wake_us();
        tokio::select! {
            biased;
            () = scene.stop.stopped() => return Ok(()),
            Some(client) = crashes.recv() => crew.crashed(client)?,
            strike = crew.strikes.next() => crew.strike(&strike),
            settled = next(&mut crew.settled) => crew.settle(&settled),
            Some(ended) = crew.lives.join_next() => {
                // What was cancelled has been told of.
                if let Ok((name, end)) = ended {
                    crew.ended(name, end)?;
                }
            }
            () = scene.clock.sleep_until_us(wake_us) => {}
        }
    }
}

/// Which life of which copy: each that takes the place of another has a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    client: u32,
    life: u32,
}

/// How a life ended.
enum End {
    Returned,
    Panicked(String),
    /// It never waited for anything.
    Restless,
}

/// What a copy of the worker is like.
enum State {
    Alive(AbortHandle),
    /// It was killed, and another takes its place then.
    Down {
        rises_us: u64,
    },
    /// It came to an end of its own, and how.
    Over(&'static str),
}

/// A copy of the worker.
struct Copy {
    name: Name,
    state: State,
    /// Until when it stands still.
    gate: Rc<Cell<u64>>,
    /// Since when it stands still, while it does.
    still_us: Option<u64>,
}

/// The copies of a worker, and the operations that are theirs together.
struct Crew<'a> {
    scene: &'a Arc<Scene>,
    worker: &'a dyn Worker,
    strikes: Strikes,
    seen: Arc<Seen>,
    doors: Vec<Door>,
    neutral: bool,
    /// What is replaced in what they say, where equal runs are to leave equal traces.
    hidden: Arc<[String]>,
    crashes: mpsc::UnboundedSender<u32>,
    ear: Ear,
    settled: Option<UnboundedReceiver<Settled>>,
    supervisor: Supervisor,
    vain: Vain,
    copies: Vec<Copy>,
    /// Until when some copy stands still, for which operations are given more time.
    stands_still_until_us: u64,
    lives: JoinSet<(Name, End)>,
    schedule: Schedule,
    slots: BTreeMap<(Arc<str>, u32), Slot>,
    /// When which submit is late.
    late: BTreeSet<(u64, Slot, Arc<str>)>,
    /// When every submit had a claim, or was late.
    said_us: Option<u64>,
    /// What is said to be done and is not seen to be.
    owed: BTreeSet<Arc<str>>,
}

impl<'a> Crew<'a> {
    fn assemble(
        scene: &'a Arc<Scene>,
        schedule: Schedule,
        shift: Shift<'a>,
    ) -> (Self, UnboundedReceiver<u32>) {
        let Shift { worker, clients, mut strikes, seen, doors, neutral } = shift;
        let (crashes, crashed) = mpsc::unbounded_channel();
        let hidden = hidden_in(doors.iter().filter(|_| neutral));
        let ear = Ear::new(Arc::new(OfRun {
            scene: Arc::clone(scene),
            operation: None,
            hidden: Arc::clone(&hidden),
            crashes: crashes.clone(),
        }));
        let settled = strikes.take_settled();
        let mut crew = Self {
            scene,
            worker,
            strikes,
            seen,
            doors,
            neutral,
            hidden,
            crashes,
            ear,
            settled,
            supervisor: Supervisor::default(),
            vain: Vain::default(),
            copies: Vec::new(),
            stands_still_until_us: 0,
            lives: JoinSet::new(),
            schedule,
            slots: BTreeMap::new(),
            late: BTreeSet::new(),
            said_us: None,
            owed: BTreeSet::new(),
        };
        for client in 1..=clients.max(1) {
            let name = Name { client, life: 1 };
            let gate = Rc::default();
            if clients > 1 {
                crew.record_start(client);
            }
            let state = State::Alive(crew.begin(name, &gate));
            crew.copies.push(Copy { name, state, gate, still_us: None });
        }
        (crew, crashed)
    }

    /// Begins a life.
    fn begin(&mut self, name: Name, gate: &Rc<Cell<u64>>) -> AbortHandle {
        let link: Arc<dyn Link> = Arc::new(OfRun {
            scene: Arc::clone(self.scene),
            operation: None,
            hidden: Arc::clone(&self.hidden),
            crashes: self.crashes.clone(),
        });
        let token = self.scene.copy_token(name.client);
        let sites = sites(&self.scene.addresses, &self.doors, token.as_deref());
        let connection = Connection::new(sites, name.client, Arc::clone(&link));
        let (gate, clock) = (Rc::clone(gate), self.scene.clock);
        let life = self.ear.listening(link, || self.worker.live(connection));
        let life = awake(life, gate, clock);
        // A task of its own, so that a panic of it is its own too.
        let life = match self.neutral {
            true => spawn_local(restless(life, clock, Arc::clone(&self.seen))),
            false => spawn_local(async move {
                life.await;
                End::Returned
            }),
        };
        self.lives.spawn_local(async move { (name, lived(life).await) })
    }

    fn copy(&mut self, client: u32) -> Option<&mut Copy> {
        self.copies.iter_mut().find(|copy| copy.name.client == client)
    }

    /// When to wake up if nothing else happens.
    fn wake_us(&self) -> u64 {
        let now_us = self.scene.clock.now_us();
        // Far enough to be no limit, near enough for every timer.
        let mut wake = now_us.saturating_add(3_600_000_000);
        if let Some((late_us, ..)) = self.late.first() {
            wake = wake.min(*late_us);
        }
        if let Due::At(at_us) = self.schedule.due(now_us) {
            wake = wake.min(at_us);
        }
        for copy in &self.copies {
            if let State::Down { rises_us } = copy.state {
                wake = wake.min(rises_us);
            }
            if copy.still_us.is_some() {
                wake = wake.min(copy.gate.get());
            }
        }
        if self.said_us.is_some() {
            wake = wake.min(now_us.saturating_add(self.look_us()));
        }
        wake
    }

    fn look_us(&self) -> u64 {
        micros(self.scene.clock.of_machine(LOOK))
    }

    /// Wakes copies that have stood still for long enough, lets those rise that fell, and puts late submits on
    /// record.
    fn time_passes(&mut self) {
        let now_us = self.scene.clock.now_us();
        let is_rested = |copy: &&Copy| copy.still_us.is_some() && copy.gate.get() <= now_us;
        let is_risen =
            |copy: &&Copy| matches!(copy.state, State::Down { rises_us } if rises_us <= now_us);
        let rested: Vec<u32> =
            self.copies.iter().filter(is_rested).map(|copy| copy.name.client).collect();
        let risen: Vec<u32> =
            self.copies.iter().filter(is_risen).map(|copy| copy.name.client).collect();
        for client in rested {
            self.wake(client);
        }
        for client in risen {
            self.rise(client);
        }
        while self.late.first().is_some_and(|(late_us, ..)| *late_us <= now_us) {
            let Some((_, slot, operation)) = self.late.pop_first() else { break };
            self.scene.silent(&operation, slot.submit, DEADLINE);
            self.schedule.finished(slot);
        }
    }

    /// Sends what is due; where nobody is left to receive it, all of it, and says that nothing came of it.
    fn submit_due(&mut self) -> Result<(), RunError> {
        let now_us = self.scene.clock.now_us();
        let over = self.how_all_ended();
        let due_us = if over.is_some() { u64::MAX } else { now_us };
        while let Due::Now(slot) = self.schedule.due(due_us) {
            let operation = self.scene.operation(slot)?;
            self.scene.submitted(&operation, now_us);
            self.schedule.submitted(slot, now_us);
            self.slots.insert((Arc::clone(&operation.id), slot.submit), slot);
            let still_us = self.copies.iter().map(|copy| copy.gate.get()).min().unwrap_or(0);
            let late_us = self.scene.late_us(now_us);
            let late_us = late_us.saturating_add(still_us.saturating_sub(now_us));
            self.late.insert((late_us, slot, operation.id));
            if let Some(why) = over {
                self.give_up(why);
            }
        }
        if let Some(why) = over {
            self.give_up(why);
        }
        Ok(())
    }

    /// Nobody will receive what is left.
    fn give_up(&mut self, why: &str) {
        for (operation, submit) in self.scene.still_open() {
            self.scene.silent(&operation, submit, why);
        }
        for (_, slot, _) in std::mem::take(&mut self.late) {
            self.schedule.finished(slot);
        }
    }

    /// How the last copy ended, where none is left.
    fn how_all_ended(&self) -> Option<&'static str> {
        let mut over = self.copies.iter().map(|copy| match copy.state {
            State::Over(how) => Some(how),
            State::Alive(_) | State::Down { .. } => None,
        });
        over.try_fold(None, |_, how| how.map(Some)).flatten()
    }

    /// True when all is said, and no copy is at work any more on what it was handed: a message of which another
    /// copy came, one that it deleted before its work was done, or whatever it asked for and was not answered yet.
    fn is_over(&mut self) -> bool {
        if !self.schedule.is_over() {
            return false;
        }
        let now_us = self.scene.clock.now_us();
        let said_us = *self.said_us.get_or_insert(now_us);
        if self.how_all_ended().is_some() {
            return true;
        }
        self.owed.retain(|operation| !self.seen.is_done(operation));
        let until_us = said_us.saturating_add(micros(self.scene.drain));
        let is_owed = !self.owed.is_empty() || self.seen.waits();
        if now_us < said_us.saturating_add(self.look_us()) || (is_owed && now_us < until_us) {
            return false;
        }
        self.scene.hears_out_until_us(said_us).is_none()
    }

    /// What became of a message is what its client says of the operation.
    fn settle(&mut self, settled: &Settled) {
        self.vain = Vain::default();
        let statement = Statement::of_message(settled);
        if self.scene.claimed(&settled.operation, &statement) != Effect::First {
            return;
        }
        if statement.claim == Claim::Succeeded {
            self.owed.insert(Arc::clone(&settled.operation));
        }
        let slot = self.slots.get(&(Arc::clone(&settled.operation), settled.submit)).copied();
        if let Some(slot) = slot {
            self.schedule.finished(slot);
            self.late.retain(|(_, one, _)| *one != slot);
        }
    }

    /// A copy has come to an end of its own. Nobody starts it again.
    fn ended(&mut self, name: Name, end: End) -> Result<(), RunError> {
        let is_it = |copy: &&mut Copy| copy.name == name && matches!(copy.state, State::Alive(_));
        let Some(copy) = self.copies.iter_mut().find(is_it) else { return Ok(()) };
        let (how, code, words) = match end {
            End::Returned => ("the worker returned", RETURNED, None),
            End::Panicked(words) => ("the worker panicked", PANICKED, Some(words)),
            End::Restless => return Err(RunError::Restless { client: name.client }),
        };
        copy.state = State::Over(how);
        self.wake(name.client);
        if let Some(words) = words {
            self.scene.said("log", None, &hide(&self.hidden, words));
        }
        self.record_end(name.client, Some(code));
        Ok(())
    }

    fn record_start(&self, client: u32) {
        let started = ClientStarted { client, pid: 0, operation: None };
        self.scene.record(EventKind::ClientStarted(started));
    }

    fn record_end(&self, client: u32, code: Option<i32>) {
        self.scene.record(EventKind::ClientEnded(ClientEnded {
            client,
            pid: 0,
            code,
            signal: None,
            killed: code.is_none(),
            operation: None,
        }));
    }

    /// A copy wants to crash; another takes its place at once.
    fn crashed(&mut self, client: u32) -> Result<(), RunError> {
        let now_us = self.scene.clock.now_us();
        self.vain.crashed(now_us, client)?;
        self.fall(client, now_us);
        Ok(())
    }

    /// Something befalls the copy that asked; none where nobody knows which it was.
    fn strike(&mut self, strike: &ClientStrike) {
        let only = (self.copies.len() == 1).then_some(1);
        let Some(client) = strike.client.or(only) else { return };
        let now_us = self.scene.clock.now_us();
        match strike.does {
            ClientFault::Kill => {
                let wait = self.supervisor.wait_after(&strike.operation, strike.submit);
                self.fall(client, now_us.saturating_add(micros(wait)));
            }
            ClientFault::Pause { for_us } => self.pause(client, now_us, for_us),
        }
    }

    /// A copy is killed where it stands.
    fn fall(&mut self, client: u32, rises_us: u64) {
        self.wake(client);
        let Some(copy) = self.copy(client) else { return };
        let State::Alive(life) = &copy.state else { return };
        life.abort();
        copy.state = State::Down { rises_us };
        self.record_end(client, None);
    }

    /// A new copy takes the place of one that fell.
    fn rise(&mut self, client: u32) {
        let Some(copy) = self.copy(client) else { return };
        let name = Name { life: copy.name.life.saturating_add(1), ..copy.name };
        copy.name = name;
        copy.gate = Rc::default();
        let gate = Rc::clone(&copy.gate);
        self.record_start(client);
        let life = self.begin(name, &gate);
        if let Some(copy) = self.copy(client) {
            copy.state = State::Alive(life);
        }
    }

    /// A copy stands still. While it does, nobody is late: what it was handed waits for it.
    fn pause(&mut self, client: u32, now_us: u64, for_us: u64) {
        let Some(copy) = self.copy(client) else { return };
        if !matches!(copy.state, State::Alive(_)) {
            return;
        }
        let until_us = copy.gate.get().max(now_us.saturating_add(for_us));
        copy.gate.set(until_us);
        copy.still_us.get_or_insert(now_us);
        // While two stand still at once, that time is forgiven once.
        let before_us = self.stands_still_until_us.max(now_us);
        let more_us = until_us.saturating_sub(before_us);
        self.stands_still_until_us = until_us.max(before_us);
        let late = std::mem::take(&mut self.late);
        let later = |(us, slot, id): (u64, Slot, Arc<str>)| (us.saturating_add(more_us), slot, id);
        self.late.extend(late.into_iter().map(later));
    }

    /// A copy goes on, if it stands still.
    fn wake(&mut self, client: u32) {
        let now_us = self.scene.clock.now_us();
        let Some(copy) = self.copy(client) else { return };
        let Some(since_us) = copy.still_us.take() else { return };
        copy.gate.set(0);
        let for_us = now_us.saturating_sub(since_us);
        let paused = ClientPaused { client, pid: 0, for_us, operation: None };
        self.scene.record(EventKind::ClientPaused(paused));
    }

    fn wake_all(&mut self) {
        let all: Vec<u32> = self.copies.iter().map(|copy| copy.name.client).collect();
        for client in all {
            self.wake(client);
        }
    }
}

/// Waits for the end of a life; whatever ends this wait ends the life.
async fn lived(mut life: JoinHandle<End>) -> End {
    let _dropped = AbortOnDrop(life.abort_handle());
    match (&mut life).await {
        Ok(end) => end,
        Err(error) => End::Panicked(match error.try_into_panic() {
            Ok(panic) => panic_in_words(&*panic),
            Err(_) => "cancelled".to_owned(),
        }),
    }
}

/// A life in virtual time, which passes only while everybody waits: whoever never does would go on for ever at one
/// moment.
async fn restless(life: impl Future<Output = ()>, clock: Clock, seen: Arc<Seen>) -> End {
    let mut life = pin!(life);
    let look = move || (clock.now_us(), seen.moves());
    let (mut before, mut turns) = (look(), 0);
    poll_fn(move |context| {
        let now = look();
        turns = if now == before { turns + 1 } else { 0 };
        before = now;
        if turns > RESTLESS {
            return Poll::Ready(End::Restless);
        }
        life.as_mut().poll(context).map(|()| End::Returned)
    })
    .await
}

/// The next message that was settled.
async fn next(settled: &mut Option<UnboundedReceiver<Settled>>) -> Settled {
    if let Some(settled) = settled
        && let Some(one) = settled.recv().await
    {
        return one;
    }
    std::future::pending().await
}
