//! Expressions over a run written by hand, and those that are refused.

use brownout_provider::document::Diagnostics;
use serde_json::{Value, json};

use super::KIND;
use crate::invariant::testing::{message, verdict};
use crate::trace::testing::trace;

/// One operation that is refused twice, waits 1 s and 2 s, and is charged once.
const RUN: &str = r#"{"at_us":0,"event":"operation_submitted","operation":"op-0001","submit":1,"call":"create_charge","input":{},"deadline_us":60000000}
    {"at_us":0,"event":"request_received","request":1}
    {"at_us":10,"event":"response_sent","request":1,"status":429}
    {"at_us":1000010,"event":"request_received","request":2,"attempt":2}
    {"at_us":1000020,"event":"response_sent","request":2,"status":503}
    {"at_us":3000020,"event":"request_received","request":3,"attempt":3}
    {"at_us":3000030,"event":"effect_committed","request":3}
    {"at_us":3000040,"event":"response_sent","request":3,"status":201}
    {"at_us":3000050,"event":"operation_finished","operation":"op-0001","submit":1,"claim":"succeeded"}"#;

fn says(expression: &str) -> String {
    verdict("check", &json!(expression), RUN)
}

#[test]
fn what_is_counted_is_compared() {
    assert_eq!(says("requests | length == 3"), "passed");
    assert_eq!(says("requests | length <= 2"), "failed run");
    assert_eq!(says("requests | map(attribute='status') | list == [429, 503, 201]"), "passed");
    assert_eq!(says("requests | map(attribute='wait_ms') | list == [none, 1000, 2000]"), "passed");
    assert_eq!(says("requests | selectattr('retry') | list | length == 2"), "passed");
    assert_eq!(says("effects | selectattr('live') | list | length == 1"), "passed");
    assert_eq!(says("operations | map(attribute='claim') | first == 'succeeded'"), "passed");
    assert_eq!(says("(operations | first).elapsed_ms > 3000"), "failed run");
}

#[test]
fn an_empty_selection_says_nothing_whatever_the_answer_is() {
    assert_eq!(
        says("requests | selectattr('status', 'eq', 418) | list | length == 0"),
        "not exercised"
    );
    assert_eq!(
        says("requests | selectattr('status', 'eq', 418) | list | length > 0"),
        "not exercised"
    );
    let narrowed =
        "requests | selectattr('retry') | selectattr('status', 'eq', 418) | list | length == 0";
    assert_eq!(says(narrowed), "not exercised", "what is left at last counts");
    let two = "requests | selectattr('status', 'eq', 418) | list | length \
               < requests | selectattr('status', 'eq', 429) | list | length";
    assert_eq!(says(two), "passed", "one of two selections holds a row");
    assert_eq!(says("requests[7].status == 200"), "not exercised", "there is no such request");
}

#[test]
fn one_selection_is_not_taken_for_the_rest_of_another() {
    let refused =
        |rows: &str| format!("({rows} | selectattr('status', 'ge', 400) | list | length)");
    let strange =
        |rows: &str| format!("({rows} | selectattr('status', 'eq', 418) | list | length)");
    for rows in ["requests", "requests | list", "requests | sort(attribute='status')"] {
        let sum = format!("{} + {}", refused(rows), strange(rows));
        assert_eq!(says(&format!("{sum} <= 1")), "failed run", "{rows}");
        assert_eq!(says(&format!("{sum} <= 2")), "passed", "{rows}");
    }
    let values = "requests | map(attribute='status') | select('eq', 418) | list | length";
    assert_eq!(says(&format!("{} + ({values}) <= 1", refused("requests"))), "failed run");
}

#[test]
fn values_of_rows_are_selected_like_rows() {
    let three = "requests | map(attribute='status') | select('ge', 400) | list | length == 3";
    assert_eq!(says(three), "failed run");
    assert_eq!(
        says("requests | map(attribute='status') | select('eq', 418) | list | length == 0"),
        "not exercised"
    );
}

#[test]
fn what_is_not_there_is_neither_smaller_nor_larger() {
    let hasty = "requests | selectattr('wait_ms', 'lt', 1500) | list | length == 1";
    assert_eq!(says(hasty), "passed", "a first attempt has no wait");
    assert_eq!(says("requests | selectattr('wait_ms', '>=', 0) | list | length == 2"), "passed");
}

#[test]
fn of_several_each_must_be_true_and_each_must_be_put_to_the_test() {
    let all = |rules: Value| verdict("check", &rules, RUN);
    let (right, wrong) = ("requests | length == 3", "requests | length == 4");
    let silent = "effects | rejectattr('live') | list | length == 0";
    assert_eq!(all(json!([right, right])), "passed");
    assert_eq!(all(json!([right, wrong])), "failed run");
    assert_eq!(all(json!([right, silent])), "not exercised");
    assert_eq!(all(json!([silent, wrong])), "failed run");
}

#[test]
fn a_violation_shows_the_expression_and_the_rows() {
    let rule = "requests | selectattr('retry') | list | length < 2";
    let said = message("check", &json!(rule), &trace(RUN));
    assert_eq!(said, format!("expected `{rule}`, found it false with 2 rows selected"));
}

#[test]
fn what_can_be_seen_to_be_wrong_is_refused_before_the_run() {
    let said = |value: Value| {
        let problems = Diagnostics::new();
        let read = (KIND.parse)(&value, &problems.root());
        assert!(read.is_none(), "{value}");
        problems.into_vec().remove(0).message
    };
    assert_eq!(said(json!("request | length < 3")), "there is no table `request`");
    assert_eq!(
        said(json!("requests | selectattr('statsu') | list | length < 3")),
        "`requests` has no column `statsu`"
    );
    assert_eq!(said(json!("requests | length")), "the expression is neither true nor false");
    assert_eq!(said(json!("1 < 2")), "the expression asks nothing about the run");
    assert!(said(json!("requests | lenght < 3")).contains("cannot be evaluated"));
    assert!(said(json!("requests | length <")).contains("cannot be evaluated"));
    assert_eq!(said(json!([])), "the list is empty");
    assert_eq!(said(json!(3)), "an expression is missing");
    assert_eq!(said(json!(" ")), "the expression is empty");
    assert!(said(json!("requests | sum(attribute='wait_ms') < 1")).contains("none"));
    let long = "requests | length < 3 or ".repeat(8_000) + "true";
    assert!(said(json!(long)).contains("at most 4096"));
}

#[test]
fn work_is_bounded() {
    let endless = "range(100000) | map('string') | join | length > requests | length";
    assert!(["passed", "not exercised"].contains(&&*says(endless)));
}
