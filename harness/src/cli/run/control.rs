//! The control run of a scenario: does the client work in fair weather?
//!
//! **Invariant:** made once per scenario and command, before any main run of the invocation.

use super::Context;
use super::plan::Planned;
use super::single::options;
use crate::cli::refusal::Refusal;
use crate::drive::stop::Stop;
use crate::incident::BuiltIn;
use crate::run::{RunOptions, run_control};
use crate::verdict::ControlResult;

/// Makes it.
///
/// # Errors
/// The harness cannot run, or the workload cannot be rendered.
pub fn run(context: &Context, planned: &Planned) -> Result<ControlResult, Refusal> {
    let dir = context.out.of_run(&planned.scenario.name, "control")?;
    let BuiltIn { client, reconciler } = planned.cast(planned.scenario.seed);
    let options = RunOptions { reconciler, ..options(context, planned, dir) };
    Ok(run_control(&planned.scenario, &client, &options)?)
}

/// The line of progress for it.
#[must_use]
pub fn line(planned: &Planned, result: Option<&ControlResult>, stop: &Stop) -> String {
    let said = match result {
        Some(result) if result.passed => "passed",
        Some(_) if stop.is_stopped() => "interrupted",
        Some(_) => "failed",
        None => "could not run",
    };
    format!("{}, control run: {said}", planned.scenario.name)
}
