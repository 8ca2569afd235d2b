//! Suite mode: the command runs once and does what it likes; operations are those seen on the wire.
//!
//! **Invariant:** its exit code makes no claim unless the scenario says so.

use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::{Claim, HARNESS};
use brownout_provider::shell::clock::Clock;
use brownout_provider::units::micros;
use tokio::sync::mpsc::Receiver;

use super::claims::Statement;
use super::process::{End, Input, Launcher, Notice, Process};
use super::scene::{CLIENT, Scene};
use super::seen::Seen;
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

/// When a suite of which nothing was heard since `heard_us` has been quiet for too long.
fn too_long_us(seen: &Seen, heard_us: u64, patience: Patience) -> u64 {
    let patience = if seen.waits() { patience.for_an_answer } else { patience.for_anything };
    heard_us.max(seen.last_us()).saturating_add(micros(patience))
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
    let process = launcher.start(CLIENT, &scene.environment(CLIENT, None)?, Input::Empty)?;
    scene.started(&process, None);
    let patience = Patience::new(terms.deadline).at_speed(&scene.clock);
    let end = run(scene, seen, &process, patience, notices).await;
    scene.ended(&process, end, None);
    if terms.exit_0 == ExitZero::AllSucceeded && end.code == Some(0) && !end.killed {
        for operation in seen.operations() {
            scene.claimed_unasked(
                &operation,
                &Statement {
                    operation: None,
                    submit: 1,
                    claim: Claim::Succeeded,
                    degraded: false,
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
    let give_up = |why: &str| {
        scene.said(HARNESS, None, &format!("the command {why}, and was ended"));
        process.end();
    };
    loop {
        let now_us = scene.clock.now_us();
        if !ending && last_us <= now_us {
            ending = true;
            give_up("ran for longer than an hour");
        }
        // Requests come and go unheard here, so it looks again from time to time.
        let look_us = now_us.saturating_add(micros(scene.clock.of_machine(LOOK)));
        let wake_us = look_us.min(last_us).min(too_long_us(seen, heard_us, patience));
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
            () = scene.clock.sleep_until_us(wake_us), if !ending => {
                if too_long_us(seen, heard_us, patience) <= scene.clock.now_us() {
                    ending = true;
                    give_up("made no request and wrote nothing for too long");
                }
            }
        }
    }
}

/// A line of the command: a claim about an operation, or output.
fn line(scene: &Scene, stream: &'static str, text: &str) {
    let statement = if stream == "stdout" { Statement::from_outcome_line(text) } else { None };
    let taken = statement.is_some_and(|statement| match &statement.operation {
        Some(name) => scene.claimed_unasked(&Arc::from(name.as_str()), &statement),
        None => false,
    });
    if !taken {
        scene.said(stream, None, text);
    }
}
