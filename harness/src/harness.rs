//! The library's face: a scenario, a closure as the client, a verdict.
//!
//! **Invariant:** it adds nothing to a run or its judgement that the parts below do not do.

mod expect;
mod holds;
mod judged;
mod prepared;
mod search;
mod worker;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::ClockKind;

use crate::drive::in_process::{Connection, InProcess, Reconciler};
use crate::operation::{Operation, Outcome};
use crate::run::{Client, RunError, RunOptions};
use crate::scenario::{Apis, Expectation, Overrides, Scenario, read, shipped};
use crate::trace::Trace;

pub use crate::scenario::WrongScenario;
pub use brownout_provider::event::Claim;
pub use brownout_provider::seed::Seed;
pub use brownout_provider::shell::transport::Transport;
pub use expect::Finding;
pub use holds::assert_holds;
pub use judged::Judged;
pub use prepared::Prepared;
pub use search::{ExploreOptions, HuntOptions, SearchError};

/// Runs a scenario against a client in this process and judges it: on the real clock, or with
/// [`Harness::virtual_time`] in no time at all.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::drive::loopback::{Call, post};
/// use brownout::harness::Harness;
/// use brownout::operation::Outcome;
/// use brownout::verdict::Verdict;
///
/// let harness = Harness::from_yaml(
///     "version: 1
/// name: a-liar
/// provider: {api: payments}
/// faults: [{name: busy, inject: {status: {code: 503}}}]
/// workload: {call: create_charge, operations: 2, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
/// expect: [no_phantom_success]
/// ",
/// )
/// .expect("a right scenario");
/// // A client that asks, and claims success whatever it hears.
/// let judged = harness
///     .run(|operation, _connection| async move {
///         let url = format!("{}/v1/charges", operation.url);
///         let call = Call {
///             url: &url,
///             api_key: &operation.api_key,
///             idempotency_key: None,
///             body: &operation.input,
///             timeout: Duration::from_secs(5),
///         };
///         let _ = post(call).await;
///         Outcome::succeeded()
///     })
///     .expect("it runs");
/// assert_eq!(judged.result.verdict, Verdict::Failed);
/// ```
#[derive(Clone, Debug)]
pub struct Harness {
    scenario: Arc<Scenario>,
    seed: Seed,
    options: RunOptions,
    control: bool,
    /// The test's own, which stand in `scenario` too.
    own: Vec<Expectation>,
}

impl Harness {
    /// A harness for a resolved scenario, with the scenario's own seed.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let options = RunOptions { file: format!("<{}>", scenario.name), ..RunOptions::default() };
        Self {
            seed: scenario.seed,
            scenario: Arc::new(scenario),
            options,
            control: true,
            own: Vec::new(),
        }
    }

    /// A harness for a scenario in YAML. A path of an API in it counts from the current folder.
    ///
    /// # Errors
    ///
    /// When something is wrong with the scenario.
    pub fn from_yaml(text: &str) -> Result<Self, WrongScenario> {
        let apis = Apis::Beside(Path::new("."));
        let checked = read("<scenario>", text.as_bytes(), apis, &Overrides::default());
        checked.into_result().map(Self::new)
    }

    /// A harness for a scenario file. In a test the path counts from the folder of its package; a path of
    /// an API in the file counts from the file's own folder. Where there is no such file, the path or the name
    /// of a scenario that comes with brownout will do, as on the command line:
    /// `scenarios/payments/lost-response.yaml`, `payments-lost-response`.
    ///
    /// ```
    /// use brownout::Harness;
    ///
    /// let wrong = Harness::from_file("no/such.yaml").expect_err("there is no such file");
    /// assert!(wrong.to_string().starts_with("no/such.yaml:1:1: this file cannot be read"));
    /// ```
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or something is wrong with the scenario.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, WrongScenario> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let shipped = if path.exists() { None } else { shipped::find(&file) };
        let bytes = match shipped {
            Some(shipped) => shipped.text.as_bytes().to_vec(),
            None => std::fs::read(path)
                .map_err(|error| WrongScenario::unreadable(file.clone(), &error.to_string()))?,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let checked = read(&file, &bytes, Apis::Beside(folder), &Overrides::default());
        let mut harness = Self::new(checked.into_result()?);
        harness.options.file = file;
        Ok(harness)
    }

    /// The scenario, with the test's own expectations in it.
    #[must_use]
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// Expects something of the test's own beside what the scenario expects: a closure that reads the
    /// trace. It is shown in verdict, report and JSON like the built-in ones.
    ///
    /// It is asked once for each run, never for the control run, and reads nothing but the trace.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use brownout::drive::loopback::{Call, post_over};
    /// use brownout::{Finding, Harness, Outcome, Trace, Verdict};
    ///
    /// /// The last request for an operation comes at most a second after the first.
    /// fn all_within_a_second(trace: &Trace) -> Finding {
    ///     let mut finding = Finding::held(0);
    ///     for (operation, _) in trace.operations() {
    ///         let mut requests = trace.attempts_of(operation).map(|(_, request)| request);
    ///         let Some(first) = requests.next() else { continue };
    ///         let last = requests.last().unwrap_or(first);
    ///         let apart_us = last.at_us - first.at_us;
    ///         finding = if apart_us > 1_000_000 {
    ///             finding.violated(
    ///                 trace.operation_name(operation),
    ///                 format!("a request came {} ms after the first", apart_us / 1_000),
    ///                 [u64::from(last.seq)],
    ///             )
    ///         } else {
    ///             finding.met()
    ///         };
    ///     }
    ///     finding
    /// }
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: busy-for-a-minute
    /// provider: {api: payments}
    /// faults: [{name: busy, when: {operation: 1, attempt: 1}, inject: {status: {code: 503, retry_after: 60s}}}]
    /// workload: {call: create_charge, operations: 3, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}, deadline: 1h}
    /// expect: [honors_retry_after]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .expect("all_within_a_second", all_within_a_second)
    ///     .run(|operation, connection| async move {
    ///         let url = format!("{}/v1/charges", operation.url);
    ///         let call = Call {
    ///             url: &url,
    ///             api_key: &operation.api_key,
    ///             idempotency_key: Some(&operation.id),
    ///             body: &operation.input,
    ///             timeout: Duration::from_secs(5),
    ///         };
    ///         loop {
    ///             match post_over(&connection, call).await {
    ///                 Ok(answer) if answer.status == 201 => return Outcome::succeeded(),
    ///                 Ok(answer) => tokio::time::sleep(answer.retry_after.unwrap_or_default()).await,
    ///                 Err(error) => return Outcome::unknown(error.to_string()),
    ///             }
    ///         }
    ///     })
    ///     .expect("it runs");
    /// assert_eq!(judged.result.verdict, Verdict::Failed);
    /// assert!(judged.report().starts_with("1 of 3 operations broke `all_within_a_second`"));
    /// let own = judged.invariant("all_within_a_second").expect("it was expected");
    /// assert_eq!((own.exercised, own.violations.len()), (3, 1));
    /// ```
    ///
    /// # Panics
    ///
    /// When something of that name is expected already.
    #[must_use]
    #[track_caller]
    pub fn expect(
        mut self,
        name: &'static str,
        judge: impl Fn(&Trace) -> Finding + Send + Sync + 'static,
    ) -> Self {
        let taken = self.scenario.expect.iter().any(|one| one.name == name);
        assert!(!taken, "`{name}` is expected already; give this one a name of its own");
        let own = expect::expectation(name, judge);
        self.own.push(own.clone());
        Arc::make_mut(&mut self.scenario).expect.push(own);
        self
    }

    /// Runs with this seed instead of the scenario's own.
    ///
    /// ```
    /// use brownout::Harness;
    /// use brownout::harness::{Claim, Seed};
    /// use brownout::operation::Outcome;
    ///
    /// # const SCENARIO: &str = "version: 1
    /// # name: fair
    /// # provider: {api: payments}
    /// # workload: {call: create_charge, operations: 1, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// # expect: [no_lost_operations]
    /// # ";
    /// let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .seed(Seed::new(7).expect("a small number"))
    ///     .run(|_, _| async {
    ///         let outcome = Outcome::failed("nothing was sent");
    ///         assert_eq!(outcome.claim, Claim::Failed);
    ///         outcome
    ///     })
    ///     .expect("it runs");
    /// assert_eq!(judged.result.seed, 7);
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Writes the traces to this folder, which is created if need be. Without it they stay in memory.
    #[must_use]
    pub fn trace_to(mut self, dir: &Path) -> Self {
        self.options.dir = Some(dir.to_owned());
        self
    }

    /// Leaves out the control run, which shows that the client works in fair weather.
    #[must_use]
    pub fn without_control(mut self) -> Self {
        self.control = false;
        self
    }

    /// Runs in virtual time: whenever client and provider wait, time jumps to the next thing that happens,
    /// so that a client which is told to wait a minute has waited it within microseconds.
    ///
    /// Each run has a fresh tokio runtime on one thread, with the client and the provider in it. What the
    /// client waits for by tokio's clock is virtual; `std::time::Instant` and `SystemTime` are not. The
    /// client must not block: no `spawn_blocking`, no host names to look up, no blocking calls. One that
    /// does is given up after [`Harness::patience`], with an error that says so.
    ///
    /// Proven on Linux. Before the first run over a transport a few known runs are compared with what
    /// they must show, and virtual time is refused where the kernel makes it wrong.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use brownout::drive::loopback::{Call, post_over};
    /// use brownout::harness::Harness;
    /// use brownout::operation::Outcome;
    /// use brownout::verdict::Verdict;
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: busy-for-a-minute
    /// provider: {api: payments}
    /// faults: [{name: busy, when: {attempt: 1}, inject: {status: {code: 503, retry_after: 60s}}}]
    /// workload: {call: create_charge, operations: 1, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}, deadline: 1h}
    /// expect: [honors_retry_after]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .run(|operation, connection| async move {
    ///         let url = format!("{}/v1/charges", operation.url);
    ///         let call = Call {
    ///             url: &url,
    ///             api_key: &operation.api_key,
    ///             idempotency_key: Some(&operation.id),
    ///             body: &operation.input,
    ///             timeout: Duration::from_secs(5),
    ///         };
    ///         loop {
    ///             match post_over(&connection, call).await {
    ///                 Ok(answer) if answer.status == 201 => return Outcome::succeeded(),
    ///                 Ok(answer) => tokio::time::sleep(answer.retry_after.unwrap_or_default()).await,
    ///                 Err(error) => return Outcome::unknown(error.to_string()),
    ///             }
    ///         }
    ///     })
    ///     .expect("it runs");
    /// assert_eq!(judged.result.verdict, Verdict::Passed);
    /// // A minute has passed.
    /// assert_eq!(judged.result.elapsed_ms, 60_000);
    /// ```
    #[must_use]
    pub fn virtual_time(mut self) -> Self {
        self.options.clock = ClockKind::Virtual;
        self
    }

    /// What carries the bytes between client and provider, instead of loopback TCP on the real clock and a
    /// unix socket in virtual time. All faults work over all of them; a reset is one over each.
    ///
    /// ```
    /// use brownout::harness::{Harness, Transport};
    /// use brownout::operation::Outcome;
    ///
    /// # const SCENARIO: &str = "version: 1
    /// # name: fair
    /// # provider: {api: payments}
    /// # workload: {call: create_charge, operations: 4, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// # expect: [no_lost_operations]
    /// # ";
    /// let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .transport(Transport::Memory)
    ///     .run(|_, connection| async move {
    ///         assert_eq!(connection.transport(), Transport::Memory);
    ///         Outcome::failed("nothing was sent")
    ///     })
    ///     .expect("it runs");
    /// assert_eq!(judged.result.requests, 0);
    /// ```
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.options.transport = Some(transport);
        self
    }

    /// How many copies of the client share the operations, at least 1: the first copy takes the first, and
    /// so on in turn. Each copy is built by the factory of [`Harness::run_with`].
    ///
    /// ```
    /// use brownout::drive::in_process::Connection;
    /// use brownout::harness::Harness;
    /// use brownout::operation::{Operation, Outcome};
    ///
    /// # const SCENARIO: &str = "version: 1
    /// # name: fair
    /// # provider: {api: payments}
    /// # workload: {call: create_charge, operations: 4, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// # expect: [no_lost_operations]
    /// # ";
    /// let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .fleet(2)
    ///     .run_with(|_| |operation: Operation, connection: Connection| async move {
    ///         connection.log(&format!("{} by copy {}", operation.id, connection.client));
    ///         Outcome::failed("nothing was sent")
    ///     })
    ///     .expect("it runs");
    /// let said: Vec<&str> = judged.trace.outputs().iter().map(|line| &*line.text).collect();
    /// assert_eq!(said[..3], ["op-0001 by copy 1", "op-0002 by copy 2", "op-0003 by copy 1"]);
    /// ```
    #[must_use]
    pub fn fleet(mut self, clients: u32) -> Self {
        self.options.clients = Some(clients);
        self
    }

    /// Asks what became of each submit that the client called `unknown`, when all operations are over: one
    /// after the other, each with as long as an operation has. The answer replaces the `unknown`, unless it
    /// is `unknown` again; claims of success and failure are final and nobody asks about them.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use brownout::drive::loopback::{Call, post_over};
    /// use brownout::harness::Harness;
    /// use brownout::operation::Outcome;
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: lost
    /// provider: {api: payments}
    /// script: [{operation: 1, route: create_charge, attempt: 1, inject: {reset: {at: after_commit}}}]
    /// workload: {call: create_charge, operations: 2, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// expect: [no_double_charges, no_lost_operations, no_phantom_success]
    /// ",
    /// )
    /// .expect("a right scenario")
    /// .virtual_time();
    /// let charge = |operation: brownout::Operation, connection: brownout::Connection| async move {
    ///     let url = format!("{}/v1/charges", operation.url);
    ///     let call = Call {
    ///         url: &url,
    ///         api_key: &operation.api_key,
    ///         idempotency_key: Some(&operation.id),
    ///         body: &operation.input,
    ///         timeout: Duration::from_secs(5),
    ///     };
    ///     match post_over(&connection, call).await {
    ///         Ok(answer) if answer.status == 201 => Outcome::succeeded(),
    ///         _ => Outcome::unknown("the answer never came"),
    ///     }
    /// };
    /// let left = harness.run(charge).expect("it runs").result.operations;
    /// assert_eq!((left.succeeded, left.unknown), (1, 1));
    /// // The same once more, with the same key: the provider knows what became of it.
    /// let cleared = harness.reconcile(charge).run(charge).expect("it runs").result.operations;
    /// assert_eq!((cleared.succeeded, cleared.unknown), (2, 0));
    /// ```
    #[must_use]
    pub fn reconcile<F, W>(mut self, find_out: F) -> Self
    where
        F: Fn(Operation, Connection) -> W + Send + Sync + 'static,
        W: Future<Output = Outcome> + 'static,
    {
        self.options.reconciler = Some(Reconciler::new(find_out));
        self
    }

    /// In virtual time: how much real time may pass without anything happening before the run is given
    /// up, instead of 5 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use brownout::harness::Harness;
    /// use brownout::operation::Outcome;
    ///
    /// # const SCENARIO: &str = "version: 1
    /// # name: fair
    /// # provider: {api: payments}
    /// # workload: {call: create_charge, operations: 4, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// # expect: [no_lost_operations]
    /// # ";
    /// let harness = Harness::from_yaml(SCENARIO).expect("a right scenario");
    /// let error = harness
    ///     .virtual_time()
    ///     .patience(Duration::from_millis(100))
    ///     .run(|_, _| async {
    ///         let _ = tokio::task::spawn_blocking(|| {
    ///             std::thread::sleep(Duration::from_millis(500));
    ///         })
    ///         .await;
    ///         Outcome::succeeded()
    ///     })
    ///     .expect_err("virtual time cannot pass while a thread blocks");
    /// assert!(error.to_string().starts_with("virtual time has stood still for 100 ms"));
    /// ```
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.options.patience = patience;
        self
    }

    /// Drives the client and judges it. All operations share what the closure holds, and so do the runs;
    /// a client that is to forget is built by [`Harness::run_with`].
    ///
    /// # Errors
    ///
    /// When the run cannot be made; a client that misbehaves is no error.
    pub fn run<F, W>(&self, client: F) -> Result<Judged, RunError>
    where
        F: Fn(Operation, Connection) -> W + Send + Sync + 'static,
        W: Future<Output = Outcome> + 'static,
    {
        self.prepare(client).run()
    }

    /// Drives a client that is built anew for each run, for each copy of a [`Harness::fleet`], and after
    /// each [`Connection::crash`], on the runtime of the run. The connection that the factory is given
    /// carries no operation.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// use brownout::drive::in_process::Connection;
    /// use brownout::harness::Harness;
    /// use brownout::operation::{Operation, Outcome};
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: three-in-a-row
    /// provider: {api: payments}
    /// workload: {call: create_charge, operations: 3, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
    /// expect: [no_lost_operations]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// let judged = harness
    ///     .virtual_time()
    ///     .run_with(|_connection| {
    ///         let served = Rc::new(Cell::new(0));
    ///         move |_operation: Operation, connection: Connection| {
    ///             let served = Rc::clone(&served);
    ///             async move {
    ///                 served.set(served.get() + 1);
    ///                 connection.log(&format!("number {}", served.get()));
    ///                 Outcome::failed("out of order")
    ///             }
    ///         }
    ///     })
    ///     .expect("it runs");
    /// let said: Vec<&str> = judged.trace.outputs().iter().map(|line| &*line.text).collect();
    /// // The control run had a client of its own.
    /// assert_eq!(said, ["number 1", "number 2", "number 3"]);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Harness::run`].
    pub fn run_with<B, C>(&self, factory: B) -> Result<Judged, RunError>
    where
        B: Fn(&Connection) -> C + Send + Sync + 'static,
        C: InProcess + 'static,
    {
        self.prepare_with(factory).run()
    }

    /// As [`Harness::run`], for many runs: see [`Prepared`].
    #[must_use]
    pub fn prepare<F, W>(&self, client: F) -> Prepared
    where
        F: Fn(Operation, Connection) -> W + Send + Sync + 'static,
        W: Future<Output = Outcome> + 'static,
    {
        Prepared::new(self.clone(), Client::in_process(client))
    }

    /// As [`Harness::run_with`], for many runs: see [`Prepared`].
    #[must_use]
    pub fn prepare_with<B, C>(&self, factory: B) -> Prepared
    where
        B: Fn(&Connection) -> C + Send + Sync + 'static,
        C: InProcess + 'static,
    {
        Prepared::new(self.clone(), Client::InProcess(Arc::new(factory)))
    }

    /// A client that is a service: an axum router, which is called as the scenario says under `http`, built anew
    /// for each run and whenever it is killed. It reaches the provider over the connection that its builder is
    /// given; requests go into the router as calls, without a socket, so it takes part in virtual time.
    ///
    /// What the service spawned by itself lives on when it is killed or stands still.
    ///
    /// ```
    /// # #[cfg(feature = "service")] {
    /// use std::time::Duration;
    ///
    /// use axum::Router;
    /// use axum::http::StatusCode;
    /// use axum::routing::post;
    /// use brownout::drive::loopback::{Call, post_over};
    /// use brownout::{Connection, Harness, Verdict};
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: a-shop
    /// provider: {api: payments}
    /// faults: [{name: lost, when: {attempt: 1}, inject: {reset: {at: after_commit}}}]
    /// workload:
    ///   operations: 3
    ///   http: {calls: create_charge, request: {path: '/orders/{{ n }}', json: '{{ input }}'}}
    /// expect: [no_double_charges]
    /// ",
    /// )
    /// .expect("a right scenario");
    /// let shop = |connection: &Connection| {
    ///     let connection = connection.clone();
    ///     let order = move |body: axum::Json<serde_json::Value>| async move {
    ///         let url = format!("{}/v1/charges", connection.url);
    ///         for _ in 0..2 {
    ///             let call = Call {
    ///                 url: &url,
    ///                 api_key: &connection.api_key,
    ///                 // No key: the second attempt charges again.
    ///                 idempotency_key: None,
    ///                 body: &body,
    ///                 timeout: Duration::from_secs(5),
    ///             };
    ///             if post_over(&connection, call).await.is_ok_and(|it| it.status == 201) {
    ///                 return StatusCode::CREATED;
    ///             }
    ///         }
    ///         StatusCode::GATEWAY_TIMEOUT
    ///     };
    ///     Router::new().route("/orders/{n}", post(order))
    /// };
    /// let judged = harness.virtual_time().service(shop).run().expect("it runs");
    /// assert_eq!(judged.result.verdict, Verdict::Failed);
    /// assert!(judged.report().starts_with("3 of 3 customers would have been charged twice"));
    /// # }
    /// ```
    #[cfg(feature = "service")]
    #[must_use]
    pub fn service<B>(&self, build: B) -> Prepared
    where
        B: Fn(&Connection) -> axum::Router + Send + Sync + 'static,
    {
        let routers = crate::drive::http::Routers::new(build);
        Prepared::new(self.clone(), Client::ServiceInProcess(Arc::new(routers)))
    }
}
