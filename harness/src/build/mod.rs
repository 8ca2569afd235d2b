//! Scenarios written in Rust: the same words as in YAML, the same checks, the same diagnostics.
//!
//! A builder makes the document that a file would hold and resolves it like one, so whatever can be built
//! can be printed as YAML and read back as the same scenario.
//! **Invariant:** nothing is checked here; a mistake is found where a file's mistake is found.

pub mod fault;
mod rule;

use std::path::Path;
use std::time::Duration;

use brownout_provider::units::{Period, micros};
use serde_json::{Map, Value, json};

use crate::scenario::{Apis, Overrides, Scenario, WrongScenario, from_value, read};

pub use fault::Injected;
pub use rule::{RuleBuilder, Which, every, rule};

/// Begins a scenario of this name against an API: the name of a shipped one, or the path of an API file,
/// which counts from the folder of the package in a test.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::build::{fault, rule, scenario};
/// use brownout::{Harness, Outcome};
/// use serde_json::json;
///
/// let scenario = scenario("response-lost", "payments")
///     .seed(42)
///     .rule(rule("lost").route("create_charge").attempt(1).inject(fault::reset().after_commit()))
///     .rule(rule("busy").attempt(2..=3).chance(1, 5).inject(fault::status(503).retry_after(Duration::from_secs(2))))
///     .call("create_charge")
///     .operations(20)
///     .input(json!({"amount": 1999, "currency": "usd", "order": "order-{{ n }}"}))
///     .expect("no_double_charges")
///     .expect_with("bounded_retries", json!({"max_attempts": 5}))
///     .finish()
///     .expect("a right scenario");
/// assert!(scenario.to_yaml().contains("- name: lost\n"));
/// let judged = Harness::new(scenario).virtual_time().run(|_, _| async { Outcome::unknown("") });
/// assert_eq!(judged.expect("it runs").result.operations.total, 20);
/// ```
#[must_use]
pub fn scenario(name: &str, api: &str) -> ScenarioBuilder {
    ScenarioBuilder {
        head: Map::from_iter([("version".to_owned(), json!(1)), ("name".to_owned(), json!(name))]),
        provider: Map::from_iter([("api".to_owned(), json!(api))]),
        faults: Vec::new(),
        script: Vec::new(),
        workload: Map::new(),
        expect: Vec::new(),
    }
}

/// A scenario that is being written; see [`scenario`].
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioBuilder {
    head: Map<String, Value>,
    provider: Map<String, Value>,
    faults: Vec<Value>,
    script: Vec<Value>,
    workload: Map<String, Value>,
    expect: Vec<Value>,
}

impl ScenarioBuilder {
    /// What the random decisions are drawn from: 0 to 2^53 - 1.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.set("seed", seed)
    }

    /// One sentence that says what happens.
    #[must_use]
    pub fn summary(self, summary: &str) -> Self {
        self.set("summary", summary)
    }

    /// Sets any other key at the top of a scenario (`tags`, `scale`, `drain`), in the words of a file.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.head.insert(key.to_owned(), value.into());
        self
    }

    /// Changes a policy of the API (`idempotency`, `rate_limit`, `hint`), in the words of a file.
    ///
    /// ```
    /// use brownout::build::scenario;
    /// use serde_json::json;
    ///
    /// let short = scenario("short-memory", "payments")
    ///     .provider("idempotency", json!({"retention": "2s"}))
    ///     .call("create_charge")
    ///     .expect("no_double_charges");
    /// assert!(short.to_yaml().contains("retention: 2s"));
    /// ```
    #[must_use]
    pub fn provider(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.provider.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a rule; of several that would end a request the first does.
    #[must_use]
    pub fn rule(mut self, rule: RuleBuilder) -> Self {
        self.faults.push(rule.into());
        self
    }

    /// Adds an entry of a script, which stands instead of rules: this strikes at this attempt (from 1) of
    /// this operation (from 1) on this route, and nowhere else.
    #[must_use]
    pub fn strike(
        mut self,
        operation: u64,
        route: &str,
        attempt: u64,
        inject: impl Into<Injected>,
    ) -> Self {
        self.script.push(script_entry(operation, route, attempt, inject.into()));
        self
    }

    /// The route of the API that each operation calls.
    #[must_use]
    pub fn call(self, route: &str) -> Self {
        self.workload("call", route)
    }

    /// How many operations, from 1; 10 unless said.
    #[must_use]
    pub fn operations(self, operations: u64) -> Self {
        self.workload("operations", operations)
    }

    /// How many operations may be outstanding, from 1; 1 unless said.
    #[must_use]
    pub fn concurrency(self, concurrency: u64) -> Self {
        self.workload("concurrency", concurrency)
    }

    /// One operation so often, instead of as soon as `concurrency` lets them.
    #[must_use]
    pub fn arrival_every(self, every: Duration) -> Self {
        self.workload("arrival", json!({"every": words(every)}))
    }

    /// How often each operation is submitted (a double click is 2), and how far apart.
    #[must_use]
    pub fn submits(self, times: u32, apart: Duration) -> Self {
        self.workload("submits", json!({"times": times, "apart": words(apart)}))
    }

    /// The input of each operation. Text may hold `{{ n }}` and `{{ submit }}`; a text that is one
    /// expression keeps its type.
    #[must_use]
    pub fn input(self, input: Value) -> Self {
        self.workload("input", input)
    }

    /// When the caller gives up on an operation; 30 s unless said.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.workload("deadline", words(deadline))
    }

    /// Sets any other key of the workload, in the words of a file.
    #[must_use]
    pub fn workload(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.workload.insert(key.to_owned(), value.into());
        self
    }

    /// Expects an invariant, without parameters.
    #[must_use]
    pub fn expect(mut self, invariant: &str) -> Self {
        self.expect.push(json!(invariant));
        self
    }

    /// Expects an invariant with these parameters, in the words of a file.
    #[must_use]
    pub fn expect_with(mut self, invariant: &str, parameters: Value) -> Self {
        self.expect.push(Value::Object(Map::from_iter([(invariant.to_owned(), parameters)])));
        self
    }

    /// The document, as a file would hold it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut document = self.head.clone();
        let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
        put("provider", Value::Object(self.provider.clone()));
        if !self.faults.is_empty() {
            put("faults", Value::Array(self.faults.clone()));
        }
        if !self.script.is_empty() {
            put("script", Value::Array(self.script.clone()));
        }
        put("workload", Value::Object(self.workload.clone()));
        put("expect", Value::Array(self.expect.clone()));
        Value::Object(document)
    }

    /// The scenario file.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml(&self.to_value())
    }

    /// The scenario, ready to run.
    ///
    /// ```
    /// use brownout::build::{fault, rule, scenario};
    ///
    /// let wrong = scenario("typo", "payments")
    ///     .rule(rule("busy").inject(fault::named("sttus").with("code", 503)))
    ///     .call("create_charge")
    ///     .expect("no_double_charges")
    ///     .finish()
    ///     .expect_err("there is no such fault");
    /// assert!(wrong.to_string().contains("there is no fault `sttus`; did you mean `status`?"));
    /// ```
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, at once, each with its line in the YAML of what was built.
    pub fn finish(&self) -> Result<Scenario, WrongScenario> {
        let (apis, overrides) = (Apis::Beside(Path::new(".")), Overrides::default());
        match from_value(&self.to_value(), apis, &overrides) {
            (Some(scenario), _) => Ok(scenario),
            // Only a text has lines to point to.
            (None, _) => read("<built>", self.to_yaml().as_bytes(), apis, &overrides).into_result(),
        }
    }
}

impl Scenario {
    /// The scenario as a file that is read back as the same scenario. What a test adds by
    /// [`crate::Harness::expect`] does not stand in it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml(&self.source)
    }
}

/// An entry of a script.
pub(crate) fn script_entry(operation: u64, route: &str, attempt: u64, inject: Injected) -> Value {
    json!({
        "operation": operation, "route": route, "attempt": attempt, "inject": Value::from(inject),
    })
}

pub(crate) fn yaml(document: &Value) -> String {
    serde_yaml::to_string(document).expect("texts, numbers, lists and maps make a YAML document")
}

/// A length of time as a file writes it, exact to the microsecond.
fn words(duration: Duration) -> String {
    Period::from_micros(micros(duration)).to_string()
}
