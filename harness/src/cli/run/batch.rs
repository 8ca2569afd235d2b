//! Many runs at the same time, with their results in order.
//!
//! Knows nothing about runs: it hands items to threads.
//! **Invariant:** every item that was begun has a result, and results stand in the order of the items
//! whatever finished first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Works on `items` with up to `jobs` threads. Before each item `goes_on` is asked; after a `false` no
/// further item is begun. `each` hears of every result as it comes, on the calling thread. The result of
/// an item that was not begun is `None`.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    goes_on: impl Fn() -> bool + Sync,
    work: impl Fn(&T) -> R + Sync,
    mut each: impl FnMut(&T, &R),
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let (sender, next, goes_on, work) = (sender.clone(), &next, &goes_on, &work);
            scope.spawn(move || {
                while goes_on() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    if sender.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (index, result) in receiver {
            each(&items[index], &result);
            results[index] = Some(result);
        }
    });
    results
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..50).collect();
        let mut heard = 0;
        let results = in_parallel(&items, 4, || true, |item| item * 2, |_, _| heard += 1);
        let expected: Vec<Option<u32>> = items.iter().map(|item| Some(item * 2)).collect();
        assert_eq!(results, expected);
        assert_eq!(heard, 50);
    }

    #[test]
    fn nothing_is_begun_after_a_stop() {
        let stopped = AtomicBool::new(false);
        let results = in_parallel(
            &[1, 2, 3],
            1,
            || !stopped.load(Ordering::Relaxed),
            |item| {
                stopped.store(*item == 2, Ordering::Relaxed);
                *item
            },
            |_, _| {},
        );
        assert_eq!(results, [Some(1), Some(2), None]);
    }
}
