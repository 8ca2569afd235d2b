//! `brownout explore`: every combination of faults over the first attempts.
//!
//! **Invariant:** "has survived all schedules" is printed only where it is true.

use clap::Args;
use serde_json::Value;

use super::told::{self, counted, document, grouped, printed};
use super::{SearchArguments, Stage, Watch};
use crate::cli::exit::Exit;
use crate::cli::refusal::Refusal;
use crate::cli::terminal::Terminal;
use crate::report::style::Style;
use crate::scenario::{Overrides, Scenario};
use crate::search::Ground;
use crate::search::explore::{Choice, Explored, Space, explore};
use crate::search::script;

/// More schedules than this are explored only when it is asked for twice.
const MANY: u128 = 100_000;

/// Runs every combination of faults over the first attempts of an operation.
///
/// At each of the first attempts one of the faults strikes, or none. Schedules that differ only where the client
/// never came are one, and are run once. Operations are done one after the other. The first violation ends the
/// search and is cut down to the least that still violates the same invariant.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout explore scenarios/payments/lost-response.yaml --depth 4 -- python3 my_client.py
  brownout explore my-scenario.yaml --faults 'reset: {at: after_commit}, status: {code: 503}, hang' -- ./client

Exit codes:
  1 found   0 survived   2 could not say   3 wrong scenario or command line   4 could not run")]
pub struct ExploreArguments {
    #[command(flatten)]
    search: SearchArguments,

    /// The first so many attempts of each operation.
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "Searching")]
    depth: u32,

    /// The first so many operations.
    #[arg(long, value_name = "M", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=1_000), help_heading = "Searching")]
    operations: u64,

    /// The faults, as they stand in a scenario, or names of its rules, with commas between them; those of all
    /// its rules when left out.
    #[arg(long, value_name = "FAULTS", help_heading = "Searching")]
    faults: Option<String>,

    /// Explores also more than 100,000 schedules.
    #[arg(long, help_heading = "Searching")]
    yes: bool,
}

/// Runs the command.
///
/// # Errors
/// Anything is wrong before the first run, or a run cannot be made.
pub fn run(arguments: &ExploreArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let source = crate::cli::sources::read_one(&arguments.search.scenario)?;
    let loaded = crate::cli::load::one(&source, &Overrides::default(), terminal)?;
    let space = space(arguments, &loaded.scenario)?;
    let total = space.total();
    let places = format!(
        "{} or none at each of the first {} of {}",
        counted(space.faults().len(), "fault"),
        counted(arguments.depth, "attempt"),
        counted(arguments.operations, "operation"),
    );
    if total > MANY && !arguments.yes {
        return Err(Refusal::usage(format!(
            "{} are more than {}: {places}; lower `--depth`, name fewer `--faults`, or say `--yes`",
            counted(total, "schedule"),
            grouped(MANY)
        )));
    }
    let stage = Stage::set(&arguments.search, Overrides::default(), terminal)?;
    terminal.err(&format!("{}: {places}\n", counted(total, "schedule")));
    let mut explored =
        Explored { total, runs: 0, covered: 0, survived: false, found: None, doubt: stage.doubt() };
    if explored.doubt.is_none() {
        let goes_on = || !stage.stop.is_stopped();
        let run = |scenario: &_, seed| stage.run(scenario, seed);
        let scenario = std::sync::Arc::clone(&stage.scenario);
        let ground = Ground { scenario, run: &run, jobs: stage.jobs, goes_on: &goes_on };
        let mut watch = Watch::new(terminal, u64::try_from(total).unwrap_or(u64::MAX));
        // The seed of the command line may be another than that of the file.
        let space = self::space(arguments, &stage.scenario)?;
        explored = explore(&ground, &space, &mut |news| watch.hear(news))?;
        watch.progress.end();
    }
    tell(&stage, &explored, arguments)
}

fn space(arguments: &ExploreArguments, scenario: &Scenario) -> Result<Space, Refusal> {
    let choice = Choice {
        faults: arguments
            .faults
            .as_deref()
            .map(|text| faults(text, scenario))
            .transpose()?
            .unwrap_or_default(),
        depth: arguments.depth,
        operations: arguments.operations,
    };
    Space::new(scenario, &choice).map_err(Refusal::usage)
}

/// The faults that the user names: as they stand in a scenario, or by the rules that inject them.
fn faults(text: &str, scenario: &Scenario) -> Result<Vec<Value>, Refusal> {
    let read: Result<Vec<Value>, _> = serde_yaml::from_str(&format!("[{text}]"));
    let read = read.map_err(|_| {
        Refusal::usage(format!(
            "`--faults {text}` cannot be read; write it as in a scenario: `--faults 'reset: {{at: after_commit}}, hang'`"
        ))
    })?;
    if read.is_empty() {
        return Err(Refusal::usage(
            "`--faults` names none; write one as in a scenario, or leave it out for those of all rules",
        ));
    }
    let of_rule = |one: &Value| {
        let rules = scenario.source.get("faults")?.as_array()?;
        let rule = rules.iter().find(|rule| one.is_string() && rule["name"] == *one)?;
        Some(script::faults_in(&rule["inject"]).into_iter().cloned().collect::<Vec<Value>>())
    };
    Ok(read.into_iter().flat_map(|one| of_rule(&one).unwrap_or_else(|| vec![one])).collect())
}

fn tell(stage: &Stage, explored: &Explored, arguments: &ExploreArguments) -> Result<Exit, Refusal> {
    let written = explored.found.as_ref().map(|found| stage.write(found)).transpose()?;
    let pair = explored.found.as_ref().zip(written.as_ref());
    let exit = match (&explored.found, explored.survived) {
        (Some(_), _) => Exit::Failed,
        (None, true) => Exit::Passed,
        (None, false) => Exit::Inconclusive,
    };
    if stage.arguments.format == "json" {
        let mut document = document("explore", pair);
        document["scenario"] = stage.scenario.name.as_str().into();
        document["file"] = stage.file.as_str().into();
        document["schedules"] = u64::try_from(explored.total).unwrap_or(u64::MAX).into();
        document["runs"] = explored.runs.into();
        document["survived"] = explored.survived.into();
        document["reason"] = explored.doubt.clone().into();
        stage.terminal.out(&printed(&document));
        return Ok(stage.exit(exit));
    }
    let text = match pair {
        Some((found, written)) => {
            let runs = counted(explored.runs, "schedule");
            let first = format!(
                "This client breaks `{}`; {runs} of {} were run.",
                found.invariant,
                grouped(explored.total)
            );
            told::found(found, written, &first)
        }
        None if explored.survived => survived(explored, arguments),
        None => format!(
            "{} Nothing can be said after {} of {}: {}.\n",
            Style::Doubt.paint("?"),
            counted(explored.runs, "run"),
            counted(explored.total, "schedule"),
            explored.doubt.as_deref().unwrap_or("nobody knows why"),
        ),
    };
    stage.terminal.out(&text);
    Ok(stage.exit(exit))
}

/// The sentence, and what of it was run.
fn survived(explored: &Explored, arguments: &ExploreArguments) -> String {
    let over = match arguments.operations {
        1 => String::new(),
        more => format!(" over {} one after the other", counted(more, "operation")),
    };
    let left_out = explored.total.saturating_sub(u128::from(explored.runs));
    let rest = match left_out {
        0 => "Each of them was run.".to_owned(),
        some => format!(
            "{} were run; the other {} differ from one of these only at attempts that the client never made.",
            grouped(explored.runs),
            grouped(some),
        ),
    };
    format!(
        "{} This client has survived all {} of depth {}{over}. {rest}\n",
        Style::Good.paint("✓"),
        counted(explored.total, "schedule"),
        arguments.depth,
    )
}
