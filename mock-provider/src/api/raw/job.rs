//! Work that goes on behind an answer, as it stands in an API file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::units::Period;

/// Work that is accepted now and done later: the object that the route makes is the job, and whoever reads it
/// sees how far it is. The effect of the route is committed when the job is done.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawJob {
    /// How long it takes.
    pub takes: Option<Period>,
    /// At which look it is done, instead of after a time.
    #[schemars(range(min = 1, max = 1_000))]
    pub polls: Option<u32>,
    /// Fields that are set in its object when it has half of that behind it: `{status: running}`.
    pub running: Option<Value>,
    /// Fields that are set when it is done.
    pub done: Option<Value>,
    /// Fields that are set where a fault has it fail, with what of its output there is.
    pub failed: Option<Value>,
}
