//! The client that orders, and keeps how far its orders are as events tell it.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::drive::http::{InProcessService, Served, ServiceFactory};
use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, Call, post_over, send_over};

/// The states of an order, from the first to the last: the type of event that tells of it, and its name.
const STATES: [(&str, &str); 2] =
    [("authorization.created", "created"), ("authorization.captured", "paid")];

/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a client that keeps states does.
#[derive(Clone, Copy, Debug)]
pub struct Keeps {
    /// True: it compares what an event tells with what it keeps, and never goes back to an older state.
    pub compares: bool,
}

/// A service that keeps states.
#[derive(Clone, Debug)]
struct Keeper {
    habits: Keeps,
    connection: Connection,
    /// How far each order is: the place of its state, counted from 1.
    kept: Rc<RefCell<BTreeMap<String, usize>>>,
}

/// Builds keepers with these habits.
#[derive(Clone, Copy, Debug)]
pub struct Keepers(pub Keeps);

impl ServiceFactory for Keepers {
    fn build(&self, connection: &Connection) -> Rc<dyn InProcessService> {
        let connection = connection.clone();
        Rc::new(Keeper { habits: self.0, connection, kept: Rc::default() })
    }
}

impl InProcessService for Keeper {
    fn serve(&self, request: Request<Bytes>) -> Served {
        let keeper = self.clone();
        Box::pin(async move {
            let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let is_order = request.uri().path() == "/orders";
            let done = if is_order { keeper.order(&body).await } else { keeper.hear(&body).await };
            let status = if done.is_some() { 200 } else { 503 };
            let answer = Response::builder().status(status).body(Bytes::new());
            answer.map_err(|error| error.to_string())
        })
    }
}

impl Keeper {
    /// Sets the money for an order aside, and takes it.
    async fn order(&self, order: &Value) -> Option<()> {
        let name = order["order"].as_str()?;
        let held = self.post("/v1/authorizations", &format!("{name}-authorize"), order).await?;
        let capture = format!("/v1/authorizations/{}/capture", held["id"].as_str()?);
        self.post(&capture, &format!("{name}-capture"), &json!({})).await.map(drop)
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Option<Value> {
        let url = format!("{}{path}", self.connection.url);
        let call = Call {
            url: &url,
            api_key: &self.connection.api_key,
            idempotency_key: Some(key),
            body,
            timeout: TIMEOUT,
        };
        let answer = post_over(&self.connection, call).await.ok()?;
        let answered = serde_json::from_slice(&answer.body).ok()?;
        matches!(answer.status, 200 | 201).then_some(answered)
    }

    /// Keeps what an event tells.
    async fn hear(&self, event: &Value) -> Option<()> {
        let Some(place) = STATES.iter().position(|(kind, _)| event["type"] == *kind) else {
            return Some(());
        };
        let (order, rank) = (event.pointer("/data/order")?.as_str()?.to_owned(), place + 1);
        let before = self.kept.borrow().get(&order).copied();
        if self.habits.compares && before >= Some(rank) {
            return Some(());
        }
        self.kept.borrow_mut().insert(order.clone(), rank);
        let kept = self.put(&json!({"order": order, "status": STATES[place].1})).await;
        if kept.is_none() {
            // It is told of again, and what stood there before stands again.
            let mut kept = self.kept.borrow_mut();
            match before {
                Some(rank) => kept.insert(order, rank),
                None => kept.remove(&order),
            };
        }
        kept
    }

    async fn put(&self, body: &Value) -> Option<()> {
        let url = format!("{}/v1/orders", self.connection.url);
        let ask = Ask {
            method: Method::PUT,
            url: &url,
            headers: vec![
                ("authorization", format!("Bearer {}", self.connection.api_key)),
                ("content-type", "application/json".to_owned()),
            ],
            body: Bytes::from(body.to_string()),
            timeout: TIMEOUT,
        };
        let reply = send_over(&self.connection, &ask).await.ok()?;
        (reply.status == 200).then_some(())
    }
}
