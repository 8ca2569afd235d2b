//! Http mode: the client is a service, which is asked for operations by requests and answers for them.
//!
//! A service that the harness started (or built, in this process) is started again when it is killed; what was
//! outstanding is then sent once more.
//!
//! **Invariant:** a status that the scenario lists is the service's claim; everything else that can happen to
//! a request is the driver's `unknown`. Whatever the service does, every operation is over at its deadline.

mod ask;
mod host;
mod place;
mod post;
mod reach;
#[cfg(feature = "service")]
mod router;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::{Claim, ClockKind};
use brownout_provider::exchange::{ClientFault, ClientStrike, Settled};
use brownout_provider::seed::Seed;
use brownout_provider::units::micros;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::task::{AbortHandle, JoinHandle, JoinSet, spawn_local};

use self::ask::{Asking, DEADLINE, Heard, LOOK_WITHIN, Memory, UNANSWERED, in_time, undecided};
use self::host::{InProcess, Inside, Time};
use self::reach::Reach;
use super::claims::Statement;
use super::connection::{Door, Link};
use super::in_process::{AbortOnDrop, Vain, awake, panic_in_words};
use super::process::{Launcher, Notice};
use super::scene::{Scene, end_in_words};
use super::schedule::{Due, Schedule, Slot};
use super::seen::Seen;
use super::strikes::{Strikes, Supervisor};
use crate::operation::Operation;
use crate::run::RunError;
use crate::scenario::http::{Ask, Http, Ready, trace_of};

use host::Host;

pub use host::ServiceFactory;
pub use place::{NoPlace, Place};
pub use post::{Post, Posted};
pub use reach::{InProcessService, Served};
#[cfg(feature = "service")]
pub use router::Routers;

/// How long to wait before it is looked again whether a service is ready.
const LOOK: Duration = Duration::from_millis(20);

/// How long a program has to end after its connection did, for that to be told as the cause.
const LAST_WORD: Duration = Duration::from_millis(100);

/// How long nothing may have happened at the provider before a service is taken to be done, where all that it
/// asked for was answered with success.
const QUIET: Duration = Duration::from_millis(200);

/// The same where it was not, so that it may still try again.
const UNSETTLED: Duration = Duration::from_secs(2);

/// What a service is asked, and what befalls it.
pub struct Part<'a> {
    /// How it is called.
    pub http: &'a Arc<Http>,
    /// What befalls it.
    pub strikes: Strikes,
    /// What is seen of its requests to the provider.
    pub seen: &'a Seen,
    /// The webhooks that the provider sends.
    pub post: UnboundedReceiver<Posted>,
    /// Whether the provider has nothing more to do or to send.
    pub is_idle: &'a (dyn Fn() -> bool + Sync),
    /// Told when the run ends although the service is there and is still owed something.
    pub cut: &'a (dyn Fn() + Sync),
    /// How long the service may go on after its last answer.
    pub drain: Duration,
    /// How long the provider may have something to do or to send after that.
    pub pending: Duration,
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("http", &self.http).finish_non_exhaustive()
    }
}

/// Drives a service that a command starts, at a free port or at `fixed`.
///
/// # Errors
///
/// When it cannot be started or an operation not be rendered.
pub async fn drive_program(
    scene: &Arc<Scene>,
    part: Part<'_>,
    schedule: impl FnOnce() -> Schedule,
    fixed: Option<Place>,
    (launcher, notices): (&mut Launcher, &mut Receiver<Notice>),
) -> Result<(), RunError> {
    let place =
        fixed.clone().unwrap_or(Place { host: String::new(), port: 0, base: String::new() });
    let host = Host::Program { launcher, process: None, fixed, place };
    drive(scene, part, schedule, host, Heeded { notices: Some(notices), crashes: None }).await
}

/// Drives a service that runs already.
///
/// # Errors
///
/// When it is not there, or an operation cannot be rendered.
pub async fn drive_target(
    scene: &Arc<Scene>,
    part: Part<'_>,
    schedule: impl FnOnce() -> Schedule,
    place: Place,
) -> Result<(), RunError> {
    let heeded = Heeded { notices: None, crashes: None };
    drive(scene, part, schedule, Host::Target(place), heeded).await
}

/// Drives a service in this process, which reaches the providers through these doors. Must run inside a
/// [`tokio::task::LocalSet`].
///
/// # Errors
///
/// When an operation cannot be rendered.
pub async fn drive_in_process(
    scene: &Arc<Scene>,
    part: Part<'_>,
    schedule: impl FnOnce() -> Schedule,
    factory: &dyn ServiceFactory,
    (doors, clock): (Vec<Door>, ClockKind),
) -> Result<(), RunError> {
    let (host, mut crashes) = InProcess::new(scene, factory, doors, clock);
    let heeded = Heeded { notices: None, crashes: Some(&mut crashes) };
    drive(scene, part, schedule, Host::InProcess(host), heeded).await
}

/// What a driver listens to beside the provider.
struct Heeded<'a> {
    notices: Option<&'a mut Receiver<Notice>>,
    crashes: Option<&'a mut UnboundedReceiver<u32>>,
}

async fn drive(
    scene: &Arc<Scene>,
    part: Part<'_>,
    schedule: impl FnOnce() -> Schedule,
    host: Host<'_>,
    mut heeded: Heeded<'_>,
) -> Result<(), RunError> {
    let Part { http, mut strikes, seen, post, is_idle, cut, drain, pending } = part;
    let mut driver = Driver {
        scene,
        http,
        settled: if scene.delivers { strikes.take_settled() } else { None },
        strikes,
        post,
        parcels: JoinSet::new(),
        host,
        supervisor: Supervisor::default(),
        schedule: None,
        state: State::Down { wait: Duration::ZERO, rises_us: Some(0) },
        rises: Time::First,
        paused_us: None,
        asks: JoinSet::new(),
        looking: JoinSet::new(),
        running: BTreeMap::new(),
        again: VecDeque::new(),
        vain: Vain::default(),
        done: 0,
    };
    let mut result = driver.run(schedule, &mut heeded).await;
    if result.is_ok() && !scene.stop.is_stopped() {
        result = driver.settle((seen, is_idle), (drain, pending), &mut heeded).await;
        if !matches!(driver.state, State::Gone(_)) && !is_idle() {
            cut();
        }
    }
    driver.end(&mut heeded).await;
    result
}

/// What the service is like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It does not run. It is started so long after its end; `rises_us` is `None` until that is known.
    Down { wait: Duration, rises_us: Option<u64> },
    /// It was started, and does not say yet that it is ready.
    Rising,
    /// It serves.
    Up,
    /// It is gone for good; why.
    Gone(String),
}

/// A submit that the service works on.
struct Running {
    id: Arc<str>,
    late_us: Rc<Cell<u64>>,
    memory: Memory,
    task: AbortHandle,
}

/// A submit that is to be sent again.
struct Again {
    slot: Slot,
    id: Arc<str>,
    late_us: Rc<Cell<u64>>,
    memory: Memory,
}

struct Driver<'a> {
    scene: &'a Arc<Scene>,
    http: &'a Arc<Http>,
    strikes: Strikes,
    /// What becomes of operations that are events; `None` where they are requests.
    settled: Option<UnboundedReceiver<Settled>>,
    host: Host<'a>,
    supervisor: Supervisor,
    /// `None` until the service was ready for the first time.
    schedule: Option<Schedule>,
    state: State,
    rises: Time,
    /// While the service stands still: since when, and until when.
    paused_us: Option<(u64, u64)>,
    asks: JoinSet<(Slot, Heard)>,
    /// Looks whether the service is ready.
    looking: JoinSet<Result<(), String>>,
    /// Webhooks, and those that are on their way to the service.
    post: UnboundedReceiver<Posted>,
    parcels: JoinSet<()>,
    running: BTreeMap<Slot, Running>,
    again: VecDeque<Again>,
    vain: Vain,
    /// How often success was claimed.
    done: usize,
}

/// What happens next.
enum Step {
    Stopped,
    Heard(Slot, Heard),
    Ready(Result<(), String>),
    Strike(ClientStrike),
    Settled(Settled),
    Notice(Option<Notice>),
    Crash(u32),
    Posted(Posted),
    Time,
}

impl<'a> Driver<'a> {
    /// Asks for operations until all is said, nobody can be asked any more, or the run is stopped.
    async fn run(
        &mut self,
        schedule: impl FnOnce() -> Schedule,
        heeded: &mut Heeded<'_>,
    ) -> Result<(), RunError> {
        let mut schedule = Some(schedule);
        loop {
            if let State::Up | State::Gone(_) = self.state
                && let Some(schedule) = schedule.take()
            {
                self.schedule = Some(schedule());
            }
            if let State::Gone(why) = self.state.clone() {
                return self.give_up(&why);
            }
            self.time_passes()?;
            self.submit_due()?;
            if self.schedule.as_ref().is_some_and(Schedule::is_over) {
                return Ok(());
            }
            let wake_us = self.wake_us();
            match self.next(heeded, wake_us).await {
                Step::Stopped | Step::Notice(None) => return Ok(()),
                Step::Heard(slot, heard) => self.heard(slot, heard),
                Step::Ready(ready) => self.ready(ready)?,
                Step::Strike(strike) => self.strike(&strike),
                Step::Settled(settled) => self.answered(&settled),
                Step::Notice(Some(notice)) => self.notice(notice),
                Step::Crash(client) => self.crash(client)?,
                Step::Posted(posted) => self.pass_on(posted),
                Step::Time => {}
            }
        }
    }

    async fn next(&mut self, heeded: &mut Heeded<'_>, wake_us: u64) -> Step {
        tokio::select! {
            biased;
            () = self.scene.stop.stopped() => Step::Stopped,
            // What was cancelled says nothing, and must not keep the others waiting.
            Some(joined) = self.asks.join_next() => {
                joined.map_or(Step::Time, |(slot, heard)| Step::Heard(slot, heard))
            }
            Some(joined) = self.looking.join_next() => joined.map_or(Step::Time, Step::Ready),
            strike = self.strikes.next() => Step::Strike(strike),
            settled = settled(self.settled.as_mut()) => Step::Settled(settled),
            Some(posted) = self.post.recv() => Step::Posted(posted),
            Some(_) = self.parcels.join_next() => Step::Time,
            client = crashed(heeded.crashes.as_deref_mut()) => Step::Crash(client),
            notice = noticed(heeded.notices.as_deref_mut()) => Step::Notice(notice),
            () = self.scene.clock.sleep_until_us(wake_us) => Step::Time,
        }
    }

    /// When to wake up if nothing else happens.
    fn wake_us(&self) -> u64 {
        let now_us = self.scene.clock.now_us();
        // Far enough to be no limit, near enough for every timer.
        let mut wake = now_us.saturating_add(3_600_000_000);
        if let State::Down { rises_us: Some(rises_us), .. } = self.state {
            wake = wake.min(rises_us);
        }
        if let Some((_, until_us)) = self.paused_us {
            wake = wake.min(until_us);
        }
        for again in &self.again {
            wake = wake.min(again.late_us.get());
        }
        if let (State::Up, Some(schedule)) = (&self.state, &self.schedule)
            && let Due::At(at_us) = schedule.due(now_us)
        {
            wake = wake.min(at_us);
        }
        wake
    }

    /// Starts a service that is to rise, lets one go on that stood still, and gives up what is late.
    fn time_passes(&mut self) -> Result<(), RunError> {
        let now_us = self.scene.clock.now_us();
        if self.paused_us.is_some_and(|(_, until_us)| until_us <= now_us) {
            self.go_on();
        }
        for again in std::mem::take(&mut self.again) {
            if again.late_us.get() <= now_us {
                let heard = undecided(again.memory.borrow().as_ref(), DEADLINE);
                self.conclude(again.slot, &again.id, heard);
            } else {
                self.again.push_back(again);
            }
        }
        if let State::Down { rises_us: Some(rises_us), .. } = self.state
            && rises_us <= now_us
        {
            self.host.rise(self.scene, self.rises)?;
            self.rises = Time::Again;
            self.state = State::Rising;
            let clock = self.scene.clock;
            let (ready, reach) = (self.http.ready.clone(), self.host.reach());
            let within = match self.host {
                Host::Program { .. } => clock.of_machine(ready.within),
                Host::Target(_) | Host::InProcess(_) => ready.within,
            };
            self.looking.spawn_local(async move {
                let last = Rc::new(std::cell::RefCell::new(String::new()));
                let looks = looks(&reach, &ready, clock, Rc::clone(&last));
                clock.within(within, looks).await.ok_or_else(|| last.borrow().clone())
            });
        }
        Ok(())
    }

    /// It was looked whether the service is ready.
    fn ready(&mut self, ready: Result<(), String>) -> Result<(), RunError> {
        let Err(last) = ready else {
            self.state = State::Up;
            return Ok(());
        };
        let within = self.http.ready.within;
        let path = self.http.ready.path.as_ref().map(ToString::to_string);
        if let Host::Target(place) = &self.host {
            return Err(RunError::NoService { place: place.to_string(), path, within, last });
        }
        let what = path.map_or_else(
            || "take a connection".to_owned(),
            |path| format!("answer `GET {path}` with 2xx"),
        );
        let whence = match &self.host {
            Host::Program { fixed: None, .. } => " at the port in `PORT`",
            Host::Program { .. } | Host::Target(_) | Host::InProcess(_) => "",
        };
        let within = brownout_provider::units::in_words(micros(within));
        let last = if last.is_empty() { last } else { format!(" ({last})") };
        self.state =
            State::Gone(format!("the service did not {what}{whence} within {within}{last}"));
        Ok(())
    }

    /// Sends what is due, as long as there is somebody to send it to.
    fn submit_due(&mut self) -> Result<(), RunError> {
        if self.state != State::Up {
            return Ok(());
        }
        while let Some(Again { slot, late_us, memory, .. }) = self.again.pop_front() {
            let operation = self.scene.operation(slot)?;
            self.begin(slot, operation, late_us, memory)?;
        }
        let now_us = self.scene.clock.now_us();
        while let Some(Due::Now(slot)) = self.schedule.as_ref().map(|one| one.due(now_us)) {
            let operation = self.scene.operation(slot)?;
            self.submit(slot, &operation);
            let paused_us =
                self.paused_us.map_or(0, |(_, until_us)| until_us.saturating_sub(now_us));
            let late_us = self.scene.late_us(now_us).saturating_add(paused_us);
            self.begin(slot, operation, Rc::new(Cell::new(late_us)), Memory::default())?;
        }
        Ok(())
    }

    fn submit(&mut self, slot: Slot, operation: &Operation) {
        let now_us = self.scene.clock.now_us();
        self.scene.submitted(operation, now_us);
        if let Some(schedule) = &mut self.schedule {
            schedule.submitted(slot, now_us);
        }
    }

    fn begin(
        &mut self,
        slot: Slot,
        operation: Operation,
        late_us: Rc<Cell<u64>>,
        memory: Memory,
    ) -> Result<(), RunError> {
        let id = Arc::clone(&operation.id);
        if self.scene.delivers {
            // The provider tells the service of it; here is only waited until it is late.
            let (clock, kept) = (self.scene.clock, Rc::clone(&late_us));
            let task = self.asks.spawn_local(async move {
                while late_us.get() > clock.now_us() {
                    clock.sleep_until_us(late_us.get()).await;
                }
                (slot, Heard::Nothing(DEADLINE.to_owned()))
            });
            self.running.insert(slot, Running { id, late_us: kept, memory, task });
            return Ok(());
        }
        let seed = Seed::new(self.scene.seed).unwrap_or_default();
        let trace = trace_of(seed, &operation);
        let first: Ask = self.http.ask(&operation, trace).map_err(|error| RunError::Template {
            what: "the request to the service".to_owned(),
            reason: error.to_string(),
        })?;
        let asking = Asking {
            http: Arc::clone(self.http),
            operation,
            first,
            trace,
            memory: Rc::clone(&memory),
            reach: self.host.reach(),
            clock: self.scene.clock,
        };
        let work = in_time(asking, Rc::clone(&late_us));
        let task = match self.host.inside(Some(&id)) {
            None => {
                let clock = self.scene.clock;
                let may_end = matches!(self.host, Host::Program { .. });
                self.asks.spawn_local(async move {
                    let heard = work.await;
                    if may_end && matches!(heard, Heard::Cut(_)) {
                        // A program that dies closes its connections first; its end says more than theirs.
                        clock.sleep(clock.of_machine(LAST_WORD)).await;
                    }
                    (slot, heard)
                })
            }
            Some(Inside { link, gate, ear }) => {
                let clock = self.scene.clock;
                let hears = Arc::clone(&link);
                let work = awake(ear.listening(link, || work), gate, clock);
                // A task of its own, so that a panic of the service is its own too.
                let work = spawn_local(work);
                self.asks.spawn_local(async move { (slot, guarded(work, &*hears).await) })
            }
        };
        self.running.insert(slot, Running { id, late_us, memory, task });
        Ok(())
    }

    /// What came of a submit.
    fn heard(&mut self, slot: Slot, heard: Heard) {
        if let Some(running) = self.running.remove(&slot) {
            self.vain = Vain::default();
            self.conclude(slot, &running.id, heard);
        }
    }

    fn conclude(&mut self, slot: Slot, id: &Arc<str>, heard: Heard) {
        match heard {
            Heard::Said { claim, degraded, detail } => {
                self.done += usize::from(claim == Claim::Succeeded);
                let statement = Statement {
                    operation: None,
                    submit: slot.submit,
                    claim,
                    degraded,
                    detail: self.host.plain(detail),
                    provider: None,
                };
                self.scene.claimed(id, &statement);
            }
            Heard::Cut(why) | Heard::Nothing(why) => {
                self.scene.silent(id, slot.submit, &self.host.plain(why));
            }
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.finished(slot);
        }
    }

    /// A line of the program, or its end.
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Line { stream, text, .. } => self.scene.said(stream, None, &text),
            Notice::Ended { end, .. } => {
                self.host.ended(self.scene, end);
                if let State::Down { wait, rises_us } = &mut self.state {
                    let now_us = self.scene.clock.now_us();
                    *rises_us = Some(now_us.saturating_add(micros(*wait)));
                } else {
                    let how = end_in_words(end);
                    self.state = State::Gone(match self.state {
                        State::Rising => format!("the service was never ready: {how}"),
                        State::Down { .. } | State::Up | State::Gone(_) => how,
                    });
                }
            }
        }
    }

    /// An event was answered with 2xx, which says that it was handled, or is not told of any more.
    fn answered(&mut self, settled: &Settled) {
        let is_it =
            |slot: &Slot, id: &Arc<str>| *id == settled.operation && slot.submit == settled.submit;
        let running =
            self.running.iter().find(|(slot, one)| is_it(slot, &one.id)).map(|(slot, _)| *slot);
        let slot = match running {
            Some(slot) => {
                if let Some(running) = self.running.remove(&slot) {
                    running.task.abort();
                }
                Some(slot)
            }
            None => {
                let at = self.again.iter().position(|one| is_it(&one.slot, &one.id));
                at.and_then(|at| self.again.remove(at)).map(|one| one.slot)
            }
        };
        let Some(slot) = slot else { return };
        let heard = match settled.done {
            true => Heard::Said {
                claim: Claim::Succeeded,
                degraded: false,
                detail: "answered its event with 2xx".to_owned(),
            },
            false => Heard::Nothing("its event was never answered with 2xx".to_owned()),
        };
        self.conclude(slot, &settled.operation, heard);
    }

    /// A webhook is on its way to the service.
    fn pass_on(&mut self, posted: Posted) {
        let Posted { parcel, answer } = posted;
        let path = self.http.webhooks.clone().filter(|_| self.state == State::Up);
        let Some(path) = path else {
            // Nobody waits for it any more where it cannot be told.
            let _ = answer.send(Err("the service is not there".to_owned()));
            return;
        };
        let (reach, clock) = (self.host.reach(), self.scene.clock);
        let work = async move { reach.post(&path, &parcel, clock).await };
        let work: Pin<Box<dyn Future<Output = Result<u16, String>>>> = match self.host.inside(None)
        {
            None => Box::pin(work),
            Some(Inside { link, gate, ear }) => {
                Box::pin(awake(ear.listening(link, || work), gate, clock))
            }
        };
        self.parcels.spawn_local(async move {
            // Nobody waits for it any more where it cannot be told.
            let _ = answer.send(work.await);
        });
    }

    /// Something befalls the service, if it is there.
    fn strike(&mut self, strike: &ClientStrike) {
        if !matches!(self.state, State::Up | State::Rising) {
            return;
        }
        match strike.does {
            ClientFault::Kill => {
                let wait = self.supervisor.wait_after(&strike.operation, strike.submit);
                self.fall(wait);
            }
            ClientFault::Pause { for_us } => self.pause(for_us),
        }
    }

    /// The service in this process wants to crash; it is built again at once.
    fn crash(&mut self, client: u32) -> Result<(), RunError> {
        self.vain.crashed(self.scene.clock.now_us(), client)?;
        if matches!(self.state, State::Up | State::Rising) {
            self.fall(Duration::ZERO);
        }
        Ok(())
    }

    /// The service is killed; what it worked on is sent again when it has risen.
    fn fall(&mut self, wait: Duration) {
        self.go_on();
        self.looking = JoinSet::new();
        self.parcels = JoinSet::new();
        for (slot, running) in std::mem::take(&mut self.running) {
            running.task.abort();
            let Running { id, late_us, memory, .. } = running;
            self.again.push_back(Again { slot, id, late_us, memory });
        }
        let is_heard_of = self.host.kill(self.scene);
        let at_us = self.scene.clock.now_us().saturating_add(micros(wait));
        let rises_us = if is_heard_of { None } else { Some(at_us) };
        self.state = State::Down { wait, rises_us };
    }

    /// Stops the service; the time that it stands still counts for nobody.
    fn pause(&mut self, for_us: u64) {
        let now_us = self.scene.clock.now_us();
        let (since_us, before_us) = self.paused_us.unwrap_or((now_us, now_us));
        let until_us = before_us.max(now_us.saturating_add(for_us));
        let more_us = until_us.saturating_sub(before_us);
        self.paused_us = Some((since_us, until_us));
        for running in self.running.values() {
            running.late_us.set(running.late_us.get().saturating_add(more_us));
        }
        self.host.pause(until_us);
    }

    /// Lets the service go on, if it stands still.
    fn go_on(&mut self) {
        let Some((since_us, _)) = self.paused_us.take() else { return };
        let now_us = self.scene.clock.now_us();
        self.host.go_on(self.scene, now_us.saturating_sub(since_us));
    }

    /// Nobody will work on what is left: puts every submit without a claim on record, also those that were
    /// never sent, because the caller wanted them done.
    fn give_up(&mut self, why: &str) -> Result<(), RunError> {
        let running = std::mem::take(&mut self.running);
        let running = running.into_iter().map(|(slot, one)| (slot, one.id, one.memory));
        let again = std::mem::take(&mut self.again);
        let again = again.into_iter().map(|one| (one.slot, one.id, one.memory));
        let open: Vec<_> = running.chain(again).collect();
        for (slot, id, memory) in open {
            let heard = undecided(memory.borrow().as_ref(), why);
            self.conclude(slot, &id, heard);
        }
        self.asks = JoinSet::new();
        // The rest arrives at once: waiting for its time would change nothing.
        while let Some(Due::Now(slot)) = self.schedule.as_ref().map(|one| one.due(u64::MAX)) {
            let operation = self.scene.operation(slot)?;
            self.submit(slot, &operation);
            self.conclude(slot, &operation.id, Heard::Nothing(why.to_owned()));
        }
        Ok(())
    }

    /// Lets the service finish what it does after its last answer, as far as the provider sees any of it. Where
    /// the last word of the provider was a failure, or it was never asked, the service may be about to ask.
    async fn settle(
        &mut self,
        (seen, is_idle): (&Seen, &(dyn Fn() -> bool + Sync)),
        (drain, pending): (Duration, Duration),
        heeded: &mut Heeded<'_>,
    ) -> Result<(), RunError> {
        let clock = self.scene.clock;
        let since_us = clock.now_us();
        let end_us = since_us.saturating_add(micros(drain));
        let last_us = since_us.saturating_add(micros(pending));
        let asked = self.schedule.as_ref().map_or(0, Schedule::submits);
        while !matches!(self.state, State::Gone(_)) {
            // It may still be killed, and is there again for what is sent to it later.
            self.time_passes()?;
            let now_us = clock.now_us();
            let is_settled = seen.settled() >= asked;
            // Whoever says that it has taken an event may work on it behind its answer.
            let is_owed = self.scene.delivers && seen.settled() < self.done;
            let quiet = match () {
                () if is_settled => clock.of_machine(QUIET),
                () if is_owed => drain,
                () => UNSETTLED,
            };
            let quiet_us = micros(quiet);
            let quiet_at_us = seen.last_us().max(since_us).saturating_add(quiet_us);
            let is_pending = !is_idle() && now_us < last_us;
            let is_busy = seen.waits() || is_pending || self.state != State::Up;
            if (now_us >= end_us && !is_pending) || (now_us >= quiet_at_us && !is_busy) {
                return Ok(());
            }
            // The longer it takes, the more rarely it is looked: it may wait for hours of virtual time.
            let look_us = quiet_us.max(now_us.saturating_sub(since_us) / 16);
            let wake_us = if is_busy { now_us.saturating_add(look_us) } else { quiet_at_us };
            let wake_us = if now_us < end_us { wake_us.min(end_us) } else { wake_us };
            let wake_us = wake_us.min(self.wake_us()).max(now_us);
            match self.next(heeded, wake_us).await {
                Step::Stopped | Step::Notice(None) => return Ok(()),
                Step::Ready(ready) => self.ready(ready)?,
                Step::Strike(strike) => self.strike(&strike),
                Step::Notice(Some(notice)) => self.notice(notice),
                Step::Crash(client) => self.crash(client)?,
                Step::Posted(posted) => self.pass_on(posted),
                Step::Heard(..) | Step::Settled(_) | Step::Time => {}
            }
        }
        Ok(())
    }

    /// Ends the service if it still runs, and hears it out.
    async fn end(&mut self, heeded: &mut Heeded<'_>) {
        self.go_on();
        self.asks = JoinSet::new();
        self.looking = JoinSet::new();
        self.parcels = JoinSet::new();
        if !self.host.end() {
            return;
        }
        // The end comes within a bound of its own, whatever the program does.
        while let Some(notice) = noticed(heeded.notices.as_deref_mut()).await {
            let is_end = matches!(notice, Notice::Ended { .. });
            self.notice(notice);
            if is_end {
                break;
            }
        }
        let why = match &self.state {
            State::Gone(why) => why.clone(),
            State::Down { .. } | State::Rising | State::Up => "ended".to_owned(),
        };
        for (operation, submit) in self.scene.still_open() {
            self.scene.silent(&operation, submit, &why);
        }
    }
}

/// The next event that is settled; waits for ever where operations are no events.
async fn settled(settled: Option<&mut UnboundedReceiver<Settled>>) -> Settled {
    if let Some(settled) = settled
        && let Some(one) = settled.recv().await
    {
        return one;
    }
    pending().await
}

/// Waits for what a service in this process says; one that panics cuts its connection.
async fn guarded(mut work: JoinHandle<Heard>, hears: &dyn Link) -> Heard {
    let _dropped = AbortOnDrop(work.abort_handle());
    match (&mut work).await {
        Ok(heard) => heard,
        Err(error) => {
            let words = error.try_into_panic().map(|panic| panic_in_words(&*panic));
            hears.log(&words.unwrap_or_else(|_| "cancelled".to_owned()));
            Heard::Nothing("the service panicked".to_owned())
        }
    }
}

/// Looks again and again, until the service says that it is ready. What was seen last stands in `last`.
async fn looks(
    reach: &Reach,
    ready: &Ready,
    clock: brownout_provider::shell::clock::Clock,
    last: Rc<std::cell::RefCell<String>>,
) {
    let ask = ready.path.as_ref().map(|path| Ask {
        method: http::Method::GET,
        path: path.clone(),
        headers: http::HeaderMap::new(),
        body: Vec::new(),
    });
    loop {
        let look = async {
            match &ask {
                None => reach.connects().await,
                Some(ask) => match reach.send(ask).await {
                    Ok(answer) if answer.status.is_success() => Ok(()),
                    Ok(answer) => Err(format!("it answered {}", answer.status.as_u16())),
                    Err(why) => Err(why),
                },
            }
        };
        let looked = clock.within(clock.of_machine(LOOK_WITHIN), look).await;
        match looked.unwrap_or_else(|| Err(UNANSWERED.to_owned())) {
            Ok(()) => return,
            Err(why) => *last.borrow_mut() = why,
        }
        clock.sleep(clock.of_machine(LOOK)).await;
    }
}

async fn noticed(notices: Option<&mut Receiver<Notice>>) -> Option<Notice> {
    match notices {
        Some(notices) => notices.recv().await,
        None => pending().await,
    }
}

async fn crashed(crashes: Option<&mut UnboundedReceiver<u32>>) -> u32 {
    match crashes {
        Some(crashes) => match crashes.recv().await {
            Some(client) => client,
            None => pending().await,
        },
        None => pending().await,
    }
}
