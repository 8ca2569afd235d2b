//! Faults by name, each with the words that a file uses for it.
//!
//! **Invariant:** every fault of the registry can be named, whether or not it has a function here.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words;

/// A fault with its parameters, as it stands under `inject`.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::build::{Injected, fault};
/// use serde_json::{Value, json};
///
/// let busy = fault::status(503).retry_after(Duration::from_millis(1500)).after_commit();
/// let written = json!({"status": {"code": 503, "retry_after": "1s 500ms", "at": "after_commit"}});
/// assert_eq!(Value::from(busy), written);
/// assert_eq!(Value::from(Injected::from("hang")), json!("hang"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    name: String,
    parameters: Map<String, Value>,
}

/// The fault of that name, without parameters.
#[must_use]
pub fn named(name: &str) -> Injected {
    Injected { name: name.to_owned(), parameters: Map::new() }
}

/// Another status than the provider's own: 200 to 599; 100 to 199 for an interim answer before it.
#[must_use]
pub fn status(code: u16) -> Injected {
    named("status").with("code", code)
}

/// The API's own way of saying that this is too much.
#[must_use]
pub fn rate_limited() -> Injected {
    named("rate_limited")
}

/// The API's own answer that the idempotency key is still in progress.
#[must_use]
pub fn conflict() -> Injected {
    named("conflict")
}

/// Nothing is ever answered.
#[must_use]
pub fn hang() -> Injected {
    named("hang")
}

/// The connection is reset.
#[must_use]
pub fn reset() -> Injected {
    named("reset")
}

/// The connection is closed in order, with nothing answered.
#[must_use]
pub fn close() -> Injected {
    named("close")
}

/// The answer ends after so many bytes of its body, with a polite close unless `then` says otherwise.
#[must_use]
pub fn truncate(after_bytes: u64) -> Injected {
    named("truncate").with("after_bytes", after_bytes)
}

/// The body drips out, a byte so often unless `bytes` says otherwise.
#[must_use]
pub fn drip(every: Duration) -> Injected {
    named("drip").with("every", words(every))
}

/// Everything takes this much longer.
#[must_use]
pub fn latency(fixed: Duration) -> Injected {
    named("latency").with("fixed", words(fixed))
}

/// Everything takes longer, by any length between these, each equally likely.
#[must_use]
pub fn latency_between(min: Duration, max: Duration) -> Injected {
    named("latency").with("uniform", json!({"min": words(min), "max": words(max)}))
}

/// The provider's own answer, made unusable: `html_page`, `truncated_json`, `missing_field`, …
#[must_use]
pub fn malformed(kind: &str) -> Injected {
    named("malformed").with("kind", kind)
}

/// A gateway repeats the request so many more times, 1 to 10.
#[must_use]
pub fn duplicate_request(times: u32) -> Injected {
    named("duplicate_request").with("times", times)
}

/// The idempotency key is accepted and overlooked.
#[must_use]
pub fn ignore_key() -> Injected {
    named("ignore_key")
}

impl Injected {
    /// Sets a parameter, in the words of a file.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: impl Into<Value>) -> Self {
        self.parameters.insert(parameter.to_owned(), value.into());
        self
    }

    /// Where it strikes: `accept`, `before_commit`, `after_commit`, `mid_body`, `head`, `chunk`.
    #[must_use]
    pub fn at(self, point: &str) -> Self {
        self.with("at", point)
    }

    /// It strikes when the work is done, so that a repeat may do it again.
    #[must_use]
    pub fn after_commit(self) -> Self {
        self.at("after_commit")
    }

    /// The answer asks for this wait, in the header `Retry-After`. Other forms, and the bad ones, are
    /// written as in a file: `.with("retry_after", "garbage")`.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.with("retry_after", words(wait))
    }
}

impl From<&str> for Injected {
    fn from(name: &str) -> Self {
        named(name)
    }
}

impl From<Injected> for Value {
    fn from(fault: Injected) -> Self {
        let Injected { name, parameters } = fault;
        if parameters.is_empty() {
            return Self::String(name);
        }
        Self::Object(Map::from_iter([(name, Self::Object(parameters))]))
    }
}
