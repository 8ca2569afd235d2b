//! Jobs: work that was accepted and goes on behind its answer, and how far each is.
//!
//! A job goes through a course of turns, each at a quarter of the time (or of the looks) that it takes. Faults
//! change the course and nothing else. Knows nothing of objects, effects or answers.
//! **Invariant:** each turn of a job is given once, in order; what was stopped has no turns left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::api::JobPace;
use crate::event::JobState;
use crate::fault::JobFault;

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It shows another state.
    Shows(JobState),
    /// What it is there for is done.
    Commits,
}

/// Turns, each with the quarter of a job's time at which it comes.
type Course = VecDeque<(u32, Turn)>;

/// The course that a job takes, under a fault if one struck it.
fn course(fault: Option<&JobFault>) -> Course {
    use JobState::{Failed, Gone, Pending, Running, Succeeded};
    use Turn::{Commits, Shows};
    let (shown, commits_at): (&[(u32, Turn)], Option<u32>) = match fault {
        None | Some(JobFault::AsksToWait { .. }) => {
            (&[(2, Shows(Running)), (4, Shows(Succeeded))], Some(4))
        }
        Some(JobFault::StaysPending { done }) => (&[], done.then_some(4)),
        Some(JobFault::JumpsBack) => {
            (&[(2, Shows(Running)), (3, Shows(Pending)), (6, Shows(Succeeded))], Some(6))
        }
        Some(JobFault::FailsHalfWay { done }) => {
            (&[(1, Shows(Running)), (2, Shows(Failed))], done.then_some(4))
        }
        Some(JobFault::Disappears { done }) => {
            (&[(2, Shows(Running)), (4, Shows(Gone))], done.then_some(4))
        }
        Some(JobFault::SucceedsAfterFailure) => {
            (&[(2, Shows(Running)), (4, Shows(Failed)), (8, Shows(Succeeded))], Some(8))
        }
    };
    let mut course: Course = shown.iter().copied().collect();
    if let Some(quarter) = commits_at {
        // Whoever sees that it is done sees what it did.
        let before = course.iter().take_while(|(at, _)| *at < quarter).count();
        course.insert(before, (quarter, Commits));
    }
    course
}

/// The jobs of a provider, by the ids of their objects.
#[derive(Debug, Default)]
pub struct Jobs {
    jobs: BTreeMap<Arc<str>, Job>,
    /// Turns that come by time: when, of which job.
    due: BTreeSet<(u64, Arc<str>)>,
    /// Which job a request began.
    begun_by: BTreeMap<u64, Arc<str>>,
}

#[derive(Debug)]
struct Job {
    pace: JobPace,
    from_us: u64,
    looks: u32,
    state: JobState,
    left: Course,
}

impl Job {
    /// When its next turn comes, where it goes by time.
    fn next_us(&self) -> Option<u64> {
        let JobPace::Time(takes_us) = self.pace else { return None };
        let (quarter, _) = self.left.front()?;
        let after = takes_us.saturating_mul(u64::from(*quarter)).div_ceil(4);
        Some(self.from_us.saturating_add(after))
    }

    /// True when its next turn has come by the looks at it.
    fn is_looked_at_enough(&self) -> bool {
        let JobPace::Looks(most) = self.pace else { return false };
        let at = |quarter: u32| most.saturating_mul(quarter).div_ceil(4);
        self.left.front().is_some_and(|(quarter, _)| self.looks >= at(*quarter))
    }

    fn turn(&mut self) -> Option<Turn> {
        let (_, turn) = self.left.pop_front()?;
        if let Turn::Shows(state) = turn {
            self.state = state;
        }
        Some(turn)
    }
}

impl Jobs {
    /// True while there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A request begins a job, struck by this fault if by any. One of the same id is no more.
    pub fn begin(
        &mut self,
        (id, request): (Arc<str>, u64),
        pace: JobPace,
        fault: Option<&JobFault>,
        now_us: u64,
    ) {
        self.stop(&id, JobState::Gone);
        let (state, left) = (JobState::Pending, course(fault));
        let job = Job { pace, from_us: now_us, looks: 0, state, left };
        self.due.extend(job.next_us().map(|at_us| (at_us, Arc::clone(&id))));
        self.begun_by.insert(request, Arc::clone(&id));
        self.jobs.insert(id, job);
    }

    /// The next turn that has come by time, with its job.
    pub fn due(&mut self, now_us: u64) -> Option<(Arc<str>, Turn)> {
        let (at_us, _) = self.due.first()?;
        if *at_us > now_us {
            return None;
        }
        let (_, id) = self.due.pop_first()?;
        let job = self.jobs.get_mut(&id)?;
        let turn = job.turn()?;
        self.due.extend(job.next_us().map(|at_us| (at_us, Arc::clone(&id))));
        Some((id, turn))
    }

    /// Somebody looks at a job: the turns that come by it, in order.
    pub fn look(&mut self, id: &str) -> Vec<Turn> {
        let Some(job) = self.jobs.get_mut(id) else { return Vec::new() };
        job.looks = job.looks.saturating_add(1);
        let mut turns = Vec::new();
        while job.is_looked_at_enough() {
            turns.extend(job.turn());
        }
        turns
    }

    /// Nothing more happens to a job, and it shows this from now on. `false` for one that is unknown.
    pub fn stop(&mut self, id: &str, state: JobState) -> bool {
        let Some(job) = self.jobs.get_mut(id) else { return false };
        if let Some(at_us) = job.next_us() {
            self.due.remove(&(at_us, Arc::from(id)));
        }
        job.left.clear();
        job.state = state;
        true
    }

    /// What a job shows; `None` for one that is unknown.
    #[must_use]
    pub fn state(&self, id: &str) -> Option<JobState> {
        self.jobs.get(id).map(|job| job.state)
    }

    /// True when what a job is there for is still to be done.
    #[must_use]
    pub fn commits(&self, id: &str) -> bool {
        self.jobs.get(id).is_some_and(|job| job.left.iter().any(|(_, turn)| *turn == Turn::Commits))
    }

    /// When the next turn of the job comes that this request began, if that comes by time.
    #[must_use]
    pub fn next_of(&self, request: u64) -> Option<u64> {
        self.jobs.get(self.begun_by.get(&request)?)?.next_us()
    }

    /// How many jobs will still do something by themselves.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.due.len()
    }
}

#[cfg(test)]
mod tests;
