//! The sentence for a manager: the first line of the human report.
//!
//! **Invariant:** it speaks of operations and money only, and says the worst thing that is known.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Report;
use crate::amount::{amount, is_currency, plural};
use crate::invariant::registry::INVARIANTS;
use crate::invariant::{InvariantKind, Violation};
use crate::verdict::{InvariantVerdict, Verdict};

/// The invariant whose violations are double charges.
const DOUBLE_CHARGES: &str = "no_double_charges";

/// The sentence, without a full stop.
#[must_use]
pub fn sentence(report: &Report) -> String {
    match report.verdict() {
        Verdict::Failed => failed(report),
        Verdict::Inconclusive => inconclusive(report),
        Verdict::Passed => passed(report),
    }
}

/// How many operations (submits, where there are several) all runs asked for together.
fn total(report: &Report) -> u64 {
    report.entries.iter().map(|entry| entry.result.operations.total).sum()
}

fn failed(report: &Report) -> String {
    for kind in INVARIANTS {
        let violations = violations(report, kind.name);
        let Some((_, first)) = violations.first() else { continue };
        let operations: BTreeSet<_> = violations
            .iter()
            .filter_map(|(run, violation)| Some((*run, violation.operation.as_ref()?)))
            .collect();
        if operations.is_empty() {
            return format!("the client broke `{}`: {}", kind.name, first.message);
        }
        return of_operations(report, kind, operations.len());
    }
    own_rule(report)
        .unwrap_or_else(|| "the client broke a rule that this version does not know".to_owned())
}

/// The sentence for a rule that stands in no registry, because a test made it.
fn own_rule(report: &Report) -> Option<String> {
    let names = report.entries.iter().flat_map(|entry| &entry.result.invariants);
    let name = names.filter(|one| !one.violations.is_empty()).map(|one| one.name).next()?;
    let violations = violations(report, name);
    let (_, first) = violations.first()?;
    let operations: BTreeSet<_> = violations
        .iter()
        .filter_map(|(run, violation)| Some((*run, violation.operation.as_ref()?)))
        .collect();
    Some(match operations.len() {
        0 => format!("the client broke `{name}`: {}", first.message),
        count => format!("{count} of {} operations broke `{name}`", total(report)),
    })
}

/// All violations of an invariant, each with the number of its run.
fn violations<'a>(report: &'a Report, name: &str) -> Vec<(usize, &'a Violation)> {
    report
        .entries
        .iter()
        .enumerate()
        .flat_map(|(run, entry)| entry.broken().map(move |one| (run, one)))
        .filter(|(_, invariant)| invariant.name == name)
        .flat_map(|(run, invariant)| invariant.violations.iter().map(move |one| (run, one)))
        .collect()
}

fn of_operations(report: &Report, kind: &InvariantKind, count: usize) -> String {
    let total = total(report);
    if kind.name != DOUBLE_CHARGES {
        return format!("{count} of {total} operations {}", kind.headline);
    }
    let too_much = too_much(report);
    if too_much.is_empty() {
        return format!("{count} of {total} operations {}", kind.headline);
    }
    let whose = if too_much.keys().any(|unit| is_currency(unit)) {
        "customers would have been charged twice"
    } else {
        "operations would have been paid for twice"
    };
    let amounts: Vec<String> = too_much.iter().map(|(unit, value)| amount(unit, *value)).collect();
    format!("{count} of {total} {whose} ({} too much)", amounts.join(" and "))
}

/// Effects beyond the first of an operation, by unit, over all runs.
fn too_much(report: &Report) -> BTreeMap<&str, i64> {
    let mut sum = BTreeMap::<&str, i64>::new();
    for (unit, money) in report.entries.iter().flat_map(|entry| &entry.result.money) {
        let value = sum.entry(unit).or_default();
        *value = value.saturating_add(money.beyond_first);
    }
    sum.retain(|_, value| *value > 0);
    sum
}

fn inconclusive(report: &Report) -> String {
    let doubtful: Vec<_> = report
        .entries
        .iter()
        .filter(|entry| entry.counted() == Some(Verdict::Inconclusive))
        .collect();
    let Some(first) = doubtful.first() else {
        return "nothing ran, so nothing can be said about this client".to_owned();
    };
    let reason = first.result.reason.as_deref().unwrap_or("the run met nothing to judge");
    if doubtful.len() == report.entries.len() {
        format!("nothing can be said about this client: {reason}")
    } else {
        format!(
            "nothing can be said in {} of {} runs, the others passed: {reason}",
            doubtful.len(),
            report.entries.len(),
        )
    }
}

fn passed(report: &Report) -> String {
    let total = total(report);
    let judged = |name: &str| {
        report.entries.iter().any(|entry| {
            entry
                .result
                .invariants
                .iter()
                .any(|one| one.name == name && one.verdict == InvariantVerdict::Passed)
        })
    };
    let known: usize = report
        .entries
        .iter()
        .flat_map(|entry| &entry.result.invariants)
        .map(|one| one.violations.len())
        .sum();
    if known > 0 {
        return format!("nothing new is broken; {} known", one_or_many(known));
    }
    let held = format!("{total} of {total} operations held");
    if judged(DOUBLE_CHARGES) {
        format!("{held}; nothing was charged twice")
    } else if judged("no_lost_operations") {
        format!("{held}; nothing was lost")
    } else {
        held
    }
}

/// `1 violation is`, `3 violations are`.
fn one_or_many(violations: usize) -> String {
    let are = if violations == 1 { "is" } else { "are" };
    format!("{} {are}", plural(violations, "violation"))
}
