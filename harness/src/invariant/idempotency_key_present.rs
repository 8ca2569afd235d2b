//! `idempotency_key_present`: what commits carries a key.
//!
//! **Invariant:** asks only for keys that the API gives a meaning to.

use brownout_provider::document::At;

use super::support::{NoParameters, bare, keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{Effect, Request, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "idempotency_key_present",
    summary: "Every request that takes effect carries an idempotency key.",
    headline: "took effect without an idempotency key",
    rule: "Every request that commits an effect on a route to which the API gives idempotency keys \
           carries one.",
    exercised_by: "One effect on such a route.",
    parameters: &[],
    tolerates: "Routes on which a repeat does no harm by its nature, such as those that take the client's \
                own id.",
    cure: "Make one key when the operation begins, keep it with the operation, and send it with every \
           attempt.",
    why: "Without a key the provider cannot tell a repeat from a new order, so the first answer that is \
          lost is done twice.",
    faults: &["reset", "hang", "status", "key_required_late"],
    without_a_fault: "any request that takes effect",
    modes: &[],
    example: "idempotency_key_present",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, IdempotencyKeyPresent),
};

#[derive(Debug)]
struct IdempotencyKeyPresent;

impl Invariant for IdempotencyKeyPresent {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations() {
            let committed: Vec<(&Effect, &Request)> = trace
                .effects_of(operation)
                .filter_map(|(_, effect)| Some((effect, trace.request(effect.request?))))
                .filter(|(_, request)| request.effectful && request.keyed)
                .collect();
            exercised += committed.len();
            let bare: Vec<_> =
                committed.iter().filter(|(_, request)| request.key.is_none()).collect();
            if let Some((_, first)) = bare.first() {
                let requests: std::collections::BTreeSet<u32> =
                    bare.iter().map(|(_, request)| request.seq).collect();
                let message = format!(
                    "{} that took effect carried no idempotency key, the first was {}",
                    plural(requests.len(), "request"),
                    trace.request_in_words(first)
                );
                let evidence = bare.iter().flat_map(|(effect, request)| [effect.seq, request.seq]);
                violations.push(Violation::new(trace, operation, message, evidence));
            }
        }
        let why_not = "nothing was committed on a route to which the API gives keys";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        keys_are_known(scenario, at, KIND.name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(request: &str, event: &str) -> String {
        let lines = format!(
            r#"{{"at_us":1,"event":"request_received","request":1{request}}}
            {{"at_us":1,"event":"{event}","request":1}}"#
        );
        verdict("idempotency_key_present", &Value::Null, &lines)
    }

    #[test]
    fn what_commits_carries_a_key() {
        assert_eq!(check(r#","key":"k""#, "effect_committed"), "passed");
        assert_eq!(check("", "effect_committed"), "failed op-0001");
        assert_eq!(check("", "rate_limited"), "not exercised");
    }

    #[test]
    fn routes_without_keys_are_not_accused() {
        assert_eq!(check(r#","keyed":false"#, "effect_committed"), "not exercised");
    }
}
