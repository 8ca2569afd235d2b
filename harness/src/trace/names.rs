//! Interned names: each distinct text of a trace is kept once and named by four bytes.
//!
//! Knows nothing about what the texts mean.
//! **Invariant:** within one trace two names are equal exactly if their texts are.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::fast::FixedState;

/// A text of a trace, in four bytes (also as an `Option`). Names of different traces do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(NonZeroU32);

/// The texts of one trace.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// All of them, one behind the other.
    texts: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// By eight bytes of hash, which take less room than the text. A second text under one number is
    /// found by looking through all.
    index: BTreeMap<u64, Name>,
}

impl Names {
    /// The name of `text`, made if there is none yet.
    ///
    /// # Panics
    /// When a trace holds more than 2^32 − 2 distinct texts.
    pub fn intern(&mut self, text: &str) -> Name {
        let hash = hash(text);
        if let Some(name) = self.find_hashed(hash, text) {
            return name;
        }
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
        let number = u32::try_from(self.ends.len()).expect("a trace has fewer than 2^32 texts");
        let name = Name(NonZeroU32::new(number).expect("a length after a push is at least 1"));
        self.index.entry(hash).or_insert(name);
        name
    }

    /// The name of `text`, if the trace holds it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Name> {
        self.find_hashed(hash(text), text)
    }

    fn find_hashed(&self, hash: u64, text: &str) -> Option<Name> {
        let first = *self.index.get(&hash)?;
        if self.text(first) == text {
            return Some(first);
        }
        let position = (0..self.ends.len()).find(|position| self.at(*position) == Some(text))?;
        NonZeroU32::new(u32::try_from(position + 1).ok()?).map(Name)
    }

    /// The text of a name.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        let position = usize::try_from(name.0.get()).unwrap_or(usize::MAX) - 1;
        self.at(position).unwrap_or_default()
    }

    fn at(&self, position: usize) -> Option<&str> {
        let start =
            position.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        self.texts.get(start?..*self.ends.get(position)?)
    }

    /// Roughly the bytes it takes, for the promise about the size of a trace.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = self.texts.len() + self.ends.len() * size_of::<usize>();
        // A tree's nodes are two thirds full on average.
        texts + self.index.len() * (size_of::<u64>() + size_of::<Name>()) * 3 / 2
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
}
