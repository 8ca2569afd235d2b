//! Faults that end the connection: `reset`, `close`, `truncate`, `hang`, at every point.

use std::time::Duration;

use brownout_provider::event::Side;

use super::stage::{MS, Raw, Saw, Stage, charge};

/// What the payments API answers to the charge of these tests, whole.
pub(super) async fn whole_body() -> String {
    let stage = Stage::calm().await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.answer().await.body
}

/// The head announces all of the body, and so many bytes of it follow.
async fn expect_part(raw: &mut Raw, bytes: usize) -> Saw {
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 201 Created\r\n"), "{head}");
    let whole = whole_body().await;
    assert!(head.contains(&format!("content-length: {}\r\n", whole.len())), "{head}");
    let (body, saw) = raw.rest().await;
    assert_eq!(body.len(), bytes);
    assert!(whole.starts_with(&body), "{body}");
    saw
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_and_the_work_is_done_only_after_the_commit() {
    for (fault, saw, how) in [("reset", Saw::Rst, "rst"), ("close", Saw::Fin, "fin")] {
        for (at, effects) in [("accept", 0), ("before_commit", 0), ("after_commit", 1)] {
            let stage = Stage::new(&format!("{fault}: {{at: {at}}}")).await;
            let mut raw = stage.connect().await;
            raw.charge().await;
            assert_eq!(raw.rest().await, (String::new(), saw), "{fault} {at}");
            assert_eq!(stage.effects().await.len(), effects, "{fault} {at}");
            assert_eq!(stage.went_down().await, (0, Side::Provider, how.to_owned()));
            assert_eq!(stage.responses().await, [], "{fault} {at}");
            // The second attempt on a new connection is not struck.
            let mut raw = stage.connect().await;
            raw.charge().await;
            assert_eq!(raw.answer().await.status(), "201");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_accept_the_body_is_not_waited_for() {
    for (fault, saw) in [("reset", Saw::Rst), ("close", Saw::Fin)] {
        let stage = Stage::new(&format!("{fault}: {{at: accept}}")).await;
        let mut raw = stage.connect().await;
        let all = charge("op-0001", "");
        raw.send(&all[..all.len() - 20]).await;
        assert_eq!(raw.rest().await, (String::new(), saw));
        assert_eq!(stage.went_down().await.1, Side::Provider);
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_middle_of_the_body_exactly_so_many_bytes_arrive() {
    for (fault, saw, how) in [("reset", Saw::Rst, "rst"), ("close", Saw::Fin, "fin")] {
        for bytes in [0, 1, 20] {
            let inject = format!("{fault}: {{at: mid_body, after_bytes: {bytes}}}");
            let stage = Stage::new(&inject).await;
            let mut raw = stage.connect().await;
            raw.charge().await;
            assert_eq!(expect_part(&mut raw, bytes).await, saw, "{inject}");
            let sent = stage.responses().await;
            assert_eq!(sent.len(), 1);
            assert!(!sent[0].complete && sent[0].unusable.is_some(), "{:?}", sent[0]);
            assert_eq!(sent[0].body_bytes, u64::try_from(bytes).unwrap());
            assert_eq!(stage.effects().await.len(), 1);
            assert_eq!(stage.went_down().await, (0, Side::Provider, how.to_owned()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_ends_in_each_way() {
    for (then, saw) in [("fin", Saw::Fin), ("rst", Saw::Rst)] {
        let stage = Stage::new(&format!("truncate: {{after_bytes: 20, then: {then}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(expect_part(&mut raw, 20).await, saw);
        assert_eq!(stage.went_down().await, (0, Side::Provider, then.to_owned()));
        assert_eq!(stage.effects().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_said_to_be_cut_never_arrives_whole() {
    let whole = whole_body().await.len();
    for fault in ["reset: {at: mid_body, ", "close: {at: mid_body, ", "truncate: {then: rst, "] {
        for after_bytes in [whole - 1, whole, whole + 1_000_000] {
            let stage = Stage::new(&format!("{fault}after_bytes: {after_bytes}}}")).await;
            let mut raw = stage.connect().await;
            raw.charge().await;
            let head = raw.head().await;
            assert!(head.contains(&format!("content-length: {whole}\r\n")), "{head}");
            assert_eq!(raw.rest().await.0.len(), whole - 1, "{fault}{after_bytes}");
            let sent = stage.responses().await;
            assert!(!sent[0].complete && sent[0].unusable.is_some(), "{fault}: {:?}", sent[0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_that_stalls_lasts_until_the_client_closes() {
    let stage = Stage::new("truncate: {after_bytes: 20, then: stall}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.head().await;
    assert!(whole_body().await.starts_with(&raw.bytes(20).await));
    assert!(raw.hears_nothing(&stage.clock, Duration::from_secs(3_600)).await);
    raw.reset();
    let hour_us = 3_600_000 * MS;
    assert_eq!(stage.went_down().await, (hour_us, Side::Client, "rst".to_owned()));
    assert_eq!(stage.responses().await[0].end_at_us, hour_us);
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_silent_until_the_client_closes_which_is_heard_at_once() {
    for (at, effects) in [("accept", 0), ("before_commit", 0), ("after_commit", 1)] {
        let stage = Stage::new(&format!("hang: {{at: {at}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert!(raw.hears_nothing(&stage.clock, Duration::from_secs(30)).await, "{at}");
        assert_eq!(stage.effects().await.len(), effects, "{at}");
        assert_eq!(stage.ends().await, [], "{at}");
        drop(raw);
        assert_eq!(stage.went_down().await, (30_000 * MS, Side::Client, "fin".to_owned()), "{at}");
        assert_eq!(stage.effects().await.len(), effects, "{at}: closing changes nothing");
        assert_eq!(stage.responses().await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_in_the_body_shows_half_of_it() {
    let stage = Stage::new("hang: {at: mid_body}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let whole = whole_body().await;
    raw.head().await;
    assert_eq!(raw.bytes(whole.len() / 2).await, whole[..whole.len() / 2]);
    assert!(raw.hears_nothing(&stage.clock, Duration::from_secs(30)).await);
    drop(raw);
    assert_eq!(stage.went_down().await, (30_000 * MS, Side::Client, "fin".to_owned()));
    let sent = stage.responses().await;
    assert!(!sent[0].complete && sent[0].head_at_us == 0, "{sent:?}");
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hang_before_the_work_keeps_the_key_in_progress_until_the_client_closes() {
    let stage = Stage::new("hang").await;
    let key = "Idempotency-Key: k-1\r\n";
    let mut hung = stage.connect().await;
    hung.send(charge("op-0001", key)).await;
    assert!(hung.hears_nothing(&stage.clock, Duration::from_secs(1)).await);
    let mut raw = stage.connect().await;
    raw.send(charge("op-0001", key)).await;
    assert_eq!(raw.answer().await.status(), "409");
    drop(hung);
    stage.server.idle().await;
    raw.send(charge("op-0001", key)).await;
    assert_eq!(raw.answer().await.status(), "201");
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_the_same_key_gets_the_provider_s_own() {
    for fault in ["reset: {at: after_commit}", "hang: {at: after_commit}", "close: {at: mid_body}"]
    {
        let stage = Stage::new(fault).await;
        let key = "Idempotency-Key: k-1\r\n";
        let mut lost = stage.connect().await;
        lost.send(charge("op-0001", key)).await;
        stage.server.idle().await;
        drop(lost);
        let mut raw = stage.connect().await;
        raw.send(charge("op-0001", key)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), "201", "{fault}");
        assert_eq!(answer.header("idempotent-replayed"), Some("true"), "{fault}");
        assert_eq!(stage.effects().await.len(), 1, "{fault}");
    }
}
