//! What clients may send: old HTTP, no HTTP, too much, half of it, several at once.

use brownout_provider::event::Side;

use super::stage::{Saw, Stage, charge};

#[tokio::test(start_paused = true)]
async fn http_1_0_gets_an_answer_and_a_close() {
    let stage = Stage::calm().await;
    let mut raw = stage.connect().await;
    raw.send(charge("op-0001", "").replace("HTTP/1.1", "HTTP/1.0")).await;
    let (bytes, saw) = raw.rest().await;
    assert!(bytes.starts_with("HTTP/1.0 201 Created\r\n"), "{bytes}");
    assert_eq!(saw, Saw::Fin);
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_also_behind_a_slow_one() {
    let stage = Stage::new("latency: {fixed: 50ms}").await;
    let mut raw = stage.connect().await;
    let all = ["op-0001", "op-0002", "op-0001"].map(|operation| charge(operation, ""));
    raw.send(all.concat()).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(raw.answer().await.json()["id"].to_string());
    }
    let effects = stage.effects().await;
    let committed: Vec<String> = effects
        .iter()
        .map(|(_, effect)| format!("\"{}\"", effect.object.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(ids, committed);
    let times: Vec<u64> = effects.iter().map(|(at_us, _)| *at_us).collect();
    assert_eq!(
        times,
        [50_000, 100_000, 100_000],
        "the third is a second attempt, which is not struck"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_is_refused_and_on_record() {
    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (bytes, status) in [
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3} a TLS greeting\r\n\r\n", "400"),
        ("GET /v1/charges\r\n\r\n", "400"),
        ("POST /v1/charges HTTP/1.1\r\nContent-Length: many\r\n\r\n", "400"),
        (&huge, "431"),
    ] {
        let stage = Stage::calm().await;
        let mut raw = stage.connect().await;
        raw.send(bytes).await;
        let (answer, saw) = raw.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:.40}: {answer}");
        assert_eq!(saw, Saw::Fin);
        let ends = stage.ends().await;
        assert_eq!(ends.len(), 1, "{ends:?}");
        assert_eq!((ends[0].1.by, &*ends[0].1.how), (Side::Provider, "bad_request"));
        // Nothing is broken by it.
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_100_mb_ends_cleanly_for_a_client_that_writes_before_it_reads() {
    let stage = Stage::calm().await;
    let mut raw = stage.connect().await;
    let (pieces, piece) = (100, vec![b'x'; 1_000_000]);
    raw.send("POST /v1/charges HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    for _ in 0..pieces {
        raw.send(&piece).await;
    }
    let (answer, saw) = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
    assert!(answer.contains("larger than 16777216 bytes"), "{answer}");
    assert_eq!(saw, Saw::Fin);
    let ends = stage.ends().await;
    assert_eq!((ends[0].1.by, &*ends[0].1.how), (Side::Provider, "too_large"));
    assert_eq!(stage.effects().await, []);
}

#[tokio::test(start_paused = true)]
async fn half_a_request_commits_nothing_and_holds_nothing_up() {
    let all = charge("op-0001", "");
    for end in [1, 10, all.len() - 60, all.len() - 1] {
        let stage = Stage::calm().await;
        let mut raw = stage.connect().await;
        raw.send(&all[..end]).await;
        stage.server.idle().await;
        drop(raw);
        let ends = stage.ends().await;
        assert_eq!(ends.len(), 1, "{ends:?}");
        assert_eq!((ends[0].1.by, &*ends[0].1.how, ends[0].1.request), (Side::Client, "fin", None));
        assert_eq!(stage.effects().await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_written_before_its_client_died_counts() {
    let stage = Stage::calm().await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    drop(raw);
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_connections_are_served_side_by_side() {
    let stage = Stage::new("latency: {fixed: 50ms}").await;
    let mut lines = Vec::new();
    for n in 1..=100 {
        let mut raw = stage.connect().await;
        raw.send(charge(&format!("op-{n:04}"), "")).await;
        lines.push(raw);
    }
    for raw in &mut lines {
        assert_eq!(raw.answer().await.status(), "201");
    }
    assert_eq!(stage.clock.now_us(), 50_000, "all at once");
    assert_eq!(stage.effects().await.len(), 100);
}
