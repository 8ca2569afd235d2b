//! The library as the tests of a Rust team use it: unmodified clients, scenarios in files and in Rust,
//! expectations of their own, and panics that are worth reading.

mod build;
mod claims;
mod embed;
mod service;
mod steps;
mod verdicts;
mod worker;

use std::time::Duration;

use brownout::{Connection, Operation, Outcome};

/// What a test of a charge hands to a client: a reqwest builder that leads to the mock.
fn http(connection: &Connection) -> reqwest::Client {
    let builder = connection.reqwest().expect("no pipe in memory");
    builder.timeout(Duration::from_secs(10)).build().expect("a client")
}

/// Charges an order with a hand-written loop; `key` makes the idempotency key of an attempt.
async fn charge(
    operation: Operation,
    connection: Connection,
    key: impl Fn(&str, u32) -> String,
) -> Outcome {
    let http = http(&connection);
    for attempt in 1..=5 {
        let asked = http
            .post(format!("{}/v1/charges", operation.url))
            .bearer_auth(&operation.api_key)
            .header("idempotency-key", key(&operation.id, attempt))
            .header("content-type", "application/json")
            .body(operation.input.to_string())
            .send()
            .await;
        match asked {
            Ok(answer) if answer.status().as_u16() == 201 => return Outcome::succeeded(),
            Ok(answer) => {
                let wait = answer.headers().get("retry-after");
                let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok()).unwrap_or(1);
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    Outcome::unknown("it never worked")
}

/// One key for all attempts of an order.
async fn careful(operation: Operation, connection: Connection) -> Outcome {
    charge(operation, connection, |order, _| order.to_owned()).await
}

/// A new key for every attempt.
async fn careless(operation: Operation, connection: Connection) -> Outcome {
    charge(operation, connection, |order, attempt| format!("{order}-{attempt}")).await
}

/// The words of the panic of a test that must fail.
fn panic_of(test: impl FnOnce()) -> String {
    let test = std::panic::AssertUnwindSafe(test);
    let panic = std::panic::catch_unwind(test).expect_err("it must panic");
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(other) => (*other.downcast::<&str>().expect("a panic with words")).to_owned(),
    }
}
