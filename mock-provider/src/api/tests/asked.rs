//! What an API demands of a request, and which page of a list it is given.

use super::*;

#[test]
fn an_error_of_ones_own_is_that_of_a_missing_field_only_where_the_file_says_so() {
    let mut document = minimal();
    let named = json!({"lacks": {"status": 418}, "lost": {"status": 404}});
    document["errors"] = json!({"named": named});
    let meant = |document: &Value, breach: Breach| {
        let api = from_value(document, &Diagnostics::new().root()).expect("an API");
        match api.errors.of_breach(breach, None) {
            (Which::Named(name), has_words) => (name.to_owned(), has_words),
            (which, has_words) => (format!("{which:?}"), has_words),
        }
    };
    let usual = ("Standard(InvalidRequest)".to_owned(), false);
    for breach in [Breach::Missing, Breach::UnknownCursor] {
        assert_eq!(meant(&document, breach), usual);
    }
    document["errors"]["missing_field"] = json!("lacks");
    document["errors"]["unknown_cursor"] = json!("lost");
    assert_eq!(meant(&document, Breach::Missing), ("lacks".to_owned(), false));
    assert_eq!(meant(&document, Breach::UnknownCursor), ("lost".to_owned(), false));
    document["errors"]["named"]["lacks"]["message"] = json!("{{ field }} is not there");
    assert_eq!(meant(&document, Breach::Missing), ("lacks".to_owned(), true));
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
fn a_number_is_measured_whether_it_is_whole_or_not() {
    let mut document = minimal();
    document["routes"][0]["fields"] = json!({"/heat": {"type": "number", "min": 0, "max": 2}});
    let api = from_value(&document, &Diagnostics::new().root()).expect("an API");
    let said = |heat: Value| {
        let call = Call { body: Some(json!({"heat": heat})), ..Call::default() };
        api.routes[0].validate(&call).err().map(|wrong| (wrong.breach, wrong.message))
    };
    for heat in [json!(0), json!(0.5), json!(2), json!(2.0), json!(-0.0)] {
        assert_eq!(said(heat.clone()), None, "{heat}");
    }
    let range = |words: &str| Some((Breach::OutOfRange, words.to_owned()));
    for heat in [json!(-1), json!(-0.1), json!(-1e300)] {
        assert_eq!(said(heat.clone()), range("heat must be at least 0"), "{heat}");
    }
    for heat in [json!(3), json!(2.1), json!(1e300), json!(u64::MAX)] {
        assert_eq!(said(heat.clone()), range("heat must be at most 2"), "{heat}");
    }
}

#[test]
fn rules_of_fields_and_lists_that_cannot_hold_are_refused_where_they_are_wrong() {
    for (rule, place) in [
        (json!({"type": ["text", "x"]}), "type[1]"),
        (json!({"type": []}), "type"),
        (json!({"min_items": 3, "max_items": 1}), "min_items"),
        (json!({"type": "text", "max_items": 1}), "max_items"),
        (json!({"min": 3, "max": 1}), "min"),
        (json!({"type": ["text", "list"], "min": 3}), "min"),
        (json!({"type": "text", "max": 3}), "max"),
        (json!({"error": "no"}), "error"),
        (json!({"items": "x"}), "items"),
        (json!({"items": []}), "items"),
        (json!({"type": "text", "items": "text"}), "items"),
        (json!({"type": "list", "has_one_of": ["b"]}), "has_one_of"),
        (json!({"has_one_of": []}), "has_one_of"),
        (json!({"in": []}), "in"),
    ] {
        let place = format!("routes[0].fields./a.{place}");
        refused_where_wrong(&[("/routes/0/fields", json!({"/a": rule}), &place)]);
    }
    for (names, place) in [
        (json!({"size": "after", "after": "after"}), "after"),
        (json!({"after": "limit"}), "after"),
        (json!({"after": "id", "before": "id"}), "before"),
        (json!({"size": ""}), "size"),
        (json!({"filters": {"limit": "/limit"}}), "filters.limit"),
    ] {
        let place = format!("routes[0].lists.{place}");
        let mut lists = names;
        lists["collection"] = json!("x");
        refused_where_wrong(&[("/routes/0/lists", lists, &place)]);
    }
    refused_where_wrong(&[
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
    ]);
}

#[test]
fn an_error_that_has_the_name_of_a_use_and_none_is_noted() {
    let noted = |errors: Value| {
        let mut document = minimal();
        document["errors"] = errors;
        let problems = problems_of(&document).into_iter();
        problems.map(|one| (one.severity, one.path)).collect::<Vec<_>>()
    };
    for name in ["missing_field", "unknown_cursor", "empty_list", "unreadable"] {
        let named = json!({name: {"status": 418}});
        let place = format!("errors.named.{name}");
        assert_eq!(noted(json!({"named": named})), [(Severity::Note, place)]);
        // It is put to a use, whichever it is.
        for wrong in [name, "out_of_range"] {
            let wrong = if ["missing_field", "unknown_cursor"].contains(&wrong) {
                "empty_string"
            } else {
                wrong
            };
            assert_eq!(noted(json!({"named": named, "wrong": {wrong: name}})), []);
        }
        assert_eq!(noted(json!({"named": named, "missing_field": name})), []);
    }
}

#[test]
fn parameters_with_brackets_are_read_as_a_query_has_them() {
    let mut document = minimal();
    document["routes"][0] = json!({
        "name": "list", "method": "GET", "path": "/things",
        "lists": {
            "collection": "things", "size": "page[size]", "after": "page[after]", "limit": 2,
            "filters": {"only[kind]": "/kind"}
        },
        "success": {"body": {"data": "{{ objects }}"}}
    });
    let api = from_value(&document, &Diagnostics::new().root()).expect("an API");
    let lists = api.routes[0].lists.clone().expect("it lists");
    let objects: Vec<Value> = (0..4)
        .map(|n| json!({"id": n.to_string(), "kind": if n % 2 == 0 { "a" } else { "b" }}))
        .collect();
    let page = |query: &str| {
        let target = format!("/things?{query}");
        let call = api.read(&Method::GET, &target, &HeaderMap::new(), b"").call;
        let id = |one: &&Value| one["id"].as_str().map(str::to_owned);
        let page = lists.page(
            &call,
            objects.iter().collect(),
            |one| one["id"].as_str().expect("a text"),
            |one| one,
        );
        let page = page.map(|page| page.objects.iter().filter_map(id).collect::<String>());
        page.map_err(|wrong| (wrong.field, wrong.breach))
    };
    assert_eq!(page(""), Ok("01".to_owned()));
    assert_eq!(page("page[size]=1"), Ok("0".to_owned()));
    assert_eq!(page("page%5Bsize%5D=1&page%5Bafter%5D=1"), Ok("2".to_owned()));
    assert_eq!(page("only[kind]=b"), Ok("13".to_owned()));
    assert_eq!(page("page[size]=x"), Err(("page[size]".to_owned(), Breach::NotAnInteger)));
    assert_eq!(page("page[after]=9"), Err(("page[after]".to_owned(), Breach::UnknownCursor)));
}

#[test]
fn a_route_reads_the_encoding_that_it_says_whatever_the_api_has() {
    for (of_api, of_route, body) in
        [("json", "form", &b"a=1&b[]=2"[..]), ("form", "json", br#"{"a": 1, "b": [2]}"#)]
    {
        let mut document = minimal();
        document["encoding"] = json!(of_api);
        let fields = json!({
            "/a": {"type": "integer", "required": true}, "/b": {"type": "list", "items": "integer"}
        });
        let mut other = document["routes"][0].clone();
        (other["name"], other["path"]) = (json!("other"), json!("/others"));
        (other["encoding"], other["fields"]) = (json!(of_route), fields.clone());
        document["routes"][0]["fields"] = fields;
        document["routes"].as_array_mut().expect("a list").push(other);
        let api = from_value(&document, &Diagnostics::new().root()).expect("an API");
        let asked = |path: &str, body: &[u8]| {
            let reading = api.read(&Method::POST, path, &HeaderMap::new(), body);
            let wrong = reading.route.expect("a route").validate(&reading.call).err();
            wrong.map(|wrong| (wrong.field, wrong.breach))
        };
        assert_eq!(asked("/others", body), None, "{of_route}");
        assert_ne!(asked("/things", body), None, "{of_api}");
        assert_eq!(asked("/others", b""), Some(("a".to_owned(), Breach::Missing)), "{of_route}");
        assert_eq!(asked("/things", b""), Some(("a".to_owned(), Breach::Missing)), "{of_api}");
    }
    // Only a form with files says of itself what it is.
    let other = |encoding: &str| {
        json!([
            {"name": "one", "method": "POST", "path": "/rows/{id}", "encoding": encoding,
             "when": {"headers": {"x-op": "one"}}, "success": {"body": {}}},
            {"name": "two", "method": "POST", "path": "/rows/{name}", "success": {"body": {}}}
        ])
    };
    refused_where_wrong(&[
        ("/routes", other("form"), "routes[1].encoding"),
        ("/settings", json!({"region": null}), "settings.region"),
    ]);
    let mut document = minimal();
    document["routes"] = other("multipart");
    assert_eq!(problems_of(&document), []);
    let mut document = minimal();
    document["encoding"] = json!("form");
    let items = json!({"/b": {"type": "list", "items": ["integer", "boolean"]}});
    document["routes"][0]["fields"] = items;
    let api = from_value(&document, &Diagnostics::new().root()).expect("an API");
    for (body, is_right) in [("b[]=1&b[]=true", true), ("b[]=1&b[]=x", false)] {
        let reading = api.read(&Method::POST, "/things", &HeaderMap::new(), body.as_bytes());
        assert_eq!(api.routes[0].validate(&reading.call).is_ok(), is_right, "{body}");
    }
}

#[test]
fn what_an_error_says_is_what_the_file_says() {
    let mut document = minimal();
    document["routes"][0]["fields"] = json!({
        "/a": {"required": true, "message": "Give me an A."},
        "/b": {"required": true},
        "/c": {"required": true}
    });
    document["errors"] = json!({
        "missing_field": "lacks",
        "wrong": {"unreadable": "garbled"},
        "named": {
            "lacks": {"status": 400, "message": "'{{ field }}' is not there"},
            "garbled": {"status": 400, "message": "garbled{{ field }}"}
        }
    });
    let api = from_value(&document, &Diagnostics::new().root()).expect("an API");
    let wrong = |body: &[u8]| {
        let reading = api.read(&Method::POST, "/things", &HeaderMap::new(), body);
        api.routes[0].validate(&reading.call).expect_err("is refused")
    };
    assert_eq!(wrong(b"{}").message, "Give me an A.");
    assert_eq!(wrong(br#"{"a": 1}"#).message, "b is required");
    let said = |field: Option<&str>, breach: Breach| {
        let (which, has_words) = api.errors.of_breach(breach, None);
        assert!(has_words);
        let context = ErrorContext { field, ..ErrorContext::default() };
        let body = api.errors.render(which, &context).expect("renders").body.expect("a body");
        body["error"]["message"].as_str().expect("a text").to_owned()
    };
    assert_eq!(said(Some("b"), Breach::Missing), "'b' is not there");
    assert_eq!(said(None, Breach::Unreadable), "garbled");
}

#[test]
fn stripe_takes_metadata_that_is_an_object_or_an_empty_text_and_no_other() {
    let api = shipped_api("stripe");
    for (metadata, is_right) in [
        ("", true),
        ("&metadata[order]=order-1", true),
        ("&metadata=", true),
        ("&metadata=hello", false),
        ("&metadata[]=hello", false),
    ] {
        let body = format!("amount=100&currency=usd&source=tok_visa{metadata}");
        let reading = api.read(&Method::POST, "/v1/charges", &HeaderMap::new(), body.as_bytes());
        let route = reading.route.expect("a route");
        assert_eq!(route.validate(&reading.call).is_ok(), is_right, "{metadata}");
    }
}

#[test]
fn dynamodb_finds_an_item_by_its_key_whatever_else_stands_in_it() {
    let api = shipped_api("dynamodb");
    let id = |name: &str, part: &str, value: &Value| {
        let route = api.route_named(name).expect("exists");
        let body = json!({"TableName": "orders", part: value});
        let call = Call { body: Some(body), settings: api.settings.clone(), ..Call::default() };
        let context = Context::new(&call, 0);
        (route.used_id(&context).expect("renders"), route.chosen_id(&context).expect("renders"))
    };
    let text = |value: &str| json!({"S": value});
    for (item, key) in [
        (json!({"id": text("1"), "sk": text("red"), "SK": text("red")}), json!({"id": text("1")})),
        (json!({"pk": text("1"), "id": text("9")}), json!({"pk": text("1")})),
        (
            json!({"pk": text("1"), "sk": text("2"), "SK": text("3"), "id": text("9")}),
            json!({"pk": text("1"), "sk": text("2")}),
        ),
        (
            json!({"PK": text("1"), "SK": text("2"), "sk": text("3"), "pk": text("4")}),
            json!({"PK": text("1"), "SK": text("2")}),
        ),
    ] {
        let (found, made) = id("put_item", "Item", &item);
        assert_eq!(found, made, "{item}");
        assert_eq!(id("get_item", "Key", &key).0, made, "{item}");
        assert_eq!(id("update_item", "Key", &key), (found, made), "{item}");
    }
    let own = Some(Arc::new(json!({"keys": {"seats": ["row", "seat"], "rows": "row"}})));
    let seat = json!({"row": text("a"), "seat": text("1"), "id": text("9")});
    for (table, found) in [("seats", "seats/{'S': 'a'}{'S': '1'}"), ("rows", "rows/{'S': 'a'}")] {
        let body = Some(json!({"TableName": table, "Item": seat}));
        let call = Call { body, settings: own.clone(), ..Call::default() };
        let put = api.route_named("put_item").expect("exists");
        assert_eq!(put.used_id(&Context::new(&call, 0)).expect("renders").as_deref(), Some(found));
    }
    let of = |item: Value| id("put_item", "Item", &item).1.expect("it has one");
    assert_eq!(of(json!({"id": text("1")})), "orders/{'S': '1'}");
    for (one, other) in [("2", "3"), ("'", "\""), ("\\'", "'"), ("'}{'S': '", ""), ("\n", "\\n")] {
        let item = |sort: &str| of(json!({"pk": text("1"), "sk": text(sort)}));
        assert_ne!(item(one), item(other));
    }
}
