//! The palette: the faults that a scenario names, at every point where they can strike, and random
//! scripts of them.
//!
//! **Invariant:** the same draw gives the same script; a fault of the palette is one that the API takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use brownout_provider::api::Api;
use brownout_provider::document::Diagnostics;
use brownout_provider::fault::{Fault, registry};
use brownout_provider::seed::Draw;
use serde_json::Value;

use super::script::{self, Injection, NamedFault, faults_named};
use super::simplest::{POINTS, Simplest};
use crate::scenario::Scenario;
use crate::scenario::entry::{name_of, parameters_of};

/// Up to so many attempts of an operation are struck.
const DEEPEST: u64 = 4;

/// How often a place is struck, in parts per million: one of these for a whole script.
const DENSITIES_PPM: [u32; 4] = [500_000, 250_000, 125_000, 60_000];

/// The faults that a search may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Palette {
    /// As the scenario names them.
    pub named: Vec<NamedFault>,
    /// The same at the other points where they can strike.
    pub moved: Vec<NamedFault>,
}

/// Where a random script may strike.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// How many operations there are.
    pub operations: u64,
    /// How often each is submitted, at least 1.
    pub submits: u32,
    /// Where the client goes: the provider, where there are several, and the route.
    pub places: BTreeSet<(Option<Arc<str>>, Arc<str>)>,
}

impl Palette {
    /// The palette of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let named = faults_named(&scenario.source);
        let api = |one: &NamedFault| {
            let of_name = one.provider.as_deref().and_then(|name| scenario.providers.get(name));
            let route = one.route.as_deref();
            let of_route = || Some(scenario.providers.with_route(route?).next()?.1);
            Arc::clone(&of_name.or_else(of_route).unwrap_or(scenario.providers.first().1).api)
        };
        let moved = named.iter().flat_map(|one| elsewhere(one, &api(one))).collect();
        Self { named, moved }
    }

    /// All of it, as what may take the place of others when a schedule is made smaller.
    #[must_use]
    pub fn simplest(&self) -> Arc<Simplest> {
        Arc::new(Simplest::of(self.named.iter().chain(&self.moved).cloned()))
    }

    /// A random script: each place is struck by chance, by a fault as it is named or at another point.
    /// Empty where there is no fault or nowhere to strike.
    pub fn random(&self, reach: &Reach, draw: &mut Draw) -> Vec<Injection> {
        let mut script = Vec::new();
        if self.named.is_empty() || reach.places.is_empty() {
            return script;
        }
        let density = *pick(&DENSITIES_PPM, draw);
        let depth = 1 + draw.below(DEEPEST);
        for operation in 1..=reach.operations {
            for attempt in (1..).take(usize::try_from(depth).unwrap_or(1)) {
                if !draw.happens(density) {
                    continue;
                }
                let moved = !self.moved.is_empty() && draw.happens(500_000);
                let one = pick(if moved { &self.moved } else { &self.named }, draw);
                let submit = 1 + draw.below(reach.submits.into());
                let (provider, route) = reach.place(one, draw);
                script.push(Injection {
                    operation,
                    submit: u32::try_from(submit).unwrap_or(1),
                    provider,
                    route,
                    attempt,
                    fault: one.fault.clone(),
                });
            }
        }
        script
    }
}

impl Reach {
    /// Where a fault strikes: somewhere where the client goes and its rule allows it, else where its rule
    /// does.
    fn place(&self, one: &NamedFault, draw: &mut Draw) -> (Option<Arc<str>>, Arc<str>) {
        let fits = |(provider, route): &&(Option<Arc<str>>, Arc<str>)| {
            one.route.as_ref().is_none_or(|its| its == route)
                && (one.provider.is_none() || one.provider == *provider)
        };
        let there: Vec<_> = self.places.iter().filter(fits).collect();
        match (&there[..], &one.route) {
            ([], Some(route)) => (one.provider.clone(), Arc::clone(route)),
            // Of all that it does, nothing lies within the rule: the script will strike nothing.
            ([], None) => pick(&self.places.iter().collect::<Vec<_>>(), draw).to_owned().clone(),
            ([only], Some(_)) => (*only).clone(),
            (several, _) => (*pick(several, draw)).clone(),
        }
    }
}

/// One of a list that is not empty.
fn pick<'a, T>(list: &'a [T], draw: &mut Draw) -> &'a T {
    let place = draw.below(u64::try_from(list.len()).unwrap_or(u64::MAX));
    &list[usize::try_from(place).unwrap_or(0)]
}

/// A fault at every point but its own.
fn elsewhere(one: &NamedFault, api: &Api) -> Vec<NamedFault> {
    let route = one.route.as_deref();
    let Some(own) = read(&one.fault, api, route) else { return Vec::new() };
    let told = |fault: &dyn Fault| (fault.point(), fault.detail());
    let mut seen = vec![told(&*own)];
    let name = name_of(&one.fault).unwrap_or_default();
    let written = parameters_of(&one.fault);
    if !written.is_null() && !written.is_object() {
        // A word such as `html_page` says which kind of fault it is, and nothing of points.
        return Vec::new();
    }
    let mut parameters = written.as_object().cloned().unwrap_or_default();
    let mut moved = Vec::new();
    for point in POINTS {
        parameters.insert("at".to_owned(), point.into());
        let fault = script::fault(name, Value::Object(parameters.clone()));
        let Some(read) = read(&fault, api, route) else { continue };
        if !seen.contains(&told(&*read)) {
            seen.push(told(&*read));
            moved.push(NamedFault { fault, ..one.clone() });
        }
    }
    moved
}

/// The fault, if its parameters are right and the API takes it on that route.
#[must_use]
pub fn read(fault: &Value, api: &Api, route: Option<&str>) -> Option<Arc<dyn Fault>> {
    let kind = registry::find(name_of(fault)?)?;
    let problems = Diagnostics::new();
    let read = (kind.parse)(parameters_of(fault), &problems.root())?;
    read.check(api, route, &problems.root());
    (!problems.has_errors()).then_some(read)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use brownout_provider::coordinates::Coordinates;
    use brownout_provider::seed::{RuleKey, Seed};
    use serde_json::json;

    use super::*;
    use crate::scenario::{Apis, Overrides, read as read_scenario};

    const TEXT: &str = "version: 1
name: base
provider: {api: payments}
faults:
  - {name: lost, when: {route: create_charge}, inject: {reset: {at: after_commit}}}
  - {name: slow, inject: {latency: {fixed: 1s}}}
  - {name: odd, inject: {malformed: html_page}}
workload: {call: create_charge, input: {amount: 1, currency: usd, order: 'o-{{ n }}'}}
expect: [no_double_charges]
";

    fn palette() -> Palette {
        let apis = Apis::Beside(Path::new("."));
        let checked = read_scenario("<test>", TEXT.as_bytes(), apis, &Overrides::default());
        Palette::of(&checked.scenario.expect("right"))
    }

    #[test]
    fn faults_are_moved_to_every_point_where_they_can_strike() {
        let palette = palette();
        assert_eq!(palette.named.len(), 3);
        let moved: Vec<String> = palette.moved.iter().map(|one| one.fault.to_string()).collect();
        let expected = [
            json!({"reset": {"at": "before_commit"}}),
            json!({"reset": {"at": "accept"}}),
            json!({"reset": {"at": "mid_body"}}),
            json!({"latency": {"fixed": "1s", "at": "after_commit"}}),
            json!({"latency": {"fixed": "1s", "at": "head"}}),
            json!({"latency": {"fixed": "1s", "at": "chunk"}}),
        ];
        assert_eq!(moved, expected.map(|one| one.to_string()));
    }

    #[test]
    fn the_same_draw_gives_the_same_script_within_reach() {
        let reach = Reach {
            operations: 20,
            submits: 2,
            places: BTreeSet::from([(None, "create_charge".into()), (None, "get_charge".into())]),
        };
        let script = |number| {
            let seed = Seed::new(number).expect("small");
            palette().random(&reach, &mut RuleKey::new(seed, "hunt").draw(&Coordinates::NOWHERE))
        };
        assert_eq!(script(1), script(1));
        let all: Vec<Injection> = (0..50).flat_map(script).collect();
        assert!(all.iter().all(|one| (1..=20).contains(&one.operation) && one.submit <= 2));
        assert!(all.iter().all(|one| u64::from(one.attempt) <= DEEPEST));
        let lost = |one: &&Injection| one.fault.get("reset").is_some();
        assert!(all.iter().filter(lost).all(|one| &*one.route == "create_charge"));
        assert!(all.iter().any(|one| &*one.route == "get_charge"));
    }
}
