//! The careful client of the demo: the same work, done so that nobody pays twice.
//!
//! One idempotency key per charge, waits as the provider asks, backs off with jitter, believes no answer
//! that is not about this charge, and says "unknown" when it does not know.

use std::time::Duration;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::seed::{RuleKey, Seed};
use serde_json::Value;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Answer, Call, post};
use crate::operation::{Operation, Outcome};

/// How often it tries.
const ATTEMPTS: u32 = 4;

/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(400);

/// The shortest wait before the second attempt; it doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// What one attempt came to.
enum Attempt {
    /// The charge is done.
    Done,
    /// The provider will never do it.
    Refused(String),
    /// It was not done, and may be tried again after the wait that the provider asks for.
    Later(Option<Duration>, String),
    /// It may have been done.
    Ambiguous(String),
}

/// Does one operation. The seed makes the jitter repeatable.
pub(super) async fn careful(seed: Seed, operation: Operation, connection: Connection) -> Outcome {
    let url = format!("{}/v1/charges", connection.url);
    // One key for the charge, however often it is asked for.
    let key = format!("charge-{}", operation.id);
    let mut may_have_happened = false;
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let call = Call {
            url: &url,
            api_key: &connection.api_key,
            idempotency_key: Some(&key),
            body: &operation.input,
            timeout: TIMEOUT,
        };
        let asked = match judge(post(call).await, &operation.input) {
            Attempt::Done => return Outcome::succeeded(),
            Attempt::Refused(why) => return Outcome::failed(why),
            Attempt::Later(wait, why) => {
                last = why;
                wait
            }
            Attempt::Ambiguous(why) => {
                may_have_happened = true;
                last = why;
                None
            }
        };
        connection.log(&format!("{} attempt {attempt}: {last}", operation.id));
        if attempt < ATTEMPTS {
            let backoff = backoff(seed, &operation, attempt);
            tokio::time::sleep(asked.map_or(backoff, |asked| asked.max(backoff))).await;
        }
    }
    if may_have_happened { Outcome::unknown(last) } else { Outcome::failed(last) }
}

fn judge(answer: Result<Answer, crate::drive::loopback::CallError>, input: &Value) -> Attempt {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Attempt::Ambiguous(error.to_string()),
    };
    let said = format!("status {}", answer.status);
    match answer.status {
        200..=299 if is_about(&answer.body, input) => Attempt::Done,
        429 if is_used_up(&answer.body) => Attempt::Refused(said),
        429 | 503 => Attempt::Later(answer.retry_after, said),
        408 | 409 | 425 | 500..=599 | 200..=299 => Attempt::Ambiguous(said),
        _ => Attempt::Refused(said),
    }
}

/// True for the 429s that never heal: only the code tells them from a limit.
fn is_used_up(body: &[u8]) -> bool {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    ["insufficient_quota", "spend_limit"].iter().any(|code| said["error"]["code"] == *code)
}

/// True when the answer is a succeeded charge of the order and the amount that were asked for.
fn is_about(body: &[u8], input: &Value) -> bool {
    let Ok(charge) = serde_json::from_slice::<Value>(body) else { return false };
    charge["id"].is_string()
        && charge["status"] == "succeeded"
        && ["order", "amount", "currency"].iter().all(|field| charge[*field] == input[*field])
}

/// Doubles with each attempt, and up to as much again by jitter.
fn backoff(seed: Seed, operation: &Operation, attempt: u32) -> Duration {
    let least = FIRST_BACKOFF.saturating_mul(1 << (attempt - 1).min(8));
    let at = Coordinates {
        provider: "client",
        route: &operation.call,
        operation: &operation.id,
        submit: operation.submit,
        attempt,
    };
    let span = u64::try_from(least.as_micros()).unwrap_or(u64::MAX);
    let jitter = RuleKey::new(seed, "~jitter of the careful client").draw(&at).below(span);
    least + Duration::from_micros(jitter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_about_another_order_is_not_believed() {
        let input = json!({"order": "order-3", "amount": 1999, "currency": "usd"});
        let mut charge = json!({"id": "ch_1", "status": "succeeded", "order": "order-3",
            "amount": 1999, "currency": "usd"});
        assert!(is_about(charge.to_string().as_bytes(), &input));
        charge["order"] = json!("order-4");
        assert!(!is_about(charge.to_string().as_bytes(), &input));
        assert!(!is_about(b"<html>", &input));
    }
}
