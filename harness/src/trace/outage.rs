//! Outages: windows of time in which a rule with an ending struck without fail.
//!
//! **Invariant:** a rule with a `chance` makes no outage, however high the chance is.

use brownout_provider::fault::{Group, registry};
use brownout_provider::units::{Period, Scale};
use serde_json::Value;

use super::{Name, Trace};

/// A time in which the provider (or a part of it) was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The rule that made it.
    pub rule: Name,
    /// When it began.
    pub from_us: u64,
    /// When it ended.
    pub to_us: u64,
}

impl Trace {
    /// The outages of the run: for a rule with `during` that window, counted from the first request;
    /// for one with `operation: {from, to}` the time from its first strike to its last. A rule that
    /// never struck made none.
    #[must_use]
    pub fn outages(&self) -> Vec<Outage> {
        let scenario = &self.run.scenario;
        let scale =
            scenario.get("scale").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let rules = scenario.get("faults").and_then(Value::as_array);
        rules.into_iter().flatten().filter_map(|rule| self.outage(rule, scale)).collect()
    }

    fn outage(&self, rule: &Value, scale: Option<Scale>) -> Option<Outage> {
        let when = rule.get("when")?;
        if when.get("chance").is_some() || !has_ending(rule.get("inject")?) {
            return None;
        }
        let name = self.name(rule.get("name")?.as_str()?)?;
        let strikes = self.strikes().iter().filter(|strike| strike.rule == name);
        let times = strikes.filter_map(|strike| strike.request).map(|id| self.request(id).at_us);
        let (first, last) = times.fold(None, |range: Option<(u64, u64)>, at_us| match range {
            None => Some((at_us, at_us)),
            Some((from, to)) => Some((from.min(at_us), to.max(at_us))),
        })?;
        if let Some(during) = when.get("during") {
            let start = self.requests().map(|(_, request)| request.at_us).min()?;
            let after = |key: &str| {
                let period: Period = during.get(key)?.as_str()?.parse().ok()?;
                let period = scale.map_or(period, |scale| period.scaled(scale));
                Some(start.saturating_add(period.micros()))
            };
            let (from_us, to_us) = (after("from").unwrap_or(start), after("to").unwrap_or(last));
            return Some(Outage { rule: name, from_us, to_us });
        }
        let range = when.get("operation")?;
        let is_range = range.get("from").is_some() || range.get("to").is_some();
        is_range.then_some(Outage { rule: name, from_us: first, to_us: last })
    }
}

/// True when an ending is among what a rule injects.
fn has_ending(inject: &Value) -> bool {
    let is_ending =
        |name: &str| registry::find(name).is_some_and(|fault| fault.group == Group::Ending);
    match inject {
        Value::String(name) => is_ending(name),
        Value::Object(fault) => fault.keys().any(|name| is_ending(name)),
        Value::Array(list) => list.iter().any(has_ending),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::trace::testing::trace_with;

    const LINES: &str = r#"{"at_us":5000,"event":"request_received","request":1}
        {"at_us":6000,"event":"request_received","request":2}
        {"at_us":6000,"event":"fault_injected","request":2,"rule":"down"}
        {"at_us":9000,"event":"request_received","request":3}
        {"at_us":9000,"event":"fault_injected","request":3,"rule":"down"}"#;

    fn outages(when: Value, inject: Value, scale: Option<&str>) -> Vec<(u64, u64)> {
        let mut scenario = json!({"faults": [{"name": "down", "when": when, "inject": inject}]});
        if let Some(scale) = scale {
            scenario["scale"] = json!(scale);
        }
        let trace = trace_with(&json!({"scenario": scenario}), LINES);
        trace.outages().iter().map(|one| (one.from_us, one.to_us)).collect()
    }

    #[test]
    fn a_rule_that_always_strikes_makes_an_outage() {
        let refuse = json!({"status": {"code": 503}});
        let operations = json!({"operation": {"from": 2, "to": 3}});
        assert_eq!(outages(operations.clone(), refuse.clone(), None), [(6_000, 9_000)]);
        let during = json!({"during": {"from": "1ms", "to": "60ms"}});
        assert_eq!(outages(during.clone(), refuse.clone(), None), [(6_000, 65_000)]);
        assert_eq!(outages(during, refuse, Some("1/10")), [(5_100, 11_000)]);
        assert_eq!(outages(operations, json!(["ignore_key", "hang"]), None), [(6_000, 9_000)]);
    }

    #[test]
    fn chances_delays_and_single_attempts_make_none() {
        let refuse = json!({"status": {"code": 503}});
        let by_chance = json!({"operation": {"from": 2}, "chance": "99%"});
        assert_eq!(outages(by_chance, refuse.clone(), None), []);
        let slow = json!({"latency": {"fixed": "1s"}});
        assert_eq!(outages(json!({"operation": {"from": 2}}), slow, None), []);
        assert_eq!(outages(json!({"attempt": 1}), refuse, None), []);
    }
}
