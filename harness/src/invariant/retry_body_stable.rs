//! `retry_body_stable`: what is tried again is the same request.
//!
//! **Invariant:** compares canonical bodies, so that white space, the order of fields, and fields that the
//! API calls volatile make no difference.

use std::collections::BTreeMap;

use brownout_provider::document::At;
use brownout_provider::event::Digest16;

use super::support::{NoParameters, bare, events_of, needs_failure, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Name, OperationId, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "retry_body_stable",
    summary: "All attempts of an operation ask for the same thing.",
    headline: "changed what they asked for between attempts",
    rule: "The attempts of one operation, provider and route with an effect have the same canonical body, \
           over all submits with one input, until one of them is answered with success or refused for \
           good.",
    exercised_by: "Two attempts or submits of one operation on a route with an effect, the first of which \
                   was not answered with success.",
    parameters: &[],
    tolerates: "Fields that the API calls volatile; the order of fields; a request that was mended after a \
                permanent answer; operations over several items, whose requests may each hold others; pieces of a \
                file.",
    cure: "Render the body once, before the first attempt, and send the same bytes again: times, counters \
           and random ids that are made in the loop turn a repeat into another request.",
    why: "A repeat with another body is another request: the provider refuses the key, or does something \
          else than was asked for.",
    faults: &["reset", "hang", "truncate", "close", "status"],
    without_a_fault: "two submits of one operation (`submits: 2`)",
    modes: &[],
    example: "retry_body_stable",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, RetryBodyStable),
};

#[derive(Debug)]
struct RetryBodyStable;

/// What shares one body: provider, route, and the input (of a submit that was asked for).
type Place = (Name, Name, Option<Digest16>);

impl Invariant for RetryBodyStable {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for (operation, _) in trace.operations().filter(|(id, _)| !has_items(trace, *id)) {
            let inputs = inputs(trace, operation);
            let mut latest = BTreeMap::<Place, RequestId>::new();
            let mut changed = None;
            for (id, request) in trace.attempts_of(operation) {
                let Some(route) = request.route.filter(|_| request.effectful) else { continue };
                // The pieces of a file differ.
                if request.body_unread || trace.takes_pieces(route) {
                    continue;
                }
                let input = inputs.get(&request.submit).copied().flatten();
                let place = (request.provider, route, input);
                if let Some(before) = latest.insert(place, id)
                    && is_open(trace, before, request.at_us)
                {
                    exercised += 1;
                    if trace.request(before).canonical != request.canonical {
                        changed = changed.or(Some((before, id)));
                    }
                }
            }
            violations.extend(changed.map(|(before, id)| violation(trace, operation, before, id)));
        }
        let why_not = "no operation was attempted again on a route with an effect";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_failure(scenario, at, KIND.name);
    }
}

/// True for an operation over several items: its requests may differ.
fn has_items(trace: &Trace, id: OperationId) -> bool {
    trace.effects_of(id).any(|(_, effect)| effect.subject.is_some())
        || trace.items(id).is_some_and(|items| items > 1)
}

/// The inputs of the submits, as digests.
fn inputs(trace: &Trace, id: OperationId) -> BTreeMap<u32, Option<Digest16>> {
    let of = |text: &str| Digest16::of(text.as_bytes());
    trace
        .submits_of(id)
        .map(|(_, submit)| {
            let input = submit.submitted.as_ref().map(|submitted| of(submitted.input_text()));
            (submit.number, input)
        })
        .collect()
}

/// True while nobody had answered the attempt with success or refused it for good.
fn is_open(trace: &Trace, id: RequestId, at_us: u64) -> bool {
    let permanent = trace.request(id).response.is_some_and(|response| {
        response.complete && response.class == brownout_provider::event::Class::Permanent
    });
    match trace.fate_at(id, at_us) {
        None | Some(Fate::Ambiguous | Fate::Rejected) => !permanent,
        Some(Fate::Usable | Fate::PassedOn) => false,
    }
}

fn violation(trace: &Trace, operation: OperationId, before: RequestId, id: RequestId) -> Violation {
    let message = format!(
        "expected {} to ask for the same thing as attempt {} before it, found another body",
        trace.request_in_words(trace.request(id)),
        trace.request(before).attempt
    );
    let evidence = events_of(trace, before).chain([trace.request(id).seq]);
    Violation::new(trace, operation, message, evidence)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message, verdict};
    use crate::trace::testing::{trace, trace_with};

    const NAME: &str = "retry_body_stable";

    fn lines(end: &str, next: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1}}
            {{"at_us":10,{end}}}
            {{"at_us":1010,"event":"request_received","request":2,"attempt":2{next}}}"#
        )
    }

    fn check(end: &str, next: &str) -> String {
        verdict(NAME, &Value::Null, &lines(end, next))
    }

    const BUSY: &str = r#""event":"response_sent","request":1,"status":503"#;
    const OTHER: &str = r#","canonical_digest":"other""#;

    #[test]
    fn another_body_in_a_retry_is_accused() {
        assert_eq!(check(BUSY, ""), "passed");
        assert_eq!(check(BUSY, OTHER), "failed op-0001");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&lines(BUSY, OTHER))),
            "expected attempt 2 of `create_charge` to ask for the same thing as attempt 1 before it, found \
             another body"
        );
        let other_bytes = r#","body_digest":"other""#;
        assert_eq!(check(BUSY, other_bytes), "passed", "volatile fields and the order of fields");
    }

    #[test]
    fn what_is_no_repeat_may_differ() {
        let success = BUSY.replace("503", "201");
        assert_eq!(check(&success, OTHER), "not exercised");
        let mended = BUSY.replace("503", "400");
        assert_eq!(check(&mended, OTHER), "not exercised");
        assert_eq!(check(BUSY, &format!(r#"{OTHER},"unsafe":false"#)), "not exercised", "a read");
        assert_eq!(check(BUSY, &format!(r#"{OTHER},"provider":"backup""#)), "not exercised");
        assert_eq!(check(BUSY, &format!(r#"{OTHER},"body_unread":true"#)), "not exercised");
    }

    #[test]
    fn a_second_submit_with_the_same_input_is_a_repeat() {
        let second = format!(r#","submit":2{OTHER}"#);
        assert_eq!(check(BUSY, &second), "failed op-0001");
        let submits = r#"{"at_us":0,"event":"operation_submitted","input":{"click":1}}
            {"at_us":0,"event":"operation_submitted","submit":2,"input":{"click":2}}"#;
        let lines = format!("{submits}\n{}", lines(BUSY, &second));
        assert_eq!(verdict(NAME, &Value::Null, &lines), "not exercised");
    }

    #[test]
    fn the_items_of_a_batch_may_differ() {
        let batch = r#"{"at_us":0,"event":"operation_submitted","input":{"lines":[1,2]}}"#;
        let lines = format!("{batch}\n{}", lines(BUSY, OTHER));
        assert_eq!(verdict(NAME, &Value::Null, &lines), "not exercised");
    }

    #[test]
    fn the_pieces_of_a_file_differ() {
        let check = |route: &Value| {
            let apis = json!({"provider": {"routes": [route]}});
            let trace = trace_with(&json!({"apis": apis}), &lines(BUSY, OTHER));
            in_short(&invariant(NAME, &Value::Null).check(&trace))
        };
        assert_eq!(check(&json!({"name": "create_charge", "upload": {}})), "not exercised");
        assert_eq!(check(&json!({"name": "create_charge"})), "failed op-0001");
    }
}
