//! The providers of a scenario, in the order of the file.
//!
//! **Invariant:** there is at least one, and no two have one name.

use std::sync::Arc;

use brownout_provider::api::{Api, Route};

use super::ProviderSpec;
use super::resolve::PROVIDER;

/// The providers of a scenario by name, in the order of the file; the first is the one to which a client is
/// sent that knows only one. A provider without a name of its own is `provider`.
#[derive(Clone, Debug)]
pub struct Providers(Vec<(Arc<str>, ProviderSpec)>);

impl Providers {
    /// The only provider, without a name of its own.
    #[must_use]
    pub fn one(spec: ProviderSpec) -> Self {
        Self(vec![(Arc::from(PROVIDER), spec)])
    }

    /// Providers by name; `None` without any, or where two have one name.
    #[must_use]
    pub fn several(named: Vec<(Arc<str>, ProviderSpec)>) -> Option<Self> {
        let is_taken = |at: usize| named[..at].iter().any(|(name, _)| *name == named[at].0);
        (!named.is_empty() && !(0..named.len()).any(is_taken)).then_some(Self(named))
    }

    /// The first, by name.
    ///
    /// # Panics
    ///
    /// Never: there is at least one.
    #[must_use]
    pub fn first(&self) -> (&Arc<str>, &ProviderSpec) {
        let (name, spec) = self.0.first().expect("there is at least one provider");
        (name, spec)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// True when there are several, so that it matters which one is meant.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The provider of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ProviderSpec> {
        self.iter().find(|(known, _)| &***known == name).map(|(_, spec)| spec)
    }

    /// All of them by name, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &ProviderSpec)> {
        self.0.iter().map(|(name, spec)| (name, spec))
    }

    /// Their names, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    /// All of them without their names.
    pub fn values(&self) -> impl Iterator<Item = &ProviderSpec> {
        self.0.iter().map(|(_, spec)| spec)
    }

    /// All of them without their names, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut ProviderSpec> {
        self.0.iter_mut().map(|(_, spec)| spec)
    }

    /// The APIs, one for each provider.
    pub fn apis(&self) -> impl Iterator<Item = &Arc<Api>> {
        self.values().map(|spec| &spec.api)
    }

    /// The providers that have a route, each with the route.
    pub fn with_route<'a>(
        &'a self,
        route: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a ProviderSpec, &'a Arc<Route>)> {
        self.iter().filter_map(move |(name, spec)| Some((name, spec, spec.api.route_named(route)?)))
    }
}

/// The part of a variable's name that stands for a provider or tenant: `BACKUP` for `backup`.
#[must_use]
pub fn in_variable(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(word).collect()
}
