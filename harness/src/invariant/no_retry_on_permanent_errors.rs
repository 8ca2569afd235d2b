//! `no_retry_on_permanent_errors`: what can never work is not tried again.
//!
//! **Invariant:** what is permanent was decided when the answer was sent, by the API's own classes.

use brownout_provider::document::At;
use brownout_provider::event::Class;

use super::support::{NoParameters, bare, events_of, means, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{OperationId, Request, RequestId, Response, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_retry_on_permanent_errors",
    summary: "A request that was permanently refused is not sent again.",
    headline: "were repeated although they could never work",
    rule: "After a complete permanent answer (by the API's classes; a should-retry header outranks them) \
           no attempt of that operation and submit has the same method, path, query, canonical body and \
           credential.",
    exercised_by: "A permanent answer that was delivered whole.",
    parameters: &[],
    tolerates: "A corrected request; another credential after a 401; another idempotency key after a \
                refused one; asking again by a read whether an earlier request has taken effect.",
    cure: "Retry by an allow-list: connection errors, 408, 409, 425, 429 and 5xx; give every other 4xx to \
           the caller at once.",
    example: "no_retry_on_permanent_errors",
    bare: true,
    needs_identity: true,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoRetryOnPermanentErrors),
};

#[derive(Debug)]
struct NoRetryOnPermanentErrors;

impl Invariant for NoRetryOnPermanentErrors {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations() {
            let permanent: Vec<(RequestId, &Request, Response)> = trace
                .attempts_of(operation)
                .filter_map(|(id, request)| Some((id, request, permanent_answer(request)?)))
                .collect();
            exercised += permanent.len();
            let repeated = permanent.iter().find_map(|(id, request, response)| {
                repeat(trace, operation, (*id, request), response)
            });
            violations.extend(repeated);
        }
        Judgement::new(exercised, violations, "no permanent answer was delivered")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if !means(scenario).permanent {
            let why = "no rule of this scenario gives a permanent answer";
            unlikely(at, KIND.name, why, "inject: {status: {code: 400}}");
        }
    }
}

fn permanent_answer(request: &Request) -> Option<Response> {
    request.response.filter(|one| one.complete && one.class == Class::Permanent)
}

fn repeat(
    trace: &Trace,
    operation: OperationId,
    (id, refused): (RequestId, &Request),
    response: &Response,
) -> Option<Violation> {
    let (_, again) = trace.attempts_of(operation).find(|(_, later)| {
        later.at_us >= response.end_at_us
            && later.seq > refused.seq
            && later.submit == refused.submit
            && later.provider == refused.provider
            && later.call == refused.call
            && !(response.refuses_key && later.key != refused.key)
            && !looks_again(trace, operation, refused, response)
    })?;
    let message = format!(
        "{} was answered {}, which is permanent, and was repeated unchanged as attempt {}",
        trace.request_in_words(refused),
        response.status,
        again.attempt
    );
    let evidence = events_of(trace, id).chain([again.seq]);
    Some(Violation::new(trace, operation, message, evidence))
}

/// True for a read that found nothing (yet) of what an earlier unsafe request of the operation may have
/// done: looking again is how a client finds out.
fn looks_again(
    trace: &Trace,
    operation: OperationId,
    refused: &Request,
    response: &Response,
) -> bool {
    !refused.effectful
        && matches!(response.status, 404 | 410)
        && trace.attempts_of(operation).any(|(_, one)| one.effectful && one.at_us <= refused.at_us)
}
