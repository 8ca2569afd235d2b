//! A variation of a scenario: its provider, its client's work and its expectations, with a script in the
//! place of its rules and with less to do.
//!
//! Searches vary scenarios in this form. Knows nothing of runs or verdicts.
//! **Invariant:** what a case runs as is exactly what its file says: both come from one value.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{Diagnostic, Severity};
use brownout_provider::seed::Seed;
use brownout_provider::units::{Period, micros};
use serde_json::{Map, Value};

use super::script::{self, Injection};
use super::simplest::Simplest;
use super::yaml;
use crate::scenario::entry::name_of;
use crate::scenario::policy::POLICY;
use crate::scenario::{Apis, Arrival, Overrides, Providers, Scenario, from_value};

/// What all cases of one scenario share.
#[derive(Debug)]
struct Base {
    /// The file without its rules and its script.
    source: Value,
    providers: Providers,
    load: Load,
    /// The expectations that a driver goes by as well: a run without them is another run.
    awaited: Vec<&'static str>,
}

/// How much the client is asked to do, and how much of it at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Operations, at least 1.
    pub operations: u64,
    /// How many may be outstanding, at least 1.
    pub concurrency: u64,
    /// How often each is submitted, at least 1.
    pub submits: u32,
    /// Microseconds between two submits of an operation.
    pub apart_us: u64,
    /// True when they come at once, and not one after the other by the clock.
    pub at_once: bool,
}

/// A variation of a scenario.
#[derive(Clone, Debug)]
pub struct Case {
    base: Arc<Base>,
    /// What strikes.
    pub script: Vec<Injection>,
    /// The seed, which no fault of a script depends on.
    pub seed: Seed,
    /// What the client is asked to do.
    pub load: Load,
    /// The one invariant that is expected, where it is one.
    pub only: Option<&'static str>,
    /// True when operations are handed to the client; false for a test suite, which decides itself what
    /// it does.
    pub is_driven: bool,
    /// What may take the place of its faults when it is made smaller; nothing unless said.
    pub simplest: Arc<Simplest>,
}

impl PartialEq for Case {
    fn eq(&self, other: &Self) -> bool {
        let parts = |case: &Self| (case.seed, case.load, case.only, case.is_driven);
        self.script == other.script && parts(self) == parts(other)
    }
}

impl Case {
    /// The scenario without any fault.
    #[must_use]
    pub fn calm(scenario: &Scenario) -> Self {
        let workload = &scenario.workload;
        let load = Load {
            operations: workload.operations,
            concurrency: workload.concurrency,
            submits: workload.submits.times,
            apart_us: micros(workload.submits.apart),
            at_once: workload.arrival == Arrival::AtOnce,
        };
        let mut source = Value::clone(&scenario.source);
        if let Some(file) = source.as_object_mut() {
            file.shift_remove("faults");
            file.shift_remove("script");
            // A smaller scenario expects what broke, and not all that a policy asks for.
            if let Some(Value::Array(expect)) = file.get_mut("expect") {
                expect.retain(|one| name_of(one) != Some(POLICY));
                let brought = scenario.expect.iter().filter(|one| one.is_judged);
                expect.extend(brought.filter_map(|one| one.policy?.entry(one.name).cloned()));
            }
        }
        let awaits =
            scenario.expect.iter().filter(|one| one.invariant.reconciles_within_us().is_some());
        let awaited = awaits.map(|one| one.name).collect();
        let base = Arc::new(Base { source, providers: scenario.providers.clone(), load, awaited });
        Self {
            base,
            script: Vec::new(),
            seed: scenario.seed,
            load,
            only: None,
            is_driven: true,
            simplest: Arc::default(),
        }
    }

    /// The same with another script, which is put in order.
    #[must_use]
    pub fn with_script(&self, mut script: Vec<Injection>) -> Self {
        script::sort(&mut script);
        Self { script, ..self.clone() }
    }

    /// The same with another load.
    #[must_use]
    pub fn with_load(&self, load: Load) -> Self {
        Self { load, ..self.clone() }
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(&self, seed: Seed) -> Self {
        Self { seed, ..self.clone() }
    }

    /// The file's content.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = self.base.source.clone();
        let Some(file) = value.as_object_mut() else { return value };
        file.insert("seed".to_owned(), self.seed.get().into());
        if !self.script.is_empty() {
            file.insert("script".to_owned(), script::to_value(&self.script));
        }
        if let Some(workload) = file.get_mut("workload").and_then(Value::as_object_mut) {
            self.lighten(workload);
        }
        if let (Some(only), Some(Value::Array(expect))) =
            (self.only_in_file(), file.get_mut("expect"))
        {
            expect.retain(|one| {
                name_of(one).is_some_and(|name| name == only || self.base.awaited.contains(&name))
            });
        }
        value
    }

    /// The only invariant that is expected, where the file names it: one of a test's own it cannot name.
    fn only_in_file(&self) -> Option<&'static str> {
        let expect = self.base.source.get("expect").and_then(Value::as_array)?;
        self.only.filter(|only| expect.iter().any(|one| name_of(one) == Some(only)))
    }

    /// Writes what of the load is not that of the scenario.
    fn lighten(&self, workload: &mut Map<String, Value>) {
        let (load, was) = (self.load, self.base.load);
        let mut set = |key: &str, value: Option<Value>| match value {
            Some(value) => drop(workload.insert(key.to_owned(), value)),
            None => drop(workload.shift_remove(key)),
        };
        if load.operations != was.operations {
            set("operations", Some(load.operations.into()));
            // What exec mode was allowed to do above its usual number is no longer needed.
            set("exec", None);
        }
        if load.concurrency != was.concurrency {
            set("concurrency", (load.concurrency > 1).then(|| load.concurrency.into()));
        }
        if load.at_once && !was.at_once {
            set("arrival", None);
        }
        if (load.submits, load.apart_us) != (was.submits, was.apart_us) {
            let submits = match (load.submits, load.apart_us) {
                (1, _) => None,
                (times, 0) => Some(Value::from(times)),
                (times, apart) => Some(Value::Object(Map::from_iter([
                    ("times".to_owned(), times.into()),
                    ("apart".to_owned(), Period::from_micros(apart).to_string().into()),
                ]))),
            };
            set("submits", submits);
        }
    }

    /// The scenario that it is. Expectations that this script cannot exercise are left out, unless it is
    /// the only one.
    ///
    /// # Errors
    ///
    /// When there is no such scenario, with what is wrong: two endings of one request, for example.
    pub fn scenario(&self) -> Result<Scenario, Vec<Diagnostic>> {
        let mut value = self.to_value();
        match self.resolve(&value) {
            Ok(scenario) => Ok(scenario),
            Err(problems) if self.only_in_file().is_none() => {
                let Some(idle) = places_in_expect(&problems) else { return Err(problems) };
                if let Some(Value::Array(expect)) = value.get_mut("expect") {
                    let mut place = 0;
                    expect.retain(|_| {
                        place += 1;
                        !idle.contains(&(place - 1))
                    });
                }
                self.resolve(&value)
            }
            Err(problems) => Err(problems),
        }
    }

    fn resolve(&self, value: &Value) -> Result<Scenario, Vec<Diagnostic>> {
        let (scenario, problems) =
            from_value(value, Apis::Same(&self.base.providers), &Overrides::default());
        scenario.ok_or(problems)
    }

    /// The text of a file for it, under a name and with a summary of its own. The label says how the file has
    /// to name its APIs from where it will stand.
    #[must_use]
    pub fn to_yaml(&self, label: &Label) -> String {
        let mut value = self.to_value();
        if let Some(file) = value.as_object_mut() {
            file.insert("name".to_owned(), label.name.as_str().into());
            file.insert("summary".to_owned(), label.summary.as_str().into());
            for provider in providers_in(file) {
                let Some(api) = provider.get_mut("api") else { continue };
                if let Some(other) = api.as_str().and_then(|name| label.apis.get(name)) {
                    *api = other.as_str().into();
                }
            }
        }
        yaml::text(&value, &label.story)
    }
}

/// What a file says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The scenario's name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The APIs as the file has to name them, by how the scenario does, where that does not lead there.
    pub apis: BTreeMap<String, String>,
    /// The comment at the top, line by line.
    pub story: Vec<String>,
}

/// The providers that a file describes, whatever their names.
fn providers_in(file: &mut Map<String, Value>) -> Vec<&mut Value> {
    let mut providers = Vec::new();
    for (key, value) in file.iter_mut() {
        match (key.as_str(), value) {
            ("provider", one) => providers.push(one),
            ("providers", Value::Object(several)) => providers.extend(several.values_mut()),
            _ => {}
        }
    }
    providers
}

/// The indices of the expectations that are wrong, if nothing else is.
fn places_in_expect(problems: &[Diagnostic]) -> Option<Vec<usize>> {
    problems
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| one.path.strip_prefix("expect[")?.split_once(']')?.0.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::scenario::read;
    use crate::scenario::shipped::SCENARIOS;

    fn scenario(text: &str) -> Scenario {
        let checked =
            read("<test>", text.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
        checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
    }

    const TEXT: &str = "version: 1
name: base
provider: {api: payments}
faults: [{name: a, when: {chance: 10%}, inject: hang}]
workload:
  call: create_charge
  operations: 20
  concurrency: 4
  arrival: {every: 50ms}
  submits: {times: 2, apart: 1s}
  input: {amount: 1, currency: usd, order: 'o-{{ n }}'}
expect: [no_double_charges, client_timeout: {max: 3s}, no_lost_operations: {all: true}]
";

    fn injection(operation: u64, attempt: u32, fault: Value) -> Injection {
        Injection {
            operation,
            submit: 1,
            provider: None,
            route: "create_charge".into(),
            attempt,
            fault,
        }
    }

    /// What is told apart in two scenarios: all but where they come from.
    fn essence(scenario: &Scenario) -> String {
        format!(
            "{} {:?} {:?} {:?} {:?} {:?}",
            scenario.name,
            scenario.seed,
            scenario.rules,
            scenario.workload,
            scenario.drain,
            scenario.expect.iter().map(|one| one.name).collect::<Vec<_>>()
        )
    }

    #[test]
    fn expectations_that_a_script_cannot_exercise_are_left_out() {
        let calm = Case::calm(&scenario(TEXT));
        let case = calm.with_script(vec![injection(1, 1, json!({"status": {"code": 503}}))]);
        let names: Vec<&str> =
            case.scenario().expect("right").expect.iter().map(|one| one.name).collect();
        assert_eq!(names, ["no_double_charges", "no_lost_operations"]);
        let only = Case { only: Some("client_timeout"), ..case };
        assert!(only.scenario().is_err());
    }

    #[test]
    fn two_endings_of_one_request_are_no_scenario() {
        let calm = Case::calm(&scenario(TEXT));
        let two =
            calm.with_script(vec![injection(1, 1, json!("hang")), injection(1, 1, json!("reset"))]);
        assert!(two.scenario().is_err());
    }

    fn faults() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![
            json!("hang"),
            json!({"reset": {"at": "after_commit"}}),
            json!({"status": {"code": 503, "retry_after": "2s"}}),
            json!({"latency": {"fixed": "150ms", "at": "head"}}),
            json!({"malformed": {"kind": "missing_field", "field": "/id"}}),
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_reads_back_as_the_scenario_that_runs(
            script in prop::collection::vec((1..=20_u64, 1..5_u32, faults()), 1..6),
            (operations, concurrency, submits, at_once) in (20..30_u64, 1..6_u64, 1..4_u32, any::<bool>()),
        ) {
            let calm = Case::calm(&scenario(TEXT));
            let script = script.into_iter().map(|(n, attempt, fault)| injection(n, attempt, fault));
            let mut case = calm.with_script(script.collect());
            case.load = Load { operations, concurrency, submits, at_once, ..case.load };
            case.only = Some("no_double_charges");
            let Ok(running) = case.scenario() else { return Ok(()) };
            let label = Label { name: "base".to_owned(), story: vec!["a: story".to_owned()], ..Label::default() };
            let read = scenario(&case.to_yaml(&label));
            prop_assert_eq!(essence(&read), essence(&running));
            prop_assert_eq!(read.workload.operations, operations);
            prop_assert_eq!(read.workload.concurrency, concurrency);
            prop_assert_eq!(read.workload.submits.times, submits);
        }
    }

    #[test]
    fn every_shipped_scenario_can_be_written_and_read_again() {
        for shipped in SCENARIOS {
            let original = scenario(shipped.text);
            let value = &*original.source;
            let again = scenario(&yaml::text(value, &[]));
            assert_eq!(essence(&again), essence(&original), "{}", shipped.path);
        }
    }
}
