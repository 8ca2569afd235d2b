//! Who tells of events: the work of a request becomes a webhook, which is sent until it is heard.
//!
//! **Invariant:** what was never committed is never told of, and what nobody listens to is never made.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Provider;
use super::later::Done;
use super::open::Place;
use super::struck::Mark;
use crate::coordinates::Coordinates;
use crate::event::{EventKind, FaultInjected, WebhookAnswered, WebhookSent};
use crate::exchange::ExchangeId;
use crate::fault::WebhookFault;
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

    /// What of an object that was made or changed is told to those who listen.
    pub(super) fn tell_of(&mut self, done: &Done, webhooks: &[(Mark, WebhookFault)], now_us: u64) {
        if self.listened.is_none() {
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
        let Some(api) = self.listened.clone() else { return };
        let place = &about.place;
        let Some(kind) = api.events.get(&place.route.name).cloned() else { return };
        let id = self.event_id(&api.prefix, about);
        let now = Value::from(self.epoch_s(now_us));
        let event = json!({"id": id, "type": &*kind});
        let names = [("event", &event), ("object", object), ("now", &now)];
        // A file whose template asks for what an object lacks tells so where it is seen: in the body.
        let body =
            api.body.render(&names).unwrap_or_else(|error| json!({"error": error.to_string()}));
        let occurred = Occurred {
            id: id.into(),
            kind,
            operation: Arc::clone(&place.operation),
            submit: place.submit,
            body: Bytes::from(body.to_string()),
        };
        for (mark, _) in webhooks {
            let event = FaultInjected {
                request: about.request,
                provider: Arc::clone(&self.name),
                operation: Some(Arc::clone(&place.operation)),
                rule: Arc::clone(&mark.rule),
                fault: mark.fault.into(),
                at: Some(mark.at.name().into()),
                scheduled: mark.scheduled,
                detail: mark.detail.clone(),
            };
            self.emit(now_us, EventKind::FaultInjected(event));
        }
        let faults: Vec<WebhookFault> = webhooks.iter().map(|(_, fault)| *fault).collect();
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
