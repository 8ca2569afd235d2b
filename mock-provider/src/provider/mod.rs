//! The provider as a pure state machine: a request and a time go in, an exchange and events come out.
//!
//! The life of a request, and who speaks when:
//!
//! ```text
//! accept ─ authenticate ─ rate limit ─ idempotency look-up ─ validate ─ COMMIT ─ render ─ head ─ body
//! └ arrive.rs ───────────────────────────────────────────┘ └ work.rs ───────┘ └ answer.rs ────────┘
//! ```
//!
//! **Invariant:** no IO, no clock, no async; the same calls give the same exchanges and events, but for
//! dates where the client's wall clock goes its own way.

mod answer;
mod arrival;
mod arrive;
mod common;
mod door;
mod finish;
mod interpose;
mod jobs;
mod keys;
mod later;
mod limits;
mod messages;
mod open;
mod pieces;
mod struck;
mod tells;
mod upload;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::api::{Api, Extractor, Route, Webhooks};
use crate::coordinates::Coordinates;
use crate::event::{ConnectionEnded, Delivered, Event, EventKind, FaultInjected, Side};
use crate::exchange::{ClientFault, ClientStrike, End, ExchangeId, Next, Settled};
use crate::fault::Point;
use crate::hint::{Wall, WallClock};
use crate::idempotency::IdempotencyStore;
use crate::job::Jobs;
use crate::ledger::{History, Ledger};
use crate::plan::FaultPlan;
use crate::queue::Queue;
use crate::recognition::{Recognizer, Submitted};
use crate::resumable::Uploads;
use crate::rule::Rule;
use crate::seed::{RuleKey, Seed};
use crate::webhook::{Due, Outbox};

pub use common::Common;
pub use interpose::{Interposed, Interposer, OwnAnswer};

use arrival::Arrivals;
use arrive::Credential;
use door::AtDoor;
use jobs::Task;
use keys::Alias;
use later::Later;
use limits::Limits;
use open::{Open, Own, Place, Stage};
use struck::Mark;
use upload::Upload;

/// What a provider is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its name in the scenario.
    pub name: Arc<str>,
    /// Its API, with the scenario's own policies in it.
    pub api: Arc<Api>,
    /// All rules of the scenario; those that name another provider never match. Empty for a control
    /// run.
    pub rules: Vec<Rule>,
    /// The seed of the run.
    pub seed: Seed,
    /// The wall clock that the client has, for dates.
    pub wall: WallClock,
    /// Where requests carry their operation, instead of what the API says.
    pub operation_id: Option<Extractor>,
    /// False for a control run, which has no limits.
    pub limits: bool,
    /// True when HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
    /// True when somebody listens to the API's webhooks.
    pub webhooks: bool,
}

/// One provider of a run: its API, ledger, idempotency store, limiter and its part of the fault plan.
pub struct Provider {
    name: Arc<str>,
    api: Arc<Api>,
    plan: FaultPlan,
    wants_heads: bool,
    reads_slowly: bool,
    /// True when some rule strikes messages of a queue.
    strikes_messages: bool,
    http2: bool,
    history: History,
    doors: Vec<AtDoor>,
    wall: WallClock,
    recognizer: Recognizer,
    /// Of the latest request: most clients show one and the same.
    credential: Option<Credential>,
    arrivals: Arrivals,
    /// The tenants, by the keys that they show.
    tenants: BTreeMap<Arc<str>, Arc<str>>,
    store: IdempotencyStore<Own>,
    /// By which other names keys must be found.
    aliases: Vec<Alias>,
    limits: Option<Limits>,
    ledger: Ledger,
    /// How many attempts each operation, submit and route has seen.
    attempts: IndexMap<(Arc<str>, u32, Arc<str>), u32, FixedState>,
    open: BTreeMap<ExchangeId, Box<Open>>,
    /// Requests of which the head is there, and the body is being read slowly.
    uploads: BTreeMap<ExchangeId, Upload>,
    /// Work that is to appear after its answer.
    later: BTreeMap<ExchangeId, Later>,
    jobs: Jobs,
    /// Files that come in pieces.
    pieces: Uploads,
    /// Which collections hold uploads, and how long these take pieces.
    upload_lasts_us: Vec<(Arc<str>, u64)>,
    /// What each job is there for.
    tasks: BTreeMap<Arc<str>, Task>,
    /// Who looks after the job that a request may begin, and how long that takes.
    watches: BTreeMap<ExchangeId, (ExchangeId, u64)>,
    /// Open requests whose work is still to be done.
    pending: usize,
    last_id: ExchangeId,
    common: Common,
    /// Of the first one over TLS.
    first_connection_us: Option<u64>,
    seed: Seed,
    ids: RuleKey,
    events: Vec<Event>,
    client_strikes: Vec<ClientStrike>,
    /// The webhooks of the API, where somebody listens to them.
    listened: Option<Arc<Webhooks>>,
    outbox: Outbox,
    dues: Vec<Due>,
    /// The messages that wait, where the API has a queue.
    queue: Option<Queue>,
    /// The route by which operations become messages, where they do.
    sends: Option<Arc<Route>>,
    settled: Vec<Settled>,
    /// Why an operation could not be sent as a message or an event, the first time that one could not.
    unsent: Option<String>,
    /// The route of whose work operations tell as events, where they do.
    announces: Option<Arc<Route>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("open", &self.open.len())
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// A provider with an empty ledger, the only one of its run.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self::beside(setup, &Common::default())
    }

    /// A provider with an empty ledger, one of several of a run, which share what they have in common.
    #[must_use]
    pub fn beside(setup: Setup, common: &Common) -> Self {
        let Setup { name, api, rules, seed, wall, operation_id, limits, http2, webhooks } = setup;
        let plan = FaultPlan::counting(rules, seed, common.counts());
        let limits = api.rate_limit.as_ref().filter(|_| limits).map(Limits::new);
        let retention_us = api.idempotency.as_ref().map_or(0, |policy| policy.retention_us);
        Self {
            http2,
            wants_heads: plan.strikes_at_accept() || plan.reads_slowly(),
            reads_slowly: plan.reads_slowly(),
            history: if plan.looks_back() { History::All } else { History::Latest },
            strikes_messages: plan.strikes_messages(),
            queue: api.queue.as_ref().map(|_| Queue::default()),
            sends: None,
            announces: None,
            settled: Vec::new(),
            unsent: None,
            arrivals: Arrivals::new(&plan, common.numbers()),
            aliases: Alias::wanted(&plan),
            doors: AtDoor::all(plan.doors(&name)),
            plan,
            recognizer: Recognizer::new(&api, operation_id),
            credential: None,
            tenants: BTreeMap::new(),
            store: IdempotencyStore::new(retention_us),
            limits,
            ledger: Ledger::default(),
            attempts: IndexMap::default(),
            open: BTreeMap::new(),
            uploads: BTreeMap::new(),
            later: BTreeMap::new(),
            jobs: Jobs::default(),
            pieces: Uploads::default(),
            upload_lasts_us: pieces::collections(&api),
            tasks: BTreeMap::new(),
            watches: BTreeMap::new(),
            pending: 0,
            last_id: 0,
            common: common.clone(),
            first_connection_us: None,
            ids: RuleKey::new(seed, "#ids"),
            seed,
            events: Vec::new(),
            client_strikes: Vec::new(),
            listened: api.webhooks.clone().filter(|_| webhooks),
            outbox: Outbox::default(),
            dues: Vec::new(),
            wall,
            name,
            api,
        }
    }

    /// The tenant whose key a request showed.
    fn tenant(&self, open: &Open) -> Option<&Arc<str>> {
        self.tenants.get(&open.account)
    }

    /// The same for tenants, each with the key by which it is known. Whoever shows another key is none of them.
    #[must_use]
    pub fn with_tenants(mut self, tenants: impl IntoIterator<Item = (Arc<str>, String)>) -> Self {
        self.tenants = tenants.into_iter().map(|(name, key)| (Arc::from(key), name)).collect();
        self
    }

    /// Makes a submitted operation known, so that requests can be told to belong to it.
    pub fn register(&mut self, submitted: &Submitted, now_us: u64) {
        self.arrivals.end();
        self.recognizer.submitted(submitted);
        self.send_message(submitted, now_us);
        self.send_event(submitted, now_us);
    }

    /// Its name in the scenario.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its API.
    #[must_use]
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// Has `tell` called when the first request of the run comes, whichever provider it comes to.
    pub fn when_begun(&self, tell: Box<dyn Fn() + Send + Sync>) {
        self.common.when_begun(tell);
    }

    /// True when the plan has faults that strike when only the head has been read.
    #[must_use]
    pub fn wants_heads(&self) -> bool {
        self.wants_heads
    }

    /// True when it speaks HTTP/2 beside HTTP/1.1.
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        self.http2
    }

    /// A wait of this exchange is over.
    pub fn advance(&mut self, id: ExchangeId, now_us: u64) -> Next {
        if let Some(later) = self.later.remove(&id) {
            return self.look_after(id, later, now_us);
        }
        if let Some(of) = self.watches.remove(&id) {
            return self.watch(id, of, now_us);
        }
        let Some(mut open) = self.open.remove(&id) else { return Next::Done };
        open.now_us = now_us;
        let next = match std::mem::replace(&mut open.stage, Stage::Handed { free_at_close: false })
        {
            Stage::Arrive => {
                self.pending -= 1;
                self.arrive_again(&mut open)
            }
            Stage::Upload { held_us } => {
                self.pending -= 1;
                self.hold(&mut open, held_us)
            }
            Stage::Gate => {
                self.pending -= 1;
                self.come_in(&mut open)
            }
            Stage::Held => {
                self.pending -= 1;
                self.go_on(&mut open)
            }
            Stage::Work(work) => {
                self.pending -= 1;
                self.work(&mut open, work)
            }
            Stage::Reply(own) => self.reply(&mut open, own),
            handed @ Stage::Handed { .. } => {
                open.stage = handed;
                Next::Done
            }
        };
        self.keep(open, next)
    }

    /// A connection ended while no request was open on it.
    pub fn connection_ended(&mut self, connection: u64, by: Side, how: End, at_us: u64) {
        let how = how.name().into();
        self.emit_connection_end((connection, None), (by, how), at_us);
    }

    /// Bytes came that are no HTTP, and were answered 400 by the shell.
    pub fn bad_request(&mut self, connection: u64, at_us: u64) {
        let ended = (Side::Provider, "bad_request".into());
        self.emit_connection_end((connection, None), ended, at_us);
    }

    /// A body was larger than the shell holds, and was answered 413 by the shell.
    pub fn too_large(&mut self, connection: u64, at_us: u64) {
        let ended = (Side::Provider, "too_large".into());
        self.emit_connection_end((connection, None), ended, at_us);
    }

    /// Exchanges whose work is still to be done or to be seen, jobs that go on by themselves, exchanges or which are still being read, repeats and
    /// webhooks that are still to come: a run is over only when this is 0.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending + self.uploads.len() + self.outbox.pending() + self.jobs.pending()
    }

    /// How many webhooks are still owed to whoever listens: never sent, or to be sent again and not refused.
    #[must_use]
    pub fn webhooks_owed(&self) -> usize {
        self.outbox.owed()
    }

    /// How many idempotency keys take up memory.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.store.len()
    }

    /// The events since the last call, in order.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What has befallen the client since the last call, in order: to be carried out by whoever drives it.
    #[must_use]
    pub fn take_client_strikes(&mut self) -> Vec<ClientStrike> {
        std::mem::take(&mut self.client_strikes)
    }

    /// What became of operations that were messages since the last call, in order.
    #[must_use]
    pub fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    /// Until when somebody may be handed, or be at work on, a message whose fate is settled already; `None`
    /// where nothing of the sort is to come.
    #[must_use]
    pub fn busy_until_us(&self, now_us: u64) -> Option<u64> {
        self.queue.as_ref()?.busy_until_us(now_us)
    }

    /// When the first request of the run came to any of its providers, in microseconds since its start, if one has
    /// come: `during` counts from there.
    #[must_use]
    pub fn first_request_us(&self) -> Option<u64> {
        self.common.first_us()
    }

    /// Why an operation could not be sent as a message or an event, if one could not.
    #[must_use]
    pub fn unsent(&self) -> Option<&str> {
        self.unsent.as_deref()
    }

    /// Strikes the client if its request has reached the point for it and it is still there; `Some` when it
    /// was killed, so that nobody waits for the answer.
    fn strike_client(&mut self, open: &mut Open, points: &[Point]) -> Option<Mark> {
        if open.gone || !open.by.is_client() {
            return None;
        }
        let (mark, does) = open.struck.client_at(points)?;
        let place = open.place.as_ref()?;
        self.client_strikes.push(ClientStrike {
            operation: Arc::clone(&place.operation),
            submit: place.submit,
            client: open.copy,
            mid_body: mark.is_at(Point::MidBody),
            does,
        });
        self.emit_strike(open, &mark);
        match does {
            ClientFault::Kill => return Some(mark),
            ClientFault::Pause { .. } if mark.is_at(Point::MidBody) => {
                open.struck.halved = true;
            }
            ClientFault::Pause { .. } => {
                let after = &mut open.struck.after.total_us;
                *after = after.saturating_add(struck::STRUCK_WITHIN_US);
            }
        }
        None
    }

    /// Puts a request back into the table unless it is over: a client that has gone gets no answer, and
    /// nobody waits for the answer to a gateway's repeat.
    fn keep(&mut self, mut open: Box<Open>, next: Next) -> Next {
        let nobody_waits = open.gone || !open.by.is_client();
        match next {
            Next::Wait { .. } => {}
            Next::Answer(_) | Next::Silence | Next::Drop(_) | Next::GoAway(_) | Next::Done
                if nobody_waits =>
            {
                self.give_back_at_close(&mut open);
                self.leave_limiter(&mut open);
                return Next::Done;
            }
            Next::Answer(_) | Next::Silence | Next::Drop(_) | Next::GoAway(_) | Next::Done => {}
        }
        self.open.insert(open.id, open);
        next
    }

    /// Frees the key of a request that hung before its work was done.
    fn give_back_at_close(&mut self, open: &mut Open) {
        if matches!(open.stage, Stage::Handed { free_at_close: true })
            && let Some(slot) = open.slot.take()
        {
            self.store.free(slot, open.id, open.now_us);
        }
    }

    fn take_id(&mut self) -> ExchangeId {
        self.last_id += 1;
        self.last_id
    }

    fn wall(&self, now_us: u64) -> Wall {
        self.wall.at(now_us)
    }

    /// Whole seconds since 1970 by the clock that the client has.
    fn epoch_s(&self, now_us: u64) -> u64 {
        self.epoch_us(now_us) / 1_000_000
    }

    /// Microseconds since 1970 by the clock that the client has.
    fn epoch_us(&self, now_us: u64) -> u64 {
        let now = self.wall(now_us).now();
        now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, crate::units::micros)
    }

    fn coordinates<'a>(&'a self, place: &'a Place) -> Coordinates<'a> {
        Coordinates {
            provider: &self.name,
            route: &place.route.name,
            operation: &place.operation,
            submit: place.submit,
            attempt: place.attempt,
        }
    }

    fn emit(&mut self, at_us: u64, kind: EventKind) {
        self.events.push(Event::new(at_us, kind));
    }

    fn emit_strike(&mut self, open: &Open, mark: &Mark) {
        let operation = open.place.as_ref().map(|place| Arc::clone(&place.operation));
        self.emit_struck((open.id, operation, None), mark, open.now_us);
    }

    /// A mark was made on the work of an operation, by or beside a request.
    fn emit_struck(
        &mut self,
        (request, operation, delivered): (ExchangeId, Option<Arc<str>>, Option<Delivered>),
        mark: &Mark,
        at_us: u64,
    ) {
        let event = FaultInjected {
            request,
            provider: Arc::clone(&self.name),
            operation,
            rule: Arc::clone(&mark.rule),
            fault: mark.fault.into(),
            at: Some(mark.at.name().into()),
            scheduled: mark.scheduled,
            delivered,
            detail: mark.detail.clone(),
        };
        self.emit(at_us, EventKind::FaultInjected(event));
    }

    fn emit_connection_end(
        &mut self,
        (connection, request): (u64, Option<ExchangeId>),
        (by, how): (Side, Arc<str>),
        at_us: u64,
    ) {
        let provider = Arc::clone(&self.name);
        let event = ConnectionEnded { provider, connection, request, by, how };
        self.emit(at_us, EventKind::ConnectionEnded(event));
    }
}

#[cfg(test)]
mod key_model;
#[cfg(test)]
mod queue_model;
#[cfg(test)]
mod tests;
