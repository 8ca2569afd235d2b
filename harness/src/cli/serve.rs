//! `brownout serve`: the provider alone, for a client that is started elsewhere.
//!
//! **Invariant:** standard output holds one ready line of JSON and, at the end, one verdict of JSON; nobody
//! claims anything, so nothing about claims is judged.

use std::path::PathBuf;
use std::sync::Arc;

use brownout_provider::seed::Seed;
use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::out_dir::OutDir;
use super::refusal::Refusal;
use super::run::arguments::{quoted, seed};
use super::terminal::Terminal;
use super::{interrupt, load, sources};
use crate::drive::nobody::{Nobody, Served};
use crate::drive::stop::Stop;
use crate::report::story;
use crate::report::{Report, json};
use crate::run::{Client, RunOptions, run_main};
use crate::scenario::Overrides;

/// Starts the provider alone and judges whatever calls it.
///
/// Prints one line of JSON when the provider is ready: its `url`, its `api_key`, the environment (`env`) that
/// points an unmodified program at it, and where the trace is written. Ctrl-C or SIGTERM ends it: it prints
/// the verdict as JSON and exits with its code.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  brownout serve scenarios/payments/outage.yaml
  brownout serve scenarios/openai/rate-limit.yaml --port 4010 --seed 7

Exit codes:
  0 passed   1 failed   2 inconclusive   3 wrong scenario or command line   4 could not run")]
pub struct ServeArguments {
    /// The scenario file.
    scenario: PathBuf,
    /// Binds the provider to this port instead of a free one.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The seed, whatever the scenario says (0 to 9007199254740991).
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<Seed>,
    /// Where the trace is kept; the folder is private and ignored by git.
    #[arg(long, value_name = "DIR", default_value = ".brownout")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The scenario is wrong, the port is taken, or the trace cannot be written.
pub fn run(arguments: &ServeArguments, terminal: Terminal) -> Result<Exit, Refusal> {
    let overrides = Overrides { seed: arguments.seed.map(Seed::get), ..Overrides::default() };
    let source = sources::read_one(&arguments.scenario)?;
    let loaded = load::one(&source, &overrides, terminal)?;
    let seed = loaded.scenario.seed;
    let out = OutDir::open(&arguments.out)?;
    let until = Stop::new();
    interrupt::listen(&until)?;
    let ready = Box::new(move |served: &Served| terminal.out(&ready_line(served)));
    let client = Client::Nobody(Arc::new(Nobody { ready, until }));
    let options = RunOptions {
        file: loaded.file.clone(),
        dir: Some(out.of_run(&loaded.scenario.name, &format!("serve-{}", seed.get()))?),
        port: arguments.port,
        owns_process: true,
        ..RunOptions::default()
    };
    let run = run_main(&loaded.scenario, seed, &client, &options)?;
    let reproduce = format!("brownout serve {} --seed {}", quoted(&loaded.file), seed.get());
    let entry = story::entry(&loaded.scenario, &run, None, reproduce);
    let report = Report { entries: vec![entry], ..Report::default() };
    terminal.out(&(json::FORMAT.render)(&report));
    Ok(report.verdict().into())
}

/// The one line that says how to reach the provider.
fn ready_line(served: &Served) -> String {
    let environment: Map<String, Value> = served
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    let line = json!({
        "ready": true,
        "url": served.url,
        "api_key": served.api_key,
        "env": environment,
        "trace": served.trace.as_ref().map(|path| path.display().to_string()),
    });
    format!("{line}\n")
}
