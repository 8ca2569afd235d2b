//! Finding the command under test before anything runs.
//!
//! **Invariant:** a command that cannot be started is refused with its reason before the first run, so
//! that it never looks like a client that made no request.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::refusal::Refusal;

/// Refuses a command that the operating system could not start.
///
/// # Errors
/// The command is empty (wrong command line), not found, a folder, or not executable.
pub fn require(command: &[OsString], search_path: Option<&OsStr>) -> Result<(), Refusal> {
    let Some(program) = command.first() else {
        return Err(Refusal::usage(
            "no command stands after `--`; add the client to drive: `brownout run SCENARIO -- python3 my_client.py`",
        ));
    };
    let name = program.to_string_lossy();
    if name.is_empty() {
        return Err(Refusal::usage("the command after `--` is empty; name the client to drive"));
    }
    if name.contains('/') {
        return require_file(Path::new(program));
    }
    let found = on_path(program, search_path);
    if found.iter().any(|path| access(path, AccessFlags::X_OK).is_ok()) {
        return Ok(());
    }
    match found.first() {
        Some(path) => require_file(path),
        None if Path::new(program).is_file() => Err(Refusal::harness(format!(
            "no command `{name}` on the search path; a file of this name is here: write `./{name}`"
        ))),
        None => Err(Refusal::harness(format!(
            "no command `{name}` on the search path; install it, or give its path"
        ))),
    }
}

/// The file of a program, as the system would find it.
#[must_use]
pub fn find(program: &OsStr, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    on_path(program, search_path).into_iter().find(|path| access(path, AccessFlags::X_OK).is_ok())
}

/// Every file of that name on a search path, the first to be taken first.
fn on_path(name: &OsStr, search_path: Option<&OsStr>) -> Vec<PathBuf> {
    std::env::split_paths(search_path.unwrap_or_default())
        .map(|folder| folder.join(name))
        .filter(|path| path.is_file())
        .collect()
}

fn require_file(path: &Path) -> Result<(), Refusal> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Refusal::harness(format!("`{shown}` is a folder; name a program in it")));
    }
    if !path.exists() {
        return Err(Refusal::harness(format!(
            "no command `{shown}`; check the path, it counts from the current folder"
        )));
    }
    if access(path, AccessFlags::X_OK).is_err() {
        let cure = match path.extension().and_then(OsStr::to_str) {
            Some("py") => format!("run it with `-- python3 {shown}`, or `chmod +x {shown}`"),
            Some("js" | "mjs") => format!("run it with `-- node {shown}`, or `chmod +x {shown}`"),
            _ => format!("`chmod +x {shown}` makes it so"),
        };
        return Err(Refusal::harness(format!("`{shown}` is not executable; {cure}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::*;

    fn refused(words: &[&str]) -> Refusal {
        let command: Vec<OsString> = words.iter().map(OsString::from).collect();
        require(&command, Some(OsStr::new("/bin:/usr/bin"))).expect_err("it cannot be started")
    }

    #[test]
    fn every_kind_of_impossible_command_has_its_own_sentence() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let script = folder.path().join("client.py");
        std::fs::write(&script, "pass").expect("writable");
        let script = script.to_str().expect("UTF-8");
        for (words, exit, part) in [
            (&[][..], Exit::Usage, "no command stands after `--`"),
            (&["brownout-does-not-exist"][..], Exit::Harness, "on the search path; install it"),
            (&["./does/not/exist"][..], Exit::Harness, "no command `./does/not/exist`"),
            (&["/tmp"][..], Exit::Harness, "is a folder"),
            (&[script][..], Exit::Harness, "is not executable; run it with `-- python3"),
        ] {
            let refusal = refused(words);
            assert_eq!(refusal.exit, exit, "{refusal}");
            assert!(refusal.message.contains(part), "{refusal}");
        }
    }

    #[test]
    fn a_program_on_the_search_path_is_found() {
        let command = [OsString::from("sh")];
        assert_eq!(require(&command, Some(OsStr::new("/bin:/usr/bin"))), Ok(()));
    }
}
