//! Uploads in pieces, as they stand in an API file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::units::Period;

/// A route that takes pieces of a file, each with its place in `Content-Range: bytes FROM-TO/SIZE`, until all of it
/// is there. A piece that leaves something to come is answered with 308 and `Range: bytes=0-LAST`, as is the
/// question `Content-Range: bytes */SIZE`. The effect of the route is committed when the file is whole.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUpload {
    /// Where the objects belong that stand for uploads; another route makes them.
    pub collection: Option<String>,
    /// The id of the upload: `/POINTER` into the body, `path:NAME`, `query:NAME`, or a template.
    pub id: Option<String>,
    /// How long after its beginning an upload takes pieces; `24h` unless said.
    pub expires: Option<Period>,
    /// The error after that; `not_found` unless said.
    pub expired: Option<String>,
    /// Fields that are set in the object when the file is whole; templates that know `size` and `sha256`.
    pub done: Option<Value>,
}
