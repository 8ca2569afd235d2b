//! What happened in cloud functions, and on queues.

use super::Incident;

/// The stories of this family.
pub(super) static STORIES: &[Incident] = &[];
