//! `key_retry_window`: a key that the provider has forgotten protects nothing.
//!
//! **Invariant:** a key is as old as its first arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NO_UPPER_BOUND, events_of, keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Name, OperationId, Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "key_retry_window",
    summary: "No request is repeated under a key that the provider may have forgotten.",
    headline: "were repeated under a key that had expired",
    rule: "No request is repeated under an idempotency key whose first use is longer ago than `retention`, \
           as long as it is open whether an earlier one took effect, unless a read was answered in \
           between. One second is forgiven on the real clock.",
    exercised_by: "A request repeated under its key.",
    parameters: &[("retention", "how long the provider keeps a key, such as `24h`; required")],
    tolerates: "A repeat after definite refusals alone; time in which the client stood still.",
    cure: "Store with each key when it was first sent; once it is older than the provider keeps it, look up \
           whether the work was done before you send it again.",
    why: "A provider forgets its keys after a time; a repeat that comes later is a new order, and the \
          second charge.",
    faults: &["reset", "hang", "status", "forget_key"],
    without_a_fault: "",
    modes: &[BOUNDS_TIME],
    example: "key_retry_window: {retention: 24h}",
    bare: false,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeyRetryWindow")]
struct Raw {
    /// How long the provider keeps a key.
    retention: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(KeyRetryWindow { retention_us: raw.retention.micros() }))
}

#[derive(Debug)]
struct KeyRetryWindow {
    retention_us: u64,
}

impl Invariant for KeyRetryWindow {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations() {
            let mut uses = BTreeMap::<(Name, Name), Uses>::new();
            let mut read_us = None;
            let mut late = None;
            for (id, request) in trace.attempts_of(operation) {
                if !request.effectful {
                    let tells = |uses: &Uses| trace.speaks_of_work(id, trace.request(uses.first));
                    if trace.fate(id) == Fate::Usable && uses.values().any(tells) {
                        read_us = trace.known_at_us(id).max(read_us);
                    }
                    continue;
                }
                let Some(key) = request.key.filter(|_| request.keyed) else { continue };
                let place = (request.provider, key);
                let Some(so_far) = uses.get_mut(&place) else {
                    uses.insert(place, Uses { first: id, open: vec![id] });
                    continue;
                };
                exercised += 1;
                if late.is_none() && self.is_late(trace, so_far, request, read_us) {
                    late = Some((so_far.first, id));
                }
                so_far.open.push(id);
            }
            violations.extend(late.map(|late| self.violation(trace, operation, late)));
        }
        Judgement::new(exercised, violations, "no request was repeated under its key")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        keys_are_known(scenario, at, KIND.name);
        if scenario.workload.deadline.as_micros() <= u128::from(self.retention_us) {
            at.note("the deadline of an operation is over before its key expires", |problem| {
                problem.cure("give the operations a longer `deadline`, or the provider a shorter `retention`")
            });
        }
    }
}

/// The requests under one key.
struct Uses {
    first: RequestId,
    open: Vec<RequestId>,
}

impl KeyRetryWindow {
    fn is_late(
        &self,
        trace: &Trace,
        so_far: &Uses,
        request: &Request,
        read_us: Option<u64>,
    ) -> bool {
        let first_us = trace.request(so_far.first).at_us;
        let Some(operation) = request.operation else { return false };
        let asleep_us = trace.paused_between(operation, first_us, request.at_us);
        let age_us = request.at_us.saturating_sub(first_us).saturating_sub(asleep_us);
        if age_us <= self.retention_us.saturating_add(trace.upper_slack_us()) {
            return false;
        }
        // A read that was answered since the latest request under the key shows what became of it.
        let latest_us = so_far.open.last().map_or(0, |id| trace.request(*id).at_us);
        let was_read = read_us.is_some_and(|at_us| at_us >= latest_us && at_us <= request.at_us);
        let is_open = |id: &RequestId| {
            !matches!(trace.fate_at(*id, request.at_us), Some(Fate::Rejected | Fate::PassedOn))
        };
        !was_read && so_far.open.iter().any(is_open)
    }

    fn violation(
        &self,
        trace: &Trace,
        operation: OperationId,
        (first, id): (RequestId, RequestId),
    ) -> Violation {
        let (began, request) = (trace.request(first), trace.request(id));
        let message = format!(
            "expected no repeat under a key that is older than {}, found {} under one first used {} before",
            in_words(self.retention_us),
            trace.request_in_words(request),
            in_words(request.at_us.saturating_sub(began.at_us))
        );
        Violation::new(trace, operation, message, events_of(trace, first).chain([request.seq]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{in_short, invariant, message, verdict, verdict_on_real_clock};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "key_retry_window";

    fn lines(end: &str, between: &str, at_us: u64) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1,"key":"k"}}
            {{"at_us":10,{end}}}
            {between}
            {{"at_us":{at_us},"event":"request_received","request":3,"attempt":2,"key":"k"}}"#
        )
    }

    fn check(end: &str, between: &str, at_us: u64) -> String {
        verdict(NAME, &json!({"retention": "1h"}), &lines(end, between, at_us))
    }

    const LOST: &str = r#""event":"connection_ended","request":1,"by":"provider","how":"rst""#;
    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn a_read_of_something_else_comes_to_no_aid() {
        let routes = json!([
            {"name": "create_charge", "creates": {"collection": "charges"}},
            {"name": "list_charges", "lists": {"collection": "charges"}},
            {"name": "get_limits"},
        ]);
        let judged = |route: &str| {
            let read = format!(
                r#"{{"at_us":20,"event":"request_received","request":2,"route":"{route}","unsafe":false}}
                {{"at_us":{},"event":"response_sent","request":2}}"#,
                HOUR - 1
            );
            let run = json!({"apis": {"payments": {"routes": routes}}});
            let trace = trace_with(&run, &lines(LOST, &read, HOUR + 1));
            in_short(&invariant(NAME, &json!({"retention": "1h"})).check(&trace))
        };
        assert_eq!(judged("list_charges"), "passed");
        assert_eq!(judged("get_limits"), "failed op-0001");
    }

    #[test]
    fn a_repeat_under_an_old_key_is_accused() {
        assert_eq!(check(LOST, "", HOUR), "passed");
        assert_eq!(check(LOST, "", HOUR + 1), "failed op-0001");
        assert_eq!(
            message(NAME, &json!({"retention": "1h"}), &trace(&lines(LOST, "", 2 * HOUR))),
            "expected no repeat under a key that is older than 3600 s, found attempt 2 of `create_charge` under \
             one first used 7200 s before"
        );
        let real =
            |at| verdict_on_real_clock(NAME, &json!({"retention": "1h"}), &lines(LOST, "", at));
        assert_eq!(real(HOUR + 1_000_000), "passed");
        assert_eq!(real(HOUR + 1_000_001), "failed op-0001");
    }

    #[test]
    fn a_read_in_between_clears_it() {
        let read = r#"{"at_us":3600000500,"event":"request_received","request":2,"route":"list_charges","unsafe":false}
            {"at_us":3600000600,"event":"response_sent","request":2,"status":200}"#;
        assert_eq!(check(LOST, read, 2 * HOUR), "passed");
        let failed = read.replace(r#""status":200"#, r#""status":503"#);
        assert_eq!(check(LOST, &failed, 2 * HOUR), "failed op-0001");
    }

    #[test]
    fn after_a_definite_refusal_nothing_is_open() {
        let refused = r#""event":"response_sent","request":1,"status":429"#;
        assert_eq!(check(refused, "", 2 * HOUR), "passed");
        assert_eq!(check(&refused.replace("429", "500"), "", 2 * HOUR), "failed op-0001");
    }

    #[test]
    fn a_new_key_and_an_api_without_keys_exercise_nothing() {
        let new = lines(LOST, "", 2 * HOUR).replacen(r#""key":"k""#, r#""key":"l""#, 1);
        assert_eq!(verdict(NAME, &json!({"retention": "1h"}), &new), "not exercised");
        let unknown =
            lines(LOST, "", 2 * HOUR).replace(r#""key":"k""#, r#""key":"k","keyed":false"#);
        assert_eq!(verdict(NAME, &json!({"retention": "1h"}), &unknown), "not exercised");
    }
}
