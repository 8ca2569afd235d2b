//! `no_overlapping_attempts`: two attempts that could both do the work are not in flight together.
//!
//! **Invariant:** one key that the API honours makes any number of attempts one.

use brownout_provider::document::At;
use brownout_provider::units::in_words;

use super::support::{NoParameters, bare, events_of, means, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "no_overlapping_attempts",
    summary: "No two attempts that could both take effect are in flight together.",
    headline: "were attempted twice at the same time",
    rule: "No two attempts of one operation, submit, provider and route with one canonical body are in \
           flight together on a route with an effect, unless one idempotency key that the API honours \
           covers both.",
    exercised_by: "An operation with two attempts on a route with an effect.",
    parameters: &[],
    tolerates: "Hedged requests under one key; an attempt that the client closes within the reaction time \
                (250 ms on the real clock) of the next one's arrival; an attempt whose failure the client \
                knew by its head, though the body was still on its way.",
    cure: "Abort an attempt before you start the next (close its connection; a promise that nobody waits \
           for goes on), run one layer of retries, and give hedged requests one idempotency key.",
    why: "Two attempts at once race each other: without a key both may take effect, and with one the second \
          is refused.",
    faults: &["hang", "latency", "drip", "reset", "status"],
    without_a_fault: "",
    modes: &[],
    example: "no_overlapping_attempts",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<NoParameters>,
    parse: |value, at| bare(value, at, NoOverlappingAttempts),
};

#[derive(Debug)]
struct NoOverlappingAttempts;

impl Invariant for NoOverlappingAttempts {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        for chain in trace.chains() {
            if chain.len() < 2 || !trace.request(chain[0]).effectful {
                continue;
            }
            exercised += 1;
            let mut open: Vec<RequestId> = Vec::new();
            let overlap = chain.iter().find_map(|later| {
                // What is over stays over, so only what is still open is looked at again.
                open.retain(|earlier| in_flight(trace, *earlier, trace.request(*later)));
                let found = open.iter().rev().find_map(|earlier| overlap(trace, *earlier, *later));
                open.push(*later);
                found
            });
            violations.extend(overlap);
        }
        let why_not = "no operation had two attempts on a route with an effect";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let means = means(scenario);
        if !means.failure && !means.hang {
            let why = "nothing in this scenario makes a client send a second attempt";
            unlikely(at, KIND.name, why, "inject: {hang: {at: after_commit}}");
        }
    }
}

/// Two attempts in flight together that no key makes one.
fn overlap(trace: &Trace, earlier: RequestId, later: RequestId) -> Option<Violation> {
    let (first, second) = (trace.request(earlier), trace.request(later));
    let one_key = first.keyed && first.key.is_some() && first.key == second.key;
    if one_key || first.canonical != second.canonical {
        return None;
    }
    let lasted = trace.over_at_us(earlier).map_or("never ended".to_owned(), |over| {
        format!("ended {} later", in_words(over.saturating_sub(second.at_us)))
    });
    let key = match (first.key, second.key) {
        (None, _) | (_, None) => "without an idempotency key",
        _ if first.key == second.key => "with a key that the API does not know",
        _ => "with another idempotency key",
    };
    let message = format!(
        "{} was sent while attempt {} was still in flight ({lasted}), {key}",
        trace.request_in_words(second),
        first.attempt
    );
    let evidence = events_of(trace, earlier).chain(events_of(trace, later));
    Some(Violation::new(trace, second.operation?, message, evidence))
}

/// True when the earlier attempt could still do the work when the later one arrived, and the client had
/// not let go of it.
fn in_flight(trace: &Trace, earlier: RequestId, later: &Request) -> bool {
    // The client knew of a failure by its head, and need not read on.
    if matches!(trace.fate_at(earlier, later.at_us), Some(Fate::Rejected | Fate::PassedOn)) {
        return false;
    }
    let let_go_by = later.at_us.saturating_add(trace.reaction_us());
    let request = trace.request(earlier);
    if let Some(response) = request.response
        && (response.end_at_us <= later.at_us
            || (response.head_at_us <= later.at_us && response.status >= 300))
    {
        return false;
    }
    if let Some(ended) = &request.ended {
        return ended.at_us > let_go_by;
    }
    match request.response {
        Some(response) => response.end_at_us > later.at_us,
        // In a trace that breaks off its end may only be missing.
        None => trace.is_whole() || trace.last_at_us > let_go_by,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::invariant::testing::{message, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace;

    fn pair(first: &str, second: &str, ends: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1{first}}}
            {{"at_us":500000,"event":"request_received","request":2,"attempt":2{second}}}
            {ends}"#
        )
    }

    fn check(first: &str, second: &str, ends: &str) -> String {
        verdict("no_overlapping_attempts", &Value::Null, &pair(first, second, ends))
    }

    const BOTH: &str = r#"{"at_us":900000,"event":"response_sent","request":1,"status":201}
        {"at_us":900000,"event":"response_sent","request":2,"status":201}"#;

    #[test]
    fn two_in_flight_without_one_key_are_accused() {
        assert_eq!(check("", "", BOTH), "failed op-0001");
        assert_eq!(check(r#","key":"a""#, r#","key":"b""#, BOTH), "failed op-0001");
        assert_eq!(
            message("no_overlapping_attempts", &Value::Null, &trace(&pair("", "", BOTH))),
            "attempt 2 of `create_charge` was sent while attempt 1 was still in flight (ended 0.4 s \
             later), without an idempotency key"
        );
    }

    #[test]
    fn hedging_under_a_key_that_the_api_honours_is_not_accused() {
        let key = r#","key":"a""#;
        assert_eq!(check(key, key, BOTH), "passed");
        let unknown = r#","key":"a","keyed":false"#;
        assert_eq!(check(unknown, unknown, BOTH), "failed op-0001", "the API has no keys");
    }

    #[test]
    fn one_after_the_other_passes_and_one_alone_exercises_nothing() {
        let before = r#"{"at_us":400000,"event":"response_sent","request":1,"status":503}"#;
        assert_eq!(check("", "", before), "passed");
        let alone = r#"{"at_us":0,"event":"request_received","request":1}"#;
        assert_eq!(verdict("no_overlapping_attempts", &Value::Null, alone), "not exercised");
        assert_eq!(
            check(r#","unsafe":false"#, r#","unsafe":false"#, BOTH),
            "not exercised",
            "reads"
        );
    }

    #[test]
    fn another_item_is_not_accused() {
        assert_eq!(check("", r#","canonical_digest":"item 2""#, BOTH), "passed");
    }

    #[test]
    fn an_attempt_that_the_client_lets_go_of_in_time_is_not_accused() {
        let closed = |at: u64| {
            let end = format!(r#"{{"at_us":{at},"event":"connection_ended","request":1}}"#);
            verdict_on_real_clock("no_overlapping_attempts", &Value::Null, &pair("", "", &end))
        };
        assert_eq!(closed(750_000), "passed");
        assert_eq!(closed(750_001), "failed op-0001");
    }

    #[test]
    fn a_failure_known_by_its_head_is_over_though_its_body_drips_on() {
        let drips = r#"{"at_us":900000,"event":"response_sent","request":1,"status":429,"head_at_us":400000}"#;
        assert_eq!(check("", "", drips), "passed");
        let success = drips.replace("429", "200");
        assert_eq!(check("", "", &success), "failed op-0001");
    }

    #[test]
    fn a_trace_that_breaks_off_proves_no_overlap() {
        let cut = r#"{"at_us":500001,"event":"run_finished","reason":"interrupted"}"#;
        assert_eq!(
            verdict_on_real_clock("no_overlapping_attempts", &Value::Null, &pair("", "", cut)),
            "passed"
        );
    }
}
