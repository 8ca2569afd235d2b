//! Strategies for proptest: faults, rules, scripts, workloads and whole scenarios by chance (feature
//! `proptest`).
//!
//! Everything is drawn around a scenario that the user gives: its API, its input, its deadline and what
//! it expects stay as they are, and its load is the most that is drawn. What may strike is said by
//! [`Faults`], and comes from the registry of faults, so that a new fault is drawn without a word here.
//! What fails is shrunk to few faults, one operation, early attempts, and plain faults with round numbers.
//!
//! [`check`] does it all in one call. In `proptest!` the same reads
//!
//! ```
//! use brownout::harness::Harness;
//! use brownout::operation::Outcome;
//! use brownout::scenario::Scenario;
//! use brownout::strategy::{Faults, Regressions, scenario};
//! use brownout::verdict::Verdict;
//! use proptest::prelude::*;
//!
//! fn harness() -> Harness {
//!     Harness::from_yaml(
//!         "version: 1
//! name: any-weather
//! provider: {api: payments}
//! workload: {call: create_charge, operations: 5, input: {amount: 5, currency: usd, order: 'o-{{ n }}'}}
//! expect: [no_phantom_success, no_lost_operations]
//! ",
//!     )
//!     .expect("a right scenario")
//!     .virtual_time()
//!     .without_control()
//! }
//!
//! proptest! {
//!     #![proptest_config(ProptestConfig {
//!         failure_persistence: Some(Box::new(Regressions::in_folder("tests/regressions"))),
//!         ..ProptestConfig::with_cases(50)
//!     })]
//!     # /*
//!     #[test]
//!     # */
//!     fn it_never_claims_what_is_not_so(
//!         drawn in scenario(harness().scenario(), &Faults::any()).replaying("tests/regressions"),
//!     ) {
//!         let client = harness().prepare(|_, _| async { Outcome::unknown("nothing was sent") });
//!         let judged = drawn.run(&client).expect("it runs");
//!         prop_assert!(judged.result.verdict != Verdict::Failed, "{:?}", judged.result.invariants);
//!     }
//! }
//! # it_never_claims_what_is_not_so();
//! ```
//!
//! **Invariant:** all chance is proptest's, and the same chance draws the same scenario.

mod check;
mod drawn;
mod faults;
mod pieces;
mod plan;
mod regressions;
mod smallest;
mod tree;

use std::path::Path;
use std::sync::Arc;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

pub use check::{Broken, Survived, check};
pub use drawn::Drawn;
pub use faults::Faults;
pub use regressions::Regressions;

use crate::scenario::Scenario;
use crate::search::simplest::Simplest;
use drawn::Variations;
use pieces::{Piece, Pieces};
use tree::{Drawing, Tree};

/// Faults by chance, as they stand under `inject:`.
///
/// ```
/// use brownout::harness::Harness;
/// use brownout::strategy::{Faults, fault};
/// use proptest::prelude::*;
///
/// let harness = Harness::from_yaml(
///     "version: 1
/// name: any-weather
/// provider: {api: payments}
/// workload: {call: create_charge}
/// expect: [no_double_charges]
/// ",
/// )
/// .expect("a right scenario");
/// proptest!(|(drawn in fault(harness.scenario(), &Faults::any().only(&["hang"])))| {
///     // `hang`, or for example `{hang: {at: mid_body}}`.
///     prop_assert!(drawn == "hang" || drawn["hang"]["at"].is_string());
/// });
/// ```
pub fn fault(base: &Scenario, faults: &Faults) -> impl Strategy<Value = Value> + Clone + use<> {
    Drawing::of(Pieces::new(base, faults, Piece::Fault))
}

/// Rules by chance, as they stand in the list under `faults:`; each is called `rule-1`.
pub fn rule(base: &Scenario, faults: &Faults) -> impl Strategy<Value = Value> + Clone + use<> {
    Drawing::of(Pieces::new(base, faults, Piece::Rule))
}

/// Scripts by chance, as they stand under `script:`; at least one entry, each at another place.
pub fn script(base: &Scenario, faults: &Faults) -> impl Strategy<Value = Value> + Clone + use<> {
    Drawing::of(Pieces::new(base, faults, Piece::Script))
}

/// Workloads by chance, as they stand under `workload:`: that of the scenario with as many operations,
/// as much concurrency and as many submits, or less.
pub fn workload(base: &Scenario) -> impl Strategy<Value = Value> + Clone + use<> {
    Drawing::of(Pieces::new(base, &Faults::any(), Piece::Workload))
}

/// Scenarios by chance: variations of `base` in which other faults strike (as a script, or as rules) and
/// in which there is at most as much to do. What the variation cannot exercise is not expected of it.
///
/// ```
/// use brownout::harness::Harness;
/// use brownout::strategy::{Faults, scenario};
/// use proptest::strategy::{Strategy, ValueTree};
/// use proptest::test_runner::TestRunner;
///
/// let harness = Harness::from_yaml(
///     "version: 1
/// name: any-weather
/// provider: {api: payments}
/// workload: {call: create_charge, operations: 8, concurrency: 2}
/// expect: [no_double_charges]
/// ",
/// )
/// .expect("a right scenario");
/// let strategy = scenario(harness.scenario(), &Faults::any().most(3));
/// let drawn = strategy.new_tree(&mut TestRunner::deterministic()).expect("there are faults").current();
/// assert!(drawn.scenario().rules.len() <= 3);
/// assert!(drawn.scenario().workload.operations <= 8);
/// ```
#[must_use]
pub fn scenario(base: &Scenario, faults: &Faults) -> Scenarios {
    Scenarios(Variations::new(base, faults).map(Drawing::of))
}

/// What [`scenario`] makes.
#[derive(Clone, Debug)]
pub struct Scenarios(Result<Drawing<Variations>, String>);

impl Scenarios {
    /// Begins with the scenario files in this folder that have the name of the scenario which is varied:
    /// failures that [`Regressions`] or [`check`] kept there.
    #[must_use]
    pub fn replaying(self, folder: impl AsRef<Path>) -> Self {
        let replaying = |drawing: Drawing<Variations>| {
            Drawing::of(Arc::unwrap_or_clone(drawing.0).replaying(folder.as_ref()))
        };
        Self(self.0.map(replaying))
    }

    /// What may take the place of other faults when a failure is made smaller.
    fn simplest(&self) -> Simplest {
        self.0.as_ref().map_or_else(|_| Simplest::default(), |drawing| drawing.0.simplest())
    }
}

impl Strategy for Scenarios {
    type Tree = DrawnTree;
    type Value = Drawn;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let drawing = self.0.as_ref().map_err(String::clone)?;
        Ok(DrawnTree(drawing.new_tree(runner)?))
    }
}

/// A scenario on its way to the simplest that still fails.
#[derive(Clone, Debug)]
pub struct DrawnTree(Tree<Variations>);

impl ValueTree for DrawnTree {
    type Value = Drawn;

    fn current(&self) -> Drawn {
        self.0.current()
    }

    fn simplify(&mut self) -> bool {
        self.0.simplify()
    }

    fn complicate(&mut self) -> bool {
        self.0.complicate()
    }
}
