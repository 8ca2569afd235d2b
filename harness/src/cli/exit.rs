//! Exit codes: what a script learns from an invocation.
//!
//! **Invariant:** the numbers are a contract; of several, 4 outranks 1 outranks 2 outranks 0.

use std::process::ExitCode;

use crate::verdict::Verdict;

/// How an invocation ends, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: passed, or there was nothing to judge and all went well.
    Passed,
    /// 2: nothing can be said.
    Inconclusive,
    /// 1: the client broke an invariant.
    Failed,
    /// 3: the scenario or the command line is wrong, and nothing ran.
    Usage,
    /// 4: the harness could not run.
    Harness,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Inconclusive => 2,
            Self::Usage => 3,
            Self::Harness => 4,
        }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Failed => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_outranks_a_failure_and_a_failure_outranks_a_doubt() {
        let order = [Exit::Harness, Exit::Failed, Exit::Inconclusive, Exit::Passed];
        for pair in order.windows(2) {
            assert!(pair[0] > pair[1], "{pair:?}");
        }
        assert_eq!(order.map(Exit::code), [4, 1, 2, 0]);
    }
}
