//! The numbers of a run: operations, requests, effects, money.
//!
//! **Invariant:** counts and adds; what a number means for the client is said elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use brownout_provider::event::{Claim, Mode, Recognized};

use crate::by_name::ByName;
use crate::scenario::Scenario;
use crate::trace::{Delivered, Effect, Name, Request, Strike, Trace};
use crate::verdict::{Money, OperationCounts, Share};

/// Operations by claim; with several submits, submits. Where a driver hands them out, only those count.
pub(super) fn operations(trace: &Trace) -> OperationCounts {
    let driven = !matches!(trace.mode(), Mode::Suite | Mode::Serve);
    let mut counts = OperationCounts::default();
    for (_, submit) in trace.submits().filter(|(_, one)| one.submitted.is_some() || !driven) {
        counts.total += 1;
        match trace.final_claim(submit).map(|claim| claim.claim) {
            Some(Claim::Succeeded) => counts.succeeded += 1,
            Some(Claim::Failed) => counts.failed += 1,
            Some(Claim::Unknown) => counts.unknown += 1,
            None => counts.unclaimed += 1,
        }
    }
    counts
}

/// Requests that the client sent.
pub(super) fn requests(trace: &Trace) -> u64 {
    length(trace.requests().filter(|(_, request)| request.by.is_client()).count())
}

/// Retries, those of the transport included.
pub(super) fn retries(trace: &Trace) -> u64 {
    length(trace.requests().filter(|(id, _)| trace.is_retry(*id)).count())
}

/// What a strike is told apart by at one request, or where it struck none.
type Struck = (Option<Delivered>, Option<u32>);

/// Strikes by rule; several faults of a rule at one request are one strike.
pub(super) fn strikes(trace: &Trace, which: impl Fn(&Strike) -> bool) -> BTreeMap<String, u64> {
    let told_apart = |strike: &Strike| -> (Name, Struck) {
        let Strike { rule, request, seq, .. } = *strike;
        let delivered = trace.delivered(strike);
        // With nothing that it struck a strike is told apart by its event.
        let alone = request.is_none() && delivered.is_none();
        (rule, (delivered, alone.then_some(seq)))
    };
    let mut counts = BTreeMap::<Name, u64>::new();
    // They stand in the order of the requests that they struck.
    for group in trace.strikes().chunk_by(|one, other| one.request == other.request) {
        let which = group.iter().filter(|strike| which(strike));
        let distinct: BTreeSet<(Name, Struck)> = which.map(told_apart).collect();
        for (rule, _) in distinct {
            *counts.entry(rule).or_default() += 1;
        }
    }
    counts.into_iter().map(|(rule, count)| (trace.text(rule).to_owned(), count)).collect()
}

/// What came to each provider of a scenario with several.
pub(super) fn by_provider(trace: &Trace, scenario: &Scenario) -> ByName<Share> {
    if !scenario.providers.are_several() {
        return ByName::default();
    }
    let names = scenario.providers.names();
    names
        .map(|name| {
            let known = trace.name(name);
            let its = |provider: Name| Some(provider) == known;
            (name.to_string(), share(trace, |one| its(one.provider), |one| its(one.provider)))
        })
        .collect()
}

/// What came from each tenant of a scenario with several.
pub(super) fn by_tenant(trace: &Trace, scenario: &Scenario) -> ByName<Share> {
    let names = scenario.workload.tenants.names().iter();
    names
        .map(|name| {
            let known = trace.name(name);
            let its = |tenant: Option<Name>| tenant.is_some() && tenant == known;
            let of_effect = |effect: &Effect| {
                its(effect.request.and_then(|request| trace.request(request).tenant))
            };
            (name.to_string(), share(trace, |one| its(one.tenant), of_effect))
        })
        .collect()
}

/// What of a run belongs to these requests and effects.
fn share(trace: &Trace, of: impl Fn(&Request) -> bool, did: impl Fn(&Effect) -> bool) -> Share {
    let mut share = Share::default();
    for (id, _) in trace.requests().filter(|(_, one)| one.by.is_client() && of(one)) {
        share.requests += 1;
        share.retries += u64::from(trace.is_retry(id));
    }
    for (_, effect) in trace.effects().filter(|(_, one)| one.is_live() && did(one)) {
        *share.effects.entry(trace.text(effect.kind).to_owned()).or_default() += 1;
    }
    share
}

/// Effects by kind, live at the end.
pub(super) fn effects(trace: &Trace) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, effect) in trace.effects().filter(|(_, effect)| effect.is_live()) {
        *counts.entry(trace.text(effect.kind).to_owned()).or_default() += 1;
    }
    counts
}

/// Money by unit: what was billed, what of it reached the client, and what was beyond the first effect
/// of an operation, kind and subject.
pub(super) fn money(trace: &Trace) -> BTreeMap<String, Money> {
    let mut money = trace.money();
    if !trace.unmade.is_empty() {
        // How much of it the client is to blame for is not known where the mock did not make every answer.
        money.values_mut().for_each(|one| one.beyond_first = 0);
    }
    money
}

/// How many requests were recognised by which way.
pub(super) fn recognized(trace: &Trace) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, request) in trace.requests().filter(|(_, request)| request.by.is_client()) {
        *counts.entry(way(request.recognized)).or_default() += 1;
    }
    counts.into_iter().map(|(way, count)| (way.to_owned(), count)).collect()
}

/// How many requests were told apart by what they asked for alone.
pub(super) fn guessed(trace: &Trace) -> u64 {
    let is_guessed = |request: &Request| {
        request.by.is_client() && matches!(request.recognized, Recognized::Guess | Recognized::New)
    };
    length(trace.requests().filter(|(_, request)| is_guessed(request)).count())
}

fn way(recognized: Recognized) -> &'static str {
    match recognized {
        Recognized::Url => "url",
        Recognized::ApiKey => "api_key",
        Recognized::Extractor => "extractor",
        Recognized::Object => "object",
        Recognized::Sdk => "sdk",
        Recognized::Guess => "guess",
        Recognized::New => "new",
        Recognized::Unrouted => "unrouted",
    }
}

fn length(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
