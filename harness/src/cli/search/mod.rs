//! `brownout hunt` and `brownout explore`: what both take, how both run a client, and what both tell.
//!
//! **Invariant:** standard output is the report and nothing else; a schedule that is handed out stands in a
//! file that `run` takes.

pub mod explore;
pub mod hunt;
mod told;

use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use brownout_provider::seed::Seed;
use clap::Args;

use super::client::{Clients, Named};
use super::exit::Exit;
use super::refusal::Refusal;
use super::run::arguments::{ModeWord, quoted, seed};
use super::terminal::Terminal;
use super::{interrupt, load, scenario_file, sources, speed};
use crate::drive::http::Place;
use crate::drive::speed::{FASTEST, SLOWEST, Speed};
use crate::drive::stop::Stop;
use crate::run::{Client, RunError, RunOptions, run_control, run_main};
use crate::scenario::{Overrides, Scenario};
use crate::search::News;
use crate::search::Tried;
use crate::search::pursue::Found;
use crate::verdict::ControlResult;

/// What `hunt` and `explore` both take.
#[derive(Clone, Debug, Args)]
pub struct SearchArguments {
    /// The scenario that is varied: a file, or the name of one that brownout brings.
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,

    /// How to drive the client; what the scenario says, else `exec`.
    #[arg(long, value_enum)]
    mode: Option<ModeWord>,

    /// Where a service listens that runs already; see `brownout run --help`.
    #[arg(long, value_name = "URL")]
    target: Option<Place>,

    /// Binds the provider to this port instead of a free one; then one run is made at a time.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// The seed, whatever the scenario says (0 to 9007199254740991).
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<Seed>,

    /// Makes so many runs at the same time; one per processor when left out.
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u64).range(1..=1_024))]
    jobs: Option<u64>,

    /// Lets time go N times as fast for the client (2 to 30), by libfaketime; see `brownout run --help`.
    ///
    /// A program that is linked statically is refused. One that the client starts itself cannot be seen
    /// beforehand: where it is static, it keeps the machine's clock, waits N times too long by the provider's
    /// and seems late, never early.
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(i64::from(SLOWEST)..=i64::from(FASTEST)))]
    speed: Option<u32>,

    /// Writes the smallest schedule that breaks the client to this file, instead of `NAME.min.yaml` in the
    /// current folder.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    write: Option<PathBuf>,

    /// The form of the report on standard output.
    #[arg(long, default_value = "human", value_parser = ["human", "json"], help_heading = "Output")]
    format: String,

    /// Leaves out the control run in fair weather.
    #[arg(long, help_heading = "Judging")]
    no_control: bool,

    /// Lets the client reach this host; anything else but the mock is refused and recorded.
    #[arg(long, value_name = "HOST", help_heading = "Judging")]
    allow_network: Vec<String>,

    /// The client under test and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Everything that a search with a program as the client needs.
struct Stage {
    arguments: SearchArguments,
    scenario: Arc<Scenario>,
    file: String,
    client: Client,
    speed: Option<Speed>,
    control: Option<ControlResult>,
    stop: Stop,
    jobs: usize,
    terminal: Terminal,
}

impl Stage {
    /// Loads and checks everything, and makes the control run.
    fn set(
        arguments: &SearchArguments,
        overrides: Overrides,
        terminal: Terminal,
    ) -> Result<Self, Refusal> {
        let search_path = std::env::var_os("PATH");
        let overrides = Overrides { seed: arguments.seed.map(Seed::get), ..overrides };
        let clients = Clients::new(Named {
            mode: arguments.mode,
            target: arguments.target.as_ref(),
            allow_network: &arguments.allow_network,
            command: &arguments.command,
        })?;
        let source = sources::read_one(&arguments.scenario)?;
        let loaded = load::one(&source, &overrides, terminal)?;
        let client = clients.of(&loaded.scenario)?;
        clients.require(&arguments.command, search_path.as_deref())?;
        let speed = arguments
            .speed
            .map(|factor| speed::prepare(factor, &arguments.command, search_path.as_deref()))
            .transpose()?;
        let jobs = jobs(arguments, &clients)?;
        if let Some(file) = &arguments.write {
            scenario_file::is_free(file)?;
        }
        let stop = Stop::new();
        interrupt::listen(&stop)?;
        let mut stage = Self {
            arguments: arguments.clone(),
            scenario: Arc::new(loaded.scenario),
            file: loaded.file,
            client,
            speed,
            control: None,
            stop,
            jobs,
            terminal,
        };
        if !arguments.no_control {
            stage.control = Some(run_control(&stage.scenario, &stage.client, &stage.options())?);
        }
        Ok(stage)
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            file: self.file.clone(),
            allow_network: self.arguments.allow_network.clone(),
            stop: self.stop.clone(),
            port: self.arguments.port,
            owns_process: true,
            speed: self.speed.clone(),
            ..RunOptions::default()
        }
    }

    /// Runs a variation.
    fn run(&self, scenario: &Arc<Scenario>, seed: Seed) -> Result<Tried, RunError> {
        let run = run_main(scenario, seed, &self.client, &self.options())?;
        let result = run.judged(scenario, self.control.clone(), String::new());
        Ok(Tried { result, trace: run.trace })
    }

    /// Why nothing can be said before anything was searched: the client does not work in fair weather.
    fn doubt(&self) -> Option<String> {
        let control = self.control.as_ref().filter(|control| !control.passed)?;
        let why = control.reason.as_deref().unwrap_or("the client does not work in fair weather");
        Some(format!("the control run, without faults, failed: {why}"))
    }

    /// The file for what was found: the one that was asked for, or the first of the usual names that no
    /// earlier search has taken.
    fn file_to_write(&self) -> PathBuf {
        const MOST: u32 = 1_000;
        let name = &self.scenario.name;
        let usual = || {
            let later = (2..MOST).map(|nth| PathBuf::from(format!("{name}.min-{nth}.yaml")));
            let first = PathBuf::from(format!("{name}.min.yaml"));
            std::iter::once(first.clone()).chain(later).find(|it| !it.exists()).unwrap_or(first)
        };
        self.arguments.write.clone().unwrap_or_else(usual)
    }

    /// Writes what was found; gives the command that runs it.
    fn write(&self, found: &Found) -> Result<Written, Refusal> {
        let file = self.file_to_write();
        let reproduce = self.command("run", &file.display().to_string());
        let how = invocation(std::env::args());
        let commands = [format!("Found by: {how}"), format!("Run it:   {reproduce}")];
        let mut label = found.label(&format!("{}-min", self.scenario.name), &commands);
        let folder = file.parent().unwrap_or(Path::new(""));
        label.apis = scenario_file::apis_from(&self.scenario, Path::new(&self.file), folder);
        let text = found.case.to_yaml(&label);
        scenario_file::write(&file, &text).inspect_err(|_| {
            // What took so long to find is not lost with the file.
            self.terminal.err(&text);
        })?;
        Ok(Written { file, reproduce, story: label.story })
    }

    /// A command line with this client.
    fn command(&self, command: &str, rest: &str) -> String {
        let mut words = vec!["brownout".to_owned(), command.to_owned(), quoted(rest)];
        let mode = self.arguments.mode.and_then(|mode| clap::ValueEnum::to_possible_value(&mode));
        if let Some(mode) = mode {
            words.extend(["--mode".to_owned(), mode.get_name().to_owned()]);
        }
        if let Some(target) = &self.arguments.target {
            words.extend(["--target".to_owned(), target.to_string()]);
        }
        if let Some(port) = self.arguments.port {
            words.extend(["--port".to_owned(), port.to_string()]);
        }
        if let Some(speed) = self.arguments.speed {
            words.extend(["--speed".to_owned(), speed.to_string()]);
        }
        if self.arguments.no_control {
            words.push("--no-control".to_owned());
        }
        for host in &self.arguments.allow_network {
            words.extend(["--allow-network".to_owned(), quoted(host)]);
        }
        if !self.arguments.command.is_empty() {
            words.push("--".to_owned());
        }
        let client = self.arguments.command.iter();
        words.extend(client.map(|word| quoted(&word.to_string_lossy())));
        words.join(" ")
    }

    fn exit(&self, exit: Exit) -> Exit {
        if self.stop.is_stopped() { exit.max(Exit::Harness) } else { exit }
    }
}

/// How many runs at the same time.
fn jobs(arguments: &SearchArguments, clients: &Clients) -> Result<usize, Refusal> {
    let port = arguments.port.map(|port| format!("port {port} serves one run at a time"));
    let asked = arguments.jobs.map(|jobs| usize::try_from(jobs).unwrap_or(usize::MAX));
    match (clients.alone().or(port), asked) {
        (Some(why), Some(jobs)) if jobs > 1 => {
            Err(Refusal::usage(format!("{why}; use `--jobs 1`")))
        }
        (Some(_), _) => Ok(1),
        (None, Some(jobs)) => Ok(jobs),
        (None, None) => Ok(available_parallelism().map_or(1, NonZero::get)),
    }
}

/// The command line of this process, to be typed again.
fn invocation(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.skip(1).map(|word| quoted(&word)).collect();
    format!("brownout {}", words.join(" "))
}

/// A schedule that was written to a file.
struct Written {
    file: PathBuf,
    reproduce: String,
    story: Vec<String>,
}

/// Tells a pipe how far a search is, ever more rarely; a terminal has a bar.
struct Watch {
    terminal: Terminal,
    progress: super::progress::Progress,
    done: u64,
}

impl Watch {
    fn new(terminal: Terminal, total: u64) -> Self {
        Self { terminal, progress: super::progress::Progress::new(terminal, total), done: 0 }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Done => {
                self.done += 1;
                if self.terminal.watched() {
                    self.progress.finished("searching");
                } else if self.done.is_power_of_two() && self.done > 8 {
                    self.terminal.err(&format!("{} runs\n", self.done));
                }
            }
            News::Now(what) if self.terminal.watched() => self.progress.now(&what),
            News::Now(what) => self.terminal.err(&format!("{what}\n")),
            News::Still(quiet) => self.still(quiet),
        }
    }

    fn still(&self, quiet: Duration) {
        self.progress.still("a run of the search", quiet);
    }
}
