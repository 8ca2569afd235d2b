//! Three invariants once more, in another way, to judge the judges: from the lines of a run and nothing else.
//!
//! It knows none of the readings of a trace: it looks through the lines again for each question, counts
//! with whole numbers of any size, and is slow.
//! **Invariant:** on random runs of correct clients and broken ones it says the same as the first.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::model::{any_run, busy_plan, plan};
use super::testing::{in_short, invariant};
use crate::trace::testing::trace_with;

/// A line of a run, with what the builder of traces by hand leaves out.
struct Line {
    value: Value,
}

impl Line {
    fn is(&self, event: &str) -> bool {
        self.value["event"] == event
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.value[key].as_u64()
    }

    fn at(&self) -> u64 {
        self.number("at_us").unwrap_or(0)
    }

    fn word<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.value[key].as_str().unwrap_or(otherwise)
    }

    fn operation(&self) -> &str {
        self.word("operation", "op-0001")
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.number("status").unwrap_or(200))
    }

    fn is_usable(&self) -> bool {
        self.is_success() && self.value["unusable"].is_null()
    }

    fn head(&self) -> u64 {
        self.number("head_at_us").unwrap_or(self.at())
    }
}

fn lines(text: &str) -> Vec<Line> {
    let read = |line: &str| Line { value: serde_json::from_str(line).expect("a line is JSON") };
    text.lines().map(read).collect()
}

/// The attempts at charging of each operation, in order: their places among the lines.
fn attempts(lines: &[Line]) -> BTreeMap<&str, Vec<usize>> {
    let mut of = BTreeMap::<&str, Vec<usize>>::new();
    for (place, line) in lines.iter().enumerate() {
        let is_charge = line.word("route", "create_charge") == "create_charge";
        if line.is("request_received") && line.word("by", "client") == "client" && is_charge {
            of.entry(line.operation()).or_default().push(place);
        }
    }
    of
}

/// The first line about a request with this event.
fn about<'a>(lines: &'a [Line], request: &Line, event: &str) -> Option<(usize, &'a Line)> {
    lines
        .iter()
        .enumerate()
        .find(|(_, line)| line.is(event) && line.number("request") == request.number("request"))
}

/// The operations with more than one live charge.
fn doubly_charged(lines: &[Line]) -> BTreeSet<String> {
    let undone: BTreeSet<Option<u64>> = lines
        .iter()
        .filter(|line| line.is("effect_reversed"))
        .map(|line| line.number("effect"))
        .collect();
    let mut live = BTreeMap::<&str, u32>::new();
    for line in lines.iter().filter(|line| line.is("effect_committed")) {
        if !undone.contains(&line.number("effect")) {
            *live.entry(line.operation()).or_default() += 1;
        }
    }
    live.into_iter().filter(|(_, count)| *count > 1).map(|(one, _)| one.to_owned()).collect()
}

/// The operations that came back before they were allowed to, once for each time.
fn impatient(lines: &[Line], slack_us: u64) -> Vec<String> {
    let mut found = Vec::new();
    for (operation, places) in attempts(lines) {
        for place in &places {
            let Some((answered, answer)) = about(lines, &lines[*place], "response_sent") else {
                continue;
            };
            let whole = answer.value["complete"].as_bool().unwrap_or(true);
            let hints = answer.value["hints"].as_array().cloned().unwrap_or_default();
            let first = hints.iter().filter_map(|hint| allowed(hint, answer)).min();
            let Some((allowed_us, wait_us)) = first.filter(|_| whole && !answer.is_success())
            else {
                continue;
            };
            let next =
                places.iter().map(|other| (lines[*other].at(), *other)).find(|(at, other)| {
                    *other != *place
                        && (*at, *other) > (lines[*place].at(), *place)
                        && (*at > answer.head() || (*at == answer.head() && *other > answered))
                });
            if wait_us > 0 && next.is_some_and(|(at, _)| at + slack_us < allowed_us) {
                found.push(operation.to_owned());
            }
        }
    }
    found.sort();
    found
}

/// From when a hint allows the next attempt, and how long it asks to wait.
fn allowed(hint: &Value, answer: &Line) -> Option<(u64, u64)> {
    let wait_us = hint["wait_us"].as_u64()?;
    let in_body = hint["source"].as_str().unwrap_or("").starts_with("body:");
    Some(match hint["until_us"].as_u64() {
        Some(until_us) => (until_us.saturating_sub(1_000_000), wait_us),
        None if in_body => (answer.at() + wait_us, wait_us),
        None => (answer.head() + wait_us, wait_us),
    })
}

/// The pairs of neighbouring waits: how many there are, and how many grow.
fn pairs(lines: &[Line]) -> (usize, usize) {
    let (mut all, mut grown) = (0, 0);
    for places in attempts(lines).into_values() {
        let mut row: Vec<Option<Wait>> = Vec::new();
        for two in places.windows(2) {
            // Who had called it unknown and comes back to it later begins anew.
            let is_left_open = lines[two[0]..two[1]].iter().any(|line| {
                line.is("operation_finished")
                    && line.operation() == lines[two[0]].operation()
                    && line.word("by", "client") == "client"
                    && line.word("claim", "") == "unknown"
            });
            let step = step(lines, &lines[two[0]], &lines[two[1]]);
            match if is_left_open { Step::Afresh } else { step } {
                Step::Afresh => {
                    (all, grown) = add(&row, (all, grown));
                    row.clear();
                }
                Step::Wait(wait) => row.push(wait),
            }
        }
        (all, grown) = add(&row, (all, grown));
    }
    (all, grown)
}

fn add(row: &[Option<Wait>], (mut all, mut grown): (usize, usize)) -> (usize, usize) {
    for (earlier, later) in row.iter().take(3).zip(row.iter().take(3).skip(1)) {
        if let (Some((earlier, _)), Some((_, later))) = (earlier, later)
            && *earlier > 1_000
        {
            all += 1;
            grown += usize::from(later * 10 >= earlier * 11);
        }
    }
    (all, grown)
}

/// A wait from the end of the answer before it, and from its head: the least and the most that it can be.
type Wait = (u64, u64);

/// How one attempt follows another.
enum Step {
    /// It is no retry of it.
    Afresh,
    /// It is one, after a wait of the client's own, if that was one.
    Wait(Option<Wait>),
}

fn step(lines: &[Line], before: &Line, next: &Line) -> Step {
    let at = next.at();
    let answer = about(lines, before, "response_sent").map(|(_, line)| line);
    let end = about(lines, before, "connection_ended").map(|(_, line)| line);
    let hung_up = end.filter(|line| line.word("by", "client") == "client" && line.at() <= at);
    let mended = before.value["key"] != next.value["key"]
        || before.word("canonical_digest", "body") != next.word("canonical_digest", "body");
    let over = [answer, end].into_iter().flatten().map(Line::at).min().filter(|over| *over <= at);
    let since = |from: u64| (at - over.map_or(from, |over| over.max(from)), at - from);
    match answer {
        Some(one) if one.is_usable() && one.at() <= at => Step::Afresh,
        Some(one) if one.number("status") == Some(402) && one.head() <= at && mended => {
            Step::Afresh
        }
        Some(one) if !one.is_success() && one.head() <= at => {
            let hinted = one.value["hints"].as_array().is_some_and(|hints| !hints.is_empty());
            Step::Wait((!hinted).then(|| since(one.head())))
        }
        Some(one) if one.is_success() && one.at() <= at => {
            let cut = one.value["complete"] == false;
            let from = hung_up.filter(|_| cut).map_or(one.head(), Line::at);
            Step::Wait(Some(since(from)))
        }
        None if end.is_some_and(|line| line.at() <= at) => {
            Step::Wait(Some(since(hung_up.map_or(before.at(), Line::at))))
        }
        // Two in flight together are one retry of the other if they ask for the same.
        Some(_) | None
            if before.word("canonical_digest", "body") == next.word("canonical_digest", "body") =>
        {
            Step::Wait(None)
        }
        Some(_) | None => Step::Afresh,
    }
}

/// A whole number of any size: digits to the base of a billion, the lowest first.
type Number = Vec<u64>;

const BASE: u64 = 1_000_000_000;

/// `a` times `by`, plus `b` times `and`.
fn combined(a: &[u64], by: u64, b: &[u64], and: u64) -> Number {
    let mut sum = Vec::new();
    let mut carry = 0;
    let mut place = 0;
    while place < a.len().max(b.len()) || carry > 0 {
        let digit = |of: &[u64]| of.get(place).copied().unwrap_or(0);
        let all = digit(a) * by + digit(b) * and + carry;
        sum.push(all % BASE);
        carry = all / BASE;
        place += 1;
    }
    while sum.last() == Some(&0) {
        sum.pop();
    }
    sum
}

/// True when chance gives so few growing pairs less than once in a billion runs.
fn is_rare(all: usize, grown: usize) -> bool {
    // The coefficients of (11 + 29 x) to the power of `all`: in how many of 40^all cases so many grow.
    let mut ways: Vec<Number> = vec![vec![1]];
    let mut cases: Number = vec![1];
    for _ in 0..all {
        let none = Number::new();
        let at = |ways: &[Number], place: Option<usize>| {
            place.and_then(|place| ways.get(place)).unwrap_or(&none).clone()
        };
        ways = (0..=ways.len())
            .map(|k| combined(&at(&ways, Some(k)), 11, &at(&ways, k.checked_sub(1)), 29))
            .collect();
        cases = combined(&cases, 40, &[], 0);
    }
    let mut few = Number::new();
    for way in ways.iter().take(grown + 1) {
        few = combined(&few, 1, way, 1);
    }
    // Times a billion: one digit more at the lower end.
    few.insert(0, 0);
    (few.len(), few.iter().rev().collect::<Vec<_>>())
        < (cases.len(), cases.iter().rev().collect::<Vec<_>>())
}

/// What the first implementation says: the operations that it accuses.
fn accused(name: &str, run: &Value, text: &str) -> Vec<String> {
    let judged = invariant(name, &Value::Null).check(&trace_with(run, text));
    let accused = judged
        .violations
        .iter()
        .map(|one| one.operation.as_deref().expect("these are about operations").to_owned());
    let mut accused: Vec<String> = accused.collect();
    accused.sort();
    accused
}

proptest! {
    // `PROPTEST_CASES` asks for more.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn double_charges_and_early_returns_are_the_same_to_both(
        plan in plan(),
        bug in 0..100_usize,
        undone in prop::collection::vec(1..9_u64, 0..3),
    ) {
        let (run, mut text) = any_run(&plan, bug);
        for effect in undone {
            if text.contains(&format!("\"effect\":{effect},")) {
                let undo = json!({
                    "at_us": 98_000_000, "event": "effect_reversed", "effect": effect, "request": 1,
                    "operation": "op-0001",
                });
                text = format!("{text}\n{undo}");
            }
        }
        let lines = lines(&text);
        let charged: Vec<String> = doubly_charged(&lines).into_iter().collect();
        prop_assert_eq!(accused("no_double_charges", &run, &text), charged);
        let slack_us = if run["clock"] == "real" { 2_000 } else { 0 };
        prop_assert_eq!(accused("honors_retry_after", &run, &text), impatient(&lines, slack_us));
    }

    #[test]
    fn waits_that_do_not_grow_are_the_same_to_both(plan in busy_plan(24), bug in 0..100_usize) {
        let (run, text) = any_run(&plan, bug);
        let judged = invariant("backs_off", &Value::Null).check(&trace_with(&run, &text));
        let (all, grown) = pairs(&lines(&text));
        let expected = match all {
            0..17 => "not exercised",
            _ if is_rare(all, grown) => "failed run",
            _ => "passed",
        };
        prop_assert_eq!(in_short(&judged), expected);
        prop_assert!(all < 17 || judged.exercised == u64::try_from(all).unwrap());
    }
}

#[test]
fn the_whole_numbers_count_right() {
    assert_eq!(combined(&[999_999_999], 29, &[1], 11), [999_999_982, 28]);
    assert!(!is_rare(16, 0) && is_rare(17, 0) && !is_rare(17, 1));
    assert!(is_rare(120, 54) && !is_rare(100, 45));
}
