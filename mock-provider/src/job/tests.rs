//! Jobs against a model that knows no turns: how far a job is follows from how much of its time is over.

use proptest::prelude::*;

use super::*;
use crate::hint::HintSpec;

/// What a job shows and whether it is done when so many quarters of its time are over.
fn model(fault: Option<&JobFault>, quarters: u64) -> (JobState, bool) {
    use JobState::{Failed, Gone, Pending, Running, Succeeded};
    let by = |steps: &[(u64, JobState)]| {
        steps.iter().rev().find(|(from, _)| quarters >= *from).map_or(Pending, |(_, state)| *state)
    };
    match fault {
        None | Some(JobFault::AsksToWait { .. }) => {
            (by(&[(2, Running), (4, Succeeded)]), quarters >= 4)
        }
        Some(JobFault::StaysPending { done }) => (Pending, *done && quarters >= 4),
        Some(JobFault::JumpsBack) => {
            (by(&[(2, Running), (3, Pending), (6, Succeeded)]), quarters >= 6)
        }
        Some(JobFault::FailsHalfWay { done }) => {
            (by(&[(1, Running), (2, Failed)]), *done && quarters >= 4)
        }
        Some(JobFault::Disappears { done }) => {
            (by(&[(2, Running), (4, Gone)]), *done && quarters >= 4)
        }
        Some(JobFault::SucceedsAfterFailure) => {
            (by(&[(2, Running), (4, Failed), (8, Succeeded)]), quarters >= 8)
        }
    }
}

fn fault() -> impl Strategy<Value = Option<JobFault>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|done| Some(JobFault::StaysPending { done })),
        Just(Some(JobFault::JumpsBack)),
        any::<bool>().prop_map(|done| Some(JobFault::FailsHalfWay { done })),
        any::<bool>().prop_map(|done| Some(JobFault::Disappears { done })),
        Just(Some(JobFault::SucceedsAfterFailure)),
        Just(Some(JobFault::AsksToWait { hint: HintSpec::Seconds(1) })),
    ]
}

/// What somebody does.
#[derive(Clone, Debug)]
enum Step {
    Begin(usize, JobPace, Option<JobFault>),
    Wait(u64),
    Look(usize),
    Stop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let pace =
        prop_oneof![(1_u64..40).prop_map(JobPace::Time), (1_u32..9).prop_map(JobPace::Looks)];
    prop_oneof![
        2 => (0_usize..3, pace, fault()).prop_map(|(id, pace, fault)| Step::Begin(id, pace, fault)),
        4 => (0_u64..20).prop_map(Step::Wait),
        4 => (0_usize..3).prop_map(Step::Look),
        1 => (0_usize..3).prop_map(Step::Stop),
    ]
}

/// A job as the model has it.
#[derive(Clone, Debug)]
struct Modelled {
    pace: JobPace,
    fault: Option<JobFault>,
    from_us: u64,
    looks: u64,
    /// What it showed and whether it was done when it was stopped.
    stopped: Option<(JobState, bool)>,
    /// How often its work was done.
    commits: u32,
}

impl Modelled {
    fn now(&self, now_us: u64) -> (JobState, bool) {
        let quarters = match self.pace {
            JobPace::Time(takes_us) => (now_us - self.from_us) * 4 / takes_us,
            JobPace::Looks(most) => self.looks * 4 / u64::from(most),
        };
        self.stopped.unwrap_or_else(|| model(self.fault.as_ref(), quarters))
    }
}

fn id(number: usize) -> Arc<str> {
    format!("job_{number}").into()
}

fn count(turns: impl IntoIterator<Item = Turn>, job: &mut Modelled) {
    for turn in turns {
        job.commits += u32::from(turn == Turn::Commits);
    }
}

proptest! {
    #[test]
    fn a_job_is_as_far_as_its_time_says(steps in prop::collection::vec(step(), 0..60)) {
        let (mut jobs, mut now_us) = (Jobs::default(), 0);
        let mut model: BTreeMap<Arc<str>, Modelled> = BTreeMap::new();
        for (request, step) in (1..).zip(steps) {
            match step {
                Step::Begin(number, pace, fault) => {
                    jobs.begin((id(number), request), pace, fault.as_ref(), now_us);
                    let from_us = now_us;
                    let begun =
                        Modelled { pace, fault, from_us, looks: 0, stopped: None, commits: 0 };
                    model.insert(id(number), begun);
                }
                Step::Wait(micros) => now_us += micros,
                Step::Look(number) => {
                    let turns = jobs.look(&id(number));
                    if let Some(job) = model.get_mut(&id(number)) {
                        job.looks += 1;
                        count(turns, job);
                    } else {
                        prop_assert!(turns.is_empty());
                    }
                }
                Step::Stop(number) => {
                    let known = jobs.stop(&id(number), JobState::Canceled);
                    prop_assert_eq!(known, model.contains_key(&id(number)));
                    if let Some(job) = model.get_mut(&id(number)) {
                        job.stopped = Some((JobState::Canceled, job.now(now_us).1));
                    }
                }
            }
            while let Some((id, turn)) = jobs.due(now_us) {
                count([turn], model.get_mut(&id).expect("it was begun"));
            }
            for (id, job) in &model {
                let (state, done) = job.now(now_us);
                prop_assert_eq!(jobs.state(id), Some(state), "{:?} at {}", job, now_us);
                prop_assert_eq!(job.commits, u32::from(done), "{:?} at {}", job, now_us);
            }
        }
    }
}

#[test]
fn whoever_sees_that_it_is_done_sees_what_it_did() {
    let mut jobs = Jobs::default();
    jobs.begin((id(1), 7), JobPace::Time(4), None, 10);
    assert_eq!((jobs.pending(), jobs.next_of(7), jobs.commits(&id(1))), (1, Some(12), true));
    assert_eq!(jobs.due(11), None);
    let turns: Vec<Turn> = std::iter::from_fn(|| jobs.due(99)).map(|(_, turn)| turn).collect();
    let expected =
        [Turn::Shows(JobState::Running), Turn::Commits, Turn::Shows(JobState::Succeeded)];
    assert_eq!(turns, expected);
    assert_eq!((jobs.pending(), jobs.next_of(7), jobs.commits(&id(1))), (0, None, false));
}
