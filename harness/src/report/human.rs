//! The report for people: first the sentence for a manager, last the command that shows it again.
//!
//! Knows nothing about terminals: it writes every style, and whoever prints strips them where nobody
//! wants colour.
//! **Invariant:** every violation is told with what was expected, what was seen, the cure and one
//! command that reproduces it; the seed stands at the top and at the bottom.

use std::collections::BTreeSet;

use super::baseline::Compared;
use super::group::{Group, groups};
use super::lines::{fact, line, prose};
use super::sentence::sentence;
use super::style::Style;
use super::{Entry, Format, Report, Story, facts};
use crate::amount::{grouped, plural};
use crate::invariant::registry;
use crate::verdict::{InvariantResult, Verdict};

/// The format's entry in the registry.
pub static FORMAT: Format = Format {
    name: "human",
    summary: "for people: timelines, cures, one command to repeat",
    render,
    aside: None,
};

/// Advice in a note that is said once in a report, from so many bytes on.
const LONG_ADVICE: usize = 80;

/// How many failing seeds of one scenario are listed with their command.
const LISTED_SEEDS: usize = 20;

fn render(report: &Report) -> String {
    let mut out = String::new();
    line(&mut out, &of_verdict(report.verdict()).paint(sentence(report)).to_string());
    if let Some(warning) = unfair(report) {
        line(&mut out, &Style::Doubt.paint(warning).to_string());
    }
    if let Some(remark) = looks_like_a_suite(report) {
        line(&mut out, &Style::Doubt.paint(remark).to_string());
    }
    if let Some(trouble) = &report.trouble {
        let said = format!("not all of it ran: {}", trouble.message);
        line(&mut out, &Style::Doubt.paint(said).to_string());
    }
    let groups = groups(report);
    let seeds = seeds(report, &groups);
    if !groups.is_empty() {
        let scenarios = overview(&groups);
        let said =
            seeds.as_ref().map_or(scenarios.clone(), |seeds| format!("{scenarios}, {seeds}"));
        line(&mut out, &Style::Faint.paint(said).to_string());
    }
    let mut advice = BTreeSet::new();
    for group in &groups {
        line(&mut out, "");
        tell_group(&mut out, group, &mut advice);
    }
    for said in report.baseline.iter().flat_map(Compared::sentences) {
        line(&mut out, "");
        line(&mut out, &Style::Doubt.paint(said).to_string());
    }
    // One seed stands in the command that repeats the run.
    if let Some(seeds) = seeds.filter(|_| report.entries.len() > 1) {
        line(&mut out, "");
        line(&mut out, &Style::Faint.paint(seeds).to_string());
    }
    out
}

/// The remark that the client may be a test suite that was not run as one.
fn looks_like_a_suite(report: &Report) -> Option<&str> {
    report.entries.iter().find_map(|entry| entry.result.batch_remark.as_deref())
}

/// How many scenarios passed and failed, and which did not pass; `1 scenario` where there is only one.
fn overview(groups: &[Group<'_>]) -> String {
    let scenarios = plural(groups.len(), "scenario");
    if groups.len() < 2 {
        return scenarios;
    }
    let counted = [Verdict::Passed, Verdict::Failed, Verdict::Inconclusive].map(|verdict| {
        let names: Vec<&str> = groups
            .iter()
            .filter(|group| group.verdict() == verdict)
            .map(|group| &*group.first().result.name)
            .collect();
        let count = names.len();
        match verdict {
            _ if count == 0 => None,
            Verdict::Passed => Some(format!("{count} passed")),
            Verdict::Failed | Verdict::Inconclusive => {
                Some(format!("{count} {} ({})", verdict.name(), names.join(", ")))
            }
        }
    });
    let counted: Vec<String> = counted.into_iter().flatten().collect();
    format!("{scenarios}: {}", counted.join(", "))
}

/// A word of caution beside violations by a client that does not work in fair weather either.
fn unfair(report: &Report) -> Option<String> {
    if report.verdict() != Verdict::Failed {
        return None;
    }
    let failed = |entry: &&Entry| entry.result.verdict == Verdict::Failed;
    let mut controls =
        report.entries.iter().filter(failed).filter_map(|entry| entry.result.control.as_ref());
    let control = controls.find(|control| !control.passed)?;
    let why = control.reason.as_deref().unwrap_or("no reason is known");
    Some(format!("mend this first: the client does not work without any fault either: {why}"))
}

/// The whole story of the runs of one scenario.
fn tell_group<'a>(out: &mut String, group: &Group<'a>, advice: &mut BTreeSet<&'a str>) {
    heading(out, group);
    facts::facts(out, group);
    facts::invariants(out, &group.invariants());
    for note in group.notes() {
        match note.split_once("; ") {
            // What another scenario was told at length is not said again.
            Some((remark, told)) if told.len() >= LONG_ADVICE && !advice.insert(told) => {
                prose(out, "note", &format!("{remark}; as noted above"), None);
            }
            _ => prose(out, "note", note, None),
        }
    }
    if let Some(entry) = group.entries.iter().find(|entry| entry.result.verdict == Verdict::Failed)
    {
        violations(out, entry, group.entries.len());
    }
    ending(out, group);
}

fn heading(out: &mut String, group: &Group<'_>) {
    let verdict = group.verdict();
    let style = of_verdict(verdict);
    let result = &group.first().result;
    let count = group.entries.len();
    let said = if count == 1 {
        format!("{} (seed {}, {})", verdict.name(), result.seed, seconds(result.elapsed_ms))
    } else {
        let ms = group.sum(|entry| entry.result.elapsed_ms);
        format!("{} in {} of {count} seeds ({})", verdict.name(), group.count(verdict), seconds(ms))
    };
    line(
        out,
        &format!(
            "{} {}  {}  {}",
            style.paint(mark(verdict)),
            Style::Strong.paint(&result.name),
            style.paint(said),
            Style::Faint.paint(&result.file),
        ),
    );
    let counted = group.entries.iter().filter(|entry| !entry.excused);
    if let Some(reason) = counted.filter_map(|entry| entry.result.reason.as_deref()).next() {
        prose(out, "why", reason, None);
    }
}

/// The first violation of a run in full, of the invariant that comes first in `expect`; empty where
/// nothing was violated.
#[must_use]
pub fn first_violation(entry: &Entry) -> String {
    let mut out = String::new();
    if let Some(invariant) = entry.broken().next() {
        tell_violation(&mut out, entry, invariant, Told::Here);
    }
    out
}

/// The violations of one run, the first of each invariant in full; with several seeds it says which.
fn violations(out: &mut String, entry: &Entry, seeds: usize) {
    let mut shown: Vec<&[String]> = Vec::new();
    for invariant in entry.broken() {
        let Some(first) = invariant.violations.first() else { continue };
        line(out, "");
        let about = match &first.operation {
            Some(operation) => format!(" · {operation}"),
            None => String::new(),
        };
        let seed =
            if seeds > 1 { format!(" · seed {}", entry.result.seed) } else { String::new() };
        line(out, &format!("  {}{about}{seed}", Style::Bad.paint(invariant.name)));
        let timeline = timeline_of(entry, invariant);
        let told = if shown.contains(&timeline) { Told::Above } else { Told::Here };
        tell_violation(out, entry, invariant, told);
        shown.push(timeline);
    }
}

/// Where the timeline of a violation stands.
#[derive(Clone, Copy)]
enum Told {
    Here,
    /// Another violation of the same operation has told it.
    Above,
}

fn timeline_of<'a>(entry: &'a Entry, invariant: &InvariantResult) -> &'a [String] {
    let story = entry.stories.iter().find(|story| story.invariant == invariant.name);
    story.map(|story: &Story| story.timeline.as_slice()).unwrap_or_default()
}

fn tell_violation(out: &mut String, entry: &Entry, invariant: &InvariantResult, told: Told) {
    let kind = registry::find(invariant.name);
    let story = entry.stories.iter().find(|story| story.invariant == invariant.name);
    let expected = story.map(|story| &*story.expected).or(kind.map(|kind| kind.summary));
    if let Some(expected) = expected.filter(|expected| !expected.is_empty()) {
        prose(out, "expected", expected, None);
    }
    if let Some(first) = invariant.violations.first() {
        prose(out, "seen", &first.message, None);
    }
    match (told, timeline_of(entry, invariant)) {
        (_, []) => {}
        (Told::Above, _) => fact(out, "timeline", "as above"),
        (Told::Here, steps) => {
            for step in steps {
                line(out, &format!("      {step}"));
            }
        }
    }
    let more = invariant.violations.len().saturating_sub(1);
    if more > 0 {
        fact(out, "and", &format!("{more} more of the same kind"));
    }
    let cure = match story {
        Some(story) => story.cure.as_str(),
        None => kind.map_or("", |kind| kind.cure),
    };
    if !cure.is_empty() {
        prose(out, "cure", cure, Some(Style::Good));
    }
}

/// The commands that repeat it, and where the trace stands.
fn ending(out: &mut String, group: &Group<'_>) {
    let all = group.entries.as_slice();
    let failing: Vec<&Entry> =
        all.iter().copied().filter(|entry| entry.result.verdict == Verdict::Failed).collect();
    if let ([entry], _) | ([], [entry]) = (failing.as_slice(), all) {
        let result = &entry.result;
        line(out, "");
        if let Some(trace) = &result.trace {
            fact(out, "trace", &trace.display().to_string());
        }
        fact(out, "again", &Style::Strong.paint(&result.reproduce).to_string());
        return;
    }
    if !failing.is_empty() {
        line(out, "");
    }
    for entry in failing.iter().take(LISTED_SEEDS) {
        let result = &entry.result;
        let broken: Vec<&str> = entry.broken().map(|one| one.name).collect();
        fact(out, &format!("seed {}", result.seed), &broken.join(", "));
        line(out, &format!("      {}", Style::Strong.paint(&result.reproduce)));
    }
    if failing.len() > LISTED_SEEDS {
        fact(out, "and", &format!("{} more failing seeds", failing.len() - LISTED_SEEDS));
    }
}

/// `seed 42`, or `20 seeds from 42 to 61`; `None` when nothing ran, or when several scenarios each ran
/// with a seed of their own, which stands beside each.
fn seeds(report: &Report, groups: &[Group<'_>]) -> Option<String> {
    if groups.len() > 1 && groups.iter().all(|group| group.entries.len() == 1) {
        return None;
    }
    let mut seeds: Vec<u64> = report.entries.iter().map(|entry| entry.result.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let (first, last) = (seeds.first()?, seeds.last()?);
    Some(if first == last {
        format!("seed {first}")
    } else {
        format!("{} seeds from {first} to {last}", seeds.len())
    })
}

/// `0.8 s`, `1,204.0 s`.
fn seconds(ms: u64) -> String {
    let tenths = (ms + 50) / 100;
    let whole = i64::try_from(tenths / 10).unwrap_or(i64::MAX);
    format!("{}.{} s", grouped(whole), tenths % 10)
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓",
        Verdict::Inconclusive => "?",
        Verdict::Failed => "✗",
    }
}

/// The style of a verdict.
#[must_use]
pub const fn of_verdict(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Passed => Style::Good,
        Verdict::Inconclusive => Style::Doubt,
        Verdict::Failed => Style::Bad,
    }
}
