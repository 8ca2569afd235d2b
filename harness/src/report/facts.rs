//! What a scenario's runs were: operations, requests, effects, money, faults, the control run, and what
//! is said of each invariant, as rows of the human report.
//!
//! **Invariant:** numbers only; violations are told elsewhere.

use std::collections::BTreeMap;

use brownout_provider::event::Mode;

use super::group::{Group, InvariantSum};
use super::lines::{fact, line, prose};
use super::style::Style;
use crate::amount::{amount, plural, times};
use crate::by_name::ByName;
use crate::verdict::{InvariantVerdict, Share, SuiteEnd};

/// The rows about what happened, before those about what was expected.
pub(super) fn facts(out: &mut String, group: &Group<'_>) {
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
    shares(out, "by provider", &group.shares(|entry| &entry.result.providers));
    shares(out, "by tenant", &group.shares(|entry| &entry.result.tenants));
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
    suite(out, group);
    control(out, group);
}

/// What belongs to each of several providers or tenants, a line each.
fn shares(out: &mut String, heading: &str, shares: &ByName<Share>) {
    for (nth, (name, share)) in shares.iter().enumerate() {
        let effects: BTreeMap<&str, u64> =
            share.effects.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        let effects = counted(effects).map_or(String::new(), |effects| format!("; {effects}"));
        let retries = retries_in_words(share.retries);
        let requests = plural(usize::try_from(share.requests).unwrap_or(usize::MAX), "request");
        let retries =
            if share.requests == 0 { String::new() } else { format!(", of which {retries}") };
        let text = format!("`{name}`: {requests}{retries}{effects}");
        fact(out, if nth == 0 { heading } else { "" }, &text);
    }
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
        Some(control) if control.passed => match &control.suite {
            None => "passed: the client works in fair weather".to_owned(),
            Some(end) => format!("passed: it reached the mock ({})", end.exit()),
        },
        Some(control) => format!(
            "{}: {}",
            Style::Doubt.paint("failed"),
            control.reason.as_deref().unwrap_or("the client does not work in fair weather"),
        ),
    };
    prose(out, "control", &text, None);
}

/// How the suite ended, with how often where the runs differ.
fn suite(out: &mut String, group: &Group<'_>) {
    let mut ends: Vec<(&SuiteEnd, usize)> = Vec::new();
    for end in group.entries.iter().filter_map(|entry| entry.result.suite.as_ref()) {
        let same =
            |one: &&mut (&SuiteEnd, usize)| (one.0.code, one.0.signal) == (end.code, end.signal);
        match ends.iter_mut().find(same) {
            Some((_, count)) => *count += 1,
            None => ends.push((end, 1)),
        }
    }
    for (index, (end, count)) in ends.iter().enumerate() {
        let often =
            if ends.len() > 1 { format!("{}: ", plural(*count, "run")) } else { String::new() };
        let name = if index == 0 { "suite" } else { "" };
        prose(out, name, &format!("{often}{}", end.how()), None);
    }
}

/// One row for each invariant, in the order of `expect`. What was not exercised for one and the same
/// reason is one row, at the place of the first.
pub(super) fn invariants(out: &mut String, sums: &[InvariantSum<'_>]) {
    line(out, "");
    let alike = |one: &InvariantSum<'_>| -> Vec<&'static str> {
        let same = |other: &&InvariantSum<'_>| {
            one.reason.is_some()
                && other.verdict == InvariantVerdict::NotExercised
                && other.reason == one.reason
        };
        if one.verdict == InvariantVerdict::NotExercised && one.reason.is_some() {
            sums.iter().filter(same).map(|other| other.name).collect()
        } else {
            vec![one.name]
        }
    };
    let single = sums.iter().filter(|one| alike(one).len() < 2);
    let width = single.map(|one| one.name.len()).max().unwrap_or_default();
    for one in sums {
        let names = alike(one);
        if names.first() != Some(&one.name) {
            continue;
        }
        let name = names.join(", ");
        let (style, mark, said) = said_of(one);
        line(out, &format!("  {} {name:<width$}  {}", style.paint(mark), style.paint(said)));
    }
}

/// What is said of an invariant over all runs of a scenario: its style, its mark and the words.
fn said_of(one: &InvariantSum<'_>) -> (Style, &'static str, String) {
    match one.verdict {
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
    }
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
