//! All faults, by name.

use super::FaultKind;

/// Every fault that a scenario can name, in the order of the documentation.
pub static FAULTS: &[&FaultKind] = &[];

/// The fault of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static FaultKind> {
    FAULTS.iter().copied().find(|kind| kind.name == name)
}
