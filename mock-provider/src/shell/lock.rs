//! The one way in which locks are taken.
//!
//! **Invariant:** every change under a lock is one step, so the data is whole even if a holder panicked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of another holder: the panic itself is reported by whoever joins that
/// holder, and until then the others go on.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
