//! `resumes_upload`: an upload that was interrupted goes on where it stopped.
//!
//! **Invariant:** a byte counts as sent again only if the provider had it, in an upload that could go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::Class;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{cannot, events_of, few_of, means, schema, takes_pieces, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::grouped;
use crate::scenario::Scenario;
use crate::trace::{Name, OperationId, PieceSeen, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "resumes_upload",
    summary: "An upload that was interrupted goes on where it stopped, and does not begin anew.",
    headline: "sent their file again from its beginning",
    rule: "The size of a file, and the bytes of it that an operation sends although the provider said that it \
           has them, are together at most `max_resent` percent of that size. Who begins an upload anew sends \
           again what the one before holds, unless that one expired, was refused, or kept something else \
           than was sent.",
    exercised_by: "An upload with a piece that a fault struck, or whose answer never came.",
    parameters: &[(
        "max_resent",
        "bytes sent for each hundred that are needed, 100 to 10000; default 200",
    )],
    tolerates: "Pieces that are sent again because the provider kept nothing of them, and questions how much is \
                there.",
    cure: "Ask how much is there (`Content-Range: bytes */SIZE`, or the API's own way), and send what is missing.",
    why: "An upload that starts from the beginning each time never ends on a bad line, and all that traffic \
          is paid for.",
    faults: &["upload", "reset", "status"],
    without_a_fault: "",
    modes: &[],
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

/// A request to a route that takes pieces, and the piece, if the provider looked at it.
type Sent<'a> = (RequestId, Option<&'a PieceSeen>);

impl Invariant for ResumesUpload {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut sizes: BTreeMap<OperationId, u64> = BTreeMap::new();
        let mut pieces: BTreeMap<RequestId, &PieceSeen> = BTreeMap::new();
        for piece in trace.pieces() {
            pieces.insert(piece.request, piece);
            if let (Some(id), Some(size)) = (trace.request(piece.request).operation, piece.size) {
                let known = sizes.entry(id).or_default();
                *known = size.max(*known);
            }
        }
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, size) in sizes {
            let sent: Vec<Sent<'_>> = trace
                .attempts_of(id)
                .filter(|(_, request)| request.route.is_some_and(|route| trace.takes_pieces(route)))
                .map(|(id, _)| (id, pieces.get(&id).copied()))
                .collect();
            let was_interrupted = sent.iter().any(|(id, _)| {
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
        (sent, size): (&[Sent<'_>], u64),
    ) -> Option<Violation> {
        let again = sent_again(trace, sent);
        if size.saturating_add(again).saturating_mul(100) <= size.saturating_mul(self.percent) {
            return None;
        }
        let message = format!(
            "expected at most {} % of a file of {} bytes to be sent, found {} bytes that were sent again",
            self.percent,
            grouped(i64::try_from(size).unwrap_or(i64::MAX)),
            grouped(i64::try_from(again).unwrap_or(i64::MAX))
        );
        let events = few_of(sent.iter().flat_map(|(id, _)| events_of(trace, *id)));
        Some(Violation::new(trace, id, message, events))
    }
}

/// What is known of the uploads of an operation, each by its provider and its id.
#[derive(Default)]
struct Uploads {
    /// How many bytes were said to be there.
    stored: BTreeMap<(Name, Name), u64>,
    /// Those of which the provider spoilt something.
    struck: BTreeSet<(Name, Name)>,
    /// Those that nobody need go on with.
    spent: BTreeSet<(Name, Name)>,
}

impl Uploads {
    /// How many bytes of its file the provider has, for a piece of this upload.
    fn held(&self, of: (Name, Name)) -> u64 {
        let counts =
            |other: &(Name, Name)| *other == of || (other.0 == of.0 && !self.spent.contains(other));
        let held = self.stored.iter().filter(|(other, _)| counts(other)).map(|(_, bytes)| *bytes);
        held.max().unwrap_or(0)
    }

    fn note(&mut self, of: (Name, Name), piece: &PieceSeen) {
        match piece.stored {
            Some(bytes) => {
                self.stored.insert(of, bytes);
                // What became another file than was sent has to be sent anew.
                if piece.whole && self.struck.contains(&of) {
                    self.spent.insert(of);
                }
            }
            None => {
                self.spent.insert(of);
            }
        }
    }
}

/// How many bytes were sent although the provider had them.
fn sent_again(trace: &Trace, sent: &[Sent<'_>]) -> u64 {
    let mut uploads = Uploads::default();
    let mut again: u64 = 0;
    for (id, piece) in sent {
        let request = trace.request(*id);
        let Some(piece) = piece else {
            // Whoever is refused for good before the piece is looked at may take its upload for lost.
            if request.response.is_some_and(|response| response.class == Class::Permanent) {
                uploads.spent.extend(uploads.stored.keys().copied());
            }
            continue;
        };
        let of = (request.provider, piece.upload);
        if let Some(from) = piece.from {
            let end = from.saturating_add(u64::from(request.body_bytes));
            again = again.saturating_add(uploads.held(of).min(end).saturating_sub(from));
        }
        if trace.strikes_at(*id).iter().any(|one| trace.text(one.fault) == "upload") {
            uploads.struck.insert(of);
        }
        uploads.note(of, piece);
    }
    again
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::Trace;
    use crate::trace::testing::trace_with;

    const NAME: &str = "resumes_upload";

    /// Pieces of a file of 1,000 bytes: the upload of each, its first byte, its length, and how many bytes are
    /// there then (none for a piece that is refused).
    type Pieces<'a> = &'a [(u8, u64, u64, Option<u64>)];

    /// The second piece is struck.
    fn sent(pieces: Pieces<'_>) -> String {
        let mut lines = Vec::new();
        for (number, (upload, from, bytes, stored)) in (1..).zip(pieces) {
            let stored = json!(stored);
            let whole = stored == 1000;
            lines.push(format!(
                r#"{{"at_us":{number}0,"event":"request_received","request":{number},"attempt":{number},"route":"upload_chunk","method":"PUT","body_bytes":{bytes}}}
                {{"at_us":{number}1,"event":"upload_piece","request":{number},"upload":"upl_{upload}","from":{from},"stored":{stored},"size":1000,"whole":{whole}}}
                "#
            ));
            if number == 2 {
                lines.push(
                    "{\"at_us\":22,\"event\":\"fault_injected\",\"request\":2,\"fault\":\"FAULT\"}"
                        .to_owned(),
                );
            }
        }
        lines.join("\n").replace("FAULT", "reset")
    }

    fn judged(parameters: &Value, lines: &str) -> (String, Trace) {
        let routes = json!({"provider": {"routes": [{"name": "upload_chunk", "upload": {}}]}});
        let trace = trace_with(&json!({"apis": routes}), lines);
        let judgement = crate::invariant::testing::invariant(NAME, parameters).check(&trace);
        (crate::invariant::testing::in_short(&judgement), trace)
    }

    /// Begins anew after 600 bytes, twice.
    const ANEW: Pieces<'_> = &[
        (1, 0, 600, Some(600)),
        (2, 0, 600, Some(600)),
        (3, 0, 600, Some(600)),
        (3, 600, 400, Some(1000)),
    ];

    #[test]
    fn beginning_anew_is_accused_and_going_on_is_not() {
        let check = |parameters: &Value, pieces| judged(parameters, &sent(pieces)).0;
        let on: Pieces<'_> = &[(1, 0, 500, Some(500)), (1, 500, 500, Some(1000))];
        assert_eq!(check(&json!({"max_resent": 100}), on), "passed");
        assert_eq!(check(&Value::Null, ANEW), "failed op-0001");
        assert_eq!(check(&json!({"max_resent": 220}), ANEW), "passed");
        let same: Pieces<'_> =
            &[(1, 0, 500, Some(500)), (1, 0, 500, Some(500)), (1, 400, 600, Some(1000))];
        assert_eq!(check(&json!({"max_resent": 160}), same), "passed");
        assert_eq!(check(&json!({"max_resent": 159}), same), "failed op-0001");
        let (_, trace) = judged(&Value::Null, &sent(ANEW));
        assert_eq!(
            message(NAME, &Value::Null, &trace),
            "expected at most 200 % of a file of 1,000 bytes to be sent, found 1,200 bytes that were sent again"
        );
    }

    #[test]
    fn what_the_provider_threw_away_may_be_sent_again() {
        let strict = json!({"max_resent": 100});
        let lost: Pieces<'_> =
            &[(1, 0, 1000, Some(0)), (1, 0, 1000, Some(0)), (1, 0, 1000, Some(1000))];
        assert_eq!(judged(&strict, &sent(lost)).0, "passed");
        let whole: Pieces<'_> = &[(1, 0, 1000, Some(1000)), (1, 0, 1000, Some(1000))];
        let busy =
            sent(whole).replace("upload_piece\",\"request\":1", "upload_piece\",\"request\":9");
        assert_eq!(judged(&strict, &busy).0, "passed", "nobody looked at the first");
        assert_eq!(judged(&strict, &sent(whole)).0, "failed op-0001");
    }

    #[test]
    fn an_upload_that_cannot_go_on_may_be_begun_anew() {
        let strict = json!({"max_resent": 100});
        let expired: Pieces<'_> =
            &[(1, 0, 500, Some(500)), (1, 500, 500, None), (2, 0, 1000, Some(1000))];
        assert_eq!(judged(&strict, &sent(expired)).0, "passed");
        let wrong: Pieces<'_> =
            &[(1, 0, 500, Some(500)), (1, 500, 500, Some(1000)), (2, 0, 1000, Some(1000))];
        assert_eq!(judged(&strict, &sent(wrong)).0, "failed op-0001");
        let spoilt = sent(wrong).replace("\"fault\":\"reset\"", "\"fault\":\"upload\"");
        assert_eq!(judged(&strict, &spoilt).0, "passed");
    }

    #[test]
    fn an_upload_that_nothing_interrupts_exercises_nothing() {
        let calm = sent(&[(1, 0, 500, Some(500))])
            .replace("attempt", "ignored_attempt")
            .replace("\"ignored_attempt\":1,", "");
        let answered = format!("{calm}\n{}", r#"{"at_us":12,"event":"response_sent","request":1}"#);
        assert_eq!(judged(&Value::Null, &answered).0, "not exercised");
        assert_eq!(verdict(NAME, &Value::Null, ""), "not exercised");
    }
}
