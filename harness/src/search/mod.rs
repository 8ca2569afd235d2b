//! Searches: every schedule of faults, random ones, and from a failing one the smallest that still fails.
//!
//! A search varies a scenario, hands each variation to whoever runs it, and reads the verdict. It knows
//! nothing of processes, runtimes or clocks; the command line and the library use the same code.
//! **Invariant:** a search is a pure function of what it is given and of what the runs say.

pub mod batch;
pub mod case;
pub mod explore;
pub mod freeze;
pub mod hunt;
pub mod palette;
pub mod pursue;
pub mod script;
pub mod shrink;
pub mod simplest;
pub mod walk;
pub mod yaml;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::seed::Seed;

use crate::run::RunError;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::verdict::{InvariantResult, InvariantVerdict, ScenarioResult, Verdict};

use batch::{Crew, in_parallel};

/// After so long without news it is said that there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run, judged.
#[derive(Debug)]
pub struct Tried {
    /// The verdict.
    pub result: ScenarioResult,
    /// What happened.
    pub trace: Trace,
}

impl Tried {
    /// The invariants that were violated. Of a run that was interrupted nothing is said.
    pub fn violated(&self) -> impl Iterator<Item = &InvariantResult> {
        let counts = !self.trace.is_interrupted();
        let failed = move |one: &&InvariantResult| one.verdict == InvariantVerdict::Failed;
        self.result.invariants.iter().filter(failed).filter(move |_| counts)
    }

    /// True when this invariant was violated.
    #[must_use]
    pub fn violates(&self, invariant: &str) -> bool {
        self.violated().any(|one| one.name == invariant)
    }

    /// Why nothing can be said about the client after this run, whatever other runs show. That a run met
    /// no fault, or nothing that is expected, is no such reason.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let result = &self.result;
        let went_past = self.trace.strays().iter().any(|stray| stray.named && !stray.allowed);
        let no_control = result.control.as_ref().is_some_and(|control| !control.passed);
        let is_serious = went_past || no_control || result.requests == 0 || !self.trace.is_whole();
        (result.verdict == Verdict::Inconclusive && is_serious).then(|| {
            result.reason.clone().unwrap_or_else(|| "a run did not come to its end".to_owned())
        })
    }
}

/// Runs a scenario under a seed and judges it.
pub type Runner<'a> = dyn Fn(&Arc<Scenario>, Seed) -> Result<Tried, RunError> + Sync + 'a;

/// What a search has to work with.
pub struct Ground<'a> {
    /// The scenario that is varied.
    pub scenario: Arc<Scenario>,
    /// Runs a variation.
    pub run: &'a Runner<'a>,
    /// How many runs at the same time, at least 1.
    pub jobs: usize,
    /// False as soon as nothing further may be begun: the search was interrupted.
    pub goes_on: &'a (dyn Fn() -> bool + Sync),
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// What whoever waits for a search hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A run of the search is over.
    Done,
    /// Something else is done from now on.
    Now(String),
    /// Nothing has ended for so long.
    Still(Duration),
}

impl Ground<'_> {
    /// Runs many variations, and no further one after the first that fails. Results stand in the order
    /// of the items; what was not begun is `None`.
    fn run_all<T: Sync>(
        &self,
        items: &[T],
        in_time: &(dyn Fn() -> bool + Sync),
        make: impl Fn(&T) -> (Arc<Scenario>, Seed) + Sync,
        hears: &mut dyn FnMut(News),
    ) -> Vec<Option<Result<Tried, RunError>>> {
        let over = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::Relaxed;
        in_parallel(
            items,
            Crew { jobs: self.jobs, patience: PATIENCE },
            || !over.load(order) && (self.goes_on)() && in_time(),
            |item| {
                let (scenario, seed) = make(item);
                let tried = (self.run)(&scenario, seed);
                let ends = tried.as_ref().map_or(true, |tried| tried.violated().next().is_some());
                over.fetch_or(ends, order);
                tried
            },
            |news| {
                hears(match news {
                    batch::News::Done(..) => News::Done,
                    batch::News::Still(_, quiet) => News::Still(quiet),
                });
            },
        )
    }
}
