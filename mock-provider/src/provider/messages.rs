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
use crate::event::{EventKind, MessageMoved, MessageState, Recognized};
use crate::exchange::{ExchangeId, Settled};
use crate::fault::{Action, MessageFault, Point};
use crate::ledger::{Object, Owner};
use crate::plan::{Met, Situation, Strike};
use crate::queue::{Ready, Removed};
use crate::recognition::{Recognition, Submitted};

/// Where deleted messages are kept, so that it is known whose they were.
const GONE: &str = "#gone";

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
    pub(super) fn send_message(&mut self, submitted: &Submitted) {
        let Some(route) = self.sends.clone() else { return };
        let Some(collection) = self.api.queue.as_ref().map(|policy| Arc::clone(&policy.messages))
        else {
            return;
        };
        let Some((id, value)) = self.object_of(&route, submitted) else { return };
        let Submitted { id: operation, submit, .. } = submitted;
        let owner = Owner { operation: Arc::clone(operation), submit: *submit };
        let object = Object::new(collection, bytes(&value), None, owner);
        self.ledger.put(Arc::clone(&id), object, self.history);
        if let Some(queue) = &mut self.queue {
            queue.put(id, 0);
        }
    }

    /// The object that a route would make of a submitted operation, with its id.
    pub(super) fn object_of(
        &mut self,
        route: &Route,
        submitted: &Submitted,
    ) -> Option<(Arc<str>, Value)> {
        let Submitted { id: operation, submit, n, input, .. } = submitted;
        let built = route.build(self.api.encoding, input, *n, *submit).ok()?;
        let call = self.api.read(&built.method, &built.target, &built.headers, &built.body).call;
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
        let context = Context { id: Value::from(&*id), ..Context::new(&call, self.epoch_s(0)) };
        let value = route.new_object(&context).ok()??;
        Some((id, value))
    }

    /// Takes the messages that a request receives; those that were received too often die.
    pub(super) fn receive(&mut self, open: &Open, place: &Place) -> Option<Value> {
        let (receives, policy) = (place.route.receives.as_ref()?, self.api.queue.clone()?);
        let most = receives.wanted(&open.call);
        let mut received = Vec::new();
        for ready in self.queue.as_ref()?.ready(open.now_us) {
            if received.len() == most {
                break;
            }
            let Some(owner) = self.ledger.owner(&ready.id).cloned() else { continue };
            if ready.receives >= policy.max_receives {
                let dead = (&*ready.id, ready.receives);
                let event = self.settle_message(open.id, dead, MessageState::Dead);
                if let Some(event) = event {
                    self.emit(open.now_us, event);
                }
                continue;
            }
            let candidate = Candidate { ready: &ready, owner: &owner, route: &place.route };
            let fault = self.message_fault(open, &candidate);
            let mut visible_us = open.now_us.saturating_add(policy.visibility_us);
            let mut poisoned = false;
            match fault {
                Some(MessageFault::Late { by_us }) => {
                    let until_us = open.now_us.saturating_add(by_us);
                    if let Some(queue) = &mut self.queue {
                        queue.hold(&ready.id, until_us);
                    }
                    continue;
                }
                Some(MessageFault::Early { after_us }) => {
                    visible_us = open.now_us.saturating_add(after_us);
                }
                Some(MessageFault::Duplicate) => {
                    visible_us = open.now_us;
                    if let Some(queue) = &mut self.queue {
                        queue.copy(&ready.id);
                    }
                }
                Some(MessageFault::Poison) => poisoned = true,
                None => {}
            }
            if let Some(queue) = &mut self.queue {
                queue.received(&ready.id, visible_us);
            }
            let count = ready.receives.saturating_add(1);
            let told = if poisoned { Told::Poisoned } else { Told::Moved(MessageState::Received) };
            let event = self.message_moved(open.id, (&ready.id, count), told, &owner);
            self.emit(open.now_us, event);
            received.extend(self.handed_out(&ready.id, count, poisoned, open.now_us));
        }
        Some(Value::Array(received))
    }

    /// A message with its receipt, as it is handed out.
    #[expect(clippy::fn_params_excessive_bools, reason = "a message is poisoned or not")]
    fn handed_out(&mut self, id: &str, count: u32, poisoned: bool, now_us: u64) -> Option<Value> {
        let object = self.ledger.get_mut(id)?;
        let mut value = object.value().clone();
        if let Value::Object(fields) = &mut value {
            fields.insert("receipt".to_owned(), format!("{id}.{count}").into());
            fields.insert("receives".to_owned(), count.into());
        }
        object.change(value.clone(), now_us, self.history);
        if let (true, Some(body)) = (poisoned, value.get_mut("body")) {
            *body = POISON.into();
        }
        Some(value)
    }

    /// What strikes a message that is about to be handed out.
    fn message_fault(&mut self, open: &Open, candidate: &Candidate<'_>) -> Option<MessageFault> {
        if !self.strikes_messages {
            return None;
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
        let (strike, fault) = decision.strikes.into_iter().find_map(|strike| {
            let Action::Message(fault) = strike.action else { return None };
            Some((strike, fault))
        })?;
        // A message is held back once, and then it can be received.
        if matches!(fault, MessageFault::Late { .. }) && ready.held {
            self.plan.did_not_strike(&strike.rule);
            return None;
        }
        self.emit_message_strike(open, strike, &owner.operation);
        Some(fault)
    }

    fn emit_message_strike(&mut self, open: &Open, strike: Strike, operation: &Arc<str>) {
        let Strike { rule, fault, detail, .. } = strike;
        let at = Point::BeforeCommit.into();
        let mark = Mark { rule, fault: fault.name, detail, scheduled: false, alone: true, at };
        self.emit_struck((open.id, Some(Arc::clone(operation))), &mark, open.now_us);
    }

    /// A message is gone for good, deleted or dead, and what the trace hears of it.
    pub(super) fn settle_message(
        &mut self,
        request: ExchangeId,
        (id, receives): (&str, u32),
        state: MessageState,
    ) -> Option<EventKind> {
        let queue = self.queue.as_mut()?;
        let removed = match state {
            MessageState::Dead => queue.bury(id),
            MessageState::Received | MessageState::Deleted => queue.delete(id),
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
