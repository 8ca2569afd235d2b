//! The client that takes work with a promise, and does it from a queue of its own.
//!
//! **Invariant:** what it does is what its habits say; no story is known here. What it promises and does not keep
//! where it outlives a restart dies with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout_provider::shell::lock::lock;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::drive::http::{InProcessService, Served, ServiceFactory};
use crate::drive::in_process::Connection;
use crate::drive::loopback::{Call, post_over};

/// How long it rests when there is nothing to do, and between two pieces of work.
const REST: Duration = Duration::from_millis(200);

/// How long it takes to answer.
const ANSWER: Duration = Duration::from_millis(500);

/// How long nothing comes before it stops looking.
const IDLE: u32 = 3_000;

/// What a client that takes work does.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    /// True: its queue outlives a restart, as one on a disk does.
    pub durable: bool,
}

/// What is promised and not done.
type Queue = Arc<Mutex<VecDeque<Value>>>;

/// Builds clients that take work.
#[derive(Clone, Debug)]
pub struct Takers {
    habits: Takes,
    disk: Queue,
}

impl Takers {
    /// Clients with these habits.
    #[must_use]
    pub fn new(habits: Takes) -> Self {
        Self { habits, disk: Queue::default() }
    }
}

/// A service with a queue. What it works on is dropped with it.
struct Taker {
    queue: Queue,
    _work: RefCell<JoinSet<()>>,
}

impl ServiceFactory for Takers {
    fn build(&self, connection: &Connection) -> Rc<dyn InProcessService> {
        let queue = if self.habits.durable { Arc::clone(&self.disk) } else { Queue::default() };
        let mut work = JoinSet::new();
        work.spawn_local(work_off(Arc::clone(&queue), connection.clone()));
        Rc::new(Taker { queue, _work: RefCell::new(work) })
    }
}

impl InProcessService for Taker {
    fn serve(&self, request: Request<Bytes>) -> Served {
        let order: Result<Value, _> = serde_json::from_slice(request.body());
        let status = match order {
            Ok(order) => {
                lock(&self.queue).push_back(order);
                202
            }
            Err(_) => 400,
        };
        let answer = Response::builder().status(status).body(Bytes::new());
        Box::pin(async move {
            sleep(ANSWER).await;
            answer.map_err(|error| error.to_string())
        })
    }
}

/// Does what is promised, one after the other; what is done leaves the queue.
async fn work_off(queue: Queue, connection: Connection) {
    let mut idle = 0;
    while idle < IDLE {
        let next = lock(&queue).front().cloned();
        match next {
            None => idle += 1,
            Some(order) => {
                idle = 0;
                if charge(&connection, &order).await {
                    lock(&queue).pop_front();
                }
            }
        }
        sleep(REST).await;
    }
}

async fn charge(connection: &Connection, order: &Value) -> bool {
    let url = format!("{}/v1/charges", connection.url);
    let key = order["order"].as_str().unwrap_or_default();
    let call = Call {
        url: &url,
        api_key: &connection.api_key,
        idempotency_key: Some(key),
        body: order,
        timeout: Duration::from_secs(5),
    };
    post_over(connection, call).await.is_ok_and(|answer| answer.status == 201)
}
