//! The page that shows how to write an API of one's own says what is true: its files run as they stand.
//!
//! **Invariant:** what runs here is the text of the page, and nothing else.

use std::fs;
use std::path::Path;

use crate::brownout::root;
use crate::cli::{brownout_in, document};

/// The files of the page: every block of code whose first line names one.
fn write_files(folder: &Path) -> Vec<String> {
    let page = fs::read_to_string(root().join("harness/reference/own-api.md")).expect("the page");
    let mut written = Vec::new();
    for block in page.split("```").skip(1).step_by(2) {
        let text = block.split_once('\n').map_or("", |(_, text)| text);
        let Some(name) = text.lines().next().and_then(|line| line.strip_prefix("# ")) else {
            continue;
        };
        fs::write(folder.join(name), text).expect("it can be written");
        written.push(name.to_owned());
    }
    written
}

#[test]
fn the_api_of_the_page_is_forty_lines_and_judges_a_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = write_files(folder.path());
    assert_eq!(files, ["tickets.yaml", "lost.yaml", "sell.py"]);
    let api = fs::read_to_string(folder.path().join("tickets.yaml")).expect("written");
    assert!(api.lines().count() <= 40, "{} lines", api.lines().count());

    let check = brownout_in(folder.path(), &["check", "lost.yaml"]);
    assert_eq!(check.code, Some(0), "{}{}", check.out, check.err);
    let run = ["run", "lost.yaml", "--format", "json", "--", "python3", "sell.py"];
    let good = brownout_in(folder.path(), &run);
    assert_eq!(good.code, Some(0), "{}{}", good.out, good.err);
    let entry = &document(&good)["scenarios"][0];
    assert_eq!((&entry["effects"]["seat"], &entry["control"]), (&5.into(), &"passed".into()));

    // A new name in each attempt: what the page warns of.
    let client = folder.path().join("sell.py");
    let text = fs::read_to_string(&client).expect("written");
    let spoiled = text.replace("job[\"input\"][\"order\"]\n", "f\"{os.getpid()}-{attempt}\"\n");
    assert_ne!(spoiled, text);
    fs::write(&client, spoiled).expect("it can be written");
    let bad = brownout_in(folder.path(), &run);
    assert_eq!(bad.code, Some(1), "{}{}", bad.out, bad.err);
    let found = document(&bad)["scenarios"][0]["invariants"][0].clone();
    assert_eq!(
        (&found["name"], &found["verdict"]),
        (&"no_double_charges".into(), &"failed".into())
    );
}
