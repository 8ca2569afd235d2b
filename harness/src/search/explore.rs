//! Exploring: every combination of faults over the first attempts of an operation.
//!
//! **Invariant:** a client is said to have survived all schedules only if each of them was run, or could
//! not have differed from one that was, and if every run said something.

use std::sync::Arc;

use brownout_provider::event::Mode;
use serde_json::Value;

use super::case::Case;
use super::freeze::Numbers;
use super::palette::read;
use super::pursue::{Found, pursue};
use super::script::{Injection, NamedFault, faults_named};
use super::simplest::Simplest;
use super::walk::{Schedule, Step, Walk};
use super::{Ground, News, Tried};
use crate::run::RunError;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::verdict::Verdict;

/// How many schedules are handed out at once.
const WAVE: usize = 256;

/// What is explored: these faults, or none, at these places.
#[derive(Clone, Debug)]
pub struct Space {
    calm: Case,
    faults: Vec<Value>,
    route: Arc<str>,
    /// Operation, provider (where there are several) and attempt of each place.
    places: Vec<(u64, Option<Arc<str>>, u32)>,
}

/// What of the space the user chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The faults; those that the scenario names, where there are none.
    pub faults: Vec<Value>,
    /// The first so many attempts of each operation, at least 1.
    pub depth: u32,
    /// The first so many operations, at least 1.
    pub operations: u64,
}

/// What came of exploring.
#[derive(Debug)]
pub struct Explored {
    /// How many schedules there are.
    pub total: u128,
    /// How many were run.
    pub runs: u64,
    /// How many are the same as one that was run, that one included.
    pub covered: u128,
    /// True when the client survived every one of them.
    pub survived: bool,
    /// What was found.
    pub found: Option<Found>,
    /// Why nothing can be said, where nothing was found and it was not survived.
    pub doubt: Option<String>,
}

impl Space {
    /// The space of a scenario.
    ///
    /// # Errors
    ///
    /// Why there is none, with what to do instead.
    pub fn new(scenario: &Scenario, choice: &Choice) -> Result<Self, String> {
        let named = faults_named(&scenario.source);
        let mut routes = scenario.workload.routes();
        if routes.len() != 1 {
            routes.clear();
            routes.extend(named.iter().filter_map(|one| one.route.clone()));
            routes.dedup();
        }
        let [route] = &routes[..] else {
            return Err(
                "the scenario does not say which route is explored; name it in `workload: \
                        {call: …}` (for a service `http: {calls: …}`), or name one route in the rules"
                    .to_owned(),
            );
        };
        let mut faults = Vec::new();
        let wanted = if choice.faults.is_empty() {
            named.into_iter().map(|one| one.fault).collect()
        } else {
            choice.faults.clone()
        };
        for fault in wanted {
            let mut called = scenario.providers.with_route(route).peekable();
            let is_none = called.peek().is_none();
            if is_none || called.any(|(_, one, _)| read(&fault, &one.api, Some(route)).is_none()) {
                return Err(format!(
                    "`{}` is no fault that can strike at `{route}`; `brownout list faults` shows what there is",
                    super::yaml::flow(&fault)
                ));
            }
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        if faults.is_empty() {
            return Err("there is no fault to explore; name some with `--faults`, such as \
                        `--faults 'reset: {at: after_commit}, status: {code: 503}'`"
                .to_owned());
        }
        let mut calm = Case::calm(scenario);
        // One operation after the other: what comes later then changes nothing about what came before.
        calm.load.operations = choice.operations;
        calm.load.concurrency = 1;
        let providers: Vec<Option<Arc<str>>> =
            scenario.providers.with_route(route).map(|(name, ..)| scenario.named(name)).collect();
        let places = (1..=choice.operations)
            .flat_map(|operation| providers.iter().map(move |provider| (operation, provider)))
            .flat_map(|(operation, provider)| {
                (1..=choice.depth).map(move |attempt| (operation, provider.clone(), attempt))
            })
            .collect();
        let space = Self { calm, faults, route: Arc::clone(route), places };
        if space.total() == u128::MAX {
            // Nobody could ever say that all of them were survived.
            return Err(format!(
                "{} {} or none at each of {} attempts are more than 10^38 schedules, which are too many to \
                 count; take fewer attempts, fewer operations or fewer faults",
                space.faults.len(),
                if space.faults.len() == 1 { "fault" } else { "faults" },
                space.places.len(),
            ));
        }
        Ok(space)
    }

    /// How many schedules there are.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.walk().total()
    }

    /// The faults.
    #[must_use]
    pub fn faults(&self) -> &[Value] {
        &self.faults
    }

    /// The same, as what may take the place of others when a schedule is made smaller.
    fn simplest(&self) -> Arc<Simplest> {
        let named = |fault: &Value| NamedFault {
            provider: None,
            route: Some(Arc::clone(&self.route)),
            fault: fault.clone(),
        };
        Arc::new(Simplest::of(self.faults.iter().map(named)))
    }

    fn walk(&self) -> Walk {
        Walk::new(self.faults.len(), self.places.len())
    }

    fn case(&self, schedule: &Schedule) -> Case {
        let struck = schedule.iter().zip(&self.places).filter(|(fault, _)| **fault > 0);
        let script = struck.map(|(fault, (operation, provider, attempt))| Injection {
            operation: *operation,
            submit: 1,
            provider: provider.clone(),
            route: Arc::clone(&self.route),
            attempt: *attempt,
            fault: self.faults[*fault - 1].clone(),
        });
        self.calm.with_script(script.collect())
    }

    /// At which places the client came by, in the order in which it did.
    fn reached(&self, trace: &Trace) -> Vec<usize> {
        let numbers = Numbers::of(trace);
        let mut reached = Vec::new();
        for (_, request) in trace.requests() {
            let is_there = request.route.is_some_and(|route| trace.text(route) == &*self.route);
            let number = request.operation.and_then(|operation| numbers.number(operation));
            let its = trace.text(request.provider);
            let place = self.places.iter().position(|(operation, provider, attempt)| {
                number == Some(*operation)
                    && *attempt == request.attempt
                    && provider.as_deref().is_none_or(|name| name == its)
            });
            let counts = is_there && request.by.is_client() && request.submit == 1;
            if let Some(place) = place.filter(|place| counts && !reached.contains(place)) {
                reached.push(place);
            }
        }
        reached
    }
}

/// Explores.
///
/// # Errors
///
/// When a run cannot be made.
pub fn explore(
    ground: &Ground<'_>,
    space: &Space,
    hears: &mut dyn FnMut(News),
) -> Result<Explored, RunError> {
    let mut walk = space.walk();
    let (mut judged, mut doubt, mut found) = (false, None, None);
    while found.is_none() && (ground.goes_on)() {
        let steps = walk.next(WAVE);
        if steps.is_empty() {
            break;
        }
        let runs: Vec<(Step, Arc<Scenario>)> = steps
            .into_iter()
            .filter_map(|step| match space.case(&step.schedule).scenario() {
                Ok(scenario) => Some((step, Arc::new(scenario))),
                Err(problems) => {
                    let first = problems.first().map_or("", |one| one.message.as_str());
                    doubt.get_or_insert(format!("a schedule is no scenario: {first}"));
                    None
                }
            })
            .collect();
        let make = |(_, scenario): &(Step, Arc<Scenario>)| (Arc::clone(scenario), space.calm.seed);
        let results = ground.run_all(&runs, &|| true, make, hears);
        for ((step, scenario), result) in runs.into_iter().zip(results) {
            let Some(tried) = result else { continue };
            let tried: Tried = tried?;
            walk.learn(&step, &space.reached(&tried.trace));
            judged |= tried.result.verdict != Verdict::Inconclusive;
            doubt = doubt.or_else(|| tried.doubt());
            doubt = doubt.or_else(|| overlapping(&tried.trace));
            if found.is_none() && tried.violated().next().is_some() {
                found = pursue(ground, &scenario, tried, space.simplest(), hears)?;
            }
        }
    }
    let is_over = found.is_some();
    if !(ground.goes_on)() {
        doubt.get_or_insert("it was interrupted".to_owned());
    } else if !judged {
        doubt.get_or_insert("no run exercised anything that is expected".to_owned());
    } else if !walk.is_whole() {
        doubt.get_or_insert(format!(
            "the client did not do the same again when it met the same, in {} of {} runs, so that runs do \
             not stand for others",
            walk.missed(),
            walk.runs()
        ));
    }
    Ok(Explored {
        total: walk.total(),
        runs: walk.runs(),
        covered: walk.covered(),
        survived: !is_over && doubt.is_none(),
        doubt: doubt.filter(|_| !is_over),
        found,
    })
}

/// Why runs of a suite that does several things at once do not stand for others.
fn overlapping(trace: &Trace) -> Option<String> {
    let mut open = None;
    let overlaps = trace.requests().any(|(_, request)| {
        let ends = request.response.map(|response| response.end_at_us);
        let before = open.replace((request.operation, ends.unwrap_or(request.at_us)));
        before.is_some_and(|(operation, end)| operation != request.operation && end > request.at_us)
    });
    (trace.mode() == Mode::Suite && overlaps).then(|| {
        "the suite works on several operations at once, so that what happens to one may change another; \
         let it do one after the other"
            .to_owned()
    })
}
