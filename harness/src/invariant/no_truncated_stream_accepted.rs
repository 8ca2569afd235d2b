//! `no_truncated_stream_accepted`: a stream that broke off is no answer.
//!
//! **Invariant:** what was delivered was judged when it was sent, from the bytes that went onto the wire.

use brownout_provider::document::At;
use brownout_provider::fault::Ending;
use brownout_provider::stream::Kind;

use super::support::{
    NoParameters, READS_CLAIMS, bare, cannot, endings, events_of, schema, unclaimed,
    unproven_success,
};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_truncated_stream_accepted",
    summary: "A stream that ended without its last event is not taken for an answer.",
    headline: "took half an answer for a whole one",
    rule: "A claim of `succeeded` does not rest on a stream that ended without its terminator (`[DONE]`, \
           `message_stop`), or broke off. Who leaves it by himself may do so when it has said why it finished.",
    exercised_by: "A stream that ended early, in an operation with a claim.",
    parameters: &[],
    tolerates: "Success through a later good attempt; a stream that is whole and was closed rudely; a client that \
                hangs up after the finish reason.",
    cure: "Count a stream as done only when its last event came, or when you left it after its finish reason; the \
           end of the connection looks the same to most loops over events, so look for both in the loop.",
    why: "Half a text looks like a whole one: nothing says that the end is missing, and it is stored and \
          shown as complete.",
    faults: &["stream"],
    without_a_fault: "",
    modes: &[READS_CLAIMS],
    example: "no_truncated_stream_accepted",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoTruncatedStreamAccepted),
};

#[derive(Debug)]
struct NoTruncatedStreamAccepted;

impl Invariant for NoTruncatedStreamAccepted {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations() {
            let cut: Vec<RequestId> = trace
                .attempts_of(id)
                .map(|(id, _)| id)
                .filter(|id| trace.is_truncated_stream(*id))
                .collect();
            let is_claimed =
                trace.submits_of(id).any(|(_, submit)| trace.final_claim(submit).is_some());
            exercised += usize::from(!cut.is_empty() && is_claimed);
            violations.extend(taken(trace, id, &cut));
        }
        let why_not = "no stream ended early";
        Judgement::new(exercised, violations, unclaimed(trace, why_not))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let cuts = endings(scenario).iter().any(|ending| match ending {
            Ending::Stream(how) => matches!(how.kind, Kind::Cut | Kind::NoTerminator | Kind::Stall),
            Ending::Cut { after_bytes, .. } => after_bytes.is_some(),
            Ending::Misframed { .. } => true,
            Ending::Answer(_)
            | Ending::InFlight { .. }
            | Ending::Malformed(_)
            | Ending::Interim(_)
            | Ending::Hang
            | Ending::Accepted
            | Ending::GoAway(_)
            | Ending::CloseIdle => false,
        });
        if !cuts {
            let why = "no rule of this scenario cuts a stream";
            cannot(at, KIND.name, why, "inject: {stream: no_terminator}");
        }
    }
}

fn taken(trace: &Trace, id: OperationId, cut: &[RequestId]) -> Option<Violation> {
    let first = *cut.first()?;
    let claim = unproven_success(trace, id)?;
    let why = trace.request(first).response.and_then(|response| response.unusable);
    let message = format!(
        "the client claimed `succeeded` and had only half an answer to {}: {}",
        trace.request_in_words(trace.request(first)),
        why.map_or("it broke off", |why| trace.text(why))
    );
    let evidence = cut.iter().flat_map(|id| events_of(trace, *id)).chain([claim.seq]);
    Some(Violation::new(trace, id, message, evidence))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "no_truncated_stream_accepted";
    const CUT: &str = r#"{"at_us":1,"event":"request_received","request":1}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":200,"unusable":"the stream ended after 3 events, without the last one"}"#;
    const SUCCEEDED: &str = r#"{"at_us":90,"event":"operation_finished","claim":"succeeded"}"#;

    fn check(lines: &str) -> String {
        verdict(NAME, &Value::Null, lines)
    }

    #[test]
    fn half_a_stream_is_no_success() {
        assert_eq!(check(&format!("{CUT}\n{SUCCEEDED}")), "failed op-0001");
        assert_eq!(
            check(&format!("{CUT}\n{}", SUCCEEDED.replace("succeeded", "failed"))),
            "passed"
        );
        assert_eq!(
            message(NAME, &Value::Null, &trace(&format!("{CUT}\n{SUCCEEDED}"))),
            "the client claimed `succeeded` and had only half an answer to attempt 1 of `create_charge`: the \
             stream ended after 3 events, without the last one"
        );
    }

    #[test]
    fn a_later_whole_answer_clears_it() {
        let again = r#"{"at_us":9,"event":"request_received","request":2,"attempt":2}
            {"at_us":9,"event":"effect_committed","request":2,"effect":2}
            {"at_us":10,"event":"response_sent","request":2,"status":200,"effects":[2]}"#;
        assert_eq!(check(&format!("{CUT}\n{again}\n{SUCCEEDED}")), "passed");
    }

    #[test]
    fn another_flaw_exercises_nothing() {
        let other = CUT.replace("the stream ended after 3 events, without the last one", "no JSON");
        assert_eq!(check(&format!("{other}\n{SUCCEEDED}")), "not exercised");
        assert_eq!(check(CUT), "not exercised", "nobody claimed anything");
    }
}
