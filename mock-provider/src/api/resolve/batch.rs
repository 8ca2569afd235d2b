//! Requests with many items: a list, objects, and an entry for each way in which an item can end.

use serde_json::Value;

use super::super::answer::CONTEXT_NAMES;
use super::super::batch::BatchSpec;
use super::super::raw::{RawBatch, RawRoute};
use super::super::route::Source;
use super::{pointer, required, route};
use crate::document::At;
use crate::template::Tree;

pub(super) fn batch(raw: &RawBatch, of: &RawRoute, at: &At<'_>) -> Option<BatchSpec> {
    for (key, given) in [("creates", of.creates.is_some()), ("job", of.job.is_some())] {
        if given {
            at.error(format!("a route with `batch` has no `{key}`"), |d| {
                d.key().cure(format!("leave `{key}` out; `batch` makes an object for each item"))
            });
        }
    }
    let items = required(raw.items.as_deref(), "items", at);
    let listed = of.effect.as_ref().and_then(|effect| effect.items.as_deref());
    if of.effect.is_some() && listed != items {
        at.error("the effect is not one for each item", |d| {
            d.cure("say the same `items:` under `effect`, and a `subject` that tells them apart")
        });
    }
    let items = items.and_then(|text| pointer(text, &at.key("items")));
    let tree = |raw: Option<&Value>, key: &str| {
        let mut names = CONTEXT_NAMES.to_vec();
        names.extend(["item", "index"]);
        Tree::resolve(required(raw, key, at)?, &names, &at.key(key))
    };
    let (done, failed) = (tree(raw.done.as_ref(), "done"), tree(raw.failed.as_ref(), "failed"));
    let id = route::id(raw.id.as_ref(), &at.key("id"));
    let collection = required(raw.collection.as_deref(), "collection", at);
    Some(BatchSpec {
        items: Source::Body(items?),
        collection: collection?.into(),
        id: id?,
        done: done?,
        failed: failed?,
    })
}
