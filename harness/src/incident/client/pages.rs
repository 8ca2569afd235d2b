//! The client that shows its own callers what a provider knows: a service with a cache.
//!
//! **Invariant:** what it does is what its habits say; no story is known here. Its cache dies with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use brownout_provider::shell::clock::Clock;
use brownout_provider::units::micros;
use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::drive::http::{InProcessService, Served, ServiceFactory};
use crate::drive::in_process::Connection;
use crate::drive::loopback::{Ask, Reply, send_over};

/// How long it waits for the provider.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The status of a page that is not what it was asked for, and the best there is.
const LESSER: u16 = 203;

/// What a client that shows pages does.
#[derive(Clone, Copy, Debug)]
pub struct Shows {
    /// How long it keeps an answer; `None` for a client without a cache.
    pub keeps: Option<Duration>,
    /// True: it drops from its cache what a payment changes.
    pub drops: bool,
    /// What it shows when the provider gives no answer.
    pub in_bad_times: InBadTimes,
}

/// What a client shows when a provider gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBadTimes {
    /// An error.
    Error,
    /// What it was told before, or a default, as if nothing were the matter.
    Pretends,
    /// The same, and it says so.
    Admits,
}

/// Builds clients with these habits.
#[derive(Clone, Copy, Debug)]
pub struct Pages(pub Shows);

/// A service that shows pages.
#[derive(Clone)]
struct Server {
    habits: Shows,
    connection: Connection,
    clock: Clock,
    kept: Rc<RefCell<BTreeMap<String, Kept>>>,
}

/// An answer in the cache.
#[derive(Clone)]
struct Kept {
    asked_us: u64,
    page: String,
}

impl ServiceFactory for Pages {
    fn build(&self, connection: &Connection) -> Rc<dyn InProcessService> {
        Rc::new(Server {
            habits: self.0,
            connection: connection.clone(),
            clock: Clock::paused(),
            kept: Rc::default(),
        })
    }
}

impl InProcessService for Server {
    fn serve(&self, request: Request<Bytes>) -> Served {
        let server = self.clone();
        Box::pin(async move {
            let input: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let traced = request.headers().get("traceparent").and_then(|it| it.to_str().ok());
            let trace = traced.unwrap_or_default().to_owned();
            let (status, page) = match request.uri().path() {
                "/pay" => server.pay(&input, trace).await,
                "/ask" => server.show(Question::prompt(&input), trace).await,
                _ => server.show(Question::order(&input), trace).await,
            };
            let answer = Response::builder().status(status).body(Bytes::from(page));
            answer.map_err(|error| error.to_string())
        })
    }
}

/// What the provider is asked for, and how its answer becomes a page.
struct Question {
    method: Method,
    path: String,
    body: Value,
    page: fn(&Value) -> Option<String>,
}

impl Question {
    /// What was paid for an order.
    fn order(input: &Value) -> Self {
        Self {
            method: Method::GET,
            path: format!("/v1/charges?order={}", input["order"].as_str().unwrap_or_default()),
            body: Value::Null,
            page: |answer| {
                let charges = answer["data"].as_array()?;
                Some(json!({"payments": charges.len()}).to_string())
            },
        }
    }

    /// What a model says.
    fn prompt(input: &Value) -> Self {
        let messages = json!([{"role": "user", "content": input["prompt"]}]);
        Self {
            method: Method::POST,
            path: "/v1/chat/completions".to_owned(),
            body: json!({"model": "gpt-4o-mini", "messages": messages}),
            page: |answer| {
                let said = answer.pointer("/choices/0/message/content")?.as_str()?;
                Some(json!({"answer": said}).to_string())
            },
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.path, self.body)
    }
}

impl Server {
    /// Status and page.
    async fn show(&self, question: Question, trace: String) -> (u16, String) {
        let (name, now_us) = (question.name(), self.clock.now_us());
        let kept = self.kept.borrow().get(&name).cloned();
        let is_fresh = |kept: &&Kept| {
            let keeps = self.habits.keeps.map_or(0, micros);
            now_us < kept.asked_us.saturating_add(keeps)
        };
        if let Some(kept) = kept.as_ref().filter(is_fresh) {
            return (200, kept.page.clone());
        }
        let answer = self.ask(question.method.clone(), &question.path, &question.body, trace).await;
        let page = answer
            .filter(|answer| answer.status == 200)
            .and_then(|answer| (question.page)(&serde_json::from_slice(&answer.body).ok()?));
        match page {
            Some(page) => {
                if self.habits.keeps.is_some() {
                    let kept = Kept { asked_us: now_us, page: page.clone() };
                    self.kept.borrow_mut().insert(name, kept);
                }
                (200, page)
            }
            None => {
                let nothing = || json!({"note": "this is shown again soon"}).to_string();
                let page = || kept.map_or_else(nothing, |kept| kept.page);
                match self.habits.in_bad_times {
                    InBadTimes::Error => (502, json!({"error": "try later"}).to_string()),
                    InBadTimes::Pretends => (200, page()),
                    InBadTimes::Admits => (LESSER, page()),
                }
            }
        }
    }

    /// Pays for an order.
    async fn pay(&self, input: &Value, trace: String) -> (u16, String) {
        let answer = self.ask(Method::POST, "/v1/charges", input, trace).await;
        if answer.is_none_or(|answer| answer.status != 201) {
            return (502, json!({"error": "try later"}).to_string());
        }
        if self.habits.drops {
            self.kept.borrow_mut().remove(&Question::order(input).name());
        }
        (201, json!({"paid": input["amount"]}).to_string())
    }

    async fn ask(&self, method: Method, path: &str, body: &Value, trace: String) -> Option<Reply> {
        let url = format!("{}{path}", self.connection.url);
        let order = body["order"].as_str().map(|order| ("idempotency-key", order.to_owned()));
        let mut headers = vec![
            ("authorization", format!("Bearer {}", self.connection.api_key)),
            ("content-type", "application/json".to_owned()),
            ("traceparent", trace),
        ];
        headers.extend(order);
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        send_over(&self.connection, &Ask { method, url: &url, headers, body, timeout: TIMEOUT })
            .await
            .ok()
    }
}
