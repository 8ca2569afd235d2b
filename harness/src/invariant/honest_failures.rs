//! `honest_failures`: a client that cannot know whether something was done does not say that it was not.
//!
//! **Invariant:** `unknown` is always honest.

use brownout_provider::document::At;
use brownout_provider::event::{Claim, Class, MessageState};

use super::support::{
    NoParameters, READS_CLAIMS, bare, events_of, means, schema, unclaimed, unlikely,
};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{ClaimMade, Effect, EffectId, Request, RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "honest_failures",
    summary: "What the client reports as failed was not done after all.",
    headline: "were reported failed and were done",
    rule: "A claim of `failed` after an attempt that ended ambiguously (no answer, a cut one, an unusable \
           success, 408, 409 in progress, 425, 5xx) implies that no effect of the submit is live at the \
           end of the run; and no claim of `failed` follows a whole success that told of the effect, where the \
           operation has no further steps and all of it was done. `unknown` is always honest.",
    exercised_by: "An effect whose success answer never arrived whole, or that was told and is claimed `failed`.",
    parameters: &[],
    tolerates: "The last complete answer of the same route was a definite rejection, or a later read of what that \
                route makes showed no effect; the effect came from a gateway's repeat of the request; the client undid the effect; the \
                operation was a message that the queue put with the dead letters.",
    cure: "After a time-out, a lost connection or a 5xx say `unknown`, not `failed`; or find out first, by \
           reading back or by repeating the request with its idempotency key.",
    why: "Whoever hears that it failed does it again by another way, and then it is done twice; a parcel \
          that is on its way is reported as lost.",
    faults: &["reset", "hang", "drip", "truncate", "status", "slow_commit"],
    without_a_fault: "",
    modes: &[READS_CLAIMS],
    example: "honest_failures",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, HonestFailures),
};

#[derive(Debug)]
struct HonestFailures;

impl Invariant for HonestFailures {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (_, submit) in trace.submits() {
            let unheard: Vec<(EffectId, &Effect)> = trace
                .effects_of(submit.operation)
                .filter(|(_, effect)| effect.submit == submit.number)
                .filter(|(_, effect)| effect.by.is_client() && !effect.told)
                .collect();
            let claim =
                trace.final_claim(submit).filter(|claim| !is_of_the_dead(trace, submit, claim));
            exercised += usize::from(!unheard.is_empty() && claim.is_some());
            let Some(claim) = claim.filter(|claim| claim.claim == Claim::Failed) else { continue };
            // Another submit may have done what this one is held to.
            if trace.has_unnamed_submits(submit.operation) {
                continue;
            }
            if let Some(told) = told(trace, submit, claim) {
                exercised += usize::from(unheard.is_empty());
                violations.push(told);
                continue;
            }
            let live =
                unheard.iter().find(|(_, one)| one.is_live() && trace.is_settled(one.operation));
            violations.extend(live.and_then(|(_, one)| lie(trace, submit, claim, one)));
        }
        let why_not =
            "every effect of an operation with a claim was told to the client by a whole answer";
        Judgement::new(exercised, violations, unclaimed(trace, why_not))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.lost_answer && !means.hang && !means.unusable {
            let why = "no rule of this scenario loses an answer after the commit";
            unlikely(at, KIND.name, why, "inject: {reset: {at: after_commit}}");
        }
    }
}

/// True when the message that the submit was had been put with the dead letters by then: that it failed is
/// what the queue says, and nobody asked the client.
fn is_of_the_dead(trace: &Trace, submit: &Submit, claim: &ClaimMade) -> bool {
    trace.messages_of(submit.operation).iter().any(|one| {
        (one.submit, one.state) == (submit.number, MessageState::Dead) && one.seq <= claim.seq
    })
}

/// The client said `failed` right after it had been told that all of it was done, and it is.
fn told(trace: &Trace, submit: &Submit, claim: &ClaimMade) -> Option<Violation> {
    let is_part = trace.steps().next().is_some() || trace.submits_of(submit.operation).count() > 1;
    if is_part || !trace.is_settled(submit.operation) || !trace.is_done(submit.operation) {
        return None;
    }
    let says = |(id, one): &(RequestId, &Request)| {
        one.at_us <= claim.at_us && (one.effectful || trace.told_by(*id).next().is_some())
    };
    let (last, request) = trace.attempts_of(submit.operation).rfind(says)?;
    let (effect_id, effect) = trace
        .effects_of(submit.operation)
        .find(|(_, one)| one.by.is_client() && one.told && one.is_live())?;
    let is_told = trace.fate_at(last, claim.at_us) == Some(Fate::Usable)
        && (request.effectful || trace.told_by(last).any(|told| told == effect_id));
    let message = format!(
        "the client claimed `failed` although {} was answered with a whole {}, and a `{}` of it is live at the end \
         of the run",
        trace.request_in_words(request),
        request.response.filter(|_| is_told)?.status,
        trace.text(effect.kind)
    );
    let evidence = events_of(trace, last).chain([effect.seq, claim.seq]);
    Some(Violation::new(trace, submit.operation, message, evidence))
}

/// The client said `failed`, could not know it, and an effect is live.
fn lie(trace: &Trace, submit: &Submit, claim: &ClaimMade, effect: &Effect) -> Option<Violation> {
    let speaks = |(id, one): &(RequestId, &Request)| {
        one.submit == submit.number
            && one.at_us <= claim.at_us
            && (effect.request == Some(*id) || trace.speaks_of(*id, effect))
    };
    let (last, _) = trace.attempts_of(submit.operation).rfind(speaks)?;
    if !is_doubtful(trace, last, claim) {
        return None;
    }
    let message = format!(
        "the client claimed `failed` after {} ended {}, and a `{}` of it is live at the end of the run",
        trace.request_in_words(trace.request(last)),
        end_in_words(trace, last),
        trace.text(effect.kind)
    );
    let evidence = events_of(trace, last).chain([effect.seq, claim.seq]);
    Some(Violation::new(trace, submit.operation, message, evidence))
}

/// True when the end of this attempt left open whether the work was done.
fn is_doubtful(trace: &Trace, last: RequestId, claim: &ClaimMade) -> bool {
    match trace.fate_at(last, claim.at_us) {
        None | Some(Fate::Ambiguous) => true,
        // A read that showed no effect is as good as a rejection; what an unsafe request was told is
        // never unheard.
        Some(Fate::Usable | Fate::PassedOn | Fate::Rejected) => false,
    }
}

fn end_in_words(trace: &Trace, id: RequestId) -> String {
    match trace.request(id).response {
        None => "without an answer".to_owned(),
        Some(one) if !one.complete => format!("with a {} that was cut", one.status),
        Some(one) if one.class == Class::Success => format!("with an unusable {}", one.status),
        Some(one) => format!("with {}", one.status),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, verdict};
    use crate::trace::testing::trace_with;

    fn check(lines: &str) -> String {
        verdict("honest_failures", &Value::Null, lines)
    }

    const LOST: &str = r#"{"at_us":1,"event":"request_received","request":1}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":2,"event":"connection_ended","request":1,"by":"provider","how":"rst"}"#;
    const FAILED: &str = r#"{"at_us":90,"event":"operation_finished","claim":"failed"}"#;

    #[test]
    fn failed_is_a_lie_where_nobody_can_know_and_the_work_was_done() {
        assert_eq!(check(&format!("{LOST}\n{FAILED}")), "failed op-0001");
        assert_eq!(check(&format!("{LOST}\n{}", FAILED.replace("failed", "unknown"))), "passed");
        let committed_later = r#"{"at_us":1,"event":"request_received","request":1}
            {"at_us":60,"event":"connection_ended","request":1}
            {"at_us":90,"event":"operation_finished","claim":"failed"}
            {"at_us":99,"event":"effect_committed","request":1}"#;
        assert_eq!(
            check(committed_later),
            "failed op-0001",
            "a slow provider charges all the same"
        );
    }

    #[test]
    fn an_effect_whose_answer_arrived_exercises_nothing() {
        let heard = LOST
            .replace("connection_ended", "response_sent")
            .replace(r#""by":"provider","how":"rst""#, r#""effects":[1]"#);
        let succeeded = FAILED.replace("failed", "succeeded");
        assert_eq!(check(&format!("{heard}\n{succeeded}")), "not exercised");
        let nothing = LOST.replace("effect_committed", "rate_limited");
        assert_eq!(check(&format!("{nothing}\n{FAILED}")), "not exercised");
    }

    #[test]
    fn what_was_told_to_be_done_has_not_failed() {
        let heard = LOST
            .replace("connection_ended", "response_sent")
            .replace(r#""by":"provider","how":"rst""#, r#""effects":[1]"#);
        assert_eq!(check(&format!("{heard}\n{FAILED}")), "failed op-0001");
        let undone = r#"{"at_us":80,"event":"effect_reversed","request":1}"#;
        assert_eq!(check(&format!("{heard}\n{undone}\n{FAILED}")), "not exercised");
        let refused = r#"{"at_us":8,"event":"request_received","request":2,"attempt":2}
            {"at_us":9,"event":"response_sent","request":2,"status":402}"#;
        assert_eq!(check(&format!("{heard}\n{refused}\n{FAILED}")), "not exercised");
    }

    #[test]
    fn a_definite_rejection_as_the_last_answer_is_not_accused() {
        let rejected = r#"{"at_us":8,"event":"request_received","request":2,"attempt":2}
            {"at_us":9,"event":"response_sent","request":2,"status":402}"#;
        assert_eq!(check(&format!("{LOST}\n{rejected}\n{FAILED}")), "passed");
        let open = rejected.replace("402", "503");
        assert_eq!(check(&format!("{LOST}\n{open}\n{FAILED}")), "failed op-0001");
    }

    #[test]
    fn a_read_that_showed_no_effect_is_not_accused() {
        let read = r#"{"at_us":8,"event":"request_received","request":2,"route":"list_charges","unsafe":false}
            {"at_us":9,"event":"response_sent","request":2,"status":200}"#;
        assert_eq!(check(&format!("{LOST}\n{read}\n{FAILED}")), "passed");
    }

    #[test]
    fn what_cannot_know_of_the_effect_clears_nobody() {
        let routes = json!([
            {"name": "create_charge", "creates": {"collection": "charges", "id": {"random": 24}}},
            {"name": "list_charges", "lists": {"collection": "charges"}},
            {"name": "get_charge", "reads": {"collection": "charges"}},
            {"name": "list_orders", "lists": {"collection": "orders"}},
        ]);
        let judged = |route: &str, status: u16, more: &str| {
            let lines = format!(
                r#"{LOST}
                {{"at_us":8,"event":"request_received","request":2,"route":"{route}","unsafe":{}{more}}}
                {{"at_us":9,"event":"response_sent","request":2,"status":{status}}}
                {FAILED}"#,
                route == "refuse_charge" || route == "create_charge"
            );
            let run = json!({"apis": {"payments": {"routes": routes}}});
            in_short(&invariant("honest_failures", &Value::Null).check(&trace_with(&run, &lines)))
        };
        assert_eq!(judged("list_charges", 200, ""), "passed");
        assert_eq!(judged("list_charges", 503, ""), "failed op-0001", "it told nothing");
        assert_eq!(judged("get_charge", 200, ""), "passed");
        assert_eq!(judged("get_charge", 404, ""), "failed op-0001", "nobody was told an id");
        assert_eq!(judged("list_orders", 200, ""), "failed op-0001");
        assert_eq!(judged("get_limits", 200, ""), "failed op-0001");
        assert_eq!(judged("create_charge", 402, ""), "passed");
        assert_eq!(judged("refuse_charge", 402, ""), "failed op-0001");
        let backup = r#","provider":"backup""#;
        assert_eq!(judged("create_charge", 402, backup), "failed op-0001", "the backup refused");
    }

    #[test]
    fn who_read_that_it_was_done_has_not_failed() {
        let read = r#"{"at_us":8,"event":"request_received","request":2,"route":"list_charges","unsafe":false}
            {"at_us":9,"event":"response_sent","request":2,"status":200,"effects":[1]}"#;
        assert_eq!(check(&format!("{LOST}\n{read}\n{FAILED}")), "failed op-0001");
    }

    #[test]
    fn what_the_queue_gave_up_is_no_word_of_the_client() {
        let dead = r#"{"at_us":80,"event":"message_moved","request":9,"provider":"provider","operation":"op-0001","message":"m","receives":5,"state":"dead"}"#;
        assert_eq!(check(&format!("{LOST}\n{dead}\n{FAILED}")), "not exercised");
        let received = dead.replace("dead", "received");
        assert_eq!(check(&format!("{LOST}\n{received}\n{FAILED}")), "failed op-0001");
    }

    #[test]
    fn the_effect_of_a_gateways_repeat_is_not_accused() {
        let lines = r#"{"at_us":1,"event":"request_received","request":1}
            {"at_us":2,"event":"response_sent","request":1,"status":503}
            {"at_us":3,"event":"request_received","request":2,"by":"provider"}
            {"at_us":95,"event":"effect_committed","request":2,"by":"provider"}"#;
        assert_eq!(check(&format!("{lines}\n{FAILED}")), "not exercised");
    }

    #[test]
    fn a_client_that_compensated_is_not_accused() {
        let undone = r#"{"at_us":8,"event":"request_received","request":2,"route":"refund_charge","unsafe":false}
            {"at_us":8,"event":"effect_reversed","request":2}
            {"at_us":9,"event":"connection_ended","request":2}"#;
        assert_eq!(check(&format!("{LOST}\n{undone}\n{FAILED}")), "passed");
    }
}
