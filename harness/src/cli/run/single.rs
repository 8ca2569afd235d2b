//! One main run: driven, judged, and told.
//!
//! **Invariant:** the trace is judged as it stands in memory and then dropped, so that a thousand seeds cost
//! the memory of the few that run at the same time.

use std::path::PathBuf;

use brownout_provider::event::Mode;
use brownout_provider::seed::Seed;
use brownout_provider::units::{in_words, micros};

use super::Context;
use super::plan::Planned;
use crate::cli::refusal::Refusal;
use crate::drive::suite::Patience;
use crate::incident::BuiltIn;
use crate::judge::{self, Comparison};
use crate::report::Entry;
use crate::report::story;
use crate::run::{Run, RunOptions, run_main};
use crate::verdict::{ControlResult, ScenarioResult, Verdict};

/// What the main runs of one scenario share.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    /// The invocation.
    pub context: &'a Context,
    /// The scenario.
    pub planned: &'a Planned,
    /// What came of its control run.
    pub control: Option<&'a ControlResult>,
}

impl Single<'_> {
    /// Runs one seed, twice where that is asked for.
    ///
    /// # Errors
    /// The harness cannot run.
    pub fn run(self, seed: Seed) -> Result<Entry, Refusal> {
        let Self { context, planned, control } = self;
        let first = self.drive(seed, &seed.get().to_string())?;
        let reproduce = context.arguments.reproduce(&planned.file, seed);
        let mut entry = story::entry(&planned.scenario, &first, control.cloned(), reproduce);
        entry.result.notes.extend(planned.notes.iter().cloned());
        if let Some(baseline) = &context.baseline {
            baseline.forgive(&mut entry);
        }
        if context.arguments.twice && !context.stop.is_stopped() {
            let second = self.drive(seed, &format!("{}-second", seed.get()))?;
            note_comparison(&mut entry.result, &judge::compare(&first.trace, &second.trace));
        }
        Ok(entry)
    }

    fn drive(self, seed: Seed, name: &str) -> Result<Run, Refusal> {
        let dir = self.context.out.of_run(&self.planned.scenario.name, name)?;
        let BuiltIn { client, reconciler } = self.planned.cast(seed);
        let options = RunOptions { reconciler, ..options(self.context, self.planned, dir) };
        Ok(run_main(&self.planned.scenario, seed, &client, &options)?)
    }
}

/// Writes what came of a second run into the result of the first: other draws fail it, other coordinates
/// are the client's own and only remarked.
fn note_comparison(result: &mut ScenarioResult, comparison: &Comparison) {
    let compared = comparison.compared;
    match comparison.differences.first() {
        Some(first) => {
            result.verdict = Verdict::Failed;
            result.reason = Some(format!(
                "two runs of one seed drew different faults for {} of {compared} attempts, such as {first}",
                comparison.differences.len()
            ));
        }
        None => result.notes.push(format!(
            "run twice: the same faults were drawn for all {compared} attempts that both runs saw"
        )),
    }
    if let Some(first) = comparison.client.first() {
        result.notes.push(format!(
            "run twice: the client itself did not do the same again, such as {first}"
        ));
    }
}

/// What every run of a scenario needs.
#[must_use]
pub fn options(context: &Context, planned: &Planned, dir: PathBuf) -> RunOptions {
    RunOptions {
        file: planned.file.clone(),
        dir: Some(dir),
        port: context.arguments.port,
        clock: planned.clock,
        speed: context.speed.clone(),
        allow_network: context.arguments.allow_network.clone(),
        stop: context.stop.clone(),
        owns_process: true,
        ..RunOptions::default()
    }
}

/// The line of progress for it.
#[must_use]
pub fn line(planned: &Planned, seed: Seed, entry: Option<&Entry>) -> String {
    let said = match entry.map(|entry| entry.result.verdict) {
        Some(Verdict::Passed) => "passed",
        Some(Verdict::Failed) => "failed",
        Some(Verdict::Inconclusive) => "inconclusive",
        None => "could not run",
    };
    format!("{}, seed {}: {said}", planned.scenario.name, seed.get())
}

/// So many runs are named that are still under way.
const NAMED: usize = 3;

/// The line of progress for runs that are under way for long: their scenarios and seeds (`None` for a
/// control run), and when a suite among them will be ended.
#[must_use]
pub fn still(runs: Vec<(&Planned, Option<Seed>)>) -> String {
    let of = |(planned, seed): &(&Planned, Option<Seed>)| {
        let name = &planned.scenario.name;
        seed.map_or(format!("{name}, control run"), |seed| format!("{name}, seed {}", seed.get()))
    };
    let mut text = runs.iter().take(NAMED).map(of).collect::<Vec<_>>().join("; ");
    if runs.len() > NAMED {
        text = format!("{text}; and {} more", runs.len() - NAMED);
    }
    let suite = runs.iter().find(|(planned, _)| planned.client.mode() == Mode::Suite);
    if let Some((planned, _)) = suite {
        let patience = Patience::new(planned.scenario.workload.deadline);
        text = format!(
            "{text} (a suite is ended when it waits {} for one answer, or does nothing for {})",
            in_words(micros(patience.for_an_answer)),
            in_words(micros(patience.for_anything))
        );
    }
    text
}
