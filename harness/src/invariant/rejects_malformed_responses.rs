//! `rejects_malformed_responses`: an answer that proves nothing is not taken for success.
//!
//! **Invariant:** what is usable was decided when the answer was sent, by the API's own rules; here it
//! is only asked whether the client had anything better to go by.

use brownout_provider::document::At;
use brownout_provider::event::Class;

use super::support::{
    NoParameters, READS_CLAIMS, bare, cannot, events_of, means, schema, unproven_success,
};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "rejects_malformed_responses",
    summary: "An unusable success answer is not taken for success.",
    headline: "were taken for done on an answer that proved nothing",
    rule: "A claim of `succeeded` for an operation that was answered with an unusable success implies a \
           usable answer for this operation before the claim, or a read that showed its effect.",
    exercised_by: "A success status whose answer is unusable: cut, no JSON, without a field that the API \
                   needs, or with another amount than was asked for.",
    parameters: &[],
    tolerates: "Success through a later good attempt; harmless flaws, such as a wrong media type or a \
                byte order mark; an effect that was confirmed by reading it back, or of which a \
                webhook told.",
    cure: "Parse the body and check the fields that prove the work was done (an id, a status, the amount \
           you asked for) before you report success; treat everything else as unknown.",
    why: "An error page or half an answer that counts as a result is stored, shown and billed like a good \
          one.",
    faults: &[
        "malformed",
        "truncate",
        "clean_cut",
        "wrong_content_length",
        "accept_then_drop",
        "replay_altered",
        "stream",
    ],
    without_a_fault: "",
    modes: &[READS_CLAIMS],
    example: "rejects_malformed_responses",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, RejectsMalformedResponses),
};

#[derive(Debug)]
struct RejectsMalformedResponses;

impl Invariant for RejectsMalformedResponses {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations() {
            let unusable: Vec<RequestId> = trace
                .attempts_of(id)
                .map(|(id, _)| id)
                .filter(|id| is_unusable(trace, *id))
                .collect();
            exercised += usize::from(!unusable.is_empty());
            violations.extend(taken(trace, id, &unusable));
        }
        Judgement::new(exercised, violations, "no unusable success answer was delivered")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !means(scenario).unusable {
            let why = "no rule of this scenario makes an answer unusable";
            cannot(at, KIND.name, why, "inject: {malformed: html_page}");
        }
    }
}

fn is_unusable(trace: &Trace, id: RequestId) -> bool {
    let response = trace.request(id).response;
    response.is_some_and(|one| one.class == Class::Success && one.unusable.is_some())
}

/// The client claimed success and had nothing to go by but unusable answers.
fn taken(trace: &Trace, id: OperationId, unusable: &[RequestId]) -> Option<Violation> {
    let first = *unusable.first()?;
    let claim = unproven_success(trace, id)?;
    let request = trace.request(first);
    let response = request.response?;
    let why = response.unusable.map_or("", |why| trace.text(why));
    let message = format!(
        "the client claimed `succeeded` without a usable answer: the {} to {} is unusable ({why})",
        response.status,
        trace.request_in_words(request)
    );
    let evidence = unusable.iter().flat_map(|id| events_of(trace, *id)).chain([claim.seq]);
    Some(Violation::new(trace, id, message, evidence))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    fn check(lines: &str) -> String {
        verdict("rejects_malformed_responses", &Value::Null, lines)
    }

    const UNUSABLE: &str = r#"{"at_us":1,"event":"request_received","request":1}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":200,"unusable":"no JSON"}"#;
    const SUCCEEDED: &str = r#"{"at_us":90,"event":"operation_finished","claim":"succeeded"}"#;

    #[test]
    fn an_unusable_answer_is_no_success_even_where_the_work_was_done() {
        let lines = format!("{UNUSABLE}\n{SUCCEEDED}");
        assert_eq!(check(&lines), "failed op-0001");
        assert_eq!(
            message("rejects_malformed_responses", &Value::Null, &trace(&lines)),
            "the client claimed `succeeded` without a usable answer: the 200 to attempt 1 of \
             `create_charge` is unusable (no JSON)"
        );
        assert_eq!(
            check(&format!("{UNUSABLE}\n{}", SUCCEEDED.replace("succeeded", "unknown"))),
            "passed"
        );
    }

    #[test]
    fn success_through_a_later_good_attempt_is_not_accused() {
        let good = r#"{"at_us":8,"event":"request_received","request":2,"attempt":2}
            {"at_us":9,"event":"response_sent","request":2,"status":201,"replayed":true,"effects":[1]}"#;
        assert_eq!(check(&format!("{UNUSABLE}\n{good}\n{SUCCEEDED}")), "passed");
        assert_eq!(
            check(&format!(
                "{UNUSABLE}\n{SUCCEEDED}\n{}",
                good.replace(":8,", ":98,").replace(":9,", ":99,")
            )),
            "failed op-0001",
            "what comes after the claim proves nothing"
        );
    }

    #[test]
    fn a_read_proves_success_only_if_it_shows_the_effect() {
        let read = r#"{"at_us":8,"event":"request_received","request":2,"route":"list_charges","method":"GET","unsafe":false}
            {"at_us":9,"event":"response_sent","request":2,"status":200,"effects":[1]}"#;
        assert_eq!(check(&format!("{UNUSABLE}\n{read}\n{SUCCEEDED}")), "passed");
        let empty = read.replace("[1]", "[]");
        assert_eq!(check(&format!("{UNUSABLE}\n{empty}\n{SUCCEEDED}")), "failed op-0001");
    }

    #[test]
    fn an_answer_about_another_operation_proves_nothing() {
        let other = r#"{"at_us":3,"event":"effect_committed","request":9,"effect":2,"operation":"op-0002"}
            {"at_us":8,"event":"request_received","request":2,"attempt":2}
            {"at_us":9,"event":"response_sent","request":2,"status":201,"effects":[2]}"#;
        assert_eq!(check(&format!("{UNUSABLE}\n{other}\n{SUCCEEDED}")), "failed op-0001");
    }

    #[test]
    fn harmless_flaws_exercise_nothing() {
        let usable = UNUSABLE.replace(r#","unusable":"no JSON""#, r#","effects":[1]"#);
        assert_eq!(check(&format!("{usable}\n{SUCCEEDED}")), "not exercised");
    }

    #[test]
    fn a_webhook_that_was_heard_proves_the_work() {
        let lines = |status: u16, sent_us: u64| {
            format!(
                r#"{{"at_us":0,"event":"request_received","request":1}}
                {{"at_us":1,"event":"effect_committed","request":1}}
                {{"at_us":2,"event":"response_sent","request":1,"status":201,"complete":false,"unusable":"cut"}}
                {{"at_us":{sent_us},"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"evt_1","kind":"charge.succeeded","operation":"op-0001"}}
                {{"at_us":{sent_us},"event":"webhook_answered","provider":"provider","delivery":1,"status":{status}}}
                {{"at_us":50,"event":"operation_finished","claim":"succeeded"}}"#
            )
        };
        let check = |status, sent_us| {
            verdict("rejects_malformed_responses", &Value::Null, &lines(status, sent_us))
        };
        assert_eq!(check(200, 20), "passed");
        assert_eq!(check(500, 20), "failed op-0001", "it was not heard");
        assert_eq!(check(200, 60), "failed op-0001", "it came later");
    }
}
