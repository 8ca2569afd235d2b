//! Scenario files that brownout writes: where they go, and how they name an API file of the user's.
//!
//! **Invariant:** a file that is written reads the same API as the scenario it came from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::refusal::Refusal;
use crate::scenario::Scenario;

/// Writes a new scenario file. One that is there already is left alone: it may be what this one came from.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn write(file: &Path, text: &str) -> Result<(), Refusal> {
    is_free(file)?;
    File::create_new(file).and_then(|mut new| new.write_all(text.as_bytes())).map_err(|error| {
        Refusal::harness(format!(
            "cannot write `{}`: {error}; choose another file with `--write`",
            file.display()
        ))
    })
}

/// Refuses a file that could not be written as a new one, before anybody has worked for it.
///
/// # Errors
/// It is there already, or its folder is not.
pub fn is_free(file: &Path) -> Result<(), Refusal> {
    let shown = file.display();
    if file.exists() {
        return Err(Refusal::usage(format!(
            "`{shown}` is there already and stays as it is; choose another file with `--write`"
        )));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(Refusal::usage(format!(
            "there is no folder `{}` for `{shown}`; make it, or choose another file with `--write`",
            folder.display()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The APIs of a scenario that came from `file`, by how it names them, as a scenario in `folder` has to name
/// them; none where the scenario's own way leads there too.
#[must_use]
pub fn apis_from(scenario: &Scenario, file: &Path, folder: &Path) -> BTreeMap<String, String> {
    let from = beside(file.parent().unwrap_or(Path::new("")));
    let is_same = || Some(from.canonicalize().ok()? == beside(folder).canonicalize().ok()?);
    let moved = |name: &String| {
        let path = from.join(name);
        let is_file = brownout_provider::api::shipped(name).is_none() && path.is_file();
        let full = path.canonicalize().ok().filter(|_| is_file)?;
        (!is_same()?).then(|| (name.clone(), full.display().to_string()))
    };
    scenario.providers.values().filter_map(|provider| moved(&provider.api_name)).collect()
}

fn beside(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_stays_and_a_folder_that_is_not_is_told_before() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let file = folder.path().join("one.yaml");
        write(&file, "first").expect("a new file");
        let there = write(&file, "second").expect_err("it is there");
        assert!(there.message.contains("is there already and stays as it is"), "{there}");
        assert_eq!(std::fs::read_to_string(&file).expect("written"), "first");
        let none = is_free(&folder.path().join("none/one.yaml")).expect_err("no such folder");
        assert!(none.message.contains("there is no folder"), "{none}");
    }
}
