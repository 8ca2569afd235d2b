//! The ledger: side effects that a provider committed, and the objects that stand for them.
//!
//! Knows nothing of requests or answers. **Invariant:** effects are only ever added or reversed, and an
//! effect is reversed at most once; the events of a trace say the same as the ledger.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use serde_json::Value;

/// The number of an effect, from 1.
pub type EffectId = u64;

/// The effects and objects of one provider.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Effect `n` stands at index `n − 1`; true when it was reversed.
    reversed: Vec<bool>,
    objects: IndexMap<Arc<str>, Object, FixedState>,
    /// Ids by collection, in the order of creation.
    collections: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// An object that can be read back.
///
/// It is kept as the text that its creation answered, and becomes a value when somebody first reads it:
/// most objects are made and never read.
#[derive(Clone, Debug)]
pub struct Object {
    /// The collection that it belongs to.
    pub collection: Arc<str>,
    /// The effect that it stands for, if any.
    pub effect: Option<EffectId>,
    /// Whose it is.
    pub owner: Owner,
    text: Bytes,
    value: OnceCell<Box<Value>>,
}

impl Object {
    /// An object of which a read shows this JSON text.
    #[must_use]
    pub fn new(collection: Arc<str>, text: Bytes, effect: Option<EffectId>, owner: Owner) -> Self {
        Self { collection, effect, owner, text, value: OnceCell::new() }
    }

    /// What a read shows; `null` if it was made of something else than JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.value.get_or_init(|| serde_json::from_slice(&self.text).unwrap_or_default())
    }

    /// Changes what a read shows.
    pub fn change(&mut self, value: Value) {
        self.text = Bytes::new();
        self.value = OnceCell::from(Box::new(value));
    }
}

/// Whom something belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The operation.
    pub operation: Arc<str>,
    /// Which submit, from 1.
    pub submit: u32,
}

impl Ledger {
    /// Commits an effect and gives its number.
    pub fn commit(&mut self) -> EffectId {
        self.reversed.push(false);
        u64::try_from(self.reversed.len()).unwrap_or(u64::MAX)
    }

    /// Reverses an effect; false when it is unknown or was reversed before.
    pub fn reverse(&mut self, effect: EffectId) -> bool {
        let index = usize::try_from(effect).ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| self.reversed.get_mut(index)) {
            Some(reversed) if !*reversed => {
                *reversed = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// True while the effect stands.
    #[must_use]
    pub fn is_live(&self, effect: EffectId) -> bool {
        usize::try_from(effect)
            .ok()
            .and_then(|number| number.checked_sub(1))
            .and_then(|index| self.reversed.get(index))
            .is_some_and(|reversed| !reversed)
    }

    /// Keeps an object under its id.
    pub fn put(&mut self, id: Arc<str>, object: Object) {
        let ids = self.collections.entry(Arc::clone(&object.collection)).or_default();
        if self.objects.insert(Arc::clone(&id), object).is_none() {
            ids.push(id);
        }
    }

    /// The object of that id in that collection.
    #[must_use]
    pub fn get(&self, collection: &str, id: &str) -> Option<&Object> {
        self.objects.get(id).filter(|object| &*object.collection == collection)
    }

    /// Whose object that id is, whatever its collection.
    #[must_use]
    pub fn owner(&self, id: &str) -> Option<&Owner> {
        self.objects.get(id).map(|object| &object.owner)
    }

    /// True while there is no object at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The object of that id, to be changed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Object> {
        self.objects.get_mut(id)
    }

    /// The objects of a collection, oldest first.
    pub fn list<'a>(&'a self, collection: &str) -> impl Iterator<Item = &'a Object> {
        self.collections.get(collection).into_iter().flatten().filter_map(|id| self.objects.get(id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn charge(effect: EffectId) -> Object {
        let owner = Owner { operation: "op-0001".into(), submit: 1 };
        let text = json!({"n": effect}).to_string().into();
        Object::new("charges".into(), text, Some(effect), owner)
    }

    #[test]
    fn an_effect_stands_until_it_is_reversed_once() {
        let mut ledger = Ledger::default();
        let (first, second) = (ledger.commit(), ledger.commit());
        assert_eq!((first, second), (1, 2));
        assert!(ledger.reverse(first));
        assert!(!ledger.reverse(first));
        assert!(!ledger.is_live(first) && ledger.is_live(second));
        assert!(!ledger.reverse(0) && !ledger.reverse(3) && !ledger.is_live(0));
    }

    #[test]
    fn an_object_shows_what_it_was_made_of_until_it_is_changed() {
        let mut object = charge(7);
        assert_eq!(object.value(), &json!({"n": 7}));
        object.change(json!({"n": 8}));
        assert_eq!(object.value(), &json!({"n": 8}));
        assert_eq!(object.clone().value(), object.value());
    }

    #[test]
    fn objects_are_listed_in_the_order_of_creation_and_only_in_their_collection() {
        let mut ledger = Ledger::default();
        for (id, effect) in [("z", 1), ("a", 2)] {
            ledger.put(id.into(), charge(effect));
        }
        let listed: Vec<_> = ledger.list("charges").filter_map(|one| one.effect).collect();
        assert_eq!(listed, [1, 2]);
        assert!(ledger.get("charges", "a").is_some());
        assert!(ledger.get("refunds", "a").is_none());
        assert_eq!(ledger.list("refunds").count(), 0);
    }
}
