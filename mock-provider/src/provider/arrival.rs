//! Numbers for operations that nobody submitted: the order in which they were first seen.
//!
//! Where a workload hands out operations they are numbered by it, and an operation of nobody's has no
//! number. Where nobody hands them out (a test suite, a provider that is served alone) `operation:` of a
//! rule would never match, so there the first one seen is number 1.
//! **Invariant:** such a number depends on the order of arrival, so what it decides stands outside the
//! drawn schedule.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::{FaultPlan, Numbered};
use crate::recognition::Recognition;

/// The numbers given so far, by all providers of a run.
pub(super) type Numbers = Arc<Mutex<BTreeMap<Arc<str>, u64>>>;

/// Gives numbers.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// False when no rule asks for a number, or a workload gives them.
    wanted: bool,
    numbers: Numbers,
}

impl Arrivals {
    pub(super) fn new(plan: &FaultPlan, numbers: &Numbers) -> Self {
        Self { wanted: plan.asks_for_numbers(), numbers: Arc::clone(numbers) }
    }

    /// A workload gives the numbers.
    pub(super) fn end(&mut self) {
        self.wanted = false;
    }

    /// The number of a request's operation, from now on if it had none.
    pub(super) fn number(&mut self, recognition: &Recognition) -> (Option<u64>, Numbered) {
        let (number, numbered) = self.peek(recognition);
        if let (Some(number), Numbered::ByArrival) = (number, numbered) {
            let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            numbers.entry(Arc::clone(&recognition.operation)).or_insert(number);
        }
        (number, numbered)
    }

    /// The number that a request's operation has or would get.
    pub(super) fn peek(&self, recognition: &Recognition) -> (Option<u64>, Numbered) {
        if recognition.number.is_some() || !self.wanted {
            return (recognition.number, Numbered::BySubmit);
        }
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || u64::try_from(numbers.len()).map_or(u64::MAX, |count| count + 1);
        let number = numbers.get(&recognition.operation).copied().unwrap_or_else(next);
        (Some(number), Numbered::ByArrival)
    }
}
