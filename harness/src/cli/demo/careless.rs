//! The careless client of the demo: what one writes on a Friday afternoon.
//!
//! It retries whatever went wrong, which looks robust, and makes a new idempotency key for every attempt,
//! so the provider cannot know that it is the same charge.

use std::time::Duration;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Call, post};
use crate::operation::{Operation, Outcome};

/// How often it tries.
const ATTEMPTS: u32 = 3;

/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(400);

/// How long it waits between two attempts, whatever the provider says.
const DELAY: Duration = Duration::from_millis(60);

/// Does one operation.
pub(super) async fn careless(operation: Operation, connection: Connection) -> Outcome {
    let url = format!("{}/v1/charges", connection.url);
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        // The bug: the key belongs to the attempt, not to the charge.
        let key = format!("{}-{attempt}", operation.id);
        let call = Call {
            url: &url,
            api_key: &connection.api_key,
            idempotency_key: Some(&key),
            body: &operation.input,
            timeout: TIMEOUT,
        };
        last = match post(call).await {
            Ok(answer) if (200..300).contains(&answer.status) => return Outcome::succeeded(),
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => error.to_string(),
        };
        connection.log(&format!("{} attempt {attempt}: {last}", operation.id));
        if attempt < ATTEMPTS {
            tokio::time::sleep(DELAY).await;
        }
    }
    Outcome::failed(last)
}
