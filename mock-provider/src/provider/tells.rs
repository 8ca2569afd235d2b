//! Who tells of events: the work of a request becomes a webhook, which is sent until it is heard.
//!
//! **Invariant:** what was never committed is never told of, and what nobody can hear or read is never made.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::Provider;
use super::later::Done;
use super::open::Place;
use super::struck::Mark;
use crate::api::{Route, Webhooks, bytes};
use crate::coordinates::Coordinates;
use crate::event::{Delivered, EventKind, Recognized, WebhookAnswered, WebhookSent};
use crate::exchange::{ExchangeId, Settled};
use crate::fault::{Action, Point, WebhookFault};
use crate::ledger::{Object, Owner};
use crate::plan::{Met, Situation, Strike};
use crate::recognition::{Recognition, Submitted};
use crate::webhook::{After, Due, Occurred, Parcel};

/// How many characters of an event's id are drawn.
const DRAWN: usize = 24;

/// What an event is about.
#[derive(Debug)]
pub(super) struct About {
    /// The request that brought it about.
    pub(super) request: ExchangeId,
    pub(super) place: Place,
    /// How many events of it there were before.
    pub(super) nth: u32,
}

impl Provider {
    /// The deliveries that have become due since the last call, with the time of each.
    #[must_use]
    pub fn take_dues(&mut self) -> Vec<Due> {
        std::mem::take(&mut self.dues)
    }

    /// From here on every operation that is submitted is an event of this type, which tells of an object as the
    /// route would make it that the API tells of so.
    ///
    /// Tells whether somebody listens, and the API has such an event.
    pub fn tell_by(&mut self, event: &str) -> bool {
        let route = self.listened.clone().and_then(|api| {
            let mut events = api.events.iter();
            events.find(|(_, kind)| ***kind == *event).map(|(route, _)| Arc::clone(route))
        });
        self.announces = route.and_then(|route| self.api.route_named(&route).cloned());
        self.announces.is_some()
    }

    /// Tells of a submitted operation, where operations are events.
    pub(super) fn send_event(&mut self, submitted: &Submitted, now_us: u64) {
        let (Some(route), Some(api)) = (self.announces.clone(), self.listened.clone()) else {
            return;
        };
        let Some(kind) = api.events.get(&route.name).cloned() else { return };
        let Some((object, value)) = self.object_of(&route, submitted, now_us) else { return };
        let (operation, submit) = (Arc::clone(&submitted.id), submitted.submit);
        let coordinates = Coordinates {
            provider: &self.name,
            route: &route.name,
            operation: &operation,
            submit,
            attempt: 1,
        };
        let mut id = api.prefix.clone();
        self.ids.draw(&coordinates).push_alphanumeric(DRAWN, &mut id);
        let struck = self.event_faults(&route, &operation, submit, now_us);
        if let Some(creates) = &route.creates {
            let owner = Owner { operation: Arc::clone(&operation), submit };
            let collection = Arc::clone(&creates.collection);
            let kept = Object::new(collection, bytes(&value), None, owner);
            self.ledger.put(object, kept, self.history);
        }
        let body = self.body_of(&api, (&id, &kind), &value, now_us);
        let occurred = Occurred { id: id.into(), kind, operation, submit, body };
        self.keep_event(&api, &occurred, now_us);
        let delivered = Delivered { route: Arc::clone(&route.name), submit, attempt: 1 };
        self.announce((0, struck, Some(delivered)), occurred, now_us);
    }

    /// What strikes an event that an operation is: the route has the operation's first attempt, which nobody
    /// made.
    fn event_faults(
        &mut self,
        route: &Arc<Route>,
        operation: &Arc<str>,
        submit: u32,
        now_us: u64,
    ) -> Vec<(Mark, WebhookFault)> {
        let recognition = Recognition {
            operation: Arc::clone(operation),
            submit,
            number: self.recognizer.number(operation),
            how: Recognized::Object,
        };
        let (operation_number, numbered) = self.arrivals.peek(&recognition);
        let decision = self.plan.decide_for(
            Met::Event,
            &Situation {
                at: Coordinates {
                    provider: &self.name,
                    route: &route.name,
                    operation,
                    submit,
                    attempt: 1,
                },
                route: Some(route),
                operation_number,
                numbered,
                tenant: None,
                method: &route.method,
                headers: &HeaderMap::new(),
                body: None,
                since_first_us: now_us.saturating_sub(self.common.first_us().unwrap_or(now_us)),
                reused: false,
                streamed: false,
                http2: false,
            },
        );
        let strikes = decision.strikes.into_iter().filter_map(|strike| {
            let Action::Webhook(fault) = strike.action else { return None };
            let Strike { rule, fault: kind, detail, scheduled, .. } = strike;
            let at = Point::AfterCommit.into();
            let mark = Mark { rule, fault: kind.name, detail, scheduled, alone: true, at };
            Some((mark, fault))
        });
        strikes.collect()
    }

    /// The webhooks of the API, where events are heard or kept.
    fn telling(&self) -> Option<Arc<Webhooks>> {
        let kept = || self.api.webhooks.clone().filter(|api| api.collection.is_some());
        self.listened.clone().or_else(kept)
    }

    /// What of an object that was made or changed is told to those who listen.
    pub(super) fn tell_of(&mut self, done: &Done, webhooks: &[(Mark, WebhookFault)], now_us: u64) {
        if self.telling().is_none() {
            return;
        }
        let object = match (done.made.first(), &done.used) {
            (Some(made), _) => serde_json::from_slice(&made.text).unwrap_or(Value::Null),
            (None, Some(used)) => used.changed.clone().unwrap_or(Value::Null),
            (None, None) => Value::Null,
        };
        let about = About { request: done.request, place: done.place.clone(), nth: 0 };
        self.tell_about(&about, &object, webhooks, now_us);
    }

    /// What became of an object is told to those who listen.
    pub(super) fn tell_about(
        &mut self,
        about: &About,
        object: &Value,
        webhooks: &[(Mark, WebhookFault)],
        now_us: u64,
    ) {
        let Some(api) = self.telling() else { return };
        let place = &about.place;
        let Some(kind) = api.events.get(&place.route.name).cloned() else { return };
        let id = self.event_id(&api.prefix, about);
        let body = self.body_of(&api, (&id, &kind), object, now_us);
        let occurred = Occurred {
            id: id.into(),
            kind,
            operation: Arc::clone(&place.operation),
            submit: place.submit,
            body,
        };
        self.keep_event(&api, &occurred, now_us);
        if self.listened.is_none() {
            return;
        }
        self.announce((about.request, webhooks.to_vec(), None), occurred, now_us);
    }

    /// The body of an event.
    fn body_of(
        &self,
        api: &Webhooks,
        (id, kind): (&str, &str),
        object: &Value,
        now_us: u64,
    ) -> Bytes {
        let now = Value::from(self.epoch_s(now_us));
        let event = json!({"id": id, "type": kind});
        let names = [("event", &event), ("object", object), ("now", &now)];
        // A file whose template asks for what an object lacks tells so where it is seen: in the body.
        let body =
            api.body.render(&names).unwrap_or_else(|error| json!({"error": error.to_string()}));
        bytes(&body)
    }

    /// An event can be read back where the API keeps its events, whatever becomes of its deliveries.
    fn keep_event(&mut self, api: &Webhooks, occurred: &Occurred, now_us: u64) {
        let Some(collection) = api.collection.clone() else { return };
        let owner = Owner { operation: Arc::clone(&occurred.operation), submit: occurred.submit };
        let event = Object::new(collection, occurred.body.clone(), None, owner).made_at(now_us);
        self.ledger.put(Arc::clone(&occurred.id), event, self.history);
    }

    /// An event has occurred, and this is what befalls it.
    fn announce(
        &mut self,
        (request, struck, delivered): (ExchangeId, Vec<(Mark, WebhookFault)>, Option<Delivered>),
        occurred: Occurred,
        now_us: u64,
    ) {
        for (mark, _) in &struck {
            let operation = Some(Arc::clone(&occurred.operation));
            self.emit_struck((request, operation, delivered.clone()), mark, now_us);
        }
        let faults: Vec<WebhookFault> = struck.into_iter().map(|(_, fault)| fault).collect();
        let dues = self.outbox.occurred(occurred, &faults, now_us);
        self.dues.extend(dues);
    }

    /// A delivery is due: what goes out now; `None` for one that is over.
    pub fn send_webhook(&mut self, delivery: u64, now_us: u64) -> Option<Parcel> {
        let api = self.listened.clone()?;
        let at_s = self.epoch_s(now_us);
        let (event, attempt, parcel) = self.outbox.send(delivery, &api, at_s)?;
        let sent = WebhookSent {
            provider: Arc::clone(&self.name),
            delivery,
            webhook: Arc::clone(&event.id),
            kind: Arc::clone(&event.kind),
            operation: Arc::clone(&event.operation),
            submit: event.submit,
            attempt,
            flaw: parcel.flaw,
        };
        self.emit(now_us, EventKind::WebhookSent(sent));
        Some(parcel)
    }

    /// A delivery was answered with a status, or why it was not; when it is due again, if it is.
    pub fn webhook_answered(
        &mut self,
        delivery: u64,
        answer: Result<u16, String>,
        now_us: u64,
    ) -> Option<Due> {
        let api = self.listened.clone()?;
        let event = self.outbox.event_of(delivery).filter(|_| self.announces.is_some());
        let taken = answer.as_ref().is_ok_and(|status| (200..300).contains(status));
        let after = self.outbox.answered(delivery, answer.as_ref().ok().copied(), &api, now_us);
        let due = match after {
            After::Again(due) => Some(due),
            After::Over => None,
        };
        let answered = WebhookAnswered {
            provider: Arc::clone(&self.name),
            delivery,
            status: answer.as_ref().ok().copied(),
            detail: answer.err().unwrap_or_default(),
            again: due.is_some(),
        };
        self.emit(now_us, EventKind::WebhookAnswered(answered));
        if let Some(event) = event
            && (taken || !self.outbox.tells_of(&event.id))
        {
            let (operation, submit) = (Arc::clone(&event.operation), event.submit);
            self.settled.push(Settled { operation, submit, done: taken });
        }
        due
    }

    fn event_id(&mut self, prefix: &str, about: &About) -> String {
        let place = &about.place;
        // A gateway's repeat is work of its own, and an event of its own.
        let request = match about.nth {
            0 => about.request.to_string(),
            nth => format!("{}.{nth}", about.request),
        };
        let at = Coordinates { provider: &request, ..self.coordinates(place) };
        let mut id = prefix.to_owned();
        self.ids.draw(&at).push_alphanumeric(DRAWN, &mut id);
        id
    }
}
