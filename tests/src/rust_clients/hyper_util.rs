//! hyper-util's client with its pool, and nothing around it.

use brownout::harness::Transport;
use brownout::{Connection, Operation, Outcome};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{LOST, MUTE, charge_url, charging, fails};

async fn charge(operation: Operation, connection: Connection) -> Outcome {
    let http = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build(connection.connector());
    let request = Request::post(charge_url(&operation))
        .header("authorization", format!("Bearer {}", operation.api_key))
        .header("idempotency-key", &*operation.id)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(operation.input.to_string())))
        .expect("a right request");
    let answer = match http.request(request).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::unknown(error.to_string()),
    };
    let status = answer.status();
    match answer.into_body().collect().await {
        Ok(_) if status.as_u16() == 201 => Outcome::succeeded(),
        Ok(_) if status.is_client_error() => Outcome::failed(status.to_string()),
        Ok(_) => Outcome::unknown(status.to_string()),
        Err(error) => Outcome::unknown(error.to_string()),
    }
}

#[test]
fn it_repeats_nothing_by_itself_and_leaves_a_lost_answer_to_its_caller() {
    let harness = charging(LOST, "no_double_charges, honest_failures, no_lost_operations");
    let judged = harness.transport(Transport::Memory).run(charge).expect("it runs");
    judged.assert();
    assert_eq!((judged.result.requests, judged.result.operations.unknown), (3, 3));
}

#[test]
fn it_has_no_time_out_and_waits_for_a_silent_provider_until_the_deadline() {
    let harness = charging(MUTE, "client_timeout: {max: 60s}, no_lost_operations");
    let judged = harness.transport(Transport::Memory).run(charge).expect("it runs");
    assert!(fails(&judged, "client_timeout"), "{}", judged.report());
    assert!(fails(&judged, "no_lost_operations"), "{}", judged.report());
}
