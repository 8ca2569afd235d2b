//! All invariants, by name.

use super::InvariantKind;

/// Every invariant that a scenario can expect, in the order of the documentation.
pub static INVARIANTS: &[&InvariantKind] = &[];

/// The invariant of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static InvariantKind> {
    INVARIANTS.iter().copied().find(|kind| kind.name == name)
}
