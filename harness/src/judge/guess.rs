//! The rule about guesses: no invariant fails on evidence that needs a guess where another reading
//! clears the client.
//!
//! **Invariant:** a violation is only ever taken back here, never added.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use crate::invariant::{Invariant, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::Trace;

/// What makes guesses unnecessary, where the API's file knows no better.
const CURE: &str = "set `operation_id` in the workload to where each request names its work (such as \
                    `json:/order` or `header:x-order`)";

/// What makes guesses unnecessary: in the API's own words, unless the scenario has a place of its own.
pub(super) fn cure(scenario: &Scenario) -> String {
    if let Some(place) = &scenario.workload.operation_id {
        return format!(
            "`operation_id` looks for it in {}; let each request carry it",
            place.in_words()
        );
    }
    let naming = scenario.providers.values().find_map(|provider| provider.api.naming.as_deref());
    naming.unwrap_or(CURE).to_owned()
}

/// The other readings of a trace, made when first asked for.
pub(super) struct Readings<'a> {
    trace: &'a Trace,
    cure: String,
    split: OnceLock<Option<Trace>>,
    merged: OnceLock<Option<Trace>>,
}

impl<'a> Readings<'a> {
    pub(super) fn of(trace: &'a Trace, scenario: &Scenario) -> Self {
        Self { trace, cure: cure(scenario), split: OnceLock::new(), merged: OnceLock::new() }
    }

    /// Takes back the violations that do not stand in every reading, and says so.
    pub(super) fn clear(&self, invariant: &dyn Invariant, judgement: &mut Judgement) {
        let trace = self.trace;
        let split = self.split.get_or_init(|| trace.split()).as_ref();
        // That two operations may be one clears nobody of what was done within one of them.
        let merged = if invariant.kind().needs_separation {
            self.merged.get_or_init(|| trace.merged()).as_ref()
        } else {
            None
        };
        let before = judgement.violations.len();
        for other in split.into_iter().chain(merged) {
            let there = proofs(&invariant.check(other).violations);
            judgement
                .violations
                .retain(|violation| violation.evidence.iter().any(|seq| there.contains(seq)));
        }
        let cleared = before - judgement.violations.len();
        if cleared == 0 {
            return;
        }
        let left = u64::try_from(cleared).unwrap_or(u64::MAX);
        judgement.exercised = judgement.exercised.saturating_sub(left);
        let number = if cleared == 1 {
            "1 violation rests".to_owned()
        } else {
            format!("{cleared} violations rest")
        };
        judgement.reason = Some(format!(
            "{number} on a guess which requests belong together, and another reading clears the client; {}",
            self.cure
        ));
        if judgement.violations.is_empty() {
            judgement.exercised = 0;
        }
    }
}

/// The events that prove any of these.
fn proofs(violations: &[Violation]) -> BTreeSet<u64> {
    violations.iter().flat_map(|violation| violation.evidence.iter().copied()).collect()
}
