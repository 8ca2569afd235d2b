//! What an API says of work that goes on behind an answer.
//!
//! **Invariant:** pure data; how far a job is stands in [`crate::job`].

use serde_json::{Map, Value};

use super::answer::Context;
use super::route::Route;
use crate::template::{TemplateError, Tree};

/// Work that is accepted now and done later.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// When it is done.
    pub pace: JobPace,
    /// Fields that are set in its object when it has half of that behind it.
    pub running: Tree,
    /// Fields that are set when it is done.
    pub done: Tree,
    /// Fields that are set when it fails.
    pub failed: Tree,
}

/// When a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobPace {
    /// After this time, in microseconds, at least 1.
    Time(u64),
    /// At this look, at least 1.
    Looks(u32),
}

/// What is set in the object of one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFields {
    /// When it runs.
    pub running: Map<String, Value>,
    /// When it is done.
    pub done: Map<String, Value>,
    /// When it fails.
    pub failed: Map<String, Value>,
}

impl Route {
    /// What is set in the object of the job that the request begins; `context.object` must be set.
    ///
    /// # Errors
    ///
    /// When the request lacks something that a field needs.
    pub fn job_fields(&self, context: &Context<'_>) -> Result<Option<JobFields>, TemplateError> {
        let Some(job) = &self.job else { return Ok(None) };
        let names = context.names();
        let fields = |tree: &Tree| match tree.render(&names)? {
            Value::Object(fields) => Ok(fields),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Ok(Map::new()),
        };
        Ok(Some(JobFields {
            running: fields(&job.running)?,
            done: fields(&job.done)?,
            failed: fields(&job.failed)?,
        }))
    }
}
