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
use super::simplest::Simplest;
use super::{Ground, News, Tried};
use crate::run::RunError;
use crate::scenario::Scenario;
use crate::timeline::Timeline;
use crate::verdict::Violation;

/// How often a case must fail on the real clock, where a client need not do the same twice.
const TIMES_ON_THE_REAL_CLOCK: u32 = 3;

/// How often on the real clock the smallest case is run again in the end: of many cases that fail half
/// the time, one fails three times by luck, and the search would take just that one.
const AGAIN_ON_THE_REAL_CLOCK: u32 = 5;

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
    /// It failed `failed` times of `times`, and held the last time.
    Flaky {
        /// How often it failed again.
        failed: u32,
        /// How often it was run again.
        times: u32,
    },
    /// The search was interrupted before it had been run again often enough.
    Unknown,
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
            Firmness::Firm(_) if self.is_minimal => "The smallest schedule found that breaks",
            Firmness::Firm(_) | Firmness::Unknown => "A schedule that breaks",
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
        Label { name: name.to_owned(), summary, story, ..Label::default() }
    }

    /// How far this can be relied on, in a sentence or two.
    #[must_use]
    pub fn trust(&self) -> String {
        let again = match self.firmness {
            Firmness::Firm(1) => "It failed again when it was run again.".to_owned(),
            Firmness::Firm(times) => format!("It failed {times} of {times} times."),
            Firmness::Flaky { failed, times } => {
                let smaller = match self.smaller_tried {
                    0 => "so it was not made smaller",
                    _ => "so what was left out on the way may belong to it",
                };
                return format!(
                    "It is flaky: run again it failed {failed} of {times} times, {smaller}."
                );
            }
            Firmness::Unknown => {
                return "The search was interrupted before it was run again: it may be flaky, and it was \
                        not made smaller."
                    .to_owned();
            }
        };
        let smaller = match self.smaller_tried {
            1 => "1 variation was".to_owned(),
            many => format!("{many} variations were"),
        };
        if self.is_minimal {
            format!("{again} {smaller} tried, and none that is one step smaller fails.")
        } else {
            format!(
                "{again} {smaller} tried, and the search ended before all that are one step smaller were."
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

/// Pursues a failure in a run of `scenario`; `None` where nothing failed. `simplest` may take the place of
/// the faults that struck.
///
/// # Errors
///
/// When a run cannot be made.
pub fn pursue(
    ground: &Ground<'_>,
    scenario: &Scenario,
    first: Tried,
    simplest: Arc<Simplest>,
    hears: &mut dyn FnMut(News),
) -> Result<Option<Found>, RunError> {
    let Some(invariant) = first.violated().next().map(|one| one.name) else { return Ok(None) };
    let Some(frozen) = freeze(&first.trace, scenario) else { return Ok(None) };
    let mut case = frozen.case;
    case.only = Some(invariant);
    case.simplest = simplest;
    case.is_driven = first.trace.mode() != Mode::Suite;
    let operations = u64::try_from(first.trace.operations().count()).unwrap_or(u64::MAX);
    if case.is_driven {
        // In exec mode fewer operations take place than the scenario says.
        case.load.operations = case.load.operations.min(operations.max(1));
    }
    let first_clock = first.trace.clock();
    let times = match first_clock {
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
    let Some(failed) = failed else {
        found.firmness = Firmness::Unknown;
        return Ok(Some(found));
    };
    if failed < times {
        found.firmness = Firmness::Flaky { failed, times: failed + 1 };
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
            if let Some((_, tried)) = pursuit.last.take() {
                found.tried = tried;
            }
        }
    }
    if first_clock == ClockKind::Real {
        pursuit.times = AGAIN_ON_THE_REAL_CLOCK;
        match pursuit.failures(&found.case)? {
            Some(AGAIN_ON_THE_REAL_CLOCK) => {
                found.firmness = Firmness::Firm(times + AGAIN_ON_THE_REAL_CLOCK);
            }
            Some(failed) => {
                found.firmness =
                    Firmness::Flaky { failed: times + failed, times: times + failed + 1 };
                found.is_minimal = false;
            }
            // It has failed as often as it had to, and no more can be said.
            None => {}
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
    /// How often the case fails before it holds once, of as many times as it has to; `None` when the
    /// search was interrupted before that was known. A run that was cut off has not held.
    fn failures(&mut self, case: &Case) -> Result<Option<u32>, RunError> {
        let Ok(scenario) = case.scenario() else { return Ok(Some(0)) };
        let scenario = Arc::new(scenario);
        for failed in 0..self.times {
            if !(self.ground.goes_on)() {
                return Ok(None);
            }
            let tried = (self.ground.run)(&scenario, case.seed)?;
            if tried.trace.is_interrupted() {
                return Ok(None);
            }
            if !tried.violates(self.invariant) {
                return Ok(Some(failed));
            }
            if failed + 1 == self.times {
                self.last = Some((case.clone(), tried));
            }
        }
        Ok(Some(self.times))
    }

    fn ask(&mut self, case: &Case) -> Result<Answer, RunError> {
        Ok(match self.failures(case)? {
            None => Answer::Enough,
            Some(failed) if failed == self.times => Answer::Fails,
            Some(_) => Answer::Holds,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use brownout_provider::seed::Seed;
    use serde_json::json;

    use super::*;
    use crate::judge::judge;
    use crate::scenario::{Apis, Overrides, read};
    use crate::trace::testing::trace_with;

    const TEXT: &str = "version: 1
name: base
provider: {api: payments}
workload: {call: create_charge, operations: 1, input: {amount: 1, currency: usd, order: 'o-{{ n }}'}}
expect: [no_double_charges]
";

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Run {
        Fails,
        Holds,
        IsCutOff,
    }

    fn scenario() -> Scenario {
        let checked =
            read("<test>", TEXT.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
        checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
    }

    fn tried(scenario: &Scenario, run: Run) -> Tried {
        let mut lines = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1,"event":"request_received","request":1}
            {"at_us":1,"event":"effect_committed","request":1,"effect":1}
            {"at_us":2,"event":"response_sent","request":1,"status":503}
            {"at_us":3,"event":"request_received","request":2,"attempt":2}"#
            .to_owned();
        if run == Run::Fails {
            lines.push_str(
                r#"
            {"at_us":4,"event":"effect_committed","request":2,"effect":2}"#,
            );
        }
        if run == Run::IsCutOff {
            lines.push_str(
                r#"
            {"at_us":5,"event":"run_finished","reason":"interrupted"}"#,
            );
        }
        let trace = trace_with(&json!({"clock": "real"}), &lines);
        Tried { result: judge(&trace, scenario, None), trace }
    }

    /// What a pursuit comes to when the runs after the first go as told, and then all as the last.
    fn pursued(runs: &[Run]) -> (Found, usize) {
        let scenario = Arc::new(scenario());
        let made = AtomicUsize::new(0);
        let run = |scenario: &Arc<Scenario>, _: Seed| {
            let nth = made.fetch_add(1, Ordering::Relaxed).min(runs.len() - 1);
            Ok(tried(scenario, runs[nth]))
        };
        let ground =
            Ground { scenario: Arc::clone(&scenario), run: &run, jobs: 1, goes_on: &|| true };
        let first = tried(&scenario, Run::Fails);
        let found =
            pursue(&ground, &scenario, first, Arc::default(), &mut |_| {}).expect("runs are made");
        (found.expect("the first run failed"), made.load(Ordering::Relaxed))
    }

    #[test]
    fn what_fails_whenever_it_is_run_is_firm() {
        let (found, _) = pursued(&[Run::Fails]);
        assert_eq!(found.firmness, Firmness::Firm(8));
        assert!(found.is_minimal);
    }

    #[test]
    fn what_holds_when_it_is_run_again_is_flaky() {
        let (found, made) = pursued(&[Run::Fails, Run::Holds]);
        assert_eq!((found.firmness, made), (Firmness::Flaky { failed: 1, times: 2 }, 2));
        assert!(found.trust().contains("1 of 2 times, so it was not made smaller"));
    }

    #[test]
    fn a_run_that_was_cut_off_has_not_held() {
        let (found, made) = pursued(&[Run::Fails, Run::IsCutOff]);
        assert_eq!((found.firmness, made), (Firmness::Unknown, 2));
        assert!(found.trust().starts_with("The search was interrupted"), "{}", found.trust());
        let story = found.label("x", &[]).story;
        assert_eq!(story[0], "A schedule that breaks `no_double_charges`.");
    }

    #[test]
    fn what_failed_three_times_by_luck_is_found_out_in_the_end() {
        let (found, _) = pursued(&[Run::Fails, Run::Fails, Run::Fails, Run::Fails, Run::Holds]);
        assert_eq!(found.firmness, Firmness::Flaky { failed: 4, times: 5 });
        assert!(!found.is_minimal);
    }
}
