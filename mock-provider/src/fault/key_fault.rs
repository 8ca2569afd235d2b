//! What a provider can do to idempotency keys instead of keeping its word.
//!
//! **Invariant:** a departure acts on the look-up of the request that it strikes and on nothing else; what
//! it makes of a key is there for all later requests to meet.

use super::{Action, Fault, FaultKind};
use crate::api::Api;
use crate::document::At;
use crate::seed::Draw;

/// How the provider treats the key of a request, instead of honestly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// The key is accepted and overlooked: no look-up, nothing stored.
    Ignore,
    /// A key that was first seen so many microseconds ago is forgotten, unless it is in progress.
    ForgetAfter {
        /// From this age on, in microseconds.
        age_us: u64,
    },
    /// All keys that were first seen before this time, in microseconds since the first request, are
    /// forgotten from then on, in progress or not.
    ForgetBefore {
        /// The time of the failover.
        time_us: u64,
    },
    /// The key is stored only when the answer is sent.
    Late,
    /// The key counts whoever sends it, on whatever route and with whatever body.
    AnyScope,
    /// A replay has another value in one field.
    Altered {
        /// The field, as a JSON pointer; `None` for the first that the route needs, the id if there is
        /// one.
        field: Option<String>,
        /// Random bits for the other value.
        bits: u64,
    },
    /// The key with another body is answered from the store.
    AnyBody,
    /// The key with another body is refused with this status.
    Mismatch {
        /// The status.
        status: u16,
    },
    /// A replay has this status.
    ReplayStatus {
        /// The status.
        status: u16,
    },
    /// Only so many characters of the key count.
    Prefix {
        /// How many, at least 1.
        characters: usize,
    },
    /// A request without a key is refused from this time on.
    RequiredAfter {
        /// Microseconds since the first request.
        time_us: u64,
    },
}

impl KeyFault {
    /// True when a client that sends one key for all attempts of an operation, with one body, gets the
    /// work done once and its true answer all the same.
    #[must_use]
    pub const fn honors_keys(&self) -> bool {
        match self {
            Self::AnyBody
            | Self::Mismatch { .. }
            | Self::ReplayStatus { .. }
            | Self::RequiredAfter { .. } => true,
            Self::Ignore
            | Self::ForgetAfter { .. }
            | Self::ForgetBefore { .. }
            | Self::Late
            | Self::AnyScope
            | Self::Altered { .. }
            | Self::Prefix { .. } => false,
        }
    }
}

/// A fault that is a departure with fixed parameters.
#[derive(Clone, Debug)]
pub(super) struct KeyRule {
    pub(super) kind: &'static FaultKind,
    pub(super) fault: KeyFault,
    pub(super) detail: String,
}

impl Fault for KeyRule {
    fn kind(&self) -> &'static FaultKind {
        self.kind
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        let mut fault = self.fault.clone();
        if let KeyFault::Altered { bits, .. } = &mut fault {
            *bits = draw.bits();
        }
        Action::Key(fault)
    }

    fn detail(&self) -> String {
        self.detail.clone()
    }

    fn check(&self, api: &Api, route: Option<&str>, at: &At<'_>) {
        let keyed = match route {
            Some(name) => api.route_named(name).is_none_or(|route| route.keyed),
            None => api.routes.iter().any(|route| route.keyed),
        };
        if !keyed {
            at.note("there are no idempotency keys here that could be mistreated", |d| {
                d.cure("strike a route on which the API honors keys, or leave the rule out")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::registry;
    use super::super::testing::{checked, parsed, problems, struck};
    use super::*;

    fn kind(name: &str) -> &'static FaultKind {
        registry::find(name).expect(name)
    }

    #[test]
    fn each_departure_does_what_its_parameters_say() {
        for (name, value, expected, detail) in [
            ("ignore_key", Value::Null, KeyFault::Ignore, ""),
            ("ignore_key", json!({}), KeyFault::Ignore, ""),
            ("forget_key", Value::Null, KeyFault::ForgetAfter { age_us: 0 }, "at once"),
            (
                "forget_key",
                json!({"after": "2s"}),
                KeyFault::ForgetAfter { age_us: 2_000_000 },
                "after 2s",
            ),
            (
                "forget_key",
                json!({"seen_before": "3s"}),
                KeyFault::ForgetBefore { time_us: 3_000_000 },
                "seen before 3s",
            ),
            ("late_key", Value::Null, KeyFault::Late, ""),
            ("replay_other", Value::Null, KeyFault::AnyScope, ""),
            ("mismatch_accepted", Value::Null, KeyFault::AnyBody, ""),
            ("mismatch_rejected", json!({"code": 400}), KeyFault::Mismatch { status: 400 }, "400"),
            ("replay_status", json!({"code": 208}), KeyFault::ReplayStatus { status: 208 }, "208"),
            (
                "truncated_key",
                json!({"characters": 8}),
                KeyFault::Prefix { characters: 8 },
                "8 characters",
            ),
            ("key_required_late", Value::Null, KeyFault::RequiredAfter { time_us: 0 }, "at once"),
            (
                "key_required_late",
                json!({"after": "1m"}),
                KeyFault::RequiredAfter { time_us: 60_000_000 },
                "after 1m",
            ),
        ] {
            let action = struck(kind(name), &value);
            assert!(matches!(&action, Action::Key(found) if *found == expected), "{action:?}");
            assert_eq!(parsed(kind(name), &value).detail(), detail, "{name}");
        }
        let altered = struck(kind("replay_altered"), &json!({"field": "/amount"}));
        assert!(
            matches!(&altered, Action::Key(KeyFault::Altered { field: Some(field), bits })
                if field == "/amount" && *bits != 0),
            "{altered:?}"
        );
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for (name, value, wrong) in [
            ("ignore_key", json!({"for": "1s"}), "for"),
            ("ignore_key", json!(true), ""),
            ("forget_key", json!({"after": "1s", "seen_before": "2s"}), ""),
            ("forget_key", json!({"seen_before": "0s"}), "seen_before"),
            ("mismatch_rejected", json!({"code": 200}), "code"),
            ("mismatch_rejected", json!({}), "code"),
            ("replay_status", json!({"code": 500}), "code"),
            ("truncated_key", json!({"characters": 0}), "characters"),
            ("truncated_key", json!({}), "characters"),
            ("replay_altered", json!({"field": "amount"}), "field"),
            ("late_key", json!({"after": "1s"}), "after"),
        ] {
            assert_eq!(problems(kind(name), &value), [wrong], "{name}: {value}");
        }
    }

    #[test]
    fn a_route_without_keys_is_remarked_on() {
        for name in ["ignore_key", "late_key", "replay_other"] {
            assert!(checked(kind(name), &Value::Null, Some("create_charge")).is_empty());
            assert!(checked(kind(name), &Value::Null, None).is_empty());
            assert_eq!(checked(kind(name), &Value::Null, Some("get_charge")).len(), 1);
        }
    }
}
