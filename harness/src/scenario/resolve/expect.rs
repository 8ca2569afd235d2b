//! What is expected of the client.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, Diagnostics, Named, Severity};
use serde_json::Value;

use super::entry::{Registry, known};
use crate::invariant::{Invariant, InvariantKind, Judgement, registry};
use crate::scenario::policy::{self, POLICY, Policy};
use crate::scenario::{Expectation, Scenario};
use crate::trace::Trace;

/// The expectations that can be read: those of the file, and those that its policies bring.
///
/// What the file expects itself outranks a policy that expects it otherwise.
pub(super) fn resolve(raw: Option<&[Option<Named>]>, at: &At<'_>) -> Vec<Expectation> {
    let mut names: Vec<&'static str> = registry::INVARIANTS.iter().map(|kind| kind.name).collect();
    names.push(POLICY);
    let invariants = Registry { noun: "invariant", names: &names, later: |_| None };
    let (mut expect, mut policies): (Vec<Expectation>, Vec<(usize, &Policy)>) = Default::default();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    if raw.is_some_and(<[_]>::is_empty) {
        at.error("nothing is expected, so nothing can be judged", |d| {
            d.cure("expect at least one invariant, such as `no_double_charges`")
        });
    }
    for (index, entry) in raw.unwrap_or_default().iter().enumerate() {
        let at = at.index(index);
        let Some(entry) = entry else { continue };
        let Some((name, parameters, at_entry)) = known(entry, &invariants, &at) else { continue };
        if name == POLICY {
            policies.extend(named(parameters, &at_entry).map(|policy| (index, policy)));
            continue;
        }
        let Some(kind) = registry::find(name) else { continue };
        if let Some(first) = seen.insert(kind.name, index) {
            at.error(format!("`{name}` is expected twice, first as number {}", first + 1), |d| {
                d.cure("keep one of the two")
            });
            continue;
        }
        if let Some(invariant) = (kind.parse)(parameters, &at_entry) {
            expect.push(Expectation {
                name: kind.name,
                invariant,
                index,
                policy: None,
                is_judged: true,
            });
        }
    }
    for (index, policy) in policies {
        bring(policy, index, &seen, &mut expect, at);
    }
    expect
}

/// The policy that is named.
fn named(parameters: &Value, at: &At<'_>) -> Option<&'static Policy> {
    let names: Vec<&str> = policy::all().iter().map(|policy| policy.name.as_str()).collect();
    let name = parameters.as_str().unwrap_or_default();
    let found = policy::find(name);
    if found.is_none() {
        let message = match name {
            "" => "the name of the policy is missing; it stands as `policy: NAME`".to_owned(),
            name => format!("there is no policy `{}`", super::shown(name)),
        };
        at.error(message, |d| d.allowed(name, &names).cure("`brownout list policies` shows them"));
    }
    found
}

/// Adds what a policy expects and the file does not expect itself.
fn bring(
    policy: &'static Policy,
    index: usize,
    own: &BTreeMap<&str, usize>,
    expect: &mut Vec<Expectation>,
    at: &At<'_>,
) {
    for (name, parameters) in policy.expect().filter(|(name, _)| !own.contains_key(name)) {
        let others: Vec<&'static Policy> =
            expect.iter().filter(|one| one.name == name).filter_map(|one| one.policy).collect();
        if let Some(other) = others.first() {
            if !other.expect().any(|it| it == (name, parameters)) {
                let message = format!(
                    "the policies `{}` and `{}` expect `{name}` each in its own way",
                    other.name, policy.name
                );
                at.index(index).error(message, |d| {
                    d.cure(format!(
                        "expect `{name}` beside them in the file, which outranks both, or leave one of them out"
                    ))
                });
            }
            continue;
        }
        let Some(kind) = registry::find(name) else { continue };
        if let Some(invariant) = (kind.parse)(parameters, &Diagnostics::new().root()) {
            expect.push(Expectation {
                name: kind.name,
                invariant,
                index,
                policy: Some(policy),
                is_judged: true,
            });
        }
    }
}

/// Reports what the scenario can never put to the test. What a policy expects and cannot be judged here is
/// not exercised, and says why.
pub(super) fn check(scenario: &mut Scenario, at: &At<'_>) {
    let mut silent: BTreeMap<usize, (&'static Policy, Vec<String>)> = BTreeMap::new();
    let mut unjudged: Vec<(usize, String)> = Vec::new();
    for (place, one) in scenario.expect.iter().enumerate() {
        let Some(policy) = one.policy else {
            one.invariant.check_scenario(scenario, &at.index(one.index));
            continue;
        };
        let problems = Diagnostics::new();
        one.invariant.check_scenario(scenario, &problems.root());
        let problems = problems.into_vec();
        let error = problems.iter().find(|problem| problem.severity == Severity::Error);
        unjudged.extend(error.map(|error| (place, error.message.clone())));
        if !problems.is_empty() {
            silent
                .entry(one.index)
                .or_insert((policy, Vec::new()))
                .1
                .push(format!("`{}`", one.name));
        }
    }
    for (place, why) in unjudged {
        let one = &mut scenario.expect[place];
        one.invariant = Arc::new(Unjudged { kind: one.invariant.kind(), why });
        one.is_judged = false;
    }
    for (index, (policy, names)) in silent {
        let message = format!(
            "this scenario does not put all of the policy `{}` to the test: {}",
            policy.name,
            names.join(", ")
        );
        at.index(index).note(message, |d| {
            d.cure(format!("`brownout run --policy {}` runs the scenarios that do", policy.name))
        });
    }
}

/// What a policy expects and no run of this scenario could show.
#[derive(Debug)]
struct Unjudged {
    kind: &'static InvariantKind,
    why: String,
}

impl Invariant for Unjudged {
    fn kind(&self) -> &'static InvariantKind {
        self.kind
    }

    fn check(&self, _: &Trace) -> Judgement {
        let reason = Some(format!("it cannot be judged in this scenario: {}", self.why));
        Judgement { reason, ..Judgement::default() }
    }
}
