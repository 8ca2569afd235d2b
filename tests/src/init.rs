//! `brownout init` from outside: what it writes runs at once, and its clients are judged as any other.
//!
//! **Invariant:** as in `cli`, nothing here knows how brownout works inside.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::brownout::root;
use crate::cli::{Said, brownout_in, document, refused};

/// The client for Rust as it is written for payments: its test runs here, beside the scenario that is
/// written with it.
#[path = "../../harness/templates/brownout.rs"]
mod written_for_rust;

#[path = "../brownout/anthropic.rs"]
mod written_for_rust_and_anthropic;
#[path = "../brownout/dynamodb.rs"]
mod written_for_rust_and_dynamodb;
/// The same as it is written for the other APIs: that it compiles and holds is shown here, and that it is
/// what is written by the test below.
#[path = "../brownout/openai.rs"]
mod written_for_rust_and_openai;
#[path = "../brownout/stripe.rs"]
mod written_for_rust_and_stripe;

fn written(arguments: &[&str]) -> (tempfile::TempDir, Said) {
    let folder = tempfile::tempdir().expect("a folder");
    let said = brownout_in(folder.path(), &[&["init"], arguments].concat());
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    (folder, said)
}

/// Runs the command that the program printed, and looks at the document.
fn run_what_it_says(folder: &Path, said: &Said) -> Value {
    let line =
        said.out.lines().find_map(|line| line.strip_prefix("  brownout ")).expect("a command");
    let (before, client) = line.split_once(" -- ").expect("with a client");
    let words: Vec<&str> =
        before.split(' ').chain(["--format", "json", "--"]).chain(client.split(' ')).collect();
    let run = brownout_in(folder, &words);
    let document = document(&run);
    assert_eq!(run.code, Some(0), "{document:#}\n{}", run.err);
    let entry = &document["scenarios"][0];
    assert_eq!(entry["control"], "passed", "{document:#}");
    assert!(entry["faults"].as_object().is_some_and(|rules| !rules.is_empty()), "{document:#}");
    document
}

#[test]
fn a_client_in_python_runs_at_once_and_holds_against_every_api() {
    for api in ["payments", "stripe", "openai", "anthropic", "dynamodb", "vision"] {
        let (folder, said) = written(&["--api", api]);
        assert_eq!(run_what_it_says(folder.path(), &said)["verdict"], "passed");
    }
}

#[test]
fn the_command_that_is_written_catches_a_client_that_is_spoiled() {
    let (folder, _) = written(&["--api", "payments"]);
    let client = folder.path().join("brownout/client.py");
    let text = fs::read_to_string(&client).expect("written");
    let spoiled = text.replace(
        "headers[KEY_HEADER] = operation[\"id\"]",
        "headers[KEY_HEADER] = str(time.time())",
    );
    assert_ne!(spoiled, text);
    fs::write(&client, spoiled).expect("written");
    let run = brownout_in(
        folder.path(),
        &["run", "brownout", "--format", "json", "--", "python3", "brownout/client.py"],
    );
    let document = document(&run);
    assert_eq!((run.code, &document["verdict"]), (Some(1), &"failed".into()), "{}", run.err);
    assert_eq!(document["scenarios"][0]["invariants"][0]["name"], "no_double_charges");
    assert_eq!(document["scenarios"][0]["invariants"][0]["verdict"], "failed");
}

#[test]
fn a_client_in_node_runs_at_once() {
    for api in ["payments", "stripe", "openai", "anthropic", "dynamodb", "vision"] {
        let (folder, said) = written(&["--api", api, "--client", "node"]);
        assert!(said.out.contains("-- node brownout/client.mjs"), "{}", said.out);
        let text = fs::read_to_string(folder.path().join("brownout/client.mjs")).expect("written");
        assert!(text.contains("const PATH = \"/"), "{text}");
        assert_eq!(run_what_it_says(folder.path(), &said)["verdict"], "passed");
    }
}

#[test]
fn the_clients_for_rust_and_their_scenarios_are_those_that_are_written() {
    let is_kept = |fresh: &Path, kept: &str| {
        let fresh = fs::read_to_string(fresh).expect("written");
        let kept = root().join(kept);
        if std::env::var_os("BROWNOUT_BLESS").is_some() {
            fs::write(&kept, &fresh).expect("it can be written");
        }
        let kept = fs::read_to_string(kept).unwrap_or_default();
        assert_eq!(kept, fresh, "write it again with BROWNOUT_BLESS=1");
    };
    for (api, client) in [
        ("payments", "harness/templates/brownout.rs"),
        ("stripe", "tests/brownout/stripe.rs"),
        ("openai", "tests/brownout/openai.rs"),
        ("anthropic", "tests/brownout/anthropic.rs"),
        ("dynamodb", "tests/brownout/dynamodb.rs"),
    ] {
        let (folder, said) = written(&["--api", api, "--client", "rust"]);
        assert!(said.out.contains("cargo test --test brownout"), "{}", said.out);
        let scenario = format!("brownout/{api}.yaml");
        is_kept(&folder.path().join(&scenario), &format!("tests/{scenario}"));
        is_kept(&folder.path().join("tests/brownout.rs"), client);
    }
}

#[test]
fn the_job_runs_the_client_that_was_written() {
    let (folder, _) = written(&["--api", "payments"]);
    let job =
        fs::read_to_string(folder.path().join(".github/workflows/brownout.yml")).expect("written");
    let job: Value = serde_yaml::from_str(&job).expect("YAML");
    let steps = job["jobs"]["brownout"]["steps"].as_array().expect("steps");
    let run = steps.iter().filter_map(|step| step["run"].as_str()).collect::<Vec<_>>();
    assert_eq!(run[1], "brownout run brownout --format github -- python3 brownout/client.py");
    assert!(run[0].starts_with("cargo install "), "{run:?}");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let client = folder.path().join("shop/brownout/client.py");
    fs::create_dir_all(client.parent().expect("a folder")).expect("made");
    fs::write(&client, "mine").expect("written");
    let again = brownout_in(folder.path(), &["init", "--api", "payments", "--dir", "shop"]);
    refused(&again, 3, &["`shop/brownout/client.py` would be overwritten", "`--dir`"]);
    assert_eq!(fs::read_to_string(&client).expect("there"), "mine");
    assert!(!folder.path().join("shop/.github").exists(), "nothing else was written");
    let unknown = brownout_in(folder.path(), &["init", "--api", "payment"]);
    refused(&unknown, 3, &["there is no API `payment`", "did you mean `payments`?"]);
    fs::write(folder.path().join("file"), "x").expect("written");
    let file = brownout_in(folder.path(), &["init", "--api", "payments", "--dir", "file"]);
    refused(&file, 4, &["cannot write `file/brownout/payments.yaml`"]);
}
