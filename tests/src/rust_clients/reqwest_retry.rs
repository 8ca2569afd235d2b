//! reqwest-middleware with the retry middleware of reqwest-retry, as its documentation shows it.

use std::time::Duration;

use brownout::{Connection, Operation, Outcome};
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;

use super::{BUSY, LOST, REFUSED, charge_url, charging, fails};

/// Which idempotency key goes along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    None,
    OfTheOperation,
}

async fn charge(operation: Operation, connection: Connection, key: Key) -> Outcome {
    let http = connection.reqwest().expect("a unix socket").timeout(Duration::from_secs(5));
    let policy = ExponentialBackoff::builder().build_with_max_retries(3);
    let http = ClientBuilder::new(http.build().expect("a client"))
        .with(RetryTransientMiddleware::new_with_policy(policy))
        .build();
    let mut request = http
        .post(charge_url(&operation))
        .bearer_auth(&operation.api_key)
        .header("content-type", "application/json")
        .body(operation.input.to_string());
    if key == Key::OfTheOperation {
        request = request.header("idempotency-key", &*operation.id);
    }
    match request.send().await {
        Ok(answer) if answer.status().as_u16() == 201 => Outcome::succeeded(),
        Ok(answer) if answer.status().is_client_error() => {
            Outcome::failed(answer.status().to_string())
        }
        Ok(answer) => Outcome::unknown(answer.status().to_string()),
        Err(error) => Outcome::unknown(error.to_string()),
    }
}

#[test]
fn it_repeats_a_post_without_a_key_and_charges_twice_when_the_answer_is_lost() {
    let harness = charging(LOST, "no_double_charges");
    let judged = harness.run(|operation, connection| charge(operation, connection, Key::None));
    let judged = judged.expect("it runs");
    assert!(fails(&judged, "no_double_charges"), "{}", judged.report());
}

#[test]
fn with_a_key_on_the_request_every_attempt_carries_it_and_nobody_pays_twice() {
    let harness = charging(
        LOST,
        "no_double_charges, idempotency_key_stable, bounded_retries: {max_attempts: 4}",
    );
    let judged =
        harness.run(|operation, connection| charge(operation, connection, Key::OfTheOperation));
    judged.expect("it runs").assert();
}

#[test]
fn it_does_not_read_retry_after_and_comes_back_too_soon() {
    let harness = charging(BUSY, "honors_retry_after");
    let judged =
        harness.run(|operation, connection| charge(operation, connection, Key::OfTheOperation));
    let judged = judged.expect("it runs");
    assert!(fails(&judged, "honors_retry_after"), "{}", judged.report());
}

#[test]
fn it_does_not_repeat_what_was_refused_for_good() {
    let harness = charging(REFUSED, "no_retry_on_permanent_errors, failures_surface");
    let judged =
        harness.run(|operation, connection| charge(operation, connection, Key::OfTheOperation));
    judged.expect("it runs").assert();
}
