//! The drawn schedule as lines of text, and its hash.
//!
//! Knows nothing about how a schedule was drawn or recorded; the judge of a trace and the checker of a
//! scenario both hash through here.
//! **Invariant:** the hash is a function of the set of lines, never of their order.

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
    let (mut number, mut bytes) = (0, 0);
    for drawn in lines.clone() {
        number += 1;
        bytes += drawn.line().len() + 1;
    }
    let mut text = String::with_capacity(bytes);
    for drawn in lines {
        text.push_str(&drawn.line());
        text.push('\n');
    }
    let mut sorted = Vec::with_capacity(number);
    sorted.extend(text.split_inclusive('\n'));
    sorted.sort_unstable();
    sorted.dedup();
    let mut hash = Sha256::new();
    sorted.iter().for_each(|line| hash.update(line.as_bytes()));
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

    const KNOWN: &str = "7728994c283b322335f7d75282092d72ae128b10a3dfa350fa368944f9ddeff0";
}
