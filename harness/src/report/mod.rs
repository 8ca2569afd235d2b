//! Reports: what a verdict looks like to a person or to another program, one file a format.
//!
//! A report is told from [`Report`] alone; it knows neither clients nor providers nor the command line.
//! **Invariant:** every format is a pure function from a [`Report`] to text, so each has snapshots.

pub mod baseline;
#[cfg(feature = "cli")]
pub mod diagnostics;
mod facts;
pub mod github;
pub mod group;
pub mod human;
pub mod json;
#[cfg(feature = "cli")]
pub mod junit;
mod lines;
pub mod registry;
pub mod sentence;
pub mod story;
pub mod style;

use std::collections::BTreeSet;

use brownout_provider::document::{Diagnostic, Place, Source};
use serde::Serialize;

use self::baseline::{Compared, Known};
use crate::verdict::{InvariantResult, InvariantVerdict, ScenarioResult, Verdict};

/// So many allowed words are said in a line.
const MOST_ALLOWED: usize = 10;

/// Everything that was run and judged in one invocation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry a scenario and seed, in the order of files and seeds.
    pub entries: Vec<Entry>,
    /// What kept the invocation from its end, where something did.
    pub trouble: Option<Trouble>,
    /// What came of the baseline, where one was given.
    pub baseline: Option<Compared>,
}

/// What kept an invocation from its end: the command line, a scenario, or the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The exit code: 3 or 4.
    pub exit_code: u8,
    /// What is wrong and what to do, in words.
    pub message: String,
    /// Every mistake of every file, where files of the user's are wrong.
    pub diagnostics: Vec<PlacedDiagnostic>,
}

/// What is wrong at one place of a file, for programs that show it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedDiagnostic {
    /// The file, as the user wrote it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Where in the document's tree: `faults[0].inject.latency`; empty for the document itself.
    pub path: String,
    /// What is wrong: a fragment in lower case.
    pub message: String,
    /// What would be allowed here, where that is a short list.
    pub allowed: Vec<String>,
    /// The allowed word that was probably meant.
    pub did_you_mean: Option<String>,
    /// What to do instead.
    pub cure: Option<String>,
}

impl PlacedDiagnostic {
    /// A diagnostic of this file.
    #[must_use]
    pub fn new(source: &Source, diagnostic: &Diagnostic) -> Self {
        let Place { line, column, .. } = source.place_of(diagnostic);
        Self {
            file: source.file.clone(),
            line,
            column,
            path: diagnostic.path.clone(),
            message: diagnostic.message.clone(),
            allowed: diagnostic.allowed.clone(),
            did_you_mean: diagnostic.did_you_mean.clone(),
            cure: diagnostic.cure.clone(),
        }
    }

    /// What is wrong and what to do, without the place.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { message, allowed, did_you_mean, cure, .. } = self;
        let mut text = message.clone();
        if let Some(word) = did_you_mean {
            text = format!("{text}; did you mean `{word}`?");
        } else if !allowed.is_empty() && allowed.len() <= MOST_ALLOWED {
            text = format!("{text}; allowed: {}", allowed.join(", "));
        }
        if let Some(cure) = cure {
            text = format!("{text}; {cure}");
        }
        text
    }

    /// The same with the place before it: `a.yaml:2:1: …`.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.in_words())
    }
}

/// One judged run, with the stories of its violations.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The verdict, as data.
    pub result: ScenarioResult,
    /// One story for each invariant that failed, in the order of `expect`.
    pub stories: Vec<Story>,
    /// True when it is inconclusive only because no rule struck with this seed, while one struck with
    /// another: it is shown, and does not count.
    pub excused: bool,
    /// The violations of this scenario that are known and fail nothing.
    pub known: Vec<Known>,
}

/// The first violation of an invariant as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The invariant's name.
    pub invariant: &'static str,
    /// The lines of the operation's timeline; empty for a violation about the whole run.
    pub timeline: Vec<String>,
    /// What the invariant, with its parameters, demands.
    pub expected: String,
    /// What to change in the client.
    pub cure: String,
}

/// A format of reports, as the registry knows it.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The word after `--format`.
    pub name: &'static str,
    /// One sentence: who reads it.
    pub summary: &'static str,
    /// Writes the whole report, with a line break at the end.
    pub render: fn(&Report) -> String,
    /// What the format writes beside the report.
    pub aside: Option<Aside>,
}

/// A text beside a report, for a place that the surroundings name.
#[derive(Clone, Copy, Debug)]
pub struct Aside {
    /// The environment variable that holds the path of the file to which it is appended.
    pub variable: &'static str,
    /// Writes the text.
    pub render: fn(&Report) -> String,
}

impl Entry {
    /// What was broken and is not known.
    pub fn broken(&self) -> impl Iterator<Item = &InvariantResult> {
        self.result
            .invariants
            .iter()
            .filter(|one| one.verdict == InvariantVerdict::Failed && self.known(one.name).is_none())
    }

    /// What the baseline says of violations of this invariant.
    #[must_use]
    pub fn known(&self, invariant: &str) -> Option<&Known> {
        self.known.iter().find(|one| one.invariant == invariant)
    }

    /// The verdict, where it counts.
    #[must_use]
    pub fn counted(&self) -> Option<Verdict> {
        (!self.excused).then_some(self.result.verdict)
    }
}

impl Report {
    /// Excuses each seed with which no rule struck, where one struck with another seed of the same
    /// scenario: it says nothing, for or against the client.
    pub fn excuse_calm_seeds(&mut self) {
        let struck: BTreeSet<(String, String)> = self
            .entries
            .iter()
            .filter(|entry| !entry.result.faults.is_empty())
            .map(|entry| scenario_of(&entry.result))
            .collect();
        for entry in &mut self.entries {
            entry.excused = entry.result.no_strike
                && entry.result.verdict == Verdict::Inconclusive
                && struck.contains(&scenario_of(&entry.result));
        }
    }

    /// The verdict of the invocation: failed before inconclusive before passed, and inconclusive when
    /// nothing ran.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.entries.iter().filter_map(Entry::counted).max().unwrap_or(Verdict::Inconclusive)
    }
}

/// What the seeds of one scenario have in common.
fn scenario_of(result: &ScenarioResult) -> (String, String) {
    (result.file.clone(), result.name.clone())
}

#[cfg(test)]
mod tests;
