//! A scenario, resolved: everything a run needs, with nothing left to look up.
//!
//! [`raw`] mirrors the file, [`resolve`] gives it meaning and says everything that is wrong at once,
//! [`schema`] describes the file to editors, and [`schedule`] shows what the rules will do.
//! **Invariant:** a [`Scenario`] exists only without errors; whoever has one can run it.

pub mod entry;
pub mod http;
mod later;
mod planted;
pub mod policy;
pub mod providers;
pub mod raw;
pub mod resolve;
pub mod schedule;
pub mod schema;
pub mod shipped;
pub mod tenants;
mod wrong;

pub use planted::{INPUT_NAMES, PLANTED, Planted, input_of};
pub use providers::Providers;
pub use resolve::{Apis, Checked, Overrides, from_value, read, rules_from_value};
pub use wrong::WrongScenario;

use std::sync::Arc;
use std::time::Duration;

use brownout_provider::api::Api;
use brownout_provider::fault::Group;
use brownout_provider::rule::Rule;
use brownout_provider::seed::Seed;
use brownout_provider::template::Tree;
use brownout_provider::units::Scale;
use serde_json::Value;

use self::policy::Policy;
use self::tenants::Tenants;
use crate::invariant::Invariant;
use crate::operation::Step;

/// How long after the first request an outage may end so that it is waited for with what is to be cleared up, in
/// microseconds.
const LONGEST_STORM_US: u64 = 600_000_000;

/// A scenario that can run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The name.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Words to choose it by.
    pub tags: Vec<String>,
    /// The seed.
    pub seed: Seed,
    /// The providers, in the order of the file.
    pub providers: Providers,
    /// The rules in file order. A script has become rules that strike at exact coordinates.
    pub rules: Vec<Rule>,
    /// What the client is asked to do.
    pub workload: Workload,
    /// What is judged.
    pub expect: Vec<Expectation>,
    /// How long to wait at the end for work that is still pending, on the real clock.
    pub drain: Duration,
    /// By how much the durations of the file were shortened; they are shortened already, here and in
    /// every fault, invariant and policy.
    pub scale: Option<Scale>,
    /// The file's content as JSON, for the trace, with what the command line changed.
    pub source: Arc<Value>,
}

impl Scenario {
    /// How long after the first request rules strike by the clock alone, in microseconds, where some do and that is
    /// not too long to wait for.
    #[must_use]
    pub fn storm_us(&self) -> Option<u64> {
        let ends = self.rules.iter().filter_map(|rule| rule.when.during_us);
        ends.map(|(_, to_us)| to_us).filter(|to_us| *to_us <= LONGEST_STORM_US).max()
    }

    /// How long after the storm a client has to clear up what it does not know, in microseconds, where that is
    /// expected of it.
    #[must_use]
    pub fn reconciles_within_us(&self) -> Option<u64> {
        self.expect.iter().filter_map(|one| one.invariant.reconciles_within_us()).max()
    }

    /// Where the client's work leads: a provider and a route, each pair once, in the order of the steps. A
    /// route that several providers have leads to each of them, unless a step names one.
    #[must_use]
    pub fn called(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let workload = &self.workload;
        let call = workload.call.iter().filter(|_| workload.steps.is_empty());
        let steps = workload.steps.iter().map(|step| (step.provider.as_ref(), &step.call));
        let mut called = Vec::new();
        for (named, route) in call.map(|route| (None, route)).chain(steps) {
            for (provider, ..) in self.providers.with_route(route) {
                let place = (Arc::clone(provider), Arc::clone(route));
                if named.is_none_or(|named| named == provider) && !called.contains(&place) {
                    called.push(place);
                }
            }
        }
        called
    }

    /// The name of a provider where it matters which one is meant.
    #[must_use]
    pub fn named(&self, provider: &Arc<str>) -> Option<Arc<str>> {
        self.providers.are_several().then(|| Arc::clone(provider))
    }

    /// The first rule that strikes the client itself, which only a driver that has the client in its hands
    /// can carry out.
    #[must_use]
    pub fn strikes_client(&self) -> Option<&Rule> {
        let strikes =
            |rule: &&Rule| rule.faults.iter().any(|one| one.kind().group == Group::Client);
        self.rules.iter().find(strikes)
    }
}

/// A provider of a scenario.
#[derive(Clone, Debug)]
pub struct ProviderSpec {
    /// The API, with the scenario's own policies already in it.
    pub api: Arc<Api>,
    /// The name or path of the API, as the scenario writes it.
    pub api_name: String,
    /// The API document as JSON, for the trace, as it is without the scenario's own policies: these stand in the
    /// scenario, and two providers of one API may differ in them.
    pub api_source: Arc<Value>,
    /// A fixed port, or any.
    pub port: Option<u16>,
    /// True when it answers over TLS.
    pub tls: bool,
    /// True when it speaks HTTP/2 beside HTTP/1.1.
    pub http2: bool,
}

/// What the client is asked to do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The route that each operation calls, that of its first step where it has several; `None` in suite
    /// mode, where the command decides, and where nobody said by which route a service does its work.
    pub call: Option<Arc<str>>,
    /// The steps of an operation of several; empty where it calls one route.
    pub steps: Vec<Step>,
    /// How the client is called, where it is a service.
    pub http: Option<Arc<http::Http>>,
    /// How many operations.
    pub operations: u64,
    /// How many in exec mode, where the scenario itself says so; else exec mode takes at most 25.
    pub exec_operations: Option<u64>,
    /// How many may be outstanding.
    pub concurrency: u64,
    /// How many copies of the client share the operations, at least 1.
    pub clients: u32,
    /// Whose operation each is.
    pub tenants: Tenants,
    /// When operations are submitted.
    pub arrival: Arrival,
    /// The input, with templates still in it, which know `n` and `submit` and are well-formed.
    pub input: Arc<Tree>,
    /// How often each operation is submitted.
    pub submits: Submits,
    /// When the caller gives up on an operation.
    pub deadline: Duration,
    /// Where requests carry the operation, instead of what the API says.
    pub operation_id: Option<brownout_provider::api::Extractor>,
    /// The driver mode that the scenario asks for.
    pub mode: Option<brownout_provider::event::Mode>,
    /// Suite mode: exit 0 claims success for every operation seen.
    pub suite_exit_0_all_succeeded: bool,
    /// The queue by which operations reach the client as messages, where they do.
    pub queue: Option<Arc<str>>,
    /// The type of the event as which operations reach the client, where they do.
    pub event: Option<Arc<str>>,
}

impl Workload {
    /// True where operations are handed to the client; false in suite mode, where it decides itself.
    #[must_use]
    pub fn is_driven(&self) -> bool {
        self.call.is_some() || self.http.is_some()
    }

    /// The routes that each operation calls, each once, in the order of its steps.
    #[must_use]
    pub fn routes(&self) -> Vec<Arc<str>> {
        let mut routes: Vec<Arc<str>> = Vec::new();
        for call in self.call.iter().chain(self.steps.iter().map(|step| &step.call)) {
            if !routes.contains(call) {
                routes.push(Arc::clone(call));
            }
        }
        routes
    }
}

/// When operations are submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// All as soon as `concurrency` lets them.
    AtOnce,
    /// One every so often.
    Every(Duration),
    /// So many at once, every so often.
    Burst(u64, Duration),
}

/// How often each operation is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submits {
    /// How many times, at least 1.
    pub times: u32,
    /// How far apart; zero is at once.
    pub apart: Duration,
}

/// An invariant that a scenario expects, with its parameters.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The name.
    pub name: &'static str,
    /// The invariant.
    pub invariant: Arc<dyn Invariant>,
    /// Its place under `expect`, or that of the policy that brought it.
    pub(crate) index: usize,
    /// The policy that brought it.
    pub policy: Option<&'static Policy>,
    /// False for what a policy brought and no run of this scenario could show.
    pub(crate) is_judged: bool,
}
