//! The threads on which runs in virtual time take place, and the watch over them.
//!
//! A run in virtual time takes less time than a thread needs to start, so each thread that asks for runs
//! has one that carries them out, for all its runs. Whoever asked waits beside it on the real clock.
//!
//! **Invariant:** whatever a client does to the thread of its run, the one who asked comes back.

use std::cell::RefCell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::drive::stop::Stop;

/// In how many looks the patience is spent.
const LOOKS: u32 = 5;

/// How long a run that was told to end may take to do so.
const GRACE: Duration = Duration::from_secs(1);

/// What a run shows of itself to the one who watches it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    beats: AtomicU64,
    at_us: AtomicU64,
}

impl Pulse {
    /// Something happened.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Virtual time stands here.
    pub(super) fn stands_at(&self, at_us: u64) {
        self.at_us.store(at_us, Ordering::Relaxed);
    }

    fn look(&self) -> (u64, u64) {
        (self.beats.load(Ordering::Relaxed), self.at_us.load(Ordering::Relaxed))
    }
}

/// Why there is no result.
#[derive(Debug)]
pub(super) enum NoResult {
    /// No thread could be started.
    Thread(io::Error),
    /// Nothing happened for as long as the patience lasts.
    Stuck,
}

/// How a run is watched.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// What the run shows.
    pub(super) pulse: Arc<Pulse>,
    /// Ends the run.
    pub(super) stop: Stop,
    /// How long nothing may happen.
    pub(super) patience: Duration,
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that carries out jobs until whoever asks for them is gone.
struct Worker(Sender<Job>);

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

impl Worker {
    fn start() -> io::Result<Self> {
        let (jobs, asked) = mpsc::channel::<Job>();
        thread::Builder::new().name("brownout-virtual".to_owned()).spawn(move || {
            while let Ok(job) = asked.recv() {
                job();
            }
        })?;
        Ok(Self(jobs))
    }
}

/// Carries out a job on this thread's worker. A worker whose job is stuck is left to itself: its thread
/// ends with the job.
pub(super) fn carry_out<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
    watch: &Watch,
) -> Result<T, NoResult> {
    let worker = WORKER.with_borrow_mut(Option::take);
    let worker = worker.map_or_else(Worker::start, Ok).map_err(NoResult::Thread)?;
    let (tell, told) = mpsc::sync_channel(1);
    let job = Box::new(move || {
        // Nobody listens any more to a job that was stuck.
        let _ = tell.send(std::panic::catch_unwind(AssertUnwindSafe(job)));
    });
    worker.0.send(job).expect("a worker takes jobs as long as it is held");
    let mut quiet = 0;
    let mut seen = watch.pulse.look();
    loop {
        let longest = if quiet < LOOKS { watch.patience / LOOKS } else { GRACE };
        match told.recv_timeout(longest) {
            Ok(ended) => {
                WORKER.with_borrow_mut(|place| *place = Some(worker));
                return match ended {
                    Ok(_) if quiet >= LOOKS => Err(NoResult::Stuck),
                    Ok(result) => Ok(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                };
            }
            Err(RecvTimeoutError::Timeout) if quiet >= LOOKS => return Err(NoResult::Stuck),
            Err(RecvTimeoutError::Timeout) => {
                let now = watch.pulse.look();
                quiet = if now == seen { quiet + 1 } else { 0 };
                seen = now;
                if quiet >= LOOKS {
                    watch.stop.stop();
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("a job tells of its end, also when it panics")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        patient(Duration::from_millis(50))
    }

    fn patient(patience: Duration) -> Watch {
        Watch { pulse: Arc::new(Pulse::default()), stop: Stop::new(), patience }
    }

    #[test]
    fn jobs_of_one_thread_share_a_worker_also_after_a_panic() {
        // Long enough for a machine that is busy with other things.
        let long = || patient(Duration::from_secs(60));
        let who = || carry_out(|| thread::current().id(), &long()).expect("it does not block");
        let first = who();
        assert_ne!(first, thread::current().id());
        let panicked = std::panic::catch_unwind(|| carry_out(|| panic!("on purpose"), &long()));
        let words = panicked.expect_err("the panic is handed on");
        assert_eq!(words.downcast_ref(), Some(&"on purpose"));
        assert_eq!(who(), first);
    }

    #[test]
    fn a_job_that_stands_still_is_given_up_and_the_next_one_runs() {
        let (let_go, held) = mpsc::channel::<()>();
        let watched = watch();
        let given_up = carry_out(move || held.recv(), &watched);
        assert!(matches!(given_up, Err(NoResult::Stuck)));
        assert!(watched.stop.is_stopped());
        assert_eq!(carry_out(|| 7, &watch()).expect("a new worker"), 7);
        drop(let_go);
    }

    #[test]
    fn a_job_that_shows_signs_of_life_may_take_as_long_as_it_likes() {
        let watched = watch();
        let pulse = Arc::clone(&watched.pulse);
        let (_never, naps) = mpsc::channel::<()>();
        let lived = carry_out(
            move || {
                for _ in 0..20 {
                    pulse.beat();
                    let _ = naps.recv_timeout(Duration::from_millis(10));
                }
            },
            &watched,
        );
        assert!(lived.is_ok() && !watched.stop.is_stopped());
    }
}
