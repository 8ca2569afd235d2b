//! Finding scenario files: what the user named, as files with their text.
//!
//! Knows nothing about what stands in a scenario.
//! **Invariant:** files come in a fixed order (as named, folders sorted by path), whatever the file system
//! says first.

use std::fs;
use std::path::{Path, PathBuf};

use super::executable;
use super::refusal::Refusal;
use crate::scenario::shipped::{self, Shipped};

/// The largest scenario that is read: 1 MiB. One byte more is read to notice a larger one.
const LARGEST_BYTES: u64 = 1 << 20;

/// How deep folders are searched.
const DEEPEST_FOLDER: usize = 16;

/// A scenario file and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the user would write it.
    pub path: PathBuf,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Source {
    /// A scenario that is inside the program, at its path in a copy of the project.
    #[must_use]
    pub fn shipped(shipped: &Shipped) -> Self {
        let path = PathBuf::from("scenarios").join(shipped.path);
        Self { path, bytes: shipped.text.as_bytes().to_vec() }
    }
}

/// Reads every named file and every scenario in the named folders. Where there is no such path, the name, the
/// path or the folder of scenarios that are inside the program will do: `payments-calm`,
/// `scenarios/payments/calm.yaml`, `scenarios/payments`, `payments`.
///
/// # Errors
/// A path does not exist or cannot be read, or a folder holds no scenario.
pub fn read(named: &[PathBuf]) -> Result<Vec<Source>, Refusal> {
    let mut sources: Vec<Source> = Vec::new();
    for path in named {
        for source in find(path)? {
            if !sources.iter().any(|known| known.path == source.path) {
                sources.push(source);
            }
        }
    }
    Ok(sources)
}

/// Reads the one scenario that is named.
///
/// # Errors
/// As [`read`], and where a folder holds more than one.
pub fn read_one(named: &Path) -> Result<Source, Refusal> {
    let mut found = read(&[named.to_owned()])?;
    match found.pop() {
        Some(one) if found.is_empty() => Ok(one),
        last => {
            let paths: Vec<String> =
                found.iter().chain(&last).map(|one| format!("`{}`", one.path.display())).collect();
            Err(Refusal::usage(format!(
                "`{}` holds {} scenarios and only one can be taken; name one of {}",
                named.display(),
                paths.len(),
                paths.join(", ")
            )))
        }
    }
}

fn find(named: &Path) -> Result<Vec<Source>, Refusal> {
    if named.exists() {
        return files(named)?.iter().map(|path| read_file(path)).collect();
    }
    let inside: Vec<Source> =
        shipped::matching(&named.to_string_lossy()).map(Source::shipped).collect();
    if !inside.is_empty() {
        return Ok(inside);
    }
    let search_path = std::env::var_os("PATH");
    let cure = if executable::find(named.as_os_str(), search_path.as_deref()).is_some() {
        "if it is your client, write `--` before it: `brownout run SCENARIO -- COMMAND`"
    } else {
        "check the path, it counts from the current folder, or name a scenario of `brownout list`"
    };
    Err(Refusal::usage(format!("no file or folder `{}`; {cure}", named.display())))
}

fn files(named: &Path) -> Result<Vec<PathBuf>, Refusal> {
    if !named.is_dir() {
        return Ok(vec![named.to_owned()]);
    }
    let mut found = Vec::new();
    collect(named, DEEPEST_FOLDER, &mut found)?;
    found.sort();
    if found.is_empty() {
        return Err(Refusal::usage(format!(
            "no scenario in the folder `{}`; scenarios are files that end in `.yaml` or `.yml`",
            named.display()
        )));
    }
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Refusal> {
    let unreadable = |error: std::io::Error| {
        Refusal::usage(format!(
            "cannot read the folder `{}`: {error}; check its permissions",
            folder.display()
        ))
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found)?;
            }
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads one file.
///
/// # Errors
/// It cannot be read.
pub fn read_file(path: &Path) -> Result<Source, Refusal> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            Refusal::usage(format!(
                "cannot read `{}`: {error}; check the path and its permissions",
                path.display()
            ))
        })?;
    Ok(Source { path: path.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_scenarios_in_order_and_each_once() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        for name in ["b.yaml", "a.yml", "note.md", ".hidden.yaml", "deep/c.yaml"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, "x").expect("written");
        }
        let root = folder.path().to_owned();
        let found = read(&[root.clone(), root.join("b.yaml")]).expect("readable");
        let names: Vec<_> =
            found.iter().map(|it| it.path.strip_prefix(&root).expect("inside")).collect();
        assert_eq!(names, [Path::new("a.yml"), Path::new("b.yaml"), Path::new("deep/c.yaml")]);
    }

    #[test]
    fn what_is_inside_the_program_needs_no_file() {
        let paths = |named: &str| -> Vec<String> {
            let found = read(&[PathBuf::from(named)]).expect("it is inside");
            found.iter().map(|one| one.path.display().to_string()).collect()
        };
        assert_eq!(paths("payments-calm"), ["scenarios/payments/calm.yaml"]);
        assert_eq!(paths("scenarios/payments/calm.yaml"), ["scenarios/payments/calm.yaml"]);
        let folder = paths("scenarios/openai/");
        assert!(folder.len() > 5 && folder.iter().all(|one| one.starts_with("scenarios/openai/")));
        assert_eq!(paths("openai"), folder);
        assert!(folder.is_sorted());
    }

    #[test]
    fn a_command_without_dashes_before_it_is_told_so() {
        let refused = read(&[PathBuf::from("sh")]).expect_err("it is no scenario");
        assert!(refused.message.contains("write `--` before it"), "{refused}");
    }

    #[test]
    fn what_is_not_there_is_refused_with_a_cure() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let none = read(&[folder.path().join("none.yaml")]).expect_err("it is not there");
        assert!(none.message.starts_with("no file or folder"), "{none}");
        let empty = read(&[folder.path().to_owned()]).expect_err("it holds nothing");
        assert!(empty.message.contains("end in `.yaml`"), "{empty}");
    }
}
