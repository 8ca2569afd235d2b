//! `idempotency_key_bound_to_body`: a key stands for one request, not for another.
//!
//! **Invariant:** compares canonical bodies, in which order, white space and what the API calls
//! volatile do not count.

use brownout_provider::document::At;

use super::support::{NoParameters, bare, by_key, keys_are_known, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::{Name, Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "idempotency_key_bound_to_body",
    summary: "The same idempotency key always comes with the same request body.",
    headline: "reused an idempotency key for another request",
    rule: "Two requests to one route with the same key have the same canonical body.",
    exercised_by: "A key that was seen twice.",
    parameters: &[],
    tolerates: "Fields that the API calls volatile; another order of keys, other white space.",
    cure: "Build the body once, with the key, and repeat both as they are; take timestamps and request \
           ids out of the body or make them part of the operation.",
    why: "A provider answers a known key with what it did before: the new wish is refused, or silently \
          dropped.",
    faults: &["reset", "status", "mismatch_accepted", "mismatch_rejected"],
    without_a_fault: "",
    modes: &[],
    example: "idempotency_key_bound_to_body",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, IdempotencyKeyBoundToBody),
};

#[derive(Debug)]
struct IdempotencyKeyBoundToBody;

impl Invariant for IdempotencyKeyBoundToBody {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut requests = by_key(trace, place);
        // Of a body that was never read nobody can say whether it was another.
        requests.retain(|id| !trace.request(*id).body_unread);
        let of_one = |one: &RequestId, other: &RequestId| {
            place(trace.request(*one)) == place(trace.request(*other))
        };
        let twice = || requests.chunk_by(of_one).filter(|group| group.len() > 1);
        let violations = twice().filter_map(|group| violation(trace, group)).collect();
        Judgement::new(twice().count(), violations, "no idempotency key was seen twice")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        keys_are_known(scenario, at, KIND.name);
    }
}

/// Where a key stands for one request: the provider keeps the keys of each tenant apart.
fn place(request: &Request) -> (Name, Option<Name>, Option<Name>, Option<Name>) {
    (request.provider, request.tenant, request.route, request.key)
}

fn violation(trace: &Trace, group: &[RequestId]) -> Option<Violation> {
    let mut requests = group.iter().map(|id| trace.request(*id));
    let first = requests.next()?;
    let other = requests.find(|request| request.canonical != first.canonical)?;
    let message = format!(
        "the idempotency key `{}` came with one body in {} and with another in {}{}",
        trace.text(first.key?),
        trace.request_in_words(first),
        trace.request_in_words(other),
        if first.operation == other.operation {
            String::new()
        } else {
            first
                .operation
                .map_or(String::new(), |one| format!(", first by `{}`", trace.operation_name(one)))
        }
    );
    Some(Violation::new(trace, other.operation?, message, [first.seq, other.seq]))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::verdict;

    fn check(second: &str) -> String {
        let lines = format!(
            r#"{{"at_us":0,"event":"request_received","request":1,"key":"k"}}
            {{"at_us":9,"event":"request_received","request":2,"attempt":2,{second}}}"#
        );
        verdict("idempotency_key_bound_to_body", &Value::Null, &lines)
    }

    #[test]
    fn the_same_key_comes_with_the_same_body() {
        assert_eq!(check(r#""key":"k""#), "passed");
        assert_eq!(check(r#""key":"k","canonical_digest":"another""#), "failed op-0001");
        assert_eq!(check(r#""key":"other","canonical_digest":"another""#), "not exercised");
    }

    #[test]
    fn what_does_not_count_in_a_body_is_not_accused() {
        assert_eq!(check(r#""key":"k","body_digest":"another order of keys""#), "passed");
    }

    #[test]
    fn a_body_that_was_never_read_is_no_other_body() {
        assert_eq!(
            check(r#""key":"k","canonical_digest":"another","body_unread":true"#),
            "not exercised"
        );
    }

    #[test]
    fn routes_and_apis_without_keys_are_not_accused() {
        assert_eq!(
            check(r#""key":"k","keyed":false,"canonical_digest":"another""#),
            "not exercised"
        );
        assert_eq!(
            check(r#""key":"k","route":"capture","canonical_digest":"another""#),
            "not exercised"
        );
    }

    #[test]
    fn tenants_have_keys_of_their_own() {
        assert_eq!(
            check(r#""key":"k","canonical_digest":"another","tenant":"b""#),
            "not exercised"
        );
    }
}
