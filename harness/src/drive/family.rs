//! The processes of a client, found wherever they went, and ended.
//!
//! A process belongs to a run if its environment carries the run's marker, if it stands in a process
//! group of the run, or if it descends from one that does. Where brownout owns its process it is a
//! child subreaper, so that whatever escapes (a new session, a double fork) comes back to it, also with
//! an emptied environment. Proven on Linux; elsewhere only process groups are ended.
//!
//! **Invariant:** nothing is ended here that does not belong to a client, and after [`Family::end`] no
//! process of the run is left.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use brownout_provider::shell::clock::Clock;
use brownout_provider::shell::lock::lock;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// How often the machine's processes are looked through until none of the run is left.
const ROUNDS: u32 = 400;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(5);

/// The processes of all runs of this process.
///
/// A process is started while this is locked, so that no look through the machine's processes can see a
/// child that is not yet known and take it for an orphan.
static HOUSE: Mutex<House> = Mutex::new(House { children: BTreeSet::new(), runs: 0 });

struct House {
    /// Children that somebody here waits for.
    children: BTreeSet<i32>,
    /// Runs whose family lives and has not begun to end.
    runs: u32,
}

/// The processes of one run.
#[derive(Debug)]
pub struct Family {
    /// `NAME=value`, unique to the run, in the environment of everything it starts.
    marker: Vec<u8>,
    groups: Mutex<BTreeSet<i32>>,
    orphans: Orphans,
    is_ending: AtomicBool,
}

/// What is done with processes that lost their parent and carry no marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// This process does nothing but run brownout: it becomes the parent of every orphan below it, and
    /// ends each.
    Adopt,
    /// This process has other business, so an orphan may be somebody else's.
    Leave,
}

/// A process as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    pid: i32,
    parent: i32,
    group: i32,
    zombie: bool,
}

impl Family {
    /// A family whose members carry the environment variable `name` with this value, which no other
    /// run's members carry.
    #[must_use]
    pub fn new(name: &str, value: &str, orphans: Orphans) -> Self {
        house().runs += 1;
        if orphans == Orphans::Adopt {
            adopt_orphans();
        }
        let marker = format!("{name}={value}").into_bytes();
        Self {
            marker,
            groups: Mutex::new(BTreeSet::new()),
            orphans,
            is_ending: AtomicBool::new(false),
        }
    }

    /// Starts a child in a process group of its own. Its end must be told by [`Family::reaped`].
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&self, mut command: Command) -> io::Result<tokio::process::Child> {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
        let mut house = house();
        let child = tokio::process::Command::from(command).spawn()?;
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            house.children.insert(pid);
            lock(&self.groups).insert(pid);
        }
        Ok(child)
    }

    /// A child has been waited for.
    pub fn reaped(&self, pid: i32) {
        house().children.remove(&pid);
    }

    /// Ends every process of the run that is left, by SIGKILL: what would listen to reason has been
    /// asked before. Returns how many were found in the last look, which is 0 unless the system refuses
    /// to end one.
    pub async fn end(&self, clock: &Clock) -> usize {
        self.begin_to_end();
        let mut found = 0;
        for _ in 0..ROUNDS {
            found = self.sweep();
            if found == 0 {
                break;
            }
            clock.sleep(clock.of_machine(PAUSE)).await;
        }
        found
    }

    /// From here on nobody starts a process in this family, so an orphan without a mark is not spared
    /// for its sake.
    fn begin_to_end(&self) {
        if !self.is_ending.swap(true, Ordering::Relaxed) {
            house().runs -= 1;
        }
    }

    /// Looks through the machine's processes once, ends those of the run, and takes the dead that came
    /// back to this process. Returns how many were alive.
    fn sweep(&self) -> usize {
        let house = house();
        let me = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let entries = entries();
        let groups = lock(&self.groups).clone();
        let marked: BTreeSet<i32> = entries
            .iter()
            .filter(|entry| entry.pid != me && !entry.zombie && self.is_marked(entry.pid))
            .map(|entry| entry.pid)
            .collect();
        let alone = self.orphans == Orphans::Adopt && house.runs == 0;
        let known = if alone { Some(&house.children) } else { None };
        let ours = members(&entries, me, &marked, &groups, known);
        for entry in entries.iter().filter(|entry| ours.contains(&entry.pid)) {
            let pid = Pid::from_raw(entry.pid);
            if !entry.zombie {
                // It may have ended by itself since it was seen.
                let _ = kill(pid, Signal::SIGKILL);
            } else if entry.parent == me && !house.children.contains(&entry.pid) {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
        }
        entries.iter().filter(|entry| ours.contains(&entry.pid) && !entry.zombie).count()
    }

    fn is_marked(&self, pid: i32) -> bool {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == self.marker))
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.begin_to_end();
    }
}

/// The processes of a run: the marked, those in its groups, children of `me` that nobody here started
/// (where `known` says which those are), and all that descend from these.
fn members(
    entries: &[Entry],
    me: i32,
    marked: &BTreeSet<i32>,
    groups: &BTreeSet<i32>,
    known: Option<&BTreeSet<i32>>,
) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in entries {
        children.entry(entry.parent).or_default().push(entry.pid);
    }
    let is_orphan =
        |entry: &Entry| entry.parent == me && known.is_some_and(|k| !k.contains(&entry.pid));
    let mut open: Vec<i32> = entries
        .iter()
        .filter(|entry| {
            marked.contains(&entry.pid) || groups.contains(&entry.group) || is_orphan(entry)
        })
        .map(|entry| entry.pid)
        .collect();
    let mut ours = BTreeSet::new();
    while let Some(pid) = open.pop() {
        if pid > 1 && pid != me && ours.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    ours
}

/// Every process of the machine that this user can see; empty where there is no `/proc`.
fn entries() -> Vec<Entry> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    folder
        .flatten()
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()))
        })
        .filter_map(|entry| parse_stat(&std::fs::read(entry.path().join("stat")).ok()?))
        .collect()
}

/// Reads `pid (name) state parent group …`; the name may hold anything, also parentheses.
fn parse_stat(bytes: &[u8]) -> Option<Entry> {
    let text = String::from_utf8_lossy(bytes);
    let pid = text.split(' ').next()?.parse().ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Entry { pid, parent, group, zombie })
}

#[cfg(target_os = "linux")]
fn adopt_orphans() {
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::debug!(%error, "orphans will not come back to this process");
    }
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}

fn house() -> MutexGuard<'static, House> {
    lock(&HOUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, parent: i32, group: i32) -> Entry {
        Entry { pid, parent, group, zombie: false }
    }

    fn set(pids: &[i32]) -> BTreeSet<i32> {
        pids.iter().copied().collect()
    }

    #[test]
    fn a_stat_line_is_read_whatever_the_name_holds() {
        assert_eq!(
            parse_stat(b"42 (a) Z 1 (b) S 7 40 40 0 -1"),
            Some(Entry { pid: 42, parent: 7, group: 40, zombie: false })
        );
        assert!(parse_stat(b"42 (sh) Z 7 40 40").expect("a process").zombie);
        assert_eq!(parse_stat(b"nonsense"), None);
    }

    #[test]
    fn what_descends_from_a_member_is_one() {
        let entries = [
            entry(1, 0, 1),
            entry(10, 1, 10),
            entry(20, 10, 20),
            entry(21, 20, 20),
            entry(30, 21, 30),
        ];
        assert_eq!(members(&entries, 10, &set(&[21]), &set(&[]), None), set(&[21, 30]));
        assert_eq!(members(&entries, 10, &set(&[]), &set(&[20]), None), set(&[20, 21, 30]));
        assert_eq!(members(&entries, 10, &set(&[]), &set(&[]), None), set(&[]));
    }

    #[test]
    fn an_orphan_is_ended_only_by_who_owns_the_process() {
        let entries = [entry(10, 1, 10), entry(20, 10, 20), entry(50, 10, 50), entry(51, 50, 50)];
        let known = set(&[20]);
        assert_eq!(members(&entries, 10, &set(&[]), &set(&[]), Some(&known)), set(&[50, 51]));
        assert_eq!(members(&entries, 10, &set(&[]), &set(&[]), None), set(&[]));
    }

    #[test]
    fn this_process_and_the_first_one_are_never_members() {
        let entries = [entry(1, 0, 1), entry(10, 1, 10)];
        assert_eq!(members(&entries, 10, &set(&[1, 10]), &set(&[]), None), set(&[]));
    }
}
