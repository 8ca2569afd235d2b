//! What can go wrong with a job.
//!
//! **Invariant:** plain data; [`crate::job`] says what becomes of it.

use crate::hint::HintSpec;

/// A job does not go as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobFault {
    /// It is never seen to run.
    StaysPending {
        /// True when its work is done all the same.
        done: bool,
    },
    /// It runs, waits again, and is done late.
    JumpsBack,
    /// It fails with half of its output.
    FailsHalfWay {
        /// True when its work is done all the same.
        done: bool,
    },
    /// It runs, and then nobody knows it.
    Disappears {
        /// True when its work is done all the same.
        done: bool,
    },
    /// It fails, and is done later all the same.
    SucceedsAfterFailure,
    /// Whoever looks at it is told when to come back.
    AsksToWait {
        /// What is told.
        hint: HintSpec,
    },
}
