//! Jobs of a provider: begun by requests, seen by reads, done when their time has come.
//!
//! **Invariant:** what a job is there for is committed once, by its course, whether or not anybody looks; what
//! was told of it before was only that it goes on.

use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::Provider;
use super::later::LEAST_WAIT_US;
use super::open::{Open, Place, Stage};
use super::struck::Mark;
use super::tells::About;
use crate::api::{Context, EffectDraft, JobFields, JobPace, Route};
use crate::event::{EventKind, Job as JobEvent, JobState, JobStep, Side};
use crate::exchange::{ExchangeId, Next};
use crate::fault::{JobFault, WebhookFault};
use crate::hint::{self, HintSpec};
use crate::job::Turn;
use crate::ledger::EffectId;

/// What a job is there for, until it is done.
#[derive(Debug)]
pub(super) struct Task {
    request: ExchangeId,
    by: Side,
    place: Place,
    /// The effects that are committed when it is done, or where it fails half-way the first half of them.
    effects: Vec<EffectDraft>,
    fields: JobFields,
    /// Its object as it began.
    begun: Map<String, Value>,
    /// The first effect, once it is committed.
    committed: Option<EffectId>,
    /// What befalls the events that tell of its end.
    webhooks: Vec<(Mark, WebhookFault)>,
    /// How often its end was told.
    ends: u32,
    /// What whoever looks is told.
    hint: Option<HintSpec>,
}

/// A job as the draft of a request has it.
#[derive(Debug)]
pub(super) struct JobDraft {
    pub(super) id: Arc<str>,
    pub(super) fields: JobFields,
    pub(super) object: Value,
    pub(super) effects: Vec<EffectDraft>,
}

impl Provider {
    /// Opens the watch over the job that a request may begin.
    pub(super) fn watch_job(
        &mut self,
        of: ExchangeId,
        route: &Route,
        from_us: u64,
    ) -> Option<(ExchangeId, Next)> {
        let JobPace::Time(takes_us) = route.job.as_ref()?.pace else { return None };
        let id = self.take_id();
        self.watches.insert(id, (of, takes_us));
        Some((id, Next::Wait { until_us: later_by(from_us, takes_us) }))
    }

    /// The time has come to look after a job.
    pub(super) fn watch(
        &mut self,
        id: ExchangeId,
        (of, takes_us): (ExchangeId, u64),
        now_us: u64,
    ) -> Next {
        self.settle_jobs(now_us);
        let on_its_way = || {
            self.open.get(&of).is_some_and(|open| {
                matches!(
                    open.stage,
                    Stage::Arrive
                        | Stage::Upload { .. }
                        | Stage::Gate
                        | Stage::Held
                        | Stage::Work(_)
                )
            })
        };
        let next_us = self.jobs.next_of(of);
        let next_us = next_us.or_else(|| on_its_way().then(|| later_by(now_us, takes_us)));
        let Some(until_us) = next_us else { return Next::Done };
        self.watches.insert(id, (of, takes_us));
        Next::Wait { until_us }
    }

    /// The request begins a job.
    pub(super) fn begin_job(&mut self, open: &mut Open, place: &Place, draft: JobDraft) {
        let Some(pace) = place.route.job.as_ref().map(|job| job.pace) else { return };
        let JobDraft { id, fields, object, mut effects } = draft;
        let struck = open.struck.jobs.first().cloned();
        if let Some((mark, fault)) = &struck {
            self.emit_strike(open, mark);
            if matches!(fault, JobFault::FailsHalfWay { done: false }) {
                effects.truncate(effects.len() / 2);
            }
        }
        let fault = struck.map(|(_, fault)| fault);
        self.jobs.begin((Arc::clone(&id), open.id), pace, fault.as_ref(), open.now_us);
        let hint = match fault {
            Some(JobFault::AsksToWait { hint }) => Some(hint),
            _ => None,
        };
        let begun = object.as_object().cloned().unwrap_or_default();
        let task = Task {
            request: open.id,
            by: open.by,
            place: place.clone(),
            effects,
            fields,
            begun,
            committed: None,
            webhooks: std::mem::take(&mut open.struck.webhooks),
            ends: 0,
            hint,
        };
        let event = task.event(&self.name, &id, JobStep::Accepted, JobState::Pending);
        self.tasks.insert(id, task);
        self.emit(open.now_us, event);
    }

    /// Everything happens to jobs that has come by time.
    pub(super) fn settle_jobs(&mut self, now_us: u64) {
        while let Some((id, turn)) = self.jobs.due(now_us) {
            self.turn(&id, turn, now_us);
        }
    }

    /// A request may look at a job: what that brings about, and what it is told beside the job.
    pub(super) fn look_at_job(&mut self, open: &Open, place: &Place) -> Option<HintSpec> {
        self.settle_jobs(open.now_us);
        let uses = place.route.uses.as_ref().filter(|_| place.route.only_reads())?;
        if self.jobs.is_empty() {
            return None;
        }
        let context = Context::new(&open.call, 0);
        let id: Arc<str> = place.route.used_id(&context).ok()??.into();
        let task = self.tasks.get(&id)?;
        let made = task.place.route.creates.as_ref().map(|creates| &creates.collection);
        if made != Some(&uses.collection) {
            return None;
        }
        for turn in self.jobs.look(&id) {
            self.turn(&id, turn, open.now_us);
        }
        let state = self.jobs.state(&id)?;
        let task = self.tasks.get(&id)?;
        let seen = JobEvent {
            request: open.id,
            operation: Arc::clone(&place.operation),
            submit: place.submit,
            ..task.told(&self.name, &id, JobStep::Polled, state)
        };
        let hint = task.hint.clone().filter(|_| !state.is_final());
        self.emit(open.now_us, EventKind::Job(seen));
        hint
    }

    /// Adds what whoever looks at a job is told.
    pub(super) fn tell_to_wait(&self, hint: &HintSpec, now_us: u64, headers: &mut HeaderMap) {
        hint::write(hint, &self.api.hint, self.wall(now_us), headers, None);
    }

    /// The job of an object is stopped, by a request that says what becomes of the object; that is an end of
    /// which users are told like of any other.
    pub(super) fn stop_job(&mut self, id: &str, object: Option<&Value>, now_us: u64) {
        if self.jobs.stop(id, JobState::Canceled)
            && let Some(task) = self.tasks.get_mut(id)
        {
            let event = task.event(&self.name, id, JobStep::Changed, JobState::Canceled);
            let (about, webhooks) = task.ends();
            self.emit(now_us, event);
            self.tell_about(&about, object.unwrap_or(&Value::Null), &webhooks, now_us);
        }
    }

    fn turn(&mut self, id: &Arc<str>, turn: Turn, now_us: u64) {
        match turn {
            Turn::Commits => self.commit_job(id, now_us),
            Turn::Shows(state) => self.show_job(id, state, now_us),
        }
    }

    fn commit_job(&mut self, id: &Arc<str>, now_us: u64) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let drafts = std::mem::take(&mut task.effects);
        let (request, by, place) = (task.request, task.by, task.place.clone());
        let effects: Vec<_> =
            drafts.into_iter().map(|effect| (self.ledger.commit(effect.amount), effect)).collect();
        if let Some(task) = self.tasks.get_mut(id) {
            task.committed = effects.first().map(|(id, _)| *id);
        }
        for event in self.committed((request, by), &place, effects, &[Arc::clone(id)]) {
            self.emit(now_us, event);
        }
    }

    fn show_job(&mut self, id: &Arc<str>, state: JobState, now_us: u64) {
        if state == JobState::Failed {
            // What there is of its output was done by then.
            self.commit_part(id, now_us);
        }
        let Some(task) = self.tasks.get_mut(id) else { return };
        let mut object = task.begun.clone();
        let JobFields { running, done, failed } = &task.fields;
        let fields: &[&Map<String, Value>] = match state {
            JobState::Pending | JobState::Canceled | JobState::Gone => &[],
            JobState::Running => &[running],
            JobState::Succeeded => &[running, done],
            JobState::Failed => &[running, failed],
        };
        for fields in fields {
            object.extend((*fields).clone());
        }
        let object = Value::Object(object);
        let event = task.event(&self.name, id, JobStep::Changed, state);
        let ended = matches!(state, JobState::Succeeded | JobState::Failed);
        let told = ended.then(|| task.ends());
        if state == JobState::Gone {
            self.ledger.forget(id);
        } else if let Some(entry) = self.ledger.get_mut(id) {
            entry.change(object.clone(), now_us, self.history);
            // Only a job that is seen to be done tells of what it did.
            entry.stand_for(task.committed.filter(|_| state == JobState::Succeeded), now_us);
        }
        self.emit(now_us, event);
        if let Some((about, webhooks)) = told {
            self.tell_about(&about, &object, &webhooks, now_us);
        }
    }

    /// Of a job that fails half-way, what of its work is done: nothing of work that is one piece.
    fn commit_part(&mut self, id: &Arc<str>, now_us: u64) {
        let commits_later = self.jobs.commits(id);
        if !commits_later {
            self.commit_job(id, now_us);
        }
    }
}

impl Task {
    /// It has ended, perhaps not for the first time: what is told of that, and what befalls it.
    fn ends(&mut self) -> (About, Vec<(Mark, WebhookFault)>) {
        let nth = self.ends;
        self.ends += 1;
        (About { request: self.request, place: self.place.clone(), nth }, self.webhooks.clone())
    }

    fn event(&self, provider: &Arc<str>, id: &str, step: JobStep, state: JobState) -> EventKind {
        EventKind::Job(self.told(provider, id, step, state))
    }

    fn told(&self, provider: &Arc<str>, id: &str, step: JobStep, state: JobState) -> JobEvent {
        JobEvent {
            provider: Arc::clone(provider),
            request: self.request,
            operation: Arc::clone(&self.place.operation),
            submit: self.place.submit,
            job: id.into(),
            step,
            state,
        }
    }
}

/// When to look after a job next whose request may still be on its way: no later than its first turn can come.
fn later_by(now_us: u64, takes_us: u64) -> u64 {
    now_us.saturating_add((takes_us / 4).max(LEAST_WAIT_US))
}
