//! Failures that were found, kept as scenario files.
//!
//! **Invariant:** a file that was written here is read here, and is one that `brownout run` takes too.

use std::any::Any;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proptest::test_runner::{FailurePersistence, PersistedSeed};
use sha2::{Digest, Sha256};

use super::drawn::Drawn;
use crate::scenario::{Apis, Overrides, read};

/// The line before a file in the debug form of a drawn scenario.
pub(super) const BEGIN: &str = "---";
/// The line after it.
pub(super) const END: &str = "...";

/// The longest stem of a file's name.
const LONGEST_STEM: usize = 60;

/// Keeps what `proptest!` finds as scenario files in a folder, which is created when need be.
///
/// The files are replayed by [`super::Scenarios::replaying`]; the seeds that proptest would keep are not
/// needed beside them.
///
/// ```
/// use brownout::strategy::Regressions;
/// use proptest::prelude::ProptestConfig;
///
/// let config = ProptestConfig {
///     failure_persistence: Some(Box::new(Regressions::in_folder("tests/regressions"))),
///     ..ProptestConfig::with_cases(100)
/// };
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regressions {
    folder: PathBuf,
}

impl Regressions {
    /// Keeps them in this folder. A path that does not begin with a slash counts from the folder in which
    /// tests run: that of the package.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl FailurePersistence for Regressions {
    fn load_persisted_failures2(&self, _: Option<&'static str>) -> Vec<PersistedSeed> {
        Vec::new()
    }

    #[expect(
        clippy::print_stderr,
        reason = "proptest asks for no result, and a lost failure is news"
    )]
    fn save_persisted_failure2(
        &mut self,
        _: Option<&'static str>,
        _: PersistedSeed,
        value: &dyn fmt::Debug,
    ) {
        for text in files_in(&format!("{value:?}")) {
            match save(&self.folder, &text, &[]) {
                Ok(path) => eprintln!("brownout: kept as {}", path.display()),
                Err(error) => {
                    eprintln!("brownout: cannot keep it in {}: {error}", self.folder.display());
                }
            }
        }
    }

    fn box_clone(&self) -> Box<dyn FailurePersistence> {
        Box::new(self.clone())
    }

    fn eq(&self, other: &dyn FailurePersistence) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self == other)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The files in the debug form of whatever a test received.
fn files_in(debug: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut rest = debug;
    while let Some((_, after)) = rest.split_once(&format!("\n{BEGIN}\n")) {
        let Some((file, after)) = after.split_once(&format!("\n{END}")) else { break };
        files.push(format!("{file}\n"));
        rest = after;
    }
    files
}

/// Writes a file whose name follows from its text, with comments on top.
pub(super) fn save(folder: &Path, text: &str, story: &[String]) -> io::Result<PathBuf> {
    let name = text.lines().find_map(|line| line.strip_prefix("name: ")).unwrap_or("scenario");
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let stem: String = name.chars().filter(plain).take(LONGEST_STEM).collect();
    let digest = Sha256::digest(text.as_bytes());
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{stem}-{mark}.yaml"));
    let mut whole = String::from("# Found by chance and shrunk; tests replay it first.\n");
    for line in story {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        whole.push_str("# ");
        whole.push_str(line.trim_end());
        whole.push('\n');
    }
    whole.push_str(text);
    fs::write(&path, whole)?;
    Ok(path)
}

/// What a folder keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The scenarios of the name that was asked for, in the order of their files.
    pub(super) drawn: Vec<Drawn>,
    /// How many files have scenarios of other names.
    pub(super) others: u64,
}

/// The scenarios of that name in a folder; none where there is no folder.
pub(super) fn load(folder: &Path, name: &str) -> Result<Kept, String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(format!("cannot read `{}`: {error}", folder.display())),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    paths.sort();
    let mut kept = Kept::default();
    for path in paths {
        let bytes = fs::read(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        // The API is named as the test's own scenario names it, which counts from where tests run.
        let apis = Apis::Beside(Path::new("."));
        let checked = read(&path.display().to_string(), &bytes, apis, &Overrides::default());
        let scenario = checked.into_result().map_err(|wrong| wrong.to_string())?;
        if scenario.name == name {
            kept.drawn.push(Drawn::new(scenario));
        } else {
            kept.others += 1;
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_among_whatever_else_a_test_received() {
        let one = format!("\n{BEGIN}\nversion: 1\nname: a\n{END}");
        let other = format!("\n{BEGIN}\nversion: 1\nname: b\n{END}");
        let debug = format!("(case = {one}, number = 3, other = {other})");
        assert_eq!(files_in(&debug), ["version: 1\nname: a\n", "version: 1\nname: b\n"]);
        assert_eq!(files_in("case = 3"), Vec::<String>::new());
    }

    #[test]
    fn a_folder_that_is_not_there_keeps_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(
            load(&folder.path().join("nowhere"), "any").expect("nothing is wrong").drawn.is_empty()
        );
    }
}
