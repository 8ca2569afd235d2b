//! What the invariants mean by their common words, each word in one place.
//!
//! - **retry**: an attempt whose predecessor (same operation, submit, provider, route) did not deliver a
//!   complete success. A poll after a success, a followed redirect, the repeat after a 1xx or a 417, a
//!   401 followed by another credential, and whatever asks a queue for messages (a worker does that as long
//!   as it lives) are attempts and no retries.
//! - **wait**: from the moment before the head was written that ended the attempt before (from the byte
//!   that completed the body, where only the body carries the hint; from the client's close, where it
//!   hung up; from the attempt's own arrival, where nothing was answered) to the moment after the next
//!   request's head had been read. Counted so, no wait looks shorter than the client made it.
//! - **slack**: what a lower bound on a wait gives away, because timers of real runtimes fire early.
//! - **reaction**: how long what happens elsewhere needs to reach a client that lives on a real clock.
//! - **ambiguous end**: no answer, a cut one, an unusable success, 408, 409 in progress, 425, 5xx; the
//!   work may or may not have been done. Every other end is **definite**.
//! - **transport repeat**: once an operation, the same bytes and key again after a request on a reused
//!   connection that ended before one byte was answered. HTTP stacks do this below their callers.
//! - **usable answer**: a success that a client may take for one.
//!
//! **Invariant:** each reading is a pure function of the trace, and where the trace leaves something
//! open it reads in favour of the client.

use std::collections::BTreeSet;

use brownout_provider::event::{Claim, ClaimBy, Class, ClockKind, KeyState, Side};
use brownout_provider::exchange::End;
use brownout_provider::http2::ErrorCode;
use serde_json::Value;

use super::{
    EffectId, Hint, Name, OperationId, Pause, Request, RequestId, Response, RouteSeen, Trace, place,
};

/// What a lower bound on a wait gives away on the real clock: timers were measured to fire up to 0.8 ms
/// early.
const SLACK_US: u64 = 2_000;

/// What an upper bound on time gives away on the real clock.
const UPPER_SLACK_US: u64 = 1_000_000;

/// How long what happens elsewhere needs to reach a client on the real clock.
const REACTION_US: u64 = 250_000;

/// How late a timer of the harness may come on a faster clock, by that clock, before the machine counts as
/// too busy: a fast clock leaves a client's own time-out so little real time that it ends by mistake.
const BUSY_US: u64 = 200_000;

/// A date or an epoch has whole seconds, so a client may be early by one.
const DATE_GRAIN_US: u64 = 1_000_000;

/// How far the end of a connection and the end of the process that held it stand apart in a trace at
/// most: the one is seen by the provider, the other by the driver.
const APART_US: u64 = 500_000;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A success that the client may take for one.
    Usable,
    /// No failure and no end of the matter either: a redirect, a 1xx, a 417.
    PassedOn,
    /// A complete answer that is no success: the work was not done.
    Rejected,
    /// Nobody but the provider knows whether the work was done.
    Ambiguous,
}

/// So often in a row a request may be mended that is answered the same each time, as a batch is that is cut in halves.
const MENDS: usize = 5;

impl Trace {
    /// How much too early a request may come and still be in time.
    #[must_use]
    pub fn slack_us(&self) -> u64 {
        self.on_real_clock(SLACK_US)
    }

    /// False where the clock went faster than the machine's: what a client works then takes as long as
    /// ever, so that nothing can be said of the time it takes at most.
    #[must_use]
    pub fn judges_upper_bounds(&self) -> bool {
        self.run.speed <= 1
    }

    /// True where the clock went faster than the machine's and the machine was too busy for it: a client
    /// whose own time-outs run out while it waits for a processor does not do what it would do otherwise,
    /// and what it then does too early proves nothing.
    #[must_use]
    pub fn was_too_busy(&self) -> bool {
        !self.judges_upper_bounds()
            && self
                .end
                .is_some_and(|end| end.late_us.saturating_mul(u64::from(self.run.speed)) > BUSY_US)
    }

    /// How much an upper bound on time may be overstepped.
    #[must_use]
    pub fn upper_slack_us(&self) -> u64 {
        // What a client works goes no faster on a faster clock, so its time proves nothing there.
        if self.judges_upper_bounds() { self.on_real_clock(UPPER_SLACK_US) } else { u64::MAX }
    }

    /// How long what happens elsewhere needs to reach the client.
    #[must_use]
    pub fn reaction_us(&self) -> u64 {
        self.on_real_clock(REACTION_US)
    }

    /// What takes so long on the machine's clock, by the clock of the run; nothing in virtual time.
    #[must_use]
    pub fn on_real_clock(&self, micros: u64) -> u64 {
        match self.clock() {
            ClockKind::Real => micros.saturating_mul(u64::from(self.run.speed)),
            ClockKind::Virtual => 0,
        }
    }

    /// True when the connection of a request ended because the harness ended the client's process, and
    /// not by anything that the client decided.
    #[must_use]
    pub fn ended_by_harness(&self, request: &Request) -> bool {
        let Some(ended) = request.ended.as_deref().filter(|ended| ended.by == Side::Client) else {
            return false;
        };
        let apart_us = APART_US.saturating_mul(u64::from(self.run.speed));
        self.client_ends()
            .iter()
            .filter(|end| {
                end.killed && (end.operation.is_none() || end.operation == request.operation)
            })
            .any(|end| end.at_us.abs_diff(ended.at_us) <= apart_us)
    }

    /// How an attempt ended, seen from the end of the trace.
    #[must_use]
    pub fn fate(&self, id: RequestId) -> Fate {
        self.request(id).response.map_or(Fate::Ambiguous, |response| self.fate_of(id, &response))
    }

    fn fate_of(&self, id: RequestId, response: &Response) -> Fate {
        match response.class {
            Class::Success if response.unusable.is_none() => Fate::Usable,
            Class::Success => Fate::Ambiguous,
            Class::Informational
            | Class::Redirect
            | Class::Throttling
            | Class::Transient
            | Class::Permanent
                if !response.complete =>
            {
                Fate::Ambiguous
            }
            Class::Informational | Class::Redirect => Fate::PassedOn,
            Class::Throttling | Class::Transient | Class::Permanent => match response.status {
                417 => Fate::PassedOn,
                408 | 425 | 500..=599 => Fate::Ambiguous,
                409 if response.class != Class::Permanent
                    || self.request(id).key_state == Some(KeyState::InFlight) =>
                {
                    Fate::Ambiguous
                }
                _ => Fate::Rejected,
            },
        }
    }

    /// How an attempt had ended when the client sent its next request at `at_us`; `None` while it was
    /// still in flight.
    #[must_use]
    pub fn fate_at(&self, id: RequestId, at_us: u64) -> Option<Fate> {
        let request = self.request(id);
        match request.response {
            Some(response) if response.class == Class::Success => {
                let over = response.end_at_us <= at_us;
                over.then(|| self.fate_of(id, &response))
            }
            // A client acts on the head of a failure and need not read the rest.
            Some(response) if response.head_at_us <= at_us => Some(self.fate_of(id, &response)),
            Some(_) | None => request
                .ended
                .as_deref()
                .is_some_and(|ended| ended.at_us <= at_us)
                .then_some(Fate::Ambiguous),
        }
    }

    /// True when the attempt failed: it is over, and neither a usable success nor passed on.
    #[must_use]
    pub fn failed(&self, id: RequestId) -> bool {
        let request = self.request(id);
        (request.response.is_some() || request.ended.is_some())
            && matches!(self.fate(id), Fate::Rejected | Fate::Ambiguous)
    }

    /// When the attempt was over: its answer complete or its connection ended, whichever was first.
    #[must_use]
    pub fn over_at_us(&self, id: RequestId) -> Option<u64> {
        let request = self.request(id);
        let answered = request.response.map(|response| response.end_at_us);
        let ended = request.ended.as_deref().map(|ended| ended.at_us);
        answered.into_iter().chain(ended).min()
    }

    /// True for a retry.
    #[must_use]
    pub fn is_retry(&self, id: RequestId) -> bool {
        let Some(before) = self.previous(id) else { return false };
        let (previous, this) = (self.request(before), self.request(id));
        if this.polls || self.was_left_open(previous, this) {
            return false;
        }
        match self.fate_at(before, this.at_us) {
            // Two in flight together: the same thing asked for again is a retry (hedging), another
            // thing is work of its own.
            None => previous.call == this.call,
            Some(Fate::Usable) => false,
            Some(Fate::PassedOn) => {
                previous.response.is_some_and(|one| one.status == 417) && this.expects
            }
            Some(Fate::Rejected) => {
                let unauthorized = previous.response.is_some_and(|one| one.status == 401);
                // The key of another tenant is no key that was renewed.
                let is_borrowed = this.tenant.is_some() && this.tenant != previous.tenant;
                !(unauthorized && previous.auth != this.auth && !is_borrowed)
            }
            Some(Fate::Ambiguous) => true,
        }
    }

    /// True when the client called the submit unknown between two attempts: who comes back to it later begins
    /// anew.
    fn was_left_open(&self, previous: &Request, this: &Request) -> bool {
        let Some(operation) = this.operation else { return false };
        let submit = self.submits_of(operation).find(|(_, submit)| submit.number == this.submit);
        submit.is_some_and(|(_, submit)| {
            self.claims(submit).iter().any(|claim| {
                claim.by == ClaimBy::Client
                    && claim.claim == Claim::Unknown
                    && previous.seq < claim.seq
                    && claim.seq < this.seq
            })
        })
    }

    /// True for a retry that asks for something else after a complete permanent answer: the client
    /// mended its request (or took a new key) and did not simply try again. Who changes it over and over and is
    /// answered the same mends nothing.
    #[must_use]
    pub fn is_mended(&self, id: RequestId) -> bool {
        let Some(status) = self.mends(id) else { return false };
        let mut one = id;
        for _ in 0..MENDS {
            match self.previous(one) {
                Some(before) if self.mends(before) == Some(status) => one = before,
                Some(_) | None => return true,
            }
        }
        false
    }

    /// The permanent status of the attempt before, where this one asks for something else.
    fn mends(&self, id: RequestId) -> Option<u16> {
        let (previous, this) = (self.request(self.previous(id)?), self.request(id));
        let permanent =
            previous.response.filter(|one| one.complete && one.class == Class::Permanent)?;
        let is_other = previous.call != this.call || previous.key != this.key;
        is_other.then_some(permanent.status)
    }

    /// True for a repeat that the client's transport made on its own.
    #[must_use]
    pub fn is_transport_repeat(&self, id: RequestId) -> bool {
        self.request(id).transport_repeat
    }

    /// How long the client waited between an attempt that ended without a hint and a later one.
    #[must_use]
    pub fn waited_us(&self, before: RequestId, next: RequestId) -> u64 {
        let at_us = self.request(next).at_us;
        at_us.saturating_sub(self.wait_begins_us(before, at_us))
    }

    /// From when a wait that ended at `at_us` counts.
    fn wait_begins_us(&self, before: RequestId, at_us: u64) -> u64 {
        let request = self.request(before);
        let closed = request
            .ended
            .as_deref()
            .filter(|ended| ended.by == Side::Client && ended.at_us <= at_us);
        match (request.response, closed) {
            // Of a success that was never whole the client waits for the rest until it hangs up.
            (Some(response), Some(closed))
                if response.class == Class::Success && !response.complete =>
            {
                closed.at_us
            }
            (Some(response), _) if response.head_at_us <= at_us => response.head_at_us,
            (_, Some(closed)) => closed.at_us,
            (_, None) => request.at_us,
        }
    }

    /// The well-formed hint that allows the earliest next attempt, and that instant. `Retry-After` and
    /// its kin outrank the fields of a rate limit; a hint of zero asks for nothing and allows it at once.
    #[must_use]
    pub fn earliest_allowed(&self, id: RequestId) -> Option<(&Hint, u64)> {
        let response = self.request(id).response?;
        let well_formed: Vec<(&Hint, u64)> = self
            .hints(id)
            .iter()
            .filter_map(|hint| Some((hint, self.allowed_at_us(hint, &response)?)))
            .collect();
        let outranked = well_formed.iter().any(|(hint, _)| !self.is_limit_field(hint.source));
        well_formed
            .into_iter()
            .filter(|(hint, _)| !(outranked && self.is_limit_field(hint.source)))
            .min_by_key(|(_, at_us)| *at_us)
    }

    fn allowed_at_us(&self, hint: &Hint, response: &Response) -> Option<u64> {
        let in_body = self.text(hint.source).starts_with("body:");
        // A field of a body that was cut never arrived.
        if in_body && !response.complete {
            return None;
        }
        let wait_us = hint.wait_us?;
        let from_us = if in_body { response.end_at_us } else { response.head_at_us };
        Some(match hint.until_us {
            Some(until_us) => u64::try_from(until_us).unwrap_or(0).saturating_sub(DATE_GRAIN_US),
            None => from_us.saturating_add(wait_us),
        })
    }

    fn is_limit_field(&self, source: Name) -> bool {
        let source = self.text(source);
        source.contains("ratelimit") || source.contains("rate-limit")
    }

    /// True when an operation asks for a side effect: its route declares one, it sent a request to one that
    /// does, or it reached the client as a message, whose work is done where the run has such a route.
    #[must_use]
    pub fn wants_effect(&self, id: OperationId) -> bool {
        self.attempts_of(id).any(|(_, request)| request.effectful)
            || self
                .submits_of(id)
                .filter_map(|(_, submit)| submit.submitted.as_ref())
                .any(|submitted| self.is_unsafe(submitted.call) || self.works_on_messages())
    }

    /// The attempts at what an operation wants: a read does nothing for one that wants an effect, nor does undoing
    /// for one that asked for something to be done.
    pub fn tries_of(&self, id: OperationId) -> impl Iterator<Item = (RequestId, &Request)> {
        let wants_effect = self.wants_effect(id);
        let only_undoes = !self.attempts_of(id).any(|(_, request)| request.effectful);
        self.attempts_of(id).filter(move |(_, request)| {
            !wants_effect || request.effectful || (only_undoes && self.is_reversal(request))
        })
    }

    /// True where operations reach the client as messages of a queue, and some route has an effect.
    fn works_on_messages(&self) -> bool {
        let queue = self.of_workload("deliver").and_then(|deliver| deliver.get("queue"));
        let has_effect = |route: &Value| {
            let is_said = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
            ["effect", "effects"].iter().any(|key| route.get(key).is_some_and(is_said))
        };
        queue.is_some_and(Value::is_string)
            && (self.run.apis.values())
                .filter_map(|api| api.get("routes").and_then(Value::as_array))
                .any(|routes| routes.iter().any(has_effect))
    }

    /// True for a route that declares an effect, or undoes one, at some provider: who is asked for it does
    /// not know yet at which one it will be done.
    #[must_use]
    pub fn is_unsafe(&self, call: Name) -> bool {
        self.routes.iter().any(|seen| seen.route == call && (seen.effectful || seen.reverses))
            || self.declared(None, call, &["effect", "effects", "reverses"])
    }

    /// True for a request that asks to undo an effect.
    #[must_use]
    pub fn is_reversal(&self, request: &Request) -> bool {
        let is_its = |seen: &RouteSeen| {
            (seen.provider, Some(seen.route)) == (request.provider, request.route)
        };
        self.routes.iter().any(|seen| is_its(seen) && seen.reverses)
            || request
                .route
                .is_some_and(|route| self.declared(Some(request.provider), route, &["reverses"]))
    }

    /// Marks the requests that ask queues for messages, and those that remove things.
    pub(super) fn know_queues(&mut self) {
        let routes: BTreeSet<(Name, Name)> =
            self.requests.iter().filter_map(|one| Some((one.provider, one.route?))).collect();
        let that = |keys: &[&str]| -> BTreeSet<(Name, Name)> {
            let does =
                |(provider, route): &&(Name, Name)| self.declared(Some(*provider), *route, keys);
            routes.iter().filter(does).copied().collect()
        };
        let (receive, remove) = (that(&["receives"]), that(&["removes"]));
        if receive.is_empty() && remove.is_empty() {
            return;
        }
        for request in &mut self.requests {
            let at = request.route.map(|route| (request.provider, route));
            request.polls = at.is_some_and(|at| receive.contains(&at));
            request.removes = at.is_some_and(|at| remove.contains(&at));
        }
    }

    /// True for a route that takes pieces of a file.
    #[must_use]
    pub fn takes_pieces(&self, route: Name) -> bool {
        self.declared(None, route, &["upload"])
    }

    /// True where the API of the provider declares one of these of a route; where it is open which API that
    /// is, some API of the run.
    pub(super) fn declared(&self, provider: Option<Name>, route: Name, keys: &[&str]) -> bool {
        let route = self.text(route);
        // Most routes declare nothing of the sort, whatever their API: that is asked before whose it is.
        let is_its = |api: &str| {
            let its = provider.and_then(|provider| self.api_of(provider));
            its.is_none_or(|its| its == api)
        };
        self.run.apis.iter().any(|(name, api)| {
            let routes = api.get("routes").and_then(Value::as_array);
            let named = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(route);
            let says = routes.and_then(|routes| routes.iter().find(named)).is_some_and(|one| {
                let is_said = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
                keys.iter().any(|key| one.get(key).is_some_and(is_said))
            });
            says && is_its(name)
        })
    }

    /// True when this answer entitles the client to believe that the operation is done: usable, and for
    /// an operation that wants an effect either the answer to an unsafe request or a read that shows
    /// the effect.
    #[must_use]
    pub fn confirms(&self, id: RequestId) -> bool {
        let request = self.request(id);
        let Some(operation) = request.operation else { return false };
        if self.fate(id) != Fate::Usable {
            return false;
        }
        if !self.wants_effect(operation) {
            return true;
        }
        let mut told = self.told_by(id).peekable();
        match told.peek() {
            None => request.effectful || self.is_reversal(request),
            Some(_) => told.any(|effect| self.effect(effect).operation == operation),
        }
    }

    /// True when the operation ended as it was asked to: a live effect, one undone by another operation
    /// (at the wish of that one's input), or an effect of another operation that this one undid.
    #[must_use]
    pub fn took_effect(&self, id: OperationId) -> bool {
        self.effects_of(id)
            .any(|(_, effect)| effect.reversed.is_none_or(|reversal| reversal.operation != id))
            || self.undid(id).any(|whose| whose != id)
            || self.reverses_by_wish(id)
    }

    /// The operations of which this one undid an effect.
    fn undid(&self, id: OperationId) -> impl Iterator<Item = OperationId> {
        super::run_of(&self.reversals, |(who, _)| *who, id).iter().map(|(_, whose)| *whose)
    }

    /// True when the operation has its effect, or for a read a usable answer.
    #[must_use]
    pub fn is_done(&self, id: OperationId) -> bool {
        if self.wants_effect(id) {
            return self.took_effect(id) && self.all_items_are_done(id);
        }
        self.attempts_of(id).any(|(request, _)| self.confirms(request))
    }

    /// True when the operation's own input, or one of its steps, asks it to undo something, and it did.
    fn reverses_by_wish(&self, id: OperationId) -> bool {
        let undoes = |call: Name| {
            self.routes.iter().any(|seen| seen.route == call && seen.reverses)
                || self.declared(None, call, &["reverses"])
        };
        let wished = self.steps().any(undoes)
            || self.submits_of(id).any(|(_, submit)| {
                submit.submitted.as_ref().is_some_and(|submitted| undoes(submitted.call))
            });
        wished && self.undid(id).next().is_some()
    }

    /// True when nothing that the trace does not hold can still change what became of the operation:
    /// the run ended in order, or all its requests were over when the trace broke off.
    #[must_use]
    pub fn is_settled(&self, id: OperationId) -> bool {
        self.is_whole() || self.requests_of(id).all(|(id, _)| self.over_at_us(id).is_some())
    }

    /// True when a process of the client started between two moments: a restart, if it is not the first.
    #[must_use]
    pub fn restarted_between(&self, operation: OperationId, from_us: u64, to_us: u64) -> bool {
        let first = self.clients.partition_point(|client| client.at_us < from_us);
        let between = self.clients[first..].iter().take_while(|client| client.at_us <= to_us);
        between.into_iter().any(|client| client.operation.is_none_or(|one| one == operation))
    }

    /// How long a client stood still between two moments, as far as it worked on this operation, in
    /// microseconds: time that counts towards no upper bound.
    #[must_use]
    pub fn paused_between(&self, operation: OperationId, from_us: u64, to_us: u64) -> u64 {
        let mut counted_us = from_us;
        let mut paused_us: u64 = 0;
        for pause in self.pauses_of(operation).take_while(|pause| pause.from_us < to_us) {
            let (begins, ends) = (pause.from_us.max(counted_us), pause.to_us.min(to_us));
            paused_us = paused_us.saturating_add(ends.saturating_sub(begins));
            counted_us = counted_us.max(ends);
        }
        paused_us
    }

    /// The moment at which a client that works on this operation has been awake for so long since `from_us`.
    pub(super) fn awake_until(&self, operation: OperationId, from_us: u64, awake_us: u64) -> u64 {
        let mut until_us = from_us.saturating_add(awake_us);
        let mut counted_us = from_us;
        for pause in self.pauses_of(operation) {
            if pause.from_us >= until_us {
                break;
            }
            let begins = pause.from_us.max(counted_us);
            until_us = until_us.saturating_add(pause.to_us.saturating_sub(begins));
            counted_us = counted_us.max(pause.to_us);
        }
        until_us
    }

    /// By their beginnings.
    fn pauses_of(&self, operation: OperationId) -> impl Iterator<Item = &Pause> {
        self.pauses.iter().filter(move |pause| pause.operation.is_none_or(|one| one == operation))
    }

    /// How many items the input of an operation asks for: the length of the longest list in it.
    #[must_use]
    pub fn items(&self, id: OperationId) -> Option<usize> {
        self.submits_of(id)
            .filter_map(|(_, submit)| longest_list(&submit.submitted.as_ref()?.input()))
            .max()
    }

    /// A request in words: `attempt 2 of create_charge`.
    #[must_use]
    pub fn request_in_words(&self, request: &Request) -> String {
        let route = request.route.map_or("an unknown route", |route| self.text(route));
        format!("attempt {} of `{route}`{}", request.attempt, self.at_provider(request.provider))
    }
}

/// Marks the repeats that the client's transport made on its own: once an operation.
pub(super) fn mark_transport_repeats(trace: &mut Trace) {
    let repeats: Vec<RequestId> = trace
        .operations()
        .filter_map(|(operation, _)| {
            trace
                .attempts_of(operation)
                .map(|(id, _)| id)
                .find(|id| repeats_lost_request(trace, *id))
        })
        .collect();
    for request in &mut trace.requests {
        request.transport_repeat = false;
    }
    for id in repeats {
        trace.requests[place(id.0)].transport_repeat = true;
    }
}

/// Marks the effects of which a usable answer to their own operation told the client.
pub(super) fn mark_told_effects(trace: &mut Trace) {
    let told: Vec<EffectId> = trace
        .tells
        .iter()
        .filter(|(id, effect)| {
            let request = trace.request(*id);
            request.by.is_client()
                && request.operation == Some(trace.effect(*effect).operation)
                && trace.fate(*id) == Fate::Usable
        })
        .map(|(_, effect)| *effect)
        .collect();
    for effect in &mut trace.effects {
        effect.told = false;
    }
    for id in told {
        trace.effects[place(id.0)].told = true;
    }
}

fn repeats_lost_request(trace: &Trace, id: RequestId) -> bool {
    let Some(before) = trace.previous(id) else { return false };
    let (previous, this) = (trace.request(before), trace.request(id));
    let Some(ended) = previous.ended.as_deref().filter(|ended| ended.by == Side::Provider) else {
        return false;
    };
    // Over HTTP/2 the provider says itself that a request was not begun.
    let is_refused = [ErrorCode::RefusedStream.name(), End::GoAway.name()];
    (previous.reused || is_refused.contains(&trace.text(ended.how)))
        && previous.response.is_none()
        && (this.same_bytes || previous.body_unread)
        && previous.key == this.key
}

fn longest_list(value: &Value) -> Option<usize> {
    match value {
        Value::Array(list) => list.iter().filter_map(longest_list).chain([list.len()]).max(),
        Value::Object(fields) => fields.values().filter_map(longest_list).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
