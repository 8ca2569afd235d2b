//! Exec mode: one program per submit; its exit code or its last line is the claim.
//!
//! The clock of an operation starts with its program's first request: how long an interpreter takes to
//! load its packages says nothing about a client, and on a busy machine it is longer than most deadlines.
//!
//! **Invariant:** a program that is late, or dies of a signal, makes no claim.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::{Claim, DEADLINE};
use brownout_provider::exchange::{ClientFault, ClientStrike};
use brownout_provider::units::micros;
use tokio::sync::mpsc::Receiver;

use super::claims::{Effect, ExitWord, Statement, exit_word};
use super::fleet::copy_for;
use super::process::{End, Input, Launcher, Notice, Process, waiting};
use super::scene::Scene;
use super::schedule::{Due, Schedule, Slot};
use super::seen::Seen;
use super::strikes::{Strikes, Supervisor};
use crate::operation::Operation;
use crate::run::RunError;

/// How many operations a run has unless something else is said: starting a program takes its time.
pub const OPERATIONS: u64 = 25;

/// How many deadlines of an operation a program has for its start, before its first request.
const START_DEADLINES: u64 = 3;

/// How much longer than its deadline a program has for its start at most, in microseconds.
const LONGEST_START_US: u64 = 60_000_000;

/// Drives one program per submit through a schedule.
///
/// # Errors
///
/// When a program cannot be started or an operation not be rendered.
pub async fn drive(
    scene: &Scene,
    seen: &Seen,
    (schedule, clients): (Schedule, u32),
    (launcher, strikes): (&mut Launcher, Strikes),
    notices: &mut Receiver<Notice>,
) -> Result<(), RunError> {
    let mut driver = Driver {
        scene,
        seen,
        schedule,
        clients,
        running: BTreeMap::new(),
        fallen: Vec::new(),
        doubts: VecDeque::new(),
        supervisor: Supervisor::default(),
    };
    let result = driver.run((launcher, strikes), notices).await;
    driver.end(notices).await;
    result
}

struct Driver<'a> {
    scene: &'a Scene,
    seen: &'a Seen,
    schedule: Schedule,
    /// How many copies of the client share the operations.
    clients: u32,
    running: BTreeMap<u64, Running>,
    /// What is to be started again, and when.
    fallen: Vec<(u64, Running)>,
    /// What was called unknown, and is asked for again when all else is said.
    doubts: VecDeque<(Slot, Operation)>,
    supervisor: Supervisor,
}

/// What a program is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To do the work.
    Work,
    /// To find out what became of it.
    Reconcile,
}

/// A program that works on one submit.
struct Running {
    process: Process,
    phase: Phase,
    slot: Slot,
    operation: Operation,
    started_us: u64,
    is_late: bool,
    /// How long it stood still altogether, in microseconds, also what is still to come of that.
    paused_us: u64,
    /// While it stands still: since when, and until when.
    pause: Option<(u64, u64)>,
    /// Set when it was killed and is to be started again, so long after its end.
    again_after: Option<Duration>,
    /// The outcome line, as long as it is the last line of standard output.
    outcome: Option<(String, Statement)>,
    outcome_seen: bool,
}

impl Running {
    /// Lets the program go on, if it stands still.
    fn go_on(&mut self, scene: &Scene) {
        let Some((since_us, until_us)) = self.pause.take() else { return };
        let now_us = scene.clock.now_us();
        // What it did not stand still counts again.
        self.paused_us = self.paused_us.saturating_sub(until_us.saturating_sub(now_us));
        self.process.go_on();
        let id: &Arc<str> = &self.operation.id;
        scene.paused(&self.process, now_us.saturating_sub(since_us), Some(id));
    }
}

/// What happens next.
enum Step {
    Stopped,
    Notice(Option<Notice>),
    Strike(ClientStrike),
    Time,
}

/// When a program is late: a deadline after its first request, and as long as it has made none, at the
/// end of the time that it has for its start; where it clears up, when the time for that is over.
fn late_us(scene: &Scene, seen: &Seen, running: &Running) -> u64 {
    let started_us = running.started_us;
    if let (Phase::Reconcile, Some(within_us)) = (running.phase, scene.reconciles_within_us) {
        return started_us.saturating_add(within_us).saturating_add(running.paused_us);
    }
    let late_us = match seen.first_request_us(&running.operation.id, running.slot.submit) {
        Some(first_us) => scene.late_us(first_us.max(started_us)),
        None => {
            let late_us = scene.late_us(started_us);
            let deadline_us = late_us.saturating_sub(started_us);
            let start_us = deadline_us.saturating_mul(START_DEADLINES - 1).min(LONGEST_START_US);
            late_us.saturating_add(start_us)
        }
    };
    late_us.saturating_add(running.paused_us)
}

impl Driver<'_> {
    async fn run(
        &mut self,
        (launcher, mut strikes): (&mut Launcher, Strikes),
        notices: &mut Receiver<Notice>,
    ) -> Result<(), RunError> {
        while !self.is_over() {
            self.look_again(launcher)?;
            let now_us = self.scene.clock.now_us();
            if self.next_us() <= now_us {
                // What was said in time is heard before anybody is late.
                waiting(notices).for_each(|notice| self.notice(notice));
                self.go_on();
                self.end_late();
                self.rise(launcher)?;
                // What has come to an end may be asked for again, or was the last.
                continue;
            }
            let mut wake = now_us.saturating_add(3_600_000_000);
            match self.schedule.due(now_us) {
                Due::Now(slot) => {
                    self.start(slot, launcher)?;
                    continue;
                }
                Due::At(at_us) => wake = wake.min(at_us),
                Due::Blocked | Due::Done => {}
            }
            wake = wake.min(self.next_us());
            let step = tokio::select! {
                biased;
                () = self.scene.stop.stopped() => Step::Stopped,
                notice = notices.recv() => Step::Notice(notice),
                strike = strikes.next() => Step::Strike(strike),
                () = self.scene.clock.sleep_until_us(wake) => Step::Time,
            };
            match step {
                Step::Stopped | Step::Notice(None) => return Ok(()),
                Step::Notice(Some(notice)) => self.notice(notice),
                Step::Strike(strike) => self.strike(&strike),
                Step::Time => {}
            }
        }
        Ok(())
    }

    /// True when all is said, and whatever was to be cleared up has had its time.
    fn is_over(&self) -> bool {
        self.schedule.is_over() && self.doubts.is_empty() && self.reconcilers() == 0
    }

    /// How many programs are there to clear up.
    fn reconcilers(&self) -> usize {
        let there = self.running.values().chain(self.fallen.iter().map(|(_, one)| one));
        there.filter(|one| one.phase == Phase::Reconcile).count()
    }

    /// When all else is said and the providers are there again, starts programs that clear up what was called
    /// unknown, as many at a time as there are operations at a time.
    fn look_again(&mut self, launcher: &mut Launcher) -> Result<(), RunError> {
        while self.schedule.is_over()
            && self.reconcilers() < self.schedule.concurrency()
            && self.scene.clock.now_us() >= (self.scene.storm_until_us)()
        {
            let Some((slot, operation)) = self.doubts.pop_front() else { return Ok(()) };
            let process = self.launch((slot, Phase::Reconcile), &operation, launcher)?;
            self.scene.started(&process, Some(&operation.id));
            self.run_on(Phase::Reconcile, slot, operation, process);
        }
        Ok(())
    }

    /// When something is to be done for the programs, whatever else happens.
    fn next_us(&self) -> u64 {
        let fallen = self.fallen.iter();
        let late = self
            .running
            .values()
            .filter(|one| !one.is_late)
            .chain(fallen.clone().map(|(_, one)| one))
            .map(|one| late_us(self.scene, self.seen, one));
        let rises = fallen.map(|(rises_us, _)| *rises_us);
        let pauses = self.running.values().filter_map(|one| Some(one.pause?.1));
        let calm =
            self.doubts.front().filter(|_| self.schedule.is_over() && self.reconcilers() == 0);
        let calm = calm.map(|_| (self.scene.storm_until_us)());
        late.chain(rises).chain(pauses).chain(calm).min().unwrap_or(u64::MAX)
    }

    fn start(&mut self, slot: Slot, launcher: &mut Launcher) -> Result<(), RunError> {
        let operation = self.scene.operation(slot)?;
        let now_us = self.scene.clock.now_us();
        // The program cannot call the mock before this thread is free again, so the record comes first
        // whichever order the two stand in; this one leaves no submit on record that never started.
        let process = self.launch((slot, Phase::Work), &operation, launcher)?;
        self.scene.submitted(&operation, now_us);
        self.schedule.submitted(slot, now_us);
        self.scene.started(&process, Some(&operation.id));
        self.run_on(Phase::Work, slot, operation, process);
        Ok(())
    }

    /// Waits for a program that was started at this moment.
    fn run_on(&mut self, phase: Phase, slot: Slot, operation: Operation, process: Process) {
        let running = Running {
            phase,
            slot,
            started_us: self.scene.clock.now_us(),
            is_late: false,
            paused_us: 0,
            pause: None,
            again_after: None,
            outcome: None,
            outcome_seen: false,
            operation,
            process,
        };
        self.running.insert(running.process.number, running);
    }

    /// Starts a program for an operation.
    fn launch(
        &self,
        (slot, phase): (Slot, Phase),
        operation: &Operation,
        launcher: &mut Launcher,
    ) -> Result<Process, RunError> {
        let client = copy_for(slot.index, self.clients);
        let mut environment = self.scene.environment(client, Some(operation))?;
        let text = serde_json::to_string(operation).map_err(|error| RunError::System {
            what: "write an operation as JSON",
            source: io::Error::from(error),
        })?;
        environment.push(("BROWNOUT_OPERATION".to_owned(), text));
        environment.push(("BROWNOUT_OPERATION_ID".to_owned(), operation.id.as_ref().to_owned()));
        if phase == Phase::Reconcile {
            environment.push(("BROWNOUT_PHASE".to_owned(), "reconcile".to_owned()));
        }
        launcher.start(client, &environment, Input::Empty)
    }

    /// Something befalls the program that works on an operation, if it is still there.
    fn strike(&mut self, strike: &ClientStrike) {
        let its = |one: &&mut Running| {
            one.operation.id == strike.operation && one.slot.submit == strike.submit
        };
        let Some(running) = self.running.values_mut().find(its) else { return };
        if running.is_late || running.again_after.is_some() {
            return;
        }
        match strike.does {
            ClientFault::Kill => {
                running.go_on(self.scene);
                let wait = self.supervisor.wait_after(&strike.operation, strike.submit);
                running.again_after = Some(wait);
                running.process.kill();
            }
            ClientFault::Pause { for_us } => {
                let now_us = self.scene.clock.now_us();
                let (since_us, before_us) = running.pause.unwrap_or((now_us, now_us));
                let until_us = before_us.max(now_us.saturating_add(for_us));
                running.paused_us =
                    running.paused_us.saturating_add(until_us.saturating_sub(before_us));
                running.pause = Some((since_us, until_us));
                running.process.pause();
            }
        }
    }

    /// Lets every program go on that has stood still for long enough.
    fn go_on(&mut self) {
        let now_us = self.scene.clock.now_us();
        for running in self.running.values_mut() {
            if running.pause.is_some_and(|(_, until_us)| until_us <= now_us) {
                running.go_on(self.scene);
            }
        }
    }

    /// Starts again what was killed; what is late by then is given up.
    fn rise(&mut self, launcher: &mut Launcher) -> Result<(), RunError> {
        let now_us = self.scene.clock.now_us();
        for (rises_us, mut running) in std::mem::take(&mut self.fallen) {
            if late_us(self.scene, self.seen, &running) <= now_us {
                let (id, submit) = (&running.operation.id, running.slot.submit);
                self.scene.silent(id, submit, &format!("{DEADLINE}; the client was killed"));
                self.finished(&running);
            } else if rises_us <= now_us {
                let what = (running.slot, running.phase);
                running.process = self.launch(what, &running.operation, launcher)?;
                running.again_after = None;
                self.scene.started(&running.process, Some(&running.operation.id));
                self.running.insert(running.process.number, running);
            } else {
                self.fallen.push((rises_us, running));
            }
        }
        Ok(())
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Line { process, stream, text } => self.line(process, stream, text),
            Notice::Ended { process, end } => {
                if let Some(running) = self.running.remove(&process) {
                    self.ended(running, end);
                }
            }
        }
    }

    fn line(&mut self, process: u64, stream: &'static str, text: String) {
        let Some(running) = self.running.get_mut(&process) else {
            // Something that the program left running.
            return self.scene.said(stream, None, &text);
        };
        let id = &running.operation.id;
        if stream != "stdout" || text.trim().is_empty() {
            return self.scene.said(stream, Some(id), &text);
        }
        if let Some((earlier, _)) = running.outcome.take() {
            self.scene.said(stream, Some(id), &earlier);
        }
        match Statement::from_outcome_line(&text) {
            Some(statement) => {
                running.outcome_seen = true;
                running.outcome = Some((text, statement));
            }
            None => self.scene.said(stream, Some(id), &text),
        }
    }

    /// Nothing more comes of a program.
    fn finished(&mut self, running: &Running) {
        if running.phase == Phase::Work {
            self.schedule.finished(running.slot);
        }
    }

    fn ended(&mut self, running: Running, end: End) {
        let id = &running.operation.id;
        let submit = running.slot.submit;
        self.scene.ended(&running.process, end, Some(id));
        if let Some(wait) = running.again_after.filter(|_| !running.is_late) {
            let rises_us = self.scene.clock.now_us().saturating_add(micros(wait));
            self.fallen.push((rises_us, running));
            return;
        }
        self.finished(&running);
        match (exit_word(end.code, end.signal), running.outcome) {
            (ExitWord::Claim(claim), outcome) if !end.killed => {
                let exit = end.code.map_or(String::new(), |code| format!("exit code {code}"));
                let mut statement = outcome.map_or(
                    Statement {
                        operation: None,
                        submit,
                        claim,
                        degraded: false,
                        detail: exit,
                        provider: None,
                    },
                    |(_, statement)| statement,
                );
                statement.submit = submit;
                let is_heard = self.scene.claimed(id, &statement) != Effect::Nothing;
                let is_asked = self.scene.reconciles_within_us.is_some() && is_heard;
                if is_asked && running.phase == Phase::Work && statement.claim == Claim::Unknown {
                    self.doubts.push_back((running.slot, running.operation));
                }
            }
            (word, outcome) => {
                if let Some((line, _)) = outcome {
                    self.scene.said("stdout", Some(id), &line);
                }
                let why = match word {
                    ExitWord::Signal(signal) if signal > 0 => format!("signal {signal}"),
                    ExitWord::Signal(_) | ExitWord::Claim(_) => "ended by the harness".to_owned(),
                };
                let seen = if running.outcome_seen {
                    "an outcome line was seen"
                } else {
                    "no outcome line"
                };
                self.scene.silent(id, submit, &format!("{why}; {seen}"));
            }
        }
    }

    /// Ends every program whose deadline has passed.
    fn end_late(&mut self) {
        let now_us = self.scene.clock.now_us();
        let due = |one: &Running| late_us(self.scene, self.seen, one) <= now_us;
        for running in self.running.values_mut() {
            if !running.is_late && due(running) {
                running.is_late = true;
                let seen = if running.outcome_seen {
                    "an outcome line was seen"
                } else {
                    "no outcome line"
                };
                let id = &running.operation.id;
                self.scene.silent(id, running.slot.submit, &format!("{DEADLINE}; {seen}"));
                running.process.end();
            }
        }
    }

    /// Ends every program that still runs, and hears them out. Each end comes within a bound.
    async fn end(&mut self, notices: &mut Receiver<Notice>) {
        for running in self.running.values_mut() {
            running.go_on(self.scene);
            // Nothing is started again any more.
            running.again_after = None;
            running.process.end();
        }
        while !self.running.is_empty() {
            let Some(notice) = notices.recv().await else { return };
            self.notice(notice);
        }
    }
}
