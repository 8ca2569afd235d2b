//! What a baseline says: which violations are known, and which of its entries are out of date.
//!
//! It knows neither the file's form nor how it is read.
//! **Invariant:** an entry is called stale only where its scenario ran and the invariant held.

use std::fmt;

use serde::Serialize;

use crate::amount::plural;

/// A violation that somebody knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The invariant that is broken.
    #[serde(skip)]
    pub invariant: String,
    /// Why it is left as it is.
    pub reason: String,
    /// Since when it is known: `2026-11-20`.
    pub date: String,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "known since {}: {}", self.date, self.reason)
    }
}

/// An entry whose violation no longer occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// The baseline's file.
    #[serde(skip)]
    pub file: String,
    /// The line of the entry, from 1.
    pub line: usize,
    /// The scenario.
    pub scenario: String,
    /// The invariant.
    pub invariant: String,
    /// True when the scenario does not expect it, or no longer.
    #[serde(skip)]
    pub is_unexpected: bool,
}

impl Stale {
    /// What is to be said of it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { file, line, scenario, invariant, .. } = self;
        let what = if self.is_unexpected {
            format!("`{scenario}` does not expect `{invariant}`")
        } else {
            format!("`{scenario}` no longer breaks `{invariant}`")
        };
        format!(
            "{what}; take the entry out of `{file}`, line {line}, so that it fails when it returns"
        )
    }
}

/// What came of a baseline in an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The file.
    pub file: String,
    /// How many entries it has.
    pub entries: usize,
    /// Of these, how many are of scenarios that did not run now.
    pub not_run: usize,
    /// The entries whose violation no longer occurs, in the order of the file.
    pub stale: Vec<Stale>,
}

impl Compared {
    /// The entries whose violation no longer occurs.
    #[must_use]
    pub fn stale(&self) -> &[Stale] {
        &self.stale
    }

    /// What is to be said of it; nothing when every entry was met.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut said: Vec<String> = self
            .stale
            .iter()
            .map(|stale| format!("the baseline is out of date: {}", stale.sentence()))
            .collect();
        if self.not_run > 0 {
            said.push(format!(
                "the baseline `{}` knows {} of scenarios that did not run now",
                self.file,
                plural(self.not_run, "violation"),
            ));
        }
        said
    }
}
