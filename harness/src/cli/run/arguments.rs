//! The raw arguments of `brownout run`, and the command line that repeats one run.
//!
//! **Invariant:** a value out of range is refused here, with the range.

use std::ffi::OsString;
use std::path::PathBuf;

use brownout_provider::event::Mode;
use brownout_provider::seed::Seed;
use brownout_provider::units::Scale;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::drive::http::Place;
use crate::drive::speed::{FASTEST, SLOWEST};
use crate::incident::Side;
use crate::report::registry::FORMATS;
use crate::scenario::policy;

/// Drives a client through scenarios and judges it.
///
/// Each scenario is run once in fair weather (the control run) and then once a seed. The client is any command:
/// it finds the provider in BROWNOUT_URL and BROWNOUT_API_KEY, and in the variables that its SDK reads anyway
/// (OPENAI_BASE_URL and OPENAI_API_KEY, for example).
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout run scenarios/payments -- python3 my_client.py
      One process per operation; exit code 0 claims success, 75 an unknown outcome, any other a failure.
  brownout run scenarios/payments/lost-response.yaml --mode stdio -- python3 my_worker.py
      One long-lived process that reads operations as JSON lines.
  brownout run scenarios/openai --mode suite -- pytest
      One command that does what it likes; operations are those seen on the wire.
  brownout run my-service.yaml --mode http -- python3 my_service.py
      A service, started anew for each run: it listens at PORT and is called as the scenario says.
  brownout run my-service.yaml --target http://127.0.0.1:9000 --port 9400
      A service that runs already, and finds the provider at port 9400.
  brownout run --policy stripe_client -- ./client
      The scenarios that put a policy to the test, judged by it: a conformance kit for a retry implementation.
  brownout run scenarios/incidents/slow-summaries.yaml --client flawed
      An incident, with the built-in client that caused it; `--client fixed` survives it.
  brownout run scenarios/payments --seeds 20 --jobs 4 --format json -- ./client > verdict.json

Exit codes:
  0 passed   1 failed   2 inconclusive   3 wrong scenario or command line   4 could not run")]
pub struct RunArguments {
    /// Scenario files, or folders that are searched for them; with `--policy` those of the policy when left out.
    #[arg(required_unless_present = "policy", value_name = "SCENARIO|DIR")]
    pub scenarios: Vec<PathBuf>,

    /// How to drive the client; what the scenario says, else `exec`.
    #[arg(long, value_enum)]
    pub mode: Option<ModeWord>,

    /// Where a service listens that runs already; with a command, where the service listens that it starts.
    ///
    /// Implies http mode. A service that runs already has to be pointed at the provider beforehand, which
    /// `--port` makes possible. Its memory outlives a run, so `{{ n }}` is raised by a million for each further
    /// one; start the service anew before the next invocation.
    #[arg(long, value_name = "URL")]
    pub target: Option<Place>,

    /// Runs a client that is built in, in the place of a COMMAND: for the incidents of `brownout list incidents`.
    ///
    /// Each incident has the client that caused it and the one that survives it. Both run in virtual time, so that
    /// days take no longer than seconds.
    #[arg(long, value_enum, conflicts_with_all = ["mode", "target", "port", "speed", "allow_network"])]
    pub client: Option<ClientWord>,

    /// Binds the provider to this port instead of a free one.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// How many operations may be outstanding, whatever the scenario says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub concurrency: Option<u64>,

    /// The seed, whatever the scenario says (0 to 9007199254740991).
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<Seed>,

    /// Runs N seeds: the first one and those after it.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: u64,

    /// Runs so many seeds at the same time; one per processor when left out.
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u64).range(1..=1_024))]
    pub jobs: Option<u64>,

    /// Lets time go N times as fast for the client (2 to 30), by libfaketime.
    ///
    /// Waits of the client are shortened, its work is not, so that only what it does too early is judged and
    /// never what takes it too long. For programs that are linked dynamically and that sleep through libc:
    /// Python, Node, curl and most others; Python's `Event.wait(t)`, `queue.get(timeout=t)` and
    /// `Future.result(t)` hang under it. A program that is linked statically (Go, musl) is refused; one that
    /// the client starts itself cannot be seen beforehand, keeps the machine's clock, and so waits N times too
    /// long by the provider's: it seems late, never early.
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(i64::from(SLOWEST)..=i64::from(FASTEST)))]
    pub speed: Option<u32>,

    /// Divides every duration that is written in the scenario, as its own `scale` does, whatever that says.
    ///
    /// A story of minutes takes a program seconds with `--scale 1/20`, if it shortens its own times by what it
    /// reads in BROWNOUT_SCALE.
    #[arg(long, value_name = "1/N")]
    pub scale: Option<Scale>,

    /// How many operations, whatever the scenario says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub operations: Option<u64>,

    /// Runs only scenarios with a provider of this API.
    #[arg(long, value_name = "NAME", help_heading = "Choosing scenarios")]
    pub api: Option<String>,

    /// Runs only scenarios with this tag; several must all be there.
    #[arg(long, value_name = "TAG", help_heading = "Choosing scenarios")]
    pub tag: Vec<String>,

    /// Runs only scenarios whose name contains this text.
    #[arg(long, value_name = "TEXT", help_heading = "Choosing scenarios")]
    pub filter: Option<String>,

    /// The form of the report on standard output.
    #[arg(long, default_value = "human", value_parser = format_names(), help_heading = "Output")]
    pub format: String,

    /// Where traces are kept; the folder is private and ignored by git.
    #[arg(long, value_name = "DIR", default_value = ".brownout", help_heading = "Output")]
    pub out: PathBuf,

    /// Expects this policy on top of what the scenarios expect, and above it.
    ///
    /// Without a scenario, those are run that put all of the policy to the test. `brownout list policies` shows
    /// what there is.
    #[arg(long, value_name = "NAME", value_parser = policy_names(), help_heading = "Judging")]
    pub policy: Option<String>,

    /// Leaves out the control run in fair weather.
    #[arg(long, help_heading = "Judging")]
    pub no_control: bool,

    /// Counts an expected invariant that no run exercised as inconclusive.
    #[arg(long, help_heading = "Judging")]
    pub require_exercised: bool,

    /// Starts no further run after the first failed one.
    #[arg(long, help_heading = "Judging")]
    pub fail_fast: bool,

    /// A file that lists invariants known to break, by scenario: they are shown and fail nothing, any other fails.
    #[arg(long, value_name = "FILE", help_heading = "Judging")]
    pub baseline: Option<PathBuf>,

    /// Runs everything twice and fails if the drawn schedules differ.
    #[arg(long, help_heading = "Judging")]
    pub twice: bool,

    /// Lets the client reach this host; anything else but the mock is refused and recorded.
    #[arg(long, value_name = "HOST", help_heading = "Judging")]
    pub allow_network: Vec<String>,

    /// The client under test and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The modes that a command line can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeWord {
    /// One process per operation.
    Exec,
    /// One process that reads operations from its standard input.
    Stdio,
    /// One command that does what it likes, such as a test suite.
    Suite,
    /// A service that is called over HTTP, as the scenario says under `http`.
    Http,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Exec => Self::Exec,
            ModeWord::Stdio => Self::Stdio,
            ModeWord::Suite => Self::Suite,
            ModeWord::Http => Self::Http,
        }
    }
}

/// The built-in clients that a command line can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientWord {
    /// The client that caused the incident.
    Flawed,
    /// The client that survives it.
    Fixed,
}

impl From<ClientWord> for Side {
    fn from(word: ClientWord) -> Self {
        match word {
            ClientWord::Flawed => Self::Flawed,
            ClientWord::Fixed => Self::Fixed,
        }
    }
}

/// The names of all formats of reports, with what each is for.
#[must_use]
pub fn format_names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        FORMATS
            .iter()
            .map(|format| clap::builder::PossibleValue::new(format.name).help(format.summary)),
    )
}

/// The names of all policies, with what each asks for.
fn policy_names() -> PossibleValuesParser {
    let policies = policy::all().iter();
    PossibleValuesParser::new(
        policies.map(|one| clap::builder::PossibleValue::new(&*one.name).help(&*one.summary)),
    )
}

/// Reads a seed.
///
/// # Errors
/// It is no whole number, or above the largest seed.
pub fn seed(text: &str) -> Result<Seed, String> {
    let largest = Seed::MAX.get();
    text.parse::<u64>()
        .ok()
        .and_then(Seed::new)
        .ok_or_else(|| format!("a seed is a whole number from 0 to {largest}"))
}

impl RunArguments {
    /// The command that repeats the run of one file and seed, ready to be pasted into a shell.
    #[must_use]
    pub fn reproduce(&self, file: &str, seed: Seed) -> String {
        let mut words: Vec<String> = vec!["brownout".to_owned(), "run".to_owned()];
        words.push(quoted(file));
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push(format!("--{name}"));
                words.push(quoted(&value));
            }
        };
        let mode = self.mode.and_then(|mode| mode.to_possible_value());
        option("mode", mode.map(|mode| mode.get_name().to_owned()));
        let client = self.client.and_then(|client| client.to_possible_value());
        option("client", client.map(|client| client.get_name().to_owned()));
        option("target", self.target.as_ref().map(ToString::to_string));
        option("port", self.port.map(|port| port.to_string()));
        option("concurrency", self.concurrency.map(|it| it.to_string()));
        option("speed", self.speed.map(|it| it.to_string()));
        option("scale", self.scale.map(|it| it.to_string()));
        option("operations", self.operations.map(|it| it.to_string()));
        option("policy", self.policy.clone());
        for host in &self.allow_network {
            option("allow-network", Some(host.clone()));
        }
        option("baseline", self.baseline.as_ref().map(|file| file.display().to_string()));
        option("seed", Some(seed.get().to_string()));
        for (name, is_set) in [
            ("no-control", self.no_control),
            ("require-exercised", self.require_exercised),
            ("twice", self.twice),
        ] {
            if is_set {
                words.push(format!("--{name}"));
            }
        }
        if !self.command.is_empty() {
            words.push("--".to_owned());
        }
        words.extend(self.command.iter().map(|word| quoted(&word.to_string_lossy())));
        words.join(" ")
    }
}

/// A word as a shell reads it back.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArguments,
    }

    fn parse(line: &[&str]) -> Result<RunArguments, clap::Error> {
        Line::try_parse_from([&["run"], line].concat()).map(|line| line.run)
    }

    #[test]
    fn the_command_that_repeats_a_run_says_what_matters_and_survives_a_shell() {
        let arguments = parse(&[
            "a b.yaml",
            "--mode",
            "stdio",
            "--seeds",
            "20",
            "--scale",
            "2/40",
            "--operations",
            "5",
            "--no-control",
            "--policy",
            "sre_defaults",
            "--twice",
            "--require-exercised",
            "--allow-network",
            "example.org",
            "--",
            "sh",
            "-c",
            "it's $HOME",
        ])
        .expect("a correct line");
        let seed = Seed::new(44).expect("in range");
        assert_eq!(
            arguments.reproduce("a b.yaml", seed),
            r"brownout run 'a b.yaml' --mode stdio --scale 2/40 --operations 5 --policy sre_defaults --allow-network example.org --seed 44 --no-control --require-exercised --twice -- sh -c 'it'\''s $HOME'"
        );
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for (line, part) in [
            (&["x", "--seed", "9007199254740992", "--", "c"], "from 0 to 9007199254740991"),
            (&["x", "--seed", "-1", "--", "c"], "from 0 to 9007199254740991"),
            (&["x", "--seeds", "0", "--", "c"], "1..=1000000"),
            (&["x", "--port", "0", "--", "c"], "1..=65535"),
            (&["x", "--jobs", "0", "--", "c"], "1..=1024"),
        ] {
            let error = parse(line).expect_err("out of range").to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
