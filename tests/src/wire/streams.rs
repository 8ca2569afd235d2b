//! Server-sent events: one chunk an event, and every way in which a stream goes wrong.

use std::time::Duration;

use brownout_provider::event::Side;
use brownout_provider::sse;
use tokio::io::AsyncReadExt;

use super::stage::{MS, Raw, Saw, Stage};

/// How a body in chunks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With its last chunk, as HTTP wants it.
    InOrder,
    /// In the middle of the framing.
    Broken(Saw),
}

/// A provider of a vendor's streams under one rule, or under none.
async fn stage(call: &str, inject: &str) -> Stage {
    let faults = if inject.is_empty() {
        String::new()
    } else {
        format!(
            "faults:\n  - name: struck\n    when: {{route: {call}, attempt: 1}}\n    inject: {{{inject}}}\n"
        )
    };
    Stage::with("openai", call, &faults).await
}

/// Asks for a stream, in the name of the first operation.
async fn ask(raw: &mut Raw, path: &str, body: &str) {
    let length = body.len();
    raw.send(format!(
        "POST /~op-0001.1{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\nContent-Type: \
         application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
}

async fn ask_chat(raw: &mut Raw) {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"?"}],"stream":true}"#;
    ask(raw, "/v1/chat/completions", body).await;
}

async fn ask_response(raw: &mut Raw) {
    ask(raw, "/v1/responses", r#"{"model":"m","input":"?","stream":true}"#).await;
}

/// Reads one line without its end; `None` where the connection ended.
async fn line(raw: &mut Raw) -> Result<String, Saw> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        match raw.stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Saw::Fin);
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return Err(Saw::Rst);
            }
            Err(error) => panic!("{error}"),
        }
    }
    bytes.truncate(bytes.len() - 2);
    Ok(String::from_utf8(bytes).expect("a line is ASCII"))
}

/// Reads a body chunk by chunk.
async fn chunks(raw: &mut Raw) -> (Vec<Vec<u8>>, Ended) {
    let mut chunks = Vec::new();
    loop {
        let length = match line(raw).await {
            Ok(text) => usize::from_str_radix(&text, 16).expect("a length in hexadecimal digits"),
            Err(saw) => return (chunks, Ended::Broken(saw)),
        };
        let mut chunk = vec![0; length];
        raw.stream.read_exact(&mut chunk).await.expect("the chunk came");
        assert_eq!(line(raw).await.expect("a line ends"), "");
        if length == 0 {
            return (chunks, Ended::InOrder);
        }
        chunks.push(chunk);
    }
}

/// The head of a stream and its chunks.
async fn stream(raw: &mut Raw) -> (Vec<Vec<u8>>, Ended) {
    let head = raw.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("content-type: text/event-stream; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    chunks(raw).await
}

/// What the events of a stream carry, without the second in which it was made.
fn data(chunks: &[Vec<u8>]) -> Vec<String> {
    let timeless = |data: String| match data.split_once(r#""created":"#) {
        Some((before, rest)) => {
            let zeros: String = rest
                .chars()
                .map(|digit| if digit.is_ascii_digit() { '0' } else { digit })
                .collect();
            format!(r#"{before}"created":{zeros}"#)
        }
        None => data,
    };
    sse::events(&chunks.concat()).into_iter().map(|event| timeless(event.data)).collect()
}

/// A chat completion as it comes without faults, event by event.
async fn calm_chat() -> Vec<String> {
    let stage = stage("create_chat_completion", "").await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    data(&stream(&mut raw).await.0)
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_chunk_an_event_and_ends_as_the_vendor_ends_it() {
    let stage = stage("create_chat_completion", "").await;
    let mut raw = stage.connect().await;
    for _ in 0..2 {
        ask_chat(&mut raw).await;
        let (chunks, ended) = stream(&mut raw).await;
        assert_eq!((chunks.len(), ended), (7, Ended::InOrder));
        assert!(
            chunks.iter().all(|chunk| chunk.starts_with(b"data: ") && chunk.ends_with(b"\n\n"))
        );
        let data = data(&chunks);
        assert!(data[0].contains(r#""role":"assistant""#), "{data:?}");
        assert!(data[4].contains(r#""content":" ✓""#), "{data:?}");
        assert!(data[5].contains(r#""finish_reason":"stop""#), "{data:?}");
        assert_eq!(data[6], "[DONE]");
    }
    let sent = stage.responses().await;
    assert!(sent.iter().all(|one| one.complete && one.unusable.is_none()), "{sent:?}");
    assert_eq!(sent[0].effects, [1]);
    let bytes: usize = calm_chat().await.iter().map(|data| data.len() + "data: \n\n".len()).sum();
    assert_eq!(sent[0].body_bytes, u64::try_from(bytes).unwrap());
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_no_stream_gets_none_and_is_not_struck() {
    let stage = stage("create_chat_completion", "stream: {kind: cut, after: 1, then: rst}").await;
    let mut raw = stage.connect().await;
    ask(
        &mut raw,
        "/v1/chat/completions",
        r#"{"model":"m","messages":[{"role":"user","content":"?"}]}"#,
    )
    .await;
    let answer = raw.answer().await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "All is well ✓");
    let sent = stage.responses().await;
    assert!(sent[0].rule.is_none() && sent[0].complete, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_client_that_knows_no_chunks_gets_the_whole_stream_by_its_length() {
    let stage = stage("create_chat_completion", "").await;
    let mut raw = stage.connect().await;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"?"}],"stream":true}"#;
    raw.send(format!(
        "POST /~op-0001.1/v1/chat/completions HTTP/1.0\r\nAuthorization: Bearer sk\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let (all, saw) = raw.rest().await;
    assert_eq!(saw, Saw::Fin);
    let (head, stream) = all.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_lowercase().contains("chunked"), "{head}");
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
    assert!(stage.responses().await[0].complete);
}

#[tokio::test(start_paused = true)]
async fn a_cut_leaves_exactly_so_many_events_and_each_way_of_ending_is_seen() {
    let whole = calm_chat().await;
    for (then, expected) in [
        ("fin", Ended::Broken(Saw::Fin)),
        ("rst", Ended::Broken(Saw::Rst)),
        ("clean", Ended::InOrder),
    ] {
        for (after, events) in [(0, 0), (1, 1), (3, 3), (99, 6)] {
            let inject = format!("stream: {{kind: cut, after: {after}, then: {then}}}");
            let stage = stage("create_chat_completion", &inject).await;
            let mut raw = stage.connect().await;
            ask_chat(&mut raw).await;
            if events == 0 && then == "clean" {
                // Nothing at all is no stream, but an answer without a body.
                assert!(raw.head().await.to_lowercase().contains("content-length: 0\r\n"));
            } else {
                let (chunks, ended) = stream(&mut raw).await;
                assert_eq!(
                    (data(&chunks), ended),
                    (whole[..events].to_vec(), expected),
                    "{inject}"
                );
            }
            let sent = stage.responses().await;
            assert_eq!(sent[0].complete, then == "clean", "{inject}: {sent:?}");
            let said = sent[0].unusable.clone().expect("half an answer is none");
            assert!(said.contains("without the last one"), "{said}");
            assert!(sent[0].effects.is_empty() && stage.effects().await.len() == 1, "{inject}");
            if then != "clean" {
                assert_eq!(
                    stage.went_down().await,
                    (0, Side::Provider, then.to_owned()),
                    "{inject}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_is_silent_until_the_client_closes() {
    let stage = stage("create_chat_completion", "stream: {kind: stall, after: 2}").await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    raw.head().await;
    let whole = calm_chat().await;
    for expected in &whole[..2] {
        let length =
            usize::from_str_radix(&line(&mut raw).await.expect("a chunk"), 16).expect("hex");
        let event = raw.bytes(length).await.into_bytes();
        assert_eq!(data(&[event]), [expected.as_str()]);
        line(&mut raw).await.expect("a line ends");
    }
    assert!(raw.hears_nothing(&stage.clock, Duration::from_secs(3_600)).await);
    drop(raw);
    assert_eq!(stage.went_down().await, (3_600_000 * MS, Side::Client, "fin".to_owned()));
    let sent = stage.responses().await;
    assert!(!sent[0].complete && sent[0].unusable.is_some(), "{sent:?}");
}

/// The events of a chat completion under a fault, whose stream ends in order; and why nobody can use it.
async fn struck_chat(inject: &str) -> (Vec<String>, Option<String>) {
    let stage = stage("create_chat_completion", inject).await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    let (chunks, ended) = stream(&mut raw).await;
    assert_eq!(ended, Ended::InOrder, "{inject}");
    let sent = stage.responses().await;
    assert_eq!(sent[0].rule.as_deref(), Some("struck"), "{inject}");
    (data(&chunks), sent[0].unusable.clone())
}

#[tokio::test(start_paused = true)]
async fn an_event_may_be_garbage_or_an_error_or_missing() {
    let whole = calm_chat().await;
    let (garbage, why) = struck_chat("stream: {kind: garbage_event, after: 2}").await;
    assert_eq!((garbage.len(), &garbage[..2], &garbage[3..]), (7, &whole[..2], &whole[3..]));
    assert!(whole[2].starts_with(&garbage[2]) && garbage[2] != whole[2], "{garbage:?}");
    assert!(why.expect("unusable").contains("event 3 of the stream is no JSON"));

    let (error, why) = struck_chat("stream: {kind: error_event, after: 3}").await;
    assert_eq!((error.len(), &error[..3]), (4, &whole[..3]));
    assert!(error[3].contains(r#""type":"server_error""#), "{error:?}");
    assert!(why.expect("unusable").contains("without the last one"));

    let (open, why) = struck_chat("stream: no_terminator").await;
    assert_eq!(open, whole[..6]);
    assert!(why.expect("unusable").contains("without the last one"));
}

#[tokio::test(start_paused = true)]
async fn what_nothing_numbers_may_come_twice_or_in_another_order() {
    let whole = calm_chat().await;
    let (twice, why) = struck_chat("stream: {kind: duplicate_event, after: 2}").await;
    assert_eq!((twice.len(), &twice[2], &twice[3], why), (8, &whole[2], &whole[2], None));
    let (turned, why) = struck_chat("stream: {kind: reordered_events, after: 2}").await;
    assert_eq!((turned.len(), &turned[2], &turned[3], why), (7, &whole[3], &whole[2], None));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_counts_its_events_shows_what_came_twice_or_in_another_order() {
    for (kind, numbers) in
        [("duplicate_event", vec![0, 1, 2, 3, 3, 4]), ("reordered_events", vec![0, 1, 2, 4, 3, 5])]
    {
        let inject = format!("stream: {{kind: {kind}, after: 3}}");
        let stage = stage("create_response", &inject).await;
        let mut raw = stage.connect().await;
        ask_response(&mut raw).await;
        let events = data(&stream(&mut raw).await.0);
        let found: Vec<u64> = events
            .iter()
            .take(numbers.len())
            .map(|data| serde_json::from_str::<serde_json::Value>(data).expect("JSON"))
            .map(|event| event["sequence_number"].as_u64().expect("a number"))
            .collect();
        assert_eq!(found, numbers, "{kind}");
        let why = stage.responses().await[0].unusable.clone().expect("unusable");
        assert!(why.contains("was due"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn characters_are_cut_in_two_and_nothing_is_lost() {
    let whole = calm_chat().await;
    let stage = stage("create_chat_completion", "stream: split_utf8").await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    let (chunks, ended) = stream(&mut raw).await;
    assert_eq!((data(&chunks), ended), (whole, Ended::InOrder));
    let torn = chunks.iter().filter(|chunk| std::str::from_utf8(chunk).is_err()).count();
    assert_eq!((chunks.len(), torn), (8, 2), "{chunks:?}");
    let sent = stage.responses().await;
    assert!(sent[0].complete && sent[0].unusable.is_none(), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_ran_out_of_length_says_so_in_the_words_of_each_vendor() {
    let (short, why) = struck_chat("stream: length").await;
    assert_eq!(short.len(), 6);
    assert!(short[4].contains(r#""finish_reason":"length""#), "{short:?}");
    assert_eq!(short[5], "[DONE]");
    assert_eq!(
        why.as_deref(),
        Some("no event of the stream has one of \"stop\" at /choices/0/finish_reason")
    );

    let stage = stage("create_response", "stream: length").await;
    let mut raw = stage.connect().await;
    ask_response(&mut raw).await;
    let (chunks, _) = stream(&mut raw).await;
    let events = sse::events(&chunks.concat());
    let last = events.last().expect("events came");
    assert_eq!(last.name.as_deref(), Some("response.incomplete"));
    assert!(last.data.contains(r#""status":"incomplete""#), "{last:?}");
    let why = stage.responses().await[0].unusable.clone().expect("unusable");
    assert!(why.contains("/response/status"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn slow_tokens_come_each_after_its_pause() {
    let stage = stage("create_chat_completion", "slow_tokens: {every: 1s}").await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    let (chunks, ended) = stream(&mut raw).await;
    assert_eq!((chunks.len(), ended), (7, Ended::InOrder));
    let sent = stage.responses().await;
    assert_eq!((sent[0].head_at_us, sent[0].end_at_us), (0, 6_000 * MS));
    assert!(sent[0].unusable.is_none());
}

#[tokio::test(start_paused = true)]
async fn faults_that_know_nothing_of_streams_strike_them_as_well() {
    for (inject, saw) in [
        ("truncate: {after_bytes: 20, then: rst}", Saw::Rst),
        ("close: {at: mid_body, after_bytes: 20}", Saw::Fin),
    ] {
        let stage = stage("create_chat_completion", inject).await;
        let mut raw = stage.connect().await;
        ask_chat(&mut raw).await;
        raw.head().await;
        let length = line(&mut raw).await.expect("the length of the first chunk");
        assert!(usize::from_str_radix(&length, 16).expect("hex") > 20);
        let (rest, ended) = raw.rest().await;
        assert_eq!((rest.len(), ended), (20, saw), "{inject}");
        assert_eq!(stage.responses().await[0].body_bytes, 20);
    }
    // An error comes as an error: nothing of a stream has begun.
    let stage = stage("create_chat_completion", "status: {code: 503}").await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    assert_eq!(raw.answer().await.status(), "503");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stands_still_over_a_stream_has_half_of_it() {
    let stage = stage("create_chat_completion", "pause_client: {for: 1s, at: mid_body}").await;
    let mut raw = stage.connect().await;
    ask_chat(&mut raw).await;
    let (halves, ended) = stream(&mut raw).await;
    assert_eq!((halves.len(), ended), (2, Ended::InOrder));
    let (first, second) = (sse::events(&halves[0]).len(), sse::events(&halves[1]).len());
    assert!(first > 1 && second > 1, "{first} and {second} events");
    // Whoever drives the client needs a moment between them.
    assert_eq!(stage.clock.now_us() / MS, 20);
}
