//! Freezing, hunting and exploring from outside: what a search writes is run again.
//!
//! **Invariant:** a file that a search wrote is judged by running it, never by reading its text alone.

mod clients;
mod freeze;
mod planted;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::brownout::{program, root};

/// What an invocation printed and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program at the root of the clone; whatever keeps traces keeps them in `folder`.
fn brownout(folder: &Path, arguments: &[&str]) -> Said {
    let (own, command) = match arguments.iter().position(|word| *word == "--") {
        Some(place) => arguments.split_at(place),
        None => (arguments, &[][..]),
    };
    let keeps_traces = arguments.first().is_some_and(|command| *command == "run");
    let out = folder.join("out");
    let out = out.to_str().expect("temporary folders have UTF-8 names");
    let out: &[&str] = if keeps_traces { &["--out", out] } else { &[] };
    let output = Command::new(program())
        .current_dir(root())
        .args([own, out, command].concat())
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .expect("the built program starts");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The trace of one run.
fn trace_in(folder: &Path, scenario: &str, run: &str) -> PathBuf {
    folder.join("out").join(scenario).join(run).join("trace.jsonl")
}
