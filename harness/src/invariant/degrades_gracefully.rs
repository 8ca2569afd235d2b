//! `degrades_gracefully`: while a provider is down its clients' own callers still get an answer.
//!
//! **Invariant:** judges only who was asked while the outage lasted and met nothing else, and never how good
//! an answer is: that it came in time, and that it says what it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Claim, ClaimBy};
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::support::{BOUNDS_TIME, NO_UPPER_BOUND, READS_CLAIMS, events_of, needs_outage, schema};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::scenario::Scenario;
use crate::trace::outage::Outage;
use crate::trace::reading::Fate;
use crate::trace::{ClaimMade, Name, Request, RequestId, Submit, Submitted, Trace};

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "degrades_gracefully",
    summary: "While a provider is down the client answers in time, from a cache or with a default, and says so.",
    headline: "got an error while the provider was down",
    rule: "Who asks for an operation during an outage that the operation has to do with is answered by the \
           client within `within`. What only asks to be told something is answered with success, and if the \
           provider was asked and said nothing usable the answer says that it is a lesser one: `degraded` in \
           the claim, or a status that the scenario lists under `outcome: {degraded: […]}`. Work that wants an \
           effect may be answered in any way. One second is forgiven on the real clock.",
    exercised_by: "An operation that was asked for during an outage (a rule with an ending, `during` or \
                   `operation: {from, to}`, and no `chance`), in http mode or where some claim says `degraded`.",
    parameters: &[("within", "how long an answer may take, such as `2s`; required")],
    tolerates: "An answer from a cache without a question to the provider, which needs no remark; honest \
                failures of work that wants an effect; operations that met another fault or a limit, were \
                refused for their own content, or whose service was killed meanwhile; who asked in the moment \
                in which the outage began.",
    cure: "Keep the last good answer beyond its time, give the provider a short time-out with a breaker, and \
           answer with what was kept, or with a default, under a mark of its own (a header, a status, a field).",
    why: "A page that shows an error because one partner is down loses the visit, although yesterday's \
          answer would have done.",
    faults: &["status", "hang", "reset", "close"],
    without_a_fault: "",
    modes: &[
        "Best in http mode: elsewhere only if some claim says `degraded`.",
        READS_CLAIMS,
        BOUNDS_TIME,
    ],
    example: "degrades_gracefully: {within: 2s}",
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
#[schemars(rename = "DegradesGracefully")]
struct Raw {
    /// How long an answer may take.
    within: Period,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let raw: Raw = decode(value, at)?;
    Some(Arc::new(DegradesGracefully { within_us: raw.within.micros() }))
}

#[derive(Debug)]
struct DegradesGracefully {
    within_us: u64,
}

impl Invariant for DegradesGracefully {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        if !trace.is_service() && !says_degraded(trace) {
            let why_not = "no claim says `degraded`, so nothing shows that the client knows the word; say \
                           `\"degraded\": true` in a claim, or drive a service in http mode";
            return Judgement::new(0, Vec::new(), why_not);
        }
        let outages = trace.outages();
        let rules: BTreeSet<Name> = outages.iter().map(|outage| outage.rule).collect();
        let needed: Vec<BTreeSet<Name>> =
            outages.iter().map(|outage| calls_that_need(trace, outage)).collect();
        let (mut exercised, mut violations) = (0, Vec::new());
        for (_, submit) in trace.submits() {
            let Some(submitted) = &submit.submitted else { continue };
            let fell = |(one, calls): &(&Outage, &BTreeSet<Name>)| {
                lasts_at(trace, one, submitted)
                    && (calls.contains(&submitted.call) || one.concerns(trace, submit))
            };
            let Some((outage, _)) = outages.iter().zip(&needed).find(fell) else { continue };
            let Some(found) = self.judge(trace, (submit, submitted), &rules) else { continue };
            exercised += 1;
            violations.extend(
                found.err().map(|found| self.violation(trace, (submit, submitted), outage, &found)),
            );
        }
        let why_not = "nobody asked for what an outage was about while it lasted";
        Judgement::new(exercised, violations, why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        needs_outage(scenario, at, KIND.name);
        if scenario.workload.deadline.as_micros() <= u128::from(self.within_us) {
            at.key("within").note("the deadline of an operation is not above `within`", |problem| {
                problem.cure("give the operations a longer `deadline`, so that the driver does not end them first")
            });
        }
    }
}

/// True where some claim of the run says that it was done in a lesser way.
fn says_degraded(trace: &Trace) -> bool {
    trace.submits().any(|(_, submit)| trace.claims(submit).iter().any(|claim| claim.degraded))
}

/// True for a submit that was asked for while an outage lasted.
fn lasts_at(trace: &Trace, outage: &Outage, submitted: &Submitted) -> bool {
    let from_us = outage.from_us.saturating_add(trace.reaction_us());
    submitted.at_us >= from_us && outage.to_us.is_none_or(|to_us| submitted.at_us < to_us)
}

/// What a service is asked for that needs what the outage is about, as those show that were asked for it at any
/// time: behind an open breaker no request shows it.
fn calls_that_need(trace: &Trace, outage: &Outage) -> BTreeSet<Name> {
    if !trace.is_service() {
        return BTreeSet::new();
    }
    let asking = trace.requests().filter(|(_, request)| outage.is_about(request));
    let submits = asking.filter_map(|(_, one)| one.operation).flat_map(|id| trace.submits_of(id));
    submits.filter_map(|(_, submit)| Some(submit.submitted.as_ref()?.call)).collect()
}

/// The requests of a submit.
fn its<'a>(trace: &'a Trace, submit: &'a Submit) -> impl Iterator<Item = (RequestId, &'a Request)> {
    trace.attempts_of(submit.operation).filter(|(_, request)| request.submit == submit.number)
}

impl DegradesGracefully {
    /// `None` where nothing can be said; else what was found instead of an answer, if none was.
    fn judge(
        &self,
        trace: &Trace,
        (submit, submitted): (&Submit, &Submitted),
        rules: &BTreeSet<Name>,
    ) -> Option<Result<(), String>> {
        let (id, asked_us) = (submit.operation, submitted.at_us);
        let due_us = asked_us.saturating_add(self.within_us).saturating_add(trace.upper_slack_us());
        let claim = trace.claims(submit).iter().find(|claim| claim.by == ClaimBy::Client);
        let until_us = claim.map_or(due_us, |claim| claim.at_us.min(due_us));
        if trace.restarted_between(id, asked_us, until_us)
            || its(trace, submit).any(|(id, request)| is_hindered(trace, id, request, rules))
        {
            return None;
        }
        let Some(claim) = claim else {
            let is_over = trace.is_whole() || trace.last_at_us >= due_us;
            return is_over.then(|| Err("no answer".to_owned()));
        };
        let asleep_us = trace.paused_between(id, asked_us, claim.at_us);
        let took_us = claim.at_us.saturating_sub(asked_us).saturating_sub(asleep_us);
        if took_us > self.within_us.saturating_add(trace.upper_slack_us()) {
            return Some(Err(format!("the first answer after {}", in_words(took_us))));
        }
        Some(is_answer(trace, submit, claim))
    }

    fn violation(
        &self,
        trace: &Trace,
        (submit, submitted): (&Submit, &Submitted),
        outage: &Outage,
        found: &str,
    ) -> Violation {
        let message = format!(
            "expected an answer within {} during the outage `{}`, from a cache or by default, found {found}",
            in_words(self.within_us),
            trace.text(outage.rule)
        );
        let claim = trace.claims(submit).first().map(|claim| claim.seq);
        let asked = its(trace, submit).flat_map(|(id, _)| events_of(trace, id));
        let evidence = [submitted.seq].into_iter().chain(claim).chain(asked);
        Violation::new(trace, submit.operation, message, evidence)
    }
}

/// What was said in time, if it is no answer to who only wants to be told something.
fn is_answer(trace: &Trace, submit: &Submit, claim: &ClaimMade) -> Result<(), String> {
    if trace.wants_effect(submit.operation) {
        return Ok(());
    }
    match claim.claim {
        Claim::Failed => Err("that it `failed`".to_owned()),
        Claim::Unknown => Err("that it is `unknown`".to_owned()),
        Claim::Succeeded => {
            let in_time = |request: &Request| request.at_us <= claim.at_us;
            let mut asked = its(trace, submit).filter(|(_, one)| in_time(one)).peekable();
            // What is in the cache is as good as it ever was.
            let is_plain = !claim.degraded && asked.peek().is_some();
            if is_plain && !asked.any(|(id, _)| trace.confirms(id)) {
                return Err("a success that does not say that the provider gave none".to_owned());
            }
            Ok(())
        }
    }
}

/// True for a request that something else than an outage kept from being answered.
fn is_hindered(trace: &Trace, id: RequestId, request: &Request, rules: &BTreeSet<Name>) -> bool {
    let strikes = trace.strikes_at(id);
    let is_outage = strikes.iter().any(|strike| rules.contains(&strike.rule));
    request.limited
        || strikes.iter().any(|strike| !rules.contains(&strike.rule))
        || (!is_outage && trace.fate(id) == Fate::Rejected)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message};
    use crate::trace::Trace;
    use crate::trace::testing::trace_with;

    const NAME: &str = "degrades_gracefully";

    /// A page that is asked for at 5 s, in an outage from 1 s to 10 s, and asks a provider that answers 503;
    /// then whatever follows.
    fn lines(rest: &str) -> String {
        format!(
            r#"{{"at_us":0,"event":"request_received","request":1,"operation":"op-0009","route":"list_charges","unsafe":false}}
            {{"at_us":0,"event":"response_sent","request":1,"operation":"op-0009"}}
            {{"at_us":5000000,"event":"operation_submitted","call":"POST /show"}}
            {{"at_us":5000000,"event":"request_received","request":2,"route":"list_charges","unsafe":false}}
            {{"at_us":5000000,"event":"fault_injected","request":2,"rule":"outage"}}
            {{"at_us":5000000,"event":"response_sent","request":2,"status":503}}
            {rest}
            {{"at_us":60000000,"event":"client_output"}}"#
        )
    }

    fn claim(at_us: u64, claim: &str) -> String {
        format!(r#"{{"at_us":{at_us},"event":"operation_finished","claim":"{claim}"}}"#)
    }

    fn degraded(at_us: u64) -> String {
        claim(at_us, "succeeded").replace('}', r#","degraded":true}"#)
    }

    fn run(more: &Value, lines: &str) -> Trace {
        let outage = json!({
            "name": "outage", "when": {"during": {"from": "1s", "to": "10s"}},
            "inject": {"status": {"code": 503}},
        });
        let mut run = json!({"mode": "http", "scenario": {"faults": [outage]}});
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        trace_with(&run, lines)
    }

    fn check_with(more: &Value, lines: &str) -> String {
        in_short(&invariant(NAME, &json!({"within": "2s"})).check(&run(more, lines)))
    }

    fn check(rest: &str) -> String {
        check_with(&json!({}), &lines(rest))
    }

    #[test]
    fn who_asks_in_the_outage_is_answered_in_time_and_told_what_it_is() {
        assert_eq!(check(&degraded(7_000_000)), "passed");
        assert_eq!(check(&degraded(7_000_001)), "failed op-0001");
        assert_eq!(check(&claim(5_500_000, "failed")), "failed op-0001");
        assert_eq!(check(&claim(5_500_000, "unknown")), "failed op-0001");
        assert_eq!(check(""), "failed op-0001");
        assert_eq!(check(&claim(5_500_000, "succeeded")), "failed op-0001", "it does not say so");
        assert_eq!(
            message(
                NAME,
                &json!({"within": "2s"}),
                &run(&json!({}), &lines(&claim(5_500_000, "failed")))
            ),
            "expected an answer within 2 s during the outage `outage`, from a cache or by default, found that \
             it `failed`"
        );
    }

    #[test]
    fn an_open_breaker_asks_nobody_and_owes_an_answer_all_the_same() {
        let other = |call: &str| {
            format!(
                r#"{}
                {{"at_us":8000000,"event":"operation_submitted","operation":"op-0002","call":"{call}"}}
                {{"at_us":8000001,"event":"operation_finished","operation":"op-0002","claim":"failed"}}"#,
                lines(&degraded(6_000_000))
            )
        };
        let routed = json!({"scenario": {"faults": [{
            "name": "outage", "when": {"route": "list_charges", "during": {"from": "1s", "to": "10s"}},
            "inject": {"status": {"code": 503}},
        }]}});
        assert_eq!(check_with(&routed, &other("POST /show")), "failed op-0002");
        assert_eq!(
            check_with(&routed, &other("POST /other")),
            "passed",
            "it may need something else"
        );
    }

    #[test]
    fn what_the_driver_writes_is_no_answer() {
        let driver = degraded(6_000_000).replace('}', r#","by":"driver"}"#);
        assert_eq!(check(&driver), "failed op-0001");
    }

    #[test]
    fn a_cache_that_asks_nobody_needs_no_remark() {
        let cached = lines(&claim(5_500_000, "succeeded"))
            .replace(r#""request":2"#, r#""request":2,"operation":"op-0009""#);
        assert_eq!(check_with(&json!({}), &cached), "passed");
    }

    #[test]
    fn a_backup_or_the_end_of_the_outage_may_answer_as_well() {
        let answered = format!(
            r#"{{"at_us":5500000,"event":"request_received","request":3,"provider":"backup","route":"list_charges","unsafe":false}}
            {{"at_us":5500000,"event":"response_sent","request":3,"provider":"backup"}}
            {}"#,
            claim(5_600_000, "succeeded")
        );
        assert_eq!(check(&answered), "passed");
    }

    #[test]
    fn work_that_wants_an_effect_may_fail_if_it_says_so_in_time() {
        let work = |rest: &str| lines(rest).replace(r#""unsafe":false"#, r#""unsafe":true"#);
        assert_eq!(check_with(&json!({}), &work(&claim(6_000_000, "failed"))), "passed");
        assert_eq!(check_with(&json!({}), &work(&claim(8_000_000, "failed"))), "failed op-0001");
    }

    #[test]
    fn who_met_something_else_is_not_judged() {
        let failed = claim(5_500_000, "failed");
        let other = r#"{"at_us":5100000,"event":"request_received","request":3,"route":"list_charges","unsafe":false}
            {"at_us":5100000,"event":"fault_injected","request":3,"rule":"another"}"#;
        assert_eq!(check(&format!("{other}\n{failed}")), "not exercised");
        let rejected = r#"{"at_us":5100000,"event":"request_received","request":3,"route":"get_charge","unsafe":false}
            {"at_us":5100000,"event":"response_sent","request":3,"status":404}"#;
        assert_eq!(check(&format!("{rejected}\n{failed}")), "not exercised");
        let killed = r#"{"at_us":5100000,"event":"client_started","client":1,"pid":1}"#;
        assert_eq!(check(&format!("{killed}\n{failed}")), "not exercised");
    }

    #[test]
    fn who_asks_before_or_after_the_outage_is_not_judged() {
        let failed = lines(&claim(5_500_000, "failed"));
        let at = |at_us: &str| failed.replace("5000000", at_us);
        assert_eq!(check_with(&json!({}), &at("999999")), "not exercised");
        assert_eq!(check_with(&json!({}), &at("1000000")), "failed op-0001");
        assert_eq!(check_with(&json!({}), &at("5499999")), "failed op-0001");
        let late = lines(&claim(10_500_000, "failed")).replace("5000000", "10000000");
        assert_eq!(check_with(&json!({}), &late), "not exercised");
        // On the real clock a client needs a moment to see that something is down.
        let real = json!({"clock": "real"});
        assert_eq!(check_with(&real, &at("1200000")), "not exercised");
        assert_eq!(check_with(&real, &at("1250000")), "failed op-0001");
        assert_eq!(check_with(&real, &lines(&degraded(8_000_000))), "passed");
        assert_eq!(check_with(&real, &lines(&degraded(8_000_001))), "failed op-0001");
    }

    #[test]
    fn outside_of_http_mode_the_client_has_to_know_the_word() {
        let stdio = json!({"mode": "stdio"});
        assert_eq!(check_with(&stdio, &lines(&claim(5_500_000, "failed"))), "not exercised");
        assert_eq!(check_with(&stdio, &lines(&degraded(5_500_000))), "passed");
        let mut router = json!({"mode": "in_process"});
        router["scenario"] = Value::clone(&run(&json!({}), "").run.scenario);
        router["scenario"]["workload"] = json!({"http": {"request": {"path": "/show"}}});
        let failed = lines(&claim(5_500_000, "failed"));
        assert_eq!(check_with(&router, &failed), "failed op-0001", "a service in this process");
        let elsewhere = format!(
            "{}\n{}",
            claim(5_500_000, "failed"),
            degraded(5_600_000).replace('}', r#","operation":"op-0009"}"#)
        );
        assert_eq!(check_with(&stdio, &lines(&elsewhere)), "failed op-0001");
    }

    #[test]
    fn without_an_outage_or_with_a_fast_clock_nothing_is_judged() {
        let failed = lines(&claim(5_500_000, "failed"));
        let scenario = json!({"scenario": {"faults": []}});
        assert_eq!(check_with(&scenario, &failed), "not exercised");
        assert_eq!(check_with(&json!({"clock": "real", "speed": 20}), &failed), "not exercised");
    }

    #[test]
    fn time_in_which_the_service_stood_still_does_not_count() {
        let paused = format!(
            r#"{{"at_us":6000000,"event":"client_paused","client":1,"pid":1,"for_us":500000}}
            {}"#,
            degraded(7_500_000)
        );
        assert_eq!(check(&paused), "passed");
    }
}
