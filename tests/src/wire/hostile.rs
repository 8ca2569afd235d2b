//! Clients that mean harm, or are broken beyond what HTTP knows: smuggling shapes, slowness, floods of idle
//! connections, tricks in the token of the path. All are answered or refused, and none is charged wrongly.

use std::time::Duration;

use brownout_provider::event::Side;
use nix::sys::resource::{Resource, getrlimit};

use super::stage::{MS, Saw, Stage, charge};

/// The head of a charge up to the lines that frame the body, and the body.
fn parts() -> (String, String) {
    let all = charge("op-0001", "");
    let (head, body) = all.split_once("\r\n\r\n").expect("a head ends");
    let lines: Vec<&str> =
        head.split("\r\n").filter(|line| !line.starts_with("Content-Length")).collect();
    (lines.join("\r\n"), body.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_body_of_which_nobody_knows_the_length_is_never_two_requests() {
    let (head, body) = parts();
    let length = body.len();
    let inner = charge("op-0002", "");
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for (framing, bytes) in [
        // Both: the second request is what one of two readers would see in the body of the first.
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", format!("0\r\n\r\n{inner}")),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", format!("0\r\n\r\n{inner}")),
        ("Content-Length: 5\r\nContent-Length: 6", inner.clone()),
        ("Content-Length: 5, 6", inner.clone()),
        ("Content-Length: +5", inner.clone()),
        ("Content-Length: -1", inner.clone()),
        ("Content-Length: 99999999999999999999999", inner.clone()),
        ("Transfer-Encoding: gzip", inner.clone()),
        ("Transfer-Encoding: chunked, identity", chunked.clone()),
        ("Transfer-Encoding : chunked", chunked.clone()),
        ("Transfer-Encoding: xchunked", chunked),
    ] {
        let stage = Stage::calm().await;
        let mut raw = stage.connect().await;
        raw.send(format!("{head}\r\n{framing}\r\n\r\n{bytes}")).await;
        raw.shut_down().await;
        let (answer, _) = raw.rest_or_reset().await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{framing}: {answer}");
        assert!(!answer.starts_with("HTTP/1.1 2"), "{framing}: {answer}");
        assert_eq!(stage.effects().await, [], "{framing}");
        // Nothing is broken by it.
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201", "{framing}");
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_that_are_none_commit_nothing() {
    let (head, body) = parts();
    let length = body.len();
    for bytes in [
        format!("x\r\n{body}\r\n0\r\n\r\n"),
        format!("-1\r\n{body}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{body}XX0\r\n\r\n"),
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", length - 1),
        format!("{:x}\r\n{body}", length + 1),
        format!("{length:x}\r\n{body}\r\n"),
        format!("{length:x};{}\r\n{body}\r\n0\r\n\r\n", "e".repeat(100_000)),
        format!("{length:x}\r\n{body}\r\n0\r\n{}\r\n\r\n", "t: x\r\n".repeat(50_000)),
    ] {
        let stage = Stage::calm().await;
        let mut raw = stage.connect().await;
        raw.send_as_far_as_taken(&format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n{bytes}"))
            .await;
        raw.shut_down().await;
        let (answer, _) = raw.rest_or_reset().await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{bytes:.60}: {answer}");
        assert_eq!(stage.effects().await, [], "{bytes:.60}");
        let mut raw = stage.connect().await;
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201", "{bytes:.60}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_day_is_served_and_holds_nobody_up() {
    let stage = Stage::calm().await;
    let mut slow = stage.connect().await;
    let all = charge("op-0001", "");
    for (hour, piece) in all.as_bytes().chunks(all.len().div_ceil(24)).enumerate() {
        let hour = u64::try_from(hour).expect("a day has few hours");
        stage.clock.sleep_until_us(hour * 3_600_000 * MS).await;
        slow.send(piece).await;
        let mut raw = stage.connect().await;
        raw.send(charge("op-0002", "Idempotency-Key: k\r\n")).await;
        assert_eq!(raw.answer().await.status(), "201");
    }
    assert_eq!(slow.answer().await.status(), "201");
    assert_eq!(stage.effects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_idle_connections_are_held_and_given_back() {
    let (allowed, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
    // Two descriptors a connection, for both of its ends are in this process; other tests want some too.
    let count = usize::try_from(allowed / 4).unwrap_or(usize::MAX).min(10_000);
    let stage = Stage::calm().await;
    let mut idle = Vec::new();
    for n in 0..count {
        let mut raw = stage.connect().await;
        if n % 2 == 0 {
            raw.send("POST /v1/charges HTTP/1.1\r\nHost: a\r\n").await;
        }
        idle.push(raw);
    }
    let mut raw = stage.connect().await;
    raw.charge().await;
    assert_eq!(raw.answer().await.status(), "201", "beside {count} others");
    drop(idle);
    let ends = stage.ends_of(count).await;
    assert!(ends.iter().all(|end| end.by == Side::Client && end.request.is_none()));
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_trick_in_the_token_of_the_path_reaches_anybody_elses_work() {
    let body = parts().1;
    for path in [
        "/~/v1/charges",
        "/~op-0001/v1/charges",
        "/~op-0001./v1/charges",
        "/~op-0001.0/v1/charges",
        "/~op-0001.99999999999999999999/v1/charges",
        "/~op-0001.-1/v1/charges",
        "/~../../v1/charges",
        "/~op-0001.1/../v1/charges",
        "/~op-0001.1//v1/charges",
        "/~op-0001.1/~op-0002.1/v1/charges",
        "/~op-0001.1%2f..%2f/v1/charges",
        "/~%00.1/v1/charges",
        "/~op-0001.1",
        "/~op-0001.1?x=/v1/charges",
        "//v1/charges",
        "*",
    ] {
        let stage = Stage::calm().await;
        let mut raw = stage.connect().await;
        raw.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        raw.shut_down().await;
        let (answer, saw) = raw.rest_or_reset().await;
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        assert_eq!(saw, Saw::Fin, "{path}");
        let effects = stage.effects().await;
        assert!(effects.len() <= 1, "{path}: {effects:?}");
        let charged = answer.starts_with("HTTP/1.1 201 ");
        assert_eq!(effects.len(), usize::from(charged), "{path}: {answer}");
        let operations = effects.iter().map(|(_, effect)| effect.operation.to_string());
        for operation in operations {
            assert_ne!(operation, "op-0002", "{path}");
            assert!(!operation.contains(['/', '\0']), "{path}: {operation}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn heads_of_all_sizes_are_answered_or_refused() {
    let long = |count: usize| "x".repeat(count);
    for (request, statuses) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(60_000)), &["404", "414", "431"][..]),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(70_000)), &["400", "414", "431"]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(101)), &["431"]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}: b\r\n\r\n", long(50_000)), &["404", "431"]),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", long(50_000)), &["400", "404", "405", "431"]),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n".to_owned(), &["400"]),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(), &["400", "505"]),
        // The greeting of HTTP/2, which is not spoken here, gets no answer in HTTP/1.1.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &["", "400", "505"]),
    ] {
        let stage = Stage::calm().await;
        let mut raw = stage.connect().await;
        raw.send_as_far_as_taken(&request).await;
        raw.shut_down().await;
        let (answer, _) = raw.rest_or_reset().await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(statuses.contains(&status), "{request:.50}: {answer}");
        assert_eq!(stage.effects().await, []);
        assert!(raw.hears_no_more(&stage.clock, Duration::from_secs(3)).await);
    }
}
