//! A drawn scenario, and where it comes from: drawn by chance, or kept from an earlier failure.
//!
//! **Invariant:** what a drawn scenario runs as is exactly what its file says: both come from one value.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brownout_provider::document::{Diagnostic, Severity};
use brownout_provider::plan::Met;
use brownout_provider::seed::{Draw, Seed};
use serde_json::{Map, Value};

use super::plan::{Load, Plan, Room};
use super::regressions;
use super::tree::Model;
use crate::harness::{Judged, Prepared};
use crate::run::RunError;
use crate::scenario::schedule::delivered;
use crate::scenario::{Apis, Arrival, Overrides, Providers, Scenario, from_value};
use crate::search::script::NamedFault;
use crate::search::simplest::Simplest;
use crate::search::yaml;

/// How often what is wrong with a drawn scenario is taken out of it.
const MENDINGS: usize = 4;

/// A scenario by chance. Its debug form, which proptest prints, is its file.
#[derive(Clone)]
pub struct Drawn {
    scenario: Arc<Scenario>,
}

impl Drawn {
    pub(super) fn new(scenario: Scenario) -> Self {
        Self { scenario: Arc::new(scenario) }
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// How many faults its rules or its script name.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.scenario.rules.iter().map(|rule| rule.faults.len()).sum()
    }

    /// The file.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::text(&self.scenario.source, &[])
    }

    /// Drives a prepared client through it, and judges it.
    ///
    /// # Errors
    ///
    /// As [`Prepared::run`].
    pub fn run(&self, client: &Prepared) -> Result<Judged, RunError> {
        client.run_scenario(&self.scenario, self.scenario.seed)
    }
}

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}\n{}{}", regressions::BEGIN, self.to_yaml(), regressions::END)
    }
}

/// The scenario that is varied.
#[derive(Clone, Debug)]
pub(super) struct Base {
    scenario: Scenario,
    /// The file without its rules and its script.
    source: Value,
    pub(super) providers: Providers,
}

impl Base {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut source = Value::clone(&scenario.source);
        if let Some(file) = source.as_object_mut() {
            file.shift_remove("faults");
            file.shift_remove("script");
        }
        let providers = scenario.providers.clone();
        Self { scenario: scenario.clone(), source, providers }
    }

    pub(super) fn call(&self) -> Option<&str> {
        self.scenario.workload.call.as_deref()
    }

    /// The routes that the work of the scenario leads to, and what is struck there.
    pub(super) fn struck(&self) -> Vec<(Arc<str>, Met)> {
        let mut struck = delivered(&self.scenario);
        if self.scenario.workload.queue.is_some() {
            // Nobody asks for a message to be sent, and whoever received one asks for its work to be done.
            let works = self.api().routes.iter().filter(|route| route.is_effectful());
            struck.extend(works.map(|route| (Arc::clone(&route.name), Met::Request)));
        } else {
            struck.extend(self.call().map(|call| (Arc::from(call), Met::Request)));
        }
        struck
    }

    /// The API that the client's work begins at: what is drawn strikes every provider that has its routes.
    pub(super) fn api(&self) -> &brownout_provider::api::Api {
        let providers = &self.providers;
        let called = self.call().and_then(|call| providers.with_route(call).next());
        called.map_or(&providers.first().1.api, |(_, spec, _)| &spec.api)
    }

    pub(super) fn load(&self) -> Load {
        let workload = &self.scenario.workload;
        Load {
            operations: workload.operations,
            concurrency: workload.concurrency,
            submits: u64::from(workload.submits.times),
            at_once: workload.arrival == Arrival::AtOnce,
        }
    }

    /// The workload of the file with another load.
    pub(super) fn workload(&self, load: Load) -> Value {
        let empty = Map::new();
        let written = self.source.get("workload").and_then(Value::as_object);
        let mut workload = written.unwrap_or(&empty).clone();
        workload.insert("operations".to_owned(), load.operations.into());
        if load.concurrency > 1 {
            workload.insert("concurrency".to_owned(), load.concurrency.into());
        } else {
            workload.shift_remove("concurrency");
        }
        if load.at_once {
            workload.shift_remove("arrival");
        }
        if load.submits == 1 {
            workload.shift_remove("submits");
        } else if let Some(Value::Object(submits)) = workload.get_mut("submits") {
            submits.insert("times".to_owned(), load.submits.into());
        } else {
            workload.insert("submits".to_owned(), load.submits.into());
        }
        Value::Object(workload)
    }

    /// The scenario of a plan. An expectation that it cannot exercise is left out, and so is a rule that
    /// could never strike because an earlier one always does.
    fn scenario(&self, room: &Room, plan: &Plan) -> Scenario {
        let mut source = self.source.clone();
        if let Some(file) = source.as_object_mut() {
            let seed = self.scenario.seed.get().saturating_add(plan.seed).min(Seed::MAX.get());
            file.insert("seed".to_owned(), seed.into());
            file.insert("workload".to_owned(), self.workload(plan.load));
            if !plan.strikes.is_empty() {
                let (key, rules) = room.rules_value(plan);
                file.insert(key.to_owned(), rules);
            }
        }
        for _ in 0..MENDINGS {
            let same = Apis::Same(&self.providers);
            let (scenario, problems) = from_value(&source, same, &Overrides::default());
            if let Some(scenario) = scenario {
                return scenario;
            }
            if !mend(&mut source, &problems) {
                break;
            }
        }
        Scenario {
            rules: Vec::new(),
            source: Arc::new(self.source.clone()),
            ..self.scenario.clone()
        }
    }
}

/// Takes out every entry of a list that is wrong; false where something else is wrong.
fn mend(source: &mut Value, problems: &[Diagnostic]) -> bool {
    let errors = problems.iter().filter(|one| one.severity == Severity::Error);
    let places: Option<Vec<(&str, usize)>> = errors
        .map(|one| {
            let (list, rest) = one.path.split_once('[')?;
            Some((list, rest.split_once(']')?.0.parse().ok()?))
        })
        .collect();
    let Some(mut places) = places else { return false };
    places.sort_unstable();
    places.dedup();
    let mut is_whole = true;
    for (list, index) in places.into_iter().rev() {
        let entries = source.get_mut(list).and_then(Value::as_array_mut);
        match entries.filter(|entries| index < entries.len()) {
            Some(entries) => drop(entries.remove(index)),
            None => is_whole = false,
        }
    }
    if let Some(file) = source.as_object_mut() {
        file.retain(|key, value| {
            !(["faults", "script"].contains(&key.as_str()) && value == &Value::Array(Vec::new()))
        });
    }
    is_whole
}

/// Variations by chance, after those that were kept.
#[derive(Debug)]
pub(super) struct Variations {
    pub(super) base: Base,
    pub(super) room: Result<Room, String>,
    /// Variations that failed before, in the order of their files.
    pub(super) kept: Result<Vec<Drawn>, String>,
    /// How many of them have been handed out.
    pub(super) replayed: AtomicUsize,
}

impl Clone for Variations {
    fn clone(&self) -> Self {
        Self {
            base: self.base.clone(),
            room: self.room.clone(),
            kept: self.kept.clone(),
            replayed: AtomicUsize::new(0),
        }
    }
}

impl Variations {
    pub(super) fn new(scenario: &Scenario, faults: &super::Faults) -> Result<Self, String> {
        let base = Base::new(scenario);
        let catalog = faults.catalog(base.api(), &base.struck());
        let room = catalog.map(|catalog| Room::new(faults, catalog, base.load()));
        Ok(Self { base, room, kept: Ok(Vec::new()), replayed: AtomicUsize::new(0) })
    }

    /// What may take the place of other faults when a failure is made smaller.
    pub(super) fn simplest(&self) -> Simplest {
        let Ok(room) = &self.room else { return Simplest::default() };
        Simplest::of(room.simplest.iter().map(|pick| {
            let on = &room.catalog[pick.route];
            let fault = on.variants[pick.variant].value.clone();
            NamedFault { provider: None, route: Some(Arc::clone(&on.route)), fault }
        }))
    }

    pub(super) fn replaying(mut self, folder: &Path) -> Self {
        self.kept = regressions::load(folder, &self.base.scenario.name).map(|kept| kept.drawn);
        self
    }
}

/// A scenario that was drawn, or one that was kept.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Plan(Plan),
    Kept(usize),
}

impl Model for Variations {
    type Inner = Origin;
    type Shown = Drawn;

    fn draw(&self, draw: &mut Draw) -> Result<Origin, String> {
        let kept = self.kept.as_ref().map_err(String::clone)?;
        let next = self.replayed.fetch_add(1, Ordering::Relaxed);
        if next < kept.len() {
            return Ok(Origin::Kept(next));
        }
        let room = self.room.as_ref().map_err(String::clone)?;
        Ok(Origin::Plan(room.plan(draw)))
    }

    /// What was kept is as simple as it gets.
    fn simpler(&self, origin: &Origin) -> Vec<Origin> {
        match (&self.room, origin) {
            (Ok(room), Origin::Plan(plan)) => {
                room.simpler(plan).into_iter().map(Origin::Plan).collect()
            }
            (Ok(_) | Err(_), Origin::Kept(_)) | (Err(_), Origin::Plan(_)) => Vec::new(),
        }
    }

    fn show(&self, origin: &Origin) -> Drawn {
        match (origin, &self.room, &self.kept) {
            (Origin::Plan(plan), Ok(room), _) => Drawn::new(self.base.scenario(room, plan)),
            (Origin::Kept(at), _, Ok(kept)) if *at < kept.len() => kept[*at].clone(),
            // Neither is ever drawn.
            (Origin::Plan(_) | Origin::Kept(_), _, _) => Drawn::new(self.base.scenario.clone()),
        }
    }
}
