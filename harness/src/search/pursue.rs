//! Pursuing a failure: does it come again, and what is the least that it takes?
//!
//! The faults that struck are frozen, the frozen run is repeated to tell a firm failure from a flaky one,
//! and a firm one is shrunk.
//! **Invariant:** what is called found has failed again in the form in which it is handed out, with the
//! same invariant violated; what did not is called flaky.

use std::sync::Arc;

use brownout_provider::event::{ClockKind, Mode};

use super::case::{Case, Label};
use super::freeze::{freeze, in_words};
use super::shrink::{Answer, shrink};
use super::{Ground, News, Tried};
use crate::run::RunError;
use crate::scenario::Scenario;
use crate::timeline::Timeline;
use crate::verdict::Violation;

/// How often a case must fail on the real clock, where a client need not do the same twice.
const TIMES_ON_THE_REAL_CLOCK: u32 = 3;

/// How wide the lines of a story are, in characters.
const WIDTH: usize = 100;

/// A failure that was found.
#[derive(Debug)]
pub struct Found {
    /// The invariant that is violated.
    pub invariant: &'static str,
    /// The smallest schedule that violates it; for a flaky failure what struck when it failed.
    pub case: Case,
    /// A run in which it failed: of the smallest schedule, for a firm failure.
    pub tried: Tried,
    /// Whether it fails whenever it is run.
    pub firmness: Firmness,
    /// How many different smaller cases were tried.
    pub smaller_tried: u64,
    /// True when no case that is one step smaller fails.
    pub is_minimal: bool,
    /// Operations and faults of the run in which it was first seen.
    pub first: (u64, usize),
    /// Remarks for people.
    pub notes: Vec<String>,
}

/// Whether a failure comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmness {
    /// It failed each of so many times.
    Firm(u32),
    /// It failed `failed` times of `times`.
    Flaky {
        /// How often it failed again.
        failed: u32,
        /// How often it was run again.
        times: u32,
    },
}

impl Found {
    /// How many faults are left.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.case.script.len()
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        let invariants = &self.tried.result.invariants;
        invariants.iter().find(|one| one.name == self.invariant)?.violations.first()
    }

    /// What was violated and how, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        self.violation().map_or("it was violated", |violation| &violation.message)
    }

    /// What a file for it says about itself; `commands` are lines that tell how it was found and how to
    /// run it.
    #[must_use]
    pub fn label(&self, name: &str, commands: &[String]) -> Label {
        let which = match self.firmness {
            Firmness::Firm(_) => "The smallest schedule found that breaks",
            Firmness::Flaky { .. } => "A schedule that sometimes breaks",
        };
        let summary = format!("{which} {}.", self.invariant);
        let mut story = vec![format!("{which} `{}`.", self.invariant), String::new()];
        story.extend(wrapped(self.message()));
        story.extend([String::new(), "What strikes:".to_owned()]);
        if self.case.script.is_empty() {
            story.push("  nothing; the client breaks in fair weather".to_owned());
        }
        story.extend(in_words(&self.case.script).into_iter().map(|line| format!("  {line}")));
        let operation = self.violation().and_then(|violation| violation.operation.as_deref());
        if let Some(line) = operation.and_then(|name| Timeline::of_named(&self.tried.trace, name)) {
            story.extend([String::new(), format!("What happened to `{}`:", line.operation)]);
            story.extend(line.lines().into_iter().map(|line| format!("  {line}")));
        }
        story.push(String::new());
        story.extend(wrapped(&self.trust()));
        story.extend(commands.iter().cloned());
        Label { name: name.to_owned(), summary, api: None, story }
    }

    /// How far this can be relied on, in a sentence or two.
    #[must_use]
    pub fn trust(&self) -> String {
        let again = match self.firmness {
            Firmness::Firm(1) => "It failed again when it was run again.".to_owned(),
            Firmness::Firm(times) => format!("It failed {times} of {times} times."),
            Firmness::Flaky { failed, times } => {
                return format!(
                    "It is flaky: run again it failed {failed} of {times} times, so it was not made smaller."
                );
            }
        };
        let smaller = self.smaller_tried;
        if self.is_minimal {
            format!(
                "{again} {smaller} variations were tried, and none that is one step smaller fails."
            )
        } else {
            format!(
                "{again} {smaller} variations were tried, and the search ended before all that are one step smaller were."
            )
        }
    }
}

/// Words in lines of bounded width.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Pursues a failure in a run of `scenario`; `None` where nothing failed.
///
/// # Errors
///
/// When a run cannot be made.
pub fn pursue(
    ground: &Ground<'_>,
    scenario: &Scenario,
    first: Tried,
    hears: &mut dyn FnMut(News),
) -> Result<Option<Found>, RunError> {
    let Some(invariant) = first.violated().next().map(|one| one.name) else { return Ok(None) };
    let Some(frozen) = freeze(&first.trace, scenario) else { return Ok(None) };
    let mut case = frozen.case;
    case.only = Some(invariant);
    case.is_driven = first.trace.mode() != Mode::Suite;
    let operations = u64::try_from(first.trace.operations().count()).unwrap_or(u64::MAX);
    if case.is_driven {
        // In exec mode fewer operations take place than the scenario says.
        case.load.operations = case.load.operations.min(operations.max(1));
    }
    let times = match first.trace.clock() {
        ClockKind::Real => TIMES_ON_THE_REAL_CLOCK,
        ClockKind::Virtual => 1,
    };
    let size = (operations, case.script.len());
    hears(News::Now(format!("`{invariant}` is violated; is it firm?")));
    let mut pursuit = Pursuit { ground, invariant, times, last: None };
    let failed = pursuit.failures(&case)?;
    let mut found = Found {
        invariant,
        tried: first,
        firmness: Firmness::Firm(times),
        smaller_tried: 0,
        is_minimal: false,
        first: size,
        notes: frozen.notes,
        case,
    };
    if failed < times {
        found.firmness = Firmness::Flaky { failed, times };
        return Ok(Some(found));
    }
    hears(News::Now(format!("looking for the least that violates `{invariant}`")));
    let shrunk = shrink(found.case.clone(), |case| pursuit.ask(case))?;
    found.smaller_tried = shrunk.tried;
    found.is_minimal = shrunk.is_minimal;
    found.case = shrunk.case;
    match pursuit.last.take().filter(|(case, _)| *case == found.case) {
        Some((_, tried)) => found.tried = tried,
        None => {
            pursuit.failures(&found.case)?;
            if let Some((_, tried)) = pursuit.last {
                found.tried = tried;
            }
        }
    }
    Ok(Some(found))
}

/// What asking about cases needs.
struct Pursuit<'a> {
    ground: &'a Ground<'a>,
    invariant: &'static str,
    times: u32,
    /// The last case that failed each time, with its last run.
    last: Option<(Case, Tried)>,
}

impl Pursuit<'_> {
    /// How often the case fails before it holds once, of as many times as it has to.
    fn failures(&mut self, case: &Case) -> Result<u32, RunError> {
        let Ok(scenario) = case.scenario() else { return Ok(0) };
        let scenario = Arc::new(scenario);
        for failed in 0..self.times {
            let tried = (self.ground.run)(&scenario, case.seed)?;
            if !tried.violates(self.invariant) {
                return Ok(failed);
            }
            if failed + 1 == self.times {
                self.last = Some((case.clone(), tried));
            }
        }
        Ok(self.times)
    }

    fn ask(&mut self, case: &Case) -> Result<Answer, RunError> {
        if !(self.ground.goes_on)() {
            return Ok(Answer::Enough);
        }
        let failed = self.failures(case)?;
        Ok(if failed == self.times { Answer::Fails } else { Answer::Holds })
    }
}
