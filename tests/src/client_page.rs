//! The page that shows how a client is driven says what is true: its programs run as they stand, and every
//! variable that a client finds is named.
//!
//! **Invariant:** what runs here is the text of the page, and nothing else.

use std::fs;

use brownout_provider::event::Mode;

use crate::brownout::root;
use crate::cli::{brownout_in, document};
use crate::drive::{drive, scenario, shell};

fn page() -> String {
    fs::read_to_string(root().join("harness/reference/clients.md")).expect("the page")
}

#[test]
fn the_programs_of_the_page_do_their_work_and_are_believed() {
    let page = page();
    let programs: Vec<&str> = page.split("```python\n").skip(1).collect();
    let modes = [("exec", 6), ("stdio", 6), ("suite", 1)];
    assert_eq!(programs.len(), modes.len());
    let folder = tempfile::tempdir().expect("a folder");
    for (program, (mode, succeeded)) in programs.into_iter().zip(modes) {
        let text = program.split("```").next().expect("there is a first part");
        fs::write(folder.path().join("client.py"), text).expect("it can be written");
        let run = ["run", "payments-calm", "--mode", mode, "--format", "json"];
        let run = [&run[..], &["--", "python3", "client.py"]].concat();
        let ran = brownout_in(folder.path(), &run);
        assert_eq!(ran.code, Some(0), "{mode}: {}{}", ran.out, ran.err);
        let entry = &document(&ran)["scenarios"][0];
        assert_eq!(entry["operations"]["succeeded"], succeeded, "{mode}");
    }
}

#[test]
fn every_variable_that_a_client_finds_stands_on_the_page() {
    let page = page();
    let names = "env | grep ^BROWNOUT_ | cut -d= -f1";
    let script =
        format!("read -r line; {names}; echo '{{\"id\":\"op-0001\",\"outcome\":\"failed\"}}'");
    for (mode, script) in [(Mode::Exec, names), (Mode::Stdio, script.as_str())] {
        let driven = drive(&scenario(1), mode, shell(script)).expect("it runs");
        let found = driven.output("stdout");
        assert!(found.len() >= 4, "{found:?}");
        // What the tests themselves are told is inherited like everything else.
        for name in found.into_iter().filter(|name| !name.starts_with("BROWNOUT_TEST")) {
            assert!(page.contains(&format!("`{name}`")), "{name} in {mode:?}");
        }
    }
}
