//! A rule: when to inject which fault.

use std::sync::Arc;

use serde_json::Value;

use crate::fault::Fault;

/// A rule of a fault plan, resolved.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique in the scenario.
    pub name: Arc<str>,
    /// When it strikes.
    pub when: When,
    /// What it injects: faults that strike together under one draw, at most one ending among them.
    pub faults: Vec<Arc<dyn Fault>>,
}

/// The conditions of a rule; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// The route's name.
    pub route: Option<Arc<str>>,
    /// The provider's name.
    pub provider: Option<Arc<str>>,
    /// The tenant's name.
    pub tenant: Option<Arc<str>>,
    /// The method, upper case.
    pub method: Option<String>,
    /// Headers (lower-case name, exact value).
    pub headers: Vec<(String, String)>,
    /// JSON pointers or form fields, and the value each must have.
    pub body: Vec<(String, Value)>,
    /// Which attempts.
    pub attempt: Selector,
    /// Which operations, by number.
    pub operation: Selector,
    /// Which submits.
    pub submit: Selector,
    /// The chance in parts per million, drawn after all else matched; `None` draws nothing.
    pub chance_ppm: Option<u32>,
    /// Microseconds since the first request: from (inclusive), to (exclusive).
    pub during_us: Option<(u64, u64)>,
    /// At most so many strikes in a run.
    pub max_times: Option<u64>,
}

/// Which numbers a condition takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selector {
    /// All.
    #[default]
    Any,
    /// These.
    List(Vec<u64>),
    /// From and to, both included; either may be open.
    Range(Option<u64>, Option<u64>),
    /// k, 2k, 3k, …
    Every(u64),
}

impl Selector {
    /// True when it takes `number`.
    #[must_use]
    pub fn takes(&self, number: u64) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => list.contains(&number),
            Self::Range(from, to) => {
                from.is_none_or(|from| number >= from) && to.is_none_or(|to| number <= to)
            }
            Self::Every(k) => *k > 0 && number > 0 && number.is_multiple_of(*k),
        }
    }
}

impl When {
    /// True when it depends on coordinates alone (and the seed): such strikes stand in the drawn
    /// schedule. Time, counts and what the request carries do not belong to the coordinates.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.during_us.is_none()
            && self.max_times.is_none()
            && self.headers.is_empty()
            && self.body.is_empty()
    }
}
