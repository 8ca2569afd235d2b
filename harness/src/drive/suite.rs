//! Suite mode: the command runs once and does what it likes; operations are those seen on the wire.
//!
//! **Invariant:** its exit code makes no claim unless the scenario says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout_provider::event::{Claim, Event, EventKind, Sink};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::lock::lock;
use brownout_provider::units::micros;
use tokio::sync::mpsc::Receiver;

use super::claims::{Effect, Statement};
use super::process::{End, Input, Launcher, Notice, Process};
use super::scene::Scene;
use crate::run::RunError;

/// How long a suite may do nothing that can be seen (no request, no output), at least.
const QUIET: Duration = Duration::from_secs(60);

/// So many deadlines of an operation a suite may wait for one answer and do nothing else.
const DEADLINES: u32 = 2;

/// How often a suite is looked at while nothing is heard of it.
const LOOK: Duration = Duration::from_secs(1);

/// How long a suite may run at all.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What exit code 0 says of the operations that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitZero {
    /// Nothing.
    Nothing,
    /// All of them succeeded.
    AllSucceeded,
}

/// What a scenario says of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What its exit code 0 says.
    pub exit_0: ExitZero,
    /// The deadline of an operation, by which it is told that a suite hangs.
    pub deadline: Duration,
}

/// For how long a suite may show no sign of life: no request, no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While a request of it is unanswered: twice the deadline of an operation, and no longer than
    /// without one.
    pub for_an_answer: Duration,
    /// While nothing is under way: a minute, or the deadline where that is longer.
    pub for_anything: Duration,
}

impl Patience {
    /// The patience with operations of this deadline.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        let for_anything = QUIET.max(deadline);
        Self { for_an_answer: deadline.saturating_mul(DEADLINES).min(for_anything), for_anything }
    }

    /// The same where the clock goes faster and what the suite works does not.
    fn at_speed(self, clock: &Clock) -> Self {
        if clock.speed() == 1 {
            return self;
        }
        Self {
            for_an_answer: self.for_an_answer.saturating_add(clock.of_machine(LOOK)),
            for_anything: self.for_anything.max(clock.of_machine(QUIET)),
        }
    }
}

/// Passes events on and remembers when each operation was first named, which requests are unanswered,
/// and when the last event came.
pub struct Seen {
    sink: Arc<dyn Sink>,
    last_us: AtomicU64,
    /// When the first request of each submit came.
    first_us: Mutex<BTreeMap<(Arc<str>, u32), u64>>,
    /// By provider and number.
    unanswered: Mutex<BTreeSet<(Arc<str>, u64)>>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("last_us", &self.last_us).finish_non_exhaustive()
    }
}

impl Seen {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            last_us: AtomicU64::new(0),
            first_us: Mutex::default(),
            unanswered: Mutex::default(),
        }
    }

    /// Keeps what an event says of the requests under way.
    fn see(&self, at_us: u64, kind: &EventKind) {
        if let EventKind::RequestReceived(request) = kind {
            lock(&self.unanswered).insert((Arc::clone(&request.provider), request.request));
            if let Some(operation) = &request.operation {
                let submit = (Arc::clone(operation), request.submit);
                lock(&self.first_us).entry(submit).or_insert(at_us);
            }
        } else if let EventKind::ResponseSent(response) = kind {
            lock(&self.unanswered).remove(&(Arc::clone(&response.provider), response.request));
        } else if let EventKind::ConnectionEnded(ended) = kind
            && let Some(request) = ended.request
        {
            lock(&self.unanswered).remove(&(Arc::clone(&ended.provider), request));
        }
    }

    /// When the first request of a submit came, in microseconds since the start of the run.
    #[must_use]
    pub fn first_request_us(&self, operation: &Arc<str>, submit: u32) -> Option<u64> {
        lock(&self.first_us).get(&(Arc::clone(operation), submit)).copied()
    }

    /// When a suite of which nothing was heard since `heard_us` has been quiet for too long.
    fn too_long_us(&self, heard_us: u64, patience: Patience) -> u64 {
        let quiet_since_us = heard_us.max(self.last_us.load(Ordering::Relaxed));
        let waits = !lock(&self.unanswered).is_empty();
        let patience = if waits { patience.for_an_answer } else { patience.for_anything };
        quiet_since_us.saturating_add(micros(patience))
    }
}

impl Sink for Seen {
    fn record(&self, events: Vec<Event>) {
        for event in &events {
            self.last_us.fetch_max(event.at_us, Ordering::Relaxed);
            self.see(event.at_us, &event.kind);
        }
        self.sink.record(events);
    }
}

/// Runs the command once.
///
/// # Errors
///
/// When the command cannot be started.
pub async fn drive(
    scene: &Scene,
    seen: &Seen,
    terms: Terms,
    launcher: &mut Launcher,
    notices: &mut Receiver<Notice>,
) -> Result<(), RunError> {
    let process = launcher.start(&scene.environment(None)?, Input::Empty)?;
    scene.started(&process, None);
    let patience = Patience::new(terms.deadline).at_speed(&scene.clock);
    let end = run(scene, seen, &process, patience, notices).await;
    scene.ended(&process, end, None);
    if terms.exit_0 == ExitZero::AllSucceeded && end.code == Some(0) && !end.killed {
        let operations: BTreeSet<Arc<str>> =
            lock(&seen.first_us).keys().map(|(operation, _)| Arc::clone(operation)).collect();
        for operation in operations {
            claim(
                scene,
                &operation,
                &Statement {
                    operation: None,
                    submit: 1,
                    claim: Claim::Succeeded,
                    detail: "exit code 0".to_owned(),
                    provider: None,
                },
            );
        }
    }
    Ok(())
}

/// Listens until the command has ended, by itself or because it was ended.
async fn run(
    scene: &Scene,
    seen: &Seen,
    process: &Process,
    patience: Patience,
    notices: &mut Receiver<Notice>,
) -> End {
    let mut heard_us = scene.clock.now_us();
    let last_us = heard_us.saturating_add(micros(scene.clock.of_machine(LONGEST)));
    let mut ending = false;
    loop {
        // Requests come and go unheard here, so it looks again from time to time.
        let look_us = scene.clock.now_us().saturating_add(micros(scene.clock.of_machine(LOOK)));
        let wake = look_us.min(last_us).min(seen.too_long_us(heard_us, patience));
        tokio::select! {
            biased;
            () = scene.stop.stopped(), if !ending => {
                ending = true;
                process.end();
            }
            notice = notices.recv() => match notice {
                Some(Notice::Line { stream, text, .. }) => {
                    heard_us = scene.clock.now_us();
                    line(scene, stream, &text);
                }
                Some(Notice::Ended { end, .. }) => return end,
                None => return End::default(),
            },
            () = scene.clock.sleep_until_us(wake), if !ending => {
                if scene.clock.now_us() >= last_us.min(seen.too_long_us(heard_us, patience)) {
                    ending = true;
                    scene.said("brownout", None, "the command made no request and wrote nothing for too long, and was ended");
                    process.end();
                }
            }
        }
    }
}

/// A line of the command: a claim about an operation, or output.
fn line(scene: &Scene, stream: &'static str, text: &str) {
    let statement = if stream == "stdout" { Statement::from_outcome_line(text) } else { None };
    let taken = statement.is_some_and(|statement| match &statement.operation {
        Some(name) => claim(scene, &Arc::from(name.as_str()), &statement),
        None => false,
    });
    if !taken {
        scene.said(stream, None, text);
    }
}

/// Takes a claim about an operation that nobody submitted.
fn claim(scene: &Scene, operation: &Arc<str>, statement: &Statement) -> bool {
    {
        let mut claims = lock(&scene.claims);
        if !claims.knows(operation, statement.submit) {
            claims.open(operation, statement.submit);
        }
    }
    scene.claimed(operation, statement) != Effect::Nothing
}
