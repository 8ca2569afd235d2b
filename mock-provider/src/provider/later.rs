//! Work that appears only a while after its answer.
//!
//! The ledger changes when it is answered, so that nothing is done twice and nothing that was answered is left
//! undone; reads see it, and the trace hears of it, when its time has come.
//! **Invariant:** what was answered always appears, once, whether or not anybody still looks.

use std::sync::Arc;

use super::Provider;
use super::open::{Open, Place, Stage};
use super::struck::Mark;
use super::work::Made;
use crate::api::EffectDraft;
use crate::event::{Digest16, EffectCommitted, EffectReversed, EventKind, MessageState, Side};
use crate::exchange::{ExchangeId, Next};
use crate::fault::{OrderFault, WebhookFault};
use crate::ledger::{EffectId, Object, Owner};

/// How often it is asked whether the work has been answered by now, at the least, in microseconds.
pub(super) const LEAST_WAIT_US: u64 = 1_000;

/// What a request did, ready to be seen.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) request: ExchangeId,
    pub(super) by: Side,
    pub(super) place: Place,
    pub(super) effects: Vec<(EffectId, EffectDraft)>,
    /// The objects made: one for each effect, or one for all of them.
    pub(super) made: Vec<Made>,
    pub(super) used: Option<super::work::Used>,
    /// What befalls the event that tells of it.
    pub(super) webhooks: Vec<(Mark, WebhookFault)>,
}

/// Work that is to appear later.
#[derive(Debug)]
pub(super) struct Later {
    /// The request that does it.
    of: ExchangeId,
    by_us: u64,
    /// When it appears, and what the trace hears then; `None` until it is done.
    done: Option<(u64, Appears)>,
}

/// What appears of a request's work.
#[derive(Debug)]
struct Appears {
    /// What the trace hears.
    events: Vec<EventKind>,
    removed: Option<Deleted>,
}

/// A message that was deleted.
#[derive(Debug)]
struct Deleted {
    request: ExchangeId,
    id: String,
    /// How often it had been received.
    receives: u32,
    /// Which of these times the receipt names that it was deleted with.
    receipt: Option<u32>,
}

/// By how much work appears late.
fn lateness(fault: OrderFault) -> Option<u64> {
    match fault {
        OrderFault::Slow { by_us } => Some(by_us),
        OrderFault::Held { .. } | OrderFault::Stale { .. } | OrderFault::Read { .. } => None,
    }
}

impl Provider {
    /// Opens the wait for the work of a request that is to appear later.
    pub(super) fn open_later(&mut self, open: &mut Open) -> Option<(ExchangeId, Next)> {
        let (_, by_us) = open.struck.most(lateness)?;
        let id = self.take_id();
        self.later.insert(id, Later { of: open.id, by_us, done: None });
        open.later = Some(id);
        Some((id, Next::Wait { until_us: open.now_us.saturating_add(by_us.max(LEAST_WAIT_US)) }))
    }

    /// The work is done: it is seen now, or when a strike on the request says.
    pub(super) fn show(&mut self, open: &mut Open, done: Done) {
        let late = open.later.filter(|_| done.place.route.does_work());
        let by_us = late.and_then(|id| self.later.get(&id)).map(|later| later.by_us);
        let Some((id, by_us)) = late.zip(by_us) else {
            let appears = self.record(open, done, open.now_us);
            self.appear(appears, open.now_us);
            return;
        };
        let due_us = open.now_us.saturating_add(by_us);
        let appears = self.record(open, done, due_us);
        if let Some(later) = self.later.get_mut(&id) {
            later.done = Some((due_us, appears));
            self.pending += 1;
        }
        if let Some((mark, _)) = open.struck.most(lateness) {
            self.emit_strike(open, &mark);
        }
    }

    /// The time has come to look after work that appears later.
    pub(super) fn look_after(&mut self, id: ExchangeId, mut later: Later, now_us: u64) -> Next {
        if let Some((_, appears)) = later.done.take_if(|(due_us, _)| *due_us <= now_us) {
            self.appear(appears, now_us);
            self.pending -= 1;
            return Next::Done;
        }
        let until_us = match &later.done {
            Some((due_us, _)) => Some(*due_us),
            // As long as its request is on its way the work may still be done.
            None => self
                .open
                .get(&later.of)
                .is_some_and(|open| {
                    matches!(
                        open.stage,
                        Stage::Upload { .. } | Stage::Gate | Stage::Held | Stage::Work(_)
                    )
                })
                .then(|| now_us.saturating_add(later.by_us.max(LEAST_WAIT_US))),
        };
        let Some(until_us) = until_us else { return Next::Done };
        self.later.insert(id, later);
        Next::Wait { until_us }
    }

    /// Its time has come: the trace hears of it, and a message that was deleted is gone.
    fn appear(&mut self, Appears { events, removed }: Appears, now_us: u64) {
        let gone = removed.and_then(|Deleted { request, id, receives, receipt }| {
            self.settle_message(request, (&id, receives, receipt), MessageState::Deleted)
        });
        for event in events.into_iter().chain(gone) {
            self.emit(now_us, event);
        }
    }

    /// Changes the ledger, of which reads tell from this time on, and says what the trace hears then.
    fn record(&mut self, open: &Open, done: Done, seen_us: u64) -> Appears {
        if done.place.route.job.is_none() {
            self.tell_of(&done, &done.webhooks, seen_us);
        }
        if let Some(used) = done.used.as_ref().filter(|_| done.place.route.cancels) {
            self.stop_job(&used.id, used.changed.as_ref(), seen_us);
        }
        let Done { request, by, place, effects, made, used, .. } = done;
        let tenant = self.tenant(open).cloned();
        let objects: Vec<Arc<str>> = made.iter().map(|made| Arc::clone(&made.id)).collect();
        let ids: Vec<EffectId> = effects.iter().map(|(id, _)| *id).collect();
        let first = ids.first().copied();
        let mut events = self.committed((request, by), &place, effects, &objects);
        let removed = used.as_ref().filter(|_| place.route.removes).map(|used| {
            let object = self.ledger.get_any(&used.id);
            let receives = object.and_then(|object| object.value().get("receives")?.as_u64());
            let receives = receives.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
            Deleted { request, id: used.id.clone(), receives, receipt: used.receipt }
        });
        if let Some(used) = used {
            if let Some(entry) = self.ledger.get_mut(&used.id) {
                if let Some(changed) = used.changed {
                    entry.change(changed, seen_us, self.history);
                }
                entry.stand_for(first, seen_us);
            }
            if place.route.reverses
                && let Some(effect) = used.effect
                && let Some(amount) = self.ledger.reverse(effect, used.undone)
            {
                let event = EffectReversed {
                    effect,
                    amount,
                    request,
                    provider: Arc::clone(&self.name),
                    operation: Arc::clone(&place.operation),
                };
                events.push(EventKind::EffectReversed(event));
            }
        }
        for (index, Made { id, collection, text }) in made.into_iter().enumerate() {
            let effect = if objects.len() == ids.len() { ids.get(index).copied() } else { first };
            let owner = Owner { operation: Arc::clone(&place.operation), submit: place.submit };
            if let Some(queue) = &mut self.queue
                && self.api.queue.as_ref().is_some_and(|policy| policy.messages == collection)
            {
                queue.put(Arc::clone(&id), seen_us);
            }
            let object = Object::new(collection, text, effect, owner).of_tenant(tenant.clone());
            self.begin_upload(&id, &object.collection, seen_us);
            self.ledger.put(id, object.made_at(seen_us), self.history);
        }
        Appears { events, removed }
    }

    /// What the trace hears of effects.
    pub(super) fn committed(
        &self,
        (request, by): (ExchangeId, Side),
        place: &Place,
        effects: Vec<(EffectId, EffectDraft)>,
        objects: &[Arc<str>],
    ) -> Vec<EventKind> {
        let billed = place.route.effect.as_ref().is_some_and(|effect| effect.billed);
        let each = objects.len() == effects.len();
        let event = |(index, (effect, draft)): (usize, (EffectId, EffectDraft))| {
            EventKind::EffectCommitted(EffectCommitted {
                effect,
                request,
                provider: Arc::clone(&self.name),
                operation: Arc::clone(&place.operation),
                submit: place.submit,
                kind: draft.kind,
                subject: draft.subject,
                amount: draft.amount,
                unit: draft.unit,
                digest: draft.digest.as_deref().and_then(Digest16::of_hexadecimal),
                billed,
                object: objects.get(if each { index } else { 0 }).cloned(),
                by,
            })
        };
        effects.into_iter().enumerate().map(event).collect()
    }
}
