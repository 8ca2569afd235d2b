//! Tests of writing and reading retry hints.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::Hint;

/// 2015-10-21 07:28:00 UTC, and a run that is 250 ms old.
fn wall() -> Wall {
    Wall { at_start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480), now_us: 250_000 }
}

fn dialect() -> Dialect {
    Dialect {
        ms_header: Some("retry-after-ms".into()),
        body: Some("/error/retry_after".into()),
        reset: Some(("x-ratelimit-reset".into(), ResetForm::DeltaS)),
    }
}

/// An answer with this hint in it: its headers and body as text.
fn written(spec: &HintSpec, dialect: &Dialect) -> (Vec<String>, Value) {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", 9.into());
    headers.insert("x-other", 1.into());
    let mut body = json!({"error": {"code": "rate_limit_exceeded", "retry_after": 9}});
    write(spec, dialect, wall(), &mut headers, Some(&mut body));
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
        .collect();
    lines.retain(|line| line != "x-other: 1");
    (lines, body)
}

#[test]
fn each_form_is_written_as_it_says() {
    let plain = json!({"error": {"code": "rate_limit_exceeded"}});
    let with =
        |seconds: u64| json!({"error": {"code": "rate_limit_exceeded", "retry_after": seconds}});
    for (spec, lines, body) in [
        (HintSpec::Seconds(2_000_000), vec!["retry-after: 2"], plain.clone()),
        (HintSpec::Seconds(1_000_001), vec!["retry-after: 2"], plain.clone()),
        (
            HintSpec::HttpDate(3_000_000),
            vec!["retry-after: Wed, 21 Oct 2015 07:28:04 GMT"],
            plain.clone(),
        ),
        (
            HintSpec::HttpDate(750_000),
            vec!["retry-after: Wed, 21 Oct 2015 07:28:01 GMT"],
            plain.clone(),
        ),
        (HintSpec::MsHeader(1_500_000), vec!["retry-after-ms: 1500"], plain.clone()),
        (HintSpec::Body(45_000_000), vec![], with(45)),
        (HintSpec::Missing, vec![], plain.clone()),
        (HintSpec::Zero, vec!["retry-after: 0"], plain.clone()),
        (HintSpec::Negative, vec!["retry-after: -5"], plain.clone()),
        (HintSpec::Fraction, vec!["retry-after: 1.5"], plain.clone()),
        (HintSpec::Huge, vec!["retry-after: 1000000000000"], plain.clone()),
        (HintSpec::PastDate, vec!["retry-after: Wed, 21 Oct 2015 06:28:00 GMT"], plain.clone()),
        (
            HintSpec::Rfc850Date,
            vec!["retry-after: Wednesday, 21-Oct-15 07:28:04 GMT"],
            plain.clone(),
        ),
        (HintSpec::AsctimeDate, vec!["retry-after: Wed Oct 21 07:28:04 2015"], plain.clone()),
        (HintSpec::AmzMs(1_500_000), vec!["x-amz-retry-after: 1500"], plain.clone()),
        (
            HintSpec::RateLimitReset { in_us: 30_000_000, form: None },
            vec!["x-ratelimit-reset: 30"],
            plain.clone(),
        ),
        (
            HintSpec::RateLimitReset { in_us: 360_000_000, form: Some(ResetForm::GoDuration) },
            vec!["x-ratelimit-reset: 6m0s"],
            plain.clone(),
        ),
        (HintSpec::Garbage, vec!["retry-after: soon"], plain.clone()),
        (HintSpec::TwoHeaders, vec!["retry-after: 1", "retry-after: 3"], plain.clone()),
        (HintSpec::Contradictory, vec!["retry-after: 1"], with(5)),
    ] {
        assert_eq!(
            written(&spec, &dialect()),
            (lines.iter().map(ToString::to_string).collect(), body),
            "{spec}"
        );
    }
}

#[test]
fn an_api_without_spellings_of_its_own_gets_the_usual_ones() {
    let none = Dialect::default();
    assert_eq!(written(&HintSpec::MsHeader(7_000), &none).0, ["retry-after-ms: 7"]);
    assert_eq!(written(&HintSpec::Body(1), &none).1.pointer("/error/retry_after"), Some(&json!(1)));
    let mut body = json!({});
    let mut headers = HeaderMap::new();
    write(&HintSpec::Body(1_000_000), &none, wall(), &mut headers, Some(&mut body));
    assert_eq!(body, json!({"error": {"retry_after": 1}}));
    let mut body = json!(["no room"]);
    write(&HintSpec::Body(1_000_000), &none, wall(), &mut headers, Some(&mut body));
    assert_eq!(body, json!(["no room"]));
}

/// What is read from an answer with these headers and this body.
fn found(headers: &[(&'static str, &str)], body: Option<Value>) -> Vec<Hint> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().expect("a header value"));
    }
    read(&map, body.map(|body| body.to_string()).as_deref().map(str::as_bytes), &dialect(), wall())
}

fn waits(headers: &[(&'static str, &str)]) -> Vec<Option<u64>> {
    found(headers, None).into_iter().map(|hint| hint.wait_us).collect()
}

#[test]
fn a_retry_after_is_digits_or_a_date_in_any_of_its_three_forms() {
    for (text, wait) in [
        ("120", Some(120_000_000)),
        ("0", Some(0)),
        ("007", Some(7_000_000)),
        ("Wed, 21 Oct 2015 07:28:02 GMT", Some(1_750_000)),
        ("Wednesday, 21-Oct-15 07:28:02 GMT", Some(1_750_000)),
        ("Wed Oct 21 07:28:02 2015", Some(1_750_000)),
        ("Wed, 21 Oct 2015 06:28:00 GMT", Some(0)),
        ("1000000000000", Some((1 << 53) - 1)),
        ("99999999999999999999999999", Some((1 << 53) - 1)),
        ("1.5", None),
        ("-5", None),
        ("+5", None),
        ("soon", None),
        ("", None),
        ("1, 3", None),
        ("5s", None),
        ("2015-10-21T07:28:02Z", None),
    ] {
        assert_eq!(waits(&[("retry-after", text)]), [wait], "{text}");
    }
}

#[test]
fn a_date_is_told_as_an_instant_and_without_its_text() {
    let date = found(&[("retry-after", "Wed, 21 Oct 2015 07:27:58 GMT")], None);
    assert_eq!(date[0].until_us, Some(-2_000_000));
    assert_eq!(date[0].text, None);
    let seconds = found(&[("retry-after", "2")], None);
    assert_eq!((seconds[0].until_us, seconds[0].text.as_deref()), (None, Some("2")));
    let garbage = found(&[("retry-after", "soon")], None);
    assert_eq!((garbage[0].wait_us, garbage[0].text.as_deref()), (None, Some("soon")));
}

#[test]
fn milliseconds_may_have_decimals() {
    for (text, wait) in [
        ("1500", Some(1_500_000)),
        ("0.5", Some(500)),
        ("1.23456", Some(1_234)),
        ("-1", None),
        ("1.", None),
        (".5", None),
        ("1e3", None),
    ] {
        assert_eq!(waits(&[("retry-after-ms", text)]), [wait], "{text}");
    }
}

#[test]
fn a_field_of_the_body_counts_seconds() {
    for (value, wait) in [
        (json!(45), Some(45_000_000)),
        (json!(1.5), Some(1_500_000)),
        (json!(-1), None),
        (json!("45"), None),
        (json!({}), None),
    ] {
        let hints = found(&[], Some(json!({"error": {"retry_after": value}})));
        assert_eq!(hints.len(), 1, "{value}");
        assert_eq!(
            (&*hints[0].source, hints[0].wait_us),
            ("body:/error/retry_after", wait),
            "{value}"
        );
    }
    assert!(found(&[], Some(json!({"error": {"retry_after": null}}))).is_empty());
    assert!(found(&[], Some(json!({"error": {}}))).is_empty());
}

#[test]
fn two_headers_that_differ_are_both_malformed() {
    let both = found(&[("retry-after", "1"), ("retry-after", "3")], None);
    let texts: Vec<_> = both.iter().map(|hint| hint.text.as_deref()).collect();
    assert_eq!(texts, [Some("1"), Some("3")]);
    assert!(both.iter().all(|hint| hint.wait_us.is_none()));
    let date =
        found(&[("retry-after", "Wed, 21 Oct 2015 07:28:02 GMT"), ("retry-after", "3")], None);
    assert_eq!((date[0].wait_us, date[0].until_us, &date[0].text), (None, None, &None));
    assert_eq!(waits(&[("retry-after", "2"), ("retry-after", "2")]), [Some(2_000_000)]);
}

#[test]
fn spellings_that_are_not_the_apis_are_no_hints() {
    let mut headers = HeaderMap::new();
    write(&HintSpec::MsHeader(7_000), &Dialect::default(), wall(), &mut headers, None);
    assert!(!headers.is_empty());
    assert!(read(&headers, None, &Dialect::default(), wall()).is_empty());
}

#[test]
fn a_contradiction_is_told_from_both_places() {
    let hints = through(&HintSpec::Contradictory, wall());
    let told: Vec<_> = hints.iter().map(|hint| (&*hint.source, hint.wait_us)).collect();
    assert_eq!(
        told,
        [("retry-after", Some(1_000_000)), ("body:/error/retry_after", Some(5_000_000))]
    );
}

/// Writes a hint and reads it back.
fn through(spec: &HintSpec, wall: Wall) -> Vec<Hint> {
    let mut headers = HeaderMap::new();
    let mut body = json!({"error": {}});
    write(spec, &dialect(), wall, &mut headers, Some(&mut body));
    read(&headers, Some(body.to_string().as_bytes()), &dialect(), wall)
}

fn form(text: &str) -> Result<HintSpec, String> {
    let value: Value = serde_json::from_str(text).expect("JSON");
    serde_json::from_value::<RetryAfter>(value)
        .map(|hint| hint.0)
        .map_err(|error| error.to_string())
}

#[test]
fn all_forms_are_read_and_shown_as_they_are_written() {
    for (text, spec, shown) in [
        (r#""2s""#, HintSpec::Seconds(2_000_000), "2s"),
        (r#"{"seconds": "2s"}"#, HintSpec::Seconds(2_000_000), "2s"),
        (r#"{"http_date": "3s"}"#, HintSpec::HttpDate(3_000_000), "http_date: 3s"),
        (r#"{"ms_header": "1500ms"}"#, HintSpec::MsHeader(1_500_000), "ms_header: 1s 500ms"),
        (r#"{"body": "45s"}"#, HintSpec::Body(45_000_000), "body: 45s"),
        (r#"{"amz_ms": "2s"}"#, HintSpec::AmzMs(2_000_000), "amz_ms: 2s"),
        (
            r#"{"rate_limit_reset": {"in": "30s"}}"#,
            HintSpec::RateLimitReset { in_us: 30_000_000, form: None },
            "rate_limit_reset: 30s",
        ),
        (
            r#"{"rate_limit_reset": {"in": "30s", "as": "rfc3339"}}"#,
            HintSpec::RateLimitReset { in_us: 30_000_000, form: Some(ResetForm::Rfc3339) },
            "rate_limit_reset: 30s as rfc3339",
        ),
    ] {
        assert_eq!(form(text), Ok(spec.clone()), "{text}");
        assert_eq!(spec.to_string(), shown);
    }
    for word in BAD_WORDS {
        assert_eq!(form(&format!("\"{word}\"")).map(|spec| spec.to_string()), Ok(word.to_owned()));
    }
}

#[test]
fn a_wrong_form_is_refused_with_the_cure() {
    for (text, part) in [
        ("2", "write `2s`"),
        ("\"2\"", "write `2s`"),
        ("\"grabage\"", "or one of `missing`"),
        ("{}", "exactly one of `seconds`"),
        (r#"{"seconds": "1s", "body": "1s"}"#, "exactly one of `seconds`"),
        (r#"{"secs": "1s"}"#, "expected one of `seconds`"),
        (r#"{"rate_limit_reset": {"as": "epoch_s"}}"#, "missing field `in`"),
        (r#"{"rate_limit_reset": {"in": "1s"}, "body": "1s"}"#, "exactly one of `seconds`"),
        (r#"{"seconds": 1}"#, "a duration"),
        ("true", "a retry hint such as"),
    ] {
        let message = form(text).expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_as_the_same_wait(
        micros in 0_u64..400_000_000_000,
        start_ms in 0_u64..4_000_000_000_000,
        now_us in 0_u64..100_000_000_000,
    ) {
        let wall = Wall { at_start: SystemTime::UNIX_EPOCH + Duration::from_millis(start_ms), now_us };
        let wait = |spec: HintSpec| -> Vec<Option<u64>> {
            through(&spec, wall).into_iter().map(|hint| hint.wait_us).collect()
        };
        prop_assert_eq!(wait(HintSpec::Seconds(micros)), [Some(micros.div_ceil(1_000_000) * 1_000_000)]);
        prop_assert_eq!(wait(HintSpec::Body(micros)), [Some(micros.div_ceil(1_000_000) * 1_000_000)]);
        prop_assert_eq!(wait(HintSpec::MsHeader(micros)), [Some(micros.div_ceil(1000) * 1000)]);
        let date = wait(HintSpec::HttpDate(micros))[0].expect("well-formed");
        prop_assert!(date >= micros && date < micros + 1_000_000, "{} for {}", date, micros);
    }

    #[test]
    fn no_header_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), now_us: u64) {
        if let Ok(value) = http::HeaderValue::from_bytes(&bytes) {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", value.clone());
            headers.insert("retry-after-ms", value);
            prop_assert_eq!(read(&headers, None, &dialect(), Wall { now_us, ..wall() }).len(), 2);
        }
    }
}
