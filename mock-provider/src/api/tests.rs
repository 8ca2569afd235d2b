//! The shipped APIs hold together, wrong files are refused with reasons, and no request makes a panic.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::document::{Diagnostic, Diagnostics, Severity};
use crate::seed::{RuleKey, Seed};

mod asked;

/// All shipped APIs, loaded once.
static SHIPPED: LazyLock<Vec<Arc<Api>>> =
    LazyLock::new(|| names().into_iter().map(load_shipped).collect());

fn shipped_api(name: &str) -> Arc<Api> {
    Arc::clone(SHIPPED.iter().find(|api| &*api.name == name).expect("is shipped"))
}

fn load_shipped(name: &str) -> Arc<Api> {
    let problems = Diagnostics::new();
    let loaded = load(name, Path::new("."), &problems.root());
    let problems = problems.into_vec();
    assert!(problems.is_empty(), "{name}: {problems:#?}");
    loaded.expect("loads").0
}

/// The objects that routes have made, as a provider would keep them.
#[derive(Default)]
struct Objects(BTreeMap<(Arc<str>, String), Value>);

/// An upload that is whole.
fn stored(upload: &UploadSpec) -> Value {
    let (size, sha256) = (json!(3), json!("ba78"));
    let mut object = upload.done.render(&[("size", &size), ("sha256", &sha256)]).expect("renders");
    object["id"] = "some-id".into();
    object
}

/// What somebody pays for has an amount and a unit.
fn assert_billed(route: &Route, effects: &[EffectDraft]) {
    if let Some(spec) = route.effect.as_ref().filter(|spec| spec.billed) {
        assert!(
            effects.iter().all(|one| one.amount.is_some() && one.unit.is_some()),
            "{}: a billed {} without amount or unit",
            route.name,
            spec.kind
        );
    }
}

/// Serves a request as a provider would, without faults.
fn serve(api: &Api, objects: &mut Objects, built: &Built) -> (Arc<Route>, Call, Rendered) {
    let reading = api.read(&built.method, &built.target, &built.headers, &built.body);
    let route = reading.route.expect("the request has a route");
    let call = reading.call;
    route.validate(&call).expect("the default request is valid");
    let mut context = Context::new(&call, 1_700_000_000);
    context.request_id = Value::from("abc");
    let used = route.used_id(&context).expect("the id renders");
    let target = route.uses.as_ref().zip(used.clone()).and_then(|(uses, id)| {
        let object = objects.0.get(&(Arc::clone(&uses.collection), id));
        assert!(object.is_some() || uses.optional, "{}: the object is missing", route.name);
        let allowed = object.is_none_or(|object| uses.allows(object));
        assert!(allowed, "{}: the object is in the wrong state", route.name);
        object.cloned()
    });
    if let Some(target) = &target {
        context.target = target;
        context.object = target;
    }
    let changed = route.changed_object(&context).expect("the change renders");
    if let (Some(changed), Some(uses), Some(id)) = (&changed, &route.uses, used) {
        context.target = changed;
        context.object = changed;
        objects.0.insert((Arc::clone(&uses.collection), id), changed.clone());
    }
    let mut made = None;
    let mut draw = RuleKey::new(Seed::default(), "#test").draw(&crate::coordinates::Coordinates {
        provider: "p",
        route: &route.name,
        operation: "op-0001",
        submit: 1,
        attempt: 1,
    });
    let fates = vec![Fate::Done; route.batch_size(&context)];
    let batch = route.batch(&context, &fates, &mut draw).expect("the items render");
    context.results = Value::from(batch.results);
    if let Some(creates) = &route.creates {
        let chosen = route.chosen_id(&context).expect("the id renders");
        let id = chosen.map_or_else(|| creates.id.make(&mut draw), Arc::from);
        context.id = Value::from(&*id);
        let object = route.new_object(&context).expect("the object renders").expect("is made");
        objects.0.insert((Arc::clone(&creates.collection), id.to_string()), object.clone());
        made = Some(object);
    }
    if let Some(made) = &made {
        context.object = made;
    }
    if route.receives.is_some() {
        context.objects = Value::Array(Vec::new());
    }
    if let Some(lists) = &route.lists {
        let listed =
            objects.0.iter().filter(|((collection, _), _)| *collection == lists.collection);
        let listed = listed.map(|(_, object)| object).filter(|object| lists.takes(&call, object));
        context.objects = listed.cloned().collect();
    }
    let stored = route.upload.as_ref().map(stored);
    if let Some(stored) = &stored {
        context.object = stored;
    }
    let mut effects = route.effects(&context).expect("the effects render");
    effects.extend(batch.done.into_iter().filter_map(|item| item.effect));
    assert_eq!(effects.is_empty(), route.effect.is_none(), "{}", route.name);
    assert_billed(&route, &effects);
    let rendered = route.success(&context).expect("the answer renders");
    (Arc::clone(&route), call.clone(), rendered)
}

/// The input of operation 7.
fn default_input(route: &Route) -> Value {
    let names = [("n", &json!(7)), ("submit", &json!(1))];
    route.input.render(&names).expect("the input renders")
}

/// Makes the object that a route uses: by the first route that makes one of that kind, or as an event.
fn made_for(api: &Api, uses: &Uses, objects: &mut Objects) -> Value {
    let webhooks = api.webhooks.as_ref();
    if let Some(webhooks) =
        webhooks.filter(|webhooks| webhooks.collection.as_ref() == Some(&uses.collection))
    {
        let event = json!({"id": "evt_7", "type": "something.happened"});
        let names = [("event", &event), ("object", &json!({})), ("now", &json!(1_700_000_000))];
        let body = webhooks.body.render(&names).expect("the event renders");
        objects.0.insert((Arc::clone(&uses.collection), "evt_7".to_owned()), body.clone());
        return body;
    }
    let maker = api
        .routes
        .iter()
        .find(|one| one.creates.as_ref().is_some_and(|made| made.collection == uses.collection));
    let Some(maker) = maker else {
        assert!(uses.optional, "no route makes what this one uses");
        return Value::Null;
    };
    let mut own = default_input(maker);
    if let Some(uses) = &maker.uses
        && uses.collection != maker.creates.as_ref().expect("it makes one").collection
    {
        let other = made_for(api, uses, objects);
        name_object(maker, &other, &mut own);
    }
    let built = maker.build(api.encoding, &own, 7, 1).expect("the request renders");
    serve(api, objects, &built).2.body.expect("has a body")
}

/// Puts the id of an object wherever the request of a route may look for it.
fn name_object(route: &Route, made: &Value, input: &mut Value) {
    if let (Some(fields), Some(id)) = (input.as_object_mut(), made.get("id")) {
        let of_body = route.fields.iter().map(|(pointer, _)| pointer.last().to_owned());
        for name in route.pattern.parameters().map(str::to_owned).chain(of_body) {
            fields.entry(name).or_insert(id.clone());
        }
    }
}

/// Each route of an API once, with the object that it needs made before by the first route that makes
/// one of that kind.
fn every_route(api: &Api, mut each: impl FnMut(&Route, &Call, &Rendered)) {
    for route in &api.routes {
        let mut objects = Objects::default();
        let mut input = default_input(route);
        if let Some(uses) = &route.uses {
            let made = made_for(api, uses, &mut objects);
            name_object(route, &made, &mut input);
        } else if let Some(fields) = input.as_object_mut() {
            for name in route.pattern.parameters() {
                fields.entry(name).or_insert("some-id".into());
            }
        }
        let built = route.build(api.encoding, &input, 7, 1).expect("the request renders");
        let (found, call, rendered) = serve(api, &mut objects, &built);
        assert_eq!(found.name, route.name, "another route takes the request");
        each(route, &call, &rendered);
    }
}

#[test]
fn every_shipped_api_resolves_without_a_word_and_its_answers_are_usable() {
    assert_eq!(
        names(),
        ["payments", "openai", "stripe", "anthropic", "dynamodb", "vision", "queue"]
    );
    for name in names() {
        let api = shipped_api(name);
        assert_eq!(&*api.name, name);
        let mut served = 0;
        every_route(&api, |route, call, rendered| {
            let bytes = rendered.body.as_ref().map_or_else(String::new, Value::to_string);
            if let Err(wrong) = route.usable(bytes.as_bytes(), call) {
                panic!("{name} {}: {wrong}", route.name);
            }
            let class = api.class(rendered.status, &rendered.headers, bytes.as_bytes());
            assert_eq!(class, Class::Success);
            served += 1;
        });
        assert_eq!(served, api.routes.len());
    }
}

/// Every stream of every shipped API, as it goes out without faults.
fn every_stream(mut each: impl FnMut(&str, &StreamSpec, &bytes::Bytes)) {
    let mut streams = 0;
    for name in names() {
        let api = shipped_api(name);
        for route in &api.routes {
            let Some(stream) = &route.stream else { continue };
            let mut input = default_input(route);
            input["stream"] = Value::Bool(true);
            let built = route.build(api.encoding, &input, 7, 1).expect("the request renders");
            let call = api.read(&built.method, &built.target, &built.headers, &built.body).call;
            assert!(route.stream_for(&call).is_some(), "{name} {}", route.name);
            let mut context = Context::new(&call, 1_700_000_000);
            context.id = Value::from("some-id");
            let object = route.new_object(&context).expect("renders").expect("is made");
            context.object = &object;
            let written = route.written(&context).expect("the stream renders");
            assert!(written.is_stream && written.usable, "{name} {}", route.name);
            each(&format!("{name} {}", route.name), stream, &written.body);
            streams += 1;
        }
    }
    assert_eq!(streams, 3);
}

#[test]
fn every_stream_of_every_shipped_api_is_usable_only_to_its_last_event() {
    every_stream(|_, stream, own| {
        let events = crate::sse::events(own);
        assert!(stream.is_last(events.last().expect("events")));
        assert!(events.iter().filter(|event| stream.carries_text(event)).count() > 1);
        for event in &events {
            let why = stream.judge(&own[..event.range.start]).expect_err("an event is missing");
            assert!(why.contains("without the last one"), "{why}");
        }
    });
}

#[test]
fn who_leaves_a_stream_after_the_reason_why_it_finished_has_read_enough() {
    every_stream(|name, stream, own| {
        let events = crate::sse::events(own);
        let enough = |upto: usize| stream.says_all(&own[..upto]);
        assert!(enough(own.len()), "{name}");
        let first = events.iter().position(|event| enough(event.range.end));
        let first = first.expect("some event says why it finished");
        assert!(first > 1 && first + 2 >= events.len(), "{name}: {first} of {}", events.len());
        assert!(!enough(0) && !enough(events[1].range.end), "{name}");
    });
}

#[test]
fn whatever_goes_wrong_with_a_stream_and_wherever_no_client_can_take_what_lacks_something() {
    use crate::exchange::End;
    use crate::stream::{Broken, Kind, spoil};
    every_stream(|name, stream, own| {
        let events = crate::sse::events(own).len();
        let places = (0..events + 2).map(|place| u64::try_from(place).ok()).chain([None]);
        for after in places {
            let cuts = [None, Some(End::Fin), Some(End::Rst)];
            let ways = Kind::ALL.into_iter().flat_map(|kind| cuts.map(|then| (kind, then)));
            for (kind, then) in ways {
                let how = Broken { kind, after, then };
                let spoiled = spoil(&how, stream, own, r#"{"error":{}}"#);
                let cut = spoiled.cut.map_or(usize::MAX, |(bytes, _)| {
                    usize::try_from(bytes).expect("no stream is so long")
                });
                let came = &spoiled.body[..spoiled.body.len().min(cut)];
                // Events that come twice or in another order are seen only where they are numbered.
                let stays = kind == Kind::SplitUtf8
                    || (kind.may_stay_usable() && stream.sequence.is_none());
                let judged = stream.judge(came);
                assert_eq!(judged.is_ok(), stays, "{name} {kind:?} {after:?} {then:?}: {judged:?}");
            }
        }
    });
}

#[test]
fn a_stream_of_which_nobody_can_tell_the_end_is_refused() {
    let refused = |stream: Value| {
        let text = json!({"version": 1, "name": "a", "routes": [{
            "name": "ask", "method": "POST", "path": "/ask", "stream": stream,
        }]});
        let problems = Diagnostics::new();
        let api = from_value(&text, &problems.root());
        assert!(api.is_none());
        problems.into_vec().into_iter().map(|one| one.path).collect::<Vec<_>>()
    };
    let place = |rest: &str| vec![format!("routes[0].stream{rest}")];
    assert_eq!(refused(json!({})), place(""));
    assert_eq!(refused(json!({"events": []})), place(".events"));
    assert_eq!(refused(json!({"events": [{"data": {"a": 1}}]})), place(".events[0]"));
    assert_eq!(
        refused(json!({"events": [{"data": "{{ item }}"}, {"data": "end"}]})),
        place(".events[0].data")
    );
    assert_eq!(
        refused(json!({"events": [{"data": "end"}], "error": {"error": "no_such"}})),
        place(".error.error")
    );
    assert_eq!(refused(json!({"events": [{"data": "end"}], "length": [{}]})), place(".length[0]"));
}

#[test]
fn every_error_of_every_shipped_api_renders_and_has_a_class() {
    for name in names() {
        let api = shipped_api(name);
        let context = ErrorContext { key: Some("k"), ..ErrorContext::default() };
        for error in api.errors.names() {
            let rendered = api.errors.render(Which::Named(error), &context).expect("renders");
            assert!(rendered.body.is_some());
        }
        for status in 400..=599 {
            let rendered = api.errors.render(Which::Status(status), &context).expect("renders");
            assert_eq!(rendered.status, status);
            let body = rendered.body.expect("has a body").to_string();
            let class = api.class(status, &rendered.headers, body.as_bytes());
            assert_ne!(class, Class::Success, "{name} {status}");
        }
    }
}

#[test]
fn the_headers_and_the_environment_of_every_shipped_api_render() {
    for name in names() {
        let api = shipped_api(name);
        let mut headers = HeaderMap::new();
        api.add_headers("abc", 1, &mut headers).expect("renders");
        assert_eq!(headers.len(), api.headers.len());
        api.add_limit_headers(&LimitState::default(), &mut headers).expect("renders");
        let dummy = &api.auth.as_ref().expect("has keys").dummy;
        let environment =
            Environment { url: "http://127.0.0.1:1/~op-1.1", key: dummy, token: "", seed: 7 };
        let variables = api.environment(&environment).expect("renders");
        assert!(variables.iter().any(|(_, value)| value.contains("127.0.0.1")));
        assert!(variables.iter().any(|(_, value)| value.contains(dummy.as_str())));
    }
}

#[test]
fn a_charge_looks_as_the_contract_says() {
    let api = shipped_api("payments");
    let body = br#"{"amount":1999,"currency":"usd","order":"order-3"}"#;
    let built = Built {
        method: Method::POST,
        target: "/v1/charges".to_owned(),
        headers: HeaderMap::new(),
        body: body.as_slice().into(),
    };
    let (route, _, rendered) = serve(&api, &mut Objects::default(), &built);
    assert_eq!((&*route.name, rendered.status), ("create_charge", 201));
    assert!(route.keyed && route.is_effectful());
    let text = rendered.body.expect("has a body").to_string();
    let id = text.strip_prefix(r#"{"id":"ch_"#).and_then(|rest| rest.split_once('"')).expect("id");
    assert!(id.0.len() == 24 && id.0.chars().all(|c| c.is_ascii_alphanumeric()));
    assert_eq!(
        id.1,
        r#","object":"charge","status":"succeeded","amount":1999,"currency":"usd","order":"order-3","created":1700000000}"#
    );
}

#[test]
fn an_error_of_payments_looks_as_the_contract_says() {
    let api = shipped_api("payments");
    let error = |which| {
        let rendered = api.errors.render(which, &ErrorContext::default()).expect("renders");
        (rendered.status, rendered.body.expect("has a body"))
    };
    let (status, body) = error(Which::Standard(Standard::RateLimited));
    assert_eq!((status, &body["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    assert_eq!(body.as_object().expect("an object").len(), 1);
    let policy = api.idempotency.as_ref().expect("has keys");
    assert_eq!(error(Which::Refusal(&policy.mismatch)).0, 422);
    assert_eq!(error(Which::Refusal(&policy.in_flight)).0, 409);
    let classes = [(400, Class::Permanent), (402, Class::Permanent), (404, Class::Permanent)];
    let heal = [408, 409, 425, 500, 503, 529].map(|status| (status, Class::Transient));
    for (status, class) in classes.into_iter().chain(heal).chain([(429, Class::Throttling)]) {
        assert_eq!(api.class(status, &HeaderMap::new(), b""), class, "{status}");
    }
}

#[test]
fn an_answer_is_usable_for_a_lenient_reader_only_where_it_says_what_is_needed() {
    let api = shipped_api("payments");
    let route = api.route_named("create_charge").expect("exists");
    let call = Call { body: Some(json!({"amount": 5, "currency": "usd"})), ..Call::default() };
    let good = "\u{feff} {\"id\":\"ch_1\",\"status\":\"succeeded\"} ";
    assert_eq!(route.usable(good.as_bytes(), &call), Ok(()));
    for (wrong, why) in [
        ("", "the body is empty"),
        ("<html>", "the body is no JSON"),
        ("{}", "/id is missing"),
        (r#"{"id":"","status":"succeeded"}"#, "/id is"),
        (r#"{"id":"c","status":"failed"}"#, "/status is"),
        (r#"{"id":"c","status":"succeeded","amount":6}"#, "/amount is 6, and 5 was asked for"),
    ] {
        let said = route.usable(wrong.as_bytes(), &call).expect_err(wrong);
        assert!(said.starts_with(why), "{wrong}: {said}");
    }
}

#[test]
fn a_form_of_stripe_is_read_with_its_types_and_answered_in_kind() {
    let api = shipped_api("stripe");
    let body = b"amount=1999&currency=usd&metadata[order]=order-3";
    let built = Built {
        method: Method::POST,
        target: "/v1/payment_intents".to_owned(),
        headers: HeaderMap::new(),
        body: body.as_slice().into(),
    };
    let (route, call, rendered) = serve(&api, &mut Objects::default(), &built);
    let body = rendered.body.expect("has a body");
    assert_eq!((&body["amount"], &body["metadata"]), (&json!(1999), &json!({"order": "order-3"})));
    assert_eq!(route.usable(body.to_string().as_bytes(), &call), Ok(()));
    let policy = api.idempotency.as_ref().expect("has keys");
    let context = ErrorContext { key: Some("k-1"), ..ErrorContext::default() };
    let error = api.errors.render(Which::Refusal(&policy.mismatch), &context).expect("renders");
    let said = error.body.expect("has a body")["error"].clone();
    assert_eq!((error.status, &said["type"]), (400, &json!("idempotency_error")));
    assert!(said["message"].as_str().expect("text").contains("other than 'k-1' if"));
    let error = api.errors.render(Which::Refusal(&policy.in_flight), &context).expect("renders");
    let said = error.body.expect("has a body")["error"].clone();
    assert_eq!((error.status, &said["code"]), (409, &json!("idempotency_key_in_use")));
}

#[test]
fn a_completion_of_openai_is_billed_by_its_own_usage() {
    let api = shipped_api("openai");
    every_route(&api, |route, call, rendered| {
        if &*route.name != "create_chat_completion" {
            return;
        }
        assert!(!route.keyed);
        let body = rendered.body.as_ref().expect("has a body");
        let mut context = Context::new(call, 1);
        context.object = body;
        let effects = route.effects(&context).expect("renders");
        let usage = &body["usage"];
        assert_eq!(effects[0].amount, usage["total_tokens"].as_i64());
        let sum = usage["prompt_tokens"].as_i64().zip(usage["completion_tokens"].as_i64());
        assert_eq!(effects[0].amount, sum.map(|(one, other)| one + other));
        assert_eq!(effects[0].unit.as_deref(), Some("tokens"));
    });
    let quota = api.errors.render(Which::Named("insufficient_quota"), &ErrorContext::default());
    let quota = quota.expect("renders");
    let body = quota.body.expect("has a body").to_string();
    assert_eq!(api.class(quota.status, &HeaderMap::new(), body.as_bytes()), Class::Permanent);
    assert_eq!(api.class(429, &HeaderMap::new(), b"{}"), Class::Throttling);
    let mut headers = HeaderMap::new();
    headers.insert("x-should-retry", "false".parse().unwrap());
    assert_eq!(api.class(500, &headers, b""), Class::Permanent);
    headers.insert("x-should-retry", "true".parse().unwrap());
    assert_eq!(api.class(400, &headers, b""), Class::Transient);
    assert_eq!(api.class(429, &headers, b""), Class::Throttling);
}

fn minimal() -> Value {
    json!({
        "name": "tiny",
        "routes": [{
            "name": "make", "method": "POST", "path": "/things",
            "creates": {"collection": "things", "fields": {"id": "{{ id }}"}},
            "needs": {"/id": "string"}
        }]
    })
}

fn problems_of(document: &Value) -> Vec<Diagnostic> {
    let problems = Diagnostics::new();
    let api = from_value(document, &problems.root());
    let failed = problems.has_errors();
    assert_eq!(api.is_none(), failed);
    problems.into_vec()
}

#[test]
fn a_small_file_is_an_api() {
    assert!(problems_of(&minimal()).is_empty());
}

#[test]
fn wrong_files_are_refused_where_they_are_wrong() {
    let cases = [
        ("/name", json!(7), "name"),
        ("/nam", json!("x"), "nam"),
        ("/version", json!(2), "version"),
        ("/hosts", json!(["https://x.com/"]), "hosts[0]"),
        ("/routes", json!([]), ""),
        ("/routes/0/path", json!("things"), "routes[0].path"),
        ("/routes/0/path", json!("/things/{id"), "routes[0].path"),
        ("/routes/0/needs", json!({"/id": "strin"}), "routes[0].needs./id"),
        ("/routes/0/needs", json!({"id": "string"}), "routes[0].needs.id"),
        ("/routes/0/needs", json!({"/id": {"in": [1], "equals": 1}}), "routes[0].needs./id"),
        ("/routes/0/echoes", json!({"/id": "path:id"}), "routes[0].echoes./id"),
        ("/routes/0/creates/fields/id", json!("{{ id "), "routes[0].creates.fields.id"),
        ("/routes/0/creates/fields/id", json!("{{ idd }}"), "routes[0].creates.fields.id"),
        ("/routes/0/creates/id", json!({"random": 2}), "routes[0].creates.id.random"),
        ("/routes/0/effect", json!({"amount": "/amount"}), "routes[0].effect"),
        ("/routes/0/effect", json!({"kind": "x", "billed": true}), "routes[0].effect"),
        (
            "/routes/0/effect",
            json!({"kind": "x", "amount": "{{ nope }}"}),
            "routes[0].effect.amount",
        ),
        ("/routes/0/idempotent", json!("key"), "routes[0].idempotent"),
        ("/routes/0/fields", json!({"/a": {"min": 3, "max": 1}}), "routes[0].fields./a.min"),
        ("/routes/0/fields", json!({"/a": {"type": "int"}}), "routes[0].fields./a.type"),
        ("/routes/0/success", json!({"status": 99}), "routes[0].success.status"),
        ("/routes/0/reads", json!({"collection": "x"}), "routes[0].reads"),
        (
            "/routes/0/reads",
            json!({"collection": "x", "id": "/id", "otherwise": "no"}),
            "routes[0].reads.otherwise",
        ),
        ("/auth", json!({"dummy": "a~b"}), "auth.dummy"),
        ("/auth", json!({"header": "a b"}), "auth.header"),
        ("/operation_id", json!(["json:order"]), "operation_id[0]"),
        ("/idempotency", json!({"header": "x", "field": "/x"}), "idempotency"),
        ("/idempotency", json!({"retention": "0s"}), "idempotency.retention"),
        ("/idempotency", json!({"mismatch": {"error": "no"}}), "idempotency.mismatch.error"),
        ("/rate_limit", json!({"per": "1s"}), "rate_limit"),
        ("/rate_limit", json!({"limit": 0}), "rate_limit.limit"),
        ("/limit_headers", json!({"x": "{{ left }}"}), "limit_headers.x"),
        ("/errors", json!({"body": "{{ type }}"}), "errors.body"),
        ("/errors", json!({"named": {"own": {}}}), "errors.named.own"),
        ("/errors", json!({"statuses": {"429": "no"}}), "errors.statuses.429"),
        ("/classes", json!({"statuses": {"4x": "permanent"}}), "classes.statuses.4x"),
        ("/classes", json!({"codes": [{"at": "code"}]}), "classes.codes[0].at"),
        ("/client_env", json!({"A": "{{ base }}"}), "client_env.A"),
        ("/hint", json!({"body": "retry"}), "hint.body"),
    ];
    refused_where_wrong(&cases);
}

/// Each of these values makes a small file wrong at its place.
fn refused_where_wrong(cases: &[(&str, Value, &str)]) {
    for (at, wrong, path) in cases {
        let mut document = minimal();
        Pointer::new(at).expect("a pointer").set(&mut document, wrong.clone());
        let problems = problems_of(&document);
        assert!(
            problems.iter().any(|problem| problem.path == *path),
            "{at} = {wrong}: expected a problem at `{path}`, got {problems:#?}"
        );
    }
}

#[test]
fn all_problems_of_a_file_are_said_at_once() {
    let mut document = minimal();
    document["auth"] = json!({"dummy": "~"});
    document["rate_limit"] = json!({});
    document["routes"][0]["needs"] = json!({"x": "string"});
    assert_eq!(problems_of(&document).len(), 3);
}

#[test]
fn a_route_that_is_never_reached_and_two_of_one_name_are_refused() {
    let mut document = minimal();
    let route = document["routes"][0].clone();
    document["routes"] = json!([route.clone(), route]);
    let paths: Vec<_> = problems_of(&document).into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["routes[1].name", "routes[1].path"]);
}

#[test]
fn an_api_file_of_the_users_own_is_found_beside_the_scenario_and_its_problems_have_places() {
    let folder = std::env::temp_dir().join(format!("brownout-api-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("good.yaml"), minimal().to_string()).unwrap();
    std::fs::write(folder.join("bad.yaml"), "name: x\nrutes: []\n").unwrap();
    let problems = Diagnostics::new();
    let (api, document) = load("good.yaml", &folder, &problems.root()).expect("loads");
    assert_eq!((&*api.name, &document), ("tiny", &minimal()));
    for wrong in ["bad.yaml", "./none.yaml", "paymens", "."] {
        assert!(load(wrong, &folder, &problems.root().key(wrong)).is_none());
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let problems = problems.into_vec();
    let of = |key: &str| problems.iter().find(|one| one.path == key).expect("is reported");
    assert!(of("bad.yaml").message.contains("bad.yaml:2:1: `rutes`"), "{problems:?}");
    assert_eq!(of("bad.yaml").did_you_mean.as_deref(), Some("routes"));
    assert_eq!(of("paymens").did_you_mean.as_deref(), Some("payments"));
}

#[test]
fn forms_nest_by_brackets() {
    let read = |text: &str| read_form(text.as_bytes());
    assert_eq!(
        read(
            "amount=5&metadata[order]=o%2D1&metadata[b]=x+y&items[0][id]=a&items[1][id]=b&e[]=1&e[]=2"
        ),
        json!({
            "amount": "5", "metadata": {"order": "o-1", "b": "x y"},
            "items": [{"id": "a"}, {"id": "b"}], "e": ["1", "2"]
        })
    );
    assert_eq!(read("a=1&a=2&=3&b&[x]=4"), json!({"a": "2", "": "3", "b": "", "[x]": "4"}));
    assert_eq!(read("a=1&a[b]=2"), json!({"a": {"b": "2"}}));
    assert_eq!(read("0=a&1=b"), json!({"0": "a", "1": "b"}));
}

#[test]
fn extractors_say_where_and_by_what_name() {
    for (text, name) in [
        ("json:/metadata/order", "order"),
        ("form:metadata[order]", "order"),
        ("form:order", "order"),
        ("query:order", "order"),
        ("header:X-Order", "x-order"),
        ("traceparent", "traceparent"),
    ] {
        assert_eq!(Extractor::parse(text).expect("is one").last_name(), name);
    }
    for wrong in ["", "json", "json:x", "header:", "header:a b", "cookie:x", "traceparent:x"] {
        assert!(Extractor::parse(wrong).is_err(), "{wrong}");
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\\[\\]\"\\\\é]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-d]", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// The same value with the keys of all objects in reverse order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect()
        }
        Value::Array(items) => items.iter().map(reversed).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A form's field as text: what a form makes of a value.
fn as_form(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), as_form(value))).collect()
        }
        Value::Array(items) => items.iter().map(as_form).collect(),
        Value::Null => "".into(),
        Value::String(_) => value.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
    }
}

/// Without empty lists and objects, of which a form has none.
fn has_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty() || fields.values().any(has_empty),
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

proptest! {
    #[test]
    fn canonical_bytes_depend_neither_on_order_nor_on_white_space(value in json_value()) {
        let canonical_bytes = canonical(&value, &[]);
        prop_assert_eq!(&canonical(&reversed(&value), &[]), &canonical_bytes);
        let spaced = serde_json::to_string_pretty(&value).expect("writes");
        let read = Encoding::Json.read(spaced.as_bytes(), &HeaderMap::new()).expect("reads");
        prop_assert_eq!(&canonical(&read, &[]), &canonical_bytes);
        let back: Value = serde_json::from_slice(&canonical_bytes).expect("is JSON");
        prop_assert_eq!(back, value);
    }

    #[test]
    fn volatile_fields_do_not_count(value in json_value(), other in json_value()) {
        let volatile = [Pointer::new("/nonce").unwrap(), Pointer::new("/in/0/nonce").unwrap()];
        let make = |nonce: &Value| json!({"in": [{"v": value, "nonce": nonce}], "nonce": nonce});
        prop_assert_eq!(canonical(&make(&value), &volatile), canonical(&make(&other), &volatile));
    }

    #[test]
    fn a_form_is_read_as_it_was_written(value in json_value()) {
        prop_assume!(value.is_object() && !has_empty(&value));
        let text = write_form(&value);
        prop_assert_eq!(read_form(text.as_bytes()), as_form(&value));
    }

    #[test]
    fn no_request_makes_a_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        target in "\\PC{0,60}",
        path in "/v1/(charges|refunds|authorizations|payment_intents|models)?(/[a-z%~.]{0,6}){0,3}(\\?[a-z=&%\\[\\]+]{0,20})?",
        post in any::<bool>(),
    ) {
        let method = if post { Method::POST } else { Method::GET };
        for name in names() {
            let api = shipped_api(name);
            for target in [&target, &path] {
                let reading = api.read(&method, target, &HeaderMap::new(), &body);
                let _ = api.canonical(&reading, &body);
                let _ = api.class(500, &HeaderMap::new(), &body);
                if let Some(route) = &reading.route {
                    let _ = route.validate(&reading.call);
                    let _ = route.usable(&body, &reading.call);
                    let _ = route.success(&Context::new(&reading.call, 1));
                    let _ = route.effects(&Context::new(&reading.call, 1));
                }
            }
        }
    }

    #[test]
    fn a_form_of_any_bytes_is_read(body in "[a-c\\[\\]=&%0-9+]{0,80}") {
        let value = read_form(body.as_bytes());
        prop_assert!(value.is_object());
        let _ = canonical(&value, &[]);
    }
}

#[test]
fn hosts_of_all_shipped_apis_are_known_and_lead_back_to_their_api() {
    let hosts = shipped_hosts();
    for (host, api) in [("api.stripe.com", "stripe"), ("api.openai.com", "openai")] {
        assert!(hosts.iter().any(|one| one == host), "{host} is not in {hosts:?}");
        assert_eq!(&*of_host(host).expect("it is known").name, api);
    }
    assert!(of_host("example.org").is_none());
}
