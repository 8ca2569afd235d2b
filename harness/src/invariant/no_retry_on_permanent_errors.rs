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
                refused one; asking again by a read whether an earlier request has taken effect; a repeat by a \
                client that was started anew in between, or that was asked for, or given, the same work once more.",
    cure: "Retry by an allow-list: connection errors, 408, 409, 425, 429 and 5xx; give every other 4xx to \
           the caller at once.",
    why: "What was refused for good is refused each time: the repeats cost time and limit, and hide the \
          mistake from whoever could mend it.",
    faults: &["permanent_error", "status", "deprecated", "replay_error"],
    without_a_fault: "",
    modes: &[],
    example: "no_retry_on_permanent_errors",
    bare: true,
    needs_identity: true,
    needs_separation: false,
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
            && (later.call == refused.call || is_borrowed(later, refused))
            && !(response.refuses_key && later.key != refused.key)
            && !trace.was_asked_again(operation, refused.at_us, later.at_us)
            && !trace.was_given_again(operation, refused.seq, later.seq)
            && !trace.restarted_between(operation, refused.at_us, later.at_us)
            && !looks_again(trace, operation, refused, response)
    })?;
    let how = match again.tenant.filter(|_| is_borrowed(again, refused)) {
        Some(tenant) => format!("with the key of `{}`", trace.text(tenant)),
        None => "unchanged".to_owned(),
    };
    let message = format!(
        "{} was answered {}, which is permanent, and was repeated {how} as attempt {}",
        trace.request_in_words(refused),
        response.status,
        again.attempt
    );
    let evidence = events_of(trace, id).chain([again.seq]);
    Some(Violation::new(trace, operation, message, evidence))
}

/// True for the same thing asked for with the key of another tenant, which is no key that was renewed.
fn is_borrowed(later: &Request, refused: &Request) -> bool {
    later.route == refused.route
        && later.canonical == refused.canonical
        && later.tenant.is_some()
        && later.tenant != refused.tenant
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, verdict};
    use crate::trace::testing::trace_with;

    fn check(answer: &str, then: &str) -> String {
        let lines = format!(
            r#"{{"at_us":1,"event":"request_received","request":1,"key":"k"}}
            {{"at_us":2,"event":"response_sent","request":1,{answer}}}
            {{"at_us":90,"event":"request_received","request":2,"attempt":2,"key":"k"{then}}}"#
        );
        verdict("no_retry_on_permanent_errors", &Value::Null, &lines)
    }

    #[test]
    fn the_same_again_after_a_permanent_answer_is_accused() {
        assert_eq!(check(r#""status":400"#, ""), "failed op-0001");
        assert_eq!(check(r#""status":503"#, ""), "not exercised");
        assert_eq!(check(r#""status":400,"complete":false"#, ""), "not exercised", "it was cut");
    }

    #[test]
    fn what_a_queue_hands_out_again_is_no_retry() {
        let moved = r#"{"at_us":50,"event":"message_moved","request":9,"provider":"provider","operation":"op-0001","message":"m","receives":2,"state":"received"}"#;
        let lines = |between: &str| {
            format!(
                r#"{{"at_us":1,"event":"request_received","request":1,"key":"k"}}
                {{"at_us":2,"event":"response_sent","request":1,"status":422}}
                {between}
                {{"at_us":90,"event":"request_received","request":2,"attempt":2,"key":"k"}}"#
            )
        };
        let check = |between| {
            let scenario = json!({"workload": {"deliver": {"queue": "messages"}}});
            let trace = trace_with(&json!({"scenario": scenario}), &lines(between));
            in_short(&invariant("no_retry_on_permanent_errors", &Value::Null).check(&trace))
        };
        assert_eq!((check(""), check(moved)), ("failed op-0001".to_owned(), "passed".to_owned()));
    }

    #[test]
    fn who_was_restarted_knows_of_no_answer() {
        let lines = |at_us: u32| {
            format!(
                r#"{{"at_us":0,"event":"client_started","client":1,"pid":1}}
                {{"at_us":{at_us},"event":"client_started","client":1,"pid":2}}
                {{"at_us":1,"event":"request_received","request":1,"key":"k"}}
                {{"at_us":2,"event":"response_sent","request":1,"status":402}}
                {{"at_us":90,"event":"request_received","request":2,"attempt":2,"key":"k"}}"#
            )
        };
        let check = |at_us| verdict("no_retry_on_permanent_errors", &Value::Null, &lines(at_us));
        assert_eq!(check(50), "passed");
        assert_eq!(check(95), "failed op-0001", "it was restarted afterwards");
    }

    #[test]
    fn the_apis_class_outranks_the_status() {
        assert_eq!(check(r#""status":429,"class":"permanent""#, ""), "failed op-0001");
        assert_eq!(
            check(r#""status":400,"class":"transient","should_retry":true"#, ""),
            "not exercised"
        );
    }

    #[test]
    fn another_request_is_not_accused() {
        assert_eq!(check(r#""status":400"#, r#","canonical_digest":"mended""#), "passed");
        assert_eq!(check(r#""status":404"#, r#","path":"/v2/charges""#), "passed");
        assert_eq!(check(r#""status":401"#, r#","auth_digest":"fresh token""#), "passed");
        assert_eq!(check(r#""status":400"#, r#","submit":2"#), "passed");
    }

    #[test]
    fn the_key_of_another_tenant_is_no_renewed_one() {
        let borrowed = r#","auth_digest":"another's key","tenant":"a""#;
        assert_eq!(check(r#""status":401"#, borrowed), "failed op-0001");
    }

    #[test]
    fn a_new_key_after_a_refused_one_is_not_accused() {
        let refused = r#""status":422,"refuses_key":true"#;
        assert_eq!(check(refused, r#","key":"new""#), "passed");
        assert_eq!(check(refused, ""), "failed op-0001");
    }

    #[test]
    fn looking_again_whether_it_was_done_is_not_accused() {
        let lines = r#"{"at_us":1,"event":"request_received","request":1}
            {"at_us":2,"event":"connection_ended","request":1}
            {"at_us":3,"event":"request_received","request":2,"route":"get_charge","method":"GET","unsafe":false}
            {"at_us":4,"event":"response_sent","request":2,"status":404}
            {"at_us":90,"event":"request_received","request":3,"route":"get_charge","method":"GET","unsafe":false}"#;
        assert_eq!(verdict("no_retry_on_permanent_errors", &Value::Null, lines), "passed");
        let forbidden = lines.replace("404", "403");
        assert_eq!(
            verdict("no_retry_on_permanent_errors", &Value::Null, &forbidden),
            "failed op-0001"
        );
    }
}
