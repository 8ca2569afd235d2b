//! A refusal: why an invocation cannot go on, in one sentence with a cure.
//!
//! **Invariant:** a refusal says what to do instead and carries its exit code.

use std::fmt::Display;

use super::exit::Exit;
use crate::report::{PlacedDiagnostic, Trouble};
use crate::run::RunError;

/// Why an invocation ends without a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// [`Exit::Usage`] or [`Exit::Harness`].
    pub exit: Exit,
    /// A fragment in lower case, the cure after a semicolon; empty when all has been said already.
    pub message: String,
    /// Every mistake of every file, where files of the user's are wrong.
    pub diagnostics: Vec<PlacedDiagnostic>,
}

impl Refusal {
    /// The scenario or the command line is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), diagnostics: Vec::new() }
    }

    /// Files of the user's are wrong, and each mistake has been shown.
    #[must_use]
    pub fn wrong_files(files: usize, diagnostics: Vec<PlacedDiagnostic>) -> Self {
        let files = if files == 1 { "1 file is".to_owned() } else { format!("{files} files are") };
        let message = format!("{files} wrong, so nothing ran; mend each mistake that is shown");
        Self { exit: Exit::Usage, message, diagnostics }
    }

    /// The harness cannot run here.
    #[must_use]
    pub fn harness(message: impl Into<String>) -> Self {
        Self { exit: Exit::Harness, message: message.into(), diagnostics: Vec::new() }
    }

    /// The same for a report.
    #[must_use]
    pub fn as_trouble(&self) -> Trouble {
        let message = if self.message.is_empty() {
            "standard error says what is wrong".to_owned()
        } else {
            self.message.clone()
        };
        Trouble { exit_code: self.exit.code(), message, diagnostics: self.diagnostics.clone() }
    }

    /// The world failed: an error of the operating system or of a part of the harness, with all that
    /// stands behind it.
    #[must_use]
    pub fn because(error: &dyn std::error::Error) -> Self {
        Self::harness(chain(error))
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Self {
        let exit =
            if error.exit_code() == Exit::Usage.code() { Exit::Usage } else { Exit::Harness };
        Self { exit, message: chain(&error), diagnostics: Vec::new() }
    }
}

/// An error and everything it came from, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Words in backticks, separated by commas.
#[must_use]
pub fn list_of<T: Display>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = Outer(std::io::Error::other("disk full"));
        assert_eq!(chain(&error), "outer: disk full");
    }
}
