//! The client that is told of events by webhooks, and does something for each of them.
//!
//! **Invariant:** what it does is what its habits say; no story is known here.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::drive::http::{InProcessService, Served, ServiceFactory};
use crate::drive::in_process::Connection;
use crate::drive::loopback::{Call, post_over};

/// How often it tries what an event asks for.
const ATTEMPTS: u32 = 3;

/// What a client that is told of events does.
#[derive(Clone, Copy, Debug)]
pub struct Listens {
    /// What it listens to.
    pub event: &'static str,
    /// The path of what it calls for each event.
    pub calls: &'static str,
    /// True: it keeps the ids of the events that it has handled, and makes keys of them.
    pub keeps_ids: bool,
}

/// A service that listens.
#[derive(Clone, Debug)]
pub struct Listener {
    habits: Listens,
    connection: Connection,
    handled: Rc<RefCell<BTreeSet<String>>>,
    heard: Rc<RefCell<u64>>,
}

/// Builds listeners with these habits.
#[derive(Clone, Copy, Debug)]
pub struct Listeners(pub Listens);

impl ServiceFactory for Listeners {
    fn build(&self, connection: &Connection) -> Rc<dyn InProcessService> {
        Rc::new(Listener {
            habits: self.0,
            connection: connection.clone(),
            handled: Rc::default(),
            heard: Rc::default(),
        })
    }
}

impl InProcessService for Listener {
    fn serve(&self, request: Request<Bytes>) -> Served {
        let listener = self.clone();
        Box::pin(async move {
            let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok());
            let id = id.unwrap_or_default().to_owned();
            let event: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let status = listener.handle(&id, &event).await;
            let answer = Response::builder().status(status).body(Bytes::new());
            answer.map_err(|error| error.to_string())
        })
    }
}

impl Listener {
    /// What it answers to an event.
    async fn handle(&self, id: &str, event: &Value) -> u16 {
        if event["type"] != self.habits.event {
            return 200;
        }
        let Some(order) = event.pointer("/data/order").and_then(Value::as_str) else { return 400 };
        if self.habits.keeps_ids && !self.handled.borrow_mut().insert(id.to_owned()) {
            return 200;
        }
        *self.heard.borrow_mut() += 1;
        let key = if self.habits.keeps_ids {
            id.to_owned()
        } else {
            format!("delivery-{}", self.heard.borrow())
        };
        for attempt in 1..=ATTEMPTS {
            if self.act(order, &event["data"], &key).await {
                return 200;
            }
            self.connection.log(&format!("{order} attempt {attempt}: not sent"));
            sleep(Duration::from_millis(500)).await;
        }
        // It was not done: the next delivery is welcome.
        self.handled.borrow_mut().remove(id);
        503
    }

    /// Does what an event asks for.
    async fn act(&self, order: &str, data: &Value, key: &str) -> bool {
        let body = json!({"order": order, "message": format!("{order} is paid"),
            "amount": data["amount"], "currency": data["currency"]});
        let url = format!("{}{}", self.connection.url, self.habits.calls);
        let call = Call {
            url: &url,
            api_key: &self.connection.api_key,
            idempotency_key: Some(key),
            body: &body,
            timeout: Duration::from_secs(5),
        };
        post_over(&self.connection, call).await.is_ok_and(|answer| answer.status == 201)
    }
}
