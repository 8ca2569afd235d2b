//! Reads a trace from a file: JSON Lines, one event a line.
//!
//! **Invariant:** whatever stands before the first broken line is used; the reader says where it
//! stopped and why, and no bytes make it panic.

use std::io::{BufRead, Read};

use brownout_provider::event::{Event, EventKind, TRACE_VERSION};
use serde_json::Value;

use super::Trace;
use super::build::TraceBuilder;

/// A line longer than this is no line of a trace: a body of a request never stands in one.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

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
pub fn read(input: impl BufRead, mut seen: impl FnMut(&Event)) -> Result<Trace, TraceError> {
    let mut lines = Lines { input, number: 0 };
    let Some(first) = lines.next()? else { return Err(TraceError::Empty) };
    let mut builder = TraceBuilder::new();
    let mut take = |event: &Event| {
        builder.push(event);
        seen(event);
    };
    take(&started(&first)?);
    let mut cut = None;
    while let Some(line) = lines.next()? {
        match serde_json::from_slice::<Event>(&line) {
            Ok(mut event) => {
                if event.seq == 0 {
                    event.seq = lines.number;
                }
                take(&event);
            }
            Err(error) => {
                cut = Some(format!(
                    "line {} of the trace is cut or broken ({error}); what stands before it was judged",
                    lines.number
                ));
                break;
            }
        }
    }
    let mut trace = builder.finish().ok_or(TraceError::Empty)?;
    if cut.is_none() && trace.end.is_none() {
        cut = Some(format!(
            "the trace ends after line {} without a `run_finished`; the run was cut short",
            lines.number
        ));
    }
    trace.cut = cut;
    Ok(trace)
}

/// The first line, which says whether this is a trace at all.
fn started(line: &[u8]) -> Result<Event, TraceError> {
    let no_trace = |error: &dyn std::fmt::Display| TraceError::NoTrace(error.to_string());
    let value: Value = serde_json::from_slice(line).map_err(|error| no_trace(&error))?;
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

/// Lines with their numbers, empty ones left out, each of bounded length.
struct Lines<R> {
    input: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, std::io::Error> {
        loop {
            let mut line = Vec::new();
            if self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }
}
