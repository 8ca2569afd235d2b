//! What a service says of one operation: its first answer, and where that leaves it open, what it says when it
//! is looked again.
//!
//! **Invariant:** what the service did not say is never taken for its claim.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::{Claim, Digest16};
use brownout_provider::shell::clock::Clock;
use serde_json::Value;

use super::reach::{Answer, Reach};
use crate::operation::Operation;
use crate::scenario::http::{Ask, Http, Poll, Said};

/// How much of an answer's body is told, in characters.
const TOLD: usize = 200;

/// How long one look may take.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// What is said of a look that took longer.
pub(super) const UNANSWERED: &str = "it took the request and did not answer";

/// Why an operation came to no end that took too long.
pub(super) const DEADLINE: &str = "deadline";

/// What was heard of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The service said it.
    Said { claim: Claim, degraded: bool, detail: String },
    /// Its connection ended before it had said anything; how.
    Cut(String),
    /// It said nothing that can be used; why.
    Nothing(String),
}

/// An operation that the service has taken and not yet decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The body of the first answer.
    answer: Value,
    /// What was heard last, for the report.
    last: String,
}

/// What a caller remembers of an operation, also over a restart of the service.
pub(super) type Memory = Rc<RefCell<Option<Taken>>>;

/// One operation to be asked for.
pub(super) struct Asking {
    pub(super) http: Arc<Http>,
    pub(super) operation: Operation,
    pub(super) first: Ask,
    pub(super) trace: Digest16,
    pub(super) memory: Memory,
    pub(super) reach: Reach,
    pub(super) clock: Clock,
}

impl Asking {
    /// Asks, and looks again for as long as nothing is decided.
    pub(super) async fn ask(self) -> Heard {
        let taken = self.memory.borrow().clone();
        if let (Some(taken), Some(poll)) = (taken, &self.http.poll) {
            return self.look_again(poll, taken).await;
        }
        let answer = match self.reach.send(&self.first).await {
            Ok(answer) => answer,
            Err(why) => return Heard::Cut(why),
        };
        match (self.http.outcomes.of(answer.status.as_u16()), &self.http.poll) {
            (None, _) => {
                Heard::Nothing(format!("{}, which `outcome` does not list", told(&answer)))
            }
            (Some(Said::Unknown), Some(poll)) => {
                let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
                let taken = Taken { answer: body, last: told(&answer) };
                *self.memory.borrow_mut() = Some(taken.clone());
                self.look_again(poll, taken).await
            }
            (Some(said), _) => Heard::Said {
                claim: said.claim(),
                degraded: said == Said::Degraded,
                detail: told(&answer),
            },
        }
    }

    /// Looks again until something is decided; whoever waits has a deadline.
    async fn look_again(&self, poll: &Poll, mut taken: Taken) -> Heard {
        let Self { http, operation, .. } = self;
        let ask = match http.look(poll, operation, self.trace, &taken.answer) {
            Ok(ask) => ask,
            // The service itself left out what it would take to look again.
            Err(error) => {
                let detail = format!("{}; nowhere to look again: {error}", taken.last);
                return Heard::Said { claim: Claim::Unknown, degraded: false, detail };
            }
        };
        loop {
            self.clock.sleep(poll.interval).await;
            // One look that is never answered must not be the last.
            let look = self.clock.within(self.clock.of_machine(LOOK_WITHIN), self.reach.send(&ask));
            taken.last = match look.await.unwrap_or_else(|| Err(UNANSWERED.to_owned())) {
                Err(why) => why,
                Ok(answer) => {
                    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
                    if answer.status.is_success()
                        && let Some(claim) = poll.says(&body)
                    {
                        return Heard::Said { claim, degraded: false, detail: told(&answer) };
                    }
                    told(&answer)
                }
            };
            *self.memory.borrow_mut() = Some(taken.clone());
        }
    }
}

/// What is heard of an operation until it is late.
pub(super) async fn in_time(asking: Asking, late_us: Rc<Cell<u64>>) -> Heard {
    let (clock, memory) = (asking.clock, Rc::clone(&asking.memory));
    let mut work = std::pin::pin!(asking.ask());
    loop {
        let until_us = late_us.get();
        if let Some(heard) = clock.until_us(until_us, &mut work).await {
            return heard;
        }
        // A service that stood still meanwhile has longer.
        if late_us.get() <= until_us {
            return undecided(memory.borrow().as_ref(), DEADLINE);
        }
    }
}

/// What is to be said of an operation that came to no end. That the service has taken it is no claim: whoever
/// looks again wants to hear what became of it.
pub(super) fn undecided(taken: Option<&Taken>, why: &str) -> Heard {
    Heard::Nothing(match taken {
        None => why.to_owned(),
        Some(taken) => format!("{why}, while it was undecided; last heard: {}", taken.last),
    })
}

/// An answer in a few words, which differ where the answers do.
fn told(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let (body, status) = (body.trim(), answer.status.as_u16());
    let told: String = body.chars().take(TOLD).collect();
    match (told.is_empty(), told.len() < body.len()) {
        (true, _) => status.to_string(),
        (false, false) => format!("{status}: {told}"),
        (false, true) => {
            let digest = Digest16::of(body.as_bytes());
            format!("{status}: {told}… ({} bytes, digest {digest})", body.len())
        }
    }
}
