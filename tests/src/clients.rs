//! Real clients against the built program: unmodified SDKs, and clients written by hand.
//!
//! How often each SDK tries and what that costs was measured against another faulty server before; here
//! brownout must count the same. Needs the Python environment that `tests/run` makes.
//! **Invariant:** nothing here knows how brownout works inside; all is read from its JSON document.

mod animals;
mod routes;
mod stories;

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::Value;

use crate::brownout::{Run, effects, failed, python, root, run, verdict};
use crate::policies::check_all_exercised;

/// A program of `tests/clients`, run by the locked Python.
fn client(file: &str) -> Vec<OsString> {
    vec![python(), format!("tests/clients/{file}").into()]
}

/// One operation of a client under a scenario of `tests/behaviour`.
fn behaviour(scenario: &str, file: &str) -> Run {
    behaviour_with(scenario, file, &[])
}

fn behaviour_with(scenario: &str, file: &str, environment: &[(&str, &str)]) -> Run {
    let scenario = format!("tests/behaviour/{scenario}.yaml");
    run(&[&scenario, "--no-control"], &client(file), environment)
}

/// What a client did in one run, in the terms in which SDKs are compared.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    attempts: u64,
    effects: u64,
    claim: &'static str,
}

fn counts(run: &Run) -> Counts {
    let entry = run.only();
    let claims = ["succeeded", "failed", "unknown", "unclaimed"];
    let claim = claims.into_iter().find(|claim| entry["operations"][claim] == 1);
    Counts {
        attempts: entry["requests"].as_u64().expect("requests are counted"),
        effects: effects(entry),
        claim: claim.unwrap_or("not one operation"),
    }
}

fn check(run: &Run, attempts: u64, effects: u64, claim: &'static str) {
    assert_eq!(counts(run), Counts { attempts, effects, claim }, "{}", run.printed);
}

fn check_verdict(run: &Run, invariant: &str, expected: &str) {
    assert_eq!(verdict(run.only(), invariant), expected, "{invariant}:\n{}", run.printed);
}

#[test]
fn openai_pays_three_times_for_an_answer_that_is_always_lost() {
    for scenario in ["openai-reset-after-commit", "openai-500-after-commit"] {
        let run = behaviour(scenario, "openai_chat.py");
        check(&run, 3, 3, "failed");
        check_verdict(&run, "no_double_charges", "failed");
        check_verdict(&run, "honest_failures", "failed");
        assert_eq!(run.code, Some(1));
    }
}

#[test]
fn openai_reports_plain_success_after_one_lost_answer_and_two_effects() {
    let run = behaviour("openai-500-then-ok", "openai_chat.py");
    check(&run, 2, 2, "succeeded");
    check_verdict(&run, "no_double_charges", "failed");
}

#[test]
fn openai_with_a_short_time_out_pays_three_times_for_silence() {
    let run =
        behaviour_with("openai-hang-after-commit", "openai_chat.py", &[("CHAT_TIMEOUT", "1.5")]);
    check(&run, 3, 3, "failed");
    check_verdict(&run, "no_double_charges", "failed");
    check_verdict(&run, "client_timeout", "passed");
}

#[test]
fn openai_waits_for_all_three_spellings_of_a_hint() {
    for spelling in ["seconds", "date", "ms"] {
        let run = behaviour(&format!("openai-hint-{spelling}"), "openai_chat.py");
        check(&run, 2, 1, "succeeded");
        check_verdict(&run, "honors_retry_after", "passed");
        assert_eq!(run.code, Some(0), "{}", run.printed);
    }
}

#[test]
fn openai_gives_up_at_once_when_the_hint_is_longer_than_two_minutes() {
    check(&behaviour("openai-hint-huge", "openai_chat.py"), 1, 0, "failed");
}

#[test]
fn openai_obeys_should_retry_over_the_status() {
    check(&behaviour("openai-should-retry-false", "openai_chat.py"), 1, 0, "failed");
    check(&behaviour("openai-should-retry-true", "openai_chat.py"), 2, 1, "succeeded");
}

#[test]
fn both_packages_take_a_200_without_an_answer_for_success() {
    for (api, file) in [("openai", "openai_chat.py"), ("stripe", "stripe_charge.py")] {
        for kind in ["empty-object", "error-in-200"] {
            let run = behaviour(&format!("{api}-{kind}"), file);
            check(&run, 1, 1, "succeeded");
            check_verdict(&run, "rejects_malformed_responses", "failed");
        }
    }
}

#[test]
fn html_under_the_media_type_of_json_raises_in_both_packages() {
    check(&behaviour("openai-html-as-json", "openai_chat.py"), 1, 1, "failed");
    check(&behaviour("stripe-html-as-json", "stripe_charge.py"), 1, 1, "failed");
}

#[test]
fn a_body_cut_short_is_retried_by_openai_and_not_by_stripe() {
    check(&behaviour("openai-cut-body", "openai_chat.py"), 3, 3, "failed");
    check(&behaviour("stripe-cut-body", "stripe_charge.py"), 1, 1, "failed");
}

#[test]
fn stripe_tries_three_times_and_pays_once_on_an_honest_provider() {
    for scenario in ["stripe-reset-after-commit", "stripe-500-after-commit"] {
        let run = behaviour(scenario, "stripe_charge.py");
        check(&run, 3, 1, "failed");
        check_verdict(&run, "no_double_charges", "passed");
        check_verdict(&run, "honest_failures", "failed");
    }
}

#[test]
fn stripe_with_a_short_time_out_tries_three_times_and_pays_once() {
    let run = behaviour_with(
        "stripe-hang-after-commit",
        "stripe_charge.py",
        &[("STRIPE_TIMEOUT", "1.5")],
    );
    check(&run, 3, 1, "failed");
    check_verdict(&run, "no_double_charges", "passed");
}

#[test]
fn stripe_pays_three_times_where_the_provider_overlooks_the_key() {
    let run = behaviour("stripe-ignored-key", "stripe_charge.py");
    check(&run, 3, 3, "failed");
    check_verdict(&run, "no_double_charges", "failed");
}

#[test]
fn stripe_never_retries_a_429() {
    let run = behaviour("stripe-429", "stripe_charge.py");
    check(&run, 1, 0, "failed");
    check_verdict(&run, "honors_retry_after", "passed");
}

#[test]
fn openai_takes_half_a_stream_for_an_answer_where_it_ends_in_order() {
    for kind in ["cut-clean", "no-terminator", "length"] {
        let run = behaviour(&format!("openai-stream-{kind}"), "openai_chat.py");
        check(&run, 1, 1, "succeeded");
        check_verdict(&run, "rejects_malformed_responses", "failed");
    }
}

#[test]
fn openai_raises_where_a_stream_breaks_and_buys_nothing_again() {
    for kind in ["cut-rst", "cut-fin", "stall", "garbage", "error"] {
        let run = behaviour_with(
            &format!("openai-stream-{kind}"),
            "openai_chat.py",
            &[("CHAT_TIMEOUT", "3")],
        );
        check(&run, 1, 1, "failed");
        check_verdict(&run, "rejects_malformed_responses", "passed");
    }
}

#[test]
fn openai_reads_a_stream_whose_characters_are_torn_and_one_in_which_an_event_comes_twice() {
    for kind in ["split-utf8", "duplicate"] {
        let run = behaviour(&format!("openai-stream-{kind}"), "openai_chat.py");
        check(&run, 1, 1, "succeeded");
        assert!(failed(run.only()).is_empty(), "{}", run.printed);
    }
}

#[test]
fn anthropic_pays_three_times_for_an_answer_that_is_always_lost() {
    let run = behaviour("anthropic-500-after-commit", "anthropic_message.py");
    check(&run, 3, 3, "failed");
    check_verdict(&run, "no_double_charges", "failed");
}

#[test]
fn anthropic_repeats_an_overloaded_model_and_pays_once() {
    let run = behaviour("anthropic-overloaded", "anthropic_message.py");
    check(&run, 2, 1, "succeeded");
    check_verdict(&run, "honors_retry_after", "passed");
}

#[test]
fn anthropic_takes_half_a_stream_for_an_answer_where_it_ends_in_order() {
    let run = behaviour("anthropic-stream-no-terminator", "anthropic_message.py");
    check(&run, 1, 1, "succeeded");
    check_verdict(&run, "rejects_malformed_responses", "failed");
}

#[test]
fn anthropic_raises_on_an_error_in_the_middle_of_a_stream() {
    let run = behaviour("anthropic-stream-error", "anthropic_message.py");
    check(&run, 1, 1, "failed");
    check_verdict(&run, "rejects_malformed_responses", "passed");
}

#[test]
fn dynamodb_tries_four_times_and_a_transaction_is_written_once() {
    let run = behaviour("dynamodb-put-500-after-commit", "dynamodb_write.py");
    check(&run, 4, 4, "failed");
    let run = behaviour("dynamodb-transaction-500-after-commit", "dynamodb_write.py");
    check(&run, 4, 1, "failed");
    check_verdict(&run, "no_double_charges", "passed");
}

#[test]
fn dynamodb_repeats_what_is_throttled_under_status_400_and_nothing_else_under_it() {
    let run = behaviour("dynamodb-throttled", "dynamodb_write.py");
    check(&run, 2, 1, "succeeded");
    check_verdict(&run, "honors_retry_after", "passed");
    let run = behaviour("dynamodb-not-valid", "dynamodb_write.py");
    check(&run, 1, 0, "failed");
    check_verdict(&run, "no_retry_on_permanent_errors", "passed");
}

// ---------------------------------------------------------------------------------------------------
// Suite mode: a whole program or test suite, its operations recognised on the wire.

fn suite(scenario: &str, command: &[OsString]) -> Run {
    let scenario = format!("tests/behaviour/{scenario}.yaml");
    run(&[&scenario, "--mode", "suite"], command, &[])
}

fn pytest(file: &str) -> Vec<OsString> {
    let words = ["-m", "pytest", "-q", "-p", "no:cacheprovider"];
    let mut command = vec![python()];
    command.extend(words.map(OsString::from));
    command.push(format!("tests/clients/shop/{file}").into());
    command
}

#[test]
fn a_script_with_openai_is_caught_paying_twice_by_what_the_package_says_of_its_retries() {
    let run = suite("openai-suite", &client("openai_batch.py"));
    let entry = run.only();
    assert_eq!((entry["requests"].as_u64(), effects(entry)), (Some(8), 8), "{}", run.printed);
    assert_eq!(failed(entry), ["no_double_charges"], "{}", run.printed);
    assert_eq!(run.code, Some(1), "{}", run.printed);
}

#[test]
fn a_script_with_stripe_passes_because_the_package_sends_one_key() {
    let run = suite("stripe-suite", &client("stripe_batch.py"));
    let entry = run.only();
    assert_eq!((entry["requests"].as_u64(), effects(entry)), (Some(8), 4), "{}", run.printed);
    assert_eq!(run.code, Some(0), "{}", run.printed);
}

#[test]
fn a_pytest_suite_of_a_shop_runs_unchanged_and_is_judged() {
    let till = suite("payments-suite", &pytest("test_checkout.py"));
    assert_eq!(effects(till.only()), 4, "{}", till.printed);
    assert_eq!(till.code, Some(0), "{}", till.printed);

    let words = suite("openai-suite", &pytest("test_describe.py"));
    assert_eq!(effects(words.only()), 6, "{}", words.printed);
    assert_eq!(failed(words.only()), ["no_double_charges"], "{}", words.printed);
}

// ---------------------------------------------------------------------------------------------------
// The shipped scenarios: a correct client passes each, and each flawed one is caught.

/// How many scenarios a folder holds.
fn files_in(folder: &str) -> usize {
    let entries = root().join(folder).read_dir().expect("the folder is there");
    let count = entries.count();
    assert!(count >= 7, "{folder} has all kinds of trouble");
    count
}

fn check_all_passed(run: &Run) {
    for entry in run.entries() {
        let told = (entry["verdict"].as_str(), entry["control"].as_str());
        assert!(
            entry["verdict"] == "passed" && entry["control"] != "failed",
            "{} with seed {}: {told:?}\n{}",
            entry["name"],
            entry["seed"],
            run.printed
        );
    }
    assert_eq!(run.code, Some(0), "{}", run.printed);
}

/// What `--seeds` promises of a client that holds: no seed is anything but passed, but for one in which
/// no fault struck, which is shown as such and does not count; and every scenario passed in some seed.
fn check_all_seeds(run: &Run) {
    let mut passed = BTreeMap::<&str, bool>::new();
    for entry in run.entries() {
        let strikes = entry["faults"].as_object().expect("faults are counted by rule");
        let verdict = entry["verdict"].as_str().expect("every entry has a verdict");
        let is_calm = strikes.values().all(|count| count == 0);
        assert!(
            entry["control"] != "failed"
                && (verdict == "passed" || verdict == "inconclusive" && is_calm),
            "{} with seed {}: {verdict}\n{}",
            entry["name"],
            entry["seed"],
            run.printed
        );
        let name = entry["name"].as_str().expect("an entry has a name");
        *passed.entry(name).or_default() |= verdict == "passed";
    }
    assert!(passed.values().all(|passed| *passed), "{passed:?}\n{}", run.printed);
    assert_eq!(run.code, Some(0), "{}", run.printed);
}

#[test]
fn the_careful_client_is_green_on_every_payments_scenario_over_twenty_seeds() {
    let run = run(&["scenarios/payments", "--seeds", "20"], &client("careful.py"), &[]);
    assert_eq!(run.entries().len(), files_in("scenarios/payments") * 20);
    check_all_seeds(&run);
}

#[test]
fn the_careful_client_is_as_careful_in_one_long_lived_process() {
    let run = run(&["scenarios/payments", "--mode", "stdio"], &client("careful_stdio.py"), &[]);
    assert_eq!(run.entries().len(), files_in("scenarios/payments"));
    check_all_passed(&run);
}

/// A test for each API, so that they can run side by side.
macro_rules! careful_programs {
    ($($test:ident: $api:literal, $package:literal, $extra:expr, $policy:expr;)*) => {
        $(#[test]
        fn $test() {
            check_careful_program($api, $package, $extra, $policy);
        })*
    };
}

careful_programs! {
    a_careful_program_around_openai_passes_every_scenario: "openai", "openai.resources.chat", &[], Some("openai_client");
    a_careful_program_around_stripe_passes_every_scenario: "stripe", "stripe", &["policies-never-answered"], Some("stripe_client");
    a_careful_program_around_anthropic_passes_every_scenario: "anthropic", "anthropic", &[], Some("anthropic_client");
    a_careful_program_around_boto3_passes_every_scenario: "dynamodb", "boto3", &[], None;
}

/// The program is run anew for each operation, by a process that has imported once what of the package it uses.
/// No control runs: each folder has a calm scenario of its own.
fn check_careful_program(api: &str, package: &str, extra: &[&str], policy: Option<&str>) {
    let folder = format!("scenarios/{api}");
    let flags = policy.map(|policy| ["--policy", policy]);
    // One run at a time: a deadline is for the import too, and on two cores four tests import at once.
    let words = [folder.as_str(), "--no-control", "--mode", "stdio", "--jobs", "1"];
    let words = words.into_iter().chain(extra.iter().copied());
    let words: Vec<&str> = words.chain(flags.iter().flatten().copied()).collect();
    assert!(root().join(&folder).join("calm.yaml").is_file(), "{folder} has no fair weather");
    let mut command = client("warm_stdio.py");
    command.extend([package.into(), format!("tests/clients/{api}_careful.py").into()]);
    let run = run(&words, &command, &[]);
    assert_eq!(run.entries().len(), files_in(&folder) + extra.len());
    check_all_passed(&run);
    if let Some(policy) = policy {
        check_all_exercised(policy, &run);
    }
}

/// Which invariants fail for a client, for every scenario of a folder.
fn caught(folder: &str, file: &str) -> (Run, Vec<(String, Vec<String>)>) {
    let run = run(&[folder, "--no-control"], &client(file), &[]);
    let name = |entry: &Value| entry["name"].as_str().expect("an entry has a name").to_owned();
    let failures =
        |entry: &Value| failed(entry).into_iter().map(str::to_owned).collect::<Vec<String>>();
    let mut table: Vec<(String, Vec<String>)> = run
        .entries()
        .iter()
        .map(|entry| (name(entry), failures(entry)))
        .filter(|(_, failures)| !failures.is_empty())
        .collect();
    table.sort();
    (run, table)
}

fn check_caught(folder: &str, file: &str, expected: &[(&str, &[&str])]) {
    let (run, table) = caught(folder, file);
    let table: Vec<(&str, Vec<&str>)> = table
        .iter()
        .map(|(scenario, failed)| (scenario.as_str(), failed.iter().map(String::as_str).collect()))
        .collect();
    let expected: Vec<(&str, Vec<&str>)> =
        expected.iter().map(|(scenario, failed)| (*scenario, failed.to_vec())).collect();
    assert_eq!(table, expected, "{}", run.printed);
}

#[test]
fn the_naive_call_loses_orders() {
    check_caught(
        "scenarios/payments",
        "naive_call.py",
        &[
            ("payments-demo", &["no_lost_operations", "honest_failures"]),
            ("payments-hang", &["client_timeout", "no_lost_operations", "honest_failures"]),
            ("payments-lost-response", &["honest_failures"]),
            ("payments-malformed-200", &["rejects_malformed_responses", "no_lost_operations"]),
            ("payments-outage", &["no_lost_operations"]),
            ("payments-rate-limit", &["no_lost_operations"]),
        ],
    );
}

#[test]
fn the_client_that_swallows_everything_claims_what_never_happened() {
    check_caught(
        "scenarios/payments",
        "swallow_everything.py",
        &[
            ("payments-demo", &["no_lost_operations", "no_phantom_success"]),
            ("payments-hang", &["client_timeout", "no_lost_operations", "no_phantom_success"]),
            (
                "payments-malformed-200",
                &["rejects_malformed_responses", "no_phantom_success", "no_lost_operations"],
            ),
            ("payments-outage", &["no_lost_operations", "no_phantom_success", "failures_surface"]),
            (
                "payments-permanent-error",
                &["failures_surface", "no_phantom_success", "no_lost_operations"],
            ),
            ("payments-rate-limit", &["no_lost_operations", "no_phantom_success"]),
        ],
    );
}

#[test]
fn the_fixed_delay_ignores_what_it_is_told_and_charges_twice() {
    check_caught(
        "scenarios/payments",
        "fixed_delay.py",
        &[
            ("payments-demo", &["no_double_charges"]),
            ("payments-hang", &["client_timeout", "no_double_charges", "no_lost_operations"]),
            ("payments-lost-response", &["no_double_charges"]),
            ("payments-malformed-200", &["rejects_malformed_responses", "no_double_charges"]),
            ("payments-outage", &["honors_retry_after"]),
            ("payments-permanent-error", &["no_retry_on_permanent_errors"]),
            ("payments-rate-limit", &["honors_retry_after"]),
        ],
    );
}

#[test]
fn a_retry_that_outlives_its_claim_is_caught_wherever_there_is_one() {
    let run = run(
        &["scenarios/payments", "--mode", "stdio", "--no-control"],
        &client("zombie_stdio.py"),
        &[],
    );
    let mut caught: Vec<&str> = run
        .entries()
        .iter()
        .filter(|entry| failed(entry).contains(&"nothing_after_claim"))
        .filter_map(|entry| entry["name"].as_str())
        .collect();
    caught.sort_unstable();
    let expected = ["hang", "lost-response", "malformed-200", "outage", "rate-limit"];
    assert_eq!(caught, expected.map(|kind| format!("payments-{kind}")), "{}", run.printed);
}

#[test]
fn a_card_in_the_log_is_found_however_it_is_written() {
    for (written, mark) in [
        ("plain", Some("card:plain")),
        ("json", Some("card:plain")),
        ("url", Some("card:url")),
        ("base64", Some("card:base64")),
        ("masked", None),
    ] {
        let run = behaviour_with("payments-planted", "logging_client.py", &[("LOG_CARD", written)]);
        let expected = if mark.is_some() { "failed" } else { "passed" };
        check_verdict(&run, "no_secrets_in_output", expected);
        if let Some(mark) = mark {
            assert!(run.printed.contains(&format!("the client wrote `{mark}`")), "{}", run.printed);
        }
        assert_eq!((effects(run.only()), failed(run.only()).len()), (2, mark.iter().count()));
    }
}

#[test]
fn openai_as_it_comes_is_caught_where_a_program_has_to_do_its_part() {
    check_caught(
        "scenarios/openai",
        "openai_chat.py",
        &[
            ("openai-hang", &["client_timeout", "no_lost_operations"]),
            ("openai-lost-response", &["no_double_charges"]),
            (
                "openai-malformed-200",
                &["rejects_malformed_responses", "no_phantom_success", "no_lost_operations"],
            ),
            ("openai-permanent-error", &["no_retry_on_permanent_errors"]),
            ("openai-streams", &["rejects_malformed_responses", "honest_failures"]),
        ],
    );
}

#[test]
fn stripe_as_it_comes_is_caught_where_a_program_has_to_do_its_part() {
    check_caught(
        "scenarios/stripe",
        "stripe_charge.py",
        &[
            ("stripe-hang", &["client_timeout", "no_lost_operations"]),
            (
                "stripe-malformed-200",
                &["rejects_malformed_responses", "no_phantom_success", "no_lost_operations"],
            ),
            ("stripe-outage", &["honors_retry_after"]),
            ("stripe-rate-limit", &["no_lost_operations"]),
        ],
    );
}

#[test]
fn boto3_as_it_comes_counts_an_order_twice_and_waits_longer_than_its_caller() {
    check_caught(
        "scenarios/dynamodb",
        "dynamodb_write.py",
        &[
            ("dynamodb-counter", &["no_double_charges"]),
            ("dynamodb-hang", &["client_timeout", "no_lost_operations"]),
        ],
    );
}

#[test]
fn the_drawn_schedule_is_the_same_at_any_concurrency_and_in_a_second_run() {
    let hash = |concurrency: &str| {
        let run = run(
            &["scenarios/payments/lost-response.yaml", "--concurrency", concurrency],
            &client("careful.py"),
            &[],
        );
        run.only()["schedule_hash"].as_str().expect("an entry has its hash").to_owned()
    };
    assert_eq!(hash("1"), hash("8"));
    let twice =
        run(&["scenarios/payments/lost-response.yaml", "--twice"], &client("careful.py"), &[]);
    assert_eq!(twice.code, Some(0), "{}", twice.printed);
}
