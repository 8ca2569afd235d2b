//! Tests of resolving scenarios: what is said of wrong ones, and what becomes of right ones.
//!
//! What each wrong file is told, word for word, stands in the files of wrong scenarios and their
//! snapshots; here stands what becomes of right ones, and what must not be said.

use std::path::Path;
use std::time::Duration;

use brownout_provider::document::Severity;
use brownout_provider::event::Mode;
use brownout_provider::fault::Action;
use brownout_provider::rule::{Rule, Selector};
use brownout_provider::seed::RuleKey;

use super::*;
use crate::scenario::{Arrival, Submits};

fn here() -> Apis<'static> {
    Apis::Beside(Path::new("."))
}

/// A right scenario with one more line or more at the top level, in the workload, and as rules.
fn scenario(top: &str, workload: &str, faults: &str) -> String {
    format!(
        "version: 1\nname: test\nprovider: {{api: payments}}\n{top}\nfaults: [{faults}]\n\
         workload: {{call: create_charge, operations: 20, {workload}}}\nexpect: [no_phantom_success]\n"
    )
}

fn right(yaml: &str) -> Scenario {
    let checked = read("test.yaml", yaml.as_bytes(), here(), &Overrides::default());
    checked.scenario.unwrap_or_else(|| panic!("refused: {:#?}", checked.diagnostics))
}

/// `path: message` of everything of this severity.
fn said(yaml: &str, severity: Severity, overrides: &Overrides) -> Vec<String> {
    let checked = read("test.yaml", yaml.as_bytes(), here(), overrides);
    let has_errors = checked.diagnostics.iter().any(|one| one.severity == Severity::Error);
    assert_eq!(checked.scenario.is_none(), has_errors, "{:?}", checked.diagnostics);
    let said = checked.diagnostics.iter().filter(|one| one.severity == severity);
    said.map(|one| format!("{}: {}", one.path, one.message)).collect()
}

fn errors(yaml: &str) -> Vec<String> {
    said(yaml, Severity::Error, &Overrides::default())
}

fn notes(yaml: &str) -> Vec<String> {
    said(yaml, Severity::Note, &Overrides::default())
}

/// What the first fault of a rule does.
fn action(rule: &Rule) -> Action {
    let at = brownout_provider::coordinates::Coordinates {
        provider: PROVIDER,
        route: "create_charge",
        operation: "op-0001",
        submit: 1,
        attempt: 1,
    };
    rule.faults[0].strike(&mut RuleKey::new(Seed::default(), &rule.name).draw(&at))
}

#[test]
fn a_file_without_anything_says_all_that_is_missing() {
    let errors = errors("name: nothing\n");
    for missing in ["version", "provider", "workload", "expect"] {
        assert!(errors.iter().any(|one| one.starts_with(missing)), "{missing}: {errors:?}");
    }
    assert_eq!(errors.len(), 4, "{errors:?}");
}

#[test]
fn what_is_not_said_has_its_default() {
    let scenario = right(&scenario("", "", ""));
    let workload = &scenario.workload;
    assert_eq!((scenario.seed.get(), scenario.drain), (0, Duration::from_secs(10)));
    assert_eq!((workload.operations, workload.concurrency), (20, 1));
    assert_eq!(workload.deadline, Duration::from_secs(30));
    assert_eq!(workload.arrival, Arrival::AtOnce);
    assert_eq!(workload.submits, Submits { times: 1, apart: Duration::ZERO });
    assert!(workload.input.source().get("amount").is_some(), "the route's own input");
    assert!(workload.mode.is_none() && workload.exec_operations.is_none());
    assert_eq!(scenario.providers.names().map(|name| &**name).collect::<Vec<_>>(), [PROVIDER]);
}

#[test]
fn every_spelling_of_the_workload_is_read() {
    let workload = |more: &str| right(&scenario("", more, "")).workload;
    assert_eq!(workload("arrival: at_once").arrival, Arrival::AtOnce);
    let fifty = Duration::from_millis(50);
    assert_eq!(workload("arrival: {every: 50ms}").arrival, Arrival::Every(fifty));
    assert_eq!(workload("arrival: {rate: 20/s}").arrival, Arrival::Every(fifty));
    assert_eq!(workload("arrival: {burst: 3, every: 50ms}").arrival, Arrival::Burst(3, fifty));
    assert_eq!(workload("submits: 2").submits, Submits { times: 2, apart: Duration::ZERO });
    let apart = workload("submits: {times: 2, apart: 50ms}").submits;
    assert_eq!(apart, Submits { times: 2, apart: fifty });
    assert_eq!(workload("mode: stdio").mode, Some(Mode::Stdio));
    assert_eq!(workload("exec: {operations: 7}").exec_operations, Some(7));
    assert!(workload("suite: {exit_0: all_succeeded}").suite_exit_0_all_succeeded);
    assert_eq!(workload("deliver: call").operations, 20);
    for (text, extractor) in [
        ("header:X-Order", "Header(\"x-order\")"),
        ("json:/metadata/order", "Json(\"/metadata/order\")"),
        ("\"form:metadata[order]\"", "Form(\"metadata[order]\")"),
        ("query:order", "Query(\"order\")"),
        ("traceparent", "Traceparent"),
    ] {
        let found = workload(&format!("operation_id: {text}")).operation_id.expect("a place");
        assert_eq!(format!("{found:?}"), extractor);
    }
}

#[test]
fn every_spelling_of_a_selector_is_read() {
    let attempt = |text: &str| {
        let rule = format!("{{name: a, when: {{attempt: {text}, chance: 50%}}, inject: hang}}");
        right(&scenario("", "", &rule)).rules[0].when.attempt.clone()
    };
    assert_eq!(attempt("2"), Selector::List(vec![2]));
    assert_eq!(attempt("[1, 3]"), Selector::List(vec![1, 3]));
    assert_eq!(attempt("{from: 2, to: 4}"), Selector::Range(Some(2), Some(4)));
    assert_eq!(attempt("{to: 4}"), Selector::Range(None, Some(4)));
    assert_eq!(attempt("{every: 3}"), Selector::Every(3));
}

#[test]
fn a_scale_shortens_every_duration_and_nothing_else() {
    let faults = "{name: a, when: {during: {from: 1m, to: 30m}}, inject: {latency: {fixed: 60s}}}, \
                  {name: b, when: {chance: 10%}, inject: {status: {code: 503, retry_after: 90s}}}";
    let workload = "deadline: 30m, arrival: {rate: 1/m}, submits: {times: 2, apart: 60s}, \
                    input: {note: 60s}";
    let scenario = right(&scenario("scale: 1/60\ndrain: 10m", workload, faults));
    assert_eq!(scenario.drain, Duration::from_secs(10));
    assert_eq!(scenario.workload.deadline, Duration::from_secs(30));
    assert_eq!(scenario.workload.arrival, Arrival::Every(Duration::from_secs(1)));
    assert_eq!(scenario.workload.submits.apart, Duration::from_secs(1));
    assert_eq!(scenario.workload.input.source()["note"], "60s", "text of the input is no duration");
    assert_eq!(scenario.rules[0].when.during_us, Some((1_000_000, 30_000_000)));
    assert!(matches!(action(&scenario.rules[0]), Action::Delay { micros: 1_000_000, .. }));
    assert!(format!("{:?}", action(&scenario.rules[1])).contains("Seconds(1500000)"));
    assert_eq!(scenario.source["drain"], "10m", "the trace keeps what the author wrote");
    assert_eq!(scenario.scale.map(|scale| scale.to_string()).as_deref(), Some("1/60"));
}

#[test]
fn a_script_becomes_rules_for_exact_coordinates() {
    let yaml = scenario("", "submits: 2", "").replace(
        "faults: []",
        "script: [{operation: op-0003, submit: 2, route: create_charge, attempt: 1, inject: hang}]",
    );
    let scenario = right(&yaml);
    let when = &scenario.rules[0].when;
    assert_eq!(&*scenario.rules[0].name, "script-1");
    assert_eq!(when.route.as_deref(), Some("create_charge"));
    assert_eq!(when.operation, Selector::List(vec![3]));
    assert_eq!(when.submit, Selector::List(vec![2]));
    assert_eq!(when.attempt, Selector::List(vec![1]));
    assert!(when.chance_ppm.is_none() && when.is_scheduled());
}

#[test]
fn a_policy_of_the_scenario_stands_over_that_of_the_api() {
    let yaml = scenario("", "", "").replace(
        "{api: payments}",
        "{api: payments, idempotency: {retention: 2h}, rate_limit: {limit: 5, per: 10s}}",
    );
    let scenario = right(&yaml);
    let api = &scenario.providers.first().1.api;
    let keys = api.idempotency.as_ref().expect("the API has keys");
    assert_eq!(keys.retention_us, 7_200_000_000);
    let limit = api.rate_limit.as_ref().expect("the scenario limits");
    assert_eq!((limit.rate.limit, limit.rate.per_us), (5, 10_000_000));
    let own = &scenario.providers.first().1.api_source;
    assert_eq!(own["idempotency"]["retention"], "24h", "the document stays as the API has it");
    let scaled = right(&format!("scale: 1/60\n{yaml}"));
    let api = &scaled.providers.first().1.api;
    assert_eq!(api.idempotency.as_ref().map(|keys| keys.retention_us), Some(120_000_000));
    assert_eq!(api.rate_limit.as_ref().map(|limit| limit.rate.per_us), Some(166_667));
    let api_source = scaled.providers.first().1.api_source.clone();
    let kept = BTreeMap::from([(scaled.providers.first().1.api_name.clone(), api_source.clone())]);
    let (again, _) = from_value(&scaled.source, Apis::Kept(&kept), &Overrides::default());
    let again = again.expect("what a trace keeps is right");
    assert_eq!(again.providers.first().1.api_source, api_source);
    let keys = again.providers.first().1.api.idempotency.as_ref().expect("the API has keys");
    assert_eq!(keys.retention_us, 120_000_000, "nothing is shortened twice");
}

#[test]
fn two_providers_of_one_api_keep_their_policies_when_a_trace_is_judged_again() {
    let yaml = scenario("", "", "").replace(
        "provider: {api: payments}",
        "providers: {b: {api: payments, idempotency: {required: true, retention: 2h}}, a: {api: payments, \
         rate_limit: {limit: 5, per: 10s}}, c: {api: payments, idempotency: {retention: 1h}}}",
    );
    let scenario = right(&yaml);
    let kept: BTreeMap<String, Arc<Value>> = scenario
        .providers
        .values()
        .map(|spec| (spec.api_name.clone(), spec.api_source.clone()))
        .collect();
    let (again, problems) = from_value(&scenario.source, Apis::Kept(&kept), &Overrides::default());
    let again = again.unwrap_or_else(|| panic!("{problems:?}"));
    let policies = |scenario: &Scenario| -> Vec<String> {
        let of = |spec: &crate::scenario::ProviderSpec| {
            format!("{:?} {:?}", spec.api.idempotency, spec.api.rate_limit)
        };
        scenario.providers.values().map(of).collect()
    };
    assert_eq!(policies(&again), policies(&scenario));
}

#[test]
fn a_scenario_of_a_trace_reads_the_apis_of_the_trace() {
    let original = right(&scenario("seed: 7", "", "{name: a, when: {chance: 50%}, inject: hang}"));
    let provider = original.providers.first().1;
    let kept = BTreeMap::from([(provider.api_name.clone(), provider.api_source.clone())]);
    let overrides = Overrides::default();
    let (again, diagnostics) = from_value(&original.source, Apis::Kept(&kept), &overrides);
    let again = again.unwrap_or_else(|| panic!("{diagnostics:?}"));
    assert_eq!(again.seed.get(), 7);
    assert_eq!(again.providers.first().1.api_source, provider.api_source);
    let (none, _) = from_value(&original.source, Apis::Kept(&BTreeMap::new()), &overrides);
    assert!(none.is_none());
}

#[test]
fn the_command_line_changes_the_scenario_and_its_source() {
    let yaml = scenario("seed: 7\ndrain: 9s", "", "{name: a, when: {operation: 15}, inject: hang}");
    let overrides = Overrides {
        seed: Some(9),
        operations: Some(5),
        concurrency: Some(3),
        ..Overrides::default()
    };
    let overrides = Overrides { scale: "1/3".parse().ok(), ..overrides };
    let checked = read("test.yaml", yaml.as_bytes(), here(), &overrides);
    let scenario = checked.scenario.expect("a rule beyond the shortened workload is no mistake");
    assert_eq!(scenario.seed.get(), 9);
    assert_eq!(scenario.drain, Duration::from_secs(3));
    assert_eq!(scenario.source.get("scale"), Some(&Value::from("1/3")));
    assert_eq!((scenario.workload.operations, scenario.workload.concurrency), (5, 3));
    assert_eq!(scenario.workload.exec_operations, Some(5));
    assert_eq!(scenario.source.pointer("/workload/operations"), Some(&Value::from(5)));
    assert_eq!(said(&yaml, Severity::Note, &overrides).len(), 1);
}

#[test]
fn what_a_shorter_run_had_no_turn_for_is_no_mistake_of_its_trace() {
    let yaml = scenario("", "", "{name: late, when: {operation: 9}, inject: hang}");
    let shorter = Overrides { operations: Some(2), ..Overrides::default() };
    let run = read("test.yaml", yaml.as_bytes(), here(), &shorter).scenario.expect("a right one");
    let provider = run.providers.first().1;
    let kept = BTreeMap::from([(provider.api_name.clone(), provider.api_source.clone())]);
    let (again, problems) = from_value(&run.source, Apis::Kept(&kept), &Overrides::default());
    assert_eq!(again.unwrap_or_else(|| panic!("{problems:?}")).workload.operations, 2);
}

#[test]
fn what_stands_outside_the_drawn_schedule_is_noted() {
    for (when, inject, noted) in [
        ("max_times: 3", "hang", "faults[0].when.max_times"),
        ("during: {to: 5s}", "hang", "faults[0].when.during"),
        ("header: {x-a: b}", "hang", "faults[0].when.header"),
        ("body: {/amount: 1999}", "hang", "faults[0].when.body"),
        ("chance: 5%", "{status: {code: 503, retry_after: {http_date: 3s}}}", "faults[0].inject"),
        ("chance: 0%", "hang", "faults[0].when.chance"),
    ] {
        let notes =
            notes(&scenario("", "", &format!("{{name: a, when: {{{when}}}, inject: {inject}}}")));
        assert!(notes.iter().any(|one| one.starts_with(noted)), "{when}: {notes:?}");
    }
    let plain = scenario("", "", "{name: a, when: {attempt: 1, chance: 5%}, inject: hang}");
    assert_eq!(notes(&plain), Vec::<String>::new());
}

#[test]
fn a_scenario_that_only_ends_badly_is_noted_or_refused() {
    let always = "{name: a, inject: {status: {code: 503}}}";
    let noted = notes(&scenario("", "", always));
    assert!(noted.iter().any(|one| one.contains("how the client gives up")), "{noted:?}");
    let all = |faults: &str| {
        scenario("", "", faults).replace("no_phantom_success", "{no_lost_operations: {all: true}}")
    };
    assert!(errors(&all(always))[0].contains("no client can survive"));
    // Each of these lets an operation take effect.
    for survivable in [
        "{name: a, when: {attempt: {to: 3}}, inject: {status: {code: 503}}}",
        "{name: a, when: {chance: 99%}, inject: {status: {code: 503}}}",
        "{name: a, inject: {status: {code: 503, at: after_commit}}}",
        "{name: a, when: {operation: {to: 19}}, inject: {status: {code: 503}}}",
        "{name: a, inject: {status: {code: 402}}}",
        "{name: a, inject: {latency: {fixed: 1s}}}",
    ] {
        assert_eq!(errors(&all(survivable)), Vec::<String>::new(), "{survivable}");
    }
    let split = "{name: a, when: {attempt: {to: 2}}, inject: hang}, \
                 {name: b, when: {attempt: {from: 3}}, inject: {reset: {at: accept}}}";
    assert!(errors(&all(split))[0].contains("no client can survive"));
}

#[test]
fn a_rule_behind_another_is_refused_only_when_it_can_never_strike() {
    let rules = |first: &str, second: &str| {
        scenario("", "", &format!("{{name: a, {first}}}, {{name: b, {second}}}"))
    };
    let narrow = "when: {attempt: 2}, inject: {reset: {at: after_commit}}";
    assert!(errors(&rules("inject: hang", narrow))[0].contains("can never strike"));
    for first in [
        "when: {chance: 99%}, inject: hang",
        "when: {attempt: 1}, inject: hang",
        "when: {route: get_charge}, inject: hang",
        "when: {max_times: 9}, inject: hang",
        "inject: {latency: {fixed: 1s}}",
    ] {
        assert_eq!(errors(&rules(first, narrow)), Vec::<String>::new(), "{first}");
    }
    let delay = "when: {attempt: 2}, inject: [{latency: {fixed: 1s}}, hang]";
    assert_eq!(
        errors(&rules("inject: hang", delay)),
        Vec::<String>::new(),
        "a delay still strikes"
    );
}

#[test]
fn one_mistake_is_not_told_twice() {
    for (top, workload, faults) in [
        ("seed: x", "", ""),
        ("", "arrival: {every: 5}", ""),
        ("", "submits: {times: x}", ""),
        ("", "", "{name: a, when: {attempt: {from: x}}, inject: hang}"),
        ("", "", "{name: a, when: {chance: 2}, inject: hang}"),
        ("", "", "{name: a, inject: {hnag: {}}}"),
        ("", "", "{name: a, inject: {status: {kode: 1, code: 503}}}"),
        ("", "input: {order: \"{{ x }}\"}", ""),
    ] {
        let yaml = scenario(top, workload, faults);
        assert_eq!(errors(&yaml).len(), 1, "{yaml}: {:?}", errors(&yaml));
    }
}

#[test]
fn a_run_waits_at_its_end_for_all_that_comes_late() {
    let late = [
        ("slow_commit: {by: 30s}", 30),
        ("reorder: {by: 12s}", 12),
        ("delayed_duplicate: {after: 1m}", 60),
        ("duplicate_request: {times: 3, apart: 5s}", 15),
        ("stale_read: {lag: 30s}", 0),
    ];
    for (fault, seconds) in late {
        let rule = format!("{{name: late, inject: {{{fault}}}}}");
        let drain = right(&scenario("", "", &rule)).drain;
        assert_eq!(drain, Duration::from_secs(10 + seconds), "{fault}");
        assert_eq!(right(&scenario("drain: 60s", "", &rule)).drain, Duration::from_secs(60));
        let short = errors(&scenario("drain: 5s", "", &rule));
        assert_eq!(short.iter().any(|one| one.starts_with("drain: ")), seconds > 5, "{short:?}");
    }
}

#[test]
fn a_run_waits_at_its_end_for_its_jobs() {
    let with = |top: &str, fault: &str| {
        scenario(top, "", &format!("{{name: late, inject: {{{fault}}}}}"))
            .replace("api: payments", "api: vision")
            .replace("create_charge", "create_job")
    };
    for (fault, seconds) in [("status: {code: 503}", 11), ("job: succeeds_after_failure", 12)] {
        assert_eq!(right(&with("", fault)).drain, Duration::from_secs(seconds), "{fault}");
    }
    let short = errors(&with("drain: 1500ms", "job: succeeds_after_failure"));
    assert!(short.iter().any(|one| one.starts_with("drain: ")), "{short:?}");
    assert_eq!(right(&with("drain: 5s", "job: jumps_back")).drain, Duration::from_secs(5));
}

#[test]
fn a_repeat_whose_key_is_not_known_any_more_is_noted() {
    let with = |top: &str, fault: &str| {
        let rule = format!("{{name: again, inject: [{fault}]}}");
        scenario(top, "", &rule).replace("no_phantom_success", "no_double_charges")
    };
    let noted = |yaml: &str| {
        let said = notes(yaml);
        said.iter().any(|one| one.contains("no client can survive this: the repeat"))
    };
    assert!(noted(&with("", "delayed_duplicate, ignore_key")));
    assert!(noted(&with("", "duplicate_request, ignore_key")));
    assert!(noted(&with("", "{delayed_duplicate: {after: 48h}}")));
    assert!(!noted(&with("", "delayed_duplicate")));
    assert!(!noted(&with("", "ignore_key")));
    let unlikely = |yaml: &str| notes(yaml).iter().any(|one| one.contains("without a verdict"));
    assert!(!unlikely(&with("", "delayed_duplicate")), "a gateway does it twice");
}
