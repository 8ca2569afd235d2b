//! Reads a trace from a file: JSON Lines, one event a line.
//!
//! **Invariant:** whatever stands before the first broken line is used; the reader says where it
//! stopped and why, and no bytes make it panic.

use std::io::BufRead;
use std::ops::ControlFlow;

use brownout_provider::event::{Event, EventKind, TRACE_VERSION};
use serde_json::Value;

use super::Trace;
use super::build::TraceBuilder;
use super::lines::Lines;

/// For so many bytes room is made beforehand at most.
const MOST_EXPECTED: u64 = 4 * 1024 * 1024 * 1024;

/// Why something is no trace that can be judged.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file could not be read.
    #[error("the trace cannot be read")]
    Io(#[from] std::io::Error),
    /// Not one line.
    #[error("the trace is empty; the run wrote nothing")]
    Empty,
    /// The first line is not `run_started`.
    #[error("line 1 is no `run_started` event ({0}); give the `trace.jsonl` of a run")]
    NoTrace(String),
    /// The file ends within its first line.
    #[error(
        "the trace is cut before its first line ends, after {0} bytes, so that nothing of it can be \
         judged; make the run again"
    )]
    CutAtOnce(usize),
    /// A trace of another version.
    #[error(
        "line 1: the trace has version `{found}`, and this brownout reads version `{TRACE_VERSION}`; \
         judge it with the brownout that wrote it"
    )]
    Version {
        /// The version in the file.
        found: String,
    },
}

/// Reads a trace; `seen` is shown every event, in order.
///
/// A broken or cut line ends the reading: what stands before it is used, and [`Trace::cut`] says where
/// and why it stopped.
///
/// # Errors
/// When the bytes cannot be read, or are no trace of this version from the first line on.
pub fn read(input: impl BufRead, seen: impl FnMut(&Event)) -> Result<Trace, TraceError> {
    read_sized(input, 0, seen)
}

/// As [`read`], for so many bytes, as far as that is known: a long trace then needs less room.
///
/// # Errors
/// As [`read`].
pub fn read_sized(
    input: impl BufRead,
    bytes: u64,
    mut seen: impl FnMut(&Event),
) -> Result<Trace, TraceError> {
    let mut lines = Lines::of(input);
    let Some(first) = lines.next()? else { return Err(TraceError::Empty) };
    let expected = usize::try_from(bytes.min(MOST_EXPECTED)).unwrap_or(0);
    let mut builder = TraceBuilder::for_bytes(expected);
    let mut take = |event: &Event| {
        builder.push(event);
        seen(event);
    };
    let started = started(&first)?;
    take(&started);
    let (mut cut, mut missing) = (None, Vec::new());
    let mut latest = started.seq;
    lines.each(bytes, |(number, line)| {
        let event = match line {
            Ok(event) => event,
            Err(error) => {
                cut = Some(format!(
                    "line {number} of the trace is cut or broken ({error}); what stands before it was judged"
                ));
                return ControlFlow::Break(());
            }
        };
        if event.seq == 0 {
            event.seq = *number;
        } else if event.seq > latest.saturating_add(1) {
            missing.push((latest.saturating_add(1), event.seq - 1));
        }
        latest = event.seq;
        take(event);
        ControlFlow::Continue(())
    })?;
    let mut trace = builder.finish().ok_or(TraceError::Empty)?;
    if cut.is_none() && trace.end.is_none() {
        cut = Some(format!(
            "the trace ends after line {} without a `run_finished`; the run was cut short",
            lines.number()
        ));
    }
    trace.cut = cut;
    trace.missing = missing;
    Ok(trace)
}

/// The first line, which says whether this is a trace at all.
fn started(line: &[u8]) -> Result<Event, TraceError> {
    let no_trace = |error: &dyn std::fmt::Display| TraceError::NoTrace(error.to_string());
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let is_cut = error.is_eof() && line.starts_with(b"{") && !line.ends_with(b"\n");
        if is_cut { TraceError::CutAtOnce(line.len()) } else { no_trace(&error) }
    })?;
    if value.get("event").and_then(Value::as_str) != Some("run_started") {
        return Err(no_trace(&"it is another JSON document"));
    }
    let found = value.get("version").cloned().unwrap_or_default();
    if found.as_u64() != Some(u64::from(TRACE_VERSION)) {
        return Err(TraceError::Version { found: found.to_string() });
    }
    let mut event: Event = serde_json::from_value(value).map_err(|error| no_trace(&error))?;
    if !matches!(event.kind, EventKind::RunStarted(_)) {
        return Err(no_trace(&"it is another event"));
    }
    if event.seq == 0 {
        event.seq = 1;
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"seq":1,"at_us":0,"event":"run_started","version":1,"brownout":"0.1.0","scenario":{},"apis":{},"file":"x.yaml","seed":1,"run":"main","mode":"stdio","clock":"real"}"#;

    #[test]
    fn a_file_that_ends_within_its_first_line_is_said_to_be_cut() {
        let (half, _) = FIRST.split_at(60);
        let error = read(half.as_bytes(), |_| {}).expect_err("half a line is no trace");
        assert!(
            error.to_string().contains("before its first line ends, after 60 bytes"),
            "{error}"
        );
        let error = read(&b"{]\n"[..], |_| {}).expect_err("no JSON");
        assert!(matches!(error, TraceError::NoTrace(_)), "{error}");
    }

    #[test]
    fn numbers_that_a_file_leaves_out_are_kept() {
        let end = |seq: u64| {
            format!(r#"{{"seq":{seq},"at_us":1,"event":"run_finished","reason":"completed"}}"#)
        };
        let missing = |seq: u64| {
            let text = format!("{FIRST}\n{}\n", end(seq));
            read(text.as_bytes(), |_| {}).expect("a trace").missing
        };
        assert_eq!(missing(2), []);
        assert_eq!(missing(5), [(2, 4)]);
    }
}
