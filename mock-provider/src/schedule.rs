//! The drawn schedule as lines of text, and its hash.
//!
//! Knows nothing about how a schedule was drawn or recorded; the judge of a trace and the checker of a
//! scenario both hash through here.
//! **Invariant:** the hash is a function of the set of lines, never of their order.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::coordinates::Coordinates;
use crate::hex::as_hex;

/// What one rule drew at one coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drawn<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// Where it drew.
    pub at: Coordinates<'a>,
    /// The fault's name.
    pub fault: &'a str,
}

impl Drawn<'_> {
    /// The line that is hashed: `rule provider route operation submit attempt fault`.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { rule, at, fault } = self;
        let Coordinates { provider, route, operation, submit, attempt } = at;
        let (submit, attempt) = (submit.to_string(), attempt.to_string());
        [*rule, *provider, *route, *operation, submit.as_str(), attempt.as_str(), *fault].join(" ")
    }
}

/// SHA-256 over the sorted lines, each followed by a line feed, in hexadecimal; the same line twice
/// counts once.
///
/// ```
/// use brownout_provider::coordinates::Coordinates;
/// use brownout_provider::schedule::{Drawn, schedule_hash};
/// let at = Coordinates { provider: "p", route: "r", operation: "op-0001", submit: 1, attempt: 1 };
/// let [a, b] = ["hang", "reset"].map(|fault| Drawn { rule: "one", at, fault });
/// assert_eq!(schedule_hash([a, b]), schedule_hash([b, a]));
/// assert_ne!(schedule_hash([a, b]), schedule_hash([a]));
/// ```
#[must_use]
pub fn schedule_hash<'a, L>(lines: L) -> String
where
    L: IntoIterator<Item = Drawn<'a>, IntoIter: Clone>,
{
    // A long run draws hundreds of thousands: they stand in one text, for which there is just enough room.
    let lines = lines.into_iter();
    let mut text = String::with_capacity(lines.clone().map(|drawn| drawn.line().len()).sum());
    let mut places = Vec::with_capacity(lines.clone().count());
    for drawn in lines {
        let from = text.len();
        text.push_str(&drawn.line());
        places.push(from..text.len());
    }
    // Sorted without the line feed behind each: a name may hold one itself, or a character that sorts before it.
    let line = |place: &Range<usize>| &text[place.clone()];
    places.sort_unstable_by(|one, other| line(one).cmp(line(other)));
    places.dedup_by(|one, other| line(one) == line(other));
    let mut hash = Sha256::new();
    for place in &places {
        hash.update(line(place));
        hash.update(b"\n");
    }
    let digest: [u8; 32] = hash.finalize().into();
    as_hex(&digest, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256_of_the_sorted_lines() {
        let at = Coordinates {
            provider: "provider",
            route: "create_charge",
            operation: "op-0002",
            submit: 1,
            attempt: 1,
        };
        let late = Drawn { rule: "busy", at, fault: "status" };
        let early = Drawn { rule: "busy", at: Coordinates { operation: "op-0001", ..at }, ..late };
        assert_eq!(late.line(), "busy provider create_charge op-0002 1 1 status");
        // printf 'busy provider create_charge op-000%d 1 1 status\n' 1 2 | sha256sum
        assert_eq!(schedule_hash([late, early, late]), KNOWN);
        // sha256sum < /dev/null
        assert_eq!(
            schedule_hash([]),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_line_is_one_line_whatever_its_names_hold() {
        let at = Coordinates { provider: "p", route: "r", operation: "o", submit: 1, attempt: 1 };
        let drawn = |fault| Drawn { rule: "one", at, fault };
        // { printf 'one p r o 1 1 a\n'; printf 'one p r o 1 1 a\tb\n'; printf 'one p r o 1 1 a\nb\n'; } | sha256sum
        let known = "a65642e3b97d20efd4be51b3f1f74d4a074e3f6baef0cb7eb985dece3c857da3";
        assert_eq!(schedule_hash(["a\nb", "a\tb", "a"].map(drawn)), known);
    }

    const KNOWN: &str = "7728994c283b322335f7d75282092d72ae128b10a3dfa350fa368944f9ddeff0";
}
