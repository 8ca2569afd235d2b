//! `rejects_bad_signatures`: what nobody may believe is refused, and nothing comes of it.
//!
//! **Invariant:** judges an effect only where no genuine delivery could have caused it.

use brownout_provider::document::At;

use super::support::{NEEDS_SERVICE, NoParameters, bare, schema, unlikely};
use super::webhook_handled_once::needs_listener;
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, Trace, Webhook};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "rejects_bad_signatures",
    summary: "A forged or stale event is refused, and nothing comes of it.",
    headline: "were taken although they were forged",
    rule: "A webhook that is signed wrongly, not at all or with a time long ago is answered with 4xx (or not at \
           all, or with 503 by who answers a genuine event so as well); and an operation that was told of by such alone has no effect.",
    exercised_by: "A forged or stale webhook that was answered.",
    parameters: &[],
    tolerates: "No answer; 503 from who is busy for all; an effect after a genuine delivery of the same event.",
    cure: "Check the signature over the raw body, before you parse it, with the secret of the endpoint; compare \
           in constant time; refuse a timestamp that is more than 5 minutes off; answer 400 and do nothing.",
    why: "The address of a listener is no secret: who takes events without a look at the signature ships \
          for whoever asks.",
    faults: &["webhook"],
    without_a_fault: "",
    modes: &[NEEDS_SERVICE],
    example: "rejects_bad_signatures",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, RejectsBadSignatures),
};

#[derive(Debug)]
struct RejectsBadSignatures;

impl Invariant for RejectsBadSignatures {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        // A service that is busy refuses genuine events as well.
        let is_busy = |one: &Webhook| !is_forged(one) && status_of(one) == Some(BUSY);
        let passing = trace.webhooks().iter().any(is_busy).then_some(BUSY);
        for (id, _) in trace.operations() {
            let sent = trace.webhooks_of(id);
            let forged: Vec<&Webhook> = sent.iter().filter(|one| is_forged(one)).collect();
            let answered = |one: &&&Webhook| matches!(one.answer, Some((_, _, Some(_))));
            exercised += forged.iter().filter(answered).count();
            let taken = forged.iter().find_map(|one| taken(trace, id, one, passing));
            violations.extend(taken.or_else(|| effect_of(trace, id, sent)));
        }
        Judgement::new(exercised, violations, "no forged or stale webhook was answered")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let forges = |fault: &str| {
            scenario.rules.iter().any(|rule| rule.faults.iter().any(|one| one.kind().name == fault))
        };
        if needs_listener(KIND.name, scenario, at) && !forges("webhook") {
            unlikely(
                at,
                KIND.name,
                "no webhook here is forged or stale",
                "inject: {webhook: bad_signature}",
            );
        }
    }
}

fn is_forged(webhook: &Webhook) -> bool {
    webhook.flaw.is_some_and(|flaw| flaw.is_forged())
}

/// The status by which a service says that it is busy.
const BUSY: u16 = 503;

fn status_of(webhook: &Webhook) -> Option<u16> {
    webhook.answer?.2
}

/// A forged webhook that was answered otherwise than it should.
fn taken(
    trace: &Trace,
    id: OperationId,
    webhook: &Webhook,
    passing: Option<u16>,
) -> Option<Violation> {
    let (seq, _, status) = webhook.answer?;
    let status = status.filter(|one| !(400..500).contains(one) && Some(*one) != passing)?;
    let message =
        format!("expected 4xx for a webhook that was {}, found {status}", webhook.flaw?.in_words());
    Some(Violation::new(trace, id, message, [webhook.seq, seq]))
}

/// An effect that only forged webhooks can have caused.
fn effect_of(trace: &Trace, id: OperationId, sent: &[Webhook]) -> Option<Violation> {
    let first = sent.first()?;
    // Whoever asked for something before was not moved by a webhook.
    if trace.requests_of(id).any(|(_, request)| request.seq < first.seq) {
        return None;
    }
    let (_, effect) = trace.effects_of(id).find(|(_, effect)| {
        effect.seq > first.seq && sent.iter().filter(|one| one.seq < effect.seq).all(is_forged)
    })?;
    let message = format!(
        "expected nothing to come of a webhook that was {}, found a {}",
        first.flaw?.in_words(),
        trace.text(effect.kind)
    );
    Some(Violation::new(trace, id, message, [first.seq, effect.seq]))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &str) -> String {
        verdict("rejects_bad_signatures", &Value::Null, lines)
    }

    const FORGED: &str = r#"
        {"at_us":1,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"op-0001","flaw":"bad_signature"}"#;
    const GENUINE: &str = r#"
        {"at_us":4,"event":"webhook_sent","provider":"provider","delivery":2,"webhook":"m","kind":"a","operation":"op-0001"}"#;
    const DONE: &str = r#"
        {"at_us":5,"event":"request_received","request":2}
        {"at_us":6,"event":"effect_committed","request":2}"#;

    fn answered(status: u16) -> String {
        format!(
            "\n{{\"at_us\":2,\"event\":\"webhook_answered\",\"provider\":\"provider\",\"delivery\":1,\"status\":{status}}}"
        )
    }

    #[test]
    fn a_forged_event_that_is_refused_is_right() {
        assert_eq!(check(&format!("{FORGED}{}", answered(400))), "passed");
        assert_eq!(check(&format!("{FORGED}{}{GENUINE}{DONE}", answered(401))), "passed");
        let busy = answered(503);
        let genuine = format!("{GENUINE}{}", busy.replace(r#""delivery":1"#, r#""delivery":2"#));
        assert_eq!(check(&format!("{FORGED}{busy}{genuine}")), "passed", "it refuses everybody");
        assert_eq!(check(&format!("{FORGED}{busy}")), "failed op-0001");
    }

    #[test]
    fn a_forged_event_that_is_taken_is_accused() {
        assert_eq!(check(&format!("{FORGED}{}", answered(200))), "failed op-0001");
        assert_eq!(check(&format!("{FORGED}{}", answered(500))), "failed op-0001");
    }

    #[test]
    fn an_effect_of_a_forged_event_is_accused_whatever_was_answered() {
        assert_eq!(check(&format!("{FORGED}{}{DONE}", answered(400))), "failed op-0001");
    }

    #[test]
    fn what_the_client_did_of_its_own_accord_is_not_judged() {
        let own = r#"{"at_us":0,"event":"request_received","request":1}"#;
        let own = format!("{own}{FORGED}{}{DONE}", answered(400));
        assert_eq!(check(&own), "passed");
    }

    #[test]
    fn genuine_events_exercise_nothing() {
        assert_eq!(check(&format!("{GENUINE}{DONE}")), "not exercised");
        assert_eq!(check(FORGED), "not exercised");
    }
}
