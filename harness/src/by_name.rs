//! A few values by name, in the order in which the scenario names them.
//!
//! **Invariant:** no name stands twice, and nothing puts the names into another order.

use std::ops::Index;

use serde::{Serialize, Serializer};

/// Values by name in the order of the scenario: what each of several providers or tenants has.
///
/// ```
/// use brownout::by_name::ByName;
///
/// let ports: ByName<u16> = [("primary".to_owned(), 1), ("backup".to_owned(), 2)].into_iter().collect();
/// assert_eq!(ports["backup"], 2);
/// assert_eq!(serde_json::to_string(&ports)?, r#"{"primary":1,"backup":2}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByName<V>(Vec<(String, V)>);

impl<V> ByName<V> {
    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The value of that name, to be changed; a new one where there was none.
    pub fn entry(&mut self, name: &str) -> &mut V
    where
        V: Default,
    {
        let at = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), V::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V> Default for ByName<V> {
    /// None.
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Index<&str> for ByName<V> {
    type Output = V;

    /// The value of that name.
    ///
    /// # Panics
    ///
    /// Without one.
    fn index(&self, name: &str) -> &V {
        self.get(name).unwrap_or_else(|| panic!("nothing is called `{name}`"))
    }
}

impl<V> FromIterator<(String, V)> for ByName<V> {
    /// In the order in which they come; of two of one name the first counts.
    fn from_iter<I: IntoIterator<Item = (String, V)>>(named: I) -> Self {
        let mut all = Self::default();
        for (name, value) in named {
            if all.get(&name).is_none() {
                all.0.push((name, value));
            }
        }
        all
    }
}

impl<V: Serialize> Serialize for ByName<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order_and_stand_once() {
        let pair = |name: &str, value: u32| (name.to_owned(), value);
        let mut all: ByName<u32> = [pair("z", 1), pair("a", 2), pair("z", 3)].into_iter().collect();
        *all.entry("a") += 10;
        *all.entry("m") += 5;
        assert_eq!(all.iter().collect::<Vec<_>>(), [("z", &1), ("a", &12), ("m", &5)]);
        assert_eq!(all.get("b"), None);
    }
}
