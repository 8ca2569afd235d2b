//! `max_waste`: what is billed reaches the client, but for a small part.
//!
//! **Invariant:** what a gateway's repeat of a request was billed for is no waste of the client's.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::Chance;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{few_of, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::amount;
use crate::scenario::Scenario;
use crate::trace::{Effect, Name, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "max_waste",
    summary: "Of the money or tokens that are billed only a small part is for nothing.",
    headline: "were paid for in vain",
    rule: "In each unit (a currency, tokens) at most `ratio` of what is billed at the end of the run is wasted: \
           live effects of billed kinds of which no usable answer, replay or confirming read told the client, \
           and all but one of each operation, kind and subject.",
    exercised_by: "An effect of a billed kind.",
    parameters: &[("ratio", "how much of what is billed may be wasted, such as `5%`; required")],
    tolerates: "What a gateway's repeat was billed for; what was paid back.",
    cure: "Repeat a lost answer under the same idempotency key (or read it back) instead of ordering anew; \
           abort a stream that nobody reads any more; give expensive calls time enough to finish.",
    why: "Each repeat of work that is billed costs again; what nobody receives shows on the bill at the end \
          of the month.",
    faults: &["reset", "hang", "truncate", "drip", "stream"],
    without_a_fault: "",
    modes: &[],
    example: "max_waste: {ratio: 10%}",
    bare: false,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MaxWaste")]
struct Raw {
    /// How much of what is billed may be wasted.
    ratio: Chance,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(MaxWaste { ratio: raw.ratio }))
}

#[derive(Debug)]
struct MaxWaste {
    ratio: Chance,
}

impl Invariant for MaxWaste {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let mut billed = BTreeMap::<Option<Name>, i64>::new();
        let counts = |effect: &&Effect| effect.billed && effect.is_live();
        let mut exercised = 0;
        for effect in trace.effects().map(|(_, effect)| effect).filter(counts) {
            let sum = billed.entry(effect.unit).or_default();
            *sum = sum.saturating_add(effect.left());
            exercised += 1;
        }
        let mut wasted = BTreeMap::<Option<Name>, (i64, Vec<u32>)>::new();
        for effect in trace.wasted().into_iter().map(|id| trace.effect(id)) {
            if effect.by.is_client() && trace.is_settled(effect.operation) {
                let sum = wasted.entry(effect.unit).or_default();
                sum.0 = sum.0.saturating_add(effect.left());
                sum.1.push(effect.seq);
            }
        }
        let violations = wasted.iter().filter_map(|(unit, (lost, effects))| {
            let all = billed.get(unit).copied().unwrap_or(0);
            let allowed = i128::from(all) * i128::from(self.ratio.parts_per_million());
            if i128::from(*lost) * 1_000_000 <= allowed {
                return None;
            }
            let unit = unit.map_or("", |unit| trace.text(unit));
            let message = format!(
                "expected at most {} of {} to be billed in vain, found {}",
                self.ratio,
                amount(unit, all),
                amount(unit, *lost)
            );
            Some(Violation::of_run(message, few_of(effects.iter().copied())))
        });
        Judgement::new(exercised, violations.collect(), "nothing was billed")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let mut apis = scenario.providers.values().map(|provider| &provider.api);
        let bills = apis.any(|api| {
            api.routes.iter().any(|route| route.effect.as_ref().is_some_and(|effect| effect.billed))
        });
        if !bills {
            at.error(
                "`max_waste` cannot be exercised: no route of the API bills anything",
                |problem| problem.cure("leave `max_waste` out"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    /// So many charges, of which the first are told to nobody.
    fn lines(charges: u64, lost: u64) -> String {
        let one = |n| {
            let told = if n <= lost {
                String::new()
            } else {
                format!(
                    r#"{{"at_us":{n},"event":"response_sent","request":{n},"status":201,"effects":[{n}]}}"#
                )
            };
            format!(
                r#"{{"at_us":{n},"event":"request_received","request":{n},"operation":"op-{n}"}}
                {{"at_us":{n},"event":"effect_committed","request":{n},"effect":{n},"operation":"op-{n}"}}
                {told}
                "#
            )
        };
        (1..=charges).map(one).collect()
    }

    fn check(lines: &str) -> String {
        verdict("max_waste", &json!({"ratio": "10%"}), lines)
    }

    #[test]
    fn a_small_part_may_be_for_nothing() {
        assert_eq!(check(&lines(10, 1)), "passed");
        assert_eq!(check(&lines(9, 1)), "failed run");
        assert_eq!(
            message("max_waste", &json!({"ratio": "10%"}), &trace(&lines(9, 1))),
            "expected at most 10% of 179.91 USD to be billed in vain, found 19.99 USD"
        );
    }

    #[test]
    fn a_second_charge_of_one_operation_is_for_nothing() {
        let twice = lines(2, 0).replace(r#""operation":"op-2""#, r#""operation":"op-1""#);
        assert_eq!(check(&twice), "failed run");
        let undone = format!(
            "{twice}\n{}",
            r#"{"at_us":9,"event":"effect_reversed","request":2,"effect":2,"operation":"op-1"}"#
        );
        assert_eq!(check(&undone), "passed");
        let gateway = twice.replace(r#""effect":2,"#, r#""effect":2,"by":"provider","#);
        assert_eq!(check(&gateway), "passed");
    }

    #[test]
    fn what_is_not_billed_exercises_nothing() {
        let free = lines(2, 2).replace(r#""effect":"#, r#""billed":false,"effect":"#);
        assert_eq!(check(&free), "not exercised");
    }
}
