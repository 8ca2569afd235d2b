//! `nothing_after_claim`: when the client has given its answer, it stops.
//!
//! **Invariant:** only the client's own final claim ends an operation; a deadline that the driver
//! enforced does not.

use brownout_provider::document::At;
use brownout_provider::event::Claim;

use super::support::{NoParameters, bare, means, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::in_words;
use crate::trace::{Request, RequestId, Submit, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "nothing_after_claim",
    summary: "After its final claim the client sends nothing more that could do the work.",
    headline: "went on after they had been reported as over",
    rule: "No unsafe attempt of an operation and submit, other than one that undoes something, arrives \
           more than the reaction time (250 ms on the real clock, 0 in virtual time) after the client's \
           own final claim about that submit.",
    exercised_by: "A claim of `failed`.",
    parameters: &[],
    tolerates: "Reads; refunds and the like; a repeat that the HTTP stack made by itself; whatever \
                follows an `unknown`, which may still be cleared up.",
    cure: "Cancel what is in flight and every scheduled retry before you report an outcome: a time-out \
           around a retry loop must end the loop, not only the wait for it.",
    example: "nothing_after_claim",
    bare: true,
    needs_identity: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NothingAfterClaim),
};

#[derive(Debug)]
struct NothingAfterClaim;

impl Invariant for NothingAfterClaim {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (_, submit) in trace.submits() {
            let Some(claim) = trace.final_claim(submit) else { continue };
            exercised += usize::from(claim.claim == Claim::Failed);
            if claim.claim == Claim::Unknown {
                continue;
            }
            let late: Vec<&Request> = trace
                .attempts_of(submit.operation)
                .filter(|(id, request)| counts(trace, submit, *id, request))
                .filter(|(_, request)| {
                    request.at_us > claim.at_us.saturating_add(trace.reaction_us())
                })
                .map(|(_, request)| request)
                .collect();
            if let Some(first) = late.first() {
                let claimed = if claim.claim == Claim::Failed { "failed" } else { "succeeded" };
                let message = format!(
                    "the client claimed `{claimed}` and sent {} {} later",
                    trace.request_in_words(first),
                    in_words(first.at_us.saturating_sub(claim.at_us))
                );
                let evidence = late.iter().map(|request| request.seq).chain([claim.seq]);
                violations.push(Violation::new(trace, submit.operation, message, evidence));
            }
        }
        Judgement::new(exercised, violations, "the client claimed no operation as failed")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.failure && !means.hang {
            let why = "no rule of this scenario makes an operation fail";
            unlikely(at, KIND.name, why, "inject: {hang: {at: before_commit}}");
        }
    }
}

fn counts(trace: &Trace, submit: &Submit, id: RequestId, request: &Request) -> bool {
    request.submit == submit.number
        && request.effectful
        && !trace.is_transport_repeat(id)
        && !request.route.is_some_and(|route| trace.is_reversal(route))
}
