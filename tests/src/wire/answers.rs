//! Faults that put another answer in place of the provider's own, and those that change what a request
//! does. Each answer is framed rightly, so the next request on the connection is answered.

use std::time::{Duration, UNIX_EPOCH};

use brownout_provider::event::{Class, EventKind, Side};
use serde_json::{Value, json};

use super::stage::{Answer, Stage, charge};

/// The answer to the first attempt under this fault; the second on the same connection succeeds.
async fn first_answer(stage: &Stage) -> Answer {
    let mut raw = stage.connect().await;
    raw.charge().await;
    let first = raw.answer().await;
    raw.charge().await;
    let second = raw.answer().await;
    assert_eq!((second.status(), &second.json()["status"]), ("201", &json!("succeeded")));
    first
}

#[tokio::test(start_paused = true)]
async fn a_plain_charge_is_the_contract_of_the_payments_api() {
    let stage = Stage::calm().await;
    let answer = first_answer(&stage).await;
    assert_eq!(answer.status(), "201");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("date"), None);
    let charge = answer.json();
    assert!(charge["id"].as_str().is_some_and(|id| id.starts_with("ch_")), "{charge}");
    let keys: Vec<&str> = charge.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["id", "object", "status", "amount", "currency", "order", "created"]);
    assert_eq!(stage.effects().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_gets_the_error_of_the_api_and_does_nothing() {
    let stage = Stage::calm().await;
    let mut raw = stage.connect().await;
    for (length, status) in [(256, "400"), (255, "201"), (4_000, "400")] {
        let key = format!("Idempotency-Key: {}\r\n", "k".repeat(length));
        raw.send(charge("op-0001", &key)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), status, "{length}: {answer:?}");
        if status == "400" {
            assert_eq!(answer.json()["error"]["code"], "idempotency_key_too_long");
        }
    }
    assert_eq!(stage.effects().await.len(), 1);

    let stage = Stage::calm_of("stripe", "create_payment_intent").await;
    let mut raw = stage.connect().await;
    let key = format!("Idempotency-Key: {}\r\n", "k".repeat(256));
    raw.send(stripe("/v1/payment_intents", &key, "amount=1999&currency=usd")).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status(), "400");
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error["message"].as_str().unwrap().contains("255 characters"), "{error}");
    assert_eq!(stage.effects().await.len(), 0);
}

/// A request to the Stripe API, form-encoded.
fn stripe(target: &str, headers: &str, body: &str) -> String {
    format!(
        "POST /~op-0001.1{target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n{headers}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(start_paused = true)]
async fn a_charge_is_paid_back_by_its_own_id() {
    let stage = Stage::calm_of("stripe", "create_charge").await;
    let mut raw = stage.connect().await;
    raw.send(stripe("/v1/charges", "", "amount=1999&currency=usd&source=tok_visa")).await;
    let charge = raw.answer().await.json()["id"].as_str().unwrap().to_owned();
    for (amount, status, refunded) in
        [("&amount=500", "200", false), ("", "200", true), ("", "400", true)]
    {
        raw.send(stripe("/v1/refunds", "", &format!("charge={charge}{amount}"))).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), status, "{answer:?}");
        raw.send(format!(
            "GET /~op-0001.1/v1/charges/{charge} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.answer().await.json()["refunded"], refunded);
    }
    raw.send(stripe("/v1/refunds", "", "amount=5")).await;
    assert_eq!(raw.answer().await.json()["error"]["param"], "charge");
}

#[tokio::test(start_paused = true)]
async fn stripe_keeps_its_events_whether_or_not_anybody_listens() {
    let stage = Stage::calm_of("stripe", "create_payment_intent").await;
    let mut raw = stage.connect().await;
    let read = |target: &str| {
        format!("GET /~op-0001.1{target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\r\n")
    };
    let key = "Idempotency-Key: a\r\n";
    let mut intent = String::new();
    for _ in 0..2 {
        raw.send(stripe("/v1/payment_intents", key, "amount=1999&currency=usd")).await;
        intent = raw.answer().await.json()["id"].as_str().unwrap().to_owned();
    }
    raw.send(stripe("/v1/refunds", "", &format!("payment_intent={intent}"))).await;
    assert_eq!(raw.answer().await.status(), "200");
    raw.send(read("/v1/events")).await;
    let all = raw.answer().await.json()["data"].clone();
    let types: Vec<_> = all.as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(types, ["refund.created", "payment_intent.succeeded"], "a replay is no event");
    raw.send(read("/v1/events?type=payment_intent.succeeded")).await;
    let paid = raw.answer().await.json()["data"].clone();
    assert_eq!(paid.as_array().unwrap()[..], all.as_array().unwrap()[1..]);
    assert_eq!(paid[0]["data"]["object"]["id"], *intent);
    raw.send(read(&format!("/v1/events/{}", paid[0]["id"].as_str().unwrap()))).await;
    assert_eq!(raw.answer().await.json(), paid[0]);
    raw.send(read("/v1/events/evt_unknown")).await;
    let unknown = raw.answer().await;
    assert_eq!(
        (unknown.status(), &unknown.json()["error"]["code"]),
        ("404", &"resource_missing".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_payment_is_paid_back_in_parts_and_never_more_than_it_was() {
    let stage = Stage::calm_of("stripe", "create_payment_intent").await;
    let mut raw = stage.connect().await;
    raw.send(stripe("/v1/payment_intents", "", "amount=1999&currency=usd")).await;
    let intent = raw.answer().await.json()["id"].as_str().unwrap().to_owned();
    for (amount, status, refunded) in [
        ("&amount=500", "200", json!(500)),
        ("&amount=1500", "400", Value::Null),
        ("", "200", json!(1499)),
        ("", "400", Value::Null),
    ] {
        raw.send(stripe("/v1/refunds", "", &format!("payment_intent={intent}{amount}"))).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status(), &answer.json()["amount"]), (status, &refunded), "{answer:?}");
        if status == "400" {
            assert_eq!(answer.json()["error"]["code"], "charge_already_refunded");
        }
    }
    let amounts: Vec<_> = stage
        .events()
        .await
        .into_iter()
        .filter_map(|event| {
            let EventKind::EffectReversed(reversed) = event.kind else { return None };
            Some((reversed.effect, reversed.amount))
        })
        .collect();
    assert_eq!(amounts, [(1, Some(500)), (1, Some(1499))]);
}

#[tokio::test(start_paused = true)]
async fn a_status_stands_before_or_after_the_work() {
    for (at, effects) in [("before_commit", 1), ("after_commit", 2)] {
        let stage = Stage::new(&format!("status: {{code: 503, retry_after: 2s, at: {at}}}")).await;
        let answer = first_answer(&stage).await;
        assert_eq!(answer.status(), "503");
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert!(answer.json()["error"]["code"].is_string(), "{answer:?}");
        assert_eq!(stage.effects().await.len(), effects, "{at}");
        let sent = stage.responses().await;
        assert_eq!((sent[0].class, sent[0].complete), (Class::Transient, true));
        assert_eq!(sent[0].hints[0].wait_us, Some(2_000_000));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_spelled_as_it_was_asked_for() {
    for (word, values) in [
        ("2s", &["2"][..]),
        ("{seconds: 1500ms}", &["2"]),
        ("missing", &[]),
        ("zero", &["0"]),
        ("negative", &["-5"]),
        ("fraction", &["1.5"]),
        ("huge", &["1000000000000"]),
        ("garbage", &["soon"]),
        ("two_headers", &["1", "3"]),
    ] {
        let stage = Stage::new(&format!("rate_limited: {{retry_after: {word}}}")).await;
        let answer = first_answer(&stage).await;
        assert_eq!(answer.status(), "429", "{word}");
        assert_eq!(answer.headers("retry-after"), values, "{word}");
        assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
        assert_eq!(stage.responses().await[0].class, Class::Throttling);
        assert_eq!(stage.effects().await.len(), 1, "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_stands_where_it_was_asked_for() {
    let stage = Stage::new("rate_limited: {retry_after: {ms_header: 1500ms}}").await;
    let answer = first_answer(&stage).await;
    assert_eq!(answer.header("retry-after-ms"), Some("1500"));
    let stage = Stage::new("rate_limited: {retry_after: {body: 45s}}").await;
    let answer = first_answer(&stage).await;
    assert_eq!(answer.json()["error"]["retry_after"], 45);
    assert_eq!(answer.header("retry-after"), None);
    let stage = Stage::new("rate_limited: {retry_after: contradictory}").await;
    let answer = first_answer(&stage).await;
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["error"]["retry_after"], 5);
}

#[tokio::test(start_paused = true)]
async fn an_interim_answer_comes_before_the_providers_own() {
    for (code, reason) in [(100, "Continue"), (103, "Early Hints"), (199, "Interim")] {
        let inject = format!("status: {{code: {code}, headers: {{link: \"</a>; rel=preload\"}}}}");
        let stage = Stage::new(&inject).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        let interim = format!("HTTP/1.1 {code} {reason}\r\nlink: </a>; rel=preload\r\n\r\n");
        assert_eq!(raw.head().await, interim);
        let answer = raw.answer().await;
        assert_eq!((answer.status(), &answer.json()["status"]), ("201", &json!("succeeded")));
        raw.charge().await;
        assert_eq!(raw.answer().await.status(), "201", "the connection lives on");
        let sent = stage.responses().await;
        assert!(sent.iter().all(|one| one.status == 201 && one.complete && one.unusable.is_none()));
        let strikes = stage.events().await;
        let strikes = strikes.iter().filter(|one| matches!(one.kind, EventKind::FaultInjected(_)));
        assert_eq!(strikes.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_leads_to_itself_or_where_it_says_and_stays_with_the_operation() {
    for (fault, location) in [
        ("status: {code: 307}", "/~op-0001.1/v1/charges"),
        (
            "status: {code: 303, headers: {location: \"/v1/charges?order=order-1\"}}",
            "/~op-0001.1/v1/charges?order=order-1",
        ),
        (
            "status: {code: 302, headers: {location: \"http://127.0.0.1:9/x\"}}",
            "http://127.0.0.1:9/x",
        ),
    ] {
        let stage = Stage::new(fault).await;
        let answer = first_answer(&stage).await;
        assert_eq!(answer.header("location"), Some(location), "{fault}");
        assert_eq!(stage.responses().await[0].class, Class::Redirect);
        assert_eq!(stage.effects().await.len(), 1, "{fault}: only the second attempt");
    }
}

/// Every spelling of a hint: the header, and the value of those that do not follow the clock on the wall.
#[tokio::test(start_paused = true)]
async fn a_hint_is_spelled_in_each_way_of_vendors() {
    for (hint, header, value) in [
        ("{amz_ms: 1500ms}", "x-amz-retry-after", "1500"),
        ("{rate_limit_reset: {in: 30s, as: delta_s}}", "x-ratelimit-reset", "30"),
        ("{rate_limit_reset: {in: 30s, as: delta_ms}}", "x-ratelimit-reset", "30000"),
        ("{rate_limit_reset: {in: 6m, as: go_duration}}", "x-ratelimit-reset", "6m0s"),
    ] {
        let stage = Stage::new(&format!("rate_limited: {{retry_after: {hint}}}")).await;
        let answer = first_answer(&stage).await;
        assert_eq!((answer.status(), answer.header(header)), ("429", Some(value)), "{hint}");
        assert_eq!(answer.header("retry-after"), None, "{hint}");
        let sent = stage.responses().await;
        assert_eq!(sent[0].hints, [], "the API has no such spelling, so it binds nobody");
    }
    for (hint, ahead) in [("{rate_limit_reset: {in: 30s, as: epoch_s}}", 30), ("asctime_date", 3)] {
        let stage = Stage::new(&format!("rate_limited: {{retry_after: {hint}}}")).await;
        let answer = first_answer(&stage).await;
        let text = answer.header("x-ratelimit-reset").or(answer.header("retry-after")).unwrap();
        let at = text.parse::<u64>().unwrap_or_else(|_| {
            let date = httpdate::parse_http_date(text).expect("a date in one of its three forms");
            date.duration_since(UNIX_EPOCH).unwrap().as_secs()
        });
        let start = stage.clock.wall_start_us() / 1_000_000;
        assert!((start + ahead..=start + ahead + 1).contains(&at), "{hint}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn obsolete_dates_are_well_formed_and_bind() {
    for (word, mark) in [("rfc850_date", '-'), ("asctime_date", ' ')] {
        let stage = Stage::new(&format!("rate_limited: {{retry_after: {word}}}")).await;
        let answer = first_answer(&stage).await;
        let text = answer.header("retry-after").unwrap();
        assert!(text.contains(mark) && text.ends_with("GMT") == (mark == '-'), "{text}");
        let wait_us = stage.responses().await[0].hints[0].wait_us.expect("a date");
        assert!((2_000_000..=4_000_000).contains(&wait_us), "{word}: {wait_us}");
    }
}

/// An API that says in a header when its limit is fresh again.
#[tokio::test(start_paused = true)]
async fn a_reset_binds_where_the_api_names_it_and_the_answer_throttles() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resetting.yaml");
    let api = "version: 1\nname: resetting\nencoding: json\nhint: {rate_limit_reset: {header: \
               x-rate-limit-reset, as: delta_s}}\nroutes:\n  - {name: create_charge, method: POST, \
               path: /v1/charges}\n";
    std::fs::write(&file, api).unwrap();
    let hint = "retry_after: {rate_limit_reset: {in: 30s}}";
    for (fault, bound) in [
        (format!("rate_limited: {{{hint}}}"), vec![Some(30_000_000)]),
        (format!("status: {{code: 500, {hint}}}"), vec![]),
        ("rate_limited: {retry_after: 2s}".to_owned(), vec![Some(2_000_000)]),
    ] {
        let rule =
            format!("faults:\n  - {{name: struck, when: {{attempt: 1}}, inject: {{{fault}}}}}\n");
        let stage = Stage::with(file.to_str().unwrap(), "create_charge", &rule).await;
        let mut raw = stage.connect().await;
        raw.charge().await;
        raw.answer().await;
        let waits: Vec<_> =
            stage.responses().await[0].hints.iter().map(|one| one.wait_us).collect();
        assert_eq!(waits, bound, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_told_in_the_words_of_each_vendor() {
    for (dialect, expected) in [
        ("x_ratelimit", vec![("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "0")]),
        (
            "ratelimit",
            vec![
                ("ratelimit-policy", "\"default\";q=60;w=60"),
                ("ratelimit", "\"default\";r=0;t=90"),
            ],
        ),
        (
            "openai",
            vec![("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1m30s")],
        ),
        ("anthropic", vec![("anthropic-ratelimit-requests-remaining", "0")]),
        ("github", vec![("x-ratelimit-used", "60"), ("x-ratelimit-resource", "core")]),
        ("none", vec![]),
    ] {
        let inject = format!("rate_limited: {{retry_after: 90s, dialect: {dialect}}}");
        let stage = Stage::new(&inject).await;
        let answer = first_answer(&stage).await;
        assert_eq!((answer.status(), answer.header("retry-after")), ("429", Some("90")));
        for (name, value) in &expected {
            assert_eq!(answer.header(name), Some(*value), "{dialect}: {answer:?}");
        }
        let told = answer.head.lines().filter(|line| line.contains("ratelimit")).count();
        assert_eq!(told == 0, expected.is_empty(), "{dialect}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_the_apis_own_and_does_nothing() {
    for (kind, status, code) in [
        ("validation", "400", "invalid_request"),
        ("auth", "401", "unauthorized"),
        ("forbidden", "403", "forbidden"),
        ("not_found", "404", "not_found"),
        ("too_large", "413", "too_large"),
        ("unsupported_media", "415", "unsupported_media"),
        ("insufficient_quota", "429", "insufficient_quota"),
        ("spend_limit", "429", "spend_limit"),
    ] {
        let stage = Stage::new(&format!("permanent_error: {kind}")).await;
        let answer = first_answer(&stage).await;
        assert_eq!(answer.status(), status, "{kind}");
        assert_eq!(answer.json()["error"]["code"], code, "{kind}");
        let sent = stage.responses().await;
        assert_eq!((sent[0].class, &sent[0].hints[..]), (Class::Permanent, &[][..]), "{kind}");
        assert_eq!(stage.effects().await.len(), 1, "{kind}: only the second attempt");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_of_the_api_says_whether_to_retry() {
    for (value, status, class) in
        [("false", "503", Class::Permanent), ("true", "400", Class::Transient)]
    {
        let rule = format!(
            "faults:\n  - {{name: struck, when: {{attempt: 1}}, inject: {{should_retry: {value}}}}}\n"
        );
        let stage = Stage::with("stripe", "create_payment_intent", &rule).await;
        let mut raw = stage.connect().await;
        raw.send(stripe("/v1/payment_intents", "", "amount=1999&currency=usd")).await;
        let answer = raw.answer().await;
        let said = answer.header("stripe-should-retry");
        assert_eq!((answer.status(), said), (status, Some(value)), "{answer:?}");
        let sent = stage.responses().await;
        assert_eq!((sent[0].class, sent[0].should_retry), (class, Some(value == "true")));
    }
    let stage = Stage::new("should_retry: false").await;
    let answer = first_answer(&stage).await;
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(stage.responses().await[0].class, Class::Transient, "this API has no such header");
}

#[tokio::test(start_paused = true)]
async fn a_date_is_written_from_the_clock_of_the_run() {
    for (word, seconds) in [("{http_date: 3s}", 3_i128), ("past_date", -3_600)] {
        let stage = Stage::new(&format!("rate_limited: {{retry_after: {word}}}")).await;
        let answer = first_answer(&stage).await;
        let date = httpdate::parse_http_date(answer.header("retry-after").unwrap()).unwrap();
        let written = i128::try_from(date.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let start = i128::from(stage.clock.wall_start_us() / 1_000);
        let ahead = written - start - seconds * 1_000;
        assert!((-1_000..=1_000).contains(&ahead), "{word}: {ahead} ms off");
        let hint = &stage.responses().await[0].hints[0];
        assert_eq!(hint.text, None, "a text that depends on the wall clock is not in the trace");
        assert!(hint.until_us.is_some(), "{hint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_says_that_the_key_is_in_progress() {
    let stage = Stage::new("conflict").await;
    let answer = first_answer(&stage).await;
    assert_eq!(answer.status(), "409");
    assert_eq!(answer.json()["error"]["code"], "idempotency_key_in_progress");
    assert_eq!(stage.effects().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_can_hold_the_key_for_a_while() {
    let stage = Stage::new("conflict: {for: 2s}").await;
    let mut raw = stage.connect().await;
    let request = charge("op-0001", "Idempotency-Key: k-1\r\n");
    for (at_s, status) in [(0, "409"), (1, "409"), (3, "201")] {
        stage.clock.sleep_until_us(at_s * 1_000_000).await;
        raw.send(&request).await;
        assert_eq!(raw.answer().await.status(), status, "after {at_s} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_honest_store_answers_again_and_an_ignored_key_does_the_work_again() {
    for (fault, effects) in [(None, 1), (Some("ignore_key"), 2)] {
        let stage = match fault {
            Some(fault) => Stage::new(fault).await,
            None => Stage::calm().await,
        };
        let mut raw = stage.connect().await;
        let mut ids = Vec::new();
        for _ in 0..2 {
            raw.send(charge("op-0001", "Idempotency-Key: \"k-1\"\r\n")).await;
            let answer = raw.answer().await;
            assert_eq!(answer.status(), "201");
            ids.push(answer.json()["id"].clone());
        }
        assert_eq!(ids[0] == ids[1], effects == 1, "{fault:?}: {ids:?}");
        assert_eq!(stage.effects().await.len(), effects);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_by_the_gateway_charges_twice_unless_there_is_a_key() {
    for (headers, effects) in [("", 3), ("Idempotency-Key: k-1\r\n", 1)] {
        let stage = Stage::new("duplicate_request: {times: 2, apart: 50ms}").await;
        let mut raw = stage.connect().await;
        raw.send(charge("op-0001", headers)).await;
        assert_eq!(raw.answer().await.status(), "201");
        assert!(
            raw.hears_nothing(&stage.clock, Duration::from_secs(1)).await,
            "the client gets one answer"
        );
        let committed = stage.effects().await;
        assert_eq!(committed.len(), effects);
        assert!(committed[1..].iter().all(|(_, effect)| effect.by == Side::Provider));
        let times: Vec<u64> = committed.iter().map(|(at_us, _)| *at_us).collect();
        assert_eq!(times, [0, 50_000, 100_000][..effects]);
    }
}
