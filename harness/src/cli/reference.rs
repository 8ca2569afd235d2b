//! The reference pages of faults, invariants and policies, written from the registries.
//!
//! **Invariant:** nothing about a fault or an invariant is written here; a new entry of a registry has its
//! place in the reference, in `list` and in `explain` at once.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use brownout_provider::api::{self, Api};
use brownout_provider::document::Diagnostics;
use brownout_provider::fault::registry::FAULTS;
use brownout_provider::fault::{FaultKind, Group};
use serde_json::Value;

use crate::incident::{Incident, registry as incidents};
use crate::invariant::InvariantKind;
use crate::invariant::registry::INVARIANTS;
use crate::scenario::policy::{self, Policy};
use crate::scenario::shipped::Shipped;

/// The page of all faults, in Markdown.
#[must_use]
pub fn faults() -> String {
    let mut page = String::from(
        "# Faults\n\n\
         Written by `brownout list faults --markdown`; do not edit.\n\n\
         A fault stands under `inject:` of a rule, as `name` or as `name: {parameters}`.\n\
         Delays and provider faults all apply; of the endings the first in file order applies.\n",
    );
    for kind in FAULTS {
        page.push('\n');
        page.push_str(&fault(kind));
    }
    page
}

/// The page of all invariants, in Markdown.
#[must_use]
pub fn invariants() -> String {
    let mut page = String::from(
        "# Invariants\n\n\
         Written by `brownout list invariants --markdown`; do not edit.\n\n\
         An invariant stands under `expect:`, as `name` or as `name: {parameters}`.\n\
         It is passed, failed, or not exercised when the run never met what it is about.\n\
         What a queue hands out again, or a sender of events tells again, begins anew: what follows is no retry.\n",
    );
    for kind in INVARIANTS {
        page.push('\n');
        page.push_str(&invariant(kind));
    }
    page
}

/// The page of all policies, in Markdown.
#[must_use]
pub fn policies() -> String {
    let mut page = String::from(
        "# Policies\n\n\
         Written by `brownout list policies --markdown`; do not edit.\n\n\
         A policy stands under `expect:` as `policy: NAME`, for all that it expects; what the scenario expects \
         itself outranks it.\n\
         `brownout run --policy NAME -- COMMAND` runs the scenarios that put all of it to the test; on the command \
         line it outranks what they expect.\n",
    );
    for one in policy::all() {
        page.push('\n');
        page.push_str(&policy(one));
    }
    page
}

/// All that is known of one policy, in Markdown.
#[must_use]
pub fn policy(policy: &Policy) -> String {
    let mut text = format!("## {}\n\n{}\n\n", policy.name, sentence(&policy.summary));
    fact(&mut text, "Source", &policy.source);
    let scenarios: Vec<String> =
        policy.scenarios().map(|shipped| format!("`{}`", shipped.name())).collect();
    fact(&mut text, "Put to the test by", &scenarios.join(", "));
    let long_lived: Vec<String> =
        policy.long_lived().map(|shipped| format!("`{}`", shipped.name())).collect();
    if !long_lived.is_empty() {
        let rest =
            "whose client lives for all operations, so that it can share a quota between them";
        fact(
            &mut text,
            "With `--mode stdio` also by",
            &format!("{}, {rest}", long_lived.join(", ")),
        );
    }
    text.push_str("- **Expects:**\n");
    for (name, parameters) in policy.expect() {
        let line = if parameters.is_null() {
            format!("  - `{name}`")
        } else {
            format!("  - `{name}: {}`", flow(parameters))
        };
        writeln!(text, "{line}").expect("a string takes every line");
    }
    text
}

/// Parameters on one line, as they stand in a scenario.
fn flow(parameters: &Value) -> String {
    match parameters {
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}: {}", flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => parameters.to_string(),
    }
}

/// All that is known of one fault, in Markdown.
#[must_use]
pub fn fault(kind: &FaultKind) -> String {
    let mut text = format!("## {}\n\n{}\n\n", kind.name, sentence(kind.summary));
    fact(&mut text, "Group", group(kind.group));
    fact(&mut text, "Bare word", if kind.bare { "legal" } else { "not legal" });
    parameters(&mut text, kind.parameters);
    fact(&mut text, "What clients get wrong", kind.mistake);
    example(&mut text, "inject", kind.example);
    text
}

/// All that is known of one invariant, in Markdown.
#[must_use]
pub fn invariant(kind: &InvariantKind) -> String {
    let mut text = format!("## {}\n\n{}\n\n", kind.name, sentence(kind.summary));
    fact(&mut text, "Why it matters", kind.why);
    fact(&mut text, "It happened to others", &happened(kind.name));
    fact(&mut text, "Rule", kind.rule);
    fact(&mut text, "Exercised by", kind.exercised_by);
    fact(&mut text, "Faults that do", &exercising(kind));
    fact(&mut text, "Never accused", kind.tolerates);
    parameters(&mut text, kind.parameters);
    fact(&mut text, "Modes", &modes(kind));
    fact(&mut text, "Cure", kind.cure);
    example(&mut text, "expect", kind.example);
    text
}

/// At most so many incidents are told of under an invariant.
const INCIDENTS: usize = 3;

/// The incidents that an invariant catches, the first few in a line each.
fn happened(invariant: &str) -> String {
    let caught: Vec<&Incident> =
        incidents::all().filter(|one| one.caught_by.contains(&invariant)).collect();
    let told: Vec<String> = caught
        .iter()
        .take(INCIDENTS)
        .map(|one| format!("`{}` ({})", one.name, one.happened))
        .collect();
    let others: Vec<String> =
        caught.iter().skip(INCIDENTS).map(|one| format!("`{}`", one.name)).collect();
    let told = match told.join("; ") {
        none if none.is_empty() => {
            "None of the incidents that come with brownout is about this.".to_owned()
        }
        told => told,
    };
    if others.is_empty() { told } else { format!("{told}; also {}", others.join(", ")) }
}

/// The faults that exercise an invariant, and what does so without one.
fn exercising(kind: &InvariantKind) -> String {
    let faults: Vec<String> = kind.faults.iter().map(|name| format!("`{name}`")).collect();
    let faults = faults.join(", ");
    match (faults.as_str(), kind.without_a_fault) {
        ("", without) => format!("none is needed: {without}"),
        (_, "") => faults,
        (_, without) => format!("{faults}; without a fault, {without}"),
    }
}

/// In which modes an invariant can be judged.
fn modes(kind: &InvariantKind) -> String {
    let living = "All but exec mode, where the client lives for one operation only.";
    let all = "All.";
    // What names its own mode does not say "all" before it.
    let is_bound = kind.modes.iter().any(|text| text.starts_with("The client is"));
    let first = match (kind.needs_one_client, is_bound) {
        (true, _) => Some(living),
        (false, false) => Some(all),
        (false, true) => None,
    };
    let sentences: Vec<&str> = first.into_iter().chain(kind.modes.iter().copied()).collect();
    sentences.join(" ")
}

/// The APIs that come with brownout.
#[must_use]
pub fn apis() -> Vec<Arc<Api>> {
    let problems = Diagnostics::new();
    api::names()
        .into_iter()
        .filter_map(|name| api::load(name, Path::new("."), &problems.root()))
        .map(|(api, _)| api)
        .collect()
}

/// All that is known of one API, in Markdown.
#[must_use]
pub fn api(api: &Api) -> String {
    let mut text = format!("## {}\n\n{}\n\n", api.name, sentence(&api.summary));
    let variables: Vec<String> =
        api.client_env.iter().map(|(name, _)| format!("`{name}`")).collect();
    fact(&mut text, "Set for the client", &variables.join(", "));
    fact(&mut text, "Stands for", &api.hosts.join(", "));
    let keys = if api.idempotency.is_some() { "kept" } else { "none" };
    fact(&mut text, "Idempotency keys", keys);
    text.push_str("- **Routes:**\n");
    for route in &api.routes {
        let effect = match &route.effect {
            Some(effect) => format!(" Takes effect: {}.", effect.kind),
            None => String::new(),
        };
        writeln!(
            text,
            "  - `{}` ({} {}): {}{effect}",
            route.name,
            route.method,
            route.pattern.as_str(),
            sentence(&route.summary)
        )
        .expect("a string takes every line");
    }
    if !api.cures.is_empty() {
        text.push_str("- **Cures:**\n");
    }
    for (invariant, cure) in &api.cures {
        writeln!(text, "  - `{invariant}`: {}", sentence(cure)).expect("a string takes every line");
    }
    text
}

/// A shipped scenario: what it is for, and its file.
#[must_use]
pub fn scenario(shipped: &Shipped) -> String {
    format!(
        "## {}\n\n{}\n\n```yaml\n# scenarios/{}\n{}\n```\n",
        shipped.name(),
        sentence(shipped.summary()),
        shipped.path,
        shipped.text.trim_end()
    )
}

/// How faults of a group combine, in a few words.
#[must_use]
pub const fn group(group: Group) -> &'static str {
    match group {
        Group::Delay => "delay: all apply and add up",
        Group::Provider => "provider: all apply",
        Group::Client => "client: the first applies",
        Group::Ending => "ending: the first in file order applies",
    }
}

fn fact(text: &mut String, name: &str, what: &str) {
    if !what.is_empty() {
        writeln!(text, "- **{name}:** {}", sentence(what)).expect("a string takes every line");
    }
}

fn parameters(text: &mut String, parameters: &[(&str, &str)]) {
    if parameters.is_empty() {
        return;
    }
    text.push_str("- **Parameters:**\n");
    for (name, what) in parameters {
        writeln!(text, "  - `{name}`: {}", sentence(what)).expect("a string takes every line");
    }
}

fn example(text: &mut String, key: &str, yaml: &str) {
    if yaml.is_empty() {
        return;
    }
    writeln!(text, "\n```yaml\n# under {key}:\n{}\n```", yaml.trim_end())
        .expect("a string takes every line");
}

/// The text with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?', ':']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_an_invariant_is_complete() {
        for kind in INVARIANTS {
            let text = invariant(kind);
            for fact in
                ["Why it matters", "Rule", "Exercised by", "Faults that do", "Modes", "Cure"]
            {
                assert!(text.contains(&format!("- **{fact}:** ")), "{}: no {fact}", kind.name);
            }
        }
    }

    #[test]
    fn each_incident_is_told_of_by_what_catches_it() {
        for incident in incidents::all() {
            for name in incident.caught_by {
                let told = happened(name);
                assert!(told.contains(&format!("`{}`", incident.name)), "{name}: {told}");
            }
        }
    }
}
