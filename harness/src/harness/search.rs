//! Searches in a test: hunting and exploring with a client in this process.
//!
//! **Invariant:** the searches are those of the command line; only who runs a variation differs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::shell::clock::Clock;
use brownout_provider::units::micros;
use serde_json::Value;

use super::{Judged, Prepared};
use crate::run::RunError;
use crate::search::explore::{Choice, Explored, Space, explore};
use crate::search::hunt::{Hunted, Limits, hunt};
use crate::search::{Ground, Tried};

/// How long a hunt goes on. The first violation ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HuntOptions {
    /// Runs at most, at least 1; 2,000 unless said.
    pub runs: u64,
    /// Real time at most, in which a run may begin; a minute unless said.
    pub time: Duration,
    /// How many runs at the same time, at least 1; 1 unless said.
    pub jobs: usize,
}

impl Default for HuntOptions {
    fn default() -> Self {
        Self { runs: 2_000, time: Duration::from_secs(60), jobs: 1 }
    }
}

/// What is explored.
#[derive(Clone, Debug, PartialEq)]
pub struct ExploreOptions {
    /// The faults as they stand in a scenario (`json!({"reset": {"at": "after_commit"}})`); those that the
    /// scenario names, where there are none.
    pub faults: Vec<Value>,
    /// The first so many attempts of each operation, at least 1; 3 unless said.
    pub depth: u32,
    /// The first so many operations, at least 1; 1 unless said.
    pub operations: u64,
    /// How many runs at the same time, at least 1; 1 unless said.
    pub jobs: usize,
}

impl Default for ExploreOptions {
    fn default() -> Self {
        Self { faults: Vec::new(), depth: 3, operations: 1, jobs: 1 }
    }
}

/// Why a search could not be made. The debug form, which `unwrap` and `expect` print, says the same.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// There is nothing to explore, with what to do instead.
    #[error("{0}")]
    NoSpace(String),
    /// A run could not be made.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl fmt::Debug for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Prepared {
    /// Hunts for a violation, over seeds and over the faults that the scenario names, at random places; what
    /// is found is shrunk to the smallest schedule that still violates the same invariant.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use brownout::drive::loopback::{Call, post_over};
    /// use brownout::harness::{Harness, HuntOptions};
    /// use brownout::operation::Outcome;
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: any
    /// provider: {api: payments}
    /// faults: [{name: lost, when: {chance: 5%}, inject: {reset: {at: after_commit}}}]
    /// workload: {call: create_charge, operations: 20, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// expect: [no_double_charges]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// // It tries twice, without a key.
    /// let prepared = harness.virtual_time().prepare(|operation, connection| async move {
    ///     let url = format!("{}/v1/charges", operation.url);
    ///     for _ in 0..2 {
    ///         let call = Call {
    ///             url: &url,
    ///             api_key: &operation.api_key,
    ///             idempotency_key: None,
    ///             body: &operation.input,
    ///             timeout: Duration::from_secs(5),
    ///         };
    ///         if post_over(&connection, call).await.is_ok_and(|answer| answer.status == 201) {
    ///             return Outcome::succeeded();
    ///         }
    ///     }
    ///     Outcome::unknown("two attempts failed")
    /// });
    /// let found = prepared.hunt(&HuntOptions::default()).expect("it runs").found.expect("it is there");
    /// assert_eq!(found.invariant, "no_double_charges");
    /// // One operation, one fault.
    /// assert_eq!((found.case.load.operations, found.faults()), (1, 1));
    /// ```
    ///
    /// # Errors
    ///
    /// When a run cannot be made.
    pub fn hunt(&self, options: &HuntOptions) -> Result<Hunted, SearchError> {
        let clock = Clock::real();
        let over = micros(options.time);
        let in_time = || clock.now_us() < over;
        let limits = Limits { runs: options.runs, in_time: &in_time };
        self.on_ground(options.jobs, |ground| Ok(hunt(ground, limits, &mut |_| {})?))
    }

    /// Runs every combination of faults over the first attempts of the first operations, one operation
    /// after the other, and leaves out those that cannot differ from one that was run. A violation ends
    /// it, and is shrunk.
    ///
    /// # Errors
    ///
    /// When there is nothing to explore, or a run cannot be made.
    pub fn explore(&self, options: &ExploreOptions) -> Result<Explored, SearchError> {
        let choice = Choice {
            faults: options.faults.clone(),
            depth: options.depth.max(1),
            operations: options.operations.max(1),
        };
        let space = Space::new(self.scenario(), &choice).map_err(SearchError::NoSpace)?;
        self.on_ground(options.jobs, |ground| Ok(explore(ground, &space, &mut |_| {})?))
    }

    fn on_ground<T>(
        &self,
        jobs: usize,
        search: impl FnOnce(&Ground<'_>) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let run = |scenario: &Arc<_>, seed| {
            let Judged { result, trace, .. } = self.run_scenario(scenario, seed)?;
            Ok(Tried { result, trace })
        };
        let scenario = Arc::clone(self.scenario());
        search(&Ground { scenario, run: &run, jobs: jobs.max(1), goes_on: &|| true })
    }
}
