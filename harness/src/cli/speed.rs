//! `--speed N`: whether this machine and this program can do it, before anything runs.
//!
//! It looks for libfaketime and at the file of the command: a program without a dynamic loader, or one that
//! runs as another user, ignores what is loaded before it, and would silently keep the machine's clock.
//! **Invariant:** a program whose clock could not be made faster is refused, never run at the wrong speed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::executable;
use super::refusal::Refusal;
use crate::drive::speed::Speed;

/// Where distributions put it, in its form for programs with several threads.
const LIBRARIES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib/arm-linux-gnueabihf/faketime/libfaketimeMT.so.1",
];

/// The variable that names it where it stands elsewhere.
const VARIABLE: &str = "BROWNOUT_LIBFAKETIME";

/// How many interpreters may stand before each other.
const INTERPRETERS: usize = 4;

/// The bits of a file's mode that make it run as another user or group.
const OTHER_USER: u32 = 0o6000;

/// Finds libfaketime and looks at the command, which is known to be there.
///
/// # Errors
/// libfaketime is missing, or the command's file cannot be preloaded.
pub fn prepare(
    factor: u32,
    command: &[OsString],
    search_path: Option<&OsStr>,
) -> Result<Speed, Refusal> {
    if command.is_empty() {
        return Err(Refusal::usage(
            "`--speed` gives a faster clock to what brownout starts; name the command after `--`, or leave it out",
        ));
    }
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let library = library(named)?;
    let program = command.first().and_then(|program| executable::find(program, search_path));
    if let Some(program) = program {
        can_be_preloaded(&program, search_path)?;
    }
    Ok(Speed { factor, library })
}

fn library(named: Option<PathBuf>) -> Result<PathBuf, Refusal> {
    if let Some(named) = named {
        return if named.is_file() {
            Ok(named)
        } else {
            Err(Refusal::harness(format!(
                "`{VARIABLE}` names `{}`, where there is no file; give the path of `libfaketimeMT.so.1`",
                named.display()
            )))
        };
    }
    let found = LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| {
        Refusal::harness(format!(
            "`--speed` needs libfaketime, which is not here; install it (the package `faketime` of Debian, \
             Ubuntu and Arch, `libfaketime` of Fedora and Alpine), or name its file in `{VARIABLE}`"
        ))
    })
}

fn can_be_preloaded(program: &Path, search_path: Option<&OsStr>) -> Result<(), Refusal> {
    let mut program = program.to_owned();
    for _ in 0..INTERPRETERS {
        let refuse = |why: &str| {
            Refusal::harness(format!(
                "the clock of `{}` cannot be made faster: {why}; leave out `--speed`",
                program.display()
            ))
        };
        match look(&program) {
            Found::OtherUser => {
                return Err(refuse(
                    "it runs as another user (setuid or setgid), which loads nothing before it",
                ));
            }
            Found::Static => {
                return Err(refuse(
                    "it is linked statically (as Go and musl do), so that nothing can be loaded before it; \
                     link it dynamically",
                ));
            }
            Found::Script(interpreter) => match executable::find(&interpreter, search_path) {
                Some(next) => program = next,
                None => return Ok(()),
            },
            Found::Dynamic | Found::Unknown => return Ok(()),
        }
    }
    Ok(())
}

/// What sort of file a command is.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A program that asks for a dynamic loader.
    Dynamic,
    /// A program that does not.
    Static,
    /// A program that runs as another user or group.
    OtherUser,
    /// A script, and the program that runs it.
    Script(OsString),
    /// Something else, or a file that cannot be read.
    Unknown,
}

fn look(path: &Path) -> Found {
    let Ok(mut file) = File::open(path) else { return Found::Unknown };
    let is_other = file.metadata().is_ok_and(|data| data.mode() & OTHER_USER != 0);
    if is_other {
        return Found::OtherUser;
    }
    let mut head = [0; 256];
    let length = file.read(&mut head).unwrap_or(0);
    let head = &head[..length];
    if let Some(line) = head.strip_prefix(b"#!") {
        return script(line);
    }
    match asks_for_loader(head, &mut file) {
        Some(true) => Found::Dynamic,
        Some(false) => Found::Static,
        None => Found::Unknown,
    }
}

/// The interpreter of a `#!` line; of `env`, the program that it looks up.
fn script(line: &[u8]) -> Found {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let Some(first) = words.next() else { return Found::Unknown };
    let is_env = Path::new(first).file_name().is_some_and(|name| name == "env");
    let looked_up = words.find(|word| !word.starts_with('-') && !word.contains('='));
    Found::Script(match (is_env, looked_up) {
        (true, Some(program)) => program.into(),
        _ => first.into(),
    })
}

/// Whether a file in the ELF format has a segment that names a loader; `None` for other files.
fn asks_for_loader(head: &[u8], file: &mut File) -> Option<bool> {
    /// The segment's type that names the loader.
    const PT_INTERP: u32 = 3;
    if head.get(..4)? != b"\x7fELF" {
        return None;
    }
    let is_wide = *head.get(4)? == 2;
    let is_little = *head.get(5)? == 1;
    let number = |bytes: &[u8]| {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        if is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    };
    // Where the table of segments stands, how large an entry is, and how many there are.
    let (table, size, count) = if is_wide {
        (number(head.get(32..40)?), number(head.get(54..56)?), number(head.get(56..58)?))
    } else {
        (number(head.get(28..32)?), number(head.get(42..44)?), number(head.get(44..46)?))
    };
    let size = usize::try_from(size).ok().filter(|size| (4..=1024).contains(size))?;
    file.seek(SeekFrom::Start(table)).ok()?;
    let mut entry = vec![0; size];
    for _ in 0..count {
        file.read_exact(&mut entry).ok()?;
        if number(&entry[..4]) == u64::from(PT_INTERP) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The head of a program with one segment of this type.
    fn elf(segment: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = segment;
        bytes
    }

    fn found(bytes: &[u8], mode: u32) -> Found {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::write(&path, bytes).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        look(&path)
    }

    #[test]
    fn a_program_that_would_keep_the_machines_clock_is_told_from_one_that_would_not() {
        assert_eq!(found(&elf(3), 0o755), Found::Dynamic);
        assert_eq!(found(&elf(1), 0o755), Found::Static);
        assert_eq!(found(&elf(3), 0o4755), Found::OtherUser);
        assert_eq!(
            found(b"#!/usr/bin/env -S python3 -u\n", 0o755),
            Found::Script("python3".into())
        );
        assert_eq!(found(b"#! /bin/sh -e\n", 0o755), Found::Script("/bin/sh".into()));
        assert_eq!(found(b"", 0o755), Found::Unknown);
        assert_eq!(found(b"\x7fELF\x02", 0o755), Found::Unknown);
        let own = std::env::current_exe().expect("a test has a file");
        assert_eq!(look(&own), Found::Dynamic);
    }

    #[test]
    fn what_cannot_be_preloaded_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("client");
        fs::write(&program, elf(1)).expect("written");
        let script = folder.path().join("script");
        fs::write(&script, format!("#!{}\n", program.display())).expect("written");
        for path in [&program, &script] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("changed");
            let refusal = can_be_preloaded(path, None).expect_err("it is static");
            assert_eq!(refusal.exit.code(), 4);
            assert!(refusal.message.contains("linked statically"), "{refusal}");
        }
    }

    #[test]
    fn a_missing_library_is_named_with_its_package() {
        let refusal = library(Some(PathBuf::from("/no/such/file"))).expect_err("it is not there");
        assert_eq!(refusal.exit.code(), 4);
        assert!(refusal.message.contains("`BROWNOUT_LIBFAKETIME` names"), "{refusal}");
        if let Err(refusal) = library(None) {
            assert!(refusal.message.contains("the package `faketime`"), "{refusal}");
        }
    }
}
