//! What happened in front of services that look at pictures.

use super::Incident;

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[];
