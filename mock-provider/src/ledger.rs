//! The ledger: side effects that a provider committed, and the objects that stand for them.
//!
//! Knows nothing of requests or answers. **Invariant:** effects are only ever added or reversed, wholly or
//! in parts; never more of one is reversed than was committed, and it stands until all of it is; the events
//! of a trace say the same as the ledger.

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
    /// Effect `n` stands at index `n − 1`.
    effects: Vec<Standing>,
    /// In boxes, so that the map stays small enough to be copied in no time whenever it grows.
    objects: IndexMap<Arc<str>, Box<Object>, FixedState>,
    /// Whose those objects are that somebody was told of and that are not there.
    promised: IndexMap<Arc<str>, Owner, FixedState>,
    /// Ids by collection, in the order of creation.
    collections: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// What is left of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// All of it; it has no amount, so no part of it can be reversed.
    Whole,
    /// This much.
    Left(i64),
    /// Nothing.
    Reversed,
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
    /// The tenant whose key it was made with; `None` for what belongs to none of them.
    pub tenant: Option<Arc<str>>,
    text: Bytes,
    value: OnceCell<Box<Value>>,
    /// When there was something to read, in microseconds since the start of the run.
    made_us: u64,
    /// When a read could first tell of the effect.
    effect_us: u64,
    /// What a read showed until when, oldest first; the latest alone, unless somebody looks back.
    earlier: Vec<(u64, Value)>,
}

impl Object {
    /// An object of which a read shows this JSON text.
    #[must_use]
    pub fn new(collection: Arc<str>, text: Bytes, effect: Option<EffectId>, owner: Owner) -> Self {
        let (value, earlier) = (OnceCell::new(), Vec::new());
        let tenant = None;
        Self { collection, effect, owner, tenant, text, value, made_us: 0, effect_us: 0, earlier }
    }

    /// The same, made at this time.
    #[must_use]
    pub fn made_at(self, made_us: u64) -> Self {
        Self { made_us, effect_us: made_us, ..self }
    }

    /// The same, made with the key of this tenant.
    #[must_use]
    pub fn of_tenant(self, tenant: Option<Arc<str>>) -> Self {
        Self { tenant, ..self }
    }

    /// It stands for this effect from this time on, unless it stands for another.
    pub fn stand_for(&mut self, effect: Option<EffectId>, from_us: u64) {
        if self.effect.is_none() {
            (self.effect, self.effect_us) = (effect, from_us);
        }
    }

    /// True unless it belongs to another tenant than this one.
    #[must_use]
    pub fn is_shown_to(&self, tenant: Option<&Arc<str>>) -> bool {
        self.tenant.is_none() || tenant.is_none() || self.tenant.as_ref() == tenant
    }

    /// The effect of which a read at this time could tell.
    #[must_use]
    pub fn effect_as_of(&self, time_us: i64) -> Option<EffectId> {
        self.effect.filter(|_| time_us >= signed(self.effect_us))
    }

    /// What a read showed at this time (in microseconds since the start of the run); `None` before it was
    /// made. Exact for as long as all changes are kept.
    #[must_use]
    pub fn as_of(&self, time_us: i64) -> Option<&Value> {
        if time_us < signed(self.made_us) {
            return None;
        }
        let then = self.earlier.iter().find(|(until_us, _)| time_us < signed(*until_us));
        Some(then.map_or_else(|| self.value(), |(_, value)| value))
    }

    /// What a read shows; `null` if it was made of something else than JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.value.get_or_init(|| serde_json::from_slice(&self.text).unwrap_or_default())
    }

    /// What a read showed before the latest change, if there was one.
    #[must_use]
    pub fn earlier(&self) -> Option<&Value> {
        self.earlier.last().map(|(_, value)| value)
    }

    /// Changes what a read shows from this time on; what it showed before is kept.
    pub fn change(&mut self, value: Value, from_us: u64, history: History) {
        if history == History::Latest {
            self.earlier.clear();
        }
        self.earlier.push((from_us, self.value().clone()));
        self.text = Bytes::new();
        self.value = OnceCell::from(Box::new(value));
    }
}

/// How much of what objects showed before is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// What each showed before its latest change.
    #[default]
    Latest,
    /// All of it, and what was there before an object took its place.
    All,
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
    /// Commits an effect, of so much where it has an amount, and gives its number.
    pub fn commit(&mut self, amount: Option<i64>) -> EffectId {
        self.effects.push(amount.map_or(Standing::Whole, Standing::Left));
        u64::try_from(self.effects.len()).unwrap_or(u64::MAX)
    }

    /// How much of an effect is reversed when so much is asked for: all that is left when nothing is said
    /// (`Some(None)` where the effect has no amount). `None` when that cannot be: the effect is unknown or
    /// reversed, there is less left, or nothing at all is asked for.
    #[must_use]
    pub fn reversible(&self, effect: EffectId, amount: Option<i64>) -> Option<Option<i64>> {
        match (self.standing(effect)?, amount) {
            (Standing::Reversed, _) => None,
            (Standing::Whole, _) => Some(None),
            (Standing::Left(left), None) => Some(Some(left)),
            (Standing::Left(left), Some(amount)) => {
                (1..=left).contains(&amount).then_some(Some(amount))
            }
        }
    }

    /// Reverses so much of an effect, and says how much that is; see [`Ledger::reversible`].
    pub fn reverse(&mut self, effect: EffectId, amount: Option<i64>) -> Option<Option<i64>> {
        let reversed = self.reversible(effect, amount)?;
        let standing = self.effects.get_mut(index(effect)?)?;
        *standing = match (*standing, reversed) {
            (Standing::Left(left), Some(amount)) if amount < left => Standing::Left(left - amount),
            _ => Standing::Reversed,
        };
        Some(reversed)
    }

    /// True while any of the effect stands.
    #[must_use]
    pub fn is_live(&self, effect: EffectId) -> bool {
        self.standing(effect).is_some_and(|standing| standing != Standing::Reversed)
    }

    fn standing(&self, effect: EffectId) -> Option<Standing> {
        self.effects.get(index(effect)?).copied()
    }

    /// Puts an object into another collection; whose it is stays known.
    pub fn relocate(&mut self, id: &str, collection: Arc<str>) {
        let Some((_, key, object)) = self.objects.get_full_mut(id) else { return };
        if let Some(ids) = self.collections.get_mut(&object.collection) {
            ids.retain(|known| **known != *id);
        }
        object.collection = Arc::clone(&collection);
        self.collections.entry(collection).or_default().push(Arc::clone(key));
    }

    /// Keeps an object under its id, in the place of one of that id.
    pub fn put(&mut self, id: Arc<str>, mut object: Object, history: History) {
        if history == History::All
            && let Some(old) = self.objects.get_mut(&id)
        {
            object.earlier = std::mem::take(&mut old.earlier);
            object.earlier.push((object.made_us, old.value().clone()));
            object.made_us = old.made_us;
        }
        self.promised.shift_remove(&id);
        let ids = self.collections.entry(Arc::clone(&object.collection)).or_default();
        if self.objects.insert(Arc::clone(&id), Box::new(object)).is_none() {
            ids.push(id);
        }
    }

    /// The object of that id in that collection.
    #[must_use]
    pub fn get(&self, collection: &str, id: &str) -> Option<&Object> {
        self.objects.get(id).map(Box::as_ref).filter(|object| &*object.collection == collection)
    }

    /// The object of that id, whatever its collection.
    #[must_use]
    pub fn get_any(&self, id: &str) -> Option<&Object> {
        self.objects.get(id).map(|object| &**object)
    }

    /// Whose object that id is, whatever its collection.
    #[must_use]
    pub fn owner(&self, id: &str) -> Option<&Owner> {
        self.objects.get(id).map(|object| &object.owner).or_else(|| self.promised.get(id))
    }

    /// Somebody was told of an object of that id that is not there.
    pub fn promise(&mut self, id: Arc<str>, owner: Owner) {
        if !self.objects.contains_key(&id) {
            self.promised.insert(id, owner);
        }
    }

    /// An object is there no more; whose it was is still known.
    pub fn forget(&mut self, id: &Arc<str>) {
        if let Some(object) = self.objects.swap_remove(id) {
            self.promised.insert(Arc::clone(id), object.owner);
        }
    }

    /// True while there is no object at all, and none was promised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.promised.is_empty()
    }

    /// The object of that id, to be changed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Object> {
        self.objects.get_mut(id).map(Box::as_mut)
    }

    /// The objects of a collection with their ids, oldest first.
    pub fn list<'a>(&'a self, collection: &str) -> impl Iterator<Item = (&'a str, &'a Object)> {
        self.collections
            .get(collection)
            .into_iter()
            .flatten()
            .filter_map(|id| Some((&**id, &**self.objects.get(id)?)))
    }
}

/// A moment of a run, comparable with moments before it.
fn signed(time_us: u64) -> i64 {
    i64::try_from(time_us).unwrap_or(i64::MAX)
}

fn index(effect: EffectId) -> Option<usize> {
    usize::try_from(effect).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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
        let (first, second) = (ledger.commit(None), ledger.commit(Some(0)));
        assert_eq!((first, second), (1, 2));
        assert_eq!(ledger.reverse(first, Some(7)), Some(None));
        assert_eq!(ledger.reverse(first, None), None);
        assert!(!ledger.is_live(first) && ledger.is_live(second));
        assert_eq!(ledger.reverse(second, None), Some(Some(0)));
        assert!([0, 3].iter().all(|unknown| ledger.reverse(*unknown, None).is_none()));
        assert!(!ledger.is_live(0));
    }

    #[test]
    fn an_effect_stands_until_all_of_it_is_reversed_and_no_more_than_that_ever_is() {
        let mut ledger = Ledger::default();
        let charge = ledger.commit(Some(1_999));
        assert_eq!(ledger.reverse(charge, Some(500)), Some(Some(500)));
        for too_much in [1_500, 0, -1] {
            assert_eq!(ledger.reverse(charge, Some(too_much)), None);
        }
        assert!(ledger.is_live(charge));
        assert_eq!(ledger.reverse(charge, None), Some(Some(1_499)));
        assert!(!ledger.is_live(charge));
    }

    proptest! {
        /// The model: every effect is its amount and the list of what was taken back of it.
        #[test]
        fn it_agrees_with_a_list_of_all_that_was_taken_back(
            amounts in prop::collection::vec(prop::option::of(1_i64..6), 1..5),
            steps in prop::collection::vec((0_u64..6, prop::option::of(-1_i64..7)), 0..40),
        ) {
            let mut ledger = Ledger::default();
            let mut model: Vec<(Option<i64>, Vec<Option<i64>>)> = Vec::new();
            for amount in amounts {
                ledger.commit(amount);
                model.push((amount, Vec::new()));
            }
            let left = |(amount, taken): &(Option<i64>, Vec<Option<i64>>)| match amount {
                Some(amount) => amount - taken.iter().flatten().sum::<i64>(),
                None => i64::from(taken.is_empty()),
            };
            for (effect, asked) in steps {
                let row = index(effect).and_then(|index| model.get_mut(index));
                let expected = row.and_then(|row| {
                    let left = left(row);
                    let taken = match (row.0, asked) {
                        _ if left == 0 => return None,
                        (None, _) => None,
                        (Some(_), None) => Some(left),
                        (Some(_), Some(asked)) if asked >= 1 && asked <= left => Some(asked),
                        (Some(_), Some(_)) => return None,
                    };
                    row.1.push(taken);
                    Some(taken)
                });
                prop_assert_eq!(ledger.reverse(effect, asked), expected);
                for (number, row) in (1_u64..).zip(&model) {
                    prop_assert_eq!(ledger.is_live(number), left(row) > 0);
                }
            }
        }
    }

    #[test]
    fn an_object_shows_what_it_was_made_of_until_it_is_changed() {
        let mut object = charge(7);
        assert_eq!(object.value(), &json!({"n": 7}));
        object.change(json!({"n": 8}), 5, History::All);
        object.change(json!({"n": 9}), 7, History::All);
        assert_eq!(object.value(), &json!({"n": 9}));
        for (time_us, n) in
            [(-1, None), (2, None), (3, Some(7)), (4, Some(7)), (5, Some(8)), (7, Some(9))]
        {
            let then = object.clone().made_at(3).as_of(time_us).map(|value| value["n"].clone());
            assert_eq!(then, n.map(Value::from), "at {time_us}");
        }
        object.change(json!({"n": 10}), 9, History::Latest);
        assert_eq!(object.earlier(), Some(&json!({"n": 9})));
        assert_eq!(object.clone().value(), object.value());
    }

    #[test]
    fn objects_are_listed_in_the_order_of_creation_and_only_in_their_collection() {
        let mut ledger = Ledger::default();
        for (id, effect) in [("z", 1), ("a", 2)] {
            ledger.put(id.into(), charge(effect), History::Latest);
        }
        let listed: Vec<_> = ledger.list("charges").filter_map(|(_, one)| one.effect).collect();
        assert_eq!(listed, [1, 2]);
        assert!(ledger.get("charges", "a").is_some());
        assert!(ledger.get("refunds", "a").is_none());
        assert_eq!(ledger.list("refunds").count(), 0);
    }
}
