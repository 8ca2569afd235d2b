//! What an expression can ask of a run: the tables `requests`, `operations` and `effects`.
//!
//! Knows nothing about what is asked.
//! **Invariant:** a column that a table has stands in each of its rows, `none` where there is nothing.

use std::sync::{Arc, Mutex, PoisonError};

use brownout_provider::event::ClaimBy;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use crate::trace::{EffectId, Name, OperationId, RequestId, Trace};

/// The tables, each with its columns.
pub(super) const TABLES: &[(&str, &[&str])] =
    &[("requests", REQUESTS), ("operations", OPERATIONS), ("effects", EFFECTS)];

const REQUESTS: &[&str] = &[
    "seq",
    "operation",
    "submit",
    "attempt",
    "provider",
    "tenant",
    "route",
    "method",
    "at_ms",
    "wait_ms",
    "retry",
    "key",
    "status",
    "class",
    "fault",
    "by",
];

const OPERATIONS: &[&str] =
    &["seq", "name", "submits", "attempts", "retries", "effects", "claim", "elapsed_ms"];

const EFFECTS: &[&str] = &[
    "seq",
    "operation",
    "submit",
    "provider",
    "kind",
    "subject",
    "amount",
    "unit",
    "live",
    "at_ms",
];

/// Where a row keeps the number of its event.
pub(super) const SEQ: &str = "seq";

/// The columns that were asked for and are not there, each with its table.
pub(super) type Missed = Arc<Mutex<Vec<(&'static str, String)>>>;

/// A table of a run.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Value>,
    /// Which selection it is what was left of; none for a whole table.
    selection: Option<usize>,
}

impl Object for Table {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.rows.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.rows.len())
    }
}

impl Table {
    /// Rows, or what was taken out of them.
    pub(super) fn of(rows: Vec<Value>, selection: Option<usize>) -> Value {
        Value::from_object(Self { rows, selection })
    }

    /// Which selection it is what was left of.
    pub(super) fn selection(&self) -> Option<usize> {
        self.selection
    }

    /// Its rows.
    pub(super) fn rows(&self) -> &[Value] {
        &self.rows
    }
}

#[derive(Debug)]
struct Row {
    table: &'static str,
    columns: &'static [&'static str],
    cells: Vec<Value>,
    missed: Missed,
}

impl Object for Row {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let found = self.columns.iter().position(|column| *column == key);
        if found.is_none() {
            let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
            missed.push((self.table, key.to_owned()));
        }
        self.cells.get(found?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(self.columns)
    }
}

/// The table of that name; `None` where there is no such table.
pub(super) fn table(trace: &Trace, name: &str, missed: &Missed) -> Option<Value> {
    let (table, columns) = *TABLES.iter().find(|(table, _)| *table == name)?;
    let rows: Vec<Vec<Value>> = match table {
        "requests" => trace.requests().map(|(id, _)| request(trace, id)).collect(),
        "operations" => trace.operations().filter_map(|(id, _)| operation(trace, id)).collect(),
        _ => trace.effects().map(|(id, _)| effect(trace, id)).collect(),
    };
    let rows = rows.into_iter().map(|cells| row((table, columns), cells, missed)).collect();
    Some(Table::of(rows, None))
}

/// Columns that may hold `none`.
const OPTIONAL: &[&str] = &[
    "tenant",
    "route",
    "wait_ms",
    "key",
    "status",
    "class",
    "fault",
    "claim",
    "elapsed_ms",
    "subject",
    "unit",
];

/// The table of that name with two rows to try an expression on: one of likely values, and one that holds
/// `none` wherever a row may.
pub(super) fn sample(name: &str, missed: &Missed) -> Option<Value> {
    let (table, columns) = *TABLES.iter().find(|(table, _)| *table == name)?;
    let likely = |column: &str| match column {
        "operation" | "provider" | "tenant" | "route" | "method" | "key" | "class" | "fault"
        | "by" | "name" | "claim" | "kind" | "subject" | "unit" => Value::from("text"),
        "retry" | "live" => Value::from(true),
        _ => Value::from(1),
    };
    let all = |cell: &dyn Fn(&str) -> Value| {
        row((table, columns), columns.iter().map(|column| cell(column)).collect(), missed)
    };
    let least = |column: &str| {
        if OPTIONAL.contains(&column) { Value::from(()) } else { likely(column) }
    };
    Some(Table::of(vec![all(&likely), all(&least)], None))
}

fn row(
    (table, columns): (&'static str, &'static [&'static str]),
    cells: Vec<Value>,
    missed: &Missed,
) -> Value {
    Value::from_object(Row { table, columns, cells, missed: Arc::clone(missed) })
}

fn request(trace: &Trace, id: RequestId) -> Vec<Value> {
    let request = trace.request(id);
    let text = |name: Option<Name>| Value::from(name.map(|name| trace.text(name)));
    let response = request.response;
    let waited_us = trace.previous(id).map(|before| trace.waited_us(before, id));
    let fault = trace.strikes_at(id).first().map(|strike| strike.fault);
    vec![
        Value::from(request.seq),
        Value::from(request.operation.map(|id| trace.operation_name(id))),
        Value::from(request.submit),
        Value::from(request.attempt),
        text(Some(request.provider)),
        text(request.tenant),
        text(request.route),
        text(Some(request.method)),
        millis(Some(request.at_us)),
        millis(waited_us),
        Value::from(trace.is_retry(id)),
        text(request.key),
        Value::from(response.map(|response| response.status)),
        Value::from(response.map(|response| response.class.name())),
        text(fault),
        Value::from(if request.by.is_client() { "client" } else { "provider" }),
    ]
}

/// `None` for an operation that was neither asked for nor met on the wire, so that no event tells of it.
fn operation(trace: &Trace, id: OperationId) -> Option<Vec<Value>> {
    let mut attempts = trace.attempts_of(id);
    let first = attempts.next();
    let submitted = trace.submits_of(id).find_map(|(_, submit)| submit.submitted.as_ref());
    let (seq, begun_us) = submitted
        .map(|submitted| (submitted.seq, submitted.at_us))
        .or_else(|| first.map(|(_, request)| (request.seq, request.at_us)))?;
    let last = trace.submits_of(id).last().map(|(_, submit)| submit);
    let claim = last.and_then(|submit| trace.final_claim(submit));
    let ended_us = last.and_then(|submit| trace.claims(submit).last()).map(|claim| claim.at_us);
    let retries = trace.attempts_of(id).filter(|(id, _)| trace.is_retry(*id)).count();
    let live = trace.effects_of(id).filter(|(_, effect)| effect.is_live()).count();
    Some(vec![
        Value::from(seq),
        Value::from(trace.operation_name(id)),
        Value::from(trace.submits_of(id).count()),
        Value::from(trace.attempts_of(id).count()),
        Value::from(retries),
        Value::from(live),
        Value::from(claim.filter(|claim| claim.by == ClaimBy::Client).map(|one| one.claim.name())),
        millis(ended_us.map(|ended_us| ended_us.saturating_sub(begun_us))),
    ])
}

fn effect(trace: &Trace, id: EffectId) -> Vec<Value> {
    let effect = trace.effect(id);
    let text = |name: Option<Name>| Value::from(name.map(|name| trace.text(name)));
    vec![
        Value::from(effect.seq),
        Value::from(trace.operation_name(effect.operation)),
        Value::from(effect.submit),
        text(Some(effect.provider)),
        text(Some(effect.kind)),
        text(effect.subject),
        Value::from(effect.amount),
        text(effect.unit),
        Value::from(effect.is_live()),
        millis(Some(effect.at_us)),
    ]
}

fn millis(us: Option<u64>) -> Value {
    Value::from(us.map(|us| us / 1_000))
}
