//! The client that reads an answer event by event, as it comes.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::time::Duration;

use tokio::time::sleep;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Call, post_over};
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
        let call = Call {
            url: &url,
            api_key: &connection.api_key,
            idempotency_key: Some(&operation.id),
            body: &operation.input,
            timeout: Duration::from_secs(10),
        };
        last = match post_over(&connection, call).await {
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
