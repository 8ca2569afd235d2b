//! Several verdicts in one.
//!
//! **Invariant:** a seed with which no fault struck says nothing, and counts only if no other seed of
//! its scenario says more.

use crate::verdict::{ScenarioResult, Verdict};

/// For each result whether it does not count: it is inconclusive only because no rule struck, while one
/// struck with another seed of the same scenario.
#[must_use]
pub fn excused(results: &[ScenarioResult]) -> Vec<bool> {
    let struck_elsewhere = |one: &ScenarioResult| {
        results.iter().any(|other| {
            other.name == one.name && other.file == one.file && !other.faults.is_empty()
        })
    };
    results.iter().map(|one| one.no_strike && struck_elsewhere(one)).collect()
}

/// The verdict of all together: failed before inconclusive before passed, and inconclusive when nothing
/// counts.
#[must_use]
pub fn overall(results: &[ScenarioResult]) -> Verdict {
    let excused = excused(results);
    let counted = results.iter().zip(excused).filter(|(_, excused)| !excused);
    counted.map(|(result, _)| result.verdict).max().unwrap_or(Verdict::Inconclusive)
}
