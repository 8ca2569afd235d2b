//! What can only be said when all seeds of a scenario have run.
//!
//! **Invariant:** it never makes a failed run anything else.

use std::collections::BTreeSet;

use crate::report::{Entry, Report};
use crate::verdict::{InvariantVerdict, Verdict};

/// An expectation that no run of its scenario exercised makes passed runs inconclusive.
pub fn demand_exercise(report: &mut Report) {
    let met: BTreeSet<(String, &'static str)> = report
        .entries
        .iter()
        .flat_map(|entry| entry.result.invariants.iter().map(move |one| (entry, one)))
        .filter(|(_, one)| one.verdict != InvariantVerdict::NotExercised)
        .map(|(entry, one)| (entry.result.name.clone(), one.name))
        .collect();
    for Entry { result, .. } in &mut report.entries {
        if result.verdict != Verdict::Passed {
            continue;
        }
        let missing: Vec<String> = result
            .invariants
            .iter()
            .filter(|one| !met.contains(&(result.name.clone(), one.name)))
            .map(|one| format!("`{}`", one.name))
            .collect();
        if !missing.is_empty() {
            result.verdict = Verdict::Inconclusive;
            result.reason = Some(format!(
                "{} was not exercised by any run, and --require-exercised asks for it; try more seeds or a fault that leads there",
                missing.join(", ")
            ));
        }
    }
}
