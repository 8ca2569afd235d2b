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
    assert_eq!(bench.effects(), usize::from(answer.0 == 200 && name != "openai"));
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
    ] {
        let error = &body["error"];
        assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(field)), "{body}");
        assert!(
            error["message"].as_str().expect("text").contains(field) || code == "resource_missing"
        );
    }
    let (status, body) = pay(b"amount=5&currency=usd&metadata=");
    assert_eq!((status, &body["metadata"]), (200, &json!({})), "{body}");
    let (status, body) = list("starting_after=a&ending_before=b");
    assert_eq!((status, body["error"].get("code")), (400, None), "{body}");
    let says =
        "Received both starting_after and ending_before parameters. Please pass in only one.";
    assert_eq!(body["error"]["message"], says);
    assert_eq!(body["error"]["type"], "invalid_request_error");
}

#[test]
fn openai_says_what_is_empty_and_has_no_field_for_a_body_that_cannot_be_read() {
    let post = |path: &str, body: &str| asked("openai", (Method::POST, path), body.as_bytes());
    let chat = |body: &str| post("/v1/chat/completions", body);
    let embed = |input: &str| {
        post(
            "/v1/embeddings",
            &format!(r#"{{"model": "text-embedding-3-small", "input": {input}}}"#),
        )
    };
    for ((status, body), code, field, says) in [
        (
            chat(r#"{"model": "gpt-4o", "messages": []}"#),
            json!("empty_array"),
            json!("messages"),
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        ),
        (embed("[]"), json!("empty_array"), json!("input"), "Invalid 'input': empty array."),
        (embed("[\"\"]"), Value::Null, Value::Null, "'$.input' is invalid."),
        (embed("[\"cat\", null]"), Value::Null, Value::Null, "'$.input' is invalid."),
        (embed("\"\""), Value::Null, Value::Null, "'$.input' is invalid."),
        (
            embed("null"),
            json!("missing_required_parameter"),
            json!("input"),
            "Missing required parameter: 'input'.",
        ),
        (
            chat(r#"{"model": "gpt-4o", "messages": "none"}"#),
            json!("invalid_value"),
            json!("messages"),
            "messages must be a list",
        ),
        (chat("{"), Value::Null, Value::Null, "We could not parse the JSON body"),
        (
            chat(" \n"),
            json!("missing_required_parameter"),
            json!("messages"),
            "Missing required parameter: 'messages'.",
        ),
    ] {
        let error = &body["error"];
        assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert_eq!((&error["code"], &error["param"]), (&code, &field), "{body}");
        assert!(error["message"].as_str().expect("text").starts_with(says), "{body}");
    }
}

#[test]
fn openai_has_models_of_its_families_only() {
    let read = |name: &str| asked("openai", (Method::GET, &format!("/v1/models/{name}")), b"");
    for name in ["gpt-4o", "gpt-5-mini", "o3", "text-embedding-3-small", "ft:gpt-4o:shop"] {
        let (status, body) = read(name);
        assert_eq!((status, &body["id"]), (200, &json!(name)), "{body}");
    }
    for name in ["none", "claude-sonnet-4-5", "4o"] {
        let (status, body) = read(name);
        let error = &body["error"];
        assert_eq!((status, &error["code"]), (404, &json!("model_not_found")), "{body}");
        assert_eq!(error["param"], "model");
    }
}

#[test]
fn a_body_that_cannot_be_read_has_no_field_in_any_api() {
    let (status, body) = asked("payments", (Method::POST, "/v1/charges"), b"{");
    assert_eq!((status, &body["error"]["code"]), (400, &json!("invalid_request")));
    assert_eq!(body["error"].get("field").filter(|field| !field.is_null()), None, "{body}");
}

#[test]
fn dynamodb_takes_no_item_and_no_key_without_the_key_of_its_table() {
    let call = |name: &str, body: Value| {
        let target = format!("DynamoDB_20120810.{name}");
        asked("dynamodb", (Method::POST, &target), body.to_string().as_bytes())
    };
    let item = |item: Value| json!({"TableName": "orders", "Item": item});
    let key = |key: Value| json!({"TableName": "orders", "Key": key});
    for own in ["id", "pk", "PK"] {
        assert_eq!(call("PutItem", item(json!({own: {"S": "1"}, "total": {"N": "5"}}))).0, 200);
    }
    let lacks =
        "One or more parameter values were invalid: Missing the key of the table in the item.";
    let other = "The provided key element does not match the schema";
    for ((status, body), says) in [
        (call("PutItem", item(json!({"total": {"N": "5"}}))), lacks),
        (call("PutItem", item(json!({}))), lacks),
        (call("GetItem", key(json!({"order": {"S": "1"}}))), other),
        (call("UpdateItem", key(json!({}))), other),
    ] {
        let kind = "com.amazonaws.dynamodb.v20120810#ValidationException";
        assert_eq!((status, &body["__type"]), (400, &json!(kind)));
        assert!(body["message"].as_str().expect("a text").starts_with(says), "{body}");
    }
}
