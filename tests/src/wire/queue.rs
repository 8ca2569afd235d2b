//! Messages of a queue as a raw client sees them: handed out, hidden, deleted, dead, and what faults make of
//! that.

use std::time::Duration;

use serde_json::Value;

use super::stage::{Answer, MS, Raw, Stage};

async fn ask(raw: &mut Raw, method: &str, path: &str, body: &str) -> Answer {
    raw.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    raw.answer().await
}

async fn send(raw: &mut Raw, n: u32) {
    let body = format!(r#"{{"body":{{"order":"order-{n}"}}}}"#);
    let path = format!("/~op-000{n}.1/v1/messages");
    assert_eq!(ask(raw, "POST", &path, &body).await.status(), "201");
}

/// The orders of the messages that are received, and how often each was.
async fn receive(raw: &mut Raw, max: u32) -> Vec<Value> {
    let body = format!(r#"{{"max":{max}}}"#);
    let answer = ask(raw, "POST", "/v1/messages/receive", &body).await;
    assert_eq!(answer.status(), "200", "{answer:?}");
    answer.json()["messages"].as_array().expect("a list").clone()
}

fn orders(messages: &[Value]) -> Vec<(String, u64)> {
    let told = messages.iter().map(|one| {
        let order = one["body"]["order"].as_str().unwrap_or("unreadable");
        (order.to_owned(), one["receives"].as_u64().expect("a number"))
    });
    told.collect()
}

async fn delete(raw: &mut Raw, message: &Value) -> Answer {
    let text = |field: &str| message[field].as_str().expect("a text").to_owned();
    let path = format!("/v1/messages/{}?receipt={}", text("id"), text("receipt"));
    ask(raw, "DELETE", &path, "").await
}

async fn under(inject: &str) -> Stage {
    let faults = format!(
        "faults:\n  - name: struck\n    when: {{route: receive_messages, operation: 1, attempt: 1}}\n    \
         inject: {inject}\n"
    );
    Stage::with(QUEUE, "send_message", if inject.is_empty() { "" } else { &faults }).await
}

const QUEUE: &str = "queue, queue: {visibility: 2s, max_receives: 3}";

fn order(n: u32, receives: u64) -> (String, u64) {
    (format!("order-{n}"), receives)
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_for_a_while_and_comes_back_until_it_is_deleted() {
    let stage = under("").await;
    let mut raw = stage.connect().await;
    for n in 1..=2 {
        send(&mut raw, n).await;
    }
    let first = receive(&mut raw, 1).await;
    assert_eq!(orders(&first), [order(1, 1)]);
    assert_eq!(orders(&receive(&mut raw, 10).await), [order(2, 1)]);
    assert_eq!(receive(&mut raw, 10).await, Vec::<Value>::new());
    stage.clock.sleep(Duration::from_secs(2)).await;
    let again = receive(&mut raw, 10).await;
    assert_eq!(orders(&again), [order(1, 2), order(2, 2)]);
    let refused = delete(&mut raw, &first[0]).await;
    let code = refused.json()["error"]["code"].as_str().map(str::to_owned);
    assert_eq!((refused.status(), code.as_deref()), ("410", Some("stale_receipt")));
    for _ in 0..2 {
        assert_eq!(delete(&mut raw, &again[0]).await.json()["deleted"], true, "also twice");
    }
    stage.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(orders(&receive(&mut raw, 10).await), [order(2, 3)]);
    stage.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(receive(&mut raw, 10).await, Vec::<Value>::new(), "three times is often enough");
    let dead = ask(&mut raw, "GET", "/v1/dead-letters", "").await.json();
    assert_eq!(dead["messages"][0]["body"]["order"], "order-2");
    assert_eq!(dead["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_copy_outlives_the_delete() {
    let stage = under("{message: duplicate}").await;
    let mut raw = stage.connect().await;
    send(&mut raw, 1).await;
    let first = receive(&mut raw, 1).await;
    assert_eq!(delete(&mut raw, &first[0]).await.status(), "200");
    let second = receive(&mut raw, 1).await;
    assert_eq!(orders(&second), [order(1, 2)]);
    assert_eq!(delete(&mut raw, &second[0]).await.status(), "200");
    stage.clock.sleep(Duration::from_secs(9)).await;
    assert_eq!(receive(&mut raw, 1).await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_again_too_early_or_behind_later_ones() {
    let stage = under("{message: {kind: early, by: 300ms}}").await;
    let mut raw = stage.connect().await;
    send(&mut raw, 1).await;
    assert_eq!(orders(&receive(&mut raw, 1).await), [order(1, 1)]);
    stage.clock.sleep(Duration::from_millis(300)).await;
    assert_eq!(orders(&receive(&mut raw, 1).await), [order(1, 2)]);

    let stage = under("{message: {kind: late, by: 300ms}}").await;
    let mut raw = stage.connect().await;
    for n in 1..=2 {
        send(&mut raw, n).await;
    }
    assert_eq!(orders(&receive(&mut raw, 10).await), [order(2, 1)]);
    stage.clock.sleep(Duration::from_millis(300)).await;
    assert_eq!(orders(&receive(&mut raw, 10).await), [order(1, 1)], "held back once");
    assert_eq!(stage.clock.now_us(), 300 * MS);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_comes_back_as_it_was() {
    let stage = under("{message: poison}").await;
    let mut raw = stage.connect().await;
    send(&mut raw, 1).await;
    assert_eq!(orders(&receive(&mut raw, 1).await), [("unreadable".to_owned(), 1)]);
    stage.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(orders(&receive(&mut raw, 1).await), [order(1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_carried_out_late_lets_the_message_come_again() {
    let faults = "faults:\n  - {name: slow, when: {route: delete_message}, inject: {slow_commit: {by: 3s}}}\n";
    let stage = Stage::with(QUEUE, "send_message", faults).await;
    let mut raw = stage.connect().await;
    send(&mut raw, 1).await;
    let first = receive(&mut raw, 1).await;
    assert_eq!(delete(&mut raw, &first[0]).await.json()["deleted"], true);
    stage.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(orders(&receive(&mut raw, 1).await), [order(1, 2)]);
    stage.clock.sleep(Duration::from_secs(9)).await;
    assert_eq!(receive(&mut raw, 1).await, Vec::<Value>::new());
}
