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
         It is passed, failed, or not exercised when the run never met what it is about.\n",
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
    fact(&mut text, "Rule", kind.rule);
    fact(&mut text, "Exercised by", kind.exercised_by);
    fact(&mut text, "Never accused", kind.tolerates);
    parameters(&mut text, kind.parameters);
    if kind.needs_one_client {
        fact(&mut text, "Modes", "needs one living client, so exec mode cannot exercise it");
    }
    fact(&mut text, "Cure", kind.cure);
    example(&mut text, "expect", kind.example);
    text
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
