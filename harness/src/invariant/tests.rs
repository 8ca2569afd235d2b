//! What holds of every entry of the registry.

use std::collections::BTreeSet;
use std::path::Path;

use brownout_provider::document::{Diagnostics, Severity};
use serde_json::Value;

use super::InvariantKind;
use super::registry::{INVARIANTS, find};
use super::testing::in_short;
use crate::scenario::shipped::{SCENARIOS, Shipped};
use crate::scenario::{Apis, Overrides, policy, read};
use crate::trace::testing::trace;

/// The name and parameters of an example as it stands under `expect:`.
fn entry(example: &str) -> (String, Value) {
    match serde_yaml::from_str::<Value>(example).expect("an example is YAML") {
        Value::String(name) => (name, Value::Null),
        Value::Object(map) => {
            let (name, parameters) = map.into_iter().next().expect("one key");
            (name, parameters)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            panic!("{other}")
        }
    }
}

#[test]
fn every_example_is_right_and_of_its_own_kind() {
    for kind in INVARIANTS {
        let (name, parameters) = entry(kind.example);
        assert_eq!(name, kind.name);
        let problems = Diagnostics::new();
        let invariant = (kind.parse)(&parameters, &problems.root()).expect(kind.name);
        assert_eq!(problems.into_vec(), [], "{name}");
        assert_eq!(invariant.kind().name, kind.name);
    }
}

#[test]
fn the_bare_word_is_legal_exactly_where_nothing_is_required() {
    for kind in INVARIANTS {
        let problems = Diagnostics::new();
        let is_right = (kind.parse)(&Value::Null, &problems.root()).is_some();
        assert_eq!(is_right && !problems.has_errors(), kind.bare, "{}", kind.name);
    }
}

#[test]
fn unknown_parameters_are_refused() {
    for kind in INVARIANTS {
        let problems = Diagnostics::new();
        let wrong = serde_json::json!({"no_such_parameter": 1});
        let _ = (kind.parse)(&wrong, &problems.root());
        assert!(problems.has_errors(), "{}", kind.name);
    }
}

#[test]
fn names_are_unique_and_every_entry_is_documented() {
    let names: BTreeSet<&str> = INVARIANTS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), INVARIANTS.len());
    for kind in INVARIANTS {
        for text in [kind.summary, kind.rule, kind.exercised_by, kind.tolerates, kind.cure] {
            assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", kind.name);
        }
        assert!(!kind.headline.is_empty() && !kind.headline.ends_with('.'));
        assert_eq!(find(kind.name).map(|found| found.name), Some(kind.name));
    }
}

#[test]
fn every_entry_says_why_it_matters_and_what_exercises_it() {
    for kind in INVARIANTS {
        let InvariantKind { name, why, faults, without_a_fault, modes, .. } = kind;
        assert!(why.ends_with('.') && why.len() > 40, "{name}: {why}");
        assert!(!faults.is_empty() || !without_a_fault.is_empty(), "{name}: exercised by nothing");
        assert!(!without_a_fault.ends_with('.'), "{name}: {without_a_fault}");
        assert!(modes.iter().all(|text| text.ends_with('.')), "{name}: {modes:?}");
        let once: BTreeSet<&&str> = faults.iter().collect();
        assert_eq!(once.len(), faults.len(), "{name}: {faults:?}");
        for fault in *faults {
            assert!(brownout_provider::fault::registry::find(fault).is_some(), "{name}: {fault}");
        }
    }
}

/// The names of what a shipped scenario expects, by itself or for the policies that it puts to the test, and of
/// what it injects.
fn of_scenario(shipped: &Shipped) -> (Vec<String>, Vec<&'static str>) {
    let path = Path::new("../scenarios").join(shipped.path);
    let beside = path.parent().expect("it stands in a folder");
    let checked = read(
        &path.display().to_string(),
        shipped.text.as_bytes(),
        Apis::Beside(beside),
        &Overrides::default(),
    );
    let scenario = checked.scenario.expect(shipped.path);
    let policies = policy::all().iter();
    let its = policies.filter(|policy| policy.scenarios().any(|one| one.path == shipped.path));
    let of_policies = its.flat_map(|policy| policy.expect().map(|(name, _)| name.to_owned()));
    let expected = scenario.expect.iter().map(|one| one.name.to_owned()).chain(of_policies);
    let faults = scenario.rules.iter().flat_map(|rule| &rule.faults);
    (expected.collect(), faults.map(|fault| fault.kind().name).collect())
}

#[test]
fn a_shipped_scenario_exercises_each_invariant_by_what_its_entry_names() {
    let shipped: Vec<_> = SCENARIOS.iter().map(of_scenario).collect();
    for kind in INVARIANTS {
        let mut its =
            shipped.iter().filter(|(expected, _)| expected.iter().any(|name| name == kind.name));
        let exercises = |faults: &[&str]| {
            !kind.without_a_fault.is_empty() || kind.faults.iter().any(|one| faults.contains(one))
        };
        assert!(
            kind.name == "check" || its.any(|(_, faults)| exercises(faults)),
            "{}: no shipped scenario that expects it injects any of {:?}",
            kind.name,
            kind.faults
        );
    }
}

#[test]
fn a_run_without_a_request_exercises_nothing() {
    let empty = trace("");
    for kind in INVARIANTS {
        let (_, parameters) = entry(kind.example);
        let problems = Diagnostics::new();
        let invariant = (kind.parse)(&parameters, &problems.root()).expect(kind.name);
        assert_eq!(in_short(&invariant.check(&empty)), "not exercised", "{}", kind.name);
    }
}

/// What the checker says of an expectation, errors with `!`, in a scenario with one rule.
fn said(api: &str, inject: &str, expect: &str) -> Vec<String> {
    let call = if api == "openai" { "create_chat_completion" } else { "create_charge" };
    let faults = match inject {
        "" => String::new(),
        inject => format!("faults:\n  - name: rule\n    inject: {inject}\n"),
    };
    let text = format!(
        "version: 1\nname: by-hand\nsummary: A scenario.\nprovider: {{api: {api}}}\n{faults}\
         workload: {{call: {call}, operations: 4, deadline: 30s}}\nexpect: [{expect}]\n"
    );
    let apis = Apis::Beside(Path::new("."));
    let checked = read("by-hand.yaml", text.as_bytes(), apis, &Overrides::default());
    checked
        .diagnostics
        .into_iter()
        .filter(|one| one.path.starts_with("expect"))
        .map(|one| {
            let mark = if one.severity == Severity::Error { "!" } else { "" };
            format!("{mark}{} ({})", one.message, one.cure.unwrap_or_default())
        })
        .collect()
}

#[test]
fn what_no_client_could_exercise_is_refused_with_the_fault_that_would() {
    let cases = [
        ("honors_retry_after", "rate_limited: {retry_after: 1s}"),
        ("survives_bad_retry_after", "rate_limited: {retry_after: garbage}"),
        ("rejects_malformed_responses", "malformed: html_page"),
        ("client_timeout: {max: 1s}", "hang"),
    ];
    for (expect, cure) in cases {
        let said_of = said("payments", "{reset: {at: after_commit}}", expect);
        assert_eq!(said_of.len(), 1, "{expect}: {said_of:?}");
        assert!(said_of[0].starts_with('!') && said_of[0].contains(cure), "{said_of:?}");
        assert_eq!(
            said("payments", &format!("{{{cure}}}").replace("{hang}", "hang"), expect),
            [""; 0]
        );
    }
}

#[test]
fn what_only_a_client_that_goes_wrong_would_exercise_is_remarked_on() {
    for expect in [
        "no_double_charges",
        "no_lost_operations",
        "no_phantom_success",
        "honest_failures",
        "failures_surface",
        "nothing_after_claim",
        "bounded_retries: {max_attempts: 3}",
        "no_retry_on_permanent_errors",
        "no_overlapping_attempts",
        "min_gap",
    ] {
        let said = said("payments", "", expect);
        assert_eq!(said.len(), 1, "{expect}: {said:?}");
        assert!(!said[0].starts_with('!') && said[0].contains("inject: "), "{said:?}");
    }
}

#[test]
fn keys_are_expected_only_of_an_api_that_has_them() {
    for expect in ["present", "stable", "unique", "bound_to_body"] {
        let expect = format!("idempotency_key_{expect}");
        let reset = "{reset: {at: after_commit}}";
        assert_eq!(said("payments", reset, &expect), [""; 0]);
        let refused = said("openai", reset, &expect);
        assert!(
            refused[0].starts_with('!') && refused[0].contains("no idempotency keys"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_rule_that_spares_some_requests_is_no_outage_to_the_checker_either() {
    let said = |when: &str| {
        let text = format!(
            "version: 1\nname: by-hand\nsummary: A scenario.\nprovider: {{api: payments}}\nfaults:\n  - name: \
             rule\n    when: {when}\n    inject: {{status: {{code: 503}}}}\nworkload: {{call: create_charge, \
             operations: 4, deadline: 30s}}\nexpect: [recovers_after_outage: {{within: 5s}}]\n"
        );
        let apis = Apis::Beside(Path::new("."));
        let checked = read("by-hand.yaml", text.as_bytes(), apis, &Overrides::default());
        let problems = checked.diagnostics.iter().map(|one| one.message.clone());
        problems.filter(|message| message.contains("cannot be exercised")).count()
    };
    for outage in ["{during: {from: 0s, to: 2s}}", "{operation: {from: 2, to: 3}}"] {
        assert_eq!(said(outage), 0, "{outage}");
    }
    for other in [
        "{during: {from: 0s, to: 2s}, method: POST}",
        "{during: {from: 0s, to: 2s}, operation: {from: 2}}",
        "{operation: [2, 3]}",
        "{operation: {every: 2}}",
    ] {
        assert_eq!(said(other), 1, "{other}");
    }
}

/// What the checker remarks on an expectation: whether its verdict may stay out, and that none of it is an error.
fn remarks(faults: &str, workload: &str, expect: &str) -> Vec<String> {
    let text = format!(
        "version: 1\nname: by-hand\nsummary: A scenario.\nproviders: {{primary: {{api: payments}}, backup: {{api: \
         payments}}}}\nfaults: {faults}\nworkload: {{call: create_charge, deadline: 30s, concurrency: 40, \
         {workload}}}\nexpect: [{expect}]\n"
    );
    let apis = Apis::Beside(Path::new("."));
    let checked = read("by-hand.yaml", text.as_bytes(), apis, &Overrides::default());
    let errors = checked.diagnostics.iter().filter(|one| one.severity == Severity::Error);
    assert_eq!(errors.map(|one| &one.message).collect::<Vec<_>>(), [""; 0], "{faults}");
    let about = checked.diagnostics.into_iter().filter(|one| one.path.starts_with("expect"));
    let said = about.map(|one| format!("{} ({})", one.message, one.cure.unwrap_or_default()));
    said.filter(|said| said.contains("may stay without a verdict")).collect()
}

const FORTY: &str = "operations: 40";

#[test]
fn waits_that_cannot_come_in_pairs_are_remarked_on() {
    let said = |faults: &str| remarks(faults, FORTY, "backs_off").len();
    let one = "[{name: a, when: {attempt: 1}, inject: {status: {code: 503}}}]";
    assert!(
        remarks(one, FORTY, "backs_off")[0].contains("attempt: {to: 3}"),
        "the fault that would is named"
    );
    assert_eq!(said("[{name: a, when: {attempt: [1, 3]}, inject: reset}]"), 1);
    for enough in [
        "[{name: a, when: {attempt: {to: 2}}, inject: {status: {code: 503}}}]",
        "[{name: a, when: {attempt: [2, 3]}, inject: reset}]",
        "[{name: a, when: {attempt: 1}, inject: reset}, {name: b, when: {attempt: 2}, inject: hang}]",
        "[{name: a, when: {chance: 50%}, inject: reset}]",
        // The provider keeps the error, and tells it again.
        "[{name: a, when: {attempt: 1}, inject: {replay_error: {code: 500}}}]",
        // Whose key is still in progress is refused once more.
        "[{name: a, when: {attempt: 1}, inject: {conflict: {for: 5s}}}]",
        "[{name: a, when: {attempt: 1}, inject: {latency: {fixed: 20s}}}, {name: b, when: {attempt: 1}, inject: reset}]",
    ] {
        assert_eq!(said(enough), 0, "{enough}");
    }
}

#[test]
fn what_hangs_beside_the_point_is_remarked_on() {
    let workload = "tenants: {shop: {operations: 20}, partner: {operations: 20}}";
    let said = |when: &str, from: &str| {
        let faults = format!("[{{name: a, when: {when}, inject: hang}}]");
        remarks(&faults, workload, &format!("isolates: {{critical: shop, from: {from}}}"))
    };
    let of_shop = said("{tenant: shop}", "partner");
    assert!(of_shop[0].contains("when: {tenant: partner}, inject: hang"), "{of_shop:?}");
    let of_primary = said("{provider: primary}", "backup");
    assert!(of_primary[0].contains("when: {provider: backup}, inject: hang"), "{of_primary:?}");
    let of_charges = said("{route: create_charge}", "get_charge");
    assert!(of_charges[0].contains("when: {route: get_charge}, inject: hang"), "{of_charges:?}");
    for (when, from) in [
        ("{tenant: partner}", "partner"),
        ("{route: create_charge}", "partner"),
        ("{attempt: 1}", "backup"),
        ("{tenant: shop}", "get_charge"),
    ] {
        assert_eq!(said(when, from), [""; 0], "{when} {from}");
    }
}

#[test]
fn herds_that_cannot_come_together_are_remarked_on() {
    let said = |faults: &str, expect: &str| remarks(faults, FORTY, expect);
    let hinted = "[{name: a, inject: {status: {code: 503, retry_after: 2s}}}]";
    assert!(said(hinted, "spreads_retries")[0].contains("after_hint: true"));
    assert_eq!(said(hinted, "spreads_retries: {after_hint: true}"), [""; 0]);
    let few = "[{name: a, when: {operation: {to: 10}}, inject: reset}, {name: b, when: {max_times: 9}, inject: hang}]";
    assert!(said(few, "spreads_retries")[0].contains("strike 19 operations at most"));
    for enough in [
        "[{name: a, when: {operation: {to: 10}}, inject: reset}, {name: b, when: {max_times: 10}, inject: hang}]",
        "[{name: a, when: {operation: {every: 2}}, inject: reset}]",
        "[{name: a, when: {chance: 10%}, inject: reset}]",
        "[{name: a, inject: {rate_limited: {retry_after: missing}}}]",
        "[{name: a, inject: {status: {code: 503, retry_after: 0s}}}]",
        // A client's own time-outs may run out.
        "[{name: a, inject: {latency: {fixed: 20s}}}, {name: b, when: {operation: {to: 10}}, inject: reset}]",
    ] {
        assert_eq!(said(enough, "spreads_retries"), [""; 0], "{enough}");
    }
}

#[test]
fn outages_in_which_no_request_fails_are_remarked_on() {
    let expect = "eases_off_during_outage: {requests: 2, per: 5s}";
    let said = |inject: &str| {
        let faults = format!(
            "[{{name: a, when: {{provider: primary, during: {{from: 1s, to: 9s}}}}, inject: {inject}}}]"
        );
        remarks(&faults, FORTY, expect)
    };
    for none in ["refuse", "{permanent_error: auth}", "{status: {code: 403}}"] {
        assert!(said(none)[0].contains("inject: {status: {code: 503}}"), "{none}");
    }
    for outage in
        ["{status: {code: 503}}", "hang", "reset", "rate_limited", "{status: {code: 429}}"]
    {
        assert_eq!(said(outage), [""; 0], "{outage}");
    }
    let both = "[{name: a, when: {provider: primary, during: {from: 1s, to: 9s}}, inject: refuse}, \
                {name: b, when: {chance: 50%}, inject: reset}]";
    assert_eq!(remarks(both, FORTY, expect), [""; 0]);
}

#[test]
fn failures_that_leave_no_doubt_are_remarked_on() {
    let said = |inject: &str| {
        let faults = format!("[{{name: a, when: {{attempt: 1}}, inject: {inject}}}]");
        remarks(&faults, FORTY, "reconciled: {within: 30s}")
    };
    for none in [
        "{permanent_error: auth}",
        "{status: {code: 403}}",
        "rate_limited",
        "{status: {code: 429}}",
    ] {
        assert!(said(none)[0].contains("inject: {reset: {at: after_commit}}"), "{none}");
    }
    for doubt in [
        "{status: {code: 500}}",
        "{status: {code: 403, at: after_commit}}",
        "reset",
        "hang",
        "{rate_limited: {disguise: {status: 503}}}",
    ] {
        assert_eq!(said(doubt), [""; 0], "{doubt}");
    }
}

#[test]
fn tenants_who_share_no_limit_take_nothing_from_each_other() {
    let said = |scope: &str| {
        let text = format!(
            "version: 1\nname: by-hand\nsummary: A scenario.\nprovider: {{api: payments, rate_limit: {{limit: 2, \
             per: 1s, scope: {scope}}}}}\nworkload: {{call: create_charge, deadline: 30s, tenants: {{a: \
             {{operations: 4}}, b: {{operations: 4}}}}}}\nexpect: [spares_other_tenants: {{own: 2/s}}]\n"
        );
        let apis = Apis::Beside(Path::new("."));
        let checked = read("by-hand.yaml", text.as_bytes(), apis, &Overrides::default());
        checked.diagnostics.iter().any(|one| one.message.contains("tenants share no limit"))
    };
    assert!(said("api_key"));
    assert!(!said("global") && !said("route"));
}

#[test]
fn a_kind_of_effect_that_no_route_has_is_refused() {
    let refused =
        said("payments", "{reset: {at: after_commit}}", "at_most_one_effect: {kind: chrage}");
    assert!(refused[0].starts_with("!no route of this scenario"), "{refused:?}");
}
