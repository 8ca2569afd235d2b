//! From a drawn scenario that fails to the smallest schedule, by the same steps as a hunt's.
//!
//! proptest's own shrinking knows the plan that was drawn; this one knows what struck. Rules become the
//! script of what they did at once, and one simple fault may take the place of several.
//! **Invariant:** what is returned has failed with the same invariant violated, or is what was given.

use crate::harness::Prepared;
use crate::search::case::Case;
use crate::search::freeze::freeze;
use crate::search::shrink::{Answer, shrink};
use crate::search::simplest::Simplest;

use super::check::violated;
use super::drawn::Drawn;

/// What is asked of a client to make a failure smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quest<'a> {
    pub(super) client: &'a Prepared,
    /// The invariant that has to stay violated.
    pub(super) target: &'static str,
    /// Runs at most.
    pub(super) most: u32,
}

impl Quest<'_> {
    /// The smallest schedule that still violates the invariant.
    pub(super) fn smallest(self, drawn: &Drawn, simplest: Simplest) -> Drawn {
        let Some(mut frozen) = self.frozen(drawn) else { return drawn.clone() };
        frozen.simplest = simplest.into();
        let plain = frozen.with_seed(self.client.scenario().seed);
        if self.fails(&plain) {
            frozen = plain;
        } else if !self.fails(&frozen) {
            // On the real clock it may have been luck, and there is nothing firm to make smaller.
            return drawn.clone();
        }
        let mut left = self.most;
        let shrunk = shrink(frozen, |case| {
            let Some(rest) = left.checked_sub(1) else { return Ok(Answer::Enough) };
            left = rest;
            Ok::<_, std::convert::Infallible>(match self.fails(case) {
                true => Answer::Fails,
                false => Answer::Holds,
            })
        });
        let Ok(shrunk) = shrunk;
        shrunk.case.scenario().map_or_else(|_| drawn.clone(), Drawn::new)
    }

    /// What struck in a run of it, as a script.
    fn frozen(self, drawn: &Drawn) -> Option<Case> {
        let judged = drawn.run(self.client).ok()?;
        Some(freeze(&judged.trace, drawn.scenario())?.case)
    }

    fn fails(self, case: &Case) -> bool {
        let run = case.scenario().ok().map(|scenario| Drawn::new(scenario).run(self.client));
        matches!(run, Some(Ok(judged)) if violated(&judged).contains(&self.target))
    }
}
