//! `poison_message_parked`: a message that always fails ends among the dead letters and holds up nobody.
//!
//! **Invariant:** a message of which it cannot be said that it failed is no poison, and a run that ended too
//! early for the dead letters accuses nobody.

use brownout_provider::document::At;
use brownout_provider::event::MessageState;

use super::message_handled_once::needs_queue;
use super::support::{NEEDS_WORKER, NoParameters, bare, schema, unlikely};
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
           no other message waits in vain until its deadline, or dies untried because it was handed out \
           together with it.",
    exercised_by: "A message that was handed out, has no effect, and cannot be read or had an attempt that \
                   failed.",
    parameters: &[],
    tolerates: "A message that fails for a while and is handled in the end; a run that ends before the \
                message was handed out as often as the queue allows.",
    cure: "Give up on a message that fails by not deleting it, and receive the next one: the queue hands \
           it out again later, and parks it after its last time.",
    why: "One message that nobody can handle keeps a worker busy for ever, and what lies behind it waits.",
    faults: &["message", "permanent_error", "status"],
    without_a_fault: "",
    modes: &[NEEDS_WORKER],
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
            let busy = Busy::with(trace, &poison);
            let others =
                || trace.operations().map(|(id, _)| id).filter(|id| is_untried(trace, *id));
            violations.extend(others().filter_map(|id| held_up(trace, id, &busy)));
            violations.extend(others().filter_map(|id| dragged_along(trace, id, &busy)));
        }
        Judgement::new(poison.len(), violations, "no message failed every time it was handed out")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if needs_queue(KIND.name, scenario, at) && !super::support::means(scenario).failure {
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
        crate::amount::times(u64::from(deleted.receives))
    );
    Some(Violation::new(trace, id, message, handed_out.chain([deleted.seq])))
}

/// What the client was handed, and what it did beside poison.
struct Busy {
    /// The messages handed out, in order.
    handed_out: Vec<Message>,
    /// Those of them that are poison.
    poison: Vec<Message>,
    /// By the event of each request for something else: until when it and all before it were going on.
    free: Vec<(u32, u64)>,
}

impl Busy {
    fn with(trace: &Trace, poison: &[OperationId]) -> Self {
        let received = trace.messages().iter().filter(|one| one.state == MessageState::Received);
        let mut handed_out: Vec<Message> = received.copied().collect();
        handed_out.sort_unstable_by_key(|one| one.seq);
        let is_poison = |one: &&Message| poison.contains(&one.operation);
        let own = handed_out.iter().filter(is_poison).copied().collect();
        let asked = trace.requests().filter(|(_, request)| {
            request.by.is_client() && request.operation.is_none_or(|id| !poison.contains(&id))
        });
        let free = asked.scan(0, |latest_us: &mut u64, (id, request)| {
            *latest_us = trace.over_at_us(id).unwrap_or(u64::MAX).max(*latest_us);
            Some((request.seq, *latest_us))
        });
        Self { free: free.collect(), handed_out, poison: own }
    }

    /// Since when the client had done nothing but what it does with poison, at this event: the poison that it was
    /// handed last, by itself or among others, and the time.
    fn since(&self, seq: u32) -> Option<(&Message, u64)> {
        let last =
            self.handed_out[..self.handed_out.partition_point(|one| one.seq < seq)].last()?;
        let free = self.free[..self.free.partition_point(|(one, _)| *one < seq)].last();
        let free_us = free.map_or(0, |(_, until_us)| *until_us);
        Some((self.together_with(last)?, last.at_us.max(free_us)))
    }

    /// The poison that was handed out together with a message.
    fn together_with(&self, message: &Message) -> Option<&Message> {
        let at = self.poison.partition_point(|one| one.at_us < message.at_us);
        self.poison.get(at).filter(|one| one.at_us == message.at_us)
    }
}

/// True for a message that was neither deleted nor ever tried.
fn is_untried(trace: &Trace, id: OperationId) -> bool {
    let is_tried = trace.attempts_of(id).next().is_some();
    !is_tried
        && of(trace, id, MessageState::Deleted).next().is_none()
        && !of(trace, id, MessageState::Received).any(|one| one.poisoned)
}

/// A message that waited until its deadline, at least half of that time because its client was busy with
/// poison and did nothing else, whether or not it had been handed out by then.
fn held_up(trace: &Trace, id: OperationId, busy: &Busy) -> Option<Violation> {
    let (_, submit) = trace.submits_of(id).next()?;
    let (submit_us, submitted_seq) = submit.submitted.as_ref().map(|one| (one.at_us, one.seq))?;
    let silence = trace.claims(submit).iter().find(|claim| claim.is_late(trace))?;
    let (last, since_us) = busy.since(silence.seq)?;
    let waited_us = silence.at_us.saturating_sub(since_us.max(submit_us));
    // A client that is only slow is not accused.
    if waited_us < silence.at_us.saturating_sub(submit_us) / 2 {
        return None;
    }
    let handed_out = of(trace, id, MessageState::Received).map(|one| one.seq);
    let message = format!(
        "expected to be handled by its deadline, found waiting behind the message of {}, which failed \
         again and again",
        trace.operation_name(last.operation)
    );
    let evidence = handed_out.chain([last.seq, submitted_seq, silence.seq]);
    Some(Violation::new(trace, id, message, evidence))
}

/// A message that lies with the dead letters and was never tried, because each time that it was handed out it came
/// together with poison.
fn dragged_along(trace: &Trace, id: OperationId, busy: &Busy) -> Option<Violation> {
    let dead = of(trace, id, MessageState::Dead).next()?;
    // Whoever was killed may have had no time for it.
    if trace.client_ends().iter().any(|end| end.at_us < dead.at_us) {
        return None;
    }
    let received = || of(trace, id, MessageState::Received);
    let behind: Vec<&Message> = received().map_while(|one| busy.together_with(one)).collect();
    let last = behind.last().filter(|_| behind.len() == received().count())?;
    let message = format!(
        "expected to be tried, found with the dead letters untried: it was handed out {} together with the \
         message of {}, which failed",
        times(behind.len()),
        trace.operation_name(last.operation)
    );
    let evidence = received().map(|one| one.seq).chain([last.seq, dead.seq]);
    Some(Violation::new(trace, id, message, evidence))
}

/// So many times, in words.
fn times(count: usize) -> String {
    crate::amount::times(u64::try_from(count).unwrap_or(u64::MAX))
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
        let batch = r#"{"at_us":1,"event":"message_moved","request":1,"provider":"provider","operation":"op-0002","message":"n","receives":1,"state":"received"}"#;
        assert_eq!(check(&format!("{FAILED}\n{batch}\n{silent}")), "failed op-0002", "in a batch");
        let tried = r#"{"at_us":8,"event":"request_received","request":9,"operation":"op-0002"}"#;
        assert_eq!(
            check(&format!("{FAILED}\n{batch}\n{tried}\n{silent}")),
            "passed",
            "it was tried"
        );
        let looks =
            r#"{"at_us":29000000,"event":"request_received","request":9,"operation":"messages"}"#;
        assert_eq!(check(&format!("{FAILED}\n{looks}\n{silent}")), "passed", "it looks for more");
    }

    #[test]
    fn a_message_that_dies_untried_because_it_came_together_with_poison_is_accused() {
        let moved = |at_us: u32, operation: &str, state: &str| {
            format!(
                r#"{{"at_us":{at_us},"event":"message_moved","request":1,"provider":"provider","operation":"{operation}","message":"{operation}","receives":1,"state":"{state}"}}"#
            )
        };
        let lines = [
            FAILED.to_owned(),
            moved(1, "op-0002", "received"),
            moved(5, "op-0001", "received"),
            moved(5, "op-0002", "received"),
            moved(9, "op-0002", "dead"),
        ];
        assert_eq!(check(&lines.join("\n")), "failed op-0002");
        let alone = lines.join("\n").replace(&moved(5, "op-0001", "received"), "");
        assert_eq!(check(&alone), "passed", "once it came alone");
    }
}
