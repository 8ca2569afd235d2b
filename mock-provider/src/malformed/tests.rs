//! Tests of all kinds of malformed answers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn charge() -> Bytes {
    json!({"id": "ch_1", "status": "succeeded", "amount": 1999, "order": "ördér-3"})
        .to_string()
        .into()
}

const NEEDS: [&str; 3] = ["/status", "/amount", "/id"];
const ENUMS: [&str; 1] = ["/status"];
const ECHOES: [&str; 2] = ["/order", "/amount"];

fn mangled(kind: Kind, field: Option<&str>, body: &Bytes) -> Mangled {
    let error = Bytes::from_static(br#"{"error":{"code":"internal"}}"#);
    let (needs, enums, echoes) = (&NEEDS, &ENUMS, &ECHOES);
    let own = Own { body, needs, enums, least: &[], echoes, error: &error, earlier: None };
    mangle(&Malformed { kind, field: field.map(str::to_owned), size: 100, bits: 7 }, &own)
}

fn json_of(kind: Kind, field: Option<&str>) -> Value {
    serde_json::from_slice(&mangled(kind, field, &charge()).body).expect("JSON")
}

#[test]
fn a_truncated_body_is_a_beginning_that_is_no_json() {
    let whole = charge();
    let cut = mangled(Kind::TruncatedJson, None, &whole).body;
    assert!(whole.starts_with(&cut) && cut.len() == whole.len() / 2);
    for (body, cut) in [("1234", "{"), ("", "{"), ("{}", "{"), ("\"ab\"", "\"a"), ("[1]", "[")] {
        assert_eq!(mangled(Kind::TruncatedJson, None, &body.into()).body, cut, "{body}");
    }
}

#[test]
fn a_page_comes_under_either_media_type() {
    let page = mangled(Kind::HtmlPage, None, &charge());
    assert_eq!(page.content_type, Some("text/html; charset=utf-8"));
    assert!(page.body.starts_with(b"<!doctype html>"));
    let lie = mangled(Kind::HtmlAsJson, None, &charge());
    assert_eq!((lie.content_type, lie.body), (Some("application/json"), page.body));
}

#[test]
fn bodies_that_say_nothing_keep_the_media_type() {
    for (kind, body) in [
        (Kind::EmptyBody, ""),
        (Kind::EmptyObject, "{}"),
        (Kind::JsonNull, "null"),
        (Kind::ErrorIn200, r#"{"error":{"code":"internal"}}"#),
    ] {
        let mangled = mangled(kind, None, &charge());
        assert_eq!(mangled, Mangled::from(Bytes::from(body)), "{kind:?}");
    }
    let none = mangled(Kind::NoContent, None, &charge());
    assert_eq!((none.status, &none.body[..]), (Some(204), &b""[..]));
    let text = mangled(Kind::PlainText, None, &charge());
    let media_type = Some("text/plain; charset=utf-8");
    assert_eq!((text.content_type, &text.body[..]), (media_type, &b"Internal Error"[..]));
}

#[test]
fn the_missing_field_is_the_id_unless_another_is_named() {
    let rest = json!({"status": "succeeded", "amount": 1999, "order": "ördér-3"});
    assert_eq!(json_of(Kind::MissingField, None), rest);
    assert!(json_of(Kind::MissingField, Some("/amount")).get("amount").is_none());
    assert_eq!(json_of(Kind::MissingField, Some("/absent")), json!({}));
    let list = Bytes::from_static(br#"{"choices":[{"a~/b":1}]}"#);
    let without = |field| mangled(Kind::MissingField, Some(field), &list).body;
    assert_eq!(&without("/choices/0")[..], br#"{"choices":[]}"#);
    assert_eq!(&without("/choices/0/a~0~1b")[..], br#"{"choices":[{}]}"#);
    assert_eq!(&without("/choices/1")[..], b"{}");
}

#[test]
fn a_field_is_broken_in_each_way() {
    for (kind, field, pointer, expected) in [
        (Kind::NullField, None, "/id", json!(null)),
        (Kind::NullField, Some("/amount"), "/amount", json!(null)),
        (Kind::WrongType, Some("/amount"), "/amount", json!("1999")),
        (Kind::WrongType, None, "/id", json!(8)),
        (Kind::WrongType, Some(""), "/0/id", json!("ch_1")),
        (Kind::RenamedField, None, "/id_v2", json!("ch_1")),
        (Kind::RenamedField, Some("/status"), "/status_v2", json!("succeeded")),
        (Kind::UnknownEnum, None, "/status", json!("requires_review")),
        (Kind::UnknownEnum, Some("/order"), "/order", json!("requires_review")),
    ] {
        let broken = json_of(kind, field);
        assert_eq!(broken.pointer(pointer), Some(&expected), "{kind:?} {field:?}: {broken}");
        assert_eq!(json_of(kind, Some("/no/such")), json!({}));
    }
    let renamed = mangled(Kind::RenamedField, None, &charge()).body;
    assert!(renamed.starts_with(br#"{"id_v2":"ch_1","status""#), "the order stays: {renamed:?}");
}

#[test]
fn the_whole_is_moved_or_buried() {
    let whole: Value = serde_json::from_slice(&charge()).expect("JSON");
    assert_eq!(json_of(Kind::ExtraNesting, None), json!({"data": whole}));
    let deep = mangled(Kind::DeepNesting, None, &charge()).body;
    assert!(deep.len() == 200_000 && deep.starts_with(b"[[") && deep.ends_with(b"]]"));
    assert_eq!(mangled(Kind::HugeBody, None, &charge()).body.len(), 100);
}

#[test]
fn what_stays_usable_says_the_same() {
    let whole: Value = serde_json::from_slice(&charge()).expect("JSON");
    for kind in Kind::ALL.into_iter().filter(|kind| kind.stays_usable()) {
        let mangled = mangled(kind, None, &charge());
        let body = crate::api::without_mark(&mangled.body);
        assert_eq!(serde_json::from_slice::<Value>(body).expect("JSON"), whole, "{kind:?}");
        assert!(mangled.content_type.is_some() || mangled.body != charge(), "{kind:?}");
    }
    let twice = mangled(Kind::DuplicateKeys, None, &charge()).body;
    assert!(twice.starts_with(br#"{"status":"requires_review","id":"ch_1","status":"succeeded""#));
}

#[test]
fn a_byte_that_is_no_utf8_stands_in_every_text_that_counts() {
    let body = mangled(Kind::InvalidUtf8, None, &charge()).body;
    assert_eq!(body.iter().filter(|byte| **byte == 0xff).count(), 3);
    let lossy: Value = serde_json::from_str(&String::from_utf8_lossy(&body)).expect("JSON");
    assert_eq!(lossy["status"], "succ\u{fffd}eeded");
    assert_eq!(lossy["amount"], 1999);
}

#[test]
fn someone_elses_answer_is_right_in_itself() {
    let other = json_of(Kind::SomeoneElsesAnswer, None);
    assert_eq!((&other["status"], &other["amount"]), (&json!("succeeded"), &json!(1999)));
    assert_eq!(other["order"], "ördér-11");
    assert!(other["id"].as_str().is_some_and(|id| id.starts_with("ch_") && id != "ch_1"));
    let nameless = Bytes::from(json!({"amount": 5, "currency": "usd"}).to_string());
    let other: Value =
        serde_json::from_slice(&mangled(Kind::SomeoneElsesAnswer, None, &nameless).body)
            .expect("JSON");
    assert_eq!(other, json!({"amount": 7, "currency": "usd"}));
}

#[test]
fn a_stale_answer_is_the_earlier_one_or_one_that_is_not_done() {
    assert_eq!(json_of(Kind::StaleAnswer, None)["status"], "pending");
    let (body, earlier) = (charge(), Bytes::from_static(b"{\"status\":\"authorized\"}"));
    let (needs, enums) = (&NEEDS, &ENUMS);
    let own = Own {
        body: &body,
        needs,
        enums,
        least: &[],
        echoes: &[],
        error: &body,
        earlier: Some(&earlier),
    };
    let how = Malformed { kind: Kind::StaleAnswer, field: None, size: 0, bits: 0 };
    assert_eq!(mangle(&how, &own).body, earlier);
}

#[test]
fn the_wrong_amount_is_the_first_echoed_number() {
    let wrong = json_of(Kind::WrongAmount, None);
    assert_eq!(
        wrong,
        json!({"id": "ch_1", "status": "succeeded", "amount": 2007, "order": "ördér-3"})
    );
    let text = Bytes::from_static(br#"{"amount":"19.99"}"#);
    assert_eq!(&mangled(Kind::WrongAmount, None, &text).body[..], br#"{"amount":"22.99"}"#);
    let none = Bytes::from_static(br#"{"order":"a"}"#);
    assert_eq!(mangled(Kind::WrongAmount, None, &none).body, none);
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
        let read: Kind = serde_json::from_value(kind.name().into()).expect("the same word in YAML");
        assert_eq!(read, kind);
    }
    assert_eq!(Kind::named("html"), None);
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(
        body in prop_oneof![
            ".{0,40}",
            Just("{\"a\":\"1\",\"b\":[{\"c\":2}]}".to_owned()),
        ],
        field in "(/[a-z0-9~]{0,3}){0,3}",
        bits: u64,
    ) {
        let body = Bytes::from(body);
        for kind in Kind::ALL {
            let how = Malformed { kind, field: Some(field.clone()), size: 10, bits };
            let (needs, echoes) = (&[&*field, "/a"], &["/a", "/b/0/c"]);
            let own =
                Own { body: &body, needs, enums: &["/a"], least: &[], echoes, error: &body, earlier: None };
            let mangled = mangle(&how, &own).body;
            if kind == Kind::TruncatedJson {
                prop_assert!(serde_json::from_slice::<Value>(&mangled).is_err());
            }
        }
    }
}

#[test]
fn what_needs_to_be_of_a_certain_size_is_too_small() {
    let body = Bytes::from_static(br#"{"label":"cat","confidence":0.94}"#);
    let least = Number::from_f64(0.2).expect("a number");
    let own = Own {
        body: &body,
        needs: &["/confidence"],
        enums: &[],
        least: &[("/confidence", &least)],
        echoes: &[],
        error: &body,
        earlier: None,
    };
    let wrong = |field: Option<&str>| {
        let field = field.map(str::to_owned);
        let how = Malformed { kind: Kind::WrongAmount, field, size: 0, bits: 7 };
        String::from_utf8_lossy(&mangle(&how, &own).body).into_owned()
    };
    for field in [None, Some("/confidence")] {
        assert_eq!(wrong(field), r#"{"label":"cat","confidence":0.02}"#);
    }
}
