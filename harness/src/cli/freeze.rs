//! `brownout freeze`: the faults that struck in a run become a scenario that strikes the same.
//!
//! **Invariant:** what it prints is a scenario that `run` takes.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::refusal::Refusal;
use super::run::arguments::quoted;
use super::terminal::Terminal;
use super::{load, scenario_file};
use crate::search::case::Label;
use crate::search::freeze::freeze;

/// Turns a trace into a scenario: every fault that struck in that run, as a script at the same places.
///
/// What was drawn by chance, by time or by count stands in the script at its exact coordinates, so that the run
/// can be repeated whatever becomes of the rules, and be cut down by hand to what matters.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  brownout freeze .brownout/payments-lost-response/7/trace.jsonl > incident.yaml
  brownout run incident.yaml -- ./client")]
pub struct FreezeArguments {
    /// The trace of a run.
    #[arg(value_name = "TRACE")]
    trace: PathBuf,

    /// Writes the scenario to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The trace cannot be read, or the file cannot be written.
pub fn run(arguments: &FreezeArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let (trace, scenario) = load::trace(&arguments.trace)?;
    let shown = arguments.trace.display().to_string();
    let Some(frozen) = freeze(&trace, &scenario) else {
        return Err(Refusal::usage(format!(
            "`{shown}` names no provider; give the trace of a run of a scenario"
        )));
    };
    for note in &frozen.notes {
        terminal.err(&format!("note: {note}\n"));
    }
    let mut story = vec![
        format!("What struck in a run of `{}` with seed {}.", scenario.name, trace.run.seed),
        format!("Frozen with: brownout freeze {}", quoted(&shown)),
    ];
    story.extend(frozen.notes.iter().map(|note| format!("Left out: {note}.")));
    let folder = arguments.write.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let label = Label {
        name: format!("{}-frozen", scenario.name),
        summary: format!("What struck in a run of {} with seed {}.", scenario.name, trace.run.seed),
        apis: scenario_file::apis_from(&scenario, Path::new(&trace.run.file), folder),
        story,
    };
    let text = frozen.case.to_yaml(&label);
    match &arguments.write {
        Some(file) => {
            scenario_file::write(file, &text)?;
            terminal.err(&format!("wrote `{}`\n", file.display()));
        }
        None => terminal.out(&text),
    }
    Ok(Exit::Passed)
}
