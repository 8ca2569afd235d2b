//! The work itself: what the route does, told to the ledger and kept under the key.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::Provider;
use super::jobs::JobDraft;
use super::later::Done;
use super::open::{Open, Own, Place, Stage, Work};
use crate::api::{
    Batch, Context, EffectDraft, ErrorContext, Fate, ItemDone, Route, Standard, Stores, Uses,
    Which, Written, WrongField, bytes,
};
use crate::exchange::Next;
use crate::fault::{Ending, OrderFault, Point};
use crate::ledger::{EffectId, Object, Owner};
use crate::template::TemplateError;

/// What a request would do, worked out before anything is changed.
struct Draft {
    written: Written,
    /// The objects made.
    made: Vec<Made>,
    used: Option<Used>,
    effects: Vec<EffectDraft>,
    /// Which of them the answer does not tell of.
    untold: Vec<usize>,
    /// Effects of objects that are read back.
    told: Vec<EffectId>,
    /// The answer in an earlier state of the object, where a fault asks for it and there was one.
    earlier: Option<Bytes>,
    /// True when it shows something else than it would without a lag.
    is_stale: bool,
    /// The job that it begins; its effects wait for that.
    job: Option<JobDraft>,
}

impl Draft {
    /// Adds what becomes of the items of a request.
    fn add(&mut self, route: &Route, batch: Batch) {
        let Some(collection) = route.batch.as_ref().map(|batch| &batch.collection) else { return };
        for ItemDone { id, text, effect, told } in batch.done {
            if !told {
                self.untold.push(self.effects.len());
            }
            self.effects.extend(effect);
            self.made.push(Made { id, collection: Arc::clone(collection), text });
        }
    }
}

/// An object that a request makes.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) id: Arc<str>,
    pub(super) collection: Arc<str>,
    pub(super) text: Bytes,
}

/// The object that a request reads, changes, or whose effect it undoes.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) id: String,
    pub(super) effect: Option<EffectId>,
    /// What it becomes.
    pub(super) changed: Option<Value>,
    /// How much of its effect is undone, where the route undoes effects; `None` for all that is left.
    pub(super) undone: Option<i64>,
    /// For a message: which time that it was received the request names by its receipt.
    pub(super) receipt: Option<u32>,
}

/// An object of a list: its id, itself, and what a read shows of it.
type Entry<'a> = (&'a str, &'a Object, &'a Value);

/// What a request lists.
struct Listed {
    objects: Value,
    /// True when the collection goes on behind them.
    has_more: bool,
    /// True when they are others than they would be without a lag.
    is_stale: bool,
}

/// Why a request does nothing.
enum Refused {
    /// One of the API's errors.
    Error(Arc<str>),
    /// A standard error.
    Standard(Standard),
    /// There is no such object yet, for a read that lags behind.
    NotYet,
    /// The query is not as it must be, or names an object that is not there.
    Unlisted(WrongField),
    /// It names one that is not there yet, for a read that lags behind.
    UnlistedYet(WrongField),
    /// The API file asks for something that is not there.
    Template(TemplateError),
}

impl From<TemplateError> for Refused {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

impl Provider {
    /// The time of the work has come.
    pub(super) fn work(&mut self, open: &mut Open, work: Work) -> Next {
        if let Some(mark) = open.struck.deprecation() {
            self.emit_strike(open, &mark);
        }
        if let Some(mark) = self.strike_client(open, &[Point::BeforeCommit]) {
            // Its key is free as soon as the client is gone, as for a client that hangs up.
            return self.end(open, &mark, Ending::Hang, None);
        }
        if let Some((mark, ending)) = open.struck.ending_at(&[Point::BeforeCommit]) {
            self.emit_strike(open, &mark);
            self.leave_unfinished(open, &ending);
            return self.end(open, &mark, ending, None);
        }
        let own = match work {
            Work::Settled(own) => own,
            Work::Commit => self.commit(open),
        };
        if open.struck.pauses_at(Point::AfterCommit) {
            // Only a client that is killed leaves a mark to go on with.
            let _ = self.strike_client(open, &[Point::AfterCommit]);
        }
        for mark in std::mem::take(&mut open.struck.after.marks) {
            self.emit_strike(open, &mark);
        }
        match open.struck.after.total_us {
            0 => self.reply(open, own),
            micros => {
                open.stage = Stage::Reply(own);
                // Counted so that `advance` counts it down; the work itself is done.
                Next::Wait { until_us: open.now_us.saturating_add(micros) }
            }
        }
    }

    /// An ending before the work frees the key at once, but for a hang, which frees it when the client
    /// closes, and for a key that is held.
    fn leave_unfinished(&mut self, open: &mut Open, ending: &Ending) {
        let Some(slot) = open.slot else { return };
        match ending {
            Ending::Hang => return,
            // The answer that takes the place of the provider's own is kept when it is made.
            Ending::Answer(answer) if answer.kept => return,
            Ending::InFlight { for_us, .. } if *for_us > 0 => {
                self.store.hold(slot, open.now_us.saturating_add(*for_us));
            }
            Ending::InFlight { .. }
            | Ending::Interim(_)
            | Ending::Answer(_)
            | Ending::Accepted
            | Ending::Malformed(_)
            | Ending::Stream(_)
            | Ending::Cut { .. }
            | Ending::GoAway(_)
            | Ending::CloseIdle
            | Ending::Misframed { .. } => {}
        }
        open.slot = None;
        self.store.free(slot, open.id, open.now_us);
    }

    /// Does what the route does, and gives the provider's own answer.
    fn commit(&mut self, open: &mut Open) -> Own {
        let Some(place) = open.place.clone() else {
            return self.refuse(open, Which::Standard(Standard::UnknownRoute), None);
        };
        if place.route.upload.is_some() {
            return self.take_piece(open, &place);
        }
        let hint = self.look_at_job(open, &place);
        if place.route.receives.is_some() {
            open.received = self.receive(open, &place);
        }
        if place.route.removes {
            self.hand_back(open, &place.route);
        }
        let draft = self.draft(open, &place);
        self.tell_lag(open, &draft);
        let (mut own, keep) = match draft {
            Ok(draft) => (self.carry_out(open, place, draft), true),
            Err(refused) => {
                let own = self.explain(open, &refused);
                let all = self.api.idempotency.as_ref().map(|policy| policy.stores);
                (own, all == Some(Stores::All))
            }
        };
        if let Some(hint) = hint {
            self.tell_to_wait(&hint, open.now_us, &mut own.headers);
        }
        if open.struck.keeps_another() {
            return own;
        }
        if !keep {
            open.late = None;
            if let Some(slot) = open.slot.take() {
                self.store.free(slot, open.id, open.now_us);
            }
        } else if open.late.is_none() {
            let slot = open.slot;
            self.keep_answer(open, &own);
            if let (Some(slot), Some((_, Point::AfterCommit, Ending::InFlight { for_us, .. }))) =
                (slot, open.struck.ending.as_deref())
            {
                self.store.hold(slot, open.now_us.saturating_add(*for_us));
            }
        }
        own
    }

    /// The answer that the work would have, with nothing done: for an answer that looks fine although
    /// nothing happened.
    pub(super) fn preview(&mut self, open: &Open) -> Own {
        let Some(place) = &open.place else {
            return self.refuse(open, Which::Standard(Standard::UnknownRoute), None);
        };
        if place.route.upload.is_some() {
            return self.preview_piece(open, place);
        }
        let draft = self.draft(open, place);
        self.tell_lag(open, &draft);
        match draft {
            Ok(Draft { written, earlier, made, .. }) => {
                for Made { id, .. } in made {
                    // Whoever asks for it later asks for this operation.
                    let operation = Arc::clone(&place.operation);
                    self.ledger.promise(id, Owner { operation, submit: place.submit });
                }
                Own { earlier, ..self.own(open, written, Vec::new()) }
            }
            Err(refused) => self.explain(open, &refused),
        }
    }

    /// Tells of a read that lags behind, if what it shows is old.
    fn tell_lag(&mut self, open: &Open, draft: &Result<Draft, Refused>) {
        let Some((mark, _)) = open.struck.most(lag) else { return };
        if matches!(
            draft,
            Ok(Draft { is_stale: true, .. }) | Err(Refused::NotYet | Refused::UnlistedYet(_))
        ) {
            self.emit_strike(open, &mark);
        } else {
            for rule in open.struck.lag_alone() {
                self.plan.did_not_strike(&rule);
            }
        }
    }

    fn explain(&self, open: &Open, refused: &Refused) -> Own {
        match refused {
            Refused::Error(name) => self.refuse(open, Which::Named(name), None),
            Refused::Standard(error) => self.refuse(open, Which::Standard(*error), None),
            Refused::NotYet => self.refuse(open, Which::Standard(Standard::NotFound), None),
            Refused::Unlisted(why) | Refused::UnlistedYet(why) => self.refuse_wrong(open, why),
            Refused::Template(error) => self.refuse_template(open, error),
        }
    }

    /// The answer where the API file does not fit a request.
    pub(super) fn refuse_template(&self, open: &Open, error: &TemplateError) -> Own {
        let message = format!("the API file does not fit this request: {error}");
        let context = ErrorContext { message: Some(&message), ..ErrorContext::default() };
        let own = self.refuse_with(open, Which::Standard(Standard::InvalidRequest), &context, None);
        let unmade = match error {
            TemplateError::TooMuch { reason, .. } => Some(Arc::from(&**reason)),
            // A provider would have made something of it, and nobody knows what.
            TemplateError::Syntax { .. }
            | TemplateError::Unknown { .. }
            | TemplateError::Render { .. } => Some(Arc::from(error.to_string())),
            // The request lacks it: that is what providers refuse.
            TemplateError::Undefined { .. } => None,
        };
        Own { unmade, ..own }
    }

    /// The object that a request names, unless it is another tenant's. What may be made under an id of the client's
    /// own is there for everybody, since it would be made a second time otherwise.
    fn object(&self, open: &Open, uses: &Uses, id: &str) -> Option<&Object> {
        let tenant = self.tenant(open);
        let object = self.ledger.get(&uses.collection, id);
        object.filter(|object| uses.optional || object.is_shown_to(tenant))
    }

    /// Works out what the request does, and changes nothing.
    fn draft(&self, open: &Open, place: &Place) -> Result<Draft, Refused> {
        let route = &place.route;
        let mut context = Context::new(&open.call, self.epoch_s(open.now_us));
        self.tell_context(open, &mut context);
        let (mut told, mut earlier) = (Vec::new(), None);
        let mut is_stale = false;
        let seen = Seen::by(open, route);
        let target;
        let mut used = None;
        if let Some(uses) = &route.uses {
            let id = used_id(route, uses, &context)?;
            let object = self.object(open, uses, &id);
            let shown = object.and_then(|object| seen.of(object, uses.optional));
            is_stale =
                seen.lags() && object.is_some_and(|object| object.as_of(seen.now_us) != shown);
            if is_stale && shown.is_none() && !uses.optional {
                return Err(Refused::NotYet);
            }
            let object = object.filter(|_| shown.is_some());
            let named =
                shown.map(|value| self.named_copy(open, route, (&id, value))).transpose()?;
            let mut receipt = None;
            target = match (named.flatten(), shown) {
                (Some((copy, named)), _) => {
                    receipt = named;
                    copy
                }
                (None, Some(value)) => value.clone(),
                (None, None) if uses.optional => Value::Null,
                (None, None) => return Err(Refused::Standard(Standard::NotFound)),
            };
            context.target = &target;
            context.object = &target;
            let forbidden = object.is_some() && !uses.allows(&target);
            if forbidden || route.is_forbidden(&context)? {
                return Err(Refused::Error(Arc::clone(&uses.otherwise)));
            }
            if let Some(object) = object {
                let object = (id, object, seen);
                (used, earlier) = self.used(open, route, object, (&context, &mut told))?;
                used = used.map(|used| Used { receipt, ..used });
            }
        }
        if let Some(lists) = &route.lists {
            let listed = self.list(lists, open, seen, &mut told)?;
            is_stale = listed.is_stale;
            (context.objects, context.has_more) = (listed.objects, listed.has_more.into());
        }
        let value;
        let mut made_id = None;
        if let Some(creates) = &route.creates {
            let id = match route.chosen_id(&context)? {
                Some(id) => id.into(),
                None => creates.id.make(&mut open.ids.draw(&self.coordinates(place))),
            };
            context.id = Value::from(&*id);
            value = route.new_object(&context)?.unwrap_or_default();
            context.object = &value;
            made_id = Some((id, Arc::clone(&creates.collection)));
        } else {
            value = match &used {
                Some(Used { changed: Some(changed), .. }) => changed.clone(),
                Some(Used { changed: None, .. }) | None => Value::Null,
            };
            if !value.is_null() {
                context.object = &value;
            }
        }
        let batch = self.batch(open, place, &context)?;
        Ok(Draft { used, told, earlier, is_stale, ..drafted(route, context, made_id, batch)? })
    }

    /// What becomes of the items of a request.
    fn batch(
        &self,
        open: &Open,
        place: &Place,
        context: &Context<'_>,
    ) -> Result<Batch, TemplateError> {
        if place.route.batch.is_none() {
            return Ok(Batch::default());
        }
        let items = place.route.batch_size(context);
        let fates = match open.struck.batches.first() {
            Some((_, fault)) => fault.fates(items),
            None => vec![Fate::Done; items],
        };
        place.route.batch(context, &fates, &mut open.ids.draw(&self.coordinates(place)))
    }

    /// What templates know of the request's own, of the limiter and of messages received.
    fn tell_context(&self, open: &Open, context: &mut Context<'_>) {
        if self.api.wants_request_id {
            context.request_id = self.request_id(open).into();
        }
        if let Some(limit) = &open.limit {
            context.rate_limit = limit.value();
        }
        if let Some(received) = &open.received {
            context.objects = received.clone();
        }
    }

    /// What becomes of an object that is there, and the answer in an earlier state of it.
    fn used(
        &self,
        open: &Open,
        route: &Route,
        (id, object, seen): (String, &Object, Seen),
        (context, told): (&Context<'_>, &mut Vec<EffectId>),
    ) -> Result<(Option<Used>, Option<Bytes>), Refused> {
        let uses = route.uses.as_ref();
        // An object that another takes the place of is not told of any more.
        let is_replaced = route.creates.as_ref().is_some_and(|creates| creates.id.value.is_some());
        told.extend(object.effect_as_of(seen.as_of_us).filter(|_| !is_replaced));
        let (changed, undone) = (route.changed_object(context)?, route.undone_amount(context)?);
        if let (Some(effect), Some(_)) = (object.effect, undone)
            && self.ledger.reversible(effect, undone).is_none()
        {
            let otherwise = uses.map_or_else(Default::default, |uses| Arc::clone(&uses.otherwise));
            return Err(Refused::Error(otherwise));
        }
        let mut earlier = None;
        if open.struck.asks_for_earlier() && route.creates.is_none() {
            let before = if changed.is_some() { Some(context.target) } else { object.earlier() };
            let shown = |before| route.written(&Context { object: before, ..context.clone() });
            earlier = before.map(shown).transpose()?.map(|written| written.body);
        }
        let used = Used { id, effect: object.effect, changed, undone, receipt: None };
        Ok((Some(used), earlier))
    }

    fn list(
        &self,
        lists: &crate::api::Lists,
        open: &Open,
        seen: Seen,
        told: &mut Vec<EffectId>,
    ) -> Result<Listed, Refused> {
        let tenant = self.tenant(open);
        let at = |time_us: i64| {
            let objects: Vec<Entry<'_>> = self
                .ledger
                .list(&lists.collection)
                .filter(|(_, object)| object.is_shown_to(tenant))
                .filter_map(|(id, object)| Some((id, object, object.as_of(time_us)?)))
                .collect();
            lists.page(&open.call, objects, |(id, _, _)| id, |(_, _, value)| value)
        };
        let now = || at(seen.now_us);
        let page = at(seen.as_of_us).map_err(|why| match seen.lags() && now().is_ok() {
            true => Refused::UnlistedYet(why),
            false => Refused::Unlisted(why),
        })?;
        let values = |objects: &[Entry<'_>]| -> Vec<Value> {
            objects.iter().map(|(_, _, value)| (*value).clone()).collect()
        };
        let objects = &page.objects;
        told.extend(objects.iter().filter_map(|(_, object, _)| object.effect_as_of(seen.as_of_us)));
        let shown = values(objects);
        // Also what nobody could list now is old: the object at which the page begins is there no more.
        let is_stale = seen.lags()
            && !now()
                .is_ok_and(|now| now.has_more == page.has_more && values(&now.objects) == shown);
        Ok(Listed { objects: Value::Array(shown), has_more: page.has_more, is_stale })
    }

    /// Does what the draft says, now or later, and gives the answer.
    fn carry_out(&mut self, open: &mut Open, place: Place, draft: Draft) -> Own {
        let Draft { written, made, used, effects, untold, mut told, earlier, job, .. } = draft;
        if place.route.batch.is_some() {
            for (mark, _) in std::mem::take(&mut open.struck.batches).iter().take(1) {
                self.emit_strike(open, mark);
            }
        }
        if let Some(job) = job {
            self.begin_job(open, &place, job);
        }
        let effects: Vec<_> =
            effects.into_iter().map(|effect| (self.ledger.commit(effect.amount), effect)).collect();
        let heard = effects.iter().enumerate().filter(|(index, _)| !untold.contains(index));
        told.extend(heard.map(|(_, (id, _))| *id));
        let (request, by) = (open.id, open.by);
        let webhooks = std::mem::take(&mut open.struck.webhooks);
        self.show(open, Done { request, by, place, effects, made, used, webhooks });
        Own { earlier, ..self.own(open, written, told) }
    }

    /// An answer of the API, with the headers that every answer has.
    pub(super) fn own(&self, open: &Open, written: Written, effects: Vec<EffectId>) -> Own {
        let Written { status, mut headers, body, usable, is_stream, .. } = written;
        self.add_headers(open, &mut headers);
        Own { effects: effects.into(), usable, is_stream, ..Own::new(status, headers, body) }
    }
}

/// What a request makes and answers, whatever it uses; a new object is that of the context.
fn drafted(
    route: &Route,
    mut context: Context<'_>,
    made: Option<(Arc<str>, Arc<str>)>,
    mut batch: Batch,
) -> Result<Draft, TemplateError> {
    let mut effects = route.effects(&context)?;
    context.results = Value::Array(std::mem::take(&mut batch.results));
    let written = route.written(&context)?;
    let job = match &made {
        Some((id, _)) => job(route, &context, id, &mut effects)?,
        None => None,
    };
    let made = made.map(|(id, collection)| {
        let text = if written.is_object { written.body.clone() } else { bytes(context.object) };
        Made { id, collection, text }
    });
    let mut draft = Draft {
        written,
        made: made.into_iter().collect(),
        used: None,
        effects,
        untold: Vec::new(),
        told: Vec::new(),
        earlier: None,
        is_stale: false,
        job,
    };
    draft.add(route, batch);
    Ok(draft)
}

/// The job that a request begins, which takes its effects.
fn job(
    route: &Route,
    context: &Context<'_>,
    id: &Arc<str>,
    effects: &mut Vec<EffectDraft>,
) -> Result<Option<JobDraft>, TemplateError> {
    let Some(fields) = route.job_fields(context)? else { return Ok(None) };
    let effects = std::mem::take(effects);
    Ok(Some(JobDraft { id: Arc::clone(id), fields, object: context.object.clone(), effects }))
}

/// The state of which moments a request sees, in microseconds since the start of the run (negative before it).
#[derive(Clone, Copy, Debug)]
struct Seen {
    now_us: i64,
    /// Now, unless a fault has reads lag behind.
    as_of_us: i64,
    /// True for a request that reads and changes nothing.
    only_reads: bool,
}

impl Seen {
    fn by(open: &Open, route: &Route) -> Self {
        let only_reads = route.only_reads();
        let signed = |micros| i64::try_from(micros).unwrap_or(i64::MAX);
        let lag_us = open.struck.most(lag).filter(|_| only_reads).map_or(0, |(_, lag_us)| lag_us);
        let now_us = signed(open.now_us);
        Self { now_us, as_of_us: now_us.saturating_sub(signed(lag_us)), only_reads }
    }

    const fn lags(self) -> bool {
        self.as_of_us < self.now_us
    }

    /// What of an object the request is about. What is done knows all that was done before, also where
    /// nobody sees that yet; an object that nobody sees yet is missing, unless it need not be there.
    #[expect(clippy::fn_params_excessive_bools, reason = "it says the same as the route")]
    fn of(self, object: &Object, optional: bool) -> Option<&Value> {
        let seen = object.as_of(self.as_of_us);
        if self.only_reads || (seen.is_none() && !optional) { seen } else { Some(object.value()) }
    }
}

/// How far reads lag behind.
fn lag(fault: OrderFault) -> Option<u64> {
    match fault {
        OrderFault::Stale { lag_us } => Some(lag_us),
        OrderFault::Held { .. } | OrderFault::Slow { .. } | OrderFault::Read { .. } => None,
    }
}

/// The id of the object that a request uses; what it lacks for that may be an error of its own.
fn used_id(route: &Route, uses: &Uses, context: &Context<'_>) -> Result<String, Refused> {
    match (route.used_id(context), &uses.lacks) {
        (Err(TemplateError::Undefined { .. }), Some(lacks)) => {
            Err(Refused::Error(Arc::clone(lacks)))
        }
        (id, _) => Ok(id?.unwrap_or_default()),
    }
}
