//! The folder where traces are kept.
//!
//! A run of one scenario and seed always writes to the same place, so that a repeated run replaces its own
//! trace and nothing else.
//! **Invariant:** the folder is the user's alone (mode 0700) and invisible to git, because traces hold what
//! clients sent.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::refusal::Refusal;

/// Where the traces of one invocation go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutDir {
    root: PathBuf,
}

impl OutDir {
    /// Makes the folder, or takes the one that is there.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn open(root: &Path) -> Result<Self, Refusal> {
        let refuse = |error: io::Error| {
            Refusal::harness(format!(
                "cannot write traces to `{}`: {error}; choose another folder with `--out`",
                root.display()
            ))
        };
        if root.exists() && !root.is_dir() {
            return Err(Refusal::harness(format!(
                "cannot write traces to `{}`: it is a file; choose another folder with `--out`",
                root.display()
            )));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(refuse)?;
        let ignore = root.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(refuse)?;
        }
        let probe = root.join(".writable");
        fs::write(&probe, "").and_then(|()| fs::remove_file(&probe)).map_err(refuse)?;
        Ok(Self { root: root.to_owned() })
    }

    /// The folder of one run, made anew: `<scenario>/<run>`, such as `lost-response/42`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn of_run(&self, scenario: &str, run: &str) -> Result<PathBuf, Refusal> {
        let folder = self.root.join(file_name(scenario)).join(file_name(run));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
            Refusal::harness(format!(
                "cannot make the folder `{}`: {error}; choose another one with `--out`",
                folder.display()
            ))
        })?;
        Ok(folder)
    }
}

/// A name that is one plain file name on every system.
fn file_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect();
    if plain.trim_matches('.').is_empty() { format!("_{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_private_and_ignored() {
        let parent = tempfile::tempdir().expect("a folder for temporary files");
        let root = parent.path().join("a/b");
        let out = OutDir::open(&root).expect("it can be made");
        assert_eq!(fs::metadata(&root).expect("made").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(root.join(".gitignore")).expect("written"), "*\n");
        assert!(out.of_run("x/../y", "42").expect("made").starts_with(&root));
        assert_eq!(OutDir::open(&root).expect("it is there"), out);
    }

    #[test]
    fn names_never_leave_the_folder() {
        for (name, expected) in
            [("..", "_.."), ("a/b", "a_b"), ("lost-response", "lost-response"), ("", "_")]
        {
            assert_eq!(file_name(name), expected);
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().expect("a folder for temporary files");
        let root = parent.path().join("file");
        fs::write(&root, "x").expect("writable");
        let refusal = OutDir::open(&root).expect_err("a file is no folder");
        assert!(refusal.message.contains("it is a file; choose another folder with `--out`"));
    }
}
