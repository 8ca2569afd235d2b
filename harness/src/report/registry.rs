//! All formats of reports, by name.

#[cfg(feature = "cli")]
use super::junit;
use super::{Format, github, human, json};

/// Every format, in the order of the documentation; the first is the default.
pub static FORMATS: &[&Format] = &[
    &human::FORMAT,
    &json::FORMAT,
    #[cfg(feature = "cli")]
    &junit::FORMAT,
    &github::FORMAT,
];

/// The format of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.name == name)
}
