//! The command line from outside: what it prints, where, and with which exit code.
//!
//! **Invariant:** nothing here knows how brownout works inside; all is read from its streams, its exit code
//! and its files.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::brownout::{program, root};

/// What an invocation printed and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program in `folder`, with nothing of the terminal's environment that could change the text.
pub(crate) fn brownout_in(folder: &Path, arguments: &[&str]) -> Said {
    said(&command_in(folder, arguments).output().expect("the built program starts"))
}

pub(crate) fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .current_dir(folder)
        .args(arguments)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS")
        .stdin(Stdio::null());
    command
}

pub(crate) fn said(output: &Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout.clone()).expect("the report is UTF-8"),
        err: String::from_utf8(output.stderr.clone()).expect("messages are UTF-8"),
    }
}

/// Runs the program at the root of the clone.
pub(crate) fn brownout(arguments: &[&str]) -> Said {
    brownout_in(root(), arguments)
}

/// Runs `brownout run` with traces in a folder that is thrown away.
pub(crate) fn run_in(folder: &Path, arguments: &[&str]) -> Said {
    let out = folder.join("out");
    let out = out.to_str().expect("temporary folders have UTF-8 names");
    brownout_in(root(), &[&["run", "--out", out], arguments].concat())
}

/// A mistake: nothing on standard output, and on standard error exactly this and no more.
pub(crate) fn refused(said: &Said, code: i32, parts: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.err);
    assert_eq!(said.out, "", "standard output is for reports");
    for part in parts {
        assert!(said.err.contains(part), "`{part}` is not in: {}", said.err);
    }
    assert!(!said.err.contains("panicked"), "{}", said.err);
}

#[test]
fn help_reads_well() {
    insta::assert_snapshot!("help", brownout(&["--help"]).out);
    for command in [
        "run", "demo", "init", "serve", "hunt", "explore", "check", "freeze", "list", "explain",
        "schema",
    ] {
        let said = brownout(&[command, "--help"]);
        assert_eq!(said.code, Some(0));
        insta::assert_snapshot!(format!("help_{command}"), said.out);
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_3_and_says_what_is_right() {
    refused(&brownout(&[]), 3, &["Usage: brownout"]);
    refused(&brownout(&["rum"]), 3, &["unrecognized subcommand 'rum'", "'run'"]);
    refused(&brownout(&["run", "--", "true"]), 3, &["SCENARIO|DIR"]);
    refused(
        &brownout(&["run", "scenarios", "--mode", "http", "--", "x"]),
        3,
        &["does not say how the service is called; add `http: {request: {method: POST"],
    );
    refused(
        &brownout(&["run", "scenarios", "--mode", "x", "--", "x"]),
        3,
        &["exec, stdio, suite, http]"],
    );
    refused(&brownout(&["run", "scenarios", "--format", "xml", "--", "x"]), 3, &["human, json"]);
    refused(
        &brownout(&["run", "scenarios", "--seed", "9007199254740992", "--", "x"]),
        3,
        &["a seed is a whole number from 0 to 9007199254740991"],
    );
    refused(&brownout(&["list", "--markdown"]), 3, &["<WHAT>"]);
}

#[test]
fn a_run_without_anything_to_run_is_refused_before_it_begins() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let at = folder.path();
    fs::create_dir(at.join("empty")).expect("made");
    let empty = at.join("empty");
    let empty = empty.to_str().expect("UTF-8");
    let scenario = "scenarios/payments/calm.yaml";
    refused(&run_in(at, &["none.yaml", "--", "true"]), 3, &["no file or folder `none.yaml`"]);
    refused(&run_in(at, &[empty, "--", "true"]), 3, &["no scenario in the folder", "`.yaml`"]);
    refused(
        &run_in(at, &[scenario]),
        3,
        &["no command stands after `--`", "brownout run SCENARIO -- "],
    );
    refused(
        &run_in(at, &[scenario, "--tag", "none", "--", "true"]),
        3,
        &["no scenario is left to run with `--tag none`", "for --tag there is:", "`quick`"],
    );
    refused(
        &run_in(at, &[scenario, "--port", "4000", "--jobs", "2", "--", "true"]),
        3,
        &["port 4000 serves one run at a time"],
    );
    assert!(!at.join("out").exists(), "nothing ran, so nothing was written");
}

#[test]
fn a_command_that_cannot_start_is_exit_code_4() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let script = folder.path().join("client.py");
    fs::write(&script, "pass").expect("written");
    let script = script.to_str().expect("UTF-8");
    let scenario = "scenarios/payments/calm.yaml";
    let at = folder.path();
    refused(
        &run_in(at, &[scenario, "--", "no-such-command-at-all"]),
        4,
        &["no command `no-such-command-at-all`", "install it, or give its path"],
    );
    refused(
        &run_in(at, &[scenario, "--", script]),
        4,
        &["is not executable", "`-- python3 ", "`chmod +x "],
    );
}

#[test]
fn a_folder_for_traces_that_cannot_be_written_is_exit_code_4() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    fs::write(folder.path().join("out"), "a file").expect("written");
    refused(
        &run_in(folder.path(), &["scenarios/payments/calm.yaml", "--", "true"]),
        4,
        &["cannot write traces to", "it is a file; choose another folder with `--out`"],
    );
}

#[test]
fn whoever_asks_for_a_document_gets_one_also_where_nothing_runs() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let scenario = "scenarios/payments/calm.yaml";
    for (arguments, code) in [
        (&[scenario, "--format", "json", "--", "no-such-command-at-all"][..], 4),
        (&["none.yaml", "--format", "json", "--", "true"][..], 3),
        (&[scenario, "--format=json", "--no-such-option", "--", "true"][..], 3),
    ] {
        let said = run_in(folder.path(), arguments);
        assert_eq!(said.code, Some(code), "{}", said.err);
        let document = document(&said);
        assert_eq!(document["version"], 1);
        assert_eq!(document["verdict"], Value::Null);
        assert_eq!(document["error"]["exit_code"], code);
        assert!(document["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(document["scenarios"], Value::Array(Vec::new()));
    }
}

#[test]
fn two_scenarios_of_one_name_are_refused_by_both_files() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let text = fs::read_to_string(root().join("scenarios/payments/calm.yaml")).expect("readable");
    for name in ["a.yaml", "b.yaml"] {
        fs::write(folder.path().join(name), &text).expect("written");
    }
    let path = folder.path().to_str().expect("UTF-8");
    refused(
        &run_in(folder.path(), &[path, "--", "true"]),
        3,
        &["two scenarios are named `payments-calm`", "a.yaml`", "b.yaml`", "another `name`"],
    );
}

#[test]
fn a_scenario_with_mistakes_is_refused_with_all_of_them() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    fs::write(folder.path().join("empty.yaml"), "").expect("written");
    fs::write(
        folder.path().join("wrong.yaml"),
        "version: 1\nnmae: x\nexpect: [no_double_charge]\n",
    )
    .expect("written");
    let path = folder.path().to_str().expect("UTF-8");
    let said = run_in(folder.path(), &[path, "--", "true"]);
    refused(&said, 3, &["empty.yaml", "wrong.yaml", "nmae", "no_double_charge"]);
    for command in [&["--format", "json"][..], &["--format=json"]] {
        let said = run_in(folder.path(), &[&[path], command, &["--", "true"]].concat());
        assert_eq!(said.code, Some(3), "{}", said.err);
        let document = document(&said);
        assert_eq!(document["verdict"], Value::Null);
        assert_eq!(document["error"]["exit_code"], 3);
        let diagnostics = document["error"]["diagnostics"].as_array().expect("a list");
        let wrong = diagnostics.iter().find(|one| one["path"] == "nmae").expect("it is there");
        assert_eq!((&wrong["line"], &wrong["column"]), (&Value::from(2), &Value::from(1)));
        assert_eq!(wrong["did_you_mean"], "name");
        assert!(wrong["file"].as_str().is_some_and(|file| file.ends_with("wrong.yaml")));
        let empty = |one: &Value| one["file"].as_str().is_some_and(|it| it.ends_with("empty.yaml"));
        assert!(diagnostics.iter().any(empty), "all files, at once: {document:#}");
        assert!(said.err.contains("nmae"), "people read it on standard error: {}", said.err);
    }
    assert!(!folder.path().join("out").exists(), "nothing ran, so nothing was written");
}

#[test]
fn list_and_explain_come_from_the_registries() {
    let all = brownout(&["list"]);
    assert_eq!(all.code, Some(0));
    for name in ["reset", "no_double_charges", "payments", "payments-demo"] {
        assert!(all.out.contains(name), "`{name}` is not in: {}", all.out);
        let said = brownout(&["explain", name]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains(name), "{}", said.out);
    }
    insta::assert_snapshot!("explain_reset", brownout(&["explain", "reset"]).out);
    insta::assert_snapshot!(
        "explain_no_double_charges",
        brownout(&["explain", "no_double_charges"]).out
    );
    refused(
        &brownout(&["explain", "no_double_charge"]),
        3,
        &["nothing is named `no_double_charge`", "did you mean `no_double_charges`?"],
    );
}

/// The committed reference pages are what the program says of itself. `BROWNOUT_BLESS=1` writes them.
#[test]
fn the_reference_pages_are_those_of_the_registries() {
    for (what, page) in [
        ("faults", "harness/reference/faults.md"),
        ("invariants", "harness/reference/invariants.md"),
        ("policies", "harness/reference/policies.md"),
        ("incidents", "scenarios/incidents/README.md"),
    ] {
        let said = brownout(&["list", what, "--markdown"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let page = root().join(page);
        if std::env::var_os("BROWNOUT_BLESS").is_some() {
            fs::write(&page, &said.out).expect("the page can be written");
        }
        let committed = fs::read_to_string(&page).unwrap_or_default();
        assert_eq!(
            committed,
            said.out,
            "`{}` is old; write it again with BROWNOUT_BLESS=1",
            page.display()
        );
    }
}

/// The README has the tables of incidents as their own page does, from where it stands. `BROWNOUT_BLESS=1` writes them.
#[test]
fn the_readme_has_the_tables_of_incidents() {
    const BEGIN: &str = "<!-- incidents: written by BROWNOUT_BLESS=1 tests -->\n";
    const END: &str = "<!-- end of incidents -->\n";
    let said = brownout(&["list", "incidents", "--markdown"]);
    let themes = said.out.split("\n## ").skip(1).filter(|part| part.contains("| what happened |"));
    let tables: String =
        themes.map(|part| format!("\n**{}", part.replacen('\n', "**\n", 1))).collect();
    let tables = format!("{}\n", tables.replace("](", "](scenarios/incidents/"));
    let page = root().join("README.md");
    let readme = fs::read_to_string(&page).expect("the README is there");
    let (before, rest) = readme.split_once(BEGIN).expect("the tables begin in the README");
    let (committed, after) = rest.split_once(END).expect("they end");
    if std::env::var_os("BROWNOUT_BLESS").is_some() {
        fs::write(&page, [before, BEGIN, &tables, END, after].concat()).expect("it can be written");
    } else {
        assert_eq!(
            committed, tables,
            "the README's tables of incidents are old; write them again with BROWNOUT_BLESS=1"
        );
    }
    assert_eq!(tables.matches("](scenarios/incidents/").count(), 81);
}

#[test]
fn the_schema_is_one_json_document() {
    let said = brownout(&["schema"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let schema: Value = serde_json::from_str(&said.out).expect("a JSON document");
    assert!(schema["properties"]["expect"].is_object(), "{schema}");
}

#[test]
fn no_color_in_a_pipe() {
    for arguments in [&["list"][..], &["explain", "nothing-of-this-name"], &["--help"]] {
        let said = brownout(arguments);
        assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = command_in(root(), &["list", "faults", "--markdown"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built program starts");
    // Closing the pipe before anything is read is what `| head -0` does.
    drop(child.stdout.take());
    let said = said(&child.wait_with_output().expect("it ends"));
    assert_eq!(said.err, "");
    assert_eq!(said.code, Some(0));
}

/// A client that needs nothing but bash.
pub(crate) const CLIENT: &[&str] = &["--", "bash", "tests/clients/one_call.sh"];

/// A scenario that [`CLIENT`] holds: it tries once, and says so when that failed.
const HELD: &str = "
version: 1
name: held
seed: 5
provider: {api: payments}
faults:
  - name: busy
    when: {route: create_charge, chance: 60%}
    inject: {status: {code: 503}}
workload:
  call: create_charge
  operations: 4
  concurrency: 2
  input: {amount: 1999, currency: usd, order: \"order-{{ n }}\"}
  deadline: 20s
expect: [no_lost_operations, failures_surface, bounded_retries: {max_attempts: 3}]
";

/// A scenario that [`CLIENT`] breaks: the answer is lost after the charge, and it says that it failed.
pub(crate) const BROKEN: &str = "
version: 1
name: broken
seed: 5
provider: {api: payments}
faults:
  - {name: lost, when: {route: create_charge}, inject: {reset: {at: after_commit}}}
workload:
  call: create_charge
  operations: 2
  input: {amount: 1999, currency: usd, order: \"order-{{ n }}\"}
  deadline: 20s
expect: [honest_failures, no_double_charges]
";

/// A folder with one scenario, and its path as an argument.
pub(crate) fn folder_with(scenario: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("scenario.yaml");
    fs::write(&path, scenario).expect("written");
    let path = path.to_str().expect("temporary folders have UTF-8 names").to_owned();
    (folder, path)
}

pub(crate) fn document(said: &Said) -> Value {
    serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", said.out, said.err))
}

#[test]
fn a_held_scenario_is_exit_code_0_and_a_document_of_the_promised_shape() {
    let (folder, scenario) = folder_with(HELD);
    let said = run_in(folder.path(), &[&[&*scenario, "--format", "json"], CLIENT].concat());
    let document = document(&said);
    assert_eq!(said.code, Some(0), "{document:#}");
    assert_eq!(document["version"], 1);
    assert_eq!(document["verdict"], "passed");
    let entry = &document["scenarios"][0];
    let keys: Vec<&String> = entry.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "name",
            "file",
            "seed",
            "verdict",
            "reason",
            "control",
            "schedule_hash",
            "faults",
            "operations",
            "requests",
            "retries",
            "effects",
            "money",
            "invariants",
            "reproduce",
            "trace",
            "elapsed_ms",
        ]
    );
    assert_eq!(entry["seed"], 5);
    assert_eq!(entry["control"], "passed");
    assert_eq!(entry["operations"]["total"], 4);
    assert_eq!(entry["requests"], 4);
    let reproduce = format!("brownout run {scenario} --seed 5 -- bash tests/clients/one_call.sh");
    assert_eq!(entry["reproduce"], reproduce);
}

#[test]
fn a_broken_scenario_is_exit_code_1_and_the_report_tells_the_story() {
    let (folder, scenario) = folder_with(BROKEN);
    let said = run_in(folder.path(), &[&[&*scenario], CLIENT].concat());
    assert_eq!(said.code, Some(1), "{}", said.err);
    let first = said.out.lines().next().expect("a first line");
    assert_eq!(first, "2 of 2 operations were reported failed and were done");
    for part in [
        "seed 5",
        "honest_failures · op-0001",
        "expected",
        "seen",
        "fault `lost`: reset, after the commit",
        "committed: charge of 19.99 USD",
        "the client claims `failed`",
        "cure",
        "--seed 5 -- bash tests/clients/one_call.sh",
    ] {
        assert!(said.out.contains(part), "`{part}` is not in: {}", said.out);
    }
    let last = said.out.lines().last().expect("a last line");
    assert!(last.contains("again") && last.contains("--seed 5"), "{last}");
    assert!(said.err.contains("[1/2] broken, control run: passed"), "{}", said.err);
}

/// An answer that never comes.
const SILENT: &str = "
version: 1
name: silent
provider: {api: payments}
faults:
  - {name: silence, when: {route: create_charge}, inject: {hang: {at: after_commit}}}
workload:
  call: create_charge
  input: {amount: 1999, currency: usd, order: \"order-{{ n }}\"}
  deadline: 1s
expect: [client_timeout: {max: 300ms}]
";

#[test]
fn a_suite_that_waits_for_one_answer_is_ended_long_before_a_minute() {
    let (folder, scenario) = folder_with(SILENT);
    let options = [&*scenario, "--mode", "suite", "--no-control", "--format", "json"];
    let order = "BROWNOUT_OPERATION={\"order\":\"order-1\"}";
    let client = ["--", "env", order, "bash", "tests/clients/one_call.sh"];
    let said = run_in(folder.path(), &[&options[..], &client].concat());
    let document = document(&said);
    assert_eq!(said.code, Some(1), "{document:#}");
    let entry = &document["scenarios"][0];
    assert!(entry["elapsed_ms"].as_u64().is_some_and(|ms| ms < 30_000), "{document:#}");
    let message = entry["invariants"][0]["violations"][0]["message"].as_str().expect("a message");
    assert!(message.ends_with("until the harness ended the client"), "{message}");
}

#[test]
fn every_failing_seed_is_named_with_its_command() {
    let (folder, scenario) = folder_with(BROKEN);
    let said = run_in(
        folder.path(),
        &[&[&*scenario, "--seeds", "3", "--jobs", "2", "--seed", "40"], CLIENT].concat(),
    );
    assert_eq!(said.code, Some(1), "{}", said.err);
    for seed in [40, 41, 42] {
        let command = format!("brownout run {scenario} --seed {seed} -- bash");
        assert!(said.out.contains(&command), "`{command}` is not in: {}", said.out);
    }
    assert!(said.out.contains("failed in 3 of 3 seeds"), "{}", said.out);
}

#[test]
fn fail_fast_starts_nothing_after_the_first_failure() {
    let (folder, scenario) = folder_with(BROKEN);
    let options = ["--seeds", "5", "--jobs", "1", "--fail-fast", "--format", "json"];
    let said = run_in(folder.path(), &[&[&*scenario], &options[..], CLIENT].concat());
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(document(&said)["scenarios"].as_array().map(Vec::len), Some(1));
}

#[test]
fn twice_draws_the_same_and_says_so() {
    let (folder, scenario) = folder_with(HELD);
    let said = run_in(folder.path(), &[&[&*scenario, "--twice", "--no-control"], CLIENT].concat());
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    assert!(
        said.out.contains("run twice: the same faults were drawn for all 4 attempts"),
        "{}",
        said.out
    );
    assert!(said.out.contains("control    left out"), "{}", said.out);
}

#[test]
fn a_client_that_crashed_is_exit_code_2_with_its_last_words() {
    let (folder, scenario) = folder_with(HELD);
    let crash = "echo 'cannot open ledger.db' >&2; kill -SEGV $$";
    let said = run_in(folder.path(), &[&scenario, "--format", "json", "--", "sh", "-c", crash]);
    assert_eq!(said.code, Some(2), "{}", said.out);
    let document = document(&said);
    assert_eq!(
        document["scenarios"][0]["reason"],
        "your client sent no request to the mock: it died of signal 11 (SIGSEGV), and the last it wrote \
         to standard error was `cannot open ledger.db`; mend that first"
    );
}

#[test]
fn a_client_that_never_calls_is_exit_code_2_with_the_variable_to_read() {
    let (folder, scenario) = folder_with(HELD);
    let said = run_in(folder.path(), &[&scenario, "--format", "json", "--", "true"]);
    let document = document(&said);
    assert_eq!(said.code, Some(2), "{document:#}");
    let entry = &document["scenarios"][0];
    assert_eq!(entry["verdict"], "inconclusive");
    assert_eq!(entry["control"], "failed");
    let reason = entry["reason"].as_str().expect("a reason");
    assert!(reason.contains("sent no request to the mock"), "{reason}");
    assert!(reason.contains("BROWNOUT_URL"), "{reason}");
}

#[test]
fn what_was_not_exercised_can_be_demanded() {
    let rare = "faults:\n  - name: hinted\n    when: {route: create_charge, chance: 1/1000000}\n    \
                inject: {rate_limited: {retry_after: 1s}}";
    let scenario =
        HELD.replace("faults:", rare).replace("no_lost_operations", "honors_retry_after");
    let (folder, scenario) = folder_with(&scenario);
    let arguments = [&*scenario, "--no-control"];
    assert_eq!(run_in(folder.path(), &[&arguments[..], CLIENT].concat()).code, Some(0));
    let demanding = [&arguments[..], &["--require-exercised"], CLIENT].concat();
    let said = run_in(folder.path(), &demanding);
    assert_eq!(said.code, Some(2), "{}", said.out);
    assert!(said.out.contains("`honors_retry_after` was not exercised by any run"), "{}", said.out);
}

#[test]
fn a_port_in_use_is_exit_code_4() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let (folder, scenario) = folder_with(HELD);
    let said = run_in(folder.path(), &[&[&*scenario, "--port", &port], CLIENT].concat());
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert!(said.err.contains(&port) && said.err.contains("choose another one"), "{}", said.err);
}

#[test]
fn a_second_run_into_the_same_folder_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join(".brownout/payments-calm/1");
    fs::create_dir_all(&run).expect("a folder of the run");
    // This is what a run has in its hands for as long as it writes.
    let mut trace = fs::File::create_new(run.join("trace.jsonl")).expect("a new file");
    trace.write_all(b"of another run").expect("room for a line");
    trace.lock().expect("nobody else has it");
    let second =
        brownout_in(folder.path(), &["run", "payments-calm", "--no-control", "--", "true"]);
    refused(&second, 4, &["another brownout writes to", "--out"]);
    let kept = fs::read_to_string(run.join("trace.jsonl")).expect("it is there");
    assert_eq!(kept, "of another run");
}

#[test]
fn servers_in_one_folder_do_not_meet() {
    let folder = tempfile::tempdir().expect("a folder");
    let servers = [(); 2].map(|()| {
        let mut server = command_in(folder.path(), &["serve", "payments-calm"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(server.stdout.take().expect("piped"));
        let mut ready = String::new();
        out.read_line(&mut ready).expect("it says when it is ready");
        let ready: Value = serde_json::from_str(&ready).expect("a ready line");
        (server, out, ready["trace"].clone())
    });
    assert_ne!(servers[0].2, servers[1].2);
    for (mut server, mut out, trace) in servers {
        signal("TERM", server.id());
        let mut verdict = String::new();
        out.read_to_string(&mut verdict).expect("it ends with its verdict");
        server.wait().expect("it ends");
        let verdict: Value = serde_json::from_str(&verdict).expect("a document");
        assert_eq!(verdict["scenarios"][0]["trace"], trace);
    }
}

#[test]
fn a_report_that_is_lost_is_exit_code_4() {
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = Command::new(program()).args(["list"]).stdout(full).output().expect("it starts");
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{why}");
    assert!(why.contains("standard output could not be written"), "{why}");
}

#[test]
fn shipped_scenarios_run_by_name_where_there_is_no_copy_of_the_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = |arguments: &[&str]| brownout_in(folder.path(), arguments);
    let said = there(&["run", "payments-calm", "--operations", "2", "--no-control", "--", "true"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.out.contains("payments-calm"), "{}", said.out);
    refused(
        &there(&["run", "payments-calm", "sh"]),
        3,
        &["no file or folder `sh`", "write `--` before it"],
    );
    refused(&there(&["serve", "scenarios/payments"]), 3, &["only one can be taken; name one of"]);
}

#[test]
fn an_old_trace_is_judged_again_and_a_cut_one_says_where() {
    let (folder, scenario) = folder_with(BROKEN);
    assert_eq!(run_in(folder.path(), &[&[&*scenario], CLIENT].concat()).code, Some(1));
    let trace = folder.path().join("out/broken/5/trace.jsonl");
    let shown = trace.to_str().expect("UTF-8");
    let again = brownout(&["check", shown, "--format", "json"]);
    assert_eq!(again.code, Some(1), "{}", again.err);
    let again = document(&again);
    assert_eq!(
        again["scenarios"][0]["invariants"][0]["violations"].as_array().map(Vec::len),
        Some(2)
    );

    let text = fs::read_to_string(&trace).expect("readable");
    let lines: Vec<&str> = text.lines().collect();
    let half = lines[lines.len() - 1].len() / 2;
    let cut =
        format!("{}\n{}", lines[..lines.len() - 1].join("\n"), &lines[lines.len() - 1][..half]);
    fs::write(&trace, cut).expect("written");
    let said = brownout(&["check", shown]);
    assert_eq!(said.code, Some(1), "the violations before the cut stand: {}", said.err);
    assert!(said.out.contains(&format!("line {}", lines.len())), "{}", said.out);

    fs::write(&trace, "").expect("written");
    refused(&brownout(&["check", shown]), 3, &["the trace is empty"]);
    fs::write(&trace, "{}\n").expect("written");
    refused(&brownout(&["check", shown]), 3, &["line 1 is no `run_started` event"]);
}

#[test]
fn check_prints_what_a_scenario_draws() {
    let said = brownout(&["check", "scenarios/payments/demo.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    insta::assert_snapshot!("check_demo", said.out);
}

#[test]
fn the_demo_catches_the_careless_and_passes_the_careful() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let said = brownout_in(folder.path(), &["demo"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in [
        "12 of 20 customers would have been charged twice (239.88 USD too much)",
        "20 of 20 operations held; nothing was charged twice",
        "brownout run scenarios/payments -- python3 my_client.py",
    ] {
        assert!(said.out.contains(part), "`{part}` is not in: {}", said.out);
    }
    let left = fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(left, 0, "the demo writes nothing to disk");
    let said = brownout_in(folder.path(), &["demo", "--out", "kept"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let again = brownout_in(folder.path(), &["check", "kept/payments-demo/careless/trace.jsonl"]);
    assert_eq!(again.code, Some(1), "{}{}", again.out, again.err);
}

/// Sends a signal by bash, which has `kill` built in.
fn signal(name: &str, process: u32) {
    let status = Command::new("bash")
        .args(["-c", &format!("kill -{name} {process}")])
        .status()
        .expect("bash starts");
    assert!(status.success());
}

#[test]
fn serve_says_when_it_is_ready_and_ends_with_its_verdict() {
    let (folder, scenario) = folder_with(HELD);
    let out = folder.path().join("out");
    let out = out.to_str().expect("UTF-8");
    for name in ["TERM", "INT"] {
        let mut child = command_in(root(), &["serve", &scenario, "--out", out])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a ready line");
        let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
        let keys: Vec<&String> = ready.as_object().expect("an object").keys().collect();
        let documented =
            ["ready", "run", "scenario", "seed", "url", "api_key", "env", "trace", "control"];
        assert_eq!(keys, documented, "only what is documented");
        let url = ready["url"].as_str().expect("a URL");
        assert_eq!(ready["env"]["PAYMENTS_URL"], *url);
        assert_eq!(ready["env"]["PAYMENTS_API_KEY"], ready["api_key"]);
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
        stream
            .write_all(b"GET /v1/limits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        signal(name, child.id());
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("the verdict");
        let verdict: Value = serde_json::from_str(&rest).expect("one document");
        assert_eq!(verdict["scenarios"][0]["requests"], 1, "{verdict:#}");
        assert_eq!(child.wait().expect("it ends").code(), Some(2), "{verdict:#}");
        let trace = ready["trace"].as_str().expect("a trace");
        assert!(fs::read_to_string(trace).expect("readable").contains("run_finished"));
    }
}

#[test]
fn an_interrupted_run_leaves_a_readable_trace_and_no_orphan() {
    let (folder, scenario) = folder_with(HELD);
    let out = folder.path().join("out");
    // The client tells the test that it runs, and then never ends by itself.
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = door.local_addr().expect("bound").port();
    let client = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -r _ <&3; exec sleep 1000");
    let child = command_in(root(), &["run", &scenario, "--no-control", "--out"])
        .arg(&out)
        .args(["--", "bash", "-c", &client])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built program starts");
    let (mut held, _) = door.accept().expect("the client starts");
    signal("INT", child.id());
    let said = said(&child.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(4), "{}", said.err);
    assert!(said.err.contains("interrupted; the traces written so far"), "{}", said.err);
    // The client's end of the connection closes only when its process is gone.
    let mut rest = Vec::new();
    let closed = held.read_to_end(&mut rest);
    assert!(closed.is_ok() || closed.is_err_and(|it| it.kind() == ErrorKind::ConnectionReset));
    let trace = out.join("held/5/trace.jsonl");
    let again = brownout(&["check", trace.to_str().expect("UTF-8")]);
    assert_eq!(again.code, Some(2), "{}\n{}", again.out, again.err);
}
