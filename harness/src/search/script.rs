//! A script: which fault strikes at which exact coordinates, one part at a time.
//!
//! Searches take scripts apart and put them together; this is the form in which they do, and the way from
//! it to the `script:` of a scenario and back. Knows nothing about what a fault does.
//! **Invariant:** a script says nothing by the order of its parts except which of two delays at one
//! place is named first.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scenario::entry::name_of;
use crate::scenario::resolve::PROVIDER;

/// One fault at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// The operation's number, from 1.
    pub operation: u64,
    /// Which submit of it, from 1.
    pub submit: u32,
    /// The provider's name, where it has one of its own.
    pub provider: Option<Arc<str>>,
    /// The route.
    pub route: Arc<str>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The fault as it stands in a scenario: `"hang"`, or `{"reset": {"at": "after_commit"}}`.
    pub fault: Value,
}

impl Injection {
    /// Where it strikes, in the order in which scripts are written.
    fn place(&self) -> (u64, u32, Option<&str>, &str, u32) {
        (self.operation, self.submit, self.provider.as_deref(), &self.route, self.attempt)
    }
}

/// Puts a script into the order in which it is written.
pub fn sort(script: &mut [Injection]) {
    script.sort_by(|one, other| one.place().cmp(&other.place()));
}

/// The `script:` of a scenario. Faults at one place stand in one entry; the script must be sorted.
#[must_use]
pub fn to_value(script: &[Injection]) -> Value {
    let entries = script.chunk_by(|one, other| one.place() == other.place());
    Value::Array(entries.map(|together| entry(&together[0], together)).collect())
}

fn entry(first: &Injection, together: &[Injection]) -> Value {
    let mut map = Map::new();
    map.insert("operation".to_owned(), first.operation.into());
    if first.submit != 1 {
        map.insert("submit".to_owned(), first.submit.into());
    }
    if let Some(provider) = &first.provider {
        map.insert("provider".to_owned(), Value::from(&**provider));
    }
    map.insert("route".to_owned(), Value::from(&*first.route));
    map.insert("attempt".to_owned(), first.attempt.into());
    let mut faults: Vec<Value> = together.iter().map(|one| one.fault.clone()).collect();
    let inject = match faults.len() {
        1 => faults.remove(0),
        _ => Value::Array(faults),
    };
    map.insert("inject".to_owned(), inject);
    Value::Object(map)
}

/// The script that stands in a scenario's file; empty where it has none.
#[must_use]
pub fn from_source(source: &Value) -> Vec<Injection> {
    let entries = source.get("script").and_then(Value::as_array);
    let mut script: Vec<Injection> = entries.into_iter().flatten().flat_map(parts).collect();
    sort(&mut script);
    script
}

/// The parts of one entry of a script.
fn parts(entry: &Value) -> Vec<Injection> {
    let number = |key: &str| entry.get(key).and_then(Value::as_u64);
    let small = |key: &str| number(key).and_then(|number| u32::try_from(number).ok());
    let operation = number("operation").or_else(|| operation_number(entry["operation"].as_str()?));
    let (Some(operation), Some(route), Some(attempt)) =
        (operation, entry["route"].as_str(), small("attempt"))
    else {
        return Vec::new();
    };
    let route: Arc<str> = route.into();
    let provider = entry["provider"].as_str().filter(|name| *name != PROVIDER).map(Arc::from);
    let part = |fault: &Value| Injection {
        operation,
        submit: small("submit").unwrap_or(1),
        provider: Option::clone(&provider),
        route: Arc::clone(&route),
        attempt,
        fault: fault.clone(),
    };
    faults_in(&entry["inject"]).into_iter().map(part).collect()
}

/// The number in the name of an operation: 3 in `op-0003`.
#[must_use]
pub fn operation_number(name: &str) -> Option<u64> {
    name.strip_prefix("op-")?.parse().ok()
}

/// The faults under an `inject:`, one or several.
#[must_use]
pub fn faults_in(inject: &Value) -> Vec<&Value> {
    match inject.as_array() {
        Some(many) => many.iter().collect(),
        None if inject.is_null() => Vec::new(),
        None => vec![inject],
    }
}

/// The fault of that name with these parameters; without any it is the bare word.
#[must_use]
pub fn fault(name: &str, parameters: Value) -> Value {
    let is_bare = parameters.is_null() || parameters.as_object().is_some_and(Map::is_empty);
    if is_bare {
        return Value::from(name);
    }
    Value::Object(Map::from_iter([(name.to_owned(), parameters)]))
}

/// A fault that a scenario names, and the route to which its rule keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedFault {
    /// The provider, where the rule names one.
    pub provider: Option<Arc<str>>,
    /// The route, where the rule names one.
    pub route: Option<Arc<str>>,
    /// The fault.
    pub fault: Value,
}

/// Every fault that the rules or the script of a scenario's file name, each once, in the order of the
/// file.
#[must_use]
pub fn faults_named(source: &Value) -> Vec<NamedFault> {
    let list = |key: &str| source.get(key).and_then(Value::as_array).into_iter().flatten();
    let rules = list("faults").map(|rule| (&rule["when"], &rule["inject"]));
    let entries = list("script").map(|entry| (entry, &entry["inject"]));
    let mut named: Vec<NamedFault> = Vec::new();
    for (at, inject) in rules.chain(entries) {
        let word = |key: &str| at[key].as_str().map(Arc::from);
        let provider = word("provider").filter(|name: &Arc<str>| **name != *PROVIDER);
        for fault in faults_in(inject) {
            let (provider, route) = (provider.clone(), word("route"));
            let one = NamedFault { provider, route, fault: fault.clone() };
            if !named.contains(&one) {
                named.push(one);
            }
        }
    }
    named
}

/// The `nth` fault (from 0) of that name that a rule of a scenario's file injects; rules of a script are
/// `script-1`, `script-2` and so on.
#[must_use]
pub fn injected_by<'a>(
    source: &'a Value,
    rule: &str,
    fault: &str,
    nth: usize,
) -> Option<&'a Value> {
    let of_rules = || {
        let rules = source.get("faults")?.as_array()?;
        rules.iter().find(|one| one["name"].as_str() == Some(rule))
    };
    let of_script = || {
        let number: usize = rule.strip_prefix("script-")?.parse().ok()?;
        source.get("script")?.as_array()?.get(number.checked_sub(1)?)
    };
    let entry = of_rules().or_else(of_script)?;
    let mut same =
        faults_in(&entry["inject"]).into_iter().filter(|one| name_of(one) == Some(fault));
    same.nth(nth)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scenario::entry::parameters_of;

    #[test]
    fn a_script_is_written_in_order_and_reads_back() {
        let source = json!({"script": [
            {"operation": "op-0002", "route": "b", "attempt": 1, "inject": "hang"},
            {"operation": 1, "submit": 2, "route": "a", "attempt": 3,
             "inject": ["drip", {"reset": {"at": "accept"}}]},
        ]});
        let script = from_source(&source);
        let written = to_value(&script);
        assert_eq!(
            written,
            json!([
                {"operation": 1, "submit": 2, "route": "a", "attempt": 3,
                 "inject": ["drip", {"reset": {"at": "accept"}}]},
                {"operation": 2, "route": "b", "attempt": 1, "inject": "hang"},
            ])
        );
        assert_eq!(from_source(&json!({"script": written})), script);
    }

    #[test]
    fn faults_are_found_by_rule_name_and_place_in_the_list() {
        let source = json!({"faults": [
            {"name": "slow", "when": {"route": "a"},
             "inject": [{"latency": {"fixed": "1s"}}, {"latency": {"fixed": "2s"}}, "hang"]},
            {"name": "again", "inject": "hang"},
            {"name": "same", "inject": "hang"},
        ]});
        assert_eq!(
            injected_by(&source, "slow", "latency", 1),
            Some(&json!({"latency": {"fixed": "2s"}}))
        );
        assert_eq!(injected_by(&source, "slow", "latency", 2), None);
        assert_eq!(injected_by(&source, "again", "hang", 0), Some(&json!("hang")));
        let routes: Vec<Option<&str>> =
            faults_named(&source).iter().map(|one| one.route.as_deref().map(|_| "a")).collect();
        assert_eq!(routes, [Some("a"), Some("a"), Some("a"), None]);
        let script = json!({"script": [{"inject": "drip"}, {"inject": "hang"}]});
        assert_eq!(injected_by(&script, "script-2", "hang", 0), Some(&json!("hang")));
    }

    #[test]
    fn a_fault_without_parameters_is_a_bare_word() {
        assert_eq!(fault("hang", json!({})), json!("hang"));
        assert_eq!(fault("reset", json!({"at": "accept"})), json!({"reset": {"at": "accept"}}));
        assert_eq!(parameters_of(&json!("hang")), &Value::Null);
    }
}
