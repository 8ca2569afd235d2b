//! `resumes_upload`: an upload that was interrupted goes on where it stopped.
//!
//! **Invariant:** what counts is what the client sent, whether or not the provider kept it.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{cannot, events_of, few_of, means, schema, takes_pieces, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::grouped;
use crate::scenario::Scenario;
use crate::trace::{OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "resumes_upload",
    summary: "An upload that was interrupted goes on where it stopped, and does not begin anew.",
    headline: "sent their file again from its beginning",
    rule: "Over all pieces that an operation sends, the bytes are at most `max_resent` percent of the size of \
           its file.",
    exercised_by: "An upload with a piece that a fault struck, or whose answer never came.",
    parameters: &[(
        "max_resent",
        "bytes sent for each hundred that are needed, 100 to 10000; default 200",
    )],
    tolerates: "Pieces that are sent again because they were lost, and questions how much is there.",
    cure: "Ask how much is there (`Content-Range: bytes */SIZE`, or the API's own way), and send what is missing.",
    example: "resumes_upload: {max_resent: 150}",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResumesUpload")]
struct Raw {
    /// Bytes sent for each hundred that are needed; 200 unless said.
    #[schemars(range(min = 100, max = 10_000))]
    max_resent: Option<u32>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(ResumesUpload { percent: u64::from(raw.max_resent.unwrap_or(200)) }))
}

#[derive(Debug)]
struct ResumesUpload {
    percent: u64,
}

impl Invariant for ResumesUpload {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut sizes: BTreeMap<OperationId, u64> = BTreeMap::new();
        for piece in trace.pieces() {
            if let (Some(id), Some(size)) = (trace.request(piece.request).operation, piece.size) {
                let known = sizes.entry(id).or_default();
                *known = size.max(*known);
            }
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, size) in sizes {
            let sent: Vec<RequestId> = trace
                .attempts_of(id)
                .filter(|(_, request)| request.route.is_some_and(|route| trace.takes_pieces(route)))
                .map(|(id, _)| id)
                .collect();
            let was_interrupted = sent.iter().any(|id| {
                trace.request(*id).response.is_none() || !trace.strikes_at(*id).is_empty()
            });
            exercised += usize::from(was_interrupted);
            violations.extend(self.too_much(trace, id, (&sent, size)).filter(|_| was_interrupted));
        }
        Judgement::new(exercised, violations, "no upload was interrupted")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !takes_pieces(scenario) {
            let why = "no API of this scenario takes files in pieces";
            cannot(at, KIND.name, why, "inject: {upload: lost_chunk}");
        } else if !means(scenario).strikes {
            let why = "no rule of this scenario injects a fault";
            unlikely(at, KIND.name, why, "inject: {upload: lost_chunk}");
        }
    }
}

impl ResumesUpload {
    fn too_much(
        &self,
        trace: &Trace,
        id: OperationId,
        (sent, size): (&[RequestId], u64),
    ) -> Option<Violation> {
        let bytes: u64 = sent.iter().map(|id| u64::from(trace.request(*id).body_bytes)).sum();
        if bytes.saturating_mul(100) <= size.saturating_mul(self.percent) {
            return None;
        }
        let message = format!(
            "expected at most {} % of a file of {} bytes to be sent, found {} bytes",
            self.percent,
            grouped(i64::try_from(size).unwrap_or(i64::MAX)),
            grouped(i64::try_from(bytes).unwrap_or(i64::MAX))
        );
        let events = few_of(sent.iter().flat_map(|id| events_of(trace, *id)));
        Some(Violation::new(trace, id, message, events))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::Trace;
    use crate::trace::testing::trace_with;

    const NAME: &str = "resumes_upload";

    /// An upload of 1,000 bytes in pieces of these sizes; the second is struck.
    fn sent(sizes: &[u64]) -> String {
        let mut lines = Vec::new();
        for (number, size) in (1..).zip(sizes) {
            lines.push(format!(
                r#"{{"at_us":{number}0,"event":"request_received","request":{number},"attempt":{number},"route":"upload_chunk","method":"PUT","body_bytes":{size}}}
                {{"at_us":{number}1,"event":"upload_piece","request":{number},"stored":{size},"size":1000}}
                "#
            ));
            if number == 2 {
                lines.push("{\"at_us\":22,\"event\":\"fault_injected\",\"request\":2,\"fault\":\"upload\"}".to_owned());
            }
        }
        lines.join("\n")
    }

    fn judged(parameters: &Value, lines: &str) -> (String, Trace) {
        let routes = json!({"provider": {"routes": [{"name": "upload_chunk", "upload": {}}]}});
        let trace = trace_with(&json!({"apis": routes}), lines);
        let judgement = crate::invariant::testing::invariant(NAME, parameters).check(&trace);
        (crate::invariant::testing::in_short(&judgement), trace)
    }

    #[test]
    fn beginning_anew_is_accused_and_going_on_is_not() {
        let check = |parameters: &Value, sizes: &[u64]| judged(parameters, &sent(sizes)).0;
        assert_eq!(check(&Value::Null, &[500, 500, 500]), "passed");
        assert_eq!(check(&Value::Null, &[500, 500, 500, 500]), "passed");
        assert_eq!(check(&Value::Null, &[900, 900, 900]), "failed op-0001");
        assert_eq!(check(&json!({"max_resent": 150}), &[500, 500, 500, 500]), "failed op-0001");
        assert_eq!(check(&json!({"max_resent": 150}), &[500, 500, 500, 0]), "passed");
        let (_, trace) = judged(&Value::Null, &sent(&[900, 900, 900]));
        assert_eq!(
            message(NAME, &Value::Null, &trace),
            "expected at most 200 % of a file of 1,000 bytes to be sent, found 2,700 bytes"
        );
    }

    #[test]
    fn an_upload_that_nothing_interrupts_exercises_nothing() {
        let calm = sent(&[500])
            .replace("attempt", "ignored_attempt")
            .replace("\"ignored_attempt\":1,", "");
        let answered = format!("{calm}\n{}", r#"{"at_us":12,"event":"response_sent","request":1}"#);
        assert_eq!(judged(&Value::Null, &answered).0, "not exercised");
        assert_eq!(verdict(NAME, &Value::Null, ""), "not exercised");
    }
}
