//! Interned names: each distinct text of a trace is kept once and named by four bytes.
//!
//! Knows nothing about what the texts mean.
//! **Invariant:** within one trace two names are equal exactly if their texts are.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::fast::FixedState;

/// How many places the index has at first.
const FEWEST: usize = 64;

/// A text of a trace, in four bytes (also as an `Option`). Names of different traces do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(NonZeroU32);

/// The texts of one trace.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// All of them, one behind the other.
    texts: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Each of them, at the place that its hash says or the next free one behind it. As many places as a
    /// power of two, and an eighth of them free at least.
    index: Vec<Option<Name>>,
}

impl Names {
    /// The name of `text`, made if there is none yet.
    ///
    /// # Panics
    /// When a trace holds more than 2^32 − 2 distinct texts.
    pub fn intern(&mut self, text: &str) -> Name {
        if (self.ends.len() + 1) * 8 > self.index.len() * 7 {
            self.grow();
        }
        let place = match self.seek(text) {
            Ok(name) => return name,
            Err(place) => place,
        };
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
        let name = Name::at(self.ends.len() - 1).expect("a trace has fewer than 2^32 texts");
        self.index[place] = Some(name);
        name
    }

    /// The name of `text`, if the trace holds it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Name> {
        if self.index.is_empty() { None } else { self.seek(text).ok() }
    }

    /// The name of `text`, or else its place in the index, which has a free one.
    fn seek(&self, text: &str) -> Result<Name, usize> {
        let mut place = self.first_place(text);
        while let Some(name) = self.index[place] {
            if self.text(name) == text {
                return Ok(name);
            }
            place = (place + 1) & (self.index.len() - 1);
        }
        Err(place)
    }

    /// The place that the hash of a text says.
    fn first_place(&self, text: &str) -> usize {
        let most = u64::try_from(self.index.len() - 1).unwrap_or(u64::MAX);
        usize::try_from(hash(text) & most).unwrap_or_default()
    }

    fn grow(&mut self) {
        let places = (self.index.len() * 2).max(FEWEST);
        self.index.clear();
        self.index.resize(places, None);
        for position in 0..self.ends.len() {
            let mut place = self.at(position).map_or(0, |text| self.first_place(text));
            while self.index[place].is_some() {
                place = (place + 1) & (places - 1);
            }
            self.index[place] = Name::at(position);
        }
    }

    /// The text of a name.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        self.at(name.position()).unwrap_or_default()
    }

    fn at(&self, position: usize) -> Option<&str> {
        let start =
            position.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        self.texts.get(start?..*self.ends.get(position)?)
    }

    /// Roughly the bytes it takes, for the promise about the size of a trace.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.texts.len() + size_of_val(&*self.ends) + size_of_val(&*self.index)
    }
}

impl Name {
    /// The name of the text at this position.
    fn at(position: usize) -> Option<Self> {
        NonZeroU32::new(u32::try_from(position.checked_add(1)?).ok()?).map(Self)
    }

    /// How many distinct texts its trace held when it was made.
    pub(super) fn position(self) -> usize {
        usize::try_from(self.0.get()).unwrap_or(usize::MAX) - 1
    }
}

/// A hash whose key is the same in every process.
fn hash(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_name_and_others_do_not() {
        let mut names = Names::default();
        let (one, two) = (names.intern("op-0001"), names.intern("op-0002"));
        assert_eq!(one, names.intern("op-0001"));
        assert_ne!(one, two);
        assert_eq!(names.text(two), "op-0002");
        assert_eq!(names.find("op-0003"), None);
    }

    #[test]
    fn many_texts_are_all_found_again() {
        let mut names = Names::default();
        assert_eq!(names.find(""), None);
        let all: Vec<Name> = (0..5_000).map(|n| names.intern(&format!("text {n}"))).collect();
        for (n, name) in all.iter().enumerate() {
            assert_eq!(names.find(&format!("text {n}")), Some(*name));
            assert_eq!(names.text(*name), format!("text {n}"));
        }
        assert_eq!(names.find("text 5000"), None);
        assert_ne!(names.intern(""), all[0]);
        assert_eq!(names.find("").map(|name| names.text(name)), Some(""));
    }
}
