//! `spares_other_tenants`: one tenant's noise is not another one's outage.
//!
//! **Invariant:** only what the provider's own limit refused is looked at; what a fault refused proves nothing
//! about how a client shares.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::api::{LimitScope, RateLimitPolicy};
use brownout_provider::document::{At, decode};
use brownout_provider::units::Rate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::support::{events_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{Name, Request, Trace};

/// Faults after which it is not the client's own load that fills a limit.
const NOT_ITS_OWN: [&str; 3] = ["noisy_neighbour", "tighten", "lying_limit"];

/// A body takes no longer than this.
const SLOW_US: u64 = 60_000_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "spares_other_tenants",
    summary: "A tenant that stays within its own limit is never refused for the load of another.",
    headline: "were refused for the load of another tenant",
    rule: "No request of a tenant is refused by a limit that tenants share if that tenant, with this request, \
           has sent at most `own` in the time that `own` names, and the limit has let requests of another \
           pass in its own time.",
    exercised_by: "A request with a tenant that the provider's limit refused.",
    parameters: &[(
        "own",
        "how many requests each tenant may make in which time, such as `10/s`; required",
    )],
    tolerates: "A tenant that is refused for its own load; refusals that a fault made; limits that a fault \
                tightened or a neighbour outside of the client has eaten up.",
    cure: "Give each tenant a queue and a share of the limit of its own, so that the backlog of one does not take \
           what the others have left.",
    why: "Where one customer's batch uses up the limit that all share, everybody else is refused for it.",
    faults: &["noisy_neighbour", "tighten"],
    without_a_fault: "tenants of one provider with a limit that the workload exceeds",
    modes: &[],
    example: "spares_other_tenants: {own: 10/s}",
    bare: false,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<SparesOtherTenantsParameters>,
    parse: |value, at| {
        let parameters: SparesOtherTenantsParameters = decode(value, at)?;
        Some(Arc::new(SparesOtherTenants { own: parameters.own? }))
    },
};

/// The parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SparesOtherTenantsParameters {
    /// How many requests each tenant may make in which time.
    #[schemars(required)]
    own: Option<Rate>,
}

#[derive(Debug)]
struct SparesOtherTenants {
    own: Rate,
}

impl Invariant for SparesOtherTenants {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let per_us = self.own.per.micros();
        let disturbed =
            trace.strikes().iter().any(|strike| NOT_ITS_OWN.contains(&trace.text(strike.fault)));
        let (mut exercised, mut violations) = (0, Vec::new());
        let mut sent = BTreeMap::<(Name, Name), Vec<&Request>>::new();
        for (id, request) in trace.requests().filter(|(_, one)| one.by.is_client()) {
            let Some(tenant) = request.tenant else { continue };
            let its = sent.entry((tenant, request.provider)).or_default();
            its.push(request);
            if !request.limited || disturbed {
                continue;
            }
            exercised += 1;
            let its_own = lately(its, request, per_us).count();
            let limit_us = trace.limit_period_us(request.provider).unwrap_or(per_us);
            let other = sent
                .iter()
                .filter(|((of, at), _)| *of != tenant && *at == request.provider)
                .find_map(|(_, list)| lately(list, request, limit_us).find(|one| !one.limited));
            let Some(other) = other else { continue };
            if u32::try_from(its_own).is_ok_and(|within| within <= self.own.count) {
                let message = format!(
                    "`{}` was refused after {} of its own within {}, and the limit had let others pass",
                    trace.text(tenant),
                    plural(its_own, "request"),
                    self.own.per
                );
                let evidence: Vec<u32> = events_of(trace, id).chain([other.seq]).collect();
                violations.push(match request.operation {
                    Some(operation) => Violation::new(trace, operation, message, evidence),
                    None => Violation::of_run(message, evidence),
                });
            }
        }
        let why_not = if disturbed {
            "a fault filled, tightened or misstated the limit, so that nobody knows for whose load it refused"
        } else {
            "the provider's limit refused no request of a tenant"
        };
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        if scenario.workload.tenants.names().len() < 2 {
            let message = format!("`{}` cannot be exercised: there are no two tenants", KIND.name);
            at.error(message, |d| {
                d.cure("name them: `tenants: {a: {operations: 50}, b: {operations: 10}}`")
            });
        } else if !scenario.providers.apis().any(|api| is_shared(api.rate_limit.as_ref())) {
            at.error(format!("`{}` cannot be exercised: tenants share no limit", KIND.name), |d| {
                d.cure("let the provider have one that all share: `rate_limit: {algorithm: fixed_window, limit: 20, per: 1s, scope: global}`")
            });
        }
    }
}

/// True for a limit that one tenant can use up for another: each has a key of its own.
fn is_shared(limit: Option<&RateLimitPolicy>) -> bool {
    limit.is_some_and(|limit| limit.scope != LimitScope::ApiKey)
}

/// What arrived in the time before a request, the request included, the latest first. Arrivals stand in the
/// order in which their bodies came, which a slow body can upset a little.
fn lately<'a>(
    sent: &[&'a Request],
    request: &Request,
    within_us: u64,
) -> impl Iterator<Item = &'a Request> {
    let since_us = request.at_us.checked_sub(within_us);
    let long_ago_us = since_us.and_then(|since_us| since_us.checked_sub(SLOW_US));
    sent.iter()
        .rev()
        .copied()
        .take_while(move |one| long_ago_us.is_none_or(|since_us| one.at_us > since_us))
        .filter(move |one| since_us.is_none_or(|since_us| one.at_us > since_us))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::verdict;

    /// Requests as `a1 b2!`: tenant, second, and whether the limit refused it.
    fn check(requests: &str) -> String {
        let lines: Vec<String> = requests
            .split(' ')
            .zip(1..)
            .map(|(one, number)| {
                let (tenant, rest) = one.split_at(1);
                let (second, is_refused) = match rest.strip_suffix('!') {
                    Some(second) => (second, true),
                    None => (rest, false),
                };
                let at_us = format!("{second}000000");
                let limited = if is_refused {
                    format!("\n{{\"at_us\":{at_us},\"event\":\"rate_limited\",\"request\":{number},\"provider\":\"provider\"}}")
                } else {
                    String::new()
                };
                format!(
                    "{{\"at_us\":{at_us},\"event\":\"request_received\",\"request\":{number},\"operation\":\"op-{number:04}\",\"tenant\":\"{tenant}\"}}{limited}"
                )
            })
            .collect();
        verdict("spares_other_tenants", &json!({"own": "2/s"}), &lines.join("\n"))
    }

    #[test]
    fn whoever_is_refused_for_its_own_load_is_no_victim() {
        assert_eq!(check("a1 a1 a1! b1"), "passed");
        assert_eq!(check("a1 a1 b1 a1!"), "passed");
    }

    #[test]
    fn whoever_is_refused_for_the_load_of_another_is() {
        assert_eq!(check("a1 a1 a1 a1 b1!"), "failed op-0005");
        assert_eq!(check("b1 b1 a3 a3 a3 b3!"), "failed op-0006", "its own were long ago");
    }

    #[test]
    fn without_a_refusal_nothing_is_exercised() {
        assert_eq!(check("a1 a1 a1 b1"), "not exercised");
    }

    #[test]
    fn what_a_fault_has_filled_proves_nothing() {
        let lines = r#"{"at_us":1,"event":"request_received","request":1,"tenant":"b"}
            {"at_us":1,"event":"fault_injected","request":1,"fault":"noisy_neighbour"}
            {"at_us":1,"event":"rate_limited","request":1,"provider":"provider"}"#;
        assert_eq!(verdict("spares_other_tenants", &json!({"own": "2/s"}), lines), "not exercised");
        let injected = r#"{"at_us":1,"event":"request_received","request":1,"tenant":"b"}
            {"at_us":1,"event":"response_sent","request":1,"status":429}"#;
        assert_eq!(
            verdict("spares_other_tenants", &json!({"own": "2/s"}), injected),
            "not exercised"
        );
    }

    #[test]
    fn whoever_filled_the_limit_alone_is_no_victim() {
        assert_eq!(check("a1 a2 a2!"), "passed");
        assert_eq!(check("b1 a3 a3!"), "passed", "what others did was long ago");
        assert_eq!(check("b1! a1 a1!"), "passed", "what was refused took nothing from the limit");
    }

    #[test]
    fn the_first_moments_count_like_all_others() {
        let at_once = r#"{"at_us":0,"event":"request_received","request":1,"tenant":"b"}
            {"at_us":1000000,"event":"request_received","request":2,"tenant":"a"}
            {"at_us":1000000,"event":"request_received","request":3,"tenant":"b"}
            {"at_us":1000000,"event":"request_received","request":4,"tenant":"b"}
            {"at_us":1000000,"event":"rate_limited","request":4,"provider":"provider"}"#;
        let verdict = |own: &str| verdict("spares_other_tenants", &json!({"own": own}), at_once);
        assert_eq!(verdict("2/s"), "failed op-0001", "the first is a second old");
        assert_eq!(verdict("1/s"), "passed");
    }
}
