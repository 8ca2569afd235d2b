//! A faster clock for programs: libfaketime, loaded before the client, and what it is told.
//!
//! It knows the variables of libfaketime, not whether a program can be preloaded.
//! **Invariant:** the client's clock starts where the scenario's wall clock stands and goes at its rate, so
//! that dates on the wire mean the same to both; what the client takes to start only makes it wait longer.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use brownout_provider::shell::clock::Clock;

/// The lowest speed that can be asked for.
pub const SLOWEST: u32 = 2;

/// The highest: above it, what programs do between their waits becomes longer than the waits.
pub const FASTEST: u32 = 30;

/// Variables by which an outer libfaketime could be told something else.
const FOREIGN: [&str; 5] = [
    "FAKETIME_DONT_FAKE_MONOTONIC",
    "FAKETIME_SHARED",
    "FAKETIME_TIMESTAMP_FILE",
    "FAKETIME_DONT_RESET",
    "DONT_FAKE_MONOTONIC",
];

/// How much faster the clock of a program goes, and what makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speed {
    /// So many times as fast as the machine's clock: [`SLOWEST`] to [`FASTEST`].
    pub factor: u32,
    /// The path of libfaketime, in its form for programs with several threads.
    pub library: PathBuf,
}

impl Speed {
    /// Gives a program that starts now the clock of the run.
    pub(super) fn apply(&self, clock: &Clock, command: &mut Command) {
        for name in FOREIGN {
            command.env_remove(name);
        }
        let mut preload = OsString::from(&self.library);
        if let Some(more) = std::env::var_os("LD_PRELOAD").filter(|more| !more.is_empty()) {
            preload.push(":");
            preload.push(more);
        }
        command.env("LD_PRELOAD", preload);
        // Seconds since 1970, because a date in words would be read in the time zone of the client.
        command.env("FAKETIME_FMT", "%s");
        command.env("FAKETIME", self.begin_at_us(clock.wall_at_us(clock.now_us())));
    }

    fn begin_at_us(&self, wall_us: u64) -> String {
        format!("@{}.{:06} x{}", wall_us / 1_000_000, wall_us % 1_000_000, self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_where_its_clock_starts_and_how_fast_it_goes() {
        let speed = Speed { factor: 20, library: PathBuf::from("/lib/libfaketimeMT.so.1") };
        assert_eq!(speed.begin_at_us(1_700_000_000_000_070), "@1700000000.000070 x20");
        let mut command = Command::new("true");
        speed.apply(&Clock::fast(20), &mut command);
        let given: Vec<_> = command.get_envs().collect();
        let is_set = |name: &str| given.iter().any(|(one, value)| *one == name && value.is_some());
        assert!(is_set("LD_PRELOAD") && is_set("FAKETIME") && is_set("FAKETIME_FMT"), "{given:?}");
        assert!(!is_set("FAKETIME_DONT_FAKE_MONOTONIC"), "{given:?}");
    }
}
