//! The events of a trace: everything that invariants and reports ever see.
//!
//! A trace is JSON Lines, one event a line. This module is the format; it decides nothing.
//! **Invariant:** a verdict reads nothing but these events, so whatever an invariant needs stands here.

mod client;
mod digest;
mod line;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::{ClientStrike, Settled};

pub use client::{
    Claim, ClaimBy, ClientEnded, ClientOutput, ClientPaused, ClientStarted, HARNESS,
    OperationFinished,
};
pub use digest::Digest16;

/// The version of the trace format, in every `run_started`.
pub const TRACE_VERSION: u32 = 1;

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The line's number in its trace, from 1; 0 until the recorder has numbered it.
    #[serde(default)]
    pub seq: u64,
    /// Microseconds since the start of the run.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event that the recorder has still to number.
    #[must_use]
    pub fn new(at_us: u64, kind: EventKind) -> Self {
        Self { seq: 0, at_us, kind }
    }
}

/// Where events go: the recorder of a run, or a test's list.
///
/// Called by whoever makes events (the shell after each call into the provider, the driver), from the
/// thread of the run; the order of the calls is the order of the trace.
pub trait Sink: Send + Sync {
    /// Takes events that belong together, in order; it never blocks for long and never fails.
    fn record(&self, events: Vec<Event>);

    /// The client that sent a request is to be struck, as the event says that has been recorded.
    fn strike_client(&self, strike: ClientStrike) {
        let _ = strike;
    }

    /// An operation that was a message or an event is settled; the event that says so has been recorded.
    fn settle(&self, settled: Settled) {
        let _ = settled;
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is documented at its payload")]
pub enum EventKind {
    RunStarted(Box<RunStarted>),
    OperationSubmitted(OperationSubmitted),
    RequestReceived(Box<RequestReceived>),
    FaultInjected(FaultInjected),
    RateLimited(RateLimited),
    Idempotency(Idempotency),
    EffectCommitted(EffectCommitted),
    EffectReversed(EffectReversed),
    MessageMoved(MessageMoved),
    ResponseSent(Box<ResponseSent>),
    ConnectionEnded(ConnectionEnded),
    OperationFinished(OperationFinished),
    ClientOutput(ClientOutput),
    ClientStarted(ClientStarted),
    ClientEnded(ClientEnded),
    ClientPaused(ClientPaused),
    Job(Job),
    UploadPiece(UploadPiece),
    WebhookSent(WebhookSent),
    WebhookAnswered(WebhookAnswered),
    StrayRequest(StrayRequest),
    RunFinished(RunFinished),
}

/// The first event: everything needed to judge the run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`TRACE_VERSION`].
    pub version: u32,
    /// The version of brownout that wrote the trace.
    pub brownout: String,
    /// The scenario as JSON, with what the command line changed already applied.
    pub scenario: Arc<Value>,
    /// The API documents that the scenario names, as JSON, by the name used in the scenario.
    pub apis: BTreeMap<String, Arc<Value>>,
    /// The scenario's file, as the user wrote it, or a word for one built in code.
    pub file: String,
    /// The seed of this run.
    pub seed: u64,
    /// `main` or `control`.
    pub run: RunKind,
    /// How the client was driven.
    pub mode: Mode,
    /// Which clock the run went by.
    pub clock: ClockKind,
    /// How many times as fast as the machine's clock the real clock of this run went; 1 when left out.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub speed: u32,
    /// The command of the client under test, empty for one in process.
    #[serde(default)]
    pub command: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether a run is judged or only shows that the client works in fair weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The run that is judged.
    Main,
    /// The client in fair weather.
    Control,
}

/// How a client under test is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One long-lived process that reads operations from its standard input.
    Stdio,
    /// One process per operation.
    Exec,
    /// One command that does what it likes; operations are those seen on the wire.
    Suite,
    /// A service.
    Http,
    /// A closure in this process.
    InProcess,
    /// Nobody is driven: the provider alone.
    Serve,
}

/// Which clock a run goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockKind {
    /// The machine's clock.
    Real,
    /// A paused clock that jumps from event to event.
    Virtual,
}

/// The caller asked for an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationSubmitted {
    /// The operation's name.
    pub operation: Arc<str>,
    /// Which submit, from 1.
    pub submit: u32,
    /// The operation's number, from 1.
    pub n: u64,
    /// Which copy of the client it is for, from 1; 0 where whichever of them is free takes it.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub client: u32,
    /// The route that the operation calls.
    pub call: Arc<str>,
    /// The tenant whose operation it is, where the scenario has tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The input, rendered.
    pub input: Value,
    /// When the caller gives up, in microseconds after this event.
    pub deadline_us: u64,
}

/// A message of a queue was handed out, deleted, or put with the dead letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageMoved {
    /// The request that did it.
    pub request: u64,
    /// The provider.
    pub provider: Arc<str>,
    /// The operation that the message is, or the one that sent it.
    pub operation: Arc<str>,
    /// Which submit.
    #[serde(default = "one")]
    pub submit: u32,
    /// The message's id.
    pub message: Arc<str>,
    /// How often it has been handed out by now.
    pub receives: u32,
    /// What happened.
    pub state: MessageState,
    /// True when a fault made it such that nobody can handle it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub poisoned: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It was handed out.
    Received,
    /// Whoever received it deleted it.
    Deleted,
    /// It was handed out as often as is allowed, and is a dead letter.
    Dead,
}

/// How a request was assigned to an operation, strongest first: the first way that applies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recognized {
    /// By the token in the base URL.
    Url,
    /// By the token in the API key.
    ApiKey,
    /// By the extractor of scenario or API.
    Extractor,
    /// By an object that an earlier effect of the operation created.
    Object,
    /// By what the API's SDK says of itself.
    Sdk,
    /// It joined an operation by its fingerprint alone: a guess.
    Guess,
    /// Nothing said which operation it belongs to and it joined none: an operation of its own. That it
    /// *is* another operation is a guess as well.
    New,
    /// It matches no route, so it belongs to no operation.
    Unrouted,
}

/// The head of a request had been read at `at_us`, and its body soon after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestReceived {
    /// The request's number, unique within its provider. Other events name the request by it.
    pub request: u64,
    /// The provider's name.
    pub provider: Arc<str>,
    /// The route, or `None` if the path and method match none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// The operation; `None` only without a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
    /// Which submit, from 1.
    #[serde(default = "one")]
    pub submit: u32,
    /// Which attempt, from 1 per operation, submit, provider and route.
    #[serde(default = "one")]
    pub attempt: u32,
    /// How it was recognised.
    pub recognized: Recognized,
    /// `client`, or `provider` for a repeat that a fault made (which is no attempt).
    #[serde(default, skip_serializing_if = "Side::is_client")]
    pub by: Side,
    /// The method.
    pub method: Arc<str>,
    /// Path and query, without the operation token.
    pub path: Arc<str>,
    /// True when the route declares an effect.
    #[serde(default, rename = "unsafe", skip_serializing_if = "is_false")]
    pub effectful: bool,
    /// True when the API gives the route idempotency keys, whatever a fault does.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keyed: bool,
    /// Headers worth keeping (user agent, content type, the SDK's own counters), never a credential.
    #[serde(default, with = "as_object", skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The body's size in bytes.
    #[serde(default)]
    pub body_bytes: u64,
    /// True when a fault at `accept` struck and the body was never read: then the digests are those of no
    /// body at all, and say nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub body_unread: bool,
    /// The first 16 bytes of the body's SHA-256, in hexadecimal.
    #[serde(default)]
    pub body_digest: Digest16,
    /// The same over the canonical body (sorted keys, no white space, volatile fields left out).
    #[serde(default)]
    pub canonical_digest: Digest16,
    /// The same over the credential (the `Authorization` header, or what the API uses for it) without any
    /// token of an operation behind it; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_digest: Option<Digest16>,
    /// The value by which its body or query names an operation, where it was recognised by something
    /// stronger and no input has that value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Arc<str>>,
    /// The idempotency key, unquoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
    /// The tenant, where the scenario has tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The copy of the client that sent it, from 1, where the address or the key that it used says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<u32>,
    /// The connection's number, from 1.
    #[serde(default)]
    pub connection: u64,
    /// True when an earlier request was answered on the connection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reused: bool,
    /// What the rules that depend on coordinates alone drew here, also where another rule took the
    /// ending: `[rule, fault]`. The hash of the drawn schedule is made of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drawn: Vec<(Arc<str>, Arc<str>)>,
}

/// Client or provider: who did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The client under test.
    #[default]
    Client,
    /// The provider (or a gateway before it).
    Provider,
}

impl Side {
    /// True for the client.
    #[must_use]
    pub fn is_client(&self) -> bool {
        matches!(self, Self::Client)
    }
}

/// A rule injected its fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultInjected {
    /// The request it struck; 0 for what strikes at the door, before there is one.
    pub request: u64,
    /// The provider.
    pub provider: Arc<str>,
    /// The operation of that request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Arc<str>>,
    /// The rule's name.
    pub rule: Arc<str>,
    /// The fault's name.
    pub fault: Arc<str>,
    /// Where in the life of the request it struck: `accept`, `before_commit`, `after_commit`,
    /// `mid_body`, `throttling`, `head`, `chunk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Arc<str>>,
    /// True when the strike stands in the drawn schedule.
    #[serde(default)]
    pub scheduled: bool,
    /// Set where it struck no request but a message that was to be handed out, or an event that was to be told
    /// of: its coordinates beside provider and operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// What was drawn or injected, in a few words for people: `503`, `+120 ms`, `html_page`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The coordinates of a message or an event that a fault struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The route that hands the message out, or as whose work the event is told of.
    pub route: Arc<str>,
    /// Which submit of its operation.
    pub submit: u32,
    /// The how-manieth time that the message is handed out, from 1; 1 for an event.
    pub attempt: u32,
}

/// The provider's own limiter refused a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateLimited {
    /// The provider; empty in a trace of an earlier version.
    #[serde(default)]
    pub provider: Arc<str>,
    /// The request.
    pub request: u64,
    /// What shares the limit: `api_key`, `global`, `route`.
    pub scope: Arc<str>,
    /// The limit's size.
    pub limit: u64,
    /// How long until the next request would pass, in microseconds.
    pub retry_after_us: u64,
}

/// What the idempotency store did with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The provider; empty in a trace of an earlier version.
    #[serde(default)]
    pub provider: Arc<str>,
    /// The request.
    pub request: u64,
    /// The key.
    pub key: Arc<str>,
    /// What happened.
    pub state: KeyState,
    /// The request that first brought the key, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_request: Option<u64>,
}

/// What became of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// The provider's own answer now stands under the key.
    Stored,
    /// The stored answer was given again.
    Replayed,
    /// The key came with another body.
    Mismatch,
    /// The first request with the key is still in progress.
    InFlight,
    /// A fault made the provider overlook the key.
    Ignored,
    /// The key had been forgotten by age.
    Expired,
}

/// The provider committed a side effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectCommitted {
    /// The effect's number, unique within its provider, from 1.
    pub effect: u64,
    /// The request that caused it.
    pub request: u64,
    /// The provider.
    pub provider: Arc<str>,
    /// The operation.
    pub operation: Arc<str>,
    /// Which submit.
    #[serde(default = "one")]
    pub submit: u32,
    /// The kind that the API declares: `charge`, `generation`, …
    pub kind: Arc<str>,
    /// What it is about, where one request makes several: a line of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Arc<str>>,
    /// How much, in the smallest unit (cents, tokens).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// The unit: a currency in lower case, or the API's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
    /// True when the API marks the kind as billed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub billed: bool,
    /// The first half of the SHA-256 of what was kept, where the API says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest16>,
    /// The id of the object that stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Arc<str>>,
    /// `provider` when a fault's repeat of a request caused it.
    #[serde(default, skip_serializing_if = "Side::is_client")]
    pub by: Side,
}

/// An effect was undone, or a part of it (a refund, a void).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectReversed {
    /// The effect.
    pub effect: u64,
    /// How much of it, in its unit: it stands until all of it is undone. Without an amount, all that was
    /// left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// The request that undid it.
    pub request: u64,
    /// The provider.
    pub provider: Arc<str>,
    /// The operation of that request.
    pub operation: Arc<str>,
}

/// What an answer tells the client to do, in the API's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// 1xx.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirect,
    /// Come back later.
    Throttling,
    /// Something went wrong that may heal.
    Transient,
    /// The same request will never succeed.
    Permanent,
}

impl Class {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Success => "success",
            Self::Redirect => "redirect",
            Self::Throttling => "throttling",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

/// A retry hint as it stood in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Where it stood: a header's name in lower case, or `body:` and a JSON pointer.
    pub source: Arc<str>,
    /// The text as written. Left out where it depends on the wall clock (dates, epochs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How long it asks the client to wait, in microseconds, if it is well-formed in this spelling of
    /// the API's dialect; a wait of zero is well-formed. `None` for a malformed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_us: Option<u64>,
    /// For a date or an epoch: the instant written, in microseconds since the start of the run
    /// (negative: before it). Judged against this, less one second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<i64>,
}

/// An answer is over: complete, or cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseSent {
    /// The request it answers.
    pub request: u64,
    /// The provider.
    pub provider: Arc<str>,
    /// The status.
    pub status: u16,
    /// What the API's classes say of it.
    pub class: Class,
    /// Every retry hint in it, the obeyed ones and the broken ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
    /// The moment before the head was written.
    pub head_at_us: u64,
    /// The moment before the byte that completed the answer was written, or the moment it was cut.
    pub end_at_us: u64,
    /// True when it was delivered whole.
    pub complete: bool,
    /// `None` when the answer is usable or is no success at all; else why a client must not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Bytes of the body that were written.
    #[serde(default)]
    pub body_bytes: u64,
    /// The rule whose fault made this answer; `None` for the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Arc<str>>,
    /// True when it came out of the idempotency store.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replayed: bool,
    /// A should-retry header, where the answer had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub should_retry: Option<bool>,
    /// True for an answer that refuses only the key (used before with another body, or too long), not
    /// the content.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refuses_key: bool,
    /// Where the provider's own answer says that nothing is left of a limit: until when, in microseconds
    /// since the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_until_us: Option<u64>,
    /// Where the mock could not make the answer that its API file describes, because it would be larger than it
    /// makes any: why. No provider answers what it answers then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmade: Option<Arc<str>>,
    /// The effects that a whole and usable answer tells of: the one committed, replayed, or read back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<u64>,
}

/// A connection ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionEnded {
    /// The provider.
    pub provider: Arc<str>,
    /// The connection's number.
    pub connection: u64,
    /// The request that went down with it; `None` when none was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// Who ended it.
    pub by: Side,
    /// `fin`, `rst`, `stall`, `bad_request` for bytes that were no HTTP, or `too_large` for a body larger
    /// than is read.
    pub how: Arc<str>,
}

/// A job began, changed, or was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The provider.
    pub provider: Arc<str>,
    /// The request that looked at it; else the one that began it.
    pub request: u64,
    /// The operation of that request.
    pub operation: Arc<str>,
    /// Its submit, from 1.
    #[serde(default = "one")]
    pub submit: u32,
    /// The id of the job.
    pub job: Arc<str>,
    /// What happened.
    pub step: JobStep,
    /// How far it is now.
    pub state: JobState,
}

/// A piece of a file came, or a question how much of it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadPiece {
    /// The provider.
    pub provider: Arc<str>,
    /// The request.
    pub request: u64,
    /// Its operation.
    pub operation: Arc<str>,
    /// The id of the upload.
    pub upload: Arc<str>,
    /// From which byte of the file on the piece goes; left out for a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// How many bytes are said to be there now; left out for a piece that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<u64>,
    /// How large the file is, as far as that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// True when all of it is there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub whole: bool,
}

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStep {
    /// It was accepted.
    Accepted,
    /// It is in another state.
    Changed,
    /// Somebody looked at it.
    Polled,
}

/// How far a job is, whatever its API calls that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It has not begun to run.
    Pending,
    /// It runs.
    Running,
    /// It is done.
    Succeeded,
    /// It failed.
    Failed,
    /// It was stopped.
    Canceled,
    /// Nobody knows it any more.
    Gone,
}

impl JobState {
    /// True when an honest provider does nothing more about it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// The provider sent a webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookSent {
    /// The provider.
    pub provider: Arc<str>,
    /// The delivery's number, unique within its provider, from 1: several may tell of one event.
    pub delivery: u64,
    /// The event's id, the same in all deliveries of it.
    pub webhook: Arc<str>,
    /// Its type: `charge.succeeded`.
    pub kind: Arc<str>,
    /// The operation that brought it about.
    pub operation: Arc<str>,
    /// Its submit, from 1.
    #[serde(default = "one")]
    pub submit: u32,
    /// Which time this delivery is sent, from 1.
    #[serde(default = "one")]
    pub attempt: u32,
    /// What is wrong with it, where a fault made it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<crate::signature::Flaw>,
}

/// A webhook was answered, or was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookAnswered {
    /// The provider.
    pub provider: Arc<str>,
    /// The delivery.
    pub delivery: u64,
    /// The status; `None` where no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why no answer came.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// True when it will be sent again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub again: bool,
}

/// The client tried to reach something other than the mock, and the trap answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrayRequest {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// True when an API file, shipped or the scenario's own, names the host: the client called the real
    /// thing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub named: bool,
    /// True when `--allow-network` let it through.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allowed: bool,
}

/// How the detail of what a driver writes begins, when the time of a submit was over.
pub const DEADLINE: &str = "deadline";

/// The last event of a run that ended in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// `completed`, `interrupted`, or what went wrong.
    pub reason: Arc<str>,
    /// On a clock that goes faster than the machine's: by how much a timer of the harness came late at
    /// most, in microseconds of the machine.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_us: u64,
}

/// Names and values as a JSON object: every request has them, and a list is made quicker than a map.
mod as_object {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        pairs: &[(String, String)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, String)>, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

fn one() -> u32 {
    1
}

fn is_false(value: &bool) -> bool {
    !*value
}
