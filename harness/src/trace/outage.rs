//! Outages: times in which a provider answered nobody, because a rule said so.
//!
//! An outage is the window of a rule that ends requests and leaves nothing to chance: by `during` from and
//! to the moments that it names, by `operation: {from, to}` from its first strike to its last. A rule that
//! strikes some requests and spares others (by attempt, method, header, body) is none.
//! **Invariant:** reads the rules as the first event has them, and counts an outage only if it struck.

use brownout_provider::fault::{Group, registry};
use brownout_provider::units::Chance;
use serde::Deserialize as _;
use serde_json::Value;

use super::{Name, Request, RequestId, Submit, Trace};

/// What makes a rule strike some requests of a route and spare others, so that it is no outage.
const NARROWING: [&str; 6] = ["attempt", "submit", "method", "header", "body", "max_times"];

/// A time in which a rule ended every request that it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The rule.
    pub rule: Name,
    /// The provider, where the rule names one.
    pub provider: Option<Name>,
    /// The tenant, where the rule names one.
    pub tenant: Option<Name>,
    /// The route, where the rule names one.
    pub route: Option<Name>,
    /// When it began, in microseconds since the start of the run.
    pub from_us: u64,
    /// When it was over; `None` for one without an end.
    pub to_us: Option<u64>,
}

impl Outage {
    /// True for a request of the client that the outage is about, whenever it came.
    #[must_use]
    pub fn is_about(&self, request: &Request) -> bool {
        request.by.is_client()
            && self.provider.is_none_or(|provider| provider == request.provider)
            && self.tenant.is_none_or(|tenant| Some(tenant) == request.tenant)
            && self.route.is_none_or(|route| Some(route) == request.route)
    }

    /// True for a submit that has to do with what the outage is about: it asked there, or will have to.
    #[must_use]
    pub fn concerns(&self, trace: &Trace, submit: &Submit) -> bool {
        let its = |request: &Request| request.submit == submit.number && self.is_about(request);
        if trace.attempts_of(submit.operation).any(|(_, request)| its(request)) {
            return true;
        }
        // A request says for whom it is, and whether a backup is in use; of the first provider alone, and
        // where there are no tenants, it is known before.
        let of_route = submit.submitted.as_ref().map(|submitted| submitted.call);
        self.tenant.is_none()
            && self.provider.is_none_or(|one| trace.is_first_provider(one))
            && self.route.is_none_or(|route| of_route == Some(route))
    }
}

impl Trace {
    /// The outages of the run, in the order of their rules.
    #[must_use]
    pub fn outages(&self) -> Vec<Outage> {
        let rules = self.run.scenario.get("faults").and_then(Value::as_array);
        rules.into_iter().flatten().filter_map(|rule| self.outage(rule)).collect()
    }

    fn outage(&self, rule: &Value) -> Option<Outage> {
        let name = self.name(rule.get("name")?.as_str()?)?;
        if !ends_requests(rule.get("inject")?) {
            return None;
        }
        let when = rule.get("when")?;
        let chance = when.get("chance").map(Chance::deserialize).transpose().ok()?;
        if chance.is_some_and(|chance| chance.parts_per_million() != 1_000_000)
            || NARROWING.iter().any(|key| when.get(key).is_some())
        {
            return None;
        }
        let (first, last) = self.window_of_strikes(name)?;
        let is_range = |one: &Value| one.get("from").or_else(|| one.get("to")).is_some();
        let (from_us, to_us) = match (when.get("during"), when.get("operation")) {
            (Some(during), None) => {
                let since_us = self.requests().find(|(_, one)| one.by.is_client())?.1.at_us;
                let moment = |key| {
                    let at_us = self.period_us(during.get(key)?.as_str()?)?;
                    Some(since_us.saturating_add(at_us))
                };
                (moment("from").unwrap_or(since_us), moment("to"))
            }
            (None, Some(range)) if is_range(range) => (first, Some(last)),
            (_, _) => return None,
        };
        let named = |key| when.get(key).and_then(Value::as_str).map(|text| self.name(text));
        Some(Outage {
            rule: name,
            provider: named("provider").unwrap_or(None),
            tenant: named("tenant").unwrap_or(None),
            route: named("route").unwrap_or(None),
            from_us,
            to_us,
        })
    }

    /// From the arrival of the first request that a rule struck to the end of the last; for strikes at the
    /// door, which belong to no request, nothing but that they were there is known.
    fn window_of_strikes(&self, rule: Name) -> Option<(u64, u64)> {
        let struck: Vec<Option<RequestId>> = self
            .strikes()
            .iter()
            .filter(|strike| strike.rule == rule)
            .map(|strike| strike.request)
            .collect();
        let requests = || struck.iter().copied().flatten();
        let first = requests().map(|id| self.request(id).at_us).min();
        let last = requests().filter_map(|id| self.known_at_us(id)).max();
        (!struck.is_empty()).then(|| {
            let first = first.unwrap_or(0);
            (first, last.unwrap_or(first))
        })
    }
}

/// True for what a rule injects, if it ends a request or lets nobody in.
fn ends_requests(inject: &Value) -> bool {
    match inject {
        Value::String(name) => is_ending(name),
        Value::Array(list) => list.iter().any(ends_requests),
        Value::Object(fault) => fault.keys().any(|name| is_ending(name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_ending(name: &str) -> bool {
    matches!(name, "refuse" | "handshake_reset")
        || registry::find(name).is_some_and(|kind| kind.group == Group::Ending)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::trace::testing::trace_with;

    /// The windows of the outages in a run with one rule.
    fn windows(when: &Value, inject: &Value, more: &Value) -> Vec<(u64, Option<u64>)> {
        let mut scenario = json!({"faults": [{"name": "rule", "when": when, "inject": inject}]});
        scenario.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let lines = r#"{"at_us":1000,"event":"request_received","request":1}
            {"at_us":6000000,"event":"request_received","request":2}
            {"at_us":6000000,"event":"fault_injected","request":2}
            {"at_us":6000500,"event":"response_sent","request":2,"status":503}
            {"at_us":9000000,"event":"request_received","request":3}
            {"at_us":9000000,"event":"fault_injected","request":3}
            {"at_us":9000500,"event":"response_sent","request":3,"status":503}"#;
        let trace = trace_with(&json!({"scenario": scenario}), lines);
        trace.outages().iter().map(|outage| (outage.from_us, outage.to_us)).collect()
    }

    #[test]
    fn a_rule_that_ends_requests_for_a_time_is_an_outage() {
        let during = json!({"during": {"from": "5s", "to": "20s"}});
        let status = json!({"status": {"code": 503}});
        assert_eq!(windows(&during, &status, &json!({})), [(5_001_000, Some(20_001_000))]);
        assert_eq!(
            windows(&during, &status, &json!({"scale": "1/5"})),
            [(1_001_000, Some(4_001_000))]
        );
        let open = json!({"during": {"from": "5s"}});
        assert_eq!(windows(&open, &json!("hang"), &json!({})), [(5_001_000, None)]);
        let operations = json!({"operation": {"from": 2, "to": 3}});
        assert_eq!(windows(&operations, &status, &json!({})), [(6_000_000, Some(9_000_500))]);
    }

    #[test]
    fn chance_and_delays_make_no_outage() {
        let status = json!({"status": {"code": 503}});
        for certain in ["100%", "100.0%", "1/1"] {
            let always = json!({"during": {"from": "5s", "to": "20s"}, "chance": certain});
            assert_eq!(windows(&always, &status, &json!({})).len(), 1, "{certain}");
        }
        let chance = json!({"during": {"from": "5s", "to": "20s"}, "chance": "50%"});
        assert_eq!(windows(&chance, &status, &json!({})), []);
        let during = json!({"during": {"from": "5s", "to": "20s"}});
        assert_eq!(windows(&during, &json!({"latency": {"fixed": "1s"}}), &json!({})), []);
        assert_eq!(windows(&json!({"operation": 2}), &status, &json!({})), []);
        assert_eq!(windows(&json!({"attempt": 1}), &status, &json!({})), []);
        assert_eq!(windows(&json!({"operation": {"every": 2}}), &status, &json!({})), []);
    }

    #[test]
    fn what_strikes_some_requests_and_spares_others_is_no_outage() {
        let status = json!({"status": {"code": 503}});
        for narrow in [
            json!({"method": "POST"}),
            json!({"header": {"x-kind": "batch"}}),
            json!({"body": {"/amount": 1999}}),
            json!({"operation": [1, 2]}),
            json!({"submit": 1}),
            json!({"max_times": 2}),
        ] {
            let mut when = json!({"during": {"from": "5s", "to": "20s"}});
            when.as_object_mut().unwrap().extend(narrow.as_object().unwrap().clone());
            assert_eq!(windows(&when, &status, &json!({})), [], "{narrow}");
        }
    }
}
