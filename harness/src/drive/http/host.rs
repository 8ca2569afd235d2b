//! Where a service lives: a program of the run, one that runs already, or in this process.
//!
//! **Invariant:** only a host that can start its service again is ever told to kill it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use brownout_provider::event::{ClientEnded, ClientPaused, ClientStarted, ClockKind, EventKind};
use tokio::sync::mpsc;

use super::place::Place;
use super::reach::{InProcessService, Reach};
use crate::drive::connection::{Connection, Door, hidden_in, sites};
use crate::drive::in_process::{OfRun, hide};
use crate::drive::listen::Ear;
use crate::drive::process::{End, Input, Launcher, Process};
use crate::drive::scene::{CLIENT, Scene};
use crate::run::RunError;

/// The variable by which platforms tell a service its port.
const PORT: &str = "PORT";

/// Builds a service in this process, on the runtime of the run: once for each run, and again whenever it is
/// killed.
pub trait ServiceFactory: Send + Sync {
    /// A new service, without memory of any other. The connection leads to the provider; its URL and key carry
    /// no operation.
    fn build(&self, connection: &Connection) -> Rc<dyn InProcessService>;
}

/// Which time it is that a service starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    First,
    Again,
}

/// Where a service lives.
pub(super) enum Host<'a> {
    /// A program of the run; at a place of its own, or at one that it knows by itself.
    Program {
        /// Starts it.
        launcher: &'a mut Launcher,
        /// The program, while there is one.
        process: Option<Process>,
        /// Where it listens whatever it is told.
        fixed: Option<Place>,
        /// Where it listens.
        place: Place,
    },
    /// It runs already.
    Target(Place),
    /// A service in this process.
    InProcess(InProcess<'a>),
}

/// What work on an operation needs in this process.
pub(super) struct Inside {
    /// Whom its words are handed to.
    pub(super) link: Arc<OfRun>,
    /// Until when the service stands still.
    pub(super) gate: Rc<Cell<u64>>,
    /// Who listens to its words.
    pub(super) ear: Ear,
}

/// A service in this process.
pub(super) struct InProcess<'a> {
    scene: &'a Arc<Scene>,
    factory: &'a dyn ServiceFactory,
    doors: Vec<Door>,
    hidden: Arc<[String]>,
    crashes: mpsc::UnboundedSender<u32>,
    service: Option<Rc<dyn InProcessService>>,
    ear: Ear,
    /// Until when it stands still, in microseconds since the start of the run.
    gate: Rc<Cell<u64>>,
}

impl<'a> InProcess<'a> {
    /// A service that this factory builds, and where it is heard that it wants to crash. In virtual time the
    /// provider's port is hidden in what it says.
    pub(super) fn new(
        scene: &'a Arc<Scene>,
        factory: &'a dyn ServiceFactory,
        doors: Vec<Door>,
        clock: ClockKind,
    ) -> (Self, mpsc::UnboundedReceiver<u32>) {
        let (crashes, crashed) = mpsc::unbounded_channel();
        let hidden = hidden_in(doors.iter().filter(|_| clock == ClockKind::Virtual));
        let link = |operation| OfRun {
            scene: Arc::clone(scene),
            operation,
            hidden: hidden.clone(),
            crashes: crashes.clone(),
        };
        let (ear, gate) = (Ear::new(Arc::new(link(None))), Rc::default());
        let host = Self { scene, factory, doors, hidden, crashes, service: None, ear, gate };
        (host, crashed)
    }

    fn link(&self, operation: Option<Arc<str>>) -> Arc<OfRun> {
        Arc::new(OfRun {
            scene: Arc::clone(self.scene),
            operation,
            hidden: self.hidden.clone(),
            crashes: self.crashes.clone(),
        })
    }

    fn build(&mut self) {
        let sites = sites(&self.scene.addresses, &self.doors, None);
        let connection = Connection::new(sites, CLIENT, self.link(None));
        self.service = Some(self.factory.build(&connection));
    }
}

impl Host<'_> {
    /// Starts the service, for the first time or again.
    pub(super) fn rise(&mut self, scene: &Scene, time: Time) -> Result<(), RunError> {
        match self {
            Self::Target(_) => {}
            Self::Program { launcher, process, fixed, place } => {
                *place = match fixed {
                    Some(fixed) if time == Time::First && fixed.is_taken() => {
                        return Err(RunError::PlaceTaken { place: fixed.to_string() });
                    }
                    Some(fixed) => fixed.clone(),
                    // Another each time: what the one before listened at may be held for a while.
                    None => Place::free()
                        .map_err(|source| RunError::System { what: "find a free port", source })?,
                };
                let mut variables = scene.environment(CLIENT, None)?;
                variables.push((PORT.to_owned(), place.port.to_string()));
                let started = launcher.start(CLIENT, &variables, Input::Empty)?;
                scene.started(&started, None);
                *process = Some(started);
            }
            Self::InProcess(host) => {
                host.build();
                if time == Time::Again {
                    let started = ClientStarted { client: CLIENT, pid: 0, operation: None };
                    scene.record(EventKind::ClientStarted(started));
                }
            }
        }
        Ok(())
    }

    /// The way to the service.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Program { place, .. } | Self::Target(place) => Reach::Tcp(place.clone()),
            Self::InProcess(host) => {
                let service =
                    host.service.as_ref().expect("it is built before anybody is sent to it");
                Reach::InProcess(Rc::clone(service))
            }
        }
    }

    /// What work needs in this process, on an operation or on none; `None` elsewhere.
    pub(super) fn inside(&self, operation: Option<&Arc<str>>) -> Option<Inside> {
        match self {
            Self::Program { .. } | Self::Target(_) => None,
            Self::InProcess(host) => Some(Inside {
                link: host.link(operation.map(Arc::clone)),
                gate: Rc::clone(&host.gate),
                ear: host.ear.clone(),
            }),
        }
    }

    /// Text of a service in this process without what differs from run to run.
    pub(super) fn plain(&self, text: String) -> String {
        match self {
            Self::InProcess(InProcess { hidden, .. }) => hide(hidden, text),
            Self::Program { .. } | Self::Target(_) => text,
        }
    }

    /// Kills the service where it stands; true where its end is still to be heard of.
    pub(super) fn kill(&mut self, scene: &Scene) -> bool {
        match self {
            Self::Target(_) => false,
            Self::Program { process, .. } => {
                if let Some(process) = process {
                    process.kill();
                }
                process.is_some()
            }
            Self::InProcess(host) => {
                host.service = None;
                scene.record(EventKind::ClientEnded(ClientEnded {
                    client: CLIENT,
                    pid: 0,
                    code: None,
                    signal: None,
                    killed: true,
                    operation: None,
                }));
                false
            }
        }
    }

    /// Lets the service stand still until then.
    pub(super) fn pause(&self, until_us: u64) {
        match self {
            Self::Target(_) => {}
            Self::Program { process, .. } => {
                if let Some(process) = process {
                    process.pause();
                }
            }
            Self::InProcess(host) => host.gate.set(until_us),
        }
    }

    /// Lets it go on after it stood still for so long.
    pub(super) fn go_on(&self, scene: &Scene, for_us: u64) {
        match self {
            Self::Target(_) => {}
            Self::Program { process, .. } => {
                if let Some(process) = process {
                    process.go_on();
                    scene.paused(process, for_us, None);
                }
            }
            Self::InProcess(host) => {
                host.gate.set(0);
                let paused = ClientPaused { client: CLIENT, pid: 0, for_us, operation: None };
                scene.record(EventKind::ClientPaused(paused));
            }
        }
    }

    /// The program has ended; puts it on record.
    pub(super) fn ended(&mut self, scene: &Scene, end: End) {
        if let Self::Program { process, .. } = self
            && let Some(process) = process.take()
        {
            scene.ended(&process, end, None);
        }
    }

    /// Asks the program to end; true where its end is still to be heard of.
    pub(super) fn end(&self) -> bool {
        match self {
            Self::Program { process: Some(process), .. } => {
                process.end();
                true
            }
            Self::Program { process: None, .. } | Self::Target(_) | Self::InProcess(_) => false,
        }
    }
}
