//! From a scenario file to a scenario, with everything that is wrong said at once.
//!
//! The file is read into raw types, and each part is given its meaning by a module of its own; parts that
//! are wrong are left out, so that the others are still judged.
//! **Invariant:** it reads API files and nothing else, and a scenario comes back only without errors.

mod delivered;
mod drain;
mod entry;
mod expect;
mod http;
mod provider;
mod rules;
mod strike;
mod survive;
mod tenants;
mod when;
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use brownout_provider::api::Api;
use brownout_provider::document::{
    At, Diagnostic, Diagnostics, Document, Source, decode, map_strings,
};
use brownout_provider::rule::Rule;
use brownout_provider::seed::Seed;
use brownout_provider::units::{Period, Rate, Scale};
use serde_json::{Map, Value};

use super::raw::{RawPlan, RawScenario};
use super::{Providers, Scenario, policy, schema};

/// The name of a provider that has none of its own.
pub const PROVIDER: &str = "provider";

/// The key under which several providers stand.
const PROVIDERS: &str = "providers";

/// The longest name.
const MAX_NAME: usize = 100;

/// A scenario file, checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The text and its places, to show diagnostics with.
    pub source: Source,
    /// The scenario; `None` when there is an error among the diagnostics.
    pub scenario: Option<Scenario>,
    /// All errors and notes, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Where the APIs come from that a scenario names.
#[derive(Clone, Copy, Debug)]
pub enum Apis<'a> {
    /// Shipped, or files beside the scenario in this folder.
    Beside(&'a Path),
    /// Shipped, or documents that came with the scenario, by the name that it uses; never a file.
    Sent(&'a BTreeMap<String, Value>),
    /// Documents that a trace kept, by the name that the scenario uses.
    Kept(&'a BTreeMap<String, Arc<Value>>),
    /// The providers of a scenario that was resolved before, as they stand there: for variations of that
    /// scenario, which change nothing about the providers.
    Same(&'a Providers),
}

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The seed.
    pub seed: Option<u64>,
    /// How many operations.
    pub operations: Option<u64>,
    /// How many may be outstanding.
    pub concurrency: Option<u64>,
    /// The API.
    pub api: Option<String>,
    /// A policy whose expectations come on top of those of the file, and outrank them.
    pub policy: Option<String>,
    /// By what every duration in the file is divided.
    pub scale: Option<Scale>,
}

/// Reads and checks a scenario file.
///
/// ```
/// use std::path::Path;
/// use brownout::scenario::{Apis, Overrides, read};
/// let apis = Apis::Beside(Path::new("."));
/// let checked = read("a.yaml", b"version: 1\nnmae: x\n", apis, &Overrides::default());
/// assert!(checked.scenario.is_none());
/// assert!(checked.diagnostics.iter().any(|one| one.did_you_mean.as_deref() == Some("name")));
/// ```
#[must_use]
pub fn read(file: &str, bytes: &[u8], apis: Apis<'_>, overrides: &Overrides) -> Checked {
    match Document::parse(file, bytes) {
        Err(refusal) => {
            let refusal = *refusal;
            Checked { source: refusal.source, scenario: None, diagnostics: refusal.diagnostics }
        }
        Ok(Document { source, value }) => {
            let (scenario, mut diagnostics) = from_value(&value, apis, overrides);
            diagnostics.sort_by_key(|one| source.place_of(one));
            Checked { source, scenario, diagnostics }
        }
    }
}

/// Checks a scenario that has been read, from a file or from a trace.
#[must_use]
pub fn from_value(
    value: &Value,
    apis: Apis<'_>,
    overrides: &Overrides,
) -> (Option<Scenario>, Vec<Diagnostic>) {
    let problems = Diagnostics::new();
    let scenario = resolve(value, apis, overrides, &problems);
    let has_errors = problems.has_errors();
    (scenario.filter(|_| !has_errors), problems.into_vec())
}

/// Checks the `faults` or the `script` of a document against an API, without workload and expectations;
/// reports at `root` all that is wrong with them. Other keys of the document are not looked at.
///
/// ```
/// use std::path::Path;
///
/// use brownout::scenario::rules_from_value;
/// use brownout_provider::api;
/// use brownout_provider::document::Diagnostics;
/// use serde_json::json;
///
/// let problems = Diagnostics::new();
/// let (payments, _) = api::load("payments", Path::new("."), &problems.root()).expect("shipped");
/// let plan = json!({"faults": [{"name": "mute", "inject": "hang"}]});
/// let rules = rules_from_value(&plan, &payments, &problems.root()).expect("right rules");
/// assert_eq!(&*rules[0].name, "mute");
/// assert!(!problems.has_errors());
/// ```
#[must_use]
pub fn rules_from_value(value: &Value, api: &Api, root: &At<'_>) -> Option<Vec<Rule>> {
    let RawPlan { faults, script } = decode(value, root)?;
    let raw = RawScenario { faults, script, ..RawScenario::default() };
    let places = when::Places::of_api(api);
    let context = when::Context { places: &places, workload: None, is_cut: false };
    let (rules, is_whole) = rules::resolve(&raw, &context, root);
    if is_whole && !root.key("faults").is_wrong() && !root.key("script").is_wrong() {
        strike::check(&rules, root);
    }
    Some(rules.into_iter().map(|placed| placed.rule).collect())
}

fn resolve(
    value: &Value,
    apis: Apis<'_>,
    overrides: &Overrides,
    problems: &Diagnostics,
) -> Option<Scenario> {
    let root = problems.root();
    let source = overridden(value, overrides);
    let scale = source.get("scale").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let raw: RawScenario = match scale {
        None => decode(&source, &root)?,
        Some(scale) => decode(&scaled(source.clone(), scale), &root)?,
    };
    let name = head(&raw, &root);
    if overrides.api.is_some() && raw.providers.is_some() {
        root.key(PROVIDERS).error("there are several providers whose API could be another", |d| {
            d.key().cure("leave `--api` out, and change the file")
        });
    }
    let is_cut = overrides.operations.is_some() || matches!(apis, Apis::Kept(_));
    let providers = provider::resolve(&raw, &source, apis, &root);
    let places = when::Places::of(&providers);
    let workload =
        workload::resolve(raw.workload.as_ref(), &source, &places, &root.key("workload"));
    let context = when::Context { places: &places, workload: workload.as_ref(), is_cut };
    let (rules, rules_are_whole) = rules::resolve(&raw, &context, &root);
    let expect = expect::resolve(raw.expect.as_deref(), &root.key("expect"));
    let rules_are_right =
        rules_are_whole && !root.key("faults").is_wrong() && !root.key("script").is_wrong();
    let specs = |place: &provider::Place| Some((Arc::clone(&place.name), place.spec.clone()?));
    let mut scenario = Scenario {
        name: name?,
        summary: raw.summary.clone().unwrap_or_default(),
        tags: raw.tags.iter().flatten().flatten().cloned().collect(),
        seed: Seed::new(raw.seed.unwrap_or(0))?,
        providers: Providers::several(providers.iter().map(specs).collect::<Option<_>>()?)?,
        rules: rules.iter().map(|placed| placed.rule.clone()).collect(),
        workload: workload?,
        expect,
        drain: drain::resolve(raw.drain, &rules, &providers, &root.key("drain")),
        scale,
        source: Arc::new(source),
    };
    // What the rules amount to can be said only when each of them is right.
    if rules_are_right {
        strike::check(&rules, &root);
        survive::check(&scenario, &rules, &root);
        delivered::check(&scenario, &rules, &root);
        expect::check(&mut scenario, &root.key("expect"));
    }
    Some(scenario)
}

/// The file with what the command line changes.
fn overridden(value: &Value, overrides: &Overrides) -> Value {
    let mut value = value.clone();
    // Tenants have as many operations as the file says; more than these there are not.
    let most = tenants::operations_in(&value).unwrap_or(u64::MAX);
    let operations = overrides.operations.map(|operations| operations.min(most));
    let Some(file) = value.as_object_mut() else { return value };
    if let Some(seed) = overrides.seed {
        file.insert("seed".to_owned(), Value::from(seed));
    }
    if let Some(scale) = overrides.scale {
        file.insert("scale".to_owned(), Value::from(scale.to_string()));
    }
    if let Some(workload) = file.get_mut("workload").and_then(Value::as_object_mut) {
        for (key, changed) in [("operations", operations), ("concurrency", overrides.concurrency)] {
            if let Some(changed) = changed {
                workload.insert(key.to_owned(), Value::from(changed));
            }
        }
        if let Some(operations) = operations {
            let exec = Map::from_iter([("operations".to_owned(), Value::from(operations))]);
            workload.insert("exec".to_owned(), Value::Object(exec));
        }
    }
    if let (Some(api), Some(provider)) =
        (&overrides.api, file.get_mut(PROVIDER).and_then(Value::as_object_mut))
    {
        provider.insert("api".to_owned(), Value::from(api.as_str()));
    }
    if let (Some(policy), Some(expect)) =
        (overrides.policy.as_deref(), file.get_mut("expect").and_then(Value::as_array_mut))
    {
        policy::add(policy, expect);
    }
    value
}

/// The file with every duration and rate in it shortened; whatever cannot be read stays as it is.
fn scaled(mut value: Value, scale: Scale) -> Value {
    let shorten = |format: &str, text: &str| match format {
        "duration-words" => {
            text.parse::<Period>().ok().map(|period| period.scaled(scale).to_string())
        }
        "rate" => text
            .parse::<Rate>()
            .ok()
            .map(|rate| Rate { per: rate.per.scaled(scale), ..rate }.to_string()),
        _ => None,
    };
    map_strings(schema::scenario(), &mut value, &shorten);
    value
}

/// Version, name and tags.
fn head(raw: &RawScenario, root: &At<'_>) -> Option<String> {
    if let Some(version) = raw.version
        && version != 1
    {
        root.key("version").error(format!("version `{version}` of the format is not known"), |d| {
            d.cure("write `version: 1`, or use a newer brownout")
        });
    }
    for (index, tag) in raw.tags.iter().flatten().enumerate() {
        if let Some(tag) = tag {
            check_name(tag, "tag", &root.key("tags").index(index));
        }
    }
    let name = raw.name.clone()?;
    check_name(&name, "scenario", &root.key("name"));
    Some(name)
}

/// Reports a name that could not stand in a file name, a schedule line or an argument.
fn check_name(name: &str, what: &str, at: &At<'_>) {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !name.chars().all(fine) || name.len() > MAX_NAME {
        at.error(format!("`{}` cannot be the name of a {what}", shown(name)), |d| {
            d.cure(format!(
                "use 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`, and begin with a letter or digit"
            ))
        });
    }
}

/// A text as it is shown in a message.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests;
