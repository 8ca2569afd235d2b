//! `webhook_acknowledged`: who is told of an event says so soon.
//!
//! **Invariant:** judges deliveries that could be answered: whole, at once, and to a service that was there.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NEEDS_SERVICE, NO_UPPER_BOUND, schema};
use super::webhook_handled_once::needs_listener;
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Trace, Webhook};

/// How long an answer may take, where the file does not say, in microseconds.
const WITHIN_US: u64 = 10_000_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "webhook_acknowledged",
    summary: "A webhook is answered soon.",
    headline: "were told and did not say so in time",
    rule: "A webhook that arrives whole and at once is answered, with whatever status, within `within` of its \
           being sent. One second is forgiven on the real clock.",
    exercised_by: "A webhook that was answered.",
    parameters: &[("within", "how long an answer may take; default 10s")],
    tolerates: "A webhook that nobody was there to take; one that was cut short or came in pieces; time in which \
                the client stood still.",
    cure: "Put the event into a queue of your own, answer 200, and do the work behind the answer: the sender \
           waits a few seconds only, and tells you again what you have already done.",
    why: "A slow answer counts as none: the provider delivers again, falls behind, and in the end switches \
          the webhook off.",
    faults: &["webhook", "latency", "hang"],
    without_a_fault: "any webhook",
    modes: &[NEEDS_SERVICE, BOUNDS_TIME],
    example: "webhook_acknowledged: {within: 5s}",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookAcknowledged")]
struct Raw {
    /// How long an answer may take; 10s unless said.
    within: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = if value.is_null() { Raw::default() } else { decode(value, at)? };
    Some(Arc::new(Acknowledged { within_us: raw.within.map_or(WITHIN_US, Period::micros) }))
}

#[derive(Debug)]
struct Acknowledged {
    within_us: u64,
}

impl Invariant for Acknowledged {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        let whole = |one: &&Webhook| one.flaw.is_none_or(|flaw| flaw.is_forged());
        for webhook in trace.webhooks().iter().filter(whole) {
            let Some((seq, at_us, status)) = webhook.answer else { continue };
            let asleep_us = trace.paused_between(webhook.operation, webhook.at_us, at_us);
            let took_us = at_us.saturating_sub(webhook.at_us).saturating_sub(asleep_us);
            let is_late = took_us > self.within_us.saturating_add(trace.upper_slack_us());
            exercised += usize::from(status.is_some() || is_late);
            if is_late {
                let message = format!(
                    "expected an answer to the webhook within {}, found {} after {}",
                    in_words(self.within_us),
                    status.map_or("none".to_owned(), |status| status.to_string()),
                    in_words(took_us)
                );
                let evidence = [webhook.seq, seq];
                violations.push(Violation::new(trace, webhook.operation, message, evidence));
            }
        }
        Judgement::new(exercised, violations, "no webhook was answered")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_listener(KIND.name, scenario, at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::verdict;

    fn check(sent: &str, answered_us: u64, status: &str) -> String {
        let lines = format!(
            "{{\"at_us\":0,\"event\":\"webhook_sent\",\"provider\":\"provider\",\"delivery\":1,\"webhook\":\"m\",\"kind\":\"a\",\"operation\":\"op-0001\"{sent}}}
             {{\"at_us\":{answered_us},\"event\":\"webhook_answered\",\"provider\":\"provider\",\"delivery\":1{status}}}"
        );
        verdict("webhook_acknowledged", &json!({"within": "2s"}), &lines)
    }

    #[test]
    fn an_answer_in_time_is_right_whatever_it_says() {
        assert_eq!(check("", 2_000_000, ",\"status\":200"), "passed");
        assert_eq!(check("", 10, ",\"status\":500"), "passed");
    }

    #[test]
    fn an_answer_that_is_late_or_never_comes_is_accused() {
        assert_eq!(check("", 2_000_001, ",\"status\":200"), "failed op-0001");
        assert_eq!(check("", 15_000_000, ""), "failed op-0001");
    }

    #[test]
    fn a_service_that_is_not_there_and_a_slow_sender_are_not_judged() {
        assert_eq!(check("", 10, ""), "not exercised");
        assert_eq!(
            check(",\"flaw\":\"slow_sender\"", 9_000_000, ",\"status\":200"),
            "not exercised"
        );
    }
}
