//! `no_overlapping_attempts`: two attempts that could both do the work are not in flight together.
//!
//! **Invariant:** one key that the API honours makes any number of attempts one.

use brownout_provider::document::At;

use super::support::{NoParameters, bare, events_of, means, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::{Fate, in_words};
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
    example: "no_overlapping_attempts",
    bare: true,
    needs_identity: true,
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
            let overlap = (1..chain.len()).find_map(|later| {
                let earlier = chain[..later].iter().rev();
                earlier.copied().find_map(|earlier| overlap(trace, earlier, chain[later]))
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

fn overlap(trace: &Trace, earlier: RequestId, later: RequestId) -> Option<Violation> {
    let (first, second) = (trace.request(earlier), trace.request(later));
    let one_key = first.keyed && first.key.is_some() && first.key == second.key;
    if one_key || first.canonical != second.canonical || !in_flight(trace, earlier, second) {
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
    if let Some(ended) = request.ended {
        return ended.at_us > let_go_by;
    }
    match request.response {
        Some(response) => response.end_at_us > later.at_us,
        // In a trace that breaks off its end may only be missing.
        None => trace.is_whole() || trace.last_at_us > let_go_by,
    }
}
