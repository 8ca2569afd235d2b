//! Faults in the framing of an answer: `wrong_content_length`, `bad_chunk`, `clean_cut`, `garbage`.

use std::time::Duration;

use brownout_provider::event::Side;

use super::endings::whole_body;
use super::stage::{MS, Saw, Stage, charge};

/// The same whenever it was made.
fn timeless(text: &str) -> String {
    let Some((before, after)) = text.split_once("\"created\":") else { return text.to_owned() };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}\"created\":{}{rest}", "0".repeat(after.len() - rest.len()))
}

#[tokio::test(start_paused = true)]
async fn more_bytes_are_announced_than_come() {
    let whole = whole_body().await;
    for (then, saw, how) in [("fin", Saw::Fin, "fin"), ("rst", Saw::Rst, "rst")] {
        let stage = Stage::new(&format!("wrong_content_length: {{delta: 7, then: {then}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 201 Created\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", whole.len() + 7)), "{head}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        let (body, end) = raw.rest().await;
        assert_eq!((timeless(&body), end), (timeless(&whole), saw));
        assert_eq!(stage.went_down().await, (0, Side::Provider, how.to_owned()));
        let sent = stage.responses().await;
        assert!(!sent[0].complete && sent[0].unusable.is_some(), "{:?}", sent[0]);
        assert_eq!(stage.effects().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_announced_are_waited_for_until_the_client_closes() {
    let stage = Stage::new("wrong_content_length").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.head().await;
    let whole = whole_body().await;
    assert_eq!(timeless(&raw.bytes(whole.len()).await), timeless(&whole));
    assert!(raw.hears_nothing(&stage.clock, Duration::from_secs(30)).await);
    drop(raw);
    assert_eq!(stage.went_down().await, (30_000 * MS, Side::Client, "fin".to_owned()));
    assert!(!stage.responses().await[0].complete);
}

#[tokio::test(start_paused = true)]
async fn bytes_too_many_stand_before_the_next_answer() {
    let stage = Stage::new("wrong_content_length: {delta: -7}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let answer = raw.answer().await;
    let whole = whole_body().await;
    let came = format!("{}{}", answer.body, raw.bytes(7).await);
    assert_eq!(timeless(&came), timeless(&whole));
    assert_eq!(answer.body.len(), whole.len() - 7);
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "201");
    let sent = stage.responses().await;
    assert!(sent[0].complete && sent[0].unusable.is_some(), "{:?}", sent[0]);
    assert!(sent[1].complete && sent[1].unusable.is_none(), "{:?}", sent[1]);
    assert_eq!(stage.effects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn chunks_are_broken_in_one_thing_each() {
    let whole = whole_body().await;
    let length = whole.len();
    for (kind, rest) in [
        ("missing_last", format!("{length:x}\r\n{whole}\r\n")),
        ("size_line", format!("x\r\n{whole}\r\n0\r\n\r\n")),
    ] {
        let stage = Stage::new(&format!("bad_chunk: {{kind: {kind}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        let head = raw.head().await;
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert!(!head.contains("content-length"), "{head}");
        let (body, end) = raw.rest().await;
        assert_eq!((timeless(&body), end), (timeless(&rest), Saw::Fin), "{kind}");
        assert_eq!(stage.went_down().await, (0, Side::Provider, "fin".to_owned()));
        let sent = stage.responses().await;
        assert!(!sent[0].complete && sent[0].unusable.is_some(), "{:?}", sent[0]);
        assert_eq!(stage.effects().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_cut_is_ended_by_the_close() {
    let whole = whole_body().await;
    for (after_bytes, arrives) in [(0, 0), (20, 20), (9_999, whole.len() - 1)] {
        let stage = Stage::new(&format!("clean_cut: {{after_bytes: {after_bytes}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        let head = raw.head().await;
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert!(!head.contains("content-length") && !head.contains("chunked"), "{head}");
        let (body, end) = raw.rest().await;
        assert_eq!((timeless(&body), end), (timeless(&whole[..arrives]), Saw::Fin));
        let sent = stage.responses().await;
        assert!(sent[0].complete && sent[0].unusable.is_some(), "{:?}", sent[0]);
        assert_eq!(stage.effects().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_cut_in_chunks_has_its_last_one_and_the_connection_lives_on() {
    let stage = Stage::new("clean_cut: {framed: chunked, after_bytes: 20}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let head = raw.head().await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let rest = format!("14\r\n{}\r\n0\r\n\r\n", &whole_body().await[..20]);
    assert_eq!(raw.bytes(rest.len()).await, rest);
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "201");
    let sent = stage.responses().await;
    assert!(sent[0].complete && sent[0].unusable.is_some(), "{:?}", sent[0]);
    assert_eq!(stage.effects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_all_that_comes() {
    for (at, effects) in [("before_commit", 0), ("after_commit", 1)] {
        let stage =
            Stage::new(&format!("garbage: {{bytes: \"\\x00\\x01 no HTTP\", at: {at}}}")).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.rest().await, ("\0\u{1} no HTTP".to_owned(), Saw::Fin));
        assert_eq!(stage.responses().await, []);
        assert_eq!(stage.went_down().await, (0, Side::Provider, "fin".to_owned()));
        assert_eq!(stage.effects().await.len(), effects, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_bytes_go_out_as_slowly_as_any() {
    let stage =
        Stage::new("[{clean_cut: {after_bytes: 60}}, {drip: {bytes: 20, every: 1s}}]").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.head().await;
    assert_eq!(raw.rest().await.0, whole_body().await[..60]);
    assert_eq!(stage.clock.now_us(), 2_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_waited_for_with_100_continue_has_one_head() {
    let stage = Stage::new("clean_cut: {framed: chunked, after_bytes: 3}").await;
    let mut raw = stage.connect().await;
    let all = charge("op-0001", "Expect: 100-continue\r\n");
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    raw.send(format!("{head}\r\n\r\n")).await;
    assert_eq!(raw.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send(body).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 201 Created\r\n"));
    assert_eq!(raw.bytes(13).await.len(), 13);
}
