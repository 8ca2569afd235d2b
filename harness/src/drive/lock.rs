//! The one way in which locks are taken here.
//!
//! **Invariant:** every change under a lock is one step, so the data is whole even if a holder panicked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of another holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
