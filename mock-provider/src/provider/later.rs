//! Work that appears only a while after its answer.
//!
//! The numbers of its effects are given when it is answered, so that the answer can tell of them; the
//! ledger shows it, and the trace hears of it, when its time has come.
//! **Invariant:** what was answered always appears, once, whether or not anybody still looks.

use std::sync::Arc;

use bytes::Bytes;

use super::Provider;
use super::open::{Open, Place, Stage};
use super::struck::Mark;
use crate::api::EffectDraft;
use crate::event::{EffectCommitted, EffectReversed, EventKind, Side};
use crate::exchange::{ExchangeId, Next};
use crate::fault::{OrderFault, WebhookFault};
use crate::ledger::{EffectId, Object, Owner};

/// How often it is asked whether the work has been answered by now, at the least, in microseconds.
const LEAST_WAIT_US: u64 = 1_000;

/// What a request did, ready to be seen.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) request: ExchangeId,
    pub(super) by: Side,
    pub(super) place: Place,
    pub(super) effects: Vec<(EffectId, EffectDraft)>,
    /// The object made: its id, collection and text.
    pub(super) made: Option<(Arc<str>, Arc<str>, Bytes)>,
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
    /// When it appears, and what; `None` until it has been answered.
    done: Option<(u64, Box<Done>)>,
}

impl Provider {
    /// Opens the wait for the work of a request that is to appear later.
    pub(super) fn open_later(&mut self, open: &mut Open) -> Option<(ExchangeId, Next)> {
        let (_, by_us) = open.struck.most(|fault| match fault {
            OrderFault::Slow { by_us } => Some(by_us),
            OrderFault::Held { .. } | OrderFault::Stale { .. } | OrderFault::Read { .. } => None,
        })?;
        let id = self.take_id();
        self.later.insert(id, Later { of: open.id, by_us, done: None });
        self.pending += 1;
        open.later = Some(id);
        Some((id, Next::Wait { until_us: open.now_us.saturating_add(by_us.max(LEAST_WAIT_US)) }))
    }

    /// The work is done: it appears now, or when a strike on the request says.
    pub(super) fn show(&mut self, open: &mut Open, done: Done) {
        let later = open.later.and_then(|id| self.later.get_mut(&id));
        let shows = done.place.route.does_work();
        match later {
            Some(later) if shows => {
                later.done = Some((open.now_us.saturating_add(later.by_us), Box::new(done)));
                let slow = open.struck.most(|fault| match fault {
                    OrderFault::Slow { by_us } => Some(by_us),
                    OrderFault::Held { .. }
                    | OrderFault::Stale { .. }
                    | OrderFault::Read { .. } => None,
                });
                if let Some((mark, _)) = slow {
                    self.emit_strike(open, &mark);
                }
            }
            Some(_) | None => self.appear(done, open.now_us),
        }
    }

    /// The time has come to look after work that appears later.
    pub(super) fn look_after(&mut self, id: ExchangeId, mut later: Later, now_us: u64) -> Next {
        let until_us = match later.done.take_if(|(due_us, _)| *due_us <= now_us) {
            Some((_, done)) => {
                self.appear(*done, now_us);
                None
            }
            None => match &later.done {
                Some((due_us, _)) => Some(*due_us),
                // As long as its request is on its way the work may still be done.
                None => self
                    .open
                    .get(&later.of)
                    .is_some_and(|open| {
                        matches!(open.stage, Stage::Gate | Stage::Held | Stage::Work(_))
                    })
                    .then(|| now_us.saturating_add(later.by_us.max(LEAST_WAIT_US))),
            },
        };
        match until_us {
            Some(until_us) => {
                self.later.insert(id, later);
                Next::Wait { until_us }
            }
            None => {
                self.pending -= 1;
                Next::Done
            }
        }
    }

    /// Changes what everybody sees, and tells the trace.
    fn appear(&mut self, done: Done, now_us: u64) {
        self.tell_of(&done, &done.webhooks, now_us);
        let Done { request, by, place, effects, made, used, .. } = done;
        let object = made.as_ref().map(|(id, _, _)| Arc::clone(id));
        let first = effects.first().map(|(id, _)| *id);
        for (effect, draft) in effects {
            let event = EffectCommitted {
                effect,
                request,
                provider: Arc::clone(&self.name),
                operation: Arc::clone(&place.operation),
                submit: place.submit,
                kind: draft.kind,
                subject: draft.subject,
                amount: draft.amount,
                unit: draft.unit,
                billed: place.route.effect.as_ref().is_some_and(|effect| effect.billed),
                object: object.clone(),
                by,
            };
            self.emit(now_us, EventKind::EffectCommitted(event));
        }
        if let Some(used) = used {
            if let Some(entry) = self.ledger.get_mut(&used.id) {
                if let Some(changed) = used.changed {
                    entry.change(changed, now_us, self.looks_back);
                }
                entry.effect = entry.effect.or(first);
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
                self.emit(now_us, EventKind::EffectReversed(event));
            }
        }
        if let Some((id, collection, text)) = made {
            let owner = Owner { operation: Arc::clone(&place.operation), submit: place.submit };
            let object = Object::new(collection, text, first, owner);
            self.ledger.put(id, object.made_at(now_us), self.looks_back);
        }
    }
}
