//! Uploads that are read slowly, work that is seen late, and reads that lag behind.

use super::*;

/// A rule for one route.
fn on(route: &str, action: Action) -> Rule {
    let when = When { route: Some(route.into()), ..When::default() };
    Rule { name: "rule".into(), when, faults: vec![Arc::new(Does(action))] }
}

/// The attempts that came, in the order in which they are told of, and whether their bodies were not read.
fn attempts(events: &[Event]) -> Vec<(u32, bool)> {
    events
        .iter()
        .filter_map(|one| match &one.kind {
            EventKind::RequestReceived(one) => Some((one.attempt, one.body_unread)),
            _ => None,
        })
        .collect()
}

#[test]
fn an_upload_is_an_attempt_from_its_head_on() {
    let mut rule = on("create_charge", Action::Order(OrderFault::Read { per_second: 1_024 }));
    rule.when.max_times = Some(1);
    let body = json!({"amount": 1999, "currency": "usd", "order": "order-1"});
    let head = |body: &Value| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer pk_test"));
        Request::sent((Method::POST, "/~op-0001.1/v1/charges"), headers, body, 0)
    };
    for gives_up in [true, false] {
        let mut bench = Bench::new(vec![rule.clone()]);
        let (id, rate) = bench.provider.upload(&head(&Value::Null), 0).expect("it is slow");
        assert_eq!((rate, bench.provider.pending()), (1_024, 1));
        assert_eq!(bench.provider.upload(&head(&Value::Null), 0), None, "it strikes once");
        let second = bench.provider.handle(head(&body), 0);
        assert_eq!(bench.answer(second).0, 201);
        if gives_up {
            bench.hang_up(id);
        } else {
            let exchange = bench.provider.uploaded(id, head(&body), 9);
            assert_eq!(exchange.id, id);
            assert_eq!(bench.answer(exchange).0, 201);
        }
        assert_eq!(bench.provider.pending(), 0);
        let events = bench.events();
        assert_eq!(attempts(&events), [(2, false), (1, gives_up)]);
        let count = |is: fn(&EventKind) -> bool| events.iter().filter(|one| is(&one.kind)).count();
        assert_eq!(count(|kind| matches!(kind, EventKind::FaultInjected(_))), 1);
        let done = count(|kind| matches!(kind, EventKind::EffectCommitted(_)));
        assert_eq!(done, if gives_up { 1 } else { 2 });
    }
}

#[test]
fn a_request_that_is_known_by_its_body_is_not_done_either_when_its_client_gives_up() {
    let rule = on("create_charge", Action::Order(OrderFault::Read { per_second: 10 }));
    let mut bench = Bench::new(vec![rule]);
    let exchange = bench.charge("order-1", None);
    let Next::Wait { until_us } = exchange.next else { panic!("{exchange:?}") };
    assert_eq!(bench.provider.pending(), 1);
    bench.hang_up(exchange.id);
    assert_eq!(bench.provider.pending(), 0);
    assert!(matches!(bench.provider.advance(exchange.id, until_us), Next::Done));
    assert_eq!(bench.effects(), 0);
}

#[test]
fn work_that_is_seen_later_is_done_at_once_and_not_twice() {
    let slow = Action::Order(OrderFault::Slow { by_us: 2_000_000 });
    let mut bench = Bench::new(vec![on("refund_charge", slow)]);
    let exchange = bench.charge("order-1", None);
    let (_, charge) = bench.answer(exchange);
    let refund = json!({"charge": charge["id"]});
    let exchange = bench.begin(Method::POST, "/v1/refunds", None, refund.clone());
    let [(later, Next::Wait { until_us })] = exchange.also[..] else { panic!("{exchange:?}") };
    assert_eq!(bench.answer(Exchange { also: Vec::new(), ..exchange }).0, 201);
    let again = bench.begin(Method::POST, "/v1/refunds", None, refund);
    assert_ne!(bench.answer(Exchange { also: Vec::new(), ..again }).0, 201);
    let target = format!("/v1/charges/{}", charge["id"].as_str().unwrap());
    let read = bench.begin(Method::GET, &target, None, Value::Null);
    assert_eq!(bench.answer(read).1["status"], "succeeded");
    let undone = |events: Vec<Event>| {
        events.iter().filter(|one| matches!(one.kind, EventKind::EffectReversed(_))).count()
    };
    assert_eq!((undone(bench.events()), bench.provider.pending()), (0, 1));
    bench.now = until_us;
    assert!(matches!(bench.provider.advance(later, until_us), Next::Done));
    assert_eq!((undone(bench.events()), bench.provider.pending()), (1, 0));
    let read = bench.begin(Method::GET, &target, None, Value::Null);
    assert_eq!(bench.answer(read).1["status"], "refunded");
}

#[test]
fn nobody_waits_for_work_that_is_not_done_and_a_promise_has_an_owner() {
    let slow = Action::Order(OrderFault::Slow { by_us: 60_000_000 });
    let promise = Action::End { at: Point::BeforeCommit, ending: Ending::Accepted };
    let mut bench = Bench::new(vec![on("create_charge", slow), on("create_charge", promise)]);
    let exchange = bench.charge("order-1", None);
    let also = exchange.also.len();
    let (status, charge) = bench.answer(Exchange { also: Vec::new(), ..exchange });
    assert_eq!((status, also, bench.provider.pending()), (202, 1, 0));
    let target = format!("/v1/charges/{}", charge["id"].as_str().unwrap());
    let read = bench.begin(Method::GET, &target, None, Value::Null);
    assert_eq!(bench.answer(read).0, 404);
    let operations: Vec<_> = bench
        .events()
        .iter()
        .filter_map(|one| match &one.kind {
            EventKind::RequestReceived(one) => one.operation.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(operations.len(), 2);
    assert_eq!(operations[0], operations[1]);
}

#[test]
fn a_read_that_shows_nothing_old_is_not_counted_and_the_longest_lag_is_named() {
    let rule = |name: &str, lag_us| {
        let mut rule = on("get_charge", Action::Order(OrderFault::Stale { lag_us }));
        rule.name = name.into();
        rule.when.max_times = Some(1);
        rule
    };
    let mut bench = Bench::new(vec![rule("short", 1_000_000), rule("long", 2_000_000)]);
    let mut targets = Vec::new();
    for order in ["order-1", "order-2"] {
        bench.now += 3_000_000;
        let exchange = bench.charge(order, None);
        let (_, charge) = bench.answer(exchange);
        targets.push(format!("/v1/charges/{}", charge["id"].as_str().unwrap()));
    }
    for (target, expected) in targets.iter().zip([200, 404]) {
        let read = bench.begin(Method::GET, target, None, Value::Null);
        assert_eq!(bench.answer(read).0, expected, "{target}");
    }
    let named: Vec<_> = bench
        .events()
        .iter()
        .filter_map(|one| match &one.kind {
            EventKind::FaultInjected(one) => Some(one.rule.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(named, ["long"]);
}
