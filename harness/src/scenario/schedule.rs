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
use brownout_provider::plan::{FaultPlan, Numbered, Situation};
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
    /// The schedules of a scenario under its own seed: one for each route that the workload calls, and one
    /// without a route where nobody knows beforehand.
    #[must_use]
    pub fn all(scenario: &Scenario) -> Vec<Self> {
        let routes = scenario.workload.routes();
        if routes.is_empty() {
            return vec![Self::new(scenario, None)];
        }
        routes.into_iter().map(|route| Self::new(scenario, Some(route))).collect()
    }

    fn new(scenario: &Scenario, route: Option<Arc<str>>) -> Self {
        let is_drawn = |rule: &&Rule| rule.when.is_scheduled();
        let outside = scenario.rules.iter().filter(|rule| !is_drawn(rule));
        let mut schedule = Self {
            route: route.clone(),
            seed: scenario.seed,
            rows: Vec::new(),
            total: scenario.workload.operations * u64::from(scenario.workload.submits.times),
            outside: outside.map(|rule| Arc::clone(&rule.name)).collect(),
        };
        let Some(call) = route else { return schedule };
        let places: Vec<Arc<str>> = scenario
            .called()
            .into_iter()
            .filter(|(_, route)| *route == call)
            .map(|(provider, _)| provider)
            .collect();
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
                strikes(&mut plan, at, (number, tenant), route)
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
                    "In suite mode the client decides what is called, so the schedule shows when it runs.\n",
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
        *text = format!("{text}What meets `{route}` under seed {}:\n\n", self.seed.get());
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

/// What strikes at one coordinate.
fn strikes(
    plan: &mut FaultPlan,
    at: Coordinates<'_>,
    (number, tenant): (u64, Option<&str>),
    route: &Route,
) -> Vec<Strike> {
    let decision = plan.decide(&Situation {
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
    });
    let strikes = decision.strikes.into_iter();
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
