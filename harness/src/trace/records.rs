//! What a trace is made of: its operations, requests, answers, effects and claims, each in few bytes.
//!
//! Knows nothing about how they were gathered or what they mean together.
//! **Invariant:** times are microseconds since the start of the run, and `seq` is always the number of
//! an event, by which a violation names its evidence.

use std::ops::Deref;
use std::sync::Arc;

use brownout_provider::event::{
    Claim, ClaimBy, Class, DEADLINE, Digest16, JobState, JobStep, KeyState, MessageState,
    Recognized, Side,
};
use brownout_provider::signature::Flaw;
use serde_json::Value;

use super::{EffectId, Name, OperationId, RequestId};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// `completed`, `interrupted`, or what went wrong.
    pub reason: Name,
    /// By how much a timer of the harness came late at most, in microseconds of the machine; kept only
    /// where the clock went faster.
    pub late_us: u64,
}

/// One operation: what a caller wanted done once.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name, such as `op-0003`.
    pub name: Name,
    /// Which copy of the client it was given to first, from 1; 0 where nobody can say.
    pub copy: u32,
    pub(crate) submits: (u32, u32),
    pub(crate) requests: (u32, u32),
    pub(crate) effects: (u32, u32),
}

impl Operation {
    pub(crate) fn named(name: Name) -> Self {
        Self { name, copy: 1, submits: (0, 0), requests: (0, 0), effects: (0, 0) }
    }
}

/// One submit of an operation, driven or only seen on the wire.
#[derive(Clone, Debug)]
pub struct Submit {
    /// The operation.
    pub operation: OperationId,
    /// Which submit, from 1.
    pub number: u32,
    /// The caller's request; `None` for a submit that was only seen on the wire.
    pub submitted: Option<Submitted>,
    pub(crate) claims: (u32, u32),
}

/// A caller asked for an operation.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// Which copy of the client it was given to, from 1; 0 where whichever of them was free took it.
    pub client: u32,
    /// How long after `at_us` the caller gives up.
    pub deadline_us: u64,
    /// The route that it calls.
    pub call: Name,
    /// The tenant whose operation it is, where there are tenants.
    pub tenant: Option<Name>,
    pub(super) input: Box<str>,
}

impl Submitted {
    /// The input as the client got it.
    #[must_use]
    pub fn input(&self) -> Value {
        serde_json::from_str(&self.input).unwrap_or_default()
    }

    /// The same as text.
    #[must_use]
    pub fn input_text(&self) -> &str {
        &self.input
    }
}

/// A claim about a submit, or the driver's record that none came.
#[derive(Clone, Copy, Debug)]
pub struct ClaimMade {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// What was claimed.
    pub claim: Claim,
    /// By the client, or by the driver for a client that said nothing.
    pub by: ClaimBy,
    /// The client's own words, or the driver's reason.
    pub detail: Option<Name>,
    /// The provider that the client says has served it.
    pub provider: Option<Name>,
    /// True when the client says that it did the work as well as it could, and not as it was asked to.
    pub degraded: bool,
}

impl ClaimMade {
    /// True when the driver wrote it, because the time of the submit was over.
    #[must_use]
    pub fn is_late(&self, trace: &super::Trace) -> bool {
        let begins = |detail| trace.text(detail).starts_with(DEADLINE);
        self.by == ClaimBy::Driver && self.detail.is_some_and(begins)
    }
}

/// One request: an attempt of the client, or a repeat that a fault made.
///
/// What it has in common with others is kept once for all of them, as its [`Shape`], whose fields are read as if
/// they were its own.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) shape: Arc<Shape>,
    /// The event of its arrival.
    pub seq: u32,
    /// When its head had been read.
    pub at_us: u64,
    /// The operation; `None` only without a route.
    pub operation: Option<OperationId>,
    /// Which submit, from 1.
    pub submit: u32,
    /// Which attempt, as the provider counted it.
    pub attempt: u32,
    /// True when it asks a queue for messages, whosever these are: it is no work of its own.
    pub polls: bool,
    /// True when its route removes what it names, as one does that deletes a message.
    pub removes: bool,
    /// The value by which it names an operation, where it was recognised by something stronger and no
    /// input has that value.
    pub names: Option<Name>,
    /// The idempotency key, unquoted.
    pub key: Option<Name>,
    /// The canonical body.
    pub canonical: Digest16,
    /// How large the body was.
    pub body_bytes: u32,
    /// True when the body was never read, so that nobody knows what it was.
    pub body_unread: bool,
    /// Provider, method, path, query, canonical body and credential together, as a number that only compares:
    /// two requests with one `call` ask for the very same thing. Of a million different ones two share their
    /// 64 bits in three of a hundred million such traces, and rules compare the calls of one operation.
    pub call: u64,
    /// The connection's number.
    pub connection: u32,
    /// True when an earlier request was answered on the connection.
    pub reused: bool,
    /// True when method, path, query and every byte of the body are those of the attempt before.
    pub same_bytes: bool,
    /// See [`super::reading`]: a repeat that the client's transport made on its own.
    pub(crate) transport_repeat: bool,
    /// What the idempotency store did with it.
    pub key_state: Option<KeyState>,
    /// True when the provider's own limiter refused it.
    pub limited: bool,
    /// The answer, whole or cut; `None` when not one byte was answered.
    pub response: Option<Response>,
    /// The end of its connection, if that ended under it; apart from it, since few requests have one.
    pub ended: Option<Box<Ended>>,
}

impl Deref for Request {
    type Target = Shape;

    fn deref(&self) -> &Shape {
        &self.shape
    }
}

/// What many requests of a run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// The provider.
    pub provider: Name,
    /// The route; `None` if it matches none.
    pub route: Option<Name>,
    /// How it was assigned to its operation.
    pub recognized: Recognized,
    /// `provider` for a repeat that a fault made, which is no attempt.
    pub by: Side,
    /// The method.
    pub method: Name,
    /// True when the route declares an effect: an *unsafe* request.
    pub effectful: bool,
    /// True when the API gives the route idempotency keys, whatever a fault does.
    pub keyed: bool,
    /// The tenant whose key it shows, where the scenario has tenants.
    pub tenant: Option<Name>,
    /// The digest of the credential, as a text that only compares.
    pub auth: Option<Name>,
    /// Which copy of the client sent it, from 1, where the request itself says so.
    pub client: Option<u32>,
    /// True when it carries `Expect`.
    pub expects: bool,
}

/// An answer, whole or cut.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// The event.
    pub seq: u32,
    /// The status.
    pub status: u16,
    /// What the API's classes say of it.
    pub class: Class,
    /// The moment before the head was written.
    pub head_at_us: u64,
    /// The moment before the byte that completed it was written, or the moment it was cut.
    pub end_at_us: u64,
    /// True when it was delivered whole.
    pub complete: bool,
    /// Why a client must not take it for a success, where that is so.
    pub unusable: Option<Name>,
    /// The rule whose fault made it; `None` for the provider's own answer.
    pub rule: Option<Name>,
    /// True when it came out of the idempotency store.
    pub replayed: bool,
    /// A should-retry header, where it had one.
    pub should_retry: Option<bool>,
    /// True when it refuses only the key, not the content.
    pub refuses_key: bool,
}

/// The end of a connection under a request.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// Who ended it.
    pub by: Side,
    /// `fin`, `rst`, `stall` or `bad_request`.
    pub how: Name,
}

/// The neighbours of an attempt in its count per operation, submit, provider and route.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) previous: Option<RequestId>,
    pub(crate) next: Option<RequestId>,
}

/// A rule injected its fault.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// The event.
    pub seq: u32,
    /// The request it struck; `None` when the trace does not hold that request, or there was none yet (at
    /// the door).
    pub request: Option<RequestId>,
    /// The provider.
    pub provider: Name,
    /// The rule.
    pub rule: Name,
    /// The fault.
    pub fault: Name,
    /// Where in the life of the request it struck.
    pub at: Option<Name>,
    /// What was injected, in a few words.
    pub detail: Option<Name>,
    /// True when it stands in the drawn schedule.
    pub scheduled: bool,
    /// The place after that of what it struck in the list of messages and events; 0 where it struck none.
    pub(crate) delivered: u32,
}

/// A message of a queue that was to be handed out, or an event that was to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// When it was struck.
    pub at_us: u64,
    /// Its operation.
    pub operation: OperationId,
    /// The route that hands it out, or as whose work it is told of.
    pub route: Name,
    /// Which submit.
    pub submit: u32,
    /// The how-manieth time that it is handed out, from 1.
    pub attempt: u32,
}

/// A retry hint in an answer.
#[derive(Clone, Debug)]
pub struct Hint {
    /// The request that was answered.
    pub request: RequestId,
    /// A header's name in lower case, or `body:` and a JSON pointer.
    pub source: Name,
    /// The text as written, unless it depends on the wall clock.
    pub text: Option<Name>,
    /// The wait it asks for; `None` for a malformed one.
    pub wait_us: Option<u64>,
    /// For a date or an epoch: the instant written.
    pub until_us: Option<i64>,
}

/// What one rule drew at one request.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The request.
    pub request: RequestId,
    /// The rule.
    pub rule: Name,
    /// The fault.
    pub fault: Name,
}

/// A side effect that the provider committed.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// The request that caused it, where the trace holds it.
    pub request: Option<RequestId>,
    /// The provider.
    pub provider: Name,
    /// The operation.
    pub operation: OperationId,
    /// Which submit.
    pub submit: u32,
    /// The kind that the API declares.
    pub kind: Name,
    /// What it is about, where one request makes several.
    pub subject: Option<Name>,
    /// How much, in the smallest unit; 0 where the API names no amount.
    pub amount: i64,
    /// The unit.
    pub unit: Option<Name>,
    /// True when the API marks the kind as billed.
    pub billed: bool,
    /// The checksum of what was kept, in hexadecimal.
    pub digest: Option<Name>,
    /// `provider` when a fault's repeat caused it.
    pub by: Side,
    /// True when a usable answer to its own operation told the client of it.
    pub told: bool,
    /// How much of it was undone, in its unit, while it still stands.
    pub undone: i64,
    /// How the last of it was undone.
    pub reversed: Option<Reversal>,
}

impl Effect {
    /// True while it, or some of it, has not been undone.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.reversed.is_none()
    }

    /// How much of it has not been undone, in the smallest unit.
    #[must_use]
    pub fn left(&self) -> i64 {
        if self.is_live() { self.amount.saturating_sub(self.undone) } else { 0 }
    }
}

/// A part of an effect was undone, and the rest stood.
#[derive(Clone, Copy, Debug)]
pub struct PartUndone {
    /// The effect.
    pub effect: EffectId,
    /// How much of it, in its unit.
    pub amount: i64,
    /// When and by whom.
    pub reversal: Reversal,
}

/// A message of a queue was handed out, deleted, or put with the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// The operation that the message is, or the one that sent it.
    pub operation: OperationId,
    /// Which submit.
    pub submit: u32,
    /// The message's id.
    pub message: Name,
    /// How often it has been handed out by now.
    pub receives: u32,
    /// What happened.
    pub state: MessageState,
    /// True when a fault made it such that nobody can handle it.
    pub poisoned: bool,
}

/// A webhook that was sent, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The event.
    pub seq: u32,
    /// When it was sent.
    pub at_us: u64,
    /// The provider.
    pub provider: Name,
    /// The delivery.
    pub delivery: u64,
    /// The id of the event that it tells of, the same over all deliveries.
    pub event: Name,
    /// The type of that event.
    pub kind: Name,
    /// The how-manieth time of this delivery it is, from 1.
    pub attempt: u32,
    /// The operation that it tells of.
    pub operation: OperationId,
    /// What was wrong with it.
    pub flaw: Option<Flaw>,
    /// The answer's event, when it came, and its status; `None` where the trace holds none.
    pub answer: Option<(u32, u64, Option<u16>)>,
    /// True when it is to be sent once more after that.
    pub again: bool,
}

/// An effect was undone.
#[derive(Clone, Copy, Debug)]
pub struct Reversal {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// The operation whose request did it.
    pub operation: OperationId,
}

/// So many characters of a line are shown.
const SHOWN: usize = 400;

/// A line of the client's output.
#[derive(Clone, Debug)]
pub struct Output {
    /// The event.
    pub seq: u32,
    /// `stdout`, `stderr` or `log`.
    pub stream: Name,
    /// The operation, where the process or task belongs to one.
    pub operation: Option<OperationId>,
    /// The text, with every secret replaced by its mark.
    pub text: Box<str>,
    /// The marks in it: `api_key:plain`, `api_key:base64`, …
    pub secrets: Box<[Name]>,
}

/// What the client wrote, as it is shown to people: without blanks around it, cut to a length that they read.
#[must_use]
pub(crate) fn in_short(text: &str) -> String {
    text.trim().chars().take(SHOWN).collect()
}

/// The client tried to reach something other than the mock.
#[derive(Clone, Debug)]
pub struct Stray {
    /// The event.
    pub seq: u32,
    /// The host.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// True when an API file, shipped or the scenario's own, names the host.
    pub named: bool,
    /// True when it was let through on purpose.
    pub allowed: bool,
}

/// A process (or, in process, a copy) of the client started.
#[derive(Clone, Copy, Debug)]
pub struct ClientRun {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// The copy of the client, from 1.
    pub client: u32,
    /// The operation, in exec mode.
    pub operation: Option<OperationId>,
}

/// A process of the client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientEnd {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// True when the harness ended it.
    pub killed: bool,
    /// The operation, in exec mode.
    pub operation: Option<OperationId>,
}

/// A time in which the client stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it stopped, in microseconds since the start of the run.
    pub from_us: u64,
    /// When it went on.
    pub to_us: u64,
    /// The operation whose program it was, in exec mode.
    pub operation: Option<OperationId>,
}

/// Bytes that the mock refused before they were a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The event.
    pub seq: u32,
    /// Why.
    pub why: Refusal,
}

/// Why bytes were refused before they were a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They were no HTTP (400).
    NoHttp,
    /// The body was larger than the mock reads (413).
    TooLarge,
}

/// A piece of a file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceSeen {
    /// The event.
    pub seq: u32,
    /// The request.
    pub request: RequestId,
    /// The id of the upload.
    pub upload: Name,
    /// From which byte of the file on it goes; `None` for a question.
    pub from: Option<u64>,
    /// How many bytes are said to be there now; `None` for a piece that was refused.
    pub stored: Option<u64>,
    /// How large the file is, as far as that was said.
    pub size: Option<u64>,
    /// True when all of it is there.
    pub whole: bool,
}

/// A job began, changed, or was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// The event.
    pub seq: u32,
    /// When.
    pub at_us: u64,
    /// The request that looked at it; else the one that began it.
    pub request: RequestId,
    /// The id of the job.
    pub job: Name,
    /// What happened.
    pub step: JobStep,
    /// How far it is now.
    pub state: JobState,
}

/// What the trace shows of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteSeen {
    pub(crate) provider: Name,
    pub(crate) route: Name,
    pub(crate) effectful: bool,
    pub(crate) reverses: bool,
}
