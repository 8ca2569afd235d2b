//! Where API files come from.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::Api;
use crate::document::At;

/// The names of the shipped APIs.
#[must_use]
pub fn names() -> Vec<&'static str> {
    Vec::new()
}

/// The text of a shipped API file.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    let _ = name;
    None
}

/// The API of that name or path, and its document as JSON; reports at `at` what is wrong with it.
#[must_use]
pub fn load(name_or_path: &str, base_dir: &Path, at: &At<'_>) -> Option<(Arc<Api>, Value)> {
    let _ = (name_or_path, base_dir, at);
    None
}

/// The API of a document that a trace kept.
#[must_use]
pub fn from_value(document: &Value, at: &At<'_>) -> Option<Arc<Api>> {
    let _ = (document, at);
    None
}
