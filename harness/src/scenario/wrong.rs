//! A scenario that cannot run, told to whoever wrote it in a test.
//!
//! **Invariant:** every error is told with its place, its line and its cure, however many there are.

use std::fmt;

use brownout_provider::document::{Diagnostic, Severity, Source};

use super::{Checked, Scenario};

/// How many errors are told.
const TOLD: usize = 20;

/// A scenario that cannot run, with everything that is wrong with it.
///
/// `Debug` reads like `Display`, so that an `unwrap` in a test shows every mistake with its line.
///
/// ```
/// use brownout::harness::Harness;
///
/// let wrong = Harness::from_yaml("version: 1\nnmae: typo\n").expect_err("much is missing");
/// let words = wrong.to_string();
/// assert!(words.contains("2:1: the key `nmae` is not known here; did you mean `name`?"), "{words}");
/// assert!(words.contains("2 | nmae: typo"), "{words}");
/// ```
#[derive(thiserror::Error)]
pub struct WrongScenario {
    read: Box<Source>,
    diagnostics: Vec<Diagnostic>,
}

impl WrongScenario {
    pub(crate) fn new(source: Source, diagnostics: Vec<Diagnostic>) -> Self {
        Self { read: Box::new(source), diagnostics }
    }

    /// A file that cannot be read.
    pub(crate) fn unreadable(file: String, why: &str) -> Self {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            path: String::new(),
            place: None,
            at_key: false,
            message: format!("this file cannot be read: {why}"),
            allowed: Vec::new(),
            did_you_mean: None,
            cure: Some("a path in a test counts from the folder of its package".to_owned()),
        };
        Self::new(Source { file, ..Source::default() }, vec![diagnostic])
    }

    /// All that is wrong, notes included, in the order of the text.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The text that is wrong; for a scenario that was built, the YAML of what was built.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.read.text
    }
}

impl Checked {
    /// The scenario, or everything that is wrong with it.
    ///
    /// # Errors
    ///
    /// When there is an error among the diagnostics.
    pub fn into_result(self) -> Result<Scenario, WrongScenario> {
        let Self { source, scenario, diagnostics } = self;
        scenario.ok_or_else(|| WrongScenario::new(source, diagnostics))
    }
}

impl fmt::Display for WrongScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.diagnostics.iter().filter(|one| one.severity == Severity::Error);
        let count = errors.clone().count();
        for (index, diagnostic) in errors.take(TOLD).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            tell(f, &self.read, diagnostic)?;
        }
        match count.saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

impl fmt::Debug for WrongScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the scenario is wrong:\n{self}")
    }
}

/// One error: its place and what is wrong, then the line with a caret under it.
fn tell(f: &mut fmt::Formatter<'_>, source: &Source, diagnostic: &Diagnostic) -> fmt::Result {
    let place = source.place_of(diagnostic);
    let Diagnostic { message, allowed, did_you_mean, cure, .. } = diagnostic;
    write!(f, "{}:{}:{}: {message}", source.file, place.line, place.column)?;
    match did_you_mean {
        Some(meant) => write!(f, "; did you mean `{meant}`?")?,
        None if !allowed.is_empty() => write!(f, "; allowed: {}", allowed.join(", "))?,
        None => {}
    }
    match (cure, did_you_mean) {
        (Some(cure), Some(_)) => write!(f, " ({cure})")?,
        (Some(cure), None) => write!(f, "; {cure}")?,
        (None, _) => {}
    }
    let line = place.line.checked_sub(1).and_then(|line| source.text.lines().nth(line));
    let Some(line) = line else { return Ok(()) };
    let (number, before) = (place.line, place.column.saturating_sub(1));
    let visible: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let caret = "^".repeat(place.length.clamp(1, visible.chars().count().max(1)));
    write!(f, "\n {number:>4} | {visible}\n      | {:before$}{caret}", "")
}
