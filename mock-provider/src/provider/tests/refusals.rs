//! What a request is refused with, in the words of the API that it was sent to.

use super::*;

/// What a shipped API answers to these bytes; the target of DynamoDB stands in a header.
fn asked(name: &str, (method, target): (Method, &str), body: &[u8]) -> (u16, Value) {
    let mut bench = Bench::of(name, Vec::new(), |_| {});
    let mut headers = HeaderMap::new();
    let key = "Bearer sk_test";
    let aws = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/dynamodb/aws4_request";
    let (shown, target) = match target.strip_prefix("DynamoDB_20120810.") {
        Some(_) => {
            headers.insert("x-amz-target", HeaderValue::from_str(target).unwrap());
            (aws, "/")
        }
        None => (key, target),
    };
    headers.insert("authorization", HeaderValue::from_static(shown));
    let body = bytes::Bytes::copy_from_slice(body);
    let sent = Request::sent((method, target), headers, &Value::Null, 0);
    let exchange = bench.provider.handle(Request { body, ..sent }, 0);
    let answer = bench.answer(exchange);
    assert_eq!(bench.effects(), usize::from(answer.0 == 200 && name == "dynamodb"));
    answer
}

#[test]
fn stripe_tells_each_kind_of_wrong_by_its_code() {
    let list = |query: &str| asked("stripe", (Method::GET, &format!("/v1/charges?{query}")), b"");
    let pay = |form: &[u8]| asked("stripe", (Method::POST, "/v1/payment_intents"), form);
    for ((status, body), code, field) in [
        (list("limit=0"), "parameter_invalid_integer", "limit"),
        (list("limit=101"), "parameter_invalid_integer", "limit"),
        (list("limit=some"), "parameter_invalid_integer", "limit"),
        (list("limit="), "parameter_invalid_empty", "limit"),
        (list("limit[]=1"), "parameter_invalid", "limit"),
        (list("starting_after=none"), "resource_missing", "starting_after"),
        (pay(b"currency=usd"), "parameter_missing", "amount"),
        (pay(b""), "parameter_missing", "amount"),
        (pay(b"amount=&currency=usd"), "parameter_invalid_empty", "amount"),
        (pay(b"amount=5&currency="), "parameter_invalid_empty", "currency"),
        (pay(b"amount=x&currency=usd"), "parameter_invalid_integer", "amount"),
        (pay(b"amount=0&currency=usd"), "parameter_invalid_integer", "amount"),
        (pay(b"amount=5&currency=usd&metadata=x"), "parameter_invalid", "metadata"),
    ] {
        let error = &body["error"];
        assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(field)), "{body}");
        assert!(
            error["message"].as_str().expect("text").contains(field) || code == "resource_missing"
        );
    }
    let (status, body) = list("starting_after=a&ending_before=b");
    assert_eq!((status, body["error"].get("code")), (400, None), "{body}");
    let says =
        "Received both starting_after and ending_before parameters. Please pass in only one.";
    assert_eq!(body["error"]["message"], says);
    assert_eq!(body["error"]["type"], "invalid_request_error");
}

#[test]
fn a_body_that_cannot_be_read_has_no_field_in_any_api() {
    let (status, body) = asked("payments", (Method::POST, "/v1/charges"), b"{");
    assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_request")));
    assert_eq!(body["error"].get("field").filter(|field| !field.is_null()), None, "{body}");
}
