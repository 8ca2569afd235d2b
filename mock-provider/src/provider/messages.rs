//! Messages of a queue on their way to whoever receives them.
//!
//! A message has coordinates of its own: the route that hands it out, its operation and submit, and how often
//! it was handed out. So what strikes it does not depend on who asks when.
//! **Invariant:** a message that was neither deleted nor received too often comes back.

use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::Value;

use super::Provider;
use super::open::{Open, Place};
use super::struck::Mark;
use crate::api::{Context, Route, bytes};
use crate::coordinates::Coordinates;
use crate::event::{Delivered, EventKind, MessageMoved, MessageState, Recognized};
use crate::exchange::{ExchangeId, Settled};
use crate::fault::{Action, MessageFault, Point};
use crate::ledger::{Object, Owner};
use crate::plan::{Met, Situation, Strike};
use crate::queue::{Ready, Removed};
use crate::recognition::{Recognition, Submitted};
use crate::template::TemplateError;

/// Where deleted messages are kept, so that it is known whose they were.
const GONE: &str = "#gone";

/// The field of a message in which its receipt stands.
const RECEIPT: &str = "receipt";

/// What stands in a message that nobody can handle.
const POISON: &str = "\u{fffd}\u{fffd}\u{fffd}";

/// What the trace is told of a message.
enum Told {
    Moved(MessageState),
    /// It was handed out as nobody can handle it.
    Poisoned,
}

/// A message that may be handed out, and all that is known of it.
struct Candidate<'a> {
    ready: &'a Ready,
    owner: &'a Owner,
    route: &'a Route,
}

/// What becomes of a message that is about to be handed out.
#[derive(Default)]
struct Fate {
    /// It is not handed out yet.
    late_us: Option<u64>,
    /// It can be received again after so long.
    early_us: Option<u64>,
    /// There is another copy of it.
    copied: bool,
    poisoned: bool,
}

impl Provider {
    /// From here on every operation that is submitted is a message, sent as this route would.
    ///
    /// Tells whether the API has such a queue and route.
    pub fn deliver_by(&mut self, queue: &str, route: &str) -> bool {
        let has_queue = self.api.queue.as_ref().is_some_and(|policy| *policy.messages == *queue);
        self.sends = self.api.route_named(route).filter(|_| has_queue).cloned();
        self.sends.is_some()
    }

    /// Puts a submitted operation into the queue, where operations are delivered so.
    pub(super) fn send_message(&mut self, submitted: &Submitted, now_us: u64) {
        let Some(route) = self.sends.clone() else { return };
        let Some(collection) = self.api.queue.as_ref().map(|policy| Arc::clone(&policy.messages))
        else {
            return;
        };
        let Some((id, value)) = self.object_of(&route, submitted, now_us) else { return };
        let Submitted { id: operation, submit, .. } = submitted;
        let owner = Owner { operation: Arc::clone(operation), submit: *submit };
        let object = Object::new(collection, bytes(&value), None, owner);
        self.ledger.put(Arc::clone(&id), object, self.history);
        if let Some(queue) = &mut self.queue {
            queue.put(id, now_us);
        }
    }

    /// The object that a route would make of a submitted operation, with its id. Where it can make none, that
    /// is kept, for nobody is ever sent what does not exist.
    pub(super) fn object_of(
        &mut self,
        route: &Route,
        submitted: &Submitted,
        now_us: u64,
    ) -> Option<(Arc<str>, Value)> {
        let Submitted { id: operation, submit, n, input, .. } = submitted;
        let coordinates = Coordinates {
            provider: &self.name,
            route: &route.name,
            operation,
            submit: *submit,
            // No request of a client counts from 0.
            attempt: 0,
        };
        let creates = route.creates.as_ref()?;
        let id = creates.id.make(&mut self.ids.draw(&coordinates));
        let place = (input, *n, *submit);
        match self.api.object_of(route, place, &id, self.epoch_s(now_us)) {
            Ok(value) => Some((id, value)),
            Err(error) => {
                let why = format!("`{}` makes nothing of {operation}: {error}", route.name);
                self.unsent.get_or_insert(why);
                None
            }
        }
    }

    /// Takes the messages that a request receives; those that were received too often die.
    pub(super) fn receive(&mut self, open: &Open, place: &Place) -> Option<Value> {
        let (receives, policy) = (place.route.receives.as_ref()?, self.api.queue.clone()?);
        let most = receives.wanted(&open.call);
        let (mut received, mut behind) = (Vec::new(), None);
        while received.len() < most {
            let Some(ready) = self.queue.as_mut()?.next(open.now_us, behind) else { break };
            behind = Some(ready.place);
            let Some(owner) = self.ledger.owner(&ready.id).cloned() else { continue };
            if ready.receives >= policy.max_receives {
                let dead = (&*ready.id, ready.receives, None);
                let event = self.settle_message(open.id, dead, MessageState::Dead);
                if let Some(event) = event {
                    self.emit(open.now_us, event);
                }
                continue;
            }
            let candidate = Candidate { ready: &ready, owner: &owner, route: &place.route };
            let fate = self.message_fate(open, &candidate);
            let Some(queue) = &mut self.queue else { break };
            let after = |by_us: u64| open.now_us.saturating_add(by_us);
            if let Some(by_us) = fate.late_us {
                queue.hold(&ready, after(by_us));
                continue;
            }
            let returns_us = after(policy.visibility_us);
            let visible_us = fate.early_us.map_or(returns_us, after);
            let count = queue.received(&ready, visible_us, returns_us);
            if fate.copied {
                queue.copy(&ready.id, open.now_us);
            }
            let told =
                if fate.poisoned { Told::Poisoned } else { Told::Moved(MessageState::Received) };
            let event = self.message_moved(open.id, (&ready.id, count), told, &owner);
            self.emit(open.now_us, event);
            received.extend(self.handed_out(&ready.id, count, fate.poisoned, open.now_us));
        }
        Some(Value::Array(received))
    }

    /// A message with its receipt, as it is handed out.
    #[expect(clippy::fn_params_excessive_bools, reason = "a message is poisoned or not")]
    fn handed_out(&mut self, id: &str, count: u32, poisoned: bool, now_us: u64) -> Option<Value> {
        let object = self.ledger.get_mut(id)?;
        let mut value = object.value().clone();
        if let Value::Object(fields) = &mut value {
            fields.insert(RECEIPT.to_owned(), receipt(id, count).into());
            fields.insert("receives".to_owned(), count.into());
        }
        object.change(value.clone(), now_us, self.history);
        if let (true, Some(body)) = (poisoned, value.get_mut("body")) {
            *body = POISON.into();
        }
        Some(value)
    }

    /// What strikes a message that is about to be handed out: everything that does.
    fn message_fate(&mut self, open: &Open, candidate: &Candidate<'_>) -> Fate {
        let mut fate = Fate::default();
        if !self.strikes_messages {
            return fate;
        }
        let Candidate { ready, owner, route } = candidate;
        let of_submit = Recognition {
            operation: Arc::clone(&owner.operation),
            submit: owner.submit,
            number: self.recognizer.number(&owner.operation),
            how: Recognized::Object,
        };
        let (operation_number, numbered) = self.arrivals.peek(&of_submit);
        let decision = self.plan.decide_for(
            Met::Message,
            &Situation {
                at: Coordinates {
                    provider: &self.name,
                    route: &route.name,
                    operation: &owner.operation,
                    submit: owner.submit,
                    attempt: ready.receives.saturating_add(1),
                },
                route: Some(route),
                operation_number,
                numbered,
                tenant: None,
                method: &Method::POST,
                headers: &HeaderMap::new(),
                body: None,
                since_first_us: open.now_us.saturating_sub(self.common.first_us().unwrap_or(0)),
                reused: false,
                streamed: false,
                http2: false,
            },
        );
        let strikes = decision.strikes.into_iter().filter_map(|strike| {
            let Action::Message(fault) = strike.action else { return None };
            Some((strike, fault))
        });
        let (late, rest): (Vec<_>, Vec<_>) =
            strikes.partition(|(_, fault)| matches!(fault, MessageFault::Late { .. }));
        // A message is held back once, and the rest strikes when it is handed out in the end.
        let is_held_now = !late.is_empty() && !ready.held;
        let (now, not_now) = if is_held_now { (late, rest) } else { (rest, late) };
        let mut counted: Vec<&Arc<str>> = not_now.iter().map(|(strike, _)| &strike.rule).collect();
        counted.sort_unstable();
        counted.dedup();
        for rule in counted {
            // One rule may have faults of both sorts: it is counted when the first of them strikes.
            if !is_held_now || now.iter().all(|(strike, _)| strike.rule != *rule) {
                self.plan.did_not_strike(rule);
            }
        }
        for (strike, fault) in now {
            match fault {
                MessageFault::Late { by_us } => fate.late_us = fate.late_us.max(Some(by_us)),
                MessageFault::Early { after_us } => {
                    let least = fate.early_us.map_or(after_us, |before| before.min(after_us));
                    fate.early_us = Some(least);
                }
                MessageFault::Duplicate => fate.copied = true,
                MessageFault::Poison => fate.poisoned = true,
            }
            self.emit_message_strike(open, strike, candidate);
        }
        fate
    }

    fn emit_message_strike(&mut self, open: &Open, strike: Strike, candidate: &Candidate<'_>) {
        let Candidate { ready, owner, route } = candidate;
        let Strike { rule, fault, detail, scheduled, .. } = strike;
        let at = Point::BeforeCommit.into();
        let mark = Mark { rule, fault: fault.name, detail, scheduled, alone: true, at };
        let delivered = Delivered {
            route: Arc::clone(&route.name),
            submit: owner.submit,
            attempt: ready.receives.saturating_add(1),
        };
        let struck = (open.id, Some(Arc::clone(&owner.operation)), Some(delivered));
        self.emit_struck(struck, &mark, open.now_us);
    }

    /// What a request that deletes a message of a queue names: the message as the copy of it whose receipt the
    /// request shows, with that receipt, or as none where it shows no receipt that counts.
    pub(super) fn named_copy(
        &self,
        open: &Open,
        route: &Route,
        (id, value): (&str, &Value),
    ) -> Result<Option<(Value, Option<u32>)>, TemplateError> {
        let queue = self.queue.as_ref().filter(|queue| route.removes && queue.holds(id));
        let Some(queue) = queue else { return Ok(None) };
        let with = |receipt: Value| {
            let mut copy = value.clone();
            if let Value::Object(fields) = &mut copy {
                fields.insert(RECEIPT.to_owned(), receipt);
            }
            copy
        };
        for count in queue.receipts(id) {
            let copy = with(receipt(id, count).into());
            let mut context = Context::new(&open.call, self.epoch_s(open.now_us));
            context.target = &copy;
            context.object = &copy;
            if !route.is_forbidden(&context)? {
                return Ok(Some((copy, Some(count))));
            }
        }
        Ok(Some((with(Value::Null), None)))
    }

    /// Whoever asks to delete a message has done with it.
    pub(super) fn hand_back(&mut self, open: &Open, route: &Route) {
        let context = Context::new(&open.call, self.epoch_s(open.now_us));
        if let (Some(queue), Ok(Some(id))) = (&mut self.queue, route.used_id(&context)) {
            queue.hand_back(&id);
        }
    }

    /// A message is gone for good, deleted or dead, and what the trace hears of it.
    pub(super) fn settle_message(
        &mut self,
        request: ExchangeId,
        (id, receives, receipt): (&str, u32, Option<u32>),
        state: MessageState,
    ) -> Option<EventKind> {
        let queue = self.queue.as_mut()?;
        let removed = match state {
            MessageState::Dead => queue.bury(id),
            MessageState::Received | MessageState::Deleted => queue.delete(id, receipt),
        };
        match removed {
            Removed::Unknown => return None,
            Removed::Copied => {}
            Removed::Gone => {
                let policy = self.api.queue.as_ref().filter(|_| state == MessageState::Dead);
                let place = policy.map_or_else(|| GONE.into(), |one| Arc::clone(&one.dead_letters));
                self.ledger.relocate(id, place);
            }
        }
        let owner = self.ledger.owner(id).cloned()?;
        self.settled.push(Settled {
            operation: Arc::clone(&owner.operation),
            submit: owner.submit,
            done: state == MessageState::Deleted,
        });
        Some(self.message_moved(request, (id, receives), Told::Moved(state), &owner))
    }

    fn message_moved(
        &self,
        request: ExchangeId,
        (id, receives): (&str, u32),
        told: Told,
        owner: &Owner,
    ) -> EventKind {
        let (state, poisoned) = match told {
            Told::Moved(state) => (state, false),
            Told::Poisoned => (MessageState::Received, true),
        };
        let event = MessageMoved {
            request,
            provider: Arc::clone(&self.name),
            operation: Arc::clone(&owner.operation),
            submit: owner.submit,
            message: id.into(),
            receives,
            state,
            poisoned,
        };
        EventKind::MessageMoved(event)
    }
}

/// The receipt of a message that was received for the how-manieth time.
fn receipt(id: &str, count: u32) -> String {
    format!("{id}.{count}")
}
