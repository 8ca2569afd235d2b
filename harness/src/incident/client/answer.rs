//! What a client makes of an answer.
//!
//! **Invariant:** a pure function of the answer, the question, and what the client believes.

use std::time::Duration;

use brownout_provider::shell::clock::Clock;
use serde_json::Value;

use crate::drive::loopback::{CallError, Reply, retry_after};
use crate::incident::habits::{Belief, Habits, Hints};

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is done, and this is what it made.
    Done(String),
    /// It was refused, and will always be.
    Refused(String),
    /// It was not done, and may be tried again, perhaps after a while.
    Busy(String, Option<Duration>),
    /// It may have been done.
    Doubt(String, Option<Duration>),
    /// It was not even sent.
    Held(String),
}

impl End {
    /// What to say of it.
    pub(super) fn said(&self) -> &str {
        match self {
            Self::Done(said)
            | Self::Refused(said)
            | Self::Busy(said, _)
            | Self::Doubt(said, _)
            | Self::Held(said) => said,
        }
    }

    /// How long it asks to wait.
    pub(super) fn hint(&self) -> Option<Duration> {
        match self {
            Self::Busy(_, hint) | Self::Doubt(_, hint) => *hint,
            Self::Done(_) | Self::Refused(_) | Self::Held(_) => None,
        }
    }
}

/// Codes that say that it is only too much just now, whatever the status.
const THROTTLING: [&str; 3] =
    ["rate_limit_exceeded", "ProvisionedThroughputExceededException", "ThrottlingException"];

/// Codes that say that it will never work, whatever the status.
const USED_UP: [&str; 2] = ["insufficient_quota", "spend_limit"];

/// What a client with these habits makes of an answer to a request with this body.
pub(super) fn judge(habits: &Habits, asked: &Value, answer: Result<Reply, CallError>) -> End {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return End::Doubt(error.to_string(), None),
    };
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let code = body.as_ref().and_then(code).unwrap_or_default();
    let hint = hint(habits.hints, &answer, body.as_ref());
    let said = format!("status {}", answer.status);
    match answer.status {
        200..=299 if habits.belief == Belief::Status => End::Done(id(body.as_ref())),
        200..=299 => match body {
            Some(body) if is_done(&body, asked) => {
                if habits.belief == Belief::Shape || is_sure(&body) {
                    return End::Done(id(Some(&body)));
                }
                End::Doubt(format!("{said}, but nothing to build on"), hint)
            }
            _ => End::Doubt(format!("{said}, but not the answer to this"), hint),
        },
        400..=499 if habits.reads_codes && USED_UP.contains(&code) => {
            End::Refused(format!("{said}, {code}"))
        }
        400..=499 if habits.reads_codes && THROTTLING.contains(&code) => End::Busy(said, hint),
        429 | 503 => End::Busy(said, hint),
        408 | 409 | 425 | 500..=599 => End::Doubt(said, hint),
        _ => End::Refused(said),
    }
}

fn code(body: &Value) -> Option<&str> {
    body.pointer("/error/code").or_else(|| body.get("error")).and_then(Value::as_str)
}

fn id(body: Option<&Value>) -> String {
    let id = body.and_then(|body| body.get("id")).and_then(Value::as_str);
    id.unwrap_or_default().to_owned()
}

/// True when an answer says that the very work that was asked for is done.
fn is_done(body: &Value, asked: &Value) -> bool {
    let finished = ["succeeded", "authorized", "captured", "voided", "sent", "done", "stored"];
    let agrees = |field: &str| match (body.get(field), asked.get(field)) {
        (Some(said), Some(wanted)) => said == wanted,
        (None, Some(_)) => false,
        (_, None) => true,
    };
    let fields: &[&str] = match body.get("object").and_then(Value::as_str) {
        Some("charge") => &["amount", "currency", "order"],
        Some("notification") => &["order"],
        Some("refund") => &["charge"],
        Some("classification") => &["image", "reference"],
        _ => &[],
    };
    body.get("id").is_some_and(Value::is_string)
        && body.get("status").and_then(Value::as_str).is_some_and(|it| finished.contains(&it))
        && fields.iter().all(|field| agrees(field))
}

/// False for a result that its provider itself hardly believes.
fn is_sure(body: &Value) -> bool {
    let confidence = body.get("confidence").and_then(Value::as_f64);
    confidence.is_none_or(|confidence| confidence >= 0.2)
}

/// The wait that an answer asks for, as far as the client reads it.
fn hint(hints: Hints, answer: &Reply, body: Option<&Value>) -> Option<Duration> {
    let in_body = || {
        let body = body?;
        let seconds = body.pointer("/error/retry_after").or_else(|| body.get("retry_after"))?;
        Some(Duration::from_secs(seconds.as_u64()?))
    };
    match hints {
        Hints::Ignored => None,
        Hints::Headers => retry_after(&answer.headers),
        Hints::HeadersAndBody => retry_after(&answer.headers).or_else(in_body),
    }
}

/// How long nothing is left of the limit, where an answer says that nothing is.
pub(super) fn exhausted(answer: &Reply) -> Option<Duration> {
    let number = |name: &str| {
        let text = answer.headers.get(name)?.to_str().ok()?;
        text.trim().parse::<u64>().ok()
    };
    if number("x-ratelimit-remaining")? > 0 {
        return None;
    }
    let reset_s = number("x-ratelimit-reset")?;
    let now_s = Clock::real().wall_start_us().div_ceil(1_000_000);
    Some(Duration::from_secs(reset_s.saturating_sub(now_s)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::incident::habits::CAREFUL;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply { status, headers: http::HeaderMap::new(), body: Bytes::from(body.to_string()) }
    }

    #[test]
    fn only_an_answer_that_says_that_this_work_is_done_is_believed() {
        let asked = json!({"order": "order-3", "amount": 5, "currency": "usd"});
        let mut charge = json!({"id": "ch_1", "object": "charge", "status": "succeeded",
            "order": "order-3", "amount": 5, "currency": "usd"});
        let of = |habits: &Habits, charge: &Value| judge(habits, &asked, Ok(reply(201, charge)));
        assert_eq!(of(&CAREFUL, &charge), End::Done("ch_1".to_owned()));
        charge["amount"] = json!(6);
        assert!(matches!(of(&CAREFUL, &charge), End::Doubt(..)));
        let trusting = Habits { belief: Belief::Status, ..CAREFUL };
        assert_eq!(of(&trusting, &charge), End::Done("ch_1".to_owned()));
    }

    #[test]
    fn a_result_that_is_a_guess_is_taken_by_who_looks_at_its_shape_alone() {
        let asked = json!({"image": "a.png", "reference": "a"});
        let mut seen = json!({"id": "cls_1", "object": "classification", "status": "succeeded",
            "image": "a.png", "reference": "a", "label": "cat", "confidence": 0.94});
        let shape = Habits { belief: Belief::Shape, ..CAREFUL };
        let of = |habits: &Habits, seen: &Value| judge(habits, &asked, Ok(reply(201, seen)));
        assert_eq!(of(&CAREFUL, &seen), End::Done("cls_1".to_owned()));
        seen["confidence"] = json!(0.02);
        assert!(matches!(of(&CAREFUL, &seen), End::Doubt(..)));
        assert_eq!(of(&shape, &seen), End::Done("cls_1".to_owned()));
    }

    #[test]
    fn a_code_outranks_a_status_for_who_reads_it() {
        let throttled = json!({"error": {"code": "ProvisionedThroughputExceededException"}});
        let used_up = json!({"error": {"code": "insufficient_quota"}});
        let blind = Habits { reads_codes: false, ..CAREFUL };
        let of = |habits: &Habits, status, body: &Value| {
            judge(habits, &Value::Null, Ok(reply(status, body)))
        };
        assert!(matches!(of(&CAREFUL, 400, &throttled), End::Busy(..)));
        assert!(matches!(of(&blind, 400, &throttled), End::Refused(_)));
        assert!(matches!(of(&CAREFUL, 429, &used_up), End::Refused(_)));
        assert!(matches!(of(&blind, 429, &used_up), End::Busy(..)));
    }

    #[test]
    fn a_hint_in_the_body_is_seen_by_who_looks_there() {
        let body = json!({"error": "rate_limit_exceeded", "retry_after": 45});
        let headers_only = Habits { hints: Hints::Headers, ..CAREFUL };
        let of = |habits: &Habits| judge(habits, &Value::Null, Ok(reply(429, &body))).hint();
        assert_eq!(of(&CAREFUL), Some(Duration::from_secs(45)));
        assert_eq!(of(&headers_only), None);
    }
}
