//! `brownout hunt`: random seeds and schedules until the client breaks, and then the smallest that does it.
//!
//! **Invariant:** exit code 1 says that a violation was found, 0 that none was, 2 that nothing can be said.

use brownout_provider::shell::clock::Clock;
use brownout_provider::units::Period;
use clap::Args;

use super::told::{self, counted, document, printed};
use super::{SearchArguments, Stage, Watch};
use crate::cli::exit::Exit;
use crate::cli::refusal::Refusal;
use crate::cli::terminal::Terminal;
use crate::report::style::Style;
use crate::scenario::Overrides;
use crate::search::Ground;
use crate::search::hunt::{Hunted, Limits, hunt};
use crate::search::pursue::Firmness;

/// Searches seeds and schedules for a violation, and shrinks what it finds.
///
/// Runs the client under random seeds of the scenario, and under random schedules of the faults that its rules
/// name, at any operation, attempt and point. The first violation is run again to tell whether it is firm, and is
/// then cut down to the least that still violates the same invariant, which is written as a scenario to commit.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout hunt scenarios/payments/lost-response.yaml -- python3 my_client.py
  brownout hunt my-scenario.yaml --mode stdio --time 5m --jobs 8 -- ./worker

Exit codes:
  1 found   0 not found   2 could not say   3 wrong scenario or command line   4 could not run")]
pub struct HuntArguments {
    #[command(flatten)]
    search: SearchArguments,

    /// Searches for so long; making smaller what was found takes its own time.
    #[arg(long, value_name = "TIME", default_value = "60s", help_heading = "Searching")]
    time: Period,

    /// Makes at most so many runs before something is found.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, hide_default_value = true,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Searching")]
    runs: u64,

    /// How many operations, whatever the scenario says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
        help_heading = "Searching")]
    operations: Option<u64>,

    /// How many operations may be outstanding, whatever the scenario says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000),
        help_heading = "Searching")]
    concurrency: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// Anything is wrong before the first run, or a run cannot be made.
pub fn run(arguments: &HuntArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let overrides = Overrides {
        operations: arguments.operations,
        concurrency: arguments.concurrency,
        ..Overrides::default()
    };
    let stage = Stage::set(&arguments.search, overrides, terminal)?;
    let clock = Clock::real();
    let mut hunted = Hunted { runs: 0, judged: 0, found: None, doubt: stage.doubt() };
    if hunted.doubt.is_none() {
        let in_time = || clock.now_us() < arguments.time.micros();
        let goes_on = || !stage.stop.is_stopped();
        let run = |scenario: &_, seed| stage.run(scenario, seed);
        let scenario = std::sync::Arc::clone(&stage.scenario);
        let ground = Ground { scenario, run: &run, jobs: stage.jobs, goes_on: &goes_on };
        let limits = Limits { runs: arguments.runs, in_time: &in_time };
        let mut watch = Watch::new(terminal, arguments.runs);
        hunted = hunt(&ground, limits, &mut |news| watch.hear(news))?;
        watch.progress.end();
    }
    tell(&stage, &hunted, clock.now_us() / 1_000)
}

fn tell(stage: &Stage, hunted: &Hunted, elapsed_ms: u64) -> Result<Exit, Refusal> {
    let written = hunted.found.as_ref().map(|found| stage.write(found)).transpose()?;
    let pair = hunted.found.as_ref().zip(written.as_ref());
    let exit = match (&hunted.found, &hunted.doubt) {
        (Some(_), _) => Exit::Failed,
        (None, Some(_)) => Exit::Inconclusive,
        (None, None) => Exit::Passed,
    };
    if stage.arguments.format == "json" {
        let mut document = document("hunt", pair);
        document["scenario"] = stage.scenario.name.as_str().into();
        document["file"] = stage.file.as_str().into();
        document["runs"] = hunted.runs.into();
        document["reason"] = hunted.doubt.clone().into();
        document["elapsed_ms"] = elapsed_ms.into();
        stage.terminal.out(&printed(&document));
        return Ok(stage.exit(exit));
    }
    let runs = counted(hunted.runs, "run");
    let text = match (pair, &hunted.doubt) {
        (Some((found, written)), _) => {
            let sometimes = match found.firmness {
                Firmness::Firm(_) => "breaks",
                Firmness::Unknown => "broke",
                Firmness::Flaky { .. } => "sometimes breaks",
            };
            let first =
                format!("This client {sometimes} `{}`; it was found in {runs}.", found.invariant);
            told::found(found, written, &first)
        }
        (None, Some(doubt)) => {
            format!("{} Nothing can be said after {runs}: {doubt}.\n", Style::Doubt.paint("?"))
        }
        (None, None) => format!(
            "{} Nothing was found in {runs} of `{}`, {} of them with a verdict, within {} s. That is no proof; \
             `brownout explore` makes one for few attempts.\n",
            Style::Good.paint("✓"),
            stage.scenario.name,
            told::grouped(hunted.judged),
            elapsed_ms / 1_000,
        ),
    };
    stage.terminal.out(&text);
    Ok(stage.exit(exit))
}
