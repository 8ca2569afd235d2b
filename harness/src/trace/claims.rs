//! What a client's claims mean, each word in one place.
//!
//! - **final claim**: the client's first `succeeded` or `failed`, else its last `unknown`.
//! - **stood in**: an answer from a cache, or a default: a service that was asked to read something may give
//!   one without asking a provider, or after one that failed if it says so (`degraded`).
//! - **unnamed submits**: an operation was submitted several times, and its requests say which operation
//!   they are for, and not which submit.
//!
//! **Invariant:** each reading is a pure function of the trace, and where the trace leaves something
//! open it reads in favour of the client.

use brownout_provider::event::{Claim, ClaimBy, MessageState, Mode, Recognized};
use serde_json::Value;

use super::{ClaimMade, OperationId, Request, Submit, Trace, Webhook};

/// As what operations reach the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivers {
    /// It is handed them, and asked for them.
    Calls,
    /// Messages of a queue, which it receives.
    Messages,
    /// Events, of which it is told.
    Events,
}

impl Trace {
    /// The client's final claim about a submit: its first `succeeded` or `failed`, which nothing can
    /// take back, else its last `unknown`.
    #[must_use]
    pub fn final_claim(&self, submit: &Submit) -> Option<&ClaimMade> {
        let mut by_client = self.claims(submit).iter().filter(|claim| claim.by == ClaimBy::Client);
        let mut last = None;
        by_client
            .find(|claim| {
                last = Some(*claim);
                claim.claim != Claim::Unknown
            })
            .or(last)
    }

    /// True where a claim of success needs no answer of a provider behind it: something else stood in for
    /// what was to be read.
    #[must_use]
    pub fn stood_in(&self, id: OperationId, claim: &ClaimMade) -> bool {
        let from_cache = || self.is_service() && self.attempts_of(id).next().is_none();
        (claim.degraded || from_cache()) && self.only_reads(id)
    }

    /// True where the client is a service that is called, as a process or within this one.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.mode() == Mode::Http || self.of_workload("http").is_some_and(Value::is_object)
    }

    /// True when a webhook about an operation, which the client heard, had been sent by then.
    #[must_use]
    pub fn was_heard_of(&self, id: OperationId, by_us: u64) -> bool {
        super::run_of(&self.heard, |(whose, _)| *whose, id).iter().any(|(_, at_us)| *at_us <= by_us)
    }

    /// True for an operation that was to reach the client as an event, and of which nothing that it could believe
    /// and read was ever sent.
    #[must_use]
    pub fn was_never_told(&self, id: OperationId) -> bool {
        self.tells_events() && self.genuine(id).next().is_none()
    }

    /// True for an operation that reached the client as an event, which it answered in the end with something
    /// else than success: that is how a service says that it failed.
    #[must_use]
    pub fn was_turned_down(&self, id: OperationId) -> bool {
        let last = self.genuine(id).filter_map(|webhook| webhook.answer?.2).last();
        self.tells_events() && last.is_some_and(|status| !(200..300).contains(&status))
    }

    /// True where operations reach the client as events.
    fn tells_events(&self) -> bool {
        self.delivers() == Delivers::Events
    }

    /// As what operations reach the client.
    #[must_use]
    pub fn delivers(&self) -> Delivers {
        let deliver = |key: &str| self.of_workload("deliver").and_then(|it: &Value| it.get(key));
        match () {
            () if deliver("webhook").is_some_and(Value::is_object) => Delivers::Events,
            () if deliver("queue").is_some_and(Value::is_string) => Delivers::Messages,
            () => Delivers::Calls,
        }
    }

    /// What was told of an operation, signed rightly and whole.
    fn genuine(&self, id: OperationId) -> impl Iterator<Item = &Webhook> {
        self.webhooks_of(id).iter().filter(|one| one.flaw.is_none())
    }

    /// True for an operation that asks for nothing but to be told something.
    fn only_reads(&self, id: OperationId) -> bool {
        if self.wants_effect(id) {
            return false;
        }
        let method = self.run.scenario.pointer("/workload/http/request/method");
        let calls = |submit: &Submit| {
            submit.submitted.as_ref().is_some_and(|submitted| self.is_route(submitted.call))
        };
        // What a service does that nobody saw ask is told by how it was asked.
        matches!(method.and_then(Value::as_str), Some("GET" | "HEAD"))
            || self.attempts_of(id).next().is_some()
            || self.submits_of(id).any(|(_, submit)| calls(submit))
    }

    /// True where requests say which operation they are for, and not which of its several submits.
    #[must_use]
    pub fn has_unnamed_submits(&self, id: OperationId) -> bool {
        let is_named = |request: &Request| {
            request.submit > 1 || matches!(request.recognized, Recognized::Url | Recognized::ApiKey)
        };
        self.submits_of(id).filter(|(_, one)| one.submitted.is_some()).nth(1).is_some()
            && !self.attempts_of(id).any(|(_, request)| is_named(request))
    }

    /// The submits of an operation at work at a moment: asked for, and without a final word yet.
    pub fn submits_at_work(&self, id: OperationId, at_us: u64) -> impl Iterator<Item = &Submit> {
        let is_over = move |submit: &Submit| {
            let claims = self.claims(submit).iter();
            claims.filter(|claim| claim.claim != Claim::Unknown).any(|claim| claim.at_us < at_us)
        };
        let asked = move |submit: &Submit| {
            submit.submitted.as_ref().is_some_and(|submitted| submitted.at_us <= at_us)
        };
        self.submits_of(id).map(|(_, submit)| submit).filter(move |one| asked(one) && !is_over(one))
    }

    /// True when the caller asked for an operation once more between two moments.
    #[must_use]
    pub fn was_asked_again(&self, id: OperationId, from_us: u64, to_us: u64) -> bool {
        let between = |at_us: u64| at_us >= from_us && at_us <= to_us;
        self.has_unnamed_submits(id)
            && self
                .submits_of(id)
                .filter_map(|(_, submit)| submit.submitted.as_ref())
                .any(|submitted| between(submitted.at_us))
    }

    /// True when the client was given the work of an operation once more between two events: a queue handed the
    /// message out again, or an event was sent again. What follows is done because of that, and is no retry.
    #[must_use]
    pub fn was_given_again(&self, id: OperationId, from_seq: u32, to_seq: u32) -> bool {
        self.given(id).any(|(seq, _)| from_seq < seq && seq < to_seq)
    }

    /// Each time that a queue or a sender of events gave the client the work of an operation: the event and the time.
    pub fn given(&self, id: OperationId) -> impl Iterator<Item = (u32, u64)> {
        let delivers = self.delivers();
        let messages = self.messages_of(id).iter().filter(move |one| {
            delivers == Delivers::Messages && one.state == MessageState::Received
        });
        let events = self.genuine(id).filter(move |_| delivers == Delivers::Events);
        messages.map(|one| (one.seq, one.at_us)).chain(events.map(|one| (one.seq, one.at_us)))
    }
}
