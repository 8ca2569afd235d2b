//! What happened in retry code that people wrote for themselves.

use super::Incident;

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[];
