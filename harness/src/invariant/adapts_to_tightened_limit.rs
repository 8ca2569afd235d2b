//! `adapts_to_tightened_limit`: a limit that was lowered in mid-run is learnt from its refusals.
//!
//! **Invariant:** judges only what came after the time to learn, and forgives the refusals that probing
//! costs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NO_UPPER_BOUND, few_of, has_fault, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::{Name, Request, RequestId, Trace};

/// The fault that lowers a limit.
const TIGHTEN: &str = "tighten";

/// One refusal in so many requests is what finding a limit costs.
const PROBES: usize = 10;

/// So many refusals are forgiven in any case.
const FORGIVEN: usize = 2;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "adapts_to_tightened_limit",
    summary: "When the provider lowers its limit, the client soon keeps to the new one.",
    headline: "kept to a limit that was no more",
    rule: "Later than `within` after the first refusal under a lowered limit (of the tenant, of the copy of \
           the client, and of the route where each has a limit of its own), the provider's limiter refuses at \
           most one in ten of the client's requests, or two for each of these. One second is forgiven on the real \
           clock.",
    exercised_by: "A refusal under a limit that the fault `tighten` has lowered, and requests after `within`.",
    parameters: &[("within", "how long learning may take, such as `10s`; required")],
    tolerates: "Refusals before; a refusal now and then, by which a client finds out how far it may go.",
    cure: "Take the limit from the answers and not from a constant: slow down by half at each refusal, and \
           speed up little by little (additive increase, multiplicative decrease).",
    why: "Limits are lowered without a call; who keeps the old pace is refused for every request above the \
          new one.",
    faults: &["tighten"],
    without_a_fault: "",
    modes: &[BOUNDS_TIME],
    example: "adapts_to_tightened_limit: {within: 10s}",
    bare: false,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AdaptsToTightenedLimit")]
struct Raw {
    /// How long learning may take.
    within: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(AdaptsToTightenedLimit { within_us: raw.within.micros() }))
}

#[derive(Debug)]
struct AdaptsToTightenedLimit {
    within_us: u64,
}

impl Invariant for AdaptsToTightenedLimit {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let tighten = trace.name(TIGHTEN);
        // Each lowering is learned anew.
        let lowered = |id: RequestId| -> Vec<Name> {
            let strikes = trace.strikes_at(id).iter();
            strikes.filter(|one| Some(one.fault) == tighten).map(|one| one.rule).collect()
        };
        let why_not =
            "no request was refused under a lowered limit, with others after the time to learn";
        let time_us =
            self.within_us.saturating_add(trace.upper_slack_us().max(trace.reaction_us()));
        // By whom the limit may be counted, and when each was first refused.
        let mut firsts = BTreeMap::<(Vec<Name>, Who), &Request>::new();
        // Each with the first refusal that it should have learned from.
        let mut later: Vec<(&Request, &Request)> = Vec::new();
        for (id, one) in trace.requests().filter(|(_, one)| one.by.is_client()) {
            let rules = lowered(id);
            if rules.is_empty() {
                continue;
            }
            match firsts.entry((rules, who(trace, one))) {
                Entry::Occupied(first) => {
                    if one.at_us > first.get().at_us.saturating_add(time_us) {
                        later.push((one, first.get()));
                    }
                }
                Entry::Vacant(place) if one.limited => {
                    place.insert(one);
                }
                Entry::Vacant(_) => {}
            }
        }
        let refused: Vec<_> = later.iter().copied().filter(|(one, _)| one.limited).collect();
        let forgiven = FORGIVEN.saturating_mul(firsts.len().max(1));
        let is_wrong = refused.len() > forgiven && refused.len() * PROBES > later.len();
        let violation = is_wrong.then(|| {
            let message = format!(
                "later than {} after the first refusal under the lowered limit expected at most one refusal \
                 in {PROBES} requests, found {} in {}",
                in_words(self.within_us),
                refused.len(),
                plural(later.len(), "request")
            );
            let first = refused.first().map(|(_, first)| first.seq);
            let proof = first.into_iter().chain(refused.iter().map(|(one, _)| one.seq));
            Violation::of_run(message, few_of(proof))
        });
        Judgement::new(later.len(), violation.into_iter().collect(), why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        has_fault(scenario, at, (KIND.name, TIGHTEN), "inject: {tighten: {limit: 2, after: 30s}}");
    }
}

/// Who learns of a limit by its own refusals: provider, tenant, route where each has a limit of its own, and copy
/// of the client.
type Who = (Name, Option<Name>, Option<Name>, u32);

fn who(trace: &Trace, request: &Request) -> Who {
    let scope = trace.policy(request.provider, "/rate_limit/scope").and_then(Value::as_str);
    let route = request.route.filter(|_| scope == Some("route"));
    (request.provider, request.tenant, route, trace.copy_of(request))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "adapts_to_tightened_limit";

    /// A request a second under a lowered limit, the first refused and then every so many.
    fn lines(every: usize) -> String {
        let one = |n: usize| {
            let at = (n + 1) * 1_000_000;
            let limited = if n == 0 || (n > 10 && n.is_multiple_of(every)) {
                format!(r#"{{"at_us":{at},"event":"rate_limited","request":{n}}}"#)
            } else {
                String::new()
            };
            format!(
                r#"{{"at_us":{at},"event":"request_received","request":{n}}}
                {{"at_us":{at},"event":"fault_injected","request":{n},"fault":"tighten"}}
                {limited}
                "#
            )
        };
        (0..111).map(one).collect()
    }

    fn check(every: usize) -> String {
        verdict(NAME, &json!({"within": "10s"}), &lines(every))
    }

    #[test]
    fn refusals_become_rare() {
        assert_eq!(check(1_000), "passed");
        assert_eq!(check(10), "passed", "a tenth is what probing costs");
        assert_eq!(check(9), "failed run");
        assert_eq!(
            message(NAME, &json!({"within": "10s"}), &trace(&lines(2))),
            "later than 10 s after the first refusal under the lowered limit expected at most one refusal in \
             10 requests, found 50 in 100 requests"
        );
        assert_eq!(verdict(NAME, &json!({"within": "2m"}), &lines(2)), "not exercised");
    }

    #[test]
    fn what_is_lowered_again_is_learned_again() {
        let refused = |n: usize, rule: &str| {
            format!(
                r#"{{"at_us":{at},"event":"request_received","request":{n}}}
                {{"at_us":{at},"event":"fault_injected","request":{n},"fault":"tighten","rule":"{rule}"}}
                {{"at_us":{at},"event":"rate_limited","request":{n}}}
                "#,
                at = (n + 1) * 1_000_000
            )
        };
        let then = |rule: &str| (20..24).map(|n| refused(n, rule)).collect::<String>();
        let check = |rule: &str| {
            let lines = format!("{}{}", refused(0, "first"), then(rule));
            verdict(NAME, &json!({"within": "10s"}), &lines)
        };
        assert_eq!(check("first"), "failed run");
        assert_eq!(check("second"), "not exercised");
    }

    #[test]
    fn without_a_lowered_limit_nothing_is_exercised() {
        let usual = lines(2).replace("tighten", "latency");
        assert_eq!(verdict(NAME, &json!({"within": "10s"}), &usual), "not exercised");
    }

    #[test]
    fn each_tenant_learns_by_its_own_refusals() {
        let a = lines(1_000)
            .replace(r#""event":"request_received""#, r#""event":"request_received","tenant":"a""#);
        let late: String = (0..4)
            .map(|n| {
                format!(
                    r#"{{"at_us":{at},"event":"request_received","request":{n},"tenant":"b"}}
                    {{"at_us":{at},"event":"fault_injected","request":{n},"fault":"tighten"}}
                    {{"at_us":{at},"event":"rate_limited","request":{n}}}
                    "#,
                    at = 200_000_000 + n * 1_000_000,
                    n = 500 + n,
                )
            })
            .collect();
        let few = a.lines().take(40).collect::<Vec<_>>().join("\n");
        assert_eq!(verdict(NAME, &json!({"within": "10s"}), &format!("{few}\n{late}")), "passed");
        let same = late.replace(r#""tenant":"b""#, r#""tenant":"a""#);
        assert_eq!(
            verdict(NAME, &json!({"within": "10s"}), &format!("{few}\n{same}")),
            "failed run"
        );
    }
}
