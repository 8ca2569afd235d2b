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

impl JobFault {
    /// True when the work is done in its time, whatever is seen of it.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        match self {
            Self::StaysPending { done }
            | Self::FailsHalfWay { done }
            | Self::Disappears { done } => *done,
            Self::AsksToWait { .. } => true,
            Self::JumpsBack | Self::SucceedsAfterFailure => false,
        }
    }

    /// How long at most a job goes on that takes `takes_us` by itself, in microseconds.
    #[must_use]
    pub const fn longest_us(&self, takes_us: u64) -> u64 {
        match self {
            Self::SucceedsAfterFailure => takes_us.saturating_mul(2),
            Self::JumpsBack => takes_us.saturating_add(takes_us.div_ceil(2)),
            Self::StaysPending { .. }
            | Self::FailsHalfWay { .. }
            | Self::Disappears { .. }
            | Self::AsksToWait { .. } => takes_us,
        }
    }
}
