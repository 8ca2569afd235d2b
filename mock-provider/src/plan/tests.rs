//! Tests of the fault plan, against a naive model among others.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fault::{DelayPoint, Ending};
use crate::rule::When;

/// A fault of any group that shows its random numbers; one per group, told apart by its name.
#[derive(Debug)]
struct Probe(&'static FaultKind);

impl Fault for Probe {
    fn kind(&self) -> &'static FaultKind {
        self.0
    }

    fn strike(&self, draw: &mut Draw) -> Action {
        match self.0.group {
            Group::Ending => Action::End {
                at: Point::Accept,
                ending: Ending::Cut {
                    after_bytes: Some(draw.bits()),
                    then: End::Fin,
                    connection: false,
                },
            },
            Group::Delay | Group::Provider | Group::Client => {
                Action::Delay { at: DelayPoint::Head, micros: draw.bits() }
            }
        }
    }

    fn point(&self) -> Option<Point> {
        (self.0.group == Group::Ending).then_some(Point::Accept)
    }
}

const fn probe(name: &'static str, group: Group) -> FaultKind {
    FaultKind {
        name,
        group,
        summary: "",
        parameters: &[],
        mistake: "",
        example: "",
        bare: true,
        schema: |_| true.into(),
        parse: |_, _| None,
    }
}

static PROBES: [FaultKind; 5] = [
    probe("slow", Group::Delay),
    probe("twice", Group::Provider),
    probe("kill", Group::Client),
    probe("reset", Group::Ending),
    probe("status", Group::Ending),
];

fn rule(name: &str, when: When, probes: &[usize]) -> Rule {
    Rule {
        name: name.into(),
        when,
        faults: probes
            .iter()
            .map(|index| -> Arc<dyn Fault> { Arc::new(Probe(&PROBES[*index])) })
            .collect(),
    }
}

const SLOW: usize = 0;
const TWICE: usize = 1;
const KILL: usize = 2;
const RESET: usize = 3;
const STATUS: usize = 4;

const AT: Coordinates<'_> = Coordinates {
    provider: "provider",
    route: "create_charge",
    operation: "op-0003",
    submit: 1,
    attempt: 1,
};

fn situation<'a>(at: Coordinates<'a>, headers: &'a HeaderMap) -> Situation<'a> {
    Situation {
        at,
        route: None,
        operation_number: at.operation.strip_prefix("op-").and_then(|n| n.parse().ok()),
        numbered: Numbered::BySubmit,
        tenant: None,
        method: &Method::POST,
        headers,
        body: None,
        reused: false,
        http2: false,
        since_first_us: 0,
        streamed: false,
    }
}

fn seed(number: u64) -> Seed {
    Seed::new(number).expect("in range")
}

/// A decision as text, to compare: what was drawn, and what strikes with its random numbers.
fn shown(decision: &Decision) -> (Vec<String>, Vec<String>) {
    let drawn = decision.drawn.iter().map(|(rule, fault)| format!("{rule} {fault}")).collect();
    let strikes = decision
        .strikes
        .iter()
        .map(|strike| format!("{} {} {:?}", strike.rule, strike.fault.name, strike.action))
        .collect();
    (drawn, strikes)
}

fn names(decision: &Decision) -> Vec<String> {
    decision.strikes.iter().map(|strike| format!("{} {}", strike.rule, strike.fault.name)).collect()
}

/// What strikes at one situation under rules without chances.
fn strikes(rules: Vec<Rule>, situation: &Situation<'_>) -> Vec<String> {
    names(&FaultPlan::new(rules, seed(1)).decide(situation))
}

#[test]
fn delays_and_provider_faults_all_strike_and_of_the_others_the_first() {
    let rules = vec![
        rule("a", When::default(), &[SLOW, RESET, KILL]),
        rule("b", When::default(), &[STATUS, SLOW, TWICE]),
        rule("c", When::default(), &[KILL, TWICE]),
    ];
    let mut plan = FaultPlan::new(rules, seed(1));
    let decision = plan.decide(&situation(AT, &HeaderMap::new()));
    assert_eq!(names(&decision), ["a slow", "a reset", "a kill", "b slow", "b twice", "c twice"]);
    assert_eq!(
        shown(&decision).0,
        ["a slow", "a reset", "a kill", "b status", "b slow", "b twice", "c kill", "c twice"],
        "what was passed over was drawn all the same"
    );
}

#[test]
fn a_rule_that_was_passed_over_does_not_count_against_max_times() {
    let once = When { max_times: Some(1), ..When::default() };
    let first_attempt = When { attempt: Selector::List(vec![1]), ..When::default() };
    let rules = vec![rule("a", first_attempt, &[RESET]), rule("b", once, &[STATUS])];
    let mut plan = FaultPlan::new(rules, seed(1));
    let headers = HeaderMap::new();
    let mut strikes =
        |attempt| names(&plan.decide(&situation(Coordinates { attempt, ..AT }, &headers)));
    assert_eq!(strikes(1), ["a reset"]);
    assert_eq!(strikes(2), ["b status"]);
    assert_eq!(strikes(3), [""; 0]);
}

#[test]
fn a_look_at_the_head_counts_nothing() {
    let once = When { max_times: Some(1), ..When::default() };
    let mut plan = FaultPlan::new(vec![rule("a", once, &[RESET])], seed(1));
    let headers = HeaderMap::new();
    let here = situation(AT, &headers);
    assert!(plan.strikes_at_accept());
    assert!(plan.ends_at_accept(&here) && plan.ends_at_accept(&here));
    assert_eq!(names(&plan.decide(&here)), ["a reset"]);
    assert!(!plan.ends_at_accept(&here));
    assert!(
        !FaultPlan::new(vec![rule("a", When::default(), &[SLOW])], seed(1)).strikes_at_accept()
    );
}

#[test]
fn what_can_do_nothing_here_is_not_counted() {
    let problems = crate::document::Diagnostics::new();
    let message = crate::fault::registry::find("message").expect("a fault");
    let message = (message.parse)(&json!("duplicate"), &problems.root()).expect("parameters");
    let once = || When { max_times: Some(1), ..When::default() };
    let of_message = Rule { name: "m".into(), when: once(), faults: vec![message] };
    let mut plan = FaultPlan::new(vec![of_message, rule("r", once(), &[RESET])], seed(1));
    let headers = HeaderMap::new();
    let here = situation(AT, &headers);
    let mut met = |met| names(&plan.decide_for(met, &here));
    assert!(met(Met::Event).is_empty());
    assert_eq!(met(Met::Message), ["m message"]);
    assert!(met(Met::Message).is_empty());
    assert_eq!(met(Met::Request), ["r reset"]);
    assert!(met(Met::Request).is_empty());
}

#[test]
fn rules_that_depend_on_more_than_coordinates_stand_outside_the_schedule() {
    let whens = [
        When { max_times: Some(9), ..When::default() },
        When { during_us: Some((0, 10)), ..When::default() },
        When { headers: vec![("x".into(), "y".into())], ..When::default() },
        When { body: vec![("a".into(), json!(1))], ..When::default() },
    ];
    let mut headers = HeaderMap::new();
    headers.append("x", HeaderValue::from_static("y"));
    let body = json!({"a": 1});
    for when in whens {
        let mut plan = FaultPlan::new(vec![rule("a", when.clone(), &[SLOW])], seed(1));
        let mut here = situation(AT, &headers);
        here.body = Some(&body);
        let decision = plan.decide(&here);
        assert_eq!(names(&decision), ["a slow"], "{when:?}");
        assert!(decision.drawn.is_empty() && !decision.strikes[0].scheduled, "{when:?}");
    }
}

/// True when a rule with these conditions strikes at the situation.
fn takes(when: When, situation: &Situation<'_>) -> bool {
    !strikes(vec![rule("a", when, &[SLOW])], situation).is_empty()
}

#[test]
fn each_condition_must_hold() {
    let mut headers = HeaderMap::new();
    for value in ["one", "two"] {
        headers.append(HeaderName::from_static("x-kind"), HeaderValue::from_static(value));
    }
    let body = json!({"amount": 1999, "metadata": {"order": "order-3"}, "n": "7"});
    let mut here = situation(AT, &headers);
    here.tenant = Some("a");
    here.body = Some(&body);
    here.since_first_us = 500;
    let text = |text: &str| -> Option<Arc<str>> { Some(text.into()) };
    let none = When::default;
    for (when, expected) in [
        (none(), true),
        (When { route: text("create_charge"), ..none() }, true),
        (When { route: text("get_charge"), ..none() }, false),
        (When { provider: text("provider"), ..none() }, true),
        (When { provider: text("backup"), ..none() }, false),
        (When { tenant: text("a"), ..none() }, true),
        (When { tenant: text("b"), ..none() }, false),
        (When { method: Some("POST".into()), ..none() }, true),
        (When { method: Some("GET".into()), ..none() }, false),
        (When { operation: Selector::Every(3), ..none() }, true),
        (When { operation: Selector::Range(Some(4), None), ..none() }, false),
        (When { submit: Selector::List(vec![2]), ..none() }, false),
        (When { attempt: Selector::Range(None, Some(1)), ..none() }, true),
        (When { headers: vec![("x-kind".into(), "two".into())], ..none() }, true),
        (When { headers: vec![("x-kind".into(), "three".into())], ..none() }, false),
        (When { during_us: Some((500, 501)), ..none() }, true),
        (When { during_us: Some((0, 500)), ..none() }, false),
        (When { body: vec![("/metadata/order".into(), json!("order-3"))], ..none() }, true),
        (When { body: vec![("/metadata/order".into(), json!("order-4"))], ..none() }, false),
        (When { body: vec![("metadata[order]".into(), json!("order-3"))], ..none() }, true),
        (When { body: vec![("metadata[order]".into(), json!("o"))], ..none() }, false),
        (When { body: vec![("amount".into(), json!(1999))], ..none() }, true),
        (When { body: vec![("amount".into(), json!("1999"))], ..none() }, false),
        (When { body: vec![("n".into(), json!(7))], ..none() }, true),
        (When { body: vec![("absent".into(), json!(null))], ..none() }, false),
        (When { chance_ppm: Some(0), ..none() }, false),
        (When { chance_ppm: Some(1_000_000), ..none() }, true),
        (When { max_times: Some(0), ..none() }, false),
    ] {
        assert_eq!(takes(when.clone(), &here), expected, "{when:?}");
    }
    here.operation_number = None;
    assert!(
        takes(none(), &here),
        "an operation without a number is matched by rules that ask for none"
    );
    assert!(!takes(When { operation: Selector::Range(Some(1), None), ..none() }, &here));
    here.body = None;
    assert!(!takes(When { body: vec![("amount".into(), json!(1999))], ..none() }, &here));
}

#[test]
fn a_selector_counts_from_one() {
    for (selector, taken) in [
        (Selector::Any, vec![1, 2, 3, 4, 5, 6]),
        (Selector::List(vec![5, 2]), vec![2, 5]),
        (Selector::Range(Some(3), None), vec![3, 4, 5, 6]),
        (Selector::Range(None, Some(2)), vec![1, 2]),
        (Selector::Range(Some(2), Some(4)), vec![2, 3, 4]),
        (Selector::Every(3), vec![3, 6]),
        (Selector::Every(0), vec![]),
    ] {
        let found: Vec<u64> = (1..=6).filter(|number| selector.takes(*number)).collect();
        assert_eq!(found, taken, "{selector:?}");
    }
    assert!(!Selector::Every(3).takes(0));
}

#[test]
fn a_strike_says_what_was_drawn() {
    for (micros, words) in [(120_000, "+120 ms"), (1_500, "+1.5 ms"), (7, "+7 µs")] {
        let action = Action::Delay { at: DelayPoint::Head, micros };
        assert_eq!(detail(&Probe(&PROBES[SLOW]), &action), words);
    }
}

#[test]
fn the_schedule_of_a_plan_is_known() {
    // Struck are the operations that the second implementation of the draws names (see `seed.rs`).
    let when = When { chance_ppm: Some(300_000), ..When::default() };
    let mut plan = FaultPlan::new(vec![rule("response-lost", when, &[RESET])], seed(42));
    let headers = HeaderMap::new();
    let struck: Vec<u32> = (1..=20)
        .filter(|n| {
            let operation = format!("op-{n:04}");
            let at = Coordinates { operation: &operation, ..AT };
            !plan.decide(&situation(at, &headers)).drawn.is_empty()
        })
        .collect();
    assert_eq!(struck, [3, 4, 14, 15, 16]);
}

fn selectors() -> impl Strategy<Value = Selector> {
    prop_oneof![
        3 => Just(Selector::Any),
        1 => prop::collection::vec(1_u64..5, 1..3).prop_map(Selector::List),
        1 => (prop::option::of(1_u64..4), prop::option::of(1_u64..4))
            .prop_map(|(from, to)| Selector::Range(from, to)),
        1 => (1_u64..4).prop_map(Selector::Every),
    ]
}

fn whens() -> impl Strategy<Value = When> {
    (
        prop::option::weighted(
            0.4,
            prop::sample::select(vec!["create_charge", "get_charge", "none"]),
        ),
        selectors(),
        selectors(),
        prop::option::weighted(0.7, prop::sample::select(vec![0_u32, 200_000, 500_000, 1_000_000])),
        prop::option::weighted(0.2, 0_u64..3),
        prop::option::weighted(0.2, prop::sample::select(vec!["order-1", "order-2"])),
    )
        .prop_map(|(route, attempt, operation, chance_ppm, max_times, order)| When {
            route: route.map(Arc::from),
            attempt,
            operation,
            chance_ppm,
            max_times,
            body: order.map(|order| ("/order".to_owned(), json!(order))).into_iter().collect(),
            ..When::default()
        })
}

fn plans() -> impl Strategy<Value = Vec<(When, Vec<usize>)>> {
    prop::collection::vec((whens(), prop::collection::vec(0_usize..5, 1..4)), 0..7)
}

/// One request of a made-up run.
#[derive(Clone, Debug)]
struct Visit {
    route: &'static str,
    n: u64,
    submit: u32,
    attempt: u32,
    order: &'static str,
}

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let visit = (
        prop::sample::select(vec!["create_charge", "get_charge", "other"]),
        1_u64..5,
        1_u32..3,
        1_u32..5,
        prop::sample::select(vec!["order-1", "order-3"]),
    )
        .prop_map(|(route, n, submit, attempt, order)| Visit {
            route,
            n,
            submit,
            attempt,
            order,
        });
    prop::collection::vec(visit, 1..24)
}

fn made(rules: &[(When, Vec<usize>)]) -> Vec<Rule> {
    rules
        .iter()
        .enumerate()
        .map(|(index, (when, probes))| rule(&format!("rule-{index}"), when.clone(), probes))
        .collect()
}

fn visit_all(plan: &mut FaultPlan, visits: &[Visit]) -> Vec<(Vec<String>, Vec<String>)> {
    let headers = HeaderMap::new();
    visits
        .iter()
        .map(|visit| {
            let operation = format!("op-{:04}", visit.n);
            let body = json!({"order": visit.order});
            let at = Coordinates {
                provider: "provider",
                route: visit.route,
                operation: &operation,
                submit: visit.submit,
                attempt: visit.attempt,
            };
            shown(&plan.decide(&Situation { body: Some(&body), ..situation(at, &headers) }))
        })
        .collect()
}

/// The same decision written down as naively as it is told, rule by rule and with nothing worked out
/// before.
fn model(
    rules: &[(When, Vec<usize>)],
    seed: Seed,
    visits: &[Visit],
) -> Vec<(Vec<String>, Vec<String>)> {
    let mut struck = vec![0_u64; rules.len()];
    let mut decisions = Vec::new();
    for visit in visits {
        let (mut drawn, mut strikes) = (Vec::new(), Vec::new());
        let (mut killed, mut ended) = (false, false);
        for (index, (when, probes)) in rules.iter().enumerate() {
            let name = format!("rule-{index}");
            let order_matches =
                when.body.iter().all(|(_, value)| value.as_str() == Some(visit.order));
            let matches = when.route.as_deref().is_none_or(|route| route == visit.route)
                && when.attempt.takes(visit.attempt.into())
                && when.operation.takes(visit.n)
                && order_matches
                && when.max_times.is_none_or(|most| struck[index] < most);
            if !matches {
                continue;
            }
            let operation = format!("op-{:04}", visit.n);
            let mut draw = RuleKey::new(seed, &name).draw(&Coordinates {
                provider: "provider",
                route: visit.route,
                operation: &operation,
                submit: visit.submit,
                attempt: visit.attempt,
            });
            if when.chance_ppm.is_some_and(|chance| !draw.happens(chance)) {
                continue;
            }
            let mut any = false;
            for (position, probe) in probes.iter().enumerate() {
                let fault = &PROBES[*probe];
                if when.max_times.is_none() && when.body.is_empty() {
                    drawn.push(format!("{name} {}", fault.name));
                }
                let passed_over = (fault.name == "kill" && killed)
                    || (["reset", "status"].contains(&fault.name) && ended);
                if passed_over {
                    continue;
                }
                killed |= fault.name == "kill";
                ended |= ["reset", "status"].contains(&fault.name);
                any = true;
                let nth = probes[..position].iter().filter(|other| *other == probe).count();
                let mut own = draw.fork(fault.name, u32::try_from(nth).expect("a short list"));
                strikes.push(format!("{name} {} {:?}", fault.name, Probe(fault).strike(&mut own)));
            }
            struck[index] += u64::from(any);
        }
        decisions.push((drawn, strikes));
    }
    decisions
}

proptest! {
    #[test]
    fn a_naive_model_decides_the_same(rules in plans(), visits in visits(), number in 0_u64..1000) {
        let mut plan = FaultPlan::new(made(&rules), seed(number));
        prop_assert_eq!(visit_all(&mut plan, &visits), model(&rules, seed(number), &visits));
    }

    #[test]
    fn the_order_of_arrival_changes_nothing_about_what_is_drawn(
        rules in plans(),
        (visits, shuffled) in visits().prop_flat_map(|visits| {
            let indices: Vec<usize> = (0..visits.len()).collect();
            (Just(visits), Just(indices).prop_shuffle())
        }),
    ) {
        let arrived: Vec<Visit> = shuffled.iter().map(|index| visits[*index].clone()).collect();
        let in_order = visit_all(&mut FaultPlan::new(made(&rules), seed(7)), &visits);
        let otherwise = visit_all(&mut FaultPlan::new(made(&rules), seed(7)), &arrived);
        for (place, index) in shuffled.iter().enumerate() {
            prop_assert_eq!(&otherwise[place].0, &in_order[*index].0);
        }
    }

    #[test]
    fn other_rules_change_nothing_about_what_a_rule_draws(
        rules in plans(),
        visits in visits(),
        (kept, order) in (prop::collection::vec(any::<bool>(), 7), Just((0_usize..7).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let all = visit_all(&mut FaultPlan::new(made(&rules), seed(7)), &visits);
        let named = made(&rules);
        let fewer: Vec<Rule> = order
            .iter()
            .filter(|index| kept[**index])
            .filter_map(|index| named.get(*index).cloned())
            .collect();
        let names: Vec<String> = fewer.iter().map(|rule| format!("{} ", rule.name)).collect();
        let some = visit_all(&mut FaultPlan::new(fewer, seed(7)), &visits);
        for (all, some) in all.iter().zip(&some) {
            let mut of_kept: Vec<&String> = all.0.iter()
                .filter(|line| names.iter().any(|name| line.starts_with(name.as_str())))
                .collect();
            let mut found: Vec<&String> = some.0.iter().collect();
            of_kept.sort();
            found.sort();
            prop_assert_eq!(of_kept, found);
        }
    }

    #[test]
    fn another_fault_in_the_list_changes_nothing_about_what_the_others_draw(
        first in 0_usize..3, added in 3_usize..5, number in 0_u64..1000,
    ) {
        let headers = HeaderMap::new();
        let here = situation(AT, &headers);
        let drawn = |probes: &[usize]| -> Vec<String> {
            shown(&FaultPlan::new(vec![rule("a", When::default(), probes)], seed(number)).decide(&here)).1
        };
        prop_assert!(drawn(&[added, first]).contains(&drawn(&[first])[0]));
        prop_assert!(drawn(&[first, added]).contains(&drawn(&[first])[0]));
    }
}
