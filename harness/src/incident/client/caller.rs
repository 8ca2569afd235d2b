//! The client that calls a provider: one loop, played with different habits.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::seed::{RuleKey, Seed};
use brownout_provider::units::micros;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer::{End, exhausted, judge};
use super::memory::Memory;
use super::routes::{self, Route};
use crate::drive::in_process::{Connection, Factory, InProcess, Reconciler, Work};
use crate::drive::loopback::{Ask, Reply, send_over};
use crate::incident::habits::{
    Fallback, Habits, Jitter, Key, Logs, Reads, Restraint, Retries, Steps, Sweep, Tells,
    UNRESTRAINED, Wait,
};
use crate::operation::{Operation, Outcome};

/// How long a client without a time-out waits: longer than anything lasts.
const FOR_EVER: Duration = Duration::from_secs(30 * 86_400);

/// So much is left before the caller's deadline when a client that minds it gives up.
const MARGIN: Duration = Duration::from_millis(500);

/// How long one waits between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// So long after the last word of an operation one begins to sweep up: what its last answer asked for is over.
const CALM: Duration = Duration::from_secs(10);

/// How many looks there are at most.
const LOOKS: u32 = 1_000;

/// What a client has in mind for each tenant.
type Memories = BTreeMap<Option<Arc<str>>, Rc<Memory>>;

/// A client that calls a provider.
#[derive(Clone, Debug)]
pub struct Caller {
    habits: Habits,
    seed: Seed,
    /// One for each tenant, and one where there are none.
    memories: Rc<RefCell<Memories>>,
    memory: Rc<Memory>,
}

/// One request that is to be answered with success, however often it takes.
#[derive(Clone, Debug)]
struct Job {
    operation: Rc<Operation>,
    connection: Connection,
    provider: &'static str,
    route: &'static Route,
    url: String,
    body: Value,
    until_us: u64,
}

impl Caller {
    /// Builds callers with these habits.
    pub fn factory(habits: Habits, seed: Seed) -> impl Factory {
        move |_: &Connection| Self::new(habits, seed)
    }

    fn new(habits: Habits, seed: Seed) -> Self {
        let memory = Rc::new(Memory::new(habits.restraint));
        let memories = Rc::new(RefCell::new(BTreeMap::from([(None, Rc::clone(&memory))])));
        Self { habits, seed, memories, memory }
    }

    /// The same client at work for a tenant.
    fn of_tenant(&self, tenant: Option<&Arc<str>>) -> Self {
        let tenant = tenant.filter(|_| !self.habits.restraint.shared);
        let mut memories = self.memories.borrow_mut();
        let memory = memories
            .entry(tenant.cloned())
            .or_insert_with(|| Rc::new(Memory::new(self.habits.restraint)));
        Self { memory: Rc::clone(memory), ..self.clone() }
    }

    /// Asks afterwards about what is unknown, where the habits say so.
    #[must_use]
    pub fn reconciler(habits: Habits, seed: Seed) -> Option<Reconciler> {
        let restraint = Restraint { breaker: None, ..UNRESTRAINED };
        let again = Habits { restraint, ..habits };
        match habits.sweep {
            Sweep::None => None,
            Sweep::Denies => Some(Reconciler::new(|_: Operation, _: Connection| async {
                Outcome::failed("whatever was not heard of")
            })),
            Sweep::Repeats => Some(Reconciler::new(
                move |operation: Operation, connection: Connection| async move {
                    sleep(CALM).await;
                    Self::new(again, seed).serve(operation, connection).await
                },
            )),
        }
    }

    /// Does one operation, and tells its caller.
    async fn serve(self, operation: Operation, connection: Connection) -> Outcome {
        let operation = Rc::new(operation);
        let margin = if self.habits.minds_deadline { micros(MARGIN) } else { 0 };
        let left_us = operation.deadline_ms.saturating_mul(1_000).saturating_sub(margin);
        let until_us = if self.habits.minds_deadline {
            self.memory.now_us().saturating_add(left_us)
        } else {
            u64::MAX
        };
        let end = if operation.steps.is_empty() {
            self.once_or_elsewhere(&operation, &connection, until_us).await
        } else {
            (self.all_steps(&operation, &connection, until_us).await, None)
        };
        self.tell(end).await
    }

    async fn tell(&self, (end, provider): (End, Option<&'static str>)) -> Outcome {
        let tells = match &end {
            End::Done(_) => Tells::Success,
            End::Doubt(..) => self.habits.doubt,
            End::Refused(_) | End::Busy(..) | End::Held(_) => self.habits.failure,
        };
        let provider = provider.map(str::to_owned);
        match tells {
            Tells::Success => Outcome { provider, ..Outcome::succeeded() },
            Tells::Failure => Outcome::failed(end.said()),
            Tells::Doubt => Outcome::unknown(end.said()),
            Tells::Nothing => std::future::pending().await,
        }
    }

    /// Does an operation of one request, at the first provider or another.
    async fn once_or_elsewhere(
        &self,
        operation: &Rc<Operation>,
        connection: &Connection,
        until_us: u64,
    ) -> (End, Option<&'static str>) {
        let Some(job) = self.job(operation, connection, &operation.call, until_us) else {
            return (End::Refused(format!("`{}` is no route of mine", operation.call)), None);
        };
        let end = self.persist(&job).await;
        let Some(backup) = connection.provider("backup") else { return (end, None) };
        match (&end, self.habits.fallback) {
            (End::Done(_), _) | (_, Fallback::None) => return (end, Some("primary")),
            (End::Doubt(..), Fallback::OnFailure) => match self.look(&job).await {
                Some(true) => return (End::Done(String::new()), Some("primary")),
                Some(false) => {}
                None => return (end, Some("primary")),
            },
            (_, Fallback::OnDoubt | Fallback::OnFailure) => {}
        }
        let Some(job) = self.job(operation, &backup, &operation.call, until_us) else {
            return (end, None);
        };
        (self.persist(&Job { provider: "backup", ..job }).await, Some("backup"))
    }

    /// Does an operation of several steps.
    async fn all_steps(
        &self,
        operation: &Rc<Operation>,
        connection: &Connection,
        until_us: u64,
    ) -> End {
        let rounds = if self.habits.steps == Steps::Restarts { self.habits.attempts } else { 1 };
        let mut end = End::Held(String::new());
        for _ in 0..rounds {
            let mut done: Vec<(Job, String)> = Vec::new();
            end = End::Done(String::new());
            for step in &operation.steps {
                let Some(mut job) = self.job(operation, connection, &step.call, until_us) else {
                    return End::Refused(format!("`{}` is no route of mine", step.call));
                };
                let before = done.last().map_or("", |(_, id)| id.as_str());
                job.url = job.url.replace("{id}", before);
                end = self.persist(&job).await;
                match &end {
                    End::Done(id) => {
                        // A step that changes what another has made says the same id again.
                        done.push((job, id.clone()));
                    }
                    End::Refused(_) | End::Busy(..) | End::Doubt(..) | End::Held(_) => break,
                }
            }
            if matches!(end, End::Done(_)) {
                return end;
            }
            match self.habits.steps {
                Steps::Leaves | Steps::Restarts => {}
                Steps::Ignores if !done.is_empty() => return End::Done(String::new()),
                Steps::Ignores => {}
                Steps::Compensates => return self.undo(&done, end).await,
            }
        }
        end
    }

    /// Undoes what was done, the latest first.
    async fn undo(&self, done: &[(Job, String)], why: End) -> End {
        for (job, id) in done.iter().rev() {
            let Some((path, field)) = job.route.undone else { continue };
            let url = format!("{}{}", job.connection.url, path.replace("{id}", id));
            let body = field.map_or_else(|| json!({}), |field| json!({field: id}));
            let undoing = Job { url, body, ..job.clone() };
            if !matches!(self.persist(&undoing).await, End::Done(_)) {
                return End::Doubt(format!("{}, and it could not be undone", why.said()), None);
            }
        }
        match why {
            End::Doubt(said, _) | End::Busy(said, _) | End::Refused(said) | End::Held(said) => {
                End::Refused(said)
            }
            End::Done(_) => why,
        }
    }

    fn job(
        &self,
        operation: &Rc<Operation>,
        connection: &Connection,
        call: &str,
        until_us: u64,
    ) -> Option<Job> {
        let route = routes::find(call)?;
        Some(Job {
            operation: Rc::clone(operation),
            connection: connection.clone(),
            provider: "primary",
            route,
            url: format!("{}{}", connection.url, route.path),
            body: routes::body(route, &operation.input),
            until_us,
        })
    }

    /// Tries until it is done, refused for good, or tried often enough.
    async fn persist(&self, job: &Job) -> End {
        let most = self.habits.attempts.saturating_mul(self.habits.layers);
        let mut open: Option<End> = None;
        let mut end = End::Held("it was not sent".to_owned());
        let _place = self.memory.place().await;
        self.memory.begins();
        for attempt in 1..=most {
            if open.is_some() && self.habits.reads != Reads::Never {
                match self.look(job).await {
                    Some(true) => return End::Done(String::new()),
                    Some(false) => open = None,
                    None => return open.unwrap_or(end),
                }
            }
            end = match self.habits.impatient {
                Some(after) if attempt < most => self.race(job, after).await,
                _ => self.once(job).await,
            };
            if matches!(end, End::Done(_)) {
                if self.habits.logs == Logs::Successes {
                    job.connection.log("one more is done");
                }
                return end;
            }
            if matches!(end, End::Doubt(..)) {
                open = Some(end.clone());
            }
            self.log(job, attempt, &end);
            if attempt == most || !self.tries_again(&end) {
                break;
            }
            let wait = self.wait(job, attempt, end.hint());
            if self.memory.now_us().saturating_add(micros(wait)) > job.until_us {
                break;
            }
            sleep(wait).await;
        }
        if open.is_some() && self.habits.reads != Reads::Never && self.look(job).await == Some(true)
        {
            return End::Done(String::new());
        }
        // What may have happened stays possible, whatever the attempts after it were told.
        match end {
            End::Done(_) | End::Refused(_) => end,
            End::Busy(..) | End::Doubt(..) | End::Held(_) => open.unwrap_or(end),
        }
    }

    fn tries_again(&self, end: &End) -> bool {
        let wants = match (self.habits.retries, end) {
            (_, End::Done(_) | End::Held(_)) | (Retries::Nothing, _) => false,
            (Retries::Transient, End::Refused(_)) => false,
            (Retries::Transient, End::Busy(..) | End::Doubt(..)) | (Retries::Everything, _) => true,
        };
        wants && self.memory.may_retry()
    }

    /// One attempt.
    async fn once(&self, job: &Job) -> End {
        let Some(_turn) = self.memory.turn(job.until_us).await else {
            return End::Held("there was no time left to send it".to_owned());
        };
        let mut headers = Self::headers(job);
        let key = self.key(job);
        let mut body = job.body.clone();
        if self.habits.counts_in_body {
            body["try"] = self.memory.number().into();
        }
        if self.habits.logs == Logs::Requests {
            let line = format!("POST {} key {} {}", job.url, job.connection.api_key, job.body);
            job.connection.log(&line);
        }
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let ask = Ask {
            method: Method::POST,
            url: &job.url,
            headers,
            body: Bytes::from(body.to_string()),
            timeout: self.timeout(job),
        };
        let answer = send_over(&job.connection, &ask).await;
        if let Some(wait) = answer.as_ref().ok().and_then(exhausted) {
            self.memory.hold(wait);
        }
        let end = judge(&self.habits, &job.body, answer);
        match &end {
            End::Done(_) | End::Refused(_) => self.memory.succeeded(),
            End::Busy(_, hint) => self.memory.refused(*hint),
            End::Doubt(_, hint) => self.memory.failed(*hint),
            End::Held(_) => {}
        }
        end
    }

    fn headers(job: &Job) -> Vec<(&'static str, String)> {
        vec![
            ("authorization", format!("Bearer {}", job.connection.api_key)),
            ("content-type", "application/json".to_owned()),
        ]
    }

    /// An attempt, and another one beside it when the first is still running after a while.
    async fn race(&self, job: &Job, after: Duration) -> End {
        let mut running = JoinSet::new();
        let start = |running: &mut JoinSet<End>, wait: Duration| {
            let (caller, job) = (self.clone(), job.clone());
            running.spawn_local(async move {
                sleep(wait).await;
                caller.once(&job).await
            });
        };
        start(&mut running, Duration::ZERO);
        start(&mut running, after);
        let mut last = End::Doubt("it was dropped".to_owned(), None);
        while let Some(end) = running.join_next().await {
            match end {
                Ok(end @ End::Done(_)) => return end,
                Ok(end) => last = end,
                Err(_) => {}
            }
        }
        last
    }

    /// True when what the job asks for stands, false when it does not; `None` when nobody says.
    async fn look(&self, job: &Job) -> Option<bool> {
        let (path, field) = job.route.listed?;
        let value = job.operation.input.get(field)?.as_str()?.to_owned();
        let url = format!("{}{path}?{field}={value}", job.connection.url);
        let patience = match self.habits.reads {
            Reads::Patiently(patience) => patience,
            Reads::Never | Reads::BeforeRetry => Duration::ZERO,
        };
        let since_us = self.memory.now_us();
        let mut seen = None;
        for _ in 0..LOOKS {
            let ask = Ask {
                method: Method::GET,
                url: &url,
                headers: Self::headers(job),
                body: Bytes::new(),
                timeout: self.timeout(job),
            };
            let answer = send_over(&job.connection, &ask).await.ok();
            seen = answer.as_ref().and_then(listed).or(seen);
            let asked_us = self.memory.now_us().saturating_sub(since_us);
            let is_over = asked_us >= micros(patience) && (seen.is_some() || asked_us > 10_000_000);
            if seen == Some(true) || is_over || self.memory.now_us() > job.until_us {
                break;
            }
            sleep(LOOK).await;
        }
        seen
    }

    fn timeout(&self, job: &Job) -> Duration {
        let left_us = job.until_us.saturating_sub(self.memory.now_us());
        let timeout = self.habits.timeout.unwrap_or(FOR_EVER);
        if self.habits.minds_deadline {
            timeout.min(Duration::from_micros(left_us))
        } else {
            timeout
        }
    }

    /// The key of an attempt.
    fn key(&self, job: &Job) -> Option<String> {
        let operation = &job.operation;
        let path = job.url.trim_start_matches(&job.connection.url);
        let step = if operation.steps.is_empty() { "" } else { path };
        match self.habits.key {
            Key::None => None,
            Key::Attempt => Some(self.drawn(job, operation.submit, self.memory.number())),
            Key::Submit => Some(self.drawn(job, operation.submit, 0)),
            Key::Operation => Some(format!("{}{step}", operation.id)),
            Key::Fields(names) => {
                let field = |name: &&str| operation.input.get(*name).map(Value::to_string);
                let parts: Vec<String> = names.iter().filter_map(field).collect();
                Some(parts.join("-").replace('"', "") + step)
            }
            Key::Time(step) => Some((self.memory.now_us() / micros(step).max(1)).to_string()),
        }
    }

    /// 32 random characters, the same for the same submit and attempt.
    fn drawn(&self, job: &Job, submit: u32, attempt: u32) -> String {
        let at = Coordinates { attempt, submit, ..self.at(job, attempt) };
        let mut key = String::new();
        RuleKey::new(self.seed, "~keys of a client").draw(&at).push_alphanumeric(32, &mut key);
        key
    }

    fn at<'a>(&self, job: &'a Job, attempt: u32) -> Coordinates<'a> {
        Coordinates {
            provider: job.provider,
            route: job.route.name,
            operation: &job.operation.id,
            submit: job.operation.submit,
            attempt,
        }
    }

    /// How long to wait after an attempt.
    fn wait(&self, job: &Job, attempt: u32, hint: Option<Duration>) -> Duration {
        let nth = (attempt - 1) % self.habits.attempts.max(1);
        let own = match self.habits.wait {
            Wait::None => Duration::ZERO,
            Wait::Fixed(wait) => wait,
            Wait::Growing { first, cap, jitter: Jitter::Decorrelated } => {
                (1..=nth + 1).fold(first, |before, nth| {
                    let spread = before.saturating_mul(3).saturating_sub(first);
                    first.saturating_add(self.drawn_wait(job, nth, spread)).min(cap)
                })
            }
            Wait::Growing { first, cap, jitter } => {
                let least = first.saturating_mul(1 << nth.min(20)).min(cap);
                let (least, most) = match jitter {
                    Jitter::None => (least, Duration::ZERO),
                    Jitter::Upto(most) => (least, most),
                    Jitter::AsMuchAgain => (least, least),
                    Jitter::Full | Jitter::Decorrelated => (Duration::ZERO, least),
                };
                least + self.drawn_wait(job, attempt, most)
            }
        };
        // Who was told to wait spreads out behind the time that all were told.
        hint.map_or(own, |hint| hint.saturating_add(own))
    }

    /// A random time up to this one, the same for the same attempt.
    fn drawn_wait(&self, job: &Job, attempt: u32, most: Duration) -> Duration {
        let at = self.at(job, attempt);
        let mut draw = RuleKey::new(self.seed, "~jitter of a client").draw(&at);
        Duration::from_micros(draw.below(micros(most).saturating_add(1)))
    }

    fn log(&self, job: &Job, attempt: u32, end: &End) {
        if matches!(self.habits.logs, Logs::Failures | Logs::Requests) {
            let line = format!("{} attempt {attempt}: {}", job.operation.id, end.said());
            job.connection.log(&line);
        }
    }
}

impl InProcess for Caller {
    fn start(&self, operation: Operation, connection: Connection) -> Work {
        let client = self.of_tenant(operation.tenant.as_ref());
        Box::pin(client.serve(operation, connection))
    }
}

/// True when a list holds something, false when it is empty.
fn listed(answer: &Reply) -> Option<bool> {
    if answer.status != 200 {
        return None;
    }
    let list: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(!list.get("data")?.as_array()?.is_empty())
}
