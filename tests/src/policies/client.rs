//! A client that retries by rules of choice: those of a policy, or careless ones.
//!
//! **Invariant:** it draws nothing: where its rules say "a random part of the wait", it waits all of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use brownout::{Connection, Operation, Outcome};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::strategy::shop;

/// How it retries.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Attempts of an operation.
    pub(super) attempts: u32,
    /// The first wait.
    pub(super) base: Duration,
    /// The first wait where it was throttled.
    pub(super) throttled_base: Duration,
    /// The longest wait.
    pub(super) cap: Duration,
    /// Which hints it obeys.
    pub(super) hints: Hints,
    /// What all its operations share.
    pub(super) quota: Quota,
    /// True for a client without any care: no key, no growth, no classes of errors, and success whatever
    /// it hears.
    pub(super) careless: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hints {
    /// None.
    Ignored,
    /// All that the API spells.
    Obeyed,
    /// `x-amz-retry-after`, from its own wait to five seconds more.
    Amazon,
}

/// Tokens that retries cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) tokens: u32,
    pub(super) most: u32,
    pub(super) cost: u32,
    pub(super) throttled_cost: u32,
    /// What a success gives back that needed no retry.
    pub(super) reward: u32,
    /// What each first attempt gives back.
    pub(super) per_attempt: u32,
    /// True where a success gives back what its last retry cost.
    pub(super) refunds: bool,
}

/// No end of tokens.
pub(super) const NO_QUOTA: Quota = Quota {
    tokens: 1,
    most: 1,
    cost: 0,
    throttled_cost: 0,
    reward: 0,
    per_attempt: 0,
    refunds: false,
};

/// A client and its tokens.
#[derive(Clone, Debug)]
pub(super) struct Client {
    rules: Arc<Rules>,
    tokens: Arc<Mutex<u32>>,
}

/// What an answer is to the client.
enum Heard {
    Done,
    Later { failure: Failure, hint: Option<Duration>, why: String },
    Never(String),
}

/// Why it comes back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// There were too many requests; nothing was done.
    Throttled,
    /// Nothing was done.
    Unavailable,
    /// Nobody knows what was done.
    Open,
}

impl Client {
    pub(super) fn new(rules: Rules) -> Self {
        Self { tokens: Arc::new(Mutex::new(rules.quota.tokens)), rules: Arc::new(rules) }
    }

    /// The tokens that are left.
    pub(super) fn tokens(&self) -> u32 {
        *self.tokens.lock().expect("nobody panics with it")
    }

    /// Does one operation.
    pub(super) async fn call(self, operation: Operation, connection: Connection) -> Outcome {
        let rules = &self.rules;
        let (mut paid, mut may_be_done) = (0, false);
        self.give(rules.quota.per_attempt);
        for attempt in 1..=rules.attempts {
            let answer = shop::send(&connection, request(&operation, rules)).await;
            let (failure, hint, why) = match heard(&operation, answer, rules) {
                Heard::Done => {
                    let earned = match (paid, rules.quota.refunds) {
                        (0, _) => rules.quota.reward,
                        (paid, true) => paid,
                        (_, false) => 0,
                    };
                    self.give(earned);
                    return Outcome::succeeded();
                }
                Heard::Never(why) => return Outcome::failed(why),
                Heard::Later { failure, hint, why } => (failure, hint, why),
            };
            may_be_done |= failure == Failure::Open;
            let cost = match failure {
                Failure::Throttled => rules.quota.throttled_cost,
                Failure::Unavailable | Failure::Open => rules.quota.cost,
            };
            if attempt == rules.attempts || !self.take(cost) {
                tracing::error!("{} is given up: {why}", operation.id);
                return match (rules.careless, may_be_done) {
                    (true, _) => Outcome::succeeded(),
                    (false, true) => Outcome::unknown(why),
                    (false, false) => Outcome::failed(why),
                };
            }
            paid = cost;
            if !rules.careless {
                tracing::warn!("{} is tried again: {why}", operation.id);
            }
            tokio::time::sleep(self.wait(attempt, failure, hint)).await;
        }
        Outcome::failed("no attempt was allowed")
    }

    fn wait(&self, attempt: u32, failure: Failure, hint: Option<Duration>) -> Duration {
        let rules = &self.rules;
        let base = match failure {
            Failure::Throttled => rules.throttled_base,
            Failure::Unavailable | Failure::Open => rules.base,
        };
        let grown = if rules.careless { base } else { base * 2_u32.pow((attempt - 1).min(16)) };
        let own = grown.min(rules.cap);
        match (rules.hints, hint) {
            (Hints::Ignored, _) | (_, None) => own,
            (Hints::Obeyed, Some(hint)) => own.max(hint),
            (Hints::Amazon, Some(hint)) => hint.clamp(own, own + Duration::from_secs(5)),
        }
    }

    fn take(&self, cost: u32) -> bool {
        let mut tokens = self.tokens.lock().expect("nobody panics with it");
        let left = tokens.checked_sub(cost);
        *tokens = left.unwrap_or(*tokens);
        left.is_some()
    }

    fn give(&self, earned: u32) {
        let mut tokens = self.tokens.lock().expect("nobody panics with it");
        *tokens = (*tokens + earned).min(self.rules.quota.most);
    }
}

fn request(operation: &Operation, rules: &Rules) -> Request<Full<Bytes>> {
    let body = || Full::new(Bytes::from(operation.input.to_string()));
    match &*operation.call {
        "create_charge" => shop::charge(operation, (!rules.careless).then_some(&*operation.id)),
        "list_charges" => Request::get(format!("{}/v1/charges", operation.url))
            .header("authorization", format!("Bearer {}", operation.api_key))
            .body(Full::default())
            .expect("a right request"),
        "put_item" => Request::post(format!("{}/", operation.url))
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/dynamodb/aws4_request, \
                     SignedHeaders=host, Signature=0",
                    operation.api_key
                ),
            )
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.PutItem")
            .body(body())
            .expect("a right request"),
        other => panic!("no client for `{other}`"),
    }
}

fn heard(operation: &Operation, answer: shop::Answer, rules: &Rules) -> Heard {
    let lost = |why| Heard::Later { failure: Failure::Open, hint: None, why };
    let (status, headers, body) = match answer {
        Ok(answer) => answer,
        Err(why) => return lost(why),
    };
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    if (200..300).contains(&status) {
        let is_done = match &*operation.call {
            "create_charge" => shop::is_receipt(&said, operation),
            "list_charges" => said["data"].is_array(),
            _ => true,
        };
        return if is_done { Heard::Done } else { lost(format!("{status} without a receipt")) };
    }
    let code = said["__type"].as_str().unwrap_or_default();
    let is_throttled = status == 429
        || ["Throttling", "ProvisionedThroughputExceeded", "RequestLimitExceeded"]
            .iter()
            .any(|word| code.contains(word));
    let why = format!("status {status} {code}");
    if !is_throttled && !shop::is_transient(status) && !rules.careless {
        return Heard::Never(why);
    }
    let hint = match rules.hints {
        Hints::Amazon => amazon(&headers),
        Hints::Ignored | Hints::Obeyed => shop::hint(&headers, &body).or_else(|| amazon(&headers)),
    };
    let failure = match status {
        _ if is_throttled => Failure::Throttled,
        503 => Failure::Unavailable,
        _ => Failure::Open,
    };
    Heard::Later { failure, hint, why }
}

fn amazon(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("x-amz-retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_millis)
}
