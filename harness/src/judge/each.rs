//! The invariants of a scenario, each judged by itself: one after the other, or for a long trace side by side.
//!
//! **Invariant:** results stand in the order of the expectations, and on how many threads they were found
//! changes nothing about them.

use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::guess::Readings;
use super::judge_one;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::verdict::InvariantResult;

/// From so many requests on, more than one thread judges: for fewer, a thread takes longer to start.
const MANY: usize = 20_000;

/// So many threads at most; each needs room for what its invariant gathers.
const THREADS: usize = 2;

/// What each expectation says of a trace.
pub(super) fn judge_each(trace: &Trace, scenario: &Scenario) -> Vec<InvariantResult> {
    let is_long = trace.requests().nth(MANY).is_some();
    // Counting the cores reads files of the kernel, which takes longer than judging a short trace.
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    on_threads(trace, scenario, if is_long { THREADS.min(cores()) } else { 1 })
}

fn on_threads(trace: &Trace, scenario: &Scenario, threads: usize) -> Vec<InvariantResult> {
    let readings = Readings::of(trace, scenario);
    let (expect, next) = (&scenario.expect, AtomicUsize::new(0));
    let results: Vec<OnceLock<InvariantResult>> = expect.iter().map(|_| OnceLock::new()).collect();
    // Whoever is free takes the next one.
    let work = || {
        let take = || next.fetch_add(1, Ordering::Relaxed);
        while let Some((one, result)) =
            Some(take()).and_then(|at| expect.get(at).zip(results.get(at)))
        {
            result.get_or_init(|| judge_one(trace, one, &readings));
        }
    };
    thread::scope(|scope| {
        // Where the system gives no more threads, those that are there do it all.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        work();
        for other in others {
            // What an invariant of the user's own panics with is the user's to see.
            other.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let judged = |result: OnceLock<_>| result.into_inner().expect("each was taken by somebody");
    results.into_iter().map(judged).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::{Apis, Overrides, read};

    #[test]
    fn on_how_many_threads_it_is_judged_changes_nothing() {
        let text = "version: 1\nname: n\nprovider: {api: payments}\nworkload: {call: create_charge, operations: 2}\n\
                    expect: [no_double_charges, no_lost_operations, failures_surface, honest_failures]\n";
        let read =
            read("n.yaml", text.as_bytes(), Apis::Beside(Path::new(".")), &Overrides::default());
        let scenario = read.scenario.unwrap_or_else(|| panic!("{:?}", read.diagnostics));
        let lines = r#"{"at_us":0,"event":"operation_submitted"}
            {"at_us":1,"event":"request_received","request":1,"recognized":"guess"}
            {"at_us":2,"event":"effect_committed","request":1}
            {"at_us":3,"event":"request_received","request":2,"attempt":2,"recognized":"guess"}
            {"at_us":4,"event":"effect_committed","request":2,"effect":2}
            {"at_us":5,"event":"operation_finished","claim":"failed"}"#;
        let trace = crate::trace::testing::trace(lines);
        let alone = on_threads(&trace, &scenario, 1);
        let names: Vec<&str> = alone.iter().map(|one| one.name).collect();
        let expected: Vec<&str> = scenario.expect.iter().map(|one| one.name).collect();
        assert_eq!(names, expected);
        for threads in 2..6 {
            let together = on_threads(&trace, &scenario, threads);
            assert_eq!(format!("{together:?}"), format!("{alone:?}"), "{threads} threads");
        }
    }
}
