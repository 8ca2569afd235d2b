//! What every driver works with: the clock, the recorder, the mock's address, the operations.
//!
//! **Invariant:** everything that a driver writes into the trace goes through here, so that no secret
//! gets there unmarked and no claim is counted twice.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout_provider::api::{Api, Environment};
use brownout_provider::event::{
    Claim, ClaimBy, ClientEnded, ClientPaused, ClientStarted, Event, EventKind, OperationFinished,
    OperationSubmitted, Sink,
};
use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::lock::lock;
use brownout_provider::units::micros;

use super::address::{Address, Addresses, tenant_variables, variables};
use super::claims::{Effect, Ledger, Statement};
use super::fleet::copy_for;
use super::output::Output;
use super::plan::Plan;
use super::process::{End, Process};
use super::schedule::Slot;
use super::stop::Stop;
use crate::operation::Operation;
use crate::run::RunError;

/// The number of the first copy of the client.
pub const CLIENT: u32 = 1;

/// How much of the machine's time a client may work on an operation beyond its deadline where the clock
/// goes faster.
const WORK: Duration = Duration::from_secs(2);

/// The surroundings of a driver.
pub struct Scene {
    /// The clock of the run.
    pub clock: Clock,
    /// Where events go.
    pub sink: Arc<dyn Sink>,
    /// Ends the run early.
    pub stop: Stop,
    /// Where the client is sent.
    pub addresses: Addresses,
    /// The API of each provider, whose own variables point an unmodified program at the mock.
    pub apis: Vec<Arc<Api>>,
    /// The seed of the run.
    pub seed: u64,
    /// Variables that every program of the run gets, whatever the operation.
    pub variables: Vec<(String, String)>,
    /// The operations; `None` in suite mode.
    pub plan: Option<Plan>,
    /// How many copies of the client share the operations, at least 1.
    pub clients: u32,
    /// True when operations reach the client as messages of a queue, or as events.
    pub delivers: bool,
    /// Told of each submit before it is on record.
    pub on_submit: Box<dyn Fn(&Operation) + Send + Sync>,
    /// Until when somebody may be handed, or be at work on, a message whose fate is settled already, in
    /// microseconds since the start of the run; `None` where nothing of the sort is to come.
    pub busy_until_us: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Until when rules strike by the clock alone, in microseconds since the start of the run; 0 where none does.
    pub storm_until_us: Box<dyn Fn() -> u64 + Send + Sync>,
    /// How long it is waited at the end of a run for what is still to come.
    pub drain: Duration,
    /// How long a client has to clear up what it called unknown when all else is said, where the scenario
    /// expects it.
    pub reconciles_within_us: Option<u64>,
    /// What became of the submits.
    pub claims: Mutex<Ledger>,
    /// The client's output.
    pub output: Mutex<Output>,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Scene {
    /// Writes an event that happens now.
    pub fn record(&self, kind: EventKind) {
        self.sink.record(vec![Event::new(self.clock.now_us(), kind)]);
    }

    /// The operation at a place of the workload.
    ///
    /// # Errors
    ///
    /// When its input cannot be rendered.
    ///
    /// # Panics
    ///
    /// In suite mode, which has no workload.
    pub fn operation(&self, slot: Slot) -> Result<Operation, RunError> {
        let plan = self.plan.as_ref().expect("only suite mode has no plan, and never asks for one");
        plan.operation(slot, &self.addresses)
    }

    /// When a submit made at `at_us` is late.
    #[must_use]
    pub fn late_us(&self, at_us: u64) -> u64 {
        let deadline_us = self.plan.as_ref().map_or(u64::MAX, Plan::deadline_us);
        // On a faster clock what the client does between its waits takes as long as ever.
        let work =
            if self.clock.speed() > 1 { self.clock.of_machine(WORK) } else { Duration::ZERO };
        at_us.saturating_add(deadline_us).saturating_add(micros(work))
    }

    /// Until when a worker is heard out of whom all was said at `said_us`; `None` where nothing more is to come
    /// of what it was handed.
    #[must_use]
    pub fn hears_out_until_us(&self, said_us: u64) -> Option<u64> {
        let until_us = (self.busy_until_us)()?.min(said_us.saturating_add(micros(self.drain)));
        (until_us > self.clock.now_us()).then_some(until_us)
    }

    /// By what a copy of the client is told from the others where nobody hands it operations, with its tilde.
    #[must_use]
    pub fn copy_token(&self, client: u32) -> Option<String> {
        (self.delivers && self.clients > 1).then(|| Address::token_of_copy(client))
    }

    /// Puts a submit on record.
    pub fn submitted(&self, operation: &Operation, at_us: u64) {
        (self.on_submit)(operation);
        lock(&self.claims).open(&operation.id, operation.submit);
        let kind = EventKind::OperationSubmitted(OperationSubmitted {
            operation: Arc::clone(&operation.id),
            submit: operation.submit,
            n: operation.n,
            client: self.client_for(operation.n),
            call: Arc::clone(&operation.call),
            tenant: operation.tenant.clone(),
            input: operation.input.clone(),
            deadline_us: self.plan.as_ref().map_or(u64::MAX, Plan::deadline_us),
        });
        self.sink.record(vec![Event::new(at_us, kind)]);
    }

    /// Which copy of the client an operation is for; 0 where whichever is free takes it.
    fn client_for(&self, n: u64) -> u32 {
        if self.delivers && self.clients > 1 { 0 } else { copy_for(n, self.clients) }
    }

    /// Takes a claim of the client. It is put on record unless it changes nothing.
    pub fn claimed(&self, operation: &Arc<str>, statement: &Statement) -> Effect {
        let effect = lock(&self.claims).claim(operation, statement.submit, statement.claim);
        if effect != Effect::Nothing {
            let detail = lock(&self.output).redact(&statement.detail);
            let provider =
                statement.provider.as_ref().map(|name| Arc::from(lock(&self.output).redact(name)));
            self.record(EventKind::OperationFinished(OperationFinished {
                operation: Arc::clone(operation),
                submit: statement.submit,
                claim: statement.claim,
                degraded: statement.degraded,
                by: ClaimBy::Client,
                detail,
                provider,
            }));
        }
        effect
    }

    /// As [`Scene::claimed`], of an operation that nobody submitted; true if it went on record.
    pub fn claimed_unasked(&self, operation: &Arc<str>, statement: &Statement) -> bool {
        {
            let mut claims = lock(&self.claims);
            if !claims.knows(operation, statement.submit) {
                claims.open(operation, statement.submit);
            }
        }
        self.claimed(operation, statement) != Effect::Nothing
    }

    /// Puts on record that the client said nothing about a submit; true if that was not known before.
    pub fn silent(&self, operation: &Arc<str>, submit: u32, why: &str) -> bool {
        let news = lock(&self.claims).give_up(operation, submit);
        if news {
            self.record(EventKind::OperationFinished(OperationFinished {
                operation: Arc::clone(operation),
                submit,
                claim: Claim::Unknown,
                degraded: false,
                by: ClaimBy::Driver,
                // What a service answered may stand in it.
                detail: lock(&self.output).redact(why),
                provider: None,
            }));
        }
        news
    }

    /// Until when the run waits for the client to clear up what it called unknown, if all else was said at
    /// `since_us`; `None` where it does not, or no longer. While a provider is down nobody can clear up anything,
    /// so the time for it begins when that is over.
    #[must_use]
    pub fn reconciles_until_us(&self, since_us: u64) -> Option<u64> {
        let until_us =
            since_us.max((self.storm_until_us)()).saturating_add(self.reconciles_within_us?);
        (until_us > self.clock.now_us() && lock(&self.claims).has_unknown()).then_some(until_us)
    }

    /// Every submit that has neither a claim nor was found silent.
    #[must_use]
    pub fn still_open(&self) -> Vec<(Arc<str>, u32)> {
        lock(&self.claims).still_open()
    }

    /// Keeps a line of the client's output.
    pub fn said(&self, stream: &'static str, operation: Option<&Arc<str>>, line: &str) {
        let event = lock(&self.output).line(stream, operation, line);
        if let Some(kind) = event {
            self.record(kind);
        }
    }

    /// Says how much output was not kept; called once, at the end.
    pub fn output_is_over(&self) {
        let note = lock(&self.output).remainder();
        if let Some(kind) = note {
            self.record(kind);
        }
    }

    /// A program of the client runs.
    pub fn started(&self, process: &Process, operation: Option<&Arc<str>>) {
        self.record(EventKind::ClientStarted(ClientStarted {
            client: process.client,
            pid: process.pid,
            operation: operation.map(Arc::clone),
        }));
    }

    /// A program of the client has ended.
    pub fn ended(&self, process: &Process, end: End, operation: Option<&Arc<str>>) {
        self.record(EventKind::ClientEnded(ClientEnded {
            client: process.client,
            pid: process.pid,
            code: end.code,
            signal: end.signal,
            killed: end.killed,
            operation: operation.map(Arc::clone),
        }));
    }

    /// A program of the client goes on after it stood still for so long, in microseconds.
    pub fn paused(&self, process: &Process, for_us: u64, operation: Option<&Arc<str>>) {
        self.record(EventKind::ClientPaused(ClientPaused {
            client: process.client,
            pid: process.pid,
            for_us,
            operation: operation.map(Arc::clone),
        }));
    }

    /// The environment of a program, this copy of the client, that works on one operation or on all.
    ///
    /// # Errors
    ///
    /// When a variable of the API cannot be rendered.
    pub fn environment(
        &self,
        client: u32,
        operation: Option<&Operation>,
    ) -> Result<Vec<(String, String)>, RunError> {
        let token = match operation {
            Some(one) => Some(Address::token(&one.id, one.submit)),
            None => self.copy_token(client),
        };
        let tenant = operation.and_then(|one| one.tenant.as_deref());
        let reached = self.addresses.of_tenant(tenant).reached(token.as_deref());
        let token = token.unwrap_or_default();
        let mut all: Vec<(String, String)> = Vec::new();
        for ((_, reach), api) in reached.iter().zip(&self.apis) {
            let own =
                Environment { url: &reach.url, key: &reach.key, token: &token, seed: self.seed };
            let of_api = api.environment(&own).map_err(|error| RunError::Template {
                what: format!("the variables of the API `{}`", api.name),
                reason: error.to_string(),
            })?;
            // A variable that two providers want leads to the first of them.
            for (name, value) in of_api {
                if !all.iter().any(|(taken, _)| *taken == name) {
                    all.push((name, value));
                }
            }
        }
        all.extend(self.variables.iter().cloned());
        all.extend(variables(&reached));
        match tenant {
            Some(tenant) => all.push(("BROWNOUT_TENANT".to_owned(), tenant.to_owned())),
            // Whoever works on all operations is told the keys of all tenants.
            None => all.extend(tenant_variables(&self.addresses)),
        }
        all.push(("BROWNOUT_CLIENT".to_owned(), client.to_string()));
        Ok(all)
    }
}

/// How an end is told in a few words.
#[must_use]
pub fn end_in_words(end: End) -> String {
    match (end.code, end.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
