//! `isolates`: what hangs takes only its own callers with it.
//!
//! **Invariant:** an operation that met anything itself, down to one failed attempt, is never held against the
//! client; what is left was kept waiting by others.

use std::collections::BTreeMap;
use std::sync::Arc;

use brownout_provider::document::{At, decode};
use brownout_provider::event::{Claim, ClaimBy};
use brownout_provider::rule::Rule;
use brownout_provider::units::{Period, in_words};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::reach::rules;
use super::support::{
    BOUNDS_TIME, Means, NO_UPPER_BOUND, cannot, events_of, hung, means, schema, unlikely,
};
use super::{Invariant, InvariantKind, Judgement, Violation};
use crate::amount::plural;
use crate::scenario::Scenario;
use crate::trace::reading::Fate;
use crate::trace::{ClaimMade, Name, Request, RequestId, Strike, Submit, Submitted, Trace};

/// An answer that takes longer hangs, even if it comes.
const SLOW_US: u64 = 1_000_000;

/// The entry of the registry.
pub(super) static KIND: InvariantKind = InvariantKind {
    name: "isolates",
    summary: "What matters is done in time while something that matters less hangs.",
    headline: "were held up by something else that hung",
    rule: "While a request of `from` hangs (its answer never comes whole, or takes longer than a second), each \
           operation of `critical` that is asked of the same copy of the client, and none of whose own requests \
           failed, is claimed `succeeded` by its deadline, or within `within`. One second is forgiven on the real clock.",
    exercised_by: "An operation of `critical` that was at work while a request of `from` hung.",
    parameters: &[
        (
            "critical",
            "what must be done in time: a tenant (each kind of work may be one), the route that the workload \
             calls, or a provider or a route that an operation asks; required",
        ),
        ("from", "what hangs: a tenant, a provider or a route; required"),
        (
            "within",
            "how long an operation of `critical` may take, such as `5s`; unless said, it has until its deadline",
        ),
    ],
    tolerates: "Operations that ask `from` themselves; operations one of whose own requests was struck, refused or \
                limited, or came while a door was closed; a client that was restarted meanwhile; another copy \
                of the client.",
    cure: "Give each kind of work a pool of its own (connections, threads, permits of a semaphore), and a short \
           time-out to what may hang, so that it fills its own pool and no other.",
    why: "One slow partner that nobody depends on takes all threads and connections, and what matters \
          stands still although nothing is wrong with it.",
    faults: &["hang", "drip", "latency", "slow_read"],
    without_a_fault: "",
    modes: &[
        "It goes by operations that a driver submits: a suite submits none, nor does `brownout serve`.",
        BOUNDS_TIME,
    ],
    example: "isolates: {critical: checkout, from: reports}",
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
#[schemars(rename = "Isolates")]
struct Raw {
    /// What must be done in time: a tenant, a provider or a route.
    critical: String,
    /// What hangs: a tenant, a provider or a route.
    from: String,
    /// How long an operation of `critical` may take; to its deadline unless said.
    within: Option<Period>,
}

fn parse(value: &Value, at: &At<'_>) -> Option<Arc<dyn Invariant>> {
    let Raw { critical, from, within } = decode(value, at)?;
    if critical == from {
        at.key("from").error(format!("`{from}` cannot be kept apart from itself"), |problem| {
            problem.cure("name two tenants, providers or routes")
        });
        return None;
    }
    Some(Arc::new(Isolates { critical, from, within_us: within.map(Period::micros) }))
}

#[derive(Debug)]
struct Isolates {
    critical: String,
    from: String,
    within_us: Option<u64>,
}

/// What can hang.
#[derive(Clone, Copy, Debug)]
enum Place {
    Tenant,
    Provider,
    Route,
}

impl Place {
    /// How a rule names it.
    const fn key(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Provider => "provider",
            Self::Route => "route",
        }
    }
}

/// A time in which requests hung, and the first of them.
#[derive(Clone, Copy, Debug)]
struct Hang {
    from_us: u64,
    to_us: u64,
    first: RequestId,
}

impl Invariant for Isolates {
    fn kind(&self) -> &'static InvariantKind {
        &KIND
    }

    fn check(&self, trace: &Trace) -> Judgement {
        if !trace.judges_upper_bounds() {
            return Judgement::new(0, Vec::new(), NO_UPPER_BOUND);
        }
        let why_not =
            format!("no operation of `{}` was at work while `{}` hung", self.critical, self.from);
        let (Some(critical), Some(from)) = (trace.name(&self.critical), trace.name(&self.from))
        else {
            return Judgement::new(0, Vec::new(), &why_not);
        };
        let hangs = hangs(trace, from);
        let (mut exercised, mut violations) = (0, Vec::new());
        for (_, submit) in trace.submits() {
            let Some(submitted) = &submit.submitted else { continue };
            let asks = |name: Name| its(trace, submit).any(|(_, one)| asked_of(trace, one, name));
            let is_of =
                |name: Name| submitted.tenant == Some(name) || submitted.call == name || asks(name);
            if !is_of(critical) || is_of(from) {
                continue;
            }
            let Some((is_met, end_us)) = self.is_met(trace, submit, submitted) else { continue };
            let copy = trace.operation(submit.operation).copy;
            let beside = hangs.get(&copy).and_then(|hangs| beside(hangs, submitted.at_us, end_us));
            let Some(hang) = beside else { continue };
            if is_met {
                exercised += 1;
            } else if !is_hindered(trace, submit, submitted, end_us) {
                exercised += 1;
                violations.push(self.violation(trace, (submit, submitted), hang));
            }
        }
        Judgement::new(exercised, violations, &why_not)
    }

    fn check_scenario(&self, scenario: &Scenario, at: &At<'_>) {
        let tenants = scenario.workload.tenants.names().iter().map(|name| &**name);
        let providers = scenario.providers.names().map(|name| &**name);
        let routes =
            scenario.providers.apis().flat_map(|api| &api.routes).map(|route| &*route.name);
        let known: Vec<&str> = tenants.chain(providers).chain(routes).collect();
        for (key, name) in [("critical", &self.critical), ("from", &self.from)] {
            if !known.contains(&name.as_str()) {
                let message = format!("there is no tenant, provider or route `{name}`");
                at.key(key).error(message, |problem| problem.allowed(name, known.iter().copied()));
            }
        }
        let means = means(scenario);
        let hangs = means.hang || means.delay_us > SLOW_US;
        let why = format!("no rule of this scenario makes `{}` hang", self.from);
        let key = self.places(scenario).next().unwrap_or(Place::Tenant).key();
        let fault = format!("when: {{{key}: {}}}, inject: hang", self.from);
        if !hangs {
            cannot(at, KIND.name, &why, &fault);
        } else if known.contains(&self.from.as_str()) && !self.can_hang(scenario) {
            unlikely(at, KIND.name, &why, &fault);
        }
        if scenario.workload.concurrency < 2 {
            at.note(
                "`isolates` may stay without a verdict: one operation is under way at a time",
                |problem| problem.cure("raise `concurrency` of the workload"),
            );
        }
    }
}

/// The requests of a submit.
fn its<'a>(trace: &'a Trace, submit: &'a Submit) -> impl Iterator<Item = (RequestId, &'a Request)> {
    trace.attempts_of(submit.operation).filter(|(_, request)| request.submit == submit.number)
}

/// True for a request that goes to the provider or the route of that name, or is of that tenant.
fn asked_of(trace: &Trace, request: &Request, name: Name) -> bool {
    let owner = request.operation.into_iter().flat_map(|id| trace.submits_of(id));
    let mut owner = owner.filter_map(|(_, submit)| submit.submitted.as_ref());
    request.provider == name
        || request.route == Some(name)
        || request.tenant == Some(name)
        || owner.any(|submitted| submitted.tenant == Some(name))
}

/// When requests of that name hung, by copy of the client; what overlaps is one.
fn hangs(trace: &Trace, from: Name) -> BTreeMap<u32, Vec<Hang>> {
    let mut hangs = BTreeMap::<u32, Vec<Hang>>::new();
    for (id, request) in trace.requests().filter(|(_, one)| one.by.is_client()) {
        let to_us = trace.over_at_us(id).unwrap_or(trace.last_at_us);
        let is_slow = to_us.saturating_sub(request.at_us) > SLOW_US;
        if !(hung(request) || is_slow) || !asked_of(trace, request, from) {
            continue;
        }
        let hang = Hang { from_us: request.at_us, to_us, first: id };
        hangs.entry(trace.copy_of(request)).or_default().push(hang);
    }
    for list in hangs.values_mut() {
        list.sort_by_key(|hang| hang.from_us);
        list.dedup_by(|later, earlier| {
            let overlaps = later.from_us <= earlier.to_us;
            earlier.to_us = if overlaps { earlier.to_us.max(later.to_us) } else { earlier.to_us };
            overlaps
        });
    }
    hangs
}

/// The hang that lasted at some moment between two others.
fn beside(hangs: &[Hang], from_us: u64, to_us: u64) -> Option<Hang> {
    let first = hangs.partition_point(|hang| hang.to_us <= from_us);
    hangs.get(first).filter(|hang| hang.from_us < to_us).copied()
}

impl Isolates {
    /// What `from` is: a tenant, a provider or a route, or several of them that share the name.
    fn places(&self, scenario: &Scenario) -> impl Iterator<Item = Place> {
        let is_it = |name: &Arc<str>| **name == *self.from;
        let tenant = scenario.workload.tenants.names().iter().any(is_it);
        let provider = scenario.providers.names().any(is_it);
        let mut routes = scenario.providers.apis().flat_map(|api| &api.routes);
        let route = routes.any(|route| is_it(&route.name));
        let all = [(tenant, Place::Tenant), (provider, Place::Provider), (route, Place::Route)];
        all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, place)| place)
    }

    /// True unless all that hangs is about others: each rule says of whom it is.
    fn can_hang(&self, scenario: &Scenario) -> bool {
        let strikes = |rule: &&Rule| {
            let spares =
                |name: &Option<Arc<str>>| name.as_ref().is_some_and(|it| **it != *self.from);
            self.places(scenario).any(|place| match place {
                Place::Tenant => !spares(&rule.when.tenant),
                Place::Provider => !spares(&rule.when.provider),
                Place::Route => !spares(&rule.when.route),
            })
        };
        let striking: Vec<Means> =
            rules(scenario).filter(strikes).map(|rule| Means::of(scenario, rule)).collect();
        // Delays of several rules add up.
        let delay_us = striking.iter().map(|means| means.delay_us).fold(0, u64::saturating_add);
        striking.iter().any(|means| means.hang) || delay_us > SLOW_US
    }

    /// When a submit is to be done.
    fn due_us(&self, trace: &Trace, submit: &Submit, submitted: &Submitted) -> u64 {
        let gives_up_us = trace.gives_up_at_us(submit).unwrap_or(submitted.at_us);
        let Some(within_us) = self.within_us else { return gives_up_us };
        let until_us = submitted.at_us.saturating_add(within_us);
        let asleep_us = trace.paused_between(submit.operation, submitted.at_us, until_us);
        until_us.saturating_add(asleep_us).min(gives_up_us)
    }

    /// Whether a submit was done in time, and when that was known; `None` where nobody can say.
    fn is_met(&self, trace: &Trace, submit: &Submit, submitted: &Submitted) -> Option<(bool, u64)> {
        let due_us = self.due_us(trace, submit, submitted);
        let late_us = due_us.saturating_add(trace.upper_slack_us());
        let by_client = trace.claims(submit).iter().filter(|claim| claim.by == ClaimBy::Client);
        let in_time = |claim: &&ClaimMade| claim.at_us <= late_us;
        let mut in_time = by_client.filter(in_time);
        if let Some(done) = in_time.clone().find(|claim| claim.claim == Claim::Succeeded) {
            return Some((true, done.at_us));
        }
        let is_over = trace.is_whole() || trace.last_at_us >= late_us;
        is_over
            .then(|| (false, in_time.next_back().map_or(due_us, |claim| claim.at_us.min(due_us))))
    }
}

/// True for a submit that met something itself.
fn is_hindered(trace: &Trace, submit: &Submit, submitted: &Submitted, end_us: u64) -> bool {
    let met = |id: RequestId, request: &Request| {
        request.limited || !trace.strikes_at(id).is_empty() || trace.fate(id) != Fate::Usable
    };
    // A door that closed later, when all was said, hindered nobody.
    let said = trace.claims(submit).iter().find(|claim| claim.by == ClaimBy::Client);
    let until = said.map_or(u32::MAX, |claim| claim.seq);
    let at_door = |strike: &Strike| strike.request.is_none() && strike.seq < until;
    trace.strikes().iter().any(at_door)
        || trace.restarted_between(submit.operation, submitted.at_us, end_us)
        || its(trace, submit).any(|(id, request)| met(id, request))
}

impl Isolates {
    fn violation(
        &self,
        trace: &Trace,
        (submit, submitted): (&Submit, &Submitted),
        hang: Hang,
    ) -> Violation {
        let requests: Vec<RequestId> = its(trace, submit).map(|(id, _)| id).collect();
        let claims = trace.claims(submit);
        let said = claims.iter().find(|claim| claim.by == ClaimBy::Client).map_or_else(
            || "no word of the client".to_owned(),
            |claim| {
                let after = in_words(claim.at_us.saturating_sub(submitted.at_us));
                format!("`{}` after {after}", claim.claim.name())
            },
        );
        let message = format!(
            "expected it, which is of `{}`, to be done within {} while `{}` hung, found {said} and {} of its own, \
             none of which failed",
            self.critical,
            in_words(self.within_us.unwrap_or(submitted.deadline_us)),
            self.from,
            plural(requests.len(), "request"),
        );
        let own = requests.into_iter().flat_map(|id| events_of(trace, id));
        let evidence = [submitted.seq]
            .into_iter()
            .chain(claims.first().map(|claim| claim.seq))
            .chain(events_of(trace, hang.first))
            .chain(own);
        Violation::new(trace, submit.operation, message, evidence)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::invariant::testing::{in_short, invariant, message};
    use crate::trace::Trace;
    use crate::trace::testing::trace_with;

    const NAME: &str = "isolates";

    /// A report that hangs from 1 s to 11 s, and a checkout that is asked for at 2 s with a deadline of 5 s.
    fn lines(rest: &str) -> String {
        format!(
            r#"{{"at_us":1000000,"event":"operation_submitted","operation":"op-0002","tenant":"reports"}}
            {{"at_us":1000000,"event":"request_received","request":1,"operation":"op-0002","tenant":"reports"}}
            {{"at_us":2000000,"event":"operation_submitted","tenant":"checkout","deadline_us":5000000}}
            {rest}
            {{"at_us":11000000,"event":"connection_ended","request":1}}
            {{"at_us":60000000,"event":"client_output"}}"#
        )
    }

    fn run(more: &Value, lines: &str) -> Trace {
        trace_with(more, lines)
    }

    fn check_with(more: &Value, lines: &str) -> String {
        let parameters = json!({"critical": "checkout", "from": "reports"});
        in_short(&invariant(NAME, &parameters).check(&run(more, lines)))
    }

    fn check(rest: &str) -> String {
        check_with(&json!({}), &lines(rest))
    }

    fn claim(at_us: u64, claim: &str) -> String {
        format!(r#"{{"at_us":{at_us},"event":"operation_finished","claim":"{claim}"}}"#)
    }

    const ANSWERED: &str = r#"{"at_us":2500000,"event":"request_received","request":2,"tenant":"checkout"}
        {"at_us":2600000,"event":"response_sent","request":2,"status":201}"#;

    #[test]
    fn what_matters_is_done_by_its_deadline_while_the_other_hangs() {
        assert_eq!(check(&format!("{ANSWERED}\n{}", claim(7_000_000, "succeeded"))), "passed");
        let late = format!("{ANSWERED}\n{}", claim(7_000_001, "succeeded"));
        assert_eq!(check(&late), "failed op-0001");
        assert_eq!(check(""), "failed op-0001", "it was never sent");
        let given_up = claim(6_900_000, "failed");
        assert_eq!(check(&given_up), "failed op-0001", "to give up in time is not to be done");
        assert_eq!(
            message(
                NAME,
                &json!({"critical": "checkout", "from": "reports"}),
                &run(&json!({}), &lines(&given_up))
            ),
            "expected it, which is of `checkout`, to be done within 5 s while `reports` hung, found \
             `failed` after 4.9 s and 0 requests of its own, none of which failed"
        );
    }

    #[test]
    fn it_may_have_to_be_done_sooner_than_the_caller_gives_up() {
        let within = |within: &str, at_us| {
            let parameters = json!({"critical": "checkout", "from": "reports", "within": within});
            let lines = lines(&format!("{ANSWERED}\n{}", claim(at_us, "succeeded")));
            in_short(&invariant(NAME, &parameters).check(&run(&json!({}), &lines)))
        };
        assert_eq!(within("1s", 3_000_000), "passed");
        assert_eq!(within("1s", 3_000_001), "failed op-0001");
        assert_eq!(within("1h", 7_000_000), "passed");
        assert_eq!(within("1h", 7_000_001), "failed op-0001", "nobody waits any longer");
    }

    #[test]
    fn on_the_real_clock_a_second_is_forgiven_and_with_speed_nothing_is_judged() {
        let real = |at_us| {
            let lines = lines(&format!("{ANSWERED}\n{}", claim(at_us, "succeeded")));
            check_with(&json!({"clock": "real"}), &lines)
        };
        assert_eq!(real(8_000_000), "passed");
        assert_eq!(real(8_000_001), "failed op-0001");
        let fast = json!({"clock": "real", "speed": 20});
        assert_eq!(check_with(&fast, &lines("")), "not exercised");
    }

    #[test]
    fn who_met_something_itself_is_not_judged() {
        let failed = claim(6_000_000, "failed");
        let refused = ANSWERED.replace("201", "402");
        assert_eq!(check(&format!("{refused}\n{failed}")), "not exercised");
        let struck =
            format!("{ANSWERED}\n{}", r#"{"at_us":2600000,"event":"fault_injected","request":2}"#);
        assert_eq!(check(&format!("{struck}\n{failed}")), "not exercised");
        let at_door = r#"{"at_us":2600000,"event":"fault_injected","request":0,"fault":"refuse"}"#;
        assert_eq!(check(&format!("{at_door}\n{failed}")), "not exercised");
        assert_eq!(
            check(&format!("{failed}\n{at_door}")),
            "failed op-0001",
            "it closed afterwards"
        );
        let restarted = r#"{"at_us":3000000,"event":"client_started","client":1,"pid":1}"#;
        assert_eq!(check(&format!("{restarted}\n{failed}")), "not exercised");
    }

    #[test]
    fn who_waits_for_what_hangs_is_not_kept_apart_from_it() {
        let own = r#"{"at_us":2500000,"event":"request_received","request":2,"tenant":"reports"}"#;
        assert_eq!(check(own), "not exercised");
    }

    #[test]
    fn only_what_is_at_work_while_it_hangs_is_judged() {
        let later = lines("").replace("2000000,", "11000000,");
        let mut later: Vec<&str> = later.lines().collect();
        later.swap(2, 4);
        assert_eq!(check_with(&json!({}), &later.join("\n")), "not exercised");
        let answered = r#"{"at_us":1900000,"event":"response_sent","request":1,"status":201}"#;
        let quick =
            lines("").replace(r#"{"at_us":2000000,"#, &format!("{answered}\n{{\"at_us\":2000000,"));
        assert_eq!(check_with(&json!({}), &quick), "not exercised", "it took 0.9 s");
        let slow = lines(r#"{"at_us":3000000,"event":"response_sent","request":1,"status":201}"#);
        assert_eq!(check_with(&json!({}), &slow), "failed op-0001", "it took 2 s");
    }

    #[test]
    fn providers_and_routes_are_kept_apart_as_well() {
        let judged = |critical: &str, from: &str| {
            let lines = r#"{"at_us":1000000,"event":"operation_submitted","operation":"op-0002"}
                {"at_us":1000000,"event":"request_received","request":1,"operation":"op-0002","provider":"partner"}
                {"at_us":2000000,"event":"operation_submitted","call":"pay","deadline_us":5000000}
                {"at_us":2500000,"event":"request_received","request":1,"provider":"bank"}
                {"at_us":2600000,"event":"response_sent","request":1,"provider":"bank","status":201}
                {"at_us":60000000,"event":"client_output"}"#;
            let parameters = json!({"critical": critical, "from": from});
            in_short(&invariant(NAME, &parameters).check(&run(&json!({}), lines)))
        };
        assert_eq!(judged("bank", "partner"), "failed op-0001");
        assert_eq!(judged("pay", "partner"), "failed op-0001");
        assert_eq!(judged("pay", "nobody"), "not exercised");
        assert_eq!(judged("partner", "bank"), "not exercised", "nothing hung there");
    }

    #[test]
    fn other_copies_of_the_client_have_pools_of_their_own() {
        let fleet =
            lines("").replace(r#""tenant":"reports"}"#, r#""tenant":"reports","client":2}"#);
        assert_eq!(check_with(&json!({}), &fleet), "not exercised");
    }
}
