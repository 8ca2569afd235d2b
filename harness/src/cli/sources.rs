//! Finding scenario files: what the user named, as files with their text.
//!
//! Knows nothing about what stands in a scenario.
//! **Invariant:** files come in a fixed order (as named, folders sorted by path), whatever the file system
//! says first.

use std::fs;
use std::path::{Path, PathBuf};

use super::refusal::Refusal;

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

/// Reads every named file and every scenario in the named folders.
///
/// # Errors
/// A path does not exist or cannot be read, or a folder holds no scenario.
pub fn read(named: &[PathBuf]) -> Result<Vec<Source>, Refusal> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in named {
        for found in files(path)? {
            if !paths.contains(&found) {
                paths.push(found);
            }
        }
    }
    paths.iter().map(|path| read_file(path)).collect()
}

fn files(named: &Path) -> Result<Vec<PathBuf>, Refusal> {
    if !named.exists() {
        return Err(Refusal::usage(format!(
            "no file or folder `{}`; check the path, it counts from the current folder",
            named.display()
        )));
    }
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
    fn what_is_not_there_is_refused_with_a_cure() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let none = read(&[folder.path().join("none.yaml")]).expect_err("it is not there");
        assert!(none.message.starts_with("no file or folder"), "{none}");
        let empty = read(&[folder.path().to_owned()]).expect_err("it holds nothing");
        assert!(empty.message.contains("end in `.yaml`"), "{empty}");
    }
}
