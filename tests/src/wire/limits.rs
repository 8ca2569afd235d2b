//! Limits on requests, seen by clients that know bytes only.

use std::net::SocketAddr;
use std::time::Duration;

use brownout_provider::event::{Class, EventKind};
use tokio::net::TcpSocket;

use super::stage::{Answer, Raw, Saw, Stage};

/// A charge by the holder of an API key.
fn charge(api_key: &str, more: &str) -> String {
    let body = format!(r#"{{"amount":1999,"currency":"usd","order":"order-1"{more}}}"#);
    format!(
        "POST /~op-0001.1/v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api_key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn ask(raw: &mut Raw, request: &str) -> Answer {
    raw.send(request).await;
    raw.answer().await
}

/// Asks at these milliseconds, and gives the statuses.
async fn statuses(stage: &Stage, at_ms: &[u64]) -> Vec<String> {
    let mut raw = stage.connect().await;
    let mut seen = Vec::new();
    for at_ms in at_ms {
        stage.clock.sleep_until_us(at_ms * 1_000).await;
        seen.push(ask(&mut raw, &charge("sk", "")).await.status().to_owned());
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn each_algorithm_counts_in_its_own_way() {
    for (policy, at_ms, expected) in [
        ("algorithm: token_bucket, limit: 2, per: 1s", [0, 0, 0, 499, 500, 999], "yynnyn"),
        (
            "algorithm: fixed_window, limit: 2, per: 1s",
            [0, 900, 999, 1_000, 1_000, 1_000],
            "yynyyn",
        ),
        (
            "algorithm: sliding_window, limit: 2, per: 1s",
            [0, 900, 999, 1_000, 1_000, 1_900],
            "yynyny",
        ),
    ] {
        let stage = Stage::limited(&format!("rate_limit: {{{policy}}}"), "").await;
        let seen = statuses(&stage, &at_ms).await;
        let passed: Vec<bool> = seen.iter().map(|status| status == "201").collect();
        let wanted: Vec<bool> = expected.chars().map(|one| one == 'y').collect();
        assert_eq!(passed, wanted, "{policy}: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaky_bucket_holds_requests_back_until_their_turn() {
    let policy = "rate_limit: {algorithm: leaky_bucket, limit: 2, per: 1s, burst: 3}";
    let stage = Stage::limited(policy, "").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut raw = stage.connect().await;
        raw.send(charge("sk", "")).await;
        clients.push(raw);
    }
    let mut seen = Vec::new();
    for raw in &mut clients {
        seen.push(raw.answer().await.status().to_owned());
    }
    assert_eq!(seen.iter().filter(|status| *status == "429").count(), 1, "{seen:?}");
    let times: Vec<u64> = stage.effects().await.into_iter().map(|(at_us, _)| at_us).collect();
    assert_eq!(times, [0, 500_000, 1_000_000]);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_until_its_request_is_over() {
    let slow = "  - {name: slow, inject: {latency: {fixed: 1s}}}\n";
    let stage = Stage::limited("rate_limit: {algorithm: concurrency, limit: 1}", slow).await;
    let (mut one, mut other) = (stage.connect().await, stage.connect().await);
    one.send(charge("sk", "")).await;
    stage.clock.sleep_until_us(500_000).await;
    let refused = ask(&mut other, &charge("sk", "")).await;
    assert_eq!((refused.status(), refused.header("retry-after")), ("429", None));
    assert_eq!(one.answer().await.status(), "201");
    assert_eq!(ask(&mut other, &charge("sk", "")).await.status(), "201");
    // A client that hangs up leaves its place only when the work is done.
    other.send(charge("sk", "")).await;
    stage.clock.sleep_until_us(2_500_000).await;
    drop(other);
    stage.clock.sleep_until_us(2_700_000).await;
    assert_eq!(ask(&mut one, &charge("sk", "")).await.status(), "429");
    stage.clock.sleep_until_us(3_000_000).await;
    assert_eq!(ask(&mut one, &charge("sk", "")).await.status(), "201");
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_limit_is_its_scope() {
    for (scope, other_key, other_address) in [
        ("api_key", "201", "429"),
        ("ip", "429", "201"),
        ("global", "429", "429"),
        ("route", "429", "429"),
    ] {
        let policy = format!("rate_limit: {{limit: 1, per: 1h, scope: {scope}}}");
        let stage = Stage::limited(&policy, "").await;
        let mut raw = stage.connect().await;
        assert_eq!(ask(&mut raw, &charge("sk-a", "")).await.status(), "201");
        assert_eq!(ask(&mut raw, &charge("sk-b", "")).await.status(), other_key, "{scope}");
        let socket = TcpSocket::new_v4().expect("a socket");
        let here: SocketAddr = "127.0.0.2:0".parse().expect("an address");
        socket.bind(here).expect("all of 127.0.0.0/8 is ours");
        let stream = socket.connect(stage.server.addr()).await.expect("it listens");
        let mut far = Raw { stream };
        assert_eq!(ask(&mut far, &charge("sk-a", "")).await.status(), other_address, "{scope}");
        let read = "GET /v1/charges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-a\r\n\r\n";
        let elsewhere = ask(&mut raw, read).await;
        let status = if scope == "route" { "200" } else { "429" };
        assert_eq!(elsewhere.status(), status, "{scope}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_costs_what_its_field_says() {
    let policy = "rate_limit: {limit: 100, per: 1m, cost: {field: /max_tokens, otherwise: 5}, headers: openai}";
    let stage = Stage::limited(policy, "").await;
    let mut raw = stage.connect().await;
    for (more, status, left) in [
        (r#","max_tokens":60"#, "201", "40"),
        (r#","max_tokens":41"#, "429", "40"),
        (r#","max_tokens":"many""#, "201", "35"),
        ("", "201", "30"),
        (r#","max_tokens":30"#, "201", "0"),
    ] {
        let answer = ask(&mut raw, &charge("sk", more)).await;
        assert_eq!(answer.status(), status, "{more}");
        assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some(left), "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_outlasts_the_limit_and_says_how_long() {
    let policy = "rate_limit: {limit: 2, per: 1s, quota: {limit: 3}, headers: ratelimit}";
    let stage = Stage::limited(policy, "").await;
    let mut raw = stage.connect().await;
    let first = ask(&mut raw, &charge("sk", "")).await;
    assert_eq!(first.header("ratelimit-policy"), Some(r#""default";q=2;w=1, "quota";q=3;w=86400"#));
    assert_eq!(first.header("ratelimit"), Some(r#""default";r=1;t=1, "quota";r=2;t=86400"#));
    let _ = ask(&mut raw, &charge("sk", "")).await;
    let limited = ask(&mut raw, &charge("sk", "")).await;
    assert_eq!((limited.status(), limited.header("retry-after")), ("429", Some("1")));
    stage.clock.sleep_until_us(10_000_000).await;
    assert_eq!(ask(&mut raw, &charge("sk", "")).await.status(), "201");
    let spent = ask(&mut raw, &charge("sk", "")).await;
    assert_eq!((spent.status(), spent.header("retry-after")), ("429", Some("86390")));
    stage.clock.sleep_until_us(86_400_000_000).await;
    assert_eq!(ask(&mut raw, &charge("sk", "")).await.status(), "201");
}

#[tokio::test(start_paused = true)]
async fn each_dialect_spells_the_same_numbers_its_own_way() {
    for (dialect, expected) in [
        ("x_ratelimit", vec![("x-ratelimit-limit", "4"), ("x-ratelimit-remaining", "3")]),
        (
            "ratelimit",
            vec![
                ("ratelimit-policy", r#""default";q=4;w=3600"#),
                ("ratelimit", r#""default";r=3;t=900"#),
            ],
        ),
        (
            "openai",
            vec![
                ("x-ratelimit-limit-requests", "4"),
                ("x-ratelimit-remaining-requests", "3"),
                ("x-ratelimit-reset-requests", "15m0s"),
            ],
        ),
        (
            "anthropic",
            vec![
                ("anthropic-ratelimit-requests-limit", "4"),
                ("anthropic-ratelimit-requests-remaining", "3"),
            ],
        ),
        (
            "github",
            vec![
                ("x-ratelimit-limit", "4"),
                ("x-ratelimit-remaining", "3"),
                ("x-ratelimit-used", "1"),
                ("x-ratelimit-resource", "core"),
            ],
        ),
        ("none", vec![]),
    ] {
        let policy = format!("rate_limit: {{limit: 4, per: 1h, headers: {dialect}}}");
        let stage = Stage::limited(&policy, "").await;
        let answer = ask(&mut stage.connect().await, &charge("sk", "")).await;
        for (name, value) in &expected {
            assert_eq!(answer.header(name), Some(*value), "{dialect}");
        }
        let told = answer.head.to_ascii_lowercase().matches("ratelimit").count() > 0;
        assert_eq!(told, dialect != "none", "{}", answer.head);
        let now_s = i128::from(stage.clock.wall_start_us() / 1_000_000);
        if let Some(epoch) = answer.header("x-ratelimit-reset") {
            let off = epoch.parse::<i128>().expect("a number") - now_s - 900;
            assert!((-1..=1).contains(&off), "{dialect}: {off} s off");
        }
        if let Some(date) = answer.header("anthropic-ratelimit-requests-reset") {
            assert!(date.len() == 20 && date.ends_with('Z') && &date[10..11] == "T", "{date}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_lies() {
    for (about, remaining, in_the_past) in
        [("remaining", ["0", "1"], false), ("reset", ["0", "0"], true), ("used", ["1", "1"], false)]
    {
        let rule = format!("  - {{name: lies, inject: {{lying_limit: {{about: {about}}}}}}}\n");
        let stage = Stage::limited("rate_limit: {limit: 1, per: 1m}", &rule).await;
        let mut raw = stage.connect().await;
        for (status, left) in ["201", "429"].into_iter().zip(remaining) {
            let answer = ask(&mut raw, &charge("sk", "")).await;
            assert_eq!(
                (answer.status(), answer.header("x-ratelimit-remaining")),
                (status, Some(left))
            );
            let reset: u64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
            let now_s = stage.clock.wall_start_us() / 1_000_000;
            assert_eq!(reset + 30 < now_s, in_the_past, "{about}: {reset} at {now_s}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_tightened_in_mid_run_announced_or_not() {
    for (announced, limits) in [(true, ["10", "2"]), (false, ["10", "10"])] {
        let rule = format!(
            "  - {{name: less, inject: {{tighten: {{limit: 2, after: 10s, announced: {announced}}}}}}}\n"
        );
        let policy = "rate_limit: {algorithm: fixed_window, limit: 10, per: 5s}";
        let stage = Stage::limited(policy, &rule).await;
        let mut raw = stage.connect().await;
        for (at_s, limit, passes) in [(0, limits[0], 10), (10, limits[1], 2)] {
            stage.clock.sleep_until_us(at_s * 1_000_000).await;
            let mut passed = 0;
            for _ in 0..12 {
                let answer = ask(&mut raw, &charge("sk", "")).await;
                passed += u32::from(answer.status() == "201");
                assert_eq!(answer.header("x-ratelimit-limit"), Some(limit));
            }
            assert_eq!(passed, passes, "from {at_s} s on, announced: {announced}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_tightened_by_load() {
    let rules =
        "  - {name: less, inject: [{tighten: {limit: 1, above: 2}}, {latency: {fixed: 1s}}]}\n";
    let stage =
        Stage::limited("rate_limit: {algorithm: fixed_window, limit: 10, per: 1h}", rules).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut raw = stage.connect().await;
        raw.send(charge("sk", "")).await;
        stage.clock.sleep_until_us(stage.clock.now_us() + 1_000).await;
        clients.push(raw);
    }
    let mut seen = Vec::new();
    for raw in &mut clients {
        seen.push(raw.answer().await.status().to_owned());
    }
    assert_eq!(seen, ["201", "201", "429", "429"]);
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_through_refusals_is_banned() {
    let policy = "rate_limit: {limit: 1, per: 1s}";
    let ban = |by: &str| {
        format!(
            "  - {{name: out, inject: {{ban: {{after: 2, within: 5s, for: 10s, by: {by}}}}}}}\n"
        )
    };
    let stage = Stage::limited(policy, &ban("answer")).await;
    let seen = statuses(&stage, &[0, 0, 100, 5_000, 10_099, 10_100, 10_100]).await;
    assert_eq!(seen, ["201", "429", "429", "403", "403", "201", "429"]);
    let mut other = stage.connect().await;
    assert_eq!(
        ask(&mut other, &charge("another", "")).await.status(),
        "201",
        "nobody else notices"
    );
    let banned: Vec<_> =
        stage.responses().await.into_iter().filter(|sent| sent.status == 403).collect();
    assert!(banned.iter().all(|sent| sent.class == Class::Permanent && sent.rule.is_some()));

    let stage = Stage::limited(policy, &ban("reset")).await;
    assert_eq!(statuses(&stage, &[0, 0, 0]).await, ["201", "429", "429"]);
    let mut raw = stage.connect().await;
    raw.send(charge("sk", "")).await;
    assert_eq!(raw.rest().await, (String::new(), Saw::Rst));
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_uses_up_what_all_share() {
    let rule = "  - {name: noise, inject: {noisy_neighbour: {every: 100ms}}}\n";
    for (scope, expected) in [("global", ["429", "429", "429"]), ("route", ["429", "429", "429"])] {
        let policy =
            format!("rate_limit: {{algorithm: fixed_window, limit: 5, per: 1s, scope: {scope}}}");
        let stage = Stage::limited(&policy, rule).await;
        assert_eq!(statuses(&stage, &[0]).await, ["201"], "its first request comes with ours");
        assert_eq!(statuses(&stage, &[450, 700, 900]).await, expected, "{scope}");
        let struck = stage.events().await.into_iter().filter(|event| {
            matches!(&event.kind, EventKind::FaultInjected(fault) if &*fault.fault == "noisy_neighbour")
        });
        assert_eq!(struck.count(), 3);
        assert!(stage.clock.now_us() < Duration::from_secs(2).as_micros().try_into().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_two_bans_counts_a_refusal_once() {
    let policy = "rate_limit: {limit: 1, per: 1s}";
    let ban = |name: &str, after: u32| {
        format!("  - {{name: {name}, inject: {{ban: {{after: {after}, within: 5s, for: 10s}}}}}}\n")
    };
    let stage = Stage::limited(policy, &[ban("soon", 3), ban("late", 4)].concat()).await;
    let seen = statuses(&stage, &[0, 0, 100, 200, 300]).await;
    assert_eq!(seen, ["201", "429", "429", "429", "403"]);
}

#[tokio::test(start_paused = true)]
async fn each_of_two_bans_of_one_rule_counts_a_refusal_once() {
    let policy = "rate_limit: {limit: 1, per: 1s}";
    let ban =
        |after: u32, lasts: &str| format!("{{ban: {{after: {after}, within: 5s, for: {lasts}}}}}");
    let rule = format!("  - {{name: out, inject: [{}, {}]}}\n", ban(3, "1s"), ban(6, "10s"));
    let stage = Stage::limited(policy, &rule).await;
    let seen = statuses(&stage, &[0, 0, 100, 200, 300]).await;
    assert_eq!(seen, ["201", "429", "429", "429", "403"]);
    // The first ban is over, the second was never reached.
    assert_eq!(statuses(&stage, &[2_000]).await, ["201"]);
}
