//! `eases_off_during_outage`: a provider that answers nobody is left alone.
//!
//! **Invariant:** counts only what arrived when the client had had the time to notice, and only inside an
//! outage.

use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::reach::only_refuses_for_good;
use super::support::{events_of, few_of, needs_outage, schema, unlikely};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::outage::Outage;
use crate::trace::retries::{Permanent, Spell};
use crate::trace::{Request, RequestId, Trace};

/// So many failures in a row, unless the scenario says otherwise.
const TRIP: u32 = 5;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "eases_off_during_outage",
    summary: "While nothing works the client sends no more than a probe now and then.",
    headline: "were sent into an outage",
    rule: "After `trip` failures in a row during an outage, and the reaction time (250 ms on the real clock), \
           at most `requests` requests of a copy of the client arrive in any `per` until the first success or \
           the outage's end; \
           with `single_probe: true` also never two at once.",
    exercised_by: "An outage (a rule with an ending, `during` or `operation: {from, to}`, and no `chance`) with \
                   `trip` failures in a row.",
    parameters: &[
        ("requests", "how many requests in any `per`, at least 1; required"),
        ("per", "the length of the sliding window, such as `10s`; required"),
        ("trip", "so many failures in a row open a breaker, at least 1; default 5"),
        ("single_probe", "true: never two requests at once; default false"),
    ],
    tolerates: "What was on its way when the client noticed; permanent answers, which are no outage; requests \
                to other providers, of other tenants, and to other routes where the rule names one.",
    cure: "Put a circuit breaker in front of the provider, shared by all operations: after some failures in \
           a row it refuses at once, and lets a single probe through after a while.",
    why: "A provider that is down cannot come up under full load, and each request to it is waited for in \
          vain.",
    faults: &["status", "reset", "close", "hang", "ban"],
    without_a_fault: "",
    modes: &[],
    example: "eases_off_during_outage: {requests: 2, per: 5s, trip: 5}",
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
#[schemars(rename = "EasesOffDuringOutage")]
struct Raw {
    /// How many requests in any window.
    #[schemars(range(min = 1))]
    requests: u32,
    /// The length of the sliding window.
    per: Period,
    /// So many failures in a row open a breaker.
    #[schemars(range(min = 1))]
    trip: Option<u32>,
    /// True: never two requests at once.
    single_probe: Option<bool>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    let trip = raw.trip.unwrap_or(TRIP);
    for (key, is_zero) in [("requests", raw.requests == 0), ("trip", trip == 0)] {
        if is_zero {
            at.key(key).error(format!("`{key}` is 0, and no client could hold that"), |problem| {
                problem.cure("use at least 1")
            });
            return None;
        }
    }
    Some(Arc::new(EasesOffDuringOutage {
        requests: usize::try_from(raw.requests).unwrap_or(usize::MAX),
        per_us: raw.per.micros(),
        trip,
        single_probe: raw.single_probe.unwrap_or(false),
    }))
}

#[derive(Debug)]
struct EasesOffDuringOutage {
    requests: usize,
    per_us: u64,
    trip: u32,
    single_probe: bool,
}

impl Invariant for EasesOffDuringOutage {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        let (mut exercised, mut violations) = (0, Vec::new());
        let outages = trace.outages();
        let copies = || 1..=trace.copies();
        for (outage, copy) in outages.iter().flat_map(|one| copies().map(move |copy| (one, copy))) {
            let spells = trace.spells(self.trip, Permanent::EndsRow, row(trace, outage, copy));
            let ends_us = outage.to_us.unwrap_or(u64::MAX);
            let within = |spell: &&Spell| (outage.from_us..ends_us).contains(&spell.from_us);
            let spells: Vec<&Spell> = spells.iter().filter(within).collect();
            exercised += spells.len();
            let mut about: Vec<(u64, RequestId)> = trace
                .requests()
                .filter(|(_, request)| is_its(trace, outage, copy, request))
                .map(|(id, request)| (request.at_us, id))
                .collect();
            about.sort_unstable();
            let mut of_spells =
                spells.iter().map(|spell| (spell, within_spell(trace, outage, spell)));
            violations.extend(of_spells.find_map(|(spell, (from_us, to_us))| {
                let first = about.partition_point(|(at_us, _)| *at_us <= from_us);
                let after = about[first..].iter().take_while(|(at_us, _)| *at_us < to_us);
                let probes: Vec<RequestId> = after.map(|(_, id)| *id).collect();
                self.judge(trace, spell, &probes)
            }));
        }
        let why_not = format!("no outage with {} failures in a row was met", self.trip);
        Judgement::new(exercised, violations, &why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_outage(scenario, at, KIND.name);
        if only_refuses_for_good(scenario) {
            let why = "it goes by requests that fail at the provider, and where connections are refused there are \
                       none, while a permanent answer ends a row of failures";
            let fault = "when: {during: {from: 5s, to: 20s}}, inject: {status: {code: 503}}";
            unlikely(at, KIND.name, why, fault);
        }
    }
}

/// True for a request of this copy of the client that the outage is about.
fn is_its(trace: &Trace, outage: &Outage, copy: u32, request: &Request) -> bool {
    outage.is_about(request) && trace.copy_of(request) == copy
}

/// What a breaker may go by: the failures that the outage is about, and every success at the provider, for
/// nobody can know whether there is a breaker for each tenant and route or one for all. Each copy of the client
/// has breakers of its own.
fn row(trace: &Trace, outage: &Outage, copy: u32) -> Vec<RequestId> {
    let is_there = |request: &Request| {
        // What failed before may have been another outage's, which is over for this one.
        request.at_us >= outage.from_us
            && request.by.is_client()
            && outage.provider.is_none_or(|one| one == request.provider)
    };
    trace
        .requests()
        .filter(|(_, request)| is_there(request))
        .filter(|(id, request)| {
            is_its(trace, outage, copy, request) || trace.ends_row(*id, Permanent::EndsRow)
        })
        .map(|(id, _)| id)
        .collect()
}

/// The moments between which a request was sent although the client knew: after the first, before the second.
fn within_spell(trace: &Trace, outage: &Outage, spell: &Spell) -> (u64, u64) {
    let from_us = spell.from_us.saturating_add(trace.reaction_us());
    (from_us, spell.to_us.min(outage.to_us.unwrap_or(u64::MAX)))
}

impl EasesOffDuringOutage {
    fn judge(&self, trace: &Trace, spell: &Spell, probes: &[RequestId]) -> Option<Violation> {
        let (message, evidence) =
            self.crowded(trace, probes).or_else(|| self.together(trace, probes))?;
        let noticed = events_of(trace, spell.last);
        let evidence = noticed.chain(evidence.iter().map(|id| trace.request(*id).seq));
        let message = format!("after {} in a row {message}", plural(self.failures(), "failure"));
        Some(Violation::of_run(message, few_of(evidence)))
    }

    fn failures(&self) -> usize {
        usize::try_from(self.trip).unwrap_or(usize::MAX)
    }

    /// The window with the most requests, if they are too many.
    fn crowded(&self, trace: &Trace, probes: &[RequestId]) -> Option<(String, Vec<RequestId>)> {
        let mut from = 0;
        let mut most = 0..0;
        for (to, id) in probes.iter().enumerate() {
            let at_us = trace.request(*id).at_us;
            // A window is open at one end: who sends one request each window is never in it twice.
            while trace.request(probes[from]).at_us.saturating_add(self.lenient_us(trace)) <= at_us
            {
                from += 1;
            }
            if to + 1 - from > most.len() {
                most = from..to + 1;
            }
        }
        (most.len() > self.requests).then(|| {
            let message = format!(
                "expected at most {} in any {} while nothing works, found {}",
                plural(self.requests, "request"),
                in_words(self.per_us),
                most.len()
            );
            (message, probes[most].to_vec())
        })
    }

    /// The window, less what timers of real runtimes are early.
    fn lenient_us(&self, trace: &Trace) -> u64 {
        self.per_us.saturating_sub(trace.slack_us())
    }

    /// Two requests at once, where there may be only one.
    fn together(&self, trace: &Trace, probes: &[RequestId]) -> Option<(String, Vec<RequestId>)> {
        if !self.single_probe {
            return None;
        }
        let pair = probes.windows(2).find(|pair| {
            let over_us = trace.known_at_us(pair[0]).unwrap_or(u64::MAX);
            over_us.saturating_sub(trace.reaction_us()) > trace.request(pair[1]).at_us
        })?;
        let message = "expected a single probe at a time while nothing works, found two".to_owned();
        Some((message, pair.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message};
    use crate::trace::testing::trace_with;

    const NAME: &str = "eases_off_during_outage";

    /// Requests at these milliseconds, of which those in an outage from 1 s to 60 s fail at once.
    fn lines(arrivals_ms: &[u64]) -> String {
        let mut lines: Vec<String> = Vec::new();
        for (index, ms) in arrivals_ms.iter().enumerate() {
            let fails = (1_000..60_000).contains(ms);
            let (at, status) = (ms * 1_000, if fails { 503 } else { 201 });
            lines.push(format!(
                r#"{{"at_us":{at},"event":"request_received","request":{index},"operation":"op-{index}"}}
                {{"at_us":{at},"event":"response_sent","request":{index},"status":{status}}}
                "#
            ));
            if fails {
                lines.push(format!(
                    r#"{{"at_us":{at},"event":"fault_injected","request":{index},"rule":"outage"}}
                    "#
                ));
            }
        }
        lines.join(
            "
",
        )
    }

    fn run(clock: &str) -> Value {
        let rule = json!({
            "name": "outage",
            "when": {"during": {"from": "1s", "to": "60s"}},
            "inject": {"status": {"code": 503}},
        });
        json!({"clock": clock, "scenario": {"faults": [rule]}})
    }

    fn check_on(clock: &str, parameters: &Value, arrivals_ms: &[u64]) -> String {
        let trace = trace_with(&run(clock), &lines(arrivals_ms));
        in_short(&invariant(NAME, parameters).check(&trace))
    }

    fn check(arrivals_ms: &[u64]) -> String {
        check_on("virtual", &json!({"requests": 2, "per": "5s"}), arrivals_ms)
    }

    const TRIPPED: [u64; 6] = [0, 1_000, 1_001, 1_002, 1_003, 1_004];

    #[test]
    fn after_so_many_failures_only_probes_are_sent() {
        let with = |more: &[u64]| check(&[&TRIPPED[..], more].concat());
        assert_eq!(with(&[6_004, 11_004, 16_004]), "passed");
        assert_eq!(with(&[6_004, 7_000]), "passed");
        assert_eq!(with(&[6_004, 7_000, 11_003]), "failed run");
        assert_eq!(with(&[6_004, 7_000, 11_004]), "passed", "the window is over");
        let trace =
            trace_with(&run("virtual"), &lines(&[&TRIPPED[..], &[2_000, 2_001, 2_002]].concat()));
        assert_eq!(
            message(NAME, &json!({"requests": 2, "per": "5s"}), &trace),
            "after 5 failures in a row expected at most 2 requests in any 5 s while nothing works, found 3"
        );
    }

    #[test]
    fn failures_before_an_outage_leave_it_its_own_row() {
        let early = |more: &[u64]| {
            let arrivals: Vec<u64> = (1_000..1_010).chain(more.iter().copied()).collect();
            let before: Vec<String> = (0..9)
                .map(|n| {
                    format!(
                        r#"{{"at_us":{n},"event":"request_received","request":{0},"operation":"op-{0}"}}
                        {{"at_us":{n},"event":"response_sent","request":{0},"status":503}}"#,
                        n + 900
                    )
                })
                .collect();
            let text = format!("{}\n{}", before.join("\n"), lines(&arrivals));
            let parameters = json!({"requests": 2, "per": "5s"});
            in_short(&invariant(NAME, &parameters).check(&trace_with(&run("virtual"), &text)))
        };
        assert_eq!(early(&[]), "failed run", "it goes on after five");
    }

    #[test]
    fn fewer_failures_and_fair_weather_exercise_nothing() {
        assert_eq!(check(&TRIPPED[..5]), "not exercised");
        assert_eq!(check(&[0, 100, 200]), "not exercised");
    }

    #[test]
    fn after_the_outage_and_the_first_success_nothing_is_counted() {
        let after: Vec<u64> = (60_000..60_050).collect();
        assert_eq!(check(&[&TRIPPED[..], &after].concat()), "passed");
    }

    #[test]
    fn what_was_on_its_way_is_not_counted_on_the_real_clock() {
        let soon = [&TRIPPED[..], &[1_100, 1_200, 1_254]].concat();
        let parameters = json!({"requests": 2, "per": "5s"});
        assert_eq!(check_on("real", &parameters, &soon), "passed");
        assert_eq!(check_on("virtual", &parameters, &soon), "failed run");
    }

    #[test]
    fn a_single_probe_is_never_two() {
        let slow = |over_ms: u64| {
            let lines = format!(
                r#"{}{{"at_us":9000000,"event":"request_received","request":90}}
                {{"at_us":{over_ms}000,"event":"response_sent","request":90,"status":503}}
                {{"at_us":9500000,"event":"request_received","request":91}}"#,
                lines(&TRIPPED)
            );
            let single = json!({"requests": 9, "per": "5s", "single_probe": true});
            in_short(&invariant(NAME, &single).check(&trace_with(&run("virtual"), &lines)))
        };
        assert_eq!(slow(9_500), "passed");
        assert_eq!(slow(9_501), "failed run");
    }

    #[test]
    fn the_outage_of_one_tenant_binds_no_other() {
        let rule = json!({
            "name": "outage",
            "when": {"tenant": "b", "during": {"from": "1s", "to": "60s"}},
            "inject": {"status": {"code": 503}},
        });
        let run = json!({"scenario": {"faults": [rule]}});
        let of_b =
            |ms: &[u64]| lines(ms).replace(r#""operation":"#, r#""tenant":"b","operation":"#);
        let of_a = |from: u64| -> String {
            (0..9)
                .map(|n| {
                    let (at, id) = (from + n * 1_000, 100 + n);
                    format!(
                        r#"{{"at_us":{at},"event":"request_received","request":{id},"tenant":"a"}}
                        {{"at_us":{at},"event":"response_sent","request":{id},"status":429}}
                        "#
                    )
                })
                .collect()
        };
        let check = |lines: &str| {
            let parameters = json!({"requests": 2, "per": "5s"});
            in_short(&invariant(NAME, &parameters).check(&trace_with(&run, lines)))
        };
        assert_eq!(check(&format!("{}{}", of_b(&TRIPPED), of_a(2_000_000))), "passed");
        let hammered = of_b(&[&TRIPPED[..], &[2_000, 2_001, 2_002]].concat());
        assert_eq!(check(&hammered), "failed run");
        // A breaker that all tenants share has seen that the provider works.
        let works = of_a(1_003_500).replace("429", "201");
        assert_eq!(check(&format!("{hammered}{works}")), "not exercised");
    }

    #[test]
    fn each_copy_of_a_client_has_a_breaker_of_its_own() {
        let copies = |copies: u32, arrivals_ms: &[u64]| {
            let asked: String = (0..arrivals_ms.len())
                .zip((1..=copies).cycle())
                .map(|(n, client)| {
                    format!(
                        r#"{{"at_us":0,"event":"operation_submitted","operation":"op-{n}","client":{client}}}
                        "#
                    )
                })
                .collect();
            let lines = format!("{asked}{}", lines(arrivals_ms));
            let parameters = json!({"requests": 2, "per": "5s"});
            in_short(&invariant(NAME, &parameters).check(&trace_with(&run("virtual"), &lines)))
        };
        let nine = [&TRIPPED[..], &[2_000, 2_001, 2_002]].concat();
        assert_eq!(copies(1, &nine), "failed run");
        assert_eq!(copies(2, &nine), "not exercised", "four failures each");
        let many: Vec<u64> = [0].into_iter().chain(1_000..1_040).collect();
        assert_eq!(copies(2, &many), "failed run run");
    }
}
