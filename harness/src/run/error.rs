//! Why a run could not be made, with what to do instead.
//!
//! **Invariant:** a client that misbehaves is never an error here; that is what a trace is for.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use brownout_provider::event::Mode;
use brownout_provider::shell::server::ServeError;
use brownout_provider::shell::transport::Transport;
use brownout_provider::units::{in_words_exactly, micros};

/// Why a run could not be made. Each says what to do instead; the debug form, which `unwrap` and `expect`
/// print, says the same.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A provider cannot begin to listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The client's command cannot be started.
    #[error("cannot start `{command}`: {reason}")]
    Spawn {
        /// The command.
        command: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The folder for traces or for the client's state cannot be created.
    #[error("cannot create `{}`: {source}; choose another folder (`--out`, or `Harness::trace_to` in a test)", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trace cannot be written. What was written before stays readable.
    #[error(
        "the trace could not be written to `{0}`: {source}; what was written stays readable, and `brownout check {0}` judges it; make room or choose another folder (`--out`, or `Harness::trace_to` in a test)",
        path.display()
    )]
    Trace {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run writes its trace to the same file.
    #[error(
        "another brownout writes to `{}` at this moment; wait for its end, or give one of them a folder of its own (`--out`, or `Harness::trace_to` in a test)",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The scenario has no `call`, so there is nothing to submit in this mode.
    #[error(
        "the workload has no `call`, so there is nothing to hand to the client in {mode} mode; name a route, or use `--mode suite`"
    )]
    NothingToCall {
        /// The mode.
        mode: &'static str,
    },
    /// The mode is none in which programs are driven.
    #[error("a program cannot be driven in {mode:?} mode; use stdio, exec or suite")]
    NotForPrograms {
        /// The mode.
        mode: Mode,
    },
    /// A rule strikes the client itself, and this mode has none that it could start again.
    #[error(
        "`{rule}` kills or stops the client itself, which is not possible in {mode} mode; use stdio or exec mode (for a service, http mode with a command), or a closure in a test"
    )]
    ClientOutOfReach {
        /// The rule.
        rule: String,
        /// The mode.
        mode: &'static str,
    },
    /// The scenario has tenants, and nobody hands out operations of theirs.
    #[error(
        "in suite mode no operations are handed out, so none is a tenant's; use `--mode stdio` or `--mode exec`, or leave `tenants` out of the scenario"
    )]
    NoTenants,
    /// The scenario does not say how a service is called.
    #[error(
        "the scenario does not say how the service is called; add `http: {{request: {{method: POST, path: /orders, json: {{…}}}}}}` to its workload, in the place of `call`"
    )]
    NotCalled,
    /// The scenario is for a client that is a service.
    #[error(
        "the scenario calls a service (`http`) or tells one of events (`deliver: {{webhook: …}}`), and this client is none; use `--mode http` (`Harness::service` in a test), or name a route with `call` in the place of `http` or `deliver`"
    )]
    OnlyService,
    /// The scenario is for a worker of a queue, and this client is driven in another way.
    #[error(
        "the scenario hands operations out as messages of a queue (`deliver`), to a worker that is one long-lived program and receives them by itself; use `--mode stdio` (`Harness::worker` in a test), or leave `deliver` out of the scenario"
    )]
    OnlyWorker,
    /// The client is a worker of a queue, and the scenario hands no messages out.
    #[error(
        "this client is a worker that receives messages by itself, and the scenario hands none out; write `deliver: {{queue: messages}}` in its workload, or drive a client that is handed operations (`Harness::run` in a test)"
    )]
    NoMessages,
    /// A service that runs already is not there, or is not ready.
    #[error(
        "the service at {place} did not {} within {}{}; start it, or let brownout start it with `-- COMMAND`",
        path.as_ref().map_or_else(|| "take a connection".to_owned(), |path| format!("answer `GET {path}` with 2xx")),
        in_words_exactly(micros(*within)),
        if last.is_empty() { String::new() } else { format!(" ({last})") }
    )]
    NoService {
        /// Where it should be.
        place: String,
        /// What was asked, where the scenario says.
        path: Option<String>,
        /// How long it had.
        within: Duration,
        /// What was seen last.
        last: String,
    },
    /// A service that runs already cannot be told where the provider is.
    #[error(
        "the service at {place} runs already and cannot be told where the provider is; fix the provider's port with `--port 9400`, and start the service with `http://127.0.0.1:9400` as the address of the API"
    )]
    NoFixedPort {
        /// Where the service is.
        place: String,
    },
    /// Somebody listens already where a service is to be started.
    #[error(
        "something listens at {place} before the service is started, and would be taken for it; end it, or let the service listen elsewhere"
    )]
    PlaceTaken {
        /// Where.
        place: String,
    },
    /// The service is to be found where the provider is.
    #[error(
        "{place} is the provider's own address by `--port`, so the provider would be driven as if it were the service; give one of them another port"
    )]
    OwnPlace {
        /// Where.
        place: String,
    },
    /// A service that runs already cannot be told which certificates to trust.
    #[error(
        "the service at {place} runs already and cannot be told which certificates to trust; let brownout start it with `-- COMMAND`, or leave out `tls`"
    )]
    NoTrust {
        /// Where the service is.
        place: String,
    },
    /// Virtual time is for clients in this process.
    #[error(
        "a client in {mode:?} mode has a clock of its own and cannot run in virtual time; give the client as a closure, or leave virtual time out"
    )]
    VirtualOnlyInProcess {
        /// The mode.
        mode: Mode,
    },
    /// Programs are reached over TCP alone.
    #[error("a client in {mode:?} mode cannot be reached over {transport}; use loopback TCP")]
    TcpOnly {
        /// The mode.
        mode: Mode,
        /// What was asked for.
        transport: Transport,
    },
    /// In virtual time nothing happened for a while of real time.
    #[error(
        "virtual time has stood still for {} of real time, because the client blocks it (a blocking call, `spawn_blocking`, a host name to look up, or an endless loop); use the async form of the call and IP addresses, or leave virtual time out",
        in_words_exactly(micros(*patience))
    )]
    Stuck {
        /// How long.
        patience: Duration,
    },
    /// The client crashes again and again.
    #[error(
        "copy {client} of the client crashed {times} times one right after the other, and no work came to an end; let it wait, or do some of its work, before it calls `Connection::crash` again"
    )]
    CrashesInVain {
        /// The copy that crashed last, from 1.
        client: u32,
        /// How often.
        times: u32,
    },
    /// A worker never waits for anything.
    #[error(
        "copy {client} of the worker asks again and again without ever waiting, so virtual time cannot pass; let it wait (`tokio::time::sleep`) when it was handed no message"
    )]
    Restless {
        /// The copy, from 1.
        client: u32,
    },
    /// On this machine virtual time goes wrong over this transport.
    #[error(
        "virtual time cannot be trusted over {transport} on this machine: {seen}; use {instead}"
    )]
    VirtualUntrue {
        /// The transport.
        transport: Transport,
        /// What a known run showed.
        seen: String,
        /// What works.
        instead: &'static str,
    },
    /// No certificates can be made for a provider over TLS.
    #[cfg(feature = "tls")]
    #[error("no certificates can be made: {0}")]
    Certificates(#[source] brownout_provider::shell::tls::TlsError),
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

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl RunError {
    /// The exit code of an invocation that ends with it: 3 when the scenario is wrong, else 4.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NothingToCall { .. }
            | Self::NotForPrograms { .. }
            | Self::ClientOutOfReach { .. }
            | Self::NoTenants
            | Self::NotCalled
            | Self::OnlyService
            | Self::OnlyWorker
            | Self::NoMessages
            | Self::NoFixedPort { .. }
            | Self::OwnPlace { .. }
            | Self::NoTrust { .. }
            | Self::VirtualOnlyInProcess { .. }
            | Self::TcpOnly { .. }
            | Self::Template { .. } => 3,
            #[cfg(feature = "tls")]
            Self::Certificates(_) => 4,
            Self::Serve(_)
            | Self::Spawn { .. }
            | Self::NoService { .. }
            | Self::PlaceTaken { .. }
            | Self::Folder { .. }
            | Self::Trace { .. }
            | Self::Busy { .. }
            | Self::Stuck { .. }
            | Self::CrashesInVain { .. }
            | Self::Restless { .. }
            | Self::VirtualUntrue { .. }
            | Self::System { .. } => 4,
        }
    }
}
