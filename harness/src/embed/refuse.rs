//! What a place cannot carry out, said when it is built.
//!
//! **Invariant:** every fault that a place accepts is carried out there as it says.

use std::fmt;

use brownout_provider::exchange::End;
use brownout_provider::fault::{Action, DelayPoint, Ending, Malformed, Point};
use brownout_provider::rule::Rule;
use brownout_provider::seed::Seed;

/// Rules with faults that cannot be injected where they were put. Its debug form, which `unwrap` and `expect`
/// print, is the whole sentence.
#[derive(Clone, PartialEq, Eq)]
pub struct NotHere {
    place: &'static str,
    refused: Vec<String>,
}

impl std::error::Error for NotHere {}

impl fmt::Debug for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot inject all of these rules:", self.place)?;
        for refused in &self.refused {
            write!(f, "\n{refused}")?;
        }
        f.write_str(
            "\nthe mock provider can (`brownout::Harness` in a test, `brownout serve` beside a program)",
        )
    }
}

/// Refuses every fault for which `why_not` has words: a reason, and after a semicolon the cure.
pub(super) fn check(
    place: &'static str,
    rules: &[Rule],
    why_not: impl Fn(&Action) -> Option<&'static str>,
) -> Result<(), NotHere> {
    let refused: Vec<String> = rules
        .iter()
        .flat_map(|rule| rule.faults.iter().map(move |fault| (rule, fault)))
        .filter_map(|(rule, fault)| {
            let why = why_not(&fault.looked_at(Seed::default()))?;
            Some(format!("`{}` injects `{}`: {why}", rule.name, fault.kind().name))
        })
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(NotHere { place, refused }) }
}

/// What belongs to the provider's own work, which no place beside the mock can change.
fn of_the_provider(action: &Action) -> Option<&'static str> {
    match action {
        Action::End { ending: Ending::Interim(_), .. } => {
            Some("hyper writes no interim answers; use a status from 200 on")
        }
        Action::Key(_) => {
            Some("idempotency keys are the server's own; leave them out there to see the same")
        }
        Action::Limit(_) => {
            Some("the limit is the server's own; use `rate_limited` or `status: {code: 403}`")
        }
        Action::Message(_) => Some("what a queue hands out is the server's own"),
        Action::Order(_) => {
            Some("when a request arrives and what a read shows is the server's own; use `latency`")
        }
        Action::Job(_) | Action::Batch(_) | Action::Upload(_) => {
            Some("what becomes of jobs, items and files is the server's own; leave it out there")
        }
        Action::Deprecated(_) => {
            Some("what an answer says of its route is the server's own; use `status: {code: 410}`")
        }
        Action::Webhook(_) => {
            Some("the events that tell of a request are the server's own; leave it out there")
        }
        Action::Duplicate { .. } => {
            Some("a request that has arrived is served once; send it twice in the test")
        }
        Action::End { ending: Ending::InFlight { .. }, .. } => Some(
            "whether a key is in progress only the server knows; use `status: {code: 409}` instead",
        ),
        Action::End { ending: Ending::Answer(answer), .. } if answer.kept => {
            Some("what is kept under a key only the server knows; use `status` on every attempt")
        }
        Action::End { at: Point::BeforeCommit, ending: Ending::Malformed(_) } => {
            Some("there is an answer to spoil only when the work is done; leave `at` out")
        }
        Action::End { ending: Ending::Accepted, .. } => {
            Some("what is accepted is the server's own; use `status: {code: 202}`")
        }
        Action::Client { .. } => {
            Some("whoever runs the client kills it or stops it; do so in the test")
        }
        Action::Door(_) => {
            Some("who listens is the server's own business; stop it in the test to see the same")
        }
        Action::End {
            ending: Ending::GoAway(_) | Ending::Cut { then: End::Stream(_), .. },
            ..
        } => Some("the frames of HTTP/2 are written by the server; use `hang` or `status`"),
        Action::End { ending: Ending::CloseIdle, .. } => Some(
            "which connection a request comes over is not known there; use `close: {at: accept}`",
        ),
        Action::End { at: Point::Accept, ending: Ending::Answer(_) } => {
            Some("requests are read whole there; use `status`")
        }
        Action::End { ending: Ending::Misframed { .. }, .. } => {
            Some("the bytes of an answer are written by the server; use `truncate` or `malformed`")
        }
        Action::End { ending: Ending::Cut { then: End::Half, .. }, .. } => {
            Some("a connection ends in both directions at once there; use `close`")
        }
        Action::End { ending: Ending::Stream(_), .. } => {
            Some("the events of a stream are the server's own; use `truncate`, or `malformed`")
        }
        Action::Delay { .. } | Action::Drip { .. } | Action::End { .. } => None,
    }
}

/// What a tower layer cannot do.
#[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "it is the layer that asks"))]
pub(super) fn in_a_layer(action: &Action) -> Option<&'static str> {
    if let Action::End { ending: Ending::Cut { then: End::Rst, .. }, .. } = action {
        return Some(
            "a layer hands its answer to hyper, which ends a connection in order and never resets it; \
             use `close`, or `truncate` without `then: rst`",
        );
    }
    of_the_provider(action)
}

/// What a responder of wiremock cannot do.
#[cfg_attr(not(feature = "wiremock"), expect(dead_code, reason = "it is the responder that asks"))]
pub(super) fn in_a_responder(action: &Action) -> Option<&'static str> {
    match action {
        Action::End { ending: Ending::Cut { .. }, .. } => Some(
            "wiremock always sends whole answers over connections that live on; use `status`, `hang` \
             or `latency`",
        ),
        Action::End { at: Point::MidBody, ending: Ending::Hang } => {
            Some("wiremock sends a body at once; use `hang` without `at: mid_body`")
        }
        Action::Drip { .. } | Action::Delay { at: DelayPoint::Head | DelayPoint::Chunk, .. } => {
            Some("wiremock sends head and body at once; use `latency: {…, at: after_commit}`")
        }
        Action::End { ending: Ending::Malformed(Malformed { kind, .. }), .. }
            if kind.needs_the_answer() =>
        {
            Some(
                "wiremock lets nobody read the answer that it is about to send; use another kind, such as \
             `empty_object`, or `status: {code: 200, body: …}`",
            )
        }
        Action::Delay { .. }
        | Action::Door(_)
        | Action::Client { .. }
        | Action::Key(_)
        | Action::Limit(_)
        | Action::Order(_)
        | Action::Webhook(_)
        | Action::Job(_)
        | Action::Upload(_)
        | Action::Batch(_)
        | Action::Deprecated(_)
        | Action::Message(_)
        | Action::Duplicate { .. }
        | Action::End { .. } => of_the_provider(action),
    }
}
