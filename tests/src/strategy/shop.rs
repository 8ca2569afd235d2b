//! Clients that charge for orders: right ones, and one with a bug of choice.
//!
//! **Invariant:** without a bug a client is right wherever that on which it relies is true.

use std::time::{Duration, SystemTime};

use brownout::{Connection, Operation, Outcome};
use brownout_provider::shell::transport::Transport;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

/// How often a client asks before it gives up.
pub(super) const ATTEMPTS: u32 = 6;
/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// It gives up rather than wait longer than this.
const PATIENCE: Duration = Duration::from_secs(600);

/// A bug, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Every attempt has a key of its own.
    KeyPerAttempt,
    /// A success status is enough; the body is not looked at.
    BelievesTheStatus,
    /// What was not answered is reported as failed.
    CallsLostFailed,
    /// It repeats after its own backoff, whatever it is asked.
    IgnoresTheHint,
    /// After a lost answer, "the key is in progress" makes it try again under another key. Both must
    /// happen.
    NewKeyAfterConflict,
}

/// An answer, or what went wrong instead.
pub(crate) type Answer = Result<(u16, HeaderMap, Bytes), String>;

/// One request over a connection of its own.
pub(crate) async fn send(connection: &Connection, request: Request<Full<Bytes>>) -> Answer {
    assert_eq!(connection.transport(), Transport::Memory);
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(0)
        .build(connection.connector());
    let asking = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((head.status.as_u16(), head.headers, body))
    };
    tokio::time::timeout(TIMEOUT, asking).await.map_err(|_| "no answer in time".to_owned())?
}

pub(crate) fn charge(operation: &Operation, key: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("{}/v1/charges", operation.url))
        .header("authorization", format!("Bearer {}", operation.api_key))
        .header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Full::new(Bytes::from(operation.input.to_string()))).expect("a right request")
}

/// The charges of the operation's order.
fn search(operation: &Operation) -> Request<Full<Bytes>> {
    let order = operation.input["order"].as_str().expect("an order");
    Request::builder()
        .method(Method::GET)
        .uri(format!("{}/v1/charges?order={order}", operation.url))
        .header("authorization", format!("Bearer {}", operation.api_key))
        .body(Full::default())
        .expect("a right request")
}

/// The longest wait that an answer asks for, in any of the API's spellings.
pub(crate) fn hint(headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let texts = |name| headers.get_all(name).iter().filter_map(|text| text.to_str().ok());
    let seconds = texts("retry-after").filter_map(|text| match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        #[expect(clippy::disallowed_methods, reason = "a date is read by the clock on the wall")]
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    });
    let millis = texts("retry-after-ms").filter_map(|text| text.trim().parse().ok());
    let millis = millis.map(Duration::from_millis);
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let in_body = said.pointer("/error/retry_after").and_then(Value::as_u64);
    seconds.chain(millis).chain(in_body.map(Duration::from_secs)).max()
}

/// True for a charge of just this order and amount.
pub(crate) fn is_receipt(charge: &Value, operation: &Operation) -> bool {
    charge["id"].is_string()
        && charge["status"] == "succeeded"
        && ["order", "amount", "currency"]
            .iter()
            .all(|field| charge[*field] == operation.input[*field])
}

/// True for a 429 that never heals.
fn is_used_up(status: u16, body: &[u8]) -> bool {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    status == 429
        && (said["error"]["code"] == "insufficient_quota" || said["error"]["code"] == "spend_limit")
}

pub(crate) const fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 409 | 425 | 429 | 500..=599)
}

fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(200) * 2_u32.pow(attempt.min(6))
}

/// What is said of a charge that was given up; `open` where it may have happened.
fn gives_up(open: Option<()>, why: &str) -> Outcome {
    if open.is_some() { Outcome::unknown(why) } else { Outcome::failed(why) }
}

/// Repeats with one key. Relies on keys being honored, and on nothing else.
pub(super) async fn keyed(operation: Operation, connection: Connection, bug: Bug) -> Outcome {
    let (mut is_open, mut is_lost, mut last) = (false, false, String::new());
    let mut suffix = String::new();
    for attempt in 1..=ATTEMPTS {
        if bug == Bug::KeyPerAttempt {
            suffix = format!("-{attempt}");
        }
        let key = format!("{}{suffix}", operation.id);
        let mut wait = backoff(attempt);
        match send(&connection, charge(&operation, Some(&key))).await {
            Err(why) if bug == Bug::CallsLostFailed => return Outcome::failed(why),
            Err(why) => (is_open, is_lost, last) = (true, true, why),
            Ok((status @ 200..=299, _, body)) => {
                let charge: Value = serde_json::from_slice(&body).unwrap_or_default();
                if bug == Bug::BelievesTheStatus || is_receipt(&charge, &operation) {
                    return Outcome::succeeded();
                }
                (is_open, last) = (true, format!("{status} without a receipt"));
            }
            Ok((status, headers, body)) if is_transient(status) && !is_used_up(status, &body) => {
                if bug == Bug::NewKeyAfterConflict && status == 409 && is_lost {
                    suffix = format!("-{attempt}");
                }
                is_open |= status != 429;
                last = format!("status {status}");
                let asked = hint(&headers, &body).filter(|_| bug != Bug::IgnoresTheHint);
                wait = wait.max(asked.unwrap_or_default());
            }
            Ok((status, _, _)) => {
                return gives_up(is_open.then_some(()), &format!("refused with {status}"));
            }
        }
        if attempt == ATTEMPTS || wait > PATIENCE {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    gives_up(is_open.then_some(()), &last)
}

/// Has no keys, and looks whether it was charged before it charges again. Relies on late work being done
/// before it looks, and on requests arriving as often as they are sent.
pub(super) async fn looking(operation: Operation, connection: Connection) -> Outcome {
    let (mut is_open, mut last) = (false, String::new());
    for attempt in 1..=ATTEMPTS {
        let mut wait = backoff(attempt) + TIMEOUT;
        match send(&connection, charge(&operation, None)).await {
            Err(why) => (is_open, last) = (true, why),
            Ok((status @ 200..=299, _, body)) => {
                let charge: Value = serde_json::from_slice(&body).unwrap_or_default();
                if is_receipt(&charge, &operation) {
                    return Outcome::succeeded();
                }
                (is_open, last) = (true, format!("{status} without a receipt"));
            }
            Ok((status, headers, body)) if is_transient(status) && !is_used_up(status, &body) => {
                is_open = true;
                last = format!("status {status}");
                wait = wait.max(hint(&headers, &body).unwrap_or_default());
            }
            Ok((status, _, _)) => {
                return gives_up(is_open.then_some(()), &format!("refused with {status}"));
            }
        }
        if attempt == ATTEMPTS || wait > PATIENCE {
            break;
        }
        tokio::time::sleep(wait).await;
        match was_charged(&operation, &connection).await {
            Some(true) => return Outcome::succeeded(),
            Some(false) => is_open = false,
            None => return Outcome::unknown(last),
        }
    }
    gives_up(is_open.then_some(()), &last)
}

/// Whether the provider has a charge of the order; `None` where it does not say, after three questions.
async fn was_charged(operation: &Operation, connection: &Connection) -> Option<bool> {
    for attempt in 1..=3 {
        let mut wait = backoff(attempt);
        if let Ok((status, headers, body)) = send(connection, search(operation)).await {
            let said: Value = serde_json::from_slice(&body).unwrap_or_default();
            match said["data"].as_array() {
                Some(charges) if status == 200 && said["object"] == "list" => {
                    return Some(charges.iter().any(|charge| is_receipt(charge, operation)));
                }
                Some(_) | None if is_used_up(status, &body) => return None,
                Some(_) | None if status < 300 || is_transient(status) => {}
                Some(_) | None => return None,
            }
            wait = wait.max(hint(&headers, &body).unwrap_or_default());
        }
        if wait > PATIENCE {
            return None;
        }
        tokio::time::sleep(wait).await;
    }
    None
}

/// Asks once. Relies on nothing.
pub(super) async fn once(operation: Operation, connection: Connection) -> Outcome {
    match send(&connection, charge(&operation, Some(&operation.id))).await {
        Ok((200..=299, _, body)) => {
            let charge: Value = serde_json::from_slice(&body).unwrap_or_default();
            if is_receipt(&charge, &operation) {
                Outcome::succeeded()
            } else {
                Outcome::unknown("no receipt")
            }
        }
        Ok((status, _, _)) if is_transient(status) => Outcome::unknown(status.to_string()),
        Ok((status, _, _)) => Outcome::failed(status.to_string()),
        Err(why) => Outcome::unknown(why),
    }
}
