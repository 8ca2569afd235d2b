//! The client that sends many items in one request, which is answered with a status for each.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, send_over};
use crate::operation::{Operation, Outcome};

/// What a client that sends batches does.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// True: it sends again what is not done, each time under a key of its items; false: all of it, under a new
    /// key.
    pub by_item: bool,
    /// How often it sends, at least 1.
    pub rounds: u32,
}

/// Does one operation.
pub(in crate::incident) async fn serve(
    habits: Batches,
    operation: Operation,
    connection: Connection,
) -> Outcome {
    let all: Vec<Value> = operation.input["images"].as_array().cloned().unwrap_or_default();
    let mut left = all.clone();
    // A request whose answer was lost is repeated under its key; one that was answered is another one.
    let mut answers = 0;
    for round in 1..=habits.rounds {
        let images = if habits.by_item { &left } else { &all };
        let key = if habits.by_item {
            format!("{}-{answers}-{}", operation.id, Value::from(images.clone()))
        } else {
            format!("{}-{round}", operation.id)
        };
        let body = json!({"images": images, "reference": operation.input["reference"]});
        let asked = Some((key.replace(['"', '[', ']'], ""), body));
        let done = match send(&connection, "/v1/batches", asked).await {
            Some(answer) => {
                answers += 1;
                done(&answer["results"])
            }
            // What was done although nobody heard of it stands in the list.
            None => {
                let reference = operation.input["reference"].as_str().unwrap_or_default();
                let path = format!("/v1/labels?reference={reference}");
                let listed = send(&connection, &path, None).await.unwrap_or_default();
                done(&listed["data"])
            }
        };
        left.retain(|image| !done.contains(image.as_str().unwrap_or_default()));
        if left.is_empty() {
            return Outcome::succeeded();
        }
        connection.log(&format!("{} round {round}: {} left", operation.id, left.len()));
        sleep(Duration::from_secs(1)).await;
    }
    if habits.by_item { Outcome::unknown("some items are left") } else { Outcome::succeeded() }
}

/// The items that a list calls done.
fn done(entries: &Value) -> BTreeSet<String> {
    let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
    let done = entries.iter().filter(|entry| entry["status"] == 201);
    done.filter_map(|entry| Some(entry["image"].as_str()?.to_owned())).collect()
}

async fn send(
    connection: &Connection,
    path: &str,
    asked: Option<(String, Value)>,
) -> Option<Value> {
    let url = format!("{}{path}", connection.url);
    let mut headers = vec![
        ("authorization", format!("Bearer {}", connection.api_key)),
        ("content-type", "application/json".to_owned()),
    ];
    let (method, body) = match asked {
        Some((key, body)) => {
            headers.push(("idempotency-key", key));
            (Method::POST, Bytes::from(body.to_string()))
        }
        None => (Method::GET, Bytes::new()),
    };
    let timeout = Duration::from_secs(5);
    let ask = Ask { method, url: &url, headers, body, timeout };
    let answer = send_over(connection, &ask).await.ok()?;
    let is_good = answer.status < 300;
    is_good.then(|| serde_json::from_slice(&answer.body).ok())?
}
