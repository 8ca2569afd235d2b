//! Which client a command line names: a program, a service that it starts, or one that runs already.
//!
//! **Invariant:** no request leaves this machine for a service unless the user names its host twice.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use brownout_provider::event::Mode;

use super::executable;
use super::refusal::Refusal;
use super::run::arguments::ModeWord;
use crate::drive::http::Place;
use crate::run::{Client, Service};
use crate::scenario::Scenario;

/// What a command line says of the client.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// How it is driven.
    pub mode: Option<ModeWord>,
    /// Where it listens, where it is a service that says so itself.
    pub target: Option<&'a Place>,
    /// Hosts beside this machine that may be reached.
    pub allow_network: &'a [String],
    /// The command.
    pub command: &'a [OsString],
}

/// The client of an invocation: what all its runs have in common.
#[derive(Debug)]
pub struct Clients {
    mode: Option<Mode>,
    command: Vec<String>,
    service: Arc<Service>,
}

impl Clients {
    /// Reads what the command line says.
    ///
    /// # Errors
    /// It contradicts itself, or leads off this machine.
    pub fn new(named: Named<'_>) -> Result<Self, Refusal> {
        let command: Vec<String> =
            named.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        if let Some(place) = named.target {
            if named.mode.is_some_and(|mode| mode != ModeWord::Http) {
                return Err(Refusal::usage(
                    "`--target` is about a service, which is driven in http mode alone; leave `--mode` out",
                ));
            }
            let is_allowed = |host: &String| host.eq_ignore_ascii_case(&place.host);
            if !place.is_loopback() && !named.allow_network.iter().any(is_allowed) {
                return Err(Refusal::usage(format!(
                    "`--target {place}` leads off this machine; let the service run here, or say \
                     `--allow-network {}` too",
                    place.host
                )));
            }
        }
        let service = Arc::new(Service::new(command.clone(), named.target.cloned()));
        let mode = match named.target {
            Some(_) => Some(Mode::Http),
            None => named.mode.map(Mode::from),
        };
        Ok(Self { mode, command, service })
    }

    /// The client as a scenario asks for it.
    ///
    /// # Errors
    /// It cannot do what the scenario asks for.
    pub fn of(&self, scenario: &Scenario) -> Result<Client, Refusal> {
        let mode = self.mode.or(scenario.workload.mode).unwrap_or(Mode::Exec);
        let client = match mode {
            Mode::Http => Client::Service(Arc::clone(&self.service)),
            Mode::Exec | Mode::Stdio | Mode::Suite | Mode::InProcess | Mode::Serve => {
                Client::Process { mode, command: self.command.clone() }
            }
        };
        client.check(scenario).map_err(|error| Refusal::usage(error.to_string()))?;
        Ok(client)
    }

    /// Refuses a command that could not be started. A service that runs already needs none.
    ///
    /// # Errors
    /// As [`executable::require`].
    pub fn require(&self, words: &[OsString], search_path: Option<&OsStr>) -> Result<(), Refusal> {
        if words.is_empty() && self.service.target.is_some() {
            return Ok(());
        }
        executable::require(words, search_path)
    }

    /// Why only one run can be made at a time; `None` where several can.
    #[must_use]
    pub fn alone(&self) -> Option<String> {
        let place = self.service.target.as_ref()?;
        Some(format!("the service at {place} takes part in one run at a time"))
    }
}
