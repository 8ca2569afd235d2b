//! The word that ends a run early: set once, by Ctrl-C, by a failed write, or by whoever started it.
//!
//! It knows nothing of signals; whoever installs a handler holds a [`Stop`] and calls [`Stop::stop`].
//!
//! **Invariant:** once set it stays set, and everyone who waits for it is told, in any thread.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells runs to end early. Clones share one state; it may be set from any thread, also from one
/// without a runtime.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A word not yet given.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Ends every run that listens, now and later.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// True once it has been set.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is set.
    pub async fn stopped(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives as long as `self`, so waiting cannot end by its absence.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_given_before_or_after_the_wait_is_heard() {
        let stop = Stop::new();
        let other = stop.clone();
        let waiting = tokio::spawn(async move { other.stopped().await });
        assert!(!stop.is_stopped());
        stop.stop();
        waiting.await.expect("the waiting task ends");
        stop.stopped().await;
        assert!(stop.is_stopped());
    }
}
