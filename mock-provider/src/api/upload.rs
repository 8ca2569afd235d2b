//! What an API says of uploads in pieces.
//!
//! **Invariant:** pure data; how much of a file is there stands in [`crate::resumable`].

use std::sync::Arc;

use crate::template::{Template, Tree};

/// The names that the fields of an upload know which is whole.
pub const UPLOAD_NAMES: [&str; 2] = ["size", "sha256"];

/// A route that takes pieces of a file.
#[derive(Clone, Debug)]
pub struct UploadSpec {
    /// Where the objects belong that stand for uploads.
    pub collection: Arc<str>,
    /// The id of the upload; a template over the request.
    pub id: Template,
    /// How long after its beginning an upload takes pieces, in microseconds.
    pub lasts_us: u64,
    /// The name of the error after that.
    pub expired: Arc<str>,
    /// Fields that are set in the object when the file is whole.
    pub done: Tree,
}
