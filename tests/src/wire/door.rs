//! Faults at the door and at the ends of connections: `refuse`, `early_response`, `close_idle`,
//! `half_close`.

use std::io::ErrorKind;
use std::time::Duration;

use brownout_provider::event::{EventKind, Side};
use tokio::net::TcpStream;

use super::endings::whole_body;
use super::stage::{MS, Saw, Stage, charge};

/// The strikes, as (request, at).
async fn strikes(stage: &Stage) -> Vec<(u64, Option<String>)> {
    let events = stage.events().await.into_iter();
    events
        .filter_map(|event| {
            let EventKind::FaultInjected(strike) = event.kind else { return None };
            Some((strike.request, strike.at.map(|at| at.to_string())))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn nobody_listens_for_a_while_and_then_somebody_does() {
    let stage = Stage::when("during: {from: 1s, to: 3s}", "refuse").await;
    let mut open = stage.connect().await;
    open.charge().await;
    assert_eq!(open.answer().await.status(), "201");
    for (at_s, refused) in [(0, false), (1, true), (2, true), (3, false)] {
        stage.clock.sleep_until_us(at_s * 1_000 * MS).await;
        stage.settle().await;
        let connected = TcpStream::connect(stage.server.addr()).await;
        match connected {
            Ok(_) => assert!(!refused, "after {at_s} s"),
            Err(error) => {
                assert!(refused, "after {at_s} s: {error}");
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            }
        }
    }
    let mut raw = stage.connect().await;
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "201");
    assert_eq!(strikes(&stage).await, [(0, None)], "told once");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_open_is_of_no_use_while_nobody_listens() {
    let stage = Stage::when("during: {from: 1s, to: 3s}", "refuse").await;
    let mut open = stage.connect().await;
    let mut kept = stage.connect().await;
    for raw in [&mut open, &mut kept] {
        raw.charge().await;
        raw.answer().await;
    }
    stage.clock.sleep_until_us(2_000 * MS).await;
    open.charge().await;
    assert_eq!(open.rest().await, (String::new(), Saw::Rst));
    assert_eq!(strikes(&stage).await, [(0, None), (3, Some("accept".to_owned()))]);
    assert_eq!(stage.effects().await.len(), 2);
    stage.clock.sleep_until_us(3_000 * MS).await;
    kept.charge().await;
    assert_eq!(kept.answer().await.status(), "201");
}

#[tokio::test(start_paused = true)]
async fn an_early_response_comes_before_the_upload_and_ends_the_connection() {
    for code in ["503", "413"] {
        let stage = Stage::new(&format!("early_response: {{code: {code}}}")).await;
        let mut raw = stage.connect().await;
        let all = charge("op-0001", "");
        raw.send(&all[..all.len() - 20]).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), code);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(answer.json()["error"].is_object(), "{answer:?}");
        assert_eq!(raw.rest().await, (String::new(), Saw::Fin));
        // Whoever goes on writing is not torn down.
        raw.send(&all[all.len() - 20..]).await;
        assert_eq!(stage.effects().await, []);
        let sent = stage.responses().await;
        assert!(sent[0].complete, "{:?}", sent[0]);
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201", "the second attempt is not struck");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_upload_can_be_written_to_its_end_after_the_early_response() {
    let stage = Stage::new("early_response").await;
    let mut raw = stage.connect().await;
    let head = "POST /~op-0001.1/v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
                Content-Type: application/json\r\nContent-Length: 8000000\r\n\r\n";
    raw.send(head).await;
    let piece = vec![b' '; 1_000_000];
    for _ in 0..8 {
        raw.send(&piece).await;
    }
    let (answer, saw) = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(saw, Saw::Fin);
    assert_eq!(stage.effects().await, []);
}

#[tokio::test(start_paused = true)]
async fn only_a_connection_that_is_used_again_is_closed_under_the_next_request() {
    let stage = Stage::when("operation: 2", "close_idle").await;
    let mut fresh = stage.connect().await;
    let mut used = stage.connect().await;
    used.send(charge("op-0001", "")).await;
    assert_eq!(used.answer().await.status(), "201");
    fresh.send(charge("op-0002", "")).await;
    assert_eq!(fresh.answer().await.status(), "201", "a new connection is not struck");
    used.send(charge("op-0002", "")).await;
    assert_eq!(used.rest().await, (String::new(), Saw::Fin));
    assert_eq!(strikes(&stage).await, [(3, Some("accept".to_owned()))]);
    assert_eq!(stage.effects().await.len(), 2, "it was not read");
    let ends = stage.ends().await;
    assert_eq!(
        (ends[0].1.request, ends[0].1.by, &*ends[0].1.how),
        (Some(3), Side::Provider, "fin")
    );
}

#[tokio::test(start_paused = true)]
async fn after_half_a_close_all_that_is_written_is_taken() {
    for (at, effects) in [("accept", 0), ("before_commit", 0), ("after_commit", 1)] {
        let stage = Stage::new(&format!("half_close: {{at: {at}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.rest().await, (String::new(), Saw::Fin), "{at}");
        assert_eq!(stage.went_down().await, (0, Side::Provider, "half_close".to_owned()));
        // Minutes later the connection still takes what comes, and answers nothing.
        for minute in 1..=3 {
            stage.clock.sleep_until_us(minute * 60_000 * MS).await;
            raw.send(charge("op-0002", "")).await;
        }
        assert!(raw.hears_no_reset(&stage.clock, Duration::from_secs(5)).await, "{at}");
        assert_eq!(stage.effects().await.len(), effects, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_close_in_the_middle_of_the_body_shows_the_beginning() {
    let stage = Stage::new("half_close: {at: mid_body, after_bytes: 20}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.head().await;
    assert_eq!(raw.rest().await, (whole_body().await[..20].to_owned(), Saw::Fin));
    let sent = stage.responses().await;
    assert!(!sent[0].complete, "{:?}", sent[0]);
}

#[tokio::test(start_paused = true)]
async fn a_door_that_cannot_be_opened_again_is_an_error_of_the_run() {
    let stage = Stage::when("during: {from: 1s, to: 3s}", "refuse").await;
    let mut open = stage.connect().await;
    open.charge().await;
    open.answer().await;
    let deafened = stage.server.deafened();
    stage.clock.sleep_until_us(2_000 * MS).await;
    stage.settle().await;
    // Another program takes the port while nobody listens there.
    let other = tokio::net::TcpSocket::new_v4().expect("a socket");
    other.set_reuseaddr(true).expect("an option");
    other.bind(stage.server.addr()).expect("nobody listens");
    let _other = other.listen(1).expect("nobody listens");
    deafened.await;
    let error = stage.server.shutdown().await.expect_err("nobody was let in any more");
    assert!(error.to_string().contains("cannot listen again"), "{error}");
}
