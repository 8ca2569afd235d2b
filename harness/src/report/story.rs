//! From a run to what a report tells of it: judged, with the first violation of each invariant as a story.
//!
//! **Invariant:** a cure comes from the API's file where that has one, because it knows the SDK.

use super::{Entry, Story};
use crate::invariant::{Demand, registry};
use crate::run::Run;
use crate::scenario::Scenario;
use crate::timeline::Timeline;
use crate::trace::Trace;
use crate::verdict::{ControlResult, InvariantResult, InvariantVerdict, ScenarioResult};

/// Judges a run and tells its violations.
#[must_use]
pub fn entry(
    scenario: &Scenario,
    run: &Run,
    control: Option<ControlResult>,
    reproduce: String,
) -> Entry {
    let result = run.judged(scenario, control, reproduce);
    Entry {
        stories: stories(scenario, &run.trace, &result),
        result,
        excused: false,
        known: Vec::new(),
    }
}

/// One story for each invariant that failed.
#[must_use]
pub fn stories(scenario: &Scenario, trace: &Trace, result: &ScenarioResult) -> Vec<Story> {
    result
        .invariants
        .iter()
        .filter(|one| one.verdict == InvariantVerdict::Failed)
        .map(|one| story(scenario, trace, one))
        .collect()
}

fn story(scenario: &Scenario, trace: &Trace, invariant: &InvariantResult) -> Story {
    let timeline = invariant
        .violations
        .first()
        .and_then(|violation| Timeline::of_named(trace, violation.operation.as_deref()?))
        .map(|timeline| timeline.lines())
        .unwrap_or_default();
    let demand = scenario
        .expect
        .iter()
        .filter(|one| one.name == invariant.name)
        .find_map(|one| one.invariant.demand());
    let kind = registry::find(invariant.name);
    let expected = demand.map(|one| one.summary).or(kind.map(|kind| kind.summary));
    Story {
        invariant: invariant.name,
        timeline,
        expected: expected.unwrap_or_default().to_owned(),
        cure: cure(scenario, invariant.name, demand),
    }
}

/// What to change in the client, in the API's own words where it has any, because it knows the SDK. They are for
/// what the invariant asks of everybody; where parameters ask for more, that comes first.
fn cure(scenario: &Scenario, invariant: &str, demand: Option<Demand>) -> String {
    let of_api = scenario
        .providers
        .values()
        .find_map(|provider| provider.api.cure(invariant))
        .map(str::to_owned);
    match (demand, of_api) {
        (Some(demand), Some(of_api)) => format!("{} Here: {of_api}", demand.cure),
        (Some(demand), None) => demand.cure.to_owned(),
        (None, Some(of_api)) => of_api,
        (None, None) => registry::find(invariant).map_or("", |kind| kind.cure).to_owned(),
    }
}
