//! The drawn schedule as data and as a table: which faults meet attempts 1 to 5 of each operation, without
//! running anything.
//!
//! Shown is what the rules that depend on coordinates alone will do; what depends on time, counts or the
//! content of requests is named beside it.
//! **Invariant:** it decides with the same function as a run does, so a run strikes as it says.

use std::fmt::Write;
use std::sync::Arc;

use brownout_provider::api::Route;
use brownout_provider::coordinates::Coordinates;
use brownout_provider::plan::{FaultPlan, Met, Numbered, Situation};
use brownout_provider::rule::Rule;
use brownout_provider::seed::Seed;
use http::HeaderMap;

use super::Scenario;

/// How many attempts of each operation are shown.
pub const ATTEMPTS: u32 = 5;
/// How many submits are worked out at most.
const MAX_ROWS: usize = 10_000;
/// How many rows the table has at most.
const MAX_SHOWN: usize = 100;

/// What the rules draw for the first attempts of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The route that the workload calls; `None` in suite mode, where nobody knows beforehand.
    pub route: Option<Arc<str>>,
    /// What is struck there: requests, or the messages or the events that operations are.
    pub met: Met,
    /// The seed.
    pub seed: Seed,
    /// One row for each submit of each operation and, where there are several, each provider that it may call;
    /// at most 10,000.
    pub rows: Vec<Row>,
    /// How many rows there would be.
    pub total: u64,
    /// Rules that stand outside the drawn schedule.
    pub outside: Vec<Arc<str>>,
}

/// What one submit of one operation meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The operation's name.
    pub operation: String,
    /// The provider, where there are several.
    pub provider: Option<Arc<str>>,
    /// Which submit, from 1.
    pub submit: u32,
    /// What strikes at each attempt, from the first on; nothing strikes where a list is empty.
    pub attempts: Vec<Vec<Strike>>,
}

/// A fault that strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The rule.
    pub rule: Arc<str>,
    /// The fault.
    pub fault: &'static str,
    /// Its parameters in a few words.
    pub detail: String,
}

impl Schedule {
    /// The schedules of a scenario under its own seed: one for each route that the workload calls, and for each
    /// other one that a rule names; and one without a route where nobody knows beforehand.
    #[must_use]
    pub fn all(scenario: &Scenario) -> Vec<Self> {
        let mut shown = delivered(scenario);
        let mut show = |route: &Arc<str>| {
            if shown.iter().all(|(known, _)| known != route) {
                shown.push((Arc::clone(route), Met::All));
            }
        };
        // A message is there without anybody having asked the provider to send it.
        let called = scenario.workload.queue.is_none().then(|| scenario.workload.routes());
        called.iter().flatten().for_each(&mut show);
        let is_open = called.as_ref().is_some_and(Vec::is_empty);
        let named = scenario.rules.iter().filter(|rule| !is_open && rule.when.is_scheduled());
        named.filter_map(|rule| rule.when.route.as_ref()).for_each(&mut show);
        if is_open && shown.is_empty() {
            return vec![Self::new(scenario, None)];
        }
        let mut all: Vec<Self> =
            shown.into_iter().map(|place| Self::new(scenario, Some(place))).collect();
        // Where faults meet what nobody calls by name, a place that is never struck says nothing.
        let calls = scenario.workload.routes();
        let is_called = |one: &Self| one.route.as_ref().is_some_and(|route| calls.contains(route));
        if all.iter().any(|one| one.struck() > 0 && !is_called(one)) {
            all.retain(|one| one.struck() > 0);
        }
        all
    }

    fn new(scenario: &Scenario, place: Option<(Arc<str>, Met)>) -> Self {
        let is_drawn = |rule: &&Rule| rule.when.is_scheduled();
        let outside = scenario.rules.iter().filter(|rule| !is_drawn(rule));
        let (route, met) = place.map_or((None, Met::All), |(route, met)| (Some(route), met));
        let mut schedule = Self {
            route: route.clone(),
            met,
            seed: scenario.seed,
            rows: Vec::new(),
            total: scenario.workload.operations * u64::from(scenario.workload.submits.times),
            outside: outside.map(|rule| Arc::clone(&rule.name)).collect(),
        };
        let Some(call) = route else { return schedule };
        let called = scenario.called().into_iter().filter(|(_, route)| *route == call);
        let mut places: Vec<Arc<str>> = called.map(|(provider, _)| provider).collect();
        if places.is_empty() {
            let all = scenario.providers.with_route(&call);
            places = all.map(|(provider, ..)| Arc::clone(provider)).collect();
        }
        schedule.total *= u64::try_from(places.len()).unwrap_or(u64::MAX);
        let rules = scenario.rules.iter().filter(is_drawn).cloned().collect();
        let mut plan = FaultPlan::new(rules, scenario.seed);
        let submits = (1..=scenario.workload.operations)
            .flat_map(|n| (1..=scenario.workload.submits.times).map(move |one| (n, one)))
            .flat_map(|submit| places.iter().map(move |provider| (submit, provider)));
        for ((number, submit), provider) in submits.take(MAX_ROWS) {
            let Some(spec) = scenario.providers.get(provider) else { continue };
            let Some(route) = spec.api.route_named(&call) else { continue };
            let operation = format!("op-{number:04}");
            let tenant = scenario.workload.tenants.of(number).map(|name| &**name);
            let attempts = (1..=ATTEMPTS).map(|attempt| {
                let (route_name, operation) = (&*call, &*operation);
                let at = Coordinates { provider, route: route_name, operation, submit, attempt };
                strikes((&mut plan, met), at, (number, tenant), route)
            });
            let attempts = attempts.collect();
            let provider = scenario.named(provider);
            schedule.rows.push(Row { operation, provider, submit, attempts });
        }
        schedule
    }

    /// How many of the rows meet a fault.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.rows.iter().filter(|row| row.attempts.iter().any(|one| !one.is_empty())).count()
    }

    /// The schedules of a scenario as tables.
    #[must_use]
    pub fn tables(all: &[Self]) -> String {
        let mut text = String::new();
        for (index, one) in all.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            match &one.route {
                None => text.push_str(
                    "Here the client decides what is called, so the schedule shows when it runs.\n",
                ),
                Some(route) => one.write_table(route, &mut text),
            }
        }
        let outside = all.first().map_or(&[][..], |one| &one.outside);
        if !outside.is_empty() {
            let names: Vec<String> = outside.iter().map(|name| format!("`{name}`")).collect();
            let names = names.join(", ");
            text = format!("{text}Outside the drawn schedule: {names}.\n");
        }
        text
    }

    fn write_table(&self, route: &str, text: &mut String) {
        let has_submits = self.rows.iter().any(|row| row.submit > 1);
        let has_providers = self.rows.iter().any(|row| row.provider.is_some());
        let mut lines = vec![vec!["operation".to_owned()]];
        lines[0].extend(has_providers.then(|| "provider".to_owned()));
        lines[0].extend((1..=ATTEMPTS).map(|attempt| format!("attempt {attempt}")));
        for row in self.rows.iter().take(MAX_SHOWN) {
            let name = if has_submits {
                format!("{}.{}", row.operation, row.submit)
            } else {
                row.operation.clone()
            };
            let mut cells = vec![name];
            cells.extend(row.provider.as_deref().map(str::to_owned));
            cells.extend(row.attempts.iter().map(|strikes| cell(strikes)));
            lines.push(cells);
        }
        let columns = lines.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        let struck = self.struck();
        let all = self.rows.len();
        let what = match self.met {
            Met::All | Met::Request => format!("`{route}`"),
            Met::Message => format!("a message each time that `{route}` hands it out"),
            Met::Event => format!("an event that tells of `{route}`"),
        };
        *text = format!("{text}What meets {what} under seed {}:\n\n", self.seed.get());
        for line in &lines {
            let padded: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            let _ = writeln!(text, "  {}", padded.join("  ").trim_end());
        }
        let left_out = self.total.saturating_sub(u64::try_from(MAX_SHOWN).unwrap_or(u64::MAX));
        if left_out > 0 {
            let _ = writeln!(text, "  … and {left_out} more");
        }
        let _ =
            writeln!(text, "\n{struck} of {all} meet a fault in their first {ATTEMPTS} attempts.");
    }
}

/// The routes by which operations reach the client without a request of it, and as what they do.
#[must_use]
pub fn delivered(scenario: &Scenario) -> Vec<(Arc<str>, Met)> {
    let workload = &scenario.workload;
    let mut places = Vec::new();
    for api in scenario.providers.apis() {
        let is_its =
            |queue: &Arc<str>| api.queue.as_ref().is_some_and(|one| one.messages == *queue);
        if workload.queue.as_ref().is_some_and(is_its) {
            let hands_out = api.routes.iter().filter(|route| route.receives.is_some());
            places.extend(hands_out.map(|route| (Arc::clone(&route.name), Met::Message)));
        }
        if let (Some(event), Some(webhooks)) = (&workload.event, &api.webhooks) {
            let tells = webhooks.events.iter().filter(|(_, kind)| *kind == event);
            places.extend(tells.take(1).map(|(route, _)| (Arc::clone(route), Met::Event)));
        }
    }
    places.dedup();
    places
}

/// What strikes at one coordinate.
fn strikes(
    (plan, met): (&mut FaultPlan, Met),
    at: Coordinates<'_>,
    (number, tenant): (u64, Option<&str>),
    route: &Route,
) -> Vec<Strike> {
    // An event is told of once, however often it is sent.
    if met == Met::Event && at.attempt > 1 {
        return Vec::new();
    }
    let situation = Situation {
        // A fault that needs a connection used before is shown.
        reused: true,
        http2: true,
        at,
        operation_number: Some(number),
        numbered: Numbered::BySubmit,
        tenant,
        route: Some(route),
        method: &route.method,
        headers: &HeaderMap::new(),
        body: None,
        since_first_us: 0,
        // What is asked for stands in the body; the checker has seen that there are streams at all.
        streamed: true,
    };
    let strikes = plan.decide_for(met, &situation).strikes.into_iter();
    strikes
        .map(|one| Strike { rule: one.rule, fault: one.fault.name, detail: one.detail })
        .collect()
}

/// The faults of one attempt in a cell of the table.
fn cell(strikes: &[Strike]) -> String {
    if strikes.is_empty() {
        return "·".to_owned();
    }
    let words: Vec<String> = strikes
        .iter()
        .map(|strike| format!("{} {}", strike.fault, strike.detail).trim_end().to_owned())
        .collect();
    words.join(" + ")
}
