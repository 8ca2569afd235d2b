//! One run of a client: provider, trap and recorder are started, the client is driven, and the trace
//! comes back.
//!
//! It judges nothing beyond the control run.
//!
//! **Invariant:** when a function here returns, no process, socket or task of the run is left, whatever
//! the client did and however the run ended.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::Mode;

use crate::drive::in_process::InProcess;
use crate::drive::stop::Stop;
use crate::trace::Trace;
use crate::verdict::ControlResult;

/// A client under test.
#[derive(Clone)]
pub enum Client {
    /// A program.
    Process {
        /// How it is driven: [`Mode::Stdio`], [`Mode::Exec`] or [`Mode::Suite`].
        mode: Mode,
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// A closure in this process, on the real clock.
    InProcess(Arc<dyn InProcess>),
}

impl Client {
    /// How it is driven.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Process { mode, .. } => *mode,
            Self::InProcess(_) => Mode::InProcess,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { mode, command } => {
                f.debug_struct("Process").field("mode", mode).field("command", command).finish()
            }
            Self::InProcess(_) => f.write_str("InProcess"),
        }
    }
}

/// What a run needs beside the scenario, the seed and the client.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The scenario's file as the user wrote it, for the trace.
    pub file: String,
    /// The folder for `trace.jsonl` and `control.jsonl`, created if need be; `None` keeps the trace in
    /// memory.
    pub dir: Option<PathBuf>,
    /// A fixed port for the first provider (by name) that fixes none itself; `None` takes any.
    pub port: Option<u16>,
    /// Hosts that the client may reach beside the mock.
    pub allow_network: Vec<String>,
    /// Ends the run early.
    pub stop: Stop,
    /// True when this process does nothing but run brownout, so that every orphan that it inherits
    /// belongs to a client. A library leaves it false: then only what can be told to come from the
    /// client is ended.
    pub owns_process: bool,
}

/// A main run that came to its end, or was interrupted.
#[derive(Debug)]
pub struct Run {
    /// What happened, ready to be judged.
    pub trace: Trace,
    /// Where the trace stands.
    pub path: Option<PathBuf>,
    /// Wall time, from the start of the provider to the end of the drain.
    pub elapsed: Duration,
    /// Remarks for the report: what was cut.
    pub notes: Vec<String>,
    /// True when it was ended by [`RunOptions::stop`].
    pub interrupted: bool,
}

/// A control run.
#[derive(Debug)]
pub struct ControlRun {
    /// Whether the client works in fair weather.
    pub result: ControlResult,
    /// Where its trace stands.
    pub path: Option<PathBuf>,
    /// Wall time.
    pub elapsed: Duration,
    /// True when it was ended by [`RunOptions::stop`].
    pub interrupted: bool,
}

/// Why a run could not be made. Each says what to do instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The port of a provider cannot be had.
    #[error("port {port} cannot be opened: {source}; choose another one, or none to take any")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The client's command cannot be started.
    #[error("cannot start `{command}`: {reason}")]
    Spawn {
        /// The command.
        command: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The folder for traces or for the client's state cannot be created.
    #[error("cannot create `{}`: {source}; choose another folder with `--out`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trace cannot be written. What was written before stays readable.
    #[error(
        "cannot write the trace to `{}`: {source}; the lines before it are whole; make room or choose another folder with `--out`",
        path.display()
    )]
    Trace {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The scenario has no `call`, so there is nothing to submit in this mode.
    #[error(
        "the workload has no `call`, so there is nothing to hand to the client in {mode} mode; name a route, or use `--mode suite`"
    )]
    NothingToCall {
        /// The mode.
        mode: &'static str,
    },
    /// A template of the scenario or the API cannot be rendered.
    #[error("cannot render {what}: {reason}")]
    Template {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
    /// The operating system refuses something that every run needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl RunError {
    /// The exit code of an invocation that ends with it: 3 when the scenario is wrong, else 4.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NothingToCall { .. } | Self::Template { .. } => 3,
            Self::Port { .. }
            | Self::Spawn { .. }
            | Self::Folder { .. }
            | Self::Trace { .. }
            | Self::System { .. } => 4,
        }
    }
}
