//! Policies: bundles of expectations with a name, each with the source of its rules.
//!
//! They are data, in `harness/policies/`, in the words of a scenario; here they are only read.
//! **Invariant:** whatever the file of a policy expects can be resolved, and each of its scenarios is shipped.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::entry::{name_of, parameters_of};
use super::shipped::{self, Shipped};

/// The key under which a policy stands.
pub(crate) const POLICY: &str = "policy";

/// A policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name, as it stands under `expect: [{policy: …}]`.
    #[serde(rename = "policy")]
    pub name: String,
    /// What it asks of a client, in one sentence.
    pub summary: String,
    /// Where its rules come from.
    pub source: String,
    expect: Vec<Value>,
    scenarios: Vec<String>,
    /// What only a client can be put to that lives for all operations.
    #[serde(default)]
    long_lived: Vec<String>,
}

impl Policy {
    /// What it expects, each as the name of an invariant and its parameters (`null` for the bare word).
    pub fn expect(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.expect.iter().filter_map(|entry| Some((name_of(entry)?, parameters_of(entry))))
    }

    /// The entry for one of the invariants that it expects, as it stands in its file.
    #[must_use]
    pub fn entry(&self, invariant: &str) -> Option<&Value> {
        self.expect.iter().find(|entry| name_of(entry) == Some(invariant))
    }

    /// The scenarios that put all of it to the test.
    pub fn scenarios(&self) -> impl Iterator<Item = &'static Shipped> {
        self.scenarios.iter().filter_map(|path| shipped::find(path))
    }

    /// Further scenarios, for a client that lives for all operations: what all its retries share is seen nowhere else.
    pub fn long_lived(&self) -> impl Iterator<Item = &'static Shipped> {
        self.long_lived.iter().filter_map(|path| shipped::find(path))
    }
}

macro_rules! policies {
    ($($name:literal),* $(,)?) => {
        [$(include_str!(concat!("../../policies/", $name, ".yaml"))),*]
    };
}

static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    policies![
        "sre_defaults",
        "aws_standard",
        "aws_standard_classic",
        "gcs_retry",
        "gcs_retry_conditional",
        "gcs_retry_never",
        "stripe_client",
        "openai_client",
        "anthropic_client",
        "podcast_minimum",
        "webhook_consumer",
    ]
    .iter()
    .map(|text| serde_yaml::from_str(text).expect("every policy is tested"))
    .collect()
});

/// All policies, in the order of the documentation.
#[must_use]
pub fn all() -> &'static [Policy] {
    &POLICIES
}

/// The policy of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Policy> {
    POLICIES.iter().find(|policy| policy.name == name)
}

/// Expects a policy on top of what a file expects; what it expects of the same names is left out.
pub(super) fn add(name: &str, expect: &mut Vec<Value>) {
    let entry = json!({ POLICY: name });
    let brings = |other: Option<&str>| {
        find(name).is_some_and(|policy| policy.expect().any(|(own, _)| Some(own) == other))
    };
    expect.retain(|one| *one != entry && !brings(name_of(one)));
    expect.push(entry);
}

#[cfg(test)]
mod tests {
    use brownout_provider::document::Diagnostics;

    use super::*;
    use crate::invariant::registry;

    #[test]
    fn every_policy_can_be_resolved_and_names_shipped_scenarios() {
        for policy in all() {
            assert!(policy.source.len() > 20 && policy.summary.ends_with('.'), "{}", policy.name);
            assert_eq!(policy.scenarios().count(), policy.scenarios.len(), "{}", policy.name);
            assert_eq!(policy.long_lived().count(), policy.long_lived.len(), "{}", policy.name);
            assert_eq!(policy.expect().count(), policy.expect.len(), "{}", policy.name);
            for (name, parameters) in policy.expect() {
                let kind = registry::find(name).unwrap_or_else(|| panic!("`{name}`"));
                let problems = Diagnostics::new();
                assert!((kind.parse)(parameters, &problems.root()).is_some(), "{name}");
                assert_eq!(problems.into_vec(), [], "{name}");
            }
        }
    }

    #[test]
    fn what_the_command_line_adds_outranks_the_file() {
        let mut expect = vec![json!({"bounded_retries": {"max_attempts": 9}}), json!("min_gap")];
        add("gcs_retry_never", &mut expect);
        assert_eq!(expect, [json!("min_gap"), json!({"policy": "gcs_retry_never"})]);
    }

    #[test]
    fn every_file_of_the_folder_is_a_policy_of_its_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        files.sort_unstable();
        let mut names: Vec<String> =
            all().iter().map(|policy| format!("{}.yaml", policy.name)).collect();
        names.sort_unstable();
        assert_eq!(files, names);
    }
}
