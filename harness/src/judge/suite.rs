//! What a suite itself said at its end: its exit code, and the last line that it wrote.
//!
//! Knows nothing about operations: a suite's exit code makes no claim about any of them.
//! **Invariant:** nothing here changes a verdict; it is only ever told.

use brownout_provider::event::Mode;

use super::counts;
use crate::amount::plural;
use crate::trace::{ClientEnd, Trace};
use crate::verdict::{ControlResult, SuiteEnd};

/// So many characters of a suite's last line are told.
const LAST_LINE: usize = 160;

/// How the suite of a run ended; `None` in every other mode, and while it has not ended.
pub(super) fn end(trace: &Trace) -> Option<SuiteEnd> {
    if trace.mode() != Mode::Suite {
        return None;
    }
    let ClientEnd { code, signal, killed, .. } = *trace.client_ends().last()?;
    let operations = counts::operations(trace).total;
    Some(SuiteEnd { code, signal, killed, last_line: last_line(trace), operations })
}

/// The last line that the suite wrote to its standard output or standard error.
fn last_line(trace: &Trace) -> Option<String> {
    let own = |stream| matches!(trace.text(stream), "stdout" | "stderr");
    let mut lines = trace.outputs().iter().filter(|output| own(output.stream));
    let last = lines.rfind(|output| !output.text.trim().is_empty())?;
    Some(last.text.trim().chars().take(LAST_LINE).collect())
}

/// What to say of claims about operations that nobody saw, where others were seen and not claimed: a name
/// was probably written in another way than on the wire.
pub(super) fn misnamed(trace: &Trace) -> Option<String> {
    if !matches!(trace.mode(), Mode::Suite | Mode::Serve) {
        return None;
    }
    let (mut unseen, mut unclaimed) = (Vec::new(), Vec::new());
    for (id, _) in trace.operations() {
        let claimed = trace.submits_of(id).any(|(_, submit)| trace.final_claim(submit).is_some());
        match (claimed, trace.requests_of(id).next().is_some()) {
            (true, false) => unseen.push(trace.operation_name(id)),
            (false, true) => unclaimed.push(trace.operation_name(id)),
            (true, true) | (false, false) => {}
        }
    }
    let (unseen, unclaimed) = (unseen.first()?, unclaimed.first()?);
    Some(format!(
        "a claim names `{unseen}`, which was never on the wire, and `{unclaimed}` was there and has no claim; \
         if they are one operation, claim it by the name that the wire knows"
    ))
}

/// A word of caution where the suite did not do all its work, here or in fair weather.
pub(super) fn notes(trace: &Trace, control: Option<&ControlResult>) -> Vec<String> {
    let Some(end) = end(trace) else { return Vec::new() };
    let calm = control.and_then(|control| control.suite.as_ref());
    let mut notes = Vec::new();
    if let Some(calm) = calm.filter(|calm| !calm.is_well()) {
        notes.push(format!(
            "the suite is not content without any fault either: in the control run {}; it reached the \
             mock, which is all that the control run of a suite asks for",
            calm.in_words()
        ));
    }
    let here = end.operations;
    let fewer = calm.map(|calm| calm.operations).filter(|before| *before > here);
    let seen = fewer.map_or(String::new(), |before| {
        format!("the control run saw {}, this one {here}", plural_of(before))
    });
    if !end.is_well() {
        let seen = if seen.is_empty() { seen } else { format!("; {seen}") };
        notes.push(format!(
            "{}{seen}; what it did not come to is not judged, and all that it wrote stands in the trace",
            end.in_words()
        ));
    } else if !seen.is_empty() {
        notes.push(format!("{seen}; what the suite did not do is not judged"));
    }
    notes
}

fn plural_of(operations: u64) -> String {
    plural(usize::try_from(operations).unwrap_or(usize::MAX), "operation")
}
