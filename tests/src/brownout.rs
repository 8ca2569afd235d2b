//! Runs the built `brownout` as its users do, and reads the document that it prints.
//!
//! It knows where cargo puts the program and what the JSON document looks like, not what a test expects.
//! **Invariant:** every run writes into a folder of its own and leaves nothing behind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The root of the clone: tests name scenarios and clients from here, as a user in a shell would.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace")
}

/// The program, built in the same profile as these tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("a running test has a path");
    let profile = tests.ancestors().nth(2).expect("tests lie in PROFILE/deps");
    let program = profile.join("brownout");
    assert!(
        program.is_file(),
        "`{}` is not built; run `tests/run`, or `cargo build` in the profile of these tests",
        program.display()
    );
    program
}

/// A Python with the SDKs of the lock file.
pub(crate) fn python() -> OsString {
    std::env::var_os("BROWNOUT_TEST_PYTHON").expect(
        "these tests run real SDKs and need the Python environment that `tests/run` makes; run `tests/run` \
         (or set BROWNOUT_TEST_PYTHON to a Python with tests/clients/requirements.lock installed)",
    )
}

/// What a run of `brownout run --format json` came to.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// The document on stdout.
    pub(crate) document: Value,
    /// All that was printed, for the message of a test that fails.
    pub(crate) printed: String,
}

/// `brownout run SCENARIOS… ARGUMENTS… --format json -- COMMAND…`, with more in the environment.
pub(crate) fn run(arguments: &[&str], command: &[OsString], environment: &[(&str, &str)]) -> Run {
    let out = tempfile::tempdir().expect("a folder for the traces");
    let output = Command::new(program())
        .current_dir(root())
        .arg("run")
        .args(arguments)
        .args(["--format", "json", "--out"])
        .arg(out.path())
        .arg("--")
        .args(command)
        .envs(environment.iter().copied())
        .output()
        .expect("brownout starts");
    let printed = format!(
        "brownout run {}\nexit: {}\nstdout:\n{}\nstderr:\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON document on stdout ({error}):\n{printed}"));
    Run { code: output.status.code(), document, printed }
}

impl Run {
    /// The entries of the document, one a scenario and seed.
    pub(crate) fn entries(&self) -> &[Value] {
        let entries = self.document["scenarios"].as_array();
        entries.unwrap_or_else(|| panic!("the document has no scenarios:\n{}", self.printed))
    }

    /// The entry of a run that has one.
    pub(crate) fn only(&self) -> &Value {
        assert_eq!(self.entries().len(), 1, "one scenario, one seed:\n{}", self.printed);
        &self.entries()[0]
    }
}

/// The verdict of an invariant in an entry.
pub(crate) fn verdict<'a>(entry: &'a Value, invariant: &str) -> &'a str {
    let all = entry["invariants"].as_array().expect("an entry lists its invariants");
    let found = all.iter().find(|one| one["name"] == invariant);
    found.and_then(|one| one["verdict"].as_str()).unwrap_or("not expected")
}

/// The names of the invariants that failed in an entry.
pub(crate) fn failed(entry: &Value) -> Vec<&str> {
    let all = entry["invariants"].as_array().expect("an entry lists its invariants");
    let failed = all.iter().filter(|one| one["verdict"] == "failed");
    failed.filter_map(|one| one["name"].as_str()).collect()
}

/// The effects of all kinds in an entry.
pub(crate) fn effects(entry: &Value) -> u64 {
    let kinds = entry["effects"].as_object().expect("an entry counts its effects by kind");
    kinds.values().map(|count| count.as_u64().expect("a count is a number")).sum()
}
