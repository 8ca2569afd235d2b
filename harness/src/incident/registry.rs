//! All incidents, by name: a story is added here and as a scenario of the same name.

use super::{Incident, backends, functions, home, prompts, vision};

/// Every incident, family by family.
pub fn all() -> impl Iterator<Item = &'static Incident> {
    [prompts::STORIES, backends::STORIES, functions::STORIES, vision::STORIES, home::STORIES]
        .into_iter()
        .flatten()
}

/// The incident of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Incident> {
    all().find(|incident| incident.name == name)
}
