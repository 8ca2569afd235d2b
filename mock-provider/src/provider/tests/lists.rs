//! Lists, page by page, as a client is given them.

use super::*;
use crate::api::Breach;

/// A provider whose charges are listed two by two, with errors of its own, and the ids of three charges.
fn listed(rules: Vec<Rule>) -> (Bench, Vec<String>) {
    let mut bench = Bench::with(rules, |api| {
        // Any named error of the API will do to tell it from the usual ones.
        api.errors.wrong.insert(Breach::UnknownCursor, "key_too_long".into());
        for route in api.routes.iter_mut().filter(|route| &*route.name == "list_charges") {
            let route = Arc::make_mut(route);
            let lists = route.lists.as_mut().expect("it lists");
            (lists.usual, lists.limit) = (2, 3);
            (lists.after, lists.before) = (Some("after".to_owned()), Some("before".to_owned()));
            let body = json!({"data": "{{ objects }}", "has_more": "{{ has_more }}"});
            let problems = Diagnostics::new();
            route.success.body =
                crate::template::Tree::resolve(&body, &["objects", "has_more"], &problems.root());
        }
    });
    let ids = (0..3).map(|n| {
        bench.now += 1_000_000;
        let exchange = bench.charge(&format!("order-{n}"), None);
        bench.answer(exchange).1["id"].as_str().expect("text").to_owned()
    });
    let ids = ids.collect();
    (bench, ids)
}

fn get(bench: &mut Bench, query: &str) -> (u16, Value) {
    let read = bench.begin(Method::GET, &format!("/v1/charges?{query}"), None, Value::Null);
    bench.answer(read)
}

/// The ids of a page and whether there are more behind it.
fn page(bench: &mut Bench, query: &str) -> (Vec<String>, bool) {
    let (status, body) = get(bench, query);
    assert_eq!(status, 200, "{query}: {body}");
    let ids = body["data"].as_array().expect("a list").iter();
    let ids = ids.map(|one| one["id"].as_str().expect("text").to_owned()).collect();
    (ids, body["has_more"].as_bool().expect("yes or no"))
}

/// How often something old was shown.
fn lagged(bench: &mut Bench) -> usize {
    let events = bench.events();
    events.iter().filter(|one| matches!(one.kind, EventKind::FaultInjected(_))).count()
}

#[test]
fn a_query_for_a_page_that_cannot_be_is_refused_and_told_why() {
    let (mut bench, ids) = listed(Vec::new());
    assert_eq!(page(&mut bench, ""), (ids[..2].to_vec(), true));
    assert_eq!(page(&mut bench, "limit=3"), (ids.clone(), false));
    assert_eq!(page(&mut bench, &format!("after={}", ids[1])), (ids[2..].to_vec(), false));
    let both = format!("after={}&before={}", ids[0], ids[2]);
    for (query, status, code, says) in [
        ("limit=0", 400, "invalid_request", "limit must be an integer from 1 to 3"),
        ("limit=4", 400, "invalid_request", "limit must be an integer from 1 to 3"),
        ("limit=-1", 400, "invalid_request", "limit must be an integer from 1 to 3"),
        ("limit=abc", 400, "invalid_request", "limit must be an integer from 1 to 3"),
        ("limit=99999999999999999999", 400, "invalid_request", "limit must be"),
        (&*both, 400, "invalid_request", "after and before were both given"),
        (
            "before=ch_none",
            400,
            "idempotency_key_too_long",
            "there is no such object to list from: 'ch_none'",
        ),
    ] {
        let (found, body) = get(&mut bench, query);
        assert_eq!((found, &body["error"]["code"]), (status, &json!(code)), "{query}: {body}");
        assert!(body["error"]["message"].as_str().expect("text").contains(says), "{body}");
    }
}

#[test]
fn an_object_is_named_by_the_id_that_it_was_made_with_whatever_it_shows() {
    let mut bench = Bench::with(Vec::new(), |api| {
        for route in &mut api.routes {
            let route = Arc::make_mut(route);
            if let Some(lists) = &mut route.lists {
                lists.after = Some("after".to_owned());
            }
            if let Some(creates) = &mut route.creates {
                let fields = json!({"number": "{{ id }}"});
                let problems = Diagnostics::new();
                creates.fields =
                    crate::template::Tree::resolve(&fields, &["id"], &problems.root()).unwrap();
            }
        }
    });
    let numbers: Vec<Value> = (0..2)
        .map(|n| {
            let exchange = bench.charge(&format!("order-{n}"), None);
            bench.answer(exchange).1["number"].clone()
        })
        .collect();
    let first = numbers[0].as_str().expect("text");
    let (status, body) = get(&mut bench, &format!("after={first}"));
    assert_eq!((status, &body["data"][0]["number"]), (200, &numbers[1]), "{body}");
}

#[test]
fn what_one_tenant_made_is_neither_read_nor_listed_for_another_nor_a_place_in_its_list() {
    let (mut bench, _) = listed(Vec::new());
    let tenants = [("a".into(), "pk_a".to_owned()), ("b".into(), "pk_b".to_owned())];
    bench.provider = bench.provider.with_tenants(tenants);
    let mut as_tenant = |key: &str, method: Method, target: &str, body: Value| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
        headers.insert("authorization", value);
        let request = Request::sent((method, target), headers, &body, bench.now);
        let exchange = bench.provider.handle(request, bench.now);
        bench.answer(exchange)
    };
    let charge = json!({"amount": 1, "currency": "usd", "order": "of a"});
    let made = as_tenant("pk_a", Method::POST, "/v1/charges", charge).1;
    let cursor = format!("/v1/charges?before={}", made["id"].as_str().expect("text"));
    let listed = as_tenant("pk_a", Method::GET, "/v1/charges?order=of+a", Value::Null).1;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    let listed = as_tenant("pk_b", Method::GET, "/v1/charges?order=of+a", Value::Null).1;
    assert_eq!(listed["data"], json!([]));
    assert_eq!(as_tenant("pk_a", Method::GET, &cursor, Value::Null).0, 200);
    assert_eq!(as_tenant("pk_b", Method::GET, &cursor, Value::Null).0, 400);
    let one = format!("/v1/charges/{}", made["id"].as_str().expect("text"));
    assert_eq!(as_tenant("pk_a", Method::GET, &one, Value::Null).0, 200);
    assert_eq!(as_tenant("pk_b", Method::GET, &one, Value::Null).0, 404);
}

#[test]
fn a_page_is_old_by_its_end_and_by_the_object_at_which_it_begins_too() {
    let when = When { route: Some("list_charges".into()), ..When::default() };
    let faults = Action::Order(OrderFault::Stale { lag_us: 500_000 });
    let rule = Rule { when, ..first_attempt(faults) };
    let (mut bench, ids) = listed(vec![rule]);
    // Of three charges one is not seen yet: the first page is the same, and is the last.
    assert_eq!(page(&mut bench, ""), (ids[..2].to_vec(), false));
    assert_eq!(lagged(&mut bench), 1);
    // The same object, which is seen already, and nothing more.
    assert_eq!(page(&mut bench, "limit=1"), (ids[..1].to_vec(), true));
    assert_eq!(lagged(&mut bench), 0);
    // The page begins behind what nobody sees yet.
    assert_eq!(get(&mut bench, &format!("after={}", ids[2])).0, 400);
    assert_eq!(lagged(&mut bench), 1);
    // Nobody will ever see that one: nothing about it is old.
    assert_eq!(get(&mut bench, "after=ch_none").0, 400);
    assert_eq!(lagged(&mut bench), 0);
    bench.now += 2_000_000;
    assert_eq!(page(&mut bench, ""), (ids[..2].to_vec(), true));
    assert_eq!(lagged(&mut bench), 0);
}
