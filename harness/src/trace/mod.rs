//! A trace in compact form, as invariants read it.
//!
//! [`build::TraceBuilder`] makes it, fed event by event by the recorder while a run goes on or by
//! [`read`] from a file. Texts are interned, digests take sixteen bytes, and a request with its answer
//! takes a few hundred bytes, so that a long run can be judged in memory.
//! What several invariants mean by the same word (a retry, a wait, an ambiguous end, …) stands in
//! [`reading`] and [`retries`], each word in one place. This module knows nothing about invariants.
//! **Invariant:** a trace never changes after it is built, and everything in it comes from the events.

pub mod build;
pub mod claims;
pub mod identity;
mod lines;
pub mod money;
pub mod names;
mod numbered;
pub mod outage;
pub mod provider;
pub mod read;
pub mod reading;
mod records;
pub mod regroup;
pub mod retries;
mod submits;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod work;

use std::num::NonZeroU32;

use brownout_provider::event::{ClockKind, HARNESS, Mode, RunStarted};

pub use claims::Delivers;
pub use names::{Name, Names};
pub use records::{
    ClaimMade, ClientEnd, ClientRun, Delivered, Drawn, Effect, Ended, Hint, JobSeen, Message,
    Operation, Output, PartUndone, Pause, PieceSeen, Refusal, Refused, Request, Response, Reversal,
    RunEnd, Shape, Stray, Strike, Submit, Submitted, Webhook,
};
pub(crate) use records::{Neighbours, RouteSeen, in_short};

/// The place of a request in [`Trace::requests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(Place);

/// The place of an operation in [`Trace::operations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(Place);

/// The place of a submit in [`Trace::submits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubmitId(Place);

/// The place of an effect in [`Trace::effects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectId(Place);

/// A place in a list, from 0; four bytes also as an `Option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(NonZeroU32);

impl Place {
    fn new(number: u32) -> Self {
        let next = number.checked_add(1).and_then(NonZeroU32::new);
        Self(next.expect("a trace has fewer than 2^32 of anything"))
    }

    /// All places, in order.
    fn all() -> impl Iterator<Item = Self> {
        (0..).map(Self::new)
    }
}

impl From<Place> for u32 {
    fn from(place: Place) -> Self {
        place.0.get() - 1
    }
}

/// A run, ready to be judged. Times are microseconds since the start of the run, and `seq` is always
/// the number of an event, by which a violation names its evidence.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The first event: scenario, APIs, seed, mode, clock.
    pub run: Box<RunStarted>,
    /// How the run ended; `None` when its last event is missing.
    pub end: Option<RunEnd>,
    /// The latest time of any event.
    pub last_at_us: u64,
    /// The latest time of any event but the end of the run, before which it waits for what may still come.
    pub busy_until_us: u64,
    /// The latest time of any strike; 0 without one.
    pub(crate) last_strike_at_us: u64,
    /// Why reading a file stopped before its end, in a sentence for people.
    pub cut: Option<String>,
    /// Numbers of events that a file left out, each from its first to its last.
    pub missing: Vec<(u64, u64)>,
    pub(crate) names: Names,
    pub(crate) operations: Vec<Operation>,
    pub(crate) submits: Vec<Submit>,
    pub(crate) claims: Vec<ClaimMade>,
    pub(crate) requests: Vec<Request>,
    pub(crate) by_operation: Vec<RequestId>,
    pub(crate) chain: Vec<Neighbours>,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) delivered: Vec<Delivered>,
    pub(crate) hints: Vec<Hint>,
    /// Where an answer said that nothing was left of a limit: until when, by request.
    pub(crate) exhausted: Vec<(RequestId, u64)>,
    /// Which answers the mock did not make as its API file describes them, and why.
    pub(crate) unmade: Vec<(RequestId, Name)>,
    pub(crate) drawn: Vec<Drawn>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) messages: Vec<Message>,
    pub(crate) webhooks: Vec<Webhook>,
    pub(crate) effects_by_operation: Vec<EffectId>,
    pub(crate) tells: Vec<(RequestId, EffectId)>,
    pub(crate) parts_undone: Vec<PartUndone>,
    /// Which operation undid an effect, or a part of one, of which: (who undid, whose effect), sorted.
    pub(crate) reversals: Vec<(OperationId, OperationId)>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) lines_not_kept: u64,
    pub(crate) strays: Vec<Stray>,
    pub(crate) clients: Vec<ClientRun>,
    pub(crate) copies: u32,
    pub(crate) client_ends: Vec<ClientEnd>,
    /// Of which operations a webhook told the client that heard it, and when: (operation, when), sorted.
    pub(crate) heard: Vec<(OperationId, u64)>,
    pub(crate) pauses: Vec<Pause>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) jobs: Vec<JobSeen>,
    pub(crate) pieces: Vec<PieceSeen>,
    pub(crate) routes: Vec<RouteSeen>,
}

impl Trace {
    /// The text of a name.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        self.names.text(name)
    }

    /// The name of a text, if the trace holds it.
    #[must_use]
    pub fn name(&self, text: &str) -> Option<Name> {
        self.names.find(text)
    }

    /// All operations, in the order in which they first appear.
    pub fn operations(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        Place::all().map(OperationId).zip(&self.operations)
    }

    /// One operation.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> &Operation {
        &self.operations[place(id.0)]
    }

    /// An operation's name as text.
    #[must_use]
    pub fn operation_name(&self, id: OperationId) -> &str {
        self.text(self.operation(id).name)
    }

    /// The operation of that name.
    #[must_use]
    pub fn find_operation(&self, name: &str) -> Option<OperationId> {
        let name = self.name(name)?;
        self.operations().find(|(_, operation)| operation.name == name).map(|(id, _)| id)
    }

    /// All submits, by operation and number.
    pub fn submits(&self) -> impl Iterator<Item = (SubmitId, &Submit)> {
        Place::all().map(SubmitId).zip(&self.submits)
    }

    /// The submits of an operation.
    pub fn submits_of(&self, id: OperationId) -> impl Iterator<Item = (SubmitId, &Submit)> {
        let (from, to) = self.operation(id).submits;
        (from..to).map(Place::new).map(SubmitId).zip(&self.submits[place(from)..place(to)])
    }

    /// The claims about a submit, in order, the client's and the driver's.
    #[must_use]
    pub fn claims(&self, submit: &Submit) -> &[ClaimMade] {
        &self.claims[place(submit.claims.0)..place(submit.claims.1)]
    }

    /// All requests, in the order in which they arrived, those that a fault made included.
    pub fn requests(&self) -> impl Iterator<Item = (RequestId, &Request)> {
        Place::all().map(RequestId).zip(&self.requests)
    }

    /// One request.
    #[must_use]
    pub fn request(&self, id: RequestId) -> &Request {
        &self.requests[place(id.0)]
    }

    /// The requests of an operation, in the order in which they arrived, those that a fault made
    /// included.
    pub fn requests_of(
        &self,
        id: OperationId,
    ) -> impl DoubleEndedIterator<Item = (RequestId, &Request)> {
        let (from, to) = self.operation(id).requests;
        self.by_operation[place(from)..place(to)].iter().map(|id| (*id, self.request(*id)))
    }

    /// The attempts of an operation: its requests without those that a fault made.
    pub fn attempts_of(
        &self,
        id: OperationId,
    ) -> impl DoubleEndedIterator<Item = (RequestId, &Request)> {
        self.requests_of(id).filter(|(_, request)| request.by.is_client())
    }

    /// When the caller of a submit gives up; `None` for one that nobody made. In exec mode its time
    /// begins with the program's first request, so that a slow start is not held against it.
    #[must_use]
    pub fn gives_up_at_us(&self, submit: &Submit) -> Option<u64> {
        let submitted = submit.submitted.as_ref()?;
        let its = |request: &Request| request.submit == submit.number;
        let first = (self.mode() == Mode::Exec)
            .then(|| self.attempts_of(submit.operation).find(|(_, request)| its(request)))
            .flatten();
        let since_us = first.map_or(0, |(_, request)| request.at_us).max(submitted.at_us);
        Some(self.awake_until(submit.operation, since_us, submitted.deadline_us))
    }

    /// The attempt before this one of the same operation, submit, provider and route.
    #[must_use]
    pub fn previous(&self, id: RequestId) -> Option<RequestId> {
        self.chain[place(id.0)].previous
    }

    /// The attempt after this one of the same operation, submit, provider and route.
    #[must_use]
    pub fn next(&self, id: RequestId) -> Option<RequestId> {
        self.chain[place(id.0)].next
    }

    /// The attempts per operation, submit, provider and route, each list in order of arrival.
    pub fn chains(&self) -> impl Iterator<Item = Vec<RequestId>> {
        self.requests()
            .filter(|(id, request)| {
                request.by.is_client()
                    && request.operation.is_some()
                    && self.previous(*id).is_none()
            })
            .map(|(first, _)| std::iter::successors(Some(first), |id| self.next(*id)).collect())
    }

    /// All strikes, by request.
    #[must_use]
    pub fn strikes(&self) -> &[Strike] {
        &self.strikes
    }

    /// The message or the event that was struck, where it was no request.
    #[must_use]
    pub fn delivered(&self, strike: &Strike) -> Option<Delivered> {
        self.delivered.get(place(strike.delivered.checked_sub(1)?)).copied()
    }

    /// The latest time at which a fault struck; 0 where none did.
    #[must_use]
    pub fn last_strike_at_us(&self) -> u64 {
        self.last_strike_at_us
    }

    /// The strikes at a request, in order.
    #[must_use]
    pub fn strikes_at(&self, id: RequestId) -> &[Strike] {
        run_of(&self.strikes, |strike| strike.request, Some(id))
    }

    /// The retry hints in the answer to a request.
    #[must_use]
    pub fn hints(&self, id: RequestId) -> &[Hint] {
        run_of(&self.hints, |hint| hint.request, id)
    }

    /// Until when an answer of the provider's own said that nothing was left of a limit.
    #[must_use]
    pub fn exhausted_until_us(&self, id: RequestId) -> Option<u64> {
        run_of(&self.exhausted, |(request, _)| *request, id).first().map(|(_, at_us)| *at_us)
    }

    /// What the rules drew, by request.
    #[must_use]
    pub fn drawn(&self) -> &[Drawn] {
        &self.drawn
    }

    /// All effects, in the order in which they were committed.
    pub fn effects(&self) -> impl Iterator<Item = (EffectId, &Effect)> {
        Place::all().map(EffectId).zip(&self.effects)
    }

    /// One effect.
    #[must_use]
    pub fn effect(&self, id: EffectId) -> &Effect {
        &self.effects[place(id.0)]
    }

    /// The effects of an operation, in the order in which they were committed.
    pub fn effects_of(&self, id: OperationId) -> impl Iterator<Item = (EffectId, &Effect)> {
        let (from, to) = self.operation(id).effects;
        self.effects_by_operation[place(from)..place(to)].iter().map(|id| (*id, self.effect(*id)))
    }

    /// The webhooks that were sent, each with its answer, by operation and then in order.
    #[must_use]
    pub fn webhooks(&self) -> &[Webhook] {
        &self.webhooks
    }

    /// The webhooks that tell of an operation, in order.
    #[must_use]
    pub fn webhooks_of(&self, id: OperationId) -> &[Webhook] {
        run_of(&self.webhooks, |webhook| webhook.operation, id)
    }

    /// What became of the messages of queues, by operation and then in order.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// What became of the message that an operation is, or that it sent, in order.
    #[must_use]
    pub fn messages_of(&self, id: OperationId) -> &[Message] {
        run_of(&self.messages, |message| message.operation, id)
    }

    /// The effects that the answer to a request tells of.
    pub fn told_by(&self, id: RequestId) -> impl Iterator<Item = EffectId> {
        run_of(&self.tells, |(request, _)| *request, id).iter().map(|(_, effect)| *effect)
    }

    /// The client's output.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The client's output without what the harness itself said beside it.
    pub(crate) fn client_outputs(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().filter(|output| self.text(output.stream) != HARNESS)
    }

    /// How many lines more the client wrote than the trace keeps.
    #[must_use]
    pub fn lines_not_kept(&self) -> u64 {
        self.lines_not_kept
    }

    /// What the client sent elsewhere.
    #[must_use]
    pub fn strays(&self) -> &[Stray] {
        &self.strays
    }

    /// How many copies of the client share the work, at least 1.
    #[must_use]
    pub fn copies(&self) -> u32 {
        self.copies
    }

    /// Which copy of the client sent a request, from 1; 0 where nobody can say which of several it was. What is a
    /// message is no copy's own, so only the request itself says who asked.
    #[must_use]
    pub fn copy_of(&self, request: &Request) -> u32 {
        match (request.client, request.operation) {
            (Some(copy), _) => copy,
            (None, Some(id)) if self.copies() == 1 || self.delivers() != Delivers::Messages => {
                self.operation(id).copy
            }
            (None, _) => u32::from(self.copies() == 1),
        }
    }

    /// Processes of the client, in the order in which they started.
    #[must_use]
    pub fn clients(&self) -> &[ClientRun] {
        &self.clients
    }

    /// Ends of the client's processes, in the order in which they came.
    #[must_use]
    pub fn client_ends(&self) -> &[ClientEnd] {
        &self.client_ends
    }

    /// What the mock refused before it was a request.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The pieces of files that came, in order.
    #[must_use]
    pub fn pieces(&self) -> &[PieceSeen] {
        &self.pieces
    }

    /// What happened to jobs, in order.
    #[must_use]
    pub fn jobs(&self) -> &[JobSeen] {
        &self.jobs
    }

    /// True when the run was ended from outside, by Ctrl-C for example.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.end.is_some_and(|end| self.text(end.reason) == "interrupted")
    }

    /// True when the run ended in order, so that what is missing will never come.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.cut.is_none() && self.end.is_some_and(|end| self.text(end.reason) == "completed")
    }

    /// The clock that the run went by.
    #[must_use]
    pub fn clock(&self) -> ClockKind {
        self.run.clock
    }

    /// How the client was driven.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.run.mode
    }

    /// Roughly the bytes that it takes in memory, without the scenario and the client's output.
    #[must_use]
    pub fn bytes(&self) -> usize {
        fn of<T>(list: &[T]) -> usize {
            size_of_val(list)
        }
        let inputs: usize = self
            .submits
            .iter()
            .filter_map(|submit| submit.submitted.as_ref())
            .map(|submitted| submitted.input.len())
            .sum();
        let ended = self.requests.iter().filter(|request| request.ended.is_some()).count();
        self.names.bytes()
            + inputs
            + ended * size_of::<Ended>()
            + of(&self.operations)
            + of(&self.submits)
            + of(&self.claims)
            + of(&self.requests)
            + of(&self.by_operation)
            + of(&self.chain)
            + of(&self.strikes)
            + of(&self.delivered)
            + of(&self.hints)
            + of(&self.exhausted)
            + of(&self.unmade)
            + of(&self.drawn)
            + of(&self.effects)
            + of(&self.effects_by_operation)
            + of(&self.tells)
            + of(&self.clients)
            + of(&self.jobs)
            + of(&self.pieces)
    }
}

/// A stored place as an index; lists of a trace are shorter than 2^32.
fn place(number: impl Into<u32>) -> usize {
    usize::try_from(number.into()).expect("32 bits fit into a usize on every supported machine")
}

/// The part of a sorted list with this key.
fn run_of<T, K: Ord>(list: &[T], key: impl Fn(&T) -> K, wanted: K) -> &[T] {
    let from = list.partition_point(|one| key(one) < wanted);
    let to = from + list[from..].partition_point(|one| key(one) == wanted);
    &list[from..to]
}
