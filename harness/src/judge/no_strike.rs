//! A run in which no fault struck: what the rules are about, and what the client did.
//!
//! **Invariant:** another seed is advised only where a rule draws by chance.

use std::collections::BTreeMap;

use brownout_provider::event::Mode;
use brownout_provider::fault::{Action, Ending};
use brownout_provider::rule::{Rule, Selector};
use brownout_provider::seed::Seed;
use brownout_provider::units::in_words_exactly;

use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// So many rules and routes are told.
const TOLD: usize = 3;

/// Why nothing struck, with what to do.
pub(super) fn sentence(trace: &Trace, scenario: &Scenario) -> String {
    let seed = trace.run.seed;
    if scenario.rules.iter().any(|rule| draws(rule) && condition(rule).is_none()) {
        let more = match trace.mode() {
            Mode::InProcess => "try another seed",
            Mode::Exec | Mode::Stdio | Mode::Suite | Mode::Http | Mode::Serve => {
                "try more seeds with `--seeds 20`"
            }
        };
        return format!("no fault struck with seed {seed}; {more}, or raise a `chance`");
    }
    let rules: Vec<String> = scenario
        .rules
        .iter()
        .map(|rule| format!("`{}` is about {}", rule.name, about(rule)))
        .collect();
    let mut conditions: Vec<&str> = scenario.rules.iter().filter_map(condition).collect();
    conditions.dedup();
    let cure = match conditions.first() {
        Some(fault) if conditions.len() == scenario.rules.len() => {
            format!("`brownout explain {fault}` says what it takes")
        }
        _ => "let the rules strike what it does, or let it do what they are about".to_owned(),
    };
    format!("no fault struck: {}, and the client {}; {cure}", told(&rules), did(trace))
}

/// The fault of a rule that strikes only where the request meets a condition of the fault's own.
fn condition(rule: &Rule) -> Option<&'static str> {
    let conditional = rule.faults.iter().find(|fault| {
        fault.streams_only()
            || fault.http2_only()
            || matches!(
                fault.looked_at(Seed::default()),
                Action::Key(_)
                    | Action::Limit(_)
                    | Action::Door(_)
                    | Action::End { ending: Ending::CloseIdle, .. }
            )
    });
    conditional.map(|fault| fault.kind().name)
}

/// Whether another seed may let it strike.
fn draws(rule: &Rule) -> bool {
    rule.when.chance_ppm.is_some_and(|ppm| (1..1_000_000).contains(&ppm))
}

/// What a rule is about, in the words of a scenario.
fn about(rule: &Rule) -> String {
    let when = &rule.when;
    let named = [("route", &when.route), ("provider", &when.provider), ("tenant", &when.tenant)];
    let mut parts: Vec<String> = named
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key} `{}`", value.as_ref()?)))
        .collect();
    parts.extend(when.method.iter().map(|method| format!("method `{method}`")));
    let numbers =
        [("attempt", &when.attempt), ("operation", &when.operation), ("submit", &when.submit)];
    parts.extend(numbers.into_iter().filter_map(|(key, which)| numbered(key, which)));
    parts.extend(when.headers.iter().map(|(name, value)| format!("header `{name}: {value}`")));
    parts.extend(when.body.iter().map(|(place, value)| format!("body `{place}` = `{value}`")));
    if let Some((from_us, to_us)) = when.during_us {
        let from = in_words_exactly(from_us);
        parts.push(match to_us {
            u64::MAX => format!("the time from {from} on"),
            _ => format!("the time from {from} to {}", in_words_exactly(to_us)),
        });
    }
    if let Some(fault) = condition(rule) {
        parts.push(format!("what `{fault}` needs"));
    }
    if parts.is_empty() { "any request".to_owned() } else { parts.join(", ") }
}

fn numbered(key: &str, which: &Selector) -> Option<String> {
    Some(match which {
        Selector::Any => return None,
        Selector::List(these) => {
            let these: Vec<String> = these.iter().map(u64::to_string).collect();
            format!("{key} {}", these.join(" or "))
        }
        Selector::Range(Some(from), Some(to)) => format!("{key} {from} to {to}"),
        Selector::Range(Some(from), None) => format!("{key} {from} and later"),
        Selector::Range(None, Some(to)) => format!("{key} {to} and earlier"),
        Selector::Range(None, None) => return None,
        Selector::Every(nth) => format!("every {nth}. {key}"),
    })
}

/// What the client asked for: each route, and how far its attempts went.
fn did(trace: &Trace) -> String {
    let mut routes: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
    for (_, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
        let route = request.route.map_or("no route", |route| trace.text(route));
        let (count, attempt) = routes.entry(route).or_default();
        *count += 1;
        *attempt = (*attempt).max(request.attempt);
    }
    let each: Vec<String> = routes
        .into_iter()
        .map(|(route, (count, attempt))| {
            let asked = plural(count, "request");
            format!("sent {asked} to `{route}` (attempt {attempt} at most)")
        })
        .collect();
    told(&each)
}

/// The first of them, and how many more there are.
fn told(all: &[String]) -> String {
    let first = all.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(TOLD) {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}
