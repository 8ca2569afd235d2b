//! A drawn plan as plain data: what strikes where, how it is drawn, what is simpler, and how it is written.
//!
//! **Invariant:** every step of [`simpler`] makes something smaller and nothing larger, so that shrinking
//! comes to an end; and it leads to few faults, one operation, early attempts and plain parameters.

use brownout_provider::plan::Met;
use brownout_provider::seed::Draw;
use serde_json::{Map, Value, json};

use super::faults::{Faults, OnRoute};

/// How likely a drawn rule strikes, in percent; none is certain.
const CHANCES: [u32; 3] = [50, 20, 80];

/// Which numbers a condition takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// This one.
    One(u64),
    /// All up to this one.
    UpTo(u64),
}

impl Which {
    const fn last(self) -> u64 {
        match self {
            Self::One(number) | Self::UpTo(number) => number,
        }
    }

    const fn takes(self, number: u64) -> bool {
        match self {
            Self::One(one) => one == number,
            Self::UpTo(last) => number <= last,
        }
    }

    fn to_value(self) -> Value {
        match self {
            Self::One(number) => number.into(),
            Self::UpTo(last) => json!({"to": last}),
        }
    }

    /// What takes fewer or smaller numbers, the least first.
    fn simpler(self) -> Vec<Self> {
        let mut simpler = Vec::new();
        if self != Self::One(1) {
            simpler.push(Self::One(1));
        }
        match self {
            Self::One(number) => simpler.extend((2..number).map(Self::One)),
            Self::UpTo(last) => {
                simpler.extend((2..=last).map(Self::One));
                simpler.extend((1..last).map(Self::UpTo));
            }
        }
        simpler
    }
}

/// A place of the catalog: the route, and which of its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) route: usize,
    pub(super) variant: usize,
}

/// A rule, or an entry of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    pub(super) operation: Which,
    pub(super) submit: u64,
    pub(super) attempt: Which,
    pub(super) chance: Option<u32>,
    pub(super) route: usize,
    /// At least one, all of the same route, at most one ending among them.
    pub(super) variants: Vec<usize>,
}

impl Strike {
    /// True when it can stand in a script.
    const fn is_exact(&self) -> bool {
        matches!((self.operation, self.attempt), (Which::One(_), Which::One(_)))
            && self.chance.is_none()
    }

    /// True when something else may strike at the same request.
    fn meets(&self, other: &Self) -> bool {
        let both = |one: Which, two: Which| match (one, two) {
            (Which::One(number), which) | (which, Which::One(number)) => which.takes(number),
            (Which::UpTo(_), Which::UpTo(_)) => true,
        };
        self.route == other.route
            && self.submit == other.submit
            && both(self.operation, other.operation)
            && both(self.attempt, other.attempt)
    }
}

/// How much the client has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) operations: u64,
    pub(super) concurrency: u64,
    pub(super) submits: u64,
    /// False where they come as the scenario says, and that is not at once.
    pub(super) at_once: bool,
}

/// What strikes, and how much there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) strikes: Vec<Strike>,
    /// How many seeds above the scenario's own.
    pub(super) seed: u64,
}

/// What plans are drawn from.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) faults: Faults,
    pub(super) catalog: Vec<OnRoute>,
    /// What may take the place of several faults.
    pub(super) simplest: Vec<Pick>,
    /// The scenario's own load, which no plan exceeds.
    pub(super) most: Load,
}

impl Room {
    pub(super) fn new(faults: &Faults, catalog: Vec<OnRoute>, most: Load) -> Self {
        let simplest = Faults::simplest(&catalog);
        Self { faults: faults.clone(), catalog, simplest, most }
    }

    pub(super) fn load(&self, draw: &mut Draw) -> Load {
        let operations = draw.between(1, self.most.operations);
        Load {
            operations,
            concurrency: draw.between(1, self.most.concurrency.min(operations)),
            submits: draw.between(1, self.most.submits),
            at_once: self.most.at_once || draw.happens(500_000),
        }
    }

    /// One variant: each fault is as likely as the others, and plain parameters are likelier.
    pub(super) fn pick(&self, draw: &mut Draw) -> Pick {
        let route = index(draw, self.catalog.len());
        Pick { route, variant: self.variant(route, draw) }
    }

    fn variant(&self, route: usize, draw: &mut Draw) -> usize {
        let catalog = &self.catalog[route];
        let (first, end) = catalog.kinds[index(draw, catalog.kinds.len())];
        // None, one or two parameters beyond the required ones, the fewer the likelier.
        let most = usize::try_from(draw.below(8).saturating_sub(4).div_ceil(2)).unwrap_or(0);
        let plainer = catalog.variants[first..end].partition_point(|one| one.optional <= most);
        let fewest = catalog.variants[first].optional;
        let end = if most >= fewest { first + plainer } else { end };
        first + index(draw, end - first)
    }

    /// An entry of a script.
    pub(super) fn entry(&self, load: Load, draw: &mut Draw) -> Strike {
        let Pick { route, variant } = self.pick(draw);
        let operation = Which::One(draw.between(1, load.operations));
        let submit = draw.between(1, load.submits);
        // An event is told of once, however often it is sent.
        let attempt = match self.catalog[route].met {
            Met::Event => Which::One(1),
            Met::All | Met::Request | Met::Message => Which::One(self.attempt(draw)),
        };
        let mut variants = vec![variant];
        if draw.happens(150_000) {
            let second = self.variant(route, draw);
            let ends = |at: &usize| self.catalog[route].variants[*at].fault.point().is_some();
            if second != variant && !(ends(&second) && ends(&variant)) {
                variants.push(second);
            }
        }
        Strike { operation, submit, attempt, chance: None, route, variants }
    }

    /// A rule.
    pub(super) fn rule(&self, load: Load, draw: &mut Draw) -> Strike {
        let mut strike = self.entry(load, draw);
        if draw.happens(700_000) {
            strike.operation = Which::UpTo(strike.operation.last());
        }
        if draw.happens(500_000) {
            strike.attempt = Which::UpTo(strike.attempt.last());
        }
        strike.chance = draw.happens(500_000).then(|| CHANCES[index(draw, CHANCES.len())]);
        strike
    }

    /// The first attempt half of the time, the second a quarter of it, and so on.
    fn attempt(&self, draw: &mut Draw) -> u64 {
        let last = u64::from(self.faults.last_attempt());
        let mut attempt = 1;
        while attempt < last && draw.happens(500_000) {
            attempt += 1;
        }
        attempt
    }

    /// So many entries, at different places.
    pub(super) fn script(&self, load: Load, draw: &mut Draw) -> Vec<Strike> {
        let count = draw.between(1, u64::from(self.faults.limit()));
        let mut script: Vec<Strike> = Vec::new();
        for _ in 0..count {
            let entry = self.entry(load, draw);
            if !script.iter().any(|other| entry.meets(other)) {
                script.push(entry);
            }
        }
        script
    }

    pub(super) fn plan(&self, draw: &mut Draw) -> Plan {
        let load = self.load(draw);
        if draw.happens(700_000) {
            return Plan { load, strikes: self.script(load, draw), seed: 0 };
        }
        let count = draw.between(1, u64::from(self.faults.limit()));
        let strikes = (0..count).map(|_| self.rule(load, draw)).collect();
        Plan { load, strikes, seed: draw.below(100) }
    }

    /// Simpler variants: of each fault that comes earlier in the registry the plainest, and the plainest
    /// that strikes at the same point; then the plainer ones of the same fault.
    pub(super) fn plainer(&self, pick: Pick) -> Vec<Pick> {
        let OnRoute { variants, kinds, .. } = &self.catalog[pick.route];
        let point = variants[pick.variant].fault.point();
        let earlier = kinds.iter().take_while(|(_, end)| *end <= pick.variant);
        let of_earlier = earlier.flat_map(|(first, end)| {
            let same = (*first..*end).find(|at| variants[*at].fault.point() == point);
            [Some(*first), same.filter(|same| same != first)].into_iter().flatten()
        });
        let own = kinds.iter().find(|(_, end)| *end > pick.variant).map_or(0, |(first, _)| *first);
        let plainer = of_earlier.chain(own..pick.variant);
        plainer.map(|variant| Pick { variant, ..pick }).collect()
    }

    /// Simpler conditions first, then simpler faults.
    pub(super) fn simpler_strike(&self, strike: &Strike) -> Vec<Strike> {
        let mut simpler = Vec::new();
        if strike.chance.is_some() {
            simpler.push(Strike { chance: None, ..strike.clone() });
        }
        let operations = strike.operation.simpler().into_iter();
        simpler.extend(operations.map(|operation| Strike { operation, ..strike.clone() }));
        let attempts = strike.attempt.simpler().into_iter();
        simpler.extend(attempts.map(|attempt| Strike { attempt, ..strike.clone() }));
        if strike.submit > 1 {
            simpler.push(Strike { submit: 1, ..strike.clone() });
        }
        if strike.variants.len() > 1 {
            let alone = |at: &usize| Strike { variants: vec![*at], ..strike.clone() };
            simpler.extend(strike.variants.iter().map(alone));
        }
        for (place, variant) in strike.variants.iter().enumerate() {
            for pick in self.plainer(Pick { route: strike.route, variant: *variant }) {
                let mut plainer = strike.clone();
                plainer.variants[place] = pick.variant;
                if self.ends_once(&plainer) {
                    simpler.push(plainer);
                }
            }
        }
        simpler
    }

    /// True when no two faults of it are the same, and at most one ends the request.
    fn ends_once(&self, strike: &Strike) -> bool {
        let variants = &self.catalog[strike.route].variants;
        let ending = strike.variants.iter().filter(|at| variants[**at].fault.point().is_some());
        let mut sorted = strike.variants.clone();
        sorted.sort_unstable();
        sorted.dedup();
        ending.count() <= 1 && sorted.len() == strike.variants.len()
    }

    pub(super) fn simpler(&self, plan: &Plan) -> Vec<Plan> {
        let strikes = fewer(&plan.strikes).into_iter().chain(closed_up(&plan.strikes));
        let mut simpler: Vec<Plan> =
            strikes.map(|strikes| Plan { strikes, ..plan.clone() }).collect();
        simpler.extend(lighter(plan));
        simpler.extend(self.simpler_strikes(plan));
        if plan.seed > 0 {
            simpler.push(Plan { seed: 0, ..plan.clone() });
        }
        simpler.extend(self.one_instead(plan));
        simpler
    }

    /// One simple fault in the place of several: where the first of them strikes last.
    fn one_instead(&self, plan: &Plan) -> Vec<Plan> {
        let faults: usize = plan.strikes.iter().map(|one| one.variants.len()).sum();
        let Some(first) = plan.strikes.first().filter(|_| faults > 1) else { return Vec::new() };
        let alone = |pick: &Pick| Strike {
            operation: Which::One(first.operation.last()),
            submit: first.submit,
            attempt: Which::One(first.attempt.last()),
            chance: None,
            route: pick.route,
            variants: vec![pick.variant],
        };
        let same = self.simplest.iter().filter(|pick| pick.route == first.route);
        same.map(|pick| Plan { strikes: vec![alone(pick)], ..plan.clone() }).collect()
    }

    /// The same with one rule or entry simpler; no two entries of a script come to stand at one place.
    pub(super) fn simpler_strikes(&self, plan: &Plan) -> Vec<Plan> {
        let is_script = plan.strikes.iter().all(Strike::is_exact);
        let mut simpler = Vec::new();
        for (place, strike) in plan.strikes.iter().enumerate() {
            let others = plan.strikes.iter().enumerate().filter(|(other, _)| *other != place);
            for plainer in self.simpler_strike(strike) {
                if is_script && others.clone().any(|(_, other)| plainer.meets(other)) {
                    continue;
                }
                let mut plan = plan.clone();
                plan.strikes[place] = plainer;
                simpler.push(plan);
            }
        }
        simpler
    }

    /// `[status, …]` or `status`.
    pub(super) fn inject(&self, strike: &Strike) -> Value {
        let variants = &self.catalog[strike.route].variants;
        let mut faults: Vec<Value> =
            strike.variants.iter().map(|at| variants[*at].value.clone()).collect();
        if faults.len() == 1 { faults.remove(0) } else { Value::Array(faults) }
    }

    pub(super) fn entry_value(&self, strike: &Strike) -> Value {
        let mut entry = Map::new();
        entry.insert("operation".to_owned(), strike.operation.last().into());
        if strike.submit > 1 {
            entry.insert("submit".to_owned(), strike.submit.into());
        }
        entry.insert("route".to_owned(), Value::from(&*self.catalog[strike.route].route));
        entry.insert("attempt".to_owned(), strike.attempt.last().into());
        entry.insert("inject".to_owned(), self.inject(strike));
        Value::Object(entry)
    }

    pub(super) fn rule_value(&self, strike: &Strike, name: &str) -> Value {
        let mut when = Map::new();
        when.insert("route".to_owned(), Value::from(&*self.catalog[strike.route].route));
        when.insert("operation".to_owned(), strike.operation.to_value());
        when.insert("attempt".to_owned(), strike.attempt.to_value());
        if self.most.submits > 1 {
            when.insert("submit".to_owned(), strike.submit.into());
        }
        if let Some(percent) = strike.chance {
            when.insert("chance".to_owned(), format!("{percent}%").into());
        }
        json!({"name": name, "when": when, "inject": self.inject(strike)})
    }

    /// The key and the value of the plan's rules in a scenario's file.
    pub(super) fn rules_value(&self, plan: &Plan) -> (&'static str, Value) {
        let strikes = plan.strikes.iter();
        if plan.strikes.iter().all(Strike::is_exact) {
            return ("script", strikes.map(|one| self.entry_value(one)).collect());
        }
        let rules = strikes.enumerate();
        let named = |(at, one): (usize, &Strike)| self.rule_value(one, &format!("rule-{}", at + 1));
        ("faults", rules.map(named).collect())
    }
}

/// Fewer: one half, the other half, then all but one.
pub(super) fn fewer<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let mut fewer = Vec::new();
    if all.len() > 2 {
        let (one, other) = all.split_at(all.len() / 2);
        fewer.extend([one.to_vec(), other.to_vec()]);
    }
    for gone in 0..all.len() {
        let mut rest = all.to_vec();
        rest.remove(gone);
        fewer.push(rest);
    }
    fewer
}

/// All but one, and what struck later attempts strikes one attempt earlier: the attempt that the one
/// caused is gone with it.
fn closed_up(all: &[Strike]) -> Vec<Vec<Strike>> {
    let without = |gone: usize| {
        let mut rest = all.to_vec();
        let gone = rest.remove(gone);
        let Which::One(attempt) = gone.attempt else { return None };
        let mut moved = false;
        for strike in &mut rest {
            let same = strike.route == gone.route && strike.submit == gone.submit;
            if let (true, true, Which::One(later)) =
                (same, strike.operation == gone.operation, strike.attempt)
                && later > attempt
            {
                strike.attempt = Which::One(later - 1);
                moved = true;
            }
        }
        moved.then_some(rest)
    };
    (0..all.len()).filter_map(without).collect()
}

/// Less to do: one operation alone, then fewer of them, then one after the other.
pub(super) fn lighter(plan: &Plan) -> Vec<Plan> {
    let mut lighter = Vec::new();
    if plan.load.operations > 1 {
        let mut kept: Vec<u64> = plan.strikes.iter().map(|one| one.operation.last()).collect();
        kept.sort_unstable();
        kept.dedup();
        lighter.extend(kept.into_iter().map(|operation| alone(plan, operation)));
        let half = plan.load.operations / 2;
        lighter.extend([half, plan.load.operations - 1].map(|operations| {
            let mut plan = plan.clone();
            plan.strikes.retain(|one| one.operation.last() <= operations);
            plan.load = with_operations(plan.load, operations.max(1));
            plan
        }));
    }
    let load = plan.load;
    let loads = [
        (load.concurrency > 1).then_some(Load { concurrency: 1, ..load }),
        (load.submits > 1).then_some(Load { submits: 1, ..load }),
        (!load.at_once).then_some(Load { at_once: true, ..load }),
    ];
    lighter.extend(loads.into_iter().flatten().map(|load| {
        let mut plan = Plan { load, ..plan.clone() };
        plan.strikes.retain(|one| one.submit <= load.submits);
        plan
    }));
    lighter
}

/// One operation with all that strikes it, as the only one.
fn alone(plan: &Plan, operation: u64) -> Plan {
    let its = plan.strikes.iter().filter(|one| one.operation.takes(operation));
    let moved = its.map(|one| Strike { operation: Which::One(1), ..one.clone() });
    Plan { strikes: moved.collect(), load: with_operations(plan.load, 1), ..plan.clone() }
}

fn with_operations(load: Load, operations: u64) -> Load {
    Load { operations, concurrency: load.concurrency.min(operations), ..load }
}

fn index(draw: &mut Draw, length: usize) -> usize {
    let bound = u64::try_from(length).unwrap_or(u64::MAX);
    usize::try_from(draw.below(bound)).unwrap_or(0)
}
