//! What an API says of a request with many items, and what becomes of each of them.
//!
//! **Invariant:** pure functions from the request and the fate of each item to objects and entries; an item that is
//! not done has neither object nor effect.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::answer::{Context, bytes};
use super::route::{EffectDraft, IdSpec, Route, Source};
use crate::seed::Draw;
use crate::template::{Budget, TemplateError, Tree};

/// A request with many items.
#[derive(Clone, Debug)]
pub struct BatchSpec {
    /// The list in the request.
    pub items: Source,
    /// Where the objects belong.
    pub collection: Arc<str>,
    /// How their ids look.
    pub id: IdSpec,
    /// The object of an item that is done, and its entry in the answer.
    pub done: Tree,
    /// The entry of an item that is not done.
    pub failed: Tree,
}

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done, and the answer says so.
    Done,
    /// It is not done, and the answer says so.
    Failed,
    /// The answer does not say.
    Silent {
        /// True when it is done.
        done: bool,
    },
}

impl Fate {
    /// True for an item that is done.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Silent { done: true })
    }
}

/// One item that is done: its object's id and text, and its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemDone {
    /// The id of the object.
    pub id: Arc<str>,
    /// The text of the object.
    pub text: Bytes,
    /// The effect, where the route has one.
    pub effect: Option<EffectDraft>,
    /// True when the answer tells of it.
    pub told: bool,
}

/// What becomes of a whole request with many items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The entries of the answer.
    pub results: Vec<Value>,
    /// The items that are done.
    pub done: Vec<ItemDone>,
}

impl Route {
    /// How many items a request has; 0 for a route without.
    #[must_use]
    pub fn batch_size(&self, context: &Context<'_>) -> usize {
        let items = self.batch.as_ref().and_then(|batch| batch.items.find(context.call));
        items.and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// What becomes of the items of a request when this becomes of each; ids are drawn in order.
    ///
    /// # Errors
    ///
    /// When an item lacks something that its object, entry or effect needs.
    pub fn batch(
        &self,
        context: &Context<'_>,
        fates: &[Fate],
        draw: &mut Draw,
    ) -> Result<Batch, TemplateError> {
        let (mut batch, budget) = (Batch::default(), Budget::default());
        let Some(spec) = &self.batch else { return Ok(batch) };
        let items = spec.items.find(context.call).and_then(Value::as_array);
        let items = items.map_or(&[][..], Vec::as_slice);
        for ((index, item), fate) in items.iter().enumerate().zip(fates) {
            let (index, id) = (Value::from(index), spec.id.make(draw));
            let id_value = Value::from(&*id);
            let mut names = vec![("item", item), ("index", &index), ("id", &id_value)];
            names.extend(context.names().into_iter().filter(|(name, _)| *name != "id"));
            let tree = if fate.is_done() { &spec.done } else { &spec.failed };
            let entry = tree.render_within(&names, &budget)?;
            if fate.is_done() {
                let effect = self.effect.as_ref().map(|effect| effect.draft(&names)).transpose()?;
                let told = *fate == Fate::Done;
                batch.done.push(ItemDone { id, text: bytes(&entry), effect, told });
            }
            if !matches!(fate, Fate::Silent { .. }) {
                batch.results.push(entry);
            }
        }
        Ok(batch)
    }
}
