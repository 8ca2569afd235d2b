//! Tests of the state machine: a minute is played in a microsecond.

#![expect(clippy::wildcard_enum_match_arm, reason = "each test names only what it looks for")]

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::{Provider, Setup};
use crate::api;
use crate::document::{At, Diagnostics};
use crate::event::{Class, Digest16, Event, EventKind, KeyState, Side};
use crate::exchange::{
    Answer, ClientFault, End, Ended, Exchange, ExchangeId, Finish, Listening, Next,
};
use crate::fault::{
    Action, DelayPoint, Ending, Fault, FaultKind, Group, KeyFault, Malformed, OrderFault, Point,
    Substitute,
};
use crate::hint::{HintSpec, WallClock};
use crate::malformed;
use crate::rate_limit::{Rate, registry};
use crate::recognition::Submitted;
use crate::request::Request;
use crate::rule::{Rule, Selector, When};
use crate::seed::{Draw, Seed};

mod lists;
mod order;
mod refusals;
mod unmade;

/// A fault that does exactly one thing.
#[derive(Debug)]
struct Does(Action);

static KIND: [FaultKind; 4] =
    [kind(Group::Delay), kind(Group::Provider), kind(Group::Ending), kind(Group::Client)];

const fn kind(group: Group) -> FaultKind {
    FaultKind {
        name: "does",
        group,
        summary: "",
        parameters: &[],
        mistake: "",
        example: "",
        bare: false,
        schema: |_| schemars::Schema::default(),
        parse: |_: &Value, _: &At<'_>| None,
    }
}

impl Fault for Does {
    fn kind(&self) -> &'static FaultKind {
        match self.0 {
            Action::Delay { .. } | Action::Drip { .. } => &KIND[0],
            Action::Key(_)
            | Action::Limit(_)
            | Action::Order(_)
            | Action::Webhook(_)
            | Action::Job(_)
            | Action::Upload(_)
            | Action::Batch(_)
            | Action::Deprecated(_)
            | Action::Message(_)
            | Action::Duplicate { .. } => &KIND[1],
            Action::Client { .. } => &KIND[3],
            Action::End { .. } | Action::Door(_) => &KIND[2],
        }
    }

    fn strike(&self, _: &mut Draw) -> Action {
        self.0.clone()
    }

    fn point(&self) -> Option<Point> {
        match &self.0 {
            Action::End { at, .. } => Some(*at),
            _ => None,
        }
    }

    fn door(&self) -> Option<crate::fault::Door> {
        match &self.0 {
            Action::Door(door) => Some(*door),
            _ => None,
        }
    }
}

fn first_attempt(action: Action) -> Rule {
    Rule {
        name: "rule".into(),
        when: When { attempt: Selector::List(vec![1]), ..When::default() },
        faults: vec![Arc::new(Does(action))],
    }
}

fn ending(at: Point, ending: Ending) -> Rule {
    first_attempt(Action::End { at, ending })
}

fn status(status: u16, hint: Option<HintSpec>) -> Ending {
    Ending::Answer(Substitute { status: Some(status), hint, ..Substitute::default() })
}

pub(super) struct Bench {
    provider: Provider,
    now: u64,
}

impl Bench {
    fn new(rules: Vec<Rule>) -> Self {
        Self::with(rules, |_| {})
    }

    pub(super) fn with(rules: Vec<Rule>, change: impl FnOnce(&mut api::Api)) -> Self {
        Self::of("payments", rules, change)
    }

    fn of(name: &str, rules: Vec<Rule>, change: impl FnOnce(&mut api::Api)) -> Self {
        let problems = Diagnostics::new();
        let loaded = api::load(name, Path::new("."), &problems.root());
        let (api, _) = loaded.unwrap_or_else(|| panic!("{:?}", problems.into_vec()));
        let mut api = Arc::unwrap_or_clone(api);
        change(&mut api);
        let setup = Setup {
            name: "provider".into(),
            api: Arc::new(api),
            rules,
            seed: Seed::default(),
            wall: WallClock::Beside(SystemTime::UNIX_EPOCH),
            operation_id: None,
            limits: true,
            http2: false,
            webhooks: false,
        };
        Self { provider: Provider::new(setup), now: 0 }
    }

    /// What the holder of an API key is told when it lists charges at this time: the status, and every
    /// header that speaks of limits.
    pub(super) fn told(&mut self, authorization: &'static str, now: u64) -> String {
        self.now = self.now.max(now);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static(authorization));
        let request = Request::sent((Method::GET, "/v1/charges"), headers, &Value::Null, now);
        let exchange = self.provider.handle(request, now);
        let mut next = exchange.next;
        let mut held_until = now;
        while let Next::Wait { until_us } = next {
            held_until = until_us;
            next = self.provider.advance(exchange.id, until_us);
        }
        let Next::Answer(answer) = next else { panic!("no answer but {next:?}") };
        self.finish(exchange.id, Some(&answer), None);
        let of_limits = answer
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().contains("ratelimit") || *name == "retry-after");
        let of_limits: Vec<_> = of_limits.collect();
        format!("{} {held_until} {of_limits:?}", answer.status)
    }

    fn begin(&mut self, method: Method, target: &str, key: Option<&str>, body: Value) -> Exchange {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer pk_test"));
        if let Some(key) = key {
            let name = HeaderName::from_static("idempotency-key");
            headers.insert(name, HeaderValue::from_str(key).unwrap());
        }
        let request = Request::sent((method, target), headers, &body, self.now);
        self.provider.handle(request, self.now)
    }

    fn charge(&mut self, order: &str, key: Option<&str>) -> Exchange {
        let body = json!({"amount": 1999, "currency": "usd", "order": order});
        self.begin(Method::POST, "/v1/charges", key, body)
    }

    /// Drives an exchange until something is to be written or nothing is left.
    fn settle(&mut self, id: ExchangeId, mut next: Next) -> Next {
        while let Next::Wait { until_us } = next {
            self.now = self.now.max(until_us);
            next = self.provider.advance(id, self.now);
        }
        next
    }

    fn finish(&mut self, id: ExchangeId, answer: Option<&Answer>, ended: Option<Ended>) {
        let body_bytes = answer.map_or(0, |answer| u64::try_from(answer.body.len()).unwrap());
        self.provider.finish(
            id,
            Finish {
                head_at_us: answer.map(|_| self.now),
                end_at_us: self.now,
                body_bytes,
                complete: answer.is_some(),
                ended,
            },
        );
    }

    /// One charge from arrival to delivery: the status and the body.
    fn answer(&mut self, exchange: Exchange) -> (u16, Value) {
        for (id, next) in exchange.also {
            assert!(matches!(self.settle(id, next), Next::Done));
        }
        match self.settle(exchange.id, exchange.next) {
            Next::Answer(answer) => {
                self.finish(exchange.id, Some(&answer), None);
                (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
            }
            other => panic!("no answer but {other:?}"),
        }
    }

    fn hang_up(&mut self, id: ExchangeId) {
        self.finish(id, None, Some(Ended { by: Side::Client, how: End::Fin }));
    }

    fn events(&mut self) -> Vec<Event> {
        self.provider.take_events()
    }

    fn effects(&mut self) -> usize {
        let events = self.events();
        events.iter().filter(|one| matches!(one.kind, EventKind::EffectCommitted(_))).count()
    }

    fn keys(events: &[Event]) -> Vec<KeyState> {
        events
            .iter()
            .filter_map(|one| match &one.kind {
                EventKind::Idempotency(one) => Some(one.state),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_charge_is_committed_answered_and_read_back() {
    let mut bench = Bench::new(Vec::new());
    let exchange = bench.charge("order-1", Some("k1"));
    let (status, charge) = bench.answer(exchange);
    assert_eq!(status, 201);
    assert_eq!(charge["amount"], 1999);
    let id = charge["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("ch_") && id.len() == 27, "{id}");
    let exchange = bench.begin(Method::GET, &format!("/v1/charges/{id}"), None, Value::Null);
    assert_eq!(bench.answer(exchange), (200, charge.clone()));
    let exchange = bench.begin(Method::GET, "/v1/charges?order=order-1", None, Value::Null);
    assert_eq!(bench.answer(exchange), (200, json!({"object": "list", "data": [charge]})));
    let exchange = bench.begin(Method::GET, "/v1/charges?order=order-2", None, Value::Null);
    assert_eq!(bench.answer(exchange).1["data"], json!([]));
    let told: Vec<_> = bench
        .events()
        .iter()
        .filter_map(|one| match &one.kind {
            EventKind::ResponseSent(sent) => Some(sent.effects.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [vec![1], vec![1], vec![1], vec![]]);
}

#[test]
fn a_refund_reverses_the_charge_once() {
    let mut bench = Bench::new(Vec::new());
    let exchange = bench.charge("order-1", None);
    let id = bench.answer(exchange).1["id"].clone();
    for expected in [201, 422] {
        let exchange =
            bench.begin(Method::POST, "/v1/refunds", None, json!({"charge": id.clone()}));
        assert_eq!(bench.answer(exchange).0, expected);
    }
    let reversed = bench
        .events()
        .iter()
        .filter(|one| matches!(one.kind, EventKind::EffectReversed(_)))
        .count();
    assert_eq!(reversed, 1);
}

#[test]
fn the_store_keeps_the_providers_own_answer_through_an_injected_error() {
    let mut bench = Bench::new(vec![ending(Point::AfterCommit, status(500, None))]);
    let exchange = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(exchange).0, 500);
    let exchange = bench.charge("order-1", Some("\"k1\""));
    assert_eq!(bench.answer(exchange).0, 201);
    let events = bench.events();
    assert_eq!(Bench::keys(&events), [KeyState::Stored, KeyState::Replayed]);
    let replay = events.iter().rev().find_map(|one| match &one.kind {
        EventKind::ResponseSent(sent) => Some(sent.clone()),
        _ => None,
    });
    let replay = replay.unwrap();
    assert!(replay.replayed && replay.effects == [1] && replay.unusable.is_none());
}

#[test]
fn an_error_before_the_work_leaves_no_effect_and_frees_the_key() {
    let mut bench = Bench::new(vec![ending(Point::BeforeCommit, status(500, None))]);
    let exchange = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(exchange).0, 500);
    assert_eq!(bench.effects(), 0);
    let exchange = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(exchange).0, 201);
    assert_eq!(bench.effects(), 1);
}

#[test]
fn throttling_strikes_before_the_look_up_and_writes_its_hint() {
    let hint = Some(HintSpec::Seconds(1_500_000));
    let mut bench = Bench::new(vec![ending(Point::BeforeCommit, status(429, hint))]);
    let exchange = bench.charge("order-1", Some("k1"));
    let Next::Answer(answer) = exchange.next else { panic!("an answer is due at once") };
    assert_eq!(answer.headers["retry-after"], "2");
    bench.finish(exchange.id, Some(&answer), None);
    let events = bench.events();
    assert!(Bench::keys(&events).is_empty());
    let sent = events.iter().find_map(|one| match &one.kind {
        EventKind::ResponseSent(sent) => Some(sent.clone()),
        _ => None,
    });
    let sent = sent.unwrap();
    assert_eq!(sent.class, Class::Throttling);
    assert_eq!(sent.hints[0].wait_us, Some(2_000_000));
}

#[test]
fn a_slow_provider_still_charges_the_client_that_hung_up() {
    let delay = Action::Delay { at: DelayPoint::BeforeCommit, micros: 5_000_000 };
    let mut bench = Bench::new(vec![first_attempt(delay)]);
    let exchange = bench.charge("order-1", Some("k1"));
    let Next::Wait { until_us } = exchange.next else { panic!("a wait is due") };
    bench.now = 1_000_000;
    bench.hang_up(exchange.id);
    assert_eq!((bench.effects(), bench.provider.pending()), (0, 1));
    let repeat = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(repeat).0, 409, "the key is in flight");
    bench.now = until_us;
    assert!(matches!(bench.provider.advance(exchange.id, bench.now), Next::Done));
    assert_eq!((bench.effects(), bench.provider.pending()), (1, 0));
    let repeat = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(repeat).0, 201);
    assert_eq!(bench.effects(), 0, "the answer was kept and is given again");
}

#[test]
fn a_hang_before_the_work_holds_the_key_until_the_client_closes() {
    let mut bench = Bench::new(vec![ending(Point::BeforeCommit, Ending::Hang)]);
    let hung = bench.charge("order-1", Some("k1"));
    assert!(matches!(hung.next, Next::Silence));
    let repeat = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(repeat).0, 409);
    bench.hang_up(hung.id);
    let repeat = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(repeat).0, 201);
    assert_eq!(bench.effects(), 1);
}

#[test]
fn a_hang_after_the_work_has_charged() {
    let mut bench = Bench::new(vec![ending(Point::AfterCommit, Ending::Hang)]);
    let hung = bench.charge("order-1", Some("k1"));
    assert!(matches!(hung.next, Next::Silence));
    assert_eq!(bench.effects(), 1);
    let repeat = bench.charge("order-1", Some("k1"));
    assert_eq!(bench.answer(repeat).0, 201);
    assert_eq!(bench.effects(), 0);
}

#[test]
fn cuts_end_the_connection_where_they_say() {
    for (at, after_bytes, effects) in [
        (Point::Accept, None, 0),
        (Point::BeforeCommit, None, 0),
        (Point::AfterCommit, None, 1),
        (Point::MidBody, Some(10), 1),
    ] {
        let cut = Ending::Cut { after_bytes, then: End::Rst, connection: false };
        let mut bench = Bench::new(vec![ending(at, cut)]);
        let exchange = bench.charge("order-1", None);
        match exchange.next {
            Next::Drop(End::Rst) => assert!(after_bytes.is_none()),
            Next::Answer(answer) => {
                let cut = answer.wire.cut.unwrap();
                assert_eq!((Some(cut.after_bytes), cut.then), (after_bytes, End::Rst));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.effects(), effects, "{at:?}");
    }
}

#[test]
fn of_an_answer_without_a_body_nothing_goes_out_when_it_is_cut() {
    for (then, dropped) in [(End::Fin, true), (End::Rst, true), (End::Stall, false)] {
        let cut = Ending::Cut { after_bytes: Some(9), then, connection: false };
        let mut bench = Bench::with(vec![ending(Point::MidBody, cut)], |api| {
            for route in &mut api.routes {
                Arc::make_mut(route).success.body = None;
            }
        });
        let next = bench.charge("order-1", None).next;
        if dropped {
            assert!(matches!(next, Next::Drop(end) if end == then), "{next:?}");
        } else {
            assert!(matches!(next, Next::Silence), "{next:?}");
        }
        assert_eq!(bench.effects(), 1);
    }
}

#[test]
fn a_key_that_is_too_long_is_refused_and_leaves_nothing_behind() {
    let mut bench = Bench::with(Vec::new(), |api| {
        api.idempotency.as_mut().unwrap().max_length = 4;
    });
    for (key, status) in [("12345", 400), ("1234", 201), ("\"1234\"", 201), ("12345", 400)] {
        let exchange = bench.charge("order-1", Some(key));
        assert_eq!(bench.answer(exchange).0, status, "{key}");
    }
    let events = bench.events();
    assert_eq!(Bench::keys(&events), [KeyState::Stored, KeyState::Replayed]);
    let refused: Vec<bool> = events
        .iter()
        .filter_map(|one| match &one.kind {
            EventKind::ResponseSent(sent) => Some(sent.refuses_key),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [true, false, false, true]);
}

#[test]
fn a_reset_at_accept_can_strike_before_the_body_is_read() {
    let cut = Ending::Cut { after_bytes: None, then: End::Rst, connection: false };
    let mut bench = Bench::new(vec![ending(Point::Accept, cut)]);
    assert!(bench.provider.wants_heads());
    let submitted = Submitted {
        id: "op-0001".into(),
        n: 1,
        submit: 1,
        call: "create_charge".into(),
        input: json!({"order": "order-1"}),
        trace: None,
    };
    bench.provider.register(&submitted, 0);
    let mut head =
        Request::sent((Method::POST, "/~op-0001.1/v1/charges"), HeaderMap::new(), &Value::Null, 0);
    let exchange = bench.provider.accept(&head, 0).expect("the operation is in the URL");
    assert!(matches!(exchange.next, Next::Drop(End::Rst)));
    assert!(bench.provider.accept(&head, 0).is_none(), "the rule names the first attempt alone");
    head.target = "/v1/charges".to_owned();
    assert!(bench.provider.accept(&head, 0).is_none(), "only the body could tell the operation");
}

#[test]
fn a_credential_is_the_same_whatever_operation_stands_behind_it() {
    let mut bench = Bench::new(Vec::new());
    for key in ["Bearer pk_a~op-0001.1", "Bearer pk_a~op-0002.1", "Bearer pk_b~op-0003.1"] {
        bench.told(key, 0);
    }
    let digests: Vec<_> = bench
        .events()
        .iter()
        .filter_map(|one| match &one.kind {
            EventKind::RequestReceived(request) => request.auth_digest,
            _ => None,
        })
        .collect();
    assert_eq!(digests, ["pk_a", "pk_a", "pk_b"].map(|key| Digest16::of(key.as_bytes())));
}

#[test]
fn a_gateway_repeats_a_request_without_a_key_and_charges_twice() {
    for (key, effects) in [(None, 2), (Some("k1"), 1)] {
        let repeat = Action::Duplicate { times: 1, apart_us: 1_000 };
        let mut bench = Bench::new(vec![first_attempt(repeat)]);
        let exchange = bench.charge("order-1", key);
        assert_eq!((exchange.also.len(), bench.provider.pending()), (1, 1));
        assert_eq!(bench.answer(exchange).0, 201);
        let events = bench.events();
        let by_provider: Vec<_> = events
            .iter()
            .filter_map(|one| match &one.kind {
                EventKind::EffectCommitted(effect) => Some(effect.by),
                _ => None,
            })
            .collect();
        assert_eq!(by_provider.len(), effects, "{key:?}");
        if effects == 2 {
            assert!(by_provider.contains(&Side::Provider));
            let ids: std::collections::BTreeSet<_> = events
                .iter()
                .filter_map(|one| match &one.kind {
                    EventKind::EffectCommitted(effect) => effect.object.clone(),
                    _ => None,
                })
                .collect();
            assert_eq!(ids.len(), 2, "each charge is an object of its own");
        }
        assert_eq!(bench.provider.pending(), 0);
    }
}

#[test]
fn an_ignored_key_charges_each_time() {
    let rule = Rule { when: When::default(), ..first_attempt(Action::Key(KeyFault::Ignore)) };
    let mut bench = Bench::new(vec![rule]);
    for _ in 0..3 {
        let exchange = bench.charge("order-1", Some("k1"));
        assert_eq!(bench.answer(exchange).0, 201);
    }
    let events = bench.events();
    assert_eq!(Bench::keys(&events), [KeyState::Ignored; 3]);
}

#[test]
fn a_conflict_holds_the_key_for_its_time() {
    let conflict = Ending::InFlight { for_us: 2_000, hint: None };
    let mut bench = Bench::new(vec![ending(Point::AfterCommit, conflict)]);
    for (now, expected) in [(0, 409), (1_999, 409), (2_000, 201)] {
        bench.now = now;
        let exchange = bench.charge("order-1", Some("k1"));
        assert_eq!(bench.answer(exchange).0, expected, "at {now}");
    }
    assert_eq!(bench.effects(), 1);
}

#[test]
fn a_malformed_answer_before_the_work_looks_fine_and_nothing_was_done() {
    for (at, effects) in [(Point::BeforeCommit, 0), (Point::AfterCommit, 1)] {
        let how = Malformed { kind: malformed::Kind::MissingField, field: None, size: 0, bits: 0 };
        let mut bench = Bench::new(vec![ending(at, Ending::Malformed(how))]);
        let exchange = bench.charge("order-1", None);
        let (status, body) = bench.answer(exchange);
        assert_eq!((status, &body["amount"], body.get("id")), (201, &json!(1999), None));
        let events = bench.events();
        let unusable = events.iter().find_map(|one| match &one.kind {
            EventKind::ResponseSent(sent) => sent.unusable.clone(),
            _ => None,
        });
        assert!(unusable.unwrap().contains("/id"));
        let committed =
            events.iter().filter(|one| matches!(one.kind, EventKind::EffectCommitted(_))).count();
        assert_eq!(committed, effects, "{at:?}");
    }
}

#[test]
fn a_key_with_another_body_is_refused_and_the_trace_knows_why() {
    let mut bench = Bench::new(Vec::new());
    let exchange = bench.charge("order-1", Some("k1"));
    bench.answer(exchange);
    let exchange = bench.charge("order-2", Some("k1"));
    assert_eq!(bench.answer(exchange).0, 422);
    let refused = bench.events().iter().any(|one| match &one.kind {
        EventKind::ResponseSent(sent) => sent.refuses_key,
        _ => false,
    });
    assert!(refused);
}

#[test]
fn the_limiter_refuses_with_an_exact_hint() {
    let mut bench = Bench::with(Vec::new(), |api| {
        api.rate_limit = Some(api::RateLimitPolicy {
            algorithm: registry::ALGORITHMS[0],
            rate: Rate { limit: 1, per_us: 3_000_000, burst: 1 },
            cost: api::Cost::Units(1),
            quota: None,
            scope: api::LimitScope::ApiKey,
        });
    });
    let exchange = bench.charge("order-1", None);
    assert_eq!(bench.answer(exchange).0, 201);
    bench.now = 500_000;
    let exchange = bench.charge("order-2", None);
    let Next::Answer(answer) = &exchange.next else { panic!("a refusal is due") };
    assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &"3".parse().unwrap()));
    assert_eq!(answer.headers["x-ratelimit-remaining"], "0");
    bench.answer(exchange);
    bench.now = 3_000_000;
    let exchange = bench.charge("order-2", None);
    assert_eq!(bench.answer(exchange).0, 201);
}

#[test]
fn what_matches_no_route_and_what_the_api_refuses_has_no_effect() {
    let mut bench = Bench::new(Vec::new());
    let exchange = bench.begin(Method::GET, "/favicon.ico", None, Value::Null);
    assert_eq!(bench.answer(exchange).0, 404);
    let exchange = bench.begin(Method::POST, "/v1/charges", Some("k"), json!({"amount": "x"}));
    assert_eq!(bench.answer(exchange).0, 400);
    let exchange = bench.charge("order-1", Some("k"));
    assert_eq!(bench.answer(exchange).0, 201, "a refused request leaves its key free");
    assert_eq!(bench.effects(), 1);
}

#[test]
fn delays_add_up_where_they_are_spent() {
    let rule = |action| Rule {
        name: "slow".into(),
        when: When::default(),
        faults: vec![Arc::new(Does(action))],
    };
    let before = Action::Delay { at: DelayPoint::BeforeCommit, micros: 1_000 };
    let after = Action::Delay { at: DelayPoint::AfterCommit, micros: 50 };
    let mut bench = Bench::new(vec![rule(before.clone()), rule(after), rule(before)]);
    let exchange = bench.charge("order-1", None);
    assert!(matches!(exchange.next, Next::Wait { until_us: 2_000 }));
    assert_eq!(bench.effects(), 0);
    let next = bench.provider.advance(exchange.id, 2_000);
    assert!(matches!(next, Next::Wait { until_us: 2_050 }));
    assert_eq!(bench.effects(), 1);
    assert_eq!(bench.provider.pending(), 0, "the work is done; only the answer is late");
    assert!(matches!(bench.provider.advance(exchange.id, 2_050), Next::Answer(_)));
}

#[test]
fn where_nobody_submits_operations_they_count_by_first_arrival_outside_the_schedule() {
    let mut rule = ending(Point::BeforeCommit, status(500, None));
    rule.when.operation = Selector::List(vec![2]);
    let mut bench = Bench::new(vec![rule.clone()]);
    let statuses: Vec<u16> = ["a", "b", "b", "c", "a"]
        .map(|order| {
            let exchange = bench.charge(order, None);
            bench.answer(exchange).0
        })
        .to_vec();
    assert_eq!(statuses, [201, 500, 201, 201, 201]);
    for event in bench.events() {
        match event.kind {
            EventKind::RequestReceived(received) => assert_eq!(received.drawn, []),
            EventKind::FaultInjected(fault) => assert!(!fault.scheduled),
            _ => {}
        }
    }

    // Where a workload gives the numbers, what it never submitted has none.
    let mut bench = Bench::new(vec![rule]);
    bench.provider.register(
        &Submitted {
            id: "op-0002".into(),
            n: 2,
            submit: 1,
            call: "create_charge".into(),
            input: json!({"order": "b"}),
            trace: None,
        },
        0,
    );
    let statuses = ["a", "c", "b"].map(|order| {
        let exchange = bench.charge(order, None);
        bench.answer(exchange).0
    });
    assert_eq!(statuses, [201, 201, 500]);
}

/// A rule at the door, in this time after the first request.
fn away(from_s: u64, to_s: u64) -> Rule {
    Rule {
        name: "away".into(),
        when: When { during_us: Some((from_s * 1_000_000, to_s * 1_000_000)), ..When::default() },
        faults: vec![Arc::new(Does(Action::Door(crate::fault::Door::Closed)))],
    }
}

#[test]
fn the_door_is_closed_in_its_time_which_begins_with_the_first_request() {
    let mut bench = Bench::new(vec![away(1, 3)]);
    assert!(bench.provider.minds_the_door());
    let before = bench.provider.listening(9_000_000);
    assert_eq!(before, Listening::ALWAYS, "no request has come");
    let first_us = 10_000_000;
    bench.now = first_us;
    bench.charge("order-1", None);
    for (after_us, open, until_us) in [
        (0, true, Some(1_000_000)),
        (999_999, true, Some(1_000_000)),
        (1_000_000, false, Some(3_000_000)),
        (2_999_999, false, Some(3_000_000)),
        (3_000_000, true, None),
    ] {
        let until_us = until_us.map(|until_us: u64| first_us + until_us);
        let expected = Listening { open, until_us };
        assert_eq!(bench.provider.listening(first_us + after_us), expected, "after {after_us}");
    }
    let told = bench.events();
    let told = told.iter().filter(|event| matches!(event.kind, EventKind::FaultInjected(_)));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_client_is_struck_once_at_its_point_and_never_when_it_has_gone() {
    for (at, effects, keys) in [(Point::BeforeCommit, 0, 201), (Point::AfterCommit, 1, 201)] {
        let rule = first_attempt(Action::Client { at, does: ClientFault::Kill });
        let mut bench = Bench::new(vec![rule]);
        let exchange = bench.charge("order-1", Some("k1"));
        assert!(matches!(exchange.next, Next::Silence), "nobody waits for an answer");
        let struck = bench.provider.take_client_strikes();
        assert_eq!(struck.len(), 1);
        assert_eq!((struck[0].submit, struck[0].does), (1, ClientFault::Kill));
        assert!(bench.provider.take_client_strikes().is_empty());
        assert_eq!(bench.effects(), effects, "{at:?}");
        bench.hang_up(exchange.id);
        let again = bench.charge("order-1", Some("k1"));
        assert_eq!(bench.answer(again).0, keys, "its key is free, or replayed");
        assert_eq!(bench.effects(), 1 - effects);
    }
    // A slow provider reaches the point only after the client hung up by itself.
    let delay = first_attempt(Action::Delay { at: DelayPoint::BeforeCommit, micros: 5_000_000 });
    let kill = first_attempt(Action::Client { at: Point::AfterCommit, does: ClientFault::Kill });
    let mut bench = Bench::new(vec![delay, kill]);
    let exchange = bench.charge("order-1", None);
    bench.hang_up(exchange.id);
    bench.settle(exchange.id, exchange.next);
    assert_eq!(bench.effects(), 1);
    assert!(bench.provider.take_client_strikes().is_empty());
}

#[test]
fn a_client_that_is_to_stand_still_does_so_before_the_provider_goes_on() {
    for at in [Point::BeforeCommit, Point::AfterCommit] {
        let does = ClientFault::Pause { for_us: 7 };
        let mut bench = Bench::new(vec![first_attempt(Action::Client { at, does })]);
        let exchange = bench.charge("order-1", None);
        assert!(matches!(exchange.next, Next::Wait { until_us: 10_000 }), "{:?}", exchange.next);
        assert_eq!(bench.provider.take_client_strikes().len(), 1);
        assert_eq!(bench.answer(exchange).0, 201);
    }
    let does = ClientFault::Pause { for_us: 7 };
    let mut bench = Bench::new(vec![first_attempt(Action::Client { at: Point::MidBody, does })]);
    let exchange = bench.charge("order-1", None);
    let Next::Answer(answer) = &exchange.next else { panic!("an answer is due at once") };
    let pace = answer.wire.pace.expect("it comes in halves");
    assert_eq!(pace.bytes, answer.body.len().div_ceil(2));
    assert!(bench.provider.take_client_strikes()[0].mid_body);
}

#[test]
fn time_begins_with_the_first_request_also_where_a_handshake_came_long_before() {
    use crate::fault::{Door, Greeting};
    let greets = Rule {
        name: "expired".into(),
        when: When { during_us: Some((0, 1_000_000)), ..When::default() },
        faults: vec![Arc::new(Does(Action::Door(Door::Greets(Greeting::Expired))))],
    };
    let mut bench = Bench::new(vec![greets, away(0, 1)]);
    assert_eq!(bench.provider.greeting(5_000_000), Some(Greeting::Expired));
    assert_eq!(bench.provider.greeting(6_000_000), None);
    assert_eq!(bench.provider.listening(6_000_000), Listening::ALWAYS);
    bench.now = 9_000_000;
    bench.charge("order-1", None);
    let closed = Listening { open: false, until_us: Some(10_000_000) };
    assert_eq!(bench.provider.listening(9_500_000), closed);
    assert_eq!(bench.provider.greeting(9_500_000), None, "which it met before its request");
}
