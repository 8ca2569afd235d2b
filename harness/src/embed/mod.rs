//! The fault engine inside somebody else's server: the rules of a scenario strike the routes of an app of
//! one's own (`Faults::layer`, feature `tower`) or of a wiremock server (`Faults::responder`, feature
//! `wiremock`).
//!
//! It decides as the mock provider does. What the place cannot carry out is refused when it is built, with
//! what to do instead; ledger, keys and limits are the server's own, so nothing is judged here.
//! **Invariant:** a fault that is accepted strikes as it says; none is silently left out.

mod engine;
#[cfg(feature = "tower")]
pub mod layer;
mod refuse;
#[cfg(feature = "wiremock")]
pub mod responder;

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::api::{self, Api, Extractor};
use brownout_provider::document::{Diagnostics, Document};
use brownout_provider::rule::Rule;
use brownout_provider::seed::Seed;
use serde_json::{Map, Value, json};

use crate::build::{Injected, RuleBuilder, script_entry, yaml};
use crate::scenario::{Scenario, WrongScenario, rules_from_value};

use engine::Engine;
pub use refuse::NotHere;

/// Rules that strike the routes of another server than the mock.
///
/// All that is made of one value shares its counts: clone it for a server of its own, or build it anew.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::build::{fault, rule};
/// use brownout::embed::Faults;
///
/// let faults = Faults::on_routes([("create_order", "POST", "/orders"), ("get_order", "GET", "/orders/{id}")])
///     .operation_id("json:/order")
///     .rule(rule("busy").route("create_order").attempt(1).inject(fault::status(503)))
///     .rule(rule("slow").chance(1, 5).inject(fault::latency(Duration::from_millis(300))))
///     .finish()
///     .expect("right rules");
/// assert!(faults.strikes().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Vec<Rule>,
    engine: Arc<Engine>,
}

impl Faults {
    /// The rules of a scenario, on the routes of its API. Its workload and what it expects do not count.
    ///
    /// # Panics
    ///
    /// Never: a scenario has a provider.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let provider = scenario.providers.iter().next();
        let (name, provider) = provider.expect("a scenario has a provider");
        Self::new(Plan {
            name: Arc::clone(name),
            api: Arc::clone(&provider.api),
            rules: scenario.rules.clone(),
            seed: scenario.seed,
            operation_id: scenario.workload.operation_id.clone(),
        })
    }

    /// Begins rules for these routes: the name by which rules know each, its method, and its path with
    /// parameters in braces. A request to any other route is let through.
    ///
    /// What an answer needs is not known of such routes, so `malformed` of the kinds `missing_field` and
    /// `wrong_amount` wants a scenario with an API file that says it: [`Faults::of`].
    #[must_use]
    pub fn on_routes<'a>(
        routes: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> FaultsBuilder {
        let route = |(name, method, path)| json!({"name": name, "method": method, "path": path});
        FaultsBuilder {
            routes: routes.into_iter().map(route).collect(),
            operation_id: None,
            seed: Seed::default(),
            faults: Vec::new(),
            script: Vec::new(),
        }
    }

    fn new(plan: Plan) -> Self {
        Self { rules: plan.rules.clone(), engine: Arc::new(Engine::new(plan)) }
    }

    /// How many faults each rule has injected so far.
    #[must_use]
    pub fn strikes(&self) -> BTreeMap<String, u64> {
        self.engine.strikes()
    }
}

/// What an engine decides by.
#[derive(Clone, Debug)]
struct Plan {
    name: Arc<str>,
    api: Arc<Api>,
    rules: Vec<Rule>,
    seed: Seed,
    operation_id: Option<Extractor>,
}

/// Rules that are being written; see [`Faults::on_routes`].
#[derive(Clone, Debug)]
pub struct FaultsBuilder {
    routes: Vec<Value>,
    operation_id: Option<String>,
    seed: Seed,
    faults: Vec<Value>,
    script: Vec<Value>,
}

impl FaultsBuilder {
    /// What the random decisions are drawn from; 0 unless said.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// Where a request carries the name of the work that it is for, so that attempts can be counted:
    /// `header:NAME`, `json:/POINTER`, `form:FIELD`, `query:NAME` or `traceparent`. Without it two requests
    /// of the same method, path and body count as attempts of one operation if the first had failed.
    #[must_use]
    pub fn operation_id(mut self, place: &str) -> Self {
        self.operation_id = Some(place.to_owned());
        self
    }

    /// Adds a rule; of several that would end a request the first does.
    #[must_use]
    pub fn rule(mut self, rule: RuleBuilder) -> Self {
        self.faults.push(rule.into());
        self
    }

    /// Adds an entry of a script, which stands instead of rules: this strikes at this attempt (from 1) of
    /// this operation on this route. Operations are numbered in the order in which they are first seen.
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

    /// The rules, ready to strike.
    ///
    /// ```
    /// use brownout::build::rule;
    /// use brownout::embed::Faults;
    ///
    /// let wrong = Faults::on_routes([("create_order", "POST", "/orders")])
    ///     .rule(rule("mute").route("make_order").inject("hang"))
    ///     .finish()
    ///     .expect_err("there is no such route");
    /// assert!(wrong.to_string().contains("has no route `make_order`"));
    /// ```
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, at once, each with its line in the YAML of what was built.
    pub fn finish(&self) -> Result<Faults, WrongScenario> {
        let mut api = Map::from_iter([
            ("version".to_owned(), json!(1)),
            ("name".to_owned(), json!("app")),
            ("routes".to_owned(), json!(self.routes)),
        ]);
        if let Some(place) = &self.operation_id {
            api.insert("operation_id".to_owned(), json!(place));
        }
        let mut document = Map::from_iter([("api".to_owned(), Value::Object(api))]);
        for (key, list) in [("faults", &self.faults), ("script", &self.script)] {
            if !list.is_empty() {
                document.insert(key.to_owned(), json!(list));
            }
        }
        let text = yaml(&Value::Object(document));
        let Document { source, value } = Document::parse("<built>", text.as_bytes())
            .map_err(|refusal| WrongScenario::new(refusal.source, refusal.diagnostics))?;
        let problems = Diagnostics::new();
        let plan = self.resolve(&value, &problems);
        match plan.filter(|_| !problems.has_errors()) {
            Some(plan) => Ok(Faults::new(plan)),
            None => Err(WrongScenario::new(source, problems.into_vec())),
        }
    }

    fn resolve(&self, document: &Value, problems: &Diagnostics) -> Option<Plan> {
        let root = problems.root();
        let api = api::from_value(document.get("api")?, &root.key("api"))?;
        let rules = rules_from_value(document, &api, &root)?;
        let name = Arc::from("app");
        Some(Plan { name, api, rules, seed: self.seed, operation_id: None })
    }
}
