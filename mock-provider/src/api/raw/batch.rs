//! Requests with many items, as they stand in an API file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::RawId;

/// A request with many items, each of which is done by itself: an object and an effect for each that is done, and
/// an entry for each in the answer, which its body knows as `results`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBatch {
    /// The list in the request: `/POINTER` into the body.
    pub items: Option<String>,
    /// Where the objects belong.
    pub collection: Option<String>,
    /// How their ids look.
    pub id: Option<RawId>,
    /// The object of an item that is done, and its entry in the answer; templates that know `item`, `index` (from
    /// 0) and `id` beside the usual names.
    pub done: Option<Value>,
    /// The entry of an item that is not done; templates that know `item` and `index`.
    pub failed: Option<Value>,
}
