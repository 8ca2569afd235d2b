//! Money and tokens: what was billed, what of it reached the client, and what was for nothing.
//!
//! **Invariant:** of the live billed effects of one operation, kind and subject one is delivered at most:
//! the first of which a usable answer, replay or confirming read told the client.

use std::collections::BTreeMap;

use super::reading::Fate;
use super::{Effect, EffectId, Name, Trace, place};
use crate::verdict::Money;

/// Kind and subject: what an operation pays for once.
type Group = (Name, Option<Name>);

impl Trace {
    /// Money by unit.
    #[must_use]
    pub fn money(&self) -> BTreeMap<String, Money> {
        let told = self.told_effects();
        let mut sums = BTreeMap::<String, Money>::new();
        for live in self.billed() {
            let delivered = delivered(&live, &told);
            for (position, (id, effect)) in live.iter().enumerate() {
                let unit = effect.unit.map_or("", |unit| self.text(unit));
                let sum = sums.entry(unit.to_owned()).or_default();
                sum.billed = sum.billed.saturating_add(effect.left());
                if position > 0 {
                    sum.beyond_first = sum.beyond_first.saturating_add(effect.left());
                }
                if delivered == Some(*id) {
                    sum.delivered = sum.delivered.saturating_add(effect.left());
                }
            }
        }
        for sum in sums.values_mut() {
            sum.wasted = sum.billed.saturating_sub(sum.delivered);
        }
        sums
    }

    /// The live billed effects that never reached the client, in the order in which they were committed.
    #[must_use]
    pub fn wasted(&self) -> Vec<EffectId> {
        let told = self.told_effects();
        let mut wasted: Vec<EffectId> = Vec::new();
        for live in self.billed() {
            let delivered = delivered(&live, &told);
            wasted.extend(live.iter().map(|(id, _)| *id).filter(|id| delivered != Some(*id)));
        }
        wasted.sort_unstable();
        wasted
    }

    /// The live billed effects, by operation, kind and subject.
    fn billed(&self) -> impl Iterator<Item = Vec<(EffectId, &Effect)>> {
        self.operations().flat_map(|(operation, _)| {
            let mut groups = BTreeMap::<Group, Vec<(EffectId, &Effect)>>::new();
            let its = self.effects_of(operation);
            for (id, effect) in its.filter(|(_, effect)| effect.billed && effect.is_live()) {
                groups.entry((effect.kind, effect.subject)).or_default().push((id, effect));
            }
            groups.values_mut().for_each(|live| live.sort_unstable_by_key(|(id, _)| *id));
            groups.into_values()
        })
    }

    /// Of which effects a usable answer told the client, by their places.
    fn told_effects(&self) -> Vec<bool> {
        let mut told = vec![false; self.effects.len()];
        let usable = self
            .requests()
            .filter(|(id, request)| request.by.is_client() && self.fate(*id) == Fate::Usable);
        for effect in usable.flat_map(|(id, _)| self.told_by(id)) {
            told[place(effect.0)] = true;
        }
        told
    }
}

fn delivered(live: &[(EffectId, &Effect)], told: &[bool]) -> Option<EffectId> {
    live.iter().map(|(id, _)| *id).find(|id| told[place(id.0)])
}
