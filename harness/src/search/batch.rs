//! Many runs at the same time, with their results in order.
//!
//! Knows nothing about runs: it hands items to threads.
//! **Invariant:** every item that was begun has a result, and results stand in the order of the items
//! whatever finished first.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Who works on the items.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// Up to so many threads.
    pub jobs: usize,
    /// After so long without news it is said that there is none; then after twice as long, and so on.
    pub patience: Duration,
}

/// What whoever waits for results hears.
#[derive(Debug)]
pub enum News<'a, T, R> {
    /// The result of an item.
    Done(&'a T, &'a R),
    /// Nothing has begun or ended for so long, while these items are worked on.
    Still(Vec<&'a T>, Duration),
}

/// What a thread of the crew says.
enum Said<R> {
    Begun(usize),
    Done(usize, R),
}

/// Works on `items`. Before each item `goes_on` is asked; after a `false` no further item is begun.
/// `hears` is told of every result as it comes, and of long waits, on the calling thread. The result of
/// an item that was not begun is `None`.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    crew: Crew,
    goes_on: impl Fn() -> bool + Sync,
    work: impl Fn(&T) -> R + Sync,
    mut hears: impl FnMut(News<'_, T, R>),
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for _ in 0..crew.jobs.clamp(1, items.len().max(1)) {
            let (sender, next, goes_on, work) = (sender.clone(), &next, &goes_on, &work);
            scope.spawn(move || {
                while goes_on() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let begun = sender.send(Said::Begun(index));
                    if begun.and_then(|()| sender.send(Said::Done(index, work(item)))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let (mut running, mut quiet) = (BTreeSet::new(), Duration::ZERO);
        loop {
            // Waits of once, twice, four times the patience and so on.
            let patience = crew.patience.saturating_add(quiet);
            match receiver.recv_timeout(patience) {
                Ok(Said::Begun(index)) => {
                    quiet = Duration::ZERO;
                    running.insert(index);
                }
                Ok(Said::Done(index, result)) => {
                    quiet = Duration::ZERO;
                    running.remove(&index);
                    hears(News::Done(&items[index], &result));
                    results[index] = Some(result);
                }
                Err(RecvTimeoutError::Timeout) => {
                    quiet = quiet.saturating_add(patience);
                    let running = running.iter().map(|index| &items[*index]).collect();
                    hears(News::Still(running, quiet));
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..50).collect();
        let mut heard = 0;
        let crew = Crew { jobs: 4, patience: LONG };
        let results = in_parallel(&items, crew, || true, |item| item * 2, |_| heard += 1);
        let expected: Vec<Option<u32>> = items.iter().map(|item| Some(item * 2)).collect();
        assert_eq!(results, expected);
        assert_eq!(heard, 50);
    }

    #[test]
    fn nothing_is_begun_after_a_stop() {
        let stopped = AtomicBool::new(false);
        let results = in_parallel(
            &[1, 2, 3],
            Crew { jobs: 1, patience: LONG },
            || !stopped.load(Ordering::Relaxed),
            |item| {
                stopped.store(*item == 2, Ordering::Relaxed);
                *item
            },
            |_| {},
        );
        assert_eq!(results, [Some(1), Some(2), None]);
    }

    #[test]
    fn whoever_waits_long_hears_what_is_still_running_ever_more_rarely() {
        let (release, held) = mpsc::channel();
        let held = Mutex::new(held);
        let mut told = Vec::new();
        let results = in_parallel(
            &[7],
            Crew { jobs: 1, patience: Duration::from_millis(1) },
            || true,
            // The work ends only after three lines of waiting have been told.
            |_| held.lock().expect("nobody panicked").recv().is_ok(),
            |news| {
                let News::Still(running, quiet) = news else { return };
                // On a busy machine a line may come before the work has begun.
                if running == [&7] {
                    told.push(quiet);
                    if told.len() == 3 {
                        release.send(()).expect("the work waits for it");
                    }
                }
            },
        );
        assert_eq!(results, [Some(true)]);
        assert!(told.last() >= Some(&Duration::from_millis(3)), "{told:?}");
    }
}
