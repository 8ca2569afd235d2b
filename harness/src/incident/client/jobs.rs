//! The client that begins a job and waits for it.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, retry_after, send_over};
use crate::operation::{Operation, Outcome};

/// How long it waits for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So much is left before the caller's deadline when it gives up.
const MARGIN: Duration = Duration::from_millis(500);

/// How many looks there are at most.
const LOOKS: u32 = 10_000;

/// What a client that waits for jobs does.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long it waits between two looks at a job, at least.
    pub every: Duration,
    /// True: it waits as long as the answer asks it to.
    pub heeds_hints: bool,
    /// It begins the job anew, under a new key, when it has looked so often; `None` never.
    pub begins_anew: Option<u32>,
}

/// Does one operation.
pub(in crate::incident) async fn serve(
    habits: Waits,
    operation: Operation,
    connection: Connection,
) -> Outcome {
    let patience = Duration::from_millis(operation.deadline_ms).saturating_sub(MARGIN);
    let done = timeout(patience, wait_for(habits, &operation, &connection)).await;
    done.unwrap_or_else(|_| Outcome::unknown("the job has not ended"))
}

async fn wait_for(habits: Waits, operation: &Operation, connection: &Connection) -> Outcome {
    let mut begun = 0;
    let mut looks = 0;
    let mut job: Option<String> = None;
    for _ in 0..LOOKS {
        let key = format!("{}-{begun}", operation.id);
        let (method, path) = match &job {
            None => (Method::POST, "/v1/jobs".to_owned()),
            Some(id) => (Method::GET, format!("/v1/jobs/{id}")),
        };
        let begins = job.is_none();
        let url = format!("{}{path}", connection.url);
        let body = if begins { operation.input.to_string() } else { String::new() };
        let mut headers = vec![
            ("authorization", format!("Bearer {}", connection.api_key)),
            ("content-type", "application/json".to_owned()),
        ];
        headers.extend(begins.then_some(("idempotency-key", key)));
        let ask = Ask { method, url: &url, headers, body: Bytes::from(body), timeout: TIMEOUT };
        let answer = send_over(connection, &ask).await;
        let hint = answer.as_ref().ok().and_then(|answer| retry_after(&answer.headers));
        let said: Option<Value> = answer
            .ok()
            .filter(|answer| answer.status < 300)
            .and_then(|answer| serde_json::from_slice(&answer.body).ok());
        if let Some(said) = said {
            match said["status"].as_str() {
                Some("succeeded") => return Outcome::succeeded(),
                Some("failed" | "canceled") => return Outcome::failed("the job has failed"),
                _ => {}
            }
            job = said["id"].as_str().map(str::to_owned).or(job);
        }
        looks += 1;
        if habits.begins_anew.is_some_and(|most| looks > most) {
            (job, looks, begun) = (None, 0, begun + 1);
        }
        let hint = hint.filter(|_| habits.heeds_hints).unwrap_or_default();
        sleep(habits.every.max(hint)).await;
    }
    Outcome::unknown("the job has not ended")
}
