//! `brownout serve`: the provider alone, for a client that is started elsewhere, with its control API.
//!
//! **Invariant:** standard output holds one ready line of JSON and, at the end, one document with the verdicts
//! of all runs.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use brownout_provider::seed::Seed;
use brownout_provider::shell::lock::lock;
use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::out_dir::OutDir;
use super::refusal::{Refusal, chain};
use super::run::arguments::{quoted, seed};
use super::terminal::Terminal;
use super::{interrupt, load, sources};
use crate::drive::stop::Stop;
use crate::report::{Report, json};
use crate::scenario::Overrides;
use crate::serve::{Control, Loaded, Session, SessionError, reached};

/// Starts the provider alone and judges whatever calls it.
///
/// Prints one line of JSON when the provider is ready: its `url`, its `api_key`, the environment (`env`) that
/// points an unmodified program at it, where the trace is written, and under `control` the URL and the token of
/// the control API. Through that a test suite in any language loads a scenario for each test and asks for the
/// verdict; it describes itself at `/v1/openapi.json`. Without a scenario the provider starts when one is loaded.
/// Ctrl-C or SIGTERM ends it: it prints the verdicts as JSON and exits with their code.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout serve scenarios/payments/outage.yaml
  brownout serve scenarios/openai/rate-limit.yaml --port 4010 --seed 7
  brownout serve --port 4010 --control-port 4011

Exit codes:
  0 passed   1 failed   2 inconclusive   3 wrong scenario or command line   4 could not run")]
pub struct ServeArguments {
    /// The scenario file; without one, the control API loads the first.
    scenario: Option<PathBuf>,
    /// Binds the provider to this port instead of a free one.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Binds the control API to this port instead of a free one.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    control_port: Option<u16>,
    /// Ends as well when standard input is closed: with the test program that started it, however that dies.
    #[arg(long)]
    until_stdin_closes: bool,
    /// The seed, whatever the scenario says (0 to 9007199254740991).
    #[arg(long, value_parser = seed, allow_negative_numbers = true, requires = "scenario")]
    seed: Option<Seed>,
    /// Where the traces are kept; the folder is private and ignored by git.
    #[arg(long, value_name = "DIR", default_value = ".brownout")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The scenario is wrong, a port is taken, or a trace cannot be written.
pub fn run(arguments: &ServeArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let overrides = Overrides { seed: arguments.seed.map(Seed::get), ..Overrides::default() };
    let loaded = match &arguments.scenario {
        None => None,
        Some(file) => Some(load::one(&sources::read_one(file)?, &overrides, terminal)?),
    };
    let out = OutDir::open(&arguments.out)?;
    let over = Stop::new();
    interrupt::listen(&over)?;
    let places = Box::new(move |scenario: &str, run: &str| {
        out.of_run(scenario, run).map_err(|refusal| refusal.message)
    });
    let mut session = Session::new(places, arguments.port, over.clone());
    let mut line = Map::from_iter([("ready".to_owned(), Value::from(true))]);
    if let Some(load::Loaded { file, scenario }) = loaded {
        let seed = scenario.seed;
        let reproduce = format!("brownout serve {} --seed {}", quoted(&file), seed.get());
        session.start(Loaded { file, scenario, reproduce }, seed)?;
    }
    line.extend(session.present().map(reached).unwrap_or_default());
    let session = Arc::new(Mutex::new(session));
    let control = Control::start(Arc::clone(&session), arguments.control_port).map_err(|error| {
        Refusal::harness(format!(
            "the control API cannot listen: {error}; choose another port with `--control-port`, or leave it out"
        ))
    })?;
    line.insert("control".to_owned(), json!({ "url": control.url(), "token": control.token() }));
    terminal.out(&format!("{}\n", Value::from(line)));
    if let Some(why) = terminal.lost() {
        return Err(Refusal::harness(format!("the ready line cannot be written: {why}")));
    }
    if arguments.until_stdin_closes {
        end_with_stdin(over.clone())?;
    }
    wait(&over)?;
    drop(control);
    let mut session = lock(&session);
    let ended = session.end().map(|_| ());
    // What was judged before is told also where the last run did not come to its end.
    let report = Report { entries: session.entries().to_vec(), ..Report::default() };
    terminal.out(&(json::FORMAT.render)(&report));
    ended?;
    Ok(report.verdict().into())
}

/// Ends the program with whoever holds the other end of its standard input, however that one dies.
fn end_with_stdin(over: Stop) -> Result<(), Refusal> {
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            // What comes is nothing to us, and an error is an end as well.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            over.stop();
        })
        .map(|_| ())
        .map_err(|error| Refusal::because(&error))
}

/// Waits until the program is told to end, or a run has ended by itself.
fn wait(over: &Stop) -> Result<(), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Refusal::because(&error))?;
    runtime.block_on(over.stopped());
    Ok(())
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Run(error) => error.into(),
            SessionError::NothingLoaded
            | SessionError::Replaced { .. }
            | SessionError::Place(_) => Self::harness(chain(&error)),
        }
    }
}
