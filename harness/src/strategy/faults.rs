//! Which faults may be drawn, and what they leave true.
//!
//! Knows of a fault only what it does, so that a new fault falls under each promise by itself.
//! **Invariant:** whatever is drawn keeps every promise that was made.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::api::Api;
use brownout_provider::fault::registry::FAULTS;
use brownout_provider::fault::variants::{Variant, variants};
use brownout_provider::fault::{Action, DelayPoint, Ending, MessageFault, OrderFault};
use brownout_provider::plan::Met;
use brownout_provider::seed::Seed;
use brownout_provider::units::micros;

use super::plan::Pick;

/// Draws that are looked at to say what a fault does.
const LOOKS: u64 = 16;

/// Which faults may be drawn, how many, where, and what they leave true.
///
/// A client is right or wrong under what it relies on: one that repeats with its idempotency key is right
/// only where keys are honored. Each promise below keeps one such thing true, so that a client which
/// relies on nothing else is never accused.
///
/// ```
/// use std::time::Duration;
///
/// use brownout::strategy::Faults;
///
/// // For a client that makes five attempts, each with the same key.
/// let faults = Faults::any().keys_honored().recovers_after(4);
/// // For one that has no keys and looks up what became of a charge before it tries again.
/// let faults = Faults::any().unrepeated().commits_within(Duration::from_secs(2));
/// # let _ = faults;
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    only: Option<Vec<String>>,
    without: Vec<String>,
    routes: Vec<String>,
    attempts: u32,
    most: u32,
    promises: Promises,
}

/// What is left true.
#[derive(Clone, Copy, Debug, Default)]
struct Promises {
    keys_honored: bool,
    unrepeated: bool,
    recovers: bool,
    /// The one that is asked for: that the client itself may die or stand still.
    restarts: bool,
    commits_within_us: Option<u64>,
}

impl Faults {
    /// Every fault of the registry with all its parameters, on the route that the scenario calls, up to
    /// the fourth attempt, at most four in a scenario. Where operations are messages or events these are struck
    /// as well, and of a queue the routes that do work. Nothing is promised.
    #[must_use]
    pub fn any() -> Self {
        Self {
            only: None,
            without: Vec::new(),
            routes: Vec::new(),
            attempts: 4,
            most: 4,
            promises: Promises::default(),
        }
    }

    /// Only the faults of these names.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        self.only = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// None of the faults of these names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.without.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// On these routes, each as likely as the others, instead of the one that the scenario calls.
    #[must_use]
    pub fn on(mut self, routes: &[&str]) -> Self {
        self.routes = routes.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Up to this attempt of an operation, at least 1, instead of the fourth.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// At most so many rules or entries in a scenario, at least 1, instead of four.
    #[must_use]
    pub fn most(mut self, most: u32) -> Self {
        self.most = most.max(1);
        self
    }

    /// Leaves true that an idempotency key is honored whenever it is sent: what was done under it is not
    /// done again, and a repeat gets its true answer. How keys are refused that are missing, or used for
    /// two things, is not promised.
    #[must_use]
    pub fn keys_honored(mut self) -> Self {
        self.promises.keys_honored = true;
        self
    }

    /// Leaves true that the provider receives a request only as often as the client sends it: no gateway
    /// repeats one.
    #[must_use]
    pub fn unrepeated(mut self) -> Self {
        self.promises.unrepeated = true;
        self
    }

    /// Leaves true that nothing strikes after this attempt of an operation, at least 1, and that nothing
    /// which an earlier attempt met lasts until then: no key stays in progress, no error is kept, and no
    /// gateway repeats later.
    #[must_use]
    pub fn recovers_after(mut self, attempts: u32) -> Self {
        self.promises.recovers = true;
        self.attempts(attempts)
    }

    /// Leaves true that what a request does is done within so long of its arrival, so that a client which
    /// looks later than that sees all that will ever be. The hedge between microseconds and a whole
    /// second is the caller's.
    #[must_use]
    pub fn commits_within(mut self, time: Duration) -> Self {
        self.promises.commits_within_us = Some(micros(time));
        self
    }

    /// Also kills and stops the client itself, for one that is built anew for each run and whose memory is
    /// meant to outlive it. Nothing is drawn of this unless it is asked for.
    #[must_use]
    pub fn restarts(mut self) -> Self {
        self.promises.restarts = true;
        self
    }

    /// Up to which attempt.
    pub(super) const fn last_attempt(&self) -> u32 {
        self.attempts
    }

    /// How many in a scenario.
    pub(super) const fn limit(&self) -> u32 {
        self.most
    }

    /// The variants that may be drawn, route by route. `struck` are the routes that the scenario's work leads to,
    /// and what is struck there.
    pub(super) fn catalog(
        &self,
        api: &Api,
        struck: &[(Arc<str>, Met)],
    ) -> Result<Vec<OnRoute>, String> {
        let known: BTreeSet<&str> = FAULTS.iter().map(|kind| kind.name).collect();
        let named = self.only.iter().flatten().chain(&self.without);
        if let Some(unknown) = named.into_iter().find(|name| !known.contains(name.as_str())) {
            return Err(format!("`{unknown}` is no fault; `brownout list faults` names them all"));
        }
        let met = |route: &str| {
            let known = struck.iter().find(|(one, _)| **one == *route);
            // A request for messages may meet faults of its own and those of the messages.
            let receives = api.route_named(route).is_some_and(|route| route.receives.is_some());
            let usual = if receives { Met::All } else { Met::Request };
            known.map_or(usual, |(_, met)| *met)
        };
        let mut routes: Vec<(&str, Met)> =
            self.routes.iter().map(|route| (route.as_str(), met(route))).collect();
        if routes.is_empty() {
            routes.extend(struck.iter().map(|(route, met)| (&**route, *met)));
        }
        if let Some((unknown, _)) = routes.iter().find(|(name, _)| api.route_named(name).is_none())
        {
            return Err(format!("the API `{}` has no route `{unknown}`", api.name));
        }
        let mut catalog: Vec<OnRoute> =
            routes.iter().map(|(route, met)| self.on_route(api, route, *met)).collect();
        // Of messages and events little can be drawn under some promises; requests are struck then.
        if catalog.iter().any(|one| !one.variants.is_empty()) {
            catalog.retain(|one| !one.variants.is_empty() || one.met == Met::Request);
        }
        match catalog.iter().find(|one| one.variants.is_empty()) {
            Some(empty) => Err(format!("no fault is left that could strike `{}`", empty.route)),
            None if catalog.is_empty() => {
                Err("there is no route to strike; name one with `Faults::on`".to_owned())
            }
            None => Ok(catalog),
        }
    }

    /// Few and simple ones of a catalog, which may take the place of others when something is made
    /// smaller: on each route and at each point the simplest for every way in which a request can end.
    pub(super) fn simplest(catalog: &[OnRoute]) -> Vec<Pick> {
        let mut picks = Vec::new();
        for (route, one) in catalog.iter().enumerate() {
            let mut seen = Vec::new();
            for (variant, its) in one.variants.iter().enumerate() {
                let Action::End { at, ending } = looked_at(its, 0) else { continue };
                let way = (at, mem::discriminant(&ending));
                if !seen.contains(&way) {
                    seen.push(way);
                    picks.push(Pick { route, variant });
                }
            }
        }
        picks
    }

    fn on_route(&self, api: &Api, route: &str, met: Met) -> OnRoute {
        let is_wanted = |name: &str| {
            self.only.as_ref().is_none_or(|only| only.iter().any(|one| one == name))
                && !self.without.iter().any(|one| one == name)
        };
        let mut found =
            OnRoute { route: route.into(), met, variants: Vec::new(), kinds: Vec::new() };
        for kind in FAULTS.iter().filter(|kind| is_wanted(kind.name)) {
            let first = found.variants.len();
            let fitting = variants(kind, api, route);
            let fits = |one: &Variant| {
                let action = looked_at(one, 0);
                let strikes = if matches!(action, Action::Message(_)) {
                    Met::Message
                } else if matches!(action, Action::Webhook(_)) {
                    Met::Event
                } else {
                    Met::Request
                };
                // Without anybody who listens no event is told of.
                let is_of_its_own = strikes == met || (met == Met::All && strikes != Met::Event);
                is_of_its_own && self.keeps_promises(one)
            };
            found.variants.extend(fitting.into_iter().filter(fits));
            if found.variants.len() > first {
                found.kinds.push((first, found.variants.len()));
            }
        }
        found
    }

    fn keeps_promises(&self, variant: &Variant) -> bool {
        (0..LOOKS).all(|seed| self.promises.allow(&looked_at(variant, seed), self.most))
            && (self.promises.commits_within_us.is_none() || is_steady(variant))
    }
}

impl Promises {
    fn allow(self, action: &Action, most: u32) -> bool {
        match action {
            Action::Key(fault) => !self.keys_honored || fault.honors_keys(),
            Action::Limit(fault) => !self.recovers || !fault.lasts(),
            Action::Order(fault) => self.allow_order(*fault),
            // An event that comes again asks for its work again; one that is forged, cut or dropped asks for none.
            Action::Webhook(_) => {
                !self.unrepeated && !self.recovers && self.commits_within_us.is_none()
            }
            // Nothing heals what is gone.
            Action::Deprecated(deprecated) => !self.recovers || !deprecated.is_over(),
            // What it is about is done late, or never.
            Action::Job(_) | Action::Batch(_) | Action::Upload(_) => {
                !self.recovers && self.commits_within_us.is_none()
            }
            Action::Message(fault) => {
                // A message that nobody can handle is not done, and one that comes again is repeated.
                !matches!(fault, MessageFault::Poison) && !self.unrepeated && !self.recovers
            }
            // What a gateway repeats later may come when the provider has to be well again.
            Action::Duplicate { apart_us, .. } => {
                !self.unrepeated && (*apart_us == 0 || !self.recovers)
            }
            // While the work is delayed its key is in progress, however often the client asks.
            Action::Delay { at: DelayPoint::BeforeCommit, micros } if self.recovers => *micros == 0,
            Action::Delay { at: DelayPoint::BeforeCommit, micros } => {
                // All delays of a request add up, and a rule may hold two faults.
                let share = |within: u64| within / u64::from(most.saturating_mul(2));
                self.commits_within_us.is_none_or(|within| *micros <= share(within))
            }
            Action::Delay { .. } | Action::Drip { .. } => true,
            Action::End { ending: Ending::InFlight { for_us, .. }, .. } => {
                *for_us == 0 || !self.recovers
            }
            // An error that is kept comes back to every repeat with its key.
            Action::End { ending: Ending::Answer(answer), .. } if answer.kept => {
                !self.recovers && !self.keys_honored
            }
            // A client that relies on its memory is right as long as nobody promised it a sudden death.
            Action::Client { .. } => self.restarts,
            Action::End { .. } | Action::Door(_) => true,
        }
    }
}

impl Promises {
    fn allow_order(self, fault: OrderFault) -> bool {
        match fault {
            // Whoever looks must see all that will ever be.
            OrderFault::Stale { .. } => self.commits_within_us.is_none(),
            // It is under way when the provider has to be well again, or when somebody looks.
            OrderFault::Held { .. } | OrderFault::Slow { .. } | OrderFault::Read { .. } => {
                !self.recovers && self.commits_within_us.is_none()
            }
        }
    }
}

/// True when a fault does the same whatever is drawn, as far as time is concerned.
fn is_steady(variant: &Variant) -> bool {
    let delays: BTreeSet<u64> = (0..LOOKS)
        .filter_map(|seed| {
            let Action::Delay { at: DelayPoint::BeforeCommit, micros } = looked_at(variant, seed)
            else {
                return None;
            };
            Some(micros)
        })
        .collect();
    delays.len() <= 1
}

/// What a fault does under one of many draws.
fn looked_at(variant: &Variant, look: u64) -> Action {
    variant.fault.looked_at(Seed::new(look).unwrap_or_default())
}

/// What may strike one route.
#[derive(Clone, Debug)]
pub(super) struct OnRoute {
    pub(super) route: Arc<str>,
    /// What is struck there.
    pub(super) met: Met,
    /// Fault by fault in the order of the registry, of each the simplest first.
    pub(super) variants: Vec<Variant>,
    /// Where the variants of each fault begin and end.
    pub(super) kinds: Vec<(usize, usize)>,
}
