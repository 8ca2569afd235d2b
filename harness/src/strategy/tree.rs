//! Drawing and shrinking as proptest wants it, by two plain functions: one draws, one lists what is simpler.
//!
//! **Invariant:** what is left in the end failed when it was tried last, and nothing that `simpler` lists
//! for it failed.

use std::fmt;
use std::sync::Arc;

use brownout_provider::coordinates::Coordinates;
use brownout_provider::seed::{Draw, RuleKey, Seed};
use proptest::arbitrary::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// How something is drawn, made simpler, and shown.
pub(super) trait Model: Clone + fmt::Debug {
    /// What is drawn and made simpler.
    type Inner: Clone + fmt::Debug;
    /// What a test receives.
    type Shown: fmt::Debug;

    /// Draws one.
    fn draw(&self, draw: &mut Draw) -> Result<Self::Inner, String>;

    /// All that is one step simpler, what is worth most first; each strictly simpler, so that every
    /// chain of steps ends.
    fn simpler(&self, inner: &Self::Inner) -> Vec<Self::Inner>;

    /// What a test receives of it.
    fn show(&self, inner: &Self::Inner) -> Self::Shown;
}

/// The strategy of a model.
#[derive(Clone, Debug)]
pub(super) struct Drawing<M>(pub(super) Arc<M>);

impl<M: Model> Drawing<M> {
    pub(super) fn of(model: M) -> Self {
        Self(Arc::new(model))
    }
}

impl<M: Model> Strategy for Drawing<M> {
    type Tree = Tree<M>;
    type Value = M::Shown;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let bits = any::<[u64; 2]>().new_tree(runner)?.current();
        // All randomness is proptest's; how it is turned into draws is brownout's own.
        let seed = Seed::new(bits[0] & Seed::MAX.get()).unwrap_or_default();
        let name = bits[1].to_string();
        let at = Coordinates { operation: &name, ..Coordinates::NOWHERE };
        let mut draw = RuleKey::new(seed, "~strategy").draw(&at);
        let worst = self.0.draw(&mut draw)?;
        Ok(Tree { model: Arc::clone(&self.0), worst, trying: None, rest: None })
    }
}

/// One that was drawn, on its way to the simplest.
#[derive(Clone, Debug)]
pub(super) struct Tree<M: Model> {
    model: Arc<M>,
    /// The simplest that is known to fail.
    worst: M::Inner,
    /// What is tried now.
    trying: Option<M::Inner>,
    /// What else is simpler than the worst.
    rest: Option<std::vec::IntoIter<M::Inner>>,
}

impl<M: Model> Tree<M> {
    fn try_next(&mut self) -> bool {
        let rest = self.rest.get_or_insert_with(|| self.model.simpler(&self.worst).into_iter());
        self.trying = rest.next();
        self.trying.is_some()
    }
}

impl<M: Model> ValueTree for Tree<M> {
    type Value = M::Shown;

    fn current(&self) -> M::Shown {
        self.model.show(self.trying.as_ref().unwrap_or(&self.worst))
    }

    fn simplify(&mut self) -> bool {
        if let Some(tried) = self.trying.take() {
            self.worst = tried;
            self.rest = None;
        }
        self.try_next()
    }

    fn complicate(&mut self) -> bool {
        // After the last try the worst is tried once more, so that strategies around this one go on.
        let was_trying = self.trying.is_some();
        self.try_next() || was_trying
    }
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::{Config, TestError};

    use super::*;

    /// Lists of numbers; a shorter list is simpler, and so is a smaller number.
    #[derive(Clone, Debug)]
    struct Lists;

    impl Model for Lists {
        type Inner = Vec<u64>;
        type Shown = Vec<u64>;

        fn draw(&self, draw: &mut Draw) -> Result<Vec<u64>, String> {
            let length = draw.below(8);
            Ok((0..length).map(|_| draw.below(1_000)).collect())
        }

        fn simpler(&self, list: &Vec<u64>) -> Vec<Vec<u64>> {
            let without = |index: usize| {
                let mut list = list.clone();
                list.remove(index);
                list
            };
            let smaller = |index: usize| {
                let mut list = list.clone();
                list[index] -= 1;
                list
            };
            let fewer = (0..list.len()).map(without);
            fewer.chain((0..list.len()).filter(|at| list[*at] > 0).map(smaller)).collect()
        }

        fn show(&self, list: &Vec<u64>) -> Vec<u64> {
            list.clone()
        }
    }

    fn smallest<S: Strategy>(strategy: &S, holds: impl Fn(&S::Value) -> bool) -> S::Value {
        let config = Config {
            failure_persistence: None,
            max_shrink_iters: 1_000_000,
            ..Config::with_cases(1_000)
        };
        let mut runner = TestRunner::new(config);
        let found = runner.run(strategy, |value| {
            proptest::prop_assert!(holds(&value));
            Ok(())
        });
        match found {
            Err(TestError::Fail(_, value)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_is_the_simplest_that_fails() {
        let left = smallest(&Drawing::of(Lists), |list| list.iter().all(|number| *number < 300));
        assert_eq!(left, [300]);
    }

    #[test]
    fn neighbours_in_a_tuple_are_shrunk_too() {
        let both = (Drawing::of(Lists), 0..100_u32, Drawing::of(Lists));
        let (first, number, last) =
            smallest(&both, |(first, number, last)| first.len() + last.len() < 3 || *number < 7);
        assert_eq!((first.len() + last.len(), number), (3, 7));
        assert!(first.iter().chain(&last).all(|number| *number == 0));
    }
}
