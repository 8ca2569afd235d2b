//! Uploads in pieces: a collection that some route fills, and an error for those that are too old.

use std::sync::Arc;

use super::super::Standard;
use super::super::raw::RawUpload;
use super::super::route::Route;
use super::super::upload::{UPLOAD_NAMES, UploadSpec};
use super::route::{Reach, With};
use super::{required, unknown};
use crate::document::At;
use crate::template::Tree;
use crate::units::Period;

/// How long an upload takes pieces, where the file does not say.
const LASTS: Period = Period::from_micros(86_400_000_000);

pub(super) fn upload(
    raw: &RawUpload,
    reach: &Reach<'_>,
    with: &With<'_>,
    at: &At<'_>,
) -> Option<UploadSpec> {
    let collection = required(raw.collection.as_deref(), "collection", at);
    let id = required(raw.id.as_deref(), "id", at).and_then(|id| reach.template(id, &at.key("id")));
    let expired = raw.expired.as_deref().unwrap_or(Standard::NotFound.name());
    if !with.errors.iter().any(|name| name == expired) {
        unknown("error", expired, with.errors, &at.key("expired"));
    }
    let done = required(raw.done.as_ref(), "done", at);
    let done = done.and_then(|done| Tree::resolve(done, &UPLOAD_NAMES, &at.key("done")));
    Some(UploadSpec {
        collection: collection?.into(),
        id: id?,
        lasts_us: raw.expires.unwrap_or(LASTS).micros(),
        expired: expired.into(),
        done: done?,
    })
}

/// Reports uploads that nothing could begin.
pub(super) fn check_begins(routes: &[Arc<Route>], at: &At<'_>) {
    for upload in routes.iter().filter_map(|route| route.upload.as_ref()) {
        let begins = |one: &Arc<Route>| {
            one.creates.as_ref().is_some_and(|creates| creates.collection == upload.collection)
        };
        if !routes.iter().any(begins) {
            at.error(format!("nothing begins an upload in `{}`", upload.collection), |d| {
                d.cure("add a route with `creates:` and that collection")
            });
        }
    }
}
