//! The API of pictures: jobs, batches and uploads, each met by a client that is right and by clients with one
//! flaw each, as programs in Python.

use std::ffi::OsString;

use crate::brownout::{Run, failed, python, root, run, verdict};

fn client(file: &str, kind: &str) -> [OsString; 3] {
    let file = root().join("tests/clients").join(file);
    [python(), file.into_os_string(), kind.into()]
}

fn driven(scenario: &str, file: &str, kind: &str, more: &[&str]) -> Run {
    let mut arguments = vec![scenario, "--mode", "stdio"];
    arguments.extend(more);
    run(&arguments, &client(file, kind), &[])
}

#[test]
fn a_client_that_waits_politely_passes_whatever_becomes_of_its_jobs() {
    for scenario in ["vision-calm", "vision-slow-jobs", "vision-failed-jobs"] {
        let run = driven(scenario, "vision_jobs.py", "careful", &[]);
        assert_eq!(run.code, Some(0), "{}", run.printed);
        let entry = run.only();
        assert_eq!(verdict(entry, "polls_politely"), "passed", "{}", run.printed);
        if scenario != "vision-calm" {
            assert_eq!(verdict(entry, "job_not_resubmitted"), "passed", "{}", run.printed);
        }
    }
}

#[test]
fn each_flaw_of_a_client_with_jobs_is_found() {
    for (kind, scenario, expected) in [
        ("eager", "vision-failed-jobs", &["no_lost_operations", "no_phantom_success"][..]),
        ("hammering", "vision-slow-jobs", &["polls_politely"]),
        (
            "impatient",
            "vision-slow-jobs",
            &["no_double_charges", "job_not_resubmitted", "polls_politely"],
        ),
    ] {
        let run = driven(scenario, "vision_jobs.py", kind, &["--no-control"]);
        assert_eq!(run.code, Some(1), "{}", run.printed);
        assert_eq!(failed(run.only()), expected, "{kind}: {}", run.printed);
    }
}

#[test]
fn jobs_are_begun_and_looked_at_in_any_weather() {
    for (scenario, kind, caught) in [
        ("vision-hang", "patient", "client_timeout"),
        ("vision-outage", "timid", "no_lost_operations"),
        ("vision-permanent-error", "stubborn", "no_retry_on_permanent_errors"),
        ("vision-rate-limit", "hasty", "honors_retry_after"),
    ] {
        let careful = driven(scenario, "vision_jobs.py", "careful", &[]);
        assert_eq!(careful.code, Some(0), "{}", careful.printed);
        assert_eq!(verdict(careful.only(), caught), "passed", "{}", careful.printed);
        let flawed = driven(scenario, "vision_jobs.py", kind, &["--no-control"]);
        assert_eq!(flawed.code, Some(1), "{}", flawed.printed);
        assert_eq!(verdict(flawed.only(), caught), "failed", "{kind}: {}", flawed.printed);
    }
}

#[test]
fn a_client_that_sends_again_only_what_is_missing_passes() {
    for (scenario, invariant) in [
        ("vision-partial-batch", "no_double_charges"),
        ("vision-sunset", "no_retry_on_permanent_errors"),
    ] {
        let run = driven(scenario, "vision_batch.py", "careful", &[]);
        assert_eq!(run.code, Some(0), "{}", run.printed);
        assert_eq!(verdict(run.only(), invariant), "passed", "{}", run.printed);
    }
}

#[test]
fn each_flaw_of_a_client_with_many_items_is_found() {
    for (kind, expected) in [
        ("blind", &["no_lost_operations", "no_phantom_success"][..]),
        ("whole", &["no_double_charges"]),
    ] {
        let run = driven("vision-partial-batch", "vision_batch.py", kind, &["--no-control"]);
        assert_eq!(run.code, Some(1), "{}", run.printed);
        assert_eq!(failed(run.only()), expected, "{kind}: {}", run.printed);
    }
}

#[test]
fn an_upload_that_goes_on_where_it_stopped_passes_and_others_do_not() {
    let careful = driven("vision-uploads", "vision_upload.py", "careful", &[]);
    assert_eq!(careful.code, Some(0), "{}", careful.printed);
    for invariant in ["upload_intact", "resumes_upload"] {
        assert_eq!(verdict(careful.only(), invariant), "passed", "{}", careful.printed);
    }
    for (kind, expected) in [("restarts", "resumes_upload"), ("trusting", "upload_intact")] {
        let run = driven("vision-uploads", "vision_upload.py", kind, &["--no-control"]);
        assert_eq!(run.code, Some(1), "{}", run.printed);
        assert_eq!(failed(run.only()), [expected], "{kind}: {}", run.printed);
    }
}
