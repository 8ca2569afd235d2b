//! `stays_within_rate_limit`: the client keeps to the provider's limit by itself.
//!
//! **Invariant:** counts what the provider's own limiter refused, and nothing that a fault made up.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{few_of, needs_limit, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "stays_within_rate_limit",
    summary: "The provider's limiter refuses the client no more than a few times.",
    headline: "were sent beyond the provider's limit",
    rule: "The provider's own limiter refuses at most `max_rejected` requests of the client in the run.",
    exercised_by: "A request that the limiter refused, or an answer that said that nothing is left.",
    parameters: &[("max_rejected", "how many requests may be refused; required")],
    tolerates: "Refusals that a fault makes up; refusals of repeats that a gateway made.",
    cure: "Read the limit and what is left of it from the answers, share one limiter among all that use the \
           key, and hold requests back instead of having them refused.",
    why: "Beyond the limit each request is refused and yet counted: the work takes longer, and a ban is \
          near.",
    faults: &["tighten", "noisy_neighbour", "lying_limit"],
    without_a_fault: "a limit of the provider (`provider: {rate_limit: {limit: 10, per: 1s}}`) that the \
                      workload exceeds",
    modes: &[],
    example: "stays_within_rate_limit: {max_rejected: 3}",
    bare: false,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StaysWithinRateLimit")]
struct Raw {
    /// How many requests may be refused.
    max_rejected: u32,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let max_rejected = usize::try_from(raw.max_rejected).unwrap_or(usize::MAX);
    Some(Arc::new(StaysWithinRateLimit { max_rejected }))
}

#[derive(Debug)]
struct StaysWithinRateLimit {
    max_rejected: usize,
}

impl Invariant for StaysWithinRateLimit {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let own = || trace.requests().filter(|(_, request)| request.by.is_client());
        let refused: Vec<u32> =
            own().filter(|(_, request)| request.limited).map(|(_, request)| request.seq).collect();
        let reached =
            own().filter(|(id, one)| one.limited || trace.exhausted_until_us(*id).is_some());
        let violation = (refused.len() > self.max_rejected).then(|| {
            let message = format!(
                "expected the provider's limiter to refuse at most {}, found {} refused of {}",
                plural(self.max_rejected, "request"),
                refused.len(),
                own().count()
            );
            Violation::of_run(message, few_of(refused.iter().copied()))
        });
        let why_not = "the client never reached the provider's limit";
        Judgement::new(reached.count(), violation.into_iter().collect(), why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_limit(scenario, at, KIND.name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "stays_within_rate_limit";

    /// So many requests, the first of which are refused.
    fn lines(requests: u64, refused: u64) -> String {
        let one = |n| {
            let limited = if n <= refused {
                format!(r#"{{"at_us":{n},"event":"rate_limited","request":{n}}}"#)
            } else {
                String::new()
            };
            format!("{{\"at_us\":{n},\"event\":\"request_received\",\"request\":{n}}}\n{limited}\n")
        };
        (1..=requests).map(one).collect()
    }

    fn check(refused: u64) -> String {
        verdict(NAME, &json!({"max_rejected": 2}), &lines(5, refused))
    }

    #[test]
    fn a_few_refusals_pass_and_more_do_not() {
        assert_eq!(check(2), "passed");
        assert_eq!(check(3), "failed run");
        assert_eq!(
            message(NAME, &json!({"max_rejected": 2}), &trace(&lines(5, 3))),
            "expected the provider's limiter to refuse at most 2 requests, found 3 refused of 5"
        );
    }

    #[test]
    fn a_limit_that_was_never_reached_exercises_nothing() {
        assert_eq!(check(0), "not exercised");
        let told = format!(
            "{}\n{}",
            lines(2, 0),
            r#"{"at_us":9,"event":"response_sent","request":1,"exhausted_until_us":5000}"#
        );
        assert_eq!(verdict(NAME, &json!({"max_rejected": 0}), &told), "passed");
    }

    #[test]
    fn what_a_fault_or_a_gateway_did_is_not_counted() {
        let fault = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":0,"event":"response_sent","request":1,"status":429}"#;
        assert_eq!(verdict(NAME, &json!({"max_rejected": 0}), fault), "not exercised");
        let gateway = lines(1, 1).replace(r#""request":1}"#, r#""request":1,"by":"provider"}"#);
        let gateway = gateway.replace(
            r#"rate_limited","request":1,"by":"provider""#,
            r#"rate_limited","request":1"#,
        );
        assert_eq!(verdict(NAME, &json!({"max_rejected": 0}), &gateway), "not exercised");
    }
}
