//! Answers that would be larger than the mock makes any.

use super::*;

/// A provider whose charges answer with this.
fn answering(body: &Value) -> Bench {
    Bench::with(Vec::new(), |api| {
        for route in api.routes.iter_mut().filter(|route| &*route.name == "create_charge") {
            let problems = Diagnostics::new();
            let body = crate::template::Tree::resolve(body, &["request"], &problems.root());
            Arc::make_mut(route).success.body = body;
        }
    })
}

/// What the only answer is said to be instead of, and how many effects there are.
fn unmade(bench: &mut Bench) -> (Option<String>, usize) {
    let events = bench.events();
    let mut sent = events.iter().filter_map(|event| match &event.kind {
        EventKind::ResponseSent(response) => Some(response.unmade.as_deref().map(str::to_owned)),
        _ => None,
    });
    let effects = events.iter().filter(|it| matches!(it.kind, EventKind::EffectCommitted(_)));
    (sent.next().expect("one answer"), effects.count())
}

#[test]
fn an_answer_that_the_mock_does_not_make_is_marked_and_has_no_effect() {
    let many = json!({"$each": "{{ range(99999) }}", "$item": "{{ index }}"});
    let list = json!({"$each": "{{ range(99) }}", "$item": many});
    let text = json!("{{ request.order * 99000000 }} and so on");
    let work = json!("{{ (request.order * 29000000) | list | length }}");
    let failing = json!("{{ request.amount + request.order }}");
    for (body, why) in
        [(list, "values"), (text, "64 MiB"), (work, "256 MiB"), (failing, "request.order }}")]
    {
        let mut bench = answering(&json!({"id": "1", "made": body}));
        let exchange = bench.charge("x", None);
        let (status, body) = bench.answer(exchange);
        assert_eq!(status, 400, "{body}");
        let (reason, effects) = unmade(&mut bench);
        let reason = reason.unwrap_or_else(|| panic!("no mark for {why}"));
        assert!(reason.contains(why), "{reason}");
        assert_eq!(effects, 0);
    }
}

#[test]
fn what_a_request_lacks_is_the_clients_and_not_marked() {
    let mut bench = answering(&json!({"made": "{{ request.nothing }}"}));
    let exchange = bench.charge("x", None);
    assert_eq!(bench.answer(exchange).0, 400);
    assert_eq!(unmade(&mut bench), (None, 0));
    let mut bench = answering(&json!({"id": "1", "made": "{{ request.order }}"}));
    let exchange = bench.charge("x", None);
    assert_eq!(bench.answer(exchange).0, 201);
    assert_eq!(unmade(&mut bench), (None, 1));
}
