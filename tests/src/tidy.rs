//! The shape of the code, held by a test: floors, openings, lengths, and words that do not belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages whose modules stand on floors.
const PACKAGES: [&str; 2] = ["mock-provider/src", "harness/src"];

/// No file of code is longer, so that each can be read in one sitting.
const LONGEST_FILE: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_owned()
}

fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "__pycache__" {
                files_below(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files_below(&root().join(folder), ".rs", &mut found);
    found.sort();
    assert!(!found.is_empty(), "no sources below {folder}");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            (path, text)
        })
        .collect()
}

/// The first part of a file's path below `src`: the module that it belongs to.
fn module_of(path: &Path, folder: &str) -> String {
    let below = path.strip_prefix(root().join(folder)).expect("it was found there");
    let first = below.components().next().expect("a file has a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments (which may point anywhere) and its tests.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The floors of a package, lowest first, as the table at the top of its `lib.rs` draws them; modules of
/// one row share a floor.
fn floors(folder: &str) -> Vec<Vec<String>> {
    let text =
        fs::read_to_string(root().join(folder).join("lib.rs")).expect("a library has a root");
    let rows = text.lines().filter_map(|line| modules_of_row(line.strip_prefix("//! ")?));
    let floors: Vec<Vec<String>> = rows.collect();
    assert!(floors.len() > 2, "{folder}/lib.rs draws no table of floors");
    floors
}

/// The modules that a row of a table of floors names; `None` for every other line.
fn modules_of_row(line: &str) -> Option<Vec<String>> {
    let cell = line.strip_prefix("| ")?.split('|').nth(1)?.trim();
    let names = cell.split(" (").next()?.split_whitespace();
    let modules: Option<Vec<String>> =
        names.map(|name| Some(name.strip_prefix('`')?.strip_suffix('`')?.to_owned())).collect();
    modules.filter(|modules| !modules.is_empty())
}

fn floor_of(floors: &[Vec<String>], module: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.iter().any(|one| one == module))
}

#[test]
fn imports_only_point_down() {
    let mut wrong = Vec::new();
    for folder in PACKAGES {
        let floors = floors(folder);
        for (path, text) in sources(folder) {
            let module = module_of(&path, folder);
            if module == "lib" || module == "main" {
                continue;
            }
            let Some(own) = floor_of(&floors, &module) else {
                wrong.push(format!("{folder}: `{module}` stands on no floor"));
                continue;
            };
            let code = code_of(&text);
            for (index, _) in code.match_indices("crate::") {
                let rest = &code[index + "crate::".len()..];
                let used: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if floor_of(&floors, &used).is_some_and(|floor| floor > own) {
                    wrong.push(format!("{}: uses `{used}` from above", path.display()));
                }
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every module of a package stands on exactly one floor, and ARCHITECTURE.md draws the same floors.
#[test]
fn the_floors_are_drawn_as_they_are() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page is there");
    let mut drawn: Vec<Vec<String>> = page.lines().filter_map(modules_of_row).collect();
    for folder in PACKAGES {
        let floors = floors(folder);
        let mut named: Vec<String> = floors.iter().flatten().cloned().collect();
        named.sort();
        let mut modules: Vec<String> = sources(folder)
            .iter()
            .map(|(path, _)| module_of(path, folder))
            .filter(|module| module != "lib" && module != "main")
            .collect();
        modules.sort();
        modules.dedup();
        assert_eq!(named, modules, "{folder}/lib.rs");
        let rest = drawn.split_off(floors.len().min(drawn.len()));
        assert_eq!(drawn, floors, "ARCHITECTURE.md and {folder}/lib.rs");
        drawn = rest;
    }
    assert_eq!(drawn, Vec::<Vec<String>>::new(), "floors of no package");
}

#[test]
fn every_file_says_what_it_is_for_and_can_be_read_in_one_sitting() {
    let mut wrong = Vec::new();
    for folder in ["mock-provider/src", "harness/src", "tests/src"] {
        for (path, text) in sources(folder) {
            if !text.starts_with("//!") {
                wrong.push(format!("{}: does not begin with `//!`", path.display()));
            }
            if text.lines().count() > LONGEST_FILE {
                wrong.push(format!("{}: longer than {LONGEST_FILE} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sockets_and_hyper_stand_in_the_shell_in_drivers_and_in_the_control_api_only() {
    let mut wrong = Vec::new();
    for (folder, allowed) in
        [("mock-provider/src", &["shell"][..]), ("harness/src", &["drive", "serve"][..])]
    {
        for (path, text) in sources(folder) {
            let module = module_of(&path, folder);
            let code = code_of(&text);
            let names = ["hyper::", "TcpStream", "TcpListener"];
            if !allowed.contains(&module.as_str()) && names.iter().any(|name| code.contains(name)) {
                wrong.push(format!("{}: knows of sockets or hyper", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_unfinished_is_left_lying_about() {
    let words =
        [concat!("FIX", "ME"), concat!("XX", "X:"), concat!("todo", "!("), concat!("#[ign", "ore")];
    let mut wrong = Vec::new();
    for folder in ["mock-provider/src", "harness/src", "tests/src"] {
        for (path, text) in sources(folder) {
            for word in words.iter().filter(|word| text.contains(**word)) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How many packages are compiled for these features of the library.
fn packages(features: &[&str]) -> usize {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "brownout",
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "--locked",
            "--offline",
        ])
        .args(features)
        .current_dir(root())
        .output()
        .expect("cargo starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A package that stands in the tree again has a mark behind it.
    let named = told.lines().filter_map(|line| line.split_once(" v").zip(line.split(' ').nth(1)));
    let all: BTreeSet<(&str, &str)> = named.map(|((name, _), version)| (name, version)).collect();
    all.len()
}

#[test]
fn what_a_user_compiles_stays_small() {
    let (library, program) = (packages(&["--no-default-features"]), packages(&[]));
    assert!(library > 10 && library < 90, "the library alone has {library} packages");
    assert!(program > library && program < 150, "the command line has {program} packages");
}
