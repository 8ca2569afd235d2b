//! A tower stack: a time-out and a retry policy around hyper-util's client.

use std::future::Ready;
use std::time::Duration;

use brownout::harness::Transport;
use brownout::{Connection, Operation, Outcome};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::retry::Policy;
use tower::{BoxError, ServiceBuilder, ServiceExt};

use super::{BUSY, LOST, MUTE, charge_url, charging, fails};

/// The policy that stands in many a code base: so many times again, at once.
#[derive(Clone)]
struct Again(u32);

impl Policy<Request<Full<Bytes>>, Response<Incoming>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        result: &mut Result<Response<Incoming>, BoxError>,
    ) -> Option<Ready<()>> {
        let is_transient = match result {
            Ok(answer) => answer.status().is_server_error() || answer.status().as_u16() == 429,
            Err(_) => true,
        };
        if !is_transient || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

async fn charge(operation: Operation, connection: Connection) -> Outcome {
    let http = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .build(connection.connector());
    let stack = ServiceBuilder::new().retry(Again(3)).timeout(Duration::from_secs(5)).service(http);
    let request = Request::post(charge_url(&operation))
        .header("authorization", format!("Bearer {}", operation.api_key))
        .header("idempotency-key", &*operation.id)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(operation.input.to_string())))
        .expect("a right request");
    match stack.oneshot(request).await {
        Ok(answer) if answer.status().as_u16() == 201 => Outcome::succeeded(),
        Ok(answer) if answer.status().is_client_error() => {
            Outcome::failed(answer.status().to_string())
        }
        Ok(answer) => Outcome::unknown(answer.status().to_string()),
        Err(error) => Outcome::unknown(error.to_string()),
    }
}

#[test]
fn the_request_is_cloned_with_its_key_so_nobody_pays_twice_for_lost_or_late_answers() {
    for faults in [LOST, MUTE] {
        let harness = charging(faults, "no_double_charges, idempotency_key_stable");
        harness.transport(Transport::Memory).run(charge).expect("it runs").assert();
    }
}

#[test]
fn a_policy_that_does_not_wait_hammers_and_overlooks_the_hint() {
    let harness = charging(BUSY, "min_gap, honors_retry_after");
    let judged = harness.transport(Transport::Memory).run(charge).expect("it runs");
    assert!(fails(&judged, "min_gap"), "{}", judged.report());
    assert!(fails(&judged, "honors_retry_after"), "{}", judged.report());
}
