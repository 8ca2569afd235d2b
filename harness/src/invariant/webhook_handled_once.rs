//! `webhook_handled_once`: however often an event is told of, its work is done once.
//!
//! **Invariant:** counts what was done after the event was told of and stands at the end; what the client did of
//! its own accord before plays no part.

use std::collections::BTreeMap;

use brownout_provider::document::At;

use super::at_most_one_effect::{too_many, too_many_of};
use super::support::{NEEDS_SERVICE, NoParameters, bare, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement};
use crate::scenario::Scenario;
use crate::trace::{Effect, EffectId, Name, Trace, Webhook};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "webhook_handled_once",
    summary: "An event that is told of more than once is handled once.",
    headline: "were handled more than once",
    rule: "The effects that an operation brings about after an event of it was first sent, less those that were \
           undone, are at most one per kind and subject for each event, however often it was sent. Where several \
           events tell of one operation, what was done between a delivery and its answer is that event's work.",
    exercised_by: "An event that was sent twice or more.",
    parameters: &[],
    tolerates: "An event that is sent often and handled once; a duplicate that was undone; what was done \
                before the event was sent.",
    cure: "Keep the ids of events that you have handled (a unique index in the same transaction as the work), \
           or make the idempotency key of what you call of the event's id, which is the same in every delivery.",
    why: "Providers deliver an event again whenever they did not hear the answer, so a listener that acts \
          on each delivery ships or pays twice.",
    faults: &["webhook", "kill_client"],
    without_a_fault: "",
    modes: &[NEEDS_SERVICE],
    example: "webhook_handled_once",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, WebhookHandledOnce),
};

#[derive(Debug)]
struct WebhookHandledOnce;

impl Invariant for WebhookHandledOnce {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations() {
            let sent = trace.webhooks_of(id);
            let mut events = BTreeMap::<_, Vec<&Webhook>>::new();
            for webhook in sent {
                events.entry((webhook.provider, webhook.event)).or_default().push(webhook);
            }
            let Some(first) = sent.first() else { continue };
            if events.values().all(|sent| sent.len() < 2) {
                continue;
            }
            exercised += 1;
            let after: Vec<(EffectId, &Effect)> =
                trace.effects_of(id).filter(|(_, effect)| effect.seq > first.seq).collect();
            let of_one = events.keys().filter(|_| events.len() > 1).find_map(|event| {
                let its = |(_, effect): &&(EffectId, &Effect)| is_work_on(sent, *event, effect);
                let its: Vec<_> = after.iter().filter(its).copied().collect();
                Some(too_many(trace, id, &its)).filter(|found| !found.is_empty())
            });
            violations
                .extend(of_one.unwrap_or_else(|| too_many_of(trace, id, &after, events.len())));
        }
        Judgement::new(exercised, violations, "no event was told of twice")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if needs_listener(KIND.name, scenario, at)
            && !scenario.rules.iter().any(|rule| !rule.faults.is_empty())
        {
            unlikely(
                at,
                KIND.name,
                "nothing here tells of an event twice",
                "inject: {webhook: duplicate}",
            );
        }
    }
}

/// True for an effect that came about while this event was being handled, and no other of the operation: between
/// the time that it was sent and its answer.
fn is_work_on(sent: &[Webhook], event: (Name, Name), effect: &Effect) -> bool {
    let is_open = |webhook: &&Webhook| {
        let answered = webhook.answer.map_or(u32::MAX, |(seq, ..)| seq);
        (webhook.seq..answered).contains(&effect.seq)
    };
    let mut open = sent.iter().filter(is_open).peekable();
    open.peek().is_some() && open.all(|webhook| (webhook.provider, webhook.event) == event)
}

/// Reports a scenario in which nobody listens to webhooks; true where somebody does.
pub(super) fn needs_listener(name: &str, scenario: &Scenario, at: &At<'_>) -> bool {
    let listens = scenario.workload.http.as_ref().is_some_and(|http| http.webhooks.is_some());
    if !listens {
        at.error(format!("`{name}` needs a service that listens to webhooks"), |d| {
            d.cure("write `deliver: {webhook: {path: /hooks, event: …}}` or `http: {webhooks: {path: /hooks}}`")
        });
    }
    listens
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &str) -> String {
        verdict("webhook_handled_once", &Value::Null, lines)
    }

    const ONCE: &str = r#"
        {"at_us":1,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"op-0001"}
        {"at_us":2,"event":"request_received","request":2}
        {"at_us":3,"event":"effect_committed","request":2}"#;

    const AGAIN: &str = r#"
        {"at_us":9,"event":"webhook_sent","provider":"provider","delivery":2,"webhook":"m","kind":"a","operation":"op-0001"}
        {"at_us":10,"event":"request_received","request":4,"attempt":2}"#;

    const SECOND: &str = r#"{"at_us":11,"event":"effect_committed","request":4,"effect":2}"#;

    #[test]
    fn an_event_that_is_sent_once_exercises_nothing() {
        assert_eq!(check(ONCE), "not exercised");
    }

    #[test]
    fn an_event_that_is_sent_twice_and_handled_once_is_right() {
        assert_eq!(check(&format!("{ONCE}{AGAIN}")), "passed");
    }

    #[test]
    fn an_event_that_is_handled_twice_is_accused() {
        assert_eq!(check(&format!("{ONCE}{AGAIN}\n{SECOND}")), "failed op-0001");
    }

    #[test]
    fn two_events_of_one_operation_are_each_handled_once() {
        let sent = |at: u32, delivery: u32, event: &str| {
            format!(
                r#"{{"at_us":{at},"event":"webhook_sent","provider":"provider","delivery":{delivery},"webhook":"{event}","kind":"a","operation":"op-0001"}}
                {{"at_us":{at},"event":"request_received","request":{delivery},"attempt":{delivery}}}
                {{"at_us":{at},"event":"effect_committed","request":{delivery},"effect":{delivery}}}
                {{"at_us":{at},"event":"webhook_answered","provider":"provider","delivery":{delivery},"status":200}}"#
            )
        };
        let without_work = |text: String| -> String {
            text.lines()
                .filter(|line| !line.contains("effect_committed"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let (one, two) = (sent(1, 1, "m"), sent(5, 2, "n"));
        assert_eq!(check(&format!("{one}\n{two}")), "not exercised", "neither came twice");
        let again = without_work(sent(9, 3, "n"));
        assert_eq!(check(&format!("{one}\n{two}\n{again}")), "passed");
        let redone = sent(9, 3, "n");
        assert_eq!(check(&format!("{one}\n{two}\n{redone}")), "failed op-0001");
        let idle = without_work(one);
        assert_eq!(
            check(&format!("{idle}\n{two}\n{redone}")),
            "failed op-0001",
            "both are of one event"
        );
    }

    #[test]
    fn what_was_done_before_the_event_is_not_its_handling() {
        let own = r#"{"at_us":0,"event":"request_received","request":1}
            {"at_us":0,"event":"effect_committed","request":1,"effect":9}"#;
        assert_eq!(check(&format!("{own}{}{AGAIN}", ONCE.replace("\"attempt\":1", ""))), "passed");
    }
}
