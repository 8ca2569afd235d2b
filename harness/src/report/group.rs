//! All seeds of one scenario, taken together for people.
//!
//! **Invariant:** a group of one seed says exactly what that seed's result says.

use std::collections::BTreeMap;

use super::baseline::Known;
use super::{Entry, Report};
use crate::by_name::ByName;
use crate::verdict::{InvariantVerdict, Money, OperationCounts, Share, Verdict};

/// The runs of one scenario in one invocation.
#[derive(Debug)]
pub struct Group<'a> {
    /// The runs in the order of their seeds; at least one.
    pub entries: Vec<&'a Entry>,
}

/// One invariant over all runs of a group.
#[derive(Debug, PartialEq, Eq)]
pub struct InvariantSum<'a> {
    /// The name.
    pub name: &'static str,
    /// Failed before passed before not exercised.
    pub verdict: InvariantVerdict,
    /// How many situations it was about.
    pub exercised: u64,
    /// How many violations.
    pub violations: usize,
    /// True when some run passed it only as far as its trace goes.
    pub partial: bool,
    /// Why the first run did not exercise it.
    pub reason: Option<&'a str>,
    /// What the baseline says of its violations.
    pub known: Option<&'a Known>,
}

/// The groups of a report in the order in which their first runs stand.
#[must_use]
pub fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for entry in &report.entries {
        let same = groups.iter_mut().find(|group| {
            let first = group.first();
            first.result.name == entry.result.name && first.result.file == entry.result.file
        });
        match same {
            Some(group) => group.entries.push(entry),
            None => groups.push(Group { entries: vec![entry] }),
        }
    }
    groups
}

impl<'a> Group<'a> {
    /// The first run.
    ///
    /// # Panics
    /// Never: a group is made with its first run.
    #[must_use]
    pub fn first(&self) -> &'a Entry {
        self.entries.first().copied().expect("a group is made with its first run")
    }

    /// Failed before inconclusive before passed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.entries.iter().map(|entry| entry.result.verdict).max().unwrap_or(Verdict::Inconclusive)
    }

    /// How many runs have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.entries.iter().filter(|entry| entry.result.verdict == verdict).count()
    }

    /// The sum of a number over all runs.
    #[must_use]
    pub fn sum(&self, number: impl Fn(&Entry) -> u64) -> u64 {
        self.entries.iter().map(|entry| number(entry)).sum()
    }

    /// The sum of counted names over all runs.
    #[must_use]
    pub fn counts(
        &self,
        counts: impl Fn(&'a Entry) -> &'a BTreeMap<String, u64>,
    ) -> BTreeMap<&'a str, u64> {
        let mut sum = BTreeMap::new();
        for (name, count) in self.entries.iter().flat_map(|entry| counts(entry)) {
            *sum.entry(name.as_str()).or_default() += count;
        }
        sum
    }

    /// The sum of what belongs to each of several over all runs.
    #[must_use]
    pub fn shares(&self, shares: impl Fn(&'a Entry) -> &'a ByName<Share>) -> ByName<Share> {
        let mut sum = ByName::<Share>::default();
        for (name, share) in self.entries.iter().flat_map(|entry| shares(entry).iter()) {
            let so_far = sum.entry(name);
            so_far.requests += share.requests;
            so_far.retries += share.retries;
            for (kind, count) in &share.effects {
                *so_far.effects.entry(kind.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Operations over all runs.
    #[must_use]
    pub fn operations(&self) -> OperationCounts {
        self.entries.iter().map(|entry| entry.result.operations).fold(
            OperationCounts::default(),
            |sum, one| OperationCounts {
                total: sum.total + one.total,
                succeeded: sum.succeeded + one.succeeded,
                failed: sum.failed + one.failed,
                unknown: sum.unknown + one.unknown,
                unclaimed: sum.unclaimed + one.unclaimed,
            },
        )
    }

    /// Money by unit over all runs.
    #[must_use]
    pub fn money(&self) -> BTreeMap<&'a str, Money> {
        let mut sum = BTreeMap::<&str, Money>::new();
        for (unit, money) in self.entries.iter().flat_map(|entry| &entry.result.money) {
            let all = sum.entry(unit.as_str()).or_default();
            all.billed = all.billed.saturating_add(money.billed);
            all.delivered = all.delivered.saturating_add(money.delivered);
            all.wasted = all.wasted.saturating_add(money.wasted);
            all.beyond_first = all.beyond_first.saturating_add(money.beyond_first);
        }
        sum
    }

    /// The invariants in the order of `expect`.
    #[must_use]
    pub fn invariants(&self) -> Vec<InvariantSum<'a>> {
        let mut sums: Vec<InvariantSum<'a>> = Vec::new();
        for entry in &self.entries {
            for (index, one) in entry.result.invariants.iter().enumerate() {
                let Some(sum) = sums.get_mut(index) else {
                    sums.push(InvariantSum {
                        name: one.name,
                        verdict: one.verdict,
                        exercised: one.exercised,
                        violations: one.violations.len(),
                        partial: one.partial,
                        reason: one.reason.as_deref(),
                        known: entry.known(one.name),
                    });
                    continue;
                };
                sum.verdict = worse(sum.verdict, one.verdict);
                sum.partial |= one.partial;
                sum.exercised += one.exercised;
                sum.violations += one.violations.len();
            }
        }
        sums
    }

    /// Remarks for people, each once: of those that differ in numbers only, the first.
    #[must_use]
    pub fn notes(&self) -> Vec<&'a str> {
        let mut notes: Vec<&str> = Vec::new();
        for note in self.entries.iter().flat_map(|entry| &entry.result.notes) {
            if !notes.iter().any(|told| differ_in_numbers_only(told, note)) {
                notes.push(note);
            }
        }
        notes
    }
}

/// True for the same words, whatever numbers stand between them.
fn differ_in_numbers_only(one: &str, other: &str) -> bool {
    let is_word = |word: &&str| !word.bytes().all(|byte| byte.is_ascii_digit());
    one.split_whitespace().filter(is_word).eq(other.split_whitespace().filter(is_word))
}

/// Failed outranks passed, and passed outranks not exercised: one run that met it is enough.
fn worse(a: InvariantVerdict, b: InvariantVerdict) -> InvariantVerdict {
    let rank = |verdict| match verdict {
        InvariantVerdict::NotExercised => 0,
        InvariantVerdict::Passed => 1,
        InvariantVerdict::Failed => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}
