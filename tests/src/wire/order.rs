//! Duplicates and order: requests that come late or again, work that is seen late or never done, reads that
//! lag behind, uploads that are read slowly.

use std::time::Duration;

use brownout_provider::event::{Event, EventKind, Side};
use tokio::io::AsyncWriteExt;

use super::stage::{MS, Raw, Stage, charge};

/// The strikes of a run: fault and point.
fn strikes(events: &[Event]) -> Vec<(String, String)> {
    let told = events.iter().filter_map(|event| {
        let EventKind::FaultInjected(strike) = &event.kind else { return None };
        Some((strike.fault.to_string(), strike.at.as_deref().unwrap_or_default().to_owned()))
    });
    told.collect()
}

fn get(path: &str) -> String {
    format!("GET /~op-0001.1{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n")
}

impl Raw {
    async fn get(&mut self, path: &str) -> super::stage::Answer {
        self.send(get(path)).await;
        self.answer().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_request_arrives_again_behind_later_ones_and_charges_again_without_a_key() {
    for (key, effects) in [("", 3), ("Idempotency-Key: k-1\r\n", 2)] {
        let stage = Stage::when("operation: 1, attempt: 1", "delayed_duplicate: {after: 3s}").await;
        let mut raw = stage.connect().await;
        raw.send(charge("op-0001", key)).await;
        assert_eq!(raw.answer().await.status(), "201");
        raw.send(charge("op-0002", "")).await;
        assert_eq!(raw.answer().await.status(), "201");
        let events = stage.events().await;
        let again: Vec<_> = events
            .iter()
            .filter_map(|event| {
                let EventKind::RequestReceived(request) = &event.kind else { return None };
                let late = (event.at_us, request.operation.clone(), request.attempt);
                (request.by == Side::Provider).then_some(late)
            })
            .collect();
        assert_eq!(again, [(3_000 * MS, Some("op-0001".into()), 1)]);
        let committed = stage.effects().await;
        assert_eq!(committed.len(), effects, "{key}");
        let late: Vec<_> = committed.iter().filter(|(_, one)| one.by == Side::Provider).collect();
        assert!(late.iter().all(|(at_us, _)| *at_us == 3_000 * MS));
        assert_eq!(late.len(), effects - 2);
        assert_eq!(strikes(&events), [("delayed_duplicate".to_owned(), "accept".to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_later_overtakes_a_request_that_is_held_back() {
    let stage = Stage::when("operation: 1, attempt: 1", "reorder: {by: 2s}").await;
    let (mut first, mut second) = (stage.connect().await, stage.connect().await);
    first.send(charge("op-0001", "Idempotency-Key: k-1\r\n")).await;
    stage.settle().await;
    second.send(charge("op-0002", "")).await;
    assert_eq!(second.answer().await.status(), "201");
    // The client tries again meanwhile: nobody knows of the first attempt yet.
    second.send(charge("op-0001", "Idempotency-Key: k-1\r\n")).await;
    let again = second.answer().await;
    assert_eq!((again.status(), stage.clock.now_us()), ("201", 0));
    let late = first.answer().await;
    assert_eq!(stage.clock.now_us(), 2_000 * MS);
    assert_eq!(late.header("idempotent-replayed"), Some("true"));
    assert_eq!(late.json()["id"], again.json()["id"]);
    let committed = stage.effects().await;
    let order: Vec<_> = committed.iter().map(|(_, one)| (&*one.operation, one.request)).collect();
    assert_eq!(order, [("op-0002", 2), ("op-0001", 3)]);
    let struck = strikes(&stage.events().await);
    assert_eq!(struck, [("reorder".to_owned(), "accept".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_held_back_is_done_also_when_its_client_has_gone() {
    let stage = Stage::new("reorder: {by: 2s}").await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    stage.settle().await;
    drop(raw);
    assert_eq!(stage.effects().await[0].0, 2_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_lags_behind_shows_what_was_there() {
    let rules = "  - {name: stale, when: {method: GET}, inject: {stale_read: {lag: 2s}}}\n";
    let stage = Stage::under(rules).await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let id = raw.answer().await.json()["id"].as_str().expect("an id").to_owned();
    let one = format!("/v1/charges/{id}");
    let missing = raw.get(&one).await;
    assert_eq!(
        (missing.status(), missing.json()["error"]["code"].as_str()),
        ("404", Some("not_found"))
    );
    let list = raw.get("/v1/charges?order=order-1").await;
    assert_eq!(list.json()["data"], serde_json::json!([]));
    stage.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(raw.get(&one).await.json()["status"], "succeeded");
    assert_eq!(raw.get("/v1/charges").await.json()["data"][0]["id"], id);
    raw.send(refund(&id)).await;
    assert_eq!(raw.answer().await.status(), "201");
    assert_eq!(raw.get(&one).await.json()["status"], "succeeded", "as it was before the refund");
    stage.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(raw.get(&one).await.json()["status"], "refunded");
    let struck = strikes(&stage.events().await);
    assert_eq!(struck.len(), 3, "a read that shows the same was not struck: {struck:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_and_dropped_is_never_done_and_says_so() {
    let stage = Stage::new("accept_then_drop").await;
    let mut raw = stage.connect().await;
    raw.send(charge("op-0001", "Idempotency-Key: k-1\r\n")).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status(), answer.json()["status"].as_str()), ("202", Some("pending")));
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(raw.get(&format!("/v1/charges/{id}")).await.status(), "404");
    let sent = stage.responses().await;
    assert!(sent[0].unusable.as_deref().is_some_and(|why| why.contains("/status")), "{sent:?}");
    assert!(stage.effects().await.is_empty());
    raw.send(charge("op-0001", "Idempotency-Key: k-1\r\n")).await;
    assert_eq!(raw.answer().await.status(), "201", "no key was kept");
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_work_is_answered_at_once_and_seen_later() {
    let stage = Stage::new("slow_commit: {by: 2s}").await;
    let mut raw = stage.connect().await;
    raw.send(charge("op-0001", "Idempotency-Key: k-1\r\n")).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status(), stage.clock.now_us()), ("201", 0));
    let path = format!("/v1/charges/{}", answer.json()["id"].as_str().expect("an id"));
    assert_eq!(raw.get(&path).await.status(), "404");
    raw.send(charge("op-0001", "Idempotency-Key: k-1\r\n")).await;
    let again = raw.answer().await;
    assert_eq!(again.json()["id"], answer.json()["id"], "its answer is kept");
    // A run is over only when the work is done.
    let committed = stage.effects().await;
    let [(at_us, effect)] = &committed[..] else { panic!("{committed:?}") };
    assert_eq!((*at_us, effect.request, effect.by), (2_000 * MS, 1, Side::Client));
    assert_eq!(stage.responses().await[0].effects, [effect.effect]);
    assert_eq!(raw.get(&path).await.status(), "200");
    let struck = strikes(&stage.events().await);
    assert_eq!(struck, [("slow_commit".to_owned(), "after_commit".to_owned())]);
}

/// A charge with a body of so many bytes.
fn large(operation: &str, bytes: usize) -> String {
    let body = format!(
        r#"{{"amount":1999,"currency":"usd","order":"order-1","note":"{}"}}"#,
        "x".repeat(bytes)
    );
    format!(
        "POST {operation}/v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_read_as_slowly_as_is_said() {
    // The operation is told by the URL, or by the body alone.
    for operation in ["/~op-0001.1", ""] {
        let stage = Stage::new("slow_read: {per_second: 1KiB}").await;
        let mut raw = stage.connect().await;
        let request = large(operation, 4_000);
        let body = request.split("\r\n\r\n").nth(1).expect("a body").len();
        raw.send(&request).await;
        assert_eq!(raw.answer().await.status(), "201");
        let expected = u64::try_from(body).expect("small") * 1_000_000 / 1_024;
        let took = stage.clock.now_us();
        assert!(took.abs_diff(expected) <= 2 * MS, "{operation}: {took} and not {expected}");
        let struck = strikes(&stage.events().await);
        assert_eq!(struck, [("slow_read".to_owned(), "accept".to_owned())], "{operation}");
        assert!(stage.effects().await[0].0.abs_diff(expected) <= 2 * MS);
    }
}

#[tokio::test]
async fn a_client_is_stuck_in_its_own_write_while_it_is_read_slowly_and_giving_up_does_nothing() {
    let stage = Stage::new("slow_read: {per_second: 64KiB}").await;
    let mut raw = stage.connect().await;
    let request = large("/~op-0001.1", 15 << 20);
    let written = stage
        .clock
        .within(Duration::from_millis(300), raw.stream.write_all(request.as_bytes()))
        .await;
    assert!(written.is_none(), "15 MiB are taken at 64 KiB a second");
    raw.reset();
    // The next attempt is the second: the one that broke off was one.
    let mut raw = stage.connect().await;
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "201");
    for _ in 0..1_000 {
        let mut requests = received(&stage.events().await);
        if requests.len() == 2 {
            requests.sort_unstable();
            assert_eq!(requests, [(1, true), (2, false)]);
            assert_eq!(stage.effects().await.len(), 1);
            return;
        }
        stage.clock.sleep(Duration::from_millis(10)).await;
    }
    panic!("the attempt that broke off was not seen: {:?}", stage.events().await);
}

/// The attempts that came, in the order in which the trace tells of them, and whether their bodies were not
/// read.
fn received(events: &[Event]) -> Vec<(u32, bool)> {
    let received = events.iter().filter_map(|event| {
        let EventKind::RequestReceived(request) = &event.kind else { return None };
        Some((request.attempt, request.body_unread))
    });
    received.collect()
}

#[tokio::test(start_paused = true)]
async fn an_attempt_counts_from_its_head_on_and_its_end_is_told_when_it_comes() {
    let when = "route: create_charge, max_times: 1";
    let stage = Stage::when(when, "slow_read: {per_second: 1KiB}").await;
    let mut first = stage.connect().await;
    first.send(large("/~op-0001.1", 4_000)).await;
    stage.settle().await;
    let mut second = stage.connect().await;
    second.charge().await;
    assert_eq!(second.answer().await.status(), "201");
    assert!(stage.clock.now_us() < 1_000 * MS, "the second attempt is not slowed down");
    drop(first);
    let events = stage.events().await;
    assert_eq!(received(&events), [(2, false), (1, true)]);
    assert_eq!(stage.effects().await.len(), 1);
    let ended: Vec<_> = events
        .iter()
        .filter_map(|event| {
            let EventKind::ConnectionEnded(ended) = &event.kind else { return None };
            ended.request.map(|request| (request, ended.by, event.at_us < 1_000 * MS))
        })
        .collect();
    assert_eq!(ended, [(1, Side::Client, true)], "{events:?}");
    assert_eq!(strikes(&events), [("slow_read".to_owned(), "accept".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_while_it_is_read_leaves_nothing_done_however_it_is_known() {
    for operation in ["/~op-0001.1", ""] {
        let stage = Stage::new("slow_read: {per_second: 1KiB}").await;
        let mut raw = stage.connect().await;
        raw.send(large(operation, 4_000)).await;
        stage.settle().await;
        drop(raw);
        let events = stage.events().await;
        assert_eq!(received(&events).len(), 1, "{operation}");
        assert!(stage.effects().await.is_empty(), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_on_a_slow_upload_is_told_truly() {
    let head = "POST /~op-0001.1/v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, leaves, by) in
        [("x\r\n{}\r\n0\r\n\r\n", false, Side::Provider), ("10\r\n{", true, Side::Client)]
    {
        let stage = Stage::new("slow_read: {per_second: 1KiB}").await;
        let mut raw = stage.connect().await;
        raw.send(format!("{head}{body}")).await;
        stage.settle().await;
        if leaves {
            drop(raw);
        } else {
            raw.rest_or_reset().await;
        }
        let ends: Vec<Side> = stage
            .ends_of(1)
            .await
            .into_iter()
            .filter(|end| end.request.is_some())
            .map(|end| end.by)
            .collect();
        assert_eq!(ends, [by], "{body:?}");
        assert!(stage.effects().await.is_empty());
    }
}

fn refund(id: &str) -> String {
    let body = format!(r#"{{"charge":"{id}"}}"#);
    format!(
        "POST /~op-0001.1/v1/refunds HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_later_is_done_at_once_and_not_twice() {
    let rules = "  - {name: slow, when: {route: refund_charge}, inject: {slow_commit: {by: 2s}}}\n";
    let stage = Stage::under(rules).await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    let id = raw.answer().await.json()["id"].as_str().expect("an id").to_owned();
    raw.send(refund(&id)).await;
    assert_eq!(raw.answer().await.status(), "201");
    raw.send(refund(&id)).await;
    assert_ne!(raw.answer().await.status(), "201", "the money has been paid back");
    let path = format!("/v1/charges/{id}");
    assert_eq!(raw.get(&path).await.json()["status"], "succeeded", "nobody sees it yet");
    let events = stage.events().await;
    let undone: Vec<u64> = events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::EffectReversed(_)))
        .map(|event| event.at_us)
        .collect();
    assert_eq!(undone, [2_000 * MS]);
    assert_eq!(raw.get(&path).await.json()["status"], "refunded");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_work_that_is_not_done() {
    let rules = "  - {name: slow, when: {route: create_charge}, inject: {slow_commit: {by: 60s}}}\n  \
                 - {name: fails, when: {route: create_charge, attempt: 1}, inject: {status: {code: 503}}}\n";
    let stage = Stage::under(rules).await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "503");
    stage.events().await;
    assert!(stage.clock.now_us() < 1_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn what_can_promise_nothing_is_not_accepted_and_dropped_and_a_promise_has_an_owner() {
    let stage = Stage::under("  - {name: dropped, inject: accept_then_drop}\n").await;
    let mut raw = stage.connect().await;
    assert_eq!(raw.get("/v1/charges").await.status(), "200");
    assert!(strikes(&stage.events().await).is_empty());
    raw.send(charge("op-0001", "")).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status(), "202");
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    raw.send(format!(
        "GET /v1/charges/{id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.answer().await.status(), "404");
    let events = stage.events().await;
    let last = events.iter().rev().find_map(|event| {
        let EventKind::RequestReceived(request) = &event.kind else { return None };
        request.operation.clone()
    });
    assert_eq!(last.as_deref(), Some("op-0001"));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_shows_nothing_old_does_not_count_and_the_longest_lag_is_named() {
    let rule = |name: &str, lag: &str| {
        format!(
            "  - {{name: {name}, when: {{route: get_charge, max_times: 1}}, inject: \
             {{stale_read: {{lag: {lag}}}}}}}\n"
        )
    };
    let stage = Stage::under(&format!("{}{}", rule("short", "1s"), rule("long", "2s"))).await;
    let mut raw = stage.connect().await;
    let mut paths = Vec::new();
    for operation in ["op-0001", "op-0002"] {
        raw.send(charge(operation, "")).await;
        let answer = raw.answer().await;
        paths.push(format!("/v1/charges/{}", answer.json()["id"].as_str().expect("an id")));
        if paths.len() == 1 {
            stage.clock.sleep(Duration::from_secs(3)).await;
        }
    }
    assert_eq!(raw.get(&paths[0]).await.status(), "200");
    assert_eq!(raw.get(&paths[1]).await.status(), "404");
    let events = stage.events().await;
    let rules: Vec<_> = events
        .iter()
        .filter_map(|event| {
            let EventKind::FaultInjected(strike) = &event.kind else { return None };
            Some(strike.rule.to_string())
        })
        .collect();
    assert_eq!(rules, ["long"]);
}
