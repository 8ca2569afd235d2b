//! The fault engine in other servers: an axum app and a wiremock server, seen by a real client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use brownout::build::{Injected, fault, rule};
use brownout::embed::Faults;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ORDER: &str = r#"{"id":"or_1","status":"open","amount":1999}"#;

/// Rules on the routes of a small shop, where each request names its order in a header.
fn faults(rules: &[(u64, Injected)]) -> Faults {
    let mut builder = Faults::on_routes([
        ("create_order", "POST", "/orders"),
        ("get_order", "GET", "/orders/{id}"),
    ])
    .operation_id("header:x-order");
    for (index, (attempt, fault)) in rules.iter().enumerate() {
        let rule = rule(&format!("rule-{index}")).route("create_order").attempt(*attempt);
        builder = builder.rule(rule.inject(fault.clone()));
    }
    builder.finish().expect("right rules")
}

/// The shop behind the layer, and how many orders it has taken.
async fn shop(faults: &Faults) -> (String, Arc<AtomicU32>) {
    let taken = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&taken);
    let app = Router::new()
        .route(
            "/orders",
            post(move |body: String| async move {
                assert!(body.starts_with('{'), "the body arrives whole: {body}");
                count.fetch_add(1, Ordering::Relaxed);
                (http::StatusCode::CREATED, [("content-type", "application/json")], ORDER)
            }),
        )
        .route("/orders/{id}", get(|| async { ORDER }))
        .route("/health", get(|| async { "well" }))
        .layer(faults.layer().expect("a layer can do that"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, taken)
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(800));
    builder.build().expect("a client")
}

/// What one attempt at an order comes to: status and body, or the words of the error.
async fn order(url: &str, name: &str) -> Result<(u16, String), String> {
    let asked = client()
        .post(format!("{url}/orders"))
        .header("x-order", name)
        .header("content-type", "application/json")
        .body("{\"amount\":1999}")
        .send()
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = asked.status().as_u16();
    Ok((status, asked.text().await.map_err(|error| format!("body: {error:?}"))?))
}

#[tokio::test]
async fn a_layer_answers_in_the_place_of_the_app_and_lets_the_rest_through() {
    let busy = fault::status(503).retry_after(Duration::from_secs(7));
    let faults = faults(&[(1, busy), (2, fault::status(500).after_commit())]);
    let (url, taken) = shop(&faults).await;
    let answer = client()
        .post(format!("{url}/orders"))
        .header("x-order", "a")
        .body("{}")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(taken.load(Ordering::Relaxed), 0, "before the commit the app is not asked");
    assert_eq!(order(&url, "a").await.expect("an answer").0, 500);
    assert_eq!(taken.load(Ordering::Relaxed), 1, "after the commit it has done its work");
    assert_eq!(order(&url, "a").await.expect("an answer"), (201, ORDER.to_owned()));
    // Attempts are counted for each order.
    assert_eq!(order(&url, "b").await.expect("an answer").0, 503);
    let strikes: Vec<(String, u64)> = faults.strikes().into_iter().collect();
    assert_eq!(strikes, [("rule-0".to_owned(), 2), ("rule-1".to_owned(), 1)]);
    for path in ["/health", "/orders/or_1"] {
        let answer = client().get(format!("{url}{path}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_layer_ends_connections_as_far_as_hyper_can() {
    let faults = faults(&[
        (1, fault::close()),
        (2, fault::close().after_commit()),
        (3, fault::truncate(10)),
        (4, fault::truncate(10).with("then", "stall")),
        (5, fault::hang().after_commit()),
        (6, fault::hang()),
    ]);
    let (url, taken) = shop(&faults).await;
    let mut seen = Vec::new();
    for attempt in 1..=7 {
        let words = match order(&url, "a").await {
            Ok((status, body)) => format!("{status} with {} bytes", body.len()),
            Err(error) => {
                let kinds = [
                    ("TimedOut", "too late"),
                    ("IncompleteMessage", "closed"),
                    ("UnexpectedEof", "cut"),
                    ("IncompleteBody", "cut"),
                ];
                let known = kinds.iter().find(|(kind, _)| error.contains(kind));
                let in_body = if error.starts_with("body: ") { " in the body" } else { "" };
                format!("{}{in_body}", known.map_or(error.as_str(), |(_, words)| words))
            }
        };
        seen.push(format!("{words}, {} taken", taken.load(Ordering::Relaxed)));
        assert_eq!(seen.len(), attempt);
    }
    let expected = [
        "closed, 0 taken",
        "closed, 1 taken",
        "cut in the body, 2 taken",
        "too late in the body, 3 taken",
        "too late, 4 taken",
        "too late, 4 taken",
        "201 with 43 bytes, 5 taken",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_layer_spoils_paces_and_delays_the_apps_own_answer() {
    let ms = Duration::from_millis;
    let faults = faults(&[
        (1, fault::malformed("truncated_json")),
        (2, fault::malformed("html_page")),
        (3, fault::drip(ms(5)).with("bytes", 10)),
        (4, fault::latency(ms(40)).at("head")),
        (5, fault::latency(ms(40)).after_commit()),
    ]);
    let (url, taken) = shop(&faults).await;
    let (status, body) = order(&url, "a").await.expect("an answer");
    assert_eq!((status, body.as_str()), (201, &ORDER[..ORDER.len() / 2]));
    let (status, body) = order(&url, "a").await.expect("an answer");
    assert!(status == 201 && body.starts_with("<!doctype html>"), "{body}");
    for least in [20, 40, 40] {
        let clock = brownout_provider::shell::clock::Clock::real();
        assert_eq!(order(&url, "a").await.expect("an answer"), (201, ORDER.to_owned()));
        assert!(clock.now_us() >= least * 1_000, "it came after {} us", clock.now_us());
    }
    assert_eq!(taken.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn the_rules_of_a_scenario_strike_the_routes_of_its_api() {
    let scenario = brownout::build::scenario("shared", "payments")
        .rule(
            rule("wrong")
                .route("create_charge")
                .attempt(1)
                .inject(fault::malformed("wrong_amount")),
        )
        .call("create_charge")
        .expect("rejects_malformed_responses")
        .finish()
        .expect("a right scenario");
    let own = r#"{"id":"ch_1","amount":1999,"order":"a","currency":"usd","status":"succeeded"}"#;
    let app = Router::new()
        .route("/v1/charges", post(move || async move { own }))
        .layer(Faults::of(&scenario).layer().expect("a layer can do that"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1/charges", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut answers = Vec::new();
    for _ in 0..2 {
        let request = client().post(&url).header("content-type", "application/json");
        let answer = request.body(r#"{"amount":1999,"currency":"usd","order":"a"}"#).send();
        answers.push(answer.await.expect("an answer").text().await.expect("a body"));
    }
    assert_ne!(answers[0], own);
    assert!(answers[0].contains("\"order\":\"a\""), "{}", answers[0]);
    assert_eq!(answers[1], own);
}

#[test]
fn what_a_place_cannot_do_is_refused_when_it_is_built() {
    let all = faults(&[
        (1, fault::reset()),
        (2, fault::truncate(1).with("then", "rst")),
        (3, fault::conflict()),
        (4, fault::duplicate_request(1)),
        (5, fault::ignore_key()),
        (6, fault::malformed("empty_body").at("before_commit")),
        (7, fault::close()),
        (8, fault::hang().at("mid_body")),
        (9, fault::drip(Duration::from_millis(1))),
        (10, fault::latency(Duration::from_millis(1)).at("chunk")),
        (11, fault::malformed("truncated_json")),
        (12, fault::status(503)),
    ]);
    let in_a_layer = all.layer().expect_err("much is refused");
    let in_wiremock = all.responder(ResponseTemplate::new(201)).expect_err("much is refused");
    insta::assert_snapshot!("refused", format!("{in_a_layer}\n\n{in_wiremock}"));
}

/// A wiremock server with these rules around an answer.
async fn mocked(faults: &Faults) -> MockServer {
    let server = MockServer::start().await;
    let template = ResponseTemplate::new(201)
        .insert_header("x-own", "yes")
        .set_body_raw(ORDER, "application/json");
    Mock::given(method("POST"))
        .and(path("/orders"))
        .respond_with(faults.responder(template).expect("wiremock can do that"))
        .expect(6)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_wiremock_test_meets_faults_of_a_plan() {
    let busy = fault::status(503).retry_after(Duration::from_secs(2)).with("body", "{}");
    let faults = faults(&[
        (1, busy),
        (2, fault::malformed("html_page")),
        (3, fault::malformed("empty_object")),
        (4, fault::hang()),
        (5, fault::latency(Duration::from_millis(40))),
    ]);
    let server = mocked(&faults).await;
    let url = server.uri();
    assert_eq!(order(&url, "a").await.expect("an answer").0, 503);
    let answer = client()
        .post(format!("{url}/orders"))
        .header("x-order", "a")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-own"]),
        (201, &"yes".parse().unwrap())
    );
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(order(&url, "a").await.expect("an answer"), (201, "{}".to_owned()));
    let late = order(&url, "a").await.expect_err("it never comes");
    assert!(late.contains("TimedOut"), "{late}");
    let clock = brownout_provider::shell::clock::Clock::real();
    assert_eq!(order(&url, "a").await.expect("an answer"), (201, ORDER.to_owned()));
    assert!(clock.now_us() >= 40_000);
    assert_eq!(order(&url, "a").await.expect("an answer"), (201, ORDER.to_owned()));
    assert_eq!(faults.strikes().values().sum::<u64>(), 5);
    server.verify().await;
}
