//! The drawn schedule of a run, and whether two runs drew the same.
//!
//! **Invariant:** only coordinates that both runs reached are compared; what one run alone reached is
//! the client's difference, and named as such.

use std::collections::BTreeMap;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::schedule::{Drawn, schedule_hash as hash};

use crate::trace::Trace;

/// How many differences are named.
const NAMED: usize = 10;

/// What came of comparing two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Coordinates that both runs reached.
    pub compared: usize,
    /// Coordinates at which the two drew differently, in words; empty when the schedule repeats.
    pub differences: Vec<String>,
    /// Coordinates that one run alone reached, in words, the first ten: the client's own difference.
    pub client: Vec<String>,
}

/// SHA-256 over the drawn schedule of a run, in hexadecimal.
pub(super) fn schedule_hash(trace: &Trace) -> String {
    let lines = trace.drawn().iter().filter_map(|drawn| {
        let at = coordinates(trace, drawn.request)?;
        Some(Drawn { rule: trace.text(drawn.rule), at, fault: trace.text(drawn.fault) })
    });
    let delivered = delivered(trace);
    hash(lines.chain(delivered.map(|(at, rule, fault)| Drawn { rule, at, fault })))
}

/// What was drawn for messages and events, where it struck: nothing stands before them there.
fn delivered(trace: &Trace) -> impl Iterator<Item = (Coordinates<'_>, &str, &str)> + Clone {
    trace.strikes().iter().filter(|strike| strike.scheduled).filter_map(|strike| {
        let at = trace.delivered(strike)?;
        let at = Coordinates {
            provider: trace.text(strike.provider),
            route: trace.text(at.route),
            operation: trace.operation_name(at.operation),
            submit: at.submit,
            attempt: at.attempt,
        };
        Some((at, trace.text(strike.rule), trace.text(strike.fault)))
    })
}

/// Compares the drawn schedules of two runs with one seed.
#[must_use]
pub fn compare(first: &Trace, second: &Trace) -> Comparison {
    let (one, other) = (reached(first), reached(second));
    let mut comparison = Comparison::default();
    for (at, drawn) in &one {
        match other.get(at) {
            Some(again) if again == drawn => comparison.compared += 1,
            Some(again) => {
                comparison.compared += 1;
                let (drawn, again) = (in_words(drawn), in_words(again));
                comparison.differences.push(format!("{}: {drawn}, then {again}", place(at)));
            }
            None => comparison.client.push(format!("{}: only in the first run", place(at))),
        }
    }
    let only_second = other.keys().filter(|at| !one.contains_key(*at));
    comparison
        .client
        .extend(only_second.map(|at| format!("{}: only in the second run", place(at))));
    comparison.client.truncate(NAMED);
    comparison.differences.truncate(NAMED);
    comparison
}

/// What was drawn at each coordinate that a run reached.
fn reached(trace: &Trace) -> BTreeMap<Coordinates<'_>, Vec<(&str, &str)>> {
    let mut reached: BTreeMap<Coordinates<'_>, Vec<(&str, &str)>> = trace
        .requests()
        .filter(|(_, request)| request.by.is_client())
        .filter_map(|(id, _)| Some((coordinates(trace, id)?, Vec::new())))
        .collect();
    for drawn in trace.drawn() {
        let at = coordinates(trace, drawn.request);
        if let Some(list) = at.and_then(|at| reached.get_mut(&at)) {
            list.push((trace.text(drawn.rule), trace.text(drawn.fault)));
        }
    }
    for (at, rule, fault) in delivered(trace) {
        reached.entry(at).or_default().push((rule, fault));
    }
    reached.values_mut().for_each(|list| list.sort_unstable());
    reached
}

fn coordinates(trace: &Trace, id: crate::trace::RequestId) -> Option<Coordinates<'_>> {
    let request = trace.request(id);
    Some(Coordinates {
        provider: trace.text(request.provider),
        route: trace.text(request.route?),
        operation: trace.operation_name(request.operation?),
        submit: request.submit,
        attempt: request.attempt,
    })
}

fn place(at: &Coordinates<'_>) -> String {
    format!(
        "`{}` submit {} attempt {} of `{}` at `{}`",
        at.operation, at.submit, at.attempt, at.route, at.provider
    )
}

fn in_words(drawn: &[(&str, &str)]) -> String {
    if drawn.is_empty() {
        return "nothing".to_owned();
    }
    let words: Vec<String> =
        drawn.iter().map(|(rule, fault)| format!("`{rule}` {fault}")).collect();
    words.join(" and ")
}
