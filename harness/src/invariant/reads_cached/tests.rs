//! Runs written by hand: pages that show orders, and payments that change them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::invariant::testing::{in_short, invariant, message};
use crate::trace::Trace;
use crate::trace::testing::trace_with;

const NAME: &str = "reads_cached";

/// A page that is asked for: operation, second, what it says, and whether the provider was asked for it.
struct Page(u64, u64, &'static str, bool);

/// The events of a page about order `a`, answered within 10 ms.
fn page(Page(n, second, says, asks): Page) -> String {
    let at_us = second * 1_000_000;
    let mut lines = format!(
        r#"{{"at_us":{at_us},"event":"operation_submitted","operation":"op-000{n}","n":{n},"call":"POST /show","input":{{"order":"a"}}}}"#
    );
    if asks {
        write!(
            lines,
            r#"
            {{"at_us":{at_us},"event":"request_received","request":{n},"operation":"op-000{n}","route":"list_charges","method":"GET","path":"/v1/charges?order=a","unsafe":false}}
            {{"at_us":{},"event":"response_sent","request":{n},"status":200}}"#,
            at_us + 5_000
        )
        .expect("a string takes every line");
    }
    write!(
        lines,
        r#"
        {{"at_us":{},"event":"operation_finished","operation":"op-000{n}","claim":"succeeded","detail":"{says}"}}"#,
        at_us + 10_000
    )
    .expect("a string takes every line");
    lines
}

/// The events of a payment of an order.
fn pays(n: u64, second: u64, order: &str) -> String {
    let at_us = second * 1_000_000;
    format!(
        r#"{{"at_us":{at_us},"event":"operation_submitted","operation":"op-000{n}","n":{n},"call":"POST /pay","input":{{"order":"{order}","amount":5}}}}
        {{"at_us":{at_us},"event":"request_received","request":{n},"operation":"op-000{n}"}}
        {{"at_us":{at_us},"event":"effect_committed","request":{n},"operation":"op-000{n}"}}
        {{"at_us":{},"event":"response_sent","request":{n},"status":201}}
        {{"at_us":{},"event":"operation_finished","operation":"op-000{n}","claim":"succeeded","detail":"paid"}}"#,
        at_us + 5_000,
        at_us + 10_000
    )
}

fn run(more: &Value, parts: &[String]) -> Trace {
    let mut run = json!({
        "mode": "http",
        "scenario": {"workload": {"operation_id": "json:/order"}},
    });
    run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    trace_with(&run, &parts.join("\n"))
}

fn parameters() -> Value {
    json!({"ttl": "60s", "invalidated_by": "create_charge"})
}

fn check_with(more: &Value, parts: &[String]) -> String {
    in_short(&invariant(NAME, &parameters()).check(&run(more, parts)))
}

fn check(parts: &[String]) -> String {
    check_with(&json!({}), parts)
}

#[test]
fn what_was_answered_is_not_asked_again_while_it_counts() {
    let asked = page(Page(1, 0, "open", true));
    let then = |second, asks| [asked.clone(), page(Page(2, second, "open", asks))];
    assert_eq!(check(&then(30, false)), "passed");
    assert_eq!(check(&then(30, true)), "failed op-0002");
    assert_eq!(check(&then(59, true)), "failed op-0002");
    assert_eq!(check(&then(60, true)), "not exercised", "it no longer counts");
    assert_eq!(check(&then(61, false)), "not exercised");
    assert_eq!(
        message(NAME, &parameters(), &run(&json!({}), &then(30, true))),
        "expected an answer to count for 60 s, found attempt 1 of `list_charges` 30 s after the same question of \
         `op-0001`, which was answered"
    );
}

#[test]
fn another_question_is_another_question() {
    let asked = page(Page(1, 0, "open", true));
    let other = page(Page(2, 30, "open", true));
    for (from, to) in [
        ("?order=a", "?order=b"),
        ("/v1/charges?", "/v1/charges/7?"),
        (r#""method":"GET""#, r#""method":"GET","auth_digest":"another""#),
        (r#""method":"GET""#, r#""method":"GET","provider":"another""#),
        (r#""unsafe":false"#, r#""unsafe":true"#),
    ] {
        let other = other.replace(from, to);
        assert_eq!(check(&[asked.clone(), other]), "not exercised", "{to}");
    }
}

#[test]
fn who_asks_at_the_same_time_or_again_for_itself_is_not_judged() {
    let asked = page(Page(1, 0, "open", true));
    let slow: Vec<String> = asked
        .lines()
        .map(|line| line.replace(r#""at_us":5000,"#, r#""at_us":30000000,"#))
        .collect();
    let (begins, ends): (Vec<&String>, Vec<&String>) =
        slow.iter().partition(|line| !line.contains("30000000") && !line.contains("finished"));
    let join =
        |lines: &[&String]| lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n");
    let beside = [
        join(&begins),
        page(Page(2, 29, "open", true)),
        join(&ends).replace("10000,", "30000000,"),
    ];
    assert_eq!(check(&beside), "not exercised");
    let again = page(Page(2, 30, "open", true)).replace("op-0002", "op-0001");
    let again: Vec<&str> =
        again.lines().filter(|line| !line.contains("operation_submitted")).collect();
    assert_eq!(check(&[asked, again.join("\n")]), "not exercised", "a poll");
}

#[test]
fn a_failed_answer_does_not_count() {
    let failed = page(Page(1, 0, "open", true)).replace(r#""status":200"#, r#""status":503"#);
    assert_eq!(check(&[failed, page(Page(2, 30, "open", true))]), "not exercised");
}

#[test]
fn a_restart_and_another_copy_have_an_empty_cache() {
    let parts = |middle: &str| {
        [page(Page(1, 0, "open", true)), middle.to_owned(), page(Page(2, 30, "open", true))]
    };
    let restarted = r#"{"at_us":20000000,"event":"client_started","client":1}"#;
    assert_eq!(check(&parts(restarted)), "not exercised");
    let two = r#"{"at_us":0,"event":"client_started","client":1}
        {"at_us":0,"event":"client_started","client":2}"#;
    let mut fleet = vec![two.to_owned()];
    fleet.extend([page(Page(1, 0, "open", true)), page(Page(2, 30, "open", true))]);
    assert_eq!(check(&fleet), "not exercised");
}

#[test]
fn after_a_change_it_is_asked_again() {
    let parts = |says: &'static str, asks| {
        [page(Page(1, 0, "open", true)), pays(2, 10, "a"), page(Page(3, 20, says, asks))]
    };
    assert_eq!(check(&parts("paid 5", true)), "passed");
    assert_eq!(check(&parts("open", true)), "passed", "whoever asked may say so");
    assert_eq!(check(&parts("open", false)), "failed op-0003");
    assert_eq!(
        check(&parts("paid 5", false)),
        "not exercised",
        "it was mended by the change itself, or is old and tells the time"
    );
    assert_eq!(
        message(NAME, &parameters(), &run(&json!({}), &parts("open", false))),
        "expected to be told what stands after attempt 1 of `create_charge` of `op-0002`, found what was told \
         before it, 10 s after it had succeeded"
    );
    let degraded = parts("open", false)
        .map(|part| part.replace(r#""detail":"open""#, r#""detail":"open","degraded":true"#));
    assert_eq!(check(&degraded), "not exercised", "it says so");
    let bare = |says: &'static str| {
        [page(Page(1, 0, says, true)), pays(2, 10, "a"), page(Page(3, 20, says, false))]
    };
    assert_eq!(check(&bare("200")), "not exercised", "a status says nothing");
}

#[test]
fn a_change_of_something_else_excuses_and_accuses_nobody() {
    let parts =
        |asks| [page(Page(1, 0, "open", true)), pays(2, 10, "b"), page(Page(3, 20, "open", asks))];
    assert_eq!(check(&parts(true)), "not exercised", "a cache may forget all at once");
    assert_eq!(check(&parts(false)), "not exercised");
    let lost = pays(2, 10, "a").replace(r#""status":201"#, r#""status":503"#);
    let parts = [page(Page(1, 0, "open", true)), lost, page(Page(3, 20, "open", false))];
    assert_eq!(check(&parts), "not exercised", "nobody knows whether it was changed");
}

#[test]
fn what_is_a_question_can_be_said() {
    let prompt = |n, second| {
        page(Page(n, second, "a poem", true))
            .replace(r#""method":"GET""#, r#""method":"POST""#)
            .replace(r#""unsafe":false"#, r#""unsafe":true"#)
            .replace("list_charges", "create_chat_completion")
    };
    let run = run(&json!({}), &[prompt(1, 0), prompt(2, 299)]);
    let judged = |parameters: Value| in_short(&invariant(NAME, &parameters).check(&run));
    assert_eq!(judged(json!({"ttl": "5m"})), "not exercised");
    assert_eq!(judged(json!({"ttl": "5m", "route": "create_chat_completion"})), "failed op-0002");
    assert_eq!(judged(json!({"ttl": "5m", "route": ["create_chat_completion"]})), "failed op-0002");
    assert_eq!(judged(json!({"ttl": "4m", "route": "create_chat_completion"})), "not exercised");
}

#[test]
fn on_the_real_clock_the_edges_are_blurred() {
    let real = json!({"clock": "real"});
    let parts = |second| [page(Page(1, 0, "open", true)), page(Page(2, second, "open", true))];
    assert_eq!(check_with(&real, &parts(59)), "failed op-0002");
    let edge = parts(59).map(|part| {
        part.replace("59000000", "59800000")
            .replace("59005000", "59805000")
            .replace("59010000", "59810000")
    });
    assert_eq!(check_with(&real, &edge), "not exercised");
}
