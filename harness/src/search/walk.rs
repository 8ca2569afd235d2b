//! The walk over all combinations of faults: which to run next, and which need no run.
//!
//! A schedule puts one of the faults, or none, at each of so many places. A client can be moved only by what
//! it met, so two schedules that agree wherever the client came are one run; the order in which it comes to
//! places may depend on what it meets. Knows nothing of faults, places or runs.
//! **Invariant:** every schedule is covered by exactly one run, if the client does the same whenever it
//! meets the same; if it does not, the count says so.

use std::collections::VecDeque;

/// A schedule: at each place the number of a fault, or 0 for none.
pub type Schedule = Vec<usize>;

/// All schedules of so many faults at so many places, walked with few faults first.
#[derive(Debug)]
pub struct Walk {
    faults: usize,
    places: usize,
    /// Schedules of as many faults as the last ones had, and those with one more.
    waiting: VecDeque<Step>,
    runs: u64,
    covered: u128,
    missed: u64,
}

/// A schedule to run, and after how many of the places that the client comes to its children differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The schedule.
    pub schedule: Schedule,
    from: usize,
}

impl Walk {
    /// A walk that begins with the schedule without faults.
    #[must_use]
    pub fn new(faults: usize, places: usize) -> Self {
        let calm = Step { schedule: vec![0; places], from: 0 };
        Self { faults, places, waiting: VecDeque::from([calm]), runs: 0, covered: 0, missed: 0 }
    }

    /// How many schedules there are; the largest number where there are more.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.power(self.places)
    }

    /// The next schedules to run, at most so many, in their order; none when the walk is over.
    pub fn next(&mut self, most: usize) -> Vec<Step> {
        let count = self.waiting.len().min(most);
        self.waiting.drain(..count).collect()
    }

    /// Takes in what a run showed: at which places the client came by, each once, in the order in which it
    /// did.
    pub fn learn(&mut self, step: &Step, reached: &[usize]) {
        let came = |place: usize| reached.contains(&place);
        self.runs += 1;
        if (0..self.places).any(|place| step.schedule[place] != 0 && !came(place)) {
            // On the way here the client did come by, so it does not do the same again.
            self.missed += 1;
            return;
        }
        let never_reached = (0..self.places).filter(|place| !came(*place)).count();
        self.covered = self.covered.saturating_add(self.power(never_reached));
        // Up to there the run was that of the schedule that this one came from.
        for (nth, place) in reached.iter().copied().enumerate().skip(step.from) {
            for fault in 1..=self.faults {
                let mut schedule = step.schedule.clone();
                schedule[place] = fault;
                self.waiting.push_back(Step { schedule, from: nth + 1 });
            }
        }
    }

    /// How many schedules were run.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many schedules are the same as one that was run, that one included.
    #[must_use]
    pub fn covered(&self) -> u128 {
        self.covered
    }

    /// In how many runs the client did not come where the same beginning had led it before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// True when every schedule is covered, each once.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.waiting.is_empty() && self.missed == 0 && self.covered == self.total()
    }

    fn power(&self, exponent: usize) -> u128 {
        let choices = u128::try_from(self.faults).unwrap_or(u128::MAX).saturating_add(1);
        (0..exponent).fold(1, |product: u128, _| product.saturating_mul(choices))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A client that goes by a table: at each place, whether it goes on after what it met there.
    fn reached(table: &[Vec<bool>], schedule: &[usize], depth: usize) -> Vec<bool> {
        let mut reached = Vec::new();
        for operation in schedule.chunks(depth) {
            let mut goes_on = true;
            for (attempt, fault) in operation.iter().enumerate() {
                reached.push(goes_on);
                goes_on = goes_on && table[attempt][*fault];
            }
        }
        reached
    }

    /// Runs a whole walk; gives the schedules that were run, in their order.
    fn walked(walk: &mut Walk, client: impl Fn(&[usize]) -> Vec<bool>) -> Vec<Schedule> {
        walked_in_order(walk, |schedule| in_order(&client(schedule)))
    }

    fn in_order(reached: &[bool]) -> Vec<usize> {
        (0..reached.len()).filter(|place| reached[*place]).collect()
    }

    fn walked_in_order(walk: &mut Walk, client: impl Fn(&[usize]) -> Vec<usize>) -> Vec<Schedule> {
        let mut run = Vec::new();
        loop {
            let steps = walk.next(5);
            if steps.is_empty() {
                return run;
            }
            for step in steps {
                walk.learn(&step, &client(&step.schedule));
                run.push(step.schedule);
            }
        }
    }

    proptest! {
        #[test]
        fn every_schedule_is_run_or_the_same_as_one_that_was(
            (faults, depth, operations) in (1..4_usize, 1..4_usize, 1..3_usize),
            table in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 3),
        ) {
            let mut walk = Walk::new(faults, depth * operations);
            let client = |schedule: &[usize]| reached(&table, schedule, depth);
            let run = walked(&mut walk, client);
            prop_assert!(walk.is_whole());
            // What a client met: the faults where it came, and where it did not come.
            let met = |schedule: &[usize]| -> Vec<Option<usize>> {
                let came = client(schedule);
                came.iter().zip(schedule).map(|(came, fault)| came.then_some(*fault)).collect()
            };
            let seen: BTreeSet<_> = run.iter().map(|schedule| met(schedule)).collect();
            prop_assert_eq!(seen.len(), run.len(), "no two runs are the same");
            let mut all = 0_u128;
            let mut schedule = vec![0; depth * operations];
            loop {
                prop_assert!(seen.contains(&met(&schedule)), "{:?}", schedule);
                all += 1;
                let Some(place) = schedule.iter().rposition(|fault| *fault < faults) else { break };
                schedule[place] += 1;
                schedule[place + 1..].fill(0);
            }
            prop_assert_eq!(all, walk.total());
        }

        #[test]
        fn schedules_with_few_faults_come_first(faults in 1..4_usize, places in 1..4_usize) {
            let run = walked(&mut Walk::new(faults, places), |_| vec![true; places]);
            let counts: Vec<usize> =
                run.iter().map(|schedule| schedule.iter().filter(|fault| **fault > 0).count()).collect();
            prop_assert!(counts.is_sorted(), "{:?}", counts);
        }
    }

    #[test]
    fn a_client_that_tries_twice_needs_no_third() {
        let mut walk = Walk::new(7, 4);
        assert_eq!(walk.total(), 4_096);
        let run = walked(&mut walk, |schedule| vec![true, schedule[0] > 0, false, false]);
        assert_eq!(run.len(), 1 + 7 * 8);
        assert_eq!(walk.covered(), 4_096);
        assert!(walk.is_whole());
    }

    #[test]
    fn a_client_may_come_to_places_in_an_order_that_depends_on_what_it_meets() {
        // Two attempts at each of two providers: 0 and 1, 2 and 3, by turns as long as they fail.
        let turns = |schedule: &[usize]| {
            let failed = [0, 2, 1, 3].iter().take_while(|place| schedule[**place] > 0).count();
            [0, 2, 1, 3].into_iter().take(failed + 1).collect::<Vec<usize>>()
        };
        let mut walk = Walk::new(2, 4);
        let run = walked_in_order(&mut walk, turns);
        assert!(walk.is_whole(), "{run:?}");
        assert_eq!(run.len(), 1 + 2 + 4 + 8 + 16);
    }

    #[test]
    fn a_client_that_does_not_do_the_same_again_is_noticed() {
        let mut walk = Walk::new(1, 2);
        let calm = walk.next(1);
        walk.learn(&calm[0], &[0, 1]);
        for step in walk.next(9) {
            walk.learn(&step, &[0]);
        }
        assert_eq!(walk.missed(), 1);
        assert!(!walk.is_whole());
    }

    #[test]
    fn numbers_beyond_all_bounds_are_no_overflow() {
        assert_eq!(Walk::new(9, 200).total(), u128::MAX);
    }
}
