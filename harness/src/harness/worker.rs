//! A worker as the client: it receives operations as messages of a queue, and nobody hands it any.
//!
//! **Invariant:** it adds nothing to what the driver of workers does.

use std::future::Future;
use std::sync::Arc;

use super::{Harness, Prepared};
use crate::drive::in_process::Connection;
use crate::run::Client;

impl Harness {
    /// A client that receives messages by itself, for scenarios with `deliver: {queue: …}`: each operation lies as a
    /// message in the provider's queue until the worker receives it. A message that it deletes is an operation that
    /// it calls `succeeded`, one that the queue gives up is `failed`.
    ///
    /// The closure is called once for each copy of the worker ([`Harness::fleet`], `workload: {clients: 4}`) and makes
    /// its whole life: it may ask for messages for ever, for it is dropped when every operation is settled or past
    /// its deadline. A copy that is killed (`kill_client`, [`Connection::crash`]) is dropped where it stands, and the
    /// closure is called again: what is to outlive that is kept outside of the future. One that returns or panics is
    /// not started again.
    ///
    /// In virtual time a worker that is handed nothing has to wait before it asks again, as in the example; without
    /// any wait time cannot pass, and the run is refused. The connection carries no operation: whose work a request
    /// does is known by what the API says (the shipped `queue` by the field `order`).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use brownout::drive::loopback::{Ask, Call, post_over, send_over};
    /// use brownout::{Connection, Harness, Verdict};
    /// use serde_json::{Value, json};
    ///
    /// /// Does the work of one message, and deletes it when it is done.
    /// async fn handle(connection: &Connection, message: &Value, key: &Value) {
    ///     let url = format!("{}/v1/work", connection.url);
    ///     let work = Call {
    ///         url: &url,
    ///         api_key: &connection.api_key,
    ///         idempotency_key: key.as_str(),
    ///         body: &message["body"],
    ///         timeout: Duration::from_secs(5),
    ///     };
    ///     if post_over(connection, work).await.is_ok_and(|answer| answer.status == 201) {
    ///         let (id, receipt) = (&message["id"], &message["receipt"]);
    ///         let receipt = receipt.as_str().unwrap_or_default();
    ///         let id = id.as_str().unwrap_or_default();
    ///         let url = format!("{}/v1/messages/{id}?receipt={receipt}", connection.url);
    ///         let key = format!("Bearer {}", connection.api_key);
    ///         let done = Ask {
    ///             method: "DELETE".parse().expect("a method"),
    ///             url: &url,
    ///             headers: vec![("authorization", key)],
    ///             body: Default::default(),
    ///             timeout: Duration::from_secs(5),
    ///         };
    ///         let _ = send_over(connection, &done).await;
    ///     }
    /// }
    ///
    /// /// Asks for messages for ever; `key` says what the idempotency key of the work is made of.
    /// async fn worker(connection: Connection, key: &'static str) {
    ///     loop {
    ///         let url = format!("{}/v1/messages/receive", connection.url);
    ///         let receive = Call {
    ///             url: &url,
    ///             api_key: &connection.api_key,
    ///             idempotency_key: None,
    ///             body: &json!({"max": 1}),
    ///             timeout: Duration::from_secs(5),
    ///         };
    ///         let answer = post_over(&connection, receive).await;
    ///         let body = answer.map(|answer| answer.body).unwrap_or_default();
    ///         let received: Value = serde_json::from_slice(&body).unwrap_or_default();
    ///         match received["messages"].get(0) {
    ///             Some(message) => handle(&connection, message, &message[key]).await,
    ///             None => tokio::time::sleep(Duration::from_millis(100)).await,
    ///         }
    ///     }
    /// }
    ///
    /// let harness = Harness::from_yaml(
    ///     "version: 1
    /// name: the-answer-is-lost
    /// provider: {api: queue, queue: {visibility: 30s}}
    /// faults: [{name: lost, when: {route: do_work, attempt: 1}, inject: {reset: {at: after_commit}}}]
    /// workload:
    ///   call: send_message
    ///   operations: 3
    ///   input: {order: 'order-{{ n }}', amount: 1999}
    ///   deadline: 5m
    ///   deliver: {queue: messages}
    /// expect: [message_handled_once, no_lost_operations]
    /// ",
    /// )
    /// .expect("a right scenario")
    /// .virtual_time();
    /// // The id of a message is the same each time that it comes, its receipt is not.
    /// let careful = harness.worker(|connection| worker(connection, "id")).run();
    /// careful.expect("it runs").assert();
    /// let careless = harness.worker(|connection| worker(connection, "receipt")).run();
    /// let careless = careless.expect("it runs");
    /// assert_eq!(careless.result.verdict, Verdict::Failed);
    /// assert_eq!(careless.invariant("message_handled_once").map(|it| it.violations.len()), Some(3));
    /// ```
    #[must_use]
    pub fn worker<F, W>(&self, work: F) -> Prepared
    where
        F: Fn(Connection) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + 'static,
    {
        Prepared::new(self.clone(), Client::WorkerInProcess(Arc::new(work)))
    }
}
