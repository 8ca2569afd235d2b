//! `message_handled_once`: however often a message is handed out, its work is done once.
//!
//! **Invariant:** counts what stands in the ledger at the end; deletes and receipts play no part.

use std::collections::BTreeSet;

use brownout_provider::document::At;
use brownout_provider::event::MessageState;

use super::at_most_one_effect::too_many;
use super::support::{NEEDS_WORKER, NoParameters, bare, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement};
use crate::scenario::Scenario;
use crate::trace::{Effect, EffectId, Message, OperationId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "message_handled_once",
    summary: "A message that is handed out more than once is handled once.",
    headline: "were handled more than once",
    rule: "The committed effects of a message's operation, less those that were undone, are at most one per \
           kind and subject, however often the message was handed out.",
    exercised_by: "A message that was handed out twice or more, or before one that was sent earlier.",
    parameters: &[],
    tolerates: "A message that is handed out often and handled once; a duplicate that was undone; a \
                message that is never handled.",
    cure: "Make the idempotency key of the message's id or of what it says, which are the same each time; \
           its receipt and the time are not. Without keys, look the work up before you do it.",
    why: "A queue promises to deliver at least once; a worker that takes this for once charges again on \
          each redelivery.",
    faults: &["message", "kill_client", "latency", "reset"],
    without_a_fault: "",
    modes: &[NEEDS_WORKER],
    example: "message_handled_once",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, MessageHandledOnce),
};

#[derive(Debug)]
struct MessageHandledOnce;

impl Invariant for MessageHandledOnce {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        let overtook = overtaking(trace);
        for (id, _) in trace.operations() {
            let times = handed_out(trace, id).count();
            if times == 0 {
                continue;
            }
            if times > 1 || overtook.contains(&id) {
                exercised += 1;
            }
            let effects: Vec<(EffectId, &Effect)> = trace.effects_of(id).collect();
            violations.extend(too_many(trace, id, &effects));
        }
        let why_not = "no message was handed out twice or out of order";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if needs_queue(KIND.name, scenario, at)
            && !scenario.rules.iter().any(|rule| !rule.faults.is_empty())
        {
            unlikely(
                at,
                KIND.name,
                "nothing here hands a message out twice",
                "inject: {message: early}",
            );
        }
    }
}

/// Reports a scenario without a queue; true where there is one.
pub(super) fn needs_queue(name: &str, scenario: &Scenario, at: &At<'_>) -> bool {
    let has_queue = scenario.providers.values().any(|provider| provider.api.queue.is_some());
    if !has_queue {
        at.error(format!("`{name}` needs an API with a queue"), |d| {
            d.cure("use an API with a queue, such as `queue`, or leave it out")
        });
    }
    has_queue
}

/// The times at which the message of an operation was handed out.
fn handed_out(trace: &Trace, id: OperationId) -> impl Iterator<Item = &Message> {
    trace.messages_of(id).iter().filter(|one| one.state == MessageState::Received)
}

/// The operations whose message was handed out before one that was submitted earlier.
fn overtaking(trace: &Trace) -> BTreeSet<OperationId> {
    let mut sent: Vec<(u32, u32, OperationId)> = trace
        .operations()
        .filter_map(|(id, _)| {
            let submits = trace.submits_of(id);
            let sent = submits.filter_map(|(_, one)| Some(one.submitted.as_ref()?.seq)).min()?;
            Some((sent, handed_out(trace, id).map(|one| one.seq).min()?, id))
        })
        .collect();
    sent.sort_unstable();
    let mut latest = 0;
    let overtook = sent.into_iter().filter(|(_, first, _)| {
        let is_first = *first < latest;
        latest = latest.max(*first);
        is_first
    });
    overtook.map(|(_, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &str) -> String {
        verdict("message_handled_once", &Value::Null, lines)
    }

    const ONCE: &str = r#"
        {"at_us":1,"event":"message_moved","request":1,"provider":"provider","operation":"op-0001","message":"m","receives":1,"state":"received"}
        {"at_us":2,"event":"request_received","request":2}
        {"at_us":3,"event":"effect_committed","request":2}"#;

    const AGAIN: &str = r#"
        {"at_us":9,"event":"message_moved","request":3,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received"}
        {"at_us":10,"event":"request_received","request":4,"attempt":2}"#;

    const SECOND: &str = r#"{"at_us":11,"event":"effect_committed","request":4,"effect":2}"#;

    #[test]
    fn a_message_that_comes_once_exercises_nothing() {
        assert_eq!(check(ONCE), "not exercised");
    }

    #[test]
    fn a_message_that_comes_twice_and_is_handled_once_is_right() {
        assert_eq!(check(&format!("{ONCE}{AGAIN}")), "passed");
    }

    #[test]
    fn a_message_that_is_handled_twice_is_accused() {
        assert_eq!(check(&format!("{ONCE}{AGAIN}\n{SECOND}")), "failed op-0001");
    }

    #[test]
    fn work_that_is_no_message_is_not_judged() {
        let lines = format!("{ONCE}{AGAIN}\n{SECOND}");
        let without: Vec<&str> =
            lines.lines().filter(|line| !line.contains("message_moved")).collect();
        assert_eq!(check(&without.join("\n")), "not exercised");
    }

    #[test]
    fn a_message_that_overtakes_an_earlier_one_exercises_it() {
        let lines = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":0,"event":"operation_submitted","operation":"op-0002","n":2}
            {"at_us":1,"event":"message_moved","request":1,"provider":"provider","operation":"op-0002","message":"b","receives":1,"state":"received"}
            {"at_us":2,"event":"message_moved","request":2,"provider":"provider","operation":"op-0001","message":"a","receives":1,"state":"received"}"#;
        assert_eq!(check(lines), "passed");
    }
}
