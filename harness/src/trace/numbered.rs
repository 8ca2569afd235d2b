//! What stands under the numbers of a provider's requests or effects.
//!
//! A provider counts from 1, so a list holds nearly all of them, four bytes each; a file that anybody may have
//! edited may hold any number.
//! **Invariant:** a number finds what was last put under it, and the room taken grows with what was put in, not
//! with the numbers.

use std::collections::BTreeMap;

/// How far a number may lie beyond the list that still holds it.
const GAP: usize = 64;

/// What no place holds.
const NONE: u32 = u32::MAX;

/// Places in a list, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbered {
    near: Vec<u32>,
    far: BTreeMap<u64, u32>,
}

impl Numbered {
    /// Puts a place under a number, instead of what stood there.
    pub(super) fn put(&mut self, number: u64, place: u32) {
        match usize::try_from(number) {
            Ok(number) if number < self.near.len().saturating_add(GAP) => {
                if number >= self.near.len() {
                    self.near.resize(number + 1, NONE);
                }
                self.near[number] = place;
            }
            Ok(_) | Err(_) => drop(self.far.insert(number, place)),
        }
    }

    /// The place under a number.
    pub(super) fn get(&self, number: u64) -> Option<u32> {
        let near = usize::try_from(number).ok().and_then(|number| self.near.get(number).copied());
        near.filter(|place| *place != NONE).or_else(|| self.far.get(&number).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_what_was_last_put_under_it() {
        let mut numbered = Numbered::default();
        for (number, place) in [(1, 0), (2, 1), (900, 2), (u64::MAX, 3), (5_000, 4), (2, 5)] {
            numbered.put(number, place);
        }
        // The list grows until it reaches what stood beyond it.
        let others = (4..6_000).filter(|number| ![900, 5_000].contains(number));
        others.for_each(|number| numbered.put(number, 9));
        let found = [1, 2, 900, u64::MAX, 5_000, 3, 6_000].map(|number| numbered.get(number));
        assert_eq!(found, [Some(0), Some(5), Some(2), Some(3), Some(4), None, None]);
        numbered.put(5_000, 7);
        assert_eq!(numbered.get(5_000), Some(7));
        assert_eq!((numbered.near.len(), numbered.far.len()), (6_000, 3));
    }
}
