//! `max_in_flight`: no more requests at once than were agreed on.
//!
//! **Invariant:** a request is counted from its arrival to the first moment at which the client can have
//! known that it is over.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Class, Side};
use brownout_provider::units::in_words_exactly;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{few_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{Request, RequestId, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "max_in_flight",
    summary: "The client never has more requests under way at once than it may.",
    headline: "were sent beyond the agreed number at a time",
    rule: "At no time are more than `n` requests of the client in flight: from their arrival to the end of a \
           success, the head of any other answer, or the end of the connection; one that the client closes \
           within the reaction time (250 ms on the real clock) of another's arrival is over by then.",
    exercised_by: "`n` requests in flight at once.",
    parameters: &[("n", "how many requests at once, at least 1; required")],
    tolerates: "Requests that a gateway repeats; a failure known by its head, though its body is still on its \
                way.",
    cure: "Take a permit of one semaphore before each request, retries and hedges included, and give it \
           back when the answer is read or the connection closed; a limit on operations is none on \
           requests.",
    why: "Requests that pile up while a provider is slow use up memory, connections and the provider's \
          patience.",
    faults: &["hang", "latency", "drip"],
    without_a_fault: "more operations at once than `n`",
    modes: &[],
    example: "max_in_flight: {n: 10}",
    bare: false,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MaxInFlight")]
struct Raw {
    /// How many requests at once.
    #[schemars(range(min = 1))]
    n: u32,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    if raw.n == 0 {
        at.key("n").error("`n` is 0, and no request could be sent", |problem| {
            problem.cure("use at least 1")
        });
        return None;
    }
    Some(Arc::new(MaxInFlight { n: usize::try_from(raw.n).unwrap_or(usize::MAX) }))
}

#[derive(Debug)]
struct MaxInFlight {
    n: usize,
}

/// A step of the count; what is over is taken off before what arrives at the same moment is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Over,
    Arrived,
}

impl Invariant for MaxInFlight {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut steps: Vec<(u64, Step, RequestId)> = Vec::new();
        for (id, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
            let over_us = over_at_us(trace, request).max(request.at_us);
            // What is over as soon as it came was never beside another.
            if over_us > request.at_us {
                steps.push((request.at_us, Step::Arrived, id));
                steps.push((over_us, Step::Over, id));
            }
        }
        steps.sort_unstable();
        let (mut now, mut reached) = (0, 0);
        let mut most = (0, 0);
        for (at_us, step, _) in &steps {
            match step {
                Step::Over => now -= 1,
                Step::Arrived => {
                    now += 1;
                    reached += usize::from(now >= self.n);
                    if now > most.0 {
                        most = (now, *at_us);
                    }
                }
            }
        }
        let violation = (most.0 > self.n).then(|| self.violation(trace, most));
        let why_not = format!("there were never {} requests in flight at once", self.n);
        Judgement::new(reached, violation.into_iter().collect(), &why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let offered = usize::try_from(scenario.workload.concurrency).unwrap_or(usize::MAX);
        if offered <= self.n {
            at.note("`max_in_flight` may stay without a verdict: no more operations are under way at once", |problem| {
                problem.cure("raise `concurrency` of the workload above `n`")
            });
        }
    }
}

impl MaxInFlight {
    fn violation(&self, trace: &Trace, (most, at_us): (usize, u64)) -> Violation {
        let under_way = trace.requests().filter(|(_, request)| {
            request.by.is_client()
                && request.at_us <= at_us
                && over_at_us(trace, request) > at_us.max(request.at_us)
        });
        let message = format!(
            "expected at most {} in flight at once, found {most} at {}",
            plural(self.n, "request"),
            in_words_exactly(at_us)
        );
        Violation::of_run(message, few_of(under_way.map(|(_, request)| request.seq)))
    }
}

/// The first moment at which the client can have known that a request is over.
fn over_at_us(trace: &Trace, request: &Request) -> u64 {
    let answered = request.response.map(|response| {
        if response.class == Class::Success { response.end_at_us } else { response.head_at_us }
    });
    let ended = request.ended.as_deref().map(|ended| match ended.by {
        Side::Client => ended.at_us.saturating_sub(trace.reaction_us()),
        Side::Provider => ended.at_us,
    });
    answered.into_iter().chain(ended).min().unwrap_or(trace.last_at_us)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{message, verdict, verdict_on_real_clock};
    use crate::trace::testing::trace;

    fn request(number: u64, from_us: u64, end: &str) -> String {
        format!(
            r#"{{"at_us":{from_us},"event":"request_received","request":{number},"operation":"op-{number}"}}
            {end}"#
        )
    }

    fn answered(number: u64, from_us: u64, to_us: u64, status: u16) -> String {
        let end = format!(
            r#"{{"at_us":{to_us},"event":"response_sent","request":{number},"status":{status},"head_at_us":{}}}"#,
            from_us + 1
        );
        request(number, from_us, &end)
    }

    fn check(lines: &[String]) -> String {
        verdict("max_in_flight", &json!({"n": 2}), &lines.join("\n"))
    }

    #[test]
    fn no_more_than_so_many_are_in_flight() {
        let two = [answered(1, 0, 100, 200), answered(2, 50, 150, 200)];
        assert_eq!(check(&two), "passed");
        let next = answered(3, 100, 200, 200);
        assert_eq!(check(&[two[0].clone(), two[1].clone(), next]), "passed", "one is over by then");
        let third = answered(3, 99, 200, 200);
        let three = [two[0].clone(), two[1].clone(), third];
        assert_eq!(check(&three), "failed run");
        assert_eq!(
            message("max_in_flight", &json!({"n": 2}), &trace(&three.join("\n"))),
            "expected at most 2 requests in flight at once, found 3 at 99 µs"
        );
    }

    #[test]
    fn a_failure_is_over_with_its_head() {
        let lines =
            [answered(1, 0, 900, 429), answered(2, 50, 900, 200), answered(3, 60, 900, 200)];
        assert_eq!(check(&lines), "passed");
    }

    #[test]
    fn one_after_the_other_exercises_nothing() {
        assert_eq!(check(&[answered(1, 0, 100, 200), answered(2, 100, 150, 200)]), "not exercised");
    }

    #[test]
    fn what_the_client_lets_go_of_in_time_is_over() {
        let closed = |at: u64| {
            let end = format!(r#"{{"at_us":{at},"event":"connection_ended","request":1}}"#);
            let late = answered(3, 500_000, 900_000, 200);
            let lines = [request(1, 0, &end), answered(2, 60, 900_000, 200), late].join("\n");
            verdict_on_real_clock("max_in_flight", &json!({"n": 2}), &lines)
        };
        assert_eq!(closed(750_000), "passed");
        assert_eq!(closed(750_001), "failed run");
    }

    #[test]
    fn what_a_gateway_repeats_is_not_the_clients() {
        let repeat =
            answered(3, 60, 900, 200).replace("_received\"", "_received\",\"by\":\"provider\"");
        assert_eq!(check(&[answered(1, 0, 100, 200), answered(2, 50, 150, 200), repeat]), "passed");
    }
}
