//! The client that receives messages of a queue, and charges a card for each of them.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, Call, post_over, send_over};

/// How long it rests when there is no message, and before it tries again one that it does not give back.
const REST: Duration = Duration::from_secs(1);

/// How long the function behind it may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a client that receives messages does.
#[derive(Clone, Copy, Debug)]
pub struct Receives {
    /// True: it makes keys of the ids of messages, which are the same each time that they come.
    pub keeps_ids: bool,
    /// True: it leaves to the queue what it cannot handle, and goes on with the next message.
    pub gives_back: bool,
}

/// Receives messages for ever, one after the other.
pub async fn work(habits: Receives, connection: Connection) {
    let queue = connection.provider("queue").unwrap_or_else(|| connection.clone());
    let payments = connection.provider("payments").unwrap_or(connection);
    loop {
        let Some(message) = receive(&queue).await else {
            sleep(REST).await;
            continue;
        };
        let mut done = handle(habits, &payments, &message).await;
        while !done && !habits.gives_back {
            sleep(REST).await;
            done = handle(habits, &payments, &message).await;
        }
        if done {
            delete(&queue, &message).await;
        }
    }
}

/// The next message, where there is one.
async fn receive(queue: &Connection) -> Option<Value> {
    let url = format!("{}/v1/messages/receive", queue.url);
    let call = Call {
        url: &url,
        api_key: &queue.api_key,
        idempotency_key: None,
        body: &json!({"max": 1}),
        timeout: TIMEOUT,
    };
    let answer = post_over(queue, call).await.ok()?;
    let received: Value = serde_json::from_slice(&answer.body).ok()?;
    received["messages"].get(0).cloned()
}

/// True when the card is known to be charged.
async fn handle(habits: Receives, payments: &Connection, message: &Value) -> bool {
    let id = message["id"].as_str().unwrap_or_default();
    if !message["body"].is_object() {
        payments.log(&format!("{id}: it cannot be read"));
        return false;
    }
    let url = format!("{}/v1/charges", payments.url);
    let call = Call {
        url: &url,
        api_key: &payments.api_key,
        idempotency_key: habits.keeps_ids.then_some(id),
        body: &message["body"],
        timeout: TIMEOUT,
    };
    let is_charged = post_over(payments, call).await.is_ok_and(|answer| answer.status == 201);
    if !is_charged {
        payments.log(&format!("{id}: not charged"));
    }
    is_charged
}

async fn delete(queue: &Connection, message: &Value) {
    let word = |name: &str| message[name].as_str().unwrap_or_default();
    let (id, receipt) = (word("id"), word("receipt"));
    let url = format!("{}/v1/messages/{id}?receipt={receipt}", queue.url);
    let ask = Ask {
        method: Method::DELETE,
        url: &url,
        headers: vec![("authorization", format!("Bearer {}", queue.api_key))],
        body: Bytes::new(),
        timeout: TIMEOUT,
    };
    // What could not be deleted comes again, and is known by its id.
    if send_over(queue, &ask).await.is_err() {
        queue.log(&format!("{id}: not deleted"));
    }
}
