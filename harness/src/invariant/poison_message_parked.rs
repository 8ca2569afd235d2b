//! `poison_message_parked`: a message that always fails ends among the dead letters and holds up nobody.
//!
//! **Invariant:** a message of which it cannot be said that it failed is no poison, and a run that ended too
//! early for the dead letters accuses nobody.

use brownout_provider::document::At;
use brownout_provider::event::MessageState;

use super::support::{NoParameters, bare, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Message, OperationId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "poison_message_parked",
    summary: "A message that cannot be handled ends among the dead letters, and the others do not wait.",
    headline: "were held up or swallowed by a message that cannot be handled",
    rule: "A message all of whose attempts failed is not deleted; and while it is tried again and again, \
           no other message waits in vain until its deadline.",
    exercised_by: "A message that was handed out, has no effect, and cannot be read or had an attempt that \
                   failed.",
    parameters: &[],
    tolerates: "A message that fails for a while and is handled in the end; a run that ends before the \
                message was handed out as often as the queue allows.",
    cure: "Give up on a message that fails by not deleting it, and receive the next one: the queue hands \
           it out again later, and parks it after its last time.",
    example: "poison_message_parked",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, PoisonMessageParked),
};

#[derive(Debug)]
struct PoisonMessageParked;

impl Invariant for PoisonMessageParked {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let poison: Vec<OperationId> =
            trace.operations().map(|(id, _)| id).filter(|id| is_poison(trace, *id)).collect();
        let mut violations: Vec<Violation> =
            poison.iter().filter_map(|id| swallowed(trace, *id)).collect();
        if !poison.is_empty() {
            let all = trace.operations().map(|(id, _)| id);
            violations.extend(all.filter_map(|id| held_up(trace, id, &poison)));
        }
        Judgement::new(poison.len(), violations, "no message failed every time it was handed out")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if scenario.providers.values().all(|provider| provider.api.queue.is_none()) {
            at.error(format!("`{}` needs an API with a queue", KIND.name), |d| {
                d.cure("use an API with a queue, such as `queue`, or leave it out")
            });
        } else if !super::support::means(scenario).failure {
            unlikely(
                at,
                KIND.name,
                "nothing here makes a message fail",
                "inject: {message: poison}",
            );
        }
    }
}

fn of(trace: &Trace, id: OperationId, state: MessageState) -> impl Iterator<Item = &Message> {
    trace.messages_of(id).iter().filter(move |one| one.state == state)
}

/// True when the message was handed out and never handled, because it cannot be read or its attempts
/// failed.
fn is_poison(trace: &Trace, id: OperationId) -> bool {
    if of(trace, id, MessageState::Received).next().is_none()
        || trace.effects_of(id).next().is_some()
    {
        return false;
    }
    let unread = of(trace, id, MessageState::Received).any(|one| one.poisoned);
    let tried = || trace.requests_of(id).filter(|(_, request)| request.effectful);
    let failed =
        tried().next().is_some() && tried().all(|(one, _)| trace.fate(one) != Fate::Usable);
    unread || failed
}

/// A message that nobody handled was deleted: nobody will ever look at it again.
fn swallowed(trace: &Trace, id: OperationId) -> Option<Violation> {
    let deleted = of(trace, id, MessageState::Deleted).next()?;
    let handed_out = of(trace, id, MessageState::Received).map(|one| one.seq);
    let message = format!(
        "expected among the dead letters, found deleted after it was handed out {} and never handled",
        match deleted.receives {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        }
    );
    Some(Violation::new(trace, id, message, handed_out.chain([deleted.seq])))
}

/// A message that waited until its deadline, at least half of that time because its client was busy with
/// poison and asked for nothing else.
fn held_up(trace: &Trace, id: OperationId, poison: &[OperationId]) -> Option<Violation> {
    if !trace.messages_of(id).is_empty() {
        return None;
    }
    let (_, submit) = trace.submits_of(id).next()?;
    let (submit_us, submitted_seq) = submit.submitted.as_ref().map(|one| (one.at_us, one.seq))?;
    let silence = trace.claims(submit).iter().find(|claim| claim.is_late(trace))?;
    // The last message that anybody was handed before this one's time was over.
    let meanwhile = trace.messages().iter().filter(|one| one.seq < silence.seq);
    let received = meanwhile.filter(|one| one.state == MessageState::Received);
    let last = received.max_by_key(|one| one.seq)?;
    let since_us = last.at_us.max(submit_us);
    let waited_us = silence.at_us.saturating_sub(since_us);
    // A client that is only slow is not accused.
    if !poison.contains(&last.operation) || waited_us < silence.at_us.saturating_sub(submit_us) / 2
    {
        return None;
    }
    let message = format!(
        "expected to be handed out by its deadline, found waiting behind the message of {}, which failed \
         again and again",
        trace.operation_name(last.operation)
    );
    Some(Violation::new(trace, id, message, [last.seq, submitted_seq, silence.seq]))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &str) -> String {
        verdict("poison_message_parked", &Value::Null, lines)
    }

    const FAILED: &str = r#"
        {"at_us":0,"event":"operation_submitted"}
        {"at_us":0,"event":"operation_submitted","operation":"op-0002","n":2}
        {"at_us":1,"event":"message_moved","request":1,"provider":"provider","operation":"op-0001","message":"m","receives":1,"state":"received"}
        {"at_us":2,"event":"request_received","request":2}
        {"at_us":3,"event":"response_sent","request":2,"status":400}"#;

    const DEAD: &str = r#"{"at_us":9,"event":"message_moved","request":3,"provider":"provider","operation":"op-0001","message":"m","receives":1,"state":"dead"}"#;

    #[test]
    fn a_message_that_always_fails_belongs_to_the_dead_letters() {
        assert_eq!(check(&format!("{FAILED}\n{DEAD}")), "passed");
        assert_eq!(check(FAILED), "passed", "the run ended too early");
        assert_eq!(
            check(&format!("{FAILED}\n{}", DEAD.replace("dead", "deleted"))),
            "failed op-0001"
        );
    }

    #[test]
    fn what_was_handled_in_the_end_is_no_poison() {
        let handled = r#"{"at_us":5,"event":"request_received","request":4,"attempt":2}
            {"at_us":6,"event":"effect_committed","request":4}"#;
        let deleted = DEAD.replace("dead", "deleted");
        assert_eq!(check(&format!("{FAILED}\n{handled}\n{deleted}")), "not exercised");
    }

    #[test]
    fn a_message_that_cannot_be_read_is_poison() {
        let lines = FAILED.lines().take(4).collect::<Vec<_>>().join("\n");
        assert_eq!(check(&lines), "not exercised");
        assert_eq!(
            check(&lines.replace("\"receives\"", "\"poisoned\":true,\"receives\"")),
            "passed"
        );
    }

    #[test]
    fn a_message_that_waits_behind_poison_until_its_deadline_is_held_up() {
        let silent = r#"{"at_us":30000000,"event":"operation_finished","operation":"op-0002","claim":"unknown","by":"driver","detail":"deadline"}"#;
        assert_eq!(check(&format!("{FAILED}\n{silent}")), "failed op-0002");
        let other = r#"{"at_us":7,"event":"message_moved","request":8,"provider":"provider","operation":"op-0003","message":"o","receives":1,"state":"received"}"#;
        assert_eq!(check(&format!("{FAILED}\n{other}\n{silent}")), "passed", "others were handled");
    }
}
