//! Jobs: one measure of time, fields that can be set, and a route by which somebody can look.

use std::sync::Arc;

use serde_json::Value;

use super::super::answer::CONTEXT_NAMES;
use super::super::job::{JobPace, JobSpec};
use super::super::raw::{RawJob, RawRoute};
use super::super::route::Route;
use crate::document::At;
use crate::template::Tree;

/// The most looks that a job may need.
const MOST_LOOKS: u32 = 1_000;

pub(super) fn job(raw: &RawJob, route: &RawRoute, at: &At<'_>) -> Option<JobSpec> {
    if route.creates.is_none() {
        at.error("a job is the object that its route makes, and this one makes none", |d| {
            d.key().cure("say `creates:`, with an object whose `status` is `pending`")
        });
    }
    let pace = match (raw.takes, raw.polls) {
        (Some(takes), None) if takes.micros() > 0 => Some(JobPace::Time(takes.micros())),
        (None, Some(polls)) if (1..=MOST_LOOKS).contains(&polls) => Some(JobPace::Looks(polls)),
        (Some(_), None) => {
            at.key("takes").error("a job that takes no time is none", |d| {
                d.cure("use at least `1ms`, or leave `job` out")
            });
            None
        }
        (None, Some(polls)) => {
            at.key("polls").error(format!("{polls} is out of range"), |d| {
                d.cure(format!("use 1 to {MOST_LOOKS}"))
            });
            None
        }
        (_, _) => {
            at.error("a job says exactly one of `takes` and `polls`", |d| {
                d.cure(
                    "write `takes: 2s` for a time, or `polls: 3` for the look at which it is done",
                )
            });
            None
        }
    };
    if raw.done.is_none() {
        at.error("`done` is missing", |d| d.cure("add `done: {status: succeeded}`"));
    }
    let fields = |raw: Option<&Value>, key: &str| {
        let empty = Value::Object(serde_json::Map::new());
        let raw = raw.unwrap_or(&empty);
        if !raw.is_object() {
            at.key(key).error(format!("`{key}` is a map of fields"), |d| d);
            return None;
        }
        Tree::resolve(raw, &CONTEXT_NAMES, &at.key(key))
    };
    let (running, done) =
        (fields(raw.running.as_ref(), "running"), fields(raw.done.as_ref(), "done"));
    let failed = fields(raw.failed.as_ref(), "failed");
    Some(JobSpec { pace: pace?, running: running?, done: done?, failed: failed? })
}

/// Reports jobs that nobody could look at.
pub(super) fn check_looks(routes: &[Arc<Route>], at: &At<'_>) {
    for route in routes.iter().filter(|route| route.job.is_some()) {
        let Some(made) = route.creates.as_ref().map(|creates| &creates.collection) else {
            continue;
        };
        let reads = |one: &&Arc<Route>| {
            one.uses.as_ref().is_some_and(|uses| uses.collection == *made) && one.only_reads()
        };
        if !routes.iter().any(|one| reads(&one)) {
            at.error(format!("nobody can look at the jobs of `{}`", route.name), |d| {
                d.cure(format!("add a route with `reads: {{collection: {made}, id: \"path:id\"}}`"))
            });
        }
    }
}
