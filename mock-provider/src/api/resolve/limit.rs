//! The limit of an API file.

use std::collections::BTreeMap;

use super::super::limit::{Cost, LIMIT_NAMES, LimitScope, RateLimitPolicy};
use super::super::policy::HeaderTemplate;
use super::super::raw::{RawApi, RawCost, RawLimitScope, RawQuota, RawRateLimit};
use super::{header_templates, pointer, required};
use crate::document::{At, ScalarOr};
use crate::hint::LimitHeaders;
use crate::rate_limit::{Rate, registry};
use crate::units::{DAY_US, Period};

pub(super) fn rate_limit(raw: &RawRateLimit, at: &At<'_>) -> Option<RateLimitPolicy> {
    let limit = required(raw.limit, "limit", at)?;
    let algorithm = raw.algorithm.map_or(registry::ALGORITHMS[0], |algorithm| algorithm.0);
    for (key, given, known) in [
        ("per", raw.per.is_some(), algorithm.has_period),
        ("burst", raw.burst.is_some(), algorithm.has_burst),
    ] {
        if given && !known {
            at.key(key).error(format!("`{}` knows no `{key}`", algorithm.name), |d| {
                d.key().cure("leave it out, or choose another `algorithm`")
            });
        }
    }
    let per_us = raw.per.map_or(1_000_000, Period::micros);
    let burst = raw.burst.unwrap_or(limit);
    for (key, number) in
        [("limit", limit.into()), ("per", per_us), ("burst", raw.burst.unwrap_or(1).into())]
    {
        not_zero(key, number, at);
    }
    Some(RateLimitPolicy {
        algorithm,
        rate: Rate { limit: limit.into(), per_us, burst: burst.into() },
        scope: match raw.scope {
            Some(RawLimitScope::ApiKey) | None => LimitScope::ApiKey,
            Some(RawLimitScope::Ip) => LimitScope::Ip,
            Some(RawLimitScope::Global) => LimitScope::Global,
            Some(RawLimitScope::Route) => LimitScope::Route,
        },
        cost: cost(raw, &at.key("cost"))?,
        quota: match &raw.quota {
            Some(raw) => Some(quota(raw, &at.key("quota"))?),
            None => None,
        },
    })
}

fn not_zero(key: &str, number: u64, at: &At<'_>) {
    if number == 0 {
        at.key(key).error(format!("`{key}` is 0"), |d| d.cure("use a larger value"));
    }
}

fn cost(raw: &RawRateLimit, at: &At<'_>) -> Option<Cost> {
    match &raw.cost {
        None => Some(Cost::Units(1)),
        Some(ScalarOr::Scalar(units)) => {
            if *units == 0 {
                at.error("a request that costs nothing has no limit", |d| d.cure("use 1 or more"));
            }
            Some(Cost::Units((*units).into()))
        }
        Some(ScalarOr::Map(RawCost { field, otherwise })) => {
            let pointer = pointer(required(field.as_deref(), "field", at)?, &at.key("field"))?;
            Some(Cost::Field { pointer, otherwise: otherwise.unwrap_or(1).into() })
        }
    }
}

fn quota(raw: &RawQuota, at: &At<'_>) -> Option<Rate> {
    let limit = required(raw.limit, "limit", at)?;
    let per_us = raw.per.map_or(DAY_US, Period::micros);
    not_zero("limit", limit.into(), at);
    not_zero("per", per_us, at);
    Some(Rate { limit: limit.into(), per_us, burst: 1 })
}

/// The headers that tell of the limit: those that the limit itself names, else those of the API.
pub(super) fn limit_headers(raw: &RawApi, at: &At<'_>) -> Vec<HeaderTemplate> {
    let limit = raw.rate_limit.as_ref();
    let of_tokens = limit.is_some_and(|limit| matches!(limit.cost, Some(ScalarOr::Map(_))));
    let unit = if of_tokens { "tokens" } else { "requests" };
    if let Some(dialect) = limit.and_then(|limit| limit.headers) {
        return of_dialect(dialect, unit, at);
    }
    let at = at.key("limit_headers");
    match &raw.limit_headers {
        None => Vec::new(),
        Some(ScalarOr::Scalar(dialect)) => of_dialect(*dialect, unit, &at),
        Some(ScalarOr::Map(map)) => header_templates(Some(map), &LIMIT_NAMES, &at),
    }
}

fn of_dialect(dialect: LimitHeaders, unit: &str, at: &At<'_>) -> Vec<HeaderTemplate> {
    let pairs = dialect.pairs().iter();
    let pairs: BTreeMap<String, String> = pairs
        .map(|(name, says)| (name.replace("UNIT", unit), says.template().to_owned()))
        .collect();
    header_templates(Some(&pairs), &LIMIT_NAMES, at)
}
