//! `backs_off`: waits grow from attempt to attempt.
//!
//! **Invariant:** what chance may do, chance is taken to have done: a client is accused only if one that
//! backs off with full jitter would look so less than once in a billion runs.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};

use super::binomial::{Odds, fewest_trials, is_rarer};
use super::reach::fails_no_two_in_a_row;
use super::support::{few_of, needs_failure, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{RequestId, Trace};

/// By how much waits grow, in thousandths, unless the scenario says otherwise.
const FACTOR_MILLI: u64 = 2_000;

/// So many waits of a chain are looked at, unless the scenario says otherwise.
const WAITS: u32 = 3;

/// In at least this share of their pairs waits grow that are drawn from the first one to three times the wait
/// before (decorrelated jitter), whatever that was. Among their first three waits more of them grow.
const DECORRELATED: Odds = Odds { of: 19, among: 30 };

/// Whoever asks for waits that grow by more than this does not mean decorrelated jitter.
const DECORRELATED_MILLI: u64 = 3_000;

/// A wait that is shorter says nothing about the next.
const SHORTEST_US: u64 = 1_000;

/// An honest client looks so bad less than once in so many runs.
const ONE_IN: u64 = 1_000_000_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "backs_off",
    summary: "The waits between attempts grow.",
    headline: "were retried at a rate that never slowed down",
    rule: "Of the neighbouring waits of one operation, submit, provider and route, among its first `waits`, \
           so many grow (the later is at least 1.1 times the earlier) that a client whose waits grow by \
           `factor` with full jitter would do worse at least once in a billion runs: such a client grows \
           in a share of 1 - 1.1 / (2 * `factor`) of its pairs (where more than three waits are looked at, and \
           `factor` is at most 3, in 19 of 30 at most, as with decorrelated jitter), and the binomial tail is worked out in \
           integers. Of two waits the first counts from the end of the answer (or of the connection) \
           and the second from its head, whichever way the client reads. Waits with a hint, across a restart, from `cap` on, and pairs whose first wait is at \
           most 1 ms do not count.",
    exercised_by: "With the usual `factor`, 17 pairs of neighbouring waits: a fixed delay is seen then, a \
                   jittered constant with about 120; where more than three waits are looked at 21 pairs.",
    parameters: &[
        ("factor", "by how much waits grow, above 1 and at most 1000, such as `1.5`; default 2"),
        ("waits", "how many waits of an operation are looked at, at least 2; default 3"),
        ("cap", "waits of this length and above are not judged; default all are"),
    ],
    tolerates: "Any jitter, down to none of the growth in a single operation; waits that a hint set; a \
                client that starts again from the beginning after a restart; repeats that the HTTP stack \
                makes by itself.",
    cure: "Multiply the wait by two after each failure, up to a cap, and draw the actual wait at random \
           from zero to that (full jitter).",
    why: "At a steady rate the same load comes back for as long as the outage lasts, and leaves no room to \
          recover in.",
    faults: &["status", "reset", "close", "malformed"],
    without_a_fault: "",
    modes: &[],
    example: "backs_off: {factor: 1.5, waits: 4, cap: 20s}",
    bare: true,
    needs_identity: true,
    needs_separation: false,
    needs_one_client: false,
    schema: schema::<Raw>,
    parse,
};

/// The parameters as they stand in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BacksOff")]
struct Raw {
    /// By how much waits grow.
    #[schemars(with = "Option<f64>", range(min = 1, max = 1000))]
    factor: Option<Number>,
    /// How many waits of an operation are looked at.
    #[schemars(range(min = 2))]
    waits: Option<u32>,
    /// Waits of this length and above are not judged.
    cap: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let factor_milli = match raw.factor.as_ref().map(|number| thousandths(&number.to_string())) {
        None => FACTOR_MILLI,
        Some(Some(milli)) if (1_001..=1_000_000).contains(&milli) => milli,
        Some(_) => {
            at.key("factor").error("no wait grows by this factor", |problem| {
                problem.cure("use a number above 1 and at most 1000, with at most three decimals")
            });
            return None;
        }
    };
    let waits = length_of_waits(raw.waits.unwrap_or(WAITS));
    if waits < 2 {
        at.key("waits")
            .error("fewer than 2 waits cannot grow", |problem| problem.cure("use at least 2"));
        return None;
    }
    Some(Arc::new(BacksOff { factor_milli, waits, cap_us: raw.cap.map(Period::micros) }))
}

/// A decimal number in thousandths.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let decimals: u64 = format!("{decimals:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(decimals)
}

#[derive(Debug)]
struct BacksOff {
    factor_milli: u64,
    waits: usize,
    cap_us: Option<u64>,
}

/// Two neighbouring waits: how long the first was at least and the second at most, and the request that ended
/// the second.
struct Pair {
    earlier_us: u64,
    later_us: u64,
    ended_by: RequestId,
}

impl Pair {
    fn grows(&self) -> bool {
        u128::from(self.later_us) * 10 >= u128::from(self.earlier_us) * 11
    }
}

impl Invariant for BacksOff {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let pairs: Vec<Pair> = trace.chains().flat_map(|chain| self.pairs(trace, &chain)).collect();
        let (number, chance) = (length(pairs.len()), self.chance());
        let needed = fewest_trials(chance, ONE_IN);
        if number < needed {
            let why = format!(
                "{number} pairs of neighbouring waits without a hint were seen, and it takes {needed}"
            );
            return Judgement::new(0, Vec::new(), &why);
        }
        let grown = length(pairs.iter().filter(|pair| pair.grows()).count());
        let violation =
            is_rarer(grown, number, chance, ONE_IN).then(|| self.violation(trace, &pairs, grown));
        Judgement::new(pairs.len(), violation.into_iter().collect(), "")
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let most = scenario.workload.operations.saturating_mul(length(self.waits - 1));
        let needed = fewest_trials(self.chance(), ONE_IN);
        if !needs_failure(scenario, at, KIND.name) {
            return;
        }
        if fails_no_two_in_a_row(scenario) {
            let why = "no rule of this scenario strikes two attempts in a row, so no operation waits twice";
            let fault = "when: {attempt: {to: 3}}, inject: {status: {code: 503}}";
            unlikely(at, KIND.name, why, fault);
        } else if most < needed {
            at.note(
                format!(
                    "`backs_off` needs {needed} pairs of waits, and so few operations give {most}"
                ),
                |problem| problem.cure("raise `operations` of the workload, or `waits`"),
            );
        }
    }
}

impl BacksOff {
    /// In which share of its pairs a client grows whose waits are drawn from zero to something that
    /// grows by the factor, or from the first wait to three times the last one if that is less.
    fn chance(&self) -> Odds {
        let among = 20 * self.factor_milli;
        let full = Odds { of: among - 11_000, among };
        let is_more = full.of * DECORRELATED.among > DECORRELATED.of * full.among;
        let may_be_it =
            self.waits > length_of_waits(WAITS) && self.factor_milli <= DECORRELATED_MILLI;
        if may_be_it && is_more { DECORRELATED } else { full }
    }

    /// The pairs of neighbouring waits in a chain.
    fn pairs(&self, trace: &Trace, chain: &[RequestId]) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for row in trace.rows(chain) {
            let waits: Vec<(Option<Wait>, RequestId)> = row
                .windows(2)
                .take(self.waits)
                .map(|pair| (own_wait(trace, pair[0], pair[1]), pair[1]))
                .collect();
            for two in waits.windows(2) {
                let ((Some(earlier), _), (Some(later), ended_by)) = (two[0], two[1]) else {
                    continue;
                };
                let is_capped = self
                    .cap_us
                    .is_some_and(|cap| earlier.at_most_us >= cap || later.at_most_us >= cap);
                if earlier.at_least_us > SHORTEST_US && !is_capped {
                    let (earlier_us, later_us) = (earlier.at_least_us, later.at_most_us);
                    pairs.push(Pair { earlier_us, later_us, ended_by });
                }
            }
        }
        pairs
    }

    fn violation(&self, trace: &Trace, pairs: &[Pair], grown: u64) -> Violation {
        let number = pairs.len();
        let steady = || pairs.iter().filter(|pair| !pair.grows());
        let example = steady().next().map_or(String::new(), |pair| {
            format!(
                ", such as {} and then {} before {}",
                in_words(pair.earlier_us),
                in_words(pair.later_us),
                trace.request_in_words(trace.request(pair.ended_by))
            )
        });
        let chance = self.chance();
        let message = format!(
            "expected the wait to grow in about {} of {number} pairs of neighbouring waits, found it growing \
             in {grown}{example}; jitter would do that less than once in a billion runs",
            u128::from(chance.of) * u128::from(length(number)) / u128::from(chance.among),
        );
        Violation::of_run(message, few_of(steady().map(|pair| trace.request(pair.ended_by).seq)))
    }
}

/// How long a client waited: from the latest and from the earliest moment from which it can have done so. It may
/// act on the head of an answer or read it to the end, and of a connection that the provider ends without an
/// answer it hears by that alone.
#[derive(Clone, Copy)]
struct Wait {
    at_least_us: u64,
    at_most_us: u64,
}

/// How long the client waited of its own will before it tried again; `None` where something else set the
/// wait, or it was none.
fn own_wait(trace: &Trace, before: RequestId, next: RequestId) -> Option<Wait> {
    let (failed, request) = (trace.request(before), trace.request(next));
    let knew =
        matches!(trace.fate_at(before, request.at_us), Some(Fate::Rejected | Fate::Ambiguous));
    let is_direct = trace.previous(next) == Some(before);
    let hinted = !trace.hints(before).is_empty();
    let restarted = trace.restarted_between(request.operation?, failed.at_us, request.at_us);
    (knew && is_direct && !hinted && !restarted).then(|| {
        let at_most_us = trace.waited_us(before, next);
        let over_us = trace.over_at_us(before).filter(|over_us| *over_us <= request.at_us);
        let at_least_us = over_us.map_or(at_most_us, |over_us| request.at_us - over_us);
        Wait { at_least_us: at_least_us.min(at_most_us), at_most_us }
    })
}

fn length_of_waits(waits: u32) -> usize {
    usize::try_from(waits).unwrap_or(usize::MAX)
}

fn length(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use brownout_provider::coordinates::Coordinates;
    use brownout_provider::document::Diagnostics;
    use brownout_provider::seed::{Draw, RuleKey, Seed};
    use serde_json::{Value, json};

    use crate::invariant::testing::{message, verdict};
    use crate::trace::testing::trace;

    const NAME: &str = "backs_off";

    /// So many operations, each with attempts that all fail at once, after these waits.
    fn lines(operations: u64, waits: &[u64], answer: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        for n in 1..=operations {
            let mut at = n * 1_000_000_000;
            for (index, wait) in [0].iter().chain(waits).enumerate() {
                at += wait;
                let (attempt, request) = (index + 1, n * 100 + u64::try_from(index).unwrap());
                lines.push(format!(
                    r#"{{"at_us":{at},"event":"request_received","request":{request},"attempt":{attempt},"operation":"op-{n:04}"}}
                    {{"at_us":{at},"event":"response_sent","request":{request},{answer}}}
                    "#
                ));
            }
        }
        lines.join(
            "
",
        )
    }

    const BUSY: &str = r#""status":503"#;

    fn check(operations: u64, waits: &[u64]) -> String {
        verdict(NAME, &Value::Null, &lines(operations, waits, BUSY))
    }

    #[test]
    fn a_fixed_delay_is_accused_as_soon_as_there_are_seventeen_pairs() {
        assert_eq!(check(8, &[500_000; 3]), "not exercised", "16 pairs");
        assert_eq!(check(9, &[500_000; 3]), "failed run");
        assert_eq!(
            message(NAME, &Value::Null, &trace(&lines(9, &[500_000; 3], BUSY))),
            "expected the wait to grow in about 13 of 18 pairs of neighbouring waits, found it growing in \
             0, such as 0.5 s and then 0.5 s before attempt 3 of `create_charge`; jitter would do \
             that less than once in a billion runs"
        );
    }

    #[test]
    fn waits_that_grow_pass_whatever_comes_later() {
        assert_eq!(check(9, &[500_000, 1_000_000, 2_000_000, 1_000, 1_000, 1_000]), "passed");
        assert_eq!(check(9, &[500_000, 550_000, 605_000]), "passed", "a tenth is growth");
        assert_eq!(check(9, &[500_000, 549_999, 604_000]), "failed run");
    }

    #[test]
    fn growth_in_some_pairs_may_be_jitter() {
        let grown = lines(6, &[100_000, 200_000, 400_000], BUSY);
        let steady = lines(9, &[500_000; 3], BUSY).replace("op-000", "op-100");
        let request = |text: &str| text.replace(r#""request":"#, r#""request":9"#);
        let some = format!("{grown}\n{}", request(&steady));
        assert_eq!(verdict(NAME, &Value::Null, &some), "passed", "12 of 30 grow");
    }

    /// So many operations of eleven attempts whose waits are drawn one after the other.
    fn drawn(operations: u64, next: impl Fn(&mut Draw, u64) -> u64) -> String {
        let key = RuleKey::new(Seed::new(2_026).expect("small"), "waits");
        let mut all = String::new();
        for n in 1..=operations {
            let at = Coordinates {
                provider: "provider",
                route: "create_charge",
                operation: &format!("op-{n}"),
                submit: 1,
                attempt: 1,
            };
            let (mut draw, mut wait, mut waits) = (key.draw(&at), 500_000, Vec::new());
            for _ in 0..10 {
                wait = next(&mut draw, wait);
                waits.push(wait);
            }
            let one = lines(1, &waits, BUSY).replace("op-0001", &format!("op-{n}"));
            all.push_str(&one.replace(r#""request":1"#, &format!(r#""request":{n}"#)));
        }
        all
    }

    #[test]
    fn decorrelated_jitter_is_not_accused_however_much_is_seen_of_it_and_a_jittered_constant_is() {
        let decorrelated = drawn(1_600, |draw, wait| 500_000 + draw.below(3 * wait - 500_000 + 1));
        for waits in [3, 10] {
            let said = verdict(NAME, &json!({"waits": waits}), &decorrelated);
            assert_eq!(said, "passed", "{waits} waits");
        }
        let constant = drawn(200, |draw, _| 1 + draw.below(1_000_000));
        for waits in [3, 10] {
            let said = verdict(NAME, &json!({"waits": waits}), &constant);
            assert_eq!(said, "failed run", "{waits} waits");
        }
    }

    #[test]
    fn hinted_waits_a_cap_and_tiny_waits_do_not_count() {
        let hinted =
            format!(r#"{BUSY},"hints":[{{"source":"retry-after","text":"1","wait_us":1000000}}]"#);
        let hinted = lines(20, &[1_000_000; 3], &hinted);
        assert_eq!(verdict(NAME, &Value::Null, &hinted), "not exercised");
        let steady = lines(20, &[500_000; 3], BUSY);
        assert_eq!(verdict(NAME, &json!({"cap": "500ms"}), &steady), "not exercised");
        assert_eq!(verdict(NAME, &json!({"cap": "501ms"}), &steady), "failed run");
        assert_eq!(check(20, &[1_000; 3]), "not exercised", "a tight loop is another matter");
        assert_eq!(check(20, &[1_001; 3]), "failed run");
    }

    #[test]
    fn polls_and_restarts_give_no_pairs() {
        assert_eq!(
            verdict(NAME, &Value::Null, &lines(20, &[500_000; 3], r#""status":200"#)),
            "not exercised"
        );
        let restarts: String = (1..=20)
            .map(|n| {
                format!(
                    r#"{{"at_us":{n}000700000,"event":"client_started","operation":"op-{n:04}"}}
                    {{"at_us":{n}001200000,"event":"client_started","operation":"op-{n:04}"}}
                    "#
                )
            })
            .collect();
        let lines = format!("{}{restarts}", lines(20, &[500_000; 3], BUSY));
        assert_eq!(verdict(NAME, &Value::Null, &lines), "not exercised");
    }

    #[test]
    fn a_smaller_factor_asks_for_less() {
        // A wait that grows in every other pair.
        let lines = lines(20, &[100_000, 200_000, 100_000, 200_000, 100_000], BUSY);
        let with = |factor: Value| verdict(NAME, &json!({"factor": factor, "waits": 5}), &lines);
        assert_eq!(with(json!(1000)), "failed run");
        assert_eq!(with(json!(1.1)), "passed");
    }

    #[test]
    fn factors_that_do_not_grow_are_refused() {
        for factor in [json!(1), json!(0), json!(-2), json!(1.0005), json!(1001), json!(1e9)] {
            let problems = Diagnostics::new();
            let kind = crate::invariant::registry::find(NAME).unwrap();
            let _ = (kind.parse)(&json!({"factor": factor}), &problems.root());
            assert!(problems.has_errors(), "{factor}");
        }
    }

    /// An attempt that ends after 2 s, and is followed by two that are refused at once.
    fn slow_at_first(end: &str, waits: [u64; 2]) -> String {
        (1..=24)
            .map(|n| {
                let at = n * 1_000_000_000;
                let ended = at + 2_000_000;
                let second = ended + waits[0];
                let third = second + waits[1];
                let end = end.replace("HEAD", &at.to_string());
                format!(
                    r#"{{"at_us":{at},"event":"request_received","request":{n}1,"operation":"op-{n}"}}
                    {{"at_us":{ended},"request":{n}1,{end}}}
                    {{"at_us":{second},"event":"request_received","request":{n}2,"attempt":2,"operation":"op-{n}"}}
                    {{"at_us":{second},"event":"response_sent","request":{n}2,"status":503}}
                    {{"at_us":{third},"event":"request_received","request":{n}3,"attempt":3,"operation":"op-{n}"}}
                    "#
                )
            })
            .collect()
    }

    #[test]
    fn what_the_provider_took_is_no_part_of_a_wait_that_should_be_the_shorter_one() {
        for end in [
            r#""event":"connection_ended","by":"provider","how":"rst""#,
            r#""event":"response_sent","status":503,"head_at_us":HEAD"#,
            r#""event":"response_sent","status":201,"head_at_us":HEAD,"complete":false,"unusable":"cut""#,
        ] {
            let grows = slow_at_first(end, [200_000, 400_000]);
            assert_eq!(verdict(NAME, &Value::Null, &grows), "passed", "{end}");
            let fixed = slow_at_first(end, [200_000, 200_000]);
            assert_eq!(verdict(NAME, &Value::Null, &fixed), "failed run", "{end}");
        }
    }
}
