//! A careful client to start from: put your own code in the place of `send`, and keep what is around it.
//!
//! - One key for all attempts of an operation, so that the provider does the work once.
//! - Never sooner again than the provider asks for (`Retry-After`), and not after the caller's deadline.
//! - What may have happened is reported as unknown, never as failed.
//!
//! It runs in virtual time: a `Retry-After: 60` costs no minute.

use std::time::Duration;

use brownout::{Connection, Operation, Outcome, assert_holds};
use serde_json::Value;

const SCENARIO: &str = "brownout/anthropic.yaml";
const METHOD: &str = "POST";
const PATH: &str = "/v1/messages";
const AUTH_HEADER: &str = "X-Api-Key";
const AUTH_SCHEME: &str = "";
// Empty where the API takes no key: then what may have happened is not tried again.
const KEY_HEADER: &str = "";
const FORM: bool = false;
// Headers that are the same in every request.
const HEADERS: &[(&str, &str)] = &[];
// What an answer must hold to be a receipt; null stands for anything.
const RECEIPT: &str = r#"{"content": null, "stop_reason": null}"#;

const TRIES: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);

#[test]
fn the_client_holds() {
    assert_holds(SCENARIO, work);
}

/// How one attempt ended.
enum End {
    Done,
    Permanent(String),
    /// It was refused before any work; to be tried again after so long.
    Refused(String, Duration),
    /// Nobody knows whether the work was done; to be tried again after so long.
    Ambiguous(String, Duration),
}

/// Does one operation and says what became of it.
async fn work(operation: Operation, connection: Connection) -> Outcome {
    let client = connection.reqwest().expect("over TCP or a unix socket");
    let client = client.timeout(TIMEOUT).build().expect("a client");
    let mut left = Duration::from_millis(operation.deadline_ms.saturating_sub(1_000));
    let (mut may_have_happened, mut detail) = (false, String::new());
    for attempt in 0..TRIES {
        let (why, asked) = match send(&client, &operation).await {
            End::Done => return Outcome::succeeded(),
            End::Permanent(why) if may_have_happened => return Outcome::unknown(why),
            End::Permanent(why) => return Outcome::failed(why),
            End::Refused(why, asked) => (why, asked),
            End::Ambiguous(why, asked) => {
                may_have_happened = true;
                (why, asked)
            }
        };
        detail = why;
        let pause = asked.max(FIRST_PAUSE * 2_u32.pow(attempt));
        let spent = pause + TIMEOUT;
        let is_safe = !KEY_HEADER.is_empty() || !may_have_happened;
        if !is_safe || attempt + 1 == TRIES || spent > left {
            break;
        }
        left -= spent;
        tokio::time::sleep(pause).await;
    }
    if may_have_happened { Outcome::unknown(detail) } else { Outcome::failed(detail) }
}

/// One attempt.
async fn send(client: &reqwest::Client, operation: &Operation) -> End {
    let method = METHOD.parse().expect("a method");
    let kind = if FORM { "application/x-www-form-urlencoded" } else { "application/json" };
    let body = if FORM { form(&operation.input, "") } else { operation.input.to_string() };
    let mut request = client
        .request(method, format!("{}{PATH}", operation.url))
        .header(AUTH_HEADER, format!("{AUTH_SCHEME}{}", operation.api_key))
        .header("Content-Type", kind)
        .body(body);
    for (name, value) in HEADERS {
        request = request.header(*name, *value);
    }
    if !KEY_HEADER.is_empty() {
        // Your own name of the work, such as the order's number: the same for each attempt.
        request = request.header(KEY_HEADER, &*operation.id);
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return End::Ambiguous(error.to_string(), Duration::ZERO),
    };
    let status = answer.status();
    let hint = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok());
    // As a date it would be read with a crate such as `httpdate`.
    let asked = hint.and_then(|text| text.parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    let why = format!("status {status}");
    match (answer.bytes().await, status.as_u16()) {
        (Ok(body), 200..=299) if is_receipt(&body) => End::Done,
        (Err(_), _) | (_, 200..=299 | 408 | 409 | 425 | 500..) => End::Ambiguous(why, asked),
        (Ok(_), 429) => End::Refused(why, asked),
        (Ok(_), _) => End::Permanent(why),
    }
}

/// A success counts only when its body says so.
fn is_receipt(body: &[u8]) -> bool {
    let Ok(found) = serde_json::from_slice::<Value>(body) else { return false };
    let wanted: Value = serde_json::from_str(RECEIPT).expect("a receipt");
    wanted.as_object().into_iter().flatten().all(|(field, value)| {
        let found = &found[field];
        !found.is_null() && (value.is_null() || found == value)
    })
}

/// `{"a": {"b": 1}}` as `a[b]=1`.
fn form(value: &Value, name: &str) -> String {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}[{key}]") };
    let pairs: Vec<String> = match value {
        Value::Object(fields) => fields.iter().map(|(key, one)| form(one, &inner(key))).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, one)| form(one, &inner(&n.to_string()))).collect()
        }
        Value::String(text) => vec![format!("{}={}", escaped(name), escaped(text))],
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            vec![format!("{}={value}", escaped(name))]
        }
    };
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let one =
        |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
