//! All formats of reports, by name.

use super::{Format, human, json};

/// Every format, in the order of the documentation; the first is the default.
pub static FORMATS: &[&Format] = &[&human::FORMAT, &json::FORMAT];

/// The format of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.name == name)
}
