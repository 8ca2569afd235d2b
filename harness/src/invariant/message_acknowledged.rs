//! `message_acknowledged`: a message whose work is done is deleted.
//!
//! **Invariant:** whoever asked for the delete is not accused, whatever came of it, nor who was killed before it
//! could.

use brownout_provider::document::At;
use brownout_provider::event::MessageState;
use brownout_provider::units::in_words;

use super::message_handled_once::needs_queue;
use super::support::{NEEDS_WORKER, NoParameters, bare, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "message_acknowledged",
    summary: "A message whose work is done is deleted, so that it does not come back.",
    headline: "were done and never acknowledged",
    rule: "After the client was answered that the work of a message is done (the last of its steps, if it has \
           several), it asks for the message to be deleted before it comes back, dies, or its time is over.",
    exercised_by: "A message whose work the client was told to be done.",
    parameters: &[],
    tolerates: "A delete that failed or was too late; a client that was killed, or stood still, before it could \
                ask; a message that came back at once.",
    cure: "Delete a message when its work is done, with the receipt of the time that it was handed out: what \
           is not deleted is handed out again and again, and ends among the dead letters.",
    why: "A message that is done and not deleted comes back for ever; one that is deleted before it is done \
          is lost with the worker.",
    faults: &["message", "kill_client", "reset"],
    without_a_fault: "any message",
    modes: &[NEEDS_WORKER],
    example: "message_acknowledged",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, MessageAcknowledged),
};

#[derive(Debug)]
struct MessageAcknowledged;

impl Invariant for MessageAcknowledged {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let done = trace.operations().filter_map(|(id, _)| Some((id, told(trace, id)?)));
        let done: Vec<(OperationId, RequestId)> = done.collect();
        let violations = done.iter().filter_map(|(id, told)| forgotten(trace, *id, *told));
        Judgement::new(done.len(), violations.collect(), "no work of a message was seen to be done")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_queue(KIND.name, scenario, at);
    }
}

/// The request by whose answer the client knows that the work of a message is done: the last that it sent before the
/// message came back, or at all. What takes several steps is not done with the first.
fn told(trace: &Trace, id: OperationId) -> Option<RequestId> {
    let received = trace.messages_of(id).iter().filter(|one| one.state == MessageState::Received);
    let received: Vec<u32> = received.map(|one| one.seq).collect();
    let mut ends = received.iter().skip(1).copied().chain([u32::MAX]);
    received.iter().find_map(|from| {
        let to = ends.next()?;
        let is_of_this_time = |one: &Request| (*from..to).contains(&one.seq);
        let mut asked =
            trace.attempts_of(id).filter(|(_, one)| one.effectful && is_of_this_time(one));
        asked.next_back().map(|(last, _)| last).filter(|last| trace.confirms(*last))
    })
}

/// A message whose work is done, and that came to an end without anybody asking for it to be deleted.
fn forgotten(trace: &Trace, id: OperationId, told: RequestId) -> Option<Violation> {
    let (told_us, seq) = trace.request(told).response.map(|one| (one.end_at_us, one.seq))?;
    let is_asked_for = trace
        .requests_of(id)
        .any(|(_, request)| request.removes && request.seq > trace.request(told).seq);
    let messages = trace.messages_of(id);
    if is_asked_for || messages.iter().any(|one| one.state == MessageState::Deleted) {
        return None;
    }
    let moved = messages.iter().filter(|one| one.seq > seq).map(|one| {
        let how = if one.state == MessageState::Dead {
            "with the dead letters"
        } else {
            "handed out again"
        };
        (one.at_us, one.seq, how)
    });
    let claims = trace.submits_of(id).flat_map(|(_, submit)| trace.claims(submit));
    let late =
        claims.filter(|claim| claim.is_late(trace)).map(|one| (one.at_us, one.seq, "not deleted"));
    let enough_us = told_us.saturating_add(trace.upper_slack_us());
    let (at_us, end, how) = moved.chain(late).filter(|(at_us, ..)| *at_us >= enough_us).min()?;
    let is_killed = trace.client_ends().iter().any(|one| (told_us..=at_us).contains(&one.at_us));
    if is_killed || trace.paused_between(id, told_us, at_us) > 0 {
        return None;
    }
    let message = format!(
        "expected to be deleted when its work was known to be done, found {how} after {} and never deleted",
        in_words(at_us.saturating_sub(told_us))
    );
    Some(Violation::new(trace, id, message, [trace.request(told).seq, seq, end]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant};
    use crate::trace::testing::trace_with;

    const DONE: &str = r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":1,"event":"message_moved","request":1,"provider":"provider","operation":"op-0001","message":"m","receives":1,"state":"received"}
        {"at_us":2,"event":"request_received","request":2}
        {"at_us":3,"event":"effect_committed","request":2}
        {"at_us":4,"event":"response_sent","request":2,"status":201,"effects":[1]}"#;

    const AGAIN: &str = r#"{"at_us":9,"event":"message_moved","request":3,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received"}"#;

    const DELETE: &str = r#"{"at_us":5,"event":"request_received","request":5,"route":"delete_message","unsafe":false}"#;

    fn check(lines: &str) -> String {
        let routes = json!([{"name": "delete_message", "removes": {"collection": "messages"}}]);
        let trace = trace_with(&json!({"apis": {"payments": {"routes": routes}}}), lines);
        in_short(&invariant("message_acknowledged", &Value::Null).check(&trace))
    }

    #[test]
    fn a_message_that_is_done_and_comes_back_undeleted_is_accused() {
        assert_eq!(check(&format!("{DONE}\n{AGAIN}")), "failed op-0001");
        let dead = AGAIN.replace("received", "dead");
        assert_eq!(check(&format!("{DONE}\n{dead}")), "failed op-0001");
        let late = r#"{"at_us":9,"event":"operation_finished","claim":"unknown","by":"driver","detail":"deadline"}"#;
        assert_eq!(check(&format!("{DONE}\n{late}")), "failed op-0001");
    }

    #[test]
    fn work_of_several_steps_is_done_with_the_last() {
        let second = |status: u16| {
            format!(
                r#"{DONE}
                {{"at_us":5,"event":"request_received","request":4,"route":"create_refund"}}
                {{"at_us":6,"event":"response_sent","request":4,"status":{status},"effects":[]}}
                {AGAIN}"#
            )
        };
        assert_eq!(check(&second(422)), "not exercised");
        assert_eq!(check(&second(201)), "failed op-0001");
        let next = r#"{"at_us":10,"event":"request_received","request":6}
            {"at_us":11,"event":"response_sent","request":6,"status":500}"#;
        assert_eq!(
            check(&format!("{DONE}\n{AGAIN}\n{next}")),
            "failed op-0001",
            "it was done before"
        );
    }

    #[test]
    fn who_asks_for_the_delete_or_was_killed_before_it_is_right() {
        assert_eq!(check(&format!("{DONE}\n{DELETE}\n{AGAIN}")), "passed");
        assert_eq!(check(DONE), "passed", "the run was over");
        let killed = r#"{"at_us":6,"event":"client_ended","signal":9,"killed":true}"#;
        assert_eq!(check(&format!("{DONE}\n{killed}\n{AGAIN}")), "passed");
    }

    #[test]
    fn a_message_whose_work_failed_exercises_nothing() {
        let failed = DONE.replace(r#""status":201,"effects":[1]"#, r#""status":500"#);
        assert_eq!(check(&format!("{failed}\n{AGAIN}")), "not exercised");
    }
}
