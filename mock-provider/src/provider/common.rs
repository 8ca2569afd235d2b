//! What the providers of one run have in common: when its first request came, how often each rule struck, and
//! in which order operations were first seen.
//!
//! It knows nothing of what a provider keeps for itself: ledger, keys, limits and attempts.
//! **Invariant:** a provider that shares it with nobody behaves as if it were its own.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::arrival::Numbers;
use crate::plan::Counts;

/// No request has come yet.
const NONE_YET: u64 = u64::MAX;

/// What the providers of one run share; clones are the same one.
#[derive(Clone, Default)]
pub struct Common(Arc<Shared>);

struct Shared {
    /// When the first request of the run came, in microseconds since its start.
    first_us: AtomicU64,
    /// Told when it comes.
    waiting: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
    counts: Counts,
    numbers: Numbers,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            first_us: AtomicU64::new(NONE_YET),
            waiting: Mutex::default(),
            counts: Counts::default(),
            numbers: Numbers::default(),
        }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").field("first_us", &self.first_us()).finish_non_exhaustive()
    }
}

impl Common {
    /// When the first request came, if one has come.
    pub(super) fn first_us(&self) -> Option<u64> {
        Some(self.0.first_us.load(Ordering::Acquire)).filter(|first_us| *first_us != NONE_YET)
    }

    /// A request has come; says when the first one did.
    pub(super) fn begin(&self, now_us: u64) -> u64 {
        let now_us = now_us.min(NONE_YET - 1);
        let first =
            self.0.first_us.compare_exchange(NONE_YET, now_us, Ordering::AcqRel, Ordering::Acquire);
        match first {
            Err(first_us) => first_us,
            Ok(_) => {
                let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.iter().for_each(|tell| tell());
                now_us
            }
        }
    }

    /// Has `tell` called when the first request comes, whichever provider it comes to.
    pub(super) fn when_begun(&self, tell: Box<dyn Fn() + Send + Sync>) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(tell);
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub(super) fn numbers(&self) -> &Numbers {
        &self.0.numbers
    }
}
