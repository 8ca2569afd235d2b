//! Lines that look like claims and are none: a word misspelled costs a client its claim.
//!
//! **Invariant:** nothing here changes a verdict; it is only ever told.

use brownout_provider::event::{Claim, Mode};
use serde_json::Value;

use crate::amount::plural;
use crate::operation::OUTCOME_WORD;
use crate::trace::{Output, Trace, in_short};

/// What to say of lines that were meant as claims and could not be read as such.
pub(super) fn note(trace: &Trace) -> Option<String> {
    let of_stdout = |output: &&Output| trace.text(output.stream) == "stdout";
    let mut meant = trace.outputs().iter().filter(of_stdout).filter_map(|output| {
        let why = why_no_claim(trace, output.text.trim())?;
        Some((output, why))
    });
    let (first, why) = meant.next()?;
    let number = 1 + meant.count();
    let (were, they) = if number == 1 { ("was", "is") } else { ("were", "are") };
    Some(format!(
        "{} that {} like a claim {were} taken for output and {they} none (first `{}`: {why})",
        plural(number, "line"),
        if number == 1 { "looks" } else { "look" },
        in_short(&first.text),
    ))
}

/// Why a line that seems to be meant as a claim is none.
fn why_no_claim(trace: &Trace, line: &str) -> Option<&'static str> {
    let said = match trace.mode() {
        Mode::Exec | Mode::Suite => line.strip_prefix(OUTCOME_WORD)?.trim_start(),
        Mode::Stdio if line.starts_with('{') => line,
        Mode::Stdio | Mode::Http | Mode::Serve | Mode::InProcess => return None,
    };
    let Ok(Value::Object(said)) = serde_json::from_str(said) else {
        // In stdio mode it is a log line as any other.
        return (trace.mode() != Mode::Stdio).then_some("one JSON object is to follow the word");
    };
    let words = [Claim::Succeeded, Claim::Failed, Claim::Unknown].map(Claim::name);
    let why = match said.get("outcome").map(Value::as_str) {
        Some(Some(outcome)) if words.contains(&outcome) => return None,
        Some(Some(_)) => "`outcome` is `succeeded`, `failed` or `unknown`",
        Some(None) => "`outcome` is to be a text",
        None => "it has no `outcome`",
    };
    // In stdio mode it is meant as a claim only where it names an operation and has an outcome.
    let names = || said.get("id").and_then(Value::as_str).and_then(|id| trace.find_operation(id));
    let is_meant =
        trace.mode() != Mode::Stdio || (said.contains_key("outcome") && names().is_some());
    is_meant.then_some(why)
}
