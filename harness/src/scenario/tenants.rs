//! The tenants of a workload: whose operation each is, and the key by which a provider knows them.
//!
//! **Invariant:** whose operation it is follows from its number alone, and no two tenants have one key.

use std::cmp::Ordering;
use std::sync::Arc;

use brownout_provider::api::Api;

/// The tenants of a workload; none where all operations are of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenants {
    names: Vec<Arc<str>>,
    /// Whose turn it is at each place of the workload.
    turns: Arc<[u16]>,
}

/// The key that is handed out for an API that asks for none.
const NO_KEY: &str = "brownout-needs-no-key";

/// The most tenants of a scenario.
pub const MAX_TENANTS: usize = 100;

impl Tenants {
    /// Tenants by name, each with the number of its operations, spread evenly among those of the others.
    ///
    /// ```
    /// use brownout::scenario::tenants::Tenants;
    ///
    /// let tenants = Tenants::new(&[("a".into(), 4), ("b".into(), 2)]);
    /// let turns: Vec<&str> = (1..=6).filter_map(|index| Some(&**tenants.of(index)?)).collect();
    /// assert_eq!(turns, ["a", "b", "a", "a", "b", "a"]);
    /// ```
    #[must_use]
    pub fn new(named: &[(Arc<str>, u64)]) -> Self {
        let mut places: Vec<(u64, u64, u16)> = Vec::new();
        for (tenant, (_, operations)) in (0_u16..).zip(named) {
            places.extend((0..*operations).map(|nth| (2 * nth + 1, *operations, tenant)));
        }
        // The middles of equal parts of the workload, compared as fractions.
        let middle = |one: &(u64, u64, u16), other: &(u64, u64, u16)| -> Ordering {
            let left = u128::from(one.0) * u128::from(other.1);
            left.cmp(&(u128::from(other.0) * u128::from(one.1))).then(one.2.cmp(&other.2))
        };
        places.sort_by(middle);
        Self {
            names: named.iter().map(|(name, _)| Arc::clone(name)).collect(),
            turns: places.into_iter().map(|(_, _, tenant)| tenant).collect(),
        }
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Their names, in the order of the file.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whose operation this is, by its place in the workload, from 1.
    #[must_use]
    pub fn of(&self, index: u64) -> Option<&Arc<str>> {
        let at = usize::try_from(index.checked_sub(1)?).ok()?;
        self.names.get(usize::from(*self.turns.get(at)?))
    }

    /// The keys of an API. That of each tenant is made after the one that the API shows as an example: of the
    /// same length and alphabet, with the tenant's number at its end.
    #[must_use]
    pub fn keys(&self, api: &Api) -> Keys {
        let example = api.auth.as_ref().map_or(NO_KEY, |auth| auth.dummy.as_str());
        let keep = example.len().saturating_sub(4);
        let stem = example.get(..keep).unwrap_or(example);
        let key =
            |(number, name): (usize, &Arc<str>)| (Arc::clone(name), format!("{stem}{number:04}"));
        Keys { example: example.to_owned(), tenants: (1..).zip(&self.names).map(key).collect() }
    }
}

/// The keys by which the clients of a scenario show an API who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The one that the API shows as an example, or a word for none.
    pub example: String,
    /// That of each tenant, in the order of the file; empty where there are none.
    pub tenants: Vec<(Arc<str>, String)>,
}

impl Keys {
    /// The key of a client that knows of no tenants: where there are tenants it is the first of them.
    #[must_use]
    pub fn plain(&self) -> &str {
        self.tenants.first().map_or(&self.example, |(_, key)| key)
    }

    /// Every key that a client may have been handed.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.tenants.iter().map(|(_, key)| key.as_str()).chain([self.example.as_str()])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_tenant_has_its_operations_and_nobody_waits_for_the_end(
            counts in prop::collection::vec(1..40_u64, 1..6),
        ) {
            let named: Vec<(Arc<str>, u64)> =
                counts.iter().enumerate().map(|(at, count)| (format!("t{at}").into(), *count)).collect();
            let tenants = Tenants::new(&named);
            let all: u64 = counts.iter().sum();
            for (name, count) in &named {
                let its: Vec<u64> = (1..=all).filter(|index| tenants.of(*index) == Some(name)).collect();
                prop_assert_eq!(u64::try_from(its.len()).expect("few"), *count);
                // The nth of m stands in the nth part of the whole, give or take a turn of each.
                for (nth, index) in (1..).zip(&its) {
                    let last = (nth * all).div_ceil(*count) + u64::try_from(named.len()).expect("few");
                    prop_assert!(*index <= last, "{} of {} at {}", nth, count, index);
                }
            }
            prop_assert_eq!(tenants.of(0), None);
            prop_assert_eq!(tenants.of(all + 1), None);
        }
    }

    #[test]
    fn keys_differ_and_look_like_the_one_of_the_api() {
        let tenants = Tenants::new(&[("a".into(), 1), ("b".into(), 1)]);
        let problems = brownout_provider::document::Diagnostics::new();
        let payments = brownout_provider::api::load("payments", ".".as_ref(), &problems.root());
        let (payments, _) = payments.expect("shipped");
        let keys = tenants.keys(&payments);
        let all = ["0001", "0002", "0000"].map(|end| format!("pk_test_brownout000000000000{end}"));
        assert_eq!(keys.all().collect::<Vec<_>>(), all);
        assert_eq!(keys.plain(), keys.tenants[0].1);
        assert_eq!(Tenants::default().keys(&payments).plain(), keys.example);
    }
}
