//! The report for people: first the sentence for a manager, last the command that shows it again.
//!
//! Knows nothing about terminals: it writes every style, and whoever prints strips them where nobody
//! wants colour.
//! **Invariant:** every violation is told with what was expected, what was seen, the cure and one
//! command that reproduces it; the seed stands at the top and at the bottom.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use brownout_provider::event::Mode;

use super::baseline::Compared;
use super::group::{Group, InvariantSum, groups};
use super::sentence::sentence;
use super::style::Style;
use super::{Entry, Format, Report, Story};
use crate::amount::{amount, grouped, plural, times};
use crate::invariant::registry;
use crate::verdict::{InvariantResult, InvariantVerdict, Verdict};

/// How wide sentences beside the left column are, in characters.
const PROSE_WIDTH: usize = 85;

/// The format's entry in the registry.
pub static FORMAT: Format = Format {
    name: "human",
    summary: "for people: timelines, cures, one command to repeat",
    render,
    aside: None,
};

/// How many failing seeds of one scenario are listed with their command.
const LISTED_SEEDS: usize = 20;

fn render(report: &Report) -> String {
    let mut out = String::new();
    line(&mut out, &of_verdict(report.verdict()).paint(sentence(report)).to_string());
    if let Some(warning) = unfair(report) {
        line(&mut out, &Style::Doubt.paint(warning).to_string());
    }
    if let Some(trouble) = &report.trouble {
        let said = format!("not all of it ran: {}", trouble.message);
        line(&mut out, &Style::Doubt.paint(said).to_string());
    }
    let groups = groups(report);
    let seeds = seeds(report, &groups);
    if !groups.is_empty() {
        let scenarios = plural(groups.len(), "scenario");
        let said =
            seeds.as_ref().map_or(scenarios.clone(), |seeds| format!("{scenarios}, {seeds}"));
        line(&mut out, &Style::Faint.paint(said).to_string());
    }
    for group in &groups {
        line(&mut out, "");
        tell_group(&mut out, group);
    }
    for said in report.baseline.iter().flat_map(Compared::sentences) {
        line(&mut out, "");
        line(&mut out, &Style::Doubt.paint(said).to_string());
    }
    if let Some(seeds) = seeds {
        line(&mut out, "");
        line(&mut out, &Style::Faint.paint(seeds).to_string());
    }
    out
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
fn tell_group(out: &mut String, group: &Group<'_>) {
    heading(out, group);
    facts(out, group);
    invariants(out, &group.invariants());
    for note in group.notes() {
        prose(out, "note", note, None);
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
        format!("{} (seed {}, {})", word(verdict), result.seed, seconds(result.elapsed_ms))
    } else {
        let ms = group.sum(|entry| entry.result.elapsed_ms);
        format!("{} in {} of {count} seeds ({})", word(verdict), group.count(verdict), seconds(ms))
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

fn facts(out: &mut String, group: &Group<'_>) {
    fact(out, "operations", &operations(group));
    let requests = group.sum(|entry| entry.result.requests);
    let retries = group.sum(|entry| entry.result.retries);
    fact(out, "requests", &format!("{requests}, of which {}", retries_in_words(retries)));
    if let Some(ways) = told_apart(&group.counts(|entry| &entry.result.recognized)) {
        prose(out, "", &format!("operations were told apart by {ways}"), None);
    }
    if let Some(effects) = counted(group.counts(|entry| &entry.result.effects)) {
        fact(out, "effects", &effects);
    }
    for (unit, money) in group.money() {
        let text = format!(
            "{} billed, {} delivered, {} wasted",
            amount(unit, money.billed),
            amount(unit, money.delivered),
            amount(unit, money.wasted),
        );
        fact(out, "money", &text);
    }
    struck(out, group);
    control(out, group);
}

fn retries_in_words(count: u64) -> String {
    match count {
        0 => "none is a retry".to_owned(),
        1 => "1 is a retry".to_owned(),
        _ => format!("{count} are retries"),
    }
}

/// By what brownout knew which operation a request is for, most certain first, with how often where
/// there are several ways; `None` when no request came.
fn told_apart(counts: &BTreeMap<&str, u64>) -> Option<String> {
    const WAYS: [(&str, &str); 8] = [
        ("url", "the URL that each operation was given"),
        ("api_key", "the API key that each operation was given"),
        ("extractor", "the name that the request carries"),
        ("object", "the id of something that the operation made"),
        ("sdk", "the SDK's own retry counter or call id"),
        ("guess", "a guess: the same content as an attempt that had failed"),
        ("new", "their content: each was new work"),
        ("unrouted", "nothing: the API has no such route"),
    ];
    let ways: Vec<(&str, u64)> =
        WAYS.iter().filter_map(|(way, words)| Some((*words, *counts.get(way)?))).collect();
    match ways.as_slice() {
        [] => None,
        [(words, _)] => Some((*words).to_owned()),
        several => {
            let each: Vec<String> =
                several.iter().map(|(words, count)| format!("{words} ({count})")).collect();
            Some(each.join(", "))
        }
    }
}

/// Operations and what was claimed of them.
fn operations(group: &Group<'_>) -> String {
    let operations = group.operations();
    let total = operations.total;
    let is_suite = group.first().result.mode == Mode::Suite;
    if is_suite && operations.unclaimed == total {
        return format!("{total}: claims none (suite mode judges what is on the wire)");
    }
    let unclaimed = if is_suite { "not claimed" } else { "without a claim" };
    format!(
        "{total}: {} claimed succeeded, {} failed, {} unknown, {} {unclaimed}",
        operations.succeeded, operations.failed, operations.unknown, operations.unclaimed,
    )
}

fn struck(out: &mut String, group: &Group<'_>) {
    let faults = counted(scripts_summed(group.counts(|entry| &entry.result.faults)));
    fact(out, "faults", faults.as_deref().unwrap_or("none struck"));
    let calm: Vec<String> = group
        .entries
        .iter()
        .filter(|entry| entry.result.faults.values().all(|count| *count == 0))
        .map(|entry| entry.result.seed.to_string())
        .collect();
    if group.entries.len() > 1 && !calm.is_empty() && calm.len() < group.entries.len() {
        fact(out, "", &format!("none struck with seed {}", calm.join(", ")));
    }
}

fn control(out: &mut String, group: &Group<'_>) {
    let text = match &group.first().result.control {
        None => "left out".to_owned(),
        Some(control) if control.passed => "passed: the client works in fair weather".to_owned(),
        Some(control) => format!(
            "{}: {}",
            Style::Doubt.paint("failed"),
            control.reason.as_deref().unwrap_or("the client does not work in fair weather"),
        ),
    };
    fact(out, "control", &text);
}

fn invariants(out: &mut String, sums: &[InvariantSum<'_>]) {
    line(out, "");
    let width = sums.iter().map(|one| one.name.len()).max().unwrap_or_default();
    for one in sums {
        let (style, mark, said) = match one.verdict {
            InvariantVerdict::Passed => {
                let (style, how) = if one.partial {
                    (Style::Doubt, "passed as far as the trace goes")
                } else {
                    (Style::Good, "passed")
                };
                (style, "✓", format!("{how}, exercised {}", times(one.exercised)))
            }
            InvariantVerdict::Failed if one.known.is_some() => (
                Style::Doubt,
                "·",
                format!(
                    "{}, {}",
                    plural(one.violations, "violation"),
                    one.known.map(ToString::to_string).unwrap_or_default()
                ),
            ),
            InvariantVerdict::Failed => (
                Style::Bad,
                "✗",
                format!(
                    "failed, {}, exercised {}",
                    plural(one.violations, "violation"),
                    times(one.exercised)
                ),
            ),
            InvariantVerdict::NotExercised => (
                Style::Faint,
                "-",
                match one.reason {
                    Some(reason) => format!("not exercised: {reason}"),
                    None => "not exercised".to_owned(),
                },
            ),
        };
        line(out, &format!("  {} {:<width$}  {}", style.paint(mark), one.name, style.paint(said)));
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

/// `name 3, other 1`; `None` when there are none.
fn counted<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Option<String> {
    let text: Vec<String> =
        counts.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
    (!text.is_empty()).then(|| text.join(", "))
}

/// The entries of a script have no names of their own (`script-1`, `script-2`, …), so that people want
/// to know of all together.
fn scripts_summed(counts: BTreeMap<&str, u64>) -> BTreeMap<&str, u64> {
    let is_entry = |name: &str| {
        name.strip_prefix("script-").is_some_and(|number| number.parse::<u64>().is_ok())
    };
    let mut summed = BTreeMap::new();
    for (name, count) in counts {
        *summed.entry(if is_entry(name) { "script" } else { name }).or_default() += count;
    }
    summed
}

/// `0.8 s`, `1,204.0 s`.
fn seconds(ms: u64) -> String {
    let tenths = (ms + 50) / 100;
    let whole = i64::try_from(tenths / 10).unwrap_or(i64::MAX);
    format!("{}.{} s", grouped(whole), tenths % 10)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Failed => "failed",
    }
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

/// A name in the left column and what there is to say of it.
fn fact(out: &mut String, name: &str, text: &str) {
    line(out, &format!("    {} {text}", Style::Faint.paint(format_args!("{name:<10}"))));
}

/// A name in the left column and sentences beside it, broken between words.
fn prose(out: &mut String, name: &str, text: &str, style: Option<Style>) {
    let mut name = name;
    let mut row = String::new();
    let mut put = |row: &str| {
        match style {
            Some(style) => fact(out, name, &style.paint(row).to_string()),
            None => fact(out, name, row),
        }
        name = "";
    };
    for word in text.split_whitespace() {
        if !row.is_empty() && row.chars().count() + 1 + word.chars().count() > PROSE_WIDTH {
            put(&row);
            row.clear();
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    put(&row);
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("a string takes every line");
}
