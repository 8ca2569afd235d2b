//! What a provider can do with its limit on requests instead of keeping to it quietly.
//!
//! **Invariant:** without a limit there is nothing to do, and the checker says so.

use super::{Action, Fault, FaultKind};
use crate::api::{Api, LimitScope};
use crate::document::At;
use crate::seed::Draw;

/// How the provider treats its limit for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitFault {
    /// What is told of the limit is not true.
    Lie(Lie),
    /// Another limit holds.
    Tighten {
        /// Units in one period.
        limit: u64,
        /// From this time on, in microseconds since the first request.
        after_us: u64,
        /// Only while more requests than this are under way.
        above: u64,
        /// True when headers tell of it.
        announced: bool,
    },
    /// Who was refused too often is turned away altogether.
    Ban {
        /// How many refusals, at least 1.
        after: usize,
        /// Within so many microseconds.
        within_us: u64,
        /// For so many microseconds.
        for_us: u64,
        /// True when the connection is reset instead of an answer.
        resets: bool,
    },
    /// Somebody else sends a request every so many microseconds, from the first request on, and has the
    /// same limit.
    Neighbour {
        /// Microseconds between two of them, at least 1.
        every_us: u64,
    },
}

/// What is not true of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A refusal says that all is left.
    Remaining,
    /// The reset was a minute ago.
    PastReset,
    /// Nothing is ever used up.
    Stuck,
}

impl LimitFault {
    /// True when it lasts longer than the request that it strikes.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        match self {
            Self::Ban { .. } | Self::Neighbour { .. } => true,
            Self::Lie(_) | Self::Tighten { .. } => false,
        }
    }
}

/// A fault that does this to the limit.
#[derive(Clone, Debug)]
pub(super) struct LimitRule {
    pub(super) kind: &'static FaultKind,
    pub(super) fault: LimitFault,
    pub(super) detail: String,
}

impl Fault for LimitRule {
    fn kind(&self) -> &'static FaultKind {
        self.kind
    }

    fn strike(&self, _: &mut Draw) -> Action {
        Action::Limit(self.fault.clone())
    }

    fn detail(&self) -> String {
        self.detail.clone()
    }

    fn check(&self, api: &Api, _: Option<&str>, at: &At<'_>) {
        let name = self.kind.name;
        let Some(policy) = &api.rate_limit else {
            at.error(format!("`{name}` can never strike: the provider has no limit"), |d| {
                d.cure("give it one: `provider: {…, rate_limit: {limit: 10, per: 1s}}`")
            });
            return;
        };
        if !matches!(self.fault, LimitFault::Neighbour { .. }) {
            return;
        }
        if policy.scope == LimitScope::ApiKey {
            at.error(format!("`{name}` can never strike: each key has a limit of its own"), |d| {
                d.cure("set `scope: global` of the provider's `rate_limit`")
            });
        }
        if !policy.algorithm.has_period {
            let message = format!("`{name}` can never strike: its requests are over at once");
            at.error(message, |d| d.cure("choose another `algorithm` than `concurrency`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::registry;
    use super::super::testing::{parsed, problems, struck};
    use super::*;
    use crate::api::{self, Cost, RateLimitPolicy};
    use crate::document::Diagnostics;
    use crate::rate_limit::{Rate, registry as algorithms};

    fn kind(name: &str) -> &'static FaultKind {
        registry::find(name).expect(name)
    }

    #[test]
    fn each_does_what_its_parameters_say() {
        for (name, value, expected, detail) in [
            ("lying_limit", Value::Null, LimitFault::Lie(Lie::Remaining), "remaining"),
            ("lying_limit", json!({"about": "reset"}), LimitFault::Lie(Lie::PastReset), "reset"),
            (
                "tighten",
                json!({"limit": 5, "after": "10s", "above": 3, "announced": false}),
                LimitFault::Tighten { limit: 5, after_us: 10_000_000, above: 3, announced: false },
                "to 5",
            ),
            (
                "ban",
                json!({"after": 3, "within": "10s", "for": "1m", "by": "reset"}),
                LimitFault::Ban {
                    after: 3,
                    within_us: 10_000_000,
                    for_us: 60_000_000,
                    resets: true,
                },
                "for 1m after 3",
            ),
            (
                "noisy_neighbour",
                json!({"every": "20ms"}),
                LimitFault::Neighbour { every_us: 20_000 },
                "every 20ms",
            ),
        ] {
            let action = struck(kind(name), &value);
            assert!(matches!(&action, Action::Limit(found) if *found == expected), "{action:?}");
            assert_eq!(parsed(kind(name), &value).detail(), detail, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for (name, value, wrong) in [
            ("lying_limit", json!({"about": "everything"}), "about"),
            ("tighten", json!({"limit": 0}), "limit"),
            ("tighten", json!({}), "limit"),
            ("ban", json!({"after": 0}), "after"),
            ("ban", json!({"for": "0s"}), "for"),
            ("noisy_neighbour", json!({"every": "0s"}), "every"),
            ("noisy_neighbour", json!({}), "every"),
        ] {
            assert_eq!(problems(kind(name), &value), [wrong], "{name}: {value}");
        }
    }

    #[test]
    fn where_there_is_no_limit_that_they_share_they_can_never_strike() {
        let problems = Diagnostics::new();
        let (api, _) = api::load("payments", Path::new("."), &problems.root()).expect("shipped");
        let limited = |scope, algorithm| {
            let mut api = Arc::unwrap_or_clone(Arc::clone(&api));
            api.rate_limit = Some(RateLimitPolicy {
                algorithm: algorithms::find(algorithm).expect(algorithm),
                rate: Rate { limit: 5, per_us: 1_000, burst: 5 },
                scope,
                cost: Cost::Units(1),
                quota: None,
            });
            api
        };
        let errors = |name: &str, value: &Value, api: &Api| {
            let diagnostics = Diagnostics::new();
            parsed(kind(name), value).check(api, None, &diagnostics.root());
            diagnostics.into_vec().len()
        };
        let every = json!({"every": "1s"});
        for (name, value) in [("lying_limit", &Value::Null), ("noisy_neighbour", &every)] {
            assert_eq!(errors(name, value, &api), 1, "{name} without a limit");
            assert_eq!(
                errors(name, value, &limited(LimitScope::Global, "token_bucket")),
                0,
                "{name}"
            );
        }
        assert_eq!(
            errors("noisy_neighbour", &every, &limited(LimitScope::ApiKey, "token_bucket")),
            1
        );
        assert_eq!(
            errors("noisy_neighbour", &every, &limited(LimitScope::Global, "concurrency")),
            1
        );
    }
}
