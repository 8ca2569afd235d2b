//! A harness and a client, ready to run again and again.
//!
//! **Invariant:** the control run takes place at most once, whatever varies afterwards.

use std::sync::{Arc, OnceLock};

use brownout_provider::seed::Seed;

use super::{Harness, Judged, judged};
use crate::run::{Client, RunError, run_control, run_shared};
use crate::scenario::Scenario;
use crate::verdict::ControlResult;

/// A harness with its client, made by [`Harness::prepare`] and its like: for searches that run a scenario
/// thousands of times, under other seeds or with other rules.
///
/// Clones share the result of the control run, and may be used from many threads at once.
///
/// ```
/// use brownout::harness::Harness;
/// use brownout::operation::Outcome;
/// use brownout_provider::seed::Seed;
///
/// let harness = Harness::from_yaml(
///     "version: 1
/// name: any
/// provider: {api: payments}
/// workload: {call: create_charge, operations: 1, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
/// expect: [no_double_charges]
/// ",
/// )
/// .expect("a right scenario");
/// let prepared = harness
///     .virtual_time()
///     .without_control()
///     .prepare(|_operation, _connection| async { Outcome::unknown("it was never sent") });
/// for seed in 0..100 {
///     let judged = prepared.run_seed(Seed::new(seed).expect("a small number")).expect("it runs");
///     assert_eq!(judged.result.requests, 0);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    harness: Harness,
    client: Client,
    control: Arc<OnceLock<ControlResult>>,
}

impl Prepared {
    pub(super) fn new(harness: Harness, client: Client) -> Self {
        Self { harness, client, control: Arc::default() }
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.harness.scenario
    }

    /// Drives the client under the harness's own seed, and judges it.
    ///
    /// # Errors
    ///
    /// When the run cannot be made; a client that misbehaves is no error.
    pub fn run(&self) -> Result<Judged, RunError> {
        self.run_seed(self.harness.seed)
    }

    /// As [`Prepared::run`], under another seed.
    ///
    /// # Errors
    ///
    /// As [`Prepared::run`].
    pub fn run_seed(&self, seed: Seed) -> Result<Judged, RunError> {
        self.run_scenario(&self.harness.scenario, seed)
    }

    /// As [`Prepared::run`], in a variation of the scenario: other rules, another workload. The control
    /// run stays that of the scenario itself, so the API and the call must stay too.
    ///
    /// # Errors
    ///
    /// As [`Prepared::run`].
    pub fn run_scenario(&self, scenario: &Arc<Scenario>, seed: Seed) -> Result<Judged, RunError> {
        let control = self.control()?;
        let run = run_shared(scenario, seed, &self.client, &self.harness.options)?;
        let scenario = self.with_own(scenario);
        let reproduce = judged::reproduce(&scenario, seed);
        let result = run.judged(&scenario, control, reproduce);
        Ok(Judged { result, trace: run.trace, scenario })
    }

    /// A scenario with the expectations of the test's own; a variation may have been made without them.
    fn with_own(&self, scenario: &Arc<Scenario>) -> Arc<Scenario> {
        let mut scenario = Arc::clone(scenario);
        for own in &self.harness.own {
            if scenario.expect.iter().all(|one| one.name != own.name) {
                Arc::make_mut(&mut scenario).expect.push(own.clone());
            }
        }
        scenario
    }

    /// Whether the client works in fair weather; `None` where the harness leaves the control run out. The
    /// run takes place when it is first asked for.
    ///
    /// # Errors
    ///
    /// When the run cannot be made.
    pub fn control(&self) -> Result<Option<ControlResult>, RunError> {
        if !self.harness.control {
            return Ok(None);
        }
        if let Some(known) = self.control.get() {
            return Ok(Some(known.clone()));
        }
        let result = run_control(&self.harness.scenario, &self.client, &self.harness.options)?;
        Ok(Some(self.control.get_or_init(|| result).clone()))
    }
}
