//! Malformed answers as bytes: each is framed rightly, so that the next request on the connection is
//! answered, and of no use where it says so.

use std::io::Read;

use brownout_provider::api::without_mark;
use brownout_provider::malformed::Kind;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::stage::{Answer, Stage};

/// What a test says of one kind: the media type, if it is not the answer's own, and how the bytes look
/// beside those of the provider's own answer.
struct Looks {
    media_type: &'static str,
    bytes: fn(&[u8], &Value) -> bool,
}

fn looks(bytes: fn(&[u8], &Value) -> bool) -> Looks {
    Looks { media_type: "application/json", bytes }
}

fn typed(media_type: &'static str, bytes: fn(&[u8], &Value) -> bool) -> Looks {
    Looks { media_type, bytes }
}

fn parsed(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn is_page(bytes: &[u8]) -> bool {
    bytes.starts_with(b"<!doctype html>") && bytes.ends_with(b"</html>\n")
}

fn unpacked(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let whole = GzDecoder::new(bytes).read_to_end(&mut out).is_ok();
    (out, whole)
}

/// The answer with one field replaced, or left out.
fn with(own: &Value, name: &str, field: Option<Value>) -> Option<Value> {
    let mut own = own.clone();
    match field {
        Some(value) => own[name] = value,
        None => drop(own.as_object_mut()?.shift_remove(name)),
    }
    Some(own)
}

#[expect(clippy::too_many_lines, reason = "one line a kind")]
fn expected(kind: Kind) -> Looks {
    match kind {
        Kind::TruncatedJson => looks(|bytes, own| {
            own.to_string().as_bytes().starts_with(bytes) && parsed(bytes).is_none()
        }),
        Kind::InvalidUtf8 => {
            looks(|bytes, _| bytes.contains(&0xff) && std::str::from_utf8(bytes).is_err())
        }
        Kind::HtmlPage => typed("text/html; charset=utf-8", |bytes, _| is_page(bytes)),
        Kind::HtmlAsJson => looks(|bytes, _| is_page(bytes)),
        Kind::EmptyBody => looks(|bytes, _| bytes.is_empty()),
        Kind::NoContent => typed("", |bytes, _| bytes.is_empty()),
        Kind::JsonNull => looks(|bytes, _| bytes == b"null"),
        Kind::EmptyObject => looks(|bytes, _| bytes == b"{}"),
        Kind::PlainText => {
            typed("text/plain; charset=utf-8", |bytes, _| bytes == b"Internal Error")
        }
        Kind::ErrorIn200 => {
            looks(|bytes, _| parsed(bytes).is_some_and(|body| body["error"]["code"].is_string()))
        }
        Kind::MissingField => looks(|bytes, own| parsed(bytes) == with(own, "id", None)),
        Kind::NullField => looks(|bytes, own| parsed(bytes) == with(own, "id", Some(json!(null)))),
        Kind::WrongType => looks(|bytes, own| {
            parsed(bytes).is_some_and(|body| {
                body["id"].is_u64() && with(&body, "id", None) == with(own, "id", None)
            })
        }),
        Kind::RenamedField => looks(|bytes, own| {
            parsed(bytes).is_some_and(|body| body["id_v2"] == own["id"] && body.get("id").is_none())
        }),
        Kind::UnknownEnum => {
            looks(|bytes, own| parsed(bytes) == with(own, "status", Some(json!("requires_review"))))
        }
        Kind::ExtraNesting => looks(|bytes, own| parsed(bytes) == Some(json!({"data": own}))),
        Kind::DuplicateKeys => looks(|bytes, own| {
            let text = String::from_utf8_lossy(bytes);
            text.matches("\"status\":").count() == 2 && parsed(bytes).as_ref() == Some(own)
        }),
        Kind::HugeBody => looks(|bytes, _| bytes.len() == 1 << 20 && bytes.trim_ascii() == b"{}"),
        Kind::DeepNesting => looks(|bytes, _| {
            let (open, close) = bytes.split_at(bytes.len() / 2);
            open == b"[".repeat(100_000) && close == b"]".repeat(100_000)
        }),
        Kind::WrongContentType => {
            typed("application/octet-stream", |bytes, own| parsed(bytes).as_ref() == Some(own))
        }
        Kind::WrongCharset => typed("application/json; charset=utf-16", |bytes, own| {
            parsed(bytes).as_ref() == Some(own)
        }),
        Kind::ByteOrderMark => looks(|bytes, own| {
            let rest = bytes.strip_prefix(b"\xEF\xBB\xBF");
            rest.and_then(parsed).as_ref() == Some(own)
        }),
        Kind::BadGzip => {
            looks(|bytes, _| bytes.starts_with(b"\x1f\x8b\x08") && unpacked(bytes).0.is_empty())
        }
        Kind::TruncatedGzip => looks(|bytes, own| {
            let (part, whole) = unpacked(bytes);
            !whole && part.len() < own.to_string().len() && bytes.starts_with(b"\x1f\x8b\x08")
        }),
        Kind::GzipBomb => looks(|bytes, _| {
            let (body, whole) = unpacked(bytes);
            whole && bytes.len() < 4_096 && body.len() == 1 << 20 && body.trim_ascii() == b"{}"
        }),
        Kind::SomeoneElsesAnswer => looks(|bytes, own| {
            parsed(bytes).is_some_and(|body| {
                body["order"] != own["order"]
                    && body["id"] != own["id"]
                    && body["status"] == own["status"]
                    && body["amount"] == own["amount"]
            })
        }),
        Kind::StaleAnswer => {
            looks(|bytes, own| parsed(bytes) == with(own, "status", Some(json!("pending"))))
        }
        Kind::WrongAmount => looks(|bytes, own| {
            parsed(bytes).is_some_and(|body| {
                body["amount"].is_u64()
                    && body["amount"] != 1999
                    && with(&body, "amount", None) == with(own, "amount", None)
            })
        }),
    }
}

/// The malformed answer, and the provider's own one as it would have been.
async fn met(stage: &Stage) -> (Answer, Vec<u8>) {
    let mut raw = stage.connect().await;
    raw.charge().await;
    let met = raw.raw_answer().await;
    raw.charge().await;
    let second = raw.answer().await;
    assert_eq!((second.status(), &second.json()["status"]), ("201", &json!("succeeded")));
    met
}

/// The provider's own answer to the same request.
async fn own() -> Value {
    let stage = Stage::calm().await;
    let mut raw = stage.connect().await;
    raw.charge().await;
    raw.answer().await.json()
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_whole_by_its_length_and_looks_as_it_says() {
    let own = own().await;
    for kind in Kind::ALL {
        let size = if kind.has_size() { ", size: 1MiB" } else { "" };
        let name = kind.name();
        let stage = Stage::new(&format!("malformed: {{kind: {name}{size}}}")).await;
        let (answer, bytes) = met(&stage).await;
        let Looks { media_type, bytes: look } = expected(kind);
        let status = if kind == Kind::NoContent { "204" } else { "201" };
        assert_eq!(answer.status(), status, "{name}");
        assert_eq!(answer.header("content-type").unwrap_or_default(), media_type, "{name}");
        let packed = matches!(kind, Kind::BadGzip | Kind::TruncatedGzip | Kind::GzipBomb);
        assert_eq!(answer.header("content-encoding"), packed.then_some("gzip"), "{name}");
        // Seconds of the clock on the wall: two answers may stand on two sides of one.
        let mut own = own.clone();
        own["created"] = parsed(without_mark(&bytes)).map_or(own["created"].clone(), |body| {
            let created = body.get("created").or_else(|| body.pointer("/data/created"));
            created.cloned().unwrap_or_else(|| own["created"].clone())
        });
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
        assert!(look(&bytes, &own), "{name}: {shown}\nbeside {own}");
        let sent = stage.responses().await;
        assert!(sent[0].complete, "{name}: {:?}", sent[0]);
        assert_eq!(sent[0].unusable.is_none(), kind.stays_usable(), "{name}: {:?}", sent[0]);
        assert_eq!(sent[0].effects.is_empty(), !kind.stays_usable(), "{name}");
        assert_eq!(stage.effects().await.len(), 2, "{name}: the work is done");
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_work_it_looks_the_same_and_nothing_is_done() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.stays_usable()) {
        let size = if kind.has_size() { ", size: 1MiB" } else { "" };
        let name = kind.name();
        let inject = format!("malformed: {{kind: {name}{size}, at: before_commit}}");
        let stage = Stage::new(&inject).await;
        let (answer, _) = met(&stage).await;
        assert!(answer.status().starts_with('2'), "{name}");
        assert!(stage.responses().await[0].unusable.is_some(), "{name}");
        assert_eq!(stage.effects().await.len(), 1, "{name}: only the second attempt");
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_state_is_the_real_one_where_there_was_one() {
    let faults = "faults:\n  - name: stale\n    when: {route: capture, attempt: 1}\n    inject: \
                  {malformed: stale_answer}\n  - name: old\n    when: {route: get_charge, attempt: \
                  1}\n    inject: {malformed: stale_answer}\n";
    let stage = Stage::with("payments", "authorize", faults).await;
    let mut raw = stage.connect().await;
    let ask = |method: &str, path: &str, body: &str| {
        let length = body.len();
        format!(
            "{method} /~op-0001.1{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let order = r#"{"amount":1999,"currency":"usd","order":"order-1"}"#;
    raw.send(ask("POST", "/v1/authorizations", order)).await;
    let id = raw.answer().await.json()["id"].as_str().unwrap().to_owned();
    for status in ["authorized", "captured"] {
        raw.send(ask("POST", &format!("/v1/authorizations/{id}/capture"), "")).await;
        let answer = raw.answer().await;
        if status == "authorized" {
            assert_eq!((answer.status(), &answer.json()["status"]), ("200", &json!(status)));
        } else {
            assert_eq!(answer.status(), "422", "the first one was captured: {answer:?}");
        }
    }
    raw.send(ask("POST", "/v1/charges", order)).await;
    let id = raw.answer().await.json()["id"].as_str().unwrap().to_owned();
    raw.send(ask("POST", "/v1/refunds", &format!("{{\"charge\":\"{id}\"}}"))).await;
    assert_eq!(raw.answer().await.status(), "201");
    for status in ["succeeded", "refunded"] {
        raw.send(ask("GET", &format!("/v1/charges/{id}"), "")).await;
        assert_eq!(raw.answer().await.json()["status"], status);
    }
}
