//! What a search tells: for people and for programs.
//!
//! **Invariant:** pure functions to text.

use serde_json::{Value, json};

use super::Written;
use crate::report::style::Style;
use crate::search::pursue::{Firmness, Found};
use crate::search::script;

/// A number with its thousands apart: `4,096`.
pub(super) fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 operation`, `2 operations`.
pub(super) fn counted(count: impl ToString, noun: &str) -> String {
    let plural = if count.to_string() == "1" { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// What was found, for people; `first` is the sentence on top.
pub(super) fn found(found: &Found, written: &Written, first: &str) -> String {
    let shrunk = match found.firmness {
        Firmness::Firm(_) => format!(
            "From {} and {} to {} and {}.",
            counted(found.first.0, "operation"),
            counted(found.first.1, "fault"),
            counted(found.case.load.operations, "operation"),
            counted(found.faults(), "fault"),
        ),
        Firmness::Flaky { .. } | Firmness::Unknown => String::new(),
    };
    let mut lines = vec![
        format!("{} {}", Style::Bad.paint("✗"), Style::Strong.paint(first)),
        shrunk,
        String::new(),
    ];
    lines.extend(written.story.iter().cloned());
    lines.extend(found.notes.iter().map(|note| format!("note: {note}")));
    lines.push(String::new());
    lines.push(format!("wrote {}", Style::Strong.paint(&written.file.display().to_string())));
    lines.retain({
        let mut before = false;
        move |line| {
            let is_empty = line.is_empty();
            !(std::mem::replace(&mut before, is_empty) && is_empty)
        }
    });
    format!("{}\n", lines.join("\n"))
}

/// What was found, for programs; `null` fields where nothing was.
pub(super) fn document(search: &str, found: Option<(&Found, &Written)>) -> Value {
    let mut document = json!({"version": 1, "search": search, "found": found.is_some()});
    let Some((found, written)) = found else { return document };
    let (firm, failed, times) = match found.firmness {
        Firmness::Firm(times) => (Some(true), times, times),
        Firmness::Flaky { failed, times } => (Some(false), failed, times),
        Firmness::Unknown => (None, 0, 0),
    };
    let details = json!({
        "invariant": found.invariant,
        "message": found.message(),
        "firm": firm,
        "failed": failed,
        "times": times,
        "operations": found.case.load.operations,
        "faults": found.faults(),
        "script": script::to_value(&found.case.script),
        "minimal": found.is_minimal,
        "smaller_tried": found.smaller_tried,
        "wrote": written.file.display().to_string(),
        "reproduce": written.reproduce,
        "notes": found.notes,
    });
    if let (Some(all), Value::Object(details)) = (document.as_object_mut(), details) {
        all.extend(details);
    }
    document
}

/// The document as it is printed.
pub(super) fn printed(document: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (4_096, "4,096"), (1_000_000, "1,000,000")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "fault"), "1 fault");
        assert_eq!(counted(2_000, "run"), "2,000 runs");
    }
}
