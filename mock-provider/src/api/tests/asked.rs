//! What an API demands of a request, and which page of a list it is given.

use super::*;

#[test]
fn an_error_of_ones_own_is_that_of_a_missing_field_only_where_the_file_says_so() {
    let mut document = minimal();
    let named = json!({"lacks": {"status": 418}, "lost": {"status": 404}});
    document["errors"] = json!({"named": named});
    let errors = |document: &Value| {
        from_value(document, &Diagnostics::new().root()).expect("an API").errors.clone()
    };
    let usual = errors(&document);
    assert_eq!([&*usual.missing_field, &*usual.unknown_cursor], ["invalid_request"; 2]);
    document["errors"]["missing_field"] = json!("lacks");
    document["errors"]["unknown_cursor"] = json!("lost");
    let own = errors(&document);
    assert_eq!([&*own.missing_field, &*own.unknown_cursor], ["lacks", "lost"]);
}

#[test]
fn a_blank_form_is_a_form_without_fields() {
    let api = shipped_api("stripe");
    let wrong = |body: &[u8]| {
        let reading = api.read(&Method::POST, "/v1/charges", &HeaderMap::new(), body);
        reading.route.expect("a route").validate(&reading.call).expect_err("lacks the amount")
    };
    for body in [&b""[..], b" \n", b"&&", b"amount="] {
        let WrongField { field, breach, .. } = wrong(body);
        let expected = if body == b"amount=" { Breach::EmptyString } else { Breach::Missing };
        assert_eq!((&*field, breach), ("amount", expected), "{body:?}");
    }
    let listed = api.read(&Method::GET, "/v1/charges", &HeaderMap::new(), b"");
    assert_eq!(listed.call.body, None);
}

#[test]
fn a_blank_body_of_json_is_one_without_fields_and_one_that_cannot_be_read_has_no_field() {
    let api = shipped_api("openai");
    for (body, field, breach) in [
        (&b""[..], "messages", Breach::Missing),
        (b" \n", "messages", Breach::Missing),
        (b"{}", "messages", Breach::Missing),
        (b"{", "", Breach::Unreadable),
    ] {
        let path = "/v1/chat/completions";
        let reading = api.read(&Method::POST, path, &HeaderMap::new(), body);
        let wrong = reading.route.expect("a route").validate(&reading.call).expect_err("lacks all");
        assert_eq!((&*wrong.field, wrong.breach), (field, breach), "{body:?}");
    }
}

#[test]
fn openai_takes_a_text_or_up_to_2048_of_them() {
    let api = shipped_api("openai");
    let said = |input: Value| {
        let body = json!({"model": "text-embedding-3-small", "input": input}).to_string();
        let read = api.read(&Method::POST, "/v1/embeddings", &HeaderMap::new(), body.as_bytes());
        read.route.expect("a route").validate(&read.call).err().map(|wrong| wrong.message)
    };
    let texts = |count| Value::from(vec!["cat"; count]);
    for input in [json!("cat"), json!([1, 2]), json!([[1], [2]]), texts(1), texts(2048)] {
        assert_eq!(said(input), None);
    }
    for (input, why) in [
        (json!(5), "input must be a string that is not empty, or a list"),
        (json!(""), "input must be a string that is not empty, or a list"),
        (texts(0), "input must have at least 1 entry"),
        (texts(2049), "input must have at most 2048 entries"),
        (
            json!([""]),
            "input has entry 0, which must be a string that is not empty, or an integer, or a list",
        ),
        (
            json!(["cat", null]),
            "input has entry 1, which must be a string that is not empty, or an integer, or a list",
        ),
    ] {
        assert_eq!(said(input).as_deref(), Some(why));
    }
}

#[test]
fn a_list_is_read_page_by_page_in_both_directions() {
    let api = shipped_api("stripe");
    let route = api.route_named("list_charges").expect("exists");
    let lists = route.lists.as_ref().expect("it lists");
    let objects: Vec<Value> =
        (0..12).map(|n| json!({"id": n.to_string(), "customer": (n % 2).to_string()})).collect();
    let page = |query: &str| {
        let call = Call { query: read_form(query.as_bytes()), ..Call::default() };
        let id = |one: &&Value| one["id"].as_str().expect("text").to_owned();
        let objects: Vec<_> = objects.iter().map(|one| (id(&one), one)).collect();
        let page = lists.page(&call, objects, |(id, _)| id, |(_, one)| one)?;
        let ids = page.objects.into_iter().map(|(id, _)| id);
        Ok((ids.collect::<Vec<_>>().join(" "), page.has_more))
    };
    for (query, ids, has_more) in [
        ("", "11 10 9 8 7 6 5 4 3 2", true),
        ("limit=100", "11 10 9 8 7 6 5 4 3 2 1 0", false),
        ("limit=2", "11 10", true),
        ("limit=2&starting_after=10", "9 8", true),
        ("limit=2&starting_after=2", "1 0", false),
        ("starting_after=0", "", false),
        ("limit=2&ending_before=8", "10 9", true),
        ("limit=3&ending_before=8", "11 10 9", false),
        ("ending_before=11", "", false),
        ("limit=2&customer=1&starting_after=8", "7 5", true),
        ("limit=2&customer=1&starting_after=4", "3 1", false),
    ] {
        assert_eq!(page(query), Ok((ids.to_owned(), has_more)), "{query}");
    }
    let wrong = |query: &str| {
        let WrongField { field, breach, .. } = page(query).expect_err(query);
        (field, breach == Breach::UnknownCursor)
    };
    for (query, breach) in [
        ("limit=", Breach::EmptyString),
        ("limit=0", Breach::OutOfRange),
        ("limit=-1", Breach::OutOfRange),
        ("limit=101", Breach::OutOfRange),
        ("limit=100000000000000000000", Breach::OutOfRange),
        ("limit=1.0", Breach::NotAnInteger),
        ("limit=-", Breach::NotAnInteger),
        ("limit[]=5", Breach::Other),
        ("starting_after=10&ending_before=11", Breach::BothCursors),
    ] {
        assert_eq!(page(query).expect_err(query).breach, breach, "{query}");
    }
    for limit in ["0", "101", "-1", "abc", "", "1.0", "%2B5", "100000000000000000000", "1e1"] {
        assert_eq!(wrong(&format!("limit={limit}")), ("limit".to_owned(), false), "{limit}");
    }
    for (query, field, is_unknown) in [
        ("limit[]=5", "limit", false),
        ("starting_after[a]=5", "starting_after", false),
        ("starting_after=10&ending_before=11", "starting_after", false),
        ("starting_after=none&ending_before=11", "starting_after", false),
        ("starting_after=none&limit=0", "limit", false),
        ("starting_after=none", "starting_after", true),
        ("ending_before=", "ending_before", true),
    ] {
        assert_eq!(wrong(query), (field.to_owned(), is_unknown), "{query}");
    }
}

#[test]
fn a_list_may_give_its_most_instead_of_refusing_under_a_parameter_of_another_name() {
    let mut lists = shipped_api("stripe")
        .route_named("list_charges")
        .and_then(|route| route.lists.clone())
        .expect("it lists");
    (lists.clamps, lists.size, lists.limit) = (true, "page_size".to_owned(), 3);
    let objects: Vec<Value> = (0..5).map(Value::from).collect();
    let count = |query: &str| {
        let call = Call { query: read_form(query.as_bytes()), ..Call::default() };
        let page = lists.page(&call, objects.iter().collect(), |_| "", |one| one);
        page.map(|page| page.objects.len())
    };
    for (query, expected) in [
        ("page_size=2", 2),
        ("page_size=3", 3),
        ("page_size=4", 3),
        ("page_size=100000000000000000000", 3),
        // It is not asked for by that name.
        ("limit=1", 5.min(lists.usual)),
    ] {
        assert_eq!(count(query), Ok(expected), "{query}");
    }
    for query in ["page_size=0", "page_size=-1", "page_size=", "page_size=x"] {
        let WrongField { field, message, .. } = count(query).expect_err(query);
        assert_eq!(
            (&*field, &*message),
            ("page_size", "page_size must be an integer of at least 1")
        );
    }
}

#[test]
fn bytes_that_cannot_be_read_are_no_request_without_a_body() {
    let api = shipped_api("queue");
    let refused = |method: Method, path: &str, body: &[u8]| {
        let reading = api.read(&method, path, &HeaderMap::new(), body);
        reading.route.expect("a route").validate(&reading.call).is_err()
    };
    for (body, expected) in [(&b"{"[..], true), (b"", false), (b" \n", false), (b"{}", false)] {
        assert_eq!(refused(Method::POST, "/v1/work", body), expected, "{body:?}");
    }
    // Nobody looks at the body there.
    assert!(!refused(Method::GET, "/v1/work", b"{"));
}

#[test]
fn a_request_that_breaks_a_rule_is_told_which_field() {
    let api = shipped_api("payments");
    let route = api.route_named("create_charge").expect("exists");
    let said = |body: Option<Value>| route.validate(&Call { body, ..Call::default() }).err();
    assert_eq!(said(Some(json!({"amount": 1, "currency": "usd", "new": true}))), None);
    assert_eq!(said(None).map(|wrong| wrong.field), Some(String::new()));
    for (body, field, breach) in [
        (json!({"currency": "usd"}), "amount", Breach::Missing),
        (json!({"amount": null, "currency": "usd"}), "amount", Breach::Missing),
        (json!({"amount": 0, "currency": "usd"}), "amount", Breach::OutOfRange),
        (json!({"amount": "5", "currency": "usd"}), "amount", Breach::NotAnInteger),
        (json!({"amount": "", "currency": "usd"}), "amount", Breach::EmptyString),
        (json!({"amount": 5.5, "currency": "usd"}), "amount", Breach::NotAnInteger),
        (json!({"amount": 5, "currency": ""}), "currency", Breach::EmptyString),
        (json!({"amount": 5, "currency": 5}), "currency", Breach::Other),
        (json!({"amount": 5}), "currency", Breach::Missing),
        (json!([]), "amount", Breach::Missing),
    ] {
        let wrong = said(Some(body)).expect("is refused");
        assert_eq!((&*wrong.field, wrong.breach), (field, breach));
    }
}

#[test]
fn rules_of_fields_and_lists_that_cannot_hold_are_refused_where_they_are_wrong() {
    refused_where_wrong(&[
        ("/routes/0/fields", json!({"/a": {"type": ["text", "x"]}}), "routes[0].fields./a.type[1]"),
        (
            "/routes/0/fields",
            json!({"/a": {"min_items": 3, "max_items": 1}}),
            "routes[0].fields./a.min_items",
        ),
        (
            "/routes/0/fields",
            json!({"/a": {"type": "text", "max_items": 1}}),
            "routes[0].fields./a.max_items",
        ),
        ("/routes/0/lists", json!({"collection": "x", "limit": 0}), "routes[0].lists.limit"),
        ("/routes/0/lists", json!({"collection": "x", "usual": 0}), "routes[0].lists.usual"),
        ("/routes/0/lists", json!({"collection": "x", "usual": 101}), "routes[0].lists.usual"),
        (
            "/routes/0/lists",
            json!({"collection": "x", "usual": 10, "limit": 9}),
            "routes[0].lists.usual",
        ),
        ("/errors", json!({"missing_field": "no"}), "errors.missing_field"),
        ("/errors", json!({"unknown_cursor": "no"}), "errors.unknown_cursor"),
        ("/errors", json!({"wrong": {"empty_list": "no"}}), "errors.wrong.empty_list"),
        ("/errors", json!({"wrong": {"empty": "not_found"}}), "errors.wrong.empty"),
        // Whoever gives an error this name takes it for the one of a field that is missing.
        (
            "/errors",
            json!({"named": {"missing_field": {"status": 418}}}),
            "errors.named.missing_field",
        ),
        (
            "/errors",
            json!({"named": {"unknown_cursor": {"status": 418}}}),
            "errors.named.unknown_cursor",
        ),
        ("/routes/0/fields", json!({"/a": {"error": "no"}}), "routes[0].fields./a.error"),
        ("/routes/0/fields", json!({"/a": {"items": "x"}}), "routes[0].fields./a.items"),
        (
            "/routes/0/fields",
            json!({"/a": {"type": "text", "items": "text"}}),
            "routes[0].fields./a.items",
        ),
        (
            "/routes/0/fields",
            json!({"/a": {"type": "list", "has_one_of": ["b"]}}),
            "routes[0].fields./a.has_one_of",
        ),
    ]);
}
