//! One run of a client: provider, trap and recorder are started, the client is driven, and the trace
//! comes back.
//!
//! It judges nothing by itself: a control run always, a main run when it is asked to.
//!
//! **Invariant:** when a function here returns, no process, socket or task of the run is left, whatever
//! the client did and however the run ended.

mod canary;
mod error;
mod folders;
mod paused;
mod stage;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout_provider::event::{ClockKind, Mode, RunKind};
use brownout_provider::seed::Seed;
use brownout_provider::shell::lock::lock;
use brownout_provider::shell::transport::Transport;

use crate::drive::http::{Place, ServiceFactory};
use crate::drive::in_process::{Always, Factory, InProcess, Reconciler};
use crate::drive::nobody::Nobody;
use crate::drive::speed::Speed;
use crate::drive::stop::Stop;
use crate::drive::worker::Worker;
use crate::judge::{judge, judge_control};
use crate::scenario::{Arrival, Scenario, Submits};
use crate::trace::Trace;
use crate::verdict::{ControlResult, ScenarioResult};

pub use error::RunError;

use paused::Paused;
use stage::Order;

/// How far the numbers of a run's operations stand from those of another that shares something with it; also how
/// many operations a run has at most.
const RAISE: u64 = 1_000_000;

/// How many operations a control run has at most.
const CONTROL_OPERATIONS: u64 = 5;

/// How much real time may pass in virtual time without anything happening, unless it is said.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// A service: http mode.
    Service(Arc<Service>),
    /// A client in this process, built by this; see [`Client::in_process`].
    InProcess(Arc<dyn Factory>),
    /// A service in this process, built by this.
    ServiceInProcess(Arc<dyn ServiceFactory>),
    /// A worker in this process, which receives messages by itself.
    WorkerInProcess(Arc<dyn Worker>),
    /// None: the provider alone, until it is told to end.
    Nobody(Arc<Nobody>),
}

impl Client {
    /// A closure in this process: one client for all runs.
    #[must_use]
    pub fn in_process(client: impl InProcess + Send + Sync + 'static) -> Self {
        Self::InProcess(Arc::new(Always::new(client)))
    }

    /// Refuses a scenario that asks for what cannot be done to this client.
    ///
    /// # Errors
    ///
    /// When a rule strikes the client itself, and nobody could start it again; when the client is a service
    /// and the scenario does not say how it is called, or the other way round; likewise a worker and messages; when
    /// operations are tenants' and nobody hands them out.
    pub fn check(&self, scenario: &Scenario) -> Result<(), RunError> {
        match (self, scenario.workload.http.is_some()) {
            (Self::Service(_) | Self::ServiceInProcess(_), false) => {
                return Err(RunError::NotCalled);
            }
            (Self::Process { .. } | Self::InProcess(_) | Self::WorkerInProcess(_), true) => {
                return Err(RunError::OnlyService);
            }
            (Self::Service(_) | Self::ServiceInProcess(_) | Self::Nobody(_), _)
            | (Self::Process { .. } | Self::InProcess(_) | Self::WorkerInProcess(_), false) => {}
        }
        let is_worker = matches!(
            (self, self.mode()),
            (Self::Nobody(_) | Self::WorkerInProcess(_), _) | (_, Mode::Stdio)
        );
        match (&scenario.workload.queue, self) {
            (Some(_), _) if !is_worker => return Err(RunError::OnlyWorker),
            (None, Self::WorkerInProcess(_)) => return Err(RunError::NoMessages),
            _ => {}
        }
        if self.mode() == Mode::Suite && !scenario.workload.tenants.is_empty() {
            return Err(RunError::NoTenants);
        }
        let mode = match (self, self.mode()) {
            (Self::Service(service), _) if service.command.is_empty() => "target",
            (_, Mode::Suite) => "suite",
            (_, Mode::Serve) => "serve",
            (_, Mode::Stdio | Mode::Exec | Mode::Http | Mode::InProcess) => return Ok(()),
        };
        match scenario.strikes_client() {
            Some(rule) => Err(RunError::ClientOutOfReach { rule: rule.name.to_string(), mode }),
            None => Ok(()),
        }
    }

    /// How it is driven.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Process { mode, .. } => *mode,
            Self::Service(_) => Mode::Http,
            Self::InProcess(_) | Self::ServiceInProcess(_) | Self::WorkerInProcess(_) => {
                Mode::InProcess
            }
            Self::Nobody(_) => Mode::Serve,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { mode, command } => {
                f.debug_struct("Process").field("mode", mode).field("command", command).finish()
            }
            Self::Service(service) => f.debug_tuple("Service").field(service).finish(),
            Self::InProcess(_) => f.write_str("InProcess"),
            Self::ServiceInProcess(_) => f.write_str("ServiceInProcess"),
            Self::WorkerInProcess(_) => f.write_str("WorkerInProcess"),
            Self::Nobody(_) => f.write_str("Nobody"),
        }
    }
}

/// A service under test.
#[derive(Debug)]
pub struct Service {
    /// What starts it; empty where it runs already.
    pub command: Vec<String>,
    /// Where it listens, whatever it is told; `None` for a free port, which `PORT` names.
    pub target: Option<Place>,
    raises: Mutex<Raises>,
}

/// By how much the numbers of operations are raised where a service's memory outlives a run.
#[derive(Debug, Default)]
struct Raises {
    has_run: bool,
    has_been_controlled: bool,
    further: u64,
}

impl Service {
    /// A service that a command starts, one that runs already, or one that a command starts at a fixed place.
    #[must_use]
    pub fn new(command: Vec<String>, target: Option<Place>) -> Self {
        Self { command, target, raises: Mutex::default() }
    }

    /// True for one that goes on when a run ends.
    #[must_use]
    pub fn outlives_runs(&self) -> bool {
        self.command.is_empty()
    }

    /// By how much the numbers of the next run are raised: those of a control run by a million, and where the
    /// service's memory outlives a run, those of each further run by a million more.
    fn raise(&self, kind: RunKind) -> u64 {
        let mut raises = lock(&self.raises);
        let is_first = match kind {
            RunKind::Main => !std::mem::replace(&mut raises.has_run, true),
            RunKind::Control => !std::mem::replace(&mut raises.has_been_controlled, true),
        };
        let own = match kind {
            RunKind::Main => 0,
            RunKind::Control => 1,
        };
        if is_first || !self.outlives_runs() {
            return own * RAISE;
        }
        raises.further += 1;
        (1 + raises.further) * RAISE
    }
}

impl Client {
    /// By how much the numbers of the next run's operations are raised.
    fn raise(&self, kind: RunKind) -> u64 {
        match (self, kind) {
            (Self::Service(service), kind) => service.raise(kind),
            (_, RunKind::Main) => 0,
            (_, RunKind::Control) => RAISE,
        }
    }
}

/// What a run needs beside the scenario, the seed and the client.
#[derive(Clone, Debug)]
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
    /// The clock: virtual time is for clients in this process.
    pub clock: ClockKind,
    /// A faster clock for a program; `None` leaves it the machine's.
    pub speed: Option<Speed>,
    /// What carries the bytes between provider and client; `None` takes TCP on the real clock, and a unix
    /// socket in virtual time, which is right on every kernel and suits reqwest and hyper-util alike. The
    /// other transports are for clients in this process.
    pub transport: Option<Transport>,
    /// How many copies of the client share the operations, whatever the scenario says.
    pub clients: Option<u32>,
    /// Asked, after the work, what became of each submit that a client in this process called `unknown`.
    pub reconciler: Option<Reconciler>,
    /// In virtual time: how much real time may pass without anything happening before the run is given
    /// up as stuck.
    pub patience: Duration,
}

impl Default for RunOptions {
    /// The real clock, TCP on any port, one client, the trace in memory.
    fn default() -> Self {
        Self {
            file: String::new(),
            dir: None,
            port: None,
            allow_network: Vec::new(),
            stop: Stop::new(),
            owns_process: false,
            clock: ClockKind::Real,
            speed: None,
            transport: None,
            clients: None,
            reconciler: None,
            patience: PATIENCE,
        }
    }
}

impl RunOptions {
    /// What carries the bytes.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.unwrap_or(match self.clock {
            ClockKind::Real => Transport::Tcp,
            ClockKind::Virtual => Transport::Unix,
        })
    }
}

/// A run that came to its end, or was interrupted.
#[derive(Debug)]
pub struct Run {
    /// What happened, ready to be judged.
    pub trace: Trace,
    /// Where the trace stands.
    pub path: Option<PathBuf>,
    /// Remarks for the report: what was cut.
    pub notes: Vec<String>,
    /// True when it was ended by [`RunOptions::stop`].
    pub interrupted: bool,
}

impl Run {
    /// Judges it, with what its trace alone does not say; `reproduce` is the command that repeats it.
    #[must_use]
    pub fn judged(
        &self,
        scenario: &Scenario,
        control: Option<ControlResult>,
        reproduce: String,
    ) -> ScenarioResult {
        let mut result = judge(&self.trace, scenario, control);
        result.reproduce = reproduce;
        result.trace.clone_from(&self.path);
        result.notes.extend(self.notes.iter().cloned());
        result
    }
}

/// Drives a client through a scenario.
///
/// It runs on a thread of its own, so it may be called from anywhere and many times at once. In virtual
/// time that thread serves all runs of the thread that calls.
///
/// # Errors
///
/// When the run cannot be made: see [`RunError`]. A client that misbehaves is no error.
pub fn run_main(
    scenario: &Scenario,
    seed: Seed,
    client: &Client,
    options: &RunOptions,
) -> Result<Run, RunError> {
    Order { scenario, seed, client, options, kind: RunKind::Main }.carry_out()
}

/// As [`run_main`], for a scenario that many runs share: in virtual time nothing of it is copied.
///
/// # Errors
///
/// As [`run_main`].
pub fn run_shared(
    scenario: &Arc<Scenario>,
    seed: Seed,
    client: &Client,
    options: &RunOptions,
) -> Result<Run, RunError> {
    match options.clock {
        ClockKind::Real => run_main(scenario, seed, client, options),
        ClockKind::Virtual => {
            Paused::new(Arc::clone(scenario), seed, client, options, RunKind::Main)?.carry_out()
        }
    }
}

/// Drives a client in fair weather: its first operations one after the other, without faults and
/// limits, on a ledger and with inputs of its own.
///
/// # Errors
///
/// As [`run_main`].
pub fn run_control(
    scenario: &Scenario,
    client: &Client,
    options: &RunOptions,
) -> Result<ControlResult, RunError> {
    let mut fair = scenario.clone();
    fair.rules.clear();
    let workload = &mut fair.workload;
    workload.operations = workload.operations.min(CONTROL_OPERATIONS);
    workload.exec_operations = None;
    workload.concurrency = 1;
    workload.arrival = Arrival::AtOnce;
    workload.submits = Submits { times: 1, apart: Duration::ZERO };
    let order =
        Order { scenario: &fair, seed: scenario.seed, client, options, kind: RunKind::Control };
    let run = order.carry_out()?;
    if run.interrupted {
        let reason = Some("it was interrupted".to_owned());
        return Ok(ControlResult { reason, ..ControlResult::default() });
    }
    Ok(judge_control(&run.trace, &fair))
}
