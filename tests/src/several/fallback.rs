//! Clients that turn to a second provider when the first one fails.

use std::time::Duration;

use brownout::{Connection, Operation, Outcome};
use serde_json::Value;

/// What makes a client turn to the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    /// Any failure at all.
    AtOnce,
    /// A failure after which the first provider knows nothing of the order.
    WhenNothingStands,
    /// Half of all orders go there in any case.
    ToSpreadTheLoad,
    /// As the careful one, and it never says where the work was done.
    WithoutAWord,
}

/// What came of the attempts at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Refused,
    InDoubt,
}

fn http(connection: &Connection) -> reqwest::Client {
    let builder = connection.reqwest().expect("no pipe in memory");
    builder.timeout(Duration::from_secs(10)).build().expect("a client")
}

/// Tries twice, under one key.
async fn charge(operation: &Operation, connection: &Connection) -> End {
    let http = http(connection);
    for _ in 0..2 {
        let asked = http
            .post(format!("{}/v1/charges", connection.url))
            .bearer_auth(&connection.api_key)
            .header("idempotency-key", &*operation.id)
            .header("content-type", "application/json")
            .body(operation.input.to_string())
            .send()
            .await;
        match asked {
            Ok(answer) if answer.status().as_u16() == 201 => return End::Done,
            Ok(answer) if answer.status().is_client_error() => return End::Refused,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    End::InDoubt
}

/// How many charges of the order a provider knows; `None` when it does not say.
async fn known(operation: &Operation, connection: &Connection) -> Option<usize> {
    let order = operation.input["order"].as_str()?;
    let url = format!("{}/v1/charges?order={order}", connection.url);
    let asked = http(connection).get(url).bearer_auth(&connection.api_key).send().await.ok()?;
    let list: Value = serde_json::from_slice(&asked.bytes().await.ok()?).ok()?;
    Some(list["data"].as_array()?.len())
}

fn done(by: &str) -> Outcome {
    Outcome { provider: Some(by.to_owned()), ..Outcome::succeeded() }
}

/// Charges at `primary` and, where it turns to it, at `backup`.
pub(super) async fn pay(operation: Operation, connection: Connection, turns: Turns) -> Outcome {
    let backup = connection.provider("backup").expect("the scenario has one");
    let spreads = turns == Turns::ToSpreadTheLoad && operation.n.is_multiple_of(2);
    let first = if spreads { End::InDoubt } else { charge(&operation, &connection).await };
    match first {
        End::Done if turns == Turns::WithoutAWord => return Outcome::succeeded(),
        End::Done => return done("primary"),
        End::Refused => return Outcome::failed("the first provider refused it"),
        End::InDoubt if matches!(turns, Turns::AtOnce | Turns::ToSpreadTheLoad) => {}
        End::InDoubt => match known(&operation, &connection).await {
            Some(0) => {}
            Some(_) => return done("primary"),
            None => return Outcome::unknown("the first provider does not say"),
        },
    }
    match charge(&operation, &backup).await {
        End::Done if turns == Turns::WithoutAWord => Outcome::succeeded(),
        End::Done => done("backup"),
        End::Refused => Outcome::failed("both refused it"),
        End::InDoubt => Outcome::unknown("nobody answers"),
    }
}
