//! The stage of one run: sets everything up, lets a driver play, and clears everything away.
//!
//! **Invariant:** `run_started` is the first event, `run_finished` the last of every run whose servers could be
//! set up, and whatever the way out, the client's processes, the servers and the state folder are gone.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use brownout_provider::api::shipped_hosts;
use brownout_provider::event::{
    ClockKind, Event, EventKind, Mode, RunFinished, RunKind, RunStarted, Sink, TRACE_VERSION,
};
use brownout_provider::provider::{Common, Provider, Setup};
use brownout_provider::recognition::Submitted;
use brownout_provider::seed::Seed;
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::lock::lock;
use brownout_provider::shell::server::Server;
#[cfg(feature = "tls")]
use brownout_provider::shell::tls::Offers;
use brownout_provider::shell::transport::Transport;
use brownout_provider::units::micros;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, LocalSet};

use super::folders::{StateDir, Trust, create_private};
use super::paused::Paused;
use super::worker::Pulse;
use super::{Client, RAISE, Run, RunError, RunOptions};
use crate::drive::address::{Address, Addresses};
use crate::drive::claims::Ledger;
use crate::drive::connection::Door;
use crate::drive::family::{Family, Orphans};
use crate::drive::http::{self, Part, Place, Post, Posted, ServiceFactory};
use crate::drive::in_process::{self, Cast, Factory};
use crate::drive::listen::carried;
use crate::drive::output::Output;
use crate::drive::plan::Plan;
use crate::drive::process::Launcher;
use crate::drive::redacting::Redacting;
use crate::drive::scene::{CLIENT, Scene};
use crate::drive::schedule::Schedule;
use crate::drive::seen::Seen;
use crate::drive::stop::Stop;
use crate::drive::strikes::{self, Handover, Strikes};
use crate::drive::suite::{self, ExitZero, Terms};
use crate::drive::trap::{Hosts, Trap};
use crate::drive::worker::{self, Shift, Worker};
use crate::drive::{exec, nobody, stdio};
use crate::operation::Operation;
use crate::record::Recorder;
use crate::redact::Redactor;
use crate::scenario::http::trace_of;
use crate::scenario::{Planted, ProviderSpec, Scenario};
use crate::trace::Trace;

/// How long work may still be pending at the end of a run in virtual time.
const LONGEST_DRAIN: Duration = Duration::from_secs(365 * 86_400);

/// Where the base URL points over transports that need no address: nobody listens there, so a client that
/// was not given the connection is refused at once.
const NOWHERE: &str = "127.0.0.1:1";

/// Hosts that no proxy stands before.
const NO_PROXY: &str = "127.0.0.1,localhost,::1";

/// The variable that names the state folder, and by which a run knows its own processes.
const STATE_DIR: &str = "BROWNOUT_STATE_DIR";

/// One run, ordered.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) seed: Seed,
    pub(super) client: &'a Client,
    pub(super) options: &'a RunOptions,
    pub(super) kind: RunKind,
}

/// What stands between the curtain's rise and fall.
struct Stage {
    clock: Clock,
    recorder: Arc<Recorder>,
    path: Option<PathBuf>,
    sink: Arc<dyn Sink>,
    /// Set in suite, exec and http mode.
    seen: Option<Arc<Seen>>,
    stop: Stop,
    /// What befalls the client, on its way to the driver.
    strikes: Handover,
    servers: Arc<Vec<Server>>,
    /// Webhooks on their way to the driver of a service.
    post: Mutex<Option<UnboundedReceiver<Posted>>>,
    /// True for a run that ended while a service was still owed something.
    is_cut: AtomicBool,
}

/// A run that is over, and still to be read back.
pub(super) struct Performed {
    recorder: Arc<Recorder>,
    path: Option<PathBuf>,
    played: Result<(), RunError>,
    notes: Vec<String>,
    interrupted: bool,
    transport: Transport,
}

impl Performed {
    /// The run with its trace. That of a long run takes its time, in which nothing happens that a watch over
    /// the run could see.
    pub(super) fn read_back(self) -> Result<Run, RunError> {
        let Self { recorder, path, mut played, mut notes, interrupted, transport } = self;
        let recorded = recorder.finish().expect("nobody else finishes a run's recorder");
        if let (Some(source), Some(path)) = (recorded.error, &path) {
            // The driver may have failed because of it; the cause is what people need to know.
            played = Err(RunError::Trace { path: path.clone(), source });
        }
        played?;
        let trace = recorded.trace.expect("the first event was recorded before anything else");
        notes.extend(unreached(&trace, transport));
        Ok(Run { trace, path, notes, interrupted })
    }
}

/// What to say when no request came over a transport that a client must be given.
fn unreached(trace: &Trace, transport: Transport) -> Option<String> {
    let how = match transport {
        Transport::Tcp => return None,
        Transport::Unix => "`connection.unix_socket()`, `connection.reqwest()`",
        Transport::Memory => "`connection.connector()`",
    };
    trace.requests().next().is_none().then(|| {
        format!(
            "no request came over {transport}; a client reaches the mock there through {how} or \
             `connection.connect()`, and by its URL alone over loopback TCP"
        )
    })
}

/// What a run in virtual time shows of itself while it goes on.
struct Shown {
    sink: Arc<dyn Sink>,
    pulse: Arc<Pulse>,
}

impl Sink for Shown {
    fn record(&self, events: Vec<Event>) {
        self.pulse.beat();
        self.sink.record(events);
    }
}

impl Order<'_> {
    /// Carries the order out.
    pub(super) fn carry_out(self) -> Result<Run, RunError> {
        self.client.check(self.scenario)?;
        self.can_be_found()?;
        match self.options.clock {
            ClockKind::Virtual => {
                let Self { scenario, seed, client, options, kind } = self;
                Paused::new(Arc::new(scenario.clone()), seed, client, options, kind)?.carry_out()
            }
            ClockKind::Real => self.on_real_time(),
        }
    }

    /// Refuses a service that runs already and cannot know its provider.
    fn can_be_found(self) -> Result<(), RunError> {
        let Client::Service(service) = self.client else { return Ok(()) };
        let Some(target) = &service.target else { return Ok(()) };
        let place = target.to_string();
        let Some(spec) = self.scenario.providers.values().next() else { return Ok(()) };
        if target.is_loopback() && spec.port.or(self.options.port) == Some(target.port) {
            return Err(RunError::OwnPlace { place });
        }
        if !service.command.is_empty() {
            return Ok(());
        }
        if spec.tls {
            return Err(RunError::NoTrust { place });
        }
        if spec.port.or(self.options.port).is_none() {
            return Err(RunError::NoFixedPort { place });
        }
        Ok(())
    }

    /// Carries the order out on a thread and a runtime of its own.
    fn on_real_time(self) -> Result<Run, RunError> {
        let system = |what| move |source| RunError::System { what, source };
        let (mode, transport) = (self.client.mode(), self.options.transport());
        if mode != Mode::InProcess && transport != Transport::Tcp {
            return Err(RunError::TcpOnly { mode, transport });
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("brownout-run".to_owned())
                .spawn_scoped(
                    scope,
                    carried(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()
                            .map_err(system("start a runtime"))?;
                        let tasks = LocalSet::new();
                        tasks.block_on(&runtime, async {
                            let clock = Clock::fast(self.speed());
                            self.perform(clock, Stop::new(), None).await?.read_back()
                        })
                    }),
                )
                .map_err(system("start a thread"))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(super) async fn perform(
        self,
        clock: Clock,
        stop: Stop,
        pulse: Option<&Arc<Pulse>>,
    ) -> Result<Performed, RunError> {
        let forward = tokio::spawn({
            let (from, to) = (self.options.stop.clone(), stop.clone());
            async move {
                from.stopped().await;
                to.stop();
            }
        });
        let stage = self.set(clock, stop, pulse).await?;
        let deafened = stage.stop_when_deaf();
        let mut notes = Vec::new();
        let watch = Arc::new(AtomicU64::new(0));
        let is_fast = stage.clock.speed() > 1;
        let watching = is_fast.then(|| tokio::spawn(watch_timers(stage.clock, Arc::clone(&watch))));
        let mut played = self.play(&stage, &mut notes).await;
        if let Some(reason) = stage.unsent() {
            let what = "what an operation is sent as".to_owned();
            played = Err(RunError::Template { what, reason });
        }
        if let Some(watching) = watching {
            watching.abort();
        }
        let interrupted = self.options.stop.is_stopped();
        forward.abort();
        // Whoever drives a service has waited for what is pending while the service was there.
        let is_service = matches!(self.client, Client::Service(_));
        let mut unfinished = stage.is_cut.load(Ordering::Relaxed);
        if played.is_ok() && !stage.stop.is_stopped() && !is_service {
            unfinished |= !stage.drain(self.options.clock, self.scenario.drain).await;
        }
        let Stage { clock, recorder, path, sink, servers, .. } = stage;
        let servers = Arc::into_inner(servers).expect("all others hold them weakly");
        for task in deafened {
            task.abort();
        }
        for server in servers {
            if let Err(deaf) = server.shutdown().await {
                played = Err(deaf.into());
            }
        }
        let reason = match &played {
            Ok(()) if interrupted => "interrupted".to_owned(),
            Ok(()) if unfinished => UNFINISHED.to_owned(),
            Ok(()) => "completed".to_owned(),
            Err(error) => error.to_string(),
        };
        let late_us = watch.load(Ordering::Relaxed);
        let finished = EventKind::RunFinished(RunFinished { reason: Arc::from(reason), late_us });
        sink.record(vec![Event::new(clock.now_us(), finished)]);
        let transport = self.options.transport();
        Ok(Performed { recorder, path, played, notes, interrupted, transport })
    }

    /// Opens the trace and the providers.
    async fn set(
        self,
        clock: Clock,
        stop: Stop,
        pulse: Option<&Arc<Pulse>>,
    ) -> Result<Stage, RunError> {
        let (recorder, path) = self.recorder(&stop)?;
        let recorder = Arc::new(recorder);
        let recorded: Arc<dyn Sink> = Arc::<Recorder>::clone(&recorder);
        let keys = self.keys();
        let keys = Redactor::new(keys.iter().map(|key| ("api_key", key.as_str())));
        let mut sink: Arc<dyn Sink> = Arc::new(Redacting::before(recorded, keys));
        if let Some(pulse) = pulse {
            sink = Arc::new(Shown { sink, pulse: Arc::clone(pulse) });
        }
        let mut seen = None;
        if self.is_watched() {
            let suite = Arc::new(Seen::new(sink));
            sink = Arc::<Seen>::clone(&suite);
            seen = Some(suite);
        }
        let (messenger, strikes) = Strikes::new(sink, clock);
        sink = Arc::new(messenger);
        sink.record(vec![Event::new(0, EventKind::RunStarted(Box::new(self.run_started())))]);
        let common = Common::default();
        let mut servers = Vec::new();
        let (courier, post) = Post::new();
        let courier = Arc::new(courier);
        let mut delivers = false;
        let mut fixed = self.options.port;
        for (name, spec) in self.scenario.providers.iter() {
            let tenants = self.scenario.workload.tenants.keys(&spec.api).tenants;
            let setup = self.setup(clock, name, spec);
            let port = spec.port.or_else(|| fixed.take());
            let (mut provider, sink) =
                (Provider::beside(setup, &common).with_tenants(tenants), Arc::clone(&sink));
            let workload = &self.scenario.workload;
            if let (Some(queue), Some(call), false) = (&workload.queue, &workload.call, delivers) {
                delivers = provider.deliver_by(queue, call);
            }
            if let (Some(event), false) = (&workload.event, delivers) {
                delivers = provider.tell_by(event);
            }
            let mut server = match self.options.transport() {
                #[cfg(feature = "tls")]
                transport if spec.tls => {
                    let offers = if spec.http2 { Offers::Http2 } else { Offers::Http1 };
                    let made = brownout_provider::shell::tls::Authority::new(offers);
                    let authority = Arc::new(made.map_err(RunError::Certificates)?);
                    let place = (transport, port);
                    Server::over_tls(place, provider, clock, sink, authority).await?
                }
                Transport::Tcp => Server::start(provider, port, clock, sink).await?,
                transport @ (Transport::Unix | Transport::Memory) => {
                    Server::over(transport, provider, clock, sink).await?
                }
            };
            if self.listens() {
                server.deliver_by(Arc::<Post>::clone(&courier));
            }
            servers.push(server);
        }
        let strikes = Mutex::new(Some(strikes));
        let servers = Arc::new(servers);
        let post = Mutex::new(Some(post));
        let is_cut = AtomicBool::new(false);
        Ok(Stage { clock, recorder, path, sink, seen, stop, strikes, servers, post, is_cut })
    }

    /// What a provider of the run is made of.
    fn setup(self, clock: Clock, name: &Arc<str>, spec: &ProviderSpec) -> Setup {
        Setup {
            name: Arc::clone(name),
            api: Arc::clone(&spec.api),
            rules: self.scenario.rules.clone(),
            seed: self.seed,
            wall: clock.wall(),
            operation_id: self.scenario.workload.operation_id.clone(),
            limits: self.kind == RunKind::Main,
            http2: spec.http2,
            webhooks: self.listens(),
        }
    }

    /// True where the client listens to webhooks.
    fn listens(self) -> bool {
        let is_service = matches!(self.client, Client::Service(_) | Client::ServiceInProcess(_));
        let http = self.scenario.workload.http.as_ref();
        is_service && http.is_some_and(|http| http.webhooks.is_some())
    }

    /// True where the driver has to see the client's requests.
    fn is_watched(self) -> bool {
        let is_unasked =
            matches!(self.client, Client::ServiceInProcess(_) | Client::WorkerInProcess(_));
        is_unasked || matches!(self.client.mode(), Mode::Suite | Mode::Exec | Mode::Http)
    }

    fn recorder(self, stop: &Stop) -> Result<(Recorder, Option<PathBuf>), RunError> {
        let Some(dir) = &self.options.dir else { return Ok((Recorder::in_memory(), None)) };
        create_private(dir)?;
        let path = dir.join(match self.kind {
            RunKind::Main => "trace.jsonl",
            RunKind::Control => "control.jsonl",
        });
        match Recorder::to_file(&path, stop.clone()) {
            Ok(recorder) => Ok((recorder, Some(path))),
            Err(source) if source.kind() == io::ErrorKind::WouldBlock => {
                Err(RunError::Busy { path })
            }
            Err(source) => Err(RunError::Trace { path, source }),
        }
    }

    /// How many times as fast as the machine's the clock goes: programs alone can be given a faster one.
    fn speed(self) -> u32 {
        match (self.client, &self.options.speed) {
            (Client::Process { .. } | Client::Service(_), Some(speed)) => speed.factor,
            _ => 1,
        }
    }

    fn run_started(self) -> RunStarted {
        let providers = &self.scenario.providers;
        RunStarted {
            version: TRACE_VERSION,
            brownout: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: self.scenario.source.clone(),
            apis: providers
                .values()
                .map(|spec| (spec.api_name.clone(), spec.api_source.clone()))
                .collect(),
            file: self.options.file.clone(),
            seed: self.seed.get(),
            run: self.kind,
            mode: self.client.mode(),
            clock: self.options.clock,
            speed: self.speed(),
            command: match self.client {
                Client::Process { command, .. } => command.clone(),
                Client::Service(service) => service.command.clone(),
                Client::InProcess(_)
                | Client::ServiceInProcess(_)
                | Client::WorkerInProcess(_)
                | Client::Nobody(_) => Vec::new(),
            },
        }
    }

    /// Lets the driver of the client's mode play. What thousands of runs a second do stands in the run's own
    /// future; the others are kept apart, for it is moved about as a whole.
    async fn play(self, stage: &Stage, notes: &mut Vec<String>) -> Result<(), RunError> {
        match self.client {
            Client::InProcess(factory) => {
                self.play_in_process(stage, factory.as_ref(), notes).await
            }
            Client::Nobody(nobody) => {
                let trust = Trust::in_servers(&stage.servers)?;
                let scene = self.scene(stage, trust.variables())?;
                Box::pin(nobody::wait(&scene, nobody, stage.path.clone())).await
            }
            Client::Process { command, .. } => {
                Box::pin(self.play_process(stage, command, notes)).await
            }
            Client::Service(service) => match &service.target {
                Some(place) if service.command.is_empty() => {
                    Box::pin(self.play_target(stage, place.clone(), notes)).await
                }
                _ => Box::pin(self.play_process(stage, &service.command, notes)).await,
            },
            Client::ServiceInProcess(factory) => {
                Box::pin(self.play_service_in_process(stage, factory.as_ref(), notes)).await
            }
            Client::WorkerInProcess(worker) => {
                Box::pin(self.play_worker(stage, worker.as_ref(), notes)).await
            }
        }
    }

    /// What a service is asked; `check` has seen that the scenario says it.
    fn part<'s>(
        &'s self,
        stage: &'s Stage,
        (is_idle, cut): (&'s (dyn Fn() -> bool + Sync), &'s (dyn Fn() + Sync)),
    ) -> Result<Part<'s>, RunError> {
        Ok(Part {
            http: self.scenario.workload.http.as_ref().ok_or(RunError::NotCalled)?,
            strikes: strikes::taken(&stage.strikes),
            seen: stage.seen.as_deref().expect("whoever drives a service sees its requests"),
            post: lock(&stage.post).take().expect("a run has one driver"),
            is_idle,
            cut,
            drain: self.scenario.drain,
            pending: match self.options.clock {
                ClockKind::Real => self.scenario.drain,
                ClockKind::Virtual => LONGEST_DRAIN,
            },
        })
    }

    async fn play_target(
        self,
        stage: &Stage,
        place: Place,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let scene = Arc::new(self.scene(stage, Vec::new())?);
        let schedule = || self.schedule(stage, notes);
        let asked = (|| stage.is_idle(), || stage.cut());
        let part = self.part(stage, (&asked.0, &asked.1))?;
        let result = http::drive_target(&scene, part, schedule, place).await;
        scene.output_is_over();
        result
    }

    async fn play_service_in_process(
        self,
        stage: &Stage,
        factory: &dyn ServiceFactory,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let scene = Arc::new(self.scene(stage, Vec::new())?);
        let way = (stage.servers.iter().map(Door::of).collect(), self.options.clock);
        let schedule = || self.schedule(stage, notes);
        let asked = (|| stage.is_idle(), || stage.cut());
        let part = self.part(stage, (&asked.0, &asked.1))?;
        let result = http::drive_in_process(&scene, part, schedule, factory, way).await;
        scene.output_is_over();
        result
    }

    async fn play_in_process(
        self,
        stage: &Stage,
        factory: &dyn Factory,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let scene = Arc::new(self.scene(stage, Vec::new())?);
        let cast = Cast {
            factory,
            reconciler: self.options.reconciler.as_ref(),
            strikes: strikes::taken(&stage.strikes),
            doors: stage.servers.iter().map(Door::of).collect(),
            neutral: self.options.clock == ClockKind::Virtual,
        };
        let result = in_process::drive(&scene, self.schedule(stage, notes), cast).await;
        scene.output_is_over();
        result
    }

    async fn play_worker(
        self,
        stage: &Stage,
        worker: &dyn Worker,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let scene = Arc::new(self.scene(stage, Vec::new())?);
        let shift = Shift {
            worker,
            clients: self.clients(),
            strikes: strikes::taken(&stage.strikes),
            seen: stage.seen.clone().expect("whoever drives a worker sees its requests"),
            doors: stage.servers.iter().map(Door::of).collect(),
            neutral: self.options.clock == ClockKind::Virtual,
        };
        let result = worker::drive(&scene, self.schedule(stage, notes), shift).await;
        scene.output_is_over();
        result
    }

    /// Lets a driver of programs play, and ends all that they leave running.
    async fn play_process(
        self,
        stage: &Stage,
        command: &[String],
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let state = StateDir::create()?;
        let orphans = if self.options.owns_process { Orphans::Adopt } else { Orphans::Leave };
        let family = Arc::new(Family::new(STATE_DIR, &state.text(), orphans));
        let trap = Trap::open(self.hosts(), stage.clock, Arc::clone(&stage.sink))
            .await
            .map_err(|source| RunError::System { what: "open a port", source })?;
        let trust = Trust::in_servers(&stage.servers)?;
        let variables = [self.variables(&state, &trap), trust.variables()].concat();
        let scene = Arc::new(self.scene(stage, variables)?);
        let program = || {
            let (launcher, heard) =
                Launcher::new(command.to_vec(), Arc::clone(&family), stage.clock);
            (launcher.at_speed(self.options.speed.clone()), heard)
        };
        let result = if let Client::Service(service) = self.client {
            let (mut launcher, mut heard) = program();
            let schedule = || self.schedule(stage, notes);
            let asked = (|| stage.is_idle(), || stage.cut());
            let part = self.part(stage, (&asked.0, &asked.1))?;
            let fixed = service.target.clone();
            http::drive_program(&scene, part, schedule, fixed, (&mut launcher, &mut heard)).await
        } else {
            self.drive_program(stage, &scene, &program, notes).await
        };
        let left = family.end(&stage.clock).await;
        if left > 0 {
            notes.push(format!("{left} processes of the client could not be ended"));
        }
        scene.output_is_over();
        result
    }

    async fn drive_program(
        self,
        stage: &Stage,
        scene: &Scene,
        program: &dyn Fn() -> stdio::Program,
        notes: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let strikes = strikes::taken(&stage.strikes);
        let mode = self.client.mode();
        match (mode, &stage.seen) {
            (Mode::Suite, Some(seen)) => {
                let (mut launcher, mut heard) = program();
                suite::drive(scene, seen, self.terms(), &mut launcher, &mut heard).await
            }
            (Mode::Stdio, _) => {
                let schedule = self.schedule(stage, notes);
                let programs = (0..self.clients()).map(|_| program()).collect();
                stdio::drive(scene, schedule, programs, strikes).await
            }
            (Mode::Exec, Some(seen)) => {
                let (mut launcher, mut heard) = program();
                let schedule = (self.schedule(stage, notes), self.clients());
                exec::drive(scene, seen, schedule, (&mut launcher, strikes), &mut heard).await
            }
            (Mode::Suite | Mode::Exec | Mode::Http | Mode::InProcess | Mode::Serve, _) => {
                Err(RunError::NotForPrograms { mode })
            }
        }
    }

    /// How many copies of the client share the operations.
    fn clients(self) -> u32 {
        self.options.clients.unwrap_or(self.scenario.workload.clients).max(1)
    }

    fn terms(self) -> Terms {
        let workload = &self.scenario.workload;
        let exit_0 = if workload.suite_exit_0_all_succeeded {
            ExitZero::AllSucceeded
        } else {
            ExitZero::Nothing
        };
        Terms { exit_0, deadline: workload.deadline }
    }

    fn schedule(self, stage: &Stage, notes: &mut Vec<String>) -> Schedule {
        let workload = &self.scenario.workload;
        let mut operations = workload.operations;
        if self.client.mode() == Mode::Exec {
            operations = workload.exec_operations.unwrap_or(operations.min(exec::OPERATIONS));
            if operations < workload.operations {
                notes.push(format!(
                    "exec mode ran {operations} of {} operations, a process each; `--operations {}` runs all",
                    workload.operations, workload.operations
                ));
            }
        }
        Schedule::new(
            operations,
            workload.concurrency,
            workload.arrival,
            workload.submits,
            stage.clock.now_us(),
        )
    }

    fn scene(self, stage: &Stage, variables: Vec<(String, String)>) -> Result<Scene, RunError> {
        let servers = Arc::downgrade(&stage.servers);
        let workload = &self.scenario.workload;
        let traced = workload.http.is_some().then_some(self.seed);
        let clock = stage.clock;
        let (weak, stop) = (Weak::clone(&servers), stage.stop.clone());
        let (asked, storm_us) = (Weak::clone(&servers), self.scenario.storm_us());
        let mut scene = Scene {
            clock: stage.clock,
            sink: Arc::clone(&stage.sink),
            stop: stage.stop.clone(),
            addresses: self.addresses(stage),
            apis: self.scenario.providers.apis().map(Arc::clone).collect(),
            seed: self.seed.get(),
            variables,
            plan: self.plan()?,
            delivers: workload.queue.is_some() || workload.event.is_some(),
            clients: self.clients(),
            on_submit: Box::new(move |operation| {
                // Whatever a client keeps of the scene keeps no server alive.
                if let Some(servers) = servers.upgrade() {
                    register(&servers, operation, traced, clock.now_us());
                    if servers.iter().any(|server| server.with(|one| one.unsent().is_some())) {
                        stop.stop();
                    }
                }
            }),
            busy_until_us: Box::new(move || {
                let servers = weak.upgrade()?;
                let each = servers.iter();
                each.filter_map(|server| server.with(|one| one.busy_until_us(clock.now_us()))).max()
            }),
            storm_until_us: Box::new(move || {
                let first_us = || {
                    let servers = asked.upgrade()?;
                    servers.iter().find_map(|server| server.with(|one| one.first_request_us()))
                };
                storm_us.map_or(0, |storm_us| first_us().unwrap_or(0).saturating_add(storm_us))
            }),
            drain: self.scenario.drain,
            reconciles_within_us: self.scenario.reconciles_within_us(),
            claims: Mutex::new(Ledger::default()),
            output: Mutex::new(Output::new(Arc::new(Redactor::default()))),
        };
        let redactor = self.redactor(&scene)?;
        scene.output = Mutex::new(Output::new(Arc::new(redactor)));
        Ok(scene)
    }

    /// Where each provider is reached.
    fn addresses(self, stage: &Stage) -> Addresses {
        let address = |((name, spec), server): ((&Arc<str>, &ProviderSpec), &Server)| {
            let auth = spec.api.auth.as_ref();
            let keys = self.scenario.workload.tenants.keys(&spec.api);
            let scheme = if server.authority().is_some() { "https" } else { "http" };
            let place = server.endpoint().addr().map(|addr| addr.to_string());
            Address {
                provider: Arc::clone(name),
                url: format!("{scheme}://{}", place.as_deref().unwrap_or(NOWHERE)),
                key: keys.plain().to_owned(),
                tenants: keys.tenants,
                token_in_key: auth.is_some_and(|auth| auth.token_in_key),
            }
        };
        let all = self.scenario.providers.iter().zip(stage.servers.iter()).map(address).collect();
        Addresses::new(all).expect("a scenario has a provider, and each listens")
    }

    fn plan(self) -> Result<Option<Plan>, RunError> {
        let mode = match self.client.mode() {
            Mode::Suite | Mode::Serve => return Ok(None),
            Mode::Stdio => "stdio",
            Mode::InProcess => "in-process",
            Mode::Exec | Mode::Http => "exec",
        };
        let workload = &self.scenario.workload;
        let asked = workload.http.as_ref().map(|http| Arc::from(http.name()));
        let Some(call) = workload.call.clone().or(asked) else {
            return Err(RunError::NothingToCall { mode });
        };
        let raise = self.client.raise(self.kind);
        Ok(Some(Plan::new(workload, &call, raise, self.planted().as_ref())))
    }

    /// What must not stand in the client's output: the keys of the APIs, every other variable that looks
    /// like a credential, and what is planted in the inputs.
    fn redactor(self, scene: &Scene) -> Result<Redactor, RunError> {
        let mut secrets = self.keys();
        // A client in this process is given no variables.
        let in_process = self.client.mode() == Mode::InProcess;
        let given = if in_process { Vec::new() } else { scene.environment(CLIENT, None)? };
        for (name, value) in given {
            let words = ["KEY", "SECRET", "TOKEN", "PASSWORD"];
            if words.iter().any(|word| name.ends_with(word)) && !name.starts_with("BROWNOUT_") {
                secrets.push(value);
            }
        }
        let keys = secrets.iter().map(|secret| ("api_key", secret.as_str()));
        let planted = self.planted();
        let marks = planted.as_ref().map(Planted::marks);
        Ok(Redactor::new(keys.chain(marks.into_iter().flatten())))
    }

    /// The keys of all APIs that ask for one, of all tenants.
    fn keys(self) -> Vec<String> {
        let tenants = &self.scenario.workload.tenants;
        let asking = self.scenario.providers.apis().filter(|api| api.auth.is_some());
        asking
            .flat_map(|api| tenants.keys(api).all().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    fn planted(self) -> Option<Planted> {
        Planted::within(&self.scenario.workload.input, self.seed)
    }

    fn hosts(self) -> Hosts {
        let specs = self.scenario.providers.values();
        let own = specs.flat_map(|spec| spec.api.hosts.iter().cloned());
        Hosts {
            named: own.chain(shipped_hosts()).collect(),
            allowed: self.options.allow_network.clone(),
        }
    }

    /// The variables that every program of the run gets.
    fn variables(self, state: &StateDir, trap: &Trap) -> Vec<(String, String)> {
        let scale = self
            .scenario
            .scale
            .map_or("1".to_owned(), |scale| format!("{}/{}", scale.numerator, scale.denominator));
        let proxy = trap.url();
        let mut variables = vec![
            ("BROWNOUT_SEED".to_owned(), self.seed.get().to_string()),
            (STATE_DIR.to_owned(), state.text()),
            ("BROWNOUT_SCALE".to_owned(), scale),
            // Node before 22.21 reads no proxy variable at all.
            ("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()),
        ];
        for (name, value) in [
            ("HTTP_PROXY", proxy.as_str()),
            ("HTTPS_PROXY", proxy.as_str()),
            ("ALL_PROXY", proxy.as_str()),
            ("NO_PROXY", NO_PROXY),
        ] {
            variables.push((name.to_owned(), value.to_owned()));
            variables.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        variables
    }
}

impl Stage {
    /// Why an operation could not be sent as a message or an event, if one could not.
    fn unsent(&self) -> Option<String> {
        self.servers.iter().find_map(|server| server.with(|one| one.unsent().map(str::to_owned)))
    }

    /// True when no provider has anything more to do or to send.
    fn is_idle(&self) -> bool {
        self.servers.iter().all(Server::is_idle)
    }

    /// The driver of a service ends the run although something is pending. What is still owed to the service makes
    /// it no whole run; what the service was told and refused does not.
    fn cut(&self) {
        let is_owed = self.servers.iter().any(|server| server.with(|one| one.webhooks_owed()) > 0);
        self.is_cut.fetch_or(is_owed, Ordering::Relaxed);
    }

    /// Ends the run when nobody can reach a provider any more.
    fn stop_when_deaf(&self) -> Vec<JoinHandle<()>> {
        let turning = self.servers.iter().filter(|server| server.minds_the_door());
        let each = turning.map(|server| {
            let (deafened, stop) = (server.deafened(), self.stop.clone());
            tokio::spawn(async move {
                deafened.await;
                stop.stop();
            })
        });
        each.collect()
    }

    /// Waits until no work is pending. On the real clock that takes as long as the scenario says at most. In
    /// virtual time, where waiting costs nothing, all of that passes first: what the client does after its
    /// last claim is part of the run.
    /// False when work was still pending in the end.
    async fn drain(&self, clock: ClockKind, given: Duration) -> bool {
        let idle = async {
            for server in self.servers.iter() {
                server.idle().await;
            }
        };
        let quiet = async {
            match clock {
                ClockKind::Real => drop(self.clock.within(given, idle).await),
                ClockKind::Virtual => {
                    self.clock.sleep(given).await;
                    let _ = self.clock.within(LONGEST_DRAIN, idle).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stop.stopped() => true,
            () = quiet => self.servers.iter().all(|server| server.with(|one| one.pending()) == 0),
        }
    }
}

/// Why a run did not come to its end whose work took longer than it was given.
const UNFINISHED: &str = "work was still pending when `drain` was over";

/// How long the machine's timers are watched at a time.
const WATCHED: Duration = Duration::from_millis(5);

/// Keeps by how much a timer of this process came late at most, in microseconds of the machine, where the
/// clock goes faster than the machine's: what is late here is late in the client as well.
async fn watch_timers(clock: Clock, most: Arc<AtomicU64>) {
    let wait = clock.of_machine(WATCHED);
    loop {
        let due_us = clock.now_us().saturating_add(micros(wait));
        clock.sleep(wait).await;
        let late_us = clock.now_us().saturating_sub(due_us) / u64::from(clock.speed());
        most.fetch_max(late_us, Ordering::Relaxed);
    }
}

/// Makes a submit known to every provider, with the trace that its caller begins where the client is a service.
fn register(servers: &[Server], operation: &Operation, traced: Option<Seed>, now_us: u64) {
    let submitted = Submitted {
        id: Arc::clone(&operation.id),
        // Its place in the workload, by which rules count, by however much its number is raised.
        n: (operation.n.saturating_sub(1)) % RAISE + 1,
        trace: traced.map(|seed| trace_of(seed, operation)),
        submit: operation.submit,
        call: Arc::clone(&operation.call),
        input: operation.input.clone(),
    };
    for server in servers {
        server.with(|provider| provider.register(&submitted, now_us));
    }
}
