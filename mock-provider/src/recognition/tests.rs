//! The six ways, their order, and what hostile clients may send.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::Diagnostics;
use crate::ledger::{History, Object};

fn api(document: &Value) -> Arc<Api> {
    let problems = Diagnostics::new();
    let api = crate::api::from_value(document, &problems.root());
    assert!(!problems.has_errors(), "{:?}", problems.into_vec());
    api.expect("resolves")
}

fn recognizer(operation_id: &[&str]) -> Recognizer {
    let mut document = json!({
        "name": "x",
        "sdk": {"call_id": "x-call", "retry_count": "x-retry"},
        "routes": [{"name": "make", "method": "POST", "path": "/make"}]
    });
    if !operation_id.is_empty() {
        document["operation_id"] = json!(operation_id);
    }
    Recognizer::new(&api(&document), None)
}

fn submit(recognizer: &mut Recognizer, n: u64, submit: u32, input: Value) {
    recognizer.submitted(&Submitted {
        id: format!("op-{n:04}").into(),
        n,
        submit,
        call: "make".into(),
        input,
        trace: None,
    });
}

/// A request, as a test writes it.
#[derive(Clone, Default)]
struct Sent {
    target: &'static str,
    token: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Value>,
    path: Value,
    ledger: Ledger,
}

impl Sent {
    fn to(target: &'static str) -> Self {
        Self { target, ..Self::default() }
    }

    fn with<T>(&self, recognizer: &Recognizer, then: impl FnOnce(&Evidence<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.insert(*name, value.parse().expect("a value"));
        }
        let (_, rest) = recognizer.strip(self.target);
        let rest = rest.into_owned();
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let call = Call {
            path: self.path.clone(),
            query: crate::api::read_form(query.as_bytes()),
            body: self.body.clone(),
            ..Call::default()
        };
        let canonical = crate::api::canonical(call.body(), &[]);
        then(&Evidence {
            target: self.target,
            rest: &rest,
            key_token: self.token,
            method: &Method::POST,
            headers: &headers,
            call: &call,
            canonical: Digest16::of(&canonical),
        })
    }

    /// The operation, submit and way of a request, which is told to the recognizer as `request`.
    fn seen(&self, recognizer: &mut Recognizer, request: ExchangeId) -> (String, u32, Recognized) {
        let mut copy = None;
        self.with(recognizer, |evidence| {
            copy =
                Some((evidence.rest.to_owned(), evidence.headers.clone(), evidence.call.clone()));
        });
        let (rest, headers, call) = copy.expect("was copied");
        let evidence = Evidence {
            target: self.target,
            rest: &rest,
            key_token: self.token,
            method: &Method::POST,
            headers: &headers,
            call: &call,
            canonical: Digest16::of(&crate::api::canonical(call.body(), &[])),
        };
        let found = recognizer.recognize(&evidence, &self.ledger, request);
        (found.operation.to_string(), found.submit, found.how)
    }
}

fn named(operation: &str, submit: u32, how: Recognized) -> (String, u32, Recognized) {
    (operation.to_owned(), submit, how)
}

#[test]
fn the_token_of_the_url_outranks_that_of_the_key_and_all_else() {
    let mut all = recognizer(&["json:/order"]);
    submit(&mut all, 3, 1, json!({"order": "a"}));
    submit(&mut all, 3, 2, json!({"order": "a"}));
    submit(&mut all, 4, 1, json!({"order": "b"}));
    let body = Some(json!({"order": "b"}));
    let sent = Sent { token: Some("op-0003.1"), body, ..Sent::to("/~op-0003.2/make?x=1") };
    assert_eq!(sent.seen(&mut all, 1), named("op-0003", 2, Recognized::Url));
    let sent = Sent { target: "/make", ..sent };
    assert_eq!(sent.seen(&mut all, 2), named("op-0003", 1, Recognized::ApiKey));
    let sent = Sent { token: None, ..sent };
    assert_eq!(sent.seen(&mut all, 3), named("op-0004", 1, Recognized::Extractor));
    let number = sent.with(&all, |evidence| all.by_value(evidence)).expect("found").number;
    assert_eq!(number, Some(4));
}

#[test]
fn the_token_is_taken_off_the_target_however_it_ends() {
    let all = recognizer(&[]);
    for (target, token, rest) in [
        ("/~op-0001.1/v1/x?y=1", Some("op-0001.1"), "/v1/x?y=1"),
        ("/%7Eop-0001.1/v1", Some("op-0001.1"), "/v1"),
        ("/~op-0001.1", Some("op-0001.1"), "/"),
        ("/~op-0001.1?y=1", Some("op-0001.1"), "/?y=1"),
        ("/~/v1", Some(""), "/v1"),
        ("/~../../etc", Some(".."), "/../etc"),
        ("/v1/~op-0001.1/x", None, "/v1/~op-0001.1/x"),
        ("", None, ""),
        ("*", None, "*"),
    ] {
        let (found, left) = all.strip(target);
        assert_eq!((found, &*left), (token, rest), "{target}");
    }
}

#[test]
fn the_token_of_a_copy_names_the_copy_and_no_operation() {
    for (token, copy) in [
        (".2", Some(2)),
        (".10", Some(10)),
        (".0", None),
        (".02", None),
        (".", None),
        (".+1", None),
        (".99999999999", None),
        ("2", None),
        ("op-0001.2", None),
    ] {
        assert_eq!(read_copy(token), copy, "{token}");
    }
    let mut all = recognizer(&[]);
    submit(&mut all, 1, 1, Value::Null);
    let (_, _, how) = Sent { token: Some(".1"), ..Sent::to("/~.1/make") }.seen(&mut all, 1);
    assert_eq!(how, Recognized::New);
}

#[test]
fn a_token_that_is_no_plain_name_or_no_submit_of_its_operation_names_nothing() {
    let mut all = recognizer(&[]);
    submit(&mut all, 1, 1, Value::Null);
    for token in [
        "op-0001.2",
        "op-0001.0",
        "op-0001.99999999999",
        "op-0001.-1",
        "op-0001.1.1",
        "OP-0001.1",
        "op-0001%2E1",
        "..",
        "op/0001",
        "",
        ".1",
        "op-0001.",
        "é",
        &"a".repeat(65),
    ] {
        let token: &'static str = Box::leak(token.to_owned().into_boxed_str());
        let sent = Sent { token: Some(token), ..Sent::to("/make") };
        let (operation, _, how) = sent.seen(&mut all, 1);
        assert_eq!(how, Recognized::New, "{token}");
        assert!(operation.starts_with("seen-"), "{token}");
    }
    let sent = Sent { token: Some("my-own"), ..Sent::to("/make") };
    assert_eq!(sent.seen(&mut all, 2), named("my-own", 1, Recognized::ApiKey));
}

#[test]
fn a_value_names_the_operation_whose_input_has_it_and_a_shared_one_names_none() {
    let mut all = recognizer(&["json:/metadata/order", "query:order"]);
    submit(&mut all, 1, 1, json!({"order": "a"}));
    submit(&mut all, 1, 2, json!({"order": "a"}));
    submit(&mut all, 2, 1, json!({"deep": {"order": 7}}));
    submit(&mut all, 3, 1, json!({"order": "same"}));
    submit(&mut all, 4, 1, json!({"order": "same"}));
    let by = |order: Value| Sent {
        body: Some(json!({"metadata": {"order": order}})),
        ..Sent::to("/make")
    };
    assert_eq!(by(json!("a")).seen(&mut all, 1), named("op-0001", 1, Recognized::Extractor));
    assert_eq!(by(json!("7")).seen(&mut all, 2), named("op-0002", 1, Recognized::Extractor));
    assert_eq!(by(json!(7)).seen(&mut all, 3), named("op-0002", 1, Recognized::Extractor));
    assert_eq!(by(json!("same")).seen(&mut all, 4).2, Recognized::New);
    assert_eq!(by(json!("other")).seen(&mut all, 5), named("other", 1, Recognized::Extractor));
    let query = Sent::to("/make?order=a");
    assert_eq!(query.seen(&mut all, 6), named("op-0001", 1, Recognized::Extractor));
    let long: String = "x".repeat(1000);
    let (operation, _, _) = by(json!(long)).seen(&mut all, 7);
    assert!(operation.len() < 64, "{operation}");
}

#[test]
fn a_value_is_found_wherever_the_extractor_says() {
    for (operation_id, headers, expected) in [
        ("form:metadata[order]", vec![], "h-1"),
        ("json:/metadata/order", vec![], "h-1"),
        ("header:X-Order", vec![("x-order", "h-2")], "h-2"),
        ("traceparent", vec![("traceparent", "00-4bf9-00f0-01")], "4bf9"),
    ] {
        let mut all = recognizer(&[operation_id]);
        let body = Some(json!({"metadata": {"order": "h-1"}}));
        let sent = Sent { headers, body, ..Sent::to("/make") };
        assert_eq!(sent.seen(&mut all, 1), named(expected, 1, Recognized::Extractor));
        let blank = Sent { body: Some(json!({"metadata": {"order": ""}})), ..Sent::to("/make") };
        assert_eq!(blank.seen(&mut all, 2).2, Recognized::New);
    }
}

#[test]
fn an_object_belongs_to_the_operation_that_made_it() {
    let mut all = recognizer(&[]);
    submit(&mut all, 1, 1, Value::Null);
    submit(&mut all, 1, 2, Value::Null);
    let owned = named("op-0001", 2, Recognized::Object);
    let made = || {
        let mut ledger = Ledger::default();
        let owner = Owner { operation: "op-0001".into(), submit: 2 };
        let object = Object::new("charges".into(), "{}".into(), None, owner);
        ledger.put("ch_1".into(), object, History::Latest);
        ledger
    };
    let in_path = Sent { path: json!({"id": "ch_1"}), ledger: made(), ..Sent::to("/make/ch_1") };
    assert_eq!(in_path.seen(&mut all, 1), owned);
    let in_query = Sent { ledger: made(), ..Sent::to("/make?charge=ch_1") };
    assert_eq!(in_query.seen(&mut all, 2), owned);
    let body = Some(json!({"a": [{"charge": "ch_1"}]}));
    let in_body = Sent { body, ledger: made(), ..Sent::to("/make") };
    assert_eq!(in_body.seen(&mut all, 3), owned);
    let unknown = Sent { ledger: made(), ..Sent::to("/make?charge=ch_2") };
    assert_eq!(unknown.seen(&mut all, 4).2, Recognized::New);
}

#[test]
fn a_constant_call_id_holds_the_attempts_of_a_call_together() {
    let mut all = recognizer(&[]);
    let sent = |call| Sent { headers: vec![("x-call", call)], ..Sent::to("/make") };
    let first = sent("c-1").seen(&mut all, 1);
    assert_eq!(first.2, Recognized::New);
    let second = sent("c-1").seen(&mut all, 2);
    assert_eq!((second.0, second.2), (first.0.clone(), Recognized::Sdk));
    let other = sent("c-2").seen(&mut all, 3);
    assert_ne!(other.0, first.0);
}

#[test]
fn a_retry_counter_joins_the_latest_failed_attempt_of_the_same_fingerprint() {
    let mut all = recognizer(&[]);
    let sent = |count| Sent { headers: vec![("x-retry", count)], ..Sent::to("/make") };
    let a = sent("0").seen(&mut all, 1).0;
    let b = sent("0").seen(&mut all, 2).0;
    assert_ne!(a, b);
    all.ended(1, false);
    all.ended(2, false);
    // Both failed; each retry takes one of them, and neither takes the same.
    let first = sent("1").seen(&mut all, 3);
    let second = sent("1").seen(&mut all, 4);
    assert_eq!((first.0.as_str(), first.2), (b.as_str(), Recognized::Sdk));
    assert_eq!((second.0.as_str(), second.2), (a.as_str(), Recognized::Sdk));
    all.ended(4, false);
    assert_eq!(sent("2").seen(&mut all, 5).0, a);
    // A retry that arrives before the time-out of its predecessor was noticed.
    assert_eq!(sent("2").seen(&mut all, 6).0, b);
    // Another body is another fingerprint.
    let other = Sent { body: Some(json!(1)), ..sent("1") };
    assert_eq!(other.seen(&mut all, 7).2, Recognized::New);
}

#[test]
fn a_guess_joins_only_an_attempt_that_is_over_and_failed() {
    let mut all = recognizer(&[]);
    let sent = Sent { body: Some(json!({"a": 1})), ..Sent::to("/make") };
    let first = sent.seen(&mut all, 1);
    assert_eq!(first, named("seen-0001", 1, Recognized::New));
    // In flight: another operation.
    assert_eq!(sent.seen(&mut all, 2), named("seen-0002", 1, Recognized::New));
    all.ended(1, false);
    // The latest is still in flight, although an earlier one failed.
    assert_eq!(sent.seen(&mut all, 3), named("seen-0003", 1, Recognized::New));
    all.ended(3, false);
    assert_eq!(sent.seen(&mut all, 4), named("seen-0003", 1, Recognized::Guess));
    all.ended(4, true);
    // Answered whole with success: another operation.
    assert_eq!(sent.seen(&mut all, 5), named("seen-0004", 1, Recognized::New));
}

#[test]
fn a_head_tells_the_operation_only_where_no_body_could_say_otherwise() {
    let mut all = recognizer(&["json:/order", "query:order"]);
    submit(&mut all, 1, 1, json!({"order": "a"}));
    let peek = |all: &Recognizer, sent: &Sent| {
        sent.with(all, |evidence| all.peek(evidence, &Ledger::default())).map(|found| found.how)
    };
    assert_eq!(peek(&all, &Sent::to("/~op-0001.1/make")), Some(Recognized::Url));
    assert_eq!(peek(&all, &Sent::to("/make?order=a")), None);
    let mut all = recognizer(&["query:order"]);
    submit(&mut all, 1, 1, json!({"order": "a"}));
    assert_eq!(peek(&all, &Sent::to("/make?order=a")), Some(Recognized::Extractor));
    assert_eq!(peek(&all, &Sent::to("/make")), None);
}

#[test]
fn memory_is_bounded_for_one_fingerprint() {
    let mut all = recognizer(&[]);
    for request in 1..=2_000 {
        let _ = Sent::to("/make").seen(&mut all, request);
    }
    assert!(all.fingerprints.len() <= 256);
    for request in 1..=2_000 {
        all.ended(request, false);
    }
    assert_eq!(Sent::to("/make").seen(&mut all, 3_000).2, Recognized::Guess);
}

proptest! {
    #[test]
    fn no_token_and_no_target_makes_a_panic_or_a_wrong_name(
        token in "[~./%0-9a-z-]{0,20}|op-000[0-9]\\.[0-9]{1,12}|\\PC{0,12}",
        tail in "[/?#%~a-z.]{0,12}",
    ) {
        let mut all = recognizer(&["query:order"]);
        submit(&mut all, 1, 1, Value::Null);
        submit(&mut all, 1, 2, Value::Null);
        let target = format!("/~{token}{tail}");
        let headers = HeaderMap::new();
        let call = Call::default();
        let (_, rest) = all.strip(&target);
        let rest = rest.into_owned();
        let evidence = Evidence {
            target: &target, rest: &rest, key_token: Some(&token), method: &Method::POST,
            headers: &headers, call: &call, canonical: Digest16::default(),
        };
        prop_assert!(rest.starts_with('/'));
        let found = all.recognize(&evidence, &Ledger::default(), 1);
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        prop_assert!(plain(&found.operation) && (1..=64).contains(&found.operation.len()));
        if found.number.is_some() {
            prop_assert!(&*found.operation == "op-0001" && (1..=2).contains(&found.submit));
            let spelled = [format!("op-0001.{}", found.submit), "op-0001".to_owned()];
            let url = all.strip(&target).0.unwrap_or_default();
            let spells = [url, &token].into_iter().any(|token| spelled.iter().any(|one| one == token));
            prop_assert!(spells, "{} {} is {:?}", target, token, found);
        }
    }
}

#[test]
fn a_value_of_the_body_that_no_input_has_is_a_strangers() {
    let mut all = recognizer(&["header:x-order", "json:/order"]);
    submit(&mut all, 1, 1, json!({"order": "order-1"}));
    let stranger = |order: &str| {
        let mut sent = Sent::to("/~op-0001.1/make");
        sent.headers.push(("x-order", "made-up"));
        sent.body = Some(json!({"order": order}));
        sent.with(&all, |evidence| all.stranger(evidence))
    };
    assert_eq!(stranger("order-1"), None);
    assert_eq!(stranger("other").as_deref(), Some("other"), "and no header says anything");
    assert_eq!(stranger(&"x".repeat(LONGEST_VALUE + 1)), None);
}
