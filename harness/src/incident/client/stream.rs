//! The client that reads an answer event by event, as it comes.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::sleep;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, send_over};
use crate::operation::{Operation, Outcome};

/// How often it asks.
const ATTEMPTS: u32 = 3;

/// What a client that reads streams does.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// True: an answer is whole when its last event says so; false: when it ends.
    pub wants_the_end: bool,
}

/// Does one operation.
pub(in crate::incident) async fn serve(
    habits: Reads,
    operation: Operation,
    connection: Connection,
) -> Outcome {
    let url = format!("{}/v1/chat/completions", connection.url);
    let mut last = String::new();
    for attempt in 1..=ATTEMPTS {
        let ask = Ask {
            method: Method::POST,
            url: &url,
            headers: vec![
                ("authorization", format!("Bearer {}", connection.api_key)),
                ("content-type", "application/json".to_owned()),
                ("idempotency-key", operation.id.to_string()),
            ],
            body: Bytes::from(operation.input.to_string()),
            timeout: Duration::from_secs(10),
        };
        last = match send_over(&connection, &ask).await {
            Ok(answer) if answer.status == 200 => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                let is_whole = text.contains("data: [DONE]");
                if is_whole || (!habits.wants_the_end && text.starts_with("data:")) {
                    return Outcome::succeeded();
                }
                "the stream ended before its last event".to_owned()
            }
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => error.to_string(),
        };
        connection.log(&format!("{} attempt {attempt}: {last}", operation.id));
        if attempt < ATTEMPTS {
            sleep(Duration::from_secs(u64::from(attempt))).await;
        }
    }
    Outcome::unknown(last)
}
