//! What excuses a client that did not try again, for the invariants that ask for it.
//!
//! **Invariant:** every excuse is one that a careful client has: no time left, a hint beyond its
//! deadline, or so many failures in a row that a breaker is open or a budget spent.

use std::collections::BTreeMap;

use brownout_provider::document::{At, decode};
use brownout_provider::units::Chance;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::trace::retries::{Permanent, Spell};
use crate::trace::{Name, Request, RequestId, Submit, Trace};

/// So many attempts, unless the scenario says otherwise.
const ATTEMPTS: u32 = 2;

/// This share must be tried again, in parts per million.
const SHARE_PPM: u32 = 900_000;

/// So many failures in a row open a breaker.
const TRIP: u32 = 5;

/// How much trying again is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenacity {
    pub(super) attempts: usize,
    pub(super) share_ppm: u32,
    pub(super) trip: u32,
}

/// The same as it stands in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tenacity")]
pub(super) struct RawTenacity {
    /// How many attempts there must be at least.
    #[schemars(range(min = 2))]
    attempts: Option<u32>,
    /// The share that must have them.
    share: Option<Chance>,
    /// So many failures in a row excuse it.
    #[schemars(range(min = 1))]
    trip: Option<u32>,
}

impl Tenacity {
    /// Reads it, and reports what asks for nothing.
    pub(super) fn parse(value: &Value, at: &At<'_>) -> Option<Self> {
        let raw: RawTenacity = decode(value, at)?;
        let attempts = raw.attempts.unwrap_or(ATTEMPTS);
        let trip = raw.trip.unwrap_or(TRIP);
        if attempts < 2 {
            at.key("attempts").error("fewer than 2 attempts ask for no retry", |problem| {
                problem.cure("use at least 2, the first attempt and one more")
            });
        }
        if trip == 0 {
            at.key("trip").error("`trip` is 0, which excuses everything", |problem| {
                problem.cure("use at least 1")
            });
        }
        Some(Self {
            attempts: usize::try_from(attempts).unwrap_or(usize::MAX),
            share_ppm: raw.share.map_or(SHARE_PPM, Chance::parts_per_million),
            trip: trip.max(1),
        })
    }
}

/// The times in which a breaker may be open: everywhere, at each provider, for each tenant, and for each
/// tenant at each provider.
pub(super) struct Excuses {
    lists: Vec<(Option<Name>, Vec<Spell>)>,
}

impl Excuses {
    /// Those of a trace: `trip` failures in a row open a breaker.
    pub(super) fn of(trace: &Trace, trip: u32) -> Self {
        let are_several = trace.providers_asked().len() > 1;
        let mut shared = BTreeMap::<(Option<Name>, Option<Name>), Vec<RequestId>>::new();
        for (id, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
            let tenants = [None, request.tenant];
            for tenant in &tenants[..1 + usize::from(request.tenant.is_some())] {
                shared.entry((*tenant, None)).or_default().push(id);
                if are_several {
                    shared.entry((*tenant, Some(request.provider))).or_default().push(id);
                }
            }
        }
        let of_breaker =
            |((tenant, _), attempts)| (tenant, trace.spells(trip, Permanent::Ignored, attempts));
        Self { lists: shared.into_iter().map(of_breaker).collect() }
    }

    /// True when a breaker that these attempts met may have been open at some time between the two.
    pub(super) fn cover(&self, tries: &Tries<'_>, from_us: u64, to_us: u64) -> bool {
        let own = tries.attempts.first().and_then(|(_, request)| request.tenant);
        let its = self.lists.iter().filter(|(tenant, _)| tenant.is_none() || *tenant == own);
        its.into_iter().any(|(_, spells)| {
            let first = spells.partition_point(|spell| spell.to_us < from_us);
            spells.get(first).is_some_and(|spell| spell.from_us <= to_us)
        })
    }
}

/// The attempts of one submit, and what they say about trying again.
pub(super) struct Tries<'a> {
    pub(super) submit: &'a Submit,
    pub(super) attempts: Vec<(RequestId, &'a Request)>,
}

/// The attempts of every submit that has any, in the order of the submits. Takes each request once, and keeps
/// those of one operation at a time.
pub(super) fn tries(trace: &Trace) -> impl Iterator<Item = Tries<'_>> {
    trace.operations().flat_map(|(operation, _)| {
        let mut of_submit = BTreeMap::<u32, Vec<(RequestId, &Request)>>::new();
        for (id, request) in trace.attempts_of(operation) {
            of_submit.entry(request.submit).or_default().push((id, request));
        }
        trace.submits_of(operation).filter_map(move |(_, submit)| {
            let attempts = of_submit.remove(&submit.number)?;
            Some(Tries { submit, attempts })
        })
    })
}

impl Tries<'_> {
    /// When its first attempt arrived.
    pub(super) fn began_us(&self) -> u64 {
        self.attempts.first().map_or(0, |(_, request)| request.at_us)
    }

    /// True when the caller's deadline left room for as much again as had passed at `at_us`, after every
    /// hint that had been given. Without a deadline there always is.
    pub(super) fn has_time_left(&self, trace: &Trace, at_us: u64) -> bool {
        let Some(until_us) = trace.gives_up_at_us(self.submit) else { return true };
        let since_us = self
            .submit
            .submitted
            .as_ref()
            .map_or(self.began_us(), |submitted| submitted.at_us.min(self.began_us()));
        let hinted_us = self
            .attempts
            .iter()
            .filter_map(|(id, _)| trace.earliest_allowed(*id))
            .map(|(_, allowed_us)| allowed_us)
            .max();
        let from_us = at_us.max(hinted_us.unwrap_or(0));
        until_us.saturating_sub(from_us) > at_us.saturating_sub(since_us)
    }

    /// How many attempts went to this route, at any provider.
    pub(super) fn of_route(&self, route: Option<Name>) -> usize {
        self.attempts.iter().filter(|(_, request)| request.route == route).count()
    }
}

/// True when `part` of `whole` are at least `share` of it, in parts per million.
pub(super) fn reaches(part: usize, whole: usize, share_ppm: u32) -> bool {
    let millionths = |number: usize| u128::try_from(number).unwrap_or(u128::MAX);
    millionths(part).saturating_mul(1_000_000)
        >= millionths(whole).saturating_mul(u128::from(share_ppm))
}
