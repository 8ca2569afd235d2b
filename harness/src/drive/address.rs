//! Where a client is sent: the address and the key of each provider, and the tokens in them.
//!
//! **Invariant:** the first provider's address is also the one of a client that knows only one.

use std::borrow::Cow;
use std::sync::Arc;

use crate::by_name::ByName;
use crate::scenario::providers::in_variable;

/// Where a client reaches one provider.
#[derive(Clone, Debug)]
pub struct Address {
    /// The provider's name.
    pub provider: Arc<str>,
    /// The mock's base URL, without a token and without a slash at its end.
    pub url: String,
    /// The API key.
    pub key: String,
    /// True when the API allows an operation's token behind the key.
    pub token_in_key: bool,
    /// The key of each tenant, where there are tenants.
    pub tenants: Vec<(Arc<str>, String)>,
}

impl Address {
    /// The token of a submit, with its tilde: `~op-0003.1`.
    #[must_use]
    pub fn token(operation: &str, submit: u32) -> String {
        format!("~{operation}.{submit}")
    }

    /// The token of a copy of the client to which operations come as messages, with its tilde: `~.2`.
    #[must_use]
    pub fn token_of_copy(client: u32) -> String {
        format!("~.{client}")
    }

    /// Base URL and key with a token in them, in the key where the API allows it.
    #[must_use]
    pub fn with(&self, token: &str) -> Reach {
        let key = if self.token_in_key { [&*self.key, token].concat() } else { self.key.clone() };
        Reach { url: [&*self.url, "/", token].concat(), key }
    }

    /// Base URL and key as they are.
    #[must_use]
    pub fn bare(&self) -> Reach {
        Reach { url: self.url.clone(), key: self.key.clone() }
    }
}

/// A base URL and a key, as a client is handed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The base URL.
    pub url: String,
    /// The API key.
    pub key: String,
}

/// Where a client reaches each provider, in the order of the scenario.
#[derive(Clone, Debug)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// These; there must be at least one.
    #[must_use]
    pub fn new(addresses: Vec<Address>) -> Option<Self> {
        (!addresses.is_empty()).then_some(Self(addresses))
    }

    /// As a tenant has them, with its keys.
    #[must_use]
    pub fn of_tenant(&self, tenant: Option<&str>) -> Cow<'_, Self> {
        let Some(tenant) = tenant else { return Cow::Borrowed(self) };
        let mut own = self.clone();
        for address in &mut own.0 {
            let key = address.tenants.iter().find(|(name, _)| **name == *tenant);
            if let Some((_, key)) = key.cloned() {
                address.key = key;
            }
        }
        Cow::Owned(own)
    }

    /// That of the first provider.
    ///
    /// # Panics
    ///
    /// Never: there is at least one.
    #[must_use]
    pub fn first(&self) -> &Address {
        self.0.first().expect("there is at least one address")
    }

    /// True where a client has to be told which one is which.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Address> {
        self.0.iter()
    }

    /// How each provider is reached, by its name; with a token, where there is one.
    #[must_use]
    pub fn reached(&self, token: Option<&str>) -> Vec<(Arc<str>, Reach)> {
        let reach = |one: &Address| token.map_or_else(|| one.bare(), |token| one.with(token));
        self.0.iter().map(|one| (Arc::clone(&one.provider), reach(one))).collect()
    }
}

/// The variables that say the keys of all tenants: `BROWNOUT_TENANT_KEY_A` for the first provider and, where there
/// are several, `BROWNOUT_TENANT_KEY_A_BACKUP` for each.
#[must_use]
pub fn tenant_variables(addresses: &Addresses) -> Vec<(String, String)> {
    let variable =
        |tenant: &str, suffix: &str| format!("BROWNOUT_TENANT_KEY_{}{suffix}", in_variable(tenant));
    let of = |address: &Address, suffix: &str| -> Vec<(String, String)> {
        let keys = address.tenants.iter();
        keys.map(|(tenant, key)| (variable(tenant, suffix), key.clone())).collect()
    };
    let mut variables = of(addresses.first(), "");
    for address in addresses.iter().filter(|_| addresses.0.len() > 1) {
        variables.extend(of(address, &format!("_{}", in_variable(&address.provider))));
    }
    variables
}

impl From<Address> for Addresses {
    fn from(address: Address) -> Self {
        Self(vec![address])
    }
}

/// Base URLs and keys by provider, where there are several; empty where the one that everybody knows is all.
#[must_use]
pub fn by_name(reached: &[(Arc<str>, Reach)]) -> (ByName<String>, ByName<String>) {
    if reached.len() < 2 {
        return Default::default();
    }
    let urls = reached.iter().map(|(name, reach)| (name.to_string(), reach.url.clone()));
    let keys = reached.iter().map(|(name, reach)| (name.to_string(), reach.key.clone()));
    (urls.collect(), keys.collect())
}

/// The variables that say how each provider is reached: `BROWNOUT_URL` and `BROWNOUT_API_KEY` of the first and,
/// where there are several, `BROWNOUT_URL_BACKUP` and `BROWNOUT_API_KEY_BACKUP` of each.
#[must_use]
pub fn variables(reached: &[(Arc<str>, Reach)]) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut add = |suffix: &str, reach: &Reach| {
        variables.push((format!("BROWNOUT_URL{suffix}"), reach.url.clone()));
        variables.push((format!("BROWNOUT_API_KEY{suffix}"), reach.key.clone()));
    };
    if let Some((_, first)) = reached.first() {
        add("", first);
    }
    for (name, reach) in reached.iter().filter(|_| reached.len() > 1) {
        add(&format!("_{}", in_variable(name)), reach);
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(provider: &str) -> Address {
        Address {
            provider: provider.into(),
            url: format!("http://{provider}"),
            key: format!("key of {provider}"),
            token_in_key: provider == "primary",
            tenants: Vec::new(),
        }
    }

    #[test]
    fn a_client_learns_where_each_provider_is_and_one_that_knows_one_where_the_first_is() {
        let both = Addresses::new(vec![address("primary"), address("back-up")]).expect("two");
        let names = |token| -> Vec<String> {
            let variables = variables(&both.reached(token));
            variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(
            names(Some("~op-0001.1")),
            [
                "BROWNOUT_URL=http://primary/~op-0001.1",
                "BROWNOUT_API_KEY=key of primary~op-0001.1",
                "BROWNOUT_URL_PRIMARY=http://primary/~op-0001.1",
                "BROWNOUT_API_KEY_PRIMARY=key of primary~op-0001.1",
                "BROWNOUT_URL_BACK_UP=http://back-up/~op-0001.1",
                "BROWNOUT_API_KEY_BACK_UP=key of back-up",
            ]
        );
        let (urls, keys) = by_name(&both.reached(None));
        let order: Vec<&str> = urls.iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["primary", "back-up"], "the order of the scenario");
        assert_eq!(urls["back-up"], "http://back-up");
        assert_eq!(keys["primary"], "key of primary");
        let one = Addresses::from(address("provider"));
        assert_eq!(variables(&one.reached(None)).len(), 2);
        assert!(by_name(&one.reached(None)).0.is_empty());
    }

    #[test]
    fn the_keys_of_tenants_are_told_for_each_provider() {
        let at = |provider: &str| {
            let tenants = ["a", "b-2"].map(|name| (name.into(), format!("{provider}-{name}")));
            Address { tenants: tenants.into(), ..address(provider) }
        };
        let told = |addresses: Addresses| -> Vec<String> {
            let variables = tenant_variables(&addresses);
            variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        let one = ["BROWNOUT_TENANT_KEY_A=p-a", "BROWNOUT_TENANT_KEY_B_2=p-b-2"];
        assert_eq!(told(at("p").into()), one);
        let both = told(Addresses::new(vec![at("p"), at("back-up")]).expect("two"));
        assert_eq!(both[..2], one);
        assert_eq!(
            both[2..],
            [
                "BROWNOUT_TENANT_KEY_A_P=p-a",
                "BROWNOUT_TENANT_KEY_B_2_P=p-b-2",
                "BROWNOUT_TENANT_KEY_A_BACK_UP=back-up-a",
                "BROWNOUT_TENANT_KEY_B_2_BACK_UP=back-up-b-2",
            ]
        );
    }
}
