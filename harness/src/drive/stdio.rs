//! Stdio mode: long-lived copies of a program, one unless the scenario says more, that read operations
//! from their standard input, a JSON line each, and answer with a JSON line each; or that receive operations
//! as messages of a queue, where what becomes of a message is the claim.
//!
//! **Invariant:** an operation's clock starts when its whole line is in the pipe; a late operation is on
//! record as silent and ends nothing but itself.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use brownout_provider::event::DEADLINE;
use brownout_provider::exchange::{ClientFault, ClientStrike, Settled};
use brownout_provider::units::micros;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};

use super::claims::{Effect, Statement};
use super::fleet::{Fleet, copy_for};
use super::process::{End, Input, Launcher, Notice, Process, waiting};
use super::scene::{Scene, end_in_words};
use super::schedule::{Due, Schedule, Slot};
use super::strikes::{Strikes, Supervisor};
use crate::operation::Operation;
use crate::run::RunError;

/// How long a program has to end after its standard input was closed.
const EXIT_WITHIN: Duration = Duration::from_secs(5);

/// How long a program may live on after it closed its standard input, before what it can no longer be
/// handed is given up. One that is about to end is given the time to say how.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// How often it is looked whether a worker is still at work on what it was handed.
const LOOK: Duration = Duration::from_millis(50);

/// Why a submit got no claim when the client leaves its standard input unread.
const UNREAD: &str = "the client does not read its standard input";

/// Why a submit got no claim when the client has closed its standard input.
const CLOSED: &str = "the client has closed its standard input";

/// A copy of the client: what starts it, and what is heard of it.
pub type Program = (Launcher, Receiver<Notice>);

/// Drives copies of a program through a schedule, which they share.
///
/// # Errors
///
/// When a program cannot be started or an operation not be rendered.
pub async fn drive(
    scene: &Scene,
    schedule: Schedule,
    programs: Vec<Program>,
    mut strikes: Strikes,
) -> Result<(), RunError> {
    let mut settled = if scene.delivers { strikes.take_settled() } else { None };
    let fleet = Fleet::new(schedule, u32::try_from(programs.len()).unwrap_or(u32::MAX));
    let (own, hand_over) = fleet.strikes(strikes, scene.delivers);
    let copies = programs.into_iter().zip(own).zip(1..);
    let copies = copies.map(|((program, strikes), client)| -> Work<'_> {
        // What becomes of messages is the same for all; one copy's driver hears of it.
        let settled = settled.take();
        Box::pin(one(scene, (&fleet, client), program, (strikes, settled)))
    });
    let copies = copies.collect();
    tokio::select! {
        biased;
        () = hand_over => Ok(()),
        result = all(scene, copies) => result,
    }
}

/// The work of a driver of one copy.
type Work<'a> = Pin<Box<dyn Future<Output = Result<(), RunError>> + 'a>>;

/// Waits for all of them. Where one cannot go on, the others are stopped.
async fn all(scene: &Scene, mut works: Vec<Work<'_>>) -> Result<(), RunError> {
    let mut result = Ok(());
    poll_fn(|context| {
        works.retain_mut(|work| match work.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) => {
                scene.stop.stop();
                if result.is_ok() {
                    result = Err(error);
                }
                false
            }
        });
        if works.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    result
}

/// Drives one copy of the program.
async fn one(
    scene: &Scene,
    (fleet, client): (&Fleet, u32),
    (mut launcher, mut notices): Program,
    (strikes, settled): (Strikes, Option<UnboundedReceiver<Settled>>),
) -> Result<(), RunError> {
    let mut process = launcher.start(client, &scene.environment(client, None)?, input(scene))?;
    scene.started(&process, None);
    let stdin = process.stdin.take();
    let mut driver = Driver {
        scene,
        fleet,
        client,
        launcher,
        strikes,
        settled,
        supervisor: Supervisor::default(),
        process,
        ended: None,
        down: None,
        paused_us: None,
        again: VecDeque::new(),
        stdin,
        writing: None,
        late: BTreeSet::new(),
        said_us: None,
        closed_us: None,
        broken_us: None,
        hopeless: None,
    };
    let result = driver.run(&mut notices).await;
    driver.end(&mut notices).await;
    result
}

/// What a program has for its standard input.
fn input(scene: &Scene) -> Input {
    if scene.delivers { Input::Empty } else { Input::Pipe }
}

struct Driver<'a> {
    scene: &'a Scene,
    fleet: &'a Fleet,
    /// Which copy it is, from 1.
    client: u32,
    launcher: Launcher,
    strikes: Strikes,
    /// What becomes of operations that are messages; `None` where they are lines.
    settled: Option<UnboundedReceiver<Settled>>,
    supervisor: Supervisor,
    process: Process,
    /// How the program ended, once it has.
    ended: Option<String>,
    /// Set from the moment at which the program is killed until it is started again.
    down: Option<Down>,
    /// While the program stands still: since when, and until when.
    paused_us: Option<(u64, u64)>,
    /// What a program that was started again has still to be told once more.
    again: VecDeque<Slot>,
    /// `None` once it was closed, or the client has closed it.
    stdin: Option<pipe::Sender>,
    /// The line that is on its way.
    writing: Option<Writing>,
    /// When which submit is late.
    late: BTreeSet<(u64, Slot)>,
    /// When every submit had a claim, or was late.
    said_us: Option<u64>,
    /// When standard input was closed because all was said.
    closed_us: Option<u64>,
    /// When the client was found to have closed its standard input.
    broken_us: Option<u64>,
    /// Why nothing can be handed to the client any more.
    hopeless: Option<String>,
}

/// A program that was killed and is to be started again.
#[derive(Clone, Copy)]
struct Down {
    /// How long to wait after its end.
    wait: Duration,
    /// When it is started; `None` until its end is known.
    rises_us: Option<u64>,
}

struct Writing {
    slot: Slot,
    /// True for what an earlier program was told already.
    again: bool,
    operation: Operation,
    line: Vec<u8>,
    written: usize,
    began_us: u64,
}

/// What happens next.
enum Step {
    Stopped,
    Notice(Option<Notice>),
    Strike(ClientStrike),
    Settled(Settled),
    Writable,
    Changed,
    Time,
}

impl Driver<'_> {
    /// Hands out operations and takes claims until all is said, the program ends, or the run is stopped.
    async fn run(&mut self, notices: &mut Receiver<Notice>) -> Result<(), RunError> {
        loop {
            if self.wake_us() <= self.scene.clock.now_us() {
                // What was said in time is heard before anybody is late.
                waiting(notices).for_each(|notice| self.notice(notice));
                if self.time_passes()? {
                    return Ok(());
                }
            }
            if let Some(why) = self.ended.clone().filter(|_| self.is_nobody_left()) {
                self.give_up(&why)?;
                // What comes to its turn later finds nobody either.
                self.hopeless = Some(why);
            }
            self.submit_due()?;
            if self.ended.is_some() && self.fleet.is_over() {
                return Ok(());
            }
            let wake = self.wake_us();
            let step = tokio::select! {
                biased;
                () = self.scene.stop.stopped() => Step::Stopped,
                notice = notices.recv() => Step::Notice(notice),
                strike = self.strikes.next() => Step::Strike(strike),
                settled = next(&mut self.settled) => Step::Settled(settled),
                () = writable(self.stdin.as_ref().filter(|_| self.writing.is_some())) => Step::Writable,
                () = self.fleet.changed() => Step::Changed,
                () = self.scene.clock.sleep_until_us(wake) => Step::Time,
            };
            match step {
                Step::Stopped | Step::Notice(None) => return Ok(()),
                Step::Notice(Some(notice)) => self.notice(notice),
                // Another copy has begun or ended something: it may be this one's turn.
                Step::Changed | Step::Time => {}
                Step::Strike(strike) => self.strike(&strike),
                Step::Settled(settled) => self.settle(&settled),
                Step::Writable => self.write()?,
            }
        }
    }

    /// The program said something, or is gone.
    fn notice(&mut self, notice: Notice) {
        let end = match notice {
            Notice::Line { stream, text, .. } => return self.line(stream, &text),
            Notice::Ended { end, .. } => end,
        };
        self.scene.ended(&self.process, end, None);
        if let Some(down) = &mut self.down {
            let now_us = self.scene.clock.now_us();
            down.rises_us = Some(now_us.saturating_add(micros(down.wait)));
            return;
        }
        self.ended = Some(end_in_words(end));
        self.stdin = None;
        self.fleet.ended();
    }

    /// True when nobody works any more on what is this copy's own: its program ended, and where work reaches
    /// them all as messages those of all others.
    fn is_nobody_left(&self) -> bool {
        self.hopeless.is_none() && (!self.scene.delivers || self.fleet.has_ended())
    }

    /// A wait for what the program does, which goes no faster on a faster clock.
    fn of_machine_us(&self, duration: Duration) -> u64 {
        micros(self.scene.clock.of_machine(duration))
    }

    /// When to wake up if nothing else happens.
    fn wake_us(&self) -> u64 {
        let now_us = self.scene.clock.now_us();
        // Far enough to be no limit, near enough for every timer.
        let mut wake = now_us.saturating_add(3_600_000_000);
        if let Some((late_us, _)) = self.late.first() {
            wake = wake.min(*late_us);
        }
        if let Some(rises_us) = self.down.and_then(|down| down.rises_us) {
            wake = wake.min(rises_us);
        }
        if let Some((_, until_us)) = self.paused_us {
            wake = wake.min(until_us);
        }
        match &self.writing {
            Some(writing) => wake = wake.min(self.scene.late_us(writing.began_us)),
            None if self.broken_us.is_none() => {
                if let Due::At(at_us) = self.fleet.due(self.client, now_us) {
                    wake = wake.min(at_us);
                }
            }
            None => {}
        }
        if let Some(broken_us) = self.broken_us {
            wake = wake.min(broken_us.saturating_add(self.of_machine_us(CLOSED_WITHIN)));
        }
        if let Some(until_us) = self.said_us.and_then(|at_us| self.scene.reconciles_until_us(at_us))
            && self.closed_us.is_none()
        {
            wake = wake.min(until_us);
        }
        if let Some(until_us) = self.said_us.and_then(|at_us| self.scene.hears_out_until_us(at_us))
            && self.closed_us.is_none()
        {
            wake = wake.min(until_us).min(now_us.saturating_add(self.of_machine_us(LOOK)));
        }
        if let Some(closed_us) = self.closed_us {
            wake = wake.min(closed_us.saturating_add(self.of_machine_us(EXIT_WITHIN)));
        }
        wake
    }

    /// Writes lines as long as something is due, and closes standard input when all is said.
    fn submit_due(&mut self) -> Result<(), RunError> {
        if let Some(why) = self.hopeless.clone() {
            self.abandon_due(self.scene.clock.now_us(), &why)?;
        }
        self.keep_for_later()?;
        while self.writing.is_none() && self.stdin.is_some() {
            let now_us = self.scene.clock.now_us();
            let (slot, again) = match (self.again.pop_front(), self.fleet.due(self.client, now_us))
            {
                (Some(slot), _) => (slot, true),
                (None, Due::Now(slot)) => (slot, false),
                (None, Due::At(_) | Due::Blocked | Due::Done) => break,
            };
            let operation = self.scene.operation(slot)?;
            let mut line = serde_json::to_vec(&operation).map_err(|error| RunError::System {
                what: "write an operation as JSON",
                source: io::Error::from(error),
            })?;
            line.push(b'\n');
            self.writing =
                Some(Writing { slot, again, operation, line, written: 0, began_us: now_us });
            self.write()?;
        }
        if self.fleet.is_over() && self.closed_us.is_none() {
            let now_us = self.scene.clock.now_us();
            let said_us = *self.said_us.get_or_insert(now_us);
            // Who is expected to clear up what it does not know yet is left the time for it, and so is who may
            // be handed a message once more, or is at work on it although another has deleted it.
            if self.scene.reconciles_until_us(said_us).is_none()
                && self.scene.hears_out_until_us(said_us).is_none()
            {
                self.stdin = None;
                self.closed_us = Some(now_us);
                if self.scene.delivers && self.down.is_none() {
                    // Nothing tells it that there will be no more messages.
                    self.process.end();
                }
            }
        }
        Ok(())
    }

    /// While a copy of several is down, its turn is not to hold up the others: what is its own is told it when
    /// it is there again.
    fn keep_for_later(&mut self) -> Result<(), RunError> {
        while (self.scene.delivers || (self.down.is_some() && self.fleet.clients() > 1))
            && let Due::Now(slot) = self.fleet.due(self.client, self.scene.clock.now_us())
        {
            let operation = self.scene.operation(slot)?;
            self.submit(slot, &operation);
        }
        Ok(())
    }

    /// Writes what the pipe takes of the line on its way.
    fn write(&mut self) -> Result<(), RunError> {
        let (Some(stdin), Some(writing)) = (&self.stdin, &mut self.writing) else { return Ok(()) };
        while writing.written < writing.line.len() {
            match stdin.try_write(&writing.line[writing.written..]) {
                Ok(written) => writing.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.stdin = None;
                    self.writing = None;
                    self.broken_us = Some(self.scene.clock.now_us());
                    return Ok(());
                }
            }
        }
        if let Some(writing) = self.writing.take() {
            // Nothing else runs between the last byte and this record, so it stands before all that
            // the client makes of it.
            if !writing.again {
                self.submit(writing.slot, &writing.operation);
            }
        }
        Ok(())
    }

    fn submit(&mut self, slot: Slot, operation: &Operation) {
        let now_us = self.scene.clock.now_us();
        self.scene.submitted(operation, now_us);
        self.fleet.submitted(slot, &operation.id, now_us);
        let paused_us = self.paused_us.map_or(0, |(_, until_us)| until_us.saturating_sub(now_us));
        self.late.insert((self.scene.late_us(now_us).saturating_add(paused_us), slot));
    }

    /// A line of the client: a claim, or output.
    fn line(&mut self, stream: &'static str, text: &str) {
        let statement = if stream == "stdout" { Statement::from_stdio(text) } else { None };
        let taken = statement.is_some_and(|statement| self.claim(&statement));
        if !taken {
            self.scene.said(stream, None, text);
        }
    }

    /// True when the claim was taken.
    fn claim(&mut self, statement: &Statement) -> bool {
        let name = statement.operation.as_deref().unwrap_or_default();
        let operation: Arc<str> = Arc::from(name);
        match self.scene.claimed(&operation, statement) {
            Effect::Nothing => false,
            Effect::Replaces => true,
            Effect::First => {
                if let Some(slot) = self.fleet.slot(&operation, statement.submit) {
                    self.finished(slot);
                }
                true
            }
        }
    }

    /// What became of a message is what its client says of the operation.
    fn settle(&mut self, settled: &Settled) {
        self.fleet.look_again();
        self.claim(&Statement::of_message(settled));
    }

    fn finished(&mut self, slot: Slot) {
        self.fleet.finished(slot);
        self.late.retain(|(_, one)| *one != slot);
    }

    /// Puts late submits on record; true when the program has had its time to end.
    fn time_passes(&mut self) -> Result<bool, RunError> {
        let now_us = self.scene.clock.now_us();
        if self.paused_us.is_some_and(|(_, until_us)| until_us <= now_us) {
            self.go_on();
        }
        while let Some((late_us, slot)) = self.late.first().copied() {
            if late_us > now_us {
                break;
            }
            self.late.pop_first();
            let operation = self.scene.operation(slot)?;
            if self.scene.silent(&operation.id, slot.submit, DEADLINE) {
                self.fleet.finished(slot);
            }
        }
        if let Some(writing) = &self.writing
            && self.scene.late_us(writing.began_us) <= now_us
        {
            self.writing = None;
            self.stdin = None;
            self.hopeless = Some(UNREAD.to_owned());
        }
        let closed_us = self.of_machine_us(CLOSED_WITHIN);
        if self.broken_us.is_some_and(|broken_us| broken_us.saturating_add(closed_us) <= now_us) {
            self.broken_us = None;
            self.hopeless = Some(CLOSED.to_owned());
        }
        if let Some(rises_us) = self.down.and_then(|down| down.rises_us)
            && rises_us <= now_us
        {
            if self.closed_us.is_some() {
                return Ok(true);
            }
            self.rise()?;
        }
        let exit_us = self.of_machine_us(EXIT_WITHIN);
        Ok(self.closed_us.is_some_and(|closed_us| closed_us.saturating_add(exit_us) <= now_us))
    }

    /// Something befalls the program, if it is still there.
    fn strike(&mut self, strike: &ClientStrike) {
        if self.ended.is_some() || self.down.is_some() {
            return;
        }
        match strike.does {
            ClientFault::Kill => {
                self.go_on();
                let wait = self.supervisor.wait_after(&strike.operation, strike.submit);
                self.down = Some(Down { wait, rises_us: None });
                self.stdin = None;
                self.writing = None;
                self.broken_us = None;
                self.again.clear();
                self.process.kill();
            }
            ClientFault::Pause { for_us } => self.pause(for_us),
        }
    }

    /// Stops the program; the time that it stands still counts for nobody.
    fn pause(&mut self, for_us: u64) {
        let now_us = self.scene.clock.now_us();
        let (since_us, before_us) = self.paused_us.unwrap_or((now_us, now_us));
        let until_us = before_us.max(now_us.saturating_add(for_us));
        let more_us = until_us.saturating_sub(before_us);
        self.paused_us = Some((since_us, until_us));
        let late = std::mem::take(&mut self.late);
        self.late.extend(late.into_iter().map(|(us, slot)| (us.saturating_add(more_us), slot)));
        let began_us = self.writing.as_mut().map(|writing| &mut writing.began_us);
        let moments = [began_us, self.closed_us.as_mut(), self.broken_us.as_mut()];
        for moment in moments.into_iter().flatten() {
            *moment = moment.saturating_add(more_us);
        }
        self.process.pause();
    }

    /// Lets the program go on, if it stands still.
    fn go_on(&mut self) {
        let Some((since_us, _)) = self.paused_us.take() else { return };
        self.process.go_on();
        let now_us = self.scene.clock.now_us();
        self.scene.paused(&self.process, now_us.saturating_sub(since_us), None);
    }

    /// Starts the program again, and tells it everything that was outstanding.
    fn rise(&mut self) -> Result<(), RunError> {
        self.down = None;
        self.process = self.launcher.start(
            self.client,
            &self.scene.environment(self.client, None)?,
            input(self.scene),
        )?;
        self.scene.started(&self.process, None);
        self.stdin = self.process.stdin.take();
        self.again = self.still_open().into_iter().map(|(_, _, slot)| slot).collect();
        Ok(())
    }

    /// Nobody will work on what is left: puts every submit without a claim on record, also those that
    /// were never handed over, because the caller wanted them done.
    fn give_up(&mut self, why: &str) -> Result<(), RunError> {
        self.writing = None;
        for (operation, submit, slot) in self.still_open() {
            self.scene.silent(&operation, submit, why);
            self.finished(slot);
        }
        // The rest arrives at once: waiting for its time would change nothing.
        self.abandon_due(u64::MAX, why)
    }

    /// Puts submits that cannot be handed over on record, and that nothing came of them.
    fn abandon_due(&mut self, at_us: u64, why: &str) -> Result<(), RunError> {
        while let Due::Now(slot) = self.fleet.due(self.client, at_us) {
            let operation = self.scene.operation(slot)?;
            self.submit(slot, &operation);
            self.scene.silent(&operation.id, slot.submit, why);
            self.finished(slot);
        }
        Ok(())
    }

    /// Ends the program if it still runs, and hears it out.
    async fn end(&mut self, notices: &mut Receiver<Notice>) {
        self.stdin = None;
        self.go_on();
        let is_down = self.down.is_some_and(|down| down.rises_us.is_some());
        if self.ended.is_some() || is_down {
            return;
        }
        self.process.end();
        // The end comes within a bound of its own, whatever the program does.
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Line { stream, text, .. } => self.line(stream, &text),
                Notice::Ended { end, .. } => {
                    self.scene.ended(&self.process, end, None);
                    self.silence_the_rest(end);
                    return;
                }
            }
        }
    }

    /// What this copy was handed and has neither a claim nor was found silent.
    fn still_open(&self) -> Vec<(Arc<str>, u32, Slot)> {
        let open = self.scene.still_open().into_iter();
        open.filter_map(|(operation, submit)| {
            let slot = self.fleet.slot(&operation, submit)?;
            let is_own = copy_for(slot.index, self.fleet.clients()) == self.client;
            is_own.then_some((operation, submit, slot))
        })
        .collect()
    }

    fn silence_the_rest(&self, end: End) {
        for (operation, submit, _) in self.still_open() {
            self.scene.silent(&operation, submit, &end_in_words(end));
        }
    }
}

/// The next message that was settled; waits for ever where operations are no messages.
async fn next(settled: &mut Option<UnboundedReceiver<Settled>>) -> Settled {
    match settled {
        Some(settled) => match settled.recv().await {
            Some(one) => one,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Waits until the pipe takes more; for ever without one.
async fn writable(stdin: Option<&pipe::Sender>) {
    match stdin {
        // An error shows itself at the next write.
        Some(stdin) => drop(stdin.writable().await),
        None => std::future::pending().await,
    }
}
