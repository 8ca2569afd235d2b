//! What drivers that are not told of requests see of them: when each submit was first asked for, and what
//! is still unanswered.
//!
//! It knows nothing of what a driver makes of that.
//! **Invariant:** every event is passed on, unchanged and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use brownout_provider::event::{Class, Event, EventKind, Sink};
use brownout_provider::exchange::{ClientStrike, Settled};
use brownout_provider::shell::lock::lock;

/// A provider and the number of a request there.
type Number = (Arc<str>, u64);

/// An operation and the number of the submit.
type Submit = (Arc<str>, u32);

/// Passes events on and remembers when each operation was first named, which requests are unanswered,
/// and when the last event came.
pub struct Seen {
    sink: Arc<dyn Sink>,
    last_us: AtomicU64,
    /// When the first request of each submit came.
    first_us: Mutex<BTreeMap<Submit, u64>>,
    /// By provider and number, and for which submit.
    unanswered: Mutex<BTreeMap<Number, Option<Submit>>>,
    /// The submits for which the last answer was a success.
    settled: Mutex<BTreeSet<Submit>>,
    /// How often a message of a queue was handed out, deleted or given up.
    moves: AtomicU64,
    /// The operations that have an effect.
    done: Mutex<BTreeSet<Arc<str>>>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("last_us", &self.last_us).finish_non_exhaustive()
    }
}

impl Seen {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            last_us: AtomicU64::new(0),
            first_us: Mutex::default(),
            unanswered: Mutex::default(),
            settled: Mutex::default(),
            moves: AtomicU64::new(0),
            done: Mutex::default(),
        }
    }

    /// Keeps what an event says of the requests under way.
    fn see(&self, at_us: u64, kind: &EventKind) {
        if let EventKind::RequestReceived(request) = kind {
            let submit = request.operation.as_ref().map(|name| (Arc::clone(name), request.submit));
            if let Some(submit) = &submit {
                lock(&self.first_us).entry(submit.clone()).or_insert(at_us);
                lock(&self.settled).remove(submit);
            }
            lock(&self.unanswered).insert((Arc::clone(&request.provider), request.request), submit);
        } else if let EventKind::ResponseSent(response) = kind {
            let request = (Arc::clone(&response.provider), response.request);
            if let Some(Some(submit)) = lock(&self.unanswered).remove(&request)
                && response.complete
                && response.class == Class::Success
            {
                lock(&self.settled).insert(submit);
            }
        } else if let EventKind::EffectCommitted(effect) = kind {
            lock(&self.done).insert(Arc::clone(&effect.operation));
        } else if let EventKind::MessageMoved(_) = kind {
            self.moves.fetch_add(1, Ordering::Relaxed);
        } else if let EventKind::ConnectionEnded(ended) = kind
            && let Some(request) = ended.request
        {
            lock(&self.unanswered).remove(&(Arc::clone(&ended.provider), request));
        }
    }

    /// When the first request of a submit came, in microseconds since the start of the run.
    #[must_use]
    pub fn first_request_us(&self, operation: &Arc<str>, submit: u32) -> Option<u64> {
        lock(&self.first_us).get(&(Arc::clone(operation), submit)).copied()
    }

    /// When the last event came, in microseconds since the start of the run.
    #[must_use]
    pub fn last_us(&self) -> u64 {
        self.last_us.load(Ordering::Relaxed)
    }

    /// True while a request is unanswered.
    #[must_use]
    pub fn waits(&self) -> bool {
        !lock(&self.unanswered).is_empty()
    }

    /// For how many submits the last answer was a whole success.
    #[must_use]
    pub fn settled(&self) -> usize {
        lock(&self.settled).len()
    }

    /// How often a message of a queue was handed out, deleted or given up.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// True once an operation has an effect.
    #[must_use]
    pub fn is_done(&self, operation: &str) -> bool {
        lock(&self.done).contains(operation)
    }

    /// Every operation that a request named.
    #[must_use]
    pub fn operations(&self) -> BTreeSet<Arc<str>> {
        lock(&self.first_us).keys().map(|(operation, _)| Arc::clone(operation)).collect()
    }
}

impl Sink for Seen {
    fn record(&self, events: Vec<Event>) {
        for event in &events {
            self.last_us.fetch_max(event.at_us, Ordering::Relaxed);
            self.see(event.at_us, &event.kind);
        }
        self.sink.record(events);
    }

    fn strike_client(&self, strike: ClientStrike) {
        self.sink.strike_client(strike);
    }

    fn settle(&self, settled: Settled) {
        self.sink.settle(settled);
    }
}
