//! Interned names: each distinct text of a trace is kept once and named by four bytes.
//!
//! Knows nothing about what the texts mean.
//! **Invariant:** within one trace two names are equal exactly if their texts are.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use sha2::{Digest, Sha256};

/// A text of a trace, in four bytes (also as an `Option`). Names of different traces do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(NonZeroU32);

/// The texts of one trace.
#[derive(Clone, Debug, Default)]
pub struct Names {
    texts: Vec<Box<str>>,
    /// By the first eight bytes of the text's SHA-256, which take less room than the text. A second
    /// text under one number is found by looking through all.
    index: BTreeMap<u64, Name>,
}

impl Names {
    /// The name of `text`, made if there is none yet.
    ///
    /// # Panics
    /// When a trace holds more than 2^32 − 2 distinct texts.
    pub fn intern(&mut self, text: &str) -> Name {
        if let Some(name) = self.find(text) {
            return name;
        }
        self.texts.push(text.into());
        let number = u32::try_from(self.texts.len()).expect("a trace has fewer than 2^32 texts");
        let name = Name(NonZeroU32::new(number).expect("a length after a push is at least 1"));
        self.index.entry(digest(text)).or_insert(name);
        name
    }

    /// The name of `text`, if the trace holds it.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Name> {
        let first = *self.index.get(&digest(text))?;
        if self.text(first) == text {
            return Some(first);
        }
        let position = self.texts.iter().position(|one| &**one == text)?;
        NonZeroU32::new(u32::try_from(position + 1).ok()?).map(Name)
    }

    /// The text of a name.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        let position = usize::try_from(name.0.get()).unwrap_or(usize::MAX) - 1;
        self.texts.get(position).map_or("", |text| &**text)
    }

    /// Roughly the bytes it takes, for the promise about the size of a trace.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
        // A tree's nodes are two thirds full on average.
        texts + self.index.len() * (size_of::<u64>() + size_of::<Name>()) * 3 / 2
    }
}

fn digest(text: &str) -> u64 {
    let full: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut first = [0; 8];
    first.copy_from_slice(&full[..8]);
    u64::from_be_bytes(first)
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
