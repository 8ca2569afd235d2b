//! The report for GitHub Actions: the human report in the log, one annotation an invariant that was broken,
//! and a summary of the step in Markdown.
//!
//! GitHub keeps ten annotations of a step and drops the rest without a word, so violations are summed by
//! invariant, over all scenarios and seeds, and what does not fit is counted in the last one.
//! Everything a client or a file wrote is escaped, so that it can neither give a command to the runner nor
//! change the page.
//! **Invariant:** no line begins a workflow command but those that are written here as one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::group::{Group, InvariantSum, groups};
use super::sentence::sentence;
use super::style::plain;
use super::{Aside, Entry, Format, Report, human};
use crate::amount::plural;
use crate::verdict::{InvariantResult, InvariantVerdict, Verdict};

/// The format's entry in the registry.
pub static FORMAT: Format = Format {
    name: "github",
    summary: "for GitHub Actions: the log, annotations, and a summary of the step",
    render,
    aside: Some(Aside { variable: "GITHUB_STEP_SUMMARY", render: summary }),
};

/// GitHub shows so many annotations of a kind a step.
const ANNOTATIONS: usize = 10;

/// So many scenarios have a row in the summary; GitHub takes a megabyte.
const ROWS: usize = 200;

/// So many violations are told in the summary.
const STORIES: usize = 10;

/// So much of one text stands in a row or in an annotation, in characters.
const SHOWN: usize = 1_000;

/// Where an annotation points to, and what it says.
struct Annotation {
    /// `error`, `warning` or `notice`.
    level: &'static str,
    title: String,
    /// The file and, where it is known, the line and the column.
    file: Option<(String, usize, usize)>,
    message: String,
}

fn render(report: &Report) -> String {
    let mut out = String::new();
    if !report.entries.is_empty() || report.trouble.is_none() {
        let told = plain(&(human::FORMAT.render)(report));
        // Nobody can write the end of the silence into a text that it is made from.
        let token = token(&told);
        put(&mut out, &format!("::stop-commands::{token}"));
        out.push_str(&told);
        put(&mut out, &format!("::{token}::"));
    }
    let mut all = annotations(report);
    if all.len() > ANNOTATIONS {
        let more = all.len() - (ANNOTATIONS - 1);
        all.truncate(ANNOTATIONS - 1);
        all.push(Annotation {
            level: "error",
            title: format!("and {more} more"),
            file: None,
            message: "the log and the summary of this step tell all of them".to_owned(),
        });
    }
    for annotation in &all {
        put(&mut out, &annotation.command());
    }
    out
}

fn token(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that deserves one, the worst first.
fn annotations(report: &Report) -> Vec<Annotation> {
    let mut all = trouble(report);
    all.extend(broken(report));
    let counted = |entry: &&Entry| entry.counted().is_some();
    for entry in report.entries.iter().filter(counted) {
        let result = &entry.result;
        let Some(reason) = &result.reason else { continue };
        let level = if result.verdict == Verdict::Failed { "error" } else { "warning" };
        let title = format!("{}, seed {}: {}", result.name, result.seed, result.verdict.name());
        let at = Some((result.file.clone(), 1, 1));
        all.push(Annotation { level, title, file: at, message: reason.clone() });
    }
    for stale in report.baseline.iter().flat_map(|baseline| baseline.stale()) {
        all.push(Annotation {
            level: "notice",
            title: "an entry of the baseline is stale".to_owned(),
            file: Some((stale.file.clone(), stale.line, 1)),
            message: stale.sentence(),
        });
    }
    all
}

/// Mistakes of files at their places, and whatever else kept the invocation from its end.
fn trouble(report: &Report) -> Vec<Annotation> {
    let Some(trouble) = &report.trouble else { return Vec::new() };
    let mut all: Vec<Annotation> = trouble
        .diagnostics
        .iter()
        .map(|one| Annotation {
            level: "error",
            title: "wrong file".to_owned(),
            file: Some((one.file.clone(), one.line, one.column)),
            message: one.in_words(),
        })
        .collect();
    if all.is_empty() {
        all.push(Annotation {
            level: "error",
            title: "brownout could not run".to_owned(),
            file: None,
            message: trouble.message.clone(),
        });
    }
    all
}

/// One annotation an invariant that was broken and is not known, at the first scenario that shows it.
fn broken(report: &Report) -> Vec<Annotation> {
    let mut order: Vec<&'static str> = Vec::new();
    let mut found: BTreeMap<&'static str, Vec<(&Entry, &InvariantResult)>> = BTreeMap::new();
    for entry in &report.entries {
        for one in entry.broken() {
            if !order.contains(&one.name) {
                order.push(one.name);
            }
            found.entry(one.name).or_default().push((entry, one));
        }
    }
    order.iter().filter_map(|name| annotation(name, found.get(name)?)).collect()
}

fn annotation(name: &str, found: &[(&Entry, &InvariantResult)]) -> Option<Annotation> {
    let (entry, first) = found.first()?;
    let violations: usize = found.iter().map(|(_, one)| one.violations.len()).sum();
    let mut scenarios: Vec<&str> =
        found.iter().map(|(entry, _)| entry.result.name.as_str()).collect();
    scenarios.dedup();
    let violation = first.violations.first()?;
    let about = violation.operation.as_deref().unwrap_or("the whole run");
    let mut message = format!(
        "{} in {} of {}\n{about}: {}\n",
        plural(violations, "violation"),
        plural(found.len(), "run"),
        scenarios.join(", "),
        violation.message,
    );
    if let Some(story) = entry.stories.iter().find(|story| story.invariant == name) {
        put(&mut message, &format!("cure: {}", story.cure));
    }
    put(&mut message, &format!("again: {}", entry.result.reproduce));
    message.truncate(message.trim_end().len());
    Some(Annotation {
        level: "error",
        title: name.to_owned(),
        file: Some((entry.result.file.clone(), 1, 1)),
        message,
    })
}

impl Annotation {
    /// The workflow command.
    fn command(&self) -> String {
        let mut properties = Vec::new();
        if let Some((file, line, column)) = &self.file {
            properties.push(format!("file={}", of_property(file)));
            properties.push(format!("line={line},col={column}"));
        }
        properties.push(format!("title={}", of_property(&self.title)));
        format!("::{} {}::{}", self.level, properties.join(","), of_message(&short(&self.message)))
    }
}

/// A text as the message of a command.
fn of_message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A text as a property of a command, where two more characters have a meaning.
fn of_property(text: &str) -> String {
    of_message(text).replace(':', "%3A").replace(',', "%2C")
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain("…".chars()).collect()
}

/// The summary of the step, in Markdown.
fn summary(report: &Report) -> String {
    let mut out = String::new();
    put(&mut out, &format!("### brownout: {}\n", of_cell(&sentence(report))));
    if let Some(trouble) = &report.trouble {
        put(&mut out, &format!("Not all of it ran: {}\n", of_cell(&trouble.message)));
        for one in trouble.diagnostics.iter().take(ROWS) {
            put(&mut out, &format!("- {}", of_cell(&one.in_one_line())));
        }
    }
    let groups = groups(report);
    if !groups.is_empty() {
        put(&mut out, "| | scenario | runs | operations | requests | what was judged |");
        put(&mut out, "|---|---|--:|--:|--:|---|");
        for group in groups.iter().take(ROWS) {
            put(&mut out, &row(group));
        }
        if groups.len() > ROWS {
            put(&mut out, &format!("\nand {} more, which the log tells.", groups.len() - ROWS));
        }
    }
    stories(&mut out, report);
    if let Some(baseline) = &report.baseline {
        for line in baseline.sentences() {
            put(&mut out, &format!("\n{}", of_cell(&line)));
        }
    }
    // What other steps append begins a paragraph of its own.
    put(&mut out, "");
    out
}

fn row(group: &Group<'_>) -> String {
    let judged: Vec<String> = group
        .invariants()
        .iter()
        .filter(|one| one.verdict != InvariantVerdict::Passed)
        .map(judged)
        .collect();
    let reason = group
        .entries
        .iter()
        .filter(|entry| !entry.excused)
        .find_map(|entry| entry.result.reason.as_deref())
        .map(of_cell);
    let judged: Vec<String> = reason.into_iter().chain(judged).collect();
    let judged = if judged.is_empty() { "all held".to_owned() } else { judged.join("<br>") };
    format!(
        "| {} | {} | {} | {} | {} | {judged} |",
        mark(group.verdict()),
        of_cell(&group.first().result.name),
        group.entries.len(),
        group.operations().total,
        group.sum(|entry| entry.result.requests),
    )
}

/// What is to be said of an invariant that did not simply hold.
fn judged(one: &InvariantSum<'_>) -> String {
    match (one.verdict, one.known) {
        (InvariantVerdict::Failed, Some(known)) => {
            format!("⚪ `{}` {}", one.name, of_cell(&known.to_string()))
        }
        (InvariantVerdict::Failed, None) => {
            format!("❌ `{}` {}", one.name, plural(one.violations, "violation"))
        }
        _ => format!(
            "➖ `{}` not exercised{}",
            one.name,
            one.reason.map(|reason| format!(": {}", of_cell(reason))).unwrap_or_default()
        ),
    }
}

/// The first violation of each invariant that was broken, to be unfolded.
fn stories(out: &mut String, report: &Report) {
    let mut told: Vec<&str> = Vec::new();
    for entry in &report.entries {
        for one in entry.broken() {
            if told.contains(&one.name) || told.len() == STORIES {
                continue;
            }
            told.push(one.name);
            let Some(first) = one.violations.first() else { continue };
            let result = &entry.result;
            let title = format!("{}, seed {}: {}", result.name, result.seed, first.message);
            put(
                out,
                &format!(
                    "\n<details><summary><code>{}</code> {}</summary>\n",
                    one.name,
                    of_html(&title)
                ),
            );
            let mut text = String::new();
            if let Some(story) = entry.stories.iter().find(|story| story.invariant == one.name) {
                put(&mut text, &format!("expected: {}", story.expected));
                for step in &story.timeline {
                    put(&mut text, step);
                }
                put(&mut text, &format!("cure: {}", story.cure));
            }
            put(&mut text, &format!("again: {}", result.reproduce));
            let fence = fence(&text);
            put(out, &format!("{fence}text\n{text}{fence}\n\n</details>"));
        }
    }
}

/// A fence that the text cannot close.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

/// A text of others in a cell of a table: on one line, without a meaning of its own but code in backticks.
fn of_cell(text: &str) -> String {
    let flat = short(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(flat.len());
    for c in flat.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '|' | '[' | ']' | '!' | '*' | '\\' | '@' => {
                // A number stands for the character, so that it means nothing to Markdown.
                write!(out, "&#{};", u32::from(c)).expect("a string takes every text");
            }
            '`' => out.push_str("&#96;"),
            _ => out.push(c),
        }
    }
    out
}

/// A text of others inside an element.
fn of_html(text: &str) -> String {
    of_cell(text).replace('>', "&gt;")
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✅",
        Verdict::Inconclusive => "❔",
        Verdict::Failed => "❌",
    }
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every line");
}
