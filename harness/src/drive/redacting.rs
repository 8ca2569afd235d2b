//! A sink that takes the keys of a run out of what requests carry beside their credentials: query, headers,
//! idempotency key.
//!
//! **Invariant:** two idempotency keys that differ are told apart afterwards, too.

use std::fmt;
use std::sync::Arc;

use brownout_provider::event::{Digest16, Event, EventKind, RequestReceived, Sink};

use crate::redact::Redactor;

/// Passes events on without the keys of the run.
pub struct Redacting {
    sink: Arc<dyn Sink>,
    keys: Redactor,
}

impl Redacting {
    /// Before this sink; these are the keys.
    #[must_use]
    pub fn before(sink: Arc<dyn Sink>, keys: Redactor) -> Self {
        Self { sink, keys }
    }

    /// A text without keys; `None` for one that holds none.
    fn without(&self, text: &str) -> Option<String> {
        self.keys.redacted(text).map(|redacted| redacted.text)
    }

    /// An idempotency key without keys of the API. What is taken out may be all in which two of them differ, so
    /// a digest stands in its place.
    fn keep_apart(&self, key: &mut Arc<str>) {
        if let Some(text) = self.without(key) {
            let digest: String = Digest16::of(key.as_bytes()).to_string().chars().take(8).collect();
            *key = Arc::from(format!("{text}#{digest}"));
        }
    }

    fn request(&self, request: &mut RequestReceived) {
        for text in [Some(&mut request.path), request.names.as_mut()].into_iter().flatten() {
            if let Some(without) = self.without(text) {
                *text = Arc::from(without);
            }
        }
        for (_, value) in &mut request.headers {
            if let Some(without) = self.without(value) {
                *value = without;
            }
        }
        if let Some(key) = &mut request.key {
            self.keep_apart(key);
        }
    }
}

impl fmt::Debug for Redacting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redacting").finish_non_exhaustive()
    }
}

impl Sink for Redacting {
    fn record(&self, mut events: Vec<Event>) {
        for event in &mut events {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "no other event holds a client's text"
            )]
            match &mut event.kind {
                EventKind::RequestReceived(request) => self.request(request),
                EventKind::Idempotency(said) => self.keep_apart(&mut said.key),
                _ => {}
            }
        }
        self.sink.record(events);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Default)]
    struct List(Mutex<Vec<Event>>);

    impl Sink for List {
        fn record(&self, events: Vec<Event>) {
            self.0.lock().expect("alone").extend(events);
        }
    }

    fn recorded(request: Value) -> RequestReceived {
        let list = Arc::new(List::default());
        let keys = Redactor::new([("api_key", "sk_test_secret_0001")]);
        let sink = Redacting::before(Arc::<List>::clone(&list), keys);
        let event = serde_json::from_value(request).expect("an event");
        sink.record(vec![event]);
        let mut events = list.0.lock().expect("alone").clone();
        let EventKind::RequestReceived(request) = events.remove(0).kind else {
            panic!("a request was recorded")
        };
        *request
    }

    fn request(key: &str) -> Value {
        json!({
            "at_us": 1, "event": "request_received", "request": 1, "provider": "provider",
            "recognized": "url", "method": "GET", "path": "/v1/charges?order=sk_test_secret_0001",
            "headers": {"user-agent": "mine sk_test_secret_0001", "accept": "a/b"}, "key": key,
        })
    }

    #[test]
    fn keys_are_taken_out_of_what_requests_carry_and_idempotency_keys_stay_apart() {
        let [one, two] =
            ["1", "2"].map(|n| recorded(request(&format!("sk_test_secret_0001~op-000{n}.1"))));
        for request in [&one, &two] {
            let text = serde_json::to_string(request).expect("plain data");
            assert!(!text.contains("secret_0001") && text.contains("⟦secret:api_key"), "{text}");
            assert!(text.contains("/v1/charges?order=") && text.contains("a/b"), "{text}");
        }
        assert_ne!(one.key, two.key);
        let again = recorded(request("sk_test_secret_0001~op-0001.1"));
        assert_eq!(one.key, again.key);
        assert_eq!(recorded(request("k-17")).key.as_deref(), Some("k-17"));
    }
}
