//! `upload_intact`: what was kept of an upload is what was sent.
//!
//! **Invariant:** only the ledger says what was kept, and only the operation's input what the source was.

use brownout_provider::document::At;
use brownout_provider::event::Claim;

use super::support::{NoParameters, READS_CLAIMS, bare, cannot, schema, unclaimed};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::Trace;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "upload_intact",
    summary: "An upload that is reported done is byte for byte what was to be uploaded.",
    headline: "reported a spoilt upload as done",
    rule: "For an operation whose input has a text `content` and which the client claims `succeeded`, there is a live \
           effect with the checksum of that text.",
    exercised_by: "A claim about an operation of which an effect with a checksum stands in the ledger.",
    parameters: &[],
    tolerates: "A spoilt upload beside a good one, and one that is reported failed or unknown.",
    cure: "Compare the checksum in the answer with that of the source before you call it done, and upload again \
           where they differ.",
    why: "A file that was damaged on its way is found out when somebody needs it, and then the source is \
          gone.",
    faults: &["upload", "reset", "status"],
    without_a_fault: "any upload that ends in a claim",
    modes: &[READS_CLAIMS],
    example: "upload_intact",
    bare: true,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, UploadIntact),
};

#[derive(Debug)]
struct UploadIntact;

impl Invariant for UploadIntact {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (id, _) in trace.operations() {
            let Some(source) = trace.source_digest(id) else { continue };
            let source = source.to_string();
            let kept: Vec<(u32, &str)> = trace
                .effects_of(id)
                .filter(|(_, effect)| effect.is_live())
                .filter_map(|(_, effect)| Some((effect.seq, trace.text(effect.digest?))))
                .collect();
            let claims: Vec<_> =
                trace.submits_of(id).filter_map(|(_, submit)| trace.final_claim(submit)).collect();
            if kept.is_empty() || claims.is_empty() {
                continue;
            }
            exercised += 1;
            let claim = claims.iter().find(|claim| claim.claim == Claim::Succeeded);
            if let Some(claim) = claim.filter(|_| kept.iter().all(|(_, digest)| *digest != source))
            {
                let message = "the client claimed `succeeded`, and what was kept is not what was to be uploaded";
                let events = kept.iter().map(|(seq, _)| *seq).chain([claim.seq]);
                violations.push(Violation::new(trace, id, message, events));
            }
        }
        let why_not = "no operation with a claim left anything with a checksum";
        Judgement::new(exercised, violations, unclaimed(trace, why_not))
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let mut routes = scenario.providers.values().flat_map(|provider| &provider.api.routes);
        let keeps =
            routes.any(|route| route.effect.as_ref().is_some_and(|effect| effect.digest.is_some()));
        if !keeps {
            let why = "no effect of this scenario's APIs has a checksum";
            cannot(at, KIND.name, why, "inject: {upload: wrong_checksum}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(lines: &[&str]) -> String {
        verdict("upload_intact", &Value::Null, &lines.join("\n"))
    }

    const ASKED: &str = r#"{"at_us":0,"event":"operation_submitted","input":{"content":"abc"}}
        {"at_us":1,"event":"request_received","request":1}"#;
    /// The first half of the SHA-256 of `abc`.
    const RIGHT: &str = r#"{"at_us":2,"event":"effect_committed","request":1,"digest":"ba7816bf8f01cfea414140de5dae2223"}"#;
    const WRONG: &str = r#"{"at_us":2,"event":"effect_committed","request":1,"effect":2,"digest":"0a7816bf8f01cfea414140de5dae2223"}"#;
    const SUCCEEDED: &str = r#"{"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;
    const UNKNOWN: &str = r#"{"at_us":9,"event":"operation_finished","claim":"unknown"}"#;

    #[test]
    fn what_is_reported_done_is_what_was_to_be_uploaded() {
        assert_eq!(check(&[ASKED, RIGHT, SUCCEEDED]), "passed");
        assert_eq!(check(&[ASKED, WRONG, SUCCEEDED]), "failed op-0001");
        assert_eq!(check(&[ASKED, WRONG, UNKNOWN]), "passed");
        assert_eq!(check(&[ASKED, WRONG, RIGHT, SUCCEEDED]), "passed", "a good one beside it");
    }

    #[test]
    fn without_a_source_or_a_checksum_nothing_is_said() {
        let other = ASKED.replace("content", "name");
        assert_eq!(check(&[&other, WRONG, SUCCEEDED]), "not exercised");
        let plain = r#"{"at_us":2,"event":"effect_committed","request":1}"#;
        assert_eq!(check(&[ASKED, plain, SUCCEEDED]), "not exercised");
        assert_eq!(check(&[ASKED, WRONG]), "not exercised", "nobody claimed anything");
    }
}
