//! Which of two faults is the simpler one, and the simple ones that may take the place of others.
//!
//! Two faults together often break a client that a single, plainer one breaks as well, and taking parts
//! away never leads from the one to the other. So a search is also given a few faults to put in their
//! place. Knows nothing of clients.
//! **Invariant:** a replacement has fewer faults, or the same number and one of them strictly simpler, so
//! that replacing comes to an end.

use std::sync::Arc;

use brownout_provider::fault::registry::FAULTS;
use serde_json::Value;

use super::script::{Injection, NamedFault};
use crate::scenario::entry::{name_of, parameters_of};

/// Every word for a point that some fault knows, the plainest first; where there is none, it is the plainest.
pub(super) const POINTS: [&str; 6] =
    ["before_commit", "after_commit", "accept", "mid_body", "head", "chunk"];

/// At so many places of a script, one after the other, all its faults are replaced by one.
const PLACES: usize = 4;

/// How simple a fault is: that of an earlier kind in the registry is simpler, then one of fewer
/// parameters, then one at a plainer point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight {
    kind: usize,
    parameters: usize,
    point: usize,
}

impl Weight {
    /// The weight of a fault as it stands in a scenario.
    #[must_use]
    pub fn of(fault: &Value) -> Self {
        let name = name_of(fault).unwrap_or_default();
        let parameters = parameters_of(fault);
        let at = parameters.get("at").and_then(Value::as_str);
        let place = |word: &str| POINTS.iter().position(|point| *point == word);
        Self {
            kind: FAULTS.iter().position(|kind| kind.name == name).unwrap_or(FAULTS.len()),
            parameters: leaves(parameters),
            point: at.map_or(0, |word| place(word).unwrap_or(POINTS.len())),
        }
    }
}

/// How many values a value consists of.
fn leaves(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Object(map) => map.values().map(leaves).sum(),
        Value::Array(list) => list.iter().map(leaves).sum(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Faults that may take the place of others, the simplest first.
///
/// ```
/// use brownout::search::script::NamedFault;
/// use brownout::search::simplest::Simplest;
/// use serde_json::json;
///
/// let named = |fault| NamedFault { provider: None, route: None, fault };
/// let faults = [named(json!("hang")), named(json!({"status": {"code": 503}}))];
/// let simplest = Simplest::of(faults);
/// assert_eq!(simplest.faults()[0].fault, json!({"status": {"code": 503}}));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Simplest(Vec<NamedFault>);

impl Simplest {
    /// These faults, put in order.
    #[must_use]
    pub fn of(faults: impl IntoIterator<Item = NamedFault>) -> Self {
        let mut faults: Vec<NamedFault> = faults.into_iter().collect();
        faults.sort_by_key(|one| Weight::of(&one.fault));
        Self(faults)
    }

    /// The faults.
    #[must_use]
    pub fn faults(&self) -> &[NamedFault] {
        &self.0
    }

    /// Those that may strike where this one does.
    fn on<'a>(&'a self, place: &'a Injection) -> impl Iterator<Item = &'a Value> {
        let fits = move |one: &&NamedFault| {
            one.route.as_ref().is_none_or(|its| *its == place.route)
                && (one.provider.is_none() || one.provider == place.provider)
        };
        self.0.iter().filter(fits).map(|one| &one.fault)
    }

    /// Scripts in which one of these faults stands for several: for all of them, and where there are more
    /// than two also for two neighbors.
    #[must_use]
    pub fn instead_of_several(&self, script: &[Injection]) -> Vec<Vec<Injection>> {
        if script.len() < 2 {
            return Vec::new();
        }
        let mut places: Vec<&Injection> = script.iter().collect();
        places.dedup_by_key(|one| {
            (one.operation, one.submit, one.provider.clone(), Arc::clone(&one.route))
        });
        let mut scripts = Vec::new();
        for place in places.into_iter().take(PLACES) {
            let alone = |fault: &Value| vec![Injection { fault: fault.clone(), ..place.clone() }];
            scripts.extend(self.on(place).map(alone));
        }
        if script.len() > 2 {
            for first in 0..script.len() - 1 {
                for fault in self.on(&script[first]) {
                    let mut fewer = script.to_vec();
                    fewer.remove(first + 1);
                    fewer[first].fault = fault.clone();
                    scripts.push(fewer);
                }
            }
        }
        scripts
    }

    /// The simpler ones of these faults in the place of one.
    #[must_use]
    pub fn instead_of(&self, one: &Injection) -> Vec<Injection> {
        let weight = Weight::of(&one.fault);
        let simpler = self.on(one).filter(|fault| Weight::of(fault) < weight);
        simpler.map(|fault| Injection { fault: fault.clone(), ..one.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn injection(attempt: u32, fault: Value) -> Injection {
        let route = "create_charge".into();
        Injection { operation: 1, submit: 1, provider: None, route, attempt, fault }
    }

    fn named(route: Option<&str>, fault: Value) -> NamedFault {
        NamedFault { provider: None, route: route.map(Arc::from), fault }
    }

    #[test]
    fn earlier_kinds_fewer_parameters_and_plainer_points_are_simpler() {
        let ordered = [
            json!({"status": {"code": 503}}),
            json!({"status": {"code": 503, "at": "before_commit"}}),
            json!({"status": {"code": 500, "at": "after_commit"}}),
            json!({"status": {"code": 500, "at": "after_commit", "retry_after": "2s"}}),
            json!("hang"),
            json!({"reset": {"at": "after_commit"}}),
            json!("of_a_later_version"),
        ];
        assert!(ordered.is_sorted_by(|one, other| Weight::of(one) < Weight::of(other)));
    }

    #[test]
    fn a_fault_is_replaced_by_simpler_ones_of_its_route_alone() {
        let simplest = Simplest::of([
            named(Some("create_charge"), json!("hang")),
            named(Some("get_charge"), json!({"status": {"code": 500}})),
            named(None, json!({"status": {"code": 503}})),
            named(None, json!("reset")),
        ]);
        let replaced = simplest.instead_of(&injection(3, json!({"hang": {"at": "after_commit"}})));
        let expected = [json!({"status": {"code": 503}}), json!("hang")];
        assert_eq!(replaced, expected.map(|fault| injection(3, fault)));
        assert!(simplest.instead_of(&injection(1, json!({"status": {"code": 503}}))).is_empty());
    }

    #[test]
    fn several_faults_are_replaced_by_one() {
        let simplest = Simplest::of([named(None, json!("hang"))]);
        let two = [injection(1, json!("reset")), injection(2, json!("close"))];
        assert_eq!(simplest.instead_of_several(&two), [[injection(1, json!("hang"))]]);
        let three = [&two[..], &[injection(3, json!("reset"))]].concat();
        let fewer = simplest.instead_of_several(&three);
        let lengths: Vec<usize> = fewer.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 2, 2]);
        assert_eq!(fewer[2], [injection(1, json!("reset")), injection(2, json!("hang"))]);
        assert!(simplest.instead_of_several(&two[..1]).is_empty());
    }
}
