//! `brownout check`: is a scenario correct, and what will it draw; or what is to be said of an old trace?
//!
//! **Invariant:** nothing is run, and every file is looked at, whatever is wrong with another.

use std::path::{Path, PathBuf};

use brownout_provider::document::Severity;
use clap::Args;

use super::exit::Exit;
use super::publish;
use super::refusal::Refusal;
use super::run::arguments::{format_names, quoted};
use super::terminal::Terminal;
use super::{load, sources};
use crate::judge::judge;
use crate::report::story;
use crate::report::style::Style;
use crate::report::{Entry, Report, diagnostics, human, registry};
use crate::scenario::schedule::Schedule;
use crate::scenario::{Checked, Overrides};

/// Checks scenarios and prints what they draw, or judges traces again.
///
/// A scenario (`.yaml`) is checked: every mistake is shown at once, or else the drawn schedule as a table of
/// operations and attempts. A trace (`.jsonl`) is judged again, with the invariants of this version.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout check scenarios
  brownout check my-scenario.yaml
  brownout check .brownout/payments-demo/42/trace.jsonl --format json

Exit codes:
  0 correct, or passed   1 failed   2 inconclusive   3 a file is wrong")]
pub struct CheckArguments {
    /// Scenario files, folders of them, or traces.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The form of the report on traces.
    #[arg(long, default_value = "human", value_parser = format_names())]
    format: String,
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, is wrong, or is no trace.
pub fn run(arguments: &CheckArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let (traces, scenarios): (Vec<PathBuf>, Vec<PathBuf>) =
        arguments.files.iter().cloned().partition(|file| is_trace(file));
    let mut exit = Exit::Passed;
    if !scenarios.is_empty() {
        exit = check_scenarios(&scenarios, terminal)?;
    }
    if traces.is_empty() {
        return Ok(exit);
    }
    let mut report = Report::default();
    for file in &traces {
        match judged_again(file) {
            Ok(entry) => report.entries.push(entry),
            Err(refusal) => {
                terminal.refuse(&refusal);
                report.trouble.get_or_insert(refusal.as_trouble());
                exit = exit.max(refusal.exit);
            }
        }
    }
    let format = registry::find(&arguments.format)
        .ok_or_else(|| Refusal::usage("no such format; `--help` names them all"))?;
    if report.entries.is_empty() && format.name == human::FORMAT.name {
        return Ok(exit);
    }
    if report.entries.is_empty() {
        publish(terminal, format, &report);
        return Ok(exit);
    }
    publish(terminal, format, &report);
    Ok(exit.max(report.verdict().into()))
}

fn is_trace(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "jsonl")
}

fn check_scenarios(files: &[PathBuf], terminal: Terminal) -> Result<Exit, Refusal> {
    let mut wrong: Vec<Checked> = Vec::new();
    for source in sources::read(files)? {
        let checked = load::check(&source, &Overrides::default());
        let (errors, notes): (Vec<_>, Vec<_>) =
            checked.diagnostics.iter().cloned().partition(|one| one.severity == Severity::Error);
        if !errors.is_empty() {
            terminal.err(&diagnostics::render(&checked.source, &checked.diagnostics));
            wrong.push(checked);
            continue;
        }
        terminal.out(&told(&checked));
        terminal.out(&diagnostics::render(&checked.source, &notes));
    }
    if wrong.is_empty() {
        return Ok(Exit::Passed);
    }
    let wrong: Vec<&Checked> = wrong.iter().collect();
    Err(Refusal::wrong_files(wrong.len(), load::placed(&wrong)))
}

/// The scenario in one line, and what it draws.
fn told(checked: &Checked) -> String {
    let Some(scenario) = &checked.scenario else { return String::new() };
    format!(
        "{} {}  {}\n{}\n",
        Style::Good.paint("✓"),
        Style::Strong.paint(&scenario.name),
        Style::Faint.paint(&checked.source.file),
        Schedule::tables(&Schedule::all(scenario)),
    )
}

/// Judges a trace with the scenario that it holds.
fn judged_again(file: &Path) -> Result<Entry, Refusal> {
    let (trace, scenario) = load::trace(file)?;
    let mut result = judge(&trace, &scenario, None);
    result.reproduce = format!("brownout check {}", quoted(&file.display().to_string()));
    result.trace = Some(file.to_owned());
    let stories = story::stories(&scenario, &trace, &result);
    Ok(Entry { result, stories, excused: false, known: Vec::new() })
}
