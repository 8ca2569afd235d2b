//! The conditions of a rule, and whether they can ever hold.

use std::sync::Arc;

use brownout_provider::api::Api;
use brownout_provider::document::{At, OneOrMany, ScalarOr};
use brownout_provider::rule::{Selector, When};
use brownout_provider::units::Chance;
use http::{HeaderName, Method};

use super::PROVIDER;
use super::provider::Place;
use super::workload::check_route;
use crate::scenario::Workload;
use crate::scenario::raw::{RawDuring, RawSelection, RawSelector, RawWhen};

/// What conditions are judged against; what is wrong is missing.
pub(super) struct Context<'a> {
    pub(super) places: &'a Places<'a>,
    pub(super) workload: Option<&'a Workload>,
    /// True when the run has another number of operations than the file, by which a rule may go beyond the last.
    pub(super) is_cut: bool,
}

/// The providers by name, each with its API, which is missing where something is wrong with it, and what it
/// speaks.
pub(super) struct Places<'a>(Vec<(&'a str, Option<&'a Api>, Speaks)>);

/// What a provider speaks beside plain HTTP/1.1.
#[derive(Clone, Copy, Default)]
struct Speaks {
    tls: bool,
    http2: bool,
}

impl<'a> Places<'a> {
    pub(super) fn of(providers: &'a [Place]) -> Self {
        let place = |one: &'a Place| {
            let spec = one.spec.as_ref();
            let (tls, http2) = spec.map_or((false, false), |spec| (spec.tls, spec.http2));
            (&*one.name, spec.map(|spec| &*spec.api), Speaks { tls, http2 })
        };
        Self(providers.iter().map(place).collect())
    }

    /// One provider of this API.
    pub(super) fn of_api(api: &'a Api) -> Self {
        Self(vec![(PROVIDER, Some(api), Speaks::default())])
    }

    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(name, ..)| *name)
    }

    /// The APIs of this provider, or of all; none where one of them is not known.
    pub(super) fn apis(&self, provider: Option<&str>) -> Vec<&'a Api> {
        let meant = self.0.iter().filter(|(name, ..)| provider.is_none_or(|one| one == *name));
        meant.map(|(_, api, _)| *api).collect::<Option<_>>().unwrap_or_default()
    }

    /// True when this provider, or one of all, answers over TLS.
    pub(super) fn has_tls(&self, provider: Option<&str>) -> bool {
        self.0.iter().any(|(name, _, it)| it.tls && provider.is_none_or(|one| one == *name))
    }

    /// True when this provider, or one of all, speaks HTTP/2.
    pub(super) fn has_http2(&self, provider: Option<&str>) -> bool {
        self.0.iter().any(|(name, _, it)| it.http2 && provider.is_none_or(|one| one == *name))
    }

    /// The first provider that has this route, by name.
    pub(super) fn with_route(&self, route: &str) -> Option<(&'a str, &'a Api)> {
        let places = self.0.iter().filter_map(|(name, api, _)| Some((*name, (*api)?)));
        places.into_iter().find(|(_, api)| api.route_named(route).is_some())
    }
}

/// What a selector counts.
#[derive(Clone, Copy)]
pub(super) struct Count {
    noun: &'static str,
    /// The highest that exists, where that is known.
    highest: Option<u64>,
    /// True when the command line changed the highest, so that going beyond it is no mistake.
    is_changed: bool,
}

impl Context<'_> {
    /// The workload, where it says how many operations there are.
    fn counted(&self) -> Option<&Workload> {
        self.workload.filter(|workload| workload.is_driven())
    }

    pub(super) fn operations(&self) -> Count {
        Count {
            noun: "operation",
            highest: self.counted().map(|workload| workload.operations),
            is_changed: self.is_cut,
        }
    }

    pub(super) fn submits(&self) -> Count {
        Count {
            noun: "submit",
            highest: self.counted().map(|workload| u64::from(workload.submits.times)),
            is_changed: false,
        }
    }
}

/// The conditions.
pub(super) fn resolve(raw: &RawWhen, context: &Context<'_>, at: &At<'_>) -> When {
    let attempts = Count { noun: "attempt", highest: None, is_changed: false };
    let select = |raw: &Option<RawSelector>, key: &str, count: Count| {
        raw.as_ref().map_or(Selector::Any, |raw| selector(raw, count, &at.key(key)))
    };
    When {
        route: route(raw, context, at),
        provider: raw
            .provider
            .as_deref()
            .map(|name| provider(name, context.places, &at.key("provider"))),
        tenant: raw.tenant.as_deref().map(|name| tenant(name, context, &at.key("tenant"))),
        method: raw.method.as_deref().map(|text| method(text, &at.key("method"))),
        headers: headers(raw, &at.key("header")),
        body: body(raw, &at.key("body")),
        attempt: select(&raw.attempt, "attempt", attempts),
        operation: select(&raw.operation, "operation", context.operations()),
        submit: select(&raw.submit, "submit", context.submits()),
        chance_ppm: raw.chance.map(|one| chance(one, &at.key("chance"))),
        during_us: raw.during.map(|during| self::during(during, &at.key("during"))),
        max_times: raw.max_times.inspect(|times| max_times(*times, &at.key("max_times"))),
    }
}

fn route(raw: &RawWhen, context: &Context<'_>, at: &At<'_>) -> Option<Arc<str>> {
    let route = raw.route.as_deref()?;
    let apis = context.places.apis(raw.provider.as_deref());
    if check_route(route, &apis, &at.key("route"))
        && let Some(method) = raw.method.as_deref()
        && let Some(found) = apis.iter().find_map(|api| api.route_named(route))
        && !method.eq_ignore_ascii_case(found.method.as_str())
    {
        let right = &found.method;
        let message = format!("this can never strike: `{route}` is called with `{right}`");
        at.key("method").error(message, |d| d.cure("leave `method` out"));
    }
    Some(Arc::from(route))
}

/// A provider's name, as a condition.
pub(super) fn provider(name: &str, places: &Places<'_>, at: &At<'_>) -> Arc<str> {
    if !places.0.is_empty() && !places.names().any(|known| known == name) {
        let message = format!("there is no provider `{}` in this scenario", super::shown(name));
        at.error(message, |d| {
            let d = d.allowed(name, places.names());
            if places.are_several() {
                d
            } else {
                d.cure("leave it out; there is only one provider")
            }
        });
    }
    Arc::from(name)
}

/// A tenant's name, as a condition.
fn tenant(name: &str, context: &Context<'_>, at: &At<'_>) -> Arc<str> {
    let known = context.workload.map_or(&[][..], |workload| workload.tenants.names());
    if context.workload.is_some() && !known.iter().any(|one| **one == *name) {
        let message = format!("there is no tenant `{}` in this scenario", super::shown(name));
        at.error(message, |d| {
            let d = d.allowed(name, known.iter().map(|name| &**name));
            if known.is_empty() {
                d.cure("name it in the workload: `tenants: {a: {operations: 50}, b: {operations: 10}}`")
            } else {
                d
            }
        });
    }
    Arc::from(name)
}

fn method(text: &str, at: &At<'_>) -> String {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let upper = text.to_ascii_uppercase();
    if !known.iter().any(|method| method.as_str() == upper) {
        at.error(format!("`{}` is no method", super::shown(text)), |d| {
            d.allowed(&upper, known.iter().map(Method::as_str))
        });
    }
    upper
}

fn headers(raw: &RawWhen, at: &At<'_>) -> Vec<(String, String)> {
    let headers = raw.header.iter().flatten();
    headers
        .map(|(name, value)| {
            if HeaderName::try_from(name).is_err() {
                let message = format!("`{}` is no name of a header", super::shown(name));
                at.key(name).error(message, |d| d.key().cure("use letters, digits and `-`"));
            }
            (name.to_ascii_lowercase(), value.clone())
        })
        .collect()
}

fn body(raw: &RawWhen, at: &At<'_>) -> Vec<(String, serde_json::Value)> {
    let fields = raw.body.iter().flatten();
    fields
        .map(|(field, value)| {
            if value.is_array() || value.is_object() {
                at.key(field).error("only a single value can be compared", |d| {
                    d.cure("point into it: `/items/0/id: 7`")
                });
            }
            (field.clone(), value.clone())
        })
        .collect()
}

fn chance(chance: Chance, at: &At<'_>) -> u32 {
    if chance.parts_per_million() == 0 {
        at.note("a chance of 0% never strikes; the traffic is as without this rule", |d| d);
    }
    chance.parts_per_million()
}

fn during(raw: RawDuring, at: &At<'_>) -> (u64, u64) {
    let from = raw.from.map_or(0, |from| from.micros());
    let to = raw.to.map_or(u64::MAX, |to| to.micros());
    if from >= to {
        at.error("this can never strike: the time ends before it begins", |d| {
            d.cure("`from` must be before `to`")
        });
    } else {
        at.note(
            "on the real clock it matters when requests arrive: this stands outside the drawn schedule",
            |d| d.key().cure("for an exact window say `operation: {from: 100, to: 400}`"),
        );
    }
    (from, to)
}

fn max_times(times: u64, at: &At<'_>) {
    if times == 0 {
        at.error("this can never strike: it may do so 0 times", |d| {
            d.cure("use at least 1, or take the rule out")
        });
    } else {
        at.note(
            "it matters which requests come first: this stands outside the drawn schedule",
            |d| d.key().cure("for exact strikes name `operation` and `attempt`"),
        );
    }
}

/// The numbers that a selector takes.
fn selector(raw: &RawSelector, count: Count, at: &At<'_>) -> Selector {
    let Count { noun, .. } = count;
    let map = match raw {
        ScalarOr::Scalar(numbers) => return listed(numbers, count, at),
        ScalarOr::Map(map) => *map,
    };
    match map {
        RawSelection { from: None, to: None, every: Some(k) } => {
            check_number(k, count, &at.key("every"));
            Selector::Every(k)
        }
        RawSelection { from, to, every: None } if from.is_some() || to.is_some() => {
            if let (Some(from), Some(to)) = (from, to)
                && from > to
            {
                at.error(format!("this can never strike: {from} comes after {to}"), |d| {
                    d.cure("`from` must not be above `to`")
                });
            } else if to == Some(0) {
                check_number(0, count, &at.key("to"));
            } else if let Some(from) = from.filter(|from| *from > 0) {
                check_number(from, count, &at.key("from"));
            }
            Selector::Range(from, to)
        }
        _ if at.is_wrong() => Selector::Any,
        _ => {
            at.error(format!("this does not say which {noun}s"), |d| {
                d.cure("use `n`, `[n, …]`, `{from: n, to: n}` or `{every: k}`")
            });
            Selector::Any
        }
    }
}

fn listed(numbers: &OneOrMany<u64>, count: Count, at: &At<'_>) -> Selector {
    let mut list = Vec::new();
    for (index, number) in numbers.iter() {
        let at = index.map_or_else(|| at.clone(), |index| at.index(index));
        check_number(*number, count, &at);
        list.push(*number);
    }
    // An empty list has been refused by its shape.
    if list.is_empty() { Selector::Any } else { Selector::List(list) }
}

/// Reports a number that does not exist.
pub(super) fn check_number(number: u64, count: Count, at: &At<'_>) {
    let noun = count.noun;
    if number == 0 {
        at.error(format!("this can never strike: {noun}s are counted from 1"), |d| {
            d.cure("use at least 1")
        });
    } else if let Some(highest) = count.highest.filter(|highest| number > *highest) {
        let message = format!("this can never strike: the last {noun} is number {highest}");
        if count.is_changed {
            at.note(message, |d| d);
        } else {
            at.error(message, |d| {
                d.cure(format!("use at most {highest}, or raise the number of {noun}s"))
            });
        }
    }
}
