//! One expression: compiled and tried before a run, asked of the run after it.
//!
//! **Invariant:** work is bounded by fuel, and what is selected is counted where it is selected.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use brownout_provider::document::At;
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters};

use super::tables::{self, Missed, SEQ, TABLES, Table};
use crate::trace::Trace;

/// The most steps that one expression may take.
const FUEL: u64 = 10_000_000;

/// What an expression says of a run.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is true; so many rows were selected.
    Holds(usize),
    /// It is false; how much was selected, and the events of the rows among it.
    Broken(usize, Vec<u32>),
    /// It says nothing, and why.
    Silent(String),
}

/// What was selected: for each time a whole table was narrowed, what was left at last. Rows know which
/// selection they are what was left of, so that an expression may narrow as many as it likes.
type Selections = Arc<Mutex<Vec<Selection>>>;

/// What a selection left over.
#[derive(Debug)]
struct Selection {
    /// How much: rows, or values of rows.
    count: usize,
    /// The events of what are rows.
    events: Vec<u32>,
}

/// The longest expression, in bytes: it is read recursively.
const LONGEST: usize = 4_096;

/// An expression that can be asked.
#[derive(Debug)]
pub(super) struct Rule {
    source: String,
    /// The tables that it names.
    tables: Vec<&'static str>,
}

impl Rule {
    /// Reads an expression and tries it; reports at `at` what is wrong with it.
    pub(super) fn compile(source: &str, at: &At<'_>) -> Option<Self> {
        if source.trim().is_empty() || source.len() > LONGEST {
            let message = match source.len() {
                0..=LONGEST => "the expression is empty".to_owned(),
                bytes => {
                    format!("the expression is {bytes} bytes long, and at most {LONGEST} are read")
                }
            };
            at.error(message, |d| d.cure(format!("write one such as `{EXAMPLE}`")));
            return None;
        }
        let environment = environment(&Selections::default());
        let compiled = match environment.compile_expression(source) {
            Ok(compiled) => compiled,
            Err(error) => {
                refuse(&error, at);
                return None;
            }
        };
        let is_function = |name: &String| environment.globals().any(|(known, _)| known == name);
        let mut named: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
        named.retain(|name| !is_function(name));
        named.sort_unstable();
        let tables: Vec<&'static str> = TABLES.iter().map(|(table, _)| *table).collect();
        if let Some(stranger) = named.iter().find(|name| !tables.contains(&name.as_str())) {
            at.error(format!("there is no table `{stranger}`"), |d| d.allowed(stranger, &tables));
            return None;
        }
        if named.is_empty() {
            at.error("the expression asks nothing about the run", |d| {
                d.cure("name `requests`, `operations` or `effects` in it")
            });
            return None;
        }
        let is_named = |table: &&str| named.iter().any(|name| name == table);
        let rule = Self {
            source: source.to_owned(),
            tables: tables.into_iter().filter(is_named).collect(),
        };
        rule.is_right(at).then_some(rule)
    }

    /// The expression as it is written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Tries it on tables of one row: finds columns, filters and tests that are not there, and an answer
    /// that is neither true nor false.
    fn is_right(&self, at: &At<'_>) -> bool {
        let missed = Missed::default();
        let answer = self.eval(|name| tables::sample(name, &missed));
        let missed = std::mem::take(&mut *missed.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((table, column)) = missed.first() {
            let columns = TABLES.iter().find(|(name, _)| name == table).map_or(&[][..], |it| it.1);
            at.error(format!("`{table}` has no column `{column}`"), |d| d.allowed(column, columns));
            return false;
        }
        match answer {
            Ok((answer, _)) if answer.kind() == ValueKind::Bool => true,
            Ok(_) => {
                at.error("the expression is neither true nor false", |d| {
                    d.cure("compare what it counts, such as `… | length <= 3`")
                });
                false
            }
            // A row that a real run may have: nothing can be said before.
            Err(error) if error.kind() == ErrorKind::UndefinedError => true,
            Err(error) => {
                refuse(&error, at);
                false
            }
        }
    }

    /// Asks it of a run.
    pub(super) fn ask(&self, trace: &Trace) -> Answer {
        let missed = Missed::default();
        let table = |name: &str| tables::table(trace, name, &missed);
        let (answer, selections) = match self.eval(table) {
            Ok((answer, selections)) => (answer.is_true(), selections),
            Err(error) => return Answer::Silent(format!("cannot be answered: {error}")),
        };
        let whole = || -> Vec<Selection> {
            let tables = self.tables.iter().filter_map(|name| table(name));
            tables.map(|table| Selection::of(rows_of(&table))).collect()
        };
        let events = |selections: &[Selection]| -> Vec<u32> {
            selections.iter().flat_map(|one| one.events.iter().copied()).collect()
        };
        let selections = if selections.is_empty() { whole() } else { selections };
        let count = selections.iter().map(|one| one.count).sum();
        // Values that were taken out of their rows prove nothing; then all rows do.
        let proof = events(&selections);
        let events = if proof.is_empty() { events(&whole()) } else { proof };
        match (count, answer) {
            (0, _) => Answer::Silent("nothing was selected".to_owned()),
            (count, true) => Answer::Holds(count),
            (count, false) => Answer::Broken(count, events),
        }
    }

    /// Its value, and what was selected on the way to it.
    fn eval(
        &self,
        table: impl Fn(&str) -> Option<Value>,
    ) -> Result<(Value, Vec<Selection>), Error> {
        let selections = Selections::default();
        let environment = environment(&selections);
        let tables = self.tables.iter().filter_map(|name| Some((*name, table(name)?)));
        let context = Value::from_pairs(tables);
        let value = environment.compile_expression(&self.source)?.eval(context)?;
        let selected =
            std::mem::take(&mut *selections.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((value, selected))
    }
}

/// An expression as people write them.
pub(super) const EXAMPLE: &str = "requests | selectattr('status', 'eq', 429) | list | length <= 3";

impl Selection {
    fn of(rows: &[Value]) -> Self {
        Self { count: rows.len(), events: seqs(rows) }
    }
}

fn refuse(error: &Error, at: &At<'_>) {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    at.error(format!("the expression cannot be evaluated: {reason}"), |d| {
        d.cure(format!("write it as Jinja does, such as `{EXAMPLE}`"))
    });
}

/// Puts in the place of a filter one that notes what it lets through.
macro_rules! note {
    ($environment:ident, $selections:ident, $name:ident ( $($parameter:ident: $type:ty),* )) => {
        let log = Arc::clone($selections);
        $environment.add_filter(
            stringify!($name),
            move |state: &mut State<'_, '_>, rows: Value, $($parameter: $type,)*
                  test: Option<Cow<'_, str>>, others: Rest<ValueOrKwargs>| {
                let narrowed = selection_of(&rows);
                noted(&log, narrowed, filters::$name(state, rows, $($parameter,)* test, others))
            },
        );
    };
}

/// A comparison by its names, and which orders fulfil it.
type Comparison = (&'static [&'static str], fn(Ordering) -> bool);

/// The tests that compare. What is not there is neither smaller nor larger than anything, so that a first
/// attempt has no short wait.
const COMPARISONS: &[Comparison] = &[
    (&["lt", "lessthan", "<"], Ordering::is_lt),
    (&["le", "<="], Ordering::is_le),
    (&["gt", "greaterthan", ">"], Ordering::is_gt),
    (&["ge", ">="], Ordering::is_ge),
];

/// The environment whose selecting filters note what they let through.
fn environment(selections: &Selections) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    for (names, holds) in COMPARISONS {
        for name in *names {
            environment.add_test(*name, move |value: Value, other: Value| {
                let is_there = |one: &Value| !one.is_none() && !one.is_undefined();
                is_there(&value) && is_there(&other) && holds(value.cmp(&other))
            });
        }
    }
    environment.add_filter("list", |state: &State<'_, '_>, rows: Value| {
        if rows.downcast_object_ref::<Table>().is_some() {
            Ok(rows)
        } else {
            filters::list(state, rows)
        }
    });
    environment.add_filter(
        "map",
        |state: &mut State<'_, '_>, rows: Value, arguments: Rest<ValueOrKwargs>| {
            let selection = selection_of(&rows);
            filters::map(state, rows, arguments).map(|values| Table::of(values, selection))
        },
    );
    note!(environment, selections, select());
    note!(environment, selections, reject());
    note!(environment, selections, selectattr(column: Cow<'_, str>));
    note!(environment, selections, rejectattr(column: Cow<'_, str>));
    environment
}

/// Notes what was left: of the selection that was narrowed further, or of a new one.
fn noted(
    log: &Selections,
    narrowed: Option<usize>,
    left: Result<Vec<Value>, Error>,
) -> Result<Value, Error> {
    let left = left?;
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let selected = Selection::of(&left);
    let number = narrowed.unwrap_or(log.len());
    match log.get_mut(number) {
        Some(known) => *known = selected,
        None => log.push(selected),
    }
    Ok(Table::of(left, Some(number)))
}

fn selection_of(rows: &Value) -> Option<usize> {
    rows.downcast_object_ref::<Table>()?.selection()
}

fn rows_of(table: &Value) -> &[Value] {
    table.downcast_object_ref::<Table>().map_or(&[], Table::rows)
}

/// The events of rows; nothing for what is no row of a table.
fn seqs(rows: &[Value]) -> Vec<u32> {
    let seq = |row: &Value| u32::try_from(row.get_attr(SEQ).ok()?.as_i64()?).ok();
    rows.iter().filter_map(seq).collect()
}
