//! How the judge judges.

use std::path::Path;
use std::sync::Arc;

use brownout_provider::api::Extractor;
use brownout_provider::event::Digest16;
use serde_json::json;

use super::{compare, judge, judge_control};
use crate::invariant::{Invariant, InvariantKind, Judgement};
use crate::scenario::{Apis, Expectation, Overrides, Scenario, read};
use crate::trace::Trace;
use crate::trace::testing::{trace, trace_with};
use crate::verdict::{ControlResult, InvariantVerdict, ScenarioResult, Verdict};

/// A scenario with one rule that this judge sees, and these expectations.
fn scenario(api: &str, expect: &str) -> Scenario {
    let call = match api {
        "openai" => "create_chat_completion",
        "stripe" => "create_payment_intent",
        _ => "create_charge",
    };
    let text = format!(
        "version: 1\nname: by-hand\nsummary: A scenario.\nprovider: {{api: {api}}}\n\
         faults:\n  - name: lost\n    inject: {{reset: {{at: after_commit}}}}\n\
         workload: {{call: {call}, operations: 4}}\nexpect: {expect}\n"
    );
    let apis = Apis::Beside(Path::new("."));
    let checked = read("by-hand.yaml", text.as_bytes(), apis, &Overrides::default());
    checked.scenario.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
}

fn judged(expect: &str, lines: &str) -> ScenarioResult {
    judge(&trace(lines), &scenario("payments", expect), None)
}

const STRUCK: &str = r#"{"at_us":0,"event":"operation_submitted"}
    {"at_us":1,"event":"request_received","request":1,"drawn":[["lost","reset"]]}
    {"at_us":1,"event":"fault_injected","request":1,"rule":"lost","fault":"reset"}
    {"at_us":1,"event":"effect_committed","request":1}
    {"at_us":2,"event":"connection_ended","request":1,"by":"provider","how":"rst"}"#;
const AGAIN: &str = r#"{"at_us":300000,"event":"request_received","request":2,"attempt":2}
    {"at_us":300001,"event":"effect_committed","request":2,"effect":2}
    {"at_us":300002,"event":"response_sent","request":2,"status":201,"effects":[2]}
    {"at_us":400000,"event":"operation_finished","claim":"succeeded"}"#;
const UNKNOWN: &str = r#"{"at_us":400000,"event":"operation_finished","claim":"unknown"}"#;

#[test]
fn a_violation_fails_the_scenario_whatever_else_is_wrong() {
    let lines = format!("{STRUCK}\n{AGAIN}");
    let scenario = scenario("payments", "[no_double_charges]");
    let reason = Some("it crashed".to_owned());
    let control = ControlResult { reason, ..ControlResult::default() };
    let result = judge(&trace(&lines), &scenario, Some(control.clone()));
    assert_eq!((result.verdict, result.reason), (Verdict::Failed, None));
    assert_eq!(result.control, Some(control));
    assert_eq!(result.invariants[0].violations.len(), 1);
}

#[test]
fn money_counts_what_was_billed_what_arrived_and_what_was_too_much() {
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{AGAIN}"));
    let usd = result.money["usd"];
    assert_eq!((usd.billed, usd.delivered, usd.wasted, usd.beyond_first), (3998, 1999, 1999, 1999));
    assert_eq!(result.effects["charge"], 2);
    assert_eq!((result.requests, result.retries), (2, 1));
    assert_eq!((result.operations.total, result.operations.succeeded), (1, 1));
    assert_eq!(result.faults["lost"], 1);
    assert_eq!(result.recognized["url"], 2);
    let unheard = judged("[no_double_charges]", &format!("{STRUCK}\n{UNKNOWN}"));
    let usd = unheard.money["usd"];
    assert_eq!((usd.billed, usd.delivered, usd.wasted, usd.beyond_first), (1999, 0, 1999, 0));
}

#[test]
fn what_was_paid_back_is_billed_no_more_and_an_effect_stands_until_all_of_it_is() {
    let back = r#"{"at_us":50,"event":"request_received","request":9,"operation":"op-0009","route":"refund_charge","unsafe":false}
        {"at_us":51,"event":"effect_reversed","request":9,"operation":"op-0009","effect":2,"amount":500}"#;
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{AGAIN}\n{back}"));
    assert_eq!(result.effects["charge"], 2);
    assert_eq!((result.money["usd"].billed, result.money["usd"].beyond_first), (3498, 1499));
    assert_eq!(result.verdict, Verdict::Failed, "two charges still stand");

    let rest = back.replace(":51,", ":52,").replace("500", "1499");
    let lines = format!("{STRUCK}\n{AGAIN}\n{back}\n{rest}");
    let result = judged("[no_double_charges]", &lines);
    assert_eq!((result.effects["charge"], result.money["usd"].billed), (1, 1999));
    assert_eq!(result.verdict, Verdict::Passed);
}

#[test]
fn requests_that_do_not_name_their_submit_are_noted_where_there_are_several() {
    let one = r#"{"at_us":0,"event":"operation_submitted","submit":1}
        {"at_us":1,"event":"request_received","request":1,"recognized":"extractor"}"#;
    let two = format!("{one}\n{}", r#"{"at_us":2,"event":"operation_submitted","submit":2}"#);
    for (lines, noted) in [(one, false), (&two, true)] {
        let notes = judged("[no_double_charges]", lines).notes;
        let is_noted = notes.iter().any(|note| note.contains("not which submit"));
        assert_eq!(is_noted, noted, "{notes:?}");
    }
}

#[test]
fn lines_that_were_meant_as_claims_and_are_none_are_told_of() {
    let noted = |mode: &str, text: &str| {
        let line = json!({"at_us": 5, "event": "client_output", "stream": "stdout", "text": text});
        let run = trace_with(&json!({"mode": mode}), &format!("{STRUCK}\n{line}\n{UNKNOWN}"));
        let notes = judge(&run, &scenario("payments", "[no_double_charges]"), None).notes;
        notes.into_iter().find(|note| note.contains("like a claim"))
    };
    let stdio = |text| noted("stdio", text);
    assert_eq!(
        stdio(r#"{"id":"op-0001","outcome":"suceeded"}"#).as_deref(),
        Some(
            "1 line that looks like a claim was taken for output and is none (first \
             `{\"id\":\"op-0001\",\"outcome\":\"suceeded\"}`: `outcome` is `succeeded`, `failed` or `unknown`)"
        )
    );
    assert!(stdio(r#"{"id":"op-0001","outcome":7}"#).is_some());
    for other in [
        r#"{"outcome":"odd"}"#,
        r#"{"id":"op-0001","msg":"again"}"#,
        r#"{"id":"job-7","outcome":"odd"}"#,
        "{",
        "all is well",
    ] {
        assert_eq!(stdio(other), None, "{other} is the program's own log");
    }
    for (text, is_noted) in [
        (r#"BROWNOUT_OUTCOME {"outcome":"ok"}"#, true),
        ("BROWNOUT_OUTCOME succeeded", true),
        (r#"BROWNOUT_OUTCOME {"outcome":"failed"}"#, false),
        (r#"{"outcome":"ok"}"#, false),
    ] {
        assert_eq!(noted("exec", text).is_some(), is_noted, "{text}");
    }
}

#[test]
fn what_was_exercised_and_held_passes() {
    let result = judged("[no_double_charges, min_gap]", &format!("{STRUCK}\n{UNKNOWN}"));
    assert_eq!((result.verdict, result.reason), (Verdict::Passed, None));
}

#[test]
fn a_failed_control_run_leaves_nothing_to_say() {
    let scenario = scenario("payments", "[no_double_charges]");
    let reason = Some("it crashed".to_owned());
    let control = ControlResult { reason, ..ControlResult::default() };
    let result = judge(&trace(&format!("{STRUCK}\n{UNKNOWN}")), &scenario, Some(control));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert_eq!(result.reason.unwrap(), "the control run, without faults, failed: it crashed");
}

#[test]
fn a_client_that_never_came_is_told_what_to_set() {
    let result = judge(&trace(""), &scenario("openai", "[no_double_charges]"), None);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    let reason = result.reason.unwrap();
    assert!(reason.contains("sent no request") && reason.contains("`OPENAI_BASE_URL`"), "{reason}");
}

#[test]
fn claims_of_a_client_that_never_came_are_held_against_nobody() {
    let lines = r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":9,"event":"operation_finished","claim":"succeeded"}"#;
    let result = judged("[no_phantom_success, no_lost_operations: {all: true}]", lines);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reason.unwrap().contains("sent no request"));
}

#[test]
fn a_client_that_called_the_real_thing_is_told_so() {
    let stray =
        r#"{"at_us":1,"event":"stray_request","host":"api.openai.com","port":443,"named":true}"#;
    let result = judge(&trace(stray), &scenario("openai", "[no_double_charges]"), None);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    let reason = result.reason.unwrap();
    assert!(reason.starts_with("your client called api.openai.com, not the mock"), "{reason}");
    let allowed = stray.replace(r#""named":true"#, r#""named":true,"allowed":true"#);
    let result = judged(
        "[no_double_charges]",
        &format!("{STRUCK}\n{UNKNOWN}\n{}", allowed.replace(":1,", ":400001,")),
    );
    assert_eq!(result.verdict, Verdict::Passed);
}

#[test]
fn a_client_that_called_the_real_thing_of_another_api_is_told_so_too() {
    let lines = format!(
        "{STRUCK}\n{UNKNOWN}\n{}\n{}",
        r#"{"at_us":400001,"event":"stray_request","host":"api.stripe.com","port":443,"named":true}"#,
        r#"{"at_us":400002,"event":"stray_request","host":"example.org","port":443}"#
    );
    let result = judged("[no_double_charges]", &lines);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    let reason = result.reason.unwrap();
    assert_eq!(
        reason,
        "your client called api.stripe.com, not the mock; set its base URL to the one in the \
         environment variable `BROWNOUT_URL`, or run a scenario of the API `stripe`"
    );
    let note = "the client tried to reach example.org:443 and was refused; let it through with \
                `--allow-network example.org`";
    assert!(result.notes.iter().any(|one| one == note), "{:?}", result.notes);
}

#[test]
fn why_a_client_never_came_is_told_as_far_as_the_trace_knows() {
    let reason = |lines: &str| judged("[no_double_charges]", lines).reason.unwrap();
    for (event, part) in [
        (r#""event":"client_ended","signal":11"#, "it died of signal 11"),
        (r#""event":"client_ended","code":3"#, "it exited with code 3"),
        (r#""event":"connection_ended","by":"provider","how":"too_large""#, "413"),
        (r#""event":"connection_ended","by":"provider","how":"bad_request""#, "no HTTP"),
        (r#""event":"run_finished","reason":"interrupted""#, "the run was interrupted before"),
    ] {
        let reason = reason(&format!("{{\"at_us\":5,{event}}}"));
        assert!(reason.contains(part), "{reason}");
    }
    let crashed = reason(
        r#"{"at_us":4,"event":"client_output","stream":"stderr","text":"Traceback"}
        {"at_us":4,"event":"client_output","stream":"stderr","text":"KeyError: 'URL'"}
        {"at_us":4,"event":"client_output","stream":"stdout","text":"begun"}
        {"at_us":5,"event":"client_ended","code":1}"#,
    );
    assert_eq!(
        crashed,
        "your client sent no request to the mock: it exited with code 1, and the last it wrote to \
         standard error was `KeyError: 'URL'`; mend that first"
    );
    let astray = reason(
        r#"{"at_us":4,"event":"stray_request","host":"example.org","port":443}
        {"at_us":5,"event":"client_ended","code":1}"#,
    );
    assert!(astray.contains("example.org:443; set its base URL"), "{astray}");
    let early = reason(
        r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":5,"event":"client_ended","code":0}
        {"at_us":6,"event":"operation_finished","claim":"unknown","by":"driver"}"#,
    );
    assert!(early.contains("exit code 0 before it answered") && !early.contains("URL"), "{early}");
    let well = reason(r#"{"at_us":5,"event":"client_ended","code":0}"#);
    assert!(well.starts_with("your client sent no request to the mock; set "), "{well}");
    let heard = r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":2,"event":"webhook_sent","provider":"provider","delivery":1,"webhook":"m","kind":"a","operation":"op-0001"}
        {"at_us":3,"event":"webhook_answered","provider":"provider","delivery":1,"status":200}"#;
    let idle =
        judge(&trace(heard), &scenario("openai", "[no_double_charges]"), None).reason.unwrap();
    assert!(idle.starts_with("your client answered 1 event with success and sent no"), "{idle}");
    let ended = reason(r#"{"at_us":5,"event":"client_ended","signal":15,"killed":true}"#);
    assert!(
        ended.contains("in the time that it had; set its base URL")
            && ended.ends_with("give it a longer `deadline` if it takes long to start"),
        "that the harness ended it is no crash: {ended}"
    );
}

#[test]
fn what_the_mock_refused_is_told_whatever_else_came() {
    let lines = format!(
        "{STRUCK}\n{UNKNOWN}\n{}\n{}\n{}",
        r#"{"at_us":400001,"event":"connection_ended","by":"provider","how":"too_large"}"#,
        r#"{"at_us":400002,"event":"connection_ended","by":"provider","how":"too_large"}"#,
        r#"{"at_us":400003,"event":"connection_ended","by":"provider","how":"bad_request"}"#
    );
    let result = judged("[no_double_charges]", &lines);
    assert_eq!(result.verdict, Verdict::Passed);
    let told = |part: &str| result.notes.iter().any(|note| note.contains(part));
    assert!(told("sent 2 messages with a body larger"), "{:?}", result.notes);
    assert!(told("sent 1 message that was no HTTP"), "{:?}", result.notes);
}

#[test]
fn nobody_is_judged_by_what_the_mock_did_not_make() {
    let unmade = r#"{"at_us":200000,"event":"request_received","request":3,"attempt":2}
        {"at_us":200001,"event":"response_sent","request":3,"status":400,"unmade":"too many values"}"#;
    let lines = format!("{STRUCK}\n{unmade}\n{AGAIN}");
    assert_eq!(
        judged("[no_double_charges]", &format!("{STRUCK}\n{AGAIN}")).verdict,
        Verdict::Failed
    );
    let result = judged("[no_double_charges]", &lines);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert_eq!(result.invariants[0].verdict, InvariantVerdict::NotExercised);
    let reason = result.reason.expect("it says why");
    assert!(reason.starts_with("the mock refused 1 request that a provider may"), "{reason}");
    let control = judge_control(&trace(&lines), &scenario("payments", "[no_double_charges]"));
    assert_eq!(control.reason, Some(reason));
}

#[test]
fn what_was_over_before_an_answer_that_the_mock_did_not_make_stands() {
    let unmade = r#"{"at_us":500000,"event":"operation_submitted","operation":"op-0002"}
        {"at_us":500001,"event":"request_received","request":3,"operation":"op-0002"}
        {"at_us":500002,"event":"response_sent","request":3,"operation":"op-0002","status":400,"unmade":"too many values"}"#;
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{AGAIN}\n{unmade}"));
    let one = &result.invariants[0];
    assert_eq!((result.verdict, one.violations.len(), one.exercised), (Verdict::Failed, 1, 1));
    assert_eq!(result.money["usd"].beyond_first, 0, "what was too much is not known");
    let told = result.notes.iter().any(|note| note.starts_with("the mock refused 1 request"));
    assert!(told, "{:?}", result.notes);
    // Nobody has said yet that this is all there will be.
    let unclaimed = AGAIN.lines().take(3).collect::<Vec<_>>().join("\n");
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{unclaimed}\n{unmade}"));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    // It is the operation itself that asked for too much.
    let own = unmade.replace("op-0002", "op-0001");
    let own = own.lines().skip(1).collect::<Vec<_>>().join("\n");
    let (charged, claimed) = AGAIN.rsplit_once('\n').expect("two lines");
    let claimed = claimed.replace("400000", "600000");
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{charged}\n{own}\n{claimed}"));
    assert_eq!(result.verdict, Verdict::Inconclusive);
}

#[test]
fn what_held_in_a_cut_trace_held_as_far_as_the_trace_goes() {
    let cut = r#"{"at_us":400001,"event":"run_finished","reason":"interrupted"}"#;
    let lines = format!("{STRUCK}\n{UNKNOWN}");
    assert!(!judged("[no_double_charges]", &lines).invariants[0].partial);
    assert!(judged("[no_double_charges]", &format!("{lines}\n{cut}")).invariants[0].partial);
}

#[test]
fn a_suite_that_uses_one_order_for_two_tests_is_told_so() {
    let run = |answer: &str| {
        let lines = format!(
            r#"{{"at_us":1,"event":"request_received","request":1,"recognized":"extractor"}}
            {{"at_us":1,"event":"effect_committed","request":1}}
            {{"at_us":2,"event":"response_sent","request":1,{answer}}}
            {{"at_us":900000,"event":"request_received","request":2,"attempt":2,"recognized":"extractor"}}"#
        );
        let trace = trace_with(&json!({"mode": "suite"}), &lines);
        judge(&trace, &scenario("payments", "[no_double_charges]"), None).notes
    };
    let told = |notes: &[String]| notes.iter().any(|one| one.contains("give each test a name"));
    assert!(told(&run(r#""status":201,"effects":[1]"#)));
    assert!(!told(&run(r#""status":500"#)), "a retry is what a suite is for");
}

#[test]
fn without_a_strike_a_run_says_nothing() {
    let calm = r#"{"at_us":0,"event":"operation_submitted"}
        {"at_us":1,"event":"request_received","request":1}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":201,"effects":[1]}
        {"at_us":3,"event":"operation_finished","claim":"succeeded"}"#;
    let alone = judged("[no_double_charges]", calm);
    assert_eq!(alone.verdict, Verdict::Inconclusive);
    let reason = alone.reason.unwrap();
    assert!(
        alone.no_strike
            && reason.contains("`lost` is about any request, and the client sent 1 request")
    );
    assert!(!reason.contains("seed"), "no other seed helps: {reason}");
    // Another seed may help where a rule draws.
    let mut drawing = scenario("payments", "[no_double_charges]");
    drawing.rules[0].when.chance_ppm = Some(1_000);
    let reason = judge(&trace(calm), &drawing, None).reason.unwrap();
    assert!(reason.contains("try more seeds with `--seeds 20`, or raise a `chance`"), "{reason}");
}

#[test]
fn expectations_that_the_run_never_met_say_nothing() {
    let result = judged("[no_phantom_success]", &format!("{STRUCK}\n{UNKNOWN}"));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(!result.no_strike);
    assert!(result.reason.unwrap().contains("`no_phantom_success`: every operation"));
}

#[test]
fn an_interrupted_run_is_no_proof_that_all_is_well() {
    let cut = r#"{"at_us":400001,"event":"run_finished","reason":"interrupted"}"#;
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{UNKNOWN}\n{cut}"));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.reason.unwrap().contains("interrupted"));
    let result = judged("[no_double_charges]", &format!("{STRUCK}\n{AGAIN}\n{cut}"));
    assert_eq!(result.verdict, Verdict::Failed, "what it proves it proves");
}

/// A suite run in which two requests with one body were answered 500 after the commit, then 201.
fn suite(second: &str) -> Trace {
    trace_with(
        &json!({"mode": "suite"}),
        &format!(
            r#"{{"at_us":1,"event":"request_received","request":1,"recognized":"new","operation":"x-1"}}
            {{"at_us":1,"event":"fault_injected","request":1,"rule":"lost"}}
            {{"at_us":1,"event":"effect_committed","request":1,"operation":"x-1"}}
            {{"at_us":2,"event":"response_sent","request":1,"status":500}}
            {{"at_us":900000,"event":"request_received","request":2,"attempt":2,"recognized":"{second}","operation":"x-1"}}
            {{"at_us":900001,"event":"effect_committed","request":2,"effect":2,"operation":"x-1"}}
            {{"at_us":900002,"event":"response_sent","request":2,"status":201,"effects":[2]}}"#
        ),
    )
}

#[test]
fn no_violation_rests_on_a_guess_that_another_reading_clears() {
    let scenario = scenario("payments", "[no_double_charges]");
    let result = judge(&suite("guess"), &scenario, None);
    assert_eq!(result.invariants[0].verdict, InvariantVerdict::NotExercised);
    let reason = result.invariants[0].reason.clone().unwrap();
    assert!(
        reason.contains("rests on a guess") && reason.contains("carry its `order`"),
        "{reason}"
    );
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(result.notes.iter().any(|note| note.contains("2 of 2 requests did not say")));
}

#[test]
fn what_names_an_operation_fits_the_api_and_the_scenario() {
    let told = |api: &str, place: Option<&str>| {
        let mut scenario = scenario(api, "[no_double_charges]");
        scenario.workload.operation_id =
            place.map(|place| Extractor::parse(place).expect("a place"));
        let notes = judge(&suite("guess"), &scenario, None).notes;
        notes.into_iter().find(|note| note.contains("did not say")).expect("a note")
    };
    let openai = told("openai", None);
    assert!(openai.contains("`operation_id: header:x-client-request-id`"), "{openai}");
    assert!(!openai.contains("json:/order"), "chat completions have no such field: {openai}");
    assert!(told("stripe", None).contains("`metadata={"));
    assert!(told("openai", Some("json:/user")).contains("looks for it in the body's `/user`"));
}

#[test]
fn what_the_sdk_says_of_itself_is_no_guess() {
    let scenario = scenario("payments", "[no_double_charges]");
    let result = judge(&suite("sdk"), &scenario, None);
    assert_eq!(result.verdict, Verdict::Failed);
}

#[test]
fn two_operations_that_may_be_one_share_a_key_without_blame() {
    let lines = r#"{"at_us":1,"event":"request_received","request":1,"recognized":"new","operation":"x-1","key":"k"}
        {"at_us":1,"event":"fault_injected","request":1,"rule":"lost"}
        {"at_us":2,"event":"response_sent","request":1,"status":500}
        {"at_us":900000,"event":"request_received","request":2,"recognized":"new","operation":"x-2","key":"k"}"#;
    let scenario = scenario("payments", "[idempotency_key_unique]");
    let result = judge(&trace_with(&json!({"mode": "suite"}), lines), &scenario, None);
    assert_eq!(result.invariants[0].verdict, InvariantVerdict::NotExercised);
    let known = lines.replace(r#""new""#, r#""extractor""#);
    let result = judge(&trace_with(&json!({"mode": "suite"}), &known), &scenario, None);
    assert_eq!(result.verdict, Verdict::Failed);
}

#[test]
fn a_control_run_wants_the_clients_own_success_for_every_operation() {
    let scenario = scenario("payments", "[no_double_charges]");
    let control = |claims: &str| {
        let lines = format!(
            r#"{{"at_us":0,"event":"operation_submitted"}}
            {{"at_us":1,"event":"request_received","request":1}}
            {claims}"#
        );
        judge_control(&trace_with(&json!({"run": "control"}), &lines), &scenario)
    };
    let claim =
        |claim: &str| control(&format!(r#"{{"at_us":9,"event":"operation_finished",{claim}}}"#));
    assert!(claim(r#""claim":"succeeded""#).passed);
    let failed = claim(r#""claim":"failed","detail":"KeyError""#);
    assert_eq!(failed.reason.unwrap(), "the client claimed `failed` for `op-0001` (`KeyError`)");
    let silent = claim(r#""claim":"unknown","by":"driver","detail":"deadline""#);
    assert_eq!(silent.reason.unwrap(), "the client said nothing about `op-0001` (`deadline`)");
    assert!(!control("").passed);
}

#[test]
fn a_control_run_of_a_suite_wants_one_request() {
    let scenario = scenario("payments", "[no_double_charges]");
    let suite =
        |lines: &str| judge_control(&trace_with(&json!({"mode": "suite"}), lines), &scenario);
    assert!(suite(r#"{"at_us":1,"event":"request_received","request":1}"#).passed);
    let none = suite("");
    assert!(!none.passed && none.reason.unwrap().contains("BROWNOUT_URL"));
}

#[test]
fn rules_that_struck_by_chance_of_the_run_are_one_note() {
    let strike = |rule: &str| {
        format!(
            r#"{{"at_us":1,"event":"fault_injected","request":1,"rule":"{rule}","scheduled":false}}"#
        )
    };
    let request = r#"{"at_us":1,"event":"request_received","request":1}"#;
    let notes = |lines: &str| {
        let notes = judged("[no_double_charges]", lines).notes;
        notes.into_iter().filter(|note| note.contains("not by the seed alone")).collect::<Vec<_>>()
    };
    let one = notes(&format!("{request}\n{}", strike("a")));
    assert!(one.len() == 1 && one[0].starts_with("`a` struck once by what"), "{one:?}");
    let two = notes(&format!("{request}\n{}\n{}", strike("a"), strike("b")));
    assert!(two.len() == 1 && two[0].starts_with("`a` (once), `b` (once) struck by"), "{two:?}");
}

/// Two operations whose programs charge for these orders, one after the other, all with success.
fn charging(orders: [&[&str]; 2]) -> Trace {
    let mut lines = Vec::new();
    let mut number = 0;
    for (operation, orders) in ["op-0001", "op-0002"].into_iter().zip(orders) {
        lines.push(
            json!({"at_us": number * 10, "event": "operation_submitted", "operation": operation}),
        );
        for (attempt, order) in (1..).zip(orders) {
            number += 1;
            let at = number * 10;
            for event in [
                json!({"at_us": at, "event": "request_received", "request": number,
                    "attempt": attempt, "operation": operation, "names": order}),
                json!({"at_us": at, "event": "effect_committed", "request": number,
                    "effect": number, "operation": operation}),
                json!({"at_us": at + 1, "event": "response_sent", "request": number,
                    "status": 201, "effects": [number]}),
            ] {
                lines.push(event);
            }
        }
        let at = number * 10 + 2;
        lines.push(json!({"at_us": at, "event": "operation_finished", "operation": operation,
            "claim": "succeeded"}));
    }
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    trace_with(&json!({"mode": "exec"}), &lines.join("\n"))
}

#[test]
fn a_test_suite_that_runs_once_an_operation_is_not_convicted() {
    let scenario = scenario("payments", "[no_double_charges]");
    let result =
        judge(&charging([&["order-1", "order-2"], &["order-1", "order-2"]]), &scenario, None);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    let reason = result.reason.expect("a reason");
    assert!(
        reason.contains("(`order-1`, `order-2`)") && reason.contains("`--mode suite`"),
        "{reason}"
    );
    // One that makes up its orders may as well be a client that charges twice.
    let result = judge(&charging([&["a", "b"], &["c", "d"]]), &scenario, None);
    assert_eq!(result.verdict, Verdict::Failed);
    assert!(result.notes.iter().any(|note| note.contains("`--mode suite`")));
    let result = judge(&charging([&["a", "a"], &["b", "b"]]), &scenario, None);
    assert_eq!(result.verdict, Verdict::Failed);
    assert!(!result.notes.iter().any(|note| note.contains("`--mode suite`")));
}

#[test]
fn a_key_of_the_clients_own_is_noted_and_never_told() {
    let scenario = scenario("payments", "[no_double_charges]");
    let auth = scenario.providers.values().find_map(|one| one.api.auth.as_ref()).expect("keys");
    let notes = |key: &str| {
        let digest = Digest16::of(key.as_bytes()).to_string();
        let submitted = r#"{"at_us":0,"event":"operation_submitted"}"#;
        let request =
            json!({"at_us": 1, "event": "request_received", "request": 1, "auth_digest": digest});
        let notes = judge(&trace(&format!("{submitted}\n{request}")), &scenario, None).notes;
        notes.into_iter().filter(|note| note.contains("was not given")).collect::<Vec<_>>()
    };
    assert!(notes(&auth.dummy).is_empty());
    let own = notes("sk_live_real");
    assert_eq!(own.len(), 1);
    assert!(own[0].contains("attempt 1 of `create_charge` for `op-0001`"), "{}", own[0]);
    assert!(!own[0].contains("sk_live"), "{}", own[0]);
}

#[test]
fn events_that_a_file_left_out_are_noted() {
    let mut trace = trace(STRUCK);
    let note = |trace: &Trace| {
        let notes = judge(trace, &scenario("payments", "[no_double_charges]"), None).notes;
        notes.into_iter().find(|note| note.contains("missing from the trace"))
    };
    assert_eq!(note(&trace), None);
    trace.missing = vec![(17, 19)];
    assert!(note(&trace).expect("a note").starts_with("events 17 to 19 are missing"));
    trace.missing = vec![(4, 4)];
    assert!(note(&trace).expect("a note").starts_with("event 4 is missing"));
}

/// A suite of this exit code that made these orders, and said one line on each stream.
fn ended_suite(code: i32, orders: &[&str]) -> Trace {
    let requests: String = (1..)
        .zip(orders)
        .map(|(number, order)| {
            format!(
                "{}\n",
                json!({"at_us": number, "event": "request_received", "request": number,
                    "operation": order, "recognized": "extractor"})
            )
        })
        .collect();
    let lines = format!(
        r#"{requests}
        {{"at_us":50,"event":"client_output","stream":"stdout","text":"test_one FAILED"}}
        {{"at_us":51,"event":"client_output","stream":"stderr","text":"AssertionError: 503"}}
        {{"at_us":52,"event":"client_output","stream":"brownout","text":"2 lines more"}}
        {{"at_us":60,"event":"client_ended","code":{code}}}"#
    );
    trace_with(&json!({"mode": "suite"}), &lines)
}

#[test]
fn what_a_suite_says_of_itself_is_told_beside_the_verdict() {
    let scenario = scenario("payments", "[no_double_charges, no_phantom_success]");
    let three = ["order-a", "order-b", "order-c"];
    let notes = |code, orders: &[&str], calm: &Trace| {
        let control = judge_control(calm, &scenario);
        assert!(control.passed, "it reached the mock, and that is all that is asked");
        judge(&ended_suite(code, orders), &scenario, Some(control)).notes.join("\n")
    };
    let calm = ended_suite(0, &three);
    let red = notes(1, &three[..1], &calm);
    assert!(
        red.contains("the suite ended with exit code 1 (last line: `AssertionError: 503`)"),
        "{red}"
    );
    assert!(red.contains("the control run saw 3 operations, this one 1"), "{red}");
    assert!(!red.contains("fault either"), "{red}");
    assert!(notes(0, &three[..2], &calm).contains("the control run saw 3 operations, this one 2"));
    assert!(!notes(0, &three, &calm).contains("suite ended"));
    let always_red = notes(0, &three, &ended_suite(2, &three));
    assert!(
        always_red
            .contains("not content without any fault either: in the control run the suite ended")
            && always_red.contains("exit code 2"),
        "{always_red}"
    );
}

#[test]
fn a_suite_without_claims_is_told_that_claims_are_not_judged() {
    let scenario = scenario("payments", "[no_double_charges, no_phantom_success, honest_failures]");
    let result = judge(&ended_suite(0, &["order-a"]), &scenario, None);
    let why = |place: usize| result.invariants[place].reason.clone().unwrap_or_default();
    assert!(why(1).starts_with("suite mode makes no claims"), "{}", why(1));
    assert_eq!(why(1), why(2), "so that a report tells it once");
    let claims = r#"{"at_us":1,"event":"request_received","request":1}
        {"at_us":1,"event":"effect_committed","request":1}
        {"at_us":2,"event":"response_sent","request":1,"status":201,"effects":[1]}
        {"at_us":3,"event":"operation_finished","claim":"succeeded"}"#;
    let claiming = judge(&trace_with(&json!({"mode": "suite"}), claims), &scenario, None);
    let why = claiming.invariants[1].reason.clone().expect("it was done");
    assert_eq!(why, "every operation with a claim had its effect");
}

#[test]
fn two_runs_are_compared_where_both_went() {
    let run = |lines: &str| trace(lines);
    let first = run(STRUCK);
    let same = compare(&first, &run(&format!("{STRUCK}\n{AGAIN}")));
    assert_eq!((same.differences.len(), same.compared), (0, 1));
    assert_eq!(same.client.len(), 1);
    assert!(
        same.client[0].contains("attempt 2") && same.client[0].contains("only in the second run")
    );
    let other = compare(&first, &run(&STRUCK.replace(r#"["lost","reset"]"#, r#"["lost","hang"]"#)));
    assert!(other.differences[0].contains("`lost` reset, then `lost` hang"), "{other:?}");
}

#[test]
fn the_schedule_hash_depends_on_what_was_drawn_and_not_on_when() {
    let hash = |lines: &str| judged("[no_double_charges]", lines).schedule_hash;
    let later = STRUCK.replace(r#""at_us":1,"#, r#""at_us":7,"#);
    assert_eq!(hash(STRUCK), hash(&later));
    assert_ne!(
        hash(STRUCK),
        hash(
            &STRUCK
                .replace("op-0001", "op-0002")
                .replace(r#""request":1,"drawn":[["lost","reset"]]"#, r#""request":1,"drawn":[]"#)
        )
    );
}

/// An invariant that needs one living client, and is content with everything.
#[derive(Debug)]
struct NeedsOneClient;

static NEEDS_ONE_CLIENT: InvariantKind = InvariantKind {
    name: "needs_one_client",
    summary: "",
    headline: "",
    rule: "",
    exercised_by: "",
    parameters: &[],
    tolerates: "",
    cure: "",
    why: "",
    faults: &[],
    without_a_fault: "",
    modes: &[],
    example: "",
    bare: true,
    needs_identity: false,
    needs_separation: false,
    needs_one_client: true,
    schema: |generator| generator.subschema_for::<()>(),
    parse: |_, _| None,
};

impl Invariant for NeedsOneClient {
    fn kind(&self) -> &'static InvariantKind {
        &NEEDS_ONE_CLIENT
    }

    fn check(&self, _: &Trace) -> Judgement {
        Judgement { exercised: 1, ..Judgement::default() }
    }
}

#[test]
fn in_exec_mode_what_needs_one_living_client_names_the_mode_to_use() {
    let mut scenario = scenario("payments", "[no_double_charges]");
    let invariant = Arc::new(NeedsOneClient);
    scenario.expect.push(Expectation {
        name: "needs_one_client",
        invariant,
        index: 0,
        policy: None,
        is_judged: true,
    });
    let lines = format!("{STRUCK}\n{UNKNOWN}");
    let verdict = |mode: &str| {
        let result = judge(&trace_with(&json!({"mode": mode}), &lines), &scenario, None);
        (result.invariants[1].verdict, result.invariants[1].reason.clone().unwrap_or_default())
    };
    let (exec, why) = verdict("exec");
    assert_eq!(exec, InvariantVerdict::NotExercised);
    assert!(why.contains("--mode stdio"), "{why}");
    assert_eq!(verdict("stdio").0, InvariantVerdict::Passed);
}
