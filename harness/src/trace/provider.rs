//! What a run says of its providers: their APIs, and the policies that the scenario changed.
//!
//! **Invariant:** reads the first event and nothing that a client did; what it does not find there it does
//! not know, and guesses nothing.

use brownout_provider::units::{Period, Scale};
use serde_json::Value;

use super::reading::Fate;
use super::{Effect, Name, Request, RequestId, Trace};

impl Trace {
    /// A policy of a provider by its JSON pointer: as the scenario has it, else as its API does.
    #[must_use]
    pub fn policy(&self, provider: Name, pointer: &str) -> Option<&Value> {
        let of_scenario = self.provider_source(provider).and_then(|one| one.pointer(pointer));
        of_scenario.or_else(|| self.api_source(provider)?.pointer(pointer))
    }

    /// In which time the limit of a provider lets so many requests pass, in microseconds.
    #[must_use]
    pub fn limit_period_us(&self, provider: Name) -> Option<u64> {
        const PER: &str = "/rate_limit/per";
        if let Some(own) = self.provider_source(provider).and_then(|one| one.pointer(PER)) {
            return self.period_us(own.as_str()?);
        }
        let period: Period = self.api_source(provider)?.pointer(PER)?.as_str()?.parse().ok()?;
        Some(period.micros())
    }

    /// A duration of the scenario, by the clock of the run.
    pub(super) fn period_us(&self, text: &str) -> Option<u64> {
        let scale = self.run.scenario.get("scale").and_then(Value::as_str);
        let scale: Option<Scale> = scale.and_then(|text| text.parse().ok());
        let period: Period = text.parse().ok()?;
        Some(scale.map_or(period, |scale| period.scaled(scale)).micros())
    }

    /// The name of a provider's API, where the scenario says it.
    pub(super) fn api_of(&self, provider: Name) -> Option<&str> {
        self.provider_source(provider)?.get("api")?.as_str()
    }

    /// True where the API of a provider has a route of this name; `None` where its API is not known.
    #[must_use]
    pub fn has_route(&self, provider: Name, route: Name) -> Option<bool> {
        self.api_source(provider)?.get("routes")?.as_array()?;
        Some(self.route_source(provider, route).is_some())
    }

    /// True for a route whose repeats do no harm by their nature, as the provider's API says.
    #[must_use]
    pub fn is_natural(&self, provider: Name, route: Name) -> bool {
        let found = self.route_source(provider, route);
        found.and_then(|one| one.get("idempotent")?.as_str()) == Some("natural")
    }

    /// True for a request whose answer can say whether an effect came about: it asks for the same, or undoes it, or
    /// it is a read of what the effect's route makes. A read by an id that is not there says nothing where the
    /// provider chooses the ids, for who was told of no effect knows none of it.
    #[must_use]
    pub fn speaks_of(&self, id: RequestId, effect: &Effect) -> bool {
        effect.request.is_none_or(|cause| self.speaks_of_work(id, self.request(cause)))
    }

    /// The same for the effect that a request may have had.
    #[must_use]
    pub fn speaks_of_work(&self, id: RequestId, cause: &Request) -> bool {
        let request = self.request(id);
        let (Some(route), Some(made_by)) = (request.route, cause.route) else { return true };
        if request.provider != cause.provider {
            return false;
        }
        if request.effectful || self.is_reversal(request) {
            return route == made_by || self.is_reversal(request);
        }
        let Some(makes) = self.collection(request.provider, made_by, "creates") else {
            return true;
        };
        let of = |key| self.collection(request.provider, route, key);
        let events = self
            .api_source(request.provider)
            .and_then(|api| api.pointer("/webhooks/collection")?.as_str());
        let is_its = |one: &str| one == makes || Some(one) == events;
        of("lists").is_some_and(is_its)
            || (of("reads").is_some_and(is_its)
                && (self.fate(id) != Fate::Rejected
                    || self.is_named_by_client(cause.provider, made_by)))
    }

    /// True for a route that tells what is left of a limit, which is another thing each time.
    #[must_use]
    pub fn tells_limits(&self, provider: Name, route: Name) -> bool {
        let success = self.route_source(provider, route).and_then(|one| one.get("success"));
        success.is_some_and(|success| success.to_string().contains("rate_limit."))
    }

    /// True for a route whose effects have ids that the client chose itself.
    fn is_named_by_client(&self, provider: Name, made_by: Name) -> bool {
        let route = self.route_source(provider, made_by);
        route.is_some_and(|route| route.pointer("/creates/id/value").is_some())
    }

    /// The collection that a route makes things in, reads or lists, as the provider's API says.
    fn collection(&self, provider: Name, route: Name, key: &str) -> Option<&str> {
        self.route_source(provider, route)?.get(key)?.get("collection")?.as_str()
    }

    /// What the API of a provider says of a route.
    fn route_source(&self, provider: Name, route: Name) -> Option<&Value> {
        let routes = self.api_source(provider)?.get("routes")?.as_array()?;
        let route = self.text(route);
        routes.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(route))
    }

    /// The routes that each operation calls by the scenario's own wish, one after the other, as far as the
    /// trace knows them; nothing where an operation is one call.
    pub fn steps(&self) -> impl Iterator<Item = Name> {
        let steps = self.of_workload("steps").and_then(Value::as_array);
        let calls = steps.into_iter().flatten().filter_map(|step| step.get("call")?.as_str());
        calls.filter_map(|call| self.name(call))
    }

    /// What the scenario says of its workload under this key.
    pub(super) fn of_workload(&self, key: &str) -> Option<&Value> {
        self.run.scenario.get("workload")?.get(key)
    }

    /// True for a route that some API of the run has.
    pub(super) fn is_route(&self, call: Name) -> bool {
        let call = self.text(call);
        self.run.apis.values().any(|api| {
            let routes = api.get("routes").and_then(Value::as_array);
            let mut names = routes.into_iter().flatten().filter_map(|one| one.get("name"));
            names.any(|name| name.as_str() == Some(call))
        })
    }

    /// What the scenario says of a provider.
    fn provider_source(&self, provider: Name) -> Option<&Value> {
        let scenario = &self.run.scenario;
        match scenario.get("providers") {
            Some(named) => named.get(self.text(provider)),
            None => scenario.get("provider"),
        }
    }

    /// The API of a provider; the only one of the run, where the scenario does not name it.
    fn api_source(&self, provider: Name) -> Option<&Value> {
        let api = match self.api_of(provider) {
            Some(name) => self.run.apis.get(name),
            None => self.run.apis.values().next().filter(|_| self.run.apis.len() == 1),
        };
        api.map(|api| &**api)
    }

    /// True for the provider that a client is sent to unless something else is said.
    #[must_use]
    pub fn is_first_provider(&self, provider: Name) -> bool {
        let named = self.run.scenario.get("providers").and_then(Value::as_object);
        let first = named.and_then(|named| named.keys().next());
        first.is_none_or(|first| first == self.text(provider))
    }

    /// Where a run has several providers, the name of one as it is said behind what it did: ` at `backup``.
    #[must_use]
    pub fn at_provider(&self, provider: Name) -> String {
        if self.has_several_providers() {
            format!(" at `{}`", self.text(provider))
        } else {
            String::new()
        }
    }

    /// True when the scenario has several providers, so that it matters which one is meant.
    #[must_use]
    pub fn has_several_providers(&self) -> bool {
        let named = self.run.scenario.get("providers");
        named.and_then(Value::as_object).is_some_and(|named| named.len() > 1)
    }
}
