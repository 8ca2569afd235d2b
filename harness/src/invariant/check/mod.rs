//! `check`: a rule of the scenario's own, as an expression over what happened.
//!
//! For small counts that no invariant asks for. What needs more is written in Rust, as a function of the
//! trace.
//! **Invariant:** an expression that can be seen to be wrong is refused before anything runs, and one whose
//! selection is empty says nothing.

mod expression;
mod tables;

use std::sync::Arc;

use brownout_provider::document::{At, OneOrMany, decode};
use serde_json::Value;

use self::expression::{Answer, EXAMPLE, Rule};
use super::support::{few_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::trace::Trace;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "check",
    summary: "What the scenario's own expression says is true.",
    headline: "broke a rule of the scenario's own",
    rule: "The expression, in the syntax of Jinja, is true of the run. It asks the tables `requests`, \
           `operations` and `effects`, which `selectattr`, `rejectattr`, `select` and `reject` narrow: \
           `requests | selectattr('status', 'eq', 429) | list | length <= 3`. It says nothing where no row is \
           left of what it selects.",
    exercised_by: "A row in the selection of each expression.",
    parameters: &[
        ("the expression itself", "one, or a list of them, each of which must be true"),
        (
            "requests",
            "one row for each request: `seq` (the number of its event), `operation`, `submit`, `attempt`, \
             `provider`, `tenant`, `route`, `method`, `at_ms` since the run began, `wait_ms` since the client \
             can have known how the attempt before ended (`none` for a first attempt), `retry` (true or \
             false), `key`, `status`, `class` (`informational`, `success`, `redirect`, `throttling`, \
             `transient`, `permanent`), `fault` (the first that struck it), `by` (`client`, or `provider` for \
             a repeat that a fault made)",
        ),
        (
            "operations",
            "one row for each operation: `seq`, `name`, `submits`, `attempts`, `retries`, `effects` (live at \
             the end), `claim` (`succeeded`, `failed`, `unknown`; of the last submit), `elapsed_ms` from the \
             first submit to the last claim",
        ),
        (
            "effects",
            "one row for each effect: `seq`, `operation`, `submit`, `provider`, `kind`, `subject`, `amount`, \
             `unit`, `live` (true until it is reversed), `at_ms`",
        ),
    ],
    tolerates: "Whatever the expression does not ask for.",
    cure: "Read the expression beside the timeline: it says what the author of the scenario wanted of this \
           client.",
    why: "Some rules hold for one team alone; what is not written down as a check is found out by a \
          customer.",
    faults: &["status", "reset", "hang"],
    without_a_fault: "whatever the expression selects",
    modes: &[],
    example: "check: \"requests | selectattr('attempt', 'gt', 1) | list | length <= 10\"",
    bare: false,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<OneOrMany<String>>,
    parse,
};

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    if !value.is_string() && !value.is_array() {
        at.error("an expression is missing", |d| d.cure(format!("write one such as `{EXAMPLE}`")));
        return None;
    }
    let raw: OneOrMany<String> = decode(value, at)?;
    let count = raw.iter().count();
    let rules: Vec<Rule> = raw
        .iter()
        .filter_map(|(index, source)| {
            let at = index.map_or_else(|| at.clone(), |index| at.index(index));
            Rule::compile(source, &at)
        })
        .collect();
    if rules.len() < count {
        return None;
    }
    Some(Arc::new(Check { rules }))
}

#[derive(Debug)]
struct Check {
    rules: Vec<Rule>,
}

impl Invariant for Check {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations, mut silent) = (0, Vec::new(), None);
        for rule in &self.rules {
            match rule.ask(trace) {
                Answer::Holds(rows) => exercised += rows,
                Answer::Broken(count, events) => {
                    exercised += count;
                    let message = format!(
                        "expected `{}`, found it false with {} selected",
                        rule.source(),
                        plural(count, "row")
                    );
                    violations.push(Violation::of_run(message, few_of(events)));
                }
                Answer::Silent(why) => {
                    silent = silent.or_else(|| Some(format!("`{}`: {why}", rule.source())));
                }
            }
        }
        // What is said of the whole must not hide that a part of it was never put to the test.
        match silent {
            Some(why) if violations.is_empty() => Judgement::new(0, violations, &why),
            _ => Judgement::new(exercised, violations, "nothing was selected"),
        }
    }
}

#[cfg(test)]
mod tests;
