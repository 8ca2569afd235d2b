//! Scenario files as scenarios that can run, with everything that is wrong printed at once.
//!
//! **Invariant:** after a refusal every problem of every file has been printed, and nothing has run.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use brownout_provider::document::{Diagnostic, Severity};

use super::refusal::{Refusal, chain};
use super::sources::Source;
use super::terminal::Terminal;
use crate::report::{PlacedDiagnostic, diagnostics};
use crate::scenario::shipped::Shipped;
use crate::scenario::{Apis, Checked, Overrides, Scenario, from_value, read};
use crate::trace::{self, Trace};

/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;

/// A scenario that can run, and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The file, as the user would write it.
    pub file: String,
    /// The scenario.
    pub scenario: Scenario,
}

/// Loads all files; prints every problem of every file.
///
/// # Errors
/// Any file has an error.
pub fn all(
    sources: &[Source],
    overrides: &Overrides,
    terminal: Terminal,
) -> Result<Vec<Loaded>, Refusal> {
    let checked: Vec<Checked> = sources.iter().map(|source| check(source, overrides)).collect();
    let wrong: Vec<&Checked> = checked.iter().filter(|one| one.scenario.is_none()).collect();
    if !wrong.is_empty() {
        for one in &wrong {
            terminal.err(&diagnostics::render(&one.source, &errors(one)));
        }
        return Err(Refusal::wrong_files(wrong.len(), placed(&wrong)));
    }
    Ok(checked
        .into_iter()
        .filter_map(|one| Some(Loaded { file: one.source.file, scenario: one.scenario? }))
        .collect())
}

/// Loads one file.
///
/// # Errors
/// It has an error.
pub fn one(source: &Source, overrides: &Overrides, terminal: Terminal) -> Result<Loaded, Refusal> {
    let mut loaded = all(std::slice::from_ref(source), overrides, terminal)?;
    loaded.pop().ok_or_else(|| Refusal::usage("the file holds no scenario"))
}

/// Loads a scenario that is inside the program.
///
/// # Errors
/// Never in a program that passed its tests: shipped scenarios are checked there.
pub fn shipped(
    shipped: &Shipped,
    overrides: &Overrides,
    terminal: Terminal,
) -> Result<Loaded, Refusal> {
    one(&Source::shipped(shipped), overrides, terminal)
}

/// Reads one file and finds all that is wrong with it.
#[must_use]
pub fn check(source: &Source, overrides: &Overrides) -> Checked {
    let folder = source.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let apis = Apis::Beside(folder.unwrap_or(Path::new(".")));
    read(&source.path.to_string_lossy(), &source.bytes, apis, overrides)
}

/// Reads a trace, and the scenario that it holds.
///
/// # Errors
/// It cannot be read, or this brownout does not understand its scenario.
pub fn trace(file: &Path) -> Result<(Trace, Scenario), Refusal> {
    let shown = file.display().to_string();
    let wrong = |why: String| Refusal::usage(format!("`{shown}`: {why}"));
    let open = File::open(file).map_err(|error| wrong(format!("{error}; check the path")))?;
    let bytes = open.metadata().map_or(0, |it| it.len());
    let trace = trace::read::read_sized(BufReader::with_capacity(BUFFER, open), bytes, |_| {})
        .map_err(|it| wrong(chain(&it)))?;
    let kept = Apis::Kept(&trace.run.apis);
    let (scenario, problems) = from_value(&trace.run.scenario, kept, &Overrides::default());
    let Some(scenario) = scenario else {
        let first = problems.iter().find(|one| one.severity == Severity::Error);
        return Err(wrong(format!(
            "the scenario that it holds is wrong: {}; judge it with the brownout that wrote it",
            first.map_or("nobody knows why", |one| one.message.as_str())
        )));
    };
    Ok((trace, scenario))
}

/// The errors of a file; remarks are for `check`.
fn errors(checked: &Checked) -> Vec<Diagnostic> {
    checked.diagnostics.iter().filter(|one| one.severity == Severity::Error).cloned().collect()
}

/// Every error of these files with its place, for programs.
#[must_use]
pub fn placed(wrong: &[&Checked]) -> Vec<PlacedDiagnostic> {
    let of_file = |one: &&Checked| {
        errors(one)
            .iter()
            .map(|error| PlacedDiagnostic::new(&one.source, error))
            .collect::<Vec<_>>()
    };
    wrong.iter().flat_map(of_file).collect()
}
