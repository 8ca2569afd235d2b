//! All invariants, by name.

use super::{
    InvariantKind, at_most_one_effect, bounded_retries, no_double_charges, no_lost_operations,
};

/// Every invariant that a scenario can expect, the gravest first: the order of the documentation, and
/// of the sentence for a manager.
pub static INVARIANTS: &[&InvariantKind] = &[
    &no_double_charges::KIND,
    &at_most_one_effect::KIND,
    &no_lost_operations::KIND,
    &bounded_retries::KIND,
];

/// The invariant of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static InvariantKind> {
    INVARIANTS.iter().copied().find(|kind| kind.name == name)
}
