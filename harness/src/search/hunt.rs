//! The hunt: random seeds and random scripts until something breaks.
//!
//! Every second run is the scenario itself under the next seed, if its rules draw; the others strike at
//! random places with the faults that the rules name. Where the client goes is learned from the runs.
//! **Invariant:** what run number `n` does follows from the scenario, the seed and the runs of earlier
//! generations, however many take place at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::event::Mode;
use brownout_provider::seed::{RuleKey, Seed};

use super::case::Case;
use super::palette::{Palette, Reach};
use super::pursue::{Found, pursue};
use super::{Ground, News, Tried};
use crate::run::RunError;
use crate::scenario::Scenario;
use crate::verdict::Verdict;

/// How many runs the first generation has; each further one has twice as many, up to the most.
const FIRST_GENERATION: u64 = 8;
const LARGEST_GENERATION: u64 = 512;

/// How often a script is drawn anew that is no scenario.
const DRAWS: u32 = 8;

/// How long a hunt goes on.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Runs at most.
    pub runs: u64,
    /// False as soon as the time is over.
    pub in_time: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for Limits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// What came of a hunt.
#[derive(Debug)]
pub struct Hunted {
    /// How many runs took place before something was found, that run included.
    pub runs: u64,
    /// How many of them ended with a verdict on the client.
    pub judged: u64,
    /// What was found.
    pub found: Option<Found>,
    /// Why nothing can be said, where nothing was found.
    pub doubt: Option<String>,
}

/// Hunts.
///
/// # Errors
///
/// When a run cannot be made.
pub fn hunt(
    ground: &Ground<'_>,
    limits: Limits<'_>,
    hears: &mut dyn FnMut(News),
) -> Result<Hunted, RunError> {
    let mut hunted = Hunted { runs: 0, judged: 0, found: None, doubt: None };
    let mut hunter = Hunter::new(&ground.scenario);
    let mut doubt = None;
    let mut size = FIRST_GENERATION;
    while hunted.runs < limits.runs && (limits.in_time)() && (ground.goes_on)() {
        let last = limits.runs.min(hunted.runs.saturating_add(size));
        let prey: Vec<Prey> = (hunted.runs..last).map(|number| hunter.prey(number)).collect();
        let make = |one: &Prey| (Arc::clone(&one.scenario), one.seed);
        let results = ground.run_all(&prey, limits.in_time, make, hears);
        for (one, result) in prey.into_iter().zip(results) {
            let Some(tried) = result else { continue };
            let tried = tried?;
            hunted.runs += 1;
            hunter.learn(&tried);
            hunted.judged += u64::from(tried.result.verdict != Verdict::Inconclusive);
            doubt = doubt.or_else(|| tried.doubt()).or_else(|| tried.result.reason.clone());
            if tried.violated().next().is_some() {
                hunted.found =
                    pursue(ground, &one.scenario, tried, hunter.palette.simplest(), hears)?;
                return Ok(hunted);
            }
        }
        size = (size * 2).min(LARGEST_GENERATION);
    }
    if !(ground.goes_on)() {
        hunted.doubt = Some("it was interrupted".to_owned());
    } else if hunted.judged == 0 {
        hunted.doubt = Some(doubt.unwrap_or_else(|| "no run took place".to_owned()));
    }
    Ok(hunted)
}

/// One run to make.
struct Prey {
    scenario: Arc<Scenario>,
    seed: Seed,
}

/// What a hunt has learned.
struct Hunter {
    scenario: Arc<Scenario>,
    calm: Case,
    palette: Palette,
    reach: Reach,
    draws: bool,
}

impl Hunter {
    fn new(scenario: &Arc<Scenario>) -> Self {
        let workload = &scenario.workload;
        let reach = Reach {
            operations: workload.operations,
            submits: workload.submits.times,
            places: scenario
                .called()
                .into_iter()
                .map(|(provider, route)| (scenario.named(&provider), route))
                .collect(),
        };
        // Rules without a chance may still draw how long a delay is.
        let draws = scenario.rules.iter().any(|rule| {
            rule.when.chance_ppm.is_some()
                || rule.faults.iter().any(|fault| fault.kind().name == "latency")
        });
        Self {
            scenario: Arc::clone(scenario),
            calm: Case::calm(scenario),
            palette: Palette::of(scenario),
            reach,
            draws,
        }
    }

    /// Where the client goes.
    fn learn(&mut self, tried: &Tried) {
        let trace = &tried.trace;
        let several = self.scenario.providers.are_several();
        let places: BTreeSet<_> = trace
            .requests()
            .filter_map(|(_, request)| Some((several.then_some(request.provider), request.route?)))
            .collect();
        for (provider, route) in places {
            let provider = provider.map(|name| trace.text(name).into());
            self.reach.places.insert((provider, trace.text(route).into()));
        }
        let seen = u64::try_from(trace.operations().count()).unwrap_or(u64::MAX);
        if trace.mode() == Mode::Suite {
            self.reach.operations = seen.max(1);
        } else if seen > 0 {
            self.reach.operations = self.reach.operations.min(seen);
        }
    }

    /// What run `number` (from 0) does.
    fn prey(&self, number: u64) -> Prey {
        let itself = number == 0 || (self.draws && number.is_multiple_of(2));
        let scripted = if itself { None } else { self.scripted(number) };
        scripted.unwrap_or_else(|| {
            let first = self.scenario.seed.get();
            let seed = first.saturating_add(number / 2) % (Seed::MAX.get() + 1);
            let seed = Seed::new(seed).unwrap_or(self.scenario.seed);
            Prey { scenario: Arc::clone(&self.scenario), seed }
        })
    }

    /// The scenario with a random script in the place of its rules.
    fn scripted(&self, number: u64) -> Option<Prey> {
        let calm = &self.calm;
        let key = RuleKey::new(self.scenario.seed, "hunt");
        let operation = number.to_string();
        (1..=DRAWS).find_map(|attempt| {
            let at = Coordinates { operation: &operation, attempt, ..Coordinates::NOWHERE };
            let script = self.palette.random(&self.reach, &mut key.draw(&at));
            if script.is_empty() {
                return None;
            }
            let scenario = calm.with_script(script).scenario().ok()?;
            Some(Prey { scenario: Arc::new(scenario), seed: calm.seed })
        })
    }
}
