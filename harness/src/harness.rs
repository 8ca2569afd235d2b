//! The library's face: a scenario, a closure as the client, a verdict.
//!
//! **Invariant:** it adds nothing to a run or its judgement that the parts below do not do.

use std::path::Path;

use brownout_provider::document::Diagnostic;
use brownout_provider::seed::Seed;

use crate::drive::in_process::InProcess;
use crate::run::{Client, RunError, RunOptions, run_control, run_main};
use crate::scenario::{Apis, Overrides, Scenario, read};
use crate::trace::Trace;
use crate::verdict::ScenarioResult;

/// Runs a scenario against a client in this process, on the real clock, and judges it.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::drive::loopback::{Call, post};
/// use brownout::harness::Harness;
/// use brownout::operation::{Operation, Outcome};
/// use brownout::verdict::Verdict;
///
/// let harness = Harness::from_yaml(
///     "version: 1
/// name: a-liar
/// provider: {api: payments}
/// faults: [{name: busy, inject: {status: {code: 503}}}]
/// workload: {call: create_charge, operations: 2, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
/// expect: [no_phantom_success]
/// ",
/// )
/// .expect("a right scenario");
/// // A client that asks, and claims success whatever it hears.
/// let judged = harness
///     .run(|operation: Operation, _connection| async move {
///         let url = format!("{}/v1/charges", operation.url);
///         let call = Call {
///             url: &url,
///             api_key: &operation.api_key,
///             idempotency_key: None,
///             body: &operation.input,
///             timeout: Duration::from_secs(5),
///         };
///         let _ = post(call).await;
///         Outcome::succeeded()
///     })
///     .expect("it runs");
/// assert_eq!(judged.result.verdict, Verdict::Failed);
/// ```
#[derive(Clone, Debug)]
pub struct Harness {
    scenario: Scenario,
    seed: Seed,
    options: RunOptions,
    control: bool,
}

/// A run that was judged.
#[derive(Debug)]
pub struct Judged {
    /// The verdict, with every invariant's own.
    pub result: ScenarioResult,
    /// What happened.
    pub trace: Trace,
}

/// A scenario that cannot run, with everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{}", in_words(.0))]
pub struct WrongScenario(pub Vec<Diagnostic>);

impl Harness {
    /// A harness for a resolved scenario, with the scenario's own seed.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let options = RunOptions { file: format!("<{}>", scenario.name), ..RunOptions::default() };
        Self { seed: scenario.seed, scenario, options, control: true }
    }

    /// A harness for a scenario in YAML. A path of an API in it counts from the current folder.
    ///
    /// # Errors
    ///
    /// When something is wrong with the scenario.
    pub fn from_yaml(text: &str) -> Result<Self, WrongScenario> {
        let checked = read(
            "<scenario>",
            text.as_bytes(),
            Apis::Beside(Path::new(".")),
            &Overrides::default(),
        );
        checked.scenario.map(Self::new).ok_or(WrongScenario(checked.diagnostics))
    }

    /// Runs with this seed instead of the scenario's own.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Writes the traces to this folder, which is created if need be. Without it they stay in memory.
    #[must_use]
    pub fn trace_to(mut self, dir: &Path) -> Self {
        self.options.dir = Some(dir.to_owned());
        self
    }

    /// Leaves out the control run, which shows that the client works in fair weather.
    #[must_use]
    pub fn without_control(mut self) -> Self {
        self.control = false;
        self
    }

    /// Drives the client and judges it.
    ///
    /// # Errors
    ///
    /// When the run cannot be made; a client that misbehaves is no error.
    pub fn run(&self, client: impl InProcess + 'static) -> Result<Judged, RunError> {
        let client = Client::InProcess(std::sync::Arc::new(client));
        let mut control = None;
        if self.control {
            control = Some(run_control(&self.scenario, &client, &self.options)?);
        }
        let run = run_main(&self.scenario, self.seed, &client, &self.options)?;
        let reproduce = format!("run the harness again with seed {}", self.seed.get());
        let result = run.judged(&self.scenario, control, reproduce);
        Ok(Judged { result, trace: run.trace })
    }
}

/// All problems, one a line.
fn in_words(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|one| match &one.cure {
            Some(cure) => format!("{}: {}; {cure}", one.path, one.message),
            None => format!("{}: {}", one.path, one.message),
        })
        .collect();
    lines.join("\n")
}
