//! The shipped scenarios about several of something: real clients that are right pass each, and one that is
//! wrong in what it teaches is caught.

use std::ffi::OsString;

use crate::brownout::{Run, failed, run, verdict};
use crate::cli::run_in;

/// The scenario and the arguments of a client of `tests/clients`, in stdio mode.
fn driven(scenario: &str, client: &[&str]) -> Run {
    let path = format!("scenarios/several/{scenario}.yaml");
    let script = format!("tests/clients/{}", client[0]);
    let mut command: Vec<OsString> = vec!["python3".into(), script.into()];
    command.extend(client[1..].iter().map(OsString::from));
    run(&[&path, "--mode", "stdio"], &command, &[])
}

#[test]
fn a_right_client_passes_each_and_a_wrong_one_is_caught() {
    for (scenario, right, wrong, caught) in [
        (
            "fallback",
            &["fallback.py", "careful"][..],
            &["fallback.py", "at-once"][..],
            &["no_double_charges", "fallback_only_on_failure"][..],
        ),
        (
            "fleet",
            &["key_keeper.py", "file"],
            &["key_keeper.py", "memory"],
            &["no_double_charges", "idempotency_key_stable"],
        ),
        (
            "two-tenants",
            &["careful_stdio.py"],
            &["borrowed_key.py"],
            &["no_retry_on_permanent_errors"],
        ),
        ("two-tenants", &["careful_stdio.py"], &["shared_breaker.py"], &["no_lost_operations"]),
    ] {
        let passed = driven(scenario, right);
        let entry = passed.only();
        assert_eq!(entry["verdict"], "passed", "{scenario}: {}", passed.printed);
        assert_eq!(entry["control"], "passed", "{scenario}: {}", passed.printed);
        for name in caught {
            assert_eq!(verdict(entry, name), "passed", "{scenario}: {}", passed.printed);
        }
        let found = driven(scenario, wrong);
        assert_eq!(failed(found.only()), caught, "{scenario}, {wrong:?}: {}", found.printed);
        assert_eq!(found.code, Some(1));
    }
}

#[test]
fn what_is_charged_to_another_tenant_is_said_beside_the_verdict() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let client = ["python3", "tests/clients/borrowed_key.py"];
    let line = ["several-two-tenants", "--mode", "stdio", "--no-control", "--"];
    let said = run_in(folder.path(), &[&line[..], &client].concat());
    let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("with the key of another 3 times"), "{}", said.out);
    assert!(words.contains("3 effects on the wrong account"), "{}", said.out);
}

#[test]
fn several_providers_stand_in_the_order_of_the_file() {
    let passed = driven("fallback", &["fallback.py", "careful"]);
    let providers = passed.only()["providers"].as_object().expect("there are several");
    let names: Vec<&str> = providers.keys().map(String::as_str).collect();
    assert_eq!(names, ["primary", "backup"]);
}
