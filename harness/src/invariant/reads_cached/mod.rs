//! `reads_cached`: what was answered a moment ago is not asked again, and what was changed since is.
//!
//! **Invariant:** an answer counts from the arrival of the question, a change excuses whoever forgets more than
//! it touched, and of what a client told its caller only its own words prove that they are old.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use brownout_provider::document::{At, OneOrMany, decode};
use brownout_provider::event::{Claim, ClaimBy};
use brownout_provider::units::{Period, in_words};
use foldhash::fast::FixedState;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{events_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{ClaimMade, Name, OperationId, Request, RequestId, Submit, Submitted, Trace};

/// So many neighbours are looked at, which is more than any client has under way at once.
const NEIGHBOURS: usize = 1_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "reads_cached",
    summary: "What was answered a moment ago is not asked again, unless it was changed since.",
    headline: "were asked twice, or answered with what was no longer true",
    rule: "A question (provider, method, path, query, body and credential) is not asked for another operation \
           while an answer to it, whole and usable, is younger than `ttl`, unless a request of \
           `invalidated_by` was under way since. After a success of a route in `invalidated_by` no operation with \
           the same input is answered in the very words of before unless the question was asked again; a \
           change and a question are about one thing if their inputs share a value that names an operation.",
    exercised_by: "An operation that asks what an earlier one was answered less than `ttl` ago, or what was changed \
                   since; what needs no request is known by its input, which is equal.",
    parameters: &[
        ("ttl", "how long an answer counts, such as `5m`; required"),
        ("invalidated_by", "the route or routes that change what is read; none unless said"),
        (
            "route",
            "the route or routes that are questions; unless said, all that are asked by GET, have no effect and do \
             not tell what is left of a limit",
        ),
    ],
    tolerates: "Questions that are under way at the same time; an operation that asks for the same thing again \
                itself (a poll, a look before a retry); a cache that forgets everything at any change, or with a \
                restart; other copies of the client; an answer that says `degraded`; a cache that is mended by \
                what the change itself answered.",
    cure: "Keep answers under the question, with a time to live; drop (or replace) what a write changes as soon as \
           it has succeeded; let those who ask at once wait for one request.",
    why: "The same question twice is paid for and waited for twice; an answer that is kept for too long is \
          a wrong one.",
    faults: &["latency", "status"],
    without_a_fault: "a workload that asks the same twice",
    modes: &[],
    example: "reads_cached: {ttl: 5m, invalidated_by: create_charge}",
    bare: false,
    needs_identity: true,
    needs_separation: true,
    needs_one_client: true,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReadsCached")]
struct Raw {
    /// How long an answer counts.
    ttl: Period,
    /// The routes that change what is read.
    invalidated_by: Option<OneOrMany<String>>,
    /// The routes that are questions.
    route: Option<OneOrMany<String>>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let names = |routes: Option<OneOrMany<String>>| -> Vec<String> {
        routes.iter().flat_map(|all| all.iter().map(|(_, name)| name.clone())).collect()
    };
    Some(Arc::new(ReadsCached {
        ttl_us: raw.ttl.micros(),
        invalidated_by: names(raw.invalidated_by),
        routes: names(raw.route),
    }))
}

#[derive(Debug)]
struct ReadsCached {
    ttl_us: u64,
    invalidated_by: Vec<String>,
    routes: Vec<String>,
}

impl Invariant for ReadsCached {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let seen = Seen::of(trace, self);
        let mut found = self.asked_twice(trace, &seen);
        for asked in &seen.alike {
            let mut told_us = None;
            for (later, one) in asked.iter().enumerate() {
                let earlier = Earlier { asked: &asked[..later], told_us };
                if let Some(verdict) = self.answered(trace, &seen, &earlier, one) {
                    found.exercised += 1;
                    found.violations.extend(verdict);
                }
                told_us = told_us.into_iter().chain(one.claim.map(|claim| claim.at_us)).min();
            }
        }
        let why_not =
            "nothing was asked that had been answered less than `ttl` ago, or was changed since";
        Judgement::new(found.exercised, found.violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let routes = || scenario.providers.apis().flat_map(|api| &api.routes);
        for (key, names) in [("invalidated_by", &self.invalidated_by), ("route", &self.routes)] {
            for name in names.iter().filter(|name| !routes().any(|one| *one.name == ***name)) {
                at.key(key).error(format!("there is no route `{name}`"), |problem| {
                    problem.allowed(name, routes().map(|route| &*route.name))
                });
            }
        }
        if scenario.workload.operations < 2 {
            at.error(format!("`{}` cannot be exercised by one operation", KIND.name), |problem| {
                problem.cure("raise `operations` of the workload, and let two inputs be equal")
            });
        }
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    exercised: usize,
    violations: Vec<Violation>,
}

/// A submit that was asked for, with the client's first word about it.
struct Asked<'a> {
    submit: &'a Submit,
    submitted: &'a Submitted,
    claim: Option<&'a ClaimMade>,
}

/// What was asked for before, with the same input.
struct Earlier<'a> {
    asked: &'a [Asked<'a>],
    /// When the first of them was told something.
    told_us: Option<u64>,
}

/// What a run shows of questions and changes.
struct Seen<'a> {
    questions: Vec<RequestId>,
    /// Changes by their ends: end and arrival.
    changes: Vec<(u64, u64)>,
    /// When questions came that are about a thing, by the value that names it.
    about: BTreeMap<String, Vec<u64>>,
    /// The changes of a thing, by the value that names it: end, arrival, and which.
    changes_of: BTreeMap<String, Vec<(u64, u64, RequestId)>>,
    /// What was asked for more than once with one input, each list in order.
    alike: Vec<Vec<Asked<'a>>>,
}

impl<'a> Seen<'a> {
    fn of(trace: &'a Trace, rule: &ReadsCached) -> Self {
        let named = |names: &[String], request: &Request| {
            request.route.is_some_and(|route| names.iter().any(|name| trace.text(route) == name))
        };
        let mut limits = BTreeMap::<(Name, Name), bool>::new();
        let mut is_question = |request: &Request| match rule.routes.is_empty() {
            true => {
                let is_get = matches!(trace.text(request.method), "GET" | "HEAD");
                let is_read = is_get && !request.effectful && !request.polls;
                let Some(route) = request.route.filter(|_| is_read) else { return false };
                let (provider, tells) = (request.provider, &mut limits);
                !*tells
                    .entry((provider, route))
                    .or_insert_with(|| trace.tells_limits(provider, route))
            }
            false => named(&rule.routes, request),
        };
        let mut seen = Self {
            questions: Vec::new(),
            changes: Vec::new(),
            about: BTreeMap::new(),
            changes_of: BTreeMap::new(),
            alike: alike(trace),
        };
        // Of what is asked for once nobody can be told anything old, and of most long runs that is all.
        let about = |one: &Asked<'_>| things(trace, one.submit.operation);
        let matter: BTreeSet<String> = seen.alike.iter().flatten().flat_map(about).collect();
        let about = |request: &Request| {
            let operation = request.operation.filter(|_| !matter.is_empty());
            let things = operation.into_iter().flat_map(|id| things(trace, id));
            things.filter(|thing| matter.contains(thing)).collect::<Vec<String>>()
        };
        for (id, request) in trace.requests().filter(|(_, one)| one.by.is_client()) {
            if named(&rule.invalidated_by, request) {
                let end_us = trace.over_at_us(id).unwrap_or(trace.last_at_us);
                seen.changes.push((end_us, request.at_us));
                for thing in about(request) {
                    seen.changes_of.entry(thing).or_default().push((end_us, request.at_us, id));
                }
            } else if is_question(request) {
                seen.questions.push(id);
                if rule.invalidated_by.is_empty() {
                    continue;
                }
                for thing in about(request) {
                    seen.about.entry(thing).or_default().push(request.at_us);
                }
            }
        }
        seen.changes.sort_unstable();
        seen.changes_of.values_mut().for_each(|changes| changes.sort_unstable());
        seen
    }

    /// True when a change was under way at some time between two moments.
    fn changed_between(&self, from_us: u64, to_us: u64) -> bool {
        let first = self.changes.partition_point(|(end_us, _)| *end_us < from_us);
        self.changes[first..].iter().take(NEIGHBOURS).any(|(_, at_us)| *at_us <= to_us)
    }
}

/// What was asked of one copy of the client more than once with one input, each list in order.
fn alike<'a>(trace: &'a Trace) -> Vec<Vec<Asked<'a>>> {
    let asked = |submit: &'a Submit| {
        let submitted = submit.submitted.as_ref()?;
        let copy = trace.operation(submit.operation).copy;
        Some((submitted.call, submitted.tenant, copy, submitted.input_text()))
    };
    // By a hash of it: to compare all of it as often as sorting does takes long.
    let hashed = |(_, submit): (_, &'a Submit)| {
        let hash = FixedState::default().hash_one(asked(submit)?);
        Some((hash, submit.submitted.as_ref()?.seq, submit))
    };
    let mut all: Vec<(u64, u32, &'a Submit)> = trace.submits().filter_map(hashed).collect();
    all.sort_unstable_by_key(|(hash, seq, _)| (*hash, *seq));
    let told = |submit: &'a Submit| {
        let claim = trace.claims(submit).iter().find(|claim| claim.by == ClaimBy::Client);
        Some(Asked { submit, submitted: submit.submitted.as_ref()?, claim })
    };
    let groups = all.chunk_by(|one, other| one.0 == other.0 && asked(one.2) == asked(other.2));
    let mut groups: Vec<&[_]> = groups.filter(|same| same.len() > 1).collect();
    groups.sort_unstable_by_key(|same| same.first().map(|(_, seq, _)| *seq));
    let told_each = |same: &[(u64, u32, &'a Submit)]| {
        same.iter().filter_map(|(_, _, submit)| told(submit)).collect()
    };
    groups.into_iter().map(told_each).collect()
}

/// The questions that the same copy of the client had been answered before, in order, each with the latest of
/// those answers that it knew.
fn answered_before(trace: &Trace, questions: &[RequestId]) -> Vec<(RequestId, RequestId)> {
    let which = |id: &RequestId| {
        let request = trace.request(*id);
        (request.call, trace.copy_of(request))
    };
    let mut alike: Vec<RequestId> =
        questions.iter().copied().filter(|id| which(id).1 > 0).collect();
    alike.sort_unstable_by_key(|id| (which(id), *id));
    let mut found = Vec::new();
    for same in alike.chunk_by(|one, other| which(one) == which(other)) {
        for (at, id) in same.iter().enumerate() {
            let asked_us = trace.request(*id).at_us;
            let answer = same[..at].iter().rev().take(NEIGHBOURS).find(|one| {
                let end_us = trace.known_at_us(**one);
                let known = |end_us: u64| end_us.saturating_add(trace.reaction_us()) < asked_us;
                trace.fate(**one) == Fate::Usable && end_us.is_some_and(known)
            });
            found.extend(answer.map(|answer| (*id, *answer)));
        }
    }
    found.sort_unstable();
    found
}

/// The values by which an operation's input names what it is about.
fn things(trace: &Trace, id: OperationId) -> BTreeSet<String> {
    let mut words = trace.identities_of(id).into_iter();
    let name = words.next();
    words.filter(|word| Some(word) != name.as_ref()).collect()
}

impl ReadsCached {
    /// True when an answer to a question that came at `asked_us` still counts at `at_us`.
    fn counts(&self, trace: &Trace, asked_us: u64, at_us: u64) -> bool {
        at_us.saturating_add(trace.reaction_us()) < asked_us.saturating_add(self.ttl_us)
    }

    /// Questions that another operation had been answered shortly before.
    fn asked_twice(&self, trace: &Trace, seen: &Seen<'_>) -> Found {
        let mut found = Found::default();
        let mut accused = BTreeSet::new();
        for (id, answer) in answered_before(trace, &seen.questions) {
            let request = trace.request(id);
            let Some(operation) = request.operation else { continue };
            let before = trace.request(answer);
            let (from_us, to_us) = (before.at_us, request.at_us);
            if before.operation == request.operation
                || !self.counts(trace, from_us, to_us)
                || trace.restarted_between(operation, from_us, to_us)
                || seen.changed_between(from_us, to_us)
                || !accused.insert(operation)
            {
                continue;
            }
            found.exercised += 1;
            found.violations.push(self.twice(trace, operation, answer, id));
        }
        found
    }

    /// What is to be said of an operation whose input is that of earlier ones: `None` where nothing is.
    fn answered(
        &self,
        trace: &Trace,
        seen: &Seen<'_>,
        earlier: &Earlier<'_>,
        one: &Asked<'_>,
    ) -> Option<Option<Violation>> {
        let claim = one.claim.filter(|claim| claim.claim == Claim::Succeeded && !claim.degraded)?;
        if let Some(change) = self.known_change(trace, seen, earlier.told_us, one) {
            let (at_us, change) = change;
            let asked_since = |asked: &Vec<u64>| {
                let first = asked.partition_point(|when| *when < at_us);
                asked.get(first).is_some_and(|when| *when <= claim.at_us)
            };
            let things = things(trace, one.submit.operation);
            if things.iter().filter_map(|thing| seen.about.get(thing)).any(asked_since) {
                return Some(None);
            }
            let old =
                earlier.asked.iter().rev().filter_map(|one| one.claim).find(|old| {
                    old.at_us <= at_us && old.claim == Claim::Succeeded && !old.degraded
                })?;
            let words = |claim: &ClaimMade| claim.detail.map(|detail| trace.text(detail));
            // A status alone says nothing of what was told.
            let said = words(claim).filter(|said| said.parse::<u16>().is_err())?;
            let is_old = words(old) == Some(said);
            // Other words prove nothing: a page may be old and tell the time.
            return is_old.then(|| Some(stale(trace, change, old, (one.submit, claim))));
        }
        self.came_from_cache(trace, seen, earlier.asked, one).then_some(None)
    }

    /// True when an operation needed no request for what an earlier one had been answered shortly before.
    fn came_from_cache(
        &self,
        trace: &Trace,
        seen: &Seen<'_>,
        earlier: &[Asked<'_>],
        one: &Asked<'_>,
    ) -> bool {
        let at_us = one.submitted.at_us;
        let is_question = |id: &RequestId| {
            let questions = &seen.questions;
            questions.binary_search(id).is_ok() && trace.fate(*id) == Fate::Usable
        };
        let counts = |id: RequestId| {
            let from_us = trace.request(id).at_us;
            from_us < at_us
                && self.counts(trace, from_us, at_us)
                && !seen.changed_between(from_us, at_us)
        };
        trace.attempts_of(one.submit.operation).next().is_none()
            && earlier.iter().rev().take(NEIGHBOURS).any(|before| {
                let asked = trace.attempts_of(before.submit.operation).map(|(id, _)| id);
                asked.filter(is_question).any(counts)
            })
    }

    /// The latest change of what an operation is about that the client knew of when it was asked, if
    /// somebody had been told something before.
    fn known_change(
        &self,
        trace: &Trace,
        seen: &Seen<'_>,
        told_us: Option<u64>,
        one: &Asked<'_>,
    ) -> Option<(u64, RequestId)> {
        let told_us = told_us?;
        let until_us = one.submitted.at_us.saturating_sub(trace.reaction_us());
        let copy = trace.operation(one.submit.operation).copy;
        let is_known = |(_, at_us, id): &&(u64, u64, RequestId)| {
            *at_us >= told_us
                && trace.fate(*id) == Fate::Usable
                && trace.copy_of(trace.request(*id)) == copy
        };
        let things = things(trace, one.submit.operation);
        let known =
            things.iter().filter_map(|thing| seen.changes_of.get(thing)).filter_map(|all| {
                let until = all.partition_point(|(end_us, _, _)| *end_us <= until_us);
                all[..until].iter().rev().take(NEIGHBOURS).find(is_known)
            });
        known.max().map(|(_, at_us, id)| (*at_us, *id))
    }

    fn twice(
        &self,
        trace: &Trace,
        operation: OperationId,
        answer: RequestId,
        id: RequestId,
    ) -> Violation {
        let (before, request) = (trace.request(answer), trace.request(id));
        let whose = before.operation.map_or("another", |one| trace.operation_name(one));
        let message = format!(
            "expected an answer to count for {}, found {} {} after the same question of `{whose}`, which was \
             answered",
            in_words(self.ttl_us),
            trace.request_in_words(request),
            in_words(request.at_us.saturating_sub(before.at_us))
        );
        let evidence = events_of(trace, answer).chain(events_of(trace, id));
        Violation::new(trace, operation, message, evidence)
    }
}

/// An operation was told what had been told before a change.
fn stale(
    trace: &Trace,
    change: RequestId,
    old: &ClaimMade,
    (submit, claim): (&Submit, &ClaimMade),
) -> Violation {
    let request = trace.request(change);
    let known_us = trace.known_at_us(change).unwrap_or(request.at_us);
    let message = format!(
        "expected to be told what stands after {} of `{}`, found what was told before it, {} after it had succeeded",
        trace.request_in_words(request),
        request.operation.map_or("another", |one| trace.operation_name(one)),
        in_words(claim.at_us.saturating_sub(known_us))
    );
    let evidence = events_of(trace, change).chain([old.seq, claim.seq]);
    Violation::new(trace, submit.operation, message, evidence)
}

#[cfg(test)]
mod tests;
